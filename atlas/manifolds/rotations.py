"""The rotation group SO(3) in R⁹: matrix entries x1 … x9, row by row.

Charts from unit quaternions q = (q_0, q_1, q_2, q_3), with q and −q the same rotation: where q_i ≠ 0, the three ratios
q_j/q_i are coordinates (gnomonic projection). The ratios to the largest |q_i| are at most 1, so four boxes [−1.5, 1.5]³
cover with room to spare. R is quadratic in q, and conversely the products 4·q_i·q_j are affine in R, so the chart maps
are quotients of affine functions of R.
"""

from __future__ import annotations

from ...expressions.box import Box
from ...expressions.later import sympy
from ...expressions.maps import ExpressionMap
from ..atlas import Atlas
from ..chart import Chart
from .overlap import ambient_names, intrinsic_names

HALF_WIDTH = 1.5


def rotations() -> Atlas:
    """SO(3), RᵀR = 1 and det R = 1, with its four quaternion charts."""
    return Atlas(ambient_names(9), tuple(_chart(i, name) for i, name in enumerate(("w", "x", "y", "z"))))


def _chart(i: int, name: str) -> Chart:
    """Where q_i ≠ 0."""

    def inverse(*u: sympy.Symbol) -> tuple[sympy.Expr, ...]:
        return tuple(rotation_of([*u[:i], sympy.Integer(1), *u[i:]]))

    def forward(*x: sympy.Symbol) -> tuple[sympy.Expr, ...]:
        products = quaternion_products(sympy.Matrix(3, 3, x))
        return tuple(products[i, j] / products[i, i] for j in range(4) if j != i)

    maps = ExpressionMap.later(intrinsic_names(3), 9, inverse), ExpressionMap.later(ambient_names(9), 3, forward)
    return Chart(name, Box((-HALF_WIDTH,) * 3, (HALF_WIDTH,) * 3), *maps)


def rotation_of(q: list[sympy.Expr]) -> sympy.Matrix:
    """The rotation matrix of a quaternion q ≠ 0 of any length."""
    a, b, c, d = q
    quadratic = sympy.Matrix(
        [
            [a**2 + b**2 - c**2 - d**2, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a**2 - b**2 + c**2 - d**2, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a**2 - b**2 - c**2 + d**2],
        ]
    )
    return quadratic / (a**2 + b**2 + c**2 + d**2)


def quaternion_products(R: sympy.Matrix) -> sympy.Matrix:
    """The matrix 4·q_i·q_j of the unit quaternion ±q of a rotation matrix R."""
    trace = R.trace()
    products = sympy.zeros(4, 4)
    products[0, 0] = 1 + trace
    for i, (j, k) in enumerate(((1, 2), (2, 0), (0, 1))):
        products[i + 1, i + 1] = 1 - trace + 2 * R[i, i]
        products[0, i + 1] = products[i + 1, 0] = R[k, j] - R[j, k]
        products[j + 1, k + 1] = products[k + 1, j + 1] = R[j, k] + R[k, j]
    return products
