"""The inequality of a leaf, whatever its tag, on the leaf or on parts of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array
from ...intervals.patch import ULPS, Patch
from ...progress import track
from .amiss import counts, mixture
from .charts import Charts, Verdict
from .compared import difference
from .course import Course, degrees
from .extent import longest
from .functions import halves
from .joined import joined
from .layers import Layer
from .nets import Flags, Indices
from .networks import Frame, Rows, beside
from .ridges import Ridges
from .scores import Scores
from .subjects import Failure, Followed, Subject
from .trees import ELSEWHERE, OUTSIDE, PROVED, UNSETTLED, Tree

LEAVES = 4096
"""Leaves that are settled before the next ones are looked at."""
NUMBERS = 1 << 21
"""Numbers of one array of hidden neurons at a time."""
DEEPEST = 24
"""Cuts below a leaf before it is given up."""
EFFORT = 32
"""Boxes a leaf, on average over `LEAVES` of them, before the rest are given up."""
MANY = 256
"""Leaves that are not confirmed before no more are looked at."""
FEW_TRIED = 512
"""Boxes on which a degree of jets is tried before it is left out where it is seldom enough."""

Words = NDArray[np.object_]
Paths = Iterable[tuple[int, Rows]]
"""What may come out, with the number of the one net that makes it; −1: none alone does."""


class Judge:
    """Confirms or refutes leaves of all pieces of a site."""

    def __init__(self, subject: Subject, follows: Followed | None = None) -> None:
        """`follows`: leaves tagged proved are about τ, not about f."""
        self.subject, self.domain, self.layers, self.follows = subject, subject.domain, subject.layers, follows
        self.charts = subject.domain if isinstance(subject.domain, Charts) else None
        self.scores = None if follows is None or self.charts is None else Scores(self.charts, follows.level)
        self.shifts = np.diag(subject.moves)[subject.moves > 0]
        self.course = Course(subject.layers, subject.matrix, self.shifts) if Course.suits(subject.layers) else None
        self.shown = {degree: np.zeros(2) for degree in degrees(self.domain.dimension + len(self.shifts))}
        """Degree of jets ↦ boxes on which they were tried, and on which they were enough."""
        self.passes = self.domain.dimension if self.course is not None and self.scores is None else 0
        """How often neighbouring leaves are joined in pairs before they are looked at: jets of a high degree need not be of small boxes."""
        self.ridges = Ridges.of(subject) if follows is None else None
        d, k = self.domain.dimension + len(self.shifts), self.domain.base_dimension
        widest = max((net.widest for layer in self.layers for net in layer.everything), default=1)
        self.step = max(8, NUMBERS // (max(widest, *(len(layer.carries) for layer in self.layers)) * (2**d + k + 1)))

    def truth(self, p: int, lower: Array, upper: Array) -> Patch:
        """The function on boxes of piece p."""
        return self.subject.truth(p, *self.domain.points(p, lower, upper))

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
            if any(failure is not None and failure.rejected for failure in found) or sum(fate is not None for fate in fates) > MANY:
                break
        return fates, boxes

    def _leaves(self, p: int, tree: Tree, rows: Indices) -> tuple[list[Failure | None], int]:
        """Settle some leaves of chart p: cut what is open, until nothing is, or too much was. Once a leaf is refuted nothing more is cut,
        as the verdict is known: leaves that are open then have no fate.
        """
        why = np.full(len(rows), "", object)
        refuted, left = np.zeros((2, len(rows)), bool)
        leaf, depth, close = np.arange(len(rows)), np.zeros(len(rows), int), np.zeros(len(rows), bool)
        boxes = 0
        if self.passes:
            settled, boxes = self._together(p, tree, rows, close)
            leaf, depth, close = leaf[~settled], depth[~settled], close[~settled]
        lower, upper = tree.lower[rows[leaf]], tree.upper[rows[leaf]]
        while len(leaf):
            open_, wrong = np.full(len(leaf), "", object), np.full(len(leaf), "", object)
            side = np.zeros(len(leaf), np.intp)
            for start in range(0, len(leaf), self.step):
                part = slice(start, start + self.step)
                own = rows[leaf[part]]
                some = _Some(p, lower[part], upper[part], tree.tags[own], tree.bounds[own], tree.members[own], close[part])
                open_[part], wrong[part], side[part] = self._boxes(some)
            boxes += len(leaf)
            false = wrong != ""
            why[leaf[false]], refuted[leaf[false]] = wrong[false], True
            given_up = (
                (open_ != "") & ~refuted[leaf] & ((depth >= DEEPEST) | (boxes >= EFFORT * LEAVES) | (tree.tags[rows[leaf]] == UNSETTLED))
            )
            why[leaf[given_up]] = open_[given_up]
            again = np.flatnonzero((open_ != "") & (why[leaf] == ""))
            if refuted.any():
                left[leaf[again]] = True
                break
            lower, upper, source = halves(lower[again], upper[again], side[again])
            leaf, depth, close = leaf[again][source], depth[again][source] + 1, close[again][source]
        name = f"{self.subject.name}{self.domain.names[p]}"

        def fate(number: int) -> Failure | None:
            if not why[number]:
                return None
            row = rows[number]
            box = tuple(zip(tree.lower[row].tolist(), tree.upper[row].tolist(), strict=True))
            return Failure(bool(refuted[number]), str(why[number]), name, box)

        return [fate(number) for number in np.flatnonzero(~left).tolist()], boxes

    def _together(self, p: int, tree: Tree, rows: Indices, close: Flags) -> tuple[Flags, int]:
        """Leaves that are settled several at once, and the boxes looked at; where f and q are shown to be close is noted."""
        boxes, settled, done = joined(tree, rows, self.passes), np.zeros(len(rows), bool), 0
        for start in range(0, len(boxes.first), self.step):
            part = boxes.some(slice(start, start + self.step))
            ranges = [rows[a:b] for a, b in zip(part.first, part.last, strict=True)]
            bounds, members = np.array([tree.bounds[own].min() for own in ranges]), np.array([tree.members[own].any(0) for own in ranges])
            some = _Some(p, part.lower, part.upper, np.full(len(bounds), PROVED, np.uint8), bounds, members, np.zeros(len(bounds), bool))
            open_, wrong, _ = self._boxes(some)
            fine = wrong == ""  # else the leaves are looked at one by one
            for a, b, shown, near in zip(part.first, part.last, (open_ == "") & fine, some.close & fine, strict=True):
                settled[a:b], close[a:b] = shown, near
                done += shown
        if done < len(boxes.first) / 2:
            self.passes -= 1
        return settled, len(boxes.first)

    def _boxes(self, some: _Some) -> tuple[Words, Words, Indices]:
        """What is not yet shown of each box, and what is wrong with it, in words or empty; and the side to cut it along."""
        p, tags = some.piece, some.tags
        u, y = self.domain.points(p, some.lower, some.upper)
        notes = _Notes.of(len(u))
        notes.open[tags == UNSETTLED] = "the certificate itself leaves it open"
        proved = tags == PROVED
        if self.charts is None:
            places = self.subject.places
            empty = np.zeros(len(u), bool) if places is None else places.missed(some.lower, some.upper)
            proved &= ~empty  # of finitely many values it holds none: there is nothing to show
            strange = ((tags == OUTSIDE) & ~empty) | (tags == ELSEWHERE)
            notes.open[strange] = notes.wrong[strange] = "pieces have no part outside, or covered by others"
        else:
            self._charts(notes, self.charts, p, u, y, tags, some.members)
        somewhere = y.loosened()
        down, up = somewhere.deviation
        ends = (somewhere.at.lower, somewhere.at.upper)
        known = np.isfinite(ends).all((0, 2, 3)) & np.isfinite(down + up).all((1, 2))
        notes.open[proved & ~known] = "nothing is known of where the box lies in space"
        rows = np.flatnonzero(proved & known)
        if len(rows) and self.scores is None:
            self._network(notes, rows, u.subset(rows), somewhere.subset(rows), some)
        elif len(rows):
            self._followed(notes, rows, u.subset(rows), somewhere.subset(rows), p, some.bounds)
        return notes.open, notes.wrong, longest(y)

    def _charts(self, notes: _Notes, charts: Charts, p: int, u: Patch, y: Patch, tags: NDArray[np.uint8], members: Flags) -> None:
        """What leaves say of the charts."""
        proved = tags == PROVED
        if self.subject.by_chart and self.scores is None:
            strange = tags == ELSEWHERE
            notes.open[strange] = notes.wrong[strange] = "tagged elsewhere, but every chart has a function of its own to be compared with"
        for tag, test, words in (
            (OUTSIDE, charts.outside, "tagged outside, but the region of the chart is not below 0 on it"),
            (ELSEWHERE, charts.elsewhere, "tagged elsewhere, but (E − 1)·b_p < Σ b_j over charts that hold it is not shown"),
        ):
            self._ask(notes, p, np.flatnonzero(tags == tag), u, y, test, words)
        if self.subject.covered and self.scores is None:
            self._edges(notes, charts, p, np.flatnonzero(proved | (tags == UNSETTLED)), u, y)
        if self.scores is not None or self.subject.amiss is not None:
            return
        copies = members.shape[1] // len(charts.atlas)  # gate outputs that stand for one chart, one after the other
        for j in np.flatnonzero(members[proved].any(0)):
            words = f'winner "{self.layers[-1].names[j]}": its chart does not contain the box'
            self._ask(notes, p, np.flatnonzero(proved & members[:, j]), u, y, partial(charts.inside, int(j) // copies), words)

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
            notes.wrong[doubtful[test(p, *self.domain.points(p, middle, middle))[1]]] = words

    def _edges(self, notes: _Notes, charts: Charts, p: int, rows: Indices, u: Patch, y: Patch) -> None:
        """The cover claim: boxes on a face of the domain, or the edge of a region, that is no boundary of M are held by another chart."""
        chart = charts.charts[p]
        edge = ~charts.beyond_edge(p, u.subset(rows))[1]
        for k, (low, high) in enumerate(chart.boundary):
            edge |= (not low) & (u.lower[rows, k] <= chart.domain.lower[k])
            edge |= (not high) & (u.upper[rows, k] >= chart.domain.upper[k])
        rows = rows[edge]
        if len(rows):
            bare = rows[~charts.held(p, u.subset(rows), y.subset(rows))]
            notes.open[bare] = "on an edge of the chart that is no boundary of M, and no other chart is shown to hold it"

    def _network(self, notes: _Notes, rows: Indices, u: Patch, y: Patch, some: _Some) -> None:
        """Only recorded winners may be chosen, and |f − q| ≤ bound whichever of them are, along every path to the last gate."""
        p, layer, members = some.piece, self.layers[-1], some.members
        far = rows if self.course is None else self._smoothly(notes, rows, some)
        decided = self.subject.routes is not None or layer.gate is None
        if self.subject.routes is not None:
            notes.wrong[rows[~members[rows, self.subject.routes[p]]]] = "the gate output that wins on the piece is not among the winners"
        if decided and not len(far):
            return
        frame = Frame(beside(y, self.shifts))
        state = self._arriving(frame)
        alone, allowed = np.bincount(state.box, minlength=len(rows)) == 1, members[rows[state.box]]
        possible = allowed
        if not decided:
            assert layer.gate is not None
            losing, first = frame.losing(layer.gate, layer.top_k, state.channels(layer.sees), 2 * self.subject.eta)
            possible = ~losing
            notes.open[rows[state.box[(possible & ~allowed).any(1)]]] = "an expert may be chosen that is not among the winners"
            strange = (first & ~allowed).any(1) & alone[state.box]
            notes.wrong[rows[state.box[strange]]] = "the gate chooses an expert that is not among the winners"
        left = np.flatnonzero(np.isin(rows[state.box], far))
        if not len(left) and self.subject.amiss is None:
            return
        truth = self._fixed(self.subject.truth(p, u, y))
        if self.subject.amiss is not None:
            left = self._amiss(notes, rows, self._held(p, u, y, members.shape[1]), frame, state, truth, possible, left)
        if layer.unit:
            everyone = np.ones((len(left), 1), bool) if layer.gate is None else allowed[left]
            self._within(notes, rows, truth, frame, _paths(frame, layer, state.subset(left), everyone), some, alone)
        else:
            self._weighed(notes, rows, truth, frame, state.subset(left), some, possible[left], allowed[left])

    def _amiss(
        self, notes: _Notes, rows: Indices, held: Flags, frame: Frame, state: Rows, truth: Patch, possible: Flags, left: Indices
    ) -> Indices:
        """Experts that do not hold a box weigh as little as is said, and no more than they may add to the error: which of the paths `left`
        that does not show to be within the bound.
        """
        assert self.subject.amiss is not None
        held = held[state.box]
        weigh = counts(frame, self.layers[-1], state, possible, held, self.subject.eta)
        notes.open[rows[state.box[~(weigh <= self.subject.amiss)]]] = "experts that do not hold the box may weigh too much"
        near, added = mixture(frame, self.layers[-1], state.subset(left), truth, possible[left], held[left], weigh[left])
        short = ~(near + added <= self.subject.bound)
        notes.open[rows[state.box[left[short]]]] = "|f − the mixture| is not shown to be within the bound"
        return left[:0]

    def _held(self, p: int, u: Patch, y: Patch, outputs: int) -> Flags:
        """Which gate outputs have charts that surely hold which boxes."""
        assert self.charts is not None
        copies = outputs // len(self.charts.atlas)
        return np.repeat(np.stack([self.charts.inside(j, p, u, y)[0] for j in range(len(self.charts.atlas))], axis=1), copies, axis=1)

    def _smoothly(self, notes: _Notes, rows: Indices, some: _Some) -> Indices:
        """|f − q| ≤ bound of every winner by jets, of the next degree where one does not show it: what is noted, and boxes of which
        something else may show what is claimed. Where weights need not add up to 1 that winners are close says nothing.
        """
        assert self.course is not None
        layer, left = self.layers[-1], rows[~some.close[rows]]
        if layer.weighting == "rectified":
            return left
        for degree, shown in self.shown.items():
            if not len(left) or (shown[0] > FEW_TRIED and shown[1] < shown[0] / 4 and degree != max(self.shown)):
                continue
            u, y = self.domain.jets(some.piece, self.course.space(self.domain.dimension, degree), some.lower[left], some.upper[left])
            truth, size, attained = self.subject.truth(some.piece, u, y).jets, *np.zeros((2, len(left)))
            for boxes, bound, at in self.course.apart(truth, y, some.members[left]):
                size[boxes], attained[boxes] = np.maximum(size[boxes], bound), np.maximum(attained[boxes], at)
            near = size <= self.subject.bound
            shown += len(left), near.sum()
            if layer.unit:
                notes.wrong[left[attained > some.bounds[left]]] = "|f − expert| exceeds the leaf's bound in the middle"
            some.close[left[near]] = True
            left = left[~near]
        if not layer.unit:
            return left
        notes.open[left] = "|f − expert| is not shown to be within the bound"
        return left[:0]

    def _within(self, notes: _Notes, rows: Indices, truth: Patch, frame: Frame, paths: Paths, some: _Some, alone: Flags) -> None:
        """Note the boxes on which a path is not shown to be within the bound."""
        for stored, found in paths:
            size, attained = difference(truth.subset(found.box), frame, found)
            if self.ridges is not None and len(far := np.flatnonzero(~(size <= self.subject.bound))):
                size[far] = np.fmin(size[far], self.ridges.bound(some.piece, stored, frame.y.value[found.box[far]]))
            box, bound = rows[found.box], some.bounds[rows[found.box]]
            notes.open[box[~(size <= self.subject.bound)]] = "|f − expert| is not shown to be within the bound"
            bad = (attained > bound) & alone[found.box]
            notes.wrong[box[bad]] = "|f − expert| exceeds the leaf's bound at a vertex"

    def _weighed(
        self, notes: _Notes, rows: Indices, truth: Patch, frame: Frame, state: Rows, some: _Some, possible: Flags, allowed: Flags
    ) -> None:
        """K experts weighed: every winner within the bound, if the weights are convex, or else every sum of K of them."""
        layer, convex = self.layers[-1], np.zeros(len(rows), bool)
        if layer.weighting != "rectified":
            alike = _Notes.of(len(notes.open))
            self._within(alike, rows, truth, frame, frame.choices(layer, state, allowed), some, np.zeros(len(rows), bool))
            convex = alike.open[rows] == ""
        left = np.flatnonzero(~convex[state.box])
        if len(left):
            alone = np.bincount(state.box, minlength=len(rows)) == 1
            alone &= ~np.isin(np.arange(len(rows)), state.box[possible.sum(1) > layer.top_k])
            sums = ((-1, found) for found in frame.sums(layer, state.subset(left), possible[left], self.subject.eta))
            self._within(notes, rows, truth, frame, sums, some, alone)

    def _followed(self, notes: _Notes, rows: Indices, u: Patch, y: Patch, p: int, bounds: Array) -> None:
        """|t − τ| ≤ bound for every score, and max τ ≥ floor, along every path to the last gate."""
        gate = self.layers[-1].gate
        assert self.scores is not None
        assert self.follows is not None
        assert gate is not None
        frame = Frame(beside(y, self.shifts))
        state = self._arriving(frame)
        tau, alone = frame.net(gate, state.channels(self.layers[-1].sees)), np.bincount(state.box, minlength=len(rows)) == 1
        size, attained = difference(self._fixed(self.scores(p, u, y)).subset(tau.box), frame, tau)
        box = rows[tau.box]
        notes.open[box[~(size <= self.subject.bound)]] = "|t − τ| is not shown to be within the bound"
        low = (frame.vertex_range(tau)[0] + frame.deviation(tau)[0]).max(1)
        notes.open[box[~(low >= self.follows.floor)]] = "max τ is not shown to reach its bound"
        notes.wrong[box[(attained > bounds[box]) & alone[tau.box]]] = "|t − τ| exceeds the leaf's bound at a vertex"
        at = tau.core[:, : frame.vertices] + (tau.rough[:, :1] + ULPS * np.abs(tau.core[:, : frame.vertices]))
        notes.wrong[box[(at.max(2).min(1) < self.follows.floor) & alone[tau.box]]] = "max τ is below its bound at a vertex"

    def _fixed(self, truth: Patch) -> Patch:
        """What does not change with what is read amiss, on the boxes of the frame."""
        return beside(truth, np.zeros((len(self.shifts), truth.value.lower.shape[1])))

    def _arriving(self, frame: Frame) -> Rows:
        """What the last layer reads, one row for every path that may lead there."""
        state = frame.start(self.subject.matrix)
        for layer in self.layers[:-1]:
            state = frame.behind(layer, state, self.subject.eta)
        return state


def _paths(frame: Frame, layer: Layer, state: Rows, possible: Flags) -> Paths:
    return frame.choices(layer, state, possible) if layer.nets else [(-1, frame.placed(layer, state, None))]


@dataclass(frozen=True, eq=False)
class _Notes:
    """Per box, in words: what is not yet shown, and what is wrong."""

    open: Words
    wrong: Words

    @staticmethod
    def of(boxes: int) -> _Notes:
        return _Notes(np.full(boxes, "", object), np.full(boxes, "", object))


class _Some(NamedTuple):
    """Boxes of a piece, with what their leaves say."""

    piece: int
    lower: Array
    upper: Array
    tags: NDArray[np.uint8]
    bounds: Array
    members: Flags
    close: Flags
    """Where f and q are shown to be within the bound already; noted here."""
