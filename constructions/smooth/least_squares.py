"""Least squares for smooth neurons, whose columns are nearly dependent: one factorisation, and the ridge chosen where it pays.

Neighbouring smooth neurons are so alike that the normal equations lose half of the digits; the columns are factored as they are:
A = QR, R = UΣVᵀ, and then w_λ = V·Σ/(Σ² + λ²)·Uᵀ·Qᵀy for as many λ as one likes. Small λ fit better and have large weights
that cancel. What comes of that is part of the objective, with S = max Σ|w·column| and the held-out sup error e of a function of size |F|:

    e·√(1 + S/(TOLERATED·max|F|)) + penalty·S.

The last term is rounding. The factor is for proofs: an enclosure adds up what the profiles of all directions are off by, which does not
cancel, so that boxes have to be the smaller the larger S is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr, svd

from ...atlas import Array

LEVELS = 10.0 ** -np.arange(2.0, 14.0)
"""λ tried, relative to the largest singular value."""
TOLERATED = 256.0
"""A sum of absolute values so many times as large as the function costs as much as an error √2 times as large."""
THINNED = 4
"""Every so many held-out points show the magnitude of the sums."""


@dataclass(frozen=True, eq=False)
class Solved:
    """Coefficients (p, Q) of Q functions, the held-out sup error and objective of each, (Q,), and the held-out point of the error."""

    weights: Array
    errors: Array
    objectives: Array
    worst: NDArray[np.intp]

    def where(self, other: Solved, better: NDArray[np.bool_]) -> Solved:
        """With the functions for which `better` holds taken from another solution."""
        return Solved(
            np.where(better, other.weights, self.weights),
            np.where(better, other.errors, self.errors),
            np.where(better, other.objectives, self.objectives),
            np.where(better, other.worst, self.worst),
        )


def solve(columns: Array, values: Array, held_columns: Array, held_values: Array, penalty: float) -> Solved:
    """For each of the Q functions the weights of the λ that is best for it; columns (N, p), values (N, Q), N ≥ p.

    Columns are scaled to unit norm first; those that vanish on all samples get weight 0.
    """
    norms = np.sqrt(np.einsum("ij,ij->j", columns, columns))
    scale = np.where(norms > 1e-12 * norms.max(), norms, np.inf)
    p = columns.shape[1]
    # The values beside the columns: Qᵀy comes out of the same sweep, and Q is never formed.
    triangle = np.asarray(qr(np.concatenate([columns / scale, values], axis=1), mode="r", check_finite=False, overwrite_a=True)[0][:p])
    left, singular, right = svd(triangle[:, :p], check_finite=False)
    turned = left.T @ triangle[:, p:]
    size = TOLERATED * np.maximum(np.abs(values).max(0), np.finfo(float).tiny)
    best: Solved | None = None
    for level in LEVELS * singular[0]:
        weights = (right.T @ (turned * (singular / (singular**2 + level**2))[:, None])) / scale[:, None]
        misfit = np.abs(held_columns @ weights - held_values)
        worst = misfit.argmax(0)
        errors = misfit[worst, np.arange(len(worst))]
        large = magnitude(held_columns[::THINNED], weights)
        found = Solved(weights, errors, errors * np.sqrt(1 + large / size) + penalty * large, worst)
        best = found if best is None else best.where(found, found.objectives < best.objectives)
    assert best is not None
    return best


def magnitude(columns: Array, weights: Array) -> Array:
    """max over points of Σ|w·column|, (Q,): what the rounding of a sum is proportional to."""
    return (np.abs(columns) @ np.abs(weights)).max(0)
