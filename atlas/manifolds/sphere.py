"""The unit sphere S^n in R^{n+1} and its image under a scaling of the axes, the ellipsoid.

Two atlases. *Stereographic*: two charts on [−1.5, 1.5]^n, one around each pole of the last axis. *Graph*: 2(n+1)
hemispheres ±x_i > 0 with the other coordinates as chart map, which is affine (Corollary 4.9). Some |x_i| is at least
1/√(n+1) everywhere, so the balls |u|² < R² cover if R² > n/(n+1), and R < 1 keeps √(1 − |u|²) smooth. The boxes around
them would not do as domains: they leave the unit ball.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from ...expressions.box import Box
from ...expressions.later import sympy
from ...expressions.maps import ExpressionMap
from .. import arguments
from ..atlas import Atlas
from ..chart import Chart
from .overlap import ambient_names, intrinsic_names, rational

STEREOGRAPHIC_HALF_WIDTH = 1.5
"""The equator is |u| = 1 in both charts; every point of the sphere has |u| ≤ 1 in one of them."""


def sphere(dimension: int = 2, atlas: str = "stereographic") -> Atlas:
    """S^dimension, |x| = 1 in R^{dimension+1}."""
    n = arguments.integer("dimension", dimension, 1, arguments.MAX_DIMENSION)
    return _scaled_sphere([Fraction(1)] * (n + 1), atlas)


def ellipsoid(axes: Any = (1.0, 0.8, 0.6), atlas: str = "stereographic") -> Atlas:
    """Σ_k (x_k / axes_k)² = 1: the sphere of one dimension less than there are axes, scaled."""
    lengths = arguments.numbers("axes", axes, 0)
    arguments.integer("the number of axes", len(lengths), 2, arguments.MAX_DIMENSION + 1)
    # Fractions, so that what is multiplied by an axis and divided by it again is the same number.
    return _scaled_sphere([Fraction(str(a)) for a in lengths], atlas)


def _scaled_sphere(axes: Sequence[Fraction], atlas: str) -> Atlas:
    arguments.choice("atlas", atlas, ("stereographic", "graph"))
    charts = _stereographic(axes) if atlas == "stereographic" else _graph(axes)
    return Atlas(ambient_names(len(axes)), charts)


def _stereographic(axes: Sequence[Fraction]) -> tuple[Chart, ...]:
    n = len(axes) - 1
    box = Box((-STEREOGRAPHIC_HALF_WIDTH,) * n, (STEREOGRAPHIC_HALF_WIDTH,) * n)

    def chart(name: str, pole: int) -> Chart:
        def inverse(*u: sympy.Symbol) -> list[sympy.Expr]:
            square = sum(v**2 for v in u)
            unit = [2 * v / (1 + square) for v in u] + [pole * (1 - square) / (1 + square)]
            return [rational(a) * e for a, e in zip(axes, unit, strict=True)]

        def forward(*x: sympy.Symbol) -> list[sympy.Expr]:
            y = [x_k / rational(a) for x_k, a in zip(x, axes, strict=True)]
            return [y_k / (1 + pole * y[n]) for y_k in y[:n]]

        names = intrinsic_names(n), ambient_names(n + 1)
        return Chart(name, box, ExpressionMap.later(names[0], n + 1, inverse), ExpressionMap.later(names[1], n, forward))

    return chart("north", 1), chart("south", -1)


def _graph(axes: Sequence[Fraction]) -> tuple[Chart, ...]:
    n = len(axes) - 1
    u, x = intrinsic_names(n), ambient_names(n + 1)
    reach = Fraction(2 * n + 1, 2 * n + 2)  # R², halfway between n/(n+1) and 1
    half_width = _root_above(reach)
    box = Box((-half_width,) * n, (half_width,) * n)
    region = ExpressionMap.later(u, 1, lambda *u: [rational(reach) - sum(v**2 for v in u)])

    def chart(i: int, sign: int) -> Chart:
        def inverse(*u: sympy.Symbol) -> list[sympy.Expr]:
            unit = [*u[:i], sign * sympy.sqrt(1 - sum(v**2 for v in u)), *u[i:]]
            return [rational(a) * e for a, e in zip(axes, unit, strict=True)]

        def forward(*x: sympy.Symbol) -> list[sympy.Expr]:
            y = [x_k / rational(a) for x_k, a in zip(x, axes, strict=True)]
            return y[:i] + y[i + 1 :]

        name = f"{'+' if sign > 0 else '-'}x{i + 1}"
        return Chart(name, box, ExpressionMap.later(u, n + 1, inverse), ExpressionMap.later(x, n, forward), region=region)

    return tuple(chart(i, sign) for i in range(n + 1) for sign in (1, -1))


def _root_above(square: Fraction) -> float:
    """The smallest float that is no less than the root: the region would otherwise end outside the box."""
    root = math.sqrt(square)
    while Fraction(root) ** 2 < square:
        root = math.nextafter(root, math.inf)
    while Fraction(below := math.nextafter(root, 0)) ** 2 >= square:
        root = below
    return root
