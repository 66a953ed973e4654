"""One problem of a proof: a network that is to follow a task, solved by branch and bound over the charts of the task.

A whole model is one problem; a task graph has one for every block and every smooth combination.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
from joblib import Parallel, delayed

from ...atlas import Array, ManifoldTask, Points
from ...errors import InvalidArgument
from ...intervals import Interval
from ...moe.network import Network
from ...progress import gauge
from ..ascent import Ground, ascend
from ..versions import versions
from .checkpoint import Checkpoint
from .error import EnclosedTarget, ErrorJudge, Goal
from .forward import EnclosedNetwork
from .manifold import EnclosedManifold
from .rounding import GENEROUS, Rounding, gamma
from .rounding import network as network_rounding
from .scores import ScoresJudge
from .tree import Judge, Search, Tree

BATCH, BATCH_PER_EXPERT = 8192, 1024
"""Boxes judged at a time: this many, or this many per expert, so that each expert gets enough of them at once."""
MOST_COEFFICIENTS = 1 << 24
"""Of the forms of a batch of points."""
SEEDS, CLIMBS = 1 << 14, 32
"""Points at which an error is looked for before anything is proved, and of how many the worst are climbed from."""
NEGLIGIBLE = 2.0**-10
"""Part of ε below which no bound is sharpened."""
SIZING = 1 << 12
"""Boxes, in all of a chart, from which the size of its points is bounded."""


@dataclass(frozen=True, eq=False)
class Problem:
    """|f(y) − Ψ(Q·y)| for every point y of the task's manifold, Q its embedding."""

    network: Network
    task: ManifoldTask
    chosen: tuple[int, ...] | None = None
    """For every parametrising chart the one gate output of the last layer that is known to win on all of it; None: what the gate allows."""
    valid: bool = True
    """Whether the winner's chart has to contain the point."""
    computed: Mapping[str, Array] = field(default_factory=lambda: MappingProxyType({}))
    """dtype ↦ (inputs,): how far evaluation in floats has already taken the inputs."""


@dataclass(frozen=True, eq=False)
class Solution:
    """What came of a problem."""

    problem: Problem
    manifold: EnclosedManifold
    enclosed: EnclosedNetwork
    goal: Goal
    roundings: Mapping[str, Rounding]
    trees: Mapping[str, Tree]
    values: Interval
    """(outputs,): what f was seen to lie in, on all boxes that were settled."""

    @property
    def eta(self) -> float:
        """Logits are known to ±η in every dtype."""
        return max(found.logits for found in self.roundings.values())

    @property
    def settled(self) -> bool:
        return all(tree.settled for tree in self.trees.values())


def solve(
    problem: Problem,
    *,
    epsilon: float | None,
    tightness: float | None,
    floor: float | None = None,
    boxes: int,
    deadline: float,
    seed: int,
    checkpoint: str | Path | None = None,
    doing: str = "proving",
) -> Solution:
    """Branch and bound until every box is settled or the budget is spent; see `certify`."""
    network, task = problem.network, problem.task
    manifold, target = EnclosedManifold(task.atlas), EnclosedTarget(task)
    size = base_size(manifold)
    enclosed = EnclosedNetwork(network, task.atlas.embedding, size)
    roundings = {str(dtype): _rounding_in(problem, size, dtype) for dtype in {np.dtype(float), network.dtype}}
    eta = max(found.logits for found in roundings.values())
    if floor is None:
        floor = 0.0 if epsilon is None else NEGLIGIBLE * epsilon
    goal = Goal(np.inf if epsilon is None else epsilon, tightness, floor, slack=float(roundings["float64"].outputs.max()))
    _seed(goal, problem, seed)
    judges = [
        ErrorJudge(p, manifold, enclosed, target, goal, eta, problem.valid, None if problem.chosen is None else problem.chosen[p])
        for p in range(len(manifold.charts))
    ]
    roots = [(np.array(c.chart.domain.lower), np.array(c.chart.domain.upper)) for c in manifold.charts]
    options = {"epsilon": epsilon, "tightness": tightness, "seed": seed, "versions": versions()}
    saved = Checkpoint(checkpoint, network, task, goal, options)
    searches = saved.searches(roots)
    try:
        run(searches, judges, doing, boxes, deadline, saved)
    except KeyboardInterrupt:
        saved.save(searches, now=True)
        raise
    saved.finish(searches)
    trees = {c.chart.name: search.tree() for c, search in zip(manifold.charts, searches, strict=True)}
    lowest = np.min([np.broadcast_to(judge.lowest, (task.outputs,)) for judge in judges], axis=0)
    highest = np.max([np.broadcast_to(judge.highest, (task.outputs,)) for judge in judges], axis=0)
    return Solution(problem, manifold, enclosed, goal, roundings, trees, Interval(lowest, highest))


