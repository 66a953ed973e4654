"""`locate`: the intrinsic coordinates of points of M in a chart, and whether they lie in it, with or without a forward map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...expressions.box import Array
from ..chart import INVERSE_TOLERANCE, Chart
from ..distances import tree_of
from .probe import Probe, jacobians, solve_least_squares

NEWTON_STEPS = 12


def locate(probe: Probe, base: Array) -> tuple[Array, NDArray[np.bool_]]:
    """φ(y) (n, d) and whether y ∈ U (n,) for points y (n, k) of M.

    Without a forward map: the nearest point of the chart's sampled image, then Gauss–Newton on |φ⁻¹(u) − y| within the
    box; y counts as a point of U if that distance reaches zero. Coordinates of points outside U mean nothing.
    """
    chart = probe.chart
    if chart.forward is not None:
        return chart.forward(base), chart.contains(base)
    intrinsic = _nearest(probe, base)
    for _ in range(NEWTON_STEPS):
        step = solve_least_squares(jacobians(chart, intrinsic), base - chart.inverse(intrinsic))
        intrinsic = clip(chart, intrinsic + step * chart.domain.widths / 2)
    gap = np.abs(chart.inverse(intrinsic) - base).max(-1)
    return intrinsic, chart.inside(intrinsic) & (gap <= INVERSE_TOLERANCE * (1 + np.abs(base).max(-1)))


def _nearest(probe: Probe, base: Array) -> Array:
    points = probe.closed
    images = probe.chart.inverse(points)
    finite = np.isfinite(images).all(-1)
    return points[finite][tree_of(images[finite]).query(np.nan_to_num(base))[1]]


def clip(chart: Chart, intrinsic: Array) -> Array:
    """The nearest points of the closed box."""
    return np.clip(intrinsic, chart.domain.lower, chart.domain.upper)
