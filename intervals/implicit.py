"""w(u), the zero of the equations of a tube, enclosed over boxes by Krawczyk's operator, with its first derivatives.

Let g be Lipschitz on the image of U × W under x(u, w) = c + T·u + N·w, both boxes, with [G_u G_w] ∋ every difference quotient of g there
(an enclosure of the derivatives of g∘x), u₀ ∈ U, w₀ ∈ W, and Y any matrix.

* Inclusion. K = w₀ − Y·g(x(u₀, w₀)) − Y·G_u·(U − u₀) + (1 − Y·G_w)·(W − w₀) holds every w ∈ W with g(x(u, w)) = 0 for some u ∈ U.
  [g(x(u, w)) = g(x(u₀, w₀)) + A·(u − u₀) + B·(w − w₀) with A ∈ G_u, B ∈ G_w; multiply by Y and add w.]
* Existence. If K lies in the interior of W, there is for every u ∈ U a w ∈ W with g(x(u, w)) = 0. [Brouwer, for w ↦ w − Y·g(x(u, w)),
  which maps W into K; Y is then regular, as 1 − Y·B maps a box around 0 into its interior, for every B ∈ G_w.]
* Uniqueness. If ‖1 − Y·B‖_∞ < 1 for every B ∈ G_w, there is at most one such w in W for each u. [Y·B is regular, so B is.]
* Derivatives. Where g is continuously differentiable and the last holds, w is, with w′ = −(Dg·N)⁻¹·Dg·T (implicit function theorem).
* Linear equations. ‖1 − Y·B‖_∞ ≤ r < 1 and B·v = b: v = Y·b + (1 − Y·B)·v, so |v|_∞ ≤ |Y·b|_∞/(1 − r).

That all of a tube has exactly one zero over each u is proved once (`Equations.proved`), on boxes of u with all of ∏[−h_l, h_l] for
uniqueness; then inclusion alone is enough on any part of it. All arithmetic is outwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np

from ..expressions import Array, box_cells
from ..expressions.implicit import Tube
from .algebra import NotEnclosed
from .arithmetic import Flags, Interval
from .decoration import SURE, Decoration, Decorations, least
from .derivatives import ZERO
from .natural import IntervalAlgebra
from .numbers import enclose_fraction
from .sides import settled
from .slopes import GradientAlgebra, Slope

GUESSED = 1.25
"""How much wider than slopes at the middle of a box say w is first looked for."""
BENT = 4.0
"""And how much more for bending, in parts of the bending of a parabola that leaves the tube at its sides."""
GROW = 1 + 2.0**-40
"""Covers the few roundings with which a norm is computed."""
MOST_BOXES, FINEST = 1 << 15, 2.0**-12
"""Boxes of one tube that are looked at in a proof, and their least sides in parts of the tube's."""
FIRST_BOXES = 16
"""About so many to begin with."""
REFINED = 3
"""Times that an inclusion is repeated where w is not found to be in a small box."""
Matrix = list[list[Interval]]


@dataclass(frozen=True, eq=False)
class Solution:
    """Where w is, box by box; elementwise of any shape."""

    values: list[Interval]
    slopes: Matrix
    across: Matrix
    """G_w."""
    inverse: Array
    """Y, (…, m, m)."""

    def linear(self, right: Sequence[Interval]) -> list[Interval]:
        return solved(self.across, self.inverse, right)


@dataclass(frozen=True, eq=False)
class _Step:
    """Krawczyk's operator on n boxes."""

    image: list[Interval]
    """K, (m)."""
    along: Matrix
    """G_u, (m, d)."""
    across: Matrix
    inverse: Array
    known: Decorations
    """Of g on the boxes."""


