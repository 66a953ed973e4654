"""Enclosures of expressions over boxes: interval arithmetic on float64 arrays, every result rounded outwards.

An `Interval` holds N intervals at once. One floating-point operation is off by at most half a unit in the last place, so
moving both ends by one float outwards keeps the exact result inside; elementary functions of numpy and the C library are taken
to be right to `ULPS` units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import sympy
from numpy.typing import NDArray

from ..atlas import Array, ExpressionMap
from ..errors import AtlasMoEError

ULPS = 8


class NotEnclosed(AtlasMoEError):
    """An expression holds a function that has no enclosure here."""


@dataclass(frozen=True, eq=False)
class Interval:
    """N closed intervals [low, high]; what is not defined on all of them is [−∞, ∞]."""

    low: Array
    high: Array

    def __add__(self, other: Interval) -> Interval:
        return _outwards(self.low + other.low, self.high + other.high)

    def __mul__(self, other: Interval) -> Interval:
        ends = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        # 0·∞ is NaN in floats and 0 in intervals of real numbers.
        ends = [np.where(np.isnan(end), 0.0, end) for end in ends]
        return _outwards(np.minimum.reduce(ends), np.maximum.reduce(ends))

    def reciprocal(self) -> Interval:
        """1/x; everything where x may be 0."""
        away = (self.low > 0) | (self.high < 0)
        low, high = np.where(away, self.low, 1.0), np.where(away, self.high, 1.0)
        return _where(away, _outwards(1 / high, 1 / low))

    def power(self, n: int) -> Interval:
        """x^n for an integer n ≥ 0; of even n never below 0."""
        if n % 2 == 0:
            straddles = (self.low < 0) & (self.high > 0)
            small = np.where(straddles, 0.0, np.minimum(np.abs(self.low), np.abs(self.high)))
            return _monotone(lambda x: x**n, Interval(small, np.maximum(np.abs(self.low), np.abs(self.high))), 0.0)
        return _monotone(lambda x: x**n, self)

    @property
    def middle(self) -> Array:
        return self.low + (self.high - self.low) / 2

    @property
    def magnitude(self) -> Array:
        """The largest |x|."""
        return np.maximum(np.abs(self.low), np.abs(self.high))


def point(values: Array) -> Interval:
    """The intervals that hold one float each."""
    return Interval(values, values)


def _outwards(low: Array, high: Array) -> Interval:
    """One float further out on both sides; NaN becomes unbounded."""
    low, high = np.nextafter(low, -np.inf), np.nextafter(high, np.inf)
    return _where(~(np.isnan(low) | np.isnan(high)), Interval(low, high))


def _where(defined: NDArray[np.bool_], interval: Interval) -> Interval:
    return Interval(np.where(defined, interval.low, -np.inf), np.where(defined, interval.high, np.inf))


def _monotone(function: Callable[[Array], Array], x: Interval, least: float = -np.inf, most: float = np.inf) -> Interval:
    """An increasing function with values in [least, most], its values right to ULPS units in the last place."""
    slack = ULPS * np.finfo(float).eps
    tiny = np.finfo(float).tiny
    low, high = function(x.low), function(x.high)
    wide = _outwards(low - slack * np.abs(low) - tiny, high + slack * np.abs(high) + tiny)
    return Interval(np.maximum(wide.low, least), np.minimum(wide.high, most))


def _defined(function: Callable[[Array], Array], low: float, high: float) -> Callable[[Interval], Interval]:
    """An increasing function on [low, high]; unbounded for intervals that leave it."""

    def enclose(x: Interval) -> Interval:
        inside = (x.low >= low) & (x.high <= high)
        safe = Interval(np.clip(x.low, low, high), np.clip(x.high, low, high))
        return _where(inside, _monotone(function, safe))

    return enclose


def _cosine(x: Interval) -> Interval:
    """cos: extreme at the multiples of π, looked for a little beyond both ends; 1 + 2^-40 covers that π is rounded."""
    wide = Interval(x.low - 2.0**-40 * (1 + np.abs(x.low)), x.high + 2.0**-40 * (1 + np.abs(x.high)))
    at_ends = np.cos(x.low), np.cos(x.high)
    slack = ULPS * np.finfo(float).eps
    top = np.floor(wide.high / (2 * np.pi)) > np.floor(wide.low / (2 * np.pi))
    bottom = np.floor((wide.high - np.pi) / (2 * np.pi)) > np.floor((wide.low - np.pi) / (2 * np.pi))
    low = np.where(bottom, -1.0, np.maximum(np.minimum(*at_ends) - slack, -1.0))
    high = np.where(top, 1.0, np.minimum(np.maximum(*at_ends) + slack, 1.0))
    finite = np.isfinite(x.low) & np.isfinite(x.high) & (x.magnitude < 1e6)
    return Interval(np.where(finite, low, -1.0), np.where(finite, high, 1.0))


def _sine(x: Interval) -> Interval:
    """sin x = cos(x − π/2), with π/2 enclosed."""
    quarter = -np.pi / 2
    return _cosine(x + Interval(np.full_like(x.low, np.nextafter(quarter, -np.inf)), np.full_like(x.low, np.nextafter(quarter, np.inf))))


def _absolute(x: Interval) -> Interval:
    straddles = (x.low < 0) & (x.high > 0)
    return Interval(np.where(straddles, 0.0, np.minimum(np.abs(x.low), np.abs(x.high))), x.magnitude)


_FUNCTIONS: dict[type, Callable[[Interval], Interval]] = {
    sympy.sin: _sine,
    sympy.cos: _cosine,
    sympy.tan: lambda x: _sine(x) * _cosine(x).reciprocal(),
    sympy.exp: lambda x: _monotone(np.exp, x, 0.0),
    sympy.log: _defined(np.log, np.finfo(float).tiny, np.inf),
    sympy.atan: lambda x: _monotone(np.arctan, x),
    sympy.asin: _defined(np.arcsin, -1.0, 1.0),
    sympy.sinh: lambda x: _monotone(np.sinh, x),
    sympy.tanh: lambda x: _monotone(np.tanh, x, -1.0, 1.0),
    sympy.cosh: lambda x: _monotone(np.cosh, _absolute(x), 1.0),
    sympy.Abs: _absolute,
}
_SQUARE_ROOT = _defined(np.sqrt, 0.0, np.inf)


class Enclosure:
    """The natural interval extension of an `ExpressionMap`: every component over N boxes at once, shared parts once."""

    def __init__(self, function: ExpressionMap) -> None:
        """Raises `NotEnclosed` if an expression holds a function without an enclosure."""
        self._variables = function.variables
        self._shared, self._components = sympy.cse(list(function.expressions))
        for part in [e for _, e in self._shared] + list(self._components):
            _check(part)

    def __call__(self, box: Sequence[Interval]) -> list[Interval]:
        """The components over the boxes whose sides are the intervals, one per variable."""
        with np.errstate(all="ignore"):
            known: dict[sympy.Basic, Interval] = dict(zip(self._variables, box, strict=True))
            for symbol, part in self._shared:
                known[symbol] = _enclose(part, known)
            return [_enclose(part, known) for part in self._components]


def _check(expression: sympy.Expr) -> None:
    for part in sympy.preorder_traversal(expression):
        simple = part.is_Symbol or part.is_number or part.is_Add or part.is_Mul or isinstance(part, (sympy.Max, sympy.Min))
        exponent = part.exp if part.is_Pow else None
        power = exponent is not None and (exponent.is_Integer or (exponent.is_Rational and exponent.q == 2) or part.base == sympy.E)
        if not (simple or power or type(part) in _FUNCTIONS):
            raise NotEnclosed(f"{type(part).__name__} has no enclosure")


def _enclose(part: sympy.Expr, known: dict[sympy.Basic, Interval]) -> Interval:
    if part in known:
        return known[part]
    if part.is_number:
        return _number(part, next(iter(known.values())).low.shape)
    if part.is_Pow and part.base == sympy.E:
        return _monotone(np.exp, _enclose(part.exp, known), 0.0)
    if part.is_Pow:
        base, exponent = _enclose(part.base, known), part.exp
        value = base.power(abs(int(exponent))) if exponent.is_Integer else _SQUARE_ROOT(base).power(abs(int(exponent.p)))
        return value.reciprocal() if exponent.is_negative else value
    parts = [_enclose(argument, known) for argument in part.args]
    if not (part.is_Add or part.is_Mul or isinstance(part, (sympy.Max, sympy.Min))):
        return _FUNCTIONS[type(part)](parts[0])
    value = parts[0]
    for other in parts[1:]:
        if part.is_Add:
            value = value + other
        elif part.is_Mul:
            value = value * other
        else:
            fold = np.maximum if isinstance(part, sympy.Max) else np.minimum
            value = Interval(fold(value.low, other.low), fold(value.high, other.high))
    return value


def _number(part: sympy.Expr, shape: tuple[int, ...]) -> Interval:
    """A constant: evaluated to 40 digits, rounded to a float, and widened by one on both sides unless it is that float."""
    value = float(part.evalf(40))
    exact = (part.is_Integer and abs(int(part)) <= 2**53) or (part.is_Float and part._prec <= 53)
    ends = (value, value) if exact else (np.nextafter(value, -np.inf), np.nextafter(value, np.inf))
    return Interval(np.full(shape, ends[0]), np.full(shape, ends[1]))
