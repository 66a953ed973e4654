"""The Klein bottle in R⁴, without self-intersections: a tube of radius r < 1 around the unit circle that is turned over on the way.

The point at angles (θ, ψ) is ((1 + r·cos ψ)·cos θ, (1 + r·cos ψ)·sin θ, r·sin ψ·cos θ/2, r·sin ψ·sin θ/2). So (θ + 2π, ψ) and (θ, −ψ) are
the same point, and no chart may go all the way round in θ.
"""

from __future__ import annotations

from typing import Any

from ...errors import InvalidArgument
from ...expressions.box import Box
from ...expressions.later import sympy
from ...expressions.maps import ExpressionMap
from .. import arguments
from ..atlas import Atlas
from ..chart import Chart
from .circle import angle
from .overlap import Arc, ambient_names, arcs, intrinsic_names


def klein_bottle(tube: Any = 0.5, charts: Any = 3) -> Atlas:
    """The Klein bottle with a tube of this radius, `charts` ≥ 2 arcs around either circle: charts² charts."""
    r = arguments.number("tube", tube, 0, 1)
    count = arguments.integer("charts", charts, 2, arguments.MAX_CHARTS)
    if count**2 > arguments.MAX_CHARTS:
        raise InvalidArgument(f"charts = {count} per circle makes {count}^2 charts, more than {arguments.MAX_CHARTS}; use fewer")
    around, across = arcs(count), arcs(count)
    pieces = (_piece(f"patch{i}_{j}", a, b, r) for i, a in enumerate(around) for j, b in enumerate(across))
    return Atlas(ambient_names(4), tuple(pieces))


def _piece(name: str, around: Arc, across: Arc, tube: float) -> Chart:
    """Over two arcs, in the angles from their centres."""

    def inverse(*u: sympy.Symbol) -> tuple[sympy.Expr, ...]:
        r = sympy.nsimplify(tube, rational=True)
        theta, psi = around.center + u[0], across.center + u[1]
        distance, side = 1 + r * sympy.cos(psi), r * sympy.sin(psi)
        return distance * sympy.cos(theta), distance * sympy.sin(theta), side * sympy.cos(theta / 2), side * sympy.sin(theta / 2)

    def forward(*x: sympy.Symbol) -> tuple[sympy.Expr, ...]:
        turned = angle(around, x[0], x[1])
        theta = around.center + turned
        outwards = sympy.sqrt(x[0] ** 2 + x[1] ** 2) - 1
        sideways = x[2] * sympy.cos(theta / 2) + x[3] * sympy.sin(theta / 2)
        return turned, angle(across, outwards, sideways)

    wide, high = around.half_width, across.half_width
    maps = ExpressionMap.later(intrinsic_names(2), 4, inverse), ExpressionMap.later(ambient_names(4), 2, forward)
    return Chart(name, Box((-wide, -high), (wide, high)), *maps)