class Equations:
    """The equations of one tube, with a way to compute them over any algebra."""

    def __init__(self, tube: Tube, run: Callable[[Any, Sequence[Any]], list[Any]]) -> None:
        self.tube, self.run = tube, run
        m = tube.codimension
        frame = [[enclose_fraction(a) for a in row] for row in tube.frame]
        self._normal, self._tangent = [row[:m] for row in frame], [row[m:] for row in frame]
        self._center = [Interval.of(c) for c in tube.center]
        self._halves, self._heights = np.array(tube.halves), np.array(tube.heights)

    def point(self, u: Sequence[Any], w: Sequence[Any], algebra: Any) -> list[Any]:
        """x(u, w) over any algebra; what is multiplied by 0 is left out."""
        found = []
        for c, tangent, normal in zip(self._center, self._tangent, self._normal, strict=True):
            terms = [(a, part) for a, part in zip((*normal, *tangent), (*w, *u), strict=True) if a.upper != 0 or a.lower != 0]
            found.append(algebra.total([algebra.number(c), *(algebra.multiply(algebra.number(a), part) for a, part in terms)]))
        return found

    @cached_property
    def proved(self) -> bool:
        """Whether it is proved that for every u of the tube there is exactly one w in its box, and w is a C² function of u."""
        return self.prove(MOST_BOXES)

    def prove(self, most: int) -> bool:
        """The same, with so many boxes; what is proved stays so."""
        done = self._exactly_one(most)
        if done:
            self.__dict__["proved"] = True
        return done

    def _exactly_one(self, most: int) -> bool:
        lower, upper = box_cells(-self._halves, self._halves, FIRST_BOXES)
        looked = 0
        with np.errstate(all="ignore"):
            while len(lower):
                looked += len(lower)
                if looked > most or ((upper - lower) < FINEST * 2 * self._halves).all(1).any():
                    return False
                left = np.flatnonzero(~self._holds(lower, upper))
                lower, upper = lower[left], upper[left]
                side, rows = ((upper - lower) / self._halves).argmax(1), np.arange(len(left))
                middle = lower[rows, side] + (upper[rows, side] - lower[rows, side]) / 2
                low, high = lower.copy(), upper.copy()
                high[rows, side] = low[rows, side] = middle
                lower, upper = np.concatenate([lower, low]), np.concatenate([high, upper])
        return True

    def _holds(self, lower: Array, upper: Array) -> Flags:
        """Existence and uniqueness over boxes (n, d)."""
        whole = [Interval(np.full(len(lower), -h), np.full(len(lower), h)) for h in self._heights]
        u, zero = [Interval(lower[:, j], upper[:, j]) for j in range(lower.shape[1])], np.zeros((len(lower), len(whole)))
        wide = self._step(u, zero, whole)
        middle = np.stack([np.stack([a.middle for a in row], axis=-1) for row in wide.across], axis=-2)
        unique = norm(wide.across, inverted(middle)) < 1
        return unique & (wide.known >= Decoration.SMOOTH) & self._found(u)[0]

    def _found(self, u: list[Interval]) -> tuple[Flags, list[Interval], _Step]:
        """Where K of a small box around Newton's solution lies inside that box, and in that of the tube; K, and all that was computed."""
        middle = np.stack([np.broadcast_to(side.middle, u[0].lower.shape) for side in u], axis=1)
        radius = np.stack([np.nextafter(np.maximum(side.upper - side.middle, side.middle - side.lower), np.inf) for side in u], axis=1)
        at = self.tube.solve(np.clip(middle, -self._halves, self._halves))
        lost = ~np.isfinite(at).all(1)
        at[lost] = 0.0
        slopes = np.abs(np.nan_to_num(self.tube.slopes(middle), nan=0.0))
        size = 1 + np.abs(np.array(self.tube.center)).max()
        bend = BENT * self._heights * ((radius / self._halves) ** 2).sum(1, keepdims=True)
        room = GUESSED * np.einsum("nlj,nj->nl", slopes, radius) + bend + 2.0**-46 * size
        low, high = np.maximum(at - room, -self._heights), np.minimum(at + room, self._heights)
        box = [Interval(np.minimum(low[:, l], at[:, l]), np.maximum(high[:, l], at[:, l])) for l in range(at.shape[1])]
        step = self._step(u, at, box)
        good = ~lost & (step.known >= Decoration.LIPSCHITZ)
        for l, (image, side, h) in enumerate(zip(step.image, box, self._heights, strict=True)):
            good = good & (image.lower > side.lower) & (image.upper < side.upper) & (np.abs(at[:, l]) <= h)
        return good, step.image, step

    def _derivatives(self, u: Sequence[Interval], box: Sequence[Interval]) -> tuple[Matrix, Matrix, Decorations]:
        """G_u, G_w, and what is known of g, on U × W."""
        d, one, algebra = len(u), Interval.of(1.0), GradientAlgebra()
        sides = [Slope(side, {j: one}) for j, side in enumerate((*u, *box))]
        found = self.run(algebra, self.point(sides[:d], sides[d:], algebra))
        shape = np.broadcast_shapes(*(side.lower.shape for side in (*u, *box)))
        settle = [settled(part.partials, part.value, Decoration.LIPSCHITZ, len(sides)) for part in found]
        partials = [{j: broadcast(part[j], shape) for j in range(len(sides))} for part in settle]
        known = reduce(least, (part.value.decoration for part in found), SURE)
        return [[part[j] for j in range(d)] for part in partials], [[part[j] for j in range(d, len(sides))] for part in partials], known

    def across(self, u: Sequence[Interval], box: Sequence[Interval]) -> Matrix:
        """G_w on U × W, of any shape."""
        return self._derivatives(u, box)[1]

    def _step(self, u: list[Interval], at: Array, box: list[Interval]) -> _Step:
        """K on U × W around the middle of U and w₀ = `at` (n, m), Y from the derivatives there."""
        d, m, n = len(u), at.shape[1], len(at)
        middle = np.stack([np.broadcast_to(side.middle, (n,)) for side in u], axis=1)
        along, across, known = self._derivatives(u, box)
        jacobian = self.tube.equations.jacobian_at(self.tube.point(middle, at))
        inverse = inverted(jacobian @ self.tube.normal)
        start = self.run(
            IntervalAlgebra(),
            self.point([Interval.of(middle[:, j]) for j in range(d)], [Interval.of(at[:, l]) for l in range(m)], IntervalAlgebra()),
        )
        moved = [
            total([*(g * (side - Interval.of(middle[:, j])) for j, (g, side) in enumerate(zip(row, u, strict=True))), value])
            for row, value in zip(along, start, strict=True)
        ]
        image = []
        for l, row in enumerate(less_one(across, inverse)):
            parts = [Interval.of(at[:, l]), *(-(Interval.of(inverse[:, l, i]) * part) for i, part in enumerate(moved))]
            parts += [-(b * (side - Interval.of(at[:, i]))) for i, (b, side) in enumerate(zip(row, box, strict=True))]
            image.append(broadcast(total(parts), (n,)))
        return _Step(image, along, across, inverse, np.broadcast_to(known, (n,)))

    def solve(self, u: Sequence[Interval]) -> Solution:
        """w over boxes whose sides are the intervals, of any shape; what is known of it is in the decorations."""
        shape = np.broadcast_shapes(*(side.lower.shape for side in u))
        inside: Flags = np.full(shape, self.proved)
        for side, s in zip(u, self._halves, strict=True):
            inside = inside & (side.lower >= -s) & (side.upper <= s)
        inside = inside.ravel()
        flat = [
            broadcast(Interval(np.clip(side.lower, -s, s), np.clip(side.upper, -s, s)), shape)
            for side, s in zip(u, self._halves, strict=True)
        ]
        flat = [Interval(side.lower.ravel(), side.upper.ravel()) for side in flat]
        with np.errstate(all="ignore"):
            good, values, step = self._found(flat)
            if not good.all():
                values, step = self._refined(flat, good, values, step)
            heights = [Interval(np.full(len(inside), -h), np.full(len(inside), h)) for h in self._heights]
            values = [value.meet(height) for value, height in zip(values, heights, strict=True)]
            slopes = [solved(step.across, step.inverse, [-row[j] for row in step.along]) for j in range(len(u))]
        known = reduce(
            least, (side.decoration for side in u), np.where(inside, Decoration.SMOOTH, Decoration.NOTHING).astype(np.uint8).reshape(shape)
        )
        values = [Interval(v.lower.reshape(shape), v.upper.reshape(shape), known) for v in values]
        rows: Matrix = [[shaped(column[l], shape) for column in slopes] for l in range(len(values))]
        across = [[shaped(a, shape) for a in row] for row in step.across]
        return Solution(values, rows, across, step.inverse.reshape(*shape, *step.inverse.shape[1:]))

    def _refined(self, u: list[Interval], good: Flags, values: list[Interval], step: _Step) -> tuple[list[Interval], _Step]:
        """Where w is not found in a small box: inclusion in all of the tube, some times."""
        rows = np.flatnonzero(~good)
        part, whole = [side[rows] for side in u], [Interval(np.full(len(rows), -h), np.full(len(rows), h)) for h in self._heights]
        for _ in range(REFINED):
            at = np.stack([side.middle for side in whole], axis=1)
            again = self._step(part, at, whole)
            whole = [Interval(np.fmax(a.lower, b.lower), np.fmin(a.upper, b.upper)) for a, b in zip(again.image, whole, strict=True)]
            whole = [Interval(np.minimum(a.lower, a.upper), np.maximum(a.lower, a.upper)) for a in whole]
        for value, side in zip(values, whole, strict=True):
            value.lower[rows], value.upper[rows] = side.lower, side.upper
        n = len(good)
        matrices = [[[broadcast(a, (n,)) for a in row] for row in of] for of in (step.along, step.across)]
        for of, other in zip(matrices, (again.along, again.across), strict=True):
            for row, new in zip(of, other, strict=True):
                for a, b in zip(row, new, strict=True):
                    a.lower[rows], a.upper[rows] = b.lower, b.upper
        inverse = step.inverse.copy()
        inverse[rows] = again.inverse
        return values, _Step(values, matrices[0], matrices[1], inverse, step.known)


