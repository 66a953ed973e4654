"""What a box of coordinates has to do with the charts of an atlas: off its own, covered by others, inside another.

Bumps are compared here through their logarithms: the depths of a chart are one `ExpressionMap`, enclosed by patches, and the logarithm of
the bump is a sum of increasing functions of them. (The search multiplies intervals; `scores` encloses the product with its derivatives.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import sympy

from ...atlas import Array, Atlas, BallChart, Chart, ExpressionMap
from ...atlas.transitions import Transition
from ...intervals import Interval
from ...intervals.patch import Patch, PatchMap
from ...moe.premises import support
from .expressions import Functions, JetMap
from .holding import Holding
from .nets import Flags
from .polynomials import Space
from .tubes import Tubes

Verdict = tuple[Flags, Flags]
"""(surely true, surely false), box by box."""


F = TypeVar("F", Patch, Functions)
"""What is known of functions on boxes, at the vertices or as jets."""


class Truth(Protocol):
    """A function on boxes of coordinates u of a piece, y the point."""

    def __call__(self, piece: int, u: F, y: F, /) -> F: ...


class Maps:
    """Functions of patches and of jets, each prepared once."""

    def __init__(self) -> None:
        self._maps: dict[int, tuple[ExpressionMap, PatchMap]] = {}
        """By the identity of functions, which are kept so that no other one takes it."""
        self._jets: dict[int, tuple[ExpressionMap, JetMap]] = {}

    def map(self, function: ExpressionMap, inner: F) -> F:
        if isinstance(inner, Patch):
            if id(function) not in self._maps:
                self._maps[id(function)] = function, PatchMap(function)
            return self._maps[id(function)][1](inner)
        if id(function) not in self._jets:
            self._jets[id(function)] = function, JetMap(function)
        return self._jets[id(function)][1](inner)

    def of_point(self, function: ExpressionMap) -> Truth:
        return OfPoint(self, function)

    def of_coordinates(self, functions: Sequence[ExpressionMap]) -> Truth:
        return OfCoordinates(self, tuple(functions))


@dataclass(frozen=True, eq=False)
class OfPoint:
    """One function of the point."""

    maps: Maps
    function: ExpressionMap

    def __call__(self, piece: int, u: F, y: F, /) -> F:
        return self.maps.map(self.function, y)


@dataclass(frozen=True, eq=False)
class OfCoordinates:
    """Each piece with its own function of the coordinates."""

    maps: Maps
    functions: tuple[ExpressionMap, ...]

    def __call__(self, piece: int, u: F, y: F, /) -> F:
        return self.maps.map(self.functions[piece], u)


class Charts(Maps):
    """The maps of an atlas as functions on boxes of coordinates of a parametrising chart p: u the coordinates, y the point."""

    def __init__(self, atlas: Atlas, allowed: frozenset[str] = frozenset()) -> None:
        """`allowed`: names of assumptions that may be made use of."""
        super().__init__()
        self.atlas, self.charts = atlas, atlas.parametrising
        self._holding = Holding(allowed, self.map)
        self.names = tuple(chart.name for chart in self.charts)
        self.lower, self.upper = (np.array([getattr(chart.domain, end) for chart in self.charts]) for end in ("lower", "upper"))
        self.dimension, self.base_dimension = atlas.dimension, atlas.base_dimension
        self._depths: dict[int, ExpressionMap] = {}
        self.tubes = Tubes.of(atlas)

    def points(self, p: int, lower: Array, upper: Array) -> tuple[Patch, Patch]:
        u = Patch.coordinates(lower, upper)
        return u, self.map(self.charts[p].inverse, u)

    def jets(self, p: int, space: Space, lower: Array, upper: Array) -> tuple[Functions, Functions]:
        u = Functions.coordinates(space, lower, upper)
        return u, self.map(self.charts[p].inverse, u)

    def within(self, p: int, lower: Array, upper: Array) -> tuple[Flags, Interval]:
        """Which boxes lie outside, and what the coordinates of points of each lie in."""
        u, y = self.points(p, lower, upper)
        return self.outside(p, u, y)[0], y.value

    def outside(self, p: int, u: Patch, y: Patch) -> Verdict:
        """region < 0."""
        region = self.charts[p].region
        if region is None:
            return np.zeros(len(u), bool), np.ones(len(u), bool)
        found = self.map(region, u).value[:, 0]
        return found.upper < 0, found.lower >= 0

    def beyond_edge(self, p: int, u: Patch) -> Verdict:
        """Not region > 0, and M goes on there."""
        region = self.charts[p].region
        if region is None or self.charts[p].edge:
            return np.zeros(len(u), bool), np.ones(len(u), bool)
        found = self.map(region, u).value[:, 0]
        return found.upper <= 0, found.lower > 0

    def elsewhere(self, p: int, u: Patch, y: Patch) -> Verdict:
        """(E − 1)·b_p < Σ b_j over charts that are shown to hold the box, bumps cut off at 0, and φ_p⁻¹ defined on the box; of tangent
        charts of the same equations, that a chart before p holds the box.
        """
        if self.tubes is not None:
            return self.tubes.hold(y.value, np.arange(len(self.charts)) < p), np.zeros(len(u), bool)
        own = self._formula(p, u, y)
        least = Interval(np.maximum(own.lower, 0), np.maximum(own.upper, 0)).times(float(len(self.charts) - 1))
        low, high = Interval.of(np.zeros(len(u))), Interval.of(np.zeros(len(u)))
        for j in range(len(self.charts)):
            if j != p:
                some, most = self._bump(j, p, u, y)
                low, high = low + Interval.of(some), high + Interval.of(most)
        known = np.all(np.isfinite(y.value.lower) & np.isfinite(y.value.upper), axis=1)
        return known & (least.upper < low.lower), least.lower >= high.upper

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
        inside = self.holds(chart, p, u, y)
        return inside, ~inside & self.off(chart, self.map(chart.forward, y))

    def held(self, p: int, u: Patch, y: Patch) -> Flags:
        """Boxes that some other parametrising chart is shown to hold strictly."""
        if self.tubes is not None:
            return self.tubes.hold(y.value, np.arange(len(self.charts)) != p)
        found = np.zeros(len(u), bool)
        for j, chart in enumerate(self.charts):
            rows = np.flatnonzero(~found)
            if j == p or not len(rows):
                continue
            some, at = u.subset(rows), y.subset(rows)
            found[rows] = self._bump(j, p, some, at)[0] > 0 if chart.forward is None else self.holds(chart, p, some, at)
        return found

    def holds(self, chart: Chart, p: int, u: Patch, y: Patch) -> Flags:
        """Boxes that a chart with a forward map is shown to hold strictly."""
        inside = np.zeros(len(u), bool)
        for way in self._holding.ways(self.charts[p], chart, u, y):
            inside |= way.inside
        return inside

    def conditions_hold(self, transition: Transition, u: Patch) -> Flags:
        """Boxes on which all conditions of a formula are shown to hold."""
        return self._holding.conditions(transition, u)

    def off(self, chart: Chart, local: Patch) -> Flags:
        """Boxes whose coordinates are surely not in the open box of a chart, or not in its region."""
        where, off = local.value, np.zeros(len(local), bool)
        for k, (lower, upper) in enumerate(chart.boundary):
            low, high = chart.domain.lower[k], chart.domain.upper[k]
            off |= where.upper[:, k] < low if lower else where.upper[:, k] <= low
            off |= where.lower[:, k] > high if upper else where.lower[:, k] >= high
        if chart.region is None or chart.edge:  # of points of M, a region that M ends with says nothing
            return off
        return off | (self.map(chart.region, local).value.upper[:, 0] <= 0)

    def _bump(self, j: int, p: int, u: Patch, y: Patch) -> tuple[Array, Array]:
        """What b_j, for j ≠ p, counts at least and at most."""
        chart, least, most = self.charts[j], np.zeros(len(u)), np.full(len(u), np.inf)
        given = chart.partition or chart.bump
        in_space = given is not None and given.variables != chart.inverse.variables
        if given is not None and in_space:
            found = self.map(given, y).value[:, 0].unknown_where(np.zeros((), bool))
            most = np.maximum(found.upper, 0)
            if chart.forward is None:
                allowed = support(chart.name).name in self._holding.allowed
                return np.maximum(found.lower, 0) if allowed else least, most
        if chart.forward is None:
            return least, most
        for way in self._holding.ways(self.charts[p], chart, u, y):
            here = found if in_space else self._formula(j, way.local, y)
            least = np.where(way.inside, np.fmax(least, np.nan_to_num(here.lower, posinf=0.0)), least)
            most = np.where(way.inside, np.fmin(most, np.maximum(here.upper, 0)), most)
        return least, np.where(self.off(chart, self.map(chart.forward, y)) & (least == 0), 0.0, most)

    def _formula(self, j: int, local: Patch, y: Patch) -> Interval:
        """b_j where its own coordinates are `local`, inside its domain."""
        chart, profile = self.charts[j], self.atlas.partition
        given = chart.partition or chart.bump
        if given is not None:
            return self.map(given, local if given.variables == chart.inverse.variables else y).value[:, 0]
        if j not in self._depths:
            self._depths[j] = of_depths(chart, lambda factors: [*factors, sympy.Integer(1)])
        depth = self.map(self._depths[j], local).value
        steep = profile.profile != "polynomial"
        ends = [Interval.of(np.where(end > 0, end, 1.0)) for end in (depth.lower, depth.upper)]
        logs = [Interval.of(1.0) - end.inverse() if steep else end.log().times(float(profile.power)) for end in ends]
        low, high = Interval.of(np.zeros(len(local))), Interval.of(np.zeros(len(local)))
        for k in range(depth.lower.shape[1]):
            low, high = low + logs[0][:, k], high + logs[1][:, k]
        some = [(end > 0).all(1) for end in (depth.lower, depth.upper)]
        return Interval(np.where(some[0], low.exp().lower, 0.0), np.where(some[1], high.exp().upper, 0.0))


def depths(chart: Chart) -> tuple[tuple[sympy.Symbol, ...], list[sympy.Expr], ExpressionMap | None]:
    """The factors of a default bump before its profile, and of what: of region, as region/region at the centre; or in the chart's
    coordinates 1 − t², t ∈ [−1, 1] along the box, from a boundary face 0 on it and ±1 on the other, for every coordinate that has an edge.
    Variables, factors, and the map from coordinates to the variables if they are not the coordinates.
    """
    u = chart.inverse.variables
    if chart.region is not None and not chart.edge:  # as it is written: sympy may cancel what makes it undefined
        region = sympy.Symbol("region", real=True)
        return (region,), [region / sympy.Rational(chart.height)], chart.region.renamed(u)
    found = []
    for k, (lower, upper) in enumerate(chart.boundary):
        low, high = sympy.Rational(chart.domain.lower[k]), sympy.Rational(chart.domain.upper[k])
        part = (u[k] - low) / (high - low)
        if not (lower and upper):
            found.append(1 - (part if lower else 1 - part if upper else 2 * part - 1) ** 2)
    return u, found, None


def of_depths(chart: Chart, functions: Callable[[list[sympy.Expr]], list[sympy.Expr]]) -> ExpressionMap:
    """Functions of the depths of a chart as functions of its coordinates."""
    variables, factors, inner = depths(chart)
    found = ExpressionMap(variables, functions(factors))
    return found if inner is None else found.after(inner)


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

    def jets(self, p: int, space: Space, lower: Array, upper: Array) -> tuple[Functions, Functions]:
        u = Functions.coordinates(space, lower, upper)
        return u, u

    def within(self, p: int, lower: Array, upper: Array) -> tuple[Flags, Interval]:
        """No box is outside, and its points are what it lies in: patches, which have 2^k vertices, are for few variables."""
        return np.zeros(len(lower), bool), Interval(lower, upper)

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
