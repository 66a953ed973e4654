"""One problem of a proof: a network that is to follow a task, solved by branch and bound over the charts of the task.

A task graph has one for every site; a task on one manifold is one.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from ...atlas import Array, ManifoldTask, Points, concatenate
from ...atlas.ascent import Ground, ascend
from ...atlas.graph import as_graph
from ...atlas.graph.finite import Places
from ...errors import InvalidArgument
from ...intervals import Interval
from ...moe.network import Network
from ...moe.promise import ScorePromise
from . import rounds
from .amiss import asked, seen
from .cells import Cells, Rounding
from .checkpoint import Checkpoint
from .degree import degree_of, expanded
from .error import EnclosedTarget, ErrorJudge
from .evaluation import Evaluation, evaluations
from .forward import EnclosedNetwork
from .goal import Goal
from .lattice import spread_points
from .manifold import EnclosedManifold
from .refutation import Exactly
from .ridge_sums import RidgeSums
from .rounds import PartJudge, Running
from .scores import EnclosedScores, ScoresJudge
from .tree import Search, Tree

BATCH, BATCH_PER_EXPERT = 8192, 1024
"""Boxes judged at a time: this many, or this many per expert, so that each expert gets enough of them at once."""
MOST_COEFFICIENTS = 1 << 24
"""Of the forms of a batch of points."""
SEEDS, CLIMBS = {1: 1 << 12, 2: 1 << 14}, 32
"""Points at which an error is looked for before anything is proved, by dimension, and of how many the worst are climbed from."""
MOST_SEEDS = 1 << 15
"""In three dimensions and more."""
TO_REFUTE = 1 << 10
"""At most so many of a dear f, a series of hundreds of terms, where bounds need not come near the largest error: it is then looked for only
to miss ε."""
SUSPECT = 0.5
"""Part of ε from which on a sampled error may become one above ε by climbing."""
NEGLIGIBLE = 2.0**-10
"""Part of ε below which no bound is sharpened."""
ROOM, ULPS = 2.0**-10, 4 * 2.0**-46
"""What other enclosures need to confirm a bound that is hardly above the error itself: a part of that error, which a few more cuts than
ours reach; and for what they round, four units of their sums (`intervals.patch.ULPS`), relative to the size of f: for f, the expert, their
difference, and the bound; beside what evaluation in float64 may add."""
SLIGHT = 2.0**-20
"""Part of ε that errors may always be said to be: what networks compute exactly, other enclosures know only to their own rounding."""
ASTRAY = 2
"""Points that seem to be routed wrongly, of each expert, that are looked at exactly."""
SMALL, EASY = 2.0**-4, 1.1
"""Part of ε that is left for an evaluation in floats that needs no more, so that ε can be proved of it; where what is left is still this
many times the largest error found."""
MOST_CORNERS = 32
"""Of the box around a point in which what is read may lie, to look at when sampling."""
SIZING = 1 << 12
"""Boxes, in all of a chart, from which the size of its points is bounded; of tangent charts of equations, which are many and little bent,
in all of M."""
LEAST, ROOMY = 1 << 6, 1 + 2.0**-9
"""And in each of these, of which the size is said to be so much larger: `check` then need not know it nearer."""


@dataclass(frozen=True, eq=False)
class Problem:
    """|f(y) − Ψ(Q·z)| for every point y of the task's manifold and every z within `moves` of it, Q its embedding."""

    name: str
    network: Network
    task: ManifoldTask
    chosen: tuple[int, ...] | None = None
    """For every parametrising chart the one gate output of the last layer that is known to win on all of it; None: what the gate allows."""
    valid: bool = True
    """Whether the winner's chart has to contain the point."""
    either: bool = False
    """Whether some that are chosen may not hold the point, as their weights make up for it (N12)."""
    computed: Mapping[str, Array] = field(default_factory=lambda: MappingProxyType({}))
    """Evaluation ↦ (inputs,): how far it has already taken the inputs."""
    moves: Array | None = None
    """(k,): how far z may be from y, coordinate by coordinate; None: z = y."""
    ways: tuple[Evaluation, ...] | None = None
    """Evaluations in floats of which the network is a part; None: those of the network itself."""
    places: Places | None = None
    """Where in boxes of its variables the points are, if those take finitely many values; None: everywhere."""

    @property
    def copies(self) -> int:
        """How many gate outputs of the last layer, one after the other, stand for each chart (B21)."""
        return max(1, len(self.network.layers[-1]) // len(self.task.atlas)) if self.valid else 1


@dataclass(frozen=True, eq=False)
class ScoreProof:
    """The boxes on which τ follows the scores that were promised."""

    promise: ScorePromise
    trees: Mapping[str, Tree]
    judges: Sequence[ScoresJudge]

    @property
    def bound(self) -> float:
        """What the boxes prove, with room to confirm it within what was promised."""
        largest = max(tree.bound for tree in self.trees.values())
        return max(largest, min(self.promise.delta, largest + ROOM * self.promise.delta)) if np.isfinite(largest) else largest

    @property
    def least(self) -> float:
        """max τ is at least this, unless a box is open; with room to confirm it, if what was promised leaves any."""
        if not all(tree.settled for tree in self.trees.values()):
            return -np.inf
        least, promised = min(judge.least for judge in self.judges), self.promise.floor - self.promise.delta
        return least if least <= promised else max(promised, least - ROOM * abs(least))


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
    amiss: float | None = None
    """What experts weigh at most together whose charts do not hold a point; None: none are chosen."""
    sums: Array | None = None
    """(outputs,): what the trees prove together where each is about a part of a sum; None: each is about all that there is."""

    @property
    def eta(self) -> float:
        """Logits are known to ±η in every evaluation."""
        return max(found.logits for found in self.roundings.values())

    @property
    def bound(self) -> float:
        """What the boxes prove, ∞ if one is open, and no less than leaves room to confirm it, unless that is more than was asked for."""
        if self.sums is not None:
            return float(self.sums.max())
        size = self.values.magnitude.max(initial=0.0)
        room = self.goal.found * (1 + ROOM) + ULPS * size + self.roundings["float64"].outputs
        room = max(float(room), SLIGHT * self.goal.epsilon if np.isfinite(self.goal.epsilon) else 0.0)
        return max(*(tree.bound for tree in self.trees.values()), min(room, self.goal.enough))

    @property
    def settled(self) -> bool:
        return all(tree.settled for tree in self.trees.values())

    @property
    def boxes(self) -> int:
        return sum(map(len, self.trees.values()))


class Attempt:
    """A problem that is being solved: a search for every chart of it."""

    def __init__(self, problem: Problem, goal: Goal, seed: int, saved: Checkpoint) -> None:
        network, task = problem.network, problem.task
        self.problem, self.goal = problem, goal
        self.manifold = EnclosedManifold(task.atlas, problem.moves, problem.places)
        target = EnclosedTarget(task)
        size = base_size(self.manifold) + (0.0 if problem.moves is None else problem.moves)
        self.enclosed = EnclosedNetwork(network, task.atlas.embedding, size)
        ways = evaluations(network) if problem.ways is None else problem.ways
        self.roundings = Cells(network, self.manifold, size, problem.computed, problem.chosen, ways).roundings()
        self.eta = max(found.logits for found in self.roundings.values())
        goal.slack = self.roundings["float64"].outputs
        look_for_errors(goal, problem, seed)
        wanted = max([goal.slack, *(found.outputs for found in self.roundings.values() if found.outputs <= SMALL * goal.epsilon)])
        if goal.epsilon - wanted > EASY * goal.found:
            goal.slack = wanted
        self.amiss = None
        if problem.either:
            points = spread_points(task.atlas, max(SEEDS.get(task.atlas.dimension, MOST_SEEDS), 16 * len(task.atlas)))
            self.amiss = asked(seen(network.astype(float), points, task.atlas.membership(points.base), problem.copies))
        degree = degree_of(network, task, problem.moves)
        self.judges = [
            ErrorJudge(
                *(p, self.manifold, self.enclosed, target, goal, self.eta, problem.valid, chosen, problem.copies, self.amiss, degree),
                sums=RidgeSums.of(task, self.manifold, self.enclosed.layers[-1], p),
            )
            for p, chosen in enumerate(problem.chosen or [None] * len(self.manifold.charts))
        ]
        boxes = [chart.domain for chart in task.atlas.parametrising]
        self.searches = [
            saved.search(f"errors/{problem.name}/{p}", np.array(box.lower), np.array(box.upper)) for p, box in enumerate(boxes)
        ]

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Itself, as an attempt that is taken apart has many."""
        return (self,)

    def solution(self) -> Solution:
        """What the searches amount to so far."""
        outputs = self.problem.task.outputs
        lowest = np.min([np.broadcast_to(judge.lowest, (outputs,)) for judge in self.judges], axis=0)
        highest = np.max([np.broadcast_to(judge.highest, (outputs,)) for judge in self.judges], axis=0)
        return Solution(
            problem=self.problem,
            manifold=self.manifold,
            enclosed=self.enclosed,
            goal=self.goal,
            roundings=self.roundings,
            trees=_by_name(self.manifold, self.searches),
            values=Interval(lowest, highest),
            amiss=self.amiss,
        )


class ScoreAttempt:
    """The claims about τ of a problem that is solved: a search for every chart."""

    def __init__(self, solved: Solution, promise: ScorePromise, saved: Checkpoint) -> None:
        self.manifold, self.promise = solved.manifold, promise
        reference = EnclosedScores(solved.manifold, promise)
        self.judges = [
            ScoresJudge(p, solved.manifold, solved.enclosed, reference, promise, solved.eta) for p in range(len(solved.manifold.charts))
        ]
        self.searches = [
            saved.search(f"scores/{solved.problem.name}/{p}", tree.lower, tree.upper) for p, tree in enumerate(solved.trees.values())
        ]

    def solution(self) -> ScoreProof:
        return ScoreProof(self.promise, _by_name(self.manifold, self.searches), self.judges)


def _by_name(manifold: EnclosedManifold, searches: Sequence[Search]) -> dict[str, Tree]:
    return {enclosed.chart.name: search.tree() for enclosed, search in zip(manifold.charts, searches, strict=True)}


def base_size(manifold: EnclosedManifold) -> Array:
    """max |y_k| over M, bounded, (k,). Raises `InvalidArgument` for a chart whose image cannot be bounded."""
    sizes, solved = [], manifold.tubes is not None
    cells = max(SIZING // len(manifold.charts), LEAST) if solved else SIZING
    for p, enclosed in enumerate(manifold.charts):
        domain = enclosed.chart.domain
        place = manifold.place(p, *domain.cells(cells))
        where = place.y.range() if place.y.bounds is None else place.y.range().meet(place.y.bounds)
        reach = where.magnitude[~manifold.outside(place)]
        if not np.isfinite(reach).all():
            raise InvalidArgument(f'chart "{enclosed.chart.name}": its inverse is not bounded over its box, so nothing can be proved on it')
        sizes.append(reach.max(0))
    return np.max(sizes, axis=0) * (ROOMY if solved else 1.0)


def look_for_errors(goal: Goal, problem: Problem, seed: int) -> None:
    """The largest error found by sampling: what bounds are compared with from the start, and climbed to where they have to come near it
    and where ε may be missed: that a network misses it by little is found out before the proof, not at its end.

    A sample that is proved to miss ε ends it, as does one that is proved to be routed astray: there is nothing to prove. The stored weights
    are evaluated in float64 whatever their dtype, as the bounds are about their real-arithmetic function.
    """
    networks, task = _by_piece(problem), problem.task
    if problem.moves is None:
        exactly = Exactly.of(problem.network, as_graph(task), tuple(networks) if len(networks) > 1 else ())
        goal.confirm, goal.astray = exactly.at, exactly.astray if problem.valid and not problem.either else None
    corners = _corners(problem.moves)

    def error(points: Points) -> Array:
        truth, found = task.evaluate(points), np.zeros(len(points.ambient))
        read = [points.ambient] if problem.moves is None else [task.atlas.embed(points.base + corner) for corner in corners]
        for p, network in enumerate(networks):
            rows = points.chart == p if len(networks) > 1 else np.ones(len(found), bool)
            if rows.any():
                found[rows] = np.max([np.abs(network(z[rows]) - truth[rows]).max(1) for z in read], axis=0)
        return np.where(np.isnan(found), np.inf, found)

    seeds = SEEDS.get(task.atlas.dimension, MOST_SEEDS)
    if goal.tightness is None and expanded(task):
        seeds = min(seeds, TO_REFUTE)
    points = spread_points(task.atlas, max(seeds, 16 * len(task.atlas)))
    if problem.places is not None:
        points = _at(problem.places, task, points)
    errors = error(points)
    climb = (goal.tightness is not None or errors.max(initial=0.0) >= SUSPECT * goal.epsilon) and problem.places is None
    if not len(errors):
        return
    if not climb or errors.max() > goal.epsilon:
        goal.sampled(errors, points.chart, points.intrinsic)
    if not goal.missed and goal.astray is not None:
        _look_astray(goal, networks[0], task, points)
    if goal.refuted or not climb:
        return
    worst = np.argsort(-errors, kind="stable")[:CLIMBS]
    climbed, reached = ascend(Ground(task.atlas), points[worst], lambda tried, _: error(tried), seed)
    goal.sampled(reached, climbed.chart, climbed.intrinsic)


def _at(places: Places, task: ManifoldTask, points: Points) -> Points:
    """The finitely many points next to these, of those that lie in the same piece."""
    nearest = places.nearest(points.intrinsic)
    found = [
        task.atlas.parametrise(p, np.unique(inside, axis=0))
        for p, chart in enumerate(task.atlas.parametrising)
        if len(inside := nearest[(points.chart == p) & chart.inside(nearest)])
    ]
    return concatenate(found) if found else points[:0]


def _look_astray(goal: Goal, network: Network, task: ManifoldTask, points: Points) -> None:
    """Points that the last gate takes to an expert whose chart does not seem to hold them."""
    chosen = network.trace(points.ambient).chosen[-1] // max(1, len(network.layers[-1]) // len(task.atlas))
    for j in np.unique(chosen):
        rows = np.flatnonzero((chosen == j).any(1))
        for row in rows[~task.atlas.contains(int(j), points.base[rows])][:ASTRAY]:
            goal.route(int(points.chart[row]), points.intrinsic[row])


def _by_piece(problem: Problem) -> list[Network]:
    """The network in float64; or one for every piece, with the expert that is known to win there: at an interface points of either
    piece are compared with that piece's own expert, as boxes are.
    """
    network = problem.network.astype(float)
    last = network.layers[-1]
    if problem.chosen is None or last.gate is None:
        return [network]
    experts = [last.experts[last.serves[j]] for j in problem.chosen]
    alone = [replace(last, gate=None, experts=(expert,), serves=(0,), names=("all",), top_k=1) for expert in experts]
    return [Network((*network.layers[:-1], layer), network.inputs) for layer in alone]


def _corners(moves: Array | None) -> Array:
    """As far as z may be from y, in every direction, or in some of them; (n, k)."""
    if moves is None:
        return np.zeros((0, 0))
    signs = np.array(list(itertools.islice(itertools.product((-1.0, 1.0), repeat=len(moves)), MOST_CORNERS)))
    return np.concatenate([signs, -signs]) * moves


def run(attempts: Sequence[Attempt] | Sequence[ScoreAttempt], doing: str, most: int, deadline: float, saved: Checkpoint) -> None:
    """All charts of all attempts, side by side where joblib is told so; `most` boxes in every search."""
    hopeful = [attempt for attempt in attempts if not (isinstance(attempt, Attempt) and attempt.goal.hopeless)]
    running = [_running(attempt.manifold, attempt.searches, attempt.judges) for attempt in hopeful]
    try:
        rounds.run(list(itertools.chain(*running)), doing, most, deadline, saved.save)
    except KeyboardInterrupt:
        saved.save(now=True)
        raise


def _running(manifold: EnclosedManifold, searches: Sequence[Search], judges: Sequence[PartJudge]) -> list[Running]:
    d, k = manifold.atlas.dimension, manifold.atlas.base_dimension
    limit = MOST_COEFFICIENTS // (k * (1 + d + d * (d + 1) // 2))
    batch = int(np.clip(BATCH_PER_EXPERT * len(manifold.atlas), BATCH, max(limit, BATCH)))
    return [Running(search, judge, batch) for search, judge in zip(searches, judges, strict=True)]