def slopes_of(algebra: object, solver: Equations, u: Sequence[Any]) -> Matrix:
    """∂_j w_l as numbers of an algebra: of intervals only. Raises `NotEnclosed` for others."""
    if not isinstance(algebra, IntervalAlgebra):
        raise NotEnclosed(
            "derivatives of a solution of equations are enclosed by intervals only; differentiate by enclosing the solution itself"
        )
    return solver.solve(u).slopes


def solved(across: Matrix, inverse: Array, right: Sequence[Interval]) -> list[Interval]:
    """Linear equations; see the module."""
    m = len(across)
    known = norm(across, inverse)
    start = [total([Interval.of(inverse[..., l, i]) * part for i, part in enumerate(right)]) for l in range(m)]
    size = reduce(np.maximum, (part.magnitude for part in start))
    most = np.where(known < 1, size / (1 - known) * GROW + 2.0**-1000, np.inf)
    found = [Interval(-most, most)] * m
    for _ in range(2):
        found = [
            total([s, *(-(b * v) for b, v in zip(row, found, strict=True))])
            for s, row in zip(start, less_one(across, inverse), strict=True)
        ]
    return [part.unknown_where(~(known < 1)) for part in found]


def norm(across: Matrix, inverse: Array) -> Array:
    """At least ‖1 − Y·B‖_∞ for every B; ∞ where it is not known."""
    rows = [reduce(np.add, (part.magnitude for part in row)) * GROW for row in less_one(across, inverse)]
    return np.nan_to_num(reduce(np.maximum, rows), nan=np.inf)


