"""Values of sympy expressions to many bits with error bounds (python-flint's arb), straight from the tree, at points of random boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import sympy
from atlasmoe.verify.enclosure import TaylorForms
from atlasmoe.verify.enclosure.taylor import middle_half, pairs
from flint import arb, fmpq, fmpz

NAN = arb("nan")
SAME_NAME = ("sin", "cos", "tan", "cot", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "exp", "log")

Point = Sequence[arb]


def exact_function(e: sympy.Basic, variables: Sequence[sympy.Symbol]) -> Callable[[Point], arb]:
    """e at points, given by the values of the variables; NaN where it is not real, or where a branch cannot be decided."""
    if e in variables:
        place = list(variables).index(e)
        return lambda point: point[place]
    if isinstance(e, sympy.Float):
        number = float(e)
        return lambda point: arb(number)
    if isinstance(e, sympy.Rational):
        ratio = fmpq(fmpz(int(e.p)), fmpz(int(e.q)))
        return lambda point: arb(ratio)
    if e == sympy.pi:
        return lambda point: arb.pi()
    if e == sympy.E:
        return lambda point: arb(1).exp()
    if isinstance(e, sympy.Piecewise):
        return _piecewise([(exact_function(branch, variables), _condition(condition, variables)) for branch, condition in e.args])
    parts = [exact_function(a, variables) for a in e.args]
    operation = _operation(e)

    def value(point: Point) -> arb:
        values = [part(point) for part in parts]
        return operation(values) if all(v.is_finite() for v in values) else NAN

    return value


def _operation(e: sympy.Basic) -> Callable[[list[arb]], arb]:
    if isinstance(e, sympy.Pow):
        return _power(e.exp)
    if isinstance(e, sympy.Abs):
        return lambda values: abs(values[0])
    if isinstance(e, sympy.sign):
        return lambda values: values[0].sgn()
    if isinstance(e, sympy.atan2):
        return lambda values: arb.atan2(*values)
    if type(e).__name__ in SAME_NAME:
        function = getattr(arb, type(e).__name__)
        return lambda values: function(values[0])
    folds = {sympy.Add: arb.__add__, sympy.Mul: arb.__mul__, sympy.Max: arb.max, sympy.Min: arb.min}
    fold = folds[type(e)]

    def folded(values: list[arb]) -> arb:
        total = values[0]
        for value in values[1:]:
            total = fold(total, value)
        return total

    return folded


def _power(exponent: sympy.Expr) -> Callable[[list[arb]], arb]:
    if exponent.is_Integer:
        n = int(exponent)
        return lambda values: values[0] ** n
    if exponent.is_Rational and exponent.q == 2:
        numerator = int(exponent.p)
        return lambda values: NAN if values[0] < 0 else values[0].sqrt() ** numerator
    return lambda values: NAN if values[0] < 0 else values[0] ** values[1]


def _piecewise(cases: list) -> Callable[[Point], arb]:
    def value(point: Point) -> arb:
        for branch, condition in cases:
            holds = condition(point)
            if holds is None:
                return NAN
            if holds:
                return branch(point)
        return NAN

    return value


def _condition(e: sympy.Basic, variables: Sequence[sympy.Symbol]) -> Callable[[Point], bool | None]:
    """Whether it holds, or None."""
    if e in (sympy.true, sympy.false):
        return lambda point: bool(e)
    if isinstance(e, sympy.And | sympy.Or):
        parts, joined = [_condition(part, variables) for part in e.args], all if isinstance(e, sympy.And) else any

        def connected(point: Point) -> bool | None:
            values = [part(point) for part in parts]
            return None if None in values else joined(values)

        return connected
    greater, less = exact_function(e.gts, variables), exact_function(e.lts, variables)
    equal = isinstance(e, sympy.Ge | sympy.Le)

    def compared(point: Point) -> bool | None:
        gap = greater(point) - less(point)
        return True if gap > 0 else False if gap < 0 else equal if gap.is_zero() else None

    return compared


def random_boxes(rng: np.random.Generator, N: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Corners (N, d): of all sizes, some without width, some huge, some that touch or hold 0, ±1 and 2^-k exactly."""
    lower = rng.normal(size=(N, d)) * 10.0 ** rng.choice([-3, -1, 0, 0, 0, 1, 3], (N, 1))
    upper = lower + 10.0 ** rng.uniform(-9, 0.5, (N, d)) * (rng.random((N, d)) < 0.9)
    special = rng.choice([0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1e-300, 1e200], (N, d))
    at_lower, at_upper = rng.random((2, N, d)) < 0.1
    shift = np.where(at_lower, special - lower, np.where(at_upper, special - upper, 0.0))
    lower, upper = np.where(at_lower, special, lower + shift), np.where(at_upper & ~at_lower, special, upper + shift)
    return np.minimum(lower, upper), np.maximum(lower, upper)


def random_points(rng: np.random.Generator, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, list[list[arb]]]:
    """Dyadic t (N, d), often corners, and the exact points x(t); the middle instead where rounding left that outside the box."""
    middle, half = middle_half(lower, upper)
    t = rng.choice([-1.0, 1.0, 0.0, *np.arange(-7, 8) / 8], lower.shape)
    points = []
    for b, ends in enumerate(zip(lower.tolist(), upper.tolist(), middle.tolist(), half.tolist(), strict=True)):
        point = []
        for j, (low, high, m, h) in enumerate(zip(*ends, strict=True)):
            x = arb(m) + arb(h) * arb(t[b, j])
            if x < low or x > high:
                t[b, j], x = 0.0, arb(m)
            point.append(x)
        points.append(point)
    return t, points


def inside_form(forms: TaylorForms, b: int, k: int, t: np.ndarray, value: arb) -> bool:
    """False if function k on box b certainly has not this value at t."""
    radius = float(forms.radius[b, k])
    if radius == np.inf:
        return True
    at = [arb(s) for s in t.tolist()]
    monomials = [*at, *(at[i] * at[j] for i, j in pairs(len(at)))]
    coefficients = forms.coefficients[b, :, k].tolist()
    quadratic = arb(coefficients[0])
    for c, monomial in zip(coefficients[1:], monomials, strict=True):
        quadratic += arb(c) * monomial
    return not abs(value - quadratic) > radius
