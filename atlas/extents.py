"""Where charts are: a box of R^k around each, so that whoever asks about a few points asks only the charts nearby."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..expressions.box import Array
from ..intervals import Interval, NaturalEnclosure, NotEnclosed
from .chart import INVERSE_TOLERANCE, BallChart, Chart

ROOM = 10 * INVERSE_TOLERANCE
"""By this times 1 + |y| boxes are larger than needed: `Chart.contains` takes points for points of M that are a tenth of that off."""


def extents(charts: Sequence[Chart | BallChart]) -> tuple[Array, Array]:
    """Lower and upper corners (E, k): off its box the default bump of a chart is 0. Enclosed, not sampled; ±∞ where that fails, and for
    charts whose own bump is a function on R^k, which may be anything anywhere.
    """
    boxes = [_extent(chart) for chart in charts]
    return np.array([low for low, _ in boxes]), np.array([high for _, high in boxes])


def _extent(chart: Chart | BallChart) -> tuple[Array, Array]:
    if isinstance(chart, BallChart):
        return chart.center - chart.radius, chart.center + chart.radius
    everywhere = np.full(chart.inverse.outputs, np.inf)
    given = chart.partition or chart.bump
    if given is not None and given.names != chart.inverse.names:
        return -everywhere, everywhere
    slack = INVERSE_TOLERANCE * chart.domain.widths
    lower, upper = np.asarray(chart.domain.lower) - slack, np.asarray(chart.domain.upper) + slack
    try:
        found = NaturalEnclosure(chart.inverse)([Interval(a, b) for a, b in zip(lower[:, None], upper[:, None], strict=True)])
    except NotEnclosed:
        return -everywhere, everywhere
    low, high = np.array([side.lower[0] for side in found]), np.array([side.upper[0] for side in found])
    low, high = np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)
    return low - ROOM * (1 + np.abs(low)), high + ROOM * (1 + np.abs(high))


def meeting(boxes: tuple[Array, Array], points: Array) -> NDArray[np.intp]:
    """Numbers of the boxes that meet the smallest one around points (n, k); all, if a point is no number."""
    lower, upper = boxes
    if not len(points) or np.isnan(points).any():
        return np.arange(len(lower))
    return np.flatnonzero(((lower <= points.max(0)) & (upper >= points.min(0))).all(1))
