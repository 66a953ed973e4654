"""Whether what a certificate says of engines is what can be said of this network, and no more than one of its claims says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ...moe.engines import ENGINES, FLUSHED, Needs, assumed, statement
from ...moe.typed_json import Fields
from .documents import Documents
from .nets import KINDS, RELU2


class ForEngine(NamedTuple):
    """What is confirmed for an engine: |f − Ψ̂| ≤ bound if it is as assumed."""

    format: str
    bound: float
    assumptions: tuple[str, ...]


def engines_amiss(found: Documents) -> Iterator[str]:
    """Whatever is said of an engine that is not said of it."""
    claims = {claim.text("name"): claim for claim in found.certificate.children("claims")}
    listed, of = _listed(found), _needs(found)
    stated = [*(site.rounding for site in found.sites), *([] if found.read_out is None else [found.read_out.rounding])]
    if not found.manifold and any(name.endswith(FLUSHED) for numbers in stated for name in numbers):
        yield "gates of a task graph compare with 0, which flushing changes: nothing can be said of evaluations that do it"
    if len({entry.text("format") for entry in listed}) < len(listed):
        yield "an engine is listed twice"
    for entry in listed:
        name = entry.text("format")
        if name not in ENGINES:
            yield f"{name[:80]!r} is no engine of which anything can be said"
            continue
        taken = [(one.text("name"), one.text("statement")) for one in entry.children("assumptions")]
        wanted = [(one.name, one.statement) for one in assumed(ENGINES[name], of)]
        if taken != wanted or entry.text("statement") != statement(ENGINES[name], of.dtype):
            yield f"what is said of {name}, and assumed of it, is not what such an engine needs"
        claim = claims.get(of.claim)
        same = claim is not None and all(entry.get(key) == claim.get(key) for key in ("bound", "known"))
        none = claim is None and entry.get("bound") is None and entry.get("known") == "unknown"
        if entry.text("claim") != of.claim or not (same or none):
            yield f"what is said of {name} is not what claim {of.claim} says"


def confirmed(found: Documents) -> tuple[ForEngine, ...]:
    """The engines of whose evaluation something is proved, if the certificate is confirmed."""
    return tuple(
        ForEngine(entry.text("format"), entry.number("bound"), tuple(one.text("name") for one in entry.children("assumptions")))
        for entry in _listed(found)
        if entry.get("known") == "proved"
    )


def _listed(found: Documents) -> list[Fields]:
    return list(found.certificate.children("engines")) if "engines" in found.certificate else []


def _needs(found: Documents) -> Needs:
    """What of the stored network an engine computes beside sums, products and maxima."""
    names = {number: name for name, number in KINDS.items()}
    kinds = [map_.kinds for layer in found.layers for net in layer.everything for map_ in net.stored if map_.kinds is not None]
    bent = sorted({names[int(kind)] for part in kinds for kind in np.unique(part) if kind > RELU2})
    softmax = any(not layer.unit and layer.weighting == "softmax" for layer in found.layers)
    return Needs(found.dtype, tuple(bent), softmax, found.manifold, found.manifold)
