"""What a box of chart coordinates has to do with the charts of an atlas: off its own, covered by others, inside another."""

from __future__ import annotations

import numpy as np

from ...atlas import Array, Atlas, BallChart, Chart, ExpressionMap
from ...atlas.chart import INVERSE_TOLERANCE
from ...intervals import Interval
from ...intervals.patch import Patch, PatchMap
from .networks import Flags

Verdict = tuple[Flags, Flags]
"""(surely true, surely false), box by box."""


class Charts:
    """The maps of an atlas as functions on boxes of coordinates of a parametrising chart p: u the coordinates, y the point."""

    def __init__(self, atlas: Atlas) -> None:
        self.atlas, self.charts = atlas, atlas.parametrising
        self._maps: dict[int, PatchMap] = {}

    def map(self, function: ExpressionMap, inner: Patch) -> Patch:
        if id(function) not in self._maps:
            self._maps[id(function)] = PatchMap(function)
        return self._maps[id(function)](inner)

    def points(self, p: int, lower: Array, upper: Array) -> tuple[Patch, Patch]:
        u = Patch.coordinates(lower, upper)
        return u, self.map(self.charts[p].inverse, u)

    def outside(self, p: int, u: Patch, y: Patch) -> Verdict:
        """region < 0."""
        region = self.charts[p].region
        if region is None:
            return np.zeros(len(u), bool), np.ones(len(u), bool)
        found = self.map(region, u).value[:, 0]
        return found.upper < 0, found.lower >= 0

    def beyond_edge(self, p: int, u: Patch) -> Verdict:
        """Not region > 0."""
        region = self.charts[p].region
        if region is None:
            return np.zeros(len(u), bool), np.ones(len(u), bool)
        found = self.map(region, u).value[:, 0]
        return found.upper <= 0, found.lower > 0

    def elsewhere(self, p: int, u: Patch, y: Patch) -> Verdict:
        """(E − 1)·b_p < Σ_{j≠p} b_j."""
        own = self._formula(p, u, y).times(float(len(self.charts) - 1))
        low, high = Interval.of(np.zeros(len(u))), Interval.of(np.zeros(len(u)))
        for j in range(len(self.charts)):
            if j != p:
                least, most = self._bump(j, p, u, y)
                low, high = low + Interval.of(least), high + Interval.of(most)
        return own.upper < low.lower, own.lower >= high.upper

    def inside(self, j: int, p: int, u: Patch, y: Patch) -> Verdict:
        """x ∈ U_j for chart j of the atlas."""
        chart = self.atlas.charts[j]
        if isinstance(chart, BallChart):
            return _in_ball(chart, y)
        if j == p:
            return np.ones(len(u), bool), np.zeros(len(u), bool)
        if chart.forward is None:
            least, most = self._bump(j, p, u, y)
            return least > 0, most <= 0
        return self.in_domain(chart, self.map(chart.forward, y), p, u)

    def in_domain(self, chart: Chart, local: Patch, p: int, u: Patch) -> Verdict:
        """The lemma of docs/certificate.md: coordinates in the open domain all over the box, and one point of the box in the chart."""
        where, inside, off = local.value, np.ones(len(u), bool), np.zeros(len(u), bool)
        for k, (lower, upper) in enumerate(chart.boundary):
            low, high = chart.domain.lower[k], chart.domain.upper[k]
            slack = INVERSE_TOLERANCE * (high - low)  # M ends at a boundary face: what enclosures add beyond it is no part of M
            low, high = low - slack if lower else low, high + slack if upper else high
            inside &= (where.lower[:, k] > low) & (where.upper[:, k] < high)
            off |= (where.upper[:, k] <= low) | (where.lower[:, k] >= high)
        if chart.region is not None:
            region = self.map(chart.region, local).value[:, 0]
            inside, off = inside & (region.lower > 0), off | (region.upper <= 0)
        rows = np.flatnonzero(inside)
        if len(rows):
            middle = u.lower[rows] + (u.upper[rows] - u.lower[rows]) / 2
            inside[rows] = chart.contains(self.charts[p].inverse(middle))
        return inside, off

    def _bump(self, j: int, p: int, u: Patch, y: Patch) -> tuple[Array, Array]:
        """At least and at most b_j, for j ≠ p."""
        chart = self.charts[j]
        given = chart.partition or chart.bump
        if given is not None and given.variables != chart.inverse.variables:
            found = self.map(given, y).value[:, 0].unknown_where(np.zeros((), bool))
            return np.maximum(found.lower, 0), np.maximum(found.upper, 0)
        if chart.forward is None:
            return np.zeros(len(u)), np.full(len(u), np.inf)
        local = self.map(chart.forward, y)
        inside, off = self.in_domain(chart, local, p, u)
        found = self._formula(j, local, y)
        return np.where(inside, np.maximum(found.lower, 0), 0.0), np.where(off, 0.0, np.maximum(found.upper, 0))

    def _formula(self, j: int, local: Patch, y: Patch) -> Interval:
        """b_j where its own coordinates are `local`, inside its domain."""
        chart, profile = self.charts[j], self.atlas.partition
        given = chart.partition or chart.bump
        if given is not None:
            return self.map(given, local if given.variables == chart.inverse.variables else y).value[:, 0]
        if chart.region is not None:
            depths = [self.map(chart.region, local).value[:, 0] / Interval.of(float(chart.region(chart.domain.center)[0]))]
        else:
            where = local.value
            depths = [_depth(chart, k, where[:, k]) for k in range(chart.dimension) if chart.boundary[k] != (True, True)]
        total = Interval.of(np.ones(len(local)))
        for depth in depths:
            depth = Interval(np.maximum(depth.lower, 0), np.maximum(depth.upper, 0))
            if profile.profile == "polynomial":
                total = total * depth.power(profile.power)
            else:
                steep = (Interval.of(1.0) - depth.inverse()).exp()
                total = total * Interval(np.where(depth.lower > 0, steep.lower, 0.0), np.where(depth.upper > 0, steep.upper, 0.0))
        return total


def _depth(chart: Chart, k: int, where: Interval) -> Interval:
    """1 − t², t ∈ [−1, 1] along the box; from a boundary face t is 0 on it and ±1 on the other."""
    low, high = Interval.of(chart.domain.lower[k]), Interval.of(chart.domain.upper[k])
    lower, upper = chart.boundary[k]
    one, part = Interval.of(1.0), (where - low) / (high - low)
    t = part if lower else one - part if upper else part + part - one
    return one - t.power(2)


def _in_ball(ball: BallChart, y: Patch) -> Verdict:
    """|y − c|² < r²."""
    offsets = [part - Interval.of(ball.center) for part in (y.value, y.at)]
    offset = Interval(offsets[0].lower[:, None], offsets[0].upper[:, None])
    two = Interval.of(2.0)
    parts = [
        offsets[0].power(2), offsets[1].power(2), two * offset * y.first, two * (y.first.power(2) + offset * y.second)
    ]  # fmt: skip
    square = Patch(y.lower, y.upper, *(_total(part) for part in parts)).range()[:, 0]
    limit = Interval.of(ball.radius).power(2)
    return square.upper < limit.lower, square.lower >= limit.upper


def _total(parts: Interval) -> Interval:
    """The sum over the last axis, which stays."""
    total = parts[..., :1]
    for k in range(1, parts.lower.shape[-1]):
        total = total + parts[..., k : k + 1]
    return total
