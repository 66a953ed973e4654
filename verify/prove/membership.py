"""Which boxes of one chart another chart holds, proved.

Chart j holds x ∈ M if x = φ_j⁻¹(v) for some v in its closed box with region_j(v) > 0, which is not asked where M itself ends with the
regions (`atlas.cut`); strictly, if v lies in the open box or on a face that is part of the boundary of M. Boxes W of chart p are proved to
be held strictly

* by formulas: a transition ψ with φ_j⁻¹∘ψ = φ_p⁻¹ by exact arithmetic (`atlas.transitions`), with its conditions, and ψ in the box of j,
  enclosed over W. Nothing is assumed.
* where exact arithmetic does not settle that the charts agree, on an assumption, which is then named: φ_p⁻¹ is continuous on W,
  φ_j∘φ_p⁻¹ is enclosed in the open box of j, and points of φ_p⁻¹(W) are held by j as far as 40 digits tell. If the images of j and p are
  open in M, all of W is held: otherwise the connected set φ_p⁻¹(W) has a point on the edge of U_j, and near it there are points of U_j at
  which φ_j leaves every compact part of its box, but the enclosure is one.

What lies on a boundary face may be enclosed a little beyond it. Where v_k is an affine function with rational coefficients its exact range
over the box of p decides; otherwise that M does not go on behind the faces of j is assumed by name.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, Chart
from ...atlas.chart import INVERSE_TOLERANCE
from ...atlas.transitions import Overlap, Transition, residual
from ...intervals import Flags, Interval, NaturalEnclosure
from ..enclosure import ExpressionEnclosure, TaylorForms

Indices = NDArray[np.intp]
Kept = tuple[tuple[bool | None, bool | None], ...]
TESTED = 64
"""Points of an overlap at which charts are compared with many digits before an assumption is made about them."""
ROUNDING = 64 * np.finfo(float).eps
"""How far they may be apart there, relatively: formulas that differ by how their constants were rounded."""


class EnclosedTransition:
    """A formula, with its conditions, compiled for enclosure."""

    def __init__(self, transition: Transition) -> None:
        self.kept = transition.kept
        self._strict = np.array(transition.strict, bool)
        self._coarse = NaturalEnclosure(transition.coordinates)
        self._fine = ExpressionEnclosure(transition.coordinates)
        self._conditions = None
        if transition.conditions is not None:
            self._conditions = NaturalEnclosure(transition.conditions), ExpressionEnclosure(transition.conditions)

    def coarse(self, lower: Array, upper: Array) -> tuple[Interval, Flags]:
        """v over boxes (N, d), by intervals, and where the conditions hold."""
        sides = [Interval(lower[:, k], upper[:, k]) for k in range(lower.shape[1])]
        holds = np.ones(len(lower), bool)
        if self._conditions is not None:
            holds = self._hold(np.stack([part.lower for part in self._conditions[0](sides)], axis=1))
        return _stacked(self._coarse(sides)), holds

    def fine(self, u: TaylorForms) -> tuple[Interval, Flags]:
        """The same by Taylor forms."""
        holds = np.ones(len(u), bool) if self._conditions is None else self._hold(self._conditions[1](u).range().lower)
        return self._fine(u).range(), holds

    def _hold(self, least: Array) -> Flags:
        return np.all(np.where(self._strict, least > 0, least >= 0), axis=1)


class Target:
    """A chart that may hold points of others: its box, and its region."""

    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        self.forward = None if chart.forward is None else ExpressionEnclosure(chart.forward)
        self.region = None if chart.fading is None else NaturalEnclosure(chart.fading)

    def strictly_in(self, where: Interval, kept: Kept | None = None) -> tuple[Flags, Flags]:
        """Whether coordinates in the intervals (N, d) are all in the open box, or on boundary faces, with region > 0; and of which
        that is so only if M does not go on behind a face. `kept`: see `Transition`."""
        domain, inside, leaning = self.chart.domain, np.ones(len(where.lower), bool), np.zeros(len(where.lower), bool)
        for k, faces_ in enumerate(self.chart.boundary):
            slack = INVERSE_TOLERANCE * (domain.upper[k] - domain.lower[k])
            ends = domain.lower[k] - where.lower[:, k], where.upper[:, k] - domain.upper[k]
            for face, beyond in enumerate(ends):
                sure = None if kept is None else kept[k][face]
                if not faces_[face]:
                    inside &= beyond < 0
                elif sure:
                    inside &= np.isfinite(beyond)
                else:
                    inside &= beyond <= (0.0 if sure is False else slack)
                    leaning |= beyond > 0
        if self.region is not None:
            inside &= self.region([where[:, k] for k in range(self.chart.dimension)])[0].lower > 0
        return inside, leaning


class Pair:
    """What chart j holds of chart p."""

    def __init__(self, chart: Chart, target: Target) -> None:
        self.overlap = Overlap(chart, target.chart)
        self.target = target
        self._compiled: dict[int, EnclosedTransition] = {}
        self._tested, self._apart = 0, False

    def formulas(self, points: Array) -> list[EnclosedTransition]:
        """Those that take the points (n, d) into chart j, and whatever others are known."""
        found = self.overlap.at(points)
        return [self._compiled.setdefault(id(one), EnclosedTransition(one)) for one in found]

    def may_be_assumed(self, points: Array) -> bool:
        """Whether nothing but exact arithmetic speaks against the charts being the same at points (n, d)."""
        some = points[: max(1, min(len(points), TESTED - self._tested))] if self._tested < TESTED else points[:0]
        self._tested += len(some)
        self._apart |= any(residual(self.overlap.chart, self.target.chart, point) > ROUNDING for point in some)
        return not self._apart


def _stacked(parts: list[Interval]) -> Interval:
    return Interval(np.stack([part.lower for part in parts], axis=1), np.stack([part.upper for part in parts], axis=1))
