"""Krawczyk's operator on many boxes of tubes at once: where w(u) is, and that it is; the statements are in `implicit`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..expressions import Array
from ..expressions.frames import Frames
from ..expressions.implicit import Tube, product_of
from .arithmetic import Flags, Interval
from .decoration import SURE, Decoration, Decorations, least
from .natural import IntervalAlgebra
from .numbers import enclose_fraction
from .sides import settled
from .slopes import GradientAlgebra, Slope
from .spreads import Spread
from .systems import Matrix, inverted, less_one, norm

GUESSED = 1.25
"""How much wider than slopes at the middle of a box say w is first looked for."""
BENT = 4.0
"""And how much more for bending, in parts of the bending of a parabola that leaves the tube at its sides where it is tallest: a box that is
bent in one direction lets enclosures grow in all."""
INFLATED, INFLATE = 2, 1.1
"""Times that existence is tried around K, in a box that is so much wider than K."""


@dataclass(frozen=True, eq=False)
class Step:
    """Krawczyk's operator on n boxes."""

    lower: Array
    upper: Array
    """K, (n, m)."""
    along: Spread
    """G_u, (n, m, d)."""
    across: Spread
    """G_w, (n, m, m)."""
    inverse: Array
    known: Decorations
    """Of g on the boxes."""

    def put(self, rows: NDArray[np.intp], part: Step) -> None:
        """That of some boxes in their place."""
        pairs = [(self.along.middle, part.along.middle), (self.along.error, part.along.error)]
        pairs += [(self.across.middle, part.across.middle), (self.across.error, part.across.error)]
        for old, new in [*pairs, (self.lower, part.lower), (self.upper, part.upper), (self.inverse, part.inverse)]:
            old[rows] = new


