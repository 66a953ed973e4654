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
from dataclasses import dataclass
from functools import cached_property, lru_cache, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..expressions import Array, box_cells, halved
from ..expressions.frames import Frames
from ..expressions.implicit import Tube, product_of
from .algebra import NotEnclosed
from .arithmetic import Flags, Interval
from .decoration import SURE, Decoration, Decorations, least
from .monotone import Monotone
from .natural import IntervalAlgebra
from .numbers import enclose_fraction
from .sides import settled
from .slopes import GradientAlgebra, Slope
from .systems import Matrix, broadcast, inverted, less_one, norm, shaped, solved, total

GUESSED = 1.25
"""How much wider than slopes at the middle of a box say w is first looked for."""
BENT = 4.0
"""And how much more for bending, in parts of the bending of a parabola that leaves the tube at its sides where it is tallest: a box that is
bent in one direction lets enclosures grow in all."""
MOST_BOXES, FINEST = 1 << 15, 2.0**-12
"""Boxes of one tube that are looked at in a proof, and their least sides in parts of the tube's."""
FIRST_BOXES = 16
"""About so many to begin with."""
AT_ONCE = 1 << 13
"""Boxes of all tubes that are looked at together."""
IN_NORMS = 1 << 10
"""The same, where they are looked at in norms: second derivatives of all equations are kept for each."""
INFLATED, INFLATE = 2, 1.1
"""Times that existence is tried around K, in a box that is so much wider than K."""
REFINED = 3
"""Times that an inclusion is repeated where w is not found to be in a small box."""


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
        u, zero = [Interval(lower[:, j], upper[:, j]) for j in range(lower.shape[1])], np.zeros((len(lower), len(whole)))
        wide = self.step(u, zero, whole)
        middle = np.stack([np.stack([a.middle for a in row], axis=-1) for row in wide.across], axis=-2)
        unique = np.asarray((norm(wide.across, inverted(middle)) < 1) & (wide.known >= Decoration.SMOOTH))
        rows = np.flatnonzero(unique)
        unique[rows] = self.rows(rows).exists([side[rows] for side in u])
        return unique

    def exists(self, u: list[Interval]) -> NDArray[np.bool_]:
        """Where K of some box W′ lies inside W′, and W′ in the box of the tube: first around Newton's solution, then around K itself."""
        flags, image, _ = self.found(u)
        good = np.array(flags)
        for _ in range(INFLATED):
            rows = np.flatnonzero(~good & np.isfinite(reduce(np.add, [side.upper - side.lower for side in image])))
            if not len(rows):
                break
            here, part = self.rows(rows), [side[rows] for side in u]
            at = np.stack([side.middle[rows] for side in image], axis=1)
            room = np.stack([INFLATE * (side.upper - side.lower)[rows] / 2 for side in image], axis=1)
            heights = np.broadcast_to(here.frames.heights, at.shape)
            low, high = np.maximum(at - room, -heights), np.minimum(at + room, heights)
            inside = np.asarray((low < high).all(1))
            low, high = np.where(inside[:, None], low, -heights), np.where(inside[:, None], high, heights)
            at = low / 2 + high / 2
            step = here.step(part, at, [Interval(low[:, l], high[:, l]) for l in range(at.shape[1])])
            inside &= step.known >= Decoration.LIPSCHITZ
            for l, side in enumerate(step.image):
                inside &= (side.lower > low[:, l]) & (side.upper < high[:, l])
            good[rows] = inside
            image = [broadcast(side, side.lower.shape) for side in image]
            for old, new in zip(image, step.image, strict=True):
                old.lower[rows], old.upper[rows] = new.lower, new.upper
        return good

    def found(self, u: list[Interval]) -> tuple[Flags, list[Interval], _Step]:
        """Where K of a small box around Newton's solution lies inside that box, and in that of the tube; K, and all that was computed."""
        halves, heights = self.frames.halves, self.frames.heights
        middle = np.stack([np.broadcast_to(side.middle, u[0].lower.shape) for side in u], axis=1)
        radius = np.stack([np.nextafter(np.maximum(side.upper - side.middle, side.middle - side.lower), np.inf) for side in u], axis=1)
        inside = np.clip(middle, -halves, halves)
        at = self.tube.solve(inside) if self.tube is not None else self.frames.solve(inside)
        lost = np.asarray(~np.isfinite(at).all(1))
        at[lost] = 0.0
        slopes = np.abs(np.nan_to_num(self.frames.slopes(middle, np.where(lost[:, None], np.nan, at)), nan=0.0))
        size = 1 + np.abs(self.frames.center).max(1)
        bend = BENT * heights.max(1, keepdims=True) * ((radius / halves) ** 2).sum(1, keepdims=True)
        room = GUESSED * np.einsum("nlj,nj->nl", slopes, radius) + bend + 2.0**-46 * size[:, None]
        low, high = np.maximum(at - room, -heights), np.minimum(at + room, heights)
        box = [Interval(np.minimum(low[:, l], at[:, l]), np.maximum(high[:, l], at[:, l])) for l in range(at.shape[1])]
        step = self.step(u, at, box)
        good = ~lost & (step.known >= Decoration.LIPSCHITZ)
        for l, (image, side) in enumerate(zip(step.image, box, strict=True)):
            good = good & (image.lower > side.lower) & (image.upper < side.upper) & (np.abs(at[:, l]) <= heights[:, l])
        return good, step.image, step

    def derivatives(self, u: Sequence[Interval], box: Sequence[Interval]) -> tuple[Matrix, Matrix, Decorations]:
        """G_u, G_w, and what is known of g, on U × W."""
        d, one, algebra = len(u), Interval.of(1.0), GradientAlgebra()
        sides = [Slope(side, {j: one}) for j, side in enumerate((*u, *box))]
        found = self.run(algebra, self.point(sides[:d], sides[d:], algebra))
        shape = np.broadcast_shapes(*(side.lower.shape for side in (*u, *box)))
        settle = [settled(part.partials, part.value, Decoration.LIPSCHITZ, len(sides)) for part in found]
        partials = [{j: broadcast(part[j], shape) for j in range(len(sides))} for part in settle]
        known = reduce(least, (part.value.decoration for part in found), SURE)
        return [[part[j] for j in range(d)] for part in partials], [[part[j] for j in range(d, len(sides))] for part in partials], known

    def step(self, u: list[Interval], at: Array, box: list[Interval]) -> _Step:
        """K on U × W around the middle of U and w₀ = `at` (n, m), Y from the derivatives there."""
        d, m, n = len(u), at.shape[1], len(at)
        middle = np.stack([np.broadcast_to(side.middle, (n,)) for side in u], axis=1)
        along, across, known = self.derivatives(u, box)
        inverse = inverted(self.frames.across(middle, at))
        start = self.run(
            IntervalAlgebra(),
            self.point([Interval.of(middle[:, j]) for j in range(d)], [Interval.of(at[:, l]) for l in range(m)], IntervalAlgebra()),
        )
        offsets = [side - Interval.of(middle[:, j]) for j, side in enumerate(u)]
        image = []
        for l, row in enumerate(less_one(across, inverse)):
            weights = [Interval.of(inverse[:, l, i]) for i in range(m)]
            # Y·G_u first, where equations cancel: w moves as its slopes say, not as far as each equation alone would let it.
            moved = [total([y * part[j] for y, part in zip(weights, along, strict=True)]) * offset for j, offset in enumerate(offsets)]
            parts = [Interval.of(at[:, l]), *(-(y * value) for y, value in zip(weights, start, strict=True)), *(-part for part in moved)]
            parts += [-(b * (side - Interval.of(at[:, i]))) for i, (b, side) in enumerate(zip(row, box, strict=True))]
            image.append(broadcast(total(parts), (n,)))
        return _Step(image, along, across, inverse, np.broadcast_to(known, (n,)))


