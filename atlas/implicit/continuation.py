"""Charts without an edge: where each ends, others hold its points, so that together they are connected components of the zeros.

Lemma (B23). Let each of finitely many tubes hold exactly one zero over each u of its closed box, in the open box of w, and let
M = {x ∈ box : g(x) = 0, h(x) ≥ 0}. If every point of M on a face of a chart (u_j = ± s_j) lies strictly in another of the tubes, the union
of the charts is, within M, a union of connected components of M: of those that meet the charts. It is closed, as charts are compact. It is
open in M: zeros near a point of a chart with u in the open box have coordinates in its tube, as w(u) is in the open box of w, and belong to
that chart; on a face the point has coordinates in the open boxes of another tube, is a point of that chart, and the same holds there.

Nothing is said of zeros that no chart meets: components elsewhere. Only cells of faces are looked at, of dimension d − 1, so that the
dimension of the space does not matter: over each, x lies in m + A·[−1, 1]^d + a ball (`spans`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ...expressions.box import Array, halved
from ...expressions.frames import Frames
from ...expressions.implicit import Tube
from ...intervals import Flags, Interval, NaturalEnclosure
from ...intervals.program import Program
from .cover import Held
from .spans import Spans
from .zeros import ZeroSet

AT_ONCE = 1 << 10
MOST_CELLS = 1 << 21
FIRST = 2
"""Cells of a face to begin with, along each of its sides."""
FINEST = 2.0**-10
"""Sides of cells, in parts of those of the chart, that are not halved any more."""


@dataclass(frozen=True, eq=False)
class Continued:
    """What became of the cells of faces."""

    cells: int
    """That were looked at."""
    open: Array | None
    """A point of a face that no other chart is shown to hold, (k,); None: there is none."""


@dataclass(frozen=True, eq=False)
class _Cells:
    """Of faces: each in the box of u of its chart."""

    owner: NDArray[np.intp]
    lower: Array
    upper: Array

    def __len__(self) -> int:
        return len(self.owner)

    def __getitem__(self, rows: NDArray[np.intp] | slice) -> _Cells:
        return _Cells(self.owner[rows], self.lower[rows], self.upper[rows])

    @staticmethod
    def joined(parts: Sequence[_Cells]) -> _Cells:
        return _Cells(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("owner", "lower", "upper")))


@dataclass(frozen=True, eq=False)
class Edges:
    """Points of faces that no chart holds, and where M goes on."""

    points: Array
    """(n, k)."""
    outward: Array
    """Along the axis of the chart that ends there, as long as its half-width, (n, k)."""
    axes: Array
    """T of that chart, (n, k, d)."""

    def __len__(self) -> int:
        return len(self.points)

    @staticmethod
    def of(frames: Frames, cells: _Cells, points: Array) -> Edges:
        """Of cells of faces with these middles."""
        tangent, n = frames.tangent[cells.owner], np.arange(len(cells))
        axis = (cells.upper - cells.lower).argmin(1)
        return Edges(points, tangent[n, :, axis] * cells.lower[n, axis][:, None], tangent)


class Continuation:
    """Faces of charts, cut until each cell is held by another; it can go on with more charts where some are missing."""

    def __init__(self, zeros: ZeroSet, most: int = MOST_CELLS) -> None:
        self._zeros, self._run, self._most = zeros, Program(zeros.equations), most
        self._within = None if zeros.within is None else NaturalEnclosure(zeros.within)
        self._groups: list[tuple[int, Spans]] = []
        self._cells: _Cells | None = None
        self._known = self._looked = 0

    def goes_on(self, tubes: Sequence[Tube], part: float = 1.0, well: float = 1.0) -> tuple[Continued, Edges]:
        """What became of all cells; or zeros on faces that no tube holds. The tubes are those of before, and more.

        `part`: of the half-widths of u, in which cells count as held. `well`: less than that; of cells that are not held, those with a
        middle in that part are cut, and for the others another chart is asked for.
        """
        self._grow(tubes)
        assert self._cells is not None
        held, frames, missing = Held(tubes, part), Frames.of(tubes), [np.zeros((0, self._zeros.box.dimension))]
        aside, left = [], self._cells
        while len(left):
            some, left = left[-AT_ONCE:], left[:-AT_ONCE]
            self._looked += len(some)
            x, span, ball = self._spans(some)
            done = held.holds_bent(x, span, ball) | self._outside(x, span, ball)
            rows = np.flatnonzero(~done)
            bare = ~frames.holds(x[rows], well).any(0) & self._zeros.holds(x[rows]) if len(rows) else np.zeros(0, bool)
            if len(rows) and not bare.all() and (self._looked > self._most or self._small(frames, some[rows[~bare]])):
                return Continued(self._looked, x[rows[~bare][0]]), Edges.of(frames, some[rows[:0]], x[rows[:0]])
            missing.append(x[rows[bare]])
            aside.append(some[rows[bare]])
            again = some[rows[~bare]]
            side = ((again.upper - again.lower) / frames.halves[again.owner]).argmax(1)
            low, high = halved(again.lower, again.upper, side, beside=True)
            left = _Cells.joined([left, _Cells(np.repeat(again.owner, 2), low, high)])
        self._cells = _Cells.joined(aside) if aside else self._cells[:0]
        points = np.concatenate(missing)
        return Continued(self._looked, points[0] if len(points) else None), Edges.of(frames, self._cells, points)

    def _grow(self, tubes: Sequence[Tube]) -> None:
        new = tubes[self._known :]
        if not new:
            return
        self._groups.append((self._known, Spans(new, self._run)))
        faces = [_faces(self._known + i, np.array(tube.halves)) for i, tube in enumerate(new)]
        self._cells = _Cells.joined([*([self._cells] if self._cells is not None else []), *faces])
        self._known = len(tubes)

    def _spans(self, cells: _Cells) -> tuple[Array, Array, Array]:
        """Where x is, over cells of charts of any group."""
        starts = np.array([start for start, _ in self._groups])
        group = np.searchsorted(starts, cells.owner, side="right") - 1
        parts, order = [], []
        for g in np.unique(group).tolist():
            rows = np.flatnonzero(group == g)
            parts.append(self._groups[g][1](cells.owner[rows] - starts[g], cells.lower[rows], cells.upper[rows]))
            order.append(rows)
        back = np.argsort(np.concatenate(order))
        return tuple(np.concatenate(part)[back] for part in zip(*parts, strict=True))  # type: ignore[return-value]

    def _outside(self, x: Array, span: Array, ball: Array) -> Flags:
        """Cells that are off M: beyond the box, or where h < 0."""
        room = (np.abs(span).sum(2) + ball[:, None]) * (1 + 2.0**-40) + 2.0**-40 * (1 + np.abs(x))
        low, high = x - room, x + room
        found = np.asarray(((low > self._zeros.box.upper) | (high < self._zeros.box.lower)).any(1))
        if self._within is not None:
            known = np.isfinite(room).all(1)
            sides = [Interval(np.where(known, a, -np.inf), np.where(known, b, np.inf)) for a, b in zip(low.T, high.T, strict=True)]
            for value in self._within(sides):
                found |= value.upper < 0
        return found

    @staticmethod
    def _small(frames: Frames, cells: _Cells) -> bool:
        return bool((cells.upper - cells.lower <= 2 * FINEST * frames.halves[cells.owner]).all(1).any())


def _faces(owner: int, halves: Array) -> _Cells:
    """The 2·d faces of a box of u, each in some cells."""
    d = len(halves)
    lower, upper = [], []
    edges = np.linspace(-1, 1, FIRST + 1)
    grid = np.array(list(product(range(FIRST), repeat=d - 1)), int)
    for j in range(d):
        for end in (-1.0, 1.0):
            low, high = (np.insert(edges[grid + side].reshape(len(grid), d - 1), j, end, axis=1) for side in (0, 1))
            lower.append(low * halves)
            upper.append(high * halves)
    low, high = np.concatenate(lower), np.concatenate(upper)
    return _Cells(np.full(len(low), owner), low, high)


def continued(zeros: ZeroSet, tubes: Sequence[Tube]) -> Continued:
    """Whether the charts of these tubes, which are proved, are shown to have no edge in M."""
    return Continuation(zeros).goes_on(tubes)[0]
