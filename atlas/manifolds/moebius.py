"""The Möbius band in R³: a strip of half-width w around the unit circle that makes half a turn on the way.

The strip over angle θ points in the direction (cos θ/2 outwards, sin θ/2 upwards), so (θ + 2π, w) and (θ, −w) are the
same point: no chart may go all the way round, and charts that meet across θ = 2π see each other's w with the other sign.
"""

from __future__ import annotations

from typing import Any

from ...expressions.box import Box
from ...expressions.later import sympy
from ...expressions.maps import ExpressionMap
from .. import arguments
from ..atlas import Atlas
from ..chart import Chart
from .circle import angle
from .overlap import Arc, ambient_names, arcs, intrinsic_names


def moebius_band(width: Any = 0.8, charts: Any = 4) -> Atlas:
    """The band of this width < 2, with `charts` ≥ 2 pieces around the circle; its one rim is its boundary."""
    half = arguments.number("width", width, 0, 2) / 2
    count = arguments.integer("charts", charts, 2, arguments.MAX_CHARTS)
    return Atlas(ambient_names(3), tuple(_piece(f"strip{i}", arc, half) for i, arc in enumerate(arcs(count))))


def _piece(name: str, arc: Arc, half: float) -> Chart:
    """The part of the band over an arc, in the angle from the arc's centre and the place across the strip."""

    def inverse(u: sympy.Symbol, w: sympy.Symbol) -> tuple[sympy.Expr, ...]:
        theta = arc.center + u
        distance = 1 + w * sympy.cos(theta / 2)  # from the axis; positive because half < 1
        return distance * sympy.cos(theta), distance * sympy.sin(theta), w * sympy.sin(theta / 2)

    def forward(*x: sympy.Symbol) -> tuple[sympy.Expr, ...]:
        turned = angle(arc, x[0], x[1])
        theta = arc.center + turned
        outwards, upwards = sympy.sqrt(x[0] ** 2 + x[1] ** 2) - 1, x[2]
        return turned, outwards * sympy.cos(theta / 2) + upwards * sympy.sin(theta / 2)

    maps = ExpressionMap.later(intrinsic_names(2), 3, inverse), ExpressionMap.later(ambient_names(3), 2, forward)
    return Chart(name, Box((-arc.half_width, -half), (arc.half_width, half)), *maps, ((False, False), (True, True)))
