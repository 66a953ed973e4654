"""The elementary functions with their derivatives up to the sixth, enclosed over intervals.

A rule computes what it is asked for only. The decoration of the value says where the function is defined, continuous, Lipschitz, C²:
derivatives of what is less mean nothing. At the ends of a domain an unbounded derivative is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .arithmetic import HALF_PI, Domain, Interval, outward

Derivatives = Sequence[Interval]
"""On an interval, in the orders that were asked for."""
Orders = Sequence[int]
THIRD: Orders = range(4)
"""A function and its first three derivatives: h, h′, h″, h‴."""
HIGHEST = 6
"""The order up to which derivatives are known."""

ZERO = Interval.of(0.0)
ONE = Interval.of(1.0)
BETWEEN, INSIDE, ABOVE = Domain(-1.0, 1.0, closed=True), Domain(-1.0, 1.0, closed=False), Domain(1.0, np.inf, closed=True)
"""Of asin and acos, of atanh, of acosh."""


def chosen(orders: Orders, *rules: Callable[[], Interval]) -> list[Interval]:
    """The derivatives of these orders."""
    return [rules[k]() for k in orders]


def powers(x: Interval, n: int, orders: Orders = THIRD) -> list[Interval]:
    """xⁿ and its derivatives."""
    factors = [1]
    for k in range(max(orders, default=0)):
        factors.append(factors[-1] * (n - k))
    if n < 0:
        r = x.inverse()
        return [r.power(k - n) * _whole(factors[k]) if k else r.power(-n) for k in orders]
    if n == 0:
        return [ZERO if k > 1 else x.times(0.0) if k else x.power(0) for k in orders]
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
    """A real constant p that is no integer, and p − 1, p − 2, … up to `HIGHEST`, enclosed."""

    shifted: tuple[Interval, ...]

    def powers(self, x: Interval, orders: Orders = THIRD) -> list[Interval]:
        """x^p for x ≥ 0 and its derivatives p·x^{p−1}, … by the power rule."""
        factors = [ONE]
        for k in range(max(orders, default=0)):
            factors.append(factors[-1] * self.shifted[k])
        return [factors[k] * x.raised(self.shifted[k]) if k else x.raised(self.shifted[0]) for k in orders]


def square_root(x: Interval, orders: Orders = THIRD) -> list[Interval]:
    r = _inverse_root(x)
    return chosen(
        orders,
        x.sqrt,
        lambda: r.times(0.5),
        lambda: r.power(3).times(-0.25),
        lambda: r.power(5).times(0.375),
        lambda: r.power(7).times(-0.9375),
        lambda: r.power(9).times(3.28125),
        lambda: r.power(11).times(-14.765625),
    )


def _inverse_root(x: Interval) -> Interval:
    """x^{−1/2} for x > 0."""
    return x.sqrt().inverse().unknown_where(x.lower <= 0)


def _turned(orders: Orders, even: Callable[[], Interval], odd: Callable[[], Interval], turn: bool, start: int) -> list[Interval]:
    """Even and odd derivatives in turn, from the one numbered `start`; where they turn, each pair has the other sign of the last."""
    held: dict[int, Interval] = {}
    found = []
    for k in orders:
        n = k + start
        if n % 2 not in held:
            held[n % 2] = odd() if n % 2 else even()
        found.append(-held[n % 2] if turn and n % 4 >= 2 else held[n % 2])
    return found


def _sin(x: Interval, orders: Orders = THIRD) -> list[Interval]:
    return _turned(orders, x.sin, x.cos, True, 0)


def _cos(x: Interval, orders: Orders = THIRD) -> list[Interval]:
    return _turned(orders, x.sin, x.cos, True, 1)


def exponential(x: Interval, orders: Orders = THIRD) -> list[Interval]:
    value = x.exp()
    return [value for _ in orders]


def logarithm(x: Interval, orders: Orders = THIRD) -> list[Interval]:
    r = x.inverse().unknown_where(x.lower <= 0)
    return chosen(
        orders,
        x.log,
        lambda: r,
        lambda: -r.power(2),
        lambda: r.power(3).times(2),
        lambda: r.power(4).times(-6),
        lambda: r.power(5).times(24),
        lambda: r.power(6).times(-120),
    )


def _tan_like(t: Interval, sign: float, orders: Orders) -> list[Interval]:
    """Derivatives of t with t′ = 1 + sign·t²: tan for +1; with −1, tanh."""
    square = t.power(2)
    first = ONE + square.times(sign)
    return chosen(
        orders,
        lambda: t,
        lambda: first,
        lambda: (t * first).times(2 * sign),
        lambda: first * (ONE.times(2 * sign) + square.times(6)),
        lambda: (t * first) * (ONE.times(16) + square.times(24 * sign)),
        lambda: first * (ONE.times(16) + square.times(120 * sign) + square.power(2).times(120)),
        lambda: (t * first) * (ONE.times(272 * sign) + square.times(960) + square.power(2).times(720 * sign)),
    )


def _tan(x: Interval, orders: Orders = THIRD) -> list[Interval]:
    return _tan_like(x.tan(), 1, orders)


def _cot(x: Interval, orders: Orders = THIRD) -> list[Interval]:
    # cot x = tan(π/2 − x)
    return [-t if k % 2 else t for k, t in zip(orders, _tan(HALF_PI - x, orders), strict=True)]


def _tanh(x: Interval, orders: Orders = THIRD) -> list[Interval]:
    return _tan_like(x.monotone(np.tanh).within(-1, 1), -1, orders)


def _atan(x: Interval, orders: Orders = THIRD) -> list[Interval]:
    square = x.power(2)
    r = (ONE + square).inverse()
    return chosen(
        orders,
        lambda: x.monotone(np.arctan),
        lambda: r,
        lambda: (x * r.power(2)).times(-2),
        lambda: r.power(3) * (square.times(6) - ONE.times(2)),
        lambda: (x * r.power(4)) * (ONE - square).times(24),
        lambda: r.power(5) * (ONE - square.times(10) + square.power(2).times(5)).times(24),
        lambda: (x * r.power(6)) * (square.times(10) - ONE.times(3) - square.power(2).times(3)).times(240),
    )


def _asin(x: Interval, orders: Orders = THIRD) -> list[Interval]:
    square = x.power(2)
    r = _inverse_root(ONE - square)
    return chosen(
        orders,
        lambda: x.ascending(np.arcsin, BETWEEN),
        lambda: r,
        lambda: x * r.power(3),
        lambda: (ONE + square.times(2)) * r.power(5),
        lambda: x * (ONE.times(9) + square.times(6)) * r.power(7),
        lambda: (ONE.times(9) + square.times(72) + square.power(2).times(24)) * r.power(9),
        lambda: x * (ONE.times(225) + square.times(600) + square.power(2).times(120)) * r.power(11),
    )


def _acos(x: Interval, orders: Orders = THIRD) -> list[Interval]:
    return [-found if k else HALF_PI - found for k, found in zip(orders, _asin(x, orders), strict=True)]


def _sinh(x: Interval, orders: Orders = THIRD, start: int = 0) -> list[Interval]:
    def cosh() -> Interval:
        return x.absolute().decorated(x.decoration).monotone(np.cosh).within(1, np.inf)

    return _turned(orders, lambda: x.monotone(np.sinh), cosh, False, start)


def _cosh(x: Interval, orders: Orders = THIRD) -> list[Interval]:
    return _sinh(x, orders, 1)


def _asinh(x: Interval, orders: Orders = THIRD) -> list[Interval]:
    square = x.power(2)
    r = _inverse_root(ONE + square)
    return chosen(
        orders,
        lambda: x.monotone(np.arcsinh),
        lambda: r,
        lambda: -(x * r.power(3)),
        lambda: (square.times(2) - ONE) * r.power(5),
        lambda: x * (ONE.times(9) - square.times(6)) * r.power(7),
        lambda: (ONE.times(9) - square.times(72) + square.power(2).times(24)) * r.power(9),
        lambda: x * (square.times(600) - ONE.times(225) - square.power(2).times(120)) * r.power(11),
    )


def _acosh(x: Interval, orders: Orders = THIRD) -> list[Interval]:
    square = x.power(2)
    r = _inverse_root(square - ONE)
    return chosen(
        orders,
        lambda: x.ascending(np.arccosh, ABOVE),
        lambda: r,
        lambda: -(x * r.power(3)),
        lambda: (ONE + square.times(2)) * r.power(5),
        lambda: -(x * (ONE.times(9) + square.times(6)) * r.power(7)),
        lambda: (ONE.times(9) + square.times(72) + square.power(2).times(24)) * r.power(9),
        lambda: -(x * (ONE.times(225) + square.times(600) + square.power(2).times(120)) * r.power(11)),
    )


def _atanh(x: Interval, orders: Orders = THIRD) -> list[Interval]:
    square = x.power(2)
    r = (ONE - square).inverse().unknown_where(x.absolute().upper >= 1)
    return chosen(
        orders,
        lambda: x.ascending(np.arctanh, INSIDE),
        lambda: r,
        lambda: (x * r.power(2)).times(2),
        lambda: (ONE.times(2) + square.times(6)) * r.power(3),
        lambda: (x * r.power(4)) * (ONE + square).times(24),
        lambda: (ONE + square.times(10) + square.power(2).times(5)).times(24) * r.power(5),
        lambda: (x * r.power(6)) * (ONE.times(3) + square.times(10) + square.power(2).times(3)).times(240),
    )


Rule = Callable[..., list[Interval]]
"""(x, orders = THIRD) ↦ the derivatives of these orders on x."""
SMOOTH: dict[str, Rule] = {
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
