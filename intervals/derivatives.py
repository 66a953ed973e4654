"""The elementary functions with their first three derivatives, enclosed over intervals.

Outside its real domain a function, and at the ends of the domain an unbounded derivative, is unknown.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .arithmetic import HALF_PI, Interval

Derivatives = tuple[Interval, Interval, Interval, Interval]
"""(h, h′, h″, h‴) on an interval."""

ZERO = Interval.of(0.0)
ONE = Interval.of(1.0)


def powers(x: Interval, n: int) -> Derivatives:
    """xⁿ and its derivatives."""
    if n < 0:
        r, p = x.inverse(), -n
        return r.power(p), r.power(p + 1).times(n), r.power(p + 2).times(n * (n - 1)), r.power(p + 3).times(n * (n - 1) * (n - 2))
    first, second, third = (x.power(n - k).times(f) if f else ZERO for k, f in enumerate((n, n * (n - 1), n * (n - 1) * (n - 2)), 1))
    return x.power(n), first, second, third


def square_root(x: Interval) -> Derivatives:
    r = _inverse_root(x)
    return x.sqrt(), r.times(0.5), r.power(3).times(-0.25), r.power(5).times(0.375)


def _inverse_root(x: Interval) -> Interval:
    """x^{−1/2} for x > 0."""
    return x.sqrt().inverse().unknown_where(x.lower <= 0)


def _sin(x: Interval) -> Derivatives:
    sin, cos = x.sin(), x.cos()
    return sin, cos, -sin, -cos


def _cos(x: Interval) -> Derivatives:
    sin, cos = x.sin(), x.cos()
    return cos, -sin, -cos, sin


def exponential(x: Interval) -> Derivatives:
    value = x.exp()
    return value, value, value, value


def logarithm(x: Interval) -> Derivatives:
    r = x.inverse().unknown_where(x.lower <= 0)
    return x.log(), r, -r.power(2), r.power(3).times(2)


def _tan_like(t: Interval, sign: float) -> Derivatives:
    """Derivatives of t with t′ = 1 + sign·t²: tan for +1; with −1, tanh."""
    square = t.power(2)
    first = ONE + square.times(sign)
    return t, first, (t * first).times(2 * sign), first * (ONE.times(2 * sign) + square.times(6))


def _tan(x: Interval) -> Derivatives:
    return _tan_like(x.tan(), 1)


def _cot(x: Interval) -> Derivatives:
    # cot x = tan(π/2 − x)
    t = _tan(HALF_PI - x)
    return t[0], -t[1], t[2], -t[3]


def _tanh(x: Interval) -> Derivatives:
    return _tan_like(x.monotone(np.tanh).within(-1, 1), -1)


def _atan(x: Interval) -> Derivatives:
    r = (ONE + x.power(2)).inverse()
    return x.monotone(np.arctan), r, (x * r.power(2)).times(-2), r.power(3) * (x.power(2).times(6) - ONE.times(2))


def _asin(x: Interval) -> Derivatives:
    r = _inverse_root(ONE - x.power(2))
    return x.monotone(np.arcsin), r, x * r.power(3), (ONE + x.power(2).times(2)) * r.power(5)


def _acos(x: Interval) -> Derivatives:
    asin = _asin(x)
    return HALF_PI - asin[0], -asin[1], -asin[2], -asin[3]


def _sinh(x: Interval) -> Derivatives:
    sinh, cosh = x.monotone(np.sinh), x.absolute().monotone(np.cosh).within(1, np.inf)
    return sinh, cosh, sinh, cosh


def _cosh(x: Interval) -> Derivatives:
    sinh, cosh, _, _ = _sinh(x)
    return cosh, sinh, cosh, sinh


def _asinh(x: Interval) -> Derivatives:
    r = _inverse_root(ONE + x.power(2))
    return x.monotone(np.arcsinh), r, -(x * r.power(3)), (x.power(2).times(2) - ONE) * r.power(5)


def _acosh(x: Interval) -> Derivatives:
    r = _inverse_root(x.power(2) - ONE)
    return x.monotone(np.arccosh), r, -(x * r.power(3)), (ONE + x.power(2).times(2)) * r.power(5)


def _atanh(x: Interval) -> Derivatives:
    r = (ONE - x.power(2)).inverse().unknown_where(x.absolute().upper >= 1)
    return x.monotone(np.arctanh), r, (x * r.power(2)).times(2), (ONE.times(2) + x.power(2).times(6)) * r.power(3)


SMOOTH: dict[str, Callable[[Interval], Derivatives]] = {
    "sin": _sin,
    "cos": _cos,
    "tan": _tan,
    "cot": _cot,
    "asin": _asin,
    "acos": _acos,
    "atan": _atan,
    "sinh": _sinh,
    "cosh": _cosh,
    "tanh": _tanh,
    "asinh": _asinh,
    "acosh": _acosh,
    "atanh": _atanh,
    "exp": exponential,
    "log": logarithm,
}
"""By the name of the function."""
