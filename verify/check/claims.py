"""Whether the claims of a certificate say what they should, and no more than its sites add up to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ...atlas.chart import INVERSE_TOLERANCE
from ...moe.premises import about, possible, standing
from ...moe.typed_json import Fields
from . import targets
from .beyond import over
from .documents import Documents, Site, number_or_none
from .engines import engines_amiss
from .rounding import HALF, Way
from .trees import TAGS, Tree

WHOLE = "for every x ∈ M{}: |f(x) − Ψ(x)| ≤ ε, largest component, "
NUMBERS = " at which all that gates of groups{} read are {} numbers, 0 or normal"
SNAPPED = ", gates of groups of balls evaluated in {}"
REAL, BOTH = (
    WHOLE.format("") + "Ψ the real-arithmetic function of the stored weights",
    WHOLE + "in real arithmetic and evaluated in float64",
)
VALID = "for every x ∈ M and every expert j that the gate may choose at x, logits known to ±η: x ∈ U_j (0: always)"
WEIGHT = (
    "for every x ∈ M and whichever experts of {} the gate may choose at x, logits known to ±η: those whose chart does not hold x weigh no "
    "more than the bound together"
)
COVER = "wherever chart i ends and M does not, another chart holds the point: no chart has a bare edge (boxes that may)"
FORMER = "ρ_i < 1/E wherever chart i ends and M does not: no chart has an edge that others do not cover (boxes that may)"
"""What was said of it up to schema 2, when a bump was taken to say where its chart is."""
DEFINED = "the inverse of every chart is defined all over it, and f at its points (boxes on which one may not be)"
INVERSE = "for every u of chart i at which both maps are defined: |φ_i(φ_i⁻¹(u)) − u| ≤ bound, in parts of the widths of its box (0: equal)"
ZEROS = (
    "every zero of the equations in the box at which the region, if there is one, is ≥ 0 lies in a chart, or in one of a component that is "
    "no part of M (cells of the box that may hold another)"
)
COMPONENTS = (
    "the charts of M are whole connected components of the zeros of the equations in the box at which the region, if there is one, is ≥ 0: "
    "where one ends, another holds the point (points of edges that none may hold)"
)
IN_CELLS = 5
"""Coordinates of a space whose cells are looked at for zeros; of more, edges of charts are."""
ABOUT_CHARTS = ("cover", "defined", "inverse", "zeros", "components")
ENDINGS = tuple(f"].{name}" for name in ABOUT_CHARTS)
WHERE = {"block": "everywhere that it may be read", "combine": "on all values that it may read"}


TOGETHER = "for every x ∈ M{}: max_j |f_j(x) − Ψ_j(x)|/ε_j ≤ 1, every target within its own ε, "
REAL_TOGETHER = TOGETHER.format("") + "Ψ the real-arithmetic function of the stored weights"
BOTH_WAYS = "in real arithmetic and evaluated in float64"


class Expected(NamedTuple):
    """What a claim has to say; None where any number is right as long as bound and budget keep it."""

    statement: str
    source: str
    bound: float | None = None
    budget: float | None = None
    trees: Sequence[Tree] = ()
    """Open leaves of these leave it unproved."""
    provable: bool = True
    least: float = 0.0
    """What its bound has to be at least, if it is proved."""
    sense: str = "<="


def states(found: Documents, dtype: str) -> bool:
    """Whether something is said to be proved of evaluation in a dtype, of one target or of all; in float64 what `total` says is."""
    said = [claim.text("name") for claim in found.certificate.children("claims") if claim.get("known") == "proved"]
    return dtype == "float64" or any(f"total.{dtype}" in name for name in said)


def expected(found: Documents) -> dict[str, Expected]:
    """The claims of a certificate, all of them; of several targets those of each, and what they amount to in units of their ε."""
    wanted = found.graph.wanted
    if not wanted:
        return _totals(found, "") | _of_sites(found)
    parts = {one.name: part for one, part in zip(wanted, targets.each(found), strict=True)}
    own = {name: _totals(part, part.prefix) for name, part in parts.items()}
    below = {f"{part.prefix}{key}": _of(name, claim) for name, part in parts.items() for key, claim in _of_sites(part).items()}
    claims = dict(_together(found, own))
    for name, totals in own.items():
        claims |= {key: _of(name, claim) for key, claim in totals.items()}
    return claims | below


def _of(target: str, claim: Expected) -> Expected:
    return claim._replace(statement=f"{target}: {claim.statement}")


def _together(found: Documents, own: Mapping[str, Mapping[str, Expected]]) -> Iterator[tuple[str, Expected]]:
    """The totals of several targets: the largest of their bounds, each over its ε. Whether they are proved, those of the targets say."""
    stated = {claim.text("name"): (number_or_none(claim, "bound"), claim.text("known")) for claim in found.certificate.children("claims")}
    epsilons = {one.name: float(one.epsilon) for one in found.graph.wanted}
    first, said = next(iter(own)), REAL_TOGETHER if found.manifold else TOGETHER.format("") + BOTH_WAYS + about(found.graph)
    for key, claim in own[first].items():
        way = key.removeprefix(f"target[{first}].")
        bounds = {name: stated.get(f"target[{name}].{way}", (None, "unknown")) for name in own}
        least = max(np.inf if bound is None else _share(bound, epsilons[name]) for name, (bound, _) in bounds.items())
        proved = all(known == "proved" for _, known in bounds.values())
        refuted = any(known == "refuted" for _, known in bounds.values())
        yield way, Expected(said if way == "total" else claim.statement, claim.source, None if refuted else least, 1.0, (), proved, least)


def _share(bound: float, epsilon: float) -> float:
    """bound/ε rounded up, which is no more than 1 where the bound is within ε."""
    found = float(np.nextafter(bound / epsilon, np.inf))
    return min(found, 1.0) if bound <= epsilon else found


def _of_sites(found: Documents) -> dict[str, Expected]:
    claims: dict[str, Expected] = {}
    for site in found.sites:
        claims |= _of_site(site, found)
    return claims


def _totals(found: Documents, prefix: str) -> dict[str, Expected]:
    """The error of the whole, in real arithmetic and in floats."""
    read_out, sites = found.read_out, found.sites
    rounding = sites[0].rounding if found.manifold else {} if read_out is None else read_out.rounding
    whole = sites[0].bound if found.manifold else float(np.max(read_out.error, initial=0.0)) if read_out is not None else np.inf
    epsilon = found.epsilon
    trees = sites[0].trees if found.manifold else ()
    budget, shown = (
        whole if epsilon is None else epsilon,
        found.schema == 1 or read_out is not None or (found.manifold and found.prefix != ""),
    )
    source = "Theorem 4.8, B8, B15" if found.manifold else "Theorem 5.2, B9, R10"
    claims = {
        f"{prefix}total": Expected(
            REAL if found.manifold else BOTH.format(_where(found)) + about(found.graph), source, whole, budget, trees, shown
        )
    }
    ways = {"float64", found.dtype} | set(rounding)
    if not found.manifold:  # whose total is about float64 too, and without a read-out about nothing else
        ways = ways - {"float64"} if read_out is not None else set()
    for way in (way for way in ways if Way(way, 0).dtype in ("float64", found.dtype)):
        dtype, least = Way(way, 0).dtype, whole + rounding.get(way, np.inf)
        said = f"the same for Ψ evaluated in {dtype} at x rounded to {dtype}, {_order(way, found.manifold)}"
        claims[f"{prefix}total.{way}"] = Expected(said, "R9", None, budget, trees, shown, 0.0 if found.schema == 1 else least)
    return claims


def _fades(site: Site, found: Documents) -> bool:
    """Whether a site's channels are computed in a layer of rectified weights."""
    last = site.channels[0][0] if site.channels else 0
    return 1 <= last <= len(found.plain) and found.plain[last - 1].weighting == "rectified"


