"""How large M is, and along which side a box is long."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...atlas import Array
from ...intervals.patch import Patch
from .charts import Boxes, Charts
from .functions import AT_ONCE, halves
from .nets import Indices

REACHED, REACHED_OF_EQUATIONS = 2.0**-21, 2.0**-10
"""Relative precision of the size of M: half of what `certify` adds to its bounds for their own rounding; and of charts of equations half of
what it adds to the size itself."""
REFINED, PIECES = 1 << 16, 4
"""Boxes that may be looked at for it, of each of so many pieces; of more pieces no more in all. Where M reaches as far all along a curve,
as rotations do in each of their entries, boxes along all of it are cut."""


def extent(domain: Charts | Boxes, boxes: Sequence[tuple[Array, Array]]) -> Array:
    """max |y_k| over boxes of every piece, bounded, (k,): those that may hold the largest are cut until that is nearly attained.

    All pieces are looked at before one is cut: where M does not reach as far as it does elsewhere, nothing has to be known closely.
    """
    attained = size = np.zeros(domain.base_dimension)
    solved = isinstance(domain, Charts) and domain.atlas.parametrising[0].tube is not None
    reached = REACHED_OF_EQUATIONS if solved else REACHED
    left = REFINED * min(len(boxes), PIECES)
    cells = [
        (p, lower[n : n + AT_ONCE], upper[n : n + AT_ONCE]) for p, (lower, upper) in enumerate(boxes) for n in range(0, len(lower), AT_ONCE)
    ]
    while cells:
        seen = [_reach(domain, p, lower, upper) for p, lower, upper in cells]
        left -= sum(len(lower) for _, lower, _ in cells)
        attained = np.max([attained, *(at for _, at, _ in seen)], axis=0)
        rest = []
        for (p, lower, upper), (reach, _, side) in zip(cells, seen, strict=True):
            again = (reach > attained * (1 + reached)).any(1) & (left > 0)
            size = np.maximum(size, np.where(again[:, None], 0.0, reach).max(0))
            if again.any():
                low, high, _ = halves(lower[again], upper[again], side[again])
                rest.append((p, low, high))
        cells = rest
    return np.maximum(size, attained)


def _reach(domain: Charts | Boxes, p: int, lower: Array, upper: Array) -> tuple[Array, Array, Indices]:
    """Of boxes of a piece at most |y_k|, (n, k), what is attained, (k,), and the sides along which to cut."""
    u, y = domain.points(p, lower, upper)
    off = domain.outside(p, u, y)[0][:, None]
    at = np.maximum(y.at.lower, -y.at.upper).max(1)
    return np.where(off, 0.0, y.value.magnitude), np.where(off, 0.0, at).max(0), longest(y)


def longest(y: Patch) -> Indices:
    """The side along which each box is longest in space, or in coordinates where that is not known."""
    widths = y.upper - y.lower
    lengths = widths * y.first.magnitude.max(2)
    return np.where(np.isfinite(lengths).all(1), lengths.argmax(1), widths.argmax(1))
