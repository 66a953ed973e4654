"""Whether the claims of a certificate say what they should, and no more than its sites add up to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ...moe.typed_json import Fields
from .documents import Documents, Promise, Site, number_or_none
from .trees import TAGS, Tree

PRINCIPAL = ("total", "routing.valid", "cover")
"""The claims on one manifold that together are the theorem, whose status is theirs; of a graph they are the total and all covers."""
WHOLE = "for every x ∈ M: |f(x) − Ψ(x)| ≤ ε, largest component, "
AMOUNTS = ("total", "total.float32", "total.float64")


def wording(found: Documents) -> dict[str, str]:
    """What each claim says; one that says anything else is no claim that was checked."""
    words: dict[str, str] = {}
    for site in found.sites:
        prefix = "" if found.manifold else f"block[{site.name}]."
        if not found.manifold:
            where = "everywhere that it may be read" if site.kind == "block" else "on all values that it may read"
            words[f"{site.kind}[{site.name}].error"] = f"|{site.name} − its slice of the network| {where}"
        if site.kind == "block" and not found.manifold:
            words[f"{prefix}routing"] = f"every point gets an expert of {site.name} whose chart contains it, or whose piece owns it"
        if site.charts:
            words[f"{prefix}cover"] = (
                "ρ_i < 1/E wherever chart i ends and M does not: no chart has an edge that others do not cover (boxes that may)"
            )
        if site.scores is not None:
            symbol = "ρ" if site.scores.level is None else "b"
            words[f"{prefix}routing.tau"] = (
                f"for every x ∈ M: max_i |{symbol}_i(x) − τ_i(x)| ≤ δ, τ the real-arithmetic function of the stored weights"
            )
            words[f"{prefix}routing.max_tau"] = f"for every x ∈ M: max_i τ_i(x) ≥ {_floor(site.scores):.6g}"
    order = "in any order of summation" if found.manifold else "where no piece is mistaken for another"
    words["total"] = WHOLE + (
        "Ψ the real-arithmetic function of the stored weights" if found.manifold else "in real arithmetic and evaluated in float64"
    )
    for dtype in {"float64", found.dtype} if found.manifold else {found.dtype} - {"float64"}:
        words[f"total.{dtype}"] = f"the same for Ψ evaluated in {dtype} at x rounded to {dtype}, {order}"
    if found.manifold:
        words["routing.valid"] = "for every x ∈ M and every expert j that the gate may choose at x, logits known to ±η: x ∈ U_j (0: always)"
    return words


def _floor(promise: Promise) -> float:
    return promise.floor - promise.delta


def inconsistent(found: Documents) -> Iterator[str]:
    """Whatever the document says that the files or the boxes do not."""
    document = found.certificate
    kind = "manifold" if found.manifold else "graph"
    for key, value in {"kind": kind, "task": found.graph.name, "dtype": found.dtype, "tags": TAGS}.items():
        if document.get(key) != value:
            yield f'"{key}" is {str(document.get(key))[:80]}, but the files say {str(value)[:80]}'
    if found.manifold and (len(found.sites) != 1 or found.sites[0].folded):
        yield f"there are {len(found.sites)} sites, but the task is one on one manifold"
        return
    if document.number("eta") != max((site.eta for site in found.sites), default=0.0):
        yield f"η is {document.number('eta')}, which is not the largest of the sites"
    claims = {claim.text("name"): claim for claim in document.children("claims")}
    words = wording(found)
    if set(claims) != set(words) or len(claims) != len(document.list("claims")):
        yield f"the claims are {str(sorted(claims))[:200]}, not {str(sorted(words))[:200]}"
        return
    for name, claim in claims.items():
        yield from _claim(claim, words[name])
    for site in found.sites:
        yield from _of_site(found, site, claims)
    yield from _amount(found, claims)


def _claim(claim: Fields, said: str) -> Iterator[str]:
    """One claim by itself: its words, and that nothing is called proved that is not."""
    name, known, budget, bound = claim.text("name"), claim.text("known"), number_or_none(claim, "budget"), number_or_none(claim, "bound")
    sense = ">=" if name.endswith("routing.max_tau") else "<="
    if (claim.get("statement"), claim.get("sense")) != (said, sense) or known not in ("proved", "unknown", "refuted"):
        yield f"claim {name} does not say what such a claim says"
    kept = budget is not None and bound is not None and (bound >= budget if sense == ">=" else bound <= budget)
    if known == "proved" and not kept:
        yield f"claim {name} is not proved: its bound is {bound} and its budget {budget}"


def _of_site(found: Documents, site: Site, claims: dict[str, Fields]) -> Iterator[str]:
    """The claims about a site, against its boxes."""
    if len(site.pieces) != len(site.trees) or (site.scores is not None and len(site.followed) != len(site.trees)):
        return
    prefix = "" if found.manifold else f"{site.kind}[{site.name}]."
    errors = ("total", "routing.valid") if found.manifold else (f"{prefix}error", f"{prefix}routing")
    yield from _open(claims, errors, site.trees)
    amount = claims["total" if found.manifold else f"{prefix}error"]
    if amount.text("known") != "refuted":
        yield from _equal(amount, "bound", site.bound)
        yield from _largest(f"site {site.name[:80]}", site.bound, site.trees)
    if not found.manifold:
        yield from _equal(amount, "budget", site.bound)
    routing = claims.get(f"{prefix}routing")
    exact = site.charts or (site.routes is not None and not site.moves.any())
    if routing is not None and routing.text("known") == "proved" and not exact:
        yield f"claim {prefix}routing is not proved: pieces may be mistaken for each other"
    if site.scores is None:
        return
    tau, most = claims[f"{prefix}routing.tau"], claims[f"{prefix}routing.max_tau"]
    yield from _open(claims, (f"{prefix}routing.tau", f"{prefix}routing.max_tau"), site.followed)
    if tau.text("known") != "refuted":
        yield from _equal(tau, "bound", site.scores.bound)
        yield from _largest(f"claim {prefix}routing.tau", site.scores.bound, site.followed)
    yield from _equal(tau, "budget", site.scores.delta)
    yield from _equal(most, "bound", site.scores.least)
    if found.schema > 1:
        yield from _equal(most, "budget", _floor(site.scores))


def _open(claims: dict[str, Fields], names: Sequence[str], trees: Sequence[Tree]) -> Iterator[str]:
    for name in names:
        if name in claims and claims[name].text("known") == "proved" and any(tree.open for tree in trees):
            yield f"claim {name} is not proved: boxes are open"


def _largest(what: str, stated: float, trees: Sequence[Tree]) -> Iterator[str]:
    largest = max((tree.largest for tree in trees), default=np.inf)
    if stated != largest and not (np.isinf(stated) and not np.isfinite(largest)):
        yield f"{what}: its bound {stated} is not the largest of the leaves, {largest}"


def _equal(claim: Fields, key: str, value: float) -> Iterator[str]:
    if number_or_none(claim, key) != (value if np.isfinite(value) else None):
        yield f"claim {claim.text('name')}: its {key} is {claim.get(key)}, not {value}"


def _amount(found: Documents, claims: dict[str, Fields]) -> Iterator[str]:
    """What the document says as a whole, against its claims."""
    document, total = found.certificate, claims["total"]
    bound, epsilon = number_or_none(total, "bound"), number_or_none(document, "epsilon")
    if number_or_none(document, "bound") != bound:
        yield f"the bound {document.get('bound')} is not that of claim total, {bound}"
    for name, claim in claims.items():
        if name in AMOUNTS:
            wanted = bound if epsilon is None else epsilon
            yield from _equal(claim, "budget", np.inf if wanted is None else wanted)
        elif name.endswith(("routing.valid", "cover", "].routing")):
            yield from _equal(claim, "budget", 0.0)
    if found.schema > 1:
        yield from _read_out(found, claims)
    principal = [name for name in claims if (name in PRINCIPAL if found.manifold else name == "total" or name.endswith("].cover"))]
    known = {claims[name].text("known") for name in principal}
    status = next((word for word in ("refuted", "unknown", "proved") if word in known), None)
    if document.get("status") != status:
        yield f'the status is {document.get("status")!r}, but its claims amount to "{status}"'


def _read_out(found: Documents, claims: dict[str, Fields]) -> Iterator[str]:
    """The totals against the read-out."""
    read_out, total = found.read_out, claims["total"]
    if read_out is None or not len(read_out.error):
        if total.text("known") == "proved":
            yield "claim total is not proved: nothing says how it follows from the sites"
        return
    whole = found.sites[0].bound if found.manifold else float(read_out.error.max())
    if not found.manifold and total.text("known") != "refuted":
        yield from _equal(total, "bound", whole)
    added = found.sites[0].rounding if found.manifold else read_out.rounding
    for name in claims.keys() & {f"total.{dtype}" for dtype in added}:
        stated = number_or_none(claims[name], "bound")
        if claims[name].text("known") == "proved" and not (stated is not None and whole + added[name.removeprefix("total.")] <= stated):
            yield f"claim {name}: its bound {stated} is below that of total, with what rounding adds"
