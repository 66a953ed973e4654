"""Solid harmonics in Schmidt's normalisation, without angles: no point of space is special to them, poles included.

With ζ = x + iy, r = |p| and P_l^m without the factor (−1)^m,

    S_lm(p) = √((2 − δ_m0)(l−m)!/(l+m)!)·r^l·P_l^m(z/r)·e^{imφ},        T_lm(p) = S_lm(p/r²)/r,

S polynomials, T = S/r^(2l+1) the ones that decay. Σ_m |S_lm|² = r^{2l}, so that |Σ_m g·Re S_lm + h·Im S_lm| ≤ (Σ_m g² + h²)^{1/2}·r^l.

*Upwards*, stable at any degree: S_00 = 1, S_mm = c_m·ζ·S_{m−1,m−1}, S_lm = A_lm·z·S_{l−1,m} − B_lm·r²·S_{l−2,m}, with

    c_1 = 1, c_m = √((2m−1)/2m),   A_lm = (2l−1)/√(l²−m²),   B_lm = √((l−1)²−m²)/√(l²−m²).

Nothing is said here of what rounding does to them: `euler` has a recursion of which something can be said, and the numbers of any other are
held against it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...expressions import Array

EPS = float(np.finfo(float).eps)
"""Twice the relative error of one operation."""
STEP = 16 * EPS
"""What one step of a recursion rounds, relative to the sum of its terms: products of three numbers, coefficients and coordinates that are
themselves off by a few roundings (p/r² by fewer than six), and their sum."""
GENEROUS = 1 + 2.0**-30
"""Sums and products of non-negative numbers in fewer than 2^20 operations are at most this factor below their value."""

Steps = tuple[Array, Array, Array]


def count(degree: int) -> int:
    """How many (l, m) there are, 0 ≤ m ≤ l ≤ degree; (l, m) has the place l(l+1)/2 + m."""
    return (degree + 1) * (degree + 2) // 2


def degree_of(places: int) -> int:
    """The degree that has so many places; −1 if none has."""
    degree = (int(np.sqrt(8 * places + 1)) - 3) // 2
    return degree if degree >= 0 and count(degree) == places else -1


@lru_cache(maxsize=16)
def places(degree: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """l and m of every place."""
    l = np.repeat(np.arange(degree + 1), np.arange(1, degree + 2))
    return l, np.arange(len(l)) - l * (l + 1) // 2


@lru_cache(maxsize=16)
def steps(degree: int) -> Steps:
    """A and B by place, 0 where l = m, and c by m."""
    l, m = (v.astype(float) for v in places(degree))
    below = np.sqrt(np.where(l > m, l * l - m * m, 1.0))
    A = np.where(l > m, (2 * l - 1) / below, 0.0)
    B = np.where(l > m + 1, np.sqrt(np.maximum((l - 1) ** 2 - m * m, 0.0)) / below, 0.0)
    order = np.arange(degree + 1.0)
    c = np.where(order > 1, np.sqrt(np.maximum(2 * order - 1, 0.0) / np.maximum(2 * order, 1.0)), 1.0)
    return A, B, c


def inverted(points: Array) -> tuple[Array, Array]:
    """p/r² and 1/r of points (N, 3); not finite at 0."""
    with np.errstate(all="ignore"):
        square = (points**2).sum(1)
        return points / square[:, None], 1 / np.sqrt(square)


def upwards(degree: int, points: Array) -> Array:
    """Re S_lm, then Im S_lm, (2·places, N), at points (N, 3)."""
    x, y, z = np.ascontiguousarray(points.T)
    square = x * x + y * y + z * z
    A, B, c = steps(degree)
    found = np.zeros((2, count(degree), len(points)))
    found[0, 0] = 1.0
    for l in range(1, degree + 1):
        here, last, before = l * (l + 1) // 2, l * (l - 1) // 2, (l - 1) * (l - 2) // 2
        real, imaginary = found[:, last + l - 1]
        found[0, here + l] = c[l] * (x * real - y * imaginary)
        found[1, here + l] = c[l] * (x * imaginary + y * real)
        np.multiply(A[here : here + l, None] * z, found[:, last : last + l], out=found[:, here : here + l])
        if l > 1:
            found[:, here : here + l - 1] -= B[here : here + l - 1, None] * square * found[:, before : before + l - 1]
    return found.reshape(-1, len(points))
