"""Pruning smooth neurons: from a lattice that is too wide those that can be spared are taken out, round by round.

Without neuron j, whose columns have the coefficients w_j, the least squares error grows by w_jᵀ·((G⁻¹)_jj)⁻¹·w_j, G = AᵀA + λ². It
pays where the target is not resolved or not the same everywhere (Franke's function at width 256: a fifth of the error; exp(−50r²) an
eighteenth), and in three dimensions: a lattice is as dense in flat regions as in steep ones. In the plane, where the target is
resolved, the full lattice is better; the search takes what wins on held-out points.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr, svd

from ...atlas import Array
from .forms import Lattice

ROUND = 0.1
"""Share of the neurons that one round takes at most; two neighbours never go together."""
LEVEL = 1e-9
"""λ, relative to the largest singular value."""


def prune(form: Lattice, inputs: Array, values: Array, neurons: int, beside: Array) -> Lattice:
    """With at most `neurons` of the form's neurons, for values (N, q) at inputs (N, n), N ≥ p, and other columns (N, ·) beside them."""
    columns = np.concatenate([form.columns(inputs), beside], axis=1)
    norms = np.linalg.norm(columns, axis=0)
    scale = np.where(norms > 0, norms, np.inf)
    p = columns.shape[1]
    triangle = np.asarray(qr(np.concatenate([columns / scale, values], axis=1), mode="r", check_finite=False)[0][:p])
    blocks, direction = form.blocks, np.repeat(np.arange(len(form.dictionary.counts)), form.dictionary.counts)
    rest = np.setdiff1d(np.arange(p), blocks)
    kept = np.arange(len(blocks))
    while len(kept) > neurons:
        # The triangle has the Gram matrix of all columns, so it stands for the points.
        left, singular, right = svd(
            triangle[:, np.concatenate([blocks[kept].ravel(), rest])], full_matrices=False, check_finite=False, overwrite_a=True
        )
        damped = singular**2 + (LEVEL * singular[0]) ** 2
        weights = right.T @ ((singular / damped)[:, None] * (left.T @ triangle[:, p:]))
        own = slice(0, len(kept) * blocks.shape[1])
        cost = _costs(weights[own].reshape(*blocks[kept].shape, -1), right.T[own].reshape(*blocks[kept].shape, -1) / np.sqrt(damped))
        gone = _spared(cost, direction[kept], min(len(kept) - neurons, int(np.ceil(ROUND * len(kept)))))
        kept = kept[~gone]
    return form.part(kept)


def _costs(weights: Array, factors: Array) -> Array:
    """w_jᵀ·(F_j·F_jᵀ)⁻¹·w_j summed over outputs, (m,), for w (m, b, q) and F (m, b, p).

    By F_jᵀ = Q_j·R_j: columns that depend on others make the product singular in floats, not R_j.
    """
    triangle: Array = np.asarray(np.linalg.qr(factors.transpose(0, 2, 1), mode="r"))
    return np.asarray((np.linalg.solve(triangle.transpose(0, 2, 1), weights) ** 2).sum((1, 2)))


def _spared(cost: Array, direction: NDArray[np.intp], count: int) -> NDArray[np.bool_]:
    """Up to `count` neurons of least cost, no two of them next to each other along a direction."""
    gone = np.zeros(len(cost) + 2, bool)
    same = np.concatenate([[False], direction[1:] == direction[:-1], [False]])
    for j in np.argsort(cost, kind="stable").tolist():
        if not (gone[j] and same[j]) and not (gone[j + 2] and same[j + 1]):
            gone[j + 1] = True
            count -= 1
            if not count:
                break
    return gone[1:-1]
