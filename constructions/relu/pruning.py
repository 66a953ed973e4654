"""Backward pruning: of a net that is too wide, the knots whose loss costs least are taken out, round by round.

Without knot j the least squares error grows by bend_j² / (G⁻¹)_jj, where (G⁻¹)_jj is the variance of that bend. In one
round never two neighbours of a direction go: each of them alone may be superfluous because the other one is there.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotri

from ...atlas import Array
from .profiles import Grid, normalised

ROUND = 0.15
"""Share of the knots that one round takes at most."""


def prune(
    grid: Grid,
    inputs: Array,
    values: Array,
    knots: int,
    *,
    weights: Array | None = None,
    share: float = ROUND,
    goes_on: Callable[[Grid, Array], bool] | None = None,
) -> tuple[Grid, Array]:
    """A grid of at most `knots` of the grid's knots, and its levels (P, q), for values (N, q) at inputs (N, n).

    `goes_on(grid, levels)` sees every round's fit; when it says no, the last fit it agreed to is returned (the first
    fit, if it never did).
    """
    hats = grid.hats(inputs)
    matrix = grid.gram(hats, weights)
    right = hats.T @ (values if weights is None else values * weights[:, None])
    accepted: tuple[Grid, Array] | None = None
    while True:
        inverse = _inverse(matrix + len(inputs) * grid.stiffness)
        levels = inverse @ right
        levels += inverse @ (right - matrix @ levels - len(inputs) * (grid.stiffness @ levels))
        if goes_on is not None:
            if not goes_on(grid, levels):
                return accepted or (grid, levels)
            accepted = grid, levels
        if grid.knots <= knots:
            return grid, levels
        kept = _survivors(grid, levels, inverse, min(grid.knots - knots, int(np.ceil(share * grid.knots))))
        grid, coarse = grid.coarsened(kept)
        matrix = coarse.T @ (coarse.T @ matrix).T
        right = coarse.T @ right


def _survivors(grid: Grid, levels: Array, inverse: Array, count: int) -> list[np.ndarray]:
    """Which nodes stay when about `count` knots go."""
    bends = grid.bends
    variance = np.asarray((bends @ inverse)[np.arange(grid.knots)[:, None], bends.indices.reshape(-1, 3)])
    variance = np.einsum("ij,ij->i", variance, bends.data.reshape(-1, 3))
    cost = ((bends @ levels) ** 2).sum(1) / variance
    # Guard entries between the directions: knots of different directions are no neighbours.
    position = np.arange(grid.knots) + np.repeat(np.arange(len(grid.nodes)), [len(x) - 2 for x in grid.nodes]) + 1
    gone = np.zeros(grid.knots + len(grid.nodes) + 2, bool)
    taken = 0
    for p in position[np.argsort(cost, kind="stable")].tolist():
        if not (gone[p - 1] or gone[p + 1]):
            gone[p] = True
            taken += 1
            if taken == count:
                break
    dead, first, kept = gone[position], 0, []
    for x in grid.nodes:
        keep = np.ones(len(x), bool)
        keep[1:-1] = ~dead[first : first + len(x) - 2]
        first += len(x) - 2
        kept.append(keep)
    return kept


def _inverse(matrix: Array) -> Array:
    scaled, scale = normalised(matrix)
    factor, _ = dpotrf(scaled, lower=1, overwrite_a=1)
    lower, _ = dpotri(factor, lower=1, overwrite_c=1)
    full = np.tril(lower) + np.tril(lower, -1).T
    return full / scale[:, None] / scale
