"""Balls and shells in R^n: disc, ball, annulus and spherical shell, x = r·σ with σ on the unit sphere.

A shell inner ≤ r ≤ outer has the two stereographic charts of the sphere, times r: coordinates (u, r) with both ends of r as boundary. A
ball is a shell from INNER to 1, whose inner end is no boundary, and a round chart |x| < MIDDLE with the identity, which overlaps with it.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from ...errors import InvalidArgument
from ...expressions.box import Box
from ...expressions.later import sympy
from ...expressions.maps import ExpressionMap, identity
from .. import arguments
from ..atlas import Atlas
from ..chart import Chart
from .overlap import ambient_names, intrinsic_names, rational
from .sphere import STEREOGRAPHIC_HALF_WIDTH

INNER, MIDDLE = Fraction(2, 5), Fraction(4, 5)


def ball(dimension: Any = 3) -> Atlas:
    """|x| ≤ 1 in R^n, n = `dimension` ≥ 2; its sphere is its boundary."""
    n = arguments.integer("dimension", dimension, 2, arguments.MAX_DIMENSION)
    u, x = intrinsic_names(n), ambient_names(n)
    half = float(MIDDLE)
    region = ExpressionMap.later(u, 1, lambda *u: [rational(MIDDLE) ** 2 - sum(v**2 for v in u)])
    middle = Chart("middle", Box((-half,) * n, (half,) * n), identity(u), identity(x), region=region)
    return Atlas(x, (middle, *_shells(n, float(INNER), 1.0, (False, True))))


def disc() -> Atlas:
    """|x| ≤ 1 in R²; its circle is its boundary."""
    return ball(2)


def shell(dimension: Any = 3, inner: Any = 0.5, outer: Any = 1.0) -> Atlas:
    """inner ≤ |x| ≤ outer in R^n, n = `dimension` ≥ 2; both spheres are its boundary. Its reach is `inner`."""
    n = arguments.integer("dimension", dimension, 2, arguments.MAX_DIMENSION)
    least, most = arguments.number("inner", inner, 0), arguments.number("outer", outer, 0)
    if not least < most:
        raise InvalidArgument(f"need inner < outer, got inner = {least:g} and outer = {most:g}")
    return Atlas(ambient_names(n), _shells(n, least, most, (True, True)))


def annulus(inner: Any = 0.5, outer: Any = 1.0) -> Atlas:
    """inner ≤ |x| ≤ outer in R²; both circles are its boundary."""
    return shell(2, inner, outer)


def _shells(n: int, inner: float, outer: float, ends: tuple[bool, bool]) -> tuple[Chart, ...]:
    """Two charts (u, r) ↦ r·σ(u), σ from either pole of the last axis."""
    wide = STEREOGRAPHIC_HALF_WIDTH
    box = Box((*(-wide,) * (n - 1), inner), (*(wide,) * (n - 1), outer))
    boundary = (*((False, False),) * (n - 1), ends)

    def chart(name: str, pole: int) -> Chart:
        def inverse(*u: sympy.Symbol) -> list[sympy.Expr]:
            r, square = u[-1], sum(v**2 for v in u[:-1])
            return [*(2 * r * v / (1 + square) for v in u[:-1]), pole * r * (1 - square) / (1 + square)]

        def forward(*x: sympy.Symbol) -> list[sympy.Expr]:
            distance = sympy.sqrt(sum(v**2 for v in x))
            return [*(v / (distance + pole * x[-1]) for v in x[:-1]), distance]

        names = intrinsic_names(n), ambient_names(n)
        return Chart(name, box, ExpressionMap.later(names[0], n, inverse), ExpressionMap.later(names[1], n, forward), boundary)

    return chart("north", 1), chart("south", -1)
