"""Derivatives of sums of solid harmonics: they are sums of solid harmonics again, of one degree less, or of decaying ones of one more.

For f = Re Σ a_lm·S_lm, a = g − ih, and d_m = 2 − δ_m0,

    ∂_z S_lm = √((l−m)(l+m))·S_{l−1,m}
    (∂_x + i∂_y) S_lm = −√(d_m/2·(l−m)(l−m−1))·S_{l−1,m+1}
    (∂_x − i∂_y) S_lm = √(2/d_{m−1}·(l+m)(l+m−1))·S_{l−1,m−1}

and for T_lm the same with l − 1 replaced by l + 1, the roots √((l+1−m)(l+1+m)) with a minus, √(d_m/2·(l+m+2)(l+m+1)) with a minus, and
√(2/d_{m−1}·(l−m+2)(l−m+1)). Of m = 0 only the real part of a counts, and ∂_x − i∂_y is minus the conjugate of ∂_x + i∂_y there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...expressions import Array
from .solid import EPS, GENEROUS, count, degree_of, places

ROUNDED = 4 * EPS
"""A root, its product with a number, and the sum of two such, relative to the sum of sizes."""


def derivative(coefficients: Array, errors: Array, axis: int, decaying: bool) -> tuple[Array, Array]:
    """∂_x, ∂_y or ∂_z (axis 0, 1, 2) of sums with coefficients (…, 2, places) of g and h, known up to errors of the same shape."""
    g, h = coefficients[..., 0, :], coefficients[..., 1, :]
    degree = degree_of(coefficients.shape[-1])
    l, m = places(degree)
    step = 1 if decaying else -1
    target = max(degree + step, 0)
    out = np.zeros((*coefficients.shape[:-1], count(target)))
    off, total = np.zeros_like(out), np.zeros_like(out)
    d = np.where(m == 0, 1.0, 2.0)
    up = np.where(m == 1, 2.0, 1.0)  # 2/d_{m−1}
    if decaying:
        along, raised = -np.sqrt((l + 1.0 - m) * (l + 1 + m)), -np.sqrt(d / 2 * (l + m + 2.0) * (l + m + 1))
        lowered = np.sqrt(up * (l - m + 2.0) * (l - m + 1))
    else:
        along, raised = np.sqrt((l - m) * (l + m) * 1.0), -np.sqrt(d / 2 * np.maximum((l - m) * (l - m - 1.0), 0.0))
        lowered = np.sqrt(up * (l + m) * np.maximum(l + m - 1.0, 0.0))

    spread = errors.sum(-2)  # an error of either part may turn up in both

    def add(into: int, real: Array, imaginary: Array, weight: Array, rows: NDArray[np.bool_]) -> None:
        """Re(α·w·S_{l±1,m+into}), α = real − i·imaginary given as its g and h."""
        rows = rows & (l + step >= m + into) & (m + into >= 0) & (weight != 0)
        where = (l + step) * (l + step + 1) // 2 + m + into
        for part, value in enumerate((real, imaginary)):
            out[..., part, where[rows]] += (value * weight)[..., rows]
            off[..., part, where[rows]] += (spread * np.abs(weight))[..., rows]
            total[..., part, where[rows]] += np.abs(value * weight)[..., rows]

    whole, positive = np.ones(len(l), bool), m > 0
    if axis == 2:
        add(0, g, h, along, whole)
    elif axis == 0:  # half of both
        add(1, g, h, raised / 2, positive)
        add(1, g, 0 * h, raised, ~positive)
        add(-1, g, h, lowered / 2, positive)
    else:  # ∂_y = (i/2)·(−(∂_x + i∂_y) + (∂_x − i∂_y)); i·(g − ih) = h + ig, of which g is h and h is −g
        add(1, h, -g, -raised / 2, positive)
        add(1, 0 * h, -g, -raised, ~positive)
        add(-1, h, -g, lowered / 2, positive)
    first = np.arange(target + 1) * (np.arange(target + 1) + 1) // 2
    out[..., 1, first] = 0.0  # Im S_l0 = 0
    return out, (off + ROUNDED * total) * GENEROUS
