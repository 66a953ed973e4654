"""The elementary functions with their first three derivatives, enclosed over intervals.

The decoration of the value says where the function is defined, continuous, Lipschitz, C²: derivatives of what is less mean nothing. At the
ends of a domain an unbounded derivative is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from .arithmetic import HALF_PI, Domain, Interval, outward

Derivatives = tuple[Interval, Interval, Interval, Interval]
"""(h, h′, h″, h‴) on an interval."""

ZERO = Interval.of(0.0)
ONE = Interval.of(1.0)
BETWEEN, INSIDE, ABOVE = Domain(-1.0, 1.0, closed=True), Domain(-1.0, 1.0, closed=False), Domain(1.0, np.inf, closed=True)
"""Of asin and acos, of atanh, of acosh."""


def powers(x: Interval, n: int) -> Derivatives:
    """xⁿ and its derivatives."""
    value, first, second, third = power_rule(x, n, range(4))
    return value, first, second, third


def power_rule(x: Interval, n: int, orders: Iterable[int]) -> list[Interval]:
    """The derivatives of these orders ≤ 3 of xⁿ."""
    factors = 1, n, n * (n - 1), n * (n - 1) * (n - 2)
    if n < 0:
        r = x.inverse()
        return [r.power(k - n) * _whole(factors[k]) if k else r.power(-n) for k in orders]
    if n == 0:
        return [(x.power(0), x.times(0.0), ZERO, ZERO)[k] for k in orders]
    return [(x.power(n - k) * _whole(factors[k]) if factors[k] else ZERO) if k else x.power(n) for k in orders]


def _whole(n: int) -> Interval:
    """An integer of any size, which need not be a float."""
    try:
        value = float(n)
    except OverflowError:
        value = np.inf if n > 0 else -np.inf
    if np.isfinite(value) and int(value) == n:
        return Interval.of(value)
    return outward(np.array(value), np.array(value))


@dataclass(frozen=True)
class Exponent:
    """A real constant p that is no integer, and p − 1, p − 2, p − 3, enclosed."""

    shifted: tuple[Interval, ...]

    def powers(self, x: Interval) -> Derivatives:
        """x^p for x ≥ 0 and its derivatives p·x^{p−1}, … by the power rule."""
        factor, found = ONE, [x.raised(self.shifted[0])]
        for k in range(3):
            factor = factor * self.shifted[k]
            found.append(factor * x.raised(self.shifted[k + 1]))
        return found[0], found[1], found[2], found[3]


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
    return x.ascending(np.arcsin, BETWEEN), r, x * r.power(3), (ONE + x.power(2).times(2)) * r.power(5)


def _acos(x: Interval) -> Derivatives:
    asin = _asin(x)
    return HALF_PI - asin[0], -asin[1], -asin[2], -asin[3]


def _sinh(x: Interval) -> Derivatives:
    sinh, cosh = x.monotone(np.sinh), x.absolute().decorated(x.decoration).monotone(np.cosh).within(1, np.inf)
    return sinh, cosh, sinh, cosh


def _cosh(x: Interval) -> Derivatives:
    sinh, cosh, _, _ = _sinh(x)
    return cosh, sinh, cosh, sinh


def _asinh(x: Interval) -> Derivatives:
    r = _inverse_root(ONE + x.power(2))
    return x.monotone(np.arcsinh), r, -(x * r.power(3)), (x.power(2).times(2) - ONE) * r.power(5)


def _acosh(x: Interval) -> Derivatives:
    r = _inverse_root(x.power(2) - ONE)
    return x.ascending(np.arccosh, ABOVE), r, -(x * r.power(3)), (ONE + x.power(2).times(2)) * r.power(5)


def _atanh(x: Interval) -> Derivatives:
    r = (ONE - x.power(2)).inverse().unknown_where(x.absolute().upper >= 1)
    return x.ascending(np.arctanh, INSIDE), r, (x * r.power(2)).times(2), (ONE.times(2) + x.power(2).times(6)) * r.power(3)


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
