"""Quasi-uniform directions: points of the half sphere that are spread as evenly as a formula or a few sweeps make them."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from ...atlas import Array
from ...expressions.sobol import sobol


def directions(count: int, dimension: int) -> Array:
    """`count` unit vectors of R^dimension, one of each pair ±a, quasi-uniform; shape (count, dimension).

    dimension 1: the single direction. 2: equispaced angles. From 3 on: Sobol points pushed to the sphere, then
    spread by repelling each direction from the lines of the others. Deterministic.
    """
    if dimension == 1:
        return np.ones((1, 1))
    if dimension == 2:
        angles = np.pi * (np.arange(count) + 0.5) / count
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    exponent = int(np.ceil(np.log2(max(count, 2))))
    points = sobol(dimension, exponent, 0)[:count]
    vectors = ndtri(np.clip(points, 1e-9, 1 - 1e-9))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return _spread(vectors)


def _spread(vectors: Array, sweeps: int = 60) -> Array:
    """Gradient steps on Σ 1/(distance between lines)², steps as long as a fraction of the mean spacing."""
    count, dimension = vectors.shape
    spacing = count ** (-1 / (dimension - 1))
    for sweep in range(sweeps):
        cosine = vectors @ vectors.T
        np.fill_diagonal(cosine, 0)
        # Lines repel: the force on a along b has the sign of −a·b and grows like the inverse fourth power of the distance.
        pull = cosine / np.maximum(1 - cosine**2, (0.1 * spacing) ** 2) ** 2
        force = -pull @ vectors
        force -= np.einsum("ij,ij->i", force, vectors)[:, None] * vectors
        longest = np.linalg.norm(force, axis=1).max()
        if longest == 0:
            break
        vectors = vectors + (0.3 * spacing * (1 - sweep / sweeps) / longest) * force
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors
