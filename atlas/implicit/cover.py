"""Branch and bound over the box: no zero in a cell, or a tube that holds the cell, or two halves of it.

Lemma. Let the tube of chart p hold one zero over each u (`intervals.implicit`), and let a cell X of the box lie in the tube: Tᵀ(X − c)
in ∏ [−s_j, s_j] and Nᵀ(X − c) in ∏ [−h_l, h_l]. Then every zero of g in X is a point of chart p: x = x(u, w) with u = Tᵀ(x − c) and
w = Nᵀ(x − c), as [T N] is orthogonal, and w is the one zero over u. So if every cell is excluded (0 ∉ g(X), or h(X) < 0) or held, all of
{x ∈ box : g(x) = 0, h(x) ≥ 0} lies in charts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...expressions.box import Array, halved
from ...expressions.frames import Frames
from ...expressions.implicit import Tube
from ...intervals import Flags, Interval, NaturalEnclosure
from ...intervals.gradients import GradientEnclosure
from .zeros import ZeroSet

BATCH = 1 << 13
MOST_CELLS = 1 << 22
NEAREST = 4
"""Tubes that are tried for a cell."""
ROWS = 1 << 10
"""Cells for which all tubes are compared at a time."""
FINEST = 2.0**-26
"""Sides of cells, in parts of the box, that are not halved any more."""
SMALL_ON_FACES = 2.0**-10
"""The same of faces."""


@dataclass(frozen=True, eq=False)
class Covered:
    """What became of the cells."""

    cells: int
    """That were looked at."""
    open: tuple[Array, Array] | None
    """A cell of which nothing is known at the smallest size, or when there were too many; None: all are settled."""


class Held:
    """Which cells tubes hold, all with the same equations."""

    def __init__(self, tubes: Sequence[Tube], part: float = 1.0) -> None:
        """`part`: of the half-widths that counts."""
        self.centers = np.array([tube.center for tube in tubes])
        frames = [np.concatenate([tube.tangent, tube.normal], axis=1) for tube in tubes]
        self.frames, self.limits = np.array(frames), np.array([(*(part * s for s in tube.halves), *tube.heights) for tube in tubes])
        k = self.centers.shape[-1]
        self._side_by_side = np.moveaxis(self.frames, 0, 1).reshape(k, -1) if tubes else np.zeros((k, 0))
        self._offsets = np.einsum("ek,ekj->ej", self.centers, self.frames).ravel() if tubes else np.zeros(0)

    def holds(self, lower: Array, upper: Array, allowed: Flags | None = None) -> Flags:
        """Cells (n, k) that lie strictly in one of the tubes that hold their middles best, of those that are allowed."""
        middle, radius = lower + (upper - lower) / 2, np.nextafter((upper - lower) / 2, np.inf)
        found = np.zeros(len(lower), bool)
        usable = np.arange(len(self.limits)) if allowed is None else np.flatnonzero(allowed)
        if not len(usable):
            return found
        for start in range(0, len(lower), ROWS):
            some = slice(start, start + ROWS)
            for which in self._best(middle[some], usable).T:
                rows = start + np.flatnonzero(~found[some])
                found[rows] = self._inside(middle[rows], radius[rows], which[rows - start])
        return found

    def holds_bent(self, middle: Array, span: Array, ball: Array) -> Flags:
        """Whether all of m + A·[−1, 1]^d and a ball around each of its points lies strictly in a tube; (n, k), (n, k, d) and (n,)."""
        found, size = np.zeros(len(middle), bool), np.abs(span).sum(2)
        if not len(self.limits):
            return found
        for start in range(0, len(middle), ROWS):
            some = slice(start, start + ROWS)
            for which in self._best(middle[some], np.arange(len(self.limits))).T:
                rows = start + np.flatnonzero(~found[some])
                frames = self.frames[which[rows - start]]
                # [N T] is orthogonal: coordinates of a ball are no larger than it is, nor those of A than its columns.
                more = np.abs(np.swapaxes(span[rows], 1, 2) @ frames).sum(1) + ball[rows, None]
                found[rows] = self._inside(middle[rows], np.zeros((len(rows), 1)), which[rows - start], more, size[rows])
        return found

    def _best(self, middle: Array, usable: NDArray[np.intp]) -> NDArray[np.intp]:
        """The tubes in which points (n, k) are farthest from the sides, in parts of them, the best first."""
        away = np.abs(middle @ self._side_by_side - self._offsets).reshape(len(middle), *self.limits.shape) / self.limits
        depth = away.max(2)[:, usable]
        count = min(NEAREST, len(usable))
        first = np.argpartition(depth, count - 1, axis=1)[:, :count] if count < len(usable) else np.tile(np.arange(count), (len(middle), 1))
        order = np.argsort(np.take_along_axis(depth, first, axis=1), axis=1)
        return np.asarray(usable[np.take_along_axis(first, order, axis=1)])

    def _inside(self, middle: Array, radius: Array, which: NDArray[np.intp], more: Array | float = 0.0, size: Array | float = 0.0) -> Flags:
        """Cells that lie strictly in these tubes, whatever rounding does; `more` in coordinates of the tube, from vectors of this size."""
        k, frames, offset = middle.shape[1], self.frames[which], middle - self.centers[which]
        reach = np.abs(np.einsum("nk,nkj->nj", offset, frames)) + np.einsum("nk,nkj->nj", radius, np.abs(frames)) + more
        # Entries of frames are off by half a unit in the last place, offsets by as much of what they are differences of.
        lost = (2 * k + 16) * np.finfo(float).eps * (np.abs(middle) + np.abs(self.centers[which]) + radius + size).sum(1)
        return np.asarray(np.all(reach + lost[:, None] < self.limits[which], axis=1))


class Zeros:
    """Cells without a zero, by intervals."""

    def __init__(self, zeros: ZeroSet) -> None:
        self._gradient = GradientEnclosure(zeros.equations)
        self._value = NaturalEnclosure(zeros.equations)
        self._within = None if zeros.within is None else NaturalEnclosure(zeros.within)

    def excluded(self, lower: Array, upper: Array) -> Flags:
        """0 ∉ g_l(X) for some l, by values or by g(m) + ∇g(X)·(X − m); or h_l(X) < 0 for some l."""
        sides = [Interval(lower[:, i], upper[:, i]) for i in range(lower.shape[1])]
        middle = [Interval.of(side.middle) for side in sides]
        values, partials = self._gradient(sides)
        found = np.zeros(len(lower), bool)
        for value, start, row in zip(values, self._value(middle), partials, strict=True):
            total = start
            for slope, side, m in zip(row, sides, middle, strict=True):
                total = total + slope * (side - m)
            found |= ~value.contains_zero() | ~total.contains_zero()
        if self._within is not None:
            for value in self._within(sides):
                found |= value.upper < 0
        return found


class Search:
    """Cells of the box, halved until each is settled; it can go on with more tubes where some were missing."""

    def __init__(self, zeros: ZeroSet, most: int = MOST_CELLS) -> None:
        self._zeros, self._without, self._most = zeros, Zeros(zeros), most
        self._lower, self._upper = np.array([zeros.box.lower]), np.array([zeros.box.upper])
        self._looked = 0

    def goes_on(self, tubes: Sequence[Tube], part: float = 1.0, wanted: float = 0.0) -> tuple[Covered, Array]:
        """What became of all cells; or where a chart is missing: zeros (n, k) in cells no wider than `wanted` that no tube holds."""
        zeros, held, widths = self._zeros, Held(tubes, part), self._zeros.box.widths
        frames = Frames.of(tubes) if tubes else None
        while len(self._lower):
            count = min(BATCH, len(self._lower))
            low, high = self._lower[-count:], self._upper[-count:]
            self._lower, self._upper = self._lower[:-count], self._upper[:-count]
            self._looked += count
            left = np.flatnonzero(~held.holds(low, high))
            left = left[~self._without.excluded(low[left], high[left])]
            low, high = low[left], high[left]
            if len(low) and (self._looked > self._most or ((high - low) <= FINEST * widths).all(1).any()):
                n = int((high - low).max(1).argmin())
                return Covered(self._looked, (low[n], high[n])), np.zeros((0, zeros.box.dimension))
            first, second = halved(low, high, ((high - low) / widths).argmax(1), beside=True)
            self._lower, self._upper = np.concatenate([self._lower, first]), np.concatenate([self._upper, second])
            small = (high - low).max(1) <= wanted if len(low) else np.zeros(0, bool)
            if small.any() and frames is not None and len(missing := self._missing(low[small], high[small], frames, part)):
                return Covered(self._looked, (low[0], high[0])), missing
        return Covered(self._looked, None), np.zeros((0, zeros.box.dimension))

    def _missing(self, lower: Array, upper: Array, frames: Frames, part: float) -> Array:
        middle = (lower + upper) / 2
        x = self._zeros.projected(middle)
        near = np.isfinite(x).all(1) & (np.abs(x - middle) <= upper - lower).all(1)
        x = x[near]
        x = x[self._zeros.box.contains(x)]
        return x[~frames.holds(x, part).any(0)] if len(x) else x


def cover(zeros: ZeroSet, tubes: Sequence[Tube], *, part: float = 1.0, most: int = MOST_CELLS) -> Covered:
    """Whether all zeros in the box are shown to lie in the tubes."""
    return Search(zeros, most).goes_on(tubes, part)[0]


def edge_cell(zeros: ZeroSet, most: int = MOST_CELLS) -> tuple[Array, Array] | None:
    """A cell of a face of the box that may hold a zero; None: there is no zero on any face."""
    without, box, k = Zeros(zeros), zeros.box, zeros.box.dimension
    for i in range(k):
        for end in (box.lower[i], box.upper[i]):
            lower, upper = np.array([box.lower]), np.array([box.upper])
            lower[:, i] = upper[:, i] = end
            looked = 0
            while len(lower):
                looked += len(lower)
                left = np.flatnonzero(~without.excluded(lower, upper))
                lower, upper = lower[left], upper[left]
                thin = upper - lower <= SMALL_ON_FACES * box.widths
                if len(lower) and (looked > most or thin.all(1).any()):
                    n = int((upper - lower).max(1).argmin())
                    return lower[n], upper[n]
                lower, upper = halved(lower, upper, ((upper - lower) / box.widths).argmax(1), beside=True)
    return None
