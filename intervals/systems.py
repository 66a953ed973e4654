"""Linear equations B·v = b with interval matrices, elementwise over boxes.

Let Y be any matrix with ‖1 − Y·B‖_∞ ≤ r < 1 for every B of an interval matrix. Then every B is regular, v = Y·b + (1 − Y·B)·v, and
|v|_∞ ≤ |Y·b|_∞/(1 − r). All arithmetic is outwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from ..expressions import Array
from .arithmetic import Interval
from .derivatives import ZERO

GROW = 1 + 2.0**-40
"""Covers the few roundings with which a norm is computed."""
Matrix = list[list[Interval]]


def solved(across: Matrix, inverse: Array, right: Sequence[Interval]) -> list[Interval]:
    """All v with B·v = right for some B; unknown where ‖1 − Y·B‖_∞ may be 1."""
    m = len(across)
    known = norm(across, inverse)
    start = [total([Interval.of(inverse[..., l, i]) * part for i, part in enumerate(right)]) for l in range(m)]
    size = reduce(np.maximum, (part.magnitude for part in start))
    most = np.where(known < 1, size / (1 - known) * GROW + 2.0**-1000, np.inf)
    found = [Interval(-most, most)] * m
    for _ in range(2):
        found = [
            total([s, *(-(b * v) for b, v in zip(row, found, strict=True))])
            for s, row in zip(start, less_one(across, inverse), strict=True)
        ]
    return [part.unknown_where(~(known < 1)) for part in found]


def norm(across: Matrix, inverse: Array) -> Array:
    """At least ‖1 − Y·B‖_∞ for every B; ∞ where it is not known."""
    rows = [reduce(np.add, (part.magnitude for part in row)) * GROW for row in less_one(across, inverse)]
    return np.nan_to_num(reduce(np.maximum, rows), nan=np.inf)


def less_one(across: Matrix, inverse: Array) -> Matrix:
    """Y·B − 1."""
    m = len(across)
    return [
        [
            total([*(Interval.of(inverse[..., l, i]) * across[i][j] for i in range(m)), *([Interval.of(-1.0)] if l == j else [])])
            for j in range(m)
        ]
        for l in range(m)
    ]


def inverted(matrix: Array) -> Array:
    """Nearly the inverse, (…, m, m); NaN where there is none."""
    if matrix.shape[-1] == 1:
        return np.where(matrix != 0, 1 / np.where(matrix != 0, matrix, 1.0), np.nan)
    bad = np.asarray(~np.isfinite(matrix).all((-2, -1)))
    safe = np.where(bad[..., None, None], np.eye(matrix.shape[-1]), matrix)
    bad |= ~(np.abs(np.linalg.det(safe)) > 0)
    found = np.linalg.inv(np.where(bad[..., None, None], np.eye(matrix.shape[-1]), safe))
    return np.where(bad[..., None, None], np.nan, found)


def total(parts: Sequence[Interval]) -> Interval:
    return reduce(Interval.__add__, parts, ZERO) if len(parts) != 1 else parts[0]


def broadcast(a: Interval, shape: tuple[int, ...]) -> Interval:
    """A writable copy of this shape."""
    return Interval(np.array(np.broadcast_to(a.lower, shape)), np.array(np.broadcast_to(a.upper, shape)))


def shaped(a: Interval, shape: tuple[int, ...]) -> Interval:
    full = broadcast(a, (int(np.prod(shape)),))
    return Interval(full.lower.reshape(shape), full.upper.reshape(shape))
