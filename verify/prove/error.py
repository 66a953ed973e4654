"""The judge of |f − Ψ| ≤ ε: what has to hold on a box of chart coordinates, and where to cut it if it does not yet.

On a box of chart p one of these is proved:
* OUTSIDE: the chart's region is negative, the box is off the chart; or of finitely many values the box holds none;
* ELSEWHERE: every point of the box is left to charts that are proved to hold it (`manifold`); never where f is given chart by chart: then
  all of every chart is compared, and charts that disagree show as an error;
* PROVED: for every expert j that the gate may choose anywhere in the box, with logits known to ±η, x ∈ U_j and |f − expert_j| ≤ bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, ChartTarget, ExpressionTarget, ManifoldTask, StackedTarget
from ...errors import InvalidArgument
from ...intervals import Flags, Interval
from ..enclosure import ExpressionEnclosure, TaylorForms
from .amiss import ROOM, weight
from .choice import Indices, subsets
from .forward import EnclosedNetwork
from .goal import Goal
from .layers import State
from .manifold import EnclosedManifold, Place, on_edge
from .ridge_sums import RidgeSums
from .tree import ELSEWHERE, OUTSIDE, PROVED, UNSETTLED, Verdicts

FINEST_EDGE = 2.0**-12
"""Boxes on an edge of a chart with a side below this part of the whole are cut no more: another chart had its chance to cover the edge."""
MOST_CUTS = 6
"""How often a box is cut between two judgements at most."""
SEEN, SEEN_OF_EQUATIONS = 1 << 12, 1 << 8
"""Parts of the boxes of one round, in all, from which it is known what f lies in; fewer where w has to be found over each."""
TAGS = {OUTSIDE: "outside", ELSEWHERE: "elsewhere", PROVED: "proved", UNSETTLED: "unknown"}


class EnclosedTarget:
    """f as Taylor forms over boxes of a parametrising chart."""

    def __init__(self, task: ManifoldTask) -> None:
        """Raises `InvalidArgument` for a Python function that brings no enclosure and declares nothing."""
        target = task.target
        self.whole: ExpressionEnclosure | None = None
        self.local: tuple[ExpressionEnclosure, ...] = ()
        if isinstance(target, ExpressionTarget):
            self.whole = ExpressionEnclosure(target.function)
        elif isinstance(target, ChartTarget):
            self.local = tuple(ExpressionEnclosure(function) for function in target.functions)
        elif isinstance(target, StackedTarget):
            raise AssertionError("several targets are proved one by one")
        elif target.function is None:
            raise target.absent()
        elif target.enclosure is None and target.declares:
            self.whole = ExpressionEnclosure(target.declared(task.atlas.coordinates))
        else:
            if target.enclosure is None:
                raise InvalidArgument(
                    f"the target of task {task.name!r} is the Python function {target.name!r}, of which nothing can be proved; "
                    "declare lipschitz or second_derivative of it, in the spec or of CallableTarget, on which the proof then rests, and "
                    "compile again; or give CallableTarget(…, enclosure=…), which maps Taylor forms of y to those of f(y)"
                )
            self.callable, self.highest = target.enclosure, target.degree

    @property
    def by_chart(self) -> bool:
        """Whether every chart has a function of its own."""
        return bool(self.local)

    def __call__(self, place: Place) -> TaylorForms:
        """To the degree of the finest forms of the place; what a Python function encloses, to a degree that it knows."""
        y, n = (place.y, 2) if place.fine is None else (place.fine, place.fine.degree)
        if self.whole is not None:
            return self.whole(y)
        if self.local:
            return self.local[place.chart](place.u.raised(n))
        return self.callable(y if n <= self.highest else place.y).raised(n)


@dataclass(eq=False)
class ErrorJudge:
    """Judges boxes of one parametrising chart."""

    chart: int
    manifold: EnclosedManifold
    network: EnclosedNetwork
    target: EnclosedTarget
    goal: Goal
    eta: float
    valid: bool = True
    """Whether x has to lie in the winner's chart."""
    chosen: int | None = None
    """The gate output that is known to win on all of this chart; None: what the gate allows."""
    copies: int = 1
    """How many gate outputs, one after the other, stand for each chart (B21)."""
    amiss: float | None = None
    """What experts may weigh together whose charts do not hold a point (`amiss`); None: none may be chosen."""
    degree: int = 2
    """Of the forms by which f and experts are compared; above 2 only where one expert alone makes the output."""
    sums: RidgeSums | None = None
    """What bounds f − experts by functions of one variable, where that is possible."""
    lowest: Array = field(default_factory=lambda: np.array(np.inf))
    """f on the settled boxes is at least this, (outputs,)…"""
    highest: Array = field(default_factory=lambda: np.array(-np.inf))
    """…and at most this."""

    @property
    def refuted(self) -> bool:
        return self.goal.refuted

    @property
    def remark(self) -> str:
        """For whoever is waiting."""
        return f"largest error {self.goal.found:.3g}, accepts {self.goal.enough:.3g}"

    def apart(self) -> ErrorJudge:
        """A judge of the same boxes, with a goal of its own."""
        return replace(self, goal=replace(self.goal))

    def remember(self) -> dict[str, NDArray]:
        """What it has seen, and the largest error that anybody of the same goal has."""
        arrays = {"lowest": np.atleast_1d(self.lowest), "highest": np.atleast_1d(self.highest), "found": np.array([self.goal.found])}
        arrays |= self.manifold.remember()
        if self.goal.where is not None:
            arrays |= {
                "chart": np.array([self.goal.where[0]]),
                "place": np.array(self.goal.where[1]),
                "missed": np.array([self.goal.missed]),
            }
        if self.goal.misrouted is not None:
            arrays |= {"astray.chart": np.array([self.goal.misrouted[0]]), "astray.place": np.array(self.goal.misrouted[1])}
        return arrays

    def recall(self, arrays: Mapping[str, NDArray]) -> None:
        """Take up what it or others have seen."""
        self.lowest, self.highest = np.minimum(self.lowest, arrays["lowest"]), np.maximum(self.highest, arrays["highest"])
        self.manifold.recall(arrays)
        if "chart" in arrays and arrays["found"][0] > self.goal.found:
            self.goal.found, self.goal.where = float(arrays["found"][0]), (int(arrays["chart"][0]), arrays["place"])
            self.goal.missed = bool(arrays["missed"][0])
        if "astray.chart" in arrays and self.goal.misrouted is None:
            self.goal.misrouted = int(arrays["astray.chart"][0]), arrays["astray.place"]

    def __call__(self, lower: Array, upper: Array) -> Verdicts:
        place = self.manifold.place(self.chart, lower, upper, self.degree)
        tag = np.full(len(place), PROVED, np.uint8)
        if not self.target.by_chart:
            tag[self.manifold.elsewhere(place)] = ELSEWHERE
        tag[self.manifold.outside(place)] = OUTSIDE
        bound = np.zeros(len(place))
        settled = tag != PROVED
        sizes = np.zeros(len(place), np.intp)
        members = np.empty(0, np.intp)
        rows = np.flatnonzero(~settled)
        if len(rows):
            some = place.subset(rows)
            truth = self.target(some)
            box, gate, reached, valid = self._paths(some, truth)
            np.maximum.at(bound, rows[box], reached)
            invalid = np.zeros(len(place), bool)
            invalid[rows[box[~valid]]] = True
            settled[rows] = (bound[rows] <= self.goal.enough) & ~invalid[rows] & ~self._on_bare_edge(some)
            done = self._values(some.subset(np.flatnonzero(settled[rows])), truth.subset(settled[rows]))
            self.lowest = np.minimum(self.lowest, done.lower.min(0, initial=np.inf))
            self.highest = np.maximum(self.highest, done.upper.max(0, initial=-np.inf))
            pairs = np.unique(np.stack([rows[box], gate], axis=1), axis=0)
            sizes, members = np.bincount(pairs[:, 0], minlength=len(place)), pairs[:, 1]
        bound = np.where(np.isnan(bound), np.inf, bound)
        side, more = self._sides(place, bound)
        return Verdicts(settled, tag, bound, side, sizes, members, more)

    def _values(self, place: Place, truth: TaylorForms) -> Interval:
        """What f lies in on boxes: of few, which may be large, on parts of them."""
        seen = SEEN if self.manifold.tubes is None else SEEN_OF_EQUATIONS
        count = int((seen / max(1, len(place))) ** (1 / place.dimension))
        if self.sums is None or count < 2 or not len(place):
            return truth.range()
        lower, upper = _cut(place, count)
        return self.target(self.manifold.place(self.chart, lower, upper, self.degree)).range()

    def _sides(self, place: Place, bound: Array) -> tuple[Indices, Indices]:
        """Along which side to cut, and along which ones again at once.

        Enclosures of degree n are off by order n + 1 at best: halving every side makes a bound smaller by 2^(n+1) at most, one cut by
        2^((n+1)/d). Boxes whose bound is too large for one cut to help are spared the judgement between.
        """
        lengths, d = side_lengths(place), place.dimension
        with np.errstate(all="ignore"):
            needed = np.where(np.isfinite(bound), d / (self.degree + 1) * np.log2(bound / self.goal.enough), 1.0)
        sides, rows = [], np.arange(len(place))
        for k in range(MOST_CUTS):
            side = lengths.argmax(1)
            sides.append(np.where(needed >= k + 1, side, -1) if k else side)
            lengths[rows, side] /= 2
        return sides[0], np.stack(sides[1:], axis=1)

    def _paths(self, place: Place, truth: TaylorForms) -> tuple[Indices, Indices, Array, Flags]:
        """For every path and expert that may be chosen there: the box, the gate output, a bound of |f − Ψ|, whether x ∈ U_j."""
        state = self.network.before_last(place.z, self.eta)
        last = self.network.layers[-1]
        if self.chosen is None:
            row, gate = last.chosen(state, self.eta)
        else:
            row, gate = np.arange(len(state.box)), np.full(len(state.box), self.chosen)
        finest = state if place.fine is None else state.reading(place.fine)
        reached, valid = np.full(len(row), np.inf), np.zeros(len(row), bool)
        count = np.bincount(state.box[row], minlength=len(place))
        judged = ~self._crowded(place, count)[state.box[row]]
        for j in np.unique(gate[judged]):
            mine = np.flatnonzero(judged & (gate == j))
            boxes = state.box[row[mine]]
            valid[mine] = self.manifold.inside(place.subset(boxes), int(j) // self.copies) if self.valid else True
            if last.convex:
                error = last.expert(int(last.serves[j]), finest.subset(row[mine])) - truth.subset(boxes)
                reached[mine] = error.range().magnitude.max(1)
                if self.sums is not None and len(far := np.flatnonzero(~(reached[mine] <= self.goal.enough))):
                    summed = self.sums(int(last.serves[j]), place.subset(boxes[far]))
                    reached[mine[far]] = np.fmin(reached[mine[far]], summed)
                if last.single:
                    self._note(place, error, boxes, (count == 1)[boxes])
                    self._note_route(place, boxes[~valid[mine] & (count == 1)[boxes]], int(j) // self.copies)
        if not last.single:
            reached = self._blended(place, truth, state, (row, gate), reached, judged)
        if self.amiss is not None:
            weights = weight(last.logits(state), row, gate, valid, last.layer.top_k, self.eta)
            valid = judged & (weights <= ROOM * self.amiss)[row]
        return state.box[row], gate, reached, valid

    def _blended(
        self, place: Place, truth: TaylorForms, state: State, pairs: tuple[Indices, Indices], reached: Array, judged: Flags
    ) -> Array:
        """For every row and expert the better of two bounds: the worst of the row's experts, all of them and of any weights that add up
        to 1, where they do; and the worst of the sets of K that may be chosen, with their weights."""
        last, rows = self.network.layers[-1], len(state.box)
        row, gate = pairs
        apart = np.zeros(rows)
        np.maximum.at(apart, row, reached)
        sets, chosen = subsets(row[judged], gate[judged], rows, last.layer.top_k, last.logits(state), 2 * self.eta)
        together = np.full(rows, np.inf)
        if len(sets):
            boxes = state.box[sets]
            error = last.blend(state.subset(sets), chosen) - truth.subset(boxes)
            together[sets] = 0.0
            np.maximum.at(together, sets, error.range().magnitude.max(1))
            self._note(place, error, boxes, (np.bincount(boxes, minlength=len(place)) == 1)[boxes])
        return np.minimum(apart, together)[row]

    def _crowded(self, place: Place, count: Indices) -> Flags:
        """Boxes that are cut before any expert is looked at: more may win there than meet at a corner of cells in general."""
        domain = self.manifold.charts[self.chart].chart.domain
        coarse = ((place.upper - place.lower) / domain.widths).max(1) > FINEST_EDGE
        return coarse & (count > self.copies * (place.dimension + self.network.layers[-1].layer.top_k + 1))

    def _on_bare_edge(self, place: Place) -> Flags:
        """Boxes on an edge of the chart that are cut further, so that other charts may yet be proved to hold it."""
        domain = self.manifold.charts[self.chart].chart.domain
        bare = ((place.upper - place.lower) / domain.widths).min(1) > FINEST_EDGE
        bare &= on_edge(self.manifold, self.chart, place.lower, place.upper)
        rows = np.flatnonzero(bare)
        if len(rows):
            bare[rows] = ~self.manifold.held_by_others(place.subset(rows))
        return bare

    def _note(self, place: Place, error: TaylorForms, boxes: Indices, alone: Flags) -> None:
        """Take notice of the largest error at a middle where only one expert may win: a lower bound of the true supremum.

        Of middles in the chart only: of a box that sticks out of its region the middle may be no point of M.
        """
        least = np.where(alone[:, None], np.abs(error.center) - error.radius, -np.inf).max(1)
        rows = np.flatnonzero(least > self.goal.found)
        rows = rows[self.manifold.charts[self.chart].chart.inside(place.middle[boxes[rows]])]
        if (places := self.manifold.places) is not None:
            rows = rows[~places.missed(place.middle[boxes[rows]], place.middle[boxes[rows]])]
        if len(rows):
            worst = rows[int(np.argmax(least[rows]))]
            self.goal.note(float(least[worst]), self.chart, place.middle[boxes[worst]])

    def _note_route(self, place: Place, boxes: Indices, chart: int) -> None:
        """Take notice of a box whose only winner has a chart that does not seem to hold the box's middle."""
        if len(boxes) and self.goal.astray is not None:
            middle = place.middle[boxes]
            lost = ~self.manifold.atlas.contains(chart, self.manifold.charts[self.chart].chart.inverse(middle))
            if lost.any() and self._on_chart(place, boxes[int(lost.argmax())]):
                self.goal.route(self.chart, middle[int(lost.argmax())])

    def _on_chart(self, place: Place, box: int) -> bool:
        return bool(self.manifold.charts[self.chart].chart.inside(place.middle[box]))


def _cut(place: Place, count: int) -> tuple[Array, Array]:
    """Corners of every box's count^d equal parts."""
    grid = np.stack(np.meshgrid(*[np.arange(count)] * place.dimension, indexing="ij"), axis=-1).reshape(-1, 1, place.dimension)
    step = (place.upper - place.lower) / count
    lower = place.lower + grid * step
    upper = np.where(grid + 1 < count, place.lower + (grid + 1) * step, place.upper)  # as the next one's lower corner
    return lower.reshape(-1, place.dimension), np.maximum(upper, lower).reshape(-1, place.dimension)


def longest_side(place: Place) -> NDArray[np.intp]:
    """The side along which each box is longest in space."""
    return side_lengths(place).argmax(1)


def side_lengths(place: Place) -> Array:
    """How far φ⁻¹ moves along each side of a box, (N, d); where that is unknown, the sides themselves. It is unknown too where a coordinate
    of φ⁻¹ is enclosed as a whole only, without slopes: along a side that it alone moves on it would seem to be constant, and other sides
    would be cut again and again."""
    lengths, widths = np.linalg.norm(place.y.linear[:, : place.dimension], axis=2), place.upper - place.lower
    moves = ((lengths > 0) | (widths == 0)).all(1, keepdims=True)
    return np.where((place.y.radius < np.inf).all(1, keepdims=True) & moves, lengths, widths)