def _where(found: Documents) -> str:
    """At which points something is said of a task graph, and of which evaluation."""
    numbers = NUMBERS.format(" on pieces" if found.snapped else "", found.dtype) if found.grouped else ""
    return numbers + (SNAPPED.format(found.dtype) if found.snapped else "")


def _order(way: str, manifold: bool) -> str:
    """How a claim says in which order sums are taken, and what it leaves out."""
    said = ["in any order of summation"] if manifold else []
    if way.endswith(".blocks"):
        said = ["sums in blocks of 32 products that are added as a binary tree"]
    elif way.endswith(".float64"):
        said = ["sums as a binary tree, the last of every net in float64"]
    elif way.endswith(".flushed"):
        said = ["in any order of summation, subnormal numbers kept or flushed to 0"]
    elif way in HALF:
        said = [f"what experts behind the last gate read, and their sums before and after the bias, rounded to {way}"]
    return ", ".join([*said, *([] if manifold else ["where no piece is mistaken for another"])])


def _of_site(site: Site, found: Documents) -> dict[str, Expected]:
    prefix = "" if found.manifold else f"{site.kind}[{site.name}]."
    if found.manifold:
        claims = {"routing.valid": Expected(VALID, "Theorem 4.8 step 3, B1", None, 0.0, site.trees)}
        if site.amiss is not None:
            claims = {"routing.weight": Expected(WEIGHT.format("Ψ"), "N12", None, site.amiss, site.trees, least=site.amiss)}
    else:
        said = f"|{site.name} − its slice of the network| {WHERE[site.kind]}"
        claims = {f"{prefix}error": Expected(said, "Theorem 5.2, B9", site.bound, site.bound, site.trees)}
        astray = 0.0 if site.charts else max(over(site, found), float(site.moves.max(initial=0.0)))
        owner = "whose piece is within the bound of it in every coordinate" if astray else "whose piece owns it"
        said = f"every point{_where(found)} gets an expert of {site.name} whose chart contains it, or {owner}"
        exact = site.charts or site.routes is not None
        # That one group takes one expert rests on all groups of balls taking one.
        trees = [tree for other in found.sites for tree in other.trees] if found.snapped else site.trees
        shown = exact and not any(tree.open for tree in trees)
        if site.kind == "block" and not site.charts and _fades(site, found):
            pass  # which expert a point gets is no claim
        elif site.kind == "block" and site.amiss is not None:
            claims[f"{prefix}routing"] = Expected(WEIGHT.format(site.name), "N12", None, site.amiss, trees, least=site.amiss)
        elif site.kind == "block":
            claims[f"{prefix}routing"] = Expected(said, "Theorem 5.2, B10", astray if shown else np.inf, astray, trees, exact)
    if site.charts:
        claims[f"{prefix}cover"] = Expected(COVER if found.schema > 2 else FORMER, "Theorem 4.8 step 3", None, 0.0)
        if found.schema > 2:
            claims[f"{prefix}defined"] = Expected(DEFINED, "B8", None, 0.0)
            claims[f"{prefix}inverse"] = Expected(INVERSE, "Theorem 4.8", None, INVERSE_TOLERANCE)
            claims |= _of_equations(site, found, prefix)
    if site.scores is not None:
        steps = ("Theorem 4.8 step 1", "Theorem 4.8 step 3") if site.scores.level is None else ("B12", "B12")
        symbol, floor = "ρ" if site.scores.level is None else "b", site.scores.floor - site.scores.delta
        said = f"for every x ∈ M: max_i |{symbol}_i(x) − τ_i(x)| ≤ δ, τ the real-arithmetic function of the stored weights"
        claims[f"{prefix}routing.tau"] = Expected(said, steps[0], site.scores.bound, site.scores.delta, site.followed)
        most = None if found.schema == 1 else floor
        said = f"for every x ∈ M: max_i τ_i(x) ≥ {floor:.6g}"
        claims[f"{prefix}routing.max_tau"] = Expected(said, steps[1], site.scores.least, most, site.followed, sense=">=")
    return claims


