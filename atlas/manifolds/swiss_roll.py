"""The Swiss roll in R³: a rectangle rolled along an Archimedean spiral, with boundary on all four sides.

The radius of the spiral is proportional to its angle t, so the forward map needs no unwinding:
t = √(x1² + x3²)·T on the roll, where T is the largest angle and the outermost point has distance 1 from the axis.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from ...expressions.box import Box
from ...expressions.later import sympy
from ...expressions.maps import ExpressionMap
from .. import arguments
from ..atlas import Atlas
from ..chart import Chart
from .overlap import PI, ambient_symbols, intrinsic_symbols, rational, stretches

FIRST_ANGLE = Fraction(3, 2)
"""Where the spiral begins, in units of π."""


def swiss_roll(turns: Any = 1.5, height: Any = 1.0, charts: Any = 6) -> Atlas:
    """(t/T·cos t, h, t/T·sin t) for 3π/2 ≤ t ≤ T = 3π/2 + 2π·turns and |h| ≤ height/2, in `charts` pieces along t."""
    turns = arguments.number("turns", turns, 0, 100)
    half = arguments.number("height", height, 0) / 2
    count = arguments.integer("charts", charts, 1, arguments.MAX_CHARTS)
    T = (rational(FIRST_ANGLE) + 2 * sympy.nsimplify(turns, rational=True)) * sympy.pi
    u, x = intrinsic_symbols(2), ambient_symbols(3)
    t, h = u
    inverse = ExpressionMap(u, (t / T * sympy.cos(t), h, t / T * sympy.sin(t)))
    forward = ExpressionMap(x, (T * sympy.sqrt(x[0] ** 2 + x[2] ** 2), x[1]))
    return Atlas(
        tuple(map(str, x)),
        tuple(
            Chart(f"turn{i}", Box((s.lower, -half), (s.upper, half)), inverse, forward, (s.boundary, (True, True)))
            for i, s in enumerate(stretches(float(FIRST_ANGLE * PI), float(T), count))
        ),
    )
