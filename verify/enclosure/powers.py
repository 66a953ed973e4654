"""Functions of one quantity, given as polynomials about its middle, composed with the form of that quantity: how profiles become forms.

Lemma. Let s = s_0 + D + e on a box, D the terms of degree 1 … n of a form, |e| ≤ r, and ρ ≥ |D| + r on it. Let Σ_{i≤n} c_i·δ^i be
within R of q(s_0 + δ) for |δ| ≤ ρ. Then |q(s) − c_0 − Σ_i c_i·[D^i]| ≤ R + r·Σ i·|c_i|·ρ^{i−1} + Σ_{i≥2} |c_i|·lost_i, where [D^i] is
D^i without terms of degree above n and lost_i bounds those: with [D^{i−1}] of sizes A_a and D of sizes S_a in degree a, all together S,
lost_i = lost_{i−1}·S + Σ_{a+b>n} A_a·S_b, since |t| ≤ 1. Where D is linear, [D^i] = D^i and its coefficients are multinomial ones times
products of those of D.

What inputs x_i = form + ε_i, |ε_i| ≤ r_i, are off by is summed before it is bounded, for in a sum of profiles it mostly cancels: with
s_k = a_k·x, r_k = |a_k|·r + r′_k and r′_k the rounding of s_k, the sum of all r_k·|c_1k| above may be replaced by
|Σ_k c_1k·a_k|·r + Σ_k |c_1k|·r′_k.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, combinations_with_replacement, product
from math import factorial, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array
from ...intervals import Flags
from .bend import Places
from .taylor import EPS, UNDERFLOW, UNKNOWN, TaylorForms, settled

Indices = NDArray[np.uint64]
NEARLY = 2.0**-46
"""Terms of higher degree that are smaller than this part of a form are put into its radius, and the form taken as linear."""


@dataclass(frozen=True, eq=False)
class Monomials:
    """The monomials in d variables up to degree n, in order of degree, and how products of them are formed."""

    degrees: Places
    """(C,)."""
    parents: Places
    """(C,): the monomial without its last factor…"""
    last: Places
    """…and which coordinate that is, its number plus one."""
    multiples: Array
    """(C,): multinomial coefficients."""
    grades: Places
    """(n + 2,): where each degree begins, and the number of all."""
    left: Indices
    """(T,): with `right` all i, j of degree ≥ 1, such that monomial_i·monomial_j = monomial_k and i is of degree p − 1 or more,…"""
    right: Indices
    """(of p = 2 only those with i < j)…"""
    begin: Places
    """(n + 1, C + 1): …those of p and k from begin[p, k] to begin[p, k + 1]."""
    roots: Indices
    """(C,): i with monomial_i² = monomial_k; 0 where there is none."""

    @property
    def arrays(self) -> tuple[Any, ...]:
        """For compiled loops."""
        return self.degrees, self.parents, self.last, self.grades, self.left, self.right, self.begin, self.roots


@cache
def monomials(dimension: int, degree: int) -> Monomials:
    """In d variables up to degree n: 1, t_1 … t_d, then t_i·t_j for i ≤ j, and so on."""
    every = [m for n in range(degree + 1) for m in combinations_with_replacement(range(dimension), n)]
    place = {m: k for k, m in enumerate(every)}
    degrees = [len(m) for m in every]
    multiples = [factorial(len(m)) / prod(factorial(m.count(i)) for i in set(m)) for m in every]
    grades = [sum(g < p for g in degrees) for p in range(degree + 2)]
    roots = [place.get(m[::2], 0) if m and m[::2] == m[1::2] else 0 for m in every]
    left, right, begin = [], [], np.zeros((degree + 1, len(every) + 1), np.intp)
    for p in range(2, degree + 1):
        for k, whole in enumerate(every):
            begin[p, k] = len(left)
            for i, j in (
                combinations(range(1, len(every)), 2) if p == 2 else product(range(grades[p - 1], len(every)), range(1, len(every)))
            ):
                if tuple(sorted(every[i] + every[j])) == whole:
                    left.append(i)
                    right.append(j)
        begin[p, -1] = len(left)
    return Monomials(
        np.array(degrees),
        np.array([place[m[:-1]] for m in every]),
        np.array([m[-1] + 1 if m else 0 for m in every]),
        np.array(multiples, float),
        np.array(grades),
        np.array(left, np.uint64),
        np.array(right, np.uint64),
        begin,
        np.array(roots, np.uint64),
    )


@dataclass(frozen=True, eq=False)
class Quantities:
    """K quantities a_k·x + b_k on N boxes: coefficients (C, K, N), radius and reach (K, N) with |s − s_0| ≤ reach."""

    coefficients: Array
    radius: Array
    own: Array
    """r′, (K, N): what of the radius comes from no radius of an input."""
    reach: Array
    rows: Array
    """a, (K, n)."""
    given: Array
    """r, (n, N)."""
    dimension: int
    degree: int
    linear: bool
    """Whether all terms of degree 2 and more are 0 and only the first 1 + d coefficients are there."""

    @property
    def arrays(self) -> tuple[Any, ...]:
        """For compiled loops."""
        return self.coefficients, self.radius, self.own, self.reach, self.rows, self.given, self.degree, self.linear

    @staticmethod
    def of(weight: Array, bias: Array | None, forms: TaylorForms) -> Quantities:
        """W·f + b for n functions f with these forms, W (K, n) and b (K,), b None for 0; 0 on boxes where a form is unknown.

        Rounding as in `TaylorForms.affine`: γ_n of Σ|W|·|coefficients|, twice, and of the sum with b.
        """
        d, n = forms.dimension, forms.functions
        known = forms.radius.max(1) < UNKNOWN
        stored = forms.coefficients.transpose(1, 2, 0)
        stored = stored if stored[1 + d :].any() else stored[: 1 + d]
        coefficients, given, size = np.matmul(weight, stored), np.ascontiguousarray(forms.radius.T), np.abs(weight)
        own = size @ (2 * n * EPS * np.abs(stored).sum(0) + n * UNDERFLOW)
        if bias is not None:
            coefficients[0] += bias[:, None]
            own += EPS * np.abs(coefficients[0])
        first, higher = np.abs(coefficients[1 : 1 + d]).sum(0), np.abs(coefficients[1 + d :]).sum(0)
        linear = bool((higher <= NEARLY * (np.abs(coefficients[0]) + first)).all())
        if linear:
            coefficients, own = coefficients[: 1 + d], own + higher
        # The middle of a cell of a table is taken off the middle of a quantity in floats.
        own = (own + EPS / 16) * (1 + 64 * EPS) + UNDERFLOW
        radius = (size @ given * (1 + 2 * n * EPS) + own) * (1 + 8 * EPS)
        reach = (first + (0.0 if linear else higher) + radius) * (1 + 64 * EPS)
        found = Quantities(coefficients, radius, own, reach, weight, given, d, forms.degree, linear)
        return found if known.all() else found.where(known)

    def where(self, condition: Flags) -> Quantities:
        """0 on the other boxes."""
        names = "coefficients", "radius", "own", "reach", "given"
        return replace(self, **{name: np.where(condition, getattr(self, name), 0.0) for name in names})


class Total:
    """Σ_k q_k(s_k), as it is added up: q functions on N boxes."""

    def __init__(self, outputs: int, quantities: Quantities) -> None:
        self.tables = monomials(quantities.dimension, quantities.degree)
        self.quantities = quantities
        N = quantities.radius.shape[1]
        self.coefficients = np.zeros((len(self.tables.degrees), outputs, N))
        self.radius, self.size, self.bent, self.steep = np.zeros((4, outputs, N))
        self.gradient = np.zeros((outputs, len(quantities.given), N))

    @property
    def arrays(self) -> tuple[Array, ...]:
        """For compiled loops."""
        return self.coefficients, self.radius, self.size, self.bent, self.steep, self.gradient

    def add(self, k: int, c: Array, off: Array) -> None:
        """q_k(s_k), which is within `off` (q, N) of Σ c_i·δ^i, c (n + 1, q, N)."""
        s, r, reach = self.quantities.coefficients[:, k], self.quantities.radius[k], self.quantities.reach[k]
        n, power, first = self.quantities.degree, reach, np.abs(c[1])
        steep, whole = np.zeros_like(off), np.abs(c[0]) + first * reach
        for i in range(2, n + 1):
            size = np.abs(c[i])
            steep = steep + i * size * power
            power = power * reach
            whole = whole + size * power
            self.bent += size * (power + UNDERFLOW)
        self.radius += off + steep * r + first * self.quantities.own[k]
        self.steep += first * r
        for i, a in enumerate(self.quantities.rows[k]):
            self.gradient[:, i] += a * c[1]
        self.size += whole
        self.coefficients[0] += c[0]
        if self.quantities.linear:
            self._linear(c, s)
        else:
            self._powers(c, s)

    def _linear(self, c: Array, s: Array) -> None:
        """Σ c_i·D^i for D = Σ s_j·t_j, without the multinomial coefficients."""
        tables = self.tables
        power = [np.ones_like(s[0])]
        for m in range(1, len(self.coefficients)):
            power.append(power[tables.parents[m]] * s[tables.last[m]] if tables.degrees[m] > 1 else s[tables.last[m]])
            self.coefficients[m] += c[tables.degrees[m]] * power[m]

    def _powers(self, c: Array, s: Array) -> None:
        """Σ c_i·[D^i] for D of all degrees."""
        tables, n = self.tables, self.quantities.degree
        for m in range(1, len(s)):
            self.coefficients[m] += c[1] * s[m]
        first, tail = np.zeros((n + 1, s.shape[1])), np.zeros((n + 2, s.shape[1]))
        for a in range(n, 0, -1):
            for m in range(tables.grades[a], tables.grades[a + 1]):
                first[a] += np.abs(s[m])
            tail[a] = tail[a + 1] + first[a]
        before, sizes, lost = s, first, np.zeros_like(s[0])
        for p in range(2, n + 1):
            power, grown = np.zeros_like(s), np.zeros_like(first)
            for k in range(tables.grades[p], len(s)):
                for t in range(tables.begin[p, k], tables.begin[p, k + 1]):
                    power[k] += before[tables.left[t]] * s[tables.right[t]]
                if p == 2:
                    power[k] *= 2
                    if (root := tables.roots[k]) > 0:
                        power[k] += s[root] * s[root]
            lost = lost * tail[1]
            for a in range(p - 1, n + 1):
                lost = lost + sizes[a] * tail[max(1, n + 1 - a)]
                for b in range(1, n + 1 - a):
                    grown[a + b] += sizes[a] * first[b]
            for m in range(tables.grades[p], len(s)):
                self.coefficients[m] += c[p] * power[m]
            self.radius += np.abs(c[p]) * lost
            before, sizes = power, grown

    def forms(self) -> TaylorForms:
        """The sum, its rounding included.

        A coefficient takes at most K + n + 3 roundings, and what is of degree ≥ 2 in some quantity (n − 1)·(C + 1) more.
        """
        C, K, n = len(self.coefficients), self.quantities.radius.shape[0], self.quantities.degree
        if self.quantities.linear:
            self.coefficients *= self.tables.multiples[:, None, None]
        rounding = (K + n + 3) * EPS * (self.size + self.steep) + (n - 1) * (C + 1) * EPS * self.bent
        radius = self.radius + (np.abs(self.gradient) * self.quantities.given).sum(1) + rounding
        radius = radius * (1 + (K + len(self.quantities.given) + 64) * EPS)
        return settled(self.coefficients.transpose(2, 0, 1), radius.T, n)
