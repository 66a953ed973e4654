"""w(u), the zero of the equations of a tube, enclosed over boxes by Krawczyk's operator, with its first derivatives.

Let g be Lipschitz on the image of U × W under x(u, w) = c + T·u + N·w, both boxes, with [G_u G_w] ∋ every difference quotient of g there
(an enclosure of the derivatives of g∘x), u₀ ∈ U, w₀ ∈ W, and Y any matrix.

* Inclusion. K = w₀ − Y·g(x(u₀, w₀)) − Y·G_u·(U − u₀) + (1 − Y·G_w)·(W − w₀) holds every w ∈ W with g(x(u, w)) = 0 for some u ∈ U.
  [g(x(u, w)) = g(x(u₀, w₀)) + A·(u − u₀) + B·(w − w₀) with A ∈ G_u, B ∈ G_w; multiply by Y and add w.]
* Existence. If K lies in the interior of W, there is for every u ∈ U a w ∈ W with g(x(u, w)) = 0. [Brouwer, for w ↦ w − Y·g(x(u, w)),
  which maps W into K; Y is then regular, as 1 − Y·B maps a box around 0 into its interior, for every B ∈ G_w.]
* Uniqueness. If ‖1 − Y·B‖_∞ < 1 for every B ∈ G_w, there is at most one such w in W for each u. [Y·B is regular, so B is.]
* Derivatives. Where g is continuously differentiable and the last holds, w is, with w′ = −(Dg·N)⁻¹·Dg·T (implicit function theorem).
* Linear equations: `systems`.

That all of a tube has exactly one zero over each u is proved once (`Equations.proved`; of many tubes at once, `prove_all`), on boxes of
u with all of ∏[−h_l, h_l] for uniqueness; then inclusion alone is enough on any part of it. Of more than one equation it is proved in
Euclidean norms first (`monotone`), which goes several times as far. All arithmetic is outwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..expressions import Array, box_cells, halved
from ..expressions.implicit import Tube
from .algebra import NotEnclosed
from .arithmetic import Flags, Interval
from .decoration import Decoration, least
from .krawczyk import Boxes, Step
from .monotone import Monotone
from .natural import IntervalAlgebra
from .spreads import Spread
from .systems import Matrix, solved

MOST_BOXES, FINEST = 1 << 15, 2.0**-12
"""Boxes of one tube that are looked at in a proof, and their least sides in parts of the tube's."""
FIRST_BOXES = 16
"""About so many to begin with."""
AT_ONCE = 1 << 13
"""Boxes of all tubes that are looked at together."""
IN_NORMS = 1 << 10
"""The same, where they are looked at in norms: second derivatives of all equations are kept for each."""
REFINED = 3
"""Times that an inclusion is repeated where w is not found to be in a small box."""


@dataclass(frozen=True, eq=False)
class Solution:
    """Where w is, box by box; elementwise of any shape."""

    values: list[Interval]
    along: Spread
    """G_u, (…, m, d)."""
    across: Spread
    """G_w, (…, m, m)."""
    inverse: Array
    """Y, (…, m, m)."""

    @cached_property
    def slopes(self) -> Matrix:
        """w′, (m, d)."""
        found = solved(self.across, self.inverse, -self.along).interval
        return [[found[..., l, j] for j in range(found.lower.shape[-1])] for l in range(len(self.values))]

    def linear(self, right: Sequence[Interval]) -> list[Interval]:
        """All v with B·v = right for some B ∈ G_w."""
        found = solved(self.across, self.inverse, Spread.stacked(right, self.inverse.shape[:-2])[..., None]).interval
        return [found[..., l, 0] for l in range(len(self.values))]


