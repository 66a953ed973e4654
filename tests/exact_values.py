"""Values of sympy expressions to many bits with error bounds (python-flint's arb), straight from the tree, at points of random boxes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import sympy
from atlasmoe.verify.enclosure import TaylorForms
from atlasmoe.verify.enclosure.taylor import middle_half, pairs
from flint import arb, fmpq, fmpz

NAN = arb("nan")

SAME_NAME = ("sin", "cos", "tan", "cot", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "exp", "log")


def exact(value: float) -> arb:
    """The number that a float stands for."""
    return arb(value)


def evaluate(e: sympy.Basic, point: Mapping[sympy.Symbol, arb]) -> arb:
    """e at the point; NaN where it is not real, or where a branch cannot be decided."""
    if e in point:
        return point[e]
    if isinstance(e, sympy.Float):
        return arb(float(e))
    if isinstance(e, sympy.Rational):
        return arb(fmpq(fmpz(int(e.p)), fmpz(int(e.q))))
    if e == sympy.pi:
        return arb.pi()
    if e == sympy.E:
        return arb(1).exp()
    if isinstance(e, sympy.Piecewise):
        for branch, condition in e.args:
            holds = _decide(condition, point)
            if holds is None:
                return NAN
            if holds:
                return evaluate(branch, point)
        return NAN
    parts = [evaluate(a, point) for a in e.args]
    if any(not part.is_finite() for part in parts):
        return NAN
    if isinstance(e, sympy.Pow):
        return _power(e.exp, *parts)
    if isinstance(e, sympy.Abs):
        return abs(parts[0])
    if isinstance(e, sympy.sign):
        return parts[0].sgn()
    if isinstance(e, sympy.atan2):
        return arb.atan2(*parts)
    if type(e).__name__ in SAME_NAME:
        return getattr(parts[0], type(e).__name__)()
    total = parts[0]
    for part in parts[1:]:
        match e:
            case sympy.Add():
                total = total + part
            case sympy.Mul():
                total = total * part
            case sympy.Max():
                total = total.max(part)
            case sympy.Min():
                total = total.min(part)
            case _:
                raise NotImplementedError(type(e))
    return total


def _power(exponent: sympy.Expr, base: arb, value: arb) -> arb:
    if exponent.is_Integer:
        return base ** int(exponent)
    if base < 0:
        return NAN
    return base.sqrt() ** int(exponent.p) if exponent.is_Rational and exponent.q == 2 else base**value


def _decide(condition: sympy.Basic, point: Mapping[sympy.Symbol, arb]) -> bool | None:
    if condition in (sympy.true, sympy.false):
        return bool(condition)
    if isinstance(condition, sympy.And | sympy.Or):
        parts = [_decide(part, point) for part in condition.args]
        if None in parts:
            return None
        return all(parts) if isinstance(condition, sympy.And) else any(parts)
    gap = evaluate(condition.gts, point) - evaluate(condition.lts, point)
    if gap > 0 or gap < 0 or gap.is_zero():
        return bool(gap > 0) or (bool(gap.is_zero()) and isinstance(condition, sympy.Ge | sympy.Le))
    return None


def random_boxes(rng: np.random.Generator, N: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Corners (N, d): of all sizes, some without width, some huge, some that touch or hold 0, ±1 and 2^-k exactly."""
    lower = rng.normal(size=(N, d)) * 10.0 ** rng.choice([-3, -1, 0, 0, 0, 1, 3], (N, 1))
    upper = lower + 10.0 ** rng.uniform(-9, 0.5, (N, d)) * (rng.random((N, d)) < 0.9)
    special = rng.choice([0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1e-300, 1e200], (N, d))
    at_lower, at_upper = rng.random((2, N, d)) < 0.1
    shift = np.where(at_lower, special - lower, np.where(at_upper, special - upper, 0.0))
    lower, upper = np.where(at_lower, special, lower + shift), np.where(at_upper & ~at_lower, special, upper + shift)
    return np.minimum(lower, upper), np.maximum(lower, upper)


def inside_form(forms: TaylorForms, b: int, k: int, t: np.ndarray, value: arb) -> bool:
    """False if function k on box b certainly has not this value at t."""
    radius = float(forms.radius[b, k])
    if radius == np.inf:
        return True
    at = [exact(float(s)) for s in t]
    monomials = [arb(1), *at, *(at[i] * at[j] for i, j in pairs(len(t)))]
    quadratic = sum((exact(float(c)) * m for c, m in zip(forms.coefficients[b, :, k], monomials, strict=True)), arb(0))
    return not abs(value - quadratic) > radius


def random_point(rng: np.random.Generator, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, list[arb]]:
    """A dyadic t, often a corner, and the exact point x(t); the middle instead where rounding left that outside the box."""
    middle, half = middle_half(lower[None], upper[None])
    t = rng.choice([-1.0, 1.0, 0.0, *np.arange(-7, 8) / 8], len(lower))
    point = []
    for j in range(len(lower)):
        x = exact(float(middle[0, j])) + exact(float(half[0, j])) * exact(float(t[j]))
        if x < float(lower[j]) or x > float(upper[j]):
            t[j], x = 0.0, exact(float(middle[0, j]))
        point.append(x)
    return t, point
