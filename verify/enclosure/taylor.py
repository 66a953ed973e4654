"""Taylor forms: polynomials in box coordinates plus a radius, which provably hold a function over a box, for many boxes at once.

Their degree is 2, 3, 4 or 5; operations keep it, and put what is of a higher degree into the radius.

Every operation bounds its own rounding: a sum of n products computed in floats in any order is off by at most γ_n = n·u/(1 − n·u)
times the sum of their absolute values (u = 2^-53), and by 2^-1074 for each that underflows. Radii are themselves computed in floats, as
sums of non-negative numbers, and then inflated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...atlas import Array
from ...errors import InvalidArgument
from ...intervals import Flags, Interval
from .fast import loops, taylor_loops
from .monomials import Exponents, dimension_of, lowerings, monomials, pairs, places, products, starts

EPS = float(np.finfo(float).eps)
"""2u: n·EPS ≥ γ_n for n < 2^51."""
INFLATION = 1 + 2.0**-40
"""A sum of non-negative numbers computed in fewer than 4096 operations is at most this factor below its value."""
UNDERFLOW = 2.0**-1000
"""More than 2^50 products lose by underflow. Inside products of three and more factors it is added before the last one."""
UNKNOWN = np.inf
LARGEST = 2.0**960
"""Radii from here on are unknown. As a radius holds at least EPS times the products that were summed, no coefficient can have overflowed
below it."""


@dataclass(frozen=True, eq=False)
class TaylorForms:
    """n functions over N boxes: function k on box b lies within Σ_c coefficients[b, c, k]·monomial_c(t) ± radius[b, k].

    For every t ∈ [−1, 1]^d whose point, lower ≤ middle + half·t ≤ upper, lies in the box. Monomials are 1, t_1, …, t_d, then t_i·t_j for
    i ≤ j in the order of `pairs`, and so on up to the degree (`monomials`). What rounding does is in the radius. An infinite radius says
    that nothing is known, for example because the function is not defined on all of the box; coefficients are always finite.
    """

    coefficients: Array
    """(N, C, n), C = C(d + degree, degree). In memory boxes are neighbours, so that every operation runs along them."""
    radius: Array
    """(N, n), ≥ 0."""
    bounds: Interval | None = None
    """(N, n), which the functions lie in besides, with what is known of them (`Decoration`): for coordinates their boxes, for expressions
    their natural bounds. Only choosing boxes and functions keeps it."""
    degree: int = 2
    """2, 3, 4 or 5; that of all forms that an operation is about."""

    @staticmethod
    def variables(lower: ArrayLike, upper: ArrayLike, degree: int = 2) -> TaylorForms:
        """The d coordinates themselves on the boxes with these corners, (N, d) each; unknown where a corner is not finite.

        Raises `InvalidArgument` for shapes that differ or lower > upper.
        """
        lower, upper = np.asarray(lower, float), np.asarray(upper, float)
        if lower.ndim != 2 or lower.shape != upper.shape:
            raise InvalidArgument(f"boxes need corners (N, d), got {lower.shape} and {upper.shape}")
        if (lower > upper).any():
            b = int(np.argmax((lower > upper).any(1)))
            raise InvalidArgument(f"box {b} is empty: its lower corner {lower[b]} is not below its upper one {upper[b]}")
        N, d = lower.shape
        with np.errstate(all="ignore"):
            middle, half = middle_half(lower, upper)
        coefficients = np.zeros((len(monomials(d, degree)), d, N)).transpose(2, 0, 1)
        coefficients[:, 0] = middle
        for j in range(d):
            coefficients[:, 1 + j, j] = half[:, j]
        known = np.isfinite(middle) & np.isfinite(half)
        found = settled(coefficients, np.where(known, 0.0, UNKNOWN), degree)
        return replace(found, bounds=Interval(lower, upper).unknown_where(~known))

    @staticmethod
    def constants(values: Interval, dimension: int, degree: int = 2) -> TaylorForms:
        """Numbers enclosed by the intervals (N, n)."""
        N, n = values.lower.shape
        coefficients = np.zeros((len(monomials(dimension, degree)), n, N)).transpose(2, 0, 1)
        with np.errstate(all="ignore"):
            coefficients[:, 0] = values.middle
            radius = np.where(values.lower == values.upper, 0.0, values.reach)
        return settled(coefficients, radius, degree)

    def __len__(self) -> int:
        """N."""
        return len(self.coefficients)

    @property
    def dimension(self) -> int:
        """d."""
        return dimension_of(self.coefficients.shape[1], self.degree)

    @property
    def monomials(self) -> tuple[Exponents, ...]:
        """(C,) exponents (d,), as coefficients are in order."""
        return monomials(self.dimension, self.degree)

    @property
    def functions(self) -> int:
        """n."""
        return self.coefficients.shape[2]

    @property
    def center(self) -> Array:
        """Values at the middles of the boxes, up to the radius, (N, n)."""
        return self.coefficients[:, 0]

    @property
    def linear(self) -> Array:
        """(N, d, n)."""
        return self.coefficients[:, 1 : 1 + self.dimension]

    @property
    def quadratic(self) -> Array:
        """(N, d(d+1)/2, n), in the order of `pairs`."""
        d = self.dimension
        return self.coefficients[:, 1 + d : 1 + d + len(pairs(d))]

    def __getitem__(self, index: tuple[slice, Any]) -> TaylorForms:
        """forms[:, k], forms[:, [k, l]] or forms[:, a:b]: some of the functions; still (N, C, ·)."""
        rows, columns = index
        if rows != slice(None):
            raise InvalidArgument("forms[:, k] chooses functions; subset(rows) chooses boxes")
        columns = [columns] if isinstance(columns, int | np.integer) else columns
        bounds = None if self.bounds is None else self.bounds[:, columns]
        return TaylorForms(self.coefficients[:, :, columns], self.radius[:, columns], bounds, self.degree)

    def subset(self, rows: Any) -> TaylorForms:
        """The forms on some of the boxes."""
        bounds = None if self.bounds is None else self.bounds[rows]
        return TaylorForms(self.coefficients.transpose(1, 2, 0)[:, :, rows].transpose(2, 0, 1), self.radius[rows], bounds, self.degree)

    @staticmethod
    def concatenate(parts: Sequence[TaylorForms]) -> TaylorForms:
        """The functions of all parts, beside each other on the same boxes."""
        coefficients, radius = np.concatenate([p.coefficients for p in parts], axis=2), np.concatenate([p.radius for p in parts], axis=1)
        return TaylorForms(coefficients, radius, degree=parts[0].degree)

    @property
    def in_memory(self) -> tuple[Array, Array]:
        """Coefficients (C, n, N) and radii (n, N), as they lie in memory."""
        return np.ascontiguousarray(self.coefficients.transpose(1, 2, 0)), np.ascontiguousarray(self.radius.T)

    def __neg__(self) -> TaylorForms:
        return TaylorForms(-self.coefficients, self.radius, degree=self.degree)

    def __add__(self, other: TaylorForms) -> TaylorForms:
        with np.errstate(all="ignore"):
            coefficients = self.coefficients + other.coefficients
            # Each sum is right to half a unit in its last place, and exact where it underflows.
            rounding = EPS * np.abs(coefficients).sum(1)
            return settled(coefficients, self.radius + other.radius + rounding, self.degree)

    def __sub__(self, other: TaylorForms) -> TaylorForms:
        return self + (-other)

    def __mul__(self, other: TaylorForms) -> TaylorForms:
        """Products function by function; terms above the degree go into the radius."""
        d, n, a, b = self.dimension, self.degree, self.coefficients, other.coefficients
        if a.shape == b.shape and (compiled := taylor_loops(self.radius.size, 1)):
            (left, r), (right, s) = self.in_memory, other.in_memory
            found, radius = np.empty_like(left), np.empty_like(r)
            compiled.product(left, r, right, s, products(d, n), starts(d, n), found, radius)
            return settled(found.transpose(2, 0, 1), radius.T, n)
        with np.errstate(all="ignore"):
            out = a[:, :1] * b + b[:, :1] * a
            out[:, 0] = a[:, 0] * b[:, 0]
            for k, i, j in products(d, n):
                out[:, k] += a[:, i] * b[:, j]
            sizes, others = self.sizes(), other.sizes()
            high = reduce(add, (sizes[g] * others[h] for g in range(1, n + 1) for h in range(n + 1 - g, n + 1)))
            a_all, b_all = reduce(add, sizes), reduce(add, others)
            # At most 2^n products and their sum make a coefficient: γ of Σ|a|·Σ|b| in all.
            rounding = 2 ** (n + 1) * EPS * (a_all * b_all)
            radius = a_all * other.radius + b_all * self.radius + self.radius * other.radius
            return settled(out, radius + high + rounding, n)

    def sizes(self) -> list[Array]:
        """|constant|, Σ|linear|, Σ|quadratic|, … up to the degree, (N, n) each, computed in floats."""
        size, first = np.abs(self.coefficients), starts(self.dimension, self.degree)
        return [size[:, 0], *(size[:, first[g] : first[g + 1]].sum(1) for g in range(1, self.degree + 1))]

    def lowered(self, degree: int) -> TaylorForms:
        """The same functions as forms of a smaller degree ≥ 2: higher monomials are economised (`lowerings`), what is left is radius."""
        if degree >= self.degree:
            return self
        d = self.dimension
        kept = starts(d, self.degree)[degree + 1]
        rules = lowerings(d, self.degree, degree)
        with np.errstate(all="ignore"):
            c = self.coefficients.copy(order="K")
            radius = self.radius.copy(order="K")
            for k, below, share, constant, error in rules:
                if share:
                    c[:, below] += share * c[:, k]
                if constant:
                    c[:, 0] += constant * c[:, k]
                radius += error * np.abs(c[:, k])
            # Every rule computes two products and two sums, of at most Σ|coefficients| each.
            radius += (2 * len(rules) + 4) * EPS * np.abs(self.coefficients).sum(1)
            return replace(settled(c[:, :kept], radius, degree), bounds=self.bounds)

    def raised(self, degree: int) -> TaylorForms:
        """The same functions as forms of a larger degree."""
        if degree <= self.degree:
            return self
        N, C, n = self.coefficients.shape
        coefficients = np.zeros((len(monomials(self.dimension, degree)), n, N)).transpose(2, 0, 1)
        coefficients[:, :C] = self.coefficients
        return TaylorForms(coefficients, self.radius, self.bounds, degree)

    def affine(self, weight: ArrayLike, bias: ArrayLike | None = None) -> TaylorForms:
        """W·f + b, W (m, n) and b (m,) the numbers that their floats stand for; m functions."""
        W = np.asarray(weight, float)
        n = self.functions
        if W.ndim != 2 or W.shape[1] != n:
            raise InvalidArgument(f"a matrix {W.shape} does not apply to {n} functions")
        with np.errstate(all="ignore"):
            coefficients = np.matmul(W, self.coefficients.transpose(1, 2, 0)).transpose(2, 0, 1)
            # γ_n of Σ|W|·|coefficients| for the products, γ_n again for this bound itself.
            inner = self.radius * (1 + 2 * n * EPS) + 2 * n * EPS * np.abs(self.coefficients).sum(1)
            radius = (np.abs(W) @ (inner + n * UNDERFLOW).T).T
            if bias is not None:
                coefficients[:, 0] += np.asarray(bias, float)
                radius = radius + EPS * np.abs(coefficients[:, 0])
            return settled(coefficients, radius, self.degree)

    def times(self, factor: ArrayLike) -> TaylorForms:
        """The product with numbers that broadcast to (N, n)."""
        factor = np.asarray(factor, float)
        with np.errstate(all="ignore"):
            coefficients = self.coefficients * (np.broadcast_to(factor, self.radius.shape)[:, None] if factor.ndim else factor)
            radius = np.abs(factor) * self.radius
            return settled(coefficients, radius + EPS * np.abs(coefficients).sum(1), self.degree)

    def scaled(self, number: Interval) -> TaylorForms:
        """The product with a number enclosed by one interval."""
        if number.lower == number.upper:
            return self.times(number.lower)
        with np.errstate(all="ignore"):
            size = np.abs(self.coefficients).sum(1) + self.radius
            found = self.times(number.middle)
            return settled(found.coefficients, found.radius + size * number.reach, self.degree)

    def plus(self, number: Interval) -> TaylorForms:
        """The sum with a number enclosed by intervals that broadcast to (N, n)."""
        with np.errstate(all="ignore"):
            coefficients = self.coefficients.copy(order="K")
            coefficients[:, 0] += number.middle
            rounding = np.where(number.middle == 0, 0.0, EPS * np.abs(coefficients[:, 0]))
            spread = np.where(number.lower == number.upper, 0.0, number.reach)
            return settled(coefficients, self.radius + spread + rounding, self.degree)

    def where(self, condition: Flags, other: TaylorForms) -> TaylorForms:
        """self where the condition (N, n) holds, other elsewhere."""
        coefficients = np.where(condition[:, None], self.coefficients, other.coefficients)
        return TaylorForms(coefficients, np.where(condition, self.radius, other.radius), degree=self.degree)

    def unknown_where(self, condition: Flags) -> TaylorForms:
        return TaylorForms(self.coefficients, np.where(condition, UNKNOWN, self.radius), degree=self.degree)

    def range(self) -> Interval:
        """(N, n), what the functions lie in: exact along every axis, where l·t + q·t² has its extrema, and ±|q| for products t_i·t_j.

        Of a higher degree those of the quadratics to which they are lowered.
        """
        if self.degree > 2:
            return self.lowered(2).range()
        if compiled := loops(self.radius.size, 1):
            lower, upper = np.empty((2, *self.radius.T.shape))
            compiled.taylor_range(*self.in_memory, self.dimension, lower, upper)
            return Interval(lower.T, upper.T).unknown_where(~(self.radius < UNKNOWN))
        d, c = self.dimension, self.coefficients
        total = np.abs(c[:, 0])
        high, low, spread = np.zeros_like(total), np.zeros_like(total), np.zeros_like(total)
        with np.errstate(all="ignore"):
            for k, (i, j) in enumerate(pairs(d), 1 + d):
                q, size = c[:, k], np.abs(c[:, k])
                total += size
                if i != j:
                    spread += size
                    continue
                # Beyond the vertex −l/(2q) the quadratic is monotone; |q| > 0 where the vertex is inside.
                l, size = np.abs(c[:, 1 + i]), 2 * size
                vertex, inside = l * (l / size) / 2, l < size
                total += l
                high += np.where(inside & (q < 0), vertex, l + q)
                low -= np.where(inside & (q > 0), vertex, l - q)
            # Every term above is computed to 4 roundings and at most 2·total; the sums to as many as there are terms.
            slack = self.radius + spread + EPS * (16 + 2 * c.shape[1]) * total + UNDERFLOW
            slack = slack * INFLATION
            lower, upper = np.nextafter(c[:, 0] + low - slack, -np.inf), np.nextafter(c[:, 0] + high + slack, np.inf)
        return Interval(lower, upper).unknown_where(~(self.radius < UNKNOWN))

    def span(self) -> Interval:
        """(N, n), what the functions lie in, for less than `range`: the constant ± all else."""
        center = self.center
        with np.errstate(all="ignore"):
            slack = (np.abs(self.coefficients[:, 1:]).sum(1) + self.radius) * INFLATION + UNDERFLOW
            lower, upper = np.nextafter(center - slack, -np.inf), np.nextafter(center + slack, np.inf)
        return Interval(lower, upper).unknown_where(~(self.radius < UNKNOWN))

    def at(self, t: ArrayLike) -> Interval:
        """What the functions lie in at the point t (N, d) of each box, (N, n)."""
        t = np.asarray(t, float)
        d, table = self.dimension, places(self.dimension, self.degree)
        values = [np.ones(len(t)), *(t[:, i] for i in range(d))]
        for exponents in self.monomials[1 + d :]:
            i = next(i for i, e in enumerate(exponents) if e)
            values.append(t[:, i] * values[table[tuple(e - (n == i) for n, e in enumerate(exponents))]])
        with np.errstate(all="ignore"):
            found = np.einsum("bcn,bc->bn", self.coefficients, np.stack(values, axis=1))
            slack = self.radius + EPS * (4 + 2 * len(values)) * np.abs(self.coefficients).sum(1) + UNDERFLOW
            slack = slack * INFLATION
            lower, upper = np.nextafter(found - slack, -np.inf), np.nextafter(found + slack, np.inf)
        return Interval(lower, upper).unknown_where(~(self.radius < UNKNOWN))


def middle_half(lower: Array, upper: Array) -> tuple[Array, Array]:
    """Floats m and h ≥ 0 with [lower, upper] ⊆ [m − h, m + h]; equal to it where floats can say so, as for dyadic boxes."""
    middle = lower + (upper - lower) / 2
    right, right_error = _difference(upper, middle)
    left, left_error = _difference(middle, lower)
    exact = (right_error == 0) & (left_error == 0)
    reach = np.maximum(right, left)
    return middle, np.where(exact, reach, np.nextafter(reach, np.inf))


def _difference(a: Array, b: Array) -> tuple[Array, Array]:
    """a − b in floats, and what that is off by (Knuth's two-sum; NaN on overflow)."""
    s = a - b
    back = s - a
    return s, (a - (s - back)) - (b + back)


def settled(coefficients: Array, radius: Array, degree: int = 2) -> TaylorForms:
    """The form with its radius rounded up; where the radius is too large or NaN, unknown, with coefficients 0."""
    radius = radius * INFLATION + UNDERFLOW
    lost = ~(radius < LARGEST)
    if lost.any():
        coefficients, radius = np.where(lost[:, None], 0.0, coefficients), np.where(lost, UNKNOWN, radius)
    return TaylorForms(coefficients, radius, degree=degree)