def less_one(across: Matrix, inverse: Array) -> Matrix:
    """Y·B − 1."""
    m = len(across)
    return [
        [
            total([*(Interval.of(inverse[..., l, i]) * across[i][j] for i in range(m)), *([Interval.of(-1.0)] if l == j else [])])
            for j in range(m)
        ]
        for l in range(m)
    ]


def inverted(matrix: Array) -> Array:
    """Nearly the inverse, (…, m, m); NaN where there is none."""
    if matrix.shape[-1] == 1:
        return np.where(matrix != 0, 1 / np.where(matrix != 0, matrix, 1.0), np.nan)
    bad = np.asarray(~np.isfinite(matrix).all((-2, -1)))
    safe = np.where(bad[..., None, None], np.eye(matrix.shape[-1]), matrix)
    bad |= ~(np.abs(np.linalg.det(safe)) > 0)
    found = np.linalg.inv(np.where(bad[..., None, None], np.eye(matrix.shape[-1]), safe))
    return np.where(bad[..., None, None], np.nan, found)


def total(parts: Sequence[Interval]) -> Interval:
    return reduce(Interval.__add__, parts, ZERO) if len(parts) != 1 else parts[0]


def broadcast(a: Interval, shape: tuple[int, ...]) -> Interval:
    """A writable copy of this shape."""
    return Interval(np.array(np.broadcast_to(a.lower, shape)), np.array(np.broadcast_to(a.upper, shape)))


def shaped(a: Interval, shape: tuple[int, ...]) -> Interval:
    full = broadcast(a, (int(np.prod(shape)),))
    return Interval(full.lower.reshape(shape), full.upper.reshape(shape))
