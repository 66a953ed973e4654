"""The Möbius band in R³: a strip of half-width w around the unit circle that makes half a turn on the way.

The strip over angle θ points in the direction (cos θ/2 outwards, sin θ/2 upwards), so (θ + 2π, w) and (θ, −w) are the
same point: no chart may go all the way round, and charts that meet across θ = 2π see each other's w with the other sign.
"""

from __future__ import annotations

from typing import Any

import sympy

from ...expressions.box import Box
from ...expressions.maps import ExpressionMap
from .. import arguments
from ..atlas import Atlas
from ..chart import Chart
from .circle import angle
from .overlap import Arc, ambient_symbols, arcs, intrinsic_symbols


def moebius_band(width: Any = 0.8, charts: Any = 4) -> Atlas:
    """The band of this width < 2, with `charts` ≥ 2 pieces around the circle; its one rim is its boundary."""
    half = arguments.number("width", width, 0, 2) / 2
    count = arguments.integer("charts", charts, 2, arguments.MAX_CHARTS)
    return Atlas(tuple(map(str, ambient_symbols(3))), tuple(_piece(f"strip{i}", arc, half) for i, arc in enumerate(arcs(count))))


def _piece(name: str, arc: Arc, half: float) -> Chart:
    """The part of the band over an arc, in the angle from the arc's centre and the place across the strip."""
    u, x = intrinsic_symbols(2), ambient_symbols(3)
    theta, w = arc.center + u[0], u[1]
    distance = 1 + w * sympy.cos(theta / 2)  # from the axis; positive because half < 1
    inverse = ExpressionMap(u, (distance * sympy.cos(theta), distance * sympy.sin(theta), w * sympy.sin(theta / 2)))
    turned = angle(arc, x[0], x[1])
    theta = arc.center + turned
    outwards, upwards = sympy.sqrt(x[0] ** 2 + x[1] ** 2) - 1, x[2]
    forward = ExpressionMap(x, (turned, outwards * sympy.cos(theta / 2) + upwards * sympy.sin(theta / 2)))
    reach = float(arc.half_width)
    return Chart(name, Box((-reach, -half), (reach, half)), inverse, forward, ((False, False), (True, True)))
