"""Taylor forms of degree 2 to 5: exact arithmetic on rational points, orders of convergence, derivatives up to the sixth."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import sympy
from atlasmoe.atlas import ExpressionMap
from atlasmoe.intervals import Interval
from atlasmoe.intervals.derivatives import HIGHEST, SMOOTH, square_root
from atlasmoe.verify.enclosure import ExpressionEnclosure, TaylorForms
from atlasmoe.verify.enclosure.monomials import dimension_of, monomials, pairs, products
from flint import arb, arb_series, ctx

BOXES = 12


def random_forms(d: int, degree: int, seed: int) -> TaylorForms:
    """Two functions, of coefficients of all sizes; some without any of the higher ones."""
    rng = np.random.default_rng(seed)
    coefficients = rng.normal(size=(BOXES, len(monomials(d, degree)), 2)) * 10.0 ** rng.integers(-9, 3, (BOXES, 1, 1))
    coefficients[::5, 1 + d :] = 0
    return TaylorForms(coefficients, 10.0 ** rng.uniform(-20, -3, (BOXES, 2)), degree=degree)


def value(forms: TaylorForms, b: int, k: int, t: list[Fraction]) -> Fraction:
    """Of the polynomial."""
    total = Fraction(0)
    for c, exponents in zip(forms.coefficients[b, :, k].tolist(), forms.monomials, strict=True):
        term = Fraction(c)
        for x, e in zip(t, exponents, strict=True):
            term *= x**e
        total += term
    return total


def points(d: int, seed: int) -> list[list[Fraction]]:
    rng = np.random.default_rng(seed)
    return [[Fraction(int(n), 16) for n in rng.choice([-16, 16, *range(-16, 17)], d)] for _ in range(6)]


def test_monomials_are_graded() -> None:
    for d in range(1, 5):
        assert monomials(d, 4)[: len(monomials(d, 3))] == monomials(d, 3)
        assert monomials(d, 2)[1 + d :] == tuple(tuple((i == k) + (j == k) for k in range(d)) for i, j in pairs(d))
        for degree in (2, 3, 4, 5):
            every = monomials(d, degree)
            assert len(set(every)) == len(every)
            assert dimension_of(len(every), degree) == d
            ways = [int(np.prod([e + 1 for e in m])) - 2 for m in every if sum(m) > 1]
            assert len(products(d, degree)) == sum(ways)
            assert max(ways) + 2 <= 2**degree
    with pytest.raises(ValueError, match="11 is not the number of monomials of degree 2"):
        dimension_of(11, 2)


@pytest.mark.parametrize("degree", [2, 3, 4, 5])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_arithmetic_holds_what_it_is_about(d: int, degree: int) -> None:
    """Products, sums, affine maps, lower and higher degrees, ranges and values, for functions at the ends of their radii."""
    a, b = random_forms(d, degree, d), random_forms(d, degree, d + 10)
    product, total, mixed = a * b, a - b, a.affine([[1.0, -3.0], [0.1, 1e-5]], [0.1, 7.0])
    low, high, span, spans = a.lowered(2), a.raised(5), a.range(), product.range()
    assert [forms.degree for forms in (product, total, mixed, low, high)] == [degree, degree, degree, 2, 5]
    weight = [[Fraction(1), Fraction(-3)], [Fraction(0.1), Fraction(1e-5)]]
    for t in points(d, 3)[: max(8 - degree, 4)]:
        at = a.at(np.tile([float(x) for x in t], (BOXES, 1)))
        for n in range(BOXES):
            for sign in (-1, 1):
                x = [value(a, n, k, t) + sign * Fraction(float(a.radius[n, k])) for k in range(2)]
                y = [value(b, n, k, t) - sign * Fraction(float(b.radius[n, k])) for k in range(2)]
                for k in range(2):
                    z = Fraction([0.1, 7.0][k]) + sum(w * v for w, v in zip(weight[k], x, strict=True))
                    for forms, truth in ((product, x[k] * y[k]), (total, x[k] - y[k]), (mixed, z), (low, x[k]), (high, x[k])):
                        assert abs(truth - value(forms, n, k, t)) <= Fraction(float(forms.radius[n, k]))
                    for interval, truth in ((span, x[k]), (at, x[k]), (spans, x[k] * y[k])):
                        assert Fraction(float(interval.lower[n, k])) <= truth <= Fraction(float(interval.upper[n, k]))


def test_lowering_is_sharp() -> None:
    """Single monomials: t³ and t⁴ as Chebyshev has them, squares halved, and nothing of what is kept."""
    for exponents, constant, radius in (((3, 0), 0, 0.25), ((4, 0), -0.125, 0.125), ((2, 1), 0, 0.5), ((2, 2), 0, 0.5), ((1, 1), 0, 0)):
        coefficients = np.array([float(m == exponents) for m in monomials(2, 4)])[None, :, None]
        low = TaylorForms(coefficients, np.zeros((1, 1)), degree=4).lowered(2)
        assert low.coefficients[0, 0, 0] == constant
        assert low.radius[0, 0] == pytest.approx(radius, abs=1e-11)


def test_lowering_from_degree_five() -> None:
    """⅞·t³ for t⁵ and 53/64·t²·m for t⁴·m: as near as a multiple of one monomial comes, to 2 %."""
    t = np.linspace(0, 1, 2001)
    for exponents, below, power in (((5, 0), (3, 0), 5), ((4, 1), (2, 1), 4)):
        every = monomials(2, 5)
        low = TaylorForms(np.array([float(m == exponents) for m in every])[None, :, None], np.zeros((1, 1)), degree=5).lowered(4)
        share = low.coefficients[0, every.index(below), 0]
        missed = np.abs(t**power - share * t ** (power - 2)).max()
        best = min(np.abs(t**power - other * t ** (power - 2)).max() for other in np.linspace(0.8, 0.9, 101))
        assert missed <= low.radius[0, 0] <= 1.001 * missed
        assert low.radius[0, 0] <= 1.02 * best


@pytest.mark.parametrize("degree", [2, 3, 4, 5])
def test_radii_are_of_the_next_order(degree: int) -> None:
    """Where a box is half as wide the radius is 2^-(degree + 1) of what it was."""
    u, v = sympy.symbols("u v", real=True)
    texts = [sympy.sin(2 * u + v) * sympy.exp(v), sympy.sqrt(2 + u * v) / (3 + u), sympy.tanh(u) ** 3 + sympy.log(2 + v)]
    enclosure = ExpressionEnclosure(ExpressionMap((u, v), tuple(texts)))
    center, half = np.array([[0.3, -0.2]]), 1 / 16
    radii = [enclosure.over(center - h, center + h, degree).forms.radius[0] for h in (half, half / 2, half / 4)]
    for large, small in pairwise(radii):
        np.testing.assert_allclose(large / small, 2.0 ** (degree + 1), rtol=0.2)


@pytest.mark.parametrize("name", [*SMOOTH, "sqrt"])
def test_derivatives_up_to_the_sixth(name: str) -> None:
    """At points and on small intervals, against power series in arbitrary precision."""
    ctx.prec, ctx.cap = 200, HIGHEST + 2
    low, high = {"asin": (-1, 1), "acos": (-1, 1), "atanh": (-1, 1), "acosh": (1, 4), "log": (0, 4), "sqrt": (0, 4)}.get(name, (-3, 3))
    x = np.random.default_rng(1).uniform(low, high, 40)
    rule = square_root if name == "sqrt" else SMOOTH[name]
    for radius in (0.0, 1e-3):
        left, right = np.maximum(x - radius, low), np.minimum(x + radius, high)
        found = rule(Interval.of(left, right), range(HIGHEST + 1))
        for k, point in enumerate(x):
            series = _series(name, arb_series([arb(float(point)), 1]))
            for order, enclosure in enumerate(found):
                exact = series[order] * arb(order).fac()
                assert not exact < float(enclosure.lower[k])
                assert not exact > float(enclosure.upper[k])
                if radius == 0:
                    assert enclosure.upper[k] - enclosure.lower[k] <= 1e-10 * (1 + abs(float(exact)))


def _series(name: str, x: arb_series) -> arb_series:
    one = arb_series([1])
    match name:
        case "acos":
            return arb_series([arb.pi() / 2]) - x.asin()
        case "acosh":
            return (x + ((x - one).sqrt() * (x + one).sqrt())).log()
        case "asinh":
            return (x + (x * x + one).sqrt()).log()
        case "atanh":
            return ((one + x) / (one - x)).log() / 2
        case "sinh" | "cosh" | "tanh":
            up, down = x.exp(), (-x).exp()
            parts = {"sinh": (up - down) / 2, "cosh": (up + down) / 2, "tanh": (up - down) / (up + down)}
            return parts[name]
        case "cot":
            return x.cos() / x.sin()
        case "tan":
            return x.sin() / x.cos()
    return getattr(x, name)()
