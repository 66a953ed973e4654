"""How far a function and what a network makes of a path are apart on boxes."""

from __future__ import annotations

import numpy as np

from ...atlas import Array
from ...intervals import Interval
from ...intervals.patch import GROW, ULPS, Patch, deviation, highest
from .networks import FEW, Frame, Rows


def difference(truth: Patch, frame: Frame, found: Rows) -> tuple[Array, Array]:
    """A bound of |f − q| on each row, and a number that it attains at a vertex, largest component; (R,) each."""
    V = frame.vertices
    y, at, slack = frame.y.subset(found.box), found.core[:, :V], found.rough[:, :1] * GROW
    first, second = truth.first, truth.second
    for c in range(found.core.shape[1] - V - 1):
        factor = -Interval.of(found.core[:, V + c, None, :])
        first, second = first + factor * y.first[..., c : c + 1], second + factor * y.second[..., c : c + 1]
    down, up = deviation(y.upper - y.lower, first, second)
    away = found.rough[:, 1] * GROW + FEW * np.abs(found.core[:, -1])
    values = truth.at - Interval(at - slack - FEW * np.abs(at), at + slack + FEW * np.abs(at))
    above = highest(values.upper, up) + (away - found.core[:, -1])
    below = highest(-values.lower, down) + (away + found.core[:, -1])
    # Where f has a jump or a kink its derivatives say little, its range still something.
    least, most = frame.vertex_range(found)
    less, more = frame.deviation(found)
    lost = ULPS * (truth.value.magnitude + np.maximum(np.abs(least), np.abs(most)) + (more - less))
    above = np.fmin(above, truth.value.upper - (least + less) + lost)
    below = np.fmin(below, (most + more) - truth.value.lower + lost)
    bound = np.maximum(above, below).max(1)
    attained = np.maximum(values.lower, -values.upper).max((1, 2))
    return np.where(np.isnan(bound), np.inf, bound + FEW * np.abs(bound)), attained
