"""The judge of |t_i − τ_i| ≤ δ and max τ ≥ floor − δ: the scores that a gate compares follow the reference they were compiled from.

t is the partition of unity ρ, or the plateau depths (B12); see `verify.promise`. These are claims of their own: routing can be valid and
the error small although they fail, and a network nobody compiled has none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import sympy
from numpy.typing import NDArray

from ...atlas import Array, BallChart, Chart, ExpressionMap, PartitionOfUnity
from ...expressions.parse import real_symbols
from ...intervals import Flags, Interval
from ...moe.promise import ScorePromise
from ..enclosure import ExpressionEnclosure, TaylorForms
from .choice import Indices
from .error import longest_side
from .forward import EnclosedNetwork
from .manifold import EnclosedManifold, Place
from .tree import ELSEWHERE, OUTSIDE, PROVED, Verdicts

CELLS = 256
"""Boxes into which a chart is cut to see where its image is not."""


class EnclosedScores:
    """The reference scores t of a promise as Taylor forms, (N, E): the partition of unity, or depths."""

    def __init__(self, manifold: EnclosedManifold, promise: ScorePromise) -> None:
        """Raises `NotEnclosed` if a bump holds a function that has no enclosure."""
        self.manifold = manifold
        self.level = promise.plateau_level
        self.bumps = [bump_expression(chart, manifold, promise.plateau_level) for chart in manifold.atlas.charts]
        s = sympy.Symbol("s", real=True)
        self.reciprocal = ExpressionEnclosure(ExpressionMap((s,), (1 / s,)))
        self.in_space = [j for j, chart in enumerate(manifold.atlas.charts) if not self.intrinsic(j)]
        """Whose bumps are written in the coordinates before embedding; balls all are, and others have a box each."""
        self.cells = {j: _image(manifold, j) for j in range(len(self.bumps)) if j not in self.in_space}

    def __call__(self, place: Place) -> TaylorForms:
        bumps = [self._bump(j, place) for j in range(len(self.bumps))]
        if self.level is not None:
            return TaylorForms.concatenate(bumps).times(1 / self.level)
        total = bumps[0]
        for bump in bumps[1:]:
            total = total + bump
        share = self.reciprocal(total)
        return TaylorForms.concatenate([bump * share for bump in bumps])

    def _bump(self, j: int, place: Place) -> TaylorForms:
        if j in self.in_space or j == place.chart:
            return self.bumps[j](place.y if j in self.in_space else place.u)
        chart, d = self.manifold.charts[j].target, place.u.dimension
        found = TaylorForms.constants(Interval(np.zeros((len(place), 1)), np.ones((len(place), 1))), d)
        off = self._off(j, place)
        nothing = TaylorForms.constants(Interval.of(np.zeros((len(place), 1))), d)
        found = found.where(~off[:, None], nothing)
        rows = np.flatnonzero(~off)
        if chart.forward is None or not len(rows):
            return found
        some = place.subset(rows)
        bump = self.bumps[j](chart.forward(some.y))
        surely = np.zeros(len(rows), bool)
        surely[self.manifold.held(j, some)[0]] = True
        # Where it is open whether a point is in the chart, b_j is 0 or what the formula says.
        reach = np.clip(np.nan_to_num(bump.range().upper, nan=1.0, posinf=1.0), 0.0, 1.0)
        either = TaylorForms.constants(Interval(np.zeros_like(reach), reach), d)
        bump = bump.where(surely[:, None], either)
        coefficients, radius = found.coefficients.copy(), found.radius.copy()
        coefficients[rows], radius[rows] = bump.coefficients, bump.radius
        return TaylorForms(coefficients, radius)

    def intrinsic(self, j: int) -> bool:
        """Whether the bump is written in the chart's own coordinates."""
        chart = self.manifold.atlas.charts[j]
        if isinstance(chart, BallChart):
            return False
        given = chart.partition or chart.bump
        return given is None or given.variables == chart.inverse.variables

    def _off(self, j: int, place: Place) -> Flags:
        """Boxes proved to be off chart j: away from all cells that hold its image."""
        lower, upper = self.cells[j]
        where = place.y.range()
        off = np.ones(len(place), bool)
        for low, high in zip(lower, upper, strict=True):
            off &= ((where.upper < low) | (where.lower > high)).any(1)
        return off


