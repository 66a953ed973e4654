"""What the settled (or unsettled) boxes amount to: the claims of a certificate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...atlas import ManifoldTask
from ...moe.ledger import Claim, Known
from ...moe.network import Network
from ...moe.promise import ScorePromise
from .error import OUTSIDE, PROVED, Goal
from .manifold import EnclosedManifold, on_edge
from .rounding import Rounding
from .scores import ScoresJudge
from .tree import UNSETTLED, Tree

NAMED = 3
"""Worst boxes that an unknown claim names."""


def claims(
    trees: Mapping[str, Tree],
    manifold: EnclosedManifold,
    network: Network,
    task: ManifoldTask,
    goal: Goal,
    roundings: Mapping[str, Rounding],
) -> tuple[Claim, ...]:
    """The error, for real arithmetic and for evaluation in floats; valid routing; and that the charts have no uncovered edge."""
    bound = max((float(tree.bounds[tree.tags != OUTSIDE].max(initial=0.0)) for tree in trees.values()), default=0.0)
    open_ = [line for name, tree in trees.items() for line in _open_boxes(name, tree)]
    known = Known.UNKNOWN if open_ else Known.PROVED
    leaves = sum(len(tree) for tree in trees.values())
    note = f"{leaves:,} boxes; largest error found {goal.found:.6g}"
    if open_:
        note = f"{sum(int((tree.tags == UNSETTLED).sum()) for tree in trees.values()):,} boxes are open, such as {'; '.join(open_[:NAMED])}"
    epsilon = goal.epsilon if np.isfinite(goal.epsilon) else bound
    statement = "for every x ∈ M: |f(x) − Ψ(x)| ≤ ε, largest component, Ψ the real-arithmetic function of the stored weights"
    total = Claim("total", statement, "Theorem 4.8, B8, B15", epsilon, bound, known, note=note)
    witness = _refutation(network, task, goal)
    if witness is not None:
        total = replace(total, known=Known.REFUTED, bound=witness[0], witness=witness[1], note="the network itself misses ε at the witness")
    valid = "for every x ∈ M and every expert j that the gate may choose at x, logits known to ±η: x ∈ U_j (0: always)"
    eta = max(found.logits for found in roundings.values())
    routing = Claim("routing.valid", valid, "Theorem 4.8 step 3, B1", 0.0, float(bool(open_)), known, note=f"η = {eta:.3g}")
    return (total, *_inference(total, epsilon, roundings), routing, edge_claim(trees, manifold))


def score_claims(trees: Mapping[str, Tree], judges: Sequence[ScoresJudge], promise: ScorePromise) -> tuple[Claim, ...]:
    """|t − τ| ≤ δ, and with it the margin max τ."""
    bound = max(float(tree.bounds[tree.tags != OUTSIDE].max(initial=0.0)) for tree in trees.values())
    open_ = [line for name, tree in trees.items() for line in _open_boxes(name, tree)]
    refuted = next((judge for judge in judges if judge.violated is not None), None)
    known = Known.UNKNOWN if open_ else Known.PROVED
    note = f"boxes are open, such as {'; '.join(open_[:NAMED])}" if open_ else f"{sum(map(len, trees.values())):,} boxes"
    witness = None
    if refuted is not None and refuted.violated is not None:
        atlas = refuted.manifold.atlas
        witness = tuple(map(float, atlas.parametrise(refuted.chart, refuted.violated[0]).ambient[0]))
        known, bound, note = Known.REFUTED, refuted.violated[1], "proved to be missed at the witness"
    plateau = promise.plateau_level is not None
    step = "B12" if plateau else "Theorem 4.8 step 1"
    statement = f"for every x ∈ M: max_i |{promise.symbol}_i(x) − τ_i(x)| ≤ δ, τ the real-arithmetic function of the stored weights"
    tau = Claim("routing.tau", statement, step, promise.delta, bound, known, witness=witness, note=note)
    floor = promise.floor - promise.delta
    least = min(judge.least for judge in judges)
    margin = Claim(
        "routing.max_tau",
        f"for every x ∈ M: max_i τ_i(x) ≥ {floor:.6g}",
        "B12" if plateau else "Theorem 4.8 step 3",
        floor,
        least if not open_ else -np.inf,
        Known.UNKNOWN if open_ else Known.PROVED,
        ">=",
        note="" if open_ else "the bound is the least that was proved of any box",
    )
    return tau, margin


def _inference(total: Claim, epsilon: float, roundings: Mapping[str, Rounding]) -> Iterator[Claim]:
    for dtype, rounding in sorted(roundings.items(), reverse=True):
        added = float(rounding.outputs.max())
        statement = f"the same for Ψ evaluated in {dtype} at x rounded to {dtype}, in any order of summation"
        bound = float(np.nextafter(total.bound + added, np.inf))
        known = total.known if total.known is not Known.PROVED or bound <= epsilon else Known.UNKNOWN
        yield Claim(f"total.{dtype}", statement, "R9", epsilon, bound, known, note=f"rounding adds at most {added:.3g}")


def edge_claim(trees: Mapping[str, Tree], manifold: EnclosedManifold) -> Claim:
    """No point on an edge of a chart box is left to that chart alone."""
    bare = 0
    witness: tuple[float, ...] | None = None
    for p, tree in enumerate(trees.values()):
        lower, upper = tree.leaves()
        lonely = (tree.tags == PROVED) | (tree.tags == UNSETTLED)
        rows = np.flatnonzero(lonely)
        edge = on_edge(manifold, p, lower[rows], upper[rows])
        bare += int(edge.sum())
        if edge.any() and witness is None:
            box = rows[np.flatnonzero(edge)[0]]
            middle = (lower[box] + upper[box]) / 2
            witness = tuple(map(float, manifold.atlas.embed(manifold.charts[p].chart.inverse(middle))))
    statement = "ρ_i < 1/E wherever chart i ends and M does not: no chart has an edge that others do not cover (boxes that may)"
    known = Known.UNKNOWN if bare else Known.PROVED
    return Claim("cover", statement, "Theorem 4.8 step 3", 0.0, float(bare), known, witness=witness)


def _open_boxes(name: str, tree: Tree) -> list[str]:
    """The largest unsettled boxes, in words."""
    rows = np.flatnonzero(tree.tags == UNSETTLED)
    if not len(rows):
        return []
    lower, upper = tree.leaves()
    order = rows[np.argsort(-(upper[rows] - lower[rows]).prod(1), kind="stable")][:NAMED]
    sides = [" × ".join(f"[{low:.6g}, {high:.6g}]" for low, high in zip(lower[n], upper[n], strict=True)) for n in order]
    return [f'"{name}" {side}' for side in sides]


def _refutation(network: Network, task: ManifoldTask, goal: Goal) -> tuple[float, tuple[float, ...]] | None:
    """The error at the worst point found and the point, if the network itself violates ε there."""
    if goal.where is None or not goal.missed:
        return None
    chart, intrinsic = goal.where
    points = task.atlas.parametrise(chart, intrinsic)
    error = np.abs(np.asarray(network(points.ambient.astype(network.dtype)), float) - task.evaluate(points)).max()
    return (float(error), tuple(map(float, points.ambient[0]))) if not error <= goal.epsilon else None
