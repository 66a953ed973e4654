"""Least squares for smooth neurons, whose columns are nearly dependent: one factorisation, and the ridge chosen where it pays.

Neighbouring smooth neurons are so alike that the normal equations lose half of the digits; the columns are factored as they are:
A = QR, R = UΣVᵀ, and then w_λ = V·Σ/(Σ² + λ²)·Uᵀ·Qᵀy for as many λ as one likes. Small λ fit better and have large weights
that cancel. What comes of that is part of the objective, with S = max Σ|w·column| and the held-out sup error e of a function of size |F|:

    max(e·√(1 + S/(TOLERATED·max|F|)) + penalty·S, kept·S).

What is added is rounding, for which only a part of an error is kept (`Cost`). The factor is for proofs: an enclosure adds up what the
profiles of all directions are off by, which does not cancel, so boxes have to be the smaller the larger S is. In three dimensions that sum
itself, B, is made small (`bending`), and e above is max(e, budget)^(1 − CALM)·(B/TYPICAL)^CALM: an error below a budget is worth nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
STRENGTHS, STRENGTH = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5), (1e-3,)
"""μ tried, for errors and bending both in units of the function; the second while a search goes on."""
FEWER_LEVELS = (1e-6, 1e-8, 1e-10, 1e-12)
"""λ tried beside μ."""
CALM, TYPICAL = 0.2, 1e3
"""What bending counts for, and how many errors large it usually is."""
SEEN = 1.6
"""Held-out errors in three dimensions times this are what a proof finds, or more."""


@dataclass(frozen=True)
class Cost:
    """What is paid for large sums and for bending."""

    penalty: float
    """Error that is worth one unit of max Σ|w·act|."""
    kept: float = 0.0
    """Error of which the part that is kept for rounding is one unit's."""
    budget: float | Array | None = None
    """What errors may be in three dimensions and more, of each function or of all, so that less bending is worth more; 0 where nothing is
    known; None: bending costs nothing."""

    def objectives(self, errors: Array, large: Array, size: Array, bent: Array | None) -> Array:
        """Of functions with these held-out errors, sums and bendings, (Q,); `size`: TOLERATED·max|F|."""
        if bent is not None:
            assert self.budget is not None
            bent = np.maximum(bent, np.finfo(float).tiny)
            errors = np.maximum(errors, np.asarray(self.budget) / SEEN) ** (1 - CALM) * (bent / TYPICAL) ** CALM
        return np.maximum(errors * np.sqrt(1 + large / size) + self.penalty * large, self.kept * large)


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


def solve(
    columns: Array,
    values: Array,
    held_columns: Array,
    held_values: Array,
    cost: Cost,
    bends: Array | None = None,
    strengths: Sequence[float] = STRENGTHS,
) -> Solved:
    """For each of the Q functions the weights of the λ that is best for it; columns (N, p), values (N, Q), N ≥ p.

    Columns are scaled to unit norm first; those that vanish on all samples get weight 0. `bends` (K, T, p): see `bending`; then the best
    λ and μ, of `strengths`.
    """
    norms = np.sqrt(np.einsum("ij,ij->j", columns, columns))
    scale = np.where(norms > 1e-12 * norms.max(), norms, np.inf)
    p = columns.shape[1]
    # The values beside the columns: Qᵀy comes out of the same sweep, and Q is never formed.
    triangle = np.asarray(qr(np.concatenate([columns / scale, values], axis=1), mode="r", check_finite=False, overwrite_a=True)[0][:p])
    size = TOLERATED * np.maximum(np.abs(values).max(0), np.finfo(float).tiny)
    best: Solved | None = None
    for one in [triangle] if bends is None else _stiffened(triangle, bends / scale, len(columns), strengths):
        left, singular, right = svd(one[:, :p], check_finite=False)
        turned = left.T @ one[:, p:]
        for level in np.array(LEVELS if bends is None else FEWER_LEVELS) * singular[0]:
            weights = (right.T @ (turned * (singular / (singular**2 + level**2))[:, None])) / scale[:, None]
            misfit = np.abs(held_columns @ weights - held_values)
            worst = misfit.argmax(0)
            errors = misfit[worst, np.arange(len(worst))]
            large = magnitude(held_columns[::THINNED], weights)
            bent = None if bends is None else np.abs(bends @ weights).max(1).sum(0)
            found = Solved(weights, errors, cost.objectives(errors, large, size, bent), worst)
            best = found if best is None else best.where(found, found.objectives < best.objectives)
    assert best is not None
    return best


def _stiffened(triangle: Array, bends: Array, samples: int, strengths: Sequence[float]) -> Iterator[Array]:
    """Triangles, values beside them, of the columns that `triangle` stands for with μ·bends below them, for every μ."""
    p = triangle.shape[0]
    bends = np.sqrt(samples / bends.shape[1]) * bends.reshape(-1, p)
    if len(bends) > p:
        bends = np.asarray(qr(bends, mode="r", check_finite=False)[0][:p])
    nothing = np.zeros((len(bends), triangle.shape[1] - p))
    for strength in strengths:
        both = np.concatenate([triangle, np.concatenate([strength * bends, nothing], axis=1)])
        yield np.asarray(qr(both, mode="r", check_finite=False, overwrite_a=True)[0][:p])


def magnitude(columns: Array, weights: Array) -> Array:
    """max over points of Σ|w·column|, (Q,): what the rounding of a sum is proportional to."""
    return (np.abs(columns) @ np.abs(weights)).max(0)
