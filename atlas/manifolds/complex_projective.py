"""Complex projective space CP^n: the lines of C^{n+1} as Hermitian projectors y·y* / |y|².

Where y_i ≠ 0 the line has the point with y_i = 1, and the real and imaginary parts of the others are coordinates; with the largest |y_i|
they are at most 1, so the boxes (−1.5, 1.5)^{2n} of the n + 1 charts cover. Both ways are quotients of polynomials: y_j = P_ji / P_ii.
The reach is 1/√2, for the same reason as that of real subspaces. CP¹ is a round sphere of radius 1/√2.
"""

from __future__ import annotations

from typing import Any

from ...expressions.box import Box
from ...expressions.later import sympy
from ...expressions.maps import ExpressionMap
from .. import arguments
from ..atlas import Atlas
from ..chart import Chart
from .matrices import MOST_ROWS, pairs
from .overlap import ambient_symbols, intrinsic_symbols

HALF_WIDTH = 1.5
MOST_DIMENSION = MOST_ROWS // 2
"""The largest n: CP^n has real dimension 2n and lies in R^{(n+1)²}."""


def complex_projective(dimension: Any = 1) -> Atlas:
    """CP^n, n = `dimension` complex, 2n real dimensions, in R^{(n+1)²}; n + 1 charts."""
    m = arguments.integer("dimension", dimension, 1, MOST_DIMENSION) + 1
    u, x = intrinsic_symbols(2 * (m - 1)), ambient_symbols(m * m)
    box = Box((-HALF_WIDTH,) * len(u), (HALF_WIDTH,) * len(u))
    entries = _entries(x, m)
    charts = []
    for i in range(m):
        free = [(u[2 * j], u[2 * j + 1]) for j in range(m - 1)]
        y = [*free[:i], (sympy.Integer(1), sympy.Integer(0)), *free[i:]]
        slopes = [part / entries[i, i][0] for j in range(m) if j != i for part in entries[j, i]]
        charts.append(Chart(f"y{i + 1}", box, ExpressionMap(u, _projector(y)), ExpressionMap(x, slopes)))
    return Atlas(tuple(map(str, x)), tuple(charts))


def _projector(y: list[tuple[sympy.Expr, sympy.Expr]]) -> list[sympy.Expr]:
    """The coordinates of y·y* / |y|²: for j ≤ k the diagonal, and √2 times real and imaginary part of y_j·ȳ_k."""
    square = sympy.Add(*(a**2 + b**2 for a, b in y))
    found = []
    for j, k in pairs(len(y)):
        (a, b), (c, d) = y[j], y[k]
        found += (
            [(a**2 + b**2) / square] if j == k else [sympy.sqrt(2) * (a * c + b * d) / square, sympy.sqrt(2) * (b * c - a * d) / square]
        )
    return found


def _entries(x: tuple[sympy.Symbol, ...], m: int) -> dict[tuple[int, int], tuple[sympy.Expr, sympy.Expr]]:
    """Real and imaginary part of every entry of the Hermitian matrix with these coordinates."""
    rest, found = iter(x), {}
    for j, k in pairs(m):
        if j == k:
            found[j, j] = (next(rest), sympy.Integer(0))
        else:
            real, imaginary = next(rest) / sympy.sqrt(2), next(rest) / sympy.sqrt(2)
            found[j, k], found[k, j] = (real, imaginary), (real, -imaginary)
    return found