def base_size(manifold: EnclosedManifold) -> Array:
    """max |y_k| over M, bounded, (k,). Raises `InvalidArgument` for a chart whose image cannot be bounded."""
    sizes = []
    for p, enclosed in enumerate(manifold.charts):
        domain, d = enclosed.chart.domain, enclosed.chart.dimension
        per_side = max(1, int(SIZING ** (1 / d)))
        edges = [np.linspace(low, high, per_side + 1) for low, high in zip(domain.lower, domain.upper, strict=True)]
        lower = np.stack(np.meshgrid(*(edge[:-1] for edge in edges), indexing="ij"), axis=-1).reshape(-1, d)
        upper = np.stack(np.meshgrid(*(edge[1:] for edge in edges), indexing="ij"), axis=-1).reshape(-1, d)
        place = manifold.place(p, lower, upper)
        reach = place.y.range().magnitude[~manifold.outside(place)]
        if not np.isfinite(reach).all():
            raise InvalidArgument(f'chart "{enclosed.chart.name}": its inverse is not bounded over its box, so nothing can be proved on it')
        sizes.append(reach.max(0))
    return np.max(sizes, axis=0)


def _rounding_in(problem: Problem, size: Array, dtype: np.dtype) -> Rounding:
    """What evaluation in `dtype` adds, at x̂ = Q·y computed in float64 and rounded to the dtype."""
    Q = problem.task.atlas.embedding
    reach = size if Q is None else np.abs(Q) @ size * GENEROUS
    computed = 0.0 * reach if Q is None else gamma(Q.shape[1], float) * reach
    return network_rounding(problem.network, reach, computed + problem.computed.get(str(dtype), 0.0), dtype)


def _seed(goal: Goal, problem: Problem, seed: int) -> None:
    """The largest error found by sampling: what bounds are compared with from the start, and climbed to where they have to come near it.

    A sample that misses ε ends it: there is nothing to prove. The stored weights are evaluated in float64 whatever their dtype, as the
    bounds are about their real-arithmetic function.
    """
    network, task = problem.network.astype(float), problem.task

    def error(points: Points) -> Array:
        found = np.abs(network(points.ambient) - task.evaluate(points)).max(1)
        return np.where(np.isnan(found), np.inf, found)

    def note(points: Points, errors: Array) -> None:
        best = int(np.argmax(errors))
        goal.found, goal.where = float(errors[best]), (int(points.chart[best]), points.intrinsic[best])

    points = task.atlas.sample(max(SEEDS, 16 * len(task.atlas)), seed, low_discrepancy=True)
    errors = error(points)
    note(points, errors)
    if goal.missed or goal.tightness is None:
        return
    worst = np.argsort(-errors, kind="stable")[:CLIMBS]
    note(*ascend(Ground(task.atlas), points[worst], error, seed))


def run(
    searches: Sequence[Search],
    judges: Sequence[ErrorJudge] | Sequence[ScoresJudge],
    doing: str,
    boxes: int,
    deadline: float,
    saved: Checkpoint | None = None,
) -> None:
    """All charts, side by side where joblib is told so."""
    manifold = judges[0].manifold
    d, k = manifold.atlas.dimension, manifold.atlas.base_dimension
    limit = MOST_COEFFICIENTS // (k * (1 + d + d * (d + 1) // 2))
    batch = int(np.clip(BATCH_PER_EXPERT * len(manifold.atlas), BATCH, max(limit, BATCH)))
    with gauge(doing, 1.0) as show:

        def after(_: Search) -> None:
            show(sum(search.volume for search in searches) / len(searches), judges[0].remark)
            if saved is not None:
                saved.save(searches)

        def one(search: Search, judge: Judge) -> None:
            search.run(judge, batch=batch, most=boxes // len(searches), deadline=deadline, after=after)

        jobs = (delayed(one)(search, judge) for search, judge in zip(searches, judges, strict=True))
        Parallel(prefer="threads", require="sharedmem")(jobs)
