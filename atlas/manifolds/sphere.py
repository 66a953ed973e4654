"""The unit sphere S^n in R^{n+1} and its image under a scaling of the axes, the ellipsoid.

Two atlases. *Stereographic*: two charts on [−1.5, 1.5]^n, one around each pole of the last axis. *Graph*: 2(n+1)
hemispheres ±x_i > 0 with the other coordinates as chart map, which is affine (Corollary 4.9). Some |x_i| is at least
1/√(n+1) everywhere, so the balls |u|² < R² cover if R² > n/(n+1), and R < 1 keeps √(1 − |u|²) smooth. The boxes around
them would not do as domains: they leave the unit ball.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import sympy

from ...expressions.box import Box
from ...expressions.maps import ExpressionMap
from .. import arguments
from ..atlas import Atlas
from ..chart import Chart
from .overlap import ambient_symbols, intrinsic_symbols

STEREOGRAPHIC_HALF_WIDTH = 1.5
"""The equator is |u| = 1 in both charts; every point of the sphere has |u| ≤ 1 in one of them."""


def sphere(dimension: int = 2, atlas: str = "stereographic") -> Atlas:
    """S^dimension, |x| = 1 in R^{dimension+1}."""
    n = arguments.integer("dimension", dimension, 1, arguments.MAX_DIMENSION)
    return _scaled_sphere([sympy.Integer(1)] * (n + 1), atlas)


def ellipsoid(axes: Any = (1.0, 0.8, 0.6), atlas: str = "stereographic") -> Atlas:
    """Σ_k (x_k / axes_k)² = 1: the sphere of one dimension less than there are axes, scaled."""
    lengths = arguments.numbers("axes", axes, 0)
    arguments.integer("the number of axes", len(lengths), 2, arguments.MAX_DIMENSION + 1)
    # Fractions, so that what is multiplied by an axis and divided by it again is the same number.
    return _scaled_sphere([sympy.Rational(str(a)) for a in lengths], atlas)


def _scaled_sphere(axes: Sequence[sympy.Expr], atlas: str) -> Atlas:
    arguments.choice("atlas", atlas, ("stereographic", "graph"))
    charts = _stereographic(axes) if atlas == "stereographic" else _graph(axes)
    return Atlas(tuple(map(str, ambient_symbols(len(axes)))), charts)


def _stereographic(axes: Sequence[sympy.Expr]) -> tuple[Chart, ...]:
    n = len(axes) - 1
    u, x = intrinsic_symbols(n), ambient_symbols(n + 1)
    square = sum(v**2 for v in u)
    y = [x_k / a for x_k, a in zip(x, axes, strict=True)]
    box = Box((-STEREOGRAPHIC_HALF_WIDTH,) * n, (STEREOGRAPHIC_HALF_WIDTH,) * n)
    charts = []
    for name, pole in (("north", 1), ("south", -1)):
        unit = [2 * v / (1 + square) for v in u] + [pole * (1 - square) / (1 + square)]
        inverse = ExpressionMap(u, tuple(a * e for a, e in zip(axes, unit, strict=True)))
        charts.append(Chart(name, box, inverse, ExpressionMap(x, tuple(y_k / (1 + pole * y[n]) for y_k in y[:n]))))
    return tuple(charts)


def _graph(axes: Sequence[sympy.Expr]) -> tuple[Chart, ...]:
    n = len(axes) - 1
    u, x = intrinsic_symbols(n), ambient_symbols(n + 1)
    square = sum(v**2 for v in u)
    reach = sympy.Rational(2 * n + 1, 2 * n + 2)  # R², halfway between n/(n+1) and 1
    half_width = float(sympy.sqrt(reach))
    if sympy.Rational(half_width) ** 2 < reach:  # rounded down: the region would end outside the box
        half_width = math.nextafter(half_width, math.inf)
    box = Box((-half_width,) * n, (half_width,) * n)
    region = ExpressionMap(u, (reach - square,))
    y = [x_k / a for x_k, a in zip(x, axes, strict=True)]
    charts = []
    for i in range(n + 1):
        forward = ExpressionMap(x, tuple(y[:i] + y[i + 1 :]))
        for sign in (1, -1):
            unit = [*u[:i], sign * sympy.sqrt(1 - square), *u[i:]]
            inverse = ExpressionMap(u, tuple(a * e for a, e in zip(axes, unit, strict=True)))
            charts.append(Chart(f"{'+' if sign > 0 else '-'}x{i + 1}", box, inverse, forward, region=region))
    return tuple(charts)
