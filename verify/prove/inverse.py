"""φ_i(φ_i⁻¹(u)) = u on every chart that has a forward map, by exact arithmetic where that shows it, else within a tolerance.

By exact arithmetic the two sides are equal wherever both are defined and the conditions of a branch hold (`atlas.transitions.identity_at`),
which are enclosed box by box. Where that does not settle a box, |φ_i(φ_i⁻¹(u)) − u| is enclosed. The error, the routing and the cover rest
on neither, but that a chart's inverse takes no two points of its box to one does, and with it that ρ is a function on M.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from ...atlas import Array, Chart, ExpressionMap
from ...atlas.chart import INVERSE_TOLERANCE
from ...atlas.transitions import identity_at
from ...expressions import halved
from ...expressions.precise import Enclosed, enclose_at
from ...expressions.tree import Name, Negative, Sum
from ...intervals import Flags
from .manifold import EnclosedManifold, Place
from .membership import EnclosedTransition

ROUNDS, MOST_BOXES = 24, 1 << 14
"""Times that boxes are halved, and how many may be open."""
BRANCHES = 8
"""Of the formula that are looked at on one chart."""


@dataclass(eq=False)
class Inverted:
    """What became of a chart."""

    exact: bool = True
    """Whether exact arithmetic was enough."""
    open: int = 0
    """Boxes on which nothing was shown."""
    witness: Array | None = None
    """Coordinates at which it is surely false."""
    branches: list[EnclosedTransition] = field(default_factory=list)


def inverted(manifold: EnclosedManifold, p: int) -> Inverted:
    """Whether φ_p(φ_p⁻¹(u)) = u on all of chart p, which has a forward map."""
    chart, found = manifold.charts[p].chart, Inverted()
    lower, upper = np.array([chart.domain.lower]), np.array([chart.domain.upper])
    for _ in range(ROUNDS):
        place = manifold.place(p, lower, upper)
        left = np.flatnonzero(~manifold.outside(place))
        left = left[~_exactly(found, chart, place.subset(left))]
        if len(left):
            near = _nearly(manifold, place.subset(left))
            found.exact &= not near.any()
            left = left[~near]
        if not len(left):
            return found
        if len(left) > MOST_BOXES or (witness := _false(chart, place.middle[left])) is not None:
            found.witness = witness if len(left) <= MOST_BOXES else None
            break
        lower, upper = lower[left], upper[left]
        lower, upper = halved(lower, upper, ((upper - lower) / chart.domain.widths).argmax(1), beside=True)
    found.open = len(left)
    return found


def _exactly(found: Inverted, chart: Chart, place: Place) -> Flags:
    """Boxes on which a branch is shown to be the identity; branches are looked for in the middles of boxes."""
    done = np.zeros(len(place), bool)
    for branch in found.branches:
        done |= branch.coarse(place.lower, place.upper)[1]
    rows = np.flatnonzero(~done)
    if len(rows) and len(found.branches) < BRANCHES:
        new = identity_at(chart, place.middle[rows[0]])
        if new is not None:
            found.branches.append(EnclosedTransition(new))
            done[rows] = found.branches[-1].coarse(place.lower[rows], place.upper[rows])[1]
    return done


def _nearly(manifold: EnclosedManifold, place: Place) -> Flags:
    """Boxes on which |φ(φ⁻¹(u)) − u| is enclosed within the tolerance."""
    chart = manifold.charts[place.chart]
    assert chart.target.forward is not None
    away = (chart.target.forward(place.y) - place.u[:, : place.dimension]).range().magnitude
    return np.all(away <= INVERSE_TOLERANCE * chart.chart.domain.widths, axis=1)


def _false(chart: Chart, points: Array) -> Array | None:
    """A point of the chart at which φ(φ⁻¹(u)) is surely another: the worst one in floats, enclosed with many digits."""
    assert chart.forward is not None
    with np.errstate(all="ignore"):
        away = np.abs(chart.forward(chart.inverse(points)) - points) / chart.domain.widths
    away = np.where(chart.inside(points), np.nan_to_num(away.max(1), nan=0.0), 0.0)
    worst = points[int(np.argmax(away))]
    return worst if away.max() > 2 * INVERSE_TOLERANCE and differs(chart.forward.after(chart.inverse), worst, chart) else None


def differs(composed: ExpressionMap, point: Array, chart: Chart) -> bool:
    """Whether the composition, defined at the point, is surely another point, by more than the tolerance, and the point in the chart."""
    at = {str(v): float(x) for v, x in zip(composed.variables, point, strict=True)}
    if chart.region is not None:
        region = enclose_at(chart.region.trees[0], {str(v): x for v, x in zip(chart.region.variables, at.values(), strict=True)})
        if not (isinstance(region, Enclosed) and region.lower > 0):
            return False
    for tree, name, width in zip(composed.trees, at, chart.domain.widths, strict=True):
        gap = enclose_at(Sum((tree, Negative(Name(name)))), at)
        if isinstance(gap, Enclosed) and max(gap.lower, -gap.upper) > Fraction(INVERSE_TOLERANCE) * Fraction(width):
            return True
    return False
