"""Values of sympy expressions to 128 bits with error bounds (python-flint's arb), straight from the tree."""

from __future__ import annotations

from collections.abc import Mapping

import sympy
from flint import arb, ctx, fmpq, fmpz

PRECISION = 160
NAN = arb("nan")

SAME_NAME = ("sin", "cos", "tan", "cot", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "exp", "log")


def exact(value: float) -> arb:
    """The number that a float stands for."""
    return arb(value)


def evaluate(e: sympy.Basic, point: Mapping[sympy.Symbol, arb]) -> arb:
    """e at the point; NaN where it is not real, or where a branch cannot be decided."""
    ctx.prec = PRECISION
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
