"""The Earth's field as a rigorous enclosure: what lets `examples/igrf.py --certify` prove an error for every point of the sphere.

Outside its sources the field is B = −∇V, V = a Σ_n Σ_{m≤n} (a/r)^{n+1} (g_nm cos mφ + h_nm sin mφ) P_nm(cos θ), n ≤ 13, P_nm Schmidt
semi-normalised. What is enclosed is this series on the sphere r = a = 1, its coefficients the floats that ppigrf uses. With P_l^m without
the factor (−1)^m, the solid harmonics

    R_lm = r^l P_l^m e^{imφ} / (l+m)!        I_lm = (l−m)! P_l^m e^{imφ} / r^{l+1}

are polynomials in x, y, z, and decaying ones; I_lm = (l−m)!(l+m)!·R_lm where r = 1. Their derivatives are harmonics again,

    ∂_z R_lm = R_{l−1,m}     (∂_x + i∂_y) R_lm = −R_{l−1,m+1}     (∂_x − i∂_y) R_lm = R_{l−1,m−1}
    ∂_z I_lm = −I_{l+1,m}    (∂_x + i∂_y) I_lm = −I_{l+1,m+1}     (∂_x − i∂_y) I_lm = I_{l+1,m−1},     R_{l,−1} = −conj R_{l,1}.

So a Cartesian component of B equals, on the sphere, a polynomial F = Re Σ α_lm R_lm of degree 14, and all its derivatives are such sums.
For y = c + v on the sphere and |c| ≤ 1 + SLACK, Taylor's theorem gives

    |F(y) − F(c) − DF(c)v − D²F(c)v²/2 − D³F(c)v³/6| ≤ M·|v|⁴/24,        M ≥ |D⁴F| on the ball,

in which all derivatives at c are one product of a matrix with the numbers R_lm(c); forms of degree 2 have |D³F(c)|·|v|³/6 in their
radius. M is what the addition theorem says: the squares
of the Schmidt-normalised harmonics of one degree sum to r^{2l}. Norms of derivatives are those of all their entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import combinations_with_replacement, pairwise
from math import factorial, isqrt, prod

import numpy as np
from atlasmoe.intervals import Interval
from atlasmoe.verify.enclosure import TaylorForms

Array = np.ndarray
Coefficients = Mapping[tuple[int, int], tuple[float, float]]
"""(n, m) ↦ (g_nm, h_nm)."""
Sum = dict[tuple[int, int], tuple[Fraction, Fraction]]
"""(l, m) ↦ (Re α, Im α), m ≥ 0: the polynomial Re Σ α_lm R_lm."""
SLACK = 2.0**-10
"""How far from the unit sphere, at most, the middle of a form of its points may be; beyond, nothing is claimed."""
EPS = float(np.finfo(float).eps)
"""Twice the relative error of one operation."""
GENEROUS = 1 + 2.0**-30
"""Sums and products of non-negative numbers in fewer than 2^20 operations are at most this factor below their value."""
ROOT_BITS = 400
"""Square roots of rationals, which are above 1/26! > 2^-89, are cut off at 2^-200: what that changes is lost in GENEROUS."""


class FieldEnclosure:
    """The field of a series on the unit sphere: its values, and Taylor forms that hold it."""

    def __init__(self, coefficients: Coefficients) -> None:
        degree = 1 + max(n for n, _ in coefficients)
        self.keys = [(l, m) for l in range(degree + 1) for m in range(l + 1)]
        orders = [components(coefficients)]
        for order in range(1, 5):
            axes = list(combinations_with_replacement(range(3), order))
            # ∂_a∂_b… of component i from ∂_b…: every tuple of axes is in order, so what remains of it is one of the last ones.
            before = {tail: k for k, tail in enumerate(combinations_with_replacement(range(3), order - 1))}
            orders.append([derivative(orders[-1][i * len(before) + before[tail[1:]]], tail[0]) for i in range(3) for tail in axes])
        size, error = harmonic_bounds(self.keys)
        parts = [self._matrix(some, size, error) for some in orders[:4]]
        self.matrix = np.concatenate([matrix for matrix, _ in parts])
        """(60, 2·keys): rows for 3 values, 3·3 first, 3·6 second and 3·10 third derivatives."""
        self.rounding = [slack.reshape(3, -1).max(1) for _, slack in parts]
        """By order and component: what any of these derivatives, as computed, may be off by."""
        self.third = np.array([supremum(some) for some in orders[3]]).reshape(3, -1).max(1)
        """At least every third derivative of a component on the ball."""
        fourth = np.array([supremum(some) for some in orders[4]]).reshape(3, -1)
        self.fourth = np.sqrt(fourth**2 @ multiplicities(4)) * GENEROUS

    def _matrix(self, sums: Iterable[Sum], size: Array, error: Array) -> tuple[Array, Array]:
        """Rows that take computed harmonics to these sums, and a bound of what comes out wrong, rounding of the rows included."""
        rows = np.array([[[float(part) for part in some.get(key, (0, 0))] for key in self.keys] for some in sums])
        rows[:, :, 1] *= -1  # Re αR = Re α Re R − Im α Im R
        matrix = rows.transpose(0, 2, 1).reshape(len(rows), -1)
        per_term = error + EPS * (2 + matrix.shape[1]) * (size + error)
        return matrix, np.abs(matrix) @ np.tile(per_term, 2) * GENEROUS

    def derivatives(self, points: Array) -> list[Array]:
        """Values (N, 3, 1), and derivatives of order 1 to 3, (N, 3, 3), (N, 3, 6), (N, 3, 10), at points (N, 3): one per choice of axes."""
        found = (self.matrix @ harmonics(self.keys, points)).T
        ends = np.cumsum([0, 3, 9, 18, 30])
        return [found[:, a:b].reshape(len(points), 3, -1) for a, b in pairwise(ends)]

    def values(self, points: Array) -> Array:
        """The field (N, 3) at points of the unit sphere (N, 3), in floats."""
        return (self.matrix[:3] @ harmonics(self.keys, points)).T

    def __call__(self, y: TaylorForms) -> TaylorForms:
        """Forms of the three components from those of x, y, z, which are functions into the unit sphere."""
        near = (np.linalg.norm(y.center, axis=1) <= 1 + SLACK / 2) & (y.radius < np.inf).all(1)
        middle = np.where(near[:, None], y.center, (0.0, 0.0, 1.0))
        value, first, second, third = self.derivatives(middle)
        v = y.plus(Interval.of(-y.center))
        held = TaylorForms.constants(Interval.of(value[:, :, 0]), y.dimension, y.degree)
        for a in range(3):
            held = held + v[:, [a] * 3].times(first[:, :, a])
        axes = list(combinations_with_replacement(range(3), 2))
        squares = v[:, [a for a, _ in axes]] * v[:, [b for _, b in axes]]
        for k, (a, b) in enumerate(axes):
            held = held + squares[:, [k] * 3].times(second[:, :, k] * (0.5 if a == b else 1.0))
        reach = np.where(near[:, None], v.range().magnitude, 0.0)
        if y.degree > 2:
            held = held + self.cubic(v, squares, third)
            third = np.zeros_like(third)
        bound = self.remainder(reach, third)
        return held.plus(Interval.of(-bound, bound)).unknown_where(~near[:, None])

    def cubic(self, v: TaylorForms, squares: TaylorForms, third: Array) -> TaylorForms:
        """D³F(c)v³/6, the three components of it."""
        pairs = list(combinations_with_replacement(range(3), 2))
        axes = list(combinations_with_replacement(range(3), 3))
        cubes = squares[:, [pairs.index(some[:2]) for some in axes]] * v[:, [some[2] for some in axes]]
        total = None
        for k, count in enumerate(multiplicities(3)):
            part = cubes[:, [k] * 3].times(third[:, :, k] * (count / 6))
            total = part if total is None else total + part
        return total

    def remainder(self, reach: Array, third: Array) -> Array:
        """What a Taylor polynomial misses, (N, 3), for |v_k| ≤ reach_k: the rest of Taylor's formula, with `third` derivatives that it
        leaves out, and rounding in its terms, a relative EPS of factors like count/6 included.
        """
        length, total = np.sqrt((reach**2).sum(1))[:, None], reach.sum(1)[:, None]
        norm = np.sqrt((third**2) @ multiplicities(3)) + (self.rounding[3] + EPS * self.third) * np.sqrt(multiplicities(3).sum())
        rest = norm * length**3 / 6 + self.fourth * length**4 / 24
        return (rest + self.rounding[0] + self.rounding[1] * total + self.rounding[2] * total**2 / 2) * GENEROUS


# The polynomials, exactly ----------------------------------------------------------------------------------------------


def add(into: Sum, l: int, m: int, real: Fraction, imaginary: Fraction) -> None:
    """Add Re (α R_lm), m ≥ −1."""
    if m < 0:  # Re(−α conj R) = Re(−conj(α) R)
        m, real = -m, -real
    if m <= l:
        before = into.get((l, m), (Fraction(0), Fraction(0)))
        into[l, m] = (before[0] + real, before[1] + imaginary if m else Fraction(0))


def components(coefficients: Coefficients) -> list[Sum]:
    """B_x, B_y, B_z as polynomials; the coefficients are the rationals that the floats are, but for square roots cut off far below EPS."""
    x: Sum = {}
    y: Sum = {}
    z: Sum = {}
    for (n, m), (g, h) in coefficients.items():
        scale = square_root(Fraction((2 if m else 1) * factorial(n - m), factorial(n + m))) / factorial(n - m)
        real, imaginary = Fraction(g) * scale, -Fraction(h) * scale  # V = Re Σ q_nm I_nm
        l = n + 1

        def on_sphere(order: int, l: int = l) -> int:
            return factorial(l - order) * factorial(l + order) if order <= l else 0

        above, below = Fraction(on_sphere(m + 1), 2), Fraction(on_sphere(m - 1), 2)
        add(x, l, m + 1, real * above, imaginary * above)
        add(x, l, m - 1, -real * below, -imaginary * below)
        add(y, l, m + 1, imaginary * above, -real * above)  # 1/(2i) = −i/2
        add(y, l, m - 1, imaginary * below, -real * below)
        add(z, l, m, real * on_sphere(m), imaginary * on_sphere(m))
    return [x, y, z]


def derivative(of: Sum, axis: int) -> Sum:
    """∂_x, ∂_y or ∂_z."""
    out: Sum = {}
    for (l, m), (real, imaginary) in of.items():
        if l == 0:
            continue
        if axis == 2:
            add(out, l - 1, m, real, imaginary)
        elif axis == 0:
            add(out, l - 1, m + 1, -real / 2, -imaginary / 2)
            add(out, l - 1, m - 1, real / 2, imaginary / 2)
        else:  # −1/(2i) = i/2, on both
            add(out, l - 1, m + 1, -imaginary / 2, real / 2)
            add(out, l - 1, m - 1, -imaginary / 2, real / 2)
    return out


def square_root(number: Fraction) -> Fraction:
    return Fraction(isqrt((number.numerator << ROOT_BITS) // number.denominator), 1 << ROOT_BITS // 2)


def supremum(of: Sum) -> float:
    """A bound of |F| on the ball of radius 1 + SLACK, degree by degree from the addition theorem."""
    squares: dict[int, Fraction] = {}
    for (l, m), (real, imaginary) in of.items():
        share = (real**2 + imaginary**2) / ((2 if m else 1) * factorial(l + m) * factorial(l - m))
        squares[l] = squares.get(l, Fraction(0)) + share
    return sum(np.sqrt(float(square)) * (1 + SLACK) ** l for l, square in squares.items()) * GENEROUS


def multiplicities(order: int) -> Array:
    """How many entries of a symmetric tensor each choice of axes stands for."""
    choices = combinations_with_replacement(range(3), order)
    return np.array([factorial(order) / prod(factorial(some.count(a)) for a in range(3)) for some in choices])


# The harmonics, in floats ----------------------------------------------------------------------------------------------


def harmonics(keys: list[tuple[int, int]], points: Array) -> Array:
    """Re R_lm, then Im R_lm, in the order of the keys: (2·keys, N)."""
    x, y, z = points.T
    square = x * x + y * y + z * z
    place = {key: k for k, key in enumerate(keys)}
    out = np.zeros((2, len(keys), len(points)))
    out[0, 0] = 1.0
    for l, m in keys[1:]:
        here = out[:, place[l, m]]
        if l == m:
            real, imaginary = out[:, place[m - 1, m - 1]]
            here[0] = (x * real - y * imaginary) / (2 * m)
            here[1] = (x * imaginary + y * real) / (2 * m)
            continue
        here += (2 * l - 1) * z * out[:, place[l - 1, m]]
        if l > m + 1:
            here -= square * out[:, place[l - 2, m]]
        here /= l * l - m * m
    return out.reshape(2 * len(keys), -1)


def harmonic_bounds(keys: list[tuple[int, int]]) -> tuple[Array, Array]:
    """Bounds of |R_lm| and of what `harmonics` computes wrong, for |c| ≤ 1 + SLACK: (keys,) each.

    |R_lm| ≤ r^l/((2−δ_m0)(l+m)!(l−m)!)^{1/2}, the addition theorem again. Every step of the recursion sums at most two products. With its
    factors, with r² itself and with the division, a term goes through fewer than 8 roundings of relative size EPS/2 (what underflows
    is far less); the errors of earlier steps pass on with the factors of the terms.
    """
    r = 1 + SLACK
    size = {(l, m): r**l / np.sqrt(float((2 if m else 1) * factorial(l + m) * factorial(l - m))) for l, m in keys}
    error = {(0, 0): 0.0}
    for l, m in keys[1:]:
        if l == m:  # |x Re R| + |y Im R| ≤ 2r|R|
            last = error[m - 1, m - 1]
            error[l, m] = 2 * r * (last + 4 * EPS * (size[m - 1, m - 1] + last)) / (2 * m)
            continue
        terms = [((2 * l - 1) * r, (l - 1, m)), (r * r, (l - 2, m))] if l > m + 1 else [((2 * l - 1) * r, (l - 1, m))]
        error[l, m] = sum(factor * (error[key] + 4 * EPS * (size[key] + error[key])) for factor, key in terms) / (l * l - m * m)
    return np.array([size[key] for key in keys]) * GENEROUS, np.array([error[key] for key in keys]) * GENEROUS
