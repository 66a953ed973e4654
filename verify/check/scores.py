"""The reference scores t that the last gate's logits τ follow: the partition of unity ρ, or the depths b of plateau routing, on boxes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import sympy

from ...atlas import Array, BallChart, Chart, ExpressionMap
from ...intervals import Interval
from ...intervals.patch import Patch
from .charts import Charts, of_depths
from .nets import Flags, Indices

CELLS = 256
"""Boxes of a chart that together enclose its image."""


class Scores:
    """t_i for all charts i of an atlas: those with boxes, or its balls, whose bumps are functions of the point."""

    def __init__(self, charts: Charts, level: float | None) -> None:
        """`level`: of the plateaus, t_i = depth_i/level; None: t_i = ρ_i."""
        self.charts, E = charts, len(charts.atlas)
        balls = charts.atlas.balls is not None
        self.bumps = [_bump(charts, chart, level) for chart in charts.atlas.charts]
        b = sympy.symbols(f"b:{E}", real=True)
        if level is not None:
            shares = [part / sympy.Rational(level) for part in b]
        elif not balls and all(chart.partition is not None for chart in charts.charts):
            shares = list(b)
        else:
            shares = [part / sympy.Add(*b) for part in b]
        self.shares = ExpressionMap(tuple(b), tuple(shares))
        self.in_space = [balls or bump.variables != charts.charts[j].inverse.variables for j, bump in enumerate(self.bumps)]
        self.cells = [] if balls else [_image(charts, j) for j in range(E)]

    def __call__(self, p: int, u: Patch, y: Patch) -> Patch:
        """All t_i on boxes of chart p."""
        return self.charts.map(self.shares, side_by_side([self._chart(j, p, u, y) for j in range(len(self.bumps))]))

    def _chart(self, j: int, p: int, u: Patch, y: Patch) -> Patch:
        """b_j. Where it is open whether the box is in the chart it is 0 or what the formula says."""
        bump = self.bumps[j]
        if self.in_space[j]:
            return self.charts.map(bump, y)
        chart = self.charts.charts[j]
        if j == p:
            return self.charts.map(bump, u)
        off = self._off(j, y)
        rows = np.flatnonzero(~off)
        found = zero_where(anything(y, 1.0 if chart.bump is None else np.inf), off)
        if chart.forward is None or not len(rows):
            return found
        return placed(found, rows, self._near(j, p, u.subset(rows), y.subset(rows)))

    def _near(self, j: int, p: int, u: Patch, y: Patch) -> Patch:
        """b_j, j ≠ p, by the chart's coordinates."""
        chart = self.charts.charts[j]
        assert chart.forward is not None
        local = self.charts.map(chart.forward, y)
        inside, off = self.charts.holds(chart, p, u, y), self.charts.off(chart, local)
        back = self.charts.map(chart.inverse, local).value - y.value
        off = (off | ~back.contains_zero().all(1)) & ~inside
        return zero_where(either_where(self.charts.map(self.bumps[j], local), ~inside), off)

    def _off(self, j: int, y: Patch) -> Flags:
        """Boxes away from all that encloses the image of chart j."""
        lower, upper = self.cells[j]
        away = (y.value.upper[:, None] < lower) | (y.value.lower[:, None] > upper)
        return np.all(np.any(away, axis=2), axis=1)


def _each(patch: Patch, change: Callable[[Interval, bool, str], Interval]) -> Patch:
    """The patch with each of its parts changed: part, whether it is one of derivatives, what it is called."""
    parts = ("value", "at", "first", "second")
    return Patch(patch.lower, patch.upper, *(change(getattr(patch, name), k > 1, name) for k, name in enumerate(parts)))


def side_by_side(parts: list[Patch]) -> Patch:
    """One component each, on the same boxes, as one patch."""

    def joined(part: Interval, slope: bool, name: str) -> Interval:
        return Interval(*(np.concatenate([getattr(getattr(p, name), end) for p in parts], -1) for end in ("lower", "upper")))

    return _each(parts[0], joined)


def anything(y: Patch, top: float) -> Patch:
    """Anything in [0, top]."""

    def wide(part: Interval, slope: bool, name: str) -> Interval:
        like = part.lower[..., :1]
        return Interval(np.full_like(like, -np.inf if slope else 0.0), np.full_like(like, np.inf if slope else top))

    return _each(y, wide)


def placed(patch: Patch, rows: Indices, found: Patch) -> Patch:
    """The patch with some of its boxes replaced."""

    def put(part: Interval, slope: bool, name: str) -> Interval:
        lower, upper = np.array(part.lower), np.array(part.upper)
        lower[rows], upper[rows] = getattr(found, name).lower, getattr(found, name).upper
        return Interval(lower, upper)

    return _each(patch, put)


def zero_where(patch: Patch, where: Flags) -> Patch:
    return _each(patch, lambda part, slope, name: _switched(where, np.zeros_like(part.lower), np.zeros_like(part.lower), part))


def either_where(patch: Patch, where: Flags) -> Patch:
    """There, anything between 0 and what it is; nothing is known of the way between."""

    def either(part: Interval, slope: bool, name: str) -> Interval:
        wide = np.inf if slope else 0.0
        return _switched(where, np.minimum(part.lower, -wide), np.maximum(part.upper, wide), part)

    return _each(patch, either)


def _switched(where: Flags, lower: Array, upper: Array, part: Interval) -> Interval:
    """These ends on some boxes, on the others the part as it is."""
    flags = where.reshape(-1, *[1] * (part.lower.ndim - 1))
    return Interval(np.where(flags, lower, part.lower), np.where(flags, upper, part.upper))


def _bump(charts: Charts, chart: Chart | BallChart, level: float | None) -> ExpressionMap:
    """b as an expression: the chart's own, or the default of `PartitionOfUnity`, of power 1 for plateaus."""
    profile = charts.atlas.partition

    def bump(factors: list[sympy.Expr]) -> list[sympy.Expr]:
        total: sympy.Expr = sympy.Integer(1)
        for depth in factors:
            if level is not None or profile.profile == "polynomial":
                total *= sympy.Max(0, depth) ** (1 if level is not None else profile.power)
            else:
                total *= sympy.Piecewise((sympy.exp(1 - 1 / depth), depth > 0), (0, True))
        return [total]

    if isinstance(chart, BallChart):
        u = sympy.symbols(charts.atlas.coordinates, real=True)
        square = sympy.Add(*((y - sympy.Rational(float(c))) ** 2 for y, c in zip(u, chart.center, strict=True)))
        return ExpressionMap(u, bump([1 - square / sympy.Rational(float(chart.radius)) ** 2]))
    given = chart.partition or chart.bump
    return given if given is not None else of_depths(chart, bump)


def _image(charts: Charts, j: int) -> tuple[Array, Array]:
    """Boxes in space, (cells, k) corners, that together contain the image of chart j."""
    lower, upper = charts.charts[j].domain.cells(CELLS)
    u, y = charts.points(j, lower, upper)
    kept = ~charts.outside(j, u, y)[0]
    where = y.value
    return where.lower[kept], where.upper[kept]
