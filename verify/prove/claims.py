"""What the settled (or unsettled) boxes amount to: the claims of a certificate.

Of a task on one manifold they are those of the theorem, with the names that its ledger has. Of a task graph every site has its own, and
the total follows from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

import numpy as np

from ...atlas import TaskGraph
from ...moe.halves import HALVES
from ...moe.layer import Weighting
from ...moe.ledger import Claim, Known
from ...moe.premises import about
from ...moe.sums import BLOCK
from .chart_claims import charts_claims
from .problem import ScoreProof
from .sites import ReadOut, SiteProof
from .tree import UNSETTLED, Tree

NAMED = 3
"""Worst boxes that an unknown claim names."""
WHOLE = "for every x ∈ M{}: |f(x) − Ψ(x)| ≤ ε, largest component, "
GROUPED = " at which all that gates of groups{} read are {} numbers, 0 or normal"
SNAPPED = ", gates of groups of balls evaluated in {}"
REAL = WHOLE.format("") + "Ψ the real-arithmetic function of the stored weights"
BOTH = WHOLE + "in real arithmetic and evaluated in float64"
WEIGHT = (
    "for every x ∈ M and whichever experts of {} the gate may choose at x, logits known to ±η: those whose chart does not hold x weigh no "
    "more than the bound together"
)
ORDERS = {
    "": "in any order of summation",
    "blocks": f"sums in blocks of {BLOCK} products that are added as a binary tree",
    "float64": "sums as a binary tree, the last of every net in float64",
    "flushed": "in any order of summation, subnormal numbers kept or flushed to 0",
    "half": "what experts behind the last gate read, and their sums before and after the bias, rounded to {}",
}
"""How sums are taken, by the name of their order (`moe.sums`)."""
T = TypeVar("T")


def manifold_claims(site: SiteProof, epsilon: float | None) -> tuple[Claim, ...]:
    """The error, for real arithmetic and for evaluation in floats; valid routing; that the charts have no uncovered edge; the scores."""
    solution = site.solution
    open_ = [line for name, tree in solution.trees.items() for line in _open_boxes(name, tree)]
    known = Known.UNKNOWN if open_ else Known.PROVED
    note = f"{solution.boxes:,} boxes; largest error found {solution.goal.found:.6g}"
    if open_:
        count = sum(int((tree.tags == UNSETTLED).sum()) for tree in solution.trees.values())
        note = f"{count:,} boxes are open, such as {'; '.join(open_[:NAMED])}"
    budget = solution.bound if epsilon is None else epsilon
    total = Claim("total", REAL, "Theorem 4.8, B8, B15", budget, solution.bound, known, note=note)
    floats = [_rounded(total, way, found.outputs, True) for way, found in _in_order(solution.roundings)]
    valid = "for every x ∈ M and every expert j that the gate may choose at x, logits known to ±η: x ∈ U_j (0: always)"
    note = f"η = {solution.eta:.3g}"
    routing = Claim("routing.valid", valid, "Theorem 4.8 step 3, B1", 0.0, float(bool(open_)), known, note=note)
    if (amiss := solution.amiss) is not None:
        routing = Claim("routing.weight", WEIGHT.format("Ψ"), "N12", amiss, 1.0 if open_ else amiss, known, note=note)
    return (total, *floats, routing, *charts_claims("", site), *_scores("", site.scores))


def graph_claims(
    graph: TaskGraph,
    sites: Mapping[str, SiteProof],
    read_out: ReadOut | None,
    epsilon: float | None,
    note: str,
    where: str = "",
    together: bool = True,
) -> tuple[Claim, ...]:
    """The total, and what was proved of every block and combination. `where`: at which points, and in which evaluation (`grouped`).
    `together`: whether what is said of the routes of one block may be said, as far as it rests on others (groups of snapped scores).
    """
    bound = np.inf if read_out is None else read_out.bound
    settled = all(site.solution.settled for site in sites.values())
    known = Known.PROVED if settled and np.isfinite(bound) and (epsilon is None or bound <= epsilon) else Known.UNKNOWN
    whole = BOTH.format(where) + about(graph)
    total = Claim("total", whole, "Theorem 5.2, B9, R10", bound if epsilon is None else epsilon, bound, known, note=note)
    added = {} if read_out is None else read_out.rounding
    floats = [_rounded(total, way, extra, False) for way, extra in _in_order(added) if way != "float64"]
    return (total, *floats, *(claim for site in sites.values() for claim in _of_site(site, where, together)))


def _in_order(ways: Mapping[str, T]) -> list[tuple[str, T]]:
    """Evaluations in float64 first, then those of float32, plain sums first."""
    return sorted(ways.items(), key=lambda item: (item[0].split(".")[0] != "float64", item[0]))


def _rounded(total: Claim, way: str, added: float, manifold: bool) -> Claim:
    """The claim about an evaluation, which adds this much."""
    dtype, _, order = ("float32", "", "half") if way in HALVES else way.partition(".")
    said = [ORDERS[order].format(way)] if manifold or order else []
    where = ", ".join([*said, *([] if manifold else ["where no piece is mistaken for another"])])
    statement = f"the same for Ψ evaluated in {dtype} at x rounded to {dtype}, {where}"
    bound = float(np.nextafter(total.bound + added, np.inf))
    known = total.known if total.known is not Known.PROVED or bound <= total.budget else Known.UNKNOWN
    return Claim(f"total.{way}", statement, "R9", total.budget, bound, known, note=f"rounding adds at most {added:.3g}")


def grouped(numbers: bool, snapped: bool, dtype: str) -> str:
    """Of which points something is said where gates of groups read numbers of a dtype, and that those of balls are evaluated in it."""
    of_faces = GROUPED.format(" on pieces" if snapped else "", dtype) if numbers else ""
    return of_faces + (SNAPPED.format(dtype) if snapped else "")


def _of_site(site: SiteProof, numbers: str, together: bool) -> Iterator[Claim]:
    name, solution = site.name, site.solution
    known = Known.PROVED if solution.settled else Known.UNKNOWN
    where = "everywhere that it may be read" if site.kind == "block" else "on all values that it may read"
    statement = f"|{name} − its slice of the network| {where}"
    note = f"{solution.boxes:,} boxes; largest error found {solution.goal.found:.6g}"
    bound = solution.bound
    fades = site.tiling is not None and site.part.network.layers[-1].weighting is Weighting.RECTIFIED
    note += "; weights fade from piece to piece (N18), so which expert a point gets is no claim, and none is needed" if fades else ""
    yield Claim(f"{site.kind}[{name}].error", statement, "Theorem 5.2, B9", bound, bound, known, note=note)
    if site.kind != "block" or fades:
        return
    routed = site.routed and solution.settled and together
    owner = "whose piece is within the bound of it in every coordinate" if site.astray else "whose piece owns it"
    statement = f"every point{numbers} gets an expert of {name} whose chart contains it, or {owner}"
    how = Known.PROVED if routed else Known.UNKNOWN
    reach = site.astray if routed else np.inf
    aside = "" if routed else "some boxes are open" if not solution.settled else "the gate is not one that routes exactly"
    aside = "another group of balls is not proved to take one" if solution.settled and not together else aside
    if routed and site.moves.any():
        aside = "of values read that lie on the charts, as the task has it" if site.charts else "the error counts in what is read amiss"
    if routed and site.over:
        aside += f"; values outside of the pieces by at most {site.over:.3g}, as rounding leads them, belong to the outer ones"
    if (amiss := solution.amiss) is not None:
        yield Claim(f"block[{name}].routing", WEIGHT.format(name), "N12", amiss, amiss if routed else 1.0, how, note=aside)
    else:
        yield Claim(f"block[{name}].routing", statement, "Theorem 5.2, B10", site.astray, reach, how, note=aside)
    if site.charts:
        yield from charts_claims(f"block[{name}].", site)
    yield from _scores(f"block[{name}].", site.scores)


def _scores(prefix: str, scores: ScoreProof | None) -> Iterator[Claim]:
    """|t − τ| ≤ δ, and with it the margin max τ; nothing where no scores were followed."""
    if scores is None:
        return
    promise, trees = scores.promise, scores.trees
    open_ = [line for name, tree in trees.items() for line in _open_boxes(name, tree)]
    refuted = next((judge for judge in scores.judges if judge.violated is not None), None)
    known, bound = Known.UNKNOWN if open_ else Known.PROVED, scores.bound
    note = f"boxes are open, such as {'; '.join(open_[:NAMED])}" if open_ else f"{sum(map(len, trees.values())):,} boxes"
    witness = None
    if refuted is not None and refuted.violated is not None:
        points = refuted.manifold.atlas.parametrise(refuted.chart, refuted.violated[0])
        witness = tuple(map(float, points.ambient[0]))
        known, bound, note = Known.REFUTED, refuted.violated[1], "proved to be missed at the witness"
    steps = ("B12", "B12") if promise.plateau_level is not None else ("Theorem 4.8 step 1", "Theorem 4.8 step 3")
    statement = f"for every x ∈ M: max_i |{promise.symbol}_i(x) − τ_i(x)| ≤ δ, τ the real-arithmetic function of the stored weights"
    yield Claim(f"{prefix}routing.tau", statement, steps[0], promise.delta, bound, known, witness=witness, note=note)
    floor = promise.floor - promise.delta
    statement = f"for every x ∈ M: max_i τ_i(x) ≥ {floor:.6g}"
    known = Known.UNKNOWN if open_ else Known.PROVED
    note = "" if open_ else "the bound is the least that was proved of any box"
    yield Claim(f"{prefix}routing.max_tau", statement, steps[1], floor, scores.least, known, ">=", note=note)


def _open_boxes(name: str, tree: Tree) -> list[str]:
    """The largest unsettled boxes, in words."""
    rows = np.flatnonzero(tree.tags == UNSETTLED)
    if not len(rows):
        return []
    lower, upper = tree.leaves()
    order = rows[np.argsort(-(upper[rows] - lower[rows]).prod(1), kind="stable")][:NAMED]
    sides = [" × ".join(f"[{low:.6g}, {high:.6g}]" for low, high in zip(lower[n], upper[n], strict=True)) for n in order]
    return [f'"{name}" {side}' for side in sides]
