"""All experts of a layer in one compiled loop: rows in the order of their experts, each map of each expert read from memory once.

z[r] = b_k, then z[r] ← z[r] + x[r, i]·W_k[·, i] for i = 0, 1, …: along the output index numbers lie one after the other and do not depend
on each other, so that the processor takes many at a time and no sum is reordered. A product and a sum may be one fused operation. Each
is a sum of the same terms in one order, b_k first, whatever other rows there are: what is proved of plain sums holds.

Two rows of an expert share what is read of its weights. Four terms share what is read and written of z where weights come from a cache;
where they come from memory they are read one number after the other, in which it is a third faster.

Imported only where numba is installed (`kernel`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Matrices = NDArray[Any]
Indices = NDArray[np.int64]

compiled: Any = njit(error_model="numpy", cache=True, nogil=True, fastmath={"contract"})


@compiled
def in_order(expert: Indices, order: Indices, ends: Indices) -> None:
    """Rows by the expert of each, those of one in their own order: `order` [N]; those of expert k from ends[k] up to ends[k + 1]."""
    ends[:] = 0
    for n in range(len(expert)):
        ends[expert[n] + 1] += 1
    for k in range(1, len(ends)):
        ends[k] += ends[k - 1]
    for n in range(len(expert)):
        k = expert[n]
        order[ends[k]] = n
        ends[k] += 1
    for k in range(len(ends) - 1, 0, -1):
        ends[k] = ends[k - 1]
    ends[0] = 0


@compiled
def _rectified(z):  # type: ignore[no-untyped-def]
    """max(z, 0), and NaN where z is."""
    zero = z.dtype.type(0)
    for j in range(len(z)):
        z[j] = zero if z[j] < zero else z[j]


@compiled
def _silu(z):  # type: ignore[no-untyped-def]
    """z/(1 + exp(−z)), off by less than the 8u·|z| that libraries are allowed: three operations and exp."""
    one = z.dtype.type(1)
    for j in range(len(z)):
        z[j] = z[j] / (one + np.exp(-z[j]))


@compiled
def _one(w, b, x, y, four):  # type: ignore[no-untyped-def]
    """Row x through one map, into y; `four`: so many of its first terms are added four at a time."""
    inputs, outputs = w.shape
    y[:] = b
    i = 0
    while i + 4 <= four:
        w0, w1, w2, w3 = w[i], w[i + 1], w[i + 2], w[i + 3]
        x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
        for j in range(outputs):
            y[j] = (((y[j] + x0 * w0[j]) + x1 * w1[j]) + x2 * w2[j]) + x3 * w3[j]
        i += 4
    while i < inputs:
        w0, x0 = w[i], x[i]
        for j in range(outputs):
            y[j] += x0 * w0[j]
        i += 1


@compiled
def _two(w, b, x, u, y, v, four):  # type: ignore[no-untyped-def]
    """The same of rows x and u, into y and v."""
    inputs, outputs = w.shape
    y[:] = b
    v[:] = b
    i = 0
    while i + 4 <= four:
        w0, w1, w2, w3 = w[i], w[i + 1], w[i + 2], w[i + 3]
        x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
        u0, u1, u2, u3 = u[i], u[i + 1], u[i + 2], u[i + 3]
        for j in range(outputs):
            p0, p1, p2, p3 = w0[j], w1[j], w2[j], w3[j]
            y[j] = (((y[j] + x0 * p0) + x1 * p1) + x2 * p2) + x3 * p3
            v[j] = (((v[j] + u0 * p0) + u1 * p1) + u2 * p2) + u3 * p3
        i += 4
    while i < inputs:
        w0, x0, u0 = w[i], x[i], u[i]
        for j in range(outputs):
            p0 = w0[j]
            y[j] += x0 * p0
            v[j] += u0 * p0
        i += 1


@compiled
def affine(  # type: ignore[no-untyped-def]
    order: Indices, ends: Indices, start, stop,
    x: Matrices, weight: Matrices, bias: Matrices, out: Matrices, looked_up, placed, rectified, cached,
) -> None:  # fmt: skip
    """Rows start … stop in the order of their experts through one map of each: `weight` (experts, in, out), `bias` (experts, out).

    Those of expert k are ends[k] … ends[k + 1]. Row r is x[order[r]] if `looked_up`, else x[r - start]; what becomes of it goes to
    out[order[r]] if `placed`, else to out[r - start]. `rectified`: max(·, 0) of it; `cached`: weights come from a cache.
    """
    four = weight.shape[1] if cached else 0
    for k in range(len(ends) - 1):
        r, end = max(ends[k], start), min(ends[k + 1], stop)
        if r >= end:
            continue
        w, b = weight[k], bias[k]
        while r + 2 <= end:
            p, q = r - start, r + 1 - start
            y, v = out[order[r] if placed else p], out[order[r + 1] if placed else q]
            _two(w, b, x[order[r] if looked_up else p], x[order[r + 1] if looked_up else q], y, v, four)
            if rectified:
                _rectified(y)
                _rectified(v)
            r += 2
        if r < end:
            y = out[order[r] if placed else r - start]
            _one(w, b, x[order[r] if looked_up else r - start], y, four)
            if rectified:
                _rectified(y)


@compiled
def one_row(k, x: Matrices, weights, biases, out: Matrices, smooth) -> None:  # type: ignore[no-untyped-def]
    """Row x [1, in] through the whole net of expert k into `out` [1, out]; between its maps SiLU if `smooth`, else max(·, 0)."""
    last = len(weights) - 1
    h = x[0]
    for j in range(last):
        z = np.empty(biases[j].shape[1], x.dtype)
        _one(weights[j][k], biases[j][k], h, z, weights[j].shape[1])
        _silu(z) if smooth else _rectified(z)
        h = z
    _one(weights[last][k], biases[last][k], h, out[0], weights[last].shape[1])
