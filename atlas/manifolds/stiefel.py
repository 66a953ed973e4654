"""The Stiefel manifold V_k(R^n): matrices Y of n rows and k orthonormal columns, row by row. V_1 is a sphere, V_{n−1} is SO(n).

Charts by the Cayley transform. With E the first k columns of the identity, B skew (k × k) and C any matrix of n − k rows and k columns,

    Y = (1 − A)⁻¹·(1 + A)·E,   A = [[B, −Cᵀ], [C, 0]],   that is   Y = [2·M⁻¹ − 1; 2·C·M⁻¹],   M = 1 + CᵀC − B,

has orthonormal columns, and with Y = [Y₁; Y₂] and S = 1 + Y₁ = 2·M⁻¹ the way back is C = Y₂·S⁻¹, B = (Y₁ − 1 + CᵀY₂)·S⁻¹. (From Y − E =
A·(Y + E). For k = 1 it is stereographic projection, for k = n Cayley's formula.) A chart for each choice of signs D of the first k rows:
those rows times D.

*The boxes |B|, |C| < 1.5 cover.* Take the signs for which |det S|, of D·Y₁, is largest; it is at least 1, as the mean of det(1 + D·Y₁)
over all signs is 1. Turning sign i multiplies det S by 1 − 2·(S⁻¹)_ii = −|c_i|², c_i column i of C; turning i and j by |c_i|²|c_j|² −
(c_i·c_j)² + b_ij² ≥ b_ij². As it is largest, |c_i| ≤ 1 and |b_ij| ≤ 1.

*Reach 1*, for k < n: the matrix in V_k nearest to A is the orthogonal factor of its polar decomposition, unique if A has full rank, and
to lower rank it is 1.
"""

from __future__ import annotations

import itertools
from typing import Any

from ...expressions.box import Box
from ...expressions.later import sympy
from ...expressions.maps import ExpressionMap
from .. import arguments
from ..atlas import Atlas
from ..chart import Chart
from .matrices import MOST_COLUMNS, MOST_ROWS, Matrix, adjugate, determinant, identity, plus, times, transposed
from .overlap import ambient_symbols, intrinsic_symbols

HALF_WIDTH = 1.5


def stiefel(k: Any = 2, n: Any = 3) -> Atlas:
    """V_k(R^n), YᵀY = 1 for matrices of n rows and k < n columns: dimension nk − k(k + 1)/2, in R^{nk}; 2^k charts."""
    n = arguments.integer("n", n, 2, MOST_ROWS)
    k = arguments.integer("k", k, 1, min(MOST_COLUMNS, n - 1))
    u, x = intrinsic_symbols(n * k - k * (k + 1) // 2), ambient_symbols(n * k)
    rows = tuple(tuple(x[j * k : (j + 1) * k]) for j in range(n))
    frame = _frame(u, k, n)
    box = Box((-HALF_WIDTH,) * len(u), (HALF_WIDTH,) * len(u))
    charts = []
    for signs in itertools.product((1, -1), repeat=k):
        turned = [*signs, *([1] * (n - k))]
        inverse = tuple(sign * entry for sign, row in zip(turned, frame, strict=True) for entry in row)
        turned_back = tuple(tuple(sign * entry for entry in row) for sign, row in zip(turned, rows, strict=True))
        name = "signs_" + "".join("p" if sign > 0 else "m" for sign in signs)
        charts.append(Chart(name, box, ExpressionMap(u, inverse), ExpressionMap(x, _generator(turned_back, k))))
    return Atlas(tuple(map(str, x)), tuple(charts))


def _frame(u: tuple[sympy.Symbol, ...], k: int, n: int) -> Matrix:
    """Y of the coordinates: b_jl for j < l, row by row, then C row by row."""
    rest = iter(u)
    above = {pair: next(rest) for pair in itertools.combinations(range(k), 2)}
    B = tuple(tuple(above.get((j, m), sympy.Integer(0)) - above.get((m, j), sympy.Integer(0)) for m in range(k)) for j in range(k))
    C = tuple(tuple(itertools.islice(rest, k)) for _ in range(n - k))
    M = plus(plus(identity(k), times(transposed(C), C)), B, -1)
    half = tuple(tuple(entry / determinant(M) for entry in row) for row in adjugate(M))
    twice = tuple(tuple(2 * entry for entry in row) for row in half)
    return (*plus(twice, identity(k), -1), *times(C, twice))


def _generator(Y: Matrix, k: int) -> tuple[sympy.Expr, ...]:
    """The coordinates of Y: b_jl, then C, both from S⁻¹ alone."""
    top, bottom = Y[:k], Y[k:]
    S = plus(identity(k), top)
    inverse = tuple(tuple(entry / determinant(S) for entry in row) for row in adjugate(S))
    C = times(bottom, inverse)
    B = times(plus(plus(top, identity(k), -1), times(transposed(C), bottom)), inverse)
    return (*(B[j][m] for j, m in itertools.combinations(range(k), 2)), *(entry for row in C for entry in row))
