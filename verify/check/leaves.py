"""The inequality of a leaf, whatever its tag, on the leaf or on parts of it; and how large M is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, ChartTarget, ExpressionTarget, ManifoldTask
from ...intervals import Interval
from ...intervals.patch import GROW, ULPS, Patch, deviation, highest
from ...progress import track
from .charts import Charts, Verdict
from .documents import ELSEWHERE, OUTSIDE, PROVED, UNSETTLED, Tree
from .networks import Flags, Frame, Indices, Layer, Rows, rounding
from .scores import Scores

LEAVES = 1024
"""Leaves that are settled before the next ones are looked at."""
NUMBERS = 1 << 21
"""Numbers of one array of hidden neurons at a time."""
DEEPEST = 24
"""Cuts below a leaf before it is given up."""
EFFORT = 256
"""Boxes a leaf, on average over `LEAVES` of them, before the rest are given up."""
REACHED = 2.0**-21
"""Relative precision of the size of M: half of what `certify` adds to its bounds for their own rounding."""
REFINED = 1 << 16
"""Boxes that may be looked at for it."""

Words = NDArray[np.object_]


@dataclass(frozen=True)
class Failure:
    """Something that is wrong with a certificate (`rejected`), or that could not be confirmed."""

    rejected: bool
    reason: str
    chart: str | None = None
    box: tuple[tuple[float, float], ...] | None = None

    def __str__(self) -> str:
        at = "" if self.box is None else " on " + " × ".join(f"[{low:.6g}, {high:.6g}]" for low, high in self.box)
        return f'chart "{self.chart}"{at}: {self.reason}' if self.chart is not None else self.reason


class Followed(NamedTuple):
    """What is said of the logits τ of the last gate: how far from reference scores t, leaf by leaf, and how large the largest."""

    level: float | None
    """t are plateaus of this level; None: t = ρ."""
    floor: float
    """max τ ≥ floor."""


class Judge:
    """Confirms or refutes leaves of all charts of a task for one network."""

    def __init__(self, task: ManifoldTask, layers: Sequence[Layer], eta: float, covered: bool, follows: Followed | None = None) -> None:
        """`eta`: what the logits are taken to be known to; `covered`: whether charts are said to have no bare edge.

        `follows`: leaves tagged proved are about τ, not about f.
        """
        self.task, self.atlas, self.layers, self.eta, self.covered, self.follows = task, task.atlas, layers, eta, covered, follows
        self.charts = Charts(task.atlas)
        self.scores = None if follows is None else Scores(self.charts, follows.level)
        d, k = task.atlas.dimension, task.atlas.base_dimension
        widest = max(len(map_.bias) for layer in layers for map_ in (layer.gate, *(m for net in layer.nets for m in net.maps)))
        self.step = max(8, NUMBERS // (widest * (2**d + k + 1)))

    def size(self, trees: Sequence[Tree]) -> Array:
        """max |y_k| over all boxes tagged proved, bounded, (k,): boxes that may hold the largest are cut until that is nearly attained."""
        sizes = []
        for p, tree in enumerate(trees):
            rows = tree.tags == PROVED
            lower, upper, left = tree.lower[rows], tree.upper[rows], REFINED
            attained, size = np.zeros(self.atlas.base_dimension), np.zeros(self.atlas.base_dimension)
            while len(lower):
                _, y = self.charts.points(p, lower, upper)
                reach = y.value.magnitude
                attained = np.maximum(attained, np.maximum(y.at.lower, -y.at.upper).max((0, 1)))
                enough = attained * (1 + REACHED)
                again = (reach > enough).any(1) & (left > 0)
                size = np.maximum(size, np.max(np.where(again[:, None], 0.0, reach), axis=0))
                left -= len(lower)
                lower, upper, _ = halves(lower[again], upper[again], _longest(y.subset(np.flatnonzero(again))))
            sizes.append(np.maximum(size, attained))
        return np.max(sizes, axis=0)

    def rounding(self, trees: Sequence[Tree], bounds: Mapping[str, float], dtype: str) -> list[Failure]:
        """Whether η and the bounds for evaluation in floats leave as much room as rounding may take."""
        size, failures = self.size(trees), []
        for name in sorted({"float64", dtype}):
            eta, added = rounding(self.layers, self.atlas.embedding, size, name)
            if not eta <= self.eta:
                failures.append(Failure(True, f"η = {self.eta:.6g} is below what rounding in {name} may change a logit by, {eta:.6g}"))
            if not bounds["total"] + added <= bounds[f"total.{name}"]:
                failures.append(Failure(True, f"the bound of total.{name} leaves less than the {added:.6g} that rounding may add"))
        return failures

    def settle(self, trees: Sequence[Tree]) -> tuple[list[Failure | None], int]:
        """The fate of every leaf, None where it is confirmed, up to the first batch with a rejected one; and the boxes looked at."""
        jobs = [
            (p, np.arange(start, min(start + LEAVES, len(tree.tags))))
            for p, tree in enumerate(trees)
            for start in range(0, len(tree.tags), LEAVES)
        ]
        fates: list[Failure | None] = []
        boxes = 0
        for p, rows in track(jobs, "checking"):
            found, count = self._leaves(p, trees[p], rows)
            fates, boxes = fates + found, boxes + count
            if any(failure is not None and failure.rejected for failure in found):
                break
        return fates, boxes

    def _leaves(self, p: int, tree: Tree, rows: Indices) -> tuple[list[Failure | None], int]:
        """Settle some leaves of chart p: cut what is open, until nothing is, or a leaf is refuted or given up."""
        why = np.full(len(rows), "", object)
        refuted = np.zeros(len(rows), bool)
        leaf, depth = np.arange(len(rows)), np.zeros(len(rows), int)
        lower, upper = tree.lower[rows], tree.upper[rows]
        boxes = 0
        while len(leaf):
            open_, wrong = np.full(len(leaf), "", object), np.full(len(leaf), "", object)
            side = np.zeros(len(leaf), np.intp)
            for start in range(0, len(leaf), self.step):
                part = slice(start, start + self.step)
                own = rows[leaf[part]]
                found = self._boxes(p, lower[part], upper[part], tree.tags[own], tree.bounds[own], tree.members[own])
                open_[part], wrong[part], side[part] = found
            boxes += len(leaf)
            false = wrong != ""
            why[leaf[false]], refuted[leaf[false]] = wrong[false], True
            given_up = (
                (open_ != "") & ~refuted[leaf] & ((depth >= DEEPEST) | (boxes >= EFFORT * LEAVES) | (tree.tags[rows[leaf]] == UNSETTLED))
            )
            why[leaf[given_up]] = open_[given_up]
            again = np.flatnonzero((open_ != "") & (why[leaf] == ""))
            lower, upper, source = halves(lower[again], upper[again], side[again])
            leaf, depth = leaf[again][source], depth[again][source] + 1
        name = self.charts.charts[p].name
        sides = [tuple(zip(tree.lower[row].tolist(), tree.upper[row].tolist(), strict=True)) for row in rows]
        fates = [Failure(bool(bad), str(text), name, box) if text else None for bad, text, box in zip(refuted, why, sides, strict=True)]
        return fates, boxes

    def _boxes(
        self, p: int, lower: Array, upper: Array, tags: NDArray[np.uint8], bounds: Array, members: Flags
    ) -> tuple[Words, Words, Indices]:
        """What is not yet shown of each box, and what is wrong with it, in words or empty; and the side to cut it along."""
        u, y = self.charts.points(p, lower, upper)
        notes = _Notes(np.full(len(u), "", object), np.full(len(u), "", object))
        notes.open[tags == UNSETTLED] = "the certificate itself leaves it open"
        for tag, test, words in (
            (OUTSIDE, self.charts.outside, "tagged outside, but the region of the chart is not below 0 on it"),
            (ELSEWHERE, self.charts.elsewhere, "tagged elsewhere, but (E − 1)·b_p < Σ b_j does not hold on it"),
        ):
            self._ask(notes, p, np.flatnonzero(tags == tag), u, y, test, words)
        proved = tags == PROVED
        if self.covered and self.scores is None:
            self._edges(notes, p, np.flatnonzero(proved | (tags == UNSETTLED)), u, y)
        for j in np.flatnonzero(members[proved].any(0)) if self.scores is None else ():
            words = f'winner "{self.layers[-1].names[j]}": its chart does not contain the box'
            rows = np.flatnonzero(proved & members[:, j])
            self._ask(notes, p, rows, u, y, partial(self.charts.inside, int(j)), words)
        down, up = y.deviation
        known = np.isfinite(y.at.lower).all((1, 2)) & np.isfinite(y.at.upper).all((1, 2)) & np.isfinite(down + up).all((1, 2))
        notes.open[proved & ~known] = "nothing is known of where the box lies in space"
        rows = np.flatnonzero(proved & known)
        if len(rows) and self.scores is None:
            self._network(notes, rows, u.subset(rows), y.subset(rows), p, bounds, members)
        elif len(rows):
            self._followed(notes, rows, u.subset(rows), y.subset(rows), p, bounds)
        return notes.open, notes.wrong, _longest(y)

    def _ask(
        self, notes: _Notes, p: int, rows: Indices, u: Patch, y: Patch, test: Callable[[int, Patch, Patch], Verdict], words: str
    ) -> None:
        """Note the boxes on which a test is not surely true; of those the ones at whose middle it is surely false."""
        if not len(rows):
            return
        doubtful = rows[~test(p, u.subset(rows), y.subset(rows))[0]]
        notes.open[doubtful] = words
        middle = u.lower[doubtful] + (u.upper[doubtful] - u.lower[doubtful]) / 2
        if len(doubtful):
            notes.wrong[doubtful[test(p, *self.charts.points(p, middle, middle))[1]]] = words

    def _edges(self, notes: _Notes, p: int, rows: Indices, u: Patch, y: Patch) -> None:
        """The cover claim: no box on a face of the domain, nor on the edge of a region, that is no boundary of M."""
        chart = self.charts.charts[p]
        for k, (low, high) in enumerate(chart.boundary):
            bare = ~np.array([low, high]) & np.stack(
                [u.lower[rows, k] <= chart.domain.lower[k], u.upper[rows, k] >= chart.domain.upper[k]], 1
            )
            notes.wrong[rows[bare.any(1)]] = "on a face of the chart that is no boundary of M, but not tagged elsewhere"
        self._ask(notes, p, rows, u, y, lambda p, u, y: self.charts.beyond_edge(p, u)[::-1], "not surely within the region of the chart")

    def _network(self, notes: _Notes, rows: Indices, u: Patch, y: Patch, p: int, bounds: Array, members: Flags) -> None:
        """Only recorded winners may be chosen, and |f − expert_j| ≤ bound for each of them, along every path to the last gate."""
        frame, target = Frame(y), self.task.target
        truth = self.charts.map(target.function, y) if isinstance(target, ExpressionTarget) else self._local(target, p, u)
        state = self._arriving(frame)
        last, alone = self.layers[-1], np.bincount(state.box, minlength=len(rows)) == 1
        if len(last.names) > 1:
            losing, first = frame.losing(frame.affine(last.gate, state), 2 * self.eta)
            allowed = members[rows[state.box]]
            notes.open[rows[state.box[(~losing & ~allowed).any(1)]]] = "an expert may be chosen that is not among the winners"
            strange = (first & ~allowed).any(1) & alone[state.box]
            notes.wrong[rows[state.box[strange]]] = "the gate chooses an expert that is not among the winners"
        inputs = state.channels(last.reads)
        for stored, net in enumerate(last.nets):
            mine = np.flatnonzero(members[rows[state.box]][:, last.serves == stored].any(1))
            if len(mine):
                found = frame.net(net, inputs.subset(mine))
                size, attained = difference(truth.subset(found.box), frame, found)
                box, bound = rows[found.box], bounds[rows[found.box]]
                notes.open[box[~(size <= bound)]] = "|f − expert| is not shown to be within the leaf's bound"
                bad = (attained > bound) & alone[found.box]
                notes.wrong[box[bad]] = "|f − expert| exceeds the leaf's bound at a vertex"

    def _followed(self, notes: _Notes, rows: Indices, u: Patch, y: Patch, p: int, bounds: Array) -> None:
        """|t − τ| ≤ bound for every score, and max τ ≥ floor, along every path to the last gate."""
        assert self.scores is not None
        assert self.follows is not None
        frame = Frame(y)
        state = self._arriving(frame)
        tau, alone = frame.affine(self.layers[-1].gate, state), np.bincount(state.box, minlength=len(rows)) == 1
        size, attained = difference(self.scores(p, u, y).subset(tau.box), frame, tau)
        box = rows[tau.box]
        notes.open[box[~(size <= bounds[box])]] = "|t − τ| is not shown to be within the leaf's bound"
        low = (frame.vertex_range(tau)[0] + frame.deviation(tau)[0]).max(1)
        notes.open[box[~(low >= self.follows.floor)]] = "max τ is not shown to reach its bound"
        notes.wrong[box[(attained > bounds[box]) & alone[tau.box]]] = "|t − τ| exceeds the leaf's bound at a vertex"
        at = tau.core[:, : frame.vertices] + (tau.rough[:, :1] + ULPS * np.abs(tau.core[:, : frame.vertices]))
        notes.wrong[box[(at.max(2).min(1) < self.follows.floor) & alone[tau.box]]] = "max τ is below its bound at a vertex"

    def _arriving(self, frame: Frame) -> Rows:
        """What the last layer reads, one row for every path that may lead there."""
        state = frame.start(self.atlas.embedding)
        for layer in self.layers[:-1]:
            state = self._behind(layer, frame, state)
        return state

    def _local(self, target: object, p: int, u: Patch) -> Patch:
        assert isinstance(target, ChartTarget)
        return self.charts.map(target.functions[p], u)

    def _behind(self, layer: Layer, frame: Frame, state: Rows) -> Rows:
        """The channels behind a layer; rows multiply where several stored experts may be chosen."""
        inputs = state.channels(layer.reads)
        if len(layer.nets) == 1:
            return frame.net(layer.nets[0], inputs)
        losing, _ = frame.losing(frame.affine(layer.gate, state), 2 * self.eta)
        parts = []
        for stored, net in enumerate(layer.nets):
            mine = np.flatnonzero((~losing)[:, layer.serves == stored].any(1))
            if len(mine):
                parts.append(frame.net(net, inputs.subset(mine)))
        return Rows.concatenate(parts)


@dataclass(frozen=True, eq=False)
class _Notes:
    """Per box, in words: what is not yet shown, and what is wrong."""

    open: Words
    wrong: Words


def difference(truth: Patch, frame: Frame, found: Rows) -> tuple[Array, Array]:
    """A bound of |f − q| on each row, and a number that it attains at a vertex, largest component; (R,) each."""
    V = frame.vertices
    y, at, slack = frame.y.subset(found.box), found.core[:, :V], found.rough[:, :1] * GROW
    first, second = truth.first, truth.second
    for c in range(found.core.shape[1] - V - 1):
        factor = -Interval.of(found.core[:, V + c, None, :])
        first, second = first + factor * y.first[..., c : c + 1], second + factor * y.second[..., c : c + 1]
    down, up = deviation(y.upper - y.lower, first, second)
    away = found.rough[:, 1] * GROW + ULPS * np.abs(found.core[:, -1])
    values = truth.at - Interval(at - slack - ULPS * np.abs(at), at + slack + ULPS * np.abs(at))
    above = highest(values.upper, up) + (away - found.core[:, -1])
    below = highest(-values.lower, down) + (away + found.core[:, -1])
    # Where f has a jump or a kink its derivatives say little, its range still something.
    least, most = frame.vertex_range(found)
    less, more = frame.deviation(found)
    lost = ULPS * (truth.value.magnitude + np.maximum(np.abs(least), np.abs(most)) + (more - less))
    above = np.fmin(above, truth.value.upper - (least + less) + lost)
    below = np.fmin(below, (most + more) - truth.value.lower + lost)
    bound = np.maximum(above, below).max(1)
    attained = np.maximum(values.lower, -values.upper).max((1, 2))
    return np.where(np.isnan(bound), np.inf, bound + ULPS * np.abs(bound)), attained


def halves(lower: Array, upper: Array, side: Indices) -> tuple[Array, Array, Indices]:
    """Each box in two along its side, one after the other, and which box each came from."""
    rows = np.arange(len(lower))
    middle = lower[rows, side] + (upper[rows, side] - lower[rows, side]) / 2
    source = np.repeat(rows, 2)
    low, high = lower[source], upper[source]
    high[::2][rows, side] = middle
    low[1::2][rows, side] = middle
    return low, high, source


def _longest(y: Patch) -> Indices:
    """The side along which each box is longest in space, or in coordinates where that is not known."""
    widths = y.upper - y.lower
    lengths = widths * y.first.magnitude.max(2)
    return np.where(np.isfinite(lengths).all(1), lengths.argmax(1), widths.argmax(1))
