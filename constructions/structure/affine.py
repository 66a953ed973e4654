"""Affine functions in ReLU neurons, as few as there can be: an affine map of rank r on a box is r neurons that are active all over it.

Lemma. σ(g·v + c) = g·v + c where c ≥ −min g·v, so u ↦ L·v + b with L = S·G, G (r, n), is b − S·c + S·σ(G·v + c). Fewer than rank(L) neurons
do not carry it, as the gradients of a net whose neurons do not change sides span no more than its rows. In many variables, beside several
profiles, they are one neuron a variable all the same: a function that falls apart into parts of few variables is proved part by part, which
a neuron of all variables would tie together. Beside a single profile they are along its direction where they can be, so that the
net computes one number of its inputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...atlas import Array

ACTIVE = 1.25
"""Neurons that are to be active on the box are so on one that is this much larger."""
MANY = 4
"""Variables from which on no neuron reads several."""
FLAT = 1e-13
"""A linear part that is this small beside what else its output is made of is rounding, and part of the bound."""


def carried(linear: Array, half: Array, beside: Array, rows: Sequence[Array] = ()) -> tuple[Array, Array, float]:
    """G (r, n) and S (outputs, r) with S·G·v = linear·v up to what is dropped, for |v_i| ≤ half_i, beside profiles along `rows`.

    r is least, and G rows of `linear` if it can be, but for what the module says of many variables and of one profile.
    Rows that are rounding beside what their outputs are made of otherwise, (outputs,), are dropped.
    """
    size = np.abs(linear) @ half
    flat = size <= FLAT * beside
    dropped = float(size[flat].max(initial=0.0))
    kept = np.where(flat[:, None], 0.0, linear)
    used = np.flatnonzero(~flat & (size > 0))
    if not len(used):
        return np.zeros((0, len(half))), np.zeros((len(linear), 0)), dropped
    if len(rows) == 1:
        along = (kept @ rows[0]) / float(rows[0] @ rows[0])
        left = np.abs(kept - np.outer(along, rows[0])) @ half
        if (left <= FLAT * size).all():
            return rows[0][None], along[:, None], dropped + float(left.max())
    if len(half) >= MANY and len(rows) > 1:
        read = np.flatnonzero(kept.any(0))
        return np.eye(len(half))[read], kept[:, read], dropped
    u, s, vt = np.linalg.svd(kept[used] * half / size[used, None], full_matrices=False)
    rank = int((s > 1e-12 * s[0]).sum())
    shares = np.zeros((len(linear), rank))
    if rank == len(used):
        shares[used, np.arange(rank)] = 1.0
        return kept[used], shares, dropped
    shares[used] = u[:, :rank] * s[:rank] * size[used, None]
    forms = vt[:rank] / half
    left = np.abs(kept - shares @ forms) @ half
    return forms, shares, dropped + float(left.max())
