"""Which boxes of one chart another chart holds: by a formula with an exact proof, or on an assumption that the certificate names.

Chart j holds y = φ_p⁻¹(u) strictly if y = φ_j⁻¹(v) for a v in its open box, or on faces that are boundaries of M, with
region_j(v) > 0, unless M ends with the regions, which are then one function of y. A transition ψ of `atlas.transitions` has
φ_j⁻¹∘ψ = φ_p⁻¹ where its conditions hold; conditions and ψ are enclosed by patches over the box.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from ...atlas import Array, Chart, ExpressionMap
from ...atlas.chart import INVERSE_TOLERANCE
from ...atlas.transitions import Overlaps, Transition, residual
from ...intervals import Decoration
from ...intervals.patch import Patch
from ...moe.ledger import Assumption
from ...moe.premises import agreement, faces
from .nets import Flags

COMPARED = 32
"""Points of an overlap that are compared with many digits before an assumption is made use of."""
SAME = 64 * np.finfo(float).eps


class Held(NamedTuple):
    """Boxes that a chart is shown to hold, and where they are in its coordinates."""

    inside: Flags
    local: Patch


class Holding:
    """What charts hold of others."""

    def __init__(self, allowed: frozenset[str], map_: Callable[[ExpressionMap, Patch], Patch]) -> None:
        """`allowed`: names of assumptions that may be made use of."""
        self.allowed, self._map = allowed, map_
        self._overlaps = Overlaps()
        self._compared: dict[tuple[int, int], tuple[int, bool]] = {}

    def ways(self, chart: Chart, other: Chart, u: Patch, y: Patch) -> Iterator[Held]:
        """Every way in which the boxes may be shown to be held by `other`, which has a forward map."""
        middle = u.lower + (u.upper - u.lower) / 2
        near = other.contains(chart.inverse(middle))
        overlap = self._overlaps.of(chart, other)
        for transition in overlap.at(middle[near]) if near.any() else overlap.found:
            local = self._map(transition.coordinates, u)
            yield Held(self.conditions(transition, u) & self._strictly(other, local, transition.kept), local)
        if overlap.failed and self._may(agreement(chart.name, other.name)) and near.any() and self._alike(chart, other, middle[near]):
            assert other.forward is not None
            local = self._map(other.forward, y)
            yield Held(near & _continuous(y) & self._strictly(other, local, None), local)

    def conditions(self, transition: Transition, u: Patch) -> Flags:
        """Boxes on which all conditions of a formula hold."""
        if transition.conditions is None:
            return np.ones(len(u), bool)
        least = self._map(transition.conditions, u).value.lower
        return np.all(np.where(transition.strict, least > 0, least >= 0), axis=1)

    def _strictly(self, chart: Chart, local: Patch, kept: tuple[tuple[bool | None, bool | None], ...] | None) -> Flags:
        """Coordinates in the open box or on boundary faces, and in the region."""
        where, inside = local.value, np.ones(len(local), bool)
        slack = INVERSE_TOLERANCE * chart.domain.widths if self._may(faces(chart.name)) else 0.0 * chart.domain.widths
        for k, (lower, upper) in enumerate(chart.boundary):
            below, above = chart.domain.lower[k] - where.lower[:, k], where.upper[:, k] - chart.domain.upper[k]
            for is_face, beyond, face in ((lower, below, 0), (upper, above, 1)):
                sure = None if kept is None else kept[k][face]
                if not is_face:
                    inside &= beyond < 0
                elif sure:
                    inside &= np.isfinite(beyond)
                else:
                    inside &= beyond <= (0.0 if sure is False else slack[k])
        if chart.region is not None and not chart.edge:
            inside &= self._map(chart.region, local).value.lower[:, 0] > 0
        return inside

    def _may(self, assumption: Assumption) -> bool:
        return assumption.name in self.allowed

    def _alike(self, chart: Chart, other: Chart, points: Array) -> bool:
        """Whether nothing but exact arithmetic speaks against the two charts being the same at points."""
        count, alike = self._compared.get((id(chart), id(other)), (0, True))
        some = points[: max(0, COMPARED - count)]
        alike = alike and all(residual(chart, other, point) <= SAME for point in some)
        self._compared[id(chart), id(other)] = count + len(some), alike
        return alike


def _continuous(y: Patch) -> Flags:
    """Where the point is a continuous function of the coordinates."""
    return np.all(np.broadcast_to(y.value.decoration, y.value.lower.shape) >= Decoration.CONTINUOUS, axis=1)
