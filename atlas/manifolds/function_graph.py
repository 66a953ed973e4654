"""The graph of a function over a box: x = (u, g(u)), with the first d coordinates as chart map, which is affine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import InvalidArgument
from ...expressions.box import Box
from ...expressions.formulas import named
from ...expressions.from_sympy import tree_of
from ...expressions.later import sympy
from ...expressions.maps import ExpressionMap, Formula
from .. import arguments
from ..atlas import Atlas
from ..chart import Chart
from .interval import sub_boxes
from .overlap import ambient_symbols, intrinsic_symbols

CHECKED_POINTS = 1024


def graph(expression: Any = None, dimension: Any = 2, domain: Any = None, charts: Any = 1) -> Atlas:
    """{(u, g(u)) : u ∈ domain} ⊂ R^{d+m} (default domain [−1, 1]^d), cut into `charts` overlapping sub-boxes per axis.

    g is written in u1, …, ud: a sympy expression or its text, or a list of m of them.
    Raises `InvalidArgument` if it is not, or if g is not finite somewhere on the box.
    """
    d = arguments.integer("dimension", dimension, 1, arguments.MAX_DIMENSION)
    sides = arguments.intervals("domain", [[-1, 1]] * d if domain is None else domain, d)
    u = intrinsic_symbols(d)
    if expression is None:
        raise InvalidArgument(f'the graph of a function needs an expression in {", ".join(map(str, u))}, e.g. expression = "u1**2"')
    listed = list(expression) if isinstance(expression, Sequence) and not isinstance(expression, str) else [expression]
    g = [_formula(e, u) for e in listed]
    x = ambient_symbols(d + len(g))
    inverse, forward = ExpressionMap.of(u, [*named(map(str, u)).values(), *g]), ExpressionMap(x, x[:d])
    found = []
    for name, bounds, boundary in sub_boxes(sides, charts):
        box = Box(*bounds)
        points = np.concatenate([box.corners() if d <= 10 else [], [box.center], box.low_discrepancy(CHECKED_POINTS, 0)])
        bad = ~np.isfinite(inverse(points)).all(1)
        if bad.any():
            at = ", ".join(f"{v:.6g}" for v in points[int(bad.argmax())])
            raise InvalidArgument(f"expression {expression!r} is not finite at ({at}); change it or the domain")
        found.append(Chart(name, box, inverse, forward, boundary))
    return Atlas(tuple(map(str, x)), tuple(found))


def _formula(given: Any, u: tuple[sympy.Symbol, ...]) -> Formula:
    """One component of g over the symbols u, from text or from a sympy expression in symbols of the same names."""
    if isinstance(given, str):
        from ...expressions.parse import read_expression

        return read_expression(given, [str(v) for v in u])
    if isinstance(given, bool) or not isinstance(given, sympy.Expr | int | float):
        raise InvalidArgument(f"expression must be a sympy expression or its text, got {given!r}")
    if isinstance(given, int | float):
        given = sympy.Integer(given) if isinstance(given, int) else sympy.Float(given)
    by_name = {str(v): v for v in u}
    unknown = [s for s in given.free_symbols if str(s) not in by_name]
    if unknown:
        raise arguments.unknown("name in the expression:", str(unknown[0]), by_name)
    expression = given.xreplace({s: by_name[str(s)] for s in given.free_symbols})
    return Formula(tree_of(expression), lambda: expression)
