"""What a box of coordinates has to do with the charts of an atlas: off its own, covered by others, inside another.

Bumps are compared here through their logarithms: the depths of a chart are one `ExpressionMap`, enclosed by patches, and the logarithm of
the bump is a sum of increasing functions of them. (The search multiplies intervals; `scores` encloses the product with its derivatives.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import sympy

from ...atlas import Array, Atlas, BallChart, Chart, ExpressionMap
from ...atlas.chart import INVERSE_TOLERANCE
from ...intervals import Interval
from ...intervals.patch import Patch, PatchMap
from .layers import Flags

Verdict = tuple[Flags, Flags]
"""(surely true, surely false), box by box."""


class Maps:
    """Functions of patches, each prepared once."""

    def __init__(self) -> None:
        self._maps: dict[int, PatchMap] = {}

    def map(self, function: ExpressionMap, inner: Patch) -> Patch:
        if id(function) not in self._maps:
            self._maps[id(function)] = PatchMap(function)
        return self._maps[id(function)](inner)


class Charts(Maps):
    """The maps of an atlas as functions on boxes of coordinates of a parametrising chart p: u the coordinates, y the point."""

    def __init__(self, atlas: Atlas) -> None:
        super().__init__()
        self.atlas, self.charts = atlas, atlas.parametrising
        self.names = tuple(chart.name for chart in self.charts)
        self.lower, self.upper = (np.array([getattr(chart.domain, end) for chart in self.charts]) for end in ("lower", "upper"))
        self.dimension, self.base_dimension = atlas.dimension, atlas.base_dimension
        self._depths: dict[int, ExpressionMap] = {}

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
        if j not in self._depths:
            self._depths[j] = ExpressionMap(chart.inverse.variables, (*depths(chart), sympy.Integer(1)))
        depth = self.map(self._depths[j], local).value
        steep = profile.profile != "polynomial"
        ends = [Interval.of(np.where(end > 0, end, 1.0)) for end in (depth.lower, depth.upper)]
        logs = [Interval.of(1.0) - end.inverse() if steep else end.log().times(float(profile.power)) for end in ends]
        low, high = Interval.of(np.zeros(len(local))), Interval.of(np.zeros(len(local)))
        for k in range(depth.lower.shape[1]):
            low, high = low + logs[0][:, k], high + logs[1][:, k]
        some = [(end > 0).all(1) for end in (depth.lower, depth.upper)]
        return Interval(np.where(some[0], low.exp().lower, 0.0), np.where(some[1], high.exp().upper, 0.0))


def depths(chart: Chart) -> list[sympy.Expr]:
    """The factors of a default bump before its profile, in the chart's coordinates: region/region at the centre; or 1 − t², t ∈ [−1, 1]
    along the box, from a boundary face 0 on it and ±1 on the other, for every coordinate that has an edge.
    """
    u = chart.inverse.variables
    if chart.region is not None:
        top = sympy.Rational(float(chart.region(chart.domain.center)[0]))
        return [chart.region.expressions[0].xreplace(dict(zip(chart.region.variables, u, strict=True))) / top]
    found = []
    for k, (lower, upper) in enumerate(chart.boundary):
        low, high = sympy.Rational(chart.domain.lower[k]), sympy.Rational(chart.domain.upper[k])
        part = (u[k] - low) / (high - low)
        if not (lower and upper):
            found.append(1 - (part if lower else 1 - part if upper else 2 * part - 1) ** 2)
    return found


class Boxes(Maps):
    """Pieces that are boxes of the variables themselves: what a block on a tiling, or a combination, is proved on."""

    def __init__(self, names: Sequence[str], lower: Array, upper: Array) -> None:
        """Corners (pieces, k)."""
        super().__init__()
        self.names, self.lower, self.upper = tuple(names), lower, upper
        self.dimension = self.base_dimension = lower.shape[1]

    def points(self, p: int, lower: Array, upper: Array) -> tuple[Patch, Patch]:
        u = Patch.coordinates(lower, upper)
        return u, u

    def outside(self, p: int, u: Patch, y: Patch) -> Verdict:
        return np.zeros(len(u), bool), np.ones(len(u), bool)


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
