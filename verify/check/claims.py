"""Whether the claims of a certificate say what they should, and no more than its boxes add up to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ...moe.typed_json import Fields
from .documents import OUTSIDE, SCHEMA, TAGS, UNSETTLED, Documents, Tree, number_or_none

PRINCIPAL = ("total", "routing.valid", "cover")
"""The claims that together are the theorem: the status of a certificate is theirs."""
DTYPES = ("float32", "float64")


def statements(symbol: str, floor: float) -> dict[str, tuple[str, str]]:
    """What each claim says, and its sense; one that says anything else is no claim that was checked."""
    words = {
        "total": "for every x ∈ M: |f(x) − Ψ(x)| ≤ ε, largest component, Ψ the real-arithmetic function of the stored weights",
        **{f"total.{t}": f"the same for Ψ evaluated in {t} at x rounded to {t}, in any order of summation" for t in DTYPES},
        "routing.valid": "for every x ∈ M and every expert j that the gate may choose at x, logits known to ±η: x ∈ U_j (0: always)",
        "cover": "ρ_i < 1/E wherever chart i ends and M does not: no chart has an edge that others do not cover (boxes that may)",
        "routing.tau": f"for every x ∈ M: max_i |{symbol}_i(x) − τ_i(x)| ≤ δ, τ the real-arithmetic function of the stored weights",
        "routing.max_tau": f"for every x ∈ M: max_i τ_i(x) ≥ {floor:.6g}",
    }
    return {name: (text, ">=" if name == "routing.max_tau" else "<=") for name, text in words.items()}


def inconsistent(found: Documents) -> Iterator[str]:
    """Whatever the document says that the files or the boxes do not."""
    document, charts = found.certificate, found.task.atlas.parametrising
    boxes = [{"name": chart.name, "boxes": len(tree.tags)} for chart, tree in zip(charts, found.trees, strict=True)]
    same = {
        "kind": "manifold",
        "task": found.task.name,
        "dtype": found.dtype,
        "charts": boxes,
        "tags": TAGS,
        "winners": list(found.layers[-1].names),
    }
    for key, value in same.items():
        if document.get(key) != value:
            yield f'"{key}" is {str(document.get(key))[:80]}, but the files say {str(value)[:80]}'
    if found.scores and found.task.atlas.balls is not None:
        yield "there are score trees, but an atlas of balls has no scores that they could be about"
        return
    claims = {claim.text("name"): claim for claim in document.children("claims")}
    expected = {
        *PRINCIPAL,
        *(f"total.{t}" for t in {"float64", found.dtype}),
        *(("routing.tau", "routing.max_tau") if found.scores else ()),
    }
    if set(claims) != expected or len(claims) != len(document.list("claims")):
        yield f"the claims are {str(sorted(claims))[:200]}, not {sorted(expected)}"
        return
    floor = number_or_none(claims["routing.max_tau"], "budget") if found.scores else 0.0
    said = statements("ρ" if found.level is None else "b", np.nan if floor is None else floor)
    for name, claim in claims.items():
        yield from _claim(claim, said[name], found.scores if name in ("routing.tau", "routing.max_tau") else found.trees)
    yield from _amount(document, claims)
    for name, trees in (("total", found.trees), *((("routing.tau", found.scores),) if found.scores else ())):
        largest = max(float(tree.bounds[tree.tags != OUTSIDE].max(initial=0.0)) for tree in trees)
        stated = number_or_none(claims[name], "bound")
        if claims[name].text("known") != "refuted" and stated != (largest if np.isfinite(largest) else None):
            yield f"claim {name}: its bound {stated} is not the largest of the leaves, {largest}"


def _claim(claim: Fields, said: tuple[str, str], trees: Sequence[Tree]) -> Iterator[str]:
    """One claim by itself: its words, and that nothing is called proved that is not."""
    name, known, budget, bound = claim.text("name"), claim.text("known"), number_or_none(claim, "budget"), number_or_none(claim, "bound")
    if (claim.get("statement"), claim.get("sense")) != said or known not in ("proved", "unknown", "refuted"):
        yield f"claim {name} does not say what it says in schema {SCHEMA}"
    if known != "proved":
        return
    kept = budget is not None and bound is not None and (bound >= budget if said[1] == ">=" else bound <= budget)
    if not kept or (name != "cover" and any((tree.tags == UNSETTLED).any() for tree in trees)):
        yield f"claim {name} is not proved: its bound is {bound} and its budget {budget}, or boxes are open"


def _amount(document: Fields, claims: dict[str, Fields]) -> Iterator[str]:
    """What the document says as a whole, against its claims."""
    bound, epsilon = number_or_none(claims["total"], "bound"), number_or_none(document, "epsilon")
    if number_or_none(document, "bound") != bound:
        yield f"the bound {document.get('bound')} is not that of claim total, {bound}"
    for name, claim in claims.items():
        budget = number_or_none(claim, "budget")
        wanted = 0.0 if name in ("routing.valid", "cover") else bound if epsilon is None else epsilon
        if name not in ("routing.tau", "routing.max_tau") and budget != wanted:
            yield f"claim {name}: its budget is {budget}, not {wanted}"
    known = {claims[name].text("known") for name in PRINCIPAL}
    status = next(word for word in ("refuted", "unknown", "proved") if word in known)
    if document.get("status") != status:
        yield f'the status is {document.get("status")!r}, but its claims amount to "{status}"'
