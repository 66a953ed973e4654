"""Affine functions in ReLU neurons, as few as there can be: an affine map of rank r on a box is r neurons that are active all over it.

Lemma. σ(g·v + c) = g·v + c where c ≥ −min g·v, so u ↦ L·v + b with L = S·G, G (r, n), is b − S·c + S·σ(G·v + c). Fewer than rank(L) neurons
do not carry it, as the gradients of a net whose neurons do not change sides span no more than its rows.
"""

from __future__ import annotations

import numpy as np

from ...atlas import Array

ACTIVE = 1.25
"""Neurons that are to be active on the box are so on one that is this much larger."""
FLAT = 1e-13
"""A linear part that is this small beside what else its output is made of is rounding, and part of the bound."""


def carried(linear: Array, half: Array, beside: Array) -> tuple[Array, Array, float]:
    """G (r, n) and S (outputs, r) with S·G·v = linear·v up to what is dropped, for |v_i| ≤ half_i; r least; rows of `linear` if it can be.

    Rows that are rounding beside what their outputs are made of otherwise, (outputs,), are dropped.
    """
    size = np.abs(linear) @ half
    flat = size <= FLAT * beside
    dropped = float(size[flat].max(initial=0.0))
    kept = np.where(flat[:, None], 0.0, linear)
    used = np.flatnonzero(~flat & (size > 0))
    if not len(used):
        return np.zeros((0, len(half))), np.zeros((len(linear), 0)), dropped
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
