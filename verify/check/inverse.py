"""The claim that forward maps invert: φ(φ⁻¹(u)) = u on the box of a chart, by exact arithmetic, or within a tolerance by patches."""

from __future__ import annotations

import numpy as np

from ...atlas import Array, Chart
from ...atlas.chart import INVERSE_TOLERANCE
from ...atlas.transitions import Transition, identity_at
from ...intervals.patch import Patch
from .charts import Charts
from .functions import halves
from .nets import Flags

ROUNDS, MOST = 24, 1 << 14
"""Times that boxes are halved, and how many may be open."""
BRANCHES = 8
"""Of a formula on one chart that are looked at."""


def not_inverted(charts: Charts, exactly: bool) -> str | None:
    """The first chart with a forward map of which it is not shown, by exact arithmetic alone if `exactly`; None if there is none."""
    return next(
        (chart.name for p, chart in enumerate(charts.charts) if chart.forward is not None and not _inverted(charts, p, exactly)), None
    )


def _inverted(charts: Charts, p: int, exactly: bool) -> bool:
    chart, branches = charts.charts[p], list[Transition]()
    widths = chart.domain.widths
    lower, upper = np.array([chart.domain.lower]), np.array([chart.domain.upper])
    for _ in range(ROUNDS):
        u, y = charts.points(p, lower, upper)
        left = np.flatnonzero(~charts.outside(p, u, y)[0])
        left = left[~_exact(charts, chart, branches, u.subset(left))]
        if not exactly and len(left):
            left = left[~_near(charts, chart, u.subset(left), y.subset(left))]
        if not len(left):
            return True
        if len(left) > MOST:
            return False
        lower, upper = lower[left], upper[left]
        lower, upper, _ = halves(lower, upper, ((upper - lower) / widths).argmax(1))
    return False


def _exact(charts: Charts, chart: Chart, branches: list[Transition], u: Patch) -> Flags:
    """Boxes on which the conditions of a branch hold, of which exact arithmetic shows that it is the identity."""
    done = np.zeros(len(u), bool)
    for branch in branches:
        done |= charts.conditions_hold(branch, u)
    rows = np.flatnonzero(~done)
    if len(rows) and len(branches) < BRANCHES:
        middle: Array = u.lower[rows[0]] + (u.upper[rows[0]] - u.lower[rows[0]]) / 2
        new = identity_at(chart, middle)
        if new is not None:
            branches.append(new)
            done[rows] = charts.conditions_hold(new, u.subset(rows))
    return done


def _near(charts: Charts, chart: Chart, u: Patch, y: Patch) -> Flags:
    """Boxes on which the two are within the tolerance, by values at the vertices and derivatives between them."""
    assert chart.forward is not None
    back = charts.map(chart.forward, y)
    gap = Patch(u.lower, u.upper, back.value - u.value, back.at - u.at, back.first - u.first, back.second)
    return np.all(gap.range().magnitude <= INVERSE_TOLERANCE * chart.domain.widths, axis=1)