@lru_cache(maxsize=1 << 13)
def _enclosed(reflections: tuple[tuple[int, ...], ...]) -> Matrix:
    """[N T]; see `Tube.frame`."""
    return [[enclose_fraction(a) for a in row] for row in product_of(reflections)]


class Equations:
    """The equations of one tube, with a way to compute them over any algebra."""

    def __init__(self, tube: Tube, run: Callable[[Any, Sequence[Any]], list[Any]]) -> None:
        self.tube, self.run = tube, run

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

    def across(self, u: Sequence[Interval], box: Sequence[Interval]) -> Matrix:
        """G_w on U × W, of any shape."""
        return self.boxes.derivatives(u, box)[1]

    def solve(self, u: Sequence[Interval]) -> Solution:
        """w over boxes whose sides are the intervals, of any shape; what is known of it is in the decorations."""
        shape = np.broadcast_shapes(*(side.lower.shape for side in u))
        inside: Flags = np.full(shape, self.proved)
        for side, s in zip(u, self.tube.halves, strict=True):
            inside = inside & (side.lower >= -s) & (side.upper <= s)
        inside = inside.ravel()
        flat = [
            broadcast(Interval(np.clip(side.lower, -s, s), np.clip(side.upper, -s, s)), shape)
            for side, s in zip(u, self.tube.halves, strict=True)
        ]
        flat = [Interval(side.lower.ravel(), side.upper.ravel()) for side in flat]
        with np.errstate(all="ignore"):
            good, values, step = self.boxes.found(flat)
            if not good.all():
                values, step = self._refined(flat, good, values, step)
            values = [value.meet(height) for value, height in zip(values, self.boxes.heights(len(inside)), strict=True)]
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
        part, whole = [side[rows] for side in u], self.boxes.heights(len(rows))
        for _ in range(REFINED):
            at = np.stack([side.middle for side in whole], axis=1)
            again = self.boxes.step(part, at, whole)
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
