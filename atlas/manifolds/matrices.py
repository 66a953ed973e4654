"""Matrices of expressions, small and written out: determinants and inverses by cofactors, symmetric matrices as coordinates.

What the matrix manifolds share. A symmetric or Hermitian matrix P stands in the coordinates in which the Frobenius norm is the Euclidean
one: the diagonal as it is, and √2·Re P_jk (of a Hermitian one also √2·Im P_jk) for j < k, row by row.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from ...expressions.later import sympy

Matrix = tuple[tuple[Any, ...], ...]
"""Rows of sympy expressions. Nothing is expanded: what an entry is written as is what it is evaluated as."""

MOST_ROWS = 8
"""The largest n of the matrix manifolds."""
MOST_COLUMNS = 3
"""The largest square matrix that is inverted in a chart."""


def identity(n: int) -> Matrix:
    return tuple(tuple(sympy.Integer(j == k) for k in range(n)) for j in range(n))


def transposed(A: Matrix) -> Matrix:
    return tuple(zip(*A, strict=True))


def times(A: Matrix, B: Matrix) -> Matrix:
    return tuple(tuple(sympy.Add(*(a * b for a, b in zip(row, column, strict=True))) for column in zip(*B, strict=True)) for row in A)


def plus(A: Matrix, B: Matrix, factor: int = 1) -> Matrix:
    """A + factor·B."""
    return tuple(tuple(a + factor * b for a, b in zip(one, other, strict=True)) for one, other in zip(A, B, strict=True))


def determinant(A: Matrix) -> sympy.Expr:
    """By Leibniz' sum over permutations, of at most MOST_COLUMNS rows."""
    n = len(A)
    return sympy.Add(*(_sign(p) * sympy.Mul(*(A[j][p[j]] for j in range(n))) for p in itertools.permutations(range(n))))


def _sign(permutation: Sequence[int]) -> int:
    return (-1) ** sum(a > b for a, b in itertools.combinations(permutation, 2))


def adjugate(A: Matrix) -> Matrix:
    """adj A with A·adj A = det A·1."""
    n = len(A)

    def minor(j: int, k: int) -> Matrix:
        return tuple(tuple(A[a][b] for b in range(n) if b != k) for a in range(n) if a != j)

    return tuple(tuple((-1) ** (j + k) * determinant(minor(k, j)) for k in range(n)) for j in range(n))


def symmetric_coordinates(P: Matrix) -> tuple[sympy.Expr, ...]:
    """The n(n + 1)/2 coordinates of a symmetric matrix."""
    return tuple(P[j][k] if j == k else sympy.sqrt(2) * P[j][k] for j, k in pairs(len(P)))


def symmetric_matrix(x: Sequence[sympy.Expr], n: int) -> Matrix:
    """The symmetric matrix with these coordinates."""
    at = {pair: i for i, pair in enumerate(pairs(n))}

    def entry(j: int, k: int) -> sympy.Expr:
        value = x[at[min(j, k), max(j, k)]]
        return value if j == k else value / sympy.sqrt(2)

    return tuple(tuple(entry(j, k) for k in range(n)) for j in range(n))


def pairs(n: int) -> list[tuple[int, int]]:
    """The places (j, k), j ≤ k, row by row."""
    return [(j, k) for j in range(n) for k in range(j, n)]
