"""What a sum of harmonics is about points: a polynomial there, and what is left on a ball, for all components at once.

Statement. Let f be a sum of solid harmonics, A_l = (Σ_m g² + h²)^{1/2} its size in degree l, |c| ≤ R, and |p| ≤ R on the segment from c to
c + δ. With T_k the derivatives of order k at c, ‖T_k‖² = Σ_{|α| = k} k!/α!·(∂^α f(c))², and (2k − 1)!! = 1·3·…·(2k − 1),

    |Σ_{|α| = k} ∂^α f(c)/α!·δ^α| ≤ N_k·|δ|^k,                          N_k = ‖T_k‖/√(k!·(2k − 1)!!),
    |f(c + δ) − Σ_{|α| ≤ q} ∂^α f(c)/α!·δ^α| ≤ M_{q+1}·|δ|^{q+1},        M_k = Σ_l C(l, k)·A_l·R^{l−k};

of what decays the last is M_k = Σ_l C(l + k, k)·A_l·R^{l+k+1}, where 1/|p| ≤ R.

Proof. T_k is a symmetric tensor without traces, as f is harmonic, and the sum is ⟨T_k, δ^⊗k⟩/k! = ⟨T_k, P(δ^⊗k)⟩/k!, P the projection on
such tensors. Zonal harmonics are its kernel: ⟨P(x^⊗k), P(y^⊗k)⟩ = k!/(2k − 1)!!·|x|^k·|y|^k·P_k(cos), so that
‖P(δ^⊗k)‖² = k!/(2k − 1)!!·|δ|^{2k}. For the second, a derivative along a unit vector e takes a sum of degree l to one of degree l − 1 whose
size is at most l times as large: rotations of space leave sizes alone (`euler`), and along z the factors are √((l−m)(l+m)) ≤ l (`ladder`);
of what decays the degree grows, and they are √((l+1−m)(l+1+m)) ≤ l + 1. So |∂_e^k f|/k! ≤ M_k on the segment (addition theorem), and that
is Taylor's formula along it.

Of order k there are 2k + 1 derivatives, those of order 0 or 1 along z; the others follow by ∂_z² = −∂_x² − ∂_y². So nothing is computed
twice, and sums of all of them are one product of matrices.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations_with_replacement
from math import comb, factorial, prod, sqrt

import numpy as np

from ...expressions import Array
from ...expressions.fields import Expansion, Orders
from .euler import by_euler, powers
from .ladder import derivative
from .solid import EPS, GENEROUS, count, degree_of, inverted
from .sums import TINY, UNDERFLOW, Sum

AT_ONCE = 1 << 21
"""Harmonics that are held at a time."""


class Stacked:
    """The derivatives of a sum up to an order q, those of order 0 or 1 along z, as one matrix."""

    def __init__(self, whole: Sum, decaying: bool, q: int) -> None:
        self.decaying, self.q, self.outputs = decaying, q, len(whole.coefficients)
        self.orders = [orders for k in range(q + 1) for orders in _independent(k)]
        degree = degree_of(whole.coefficients.shape[-1])
        self.degree = degree + q if decaying else degree
        shape = len(self.orders), self.outputs
        self.rows = np.zeros((*shape, 2, count(self.degree)))
        self.sizes, self.doubts = np.zeros((2, *shape, self.degree + 1))
        self.lost = np.zeros(shape)
        last: dict[Orders, Sum] = {}
        for n, orders in enumerate(self.orders):
            last = {known: some for known, some in last.items() if sum(known) >= sum(orders) - 1}
            last[orders] = some = whole if not n else self._derived(last, orders)
            places, degrees = some.coefficients.shape[-1], int(some.degrees[-1]) + 1
            self.rows[n, :, :, :places], self.lost[n] = some.coefficients, np.abs(some.coefficients).sum((1, 2))
            self.sizes[n, :, :degrees], self.doubts[n, :, :degrees] = some.sizes, some.doubts

    def _derived(self, known: dict[Orders, Sum], orders: Orders) -> Sum:
        axis = max(k for k in range(3) if orders[k])
        before = known[tuple(o - (k == axis) for k, o in enumerate(orders))]
        return Sum(*derivative(before.coefficients, before.errors, axis, self.decaying))

    def at(self, points: Array, reach: Array) -> tuple[Array, Array]:
        """Values at points whose lengths, or one over them, are at most `reach`, and what they may be off by, (orders, outputs, N)."""
        N, places = len(points), self.rows.shape[-1]
        values, slack = (np.zeros((len(self.orders) * self.outputs, N)) for _ in range(2))
        rows, sizes, doubts = (part.reshape(len(values), -1) for part in (self.rows, self.sizes, self.doubts))
        summed = 2 * (places + 8) * EPS
        step = max(1, AT_ONCE // (2 * places))
        for start in range(0, N, step):
            part = slice(start, start + step)
            at, scale = inverted(points[part]) if self.decaying else (points[part], np.ones(1))
            far = reach[part] * GENEROUS if self.decaying else np.ones(1)
            found, off = by_euler(self.degree, at, reach[part])
            whole = powers(self.degree, reach[part]) + off
            lost = sizes @ (off + summed * whole) + doubts @ whole
            lost = lost * GENEROUS + UNDERFLOW * self.lost.reshape(-1, 1)
            values[:, part] = (rows @ found) * scale
            slack[:, part] = lost * (far * GENEROUS)
        slack += 4 * EPS * np.abs(values) + TINY
        shape = len(self.orders), self.outputs, N
        return values.reshape(shape), slack.reshape(shape)

    def remainder(self, k: int, reach: Array) -> Array:
        """M_k, (outputs, N), of R at most `reach`."""
        sizes, R = self.sizes[0, :, : self.degree + 1 - (self.q if self.decaying else 0)], powers(self.degree + k + 1, reach)
        degrees = range(sizes.shape[1])
        if self.decaying:
            weights, raised = np.array([float(comb(l + k, k)) for l in degrees]), R[k + 1 : k + 1 + sizes.shape[1]]
        else:
            weights, raised = np.array([float(comb(l, k)) for l in degrees]), R[np.maximum(np.arange(sizes.shape[1]) - k, 0)]
        return np.asarray((sizes * weights) @ raised * GENEROUS + TINY * ((sizes * weights) > 0).any(1, keepdims=True))


def about(stacked: Stacked, center: Array, around: Array, reach: Array, degree: int) -> Expansion:
    """The expansion about points (N, 3) to a degree ≤ q; R on the points themselves, `around`, and on the segments, `reach`, both (N,)."""
    values, slack = stacked.at(center, around)
    known = {orders: (values[n], slack[n]) for n, orders in enumerate(stacked.orders)}
    numbers, off, sizes = [], [], [stacked.remainder(0, reach)]
    for k in range(stacked.q + 1):
        square = np.zeros((stacked.outputs, len(center)))
        for which in combinations_with_replacement(range(3), k):
            orders = tuple(which.count(axis) for axis in range(3))
            value, spread = _by_laplace(known, orders)
            share = prod(map(factorial, orders))
            if k <= degree:
                numbers.append(value / share)
                off.append((spread + EPS * np.abs(value)) * (GENEROUS / share) + TINY)
            square += (np.abs(value) + spread) ** 2 * (factorial(k) / share)
        if k:
            sizes.append((np.sqrt(square) + UNDERFLOW) / sqrt(factorial(k) * prod(range(1, 2 * k, 2))) * GENEROUS)
    sizes.append(stacked.remainder(stacked.q + 1, reach))
    return Expansion(np.array(numbers), np.array(off), np.array(sizes))


def _by_laplace(known: dict[Orders, tuple[Array, Array]], orders: Orders) -> tuple[Array, Array]:
    """∂^orders and what it may be off by: ∂_z^{2s} = (−1)^s·Σ_t C(s, t)·∂_x^{2t}·∂_y^{2(s − t)}."""
    s, rest = divmod(orders[2], 2)
    if not s:
        return known[orders]
    value, off, size = (np.zeros_like(known[0, 0, 0][0]) for _ in range(3))
    for t, factor in enumerate(_signed(s)):
        part, slack = known[orders[0] + 2 * t, orders[1] + 2 * (s - t), rest]
        value, off, size = value + factor * part, off + abs(factor) * slack, size + abs(factor) * np.abs(part)
    return value, (off + 2 * (s + 1) * EPS * size) * GENEROUS


@cache
def _signed(s: int) -> tuple[int, ...]:
    return tuple((-1) ** s * comb(s, t) for t in range(s + 1))


def _independent(k: int) -> list[Orders]:
    """Orders k in all, at most one of them along z."""
    return [(i, k - m - i, m) for m in range(min(k, 1) + 1) for i in range(k - m, -1, -1)]
