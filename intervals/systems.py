"""Linear equations B·v = b with interval matrices, as arrays of boxes.

Let Y be any matrix with ‖1 − Y·B‖_∞ ≤ r < 1 for every B of an interval matrix. Then every B is regular, v = Y·b + (1 − Y·B)·v, and
|v|_∞ ≤ |Y·b|_∞/(1 − r). All arithmetic is outwards (`spreads`): Y is exact, so that Y·B is as tight as products of intervals are.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from ..expressions import Array
from .arithmetic import Interval
from .derivatives import ZERO
from .spreads import GROW, Spread

LEAST = 2.0**-1000
Matrix = list[list[Interval]]


def solved(across: Spread, inverse: Array, right: Spread) -> Spread:
    """All v with B·v = b for some B and b, (…, m, m) and (…, m, r) to (…, m, r); unknown where ‖1 − Y·B‖_∞ may be 1."""
    with np.errstate(all="ignore"):
        less, start = less_one(across, inverse), Spread.exact(inverse).times(right, "...ij,...jr->...ir")
        known = norm(across, inverse)[..., None, None]
        most = start.magnitude.max(-2, keepdims=True) / (1 - known) * GROW + LEAST
        found = Spread(np.zeros(start.middle.shape), np.broadcast_to(most, start.middle.shape))
        for _ in range(2):
            found = start - less.times(found, "...ij,...jr->...ir")
        return Spread(found.middle, np.where(known < 1, found.error, np.inf))


def norm(across: Spread, inverse: Array) -> Array:
    """At least ‖1 − Y·B‖_∞ for every B; ∞ where it is not known."""
    with np.errstate(all="ignore"):
        return np.asarray((less_one(across, inverse).magnitude.sum(-1) * GROW).max(-1))


def less_one(across: Spread, inverse: Array) -> Spread:
    """Y·B − 1."""
    return Spread.exact(inverse).times(across, "...ij,...jk->...ik") - Spread.exact(np.eye(inverse.shape[-1]))


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
