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

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, Atlas, BallChart, Chart
from ...atlas.chart import INVERSE_TOLERANCE
from ...intervals import Interval, NaturalEnclosure
from ..enclosure import ExpressionEnclosure, TaylorForms

Flags = NDArray[np.bool_]


class EnclosedChart:
    """A chart with its maps compiled for enclosure."""

    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        self.inverse = ExpressionEnclosure(chart.inverse)
        self.forward = None if chart.forward is None else ExpressionEnclosure(chart.forward)
        self.coarse_forward = None if chart.forward is None else NaturalEnclosure(chart.forward)
        self.region = None if chart.region is None else ExpressionEnclosure(chart.region)
        self.coarse_region = None if chart.region is None else NaturalEnclosure(chart.region)
        given = chart.partition or chart.bump
        self.given = None if given is None else ExpressionEnclosure(given)
        self.coarse_given = None if given is None else NaturalEnclosure(given)
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
    z: TaylorForms
    """What a network has in the place of y, as near to it as the manifold says, (N, k): y itself, or a form in u and z − y."""

    def __len__(self) -> int:
        return len(self.lower)

    def subset(self, rows: NDArray[np.intp]) -> Place:
        y = self.y.subset(rows)
        z = y if self.z is self.y else self.z.subset(rows)
        return Place(self.chart, self.lower[rows], self.upper[rows], self.u.subset(rows), y, z)

    @property
    def dimension(self) -> int:
        """d, the sides of a box that can be cut."""
        return self.lower.shape[1]

    @property
    def middle(self) -> Array:
        """A point of every box."""
        return self.lower + (self.upper - self.lower) / 2


class EnclosedManifold:
    """M and its charts, as far as they can be enclosed."""

    def __init__(self, atlas: Atlas, moves: Array | None = None) -> None:
        """`moves`: how far what is read may be from points of M, coordinate by coordinate; None: not at all."""
        self.atlas, self.moves = atlas, moves
        self.charts = [EnclosedChart(chart) for chart in atlas.parametrising]
        self.parametrised = Atlas(atlas.coordinates, atlas.parametrising, atlas.partition)

    def place(self, chart: int, lower: Array, upper: Array) -> Place:
        if self.moves is None:
            u = TaylorForms.variables(lower, upper)
            y = z = self.charts[chart].inverse(u)
        else:
            ones = np.ones((len(lower), len(self.moves)))
            both, d = TaylorForms.variables(np.concatenate([lower, -ones], axis=1), np.concatenate([upper, ones], axis=1)), lower.shape[1]
            u = both[:, :d]
            y = self.charts[chart].inverse(u)
            z = y + both[:, d:].times(self.moves)
        return Place(chart, lower, upper, u, y, z)

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
            own = self._own_bump(some)
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
        rows, where = self.within(chart, place, fine=False)
        least[rows] = np.maximum(self._bump(chart, where).lower, 0.0)
        return least

    def _own_bump(self, place: Place) -> Interval:
        """b_p of the chart that the boxes are of."""
        chart = self.charts[place.chart]
        if chart.given is not None:
            return chart.given(place.u if chart.given_is_intrinsic else place.y).range()[:, 0]
        region = None if chart.region is None else chart.region(place.u).range()[:, 0]
        return self._profile(chart.chart, Interval(place.lower, place.upper), region)

    def _bump(self, chart: EnclosedChart, u: Interval) -> Interval:
        """b where the chart's own coordinates lie in the intervals (N, d), supposing that they are in its domain; (N,)."""
        sides = [u[:, k] for k in range(chart.chart.dimension)]
        if chart.coarse_given is not None:
            return chart.coarse_given(sides)[0]
        return self._profile(chart.chart, u, None if chart.coarse_region is None else chart.coarse_region(sides)[0])

    def _profile(self, chart: Chart, u: Interval, region: Interval | None) -> Interval:
        """The default bump at coordinates in the intervals (N, d), where the region has these values (N,)."""
        profile = self.atlas.partition
        if region is not None:
            assert chart.region is not None
            factors = [region / Interval.of(float(chart.region(chart.domain.center)[0]))]
        else:
            factors = [depth for k in range(chart.dimension) if (depth := _depth(chart, k, u)) is not None]
        total = Interval.of(np.ones(len(u.lower)))
        for depth in factors:
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
        inside[self.within(enclosed, place)[0]] = True
        return inside

    def within(self, chart: EnclosedChart, place: Place, *, fine: bool = True) -> tuple[NDArray[np.intp], Interval]:
        """The lemma: boxes whose middle is in the chart and whose forward coordinates are all in its open domain; and those, (rows, d).

        Intervals decide most boxes; with `fine`, Taylor forms those that they do not.
        """
        none = np.empty((0, chart.chart.dimension))
        if chart.forward is None or chart.coarse_forward is None:
            return np.empty(0, np.intp), Interval(none, none)
        rows = np.flatnonzero(chart.chart.contains(self.charts[place.chart].chart.inverse(place.middle)))
        if not len(rows):
            return rows, Interval(none, none)
        y = place.y.subset(rows).range()
        found = chart.coarse_forward([y[:, k] for k in range(place.y.functions)])
        where = Interval(np.stack([u.lower for u in found], axis=1), np.stack([u.upper for u in found], axis=1))
        inside = _in_domain(chart, where)
        if fine and not inside.all():
            open_ = np.flatnonzero(~inside)
            sharper = chart.forward(place.y.subset(rows[open_])).range()
            where.lower[open_], where.upper[open_] = sharper.lower, sharper.upper
            inside[open_] = _in_domain(chart, sharper)
        return rows[inside], where[inside]


def _in_domain(chart: EnclosedChart, where: Interval) -> Flags:
    """Whether coordinates in the intervals (N, d) are all in the open domain of a chart."""
    domain, inside = chart.chart.domain, np.ones(len(where.lower), bool)
    for k, (lower, upper) in enumerate(chart.chart.boundary):
        low, high = domain.lower[k], domain.upper[k]
        slack = INVERSE_TOLERANCE * (high - low)  # M ends at a boundary face: what enclosures add beyond it is no part of M
        inside &= (where.lower[:, k] > (low - slack if lower else low)) & (where.upper[:, k] < (high + slack if upper else high))
    if chart.coarse_region is not None:
        inside &= chart.coarse_region([where[:, k] for k in range(chart.chart.dimension)])[0].lower > 0
    return inside


def _depth(chart: Chart, k: int, u: Interval) -> Interval | None:
    """1 − t² along side k of the box, t its coordinate scaled to [−1, 1]; None along a side that is boundary on both faces."""
    lower, upper = chart.boundary[k]
    if lower and upper:
        return None
    low, high = chart.domain.lower[k], chart.domain.upper[k]
    t = (u[:, k] - Interval.of(low)) / (Interval.of(high) - Interval.of(low))  # 0 … 1
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
