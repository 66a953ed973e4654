"""Knots that move: nonlinear least squares on the knots of ridge profiles, from where curvature and pruning left them.

A profile that is continuous and piecewise linear changes with a knot x_j, its levels held, by −(slope of the piece) times the hat of x_j,
with the slope of the left piece left of x_j and that of the right piece right of it. So hats and these columns together span what is linear
on each piece and may jump at knots, and the Gram matrix of that is the same table of sums as that of hats. A step is Gauss–Newton with
damping, the levels eliminated; no knot moves farther than MOST of the way to the next one.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular

from ...atlas import Array
from .profiles import Grid, least_squares, normalised

STEPS, TRIALS = 4, 5
"""Steps, and dampings tried for each. The first few do most."""
DAMPING, HARDER = 1e-2, 4.0
MOST = 0.4
FLOOR = 1e-6
"""Least curvature that damping goes by, relative to the largest."""


def freed(grid: Grid, levels: Array, inputs: Array, values: Array) -> tuple[Grid, Array]:
    """The grid with its knots moved, and its levels (P, q), for values (N, q) at inputs (N, n): least squares no worse than before."""

    def energy(grid: Grid, levels: Array) -> float:
        return float(((values - grid.hats(inputs) @ levels) ** 2).sum())

    damping, least = DAMPING, energy(grid, levels)
    for _ in range(STEPS if grid.knots else 0):
        normal, right = _equations(grid, levels, inputs, values)
        curvature = np.diag(normal) + FLOOR * np.diag(normal).max()
        for _ in range(TRIALS):
            matrix = normal + np.diag(damping * curvature)
            step = cho_solve(cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False), right, check_finite=False)
            trial = _moved(grid, step)
            found = least_squares(trial, inputs, values)
            if (energy_there := energy(trial, found)) < least:
                break
            damping *= HARDER
        else:
            break
        grid, levels, least = trial, found, energy_there
        damping /= HARDER
    return grid, levels


def _equations(grid: Grid, levels: Array, inputs: Array, values: Array) -> tuple[Array, Array]:
    """The normal equations of a step of all knots, the levels eliminated (Kaufman)."""
    hats = grid.hats(inputs)
    table, joined = _halves(grid, hats), _joins(grid)
    matrix = np.asarray(joined.T @ (joined.T @ table).T) + len(inputs) * grid.stiffness
    scaled, scale = normalised(matrix)
    across = solve_triangular(
        cholesky(scaled, lower=True, check_finite=False), (joined.T @ table) / scale[:, None], lower=True, check_finite=False
    )
    table -= across.T @ across
    normal, right = np.zeros((grid.knots, grid.knots)), np.zeros(grid.knots)
    # Column by column of what is linear on pieces, as many as two a hat.
    left = _apart(grid, hats).T @ (values - hats @ levels)
    for k in range(levels.shape[1]):
        changes = _changes(grid, levels[:, k])
        normal += changes.T @ (changes.T @ table).T
        right += changes.T @ left[:, k]
    return normal, right


def _starts(grid: Grid) -> Array:
    """First column of each direction among functions that are linear on pieces: two a piece, by their values at its ends."""
    return np.cumsum([0, *(2 * (len(x) - 1) for x in grid.nodes)])


def _halves(grid: Grid, hats: sparse.csr_array) -> Array:
    """The Gram matrix of functions that are linear on each piece."""
    starts = _starts(grid)
    out = np.empty((starts[-1], starts[-1]))
    for k, j, ones, a, b, ab in grid.tables(hats):
        block = np.stack([np.stack([ones - a - b + ab, b - ab], axis=2), np.stack([a - ab, ab], axis=2)], axis=1)
        block = block.reshape(starts[k + 1] - starts[k], starts[j + 1] - starts[j])
        here, there = slice(starts[k], starts[k + 1]), slice(starts[j], starts[j + 1])
        out[here, there] = block
        out[there, here] = block.T
    return out


def _apart(grid: Grid, hats: sparse.csr_array) -> sparse.csr_array:
    """The functions that are linear on each piece, at the inputs of the hats, (N, ·): the same numbers in other columns."""
    starts, directions = _starts(grid), len(grid.nodes)
    pieces = hats.indices.reshape(-1, directions, 2)[:, :, 0] - np.array(grid.starts)
    columns = 2 * pieces + starts[:-1]
    indices = np.stack([columns, columns + 1], axis=2).ravel().astype(np.int32)
    return sparse.csr_array((hats.data, indices, hats.indptr), shape=(hats.shape[0], int(starts[-1])))


def _joins(grid: Grid) -> sparse.csr_array:
    """Levels at nodes to values at the ends of pieces, (·, P)."""
    columns = [start + (np.arange(2 * (len(x) - 1)) + 1) // 2 for start, x in zip(grid.starts, grid.nodes, strict=True)]
    places = np.concatenate(columns)
    return sparse.csr_array((np.ones(len(places)), (np.arange(len(places)), places)), shape=(len(places), sum(map(len, grid.nodes))))


def _changes(grid: Grid, levels: Array) -> sparse.csr_array:
    """What a knot's move changes, (·, J)."""
    rows, values = [], []
    for first, start, x in zip(_starts(grid)[:-1], grid.starts, grid.nodes, strict=True):
        slopes = np.diff(levels[start : start + len(x)]) / np.diff(x)
        knots = np.arange(len(x) - 2)
        rows.append(np.stack([first + 2 * knots + 1, first + 2 * knots + 2], axis=1).ravel())
        values.append(-np.stack([slopes[:-1], slopes[1:]], axis=1).ravel())
    places = np.repeat(np.arange(grid.knots), 2)
    return sparse.csr_array((np.concatenate(values), (np.concatenate(rows), places)), shape=(int(_starts(grid)[-1]), grid.knots))


def _moved(grid: Grid, step: Array) -> Grid:
    nodes, first = [], 0
    for x in grid.nodes:
        gaps = np.diff(x)
        move = step[first : first + len(x) - 2]
        first += len(x) - 2
        nodes.append(np.concatenate([x[:1], x[1:-1] + np.clip(move, -MOST * gaps[:-1], MOST * gaps[1:]), x[-1:]]))
    return Grid(grid.lines, tuple(nodes))
