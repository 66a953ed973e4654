"""`Spread`: arrays of numbers known up to an error, a ± e, with products of whole arrays (Rump's arithmetic of midpoints and radii).

Sums and products of a ± e hold those of all numbers in them, rounding included: a computed sum of up to n products of floats is off by at
most γ·Σ|a_i·b_i| with γ = (n + 2)·2⁻⁵³, below `ROUNDED` for n ≤ 2⁶, and by less than `TINY` where products underflow; errors are computed
in floats too, and enlarged by `GROW` for that. Coarser than intervals by up to a factor of 1.5, and hundreds of times faster for matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..expressions import Array
from .arithmetic import Interval

ROUNDED = 2.0**-46
"""γ for sums of up to `LONGEST` products."""
LONGEST = 1 << 6
GROW = 1 + 2.0**-40
TINY = 1e-290


@dataclass(frozen=True, eq=False)
class Spread:
    """All arrays within `error` of `middle`, elementwise; an error that is not finite says nothing."""

    middle: Array
    error: Array

    @staticmethod
    def exact(values: Array) -> Spread:
        return Spread(np.asarray(values, float), np.zeros(np.shape(values)))

    @staticmethod
    def of(parts: Any) -> Spread:
        """Nested lists of intervals of one shape (n,), the rows: (n, …)."""
        return Spread._between(*(np.moveaxis(np.array(_ends(parts, end)), -1, 0) for end in ("lower", "upper")))

    @staticmethod
    def stacked(parts: Sequence[Interval], shape: tuple[int, ...]) -> Spread:
        """Intervals of any shapes that broadcast to this one, along a new last axis: (…, m)."""
        lower, upper = (np.stack([np.broadcast_to(getattr(part, end), shape) for part in parts], axis=-1) for end in ("lower", "upper"))
        return Spread._between(lower, upper)

    @staticmethod
    def _between(lower: Array, upper: Array) -> Spread:
        known = np.isfinite(lower) & np.isfinite(upper)
        with np.errstate(all="ignore"):
            middle = np.where(known, lower / 2 + upper / 2, 0.0)
            error = np.nextafter(np.maximum(upper - middle, middle - lower), np.inf)
        return Spread(middle, np.where(known & (error >= 0), error, np.inf))

    def __getitem__(self, index: Any) -> Spread:
        return Spread(self.middle[index], self.error[index])

    def __neg__(self) -> Spread:
        return Spread(-self.middle, self.error)

    def __add__(self, other: Spread) -> Spread:
        middle = self.middle + other.middle
        return Spread(middle, (self.error + other.error + ROUNDED * np.abs(middle)) * GROW)

    def __sub__(self, other: Spread) -> Spread:
        return self + (-other)

    def times(self, other: Spread, sum_over: str) -> Spread:
        """np.einsum(sum_over, self, other), no sum being of more than `LONGEST` terms."""
        size, most = np.abs(self.middle), np.abs(other.middle)
        error = (
            _einsum(sum_over, size + self.error, other.error)
            + _einsum(sum_over, self.error, most)
            + ROUNDED * _einsum(sum_over, size, most)
        )
        return Spread(_einsum(sum_over, self.middle, other.middle), error * GROW + TINY)

    @property
    def interval(self) -> Interval:
        """The same numbers between bounds; unknown where errors are."""
        with np.errstate(all="ignore"):
            lower, upper = np.nextafter(self.middle - self.error, -np.inf), np.nextafter(self.middle + self.error, np.inf)
        known = np.isfinite(lower) & np.isfinite(upper)
        return Interval(np.where(known, lower, -np.inf), np.where(known, upper, np.inf))

    @property
    def magnitude(self) -> Array:
        return np.nan_to_num((np.abs(self.middle) + self.error) * GROW, nan=np.inf)


def frobenius(sizes: Array, axes: int) -> Array:
    """At least the root of the sum of squares of numbers ≥ 0 over the last axes; ∞ where it is not known."""
    flat = sizes.reshape(*sizes.shape[: sizes.ndim - axes], -1)
    largest = np.maximum(flat.max(-1), TINY)
    with np.errstate(all="ignore"):
        return np.nan_to_num(largest * np.sqrt(((flat / largest[..., None]) ** 2).sum(-1)) * GROW, nan=np.inf)


def spectrum(matrices: Spread) -> tuple[Array, Array]:
    """At most the least and at least the largest eigenvalue of all symmetric matrices in a spread (…, m, m).

    Q any regular matrix, G = QᵀAQ, ‖QᵀQ − 1‖_∞ ≤ e < 1: xᵀAx = yᵀGy with |y|² between |x|²/(1 + e) and |x|²/(1 − e), and G has its
    eigenvalues in Gershgorin's discs. Floats find a Q for which they are small. What A is off by counts with its norm ‖·‖_F.
    """
    known = np.asarray(np.isfinite(matrices.middle).all((-2, -1)) & np.isfinite(matrices.error).all((-2, -1)))
    middle = np.where(known[..., None, None], matrices.middle, 0.0)
    turn = Spread.exact(np.linalg.eigh(middle)[1])
    back = Spread(np.swapaxes(turn.middle, -1, -2), turn.error)
    one = np.eye(middle.shape[-1])
    off = frobenius((back.times(turn, "...ij,...jk->...ik") + Spread.exact(-one)).magnitude, 2) * np.sqrt(len(one)) * GROW
    form = back.times(Spread.exact(middle).times(turn, "...ij,...jk->...ik"), "...ij,...jk->...ik")
    size = form.magnitude * (1 - one)
    radius = (size.sum(-1) + np.diagonal(form.error, axis1=-2, axis2=-1)) * GROW
    diagonal = np.diagonal(form.middle, axis1=-2, axis2=-1)
    loose = frobenius(matrices.error, 2)
    with np.errstate(all="ignore"):
        least, most = (diagonal - radius).min(-1), (diagonal + radius).max(-1)
        least = least / np.where(least > 0, 1 + off, 1 - off) - loose
        most = most / np.where(most > 0, 1 - off, 1 + off) + loose
        slack = ROUNDED * (np.abs(least) + np.abs(most) + loose) + TINY
    known &= off < 1
    return np.where(known, least - slack, -np.inf), np.where(known, most + slack, np.inf)


def _einsum(sum_over: str, *parts: Array) -> Array:
    return np.asarray(np.einsum(sum_over, *parts))


def _ends(parts: Any, end: str) -> Any:
    if isinstance(parts, Interval):
        return np.atleast_1d(getattr(parts, end))
    if isinstance(parts, Sequence):
        found = [_ends(part, end) for part in parts]
        n = max((np.shape(part)[-1] for part in found), default=1)
        return [np.broadcast_to(part, (*np.shape(part)[:-1], n)) for part in found]
    raise TypeError(type(parts))
