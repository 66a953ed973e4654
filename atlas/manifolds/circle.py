"""The unit circle in R²: overlapping arcs in the angle from each arc's centre."""

from __future__ import annotations

from typing import Any

import sympy

from ...expressions.box import Box
from ...expressions.maps import ExpressionMap
from .. import arguments
from ..atlas import Atlas
from ..chart import Chart
from .overlap import Arc, ambient_symbols, arcs, intrinsic_symbols
from .sphere import sphere


def circle(atlas: str = "arcs", charts: Any = None) -> Atlas:
    """The unit circle: `charts` ≥ 2 arcs (default 4), or the stereographic or graph charts of S¹."""
    if arguments.choice("atlas", atlas, ("arcs", "stereographic", "graph")) != "arcs":
        if charts is not None:
            raise arguments.unknown(f'option for atlas = "{atlas}":', "charts", [])
        return sphere(1, atlas)
    (u,), x = intrinsic_symbols(1), ambient_symbols(2)
    count = arguments.integer("charts", 4 if charts is None else charts, 2, arguments.MAX_CHARTS)
    return Atlas(
        tuple(map(str, x)),
        tuple(
            Chart(
                f"arc{i}",
                Box((-float(arc.half_width),), (float(arc.half_width),)),
                ExpressionMap((u,), point(arc, u)),
                ExpressionMap(x, (angle(arc, *x),)),
            )
            for i, arc in enumerate(arcs(count))
        ),
    )


def point(arc: Arc, u: sympy.Expr) -> tuple[sympy.Expr, sympy.Expr]:
    """The point at angle u from the arc's centre."""
    return sympy.cos(arc.center + u), sympy.sin(arc.center + u)


def angle(arc: Arc, x1: sympy.Expr, x2: sympy.Expr) -> sympy.Expr:
    """The angle of (x1, x2) ≠ 0 from the arc's centre, in (−π, π]: its jump is opposite the arc, outside it."""
    cos, sin = sympy.cos(arc.center), sympy.sin(arc.center)
    return sympy.atan2(cos * x2 - sin * x1, cos * x1 + sin * x2)
