"""Pruning smooth neurons: from a lattice that is too wide those that can be spared are taken out, round by round.

Without neuron j the least squares error grows by w_j²/(G⁻¹)_jj, G = AᵀA + λ². It pays where the target is not resolved and not the same
everywhere (Franke's function at width 256: a fourth of the error; at 1024 nothing): a lattice is as dense in flat regions as in
steep ones. Where the target is resolved the full lattice is better, so the search only takes what wins on held-out points.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr, svd

from ...atlas import Array
from ...moe.ridge import Dictionary
from .forms import Plain

ROUND = 0.1
"""Share of the neurons that one round takes at most; two neighbours never go together."""
LEVEL = 1e-9
"""λ, relative to the largest singular value."""


def prune(form: Plain, inputs: Array, values: Array, width: int) -> Plain:
    """With at most `width` of the form's neurons, for values (N, q) at inputs (N, n), N ≥ p."""
    columns = form.columns(inputs)
    norms = np.linalg.norm(columns, axis=0)
    scale = np.where(norms > 0, norms, np.inf)
    p = columns.shape[1]
    triangle = np.asarray(qr(np.concatenate([columns / scale, values], axis=1), mode="r", check_finite=False)[0][:p])
    kept = np.arange(p - 1)
    direction = np.repeat(np.arange(len(form.dictionary.counts)), form.dictionary.counts)
    while len(kept) > width:
        left, singular, right = svd(triangle[:, np.append(kept, p - 1)], full_matrices=False, check_finite=False)
        damped = singular**2 + (LEVEL * singular[0]) ** 2
        weights = right.T @ ((singular / damped)[:, None] * (left.T @ triangle[:, p:]))
        cost = ((weights**2).sum(1) / ((right.T**2) @ (1 / damped)))[:-1]
        gone = _spared(cost, direction[kept], min(len(kept) - width, int(np.ceil(ROUND * len(kept)))))
        kept = kept[~gone]
    return Plain(_part(form.dictionary, kept))


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


def _part(dictionary: Dictionary, kept: NDArray[np.intp]) -> Dictionary:
    """The neurons of ascending indices `kept`."""
    which = np.repeat(np.arange(len(dictionary.counts)), dictionary.counts)[kept]
    used, counts = np.unique(which, return_counts=True)
    return replace(
        dictionary,
        directions=dictionary.directions[used],
        counts=tuple(counts.tolist()),
        knots=dictionary.knots[kept],
        facing=dictionary.facing[kept],
    )
