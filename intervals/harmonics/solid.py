"""Solid harmonics in Schmidt's normalisation, without angles: no point of space is special to them, poles included.

With ζ = x + iy, r = |p| and P_l^m without the factor (−1)^m,

    S_lm(p) = √((2 − δ_m0)(l−m)!/(l+m)!)·r^l·P_l^m(z/r)·e^{imφ},        T_lm(p) = S_lm(p/r²)/r,

S polynomials, T = S/r^(2l+1) the ones that decay. Σ_m |S_lm|² = r^{2l}, so that |Σ_m g·Re S_lm + h·Im S_lm| ≤ (Σ_m g² + h²)^{1/2}·r^l.

*Upwards*, stable at any degree: S_00 = 1, S_mm = c_m·ζ·S_{m−1,m−1}, S_lm = A_lm·z·S_{l−1,m} − B_lm·r²·S_{l−2,m}, with

    c_1 = 1, c_m = √((2m−1)/2m),   A_lm = (2l−1)/√(l²−m²),   B_lm = √((l−1)²−m²)/√(l²−m²).

*Downwards* (Clenshaw), for each order m: b_l = a_l + A_{l+1}·z·b_{l+1} − B_{l+2}·r²·b_{l+2}, f = Re Σ_m b_m·S_mm by Horner's scheme.

What rounding may do is bounded by the same recursions with absolute values: safe, and good to about degree 30; beyond it a bound is still
one, but far above what rounding does (it grows as (1 + √2)^l, where errors themselves grow no faster than l).
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


@lru_cache(maxsize=16)
def upwards_errors(degree: int) -> Array:
    """(places,): what `upwards` may be off by where |p| ≤ 1; R^l times as much where |p| ≤ R, as S_lm is homogeneous."""
    A, B, c = steps(degree)
    error = np.zeros(count(degree))
    for l in range(1, degree + 1):
        here, last, before = l * (l + 1) // 2, l * (l - 1) // 2, (l - 1) * (l - 2) // 2
        error[here + l] = c[l] * np.sqrt(2) * (error[last + l - 1] * (1 + STEP) + STEP)
        total, size = A[here : here + l] * error[last : last + l], A[here : here + l] * (1 + error[last : last + l])
        if l > 1:
            total[:-1] += B[here : here + l - 1] * error[before : before + l - 1]
            size[:-1] += B[here : here + l - 1] * (1 + error[before : before + l - 1])
        error[here : here + l] = (total + STEP * size) * GENEROUS
    return error * GENEROUS


def downwards(coefficients: Array, points: Array) -> Array:
    """Σ g·Re S_lm + h·Im S_lm, (N,), of coefficients (2, places), by Clenshaw's scheme."""
    degree = degree_of(coefficients.shape[1])
    x, y, z = points.T
    square, zeta = x * x + y * y + z * z, x + 1j * y
    A, B, c = steps(degree + 2)
    after = np.zeros((2, degree + 2, len(points)), complex)
    for l in range(degree, -1, -1):
        here, next_, second = l * (l + 1) // 2, (l + 1) * (l + 2) // 2, (l + 2) * (l + 3) // 2
        now = after[0, : l + 1] * (A[next_ : next_ + l + 1, None] * z)
        now -= after[1, : l + 1] * (B[second : second + l + 1, None] * square)
        now += (coefficients[0, here : here + l + 1] - 1j * coefficients[1, here : here + l + 1])[:, None]
        after[1, : l + 1] = after[0, : l + 1]
        after[0, : l + 1] = now
    # Order m stands still once l has passed it: after[0, m] is b_m of order m.
    total = after[0, degree]
    for m in range(degree - 1, -1, -1):
        total = after[0, m] + c[m + 1] * zeta * total
    return total.real


def downwards_error(coefficients: Array, reach: float) -> float:
    """What `downwards` may be off by where |p| ≤ reach: its recursion for the sizes of b and for their errors."""
    degree = degree_of(coefficients.shape[1])
    A, B, c = steps(degree + 2)
    # Both parts of a complex number at once: their sum of absolute values bounds either.
    sizes, errors = np.zeros((2, degree + 2)), np.zeros((2, degree + 2))
    for l in range(degree, -1, -1):
        here, next_, second = l * (l + 1) // 2, (l + 1) * (l + 2) // 2, (l + 2) * (l + 3) // 2
        a, b = A[next_ : next_ + l + 1] * reach, B[second : second + l + 1] * reach**2
        given = np.abs(coefficients[:, here : here + l + 1]).sum(0)
        size = given + a * sizes[0, : l + 1] + b * sizes[1, : l + 1]
        error = a * errors[0, : l + 1] + b * errors[1, : l + 1] + STEP * size
        sizes[1, : l + 1], errors[1, : l + 1] = sizes[0, : l + 1], errors[0, : l + 1]
        sizes[0, : l + 1], errors[0, : l + 1] = size * GENEROUS, error * GENEROUS
    size, error = sizes[0, degree], errors[0, degree]
    for m in range(degree - 1, -1, -1):
        turn = 2 * reach * c[m + 1]
        error = errors[0, m] + turn * error + STEP * (sizes[0, m] + errors[0, m] + turn * (size + error))
        size = sizes[0, m] + turn * size
    return float(error) * GENEROUS
