"""One neuron that is bent everywhere, known at vertices: what it does to slopes, and how far from the interpolant its bend takes it.

Let z = I + D on a box, I the multilinear interpolant of its values at the vertices. Along axis k of the box act(I) is a function of one
coordinate with second derivative act″·(∂_k I)², so that by the theorem of `intervals.patch` act(I) lies above the interpolant of its own
values by at most (−min act″)⁺·Σ_k e_k²/8, and below by at most (max act″)⁺·Σ_k e_k²/8, e_k the largest change along an edge. And
act(z) − act(I) = act′(ξ)·D.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...atlas import Array
from ...intervals.patch import GROW, TINY
from .activations import U, slack, supremum, taylor
from .nets import RELU2


class Bend(NamedTuple):
    """Of an activation, neuron by neuron on boxes."""

    at: Array
    """(R, vertices, n): values there."""
    off: Array
    """(R, n): how far they may be from the true ones."""
    slope: Array
    spread: Array
    """act′ is within so much of `slope`."""
    below: Array
    above: Array
    """How far act(I) may be on either side of the interpolant of its values."""


def bent(kind: int, at: Array, off: Array, low: Array, high: Array, edges: Array) -> Bend:
    """`at`: z at the vertices, ± `off`; low ≤ z ≤ high on the box, also for its interpolant; `edges`: Σ_k e_k²."""
    if kind == RELU2:
        floor, most = 2 * np.maximum(low, 0), 2 * np.maximum(high, 0)
        values = np.maximum(at, 0)
        wrong = 8 * U * values.max(1) ** 2
        slope, spread = (floor + most) / 2, (most - floor) / 2
        least, largest = np.where(low >= 0, 2.0, 0.0), np.where(high <= 0, 0.0, 2.0)
        values = values * values
    else:
        middle = low + (high - low) / 2
        reach = GROW * np.maximum(high - middle, middle - low)
        _, c1, c2, c3 = taylor(kind, middle, 3)
        fourth = supremum(kind, 4) * reach
        lost = 4 * U * (np.abs(middle) + 1) * (1 + reach) ** 3 * sum(slack(kind, i)[0] + 24 * supremum(kind, i) for i in range(1, 5))
        slope, spread = c1, reach * (2 * np.abs(c2) + reach * (3 * np.abs(c3) + 4 * fourth)) + lost
        turn = reach * (6 * np.abs(c3) + 12 * fourth) + lost
        spread, turn = np.minimum(spread, supremum(kind, 1) + np.abs(c1)), np.minimum(turn, 2 * (supremum(kind, 2) + np.abs(c2)))
        least, largest = 2 * c2 - turn, 2 * c2 + turn
        (values,) = taylor(kind, at, 0)
        a, b = slack(kind, 0)
        wrong = 2 * U * (a + b * np.abs(at).max(1))
    steepest = np.abs(slope) + spread
    below, above = (np.where(bend > 0, bend * edges / 8, 0.0) * GROW + TINY for bend in (largest, -least))
    return Bend(values, GROW * (off * steepest + wrong) + TINY, slope, spread * GROW, below, above)
