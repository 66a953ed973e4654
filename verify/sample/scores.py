"""What can be said of N points' logits alone: how far apart they are, and what rounding may change."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array
from ...moe.network import Indices
from .replay import UNITS

MOST_TIED = 4


def separation(logits: Array, inside: NDArray[np.bool_], K: int) -> Array:
    """The K-th largest τ_i with x ∈ U_i minus the largest with x ∉ U_i, (N, E) to (N,).

    +∞ where every chart contains x, −∞ where fewer than K do.
    """
    best = np.partition(np.where(inside, logits, -np.inf), -K, axis=-1)[:, -K]
    stranger = np.where(inside, -np.inf, logits).max(-1)
    with np.errstate(invalid="ignore"):
        margin = best - stranger
    return np.where(np.isnan(logits).any(-1), np.nan, margin)


def gap(logits: Array, K: int) -> Array:
    """The K-th largest logit minus the next one, (N, E) to (N,); +∞ if there is no next one."""
    if logits.shape[1] <= K:
        return np.full(len(logits), np.inf)
    largest = np.partition(logits, -K - 1, axis=-1)[:, -K - 1 :]
    return np.asarray(largest[:, 1:].min(-1) - largest[:, 0])


def tie_tolerance(dtype: np.dtype, logits: Array) -> float:
    """g: scores closer than this count as tied. `UNITS` units of rounding of the largest score, or of 1."""
    scale = np.abs(logits[np.isfinite(logits)]).max(initial=1.0)
    return UNITS * float(np.finfo(dtype).eps) * float(scale)


def runners_up(logits: Array, chosen: Indices, tolerance: float) -> tuple[NDArray[np.intp], Indices]:
    """Rows, and what would be chosen there, (n, K), if another score, within `tolerance` of the last chosen one, took its place.

    At most four of every row.
    """
    close = logits >= np.take_along_axis(logits, chosen[:, -1:], 1) - tolerance
    np.put_along_axis(close, chosen, False, 1)
    rows, other = np.nonzero(close)
    rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
    rows, other = rows[rank < MOST_TIED], other[rank < MOST_TIED]
    routes = chosen[rows].copy()
    routes[:, -1] = other
    return rows, routes
