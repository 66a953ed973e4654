"""Enclosures of all that depends on the charts: where a box of coordinates lies in space, and which charts it is in.

M is the union of the images of the chart boxes (with region > 0) that parametrise the atlas. Two things are proved about boxes W of
coordinates of chart p:

* `elsewhere`: ρ_p < 1/E on W, with E the number of parametrising charts. Some ρ_j is ≥ 1/E at every point of M, so each point of φ_p⁻¹(W)
  has an image in another chart where this does not hold, and W need not be looked at. On the faces of a chart's box that are not declared a
  boundary of M it must hold: a chart that ends where no other goes on would go unnoticed otherwise.
* `inside`: φ_p⁻¹(W) ⊂ U_j, for a chart with a forward map φ_j. Lemma: if the enclosure of φ_j over the connected set S = φ_p⁻¹(W) lies in
  the open domain of chart j, and one point of S lies in U_j, then all do. For else S, being connected, holds a point of the boundary of
  the open set U_j; points of S ∩ U_j come as near to it as one likes, and there φ_j leaves every compact part of its domain (φ_j⁻¹ is
  continuous, and a limit inside the domain would put the boundary point into U_j). Off U_j the formula of φ_j may be anything, even
  discontinuous. That the one point lies in U_j is seen in floats, up to `INVERSE_TOLERANCE`. For a ball it is an inequality.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, Atlas, BallChart, Chart
from ...atlas.chart import INVERSE_TOLERANCE
from ...intervals import Interval
from ..enclosure import ExpressionEnclosure, TaylorForms

Flags = NDArray[np.bool_]


class EnclosedChart:
    """A chart with its maps compiled for enclosure."""

    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        self.inverse = ExpressionEnclosure(chart.inverse)
        self.forward = None if chart.forward is None else ExpressionEnclosure(chart.forward)
        self.region = None if chart.region is None else ExpressionEnclosure(chart.region)
        given = chart.partition or chart.bump
        self.given = None if given is None else ExpressionEnclosure(given)
        self.given_is_intrinsic = given is not None and given.variables == chart.inverse.variables


@dataclass(frozen=True, eq=False)
class Place:
    """Boxes of coordinates of one parametrising chart, and where they lie in space."""

    chart: int
    lower: Array
    """(N, d)."""
    upper: Array
    u: TaylorForms
    """The coordinates, (N, d)."""
    y: TaylorForms
    """φ⁻¹(u) before any embedding, (N, k)."""

    def __len__(self) -> int:
        return len(self.lower)

    def subset(self, rows: NDArray[np.intp]) -> Place:
        return Place(self.chart, self.lower[rows], self.upper[rows], self.u.subset(rows), self.y.subset(rows))

    @property
    def middle(self) -> Array:
        """A point of every box."""
        return self.lower + (self.upper - self.lower) / 2


class EnclosedManifold:
    """M and its charts, as far as they can be enclosed."""

    def __init__(self, atlas: Atlas) -> None:
        self.atlas = atlas
        self.charts = [EnclosedChart(chart) for chart in atlas.parametrising]
        self.parametrised = Atlas(atlas.coordinates, atlas.parametrising, atlas.partition)

    def place(self, chart: int, lower: Array, upper: Array) -> Place:
        u = TaylorForms.variables(lower, upper)
        return Place(chart, lower, upper, u, self.charts[chart].inverse(u))

    def outside(self, place: Place) -> Flags:
        """Boxes proved to be off the chart: its region is negative there."""
        region = self.charts[place.chart].region
        return np.zeros(len(place), bool) if region is None else region(place.u).range().upper[:, 0] < 0

    def elsewhere(self, place: Place) -> Flags:
        """Boxes on which ρ_p < 1/E is proved: (E − 1)·b_p < Σ_{j≠p} b_j."""
        E = len(self.charts)
        found = np.zeros(len(place), bool)
        # What does not hold in the middle of a box does not hold on it.
        rows = np.flatnonzero(self._share(place) < 1 / E)
        if len(rows):
            some = place.subset(rows)
            own = self._bump(place.chart, some, some.u)
            others = Interval.of(np.zeros(len(some)))
            for j in range(E):
                if j != place.chart:
                    others = others + Interval.of(self.least_bump(j, some))
            found[rows] = (own * Interval.of(float(E - 1))).upper < others.lower
        return found

    def _share(self, place: Place) -> Array:
        """ρ_p in the middle of every box, in floats; NaN, which is less than nothing, where no bump is positive."""
        return self.parametrised.rho(self.charts[place.chart].chart.inverse(place.middle))[:, place.chart]

    def least_bump(self, j: int, place: Place) -> Array:
        """A number ≥ 0 that b_j is at least, on each box."""
        chart = self.charts[j]
        if chart.given is not None and not chart.given_is_intrinsic:
            return np.nan_to_num(np.maximum(chart.given(place.y).range().lower[:, 0], 0.0), nan=0.0)
        least = np.zeros(len(place))
        for rows, u in self.within(chart, place):
            least[rows] = np.maximum(self._bump(j, place.subset(rows), u).lower, 0.0)
        return least

    def _bump(self, j: int, place: Place, u: TaylorForms) -> Interval:
        """b_j where its own coordinates are u, supposing that they lie in its domain; (N,)."""
        chart = self.charts[j]
        if chart.given is not None:
            return chart.given(u if chart.given_is_intrinsic else place.y).range()[:, 0]
        profile = self.atlas.partition
        if chart.region is not None:
            top = chart.chart.region(chart.chart.domain.center)[0]  # type: ignore[misc]
            factors = [chart.region(u).range()[:, 0] / Interval.of(float(top))]
        else:
            factors = [depth for k in range(chart.chart.dimension) if (depth := _depth(chart.chart, k, u)) is not None]
        total = Interval.of(np.ones(len(place)))
        for depth in factors:
            depth = depth.meet(Interval.of(np.zeros(len(place)), np.full(len(place), np.inf)))
            depth = Interval(np.maximum(depth.lower, 0), np.maximum(depth.upper, 0))
            if profile.profile == "polynomial":
                total = total * depth.power(profile.power)
            else:
                steep = (Interval.of(1.0) - depth.inverse()).exp()
                total = total * Interval(np.where(depth.lower > 0, steep.lower, 0.0), np.where(depth.upper > 0, steep.upper, 0.0))
        return total

    def inside(self, place: Place, chart: int) -> Flags:
        """Boxes whose points are proved to lie in U_chart of the atlas (not only of those that parametrise it)."""
        target = self.atlas.charts[chart]
        if isinstance(target, BallChart):
            offset = place.y.plus(Interval.of(-target.center))
            square = (offset * offset).affine(np.ones((1, place.y.functions)))
            return square.range().upper[:, 0] < np.nextafter(target.radius**2, 0.0)
        if chart == place.chart:
            return np.ones(len(place), bool)
        enclosed = self.charts[chart]
        if enclosed.forward is None:
            return self.least_bump(chart, place) > 0
        inside = np.zeros(len(place), bool)
        for rows, _ in self.within(enclosed, place):
            inside[rows] = True
        return inside

    def within(self, chart: EnclosedChart, place: Place) -> Iterator[tuple[NDArray[np.intp], TaylorForms]]:
        """The lemma: boxes whose middle is in the chart and whose forward coordinates, given too, are all in its open domain."""
        if chart.forward is None:
            return
        rows = np.flatnonzero(chart.chart.contains(self.charts[place.chart].chart.inverse(place.middle)))
        if not len(rows):
            return
        u = chart.forward(place.y.subset(rows))
        where, domain, inside = u.range(), chart.chart.domain, np.ones(len(rows), bool)
        for k, (lower, upper) in enumerate(chart.chart.boundary):
            low, high = domain.lower[k], domain.upper[k]
            slack = INVERSE_TOLERANCE * (high - low)  # M ends at a boundary face: what enclosures add beyond it is no part of M
            inside &= (where.lower[:, k] > (low - slack if lower else low)) & (where.upper[:, k] < (high + slack if upper else high))
        if chart.region is not None:
            inside &= chart.region(u).range().lower[:, 0] > 0
        if inside.any():
            yield rows[inside], u.subset(inside)


def _depth(chart: Chart, k: int, u: TaylorForms) -> Interval | None:
    """1 − t² along side k of the box, t its coordinate scaled to [−1, 1]; None along a side that is boundary on both faces."""
    lower, upper = chart.boundary[k]
    if lower and upper:
        return None
    low, high = chart.domain.lower[k], chart.domain.upper[k]
    t = (u[:, k : k + 1].range()[:, 0] - Interval.of(low)) / (Interval.of(high) - Interval.of(low))  # 0 … 1
    if not lower and not upper:
        return Interval.of(4.0) * t * (Interval.of(1.0) - t)
    away = t if lower else Interval.of(1.0) - t  # 0 on the boundary face
    return Interval.of(1.0) - away.power(2)


def on_edge(manifold: EnclosedManifold, p: int, lower: Array, upper: Array) -> Flags:
    """Closed boxes of chart p that reach the edge of its domain where that is not declared a boundary of M."""
    chart = manifold.charts[p].chart
    edge = np.zeros(len(lower), bool)
    for k, (low, high) in enumerate(chart.boundary):
        edge |= np.zeros(len(lower), bool) if low else lower[:, k] <= chart.domain.lower[k]
        edge |= np.zeros(len(lower), bool) if high else upper[:, k] >= chart.domain.upper[k]
    region = manifold.charts[p].region
    if region is None or not len(lower):
        return edge
    # U also ends where the region does; a face of the box on which the region is still positive is an edge like any other.
    return edge | ~(region(TaylorForms.variables(lower, upper)).range().lower[:, 0] > 0)
