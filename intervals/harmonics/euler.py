"""Solid harmonics by Euler's identity: a recursion whose errors grow no faster than the degree, and how far other numbers are from them.

Statement. For a polynomial homogeneous of degree l Euler's identity is l·f = x·∂_x f + y·∂_y f + z·∂_z f, and derivatives of S_lm are
harmonics of degree l − 1 (`ladder`). So, with ζ = x + iy, d_m = 2 − δ_m0 and m ≥ 1,

    S_lm = a·z·S_{l−1,m} + b·ζ·S_{l−1,m−1} − c·ζ̄·S_{l−1,m+1},      S_l0 = a·z·S_{l−1,0} − c·Re(ζ̄·S_{l−1,1}),

    a = √(l²−m²)/l,   b = √((2/d_{m−1})·(l+m)(l+m−1))/2l,   c = √((l−m)(l−m−1))/2l, and √(l(l−1)/2)/l for m = 0.

Let S_l stand for the 2l + 1 real numbers of degree l, and M_l(p) for this matrix, linear in p: S_l(p) = M_l(p)·S_{l−1}(p). Then

    ‖M_l(p)·e‖ ≤ |p|·‖e‖   for every e,   and   ‖|M_l|·|e|‖ ≤ 3·|p|·‖e‖   for the sums of absolute values of its terms.

Proof. Rotations Q of space turn S_l by orthogonal matrices, S_l(Qp) = D_l·S_l(p), as Σ_m S_lm(p)·S_lm(p′) depends on |p|, |p′| and the
angle between them only. The numbers S_{l−1} are linearly independent as functions, so M_l(Qp) = D_l·M_l(p)·D_{l−1}ᵀ, and p may be taken to
lie on the axis: M_l is diagonal there, its entries |p|·√(l²−m²)/l ≤ |p|. For the second, a, b ≤ 1 and c ≤ √½, and
|x|·|Re| + |y|·|Im| ≤ √2·|ζ|·|S| for both parts together, so that the terms come to at most
(|z| + √2·|ζ| + |ζ|)·‖e‖ ≤ √(1 + (1 + √2)²)·|p|·‖e‖ < 3·|p|·‖e‖.

Two bounds follow, as errors e_l = S̃_l − S_l of any numbers S̃ have e_l = (S̃_l − M_l·S̃_{l−1}) + M_l·e_{l−1}.
*Before*: computed by this recursion, a step being off by STEP parts of its terms, ‖e_l‖ ≤ 3·STEP·(1 + 3·STEP)^{l−1}·l·R^l where |p| ≤ R.
*Afterwards*: of numbers that come from elsewhere, ‖e_l‖ ≤ ‖S̃_l − fl(M_l·S̃_{l−1})‖ + 3·STEP·R·‖S̃_{l−1}‖ + R·‖e_{l−1}‖, all of it known.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from ...expressions import Array
from .solid import EPS, GENEROUS, STEP, count

TERMS = 3.0
"""‖|M_l|·|e|‖ in parts of |p|·‖e‖."""
LOST = 2.0**-1000
"""More than what underflows in a step, or in a square root of squares, summed over a degree."""

Harmonic = Callable[[int, Array, Array], tuple[Array, Array]]
"""Degree L, points (N, 3) and bounds R of their lengths, (N,), to Re S_lm and Im S_lm, (2·places, N), and bounds of ‖e_l‖, (L + 1, N)."""


@lru_cache(maxsize=1024)
def weights(l: int) -> tuple[Array, Array, Array]:
    """a (l, 1) of m < l, b (l, 1) of m ≥ 1, c (max(l − 1, 0), 1) of m ≤ l − 2."""
    m = np.arange(l + 1.0)
    a = np.sqrt((l - m) * (l + m))[:l] / l
    b = np.sqrt(np.where(m == 1, 2.0, 1.0) * (l + m) * (l + m - 1))[1:] / (2 * l)
    c = np.sqrt(np.where(m == 0, 2.0, 1.0) * (l - m) * np.maximum(l - m - 1, 0.0))[: l - 1] / (2 * l)
    return a[:, None], b[:, None], c[:, None]


def stepped(l: int, before: Array, points: Array) -> Array:
    """M_l(p)·e for numbers (2, l, N) of degree l − 1: (2, l + 1, N)."""
    a, b, c = weights(l)
    x, y, z = points.T
    found = np.zeros((2, l + 1, before.shape[2]))
    found[:, :l] = a * (z * before)
    along, across = x * before, y * before
    found[0, 1:] += b * (along[0] - across[1])
    found[1, 1:] += b * (along[1] + across[0])
    found[0, : l - 1] -= c * (along[0, 1:] + across[1, 1:])
    found[1, : l - 1] -= c * (along[1, 1:] - across[0, 1:])
    found[1, 0] = 0.0  # Im S_l0
    return found


def by_euler(degree: int, points: Array, reach: Array) -> tuple[Array, Array]:
    """A `Harmonic` with the bound from before."""
    found = np.zeros((2, count(degree), len(points)))
    found[0, 0] = 1.0
    for l in range(1, degree + 1):
        found[:, _of(l)] = stepped(l, found[:, _of(l - 1)], points)
    steps = np.arange(degree + 1.0)[:, None]
    errors = TERMS * STEP * steps * (1 + TERMS * STEP) ** np.maximum(steps - 1, 0) * powers(degree, reach) + LOST * (steps > 0)
    return found.reshape(-1, len(points)), errors * GENEROUS


def compared(degree: int, points: Array, reach: Array, given: Array) -> tuple[Array, Array]:
    """A `Harmonic` of numbers (2·places, N) that come from elsewhere, with the bound afterwards; ∞ or NaN where they are no numbers."""
    both = given.reshape(2, -1, len(points))
    errors = np.zeros((degree + 1, len(points)))
    errors[0] = np.abs(both[0, 0] - 1.0) + np.abs(both[1, 0])
    size = lengths(both[:, _of(0)])
    for l in range(1, degree + 1):
        now = lengths(both[:, _of(l)])
        left = lengths(both[:, _of(l)] - stepped(l, both[:, _of(l - 1)], points))
        errors[l] = (reach * errors[l - 1] + left + TERMS * STEP * reach * size + 2 * EPS * now + LOST) * GENEROUS
        size = now
    return given, errors


def lengths(numbers: Array) -> Array:
    """At least the Euclidean norm of (2, m, N), (N,), and where squares underflow too."""
    return np.asarray(np.sqrt((numbers**2).sum((0, 1))) * GENEROUS + LOST**0.5 * (numbers != 0).any((0, 1)))


def powers(degree: int, reach: Array) -> Array:
    """At least R^l, (degree + 1, N)."""
    with np.errstate(all="ignore"):
        found = np.vstack([np.ones_like(reach), np.broadcast_to(reach, (degree, len(reach)))])
        np.multiply.accumulate(found, out=found)
        return np.asarray(np.maximum(found * GENEROUS, LOST))


def _of(l: int) -> slice:
    """The places of degree l."""
    return slice(l * (l + 1) // 2, (l + 1) * (l + 2) // 2)