def _of_equations(site: Site, found: Documents, prefix: str) -> dict[str, Expected]:
    """What is claimed of charts that are given by equations: of all zeros, or, in a space of many coordinates, of components."""
    for block in found.graph.blocks:
        if block.name == site.name and block.atlas is not None and block.atlas.implicit is not None:
            if block.atlas.base_dimension > IN_CELLS:
                return {f"{prefix}components": Expected(COMPONENTS, "B23", None, 0.0)}
            return {f"{prefix}zeros": Expected(ZEROS, "docs/implicit.md", None, 0.0)}
    return {}


def inconsistent(found: Documents) -> Iterator[str]:
    """Whatever the document says that the files or the boxes do not."""
    document, kind = found.certificate, "manifold" if found.manifold else "graph"
    for key, value in {"kind": kind, "task": found.graph.name, "dtype": found.dtype, "tags": TAGS}.items():
        if document.get(key) != value:
            yield f'"{key}" is {str(document.get(key))[:80]}, but the files say {str(value)[:80]}'
    count = len(found.graph.wanted) or 1
    if found.manifold and (len(found.sites) != count or any(site.folded for site in found.sites)):
        yield f"there are {len(found.sites)} sites, but the task is one on one manifold with {count} target{'s'[: count > 1]}"
        return
    if wrong := list(targets.amiss(found)):
        yield from wrong
        return
    if document.number("eta") != max((site.eta for site in found.sites), default=0.0):
        yield f"η is {document.number('eta')}, which is not the largest of the sites"
    if found.schema > 2:
        yield from _assumed(found)
        yield from engines_amiss(found)
    claims, wanted = {claim.text("name"): claim for claim in document.children("claims")}, expected(found)
    if set(claims) != set(wanted) or len(claims) != len(document.list("claims")):
        yield f"the claims are {str(sorted(claims))[:200]}, not {str(sorted(wanted))[:200]}"
        return
    for name, claim in claims.items():
        yield from _claim(name, claim, wanted[name])
    for site, own in ((site, one) for one in targets.each(found) for site in one.sites):
        yield from _promised(site, own)
        if not site.bound >= max((tree.largest for tree in site.trees), default=np.inf):
            yield f"site {site.name[:80]}: its bound {site.bound} is below the largest of its leaves"
        if site.scores is not None and not any(name.endswith("routing.tau") and c.text("known") == "refuted" for name, c in claims.items()):
            yield from _largest(f"the scores of site {site.name[:80]}", site.scores.bound, site.followed, room=True)
    if number_or_none(document, "bound") != number_or_none(claims["total"], "bound"):
        yield f"the bound {document.get('bound')} is not that of claim total"
    for one in document.children("targets") if "targets" in document else ():
        if number_or_none(one, "bound") != number_or_none(claims[f"target[{one.text('name')}].total"], "bound"):
            yield f"the bound {one.get('bound')} of target {one.text('name')} is not that of its claim"
    # On one manifold the theorem is the error, the routing and the charts; on a graph the error, and the charts of every block on charts.
    theorem = {"total", "routing.valid", "routing.weight", *ABOUT_CHARTS} if found.manifold else {"total"}
    of_targets = {name for name in claims if name.startswith("target[") and name.partition("].")[2] in theorem}
    principal = theorem | of_targets | {name for name in claims if name.endswith(ENDINGS)}
    known = {claims[name].text("known") for name in principal & set(claims)}
    status = next((word for word in ("refuted", "unknown", "proved") if word in known), None)
    if document.get("status") != status:
        yield f'the status is {document.get("status")!r}, but its claims amount to "{status}"'


