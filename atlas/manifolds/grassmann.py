"""Subspaces as orthogonal projectors: the Grassmann manifold Gr(k, n) and, of lines, the projective spaces RP^n = Gr(1, n + 1).

A subspace of dimension k in R^n that is the graph of a linear map is the span of the columns of Y, with the identity in k of its rows and
any numbers U in the others; these U are the coordinates of the chart that belongs to the k rows, and the point is the projector P =
Y·(YᵀY)⁻¹·Yᵀ. Conversely U = P_JI·(P_II)⁻¹, I the k rows and J the others: both ways are quotients of polynomials.

*The boxes |U| < 1.5 cover.* Of all choices of k rows take one for which the minor |det Y_I| of a basis of the subspace is largest. By
Cramer's rule every entry of U is the quotient of another k-minor by this one, up to sign, so |U_jk| ≤ 1 there.

*Reach 1/√2* (0 < k < n), in the coordinates of `matrices`, where distances are Frobenius distances: the projectors nearest to a symmetric
A belong to its k largest eigenvalues, so there is one if λ_k > λ_{k+1}. Eigenvalues move by no more than the matrix (Hoffman and
Wielandt), from (1, 0) to (1/2, 1/2) by at least 1/√2, and along one line exactly so.
"""

from __future__ import annotations

import itertools
from typing import Any

from ...errors import InvalidArgument
from ...expressions.box import Box
from ...expressions.later import sympy
from ...expressions.maps import ExpressionMap
from .. import arguments
from ..atlas import Atlas
from ..chart import Chart
from .matrices import (
    MOST_COLUMNS,
    MOST_ROWS,
    Matrix,
    adjugate,
    determinant,
    identity,
    pairs,
    plus,
    symmetric_coordinates,
    symmetric_matrix,
    times,
    transposed,
)
from .overlap import ambient_symbols, intrinsic_symbols

HALF_WIDTH = 1.5


def grassmann(k: Any = 1, n: Any = 3) -> Atlas:
    """Gr(k, n), the k-dimensional subspaces of R^n, 0 < k < n: dimension k·(n − k), in R^{n(n+1)/2}; a chart for every k of the n axes.

    Of k > n/2 the charts are those of the orthogonal complements, U of the complement being −Uᵀ.
    """
    n = arguments.integer("n", n, 2, MOST_ROWS)
    k = arguments.integer("k", k, 1, n - 1)
    least = min(k, n - k)
    if least > MOST_COLUMNS:
        raise InvalidArgument(f"k = {k}: charts invert matrices of at most {MOST_COLUMNS} rows; choose k or n - k from 1 to {MOST_COLUMNS}")
    u, x = intrinsic_symbols(k * (n - k)), ambient_symbols(len(pairs(n)))
    P = symmetric_matrix(x, n)
    charts = []
    for rows in itertools.combinations(range(n), least):
        inverse, coordinates = _graph(u, n, rows), P
        if least < k:
            inverse, coordinates = plus(identity(n), inverse, -1), plus(identity(n), P, -1)
        name = "graph_over_" + "_".join(str(j + 1) for j in (rows if least == k else [j for j in range(n) if j not in rows]))
        box = Box((-HALF_WIDTH,) * len(u), (HALF_WIDTH,) * len(u))
        charts.append(Chart(name, box, ExpressionMap(u, symmetric_coordinates(inverse)), ExpressionMap(x, _slopes(coordinates, rows))))
    return Atlas(tuple(map(str, x)), tuple(charts))


def real_projective(dimension: Any = 2) -> Atlas:
    """RP^n, n = `dimension`: the lines of R^{n+1} as matrices x·xᵀ, |x| = 1 (the Veronese embedding), with n + 1 charts."""
    return grassmann(1, arguments.integer("dimension", dimension, 1, MOST_ROWS - 1) + 1)


def _graph(u: tuple[sympy.Symbol, ...], n: int, rows: tuple[int, ...]) -> Matrix:
    """The projector onto the span of Y: the identity in these rows, u row by row in the others."""
    k, entries = len(rows), iter(u)
    Y = tuple(identity(k)[rows.index(j)] if j in rows else tuple(itertools.islice(entries, k)) for j in range(n))
    G = times(transposed(Y), Y)
    scaled = times(times(Y, adjugate(G)), transposed(Y))
    return tuple(tuple(entry / determinant(G) for entry in row) for row in scaled)


def _slopes(P: Matrix, rows: tuple[int, ...]) -> tuple[sympy.Expr, ...]:
    """U = P_JI·(P_II)⁻¹, row by row."""
    square = tuple(tuple(P[j][k] for k in rows) for j in rows)
    below = tuple(tuple(P[j][k] for k in rows) for j in range(len(P)) if j not in rows)
    return tuple(entry / determinant(square) for row in times(below, adjugate(square)) for entry in row)
