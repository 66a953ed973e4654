"""The unit circle in R²: overlapping arcs in the angle from each arc's centre."""

from __future__ import annotations

from typing import Any

from ...expressions.box import Box
from ...expressions.later import sympy
from ...expressions.maps import ExpressionMap
from .. import arguments
from ..atlas import Atlas
from ..chart import Chart
from .overlap import Arc, ambient_names, arcs, intrinsic_names
from .sphere import sphere


def circle(atlas: str = "arcs", charts: Any = None) -> Atlas:
    """The unit circle: `charts` ≥ 2 arcs (default 4), or the stereographic or graph charts of S¹."""
    if arguments.choice("atlas", atlas, ("arcs", "stereographic", "graph")) != "arcs":
        if charts is not None:
            raise arguments.unknown(f'option for atlas = "{atlas}":', "charts", [])
        return sphere(1, atlas)
    count = arguments.integer("charts", 4 if charts is None else charts, 2, arguments.MAX_CHARTS)
    return Atlas(ambient_names(2), tuple(_chart(f"arc{i}", arc) for i, arc in enumerate(arcs(count))))


def _chart(name: str, arc: Arc) -> Chart:
    inverse = ExpressionMap.later(intrinsic_names(1), 2, lambda u: point(arc, u))
    forward = ExpressionMap.later(ambient_names(2), 1, lambda *x: (angle(arc, *x),))
    return Chart(name, Box((-arc.half_width,), (arc.half_width,)), inverse, forward)


def point(arc: Arc, u: sympy.Expr) -> tuple[sympy.Expr, sympy.Expr]:
    """The point at angle u from the arc's centre."""
    return sympy.cos(arc.center + u), sympy.sin(arc.center + u)


def angle(arc: Arc, x1: sympy.Expr, x2: sympy.Expr) -> sympy.Expr:
    """The angle of (x1, x2) ≠ 0 from the arc's centre, in (−π, π]: its jump is opposite the arc, outside it."""
    cos, sin = sympy.cos(arc.center), sympy.sin(arc.center)
    return sympy.atan2(cos * x2 - sin * x1, cos * x1 + sin * x2)
