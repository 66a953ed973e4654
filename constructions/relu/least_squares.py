"""Least squares for the output weights of a two-layer net with fixed hidden neurons."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from ...atlas import Array

RELATIVE_RIDGE = 1e-12
"""Added to the Gram matrix of the normalised columns, relative to its mean diagonal: about the square root of what
float64 resolves, so that neurons that see (almost) the same data share the work instead of blowing up."""


def solve(features: Array, values: Array) -> tuple[Array, Array]:
    """(W, b) with Σ |W·feature + b − value|² minimal up to the relative ridge; features (N, m), values (N, q) → (q, m), (q,).

    Columns are centred and scaled to unit norm first; columns that vanish on all samples get weight 0. One step of
    iterative refinement removes most of what squaring the condition number costs.
    """
    mean, target_mean = features.mean(0), values.mean(0)
    centred = features - mean
    norms = np.sqrt(np.einsum("ij,ij->j", centred, centred))
    # A column that is constant up to rounding carries nothing that the bias does not carry.
    used = norms > 1e-10 * np.sqrt(len(features)) * np.maximum(np.abs(features).max(0), 1e-300)
    scaled = centred[:, used] / norms[used]
    right = values - target_mean
    gram = scaled.T @ scaled
    gram[np.diag_indices_from(gram)] += RELATIVE_RIDGE * max(len(gram), 1)
    factor = cho_factor(gram, lower=True, check_finite=False)
    solution = cho_solve(factor, scaled.T @ right, check_finite=False)
    solution += cho_solve(factor, scaled.T @ (right - scaled @ solution), check_finite=False)
    weight = np.zeros((values.shape[1], features.shape[1]))
    weight[:, used] = (solution / norms[used, None]).T
    return weight, target_mean - weight @ mean