class Equations:
    """The equations of one tube, with a way to compute them over any algebra."""

    def __init__(self, tube: Tube, run: Callable[[Any, Sequence[Any]], list[Any]]) -> None:
        self.tube, self.run = tube, run
        self._last: tuple[list[Any], Solution] | None = None

    @cached_property
    def boxes(self) -> Boxes:
        return Boxes.of([self.tube], self.run)

    def point(self, u: Sequence[Any], w: Sequence[Any], algebra: Any) -> list[Any]:
        """x(u, w) over any algebra."""
        return self.boxes.point(u, w, algebra)

    @cached_property
    def proved(self) -> bool:
        """Whether it is proved that for every u of the tube there is exactly one w in its box, and w is a C² function of u."""
        return self.prove(MOST_BOXES)

    def prove(self, most: int) -> bool:
        """The same, with so many boxes; what is proved stays so."""
        return bool(prove_all([self], most)[0])

    def across(self, u: Sequence[Interval], box: Sequence[Interval]) -> Spread:
        """G_w on U × W, of any shape: (…, m, m)."""
        shape = np.broadcast_shapes(*(side.lower.shape for side in (*u, *box)))
        found = self.boxes.derivatives(_flat(u, shape), _flat(box, shape))[0][:, :, : len(box)]
        return _shaped(found, shape)

    def solve(self, u: Sequence[Interval]) -> Solution:
        """w over boxes whose sides are the intervals, of any shape; what is known of it is in the decorations.

        The last solution is kept: each derivative of a chart asks for the same.
        """
        shape = np.broadcast_shapes(*(side.lower.shape for side in u))
        key = [np.array(self.proved)]
        key += [np.array(np.broadcast_to(part, shape)) for side in u for part in (side.lower, side.upper, side.decoration)]
        if self._last is None or not all(np.array_equal(a, b) for a, b in zip(key, self._last[0], strict=True)):
            self._last = key, self._solve(u, shape)
        return self._last[1]

    def _solve(self, u: Sequence[Interval], shape: tuple[int, ...]) -> Solution:
        inside: Flags = np.full(shape, self.proved)
        for side, s in zip(u, self.tube.halves, strict=True):
            inside = inside & (side.lower >= -s) & (side.upper <= s)
        sides = [Interval(np.clip(side.lower, -s, s), np.clip(side.upper, -s, s)) for side, s in zip(u, self.tube.halves, strict=True)]
        with np.errstate(all="ignore"):
            step = self._near(_flat(sides, shape))
        known = reduce(
            least, (side.decoration for side in u), np.where(inside, Decoration.SMOOTH, Decoration.NOTHING).astype(np.uint8).reshape(shape)
        )
        heights = self.boxes.heights(len(step.lower))
        values = [Interval(low, high).meet(height) for low, high, height in zip(step.lower.T, step.upper.T, heights, strict=True)]
        values = [Interval(v.lower.reshape(shape), v.upper.reshape(shape), known) for v in values]
        inverse = step.inverse.reshape(*shape, *step.inverse.shape[1:])
        return Solution(values, _shaped(step.along, shape), _shaped(step.across, shape), inverse)

    @cached_property
    def steep(self) -> Monotone | None:
        """In norms; None in one normal direction, where they are sizes."""
        return Monotone(self.boxes) if self.tube.codimension > 1 else None

    def _near(self, u: list[Interval]) -> Step:
        """K of boxes that hold all w in the tube over u: small ones where intervals or norms show that they do, and all of its box
        elsewhere, some times."""
        good, step = self.boxes.found(u)
        rows = np.flatnonzero(~good)
        low, high, small = self._by_norms([side[rows] for side in u])
        for some, steps in ((small, 1), (~small, REFINED)):
            if some.any():
                part = [side[rows[some]] for side in u]
                step.put(rows[some], self._refined(part, low[some], high[some], steps))
        return step

    def _by_norms(self, u: list[Interval]) -> tuple[Array, Array, Flags]:
        """Boxes that hold w over boxes of u, as corners (n, m); and which of them are smaller than all of the tube's."""
        low, high = _corners(self.boxes.heights(len(u[0].lower)))
        if self.steep is None:
            return low, high, np.zeros(len(low), bool)
        lower, upper = _corners(u)
        small = np.zeros(len(low), bool)
        for start in range(0, len(low), IN_NORMS):
            part = slice(start, start + IN_NORMS)
            near = self.steep.near(np.zeros(len(lower[part]), np.intp), lower[part], upper[part])
            left, right = near.box
            small[part] = near.there
            low[part] = np.where(near.there[:, None], np.maximum(left, low[part]), low[part])
            high[part] = np.where(near.there[:, None], np.minimum(right, high[part]), high[part])
        return low, high, small

    def _refined(self, u: list[Interval], low: Array, high: Array, steps: int) -> Step:
        """K of boxes from `low` to `high` that hold w, met with them, so many times."""
        for _ in range(steps):
            again = self.boxes.step(u, low / 2 + high / 2, low, high)
            low, high = np.fmax(again.lower, low), np.fmin(again.upper, high)
            low, high = np.minimum(low, high), np.maximum(low, high)
        return replace(again, lower=low, upper=high)


def _corners(sides: Sequence[Interval]) -> tuple[Array, Array]:
    """Of boxes with these sides, (n, number of sides) each."""
    return np.stack([side.lower for side in sides], axis=1), np.stack([side.upper for side in sides], axis=1)


