"""Enclosures of all that depends on the charts: where a box of coordinates lies in space, and which charts it is in.

M is the union of the images U_p = φ_p⁻¹({u ∈ D_p : region_p(u) > 0}) of the closed chart boxes that parametrise the atlas; if it ends
where a function g does (`atlas.cut`), of φ_p⁻¹({u ∈ D_p : g(φ_p⁻¹(u)) ≥ 0}), and nothing is asked of region_j, which is g at the same
point. A box W of coordinates of chart p may be tagged `elsewhere` if its points are left to other charts:

Lemma (owners). Let every point φ_p⁻¹(u), u ∈ W, be held by the charts j of a set J_W, p ∉ J_W: φ_p⁻¹(u) = φ_j⁻¹(v_j) with v_j ∈ D_j
and region_j(v_j) > 0, and let (E − 1)·b_p(u)⁺ < Σ_{j ∈ J_W} b_j(v_j)⁺ on W. If this is so of every box that is tagged elsewhere, every
point of M lies in a box that is not. For of at most E − 1 numbers one is above their mean: some b_j(v_j) > b_p(u). Go on from (j, v_j), the
same point of M, which is not outside. The bump grows at every step, by at least the least gap of finitely many boxes, and it is bounded on
them; so after finitely many steps one arrives at a box that is not tagged elsewhere.

Neither that bumps add up to 1 is used, nor that they vanish off their charts, nor that φ_j⁻¹ is injective: a bump counts only where its
chart is proved to hold the box (`membership`), and where it is negative it counts as 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, Atlas, BallChart, Chart
from ...atlas.graph.finite import Places
from ...intervals import Decoration, Interval, NaturalEnclosure
from ...moe.ledger import Assumption
from ...moe.premises import agreement, faces, support
from ..enclosure import ExpressionEnclosure, TaylorForms
from .membership import Kept, Pair, Target
from .tubes import Tubes

Flags = NDArray[np.bool_]


class EnclosedChart:
    """A chart with its maps compiled for enclosure."""

    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        self.inverse = ExpressionEnclosure(chart.inverse)
        self.target = Target(chart)
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
    fine: TaylorForms | None = None
    """y as forms of a higher degree, of which those above are lowered; None: there are none."""

    def __len__(self) -> int:
        return len(self.lower)

    def subset(self, rows: NDArray[np.intp]) -> Place:
        y = self.y.subset(rows)
        z = y if self.z is self.y else self.z.subset(rows)
        fine = None if self.fine is None else self.fine.subset(rows)
        return Place(self.chart, self.lower[rows], self.upper[rows], self.u.subset(rows), y, z, fine)

    @property
    def dimension(self) -> int:
        """d, the sides of a box that can be cut."""
        return self.lower.shape[1]

    @property
    def middle(self) -> Array:
        """A point of every box."""
        return self.lower + (self.upper - self.lower) / 2

    @property
    def defined(self) -> Flags:
        """Where φ⁻¹ is known to be defined all over the box."""
        return np.all(self.y.radius < np.inf, axis=1)

    @property
    def continuous(self) -> Flags:
        """Where it is known to be continuous."""
        if self.y.bounds is None:
            return np.zeros(len(self), bool)
        found = np.broadcast_to(self.y.bounds.decoration, self.y.radius.shape)
        return self.defined & np.all(found >= Decoration.CONTINUOUS, axis=1)


class EnclosedManifold:
    """M and its charts, as far as they can be enclosed."""

    def __init__(self, atlas: Atlas, moves: Array | None = None, places: Places | None = None) -> None:
        """`moves`: how far what is read may be from points of M, coordinate by coordinate; None: not at all. `places`: where in boxes of
        the coordinates themselves points of M are, if these take finitely many values."""
        self.atlas, self.moves, self.places = atlas, moves, places
        self.charts = [EnclosedChart(chart) for chart in atlas.parametrising]
        self.parametrised = Atlas(atlas.coordinates, atlas.parametrising, atlas.partition)
        self.tubes = Tubes.of(atlas)
        self.pairs: dict[tuple[int, int], Pair] = {}
        self.assumed: set[Assumption] = set()
        """What memberships that were made use of rest on."""

    def remember(self) -> dict[str, NDArray[np.str_]]:
        """What was assumed, as arrays."""
        return {"assumed": np.array([[taken.name, taken.statement] for taken in self.assumed], dtype=np.str_).reshape(-1, 2)}

    def recall(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """What others have assumed of the same charts."""
        self.assumed |= {Assumption(str(name), str(statement)) for name, statement in arrays.get("assumed", ())}

    def place(self, chart: int, lower: Array, upper: Array, degree: int = 2) -> Place:
        """Boxes of coordinates of a chart; `degree`: of the finest forms, 2 where something is moved."""
        fine = None
        if self.moves is None:
            u = TaylorForms.variables(lower, upper)
            y = z = self.charts[chart].inverse(u.raised(degree))
            if degree > 2:
                fine, y = y, y.lowered(2)
                z = y
        else:
            ones = np.ones((len(lower), len(self.moves)))
            both, d = TaylorForms.variables(np.concatenate([lower, -ones], axis=1), np.concatenate([upper, ones], axis=1)), lower.shape[1]
            u = both[:, :d]
            y = self.charts[chart].inverse(u)
            z = y + both[:, d:].times(self.moves)
        return Place(chart, lower, upper, u, y, z, fine)

    def outside(self, place: Place) -> Flags:
        """Boxes proved to be off the chart: its region is negative there, or they hold none of finitely many values."""
        region = self.charts[place.chart].region
        if self.places is not None:
            return self.places.missed(place.lower, place.upper)
        return np.zeros(len(place), bool) if region is None else region(place.u).range().upper[:, 0] < 0

    def elsewhere(self, place: Place) -> Flags:
        """Boxes whose points are left to other charts: (E − 1)·b_p < Σ b_j over those that are proved to hold the box; of tangent charts of
        the same equations those that a chart before p holds.
        """
        if self.tubes is not None:
            return place.defined & self.tubes.before(place.chart, place.y.range())
        E = len(self.charts)
        found = np.zeros(len(place), bool)
        # What does not hold in the middle of a box does not hold on it.
        rows = np.flatnonzero(place.defined & self._yields(place))
        if len(rows):
            some = place.subset(rows)
            own = np.maximum(self._own_bump(some).upper, 0.0)
            others = Interval.of(np.zeros(len(some)))
            for j in range(E):
                if j != place.chart:
                    others = others + Interval.of(self.least_bump(j, some))
            found[rows] = (Interval.of(own) * Interval.of(float(E - 1))).upper < others.lower
        return found

    def _yields(self, place: Place) -> Flags:
        """The inequality of `elsewhere` in the middle of every box, in floats."""
        bumps = np.fmax(self.parametrised.bumps(self.charts[place.chart].chart.inverse(place.middle)), 0)
        own = bumps[:, place.chart]
        return np.asarray((len(self.charts) - 1) * own < bumps.sum(1) - own)

    def least_bump(self, j: int, place: Place) -> Array:
        """A number ≥ 0 that b_j is at least, on each box of another chart, where chart j is proved to hold it."""
        chart = self.charts[j]
        given = None if chart.given_is_intrinsic else chart.given
        if given is not None and chart.chart.forward is None:
            least = np.maximum(given(place.y).range().lower[:, 0], 0.0)
            if (least > 0).any():
                self.assumed.add(support(chart.chart.name))
            return np.nan_to_num(least, nan=0.0, posinf=0.0)
        least = np.zeros(len(place))
        rows, where = self.held(j, place, fine=False)
        bump = given(place.y.subset(rows)).range()[:, 0] if given is not None else self._bump(chart, where)
        least[rows] = np.nan_to_num(np.maximum(bump.lower, 0.0), nan=0.0, posinf=0.0)
        return least

    def _own_bump(self, place: Place) -> Interval:
        """b_p of the chart that the boxes are of."""
        chart = self.charts[place.chart]
        if chart.given is not None:
            return chart.given(place.u if chart.given_is_intrinsic else place.y).range()[:, 0]
        region = None if chart.chart.edge or chart.region is None else chart.region(place.u).range()[:, 0]
        return self._profile(chart.chart, Interval(place.lower, place.upper), region)

    def _bump(self, chart: EnclosedChart, u: Interval) -> Interval:
        """b where the chart's own coordinates lie in the intervals (N, d), supposing that they are in its domain; (N,)."""
        sides = [u[:, k] for k in range(chart.chart.dimension)]
        if chart.coarse_given is not None:
            return chart.coarse_given(sides)[0]
        faded = None if chart.chart.edge or chart.coarse_region is None else chart.coarse_region(sides)[0]
        return self._profile(chart.chart, u, faded)

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
        if self.charts[chart].chart.forward is None:
            return self.least_bump(chart, place) > 0
        inside = np.zeros(len(place), bool)
        inside[self.held(chart, place)[0]] = True
        return inside

    def held_by_others(self, place: Place) -> Flags:
        """Boxes that some other parametrising chart is proved to hold strictly."""
        if self.tubes is not None:
            return place.defined & self.tubes.others(place.chart, place.y.range())
        found = np.zeros(len(place), bool)
        for j, other in enumerate(self.charts):
            rows = np.flatnonzero(~found)
            if j == place.chart or not len(rows):
                continue
            some = place.subset(rows)
            if other.chart.forward is None:
                found[rows] = self.least_bump(j, some) > 0
            else:
                found[rows[self.held(j, some)[0]]] = True
        return found

    def held(self, j: int, place: Place, *, fine: bool = True) -> tuple[NDArray[np.intp], Interval]:
        """Boxes that chart j ≠ p, which has a forward map, is proved to hold strictly, and where they are in its box: rows, (rows, d).

        Intervals decide most boxes; with `fine`, Taylor forms those that they do not.
        """
        p, chart = place.chart, self.charts[j]
        none = np.empty((0, chart.chart.dimension))
        rows = np.flatnonzero(chart.chart.contains(self.charts[p].chart.inverse(place.middle)))
        if not len(rows):
            return rows, Interval(none, none)
        pair = self.pairs.setdefault((p, j), Pair(self.charts[p].chart, chart.target))
        found: list[tuple[NDArray[np.intp], Interval]] = []
        formulas = pair.formulas(place.middle[rows])
        for formula in formulas:
            where, holds = formula.coarse(place.lower[rows], place.upper[rows])
            inside = self._inside(chart.target, where, holds, formula.kept)
            if fine and not inside.all():
                open_ = np.flatnonzero(~inside)
                sharper, holds = formula.fine(place.u.subset(rows[open_]))
                where.lower[open_], where.upper[open_] = sharper.lower, sharper.upper
                inside[open_] = self._inside(chart.target, sharper, holds, formula.kept)
            found.append((rows[inside], where[inside]))
            rows = rows[~inside]
            if not len(rows):
                break
        if len(rows) and pair.overlap.failed:
            found.append(self._held_if_open(pair, chart, place, rows))
        held, lower, upper = (
            np.concatenate([f[0] for f in found]),
            *(np.concatenate([getattr(f[1], e) for f in found]) for e in ("lower", "upper")),
        )
        return held, Interval(lower, upper)

    def _inside(self, target: Target, where: Interval, holds: Flags, kept: Kept | None) -> Flags:
        inside, leaning = target.strictly_in(where, kept)
        inside &= holds
        if (inside & leaning).any():
            self.assumed.add(faces(target.chart.name))
        return inside

    def _held_if_open(self, pair: Pair, chart: EnclosedChart, place: Place, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], Interval]:
        """The lemma of `membership`, on an assumption that is named."""
        rows = rows[place.continuous[rows]]
        assert chart.target.forward is not None
        where = chart.target.forward(place.y.subset(rows)).range()
        inside = self._inside(chart.target, where, np.ones(len(rows), bool), None)
        if inside.any() and not pair.may_be_assumed(place.middle[rows[inside]]):
            inside[:] = False
        if inside.any():
            self.assumed.add(agreement(self.charts[place.chart].chart.name, chart.chart.name))
        return rows[inside], where[inside]


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
    if region is None or chart.edge or not len(lower):
        return edge
    # U also ends where the region does; a face of the box on which the region is still positive is an edge like any other.
    return edge | ~(region(TaylorForms.variables(lower, upper)).range().lower[:, 0] > 0)
