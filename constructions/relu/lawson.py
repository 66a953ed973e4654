"""Lawson's reweighting: least squares with weights that grow where the error is large, towards the least sup error."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from ...atlas import Array
from .profiles import Grid, normalised

ROUNDS, PATIENCE = 20, 4
"""Reweighted fits at most, and in a row without progress."""
SAMPLES_PER_NEURON = 16
"""With fewer samples the weights gather on single points and the error between them grows."""
LEAST_WEIGHT = 1e-2
"""Of the mean weight: no sample is forgotten."""


def towards_sup(grid: Grid, levels: Array, inputs: Array, values: Array, judge: Callable[[Array], float]) -> Array:
    """The levels (P, q) that `judge` likes best among the given ones and those of reweighted fits.

    `judge` returns an error on points that are not fitted to, so that the result is never worse there. Deterministic.
    """
    hats, stiffness = grid.hats(inputs), len(inputs) * grid.stiffness
    weights = np.ones(len(inputs))
    best, least, since = levels, judge(levels), 0
    for _ in range(ROUNDS):
        misfit = np.abs(values - hats @ levels).max(1)
        if misfit.max() == 0:
            break
        weights = np.maximum(weights * misfit / (weights * misfit).mean(), LEAST_WEIGHT)
        weights /= weights.mean()
        scaled, scale = normalised(grid.gram(hats, weights) + stiffness)
        factor = cho_factor(scaled, lower=True, overwrite_a=True, check_finite=False)
        levels = cho_solve(factor, (hats.T @ (values * weights[:, None])) / scale[:, None], check_finite=False) / scale[:, None]
        error = judge(levels)
        best, least, since = (levels, error, 0) if error < least else (best, least, since + 1)
        if since == PATIENCE:
            break
    return best