def bump_expression(chart: Chart | BallChart, manifold: EnclosedManifold, level: float | None) -> ExpressionEnclosure:
    """b (or its depth, for plateau scores) in the coordinates it is written in."""
    partition = manifold.atlas.partition
    if isinstance(chart, BallChart):
        u = tuple(real_symbols(manifold.atlas.coordinates).values())
        offsets = [(y - _float(c)) ** 2 for y, c in zip(u, chart.center, strict=True)]
        return ExpressionEnclosure(ExpressionMap(u, (_profile([1 - sympy.Add(*offsets) / _float(chart.radius) ** 2], partition, level),)))
    given, u = chart.partition or chart.bump, chart.inverse.variables
    if given is not None:
        return ExpressionEnclosure(given)
    if chart.fading is not None:  # composed as it is written: sympy may cancel what makes it undefined
        (region,) = real_symbols(["region"]).values()
        bump = ExpressionMap((region,), (_profile([region / _float(chart.height)], partition, level),))
        return ExpressionEnclosure(bump.after(chart.fading.renamed(u)))
    factors = []
    for k, (lower, upper) in enumerate(chart.boundary):
        low, high = _float(chart.domain.lower[k]), _float(chart.domain.upper[k])
        t = (u[k] - low) / (high - low)
        if not lower and not upper:
            factors.append(4 * t * (1 - t))
        elif lower != upper:
            factors.append(1 - (t if lower else 1 - t) ** 2)
    return ExpressionEnclosure(ExpressionMap(u, (_profile(factors, partition, level),)))


def _profile(factors: Sequence[sympy.Expr], partition: PartitionOfUnity, level: float | None) -> sympy.Expr:
    """The default bump of these depths; for plateau scores their product."""
    product: sympy.Expr = sympy.Integer(1)
    for factor in factors:
        depth = sympy.Max(0, factor)
        if level is not None:
            product *= depth
        elif partition.profile == "polynomial":
            product *= depth**partition.power
        else:
            product *= sympy.Piecewise((sympy.exp(1 - 1 / factor), factor > 0), (0, True))
    return product


def _float(value: float) -> sympy.Rational:
    """The number that a float is."""
    return sympy.Rational(*float(value).as_integer_ratio())


def _image(manifold: EnclosedManifold, j: int) -> tuple[Array, Array]:
    """Boxes in space, (cells, k) corners, that together hold the image of chart j."""
    domain = manifold.charts[j].chart.domain
    place = manifold.place(j, *domain.cells(CELLS))
    kept = ~manifold.outside(place)
    where = place.y.range()
    return where.lower[kept], where.upper[kept]


@dataclass(eq=False)
class ScoresJudge:
    """Judges boxes of one parametrising chart; `bound` of a verdict is sup |t − τ|."""

    chart: int
    manifold: EnclosedManifold
    network: EnclosedNetwork
    reference: EnclosedScores
    promise: ScorePromise
    eta: float
    """The logits of earlier layers are taken to be known to ±η."""
    least: float = np.inf
    """max τ is at least this on every box that was settled."""
    violated: tuple[Array, float] | None = None
    """Coordinates at which |t − τ| > δ is proved, and by how much."""

    @property
    def refuted(self) -> bool:
        return self.violated is not None

    @property
    def remark(self) -> str:
        """For whoever is waiting."""
        return f"|t − τ| ≤ {self.promise.delta:.3g}"

    def apart(self) -> ScoresJudge:
        """A judge of the same boxes, which sees for itself."""
        return replace(self)

    def remember(self) -> dict[str, NDArray]:
        """What it has seen."""
        arrays = {"least": np.array([self.least]), **self.manifold.remember()}
        return arrays if self.violated is None else arrays | {"place": self.violated[0], "violation": np.array([self.violated[1]])}

    def recall(self, arrays: Mapping[str, NDArray]) -> None:
        """Take up what it or others have seen."""
        self.least = min(self.least, float(arrays["least"][0]))
        self.manifold.recall(arrays)
        if "violation" in arrays and self.violated is None:
            self.violated = arrays["place"], float(arrays["violation"][0])

    def __call__(self, lower: Array, upper: Array) -> Verdicts:
        place = self.manifold.place(self.chart, lower, upper)
        tag = np.full(len(place), PROVED, np.uint8)
        tag[self.manifold.elsewhere(place)] = ELSEWHERE
        tag[self.manifold.outside(place)] = OUTSIDE
        bound, settled = np.zeros(len(place)), tag != PROVED
        rows = np.flatnonzero(~settled)
        if len(rows):
            some = place.subset(rows)
            tau = self.network.layers[-1].logits(self.network.before_last(some.z, self.eta))
            gap = tau - self.reference(some)
            bound[rows] = gap.range().magnitude.max(1)
            best = tau.range().lower.max(1)
            settled[rows] = (bound[rows] <= self.promise.delta) & (best >= self.promise.floor - self.promise.delta)
            self.least = min(self.least, float(best[settled[rows]].min(initial=np.inf)))
            self._note(some, gap)
        none: Indices = np.zeros(len(place), np.intp)
        return Verdicts(settled, tag, bound, longest_side(place), none, np.empty(0, np.intp))

    def _note(self, place: Place, gap: TaylorForms) -> None:
        least = (np.abs(gap.center) - gap.radius).max(1)
        worst = int(np.argmax(np.where(np.isnan(least), -np.inf, least)))
        if least[worst] > self.promise.delta and self.manifold.charts[self.chart].chart.inside(place.middle[worst]):
            self.violated = (place.middle[worst], float(least[worst]))
