"""Taylor coefficients φ^(i)(x)/i! of the elementary functions over intervals, to any order, by recurrences between them.

Each function solves a differential equation whose coefficients are polynomials in x and itself; comparing powers of h in it at x + h gives
coefficient i + 1 from those before. Interval arithmetic on it holds the coefficients at every x of an interval.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, reduce

import numpy as np

from ...intervals import Interval
from ...intervals.arithmetic import HALF_PI

Series = list[Interval]
ONE, TWO = Interval.of(1.0), Interval.of(2.0)


@lru_cache(maxsize=1024)
def _of(numerator: int, denominator: int) -> Interval:
    return Interval.of(float(numerator)) / Interval.of(float(denominator))


def _total(parts: list[Interval]) -> Interval:
    return reduce(Interval.__add__, parts)


def _convolved(a: Series, b: Series, k: int) -> Interval:
    """Coefficient k of a product."""
    return _total([a[i] * b[k - i] for i in range(k + 1)])


def power(x: Interval, exponent: Interval, first: Interval, n: int) -> Series:
    """x^p from x^p itself, for x ≠ 0: c_{i+1} = c_i·(p − i)/((i + 1)·x)."""
    found, inverse = [first], x.inverse()
    for i in range(n):
        found.append(found[-1] * (exponent - Interval.of(float(i))) * inverse * _of(1, i + 1))
    return found


def whole_power(x: Interval, p: int, n: int) -> Series:
    """x^p for an integer p, p ≥ 0 also at 0."""
    if p < 0:
        return power(x, Interval.of(float(p)), x.power(p), n)
    found, count = [], 1
    for i in range(n + 1):
        found.append(x.power(p - i) * Interval.of(float(count)) if count and count < 2**53 else x.times(0.0 if not count else np.inf))
        count = count * (p - i) // (i + 1)
    return found


def _exp(x: Interval, n: int) -> Series:
    found = [x.exp()]
    for i in range(n):
        found.append(found[-1] * _of(1, i + 1))
    return found


def _log(x: Interval, n: int) -> Series:
    slope = power(x, Interval.of(-1.0), x.inverse().unknown_where(x.lower <= 0), max(n - 1, 0))
    return _integral(x.log(), slope, n)


def _integral(value: Interval, slope: Series, n: int) -> Series:
    """A function by its value and the coefficients of its derivative."""
    return [value, *(slope[i] * _of(1, i + 1) for i in range(n))]


def _turning(value: Interval, slope: Interval, sign: float, n: int) -> Series:
    """f with f″ = sign·f."""
    found = [value, slope]
    for i in range(n - 1):
        found.append(found[i].times(sign) * _of(1, (i + 1) * (i + 2)))
    return found[: n + 1]


def _sinh(x: Interval, n: int) -> Series:
    up, down = x.exp(), (-x).exp()
    return _turning((up - down).times(0.5), (up + down).times(0.5), 1.0, n)


def _cosh(x: Interval, n: int) -> Series:
    up, down = x.exp(), (-x).exp()
    return _turning((up + down).times(0.5), (up - down).times(0.5), 1.0, n)


def _tangent(value: Interval, sign: float, n: int) -> Series:
    """f with f′ = 1 + sign·f²."""
    found = [value]
    for i in range(n):
        square = _convolved(found, found, i).times(sign)
        found.append((square + ONE if i == 0 else square) * _of(1, i + 1))
    return found


def _cot(x: Interval, n: int) -> Series:
    turned = _tangent((HALF_PI - x).tan(), 1.0, n)
    return [part.times((-1.0) ** i) for i, part in enumerate(turned)]


def _over(x: Interval, value: Interval, square: float, constant: float, factor: float, n: int) -> Series:
    """f with (constant + square·x²)·f′ = factor·x·f."""
    found, below = [value], (ONE.times(constant) + x.power(2).times(square)).inverse()
    for i in range(n):
        # Coefficient i of factor·(x + h)·f − square·(2·x·h + h²)·f′.
        parts = [(x * found[i]).times(factor - 2 * square * i)]
        if i:
            parts.append(found[i - 1].times(factor - square * (i - 1)))
        found.append(_total(parts) * below * _of(1, i + 1))
    return found


def _inverse_root(x: Interval) -> Interval:
    return x.sqrt().inverse().unknown_where(x.lower <= 0)


def _atan(x: Interval, n: int) -> Series:
    slope = _over(x, (ONE + x.power(2)).inverse(), 1.0, 1.0, -2.0, n)
    return _integral(x.monotone(np.arctan), slope, n)


def _asin(x: Interval, n: int) -> Series:
    slope = _over(x, _inverse_root(ONE - x.power(2)), -1.0, 1.0, 1.0, n)
    return _integral(x.monotone(np.arcsin), slope, n)


def _acos(x: Interval, n: int) -> Series:
    first, *rest = _asin(x, n)
    return [HALF_PI - first, *(-part for part in rest)]


def _asinh(x: Interval, n: int) -> Series:
    return _integral(x.monotone(np.arcsinh), _over(x, _inverse_root(ONE + x.power(2)), 1.0, 1.0, -1.0, n), n)


def _acosh(x: Interval, n: int) -> Series:
    return _integral(x.monotone(np.arccosh), _over(x, _inverse_root(x.power(2) - ONE), 1.0, -1.0, -1.0, n), n)


def _atanh(x: Interval, n: int) -> Series:
    slope = _over(x, (ONE - x.power(2)).inverse().unknown_where(x.magnitude >= 1), -1.0, 1.0, 2.0, n)
    return _integral(x.monotone(np.arctanh), slope, n)


SERIES: dict[str, Callable[[Interval, int], Series]] = {
    "sin": lambda x, n: _turning(x.sin(), x.cos(), -1.0, n),
    "cos": lambda x, n: _turning(x.cos(), -x.sin(), -1.0, n),
    "tan": lambda x, n: _tangent(x.tan(), 1.0, n),
    "cot": _cot,
    "asin": _asin,
    "acos": _acos,
    "atan": _atan,
    "sinh": _sinh,
    "cosh": _cosh,
    "tanh": lambda x, n: _tangent(x.monotone(np.tanh), -1.0, n),
    "asinh": _asinh,
    "acosh": _acosh,
    "atanh": _atanh,
    "exp": _exp,
    "log": _log,
}
"""By the name of the function."""
