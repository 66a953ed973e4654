"""`Curve`: the smooth curve through samples on a line, with corners where the samples show them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....atlas import Array
from .kinks import Kinks


@dataclass(frozen=True, eq=False)
class Curve:
    """Cubic Hermite interpolation: slopes are those of the parabola through three neighbouring samples on the same side of all kinks.

    It errs by O(δ⁴) where F is smooth and samples are δ apart, and overshoots by at most a fraction of δ·J beside a kink that was missed.
    """

    t: Array
    """Ascending (N,)."""
    values: Array
    """(N, q)."""
    before: Array
    """Slopes on the left of each sample (N, q)."""
    after: Array
    """Slopes on the right; equal to `before` except at kinks."""
    breaks: Array
    """The ends and the kinks."""

    @staticmethod
    def through(t: Array, values: Array, kinks: Kinks) -> Curve:
        """Of samples at ascending t with the corners that were found between or at them."""
        new = ~np.isin(kinks.at, t)
        place = np.searchsorted(t, kinks.at[new])
        t, values = np.insert(t, place, kinks.at[new]), np.insert(values, place, kinks.values[new], axis=0)
        breaks = np.concatenate([t[:1], kinks.at, t[-1:]])
        corner = np.isin(t, breaks)
        return Curve(t, values, *_slopes(t, values, corner), np.unique(breaks))

    def __call__(self, points: Array) -> Array:
        """Values (M, q) at points (M,) of [t[0], t[−1]]."""
        k = np.clip(np.searchsorted(self.t, points, side="right") - 1, 0, len(self.t) - 2)
        h = self.t[k + 1] - self.t[k]
        s = ((points - self.t[k]) / h)[:, None]
        chord = self.values[k + 1] - self.values[k]
        left, right = self.after[k] * h[:, None] - chord, self.before[k + 1] * h[:, None] - chord
        return self.values[k] + s * chord + s * (1 - s) * ((1 - s) * left - s * right)


def _slopes(t: Array, values: Array, corner: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Slopes before and after each sample, from parabolas that do not reach across corners (both ends count as corners)."""
    h = np.diff(t)[:, None]
    s = np.diff(values, axis=0) / h
    if len(t) < 3:
        return np.concatenate([s, s]), np.concatenate([s, s])
    bend = np.diff(s, axis=0) / (h[1:] + h[:-1])  # half of F″ at t[1:-1]
    bend[corner[1:-1]] = 0  # a part of a single gap is straight
    zero = np.zeros_like(s[:1])
    bend = np.concatenate([zero, bend, zero])
    # At t[i] the parabola around i has the slope s[i] − h[i]·bend[i]; the one around the next sample has it with that one's bend.
    forward = np.concatenate([s - h * np.where(corner[:-1, None], bend[1:], bend[:-1]), zero])
    backward = np.concatenate([zero, s + h * np.where(corner[1:, None], bend[:-1], bend[1:])])
    return backward, forward
