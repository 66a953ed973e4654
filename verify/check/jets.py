"""Jets: functions on boxes as polynomials of degree n in coordinates t ∈ [−1, 1]^d, and how far they may be from them.

A jet (p, r) on a box encloses a function h if |h − p| ≤ r there. Sums, products and affine maps of enclosed functions are enclosed by
those of the jets: what rounding changes in a coefficient, and what of a product is of higher degree, is added to r, both bounded by sums of
absolute values, since |t^α| ≤ 1. A function φ of an enclosed h with h(t) ∈ X, |h − c| ≤ δ, is Σ_{i≤n} φ^(i)(c)/i!·(h − c)^i within
sup_X |φ^(n+1)|/(n+1)!·δ^{n+1} (Taylor).

Arrays have the monomials first and the boxes last, which is how they are run through.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ...atlas import Array
from ...intervals import Interval
from ...intervals.patch import GROW, TINY
from ...intervals.rounding import gamma
from .nets import Flags, Indices, Map
from .polynomials import Space


@dataclass(frozen=True, eq=False)
class Jets:
    """Functions on N boxes; whatever is in front of N is anything that broadcasts."""

    space: Space
    coefficients: Array
    """(monomials, …, N)."""
    rest: Array
    """(…, N): how far the functions may be from the polynomials."""

    @staticmethod
    def coordinates(space: Space, lower: Array, upper: Array) -> Jets:
        """The first coordinates of boxes, corners (N, k), k ≤ d: middle + t·radius, (k, N)."""
        N, k = lower.shape
        middle = lower + (upper - lower) / 2
        radius = np.nextafter(np.maximum(upper - middle, middle - lower), np.inf)
        coefficients = np.zeros((space.size, k, N))
        coefficients[0] = middle.T
        coefficients[1 + np.arange(k), np.arange(k)] = radius.T
        return Jets(space, coefficients, np.zeros((k, N)))

    @staticmethod
    def constant(space: Space, value: Interval) -> Jets:
        """Anything that stays in an interval; ∞ for how far it may be off where that is unknown."""
        middle, reach = value.middle, value.reach
        known = np.isfinite(reach)
        coefficients = np.zeros((space.size, *middle.shape))
        coefficients[0] = np.where(known, middle, 0.0)
        return Jets(space, coefficients, np.where(known, reach, np.inf))

    @staticmethod
    def stacked(parts: Sequence[Jets], boxes: int) -> Jets:
        """Functions on boxes, each (…, N) or one for all of them, side by side: (functions, N)."""
        space = parts[0].space
        coefficients = [np.broadcast_to(part.coefficients.reshape(space.size, -1), (space.size, boxes)) for part in parts]
        return Jets(space, np.stack(coefficients, 1), np.stack([np.broadcast_to(part.rest, (boxes,)) for part in parts]))

    @property
    def boxes(self) -> int:
        return int(self.rest.shape[-1])

    def functions(self, which: int | slice | Indices | Flags) -> Jets:
        """Some of them, of (functions, N)."""
        return Jets(self.space, self.coefficients[:, which], self.rest[which])

    def on(self, boxes: Indices) -> Jets:
        return Jets(self.space, self.coefficients[..., boxes], self.rest[..., boxes])

    @property
    def sizes(self) -> list[Array]:
        """Σ |coefficients| of every degree, a bound of that part on the box."""
        starts, all_ = self.space.starts, np.abs(self.coefficients)
        return [all_[a:b].sum(0) for a, b in pairwise(starts)]

    @property
    def magnitude(self) -> Array:
        return GROW * (np.abs(self.coefficients).sum(0) + self.rest)

    def __neg__(self) -> Jets:
        return Jets(self.space, -self.coefficients, self.rest)

    def __add__(self, other: Jets) -> Jets:
        found = self.coefficients + other.coefficients
        rest = GROW * (self.rest + other.rest + gamma(2) * np.abs(found).sum(0)) + TINY
        return Jets(self.space, found, rest)

    def __sub__(self, other: Jets) -> Jets:
        return self + (-other)

    def halved(self) -> Jets:
        return Jets(self.space, self.coefficients / 2, self.rest / 2 + TINY)

    def shifted(self, by: Array) -> Jets:
        """Plus numbers."""
        found = np.array(np.broadcast_to(self.coefficients, (self.space.size, *np.broadcast_shapes(self.rest.shape, np.shape(by)))))
        found[0] += by
        return Jets(self.space, found, self.rest + gamma(2) * np.abs(found[0]))

    def __mul__(self, other: Jets) -> Jets:
        """What is of a degree above n goes into `rest`."""
        a, b, space = self.coefficients, other.coefficients, self.space
        rest_shape = np.broadcast_shapes(self.rest.shape, other.rest.shape)
        found = np.zeros((space.size, *rest_shape))
        for row, places in zip(a, space.products, strict=True):
            if row.any():
                found[places] += row * b[: len(places)]
        mine, theirs = self.sizes, other.sizes
        above, n = np.zeros(rest_shape), space.degree
        for i in range(1, n + 1):
            for j in range(n + 1 - i, n + 1):
                above = above + mine[i] * theirs[j]
        all_, whole = sum(mine), sum(theirs)
        lost = gamma(2 * space.size) * all_ * whole + all_ * other.rest + whole * self.rest + self.rest * other.rest
        return Jets(space, found, _finite(GROW * (above + lost) + TINY))

    def affine(self, map_: Map) -> Jets:
        """W·h + b of functions (n, N): (m, N)."""
        g, weights = gamma(map_.weight.shape[1] + 3), np.abs(map_.weight)
        found = map_.weight @ self.coefficients
        found[0] += map_.bias[:, None]
        size = np.abs(self.coefficients).sum(0)
        rest = weights @ (self.rest + g * size) + g * np.abs(map_.bias)[:, None]
        return Jets(self.space, found, _finite(rest * (GROW + 2 * g) + TINY))

    def composed(self, series: Sequence[Interval], remainder: Array) -> Jets:
        """Σ_i series_i·(h − c)^i within the remainder, c the constant coefficients."""
        inner = np.array(self.coefficients)
        inner[0] = 0.0
        moved = Jets(self.space, inner, self.rest)
        found = Jets.constant(self.space, series[-1])
        for part in series[-2::-1]:
            found = found * moved + Jets.constant(self.space, part)
        return Jets(self.space, found.coefficients, _finite(GROW * (found.rest + remainder)))

    @property
    def magnitude_but_constant(self) -> Array:
        """At least |h − c| for the constant coefficient c."""
        return GROW * (np.abs(self.coefficients[1:]).sum(0) + self.rest)

    def between(self) -> tuple[Array, Array]:
        """What the functions lie between."""
        low, high = self.space.between(self.coefficients)
        return low - self.rest * GROW - TINY, high + self.rest * GROW + TINY

    @property
    def cheap(self) -> Interval:
        """The same by absolute values alone."""
        away = self.magnitude_but_constant
        lost = gamma(2) * np.abs(self.coefficients[0])
        return Interval(self.coefficients[0] - away - lost, self.coefficients[0] + away + lost)


def _finite(rest: Array) -> Array:
    return np.where(np.isnan(rest), np.inf, rest)
