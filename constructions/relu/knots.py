"""Where knots pay: an additive cubic-spline model Σ_k p_k(a_k·u) of the data, and knots at the quantiles of √|p_k″|.

A linear spline with m knots, spread evenly over ∫√|p″| = S, has error about S²/(16m²). Over several directions
Σ_k S_k²/m_k² is least, for a given Σ m_k, at m_k ∝ S_k^{2/3}.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sparse
from scipy.linalg import cho_factor, cho_solve

from ...atlas import Array
from .profiles import Grid, gram, normalised

SMOOTHING = 1e-10
"""Weight of ∫|p″|² beside the mean squared error, lengths in half ranges. Profiles are not unique (polynomials of
low degree cancel between directions), and the least curved ones need the fewest knots. Weights from 1e-12 to 1e-9 do equally well."""
PIECES = (8, 40)
"""Cubic pieces per direction, at least and at most. Beyond 40 the knots' places no longer change."""
PLENTY = 256
"""In between: one a knot, two as long as there are at most PLENTY pieces in all."""
SAMPLES_PER_UNKNOWN = 6
FLOOR = 0.03
"""Least density of knots, relative to a direction's mean: straight stretches keep some."""
RESOLUTION = 512
NOTHING = 1e-100
"""Density of knots along straight profiles: any, as long as it can be divided by."""


def uniform_grid(inputs: Array, lines: Array, knots: int) -> Grid:
    """About `knots` knots in all, equally many in each direction, equispaced over the data (N, n)."""
    projected = inputs @ lines.T
    counts = _rounded(np.full(len(lines), knots / len(lines)), knots)
    return Grid(lines, tuple(np.linspace(t.min(), t.max(), n + 2) for t, n in zip(projected.T, counts, strict=True)))


def quantile_grid(inputs: Array, lines: Array, knots: int) -> Grid:
    """About `knots` knots in all, equally many a direction, halfway between equispaced points of the data's range and its quantiles."""
    nodes = []
    for t, n in zip((inputs @ lines.T).T, _rounded(np.full(len(lines), knots / len(lines)), knots).tolist(), strict=True):
        low, high = t.min(), t.max()
        fractions = (np.arange(n) + 0.5) / max(n, 1)
        inside = np.unique((low + (high - low) * fractions + np.quantile(t, fractions)) / 2)
        nodes.append(np.concatenate([[low], inside[(inside > low) & (inside < high)], [high]]))
    return Grid(lines, tuple(nodes))


def profile_grid(inputs: Array, values: Array, lines: Array, knots: int, beside: Sequence[Array] = ()) -> Grid:
    """`knots` knots in all, where the additive cubic model of values (N, q) at inputs (N, n) bends.

    `beside` are columns (N,) that the net has anyway: what they explain is no reason for a knot.
    """
    projected = inputs @ lines.T
    low, high = projected.min(0), projected.max(0)
    pieces = int(np.clip(max(knots, min(2 * knots, PLENTY)) // len(lines), *PIECES))
    enough = SAMPLES_PER_UNKNOWN * len(lines) * (pieces + 3)
    projected, values, beside = projected[:enough], values[:enough], [column[:enough] for column in beside]
    curvature = _curvature((2 * projected - low - high) / (high - low), values, pieces, beside)
    density = np.sqrt(curvature)
    density = np.maximum(density, FLOOR * density.mean(1, keepdims=True) + NOTHING)
    mass = np.concatenate([np.zeros((len(lines), 1)), np.cumsum((density[:, 1:] + density[:, :-1]) / RESOLUTION, axis=1)], axis=1)
    shares = mass[:, -1] ** (2 / 3)
    counts = _rounded(knots * shares / shares.sum(), knots)
    places = np.linspace(0, 1, RESOLUTION + 1)
    unit = [np.interp(np.linspace(0, total[-1], n + 2), total, places) for total, n in zip(mass, counts.tolist(), strict=True)]
    return Grid(lines, tuple(start + length * x for start, length, x in zip(low, high - low, unit, strict=True)))


def snapped(grid: Grid, point: Array) -> Grid:
    """The grid with one knot of every direction moved onto the point (n,): where it lies in between, the nearest one."""
    nodes = []
    for t, x in zip((grid.lines @ point).tolist(), grid.nodes, strict=True):
        x = x.copy()
        if len(x) > 2 and x[0] < t < x[-1]:
            x[1 + int(np.argmin(np.abs(x[1:-1] - t)))] = t
        nodes.append(np.unique(x))
    return Grid(grid.lines, tuple(nodes))


def with_knots(grid: Grid, inputs: Array, lines: Array, knots: tuple[Array, ...]) -> Grid:
    """The grid with further directions (K′, n) that have given knots; those outside the data are left out."""
    nodes = []
    for t, along in zip((inputs @ lines.T).T, knots, strict=True):
        low, high = t.min(), t.max()
        inside = np.unique(along[(along > low) & (along < high)])
        nodes.append(np.concatenate([[low], inside, [high]]))
    return Grid(np.concatenate([grid.lines, lines]), (*grid.nodes, *nodes))


def _curvature(s: Array, values: Array, pieces: int, beside: Sequence[Array]) -> Array:
    """max over components of |p_k″| on RESOLUTION + 1 points of [−1, 1], (K, ·), for projections s (N, K) in [−1, 1]."""
    from scipy.interpolate import BSpline

    breaks = np.linspace(-1, 1, pieces + 1)
    splines = BSpline(np.concatenate([[-1.0] * 3, breaks, [1.0] * 3]), np.eye(pieces + 3), 3)
    hats = [BSpline.design_matrix(np.clip(t, -1, 1), splines.t, 3) for t in s.T]
    columns = sparse.csr_array(sparse.hstack([*hats, *(sparse.coo_array(column[:, None]) for column in beside)]))
    second = splines.derivative(2)
    # Two Gauss points a piece integrate the square of a linear function exactly.
    middle, half = (breaks[1:] + breaks[:-1]) / 2, 1 / pieces
    at = second(np.concatenate([middle - half / np.sqrt(3), middle + half / np.sqrt(3)]))
    penalty = SMOOTHING * half * at.T @ at
    matrix = gram(columns)
    unknowns = s.shape[1] * (pieces + 3)
    for start in range(0, unknowns, pieces + 3):
        part = slice(start, start + pieces + 3)
        matrix[part, part] += len(s) * penalty
    scaled, scale = normalised(matrix)
    factor = cho_factor(scaled, lower=True, overwrite_a=True, check_finite=False)
    solution = cho_solve(factor, (columns.T @ values) / scale[:, None], check_finite=False) / scale[:, None]
    on_points = second(np.linspace(-1, 1, RESOLUTION + 1))
    return np.abs(on_points @ solution[:unknowns].reshape(s.shape[1], pieces + 3, -1)).max(2)


def _rounded(shares: Array, total: int) -> np.ndarray:
    """Whole numbers near the shares that add up to `total`: the largest fractions are rounded up."""
    counts = np.floor(shares).astype(int)
    order = np.argsort(counts - shares, kind="stable")
    counts[order[: total - counts.sum()]] += 1
    return counts
