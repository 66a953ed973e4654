"""Kinks that stand out from samples of a function on a line, and where exactly they are.

Between two samples t_i < t_{i+1} a kink changes the slope by J, whatever the spacing δ, where a smooth F changes it by about
δ·F″. The kink lies where the lines through the two samples on its left and on its right meet, up to O(δ²·|F″|/J).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....atlas import Array

STANDS_OUT = 6.0
"""How many times the change of slope must exceed what the bends on both sides foresee. A wrong alarm costs one knot."""


@dataclass(frozen=True, eq=False)
class Kinks:
    """Ascending places (K,) with the function's values (K, q) there."""

    at: Array
    values: Array

    def __getitem__(self, rows: NDArray[np.intp]) -> Kinks:
        return Kinks(self.at[rows], self.values[rows])

    @staticmethod
    def merge(parts: Sequence[Kinks]) -> Kinks:
        at, rows = np.unique(np.concatenate([part.at for part in parts]), return_index=True)
        return Kinks(at, np.concatenate([part.values for part in parts])[rows])


def find_kinks(t: Array, values: Array, most: int) -> Kinks:
    """The at most `most` sharpest kinks of samples values (N, q) at ascending t (N,)."""
    thin = _thinned(t)
    t, values = t[thin], values[thin]
    if len(t) < 8:
        return Kinks(t[:0], values[:0])
    slopes = np.diff(values, axis=0) / np.diff(t)[:, None]
    turns = np.diff(slopes, axis=0)  # at t[1:-1]
    bends = np.abs(turns).max(1) / ((t[2:] - t[:-2]) / 2)
    # Gap g lies between t[g] and t[g+1]; its kink turns the slopes at both of its ends. Gaps 2 … N−4 have samples on both sides.
    gap = np.arange(2, len(t) - 3)
    jump = np.abs(turns[gap - 1] + turns[gap]).max(1)
    beside = np.maximum(bends[gap - 2], bends[gap + 1])
    # Slopes are known up to the rounding of the values.
    noise = (
        8 * np.finfo(float).eps * np.abs(values).max() / np.minimum(np.diff(t)[gap], np.minimum(np.diff(t)[gap - 1], np.diff(t)[gap + 1]))
    )
    sharp = jump > STANDS_OUT * (beside * (t[gap + 2] - t[gap - 1]) / 2 + noise)
    # Turns right beside a kink at a sample make two neighbouring gaps stand out: the sharper one counts.
    padded = np.concatenate([[0], np.where(sharp, jump, 0), [0]])
    sharp &= (padded[1:-1] >= padded[2:]) & (padded[1:-1] > padded[:-2])
    gap, jump = gap[sharp], jump[sharp]
    keep = np.sort(np.argsort(-jump, kind="stable")[:most])
    return _located(t, values, slopes, gap[keep])


def _located(t: Array, values: Array, slopes: Array, gap: NDArray[np.intp]) -> Kinks:
    """Where the lines of both sides meet, in least squares over the components; kept within the gap."""
    left, right = slopes[gap - 1], slopes[gap + 1]
    turn = right - left
    apart = values[gap + 1] - right * (t[gap + 1] - t[gap])[:, None] - values[gap]  # right line − left line at t[gap]
    offset = -(apart * turn).sum(1) / (turn**2).sum(1)
    at = t[gap] + np.clip(offset, 0, t[gap + 1] - t[gap])
    from_left = values[gap] + left * (at - t[gap])[:, None]
    from_right = values[gap + 1] + right * (at - t[gap + 1])[:, None]
    at, rows = np.unique(at, return_index=True)
    return Kinks(at, (from_left + from_right)[rows] / 2)


def _thinned(t: Array) -> NDArray[np.intp]:
    """Samples at least about a quarter of the mean spacing apart: divided differences of closer ones are noise."""
    cell = np.floor((t - t[0]) / ((t[-1] - t[0]) / (2 * len(t)) + np.finfo(float).tiny))
    rows = np.flatnonzero(np.concatenate([[True], np.diff(cell) > 0]))
    near = np.diff(t[rows]) < (t[-1] - t[0]) / (4 * len(t))
    return rows[np.concatenate([[True], ~near])]