def _flat(sides: Sequence[Interval], shape: tuple[int, ...]) -> list[Interval]:
    return [Interval(np.broadcast_to(side.lower, shape).ravel(), np.broadcast_to(side.upper, shape).ravel()) for side in sides]


def _shaped(matrices: Spread, shape: tuple[int, ...]) -> Spread:
    return Spread(*(part.reshape(*shape, *part.shape[1:]) for part in (matrices.middle, matrices.error)))


def prove_all(solvers: Sequence[Equations], most: int = MOST_BOXES) -> NDArray[np.bool_]:
    """Of which tubes it is proved that each u has exactly one w; with so many boxes for each.

    Boxes of all of them are looked at together, if their equations are the same. What is proved stays so (`Equations.proved`); what was
    is not proved again.
    """
    if not all(solver.tube.equations.same(solvers[0].tube.equations) for solver in solvers[1:]):
        return np.array([prove_all([solver], most)[0] for solver in solvers])
    done = np.array([vars(solver).get("proved", False) for solver in solvers], bool)
    every = np.flatnonzero(~done)
    tubes = [solvers[int(i)].tube for i in every]
    per = max(1, AT_ONCE // FIRST_BOXES)
    for first in range(0, len(tubes), per):
        some = tubes[first : first + per]
        done[every[first : first + per]] = _exactly_one(Boxes.of(some, solvers[0].run), len(some), most)
    for i in every[done[every]]:
        solvers[int(i)].__dict__["proved"] = True
    return done


def _exactly_one(boxes: Boxes, n: int, most: int) -> NDArray[np.bool_]:
    """Which of n tubes are proved."""
    halves = boxes.frames.halves
    unit_lower, unit_upper = box_cells(-np.ones(halves.shape[1]), np.ones(halves.shape[1]), FIRST_BOXES)
    owner = np.repeat(np.arange(n), len(unit_lower))
    # Cells of [−1, 1]^d times s: neighbours have their sides in common, as they are the same products, and the outer ones are ±s.
    lower, upper = (np.tile(cells, (n, 1)) * halves[owner] for cells in (unit_lower, unit_upper))
    failed, looked = np.zeros(n, bool), np.zeros(n, int)
    # In one normal direction norms are sizes, and slopes over boxes say more than second derivatives of all of a tube.
    steep = Monotone(boxes) if boxes.frames.heights.shape[1] > 1 else None
    at_once = AT_ONCE if steep is None else IN_NORMS
    if steep is not None:
        failed |= ~steep.at_corners(IN_NORMS)
    with np.errstate(all="ignore"):
        while len(lower):
            looked += np.bincount(owner, minlength=n)
            failed |= looked > most
            failed[owner[((upper - lower) < FINEST * 2 * halves[owner]).all(1)]] = True
            keep = ~failed[owner]
            lower, upper, owner = lower[keep], upper[keep], owner[keep]
            parts = [slice(start, start + at_once) for start in range(0, len(lower), at_once)]
            shown = [_holds(boxes, steep, owner[part], lower[part], upper[part]) for part in parts]
            rest = np.flatnonzero(~np.concatenate(shown)) if shown else np.zeros(0, int)
            lower, upper, owner = lower[rest], upper[rest], owner[rest]
            lower, upper = halved(lower, upper, ((upper - lower) / halves[owner]).argmax(1))
            owner = np.concatenate([owner, owner])
    return ~failed


def _holds(boxes: Boxes, steep: Monotone | None, owner: NDArray[np.intp], lower: Array, upper: Array) -> NDArray[np.bool_]:
    """Existence and uniqueness over boxes of these tubes: in norms, and by intervals where equations are not quadratic."""
    if steep is None:
        return boxes.rows(owner).holds(lower, upper)
    shown = steep.near(owner, lower, upper).shown
    rest = np.flatnonzero(~shown & ~steep.constant[owner])
    if len(rest):
        shown[rest] = boxes.rows(owner[rest]).holds(lower[rest], upper[rest])
    return shown


def slopes_of(algebra: object, solver: Equations, u: Sequence[Any]) -> Matrix:
    """∂_j w_l as numbers of an algebra: of intervals only. Raises `NotEnclosed` for others."""
    if not isinstance(algebra, IntervalAlgebra):
        raise NotEnclosed(
            "derivatives of a solution of equations are enclosed by intervals only; differentiate by enclosing the solution itself"
        )
    return solver.solve(u).slopes
