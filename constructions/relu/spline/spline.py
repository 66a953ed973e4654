"""Lemma 3.1 for d = 1: free-knot linear splines, nearly optimal in the sup norm, from samples or from a function.

Nothing is proved about the error between samples here; see `spline_a_priori` for splines with a bound.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ....atlas import Array
from ....moe.ridge import Dictionary
from .curve import Curve
from .kinks import find_kinks
from .knots import Gaps, equalise

SAMPLES_PER_PIECE = 8
"""At n samples a piece the largest error is seen up to a part of 1/n² of it."""


@dataclass(frozen=True, eq=False)
class Spline:
    """The continuous function that is linear between ascending knots (n + 1,), with `levels` (n + 1, q) there."""

    knots: Array
    levels: Array
    bound: float | None = None
    """A proved bound of |F − spline| in real arithmetic, largest component; None if nothing is known beyond samples."""

    @property
    def pieces(self) -> int:
        return len(self.knots) - 1

    def __call__(self, t: Array) -> Array:
        """Values (N, q) at t (N,); continued linearly outside."""
        k = np.clip(np.searchsorted(self.knots, t, side="right") - 1, 0, self.pieces - 1)
        fraction = ((t - self.knots[k]) / np.diff(self.knots)[k])[:, None]
        return self.levels[k] * (1 - fraction) + self.levels[k + 1] * fraction

    def to_relu(self) -> tuple[Dictionary, Array, Array]:
        """As `pieces` neurons along one direction, see `relu_form`."""
        return relu_form(self.knots, self.levels)


def fit_spline(t: Array, values: Array, width: int) -> tuple[Dictionary, Array, Array]:
    """A linear spline as at most `width` neurons along one direction: dictionary on R, output weights (q, m), constant (q,).

    Nearly optimal in the sup norm for the smooth curve through the samples t (N,), values (N, q), in any order. A kink that
    stands out from the samples costs one knot. Neurons left of the middle knot face left, the others right. Outside the data
    the spline continues linearly.
    """
    t, first = np.unique(t, return_index=True)
    curve = Curve.through(t, values[first], find_kinks(t, values[first], (width - 1) // 2))
    # More than one knot for two samples would fit what is not known.
    return fitted(curve, curve.t, curve.values, curve.breaks, min(width, max(1, len(t) // 2))).to_relu()


def fitted(at: Callable[[Array], Array], t: Array, values: Array, breaks: Array, width: int) -> Spline:
    """The spline of at most `width` pieces for the function `at`; t and values are samples of it, all breaks become knots."""
    fractions = (np.arange(SAMPLES_PER_PIECE) / SAMPLES_PER_PIECE)[:, None]

    def measure(knots: Array) -> Gaps:
        inside = knots[:-1, None] + np.diff(knots)[:, None] * fractions[:, 0]
        found = at(np.append(inside.ravel(), knots[-1]))
        seen = found[:-1].reshape(len(inside), len(fractions), -1)
        ends = np.concatenate([seen[:, 0], found[-1:]])
        gap = ends[:-1, None] + np.diff(ends, axis=0)[:, None] * fractions - seen

        def gaps(left: Array, right: Array) -> tuple[Array, Array]:
            error = gap + left[:, None] + (right - left)[:, None] * fractions
            return np.maximum(error.max(1), right), np.minimum(error.min(1), right)

        return gaps

    knots, shifts = equalise(measure, values.shape[1], t, _bends(t, values, breaks), breaks, width)
    return Spline(knots, at(knots) + shifts)


def _bends(t: Array, values: Array, breaks: Array) -> Array:
    """√|F″| between the samples, (N − 1,), from divided differences within each part; the largest component."""
    if len(t) < 3:
        return np.ones(len(t) - 1)
    slopes = np.diff(values, axis=0) / np.diff(t)[:, None]
    bend = np.abs(np.diff(slopes, axis=0)).max(1) / ((t[2:] - t[:-2]) / 2)
    bend[np.isin(t[1:-1], breaks)] = 0
    bend = np.sqrt(np.concatenate([bend[:1], bend, bend[-1:]]))
    return np.maximum(bend[1:], bend[:-1])


def relu_form(knots: Array, levels: Array) -> tuple[Dictionary, Array, Array]:
    """The piecewise-linear function with `levels` (n, q) at ascending `knots` (n,), as n − 1 ReLUs facing outward from the middle."""
    slopes = np.diff(levels, axis=0) / np.diff(knots)[:, None]
    middle = (len(knots) - 1) // 2
    right = np.arange(middle, len(knots) - 1)
    left = np.arange(middle, 0, -1)
    bends = np.diff(slopes, axis=0)
    weights = [slopes[middle : middle + 1], bends[middle : len(knots) - 2]]
    if middle:
        weights += [-slopes[middle - 1 : middle], bends[: middle - 1][::-1]]
    facing = np.concatenate([np.ones(len(right)), -np.ones(len(left))])
    dictionary = Dictionary(np.ones((1, 1)), (len(facing),), knots[np.concatenate([right, left])], facing)
    return dictionary, np.concatenate(weights).T, levels[middle].copy()
