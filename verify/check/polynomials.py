"""Polynomials of total degree n on the cube [−1, 1]^d: their monomials, what products of them are, and what they lie between.

Bernstein. A polynomial of degree n in each variable on [0, 1]^d lies between the least and the largest of its coefficients in the basis
∏ C(n, k_j)·x_j^{k_j}·(1 − x_j)^{n − k_j}, which is ≥ 0 and sums to 1. Chebyshev. |T_i| ≤ 1 on [−1, 1] and T_i = 2^{i−1}·x^i + …, so
x^i is a polynomial of degree i − 2 but for 2^{1−i}.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from itertools import combinations_with_replacement
from math import comb, factorial

import numpy as np

from ...atlas import Array
from ...intervals.patch import GROW, TINY
from ...intervals.rounding import gamma
from .nets import Indices

MOST_COEFFICIENTS = 1300
"""In the basis of Bernstein; beyond, ranges are sums of absolute values."""


class Space:
    """Polynomials of degree n in d variables, by coefficients of monomials of ascending degree."""

    def __init__(self, dimension: int, degree: int) -> None:
        self.dimension, self.degree = dimension, degree
        self.exponents = [
            tuple(chosen.count(j) for j in range(dimension))
            for i in range(degree + 1)
            for chosen in combinations_with_replacement(range(dimension), i)
        ]
        self.size = len(self.exponents)
        self.place = {exponent: n for n, exponent in enumerate(self.exponents)}
        self.starts = [comb(dimension + i - 1, dimension) if i else 0 for i in range(degree + 2)]
        """Where the monomials of each degree begin; and the number of all."""

    @cached_property
    def products(self) -> list[Indices]:
        """Row a: where the products of monomial a with those of degree up to n − |a| are, in their order."""
        return [
            np.array(
                [
                    self.place[tuple(x + y for x, y in zip(a, b, strict=True))]
                    for b in self.exponents[: self.starts[self.degree - sum(a) + 1]]
                ]
            )
            for a in self.exponents
        ]

    @cached_property
    def steps(self) -> list[tuple[int, int]]:
        """Every monomial but 1 as (monomial, variable) whose product it is."""
        found = []
        for exponent in self.exponents[1:]:
            j = next(k for k, e in enumerate(exponent) if e)
            found.append((self.place[(*exponent[:j], exponent[j] - 1, *exponent[j + 1 :])], j))
        return found

    @cached_property
    def multinomials(self) -> list[int]:
        """Coefficients of the monomials in powers of x_1 + … + x_d."""
        found = []
        for exponent in self.exponents:
            count = factorial(sum(exponent))
            for e in exponent:
                count //= factorial(e)
            found.append(count)
        return found

    @cached_property
    def bernstein(self) -> Array | None:
        """(coefficients of Bernstein, monomials); None where there are too many. Every entry is at most 1, and off by a few roundings."""
        if (self.degree + 1) ** self.dimension > MOST_COEFFICIENTS:
            return None
        single, columns = _bernstein(self.degree), []
        for exponent in self.exponents:
            column = np.ones(1)
            for e in exponent:
                column = np.outer(column, single[:, e]).reshape(-1)
            columns.append(column)
        return np.stack(columns, axis=1)

    def between(self, coefficients: Array) -> tuple[Array, Array]:
        """What polynomials, (size, …), lie between on the cube, (…) each."""
        flat = coefficients.reshape(self.size, -1)
        total = np.abs(flat[1:]).sum(0)
        low, high = flat[0] - total, flat[0] + total
        if self.bernstein is not None and self.degree:
            found = self.bernstein @ flat
            low, high = np.fmax(low, found.min(0)), np.fmin(high, found.max(0))
        lost = (gamma(2 * self.size + 8 * self.degree * self.dimension + 8) * GROW) * (np.abs(flat[0]) + total) + TINY
        shape = coefficients.shape[1:]
        return (low - lost).reshape(shape), (high + lost).reshape(shape)


@lru_cache(maxsize=64)
def space(dimension: int, degree: int) -> Space:
    return Space(dimension, degree)


def _bernstein(n: int) -> Array:
    """Column e: the coefficients of (2x − 1)^e on [0, 1], |·| ≤ 1 as all are differences of values of a polar form on [−1, 1]."""
    found = np.zeros((n + 1, n + 1))
    for e in range(n + 1):
        # (2x − 1)^e = Σ_i C(e, i)·2^i·(−1)^{e−i}·x^i, and x^i has the coefficients C(k, i)/C(n, i).
        for k in range(n + 1):
            total = sum(comb(e, i) * 2**i * (-1) ** (e - i) * comb(k, i) * (factorial(n) // comb(n, i)) for i in range(min(e, k) + 1))
            found[k, e] = total / factorial(n)
    return found


@lru_cache(maxsize=64)
def lower_terms(i: int) -> tuple[float, ...]:
    """x^i = Σ_l c_l·x^l ± 2^{1−i} on [−1, 1], l < i: (c_0, …, c_{i−1}), binary fractions."""
    before, last = [1], [0, 1]  # T_0, T_1
    for _ in range(i - 1):
        before, last = last, [2 * a - b for a, b in zip([0, *last], [*before, 0, 0], strict=True)]
    return tuple(-c / last[-1] for c in last[:-1])