def _claim(name: str, claim: Fields, wanted: Expected) -> Iterator[str]:
    """One claim: its words, its numbers, and that it is not called proved if it is not."""
    known, budget, bound = claim.text("known"), number_or_none(claim, "budget"), number_or_none(claim, "bound")
    said = tuple(claim.get(key) for key in ("statement", "source", "sense"))
    if said != (wanted.statement, wanted.source, wanted.sense) or known not in ("proved", "unknown", "refuted"):
        yield f"claim {name} does not say what such a claim says"
    for key, stated, value in (("budget", budget, wanted.budget), ("bound", bound, None if known == "refuted" else wanted.bound)):
        if value is not None and stated != (value if np.isfinite(value) else None):
            yield f"claim {name}: its {key} is {stated}, not {value}"
    kept = budget is not None and bound is not None and (bound >= budget if wanted.sense == ">=" else wanted.least <= bound <= budget)
    if known == "proved" and not (kept and wanted.provable and not any(tree.open for tree in wanted.trees)):
        yield f"claim {name} is not proved: its bound is {bound} and its budget {budget}, boxes are open, or nothing says how it follows"


def _promised(site: Site, found: Documents) -> Iterator[str]:
    """Scores are followed as config.json promises them; in schema 1 the floor comes out of two numbers that were rounded."""
    if site.scores is None:
        return
    promise, said = found.promises.get(site.name), (site.scores.delta, site.scores.floor, site.scores.level)
    same = promise == said
    if promise is not None and found.schema == 1:
        same = promise[0] == said[0] and promise[2] == said[2] and abs(promise[1] - said[1]) <= 1e-12 * promise[1]
    if not same:
        yield f"site {site.name[:80]}: its scores have δ, floor and level {said}, but config.json promises {promise}"


def _assumed(found: Documents) -> Iterator[str]:
    """The assumptions that are listed are among those that there can be, word by word, in order, with all that always stand."""
    listed = [(taken.text("name"), taken.text("statement")) for taken in found.certificate.children("assumptions")]
    known = {(taken.name, taken.statement) for taken in possible(found.graph, found.manifold)} if listed else set()
    needed = {(taken.name, taken.statement) for taken in standing(found.graph)}
    if listed != sorted(set(listed)) or not needed <= set(listed) or not set(listed) <= known:
        yield f"the assumptions are {str(listed)[:200]}, which are not the {len(needed)} that stand, and such as there can be, in order"


def _largest(what: str, stated: float, trees: Sequence[Tree], room: bool = False) -> Iterator[str]:
    """`room`: the bound may be larger, as it is what every leaf is confirmed with."""
    largest = max((tree.largest for tree in trees), default=np.inf)
    if stated != largest and not (room and stated > largest) and not (np.isinf(stated) and not np.isfinite(largest)):
        yield f"{what}: its bound {stated} is not the largest of the leaves, {largest}"
