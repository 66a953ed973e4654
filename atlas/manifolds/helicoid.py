"""The helicoid in R³: a line that turns while it climbs, (w·cos t, w·sin t, c·t), with boundary on all four sides."""

from __future__ import annotations

from typing import Any

from ...expressions.box import Box
from ...expressions.later import sympy
from ...expressions.maps import ExpressionMap
from .. import arguments
from ..atlas import Atlas
from ..chart import Chart
from .overlap import ambient_symbols, intrinsic_symbols, stretches


def helicoid(turns: Any = 1.0, height: Any = 2.0, width: Any = 2.0, charts: Any = 3) -> Atlas:
    """(w·cos t, w·sin t, h), t = 2π·turns·h/height, |h| ≤ height/2, |w| ≤ width/2: coordinates (h, w), `charts` pieces along h."""
    turns = arguments.number("turns", turns, 0, 100)
    height, half = arguments.number("height", height, 0), arguments.number("width", width, 0) / 2
    count = arguments.integer("charts", charts, 1, arguments.MAX_CHARTS)
    pitch = 2 * sympy.pi * sympy.nsimplify(turns, rational=True) / sympy.nsimplify(height, rational=True)
    u, x = intrinsic_symbols(2), ambient_symbols(3)
    h, w = u
    inverse = ExpressionMap(u, (w * sympy.cos(pitch * h), w * sympy.sin(pitch * h), h))
    forward = ExpressionMap(x, (x[2], x[0] * sympy.cos(pitch * x[2]) + x[1] * sympy.sin(pitch * x[2])))
    return Atlas(
        tuple(map(str, x)),
        tuple(
            Chart(f"turn{i}", Box((s.lower, -half), (s.upper, half)), inverse, forward, (s.boundary, (True, True)))
            for i, s in enumerate(stretches(-height / 2, height / 2, count))
        ),
    )
