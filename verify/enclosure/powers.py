"""Sums of functions of one quantity each, given as polynomials about its middle, composed with forms: how profiles become forms.

Lemma. On a box let s_k = s_k0 + L_k + h_k + e_k for every quantity s_k = a_k·x: L_k its linear terms, |L_k| ≤ l_k; h_k = a_k·H, H the terms
of degree 2 … n of the inputs x, |h_k| ≤ η_k; |e_k| ≤ r_k = |a_k|·r + r′_k, where inputs are off by r and r′_k is rounding; and let
ρ_k ≥ l_k + η_k + r_k. Let p_k(δ) = Σ_{i≤n} c_ki·δ^i be within R_k of q_k(s_k0 + δ) for |δ| ≤ ρ_k. Then Σ_k q_k(s_k) differs from

    Σ_k p_k(L_k) + H·Σ_k a_k·p_k′(L_k)  [ + Hᵀ·(Σ_k c_k2·a_k·a_kᵀ)·H for n ≥ 4 ]

by at most |Σ_k c_k1·a_k|·r and the sum over k of

    R_k + Σ_{i≥2} C(i, 2)·|c_ki|·ρ_k^{i−2}·η_k² (i ≥ 3 for n ≥ 4) + Σ_{i≥2} i·|c_ki|·ρ_k^{i−1}·r_k + |c_k1|·r′_k.

As H is of degree 2, p_k′(L_k) is needed to degree n − 2: its term of degree n − 1 adds n·|c_kn|·l_k^{n−1}·η_k. So sums over k are taken
before anything is bounded that mostly cancels in them. (L_k)^i has multinomial coefficients times products of those of L_k.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement
from math import factorial, prod
from typing import Any

import numpy as np

from ...atlas import Array
from ...intervals import Flags
from .bend import Places
from .monomials import dimension_of, starts
from .taylor import EPS, UNDERFLOW, UNKNOWN, TaylorForms, settled


@dataclass(frozen=True, eq=False)
class Monomials:
    """The monomials in d variables up to degree n, in order of degree."""

    degrees: Places
    """(C,)."""
    parents: Places
    """(C,): the monomial without its last factor…"""
    last: Places
    """…and which coordinate that is."""
    multiples: Array
    """(C,): multinomial coefficients."""
    products: tuple[tuple[int, int, int], ...]
    """All i, j, k with monomial_i·monomial_j = monomial_k, i of degree ≤ n − 2 and j of degree ≥ 2."""
    squares: tuple[tuple[int, int, int], ...]
    """The same of i and j of degree 2, for n ≥ 4."""

    @property
    def arrays(self) -> tuple[Places, ...]:
        """For compiled loops."""
        return self.degrees, self.parents, self.last


@cache
def monomials(dimension: int, degree: int) -> Monomials:
    """In d variables up to degree n: 1, t_1 … t_d, then t_i·t_j for i ≤ j, and so on."""
    every = [m for n in range(degree + 1) for m in combinations_with_replacement(range(dimension), n)]
    place = {m: k for k, m in enumerate(every)}
    multiples = [factorial(len(m)) / prod(factorial(m.count(i)) for i in set(m)) for m in every]
    found = [(i, j, place[tuple(sorted(a + b))]) for i, a in enumerate(every) for j, b in enumerate(every)
             if len(a) <= degree - 2 and len(b) >= 2 and len(a) + len(b) <= degree]  # fmt: skip
    degrees = [len(m) for m in every]
    return Monomials(
        np.array(degrees),
        np.array([place[m[:-1]] for m in every]),
        np.array([m[-1] if m else 0 for m in every]),
        np.array(multiples, float),
        tuple(found),
        tuple((i, j, k) for i, j, k in found if degrees[i] == 2 and degrees[j] == 2),
    )


@dataclass(frozen=True, eq=False)
class Quantities:
    """K quantities a_k·x + b_k on N boxes."""

    center: Array
    """s_k0, (K, N)."""
    slopes: Array
    """Coefficients of L_k, (d, K, N)."""
    bent: Array
    """η_k, (K, N)."""
    radius: Array
    """r_k."""
    own: Array
    """r′_k."""
    reach: Array
    """ρ_k."""
    rows: Array
    """a_k, (K, n)."""
    given: Array
    """r, (n, N)."""
    higher: Array
    """H, (n, ·, N): all coefficients, those of degree 0 and 1 are 0."""
    degree: int

    @property
    def arrays(self) -> tuple[Any, ...]:
        """For compiled loops."""
        return self.center, self.slopes, self.bent, self.radius, self.own, self.reach, self.rows

    @staticmethod
    def of(weight: Array, bias: Array | None, forms: TaylorForms) -> Quantities:
        """W·f + b for n functions f with these forms, W (K, n) and b (K,), b None for 0; 0 on boxes where a form is unknown.

        Rounding as in `TaylorForms.affine`: γ_n of Σ|W|·|coefficients|, twice, and of the sum with b.
        """
        d, n, size = forms.dimension, forms.functions, np.abs(weight)
        known = forms.radius.max(1) < UNKNOWN
        stored, given = forms.coefficients.transpose(1, 2, 0), np.ascontiguousarray(forms.radius.T)
        first = np.matmul(weight, stored[: 1 + d])
        bent = size @ np.abs(stored[1 + d :]).sum(0) * (1 + 2 * n * EPS)
        own = size @ (2 * n * EPS * np.abs(stored[: 1 + d]).sum(0) + n * UNDERFLOW)
        if bias is not None:
            first[0] += bias[:, None]
            own += EPS * np.abs(first[0])
        # The middle of a cell of a table is taken off the middle of a quantity in floats.
        own = (own + EPS / 16) * (1 + 64 * EPS) + UNDERFLOW
        radius = (size @ given * (1 + 2 * n * EPS) + own) * (1 + 8 * EPS)
        reach = (np.abs(first[1:]).sum(0) + bent + radius) * (1 + 64 * EPS)
        higher = stored.transpose(1, 0, 2).copy()
        higher[:, : 1 + d] = 0.0
        found = Quantities(first[0], first[1:], bent, radius, own, reach, weight, given, higher, forms.degree)
        return found if known.all() else found.where(known)

    def where(self, condition: Flags) -> Quantities:
        """0 on the other boxes."""

        def kept(values: Array) -> Array:
            return np.where(condition, values, 0.0)

        center, slopes, bent, radius = kept(self.center), kept(self.slopes), kept(self.bent), kept(self.radius)
        own, reach, given, higher = kept(self.own), kept(self.reach), kept(self.given), kept(self.higher)
        return Quantities(center, slopes, bent, radius, own, reach, self.rows, given, higher, self.degree)


class Total:
    """Σ_k q_k(s_k), as it is added up: q functions on N boxes."""

    def __init__(self, outputs: int, quantities: Quantities) -> None:
        self.quantities, n = quantities, quantities.degree
        inputs, C, N = quantities.higher.shape
        self.dimension = dimension_of(C, n)
        self.tables = monomials(self.dimension, n)
        self.polynomial = np.zeros((C, outputs, N))
        """Σ p_k(L_k), without the multinomial coefficients."""
        self.gradient = np.zeros((starts(self.dimension, n)[n - 1], inputs, outputs, N))
        """Σ a_k·p_k′(L_k), to degree n − 2, without them."""
        self.hessian = np.zeros((inputs, inputs, outputs, N) if n >= 4 else (0, 0, outputs, N))
        """Σ c_k2·a_k·a_kᵀ."""
        self.radius, self.size, self.steep, self.curved = np.zeros((4, outputs, N))
        """What is bounded term by term; Σ|c_ki|·ρ_k^i; Σ|c_k1|·r_k; and what H is multiplied with, at most."""

    @property
    def arrays(self) -> tuple[Array, ...]:
        """For compiled loops."""
        return self.polynomial, self.gradient, self.hessian, self.radius, self.size, self.steep, self.curved

    def add(self, k: int, c: Array, off: Array) -> None:
        """q_k(s_k), which is within `off` (q, N) of Σ c_i·δ^i, c (n + 1, q, N)."""
        s, n, tables = self.quantities, self.quantities.degree, self.tables
        r, eta, reach, slopes, row = s.radius[k], s.bent[k], s.reach[k], s.slopes[:, k], s.rows[k]
        first = np.abs(c[1])
        power, steep, second, whole = np.ones_like(reach), np.zeros_like(off), np.zeros_like(off), np.abs(c[0]) + first * reach
        for i in range(2, n + 1):
            size = np.abs(c[i])
            if i > 2 or n < 4:
                second = second + i * (i - 1) / 2 * size * power
            power = power * reach
            steep = steep + i * size * power
            whole = whole + size * (power * reach + UNDERFLOW)
        length, last = np.zeros_like(reach), n * np.abs(c[n])
        for j in range(self.dimension):
            length = length + np.abs(slopes[j])
        for _ in range(n - 1):
            last = last * length
        self.radius += off + steep * r + first * s.own[k] + (last + second * eta) * eta
        self.size += whole
        self.steep += (first + UNDERFLOW) * r
        self.curved += (first + steep + UNDERFLOW) * eta
        products = np.ones((len(self.polynomial), len(reach)))
        self.polynomial[0] += c[0]
        for m in range(1, len(products)):
            products[m] = products[tables.parents[m]] * slopes[tables.last[m]]
            self.polynomial[m] += c[tables.degrees[m]] * products[m]
        for m in range(len(self.gradient)):
            slope = (tables.degrees[m] + 1) * c[tables.degrees[m] + 1] * products[m]
            for i, a in enumerate(row):
                self.gradient[m, i] += a * slope
        for i in range(len(self.hessian)):
            for j in range(len(self.hessian)):
                self.hessian[i, j] += row[i] * row[j] * c[2]

    def forms(self) -> TaylorForms:
        """The sum, its rounding included.

        A coefficient of Σ p_k takes at most K + 2n + 3 roundings; what H is multiplied with as many, and then n·C sums, twice for n ≥ 4.
        """
        s, n, tables = self.quantities, self.quantities.degree, self.tables
        K, (inputs, C, _) = len(s.rows), s.higher.shape
        found = self.polynomial * tables.multiples[:, None, None]
        gradient = self.gradient * tables.multiples[: len(self.gradient), None, None, None]
        radius = self.radius + (np.abs(gradient[0]) * s.given[:, None]).sum(0)
        radius += (K + 2 * n + 3) * EPS * (self.size + self.steep)
        if s.higher.any():
            size, far = np.abs(s.higher).sum(1)[:, None], starts(self.dimension, n)
            for i, j, k in tables.products:
                found[k] += (gradient[i] * s.higher[:, j, None]).sum(0)
            for a in range(1, n - 1):  # products of degree above n
                beyond = np.abs(s.higher[:, far[n + 1 - a] :]).sum(1)[:, None]
                radius += (np.abs(gradient[far[a] : far[a + 1]]).sum(0) * beyond).sum(0)
            radius += self._squares(found)
            radius += 2 * (K + inputs * C + 2 * n + 16) * EPS * self.curved + UNDERFLOW * size.sum(0)
        return settled(found.transpose(2, 0, 1), radius.T * (1 + (K + C * inputs + 64) * EPS), n)

    def _squares(self, found: Array) -> Array:
        """Hᵀ·hessian·H to degree 4 into `found`, and what of it is of a higher degree."""
        if not len(self.hessian):
            return np.zeros(found.shape[1:])
        higher = self.quantities.higher
        low, high = (starts(self.dimension, self.quantities.degree)[g] for g in (2, 3))
        turned = np.einsum("ijqb,jmb->imqb", self.hessian, higher[:, low:high])
        for i, j, k in self.tables.squares:
            found[k] += (turned[:, i - low] * higher[:, j, None]).sum(0)
        second, rest = np.abs(higher[:, low:high]).sum(1), np.abs(higher[:, high:]).sum(1)
        size = np.abs(self.hessian)
        return np.einsum("ijqb,ib,jb->qb", size, rest, second + rest) + np.einsum("ijqb,ib,jb->qb", size, second, rest)