@dataclass(frozen=True, eq=False)
class Boxes:
    """The equations over boxes of u, each in a tube: of one tube, or one tube for every box."""

    run: Callable[[Any, Sequence[Any]], list[Any]]
    frames: Frames
    """One row, or as many as boxes."""
    center: list[Interval]
    """(k): c, enclosed; a number each, or (n,)."""
    normal: Matrix
    """(k, m)."""
    tangent: Matrix
    """(k, d)."""
    tube: Tube | None = None
    """If it is one, which remembers what it solved last."""

    @staticmethod
    def of(tubes: Sequence[Tube], run: Callable[[Any, Sequence[Any]], list[Any]]) -> Boxes:
        """One box a tube, all with the same equations; of one tube any number of boxes."""
        m, one = tubes[0].codimension, len(tubes) == 1
        entries = [_enclosed(tube.reflections) for tube in tubes]
        k = len(entries[0])

        def column(i: int, j: int) -> Interval:
            if one:
                return entries[0][i][j]
            return Interval(np.array([float(e[i][j].lower) for e in entries]), np.array([float(e[i][j].upper) for e in entries]))

        frame = [[column(i, j) for j in range(k)] for i in range(k)]
        center = [Interval.of(tubes[0].center[i] if one else [tube.center[i] for tube in tubes]) for i in range(k)]
        return Boxes(run, Frames.of(tubes), center, [row[:m] for row in frame], [row[m:] for row in frame], tubes[0] if one else None)

    def rows(self, which: NDArray[np.intp]) -> Boxes:
        """The tubes of these numbers, one for every box."""
        if self.tube is not None:
            return self
        parts = [[a[which] for a in row] for row in (self.center, *self.normal, *self.tangent)]
        k = len(self.center)
        return Boxes(self.run, self.frames[which], parts[0], parts[1 : k + 1], parts[k + 1 :])

    def point(self, u: Sequence[Any], w: Sequence[Any], algebra: Any) -> list[Any]:
        """x(u, w) over any algebra; what is multiplied by 0 is left out."""
        found = []
        for c, tangent, normal in zip(self.center, self.tangent, self.normal, strict=True):
            some = [
                (a, part) for a, part in zip((*normal, *tangent), (*w, *u), strict=True) if (a.upper != 0).any() or (a.lower != 0).any()
            ]
            found.append(algebra.total([algebra.number(c), *(algebra.multiply(algebra.number(a), part) for a, part in some)]))
        return found

    def heights(self, n: int) -> list[Interval]:
        """W = ∏ [−h_l, h_l] of n boxes."""
        return [Interval(np.broadcast_to(-h, (n,)), np.broadcast_to(h, (n,))) for h in self.frames.heights.T]

    def holds(self, lower: Array, upper: Array) -> NDArray[np.bool_]:
        """Existence and uniqueness over boxes (n, d)."""
        whole = self.heights(len(lower))
        u = [Interval(lower[:, j], upper[:, j]) for j in range(lower.shape[1])]
        first, known = self.derivatives(u, whole)
        across = first[:, :, : len(whole)]
        unique = np.asarray((norm(across, inverted(across.middle)) < 1) & (known >= Decoration.SMOOTH))
        rows = np.flatnonzero(unique)
        unique[rows] = self.rows(rows).exists([side[rows] for side in u])
        return unique

    def exists(self, u: list[Interval]) -> NDArray[np.bool_]:
        """Where K of some box W′ lies inside W′, and W′ in the box of the tube: first around Newton's solution, then around K itself."""
        good, step = self.found(u)
        low, high = step.lower, step.upper
        for _ in range(INFLATED):
            rows = np.flatnonzero(~good & np.isfinite(high - low).all(1))
            if not len(rows):
                break
            here, part = self.rows(rows), [side[rows] for side in u]
            at, room = low[rows] / 2 + high[rows] / 2, INFLATE * (high - low)[rows] / 2
            heights = np.broadcast_to(here.frames.heights, at.shape)
            left, right = np.maximum(at - room, -heights), np.minimum(at + room, heights)
            inside = np.asarray((left < right).all(1))
            left, right = np.where(inside[:, None], left, -heights), np.where(inside[:, None], right, heights)
            step = here.step(part, left / 2 + right / 2, left, right)
            good[rows] = inside & (step.known >= Decoration.LIPSCHITZ) & ((step.lower > left) & (step.upper < right)).all(1)
            low[rows], high[rows] = step.lower, step.upper
        return good

    def found(self, u: list[Interval]) -> tuple[Flags, Step]:
        """Where K of a small box around Newton's solution lies inside that box, and in that of the tube; and all that was computed."""
        halves, heights = self.frames.halves, self.frames.heights
        middle, radius = _around(u)
        inside = np.clip(middle, -halves, halves)
        at = self.tube.solve(inside) if self.tube is not None else self.frames.solve(inside)
        lost = np.asarray(~np.isfinite(at).all(1))
        at[lost] = 0.0
        slopes = np.abs(np.nan_to_num(self.frames.slopes(middle, np.where(lost[:, None], np.nan, at)), nan=0.0))
        size = 1 + np.abs(self.frames.center).max(1)
        bend = BENT * heights.max(1, keepdims=True) * ((radius / halves) ** 2).sum(1, keepdims=True)
        room = GUESSED * np.einsum("nlj,nj->nl", slopes, radius) + bend + 2.0**-46 * size[:, None]
        low, high = np.minimum(np.maximum(at - room, -heights), at), np.maximum(np.minimum(at + room, heights), at)
        step = self.step(u, at, low, high)
        inside = ((step.lower > low) & (step.upper < high) & (np.abs(at) <= heights)).all(1)
        return np.asarray(~lost & (step.known >= Decoration.LIPSCHITZ) & inside), step

    def derivatives(self, u: Sequence[Interval], box: Sequence[Interval]) -> tuple[Spread, Decorations]:
        """[G_w G_u] on U × W of n boxes, (n, m, k), and what is known of g there.

        Slopes are followed along all columns of [N T] at once, as (k, n) numbers.
        """
        shape = np.broadcast_shapes(*(side.lower.shape for side in (*u, *box)))
        x = self.point(u, box, IntervalAlgebra())
        found = self.run(GradientAlgebra(), [Slope(side, {0: row}) for side, row in zip(x, self.turn, strict=True)])
        rows = [settled(part.partials, part.value, Decoration.LIPSCHITZ, 1)[0] for part in found]
        first = Spread.stacked(rows, (len(x), *shape))
        known = reduce(least, (part.value.decoration for part in found), SURE)
        return Spread(*(np.moveaxis(part, 0, -1) for part in (first.middle, first.error))), np.broadcast_to(known, shape)

    @cached_property
    def turn(self) -> list[Interval]:
        """The rows of [N T], (k, 1) or (k, n) each."""
        rows = [(*normal, *tangent) for normal, tangent in zip(self.normal, self.tangent, strict=True)]
        return [Interval(*(np.stack([np.atleast_1d(getattr(a, end)) for a in row]) for end in ("lower", "upper"))) for row in rows]

    def step(self, u: list[Interval], at: Array, lower: Array, upper: Array) -> Step:
        """K on U × W around the middle of U and w₀ = `at` (n, m), Y from the derivatives there; W from `lower` to `upper`, (n, m)."""
        m, (middle, _) = at.shape[1], _around(u)
        box = [Interval(low, high) for low, high in zip(lower.T, upper.T, strict=True)]
        first, known = self.derivatives(u, box)
        across, along, inverse = first[:, :, :m], first[:, :, m:], inverted(self.frames.across(middle, at))
        start = self.run(
            IntervalAlgebra(),
            self.point([Interval.of(part) for part in middle.T], [Interval.of(part) for part in at.T], IntervalAlgebra()),
        )
        weights, n = Spread.exact(inverse), (len(at),)
        aside = Spread.stacked([side - Interval.of(part) for side, part in zip(u, middle.T, strict=True)], n)
        above = Spread.stacked([side - Interval.of(part) for side, part in zip(box, at.T, strict=True)], n)
        # Y·G_u first, where equations cancel: w moves as its slopes say, not as far as each equation alone would let it.
        moved = weights.times(Spread.stacked(start, n), "nij,nj->ni")
        moved = moved + weights.times(along, "nij,njd->nid").times(aside, "nid,nd->ni")
        moved = moved + less_one(across, inverse).times(above, "nij,nj->ni")
        image = Interval.of(at) - moved.interval
        return Step(image.lower, image.upper, along, across, inverse, known)


def _around(u: Sequence[Interval]) -> tuple[Array, Array]:
    """Middles of boxes, (n, d), and at least their half-widths."""
    middle = np.stack([side.middle for side in u], axis=1)
    reach = [np.maximum(side.upper - part, part - side.lower) for side, part in zip(u, middle.T, strict=True)]
    return middle, np.nextafter(np.stack(reach, axis=1), np.inf)


@lru_cache(maxsize=1 << 13)
def _enclosed(reflections: tuple[tuple[int, ...], ...]) -> Matrix:
    """[N T]; see `Tube.frame`."""
    return [[enclose_fraction(a) for a in row] for row in product_of(reflections)]
