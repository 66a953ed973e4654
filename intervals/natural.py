"""Natural interval extensions: an expression with every operation replaced by that of intervals."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
import sympy

from ..expressions import ExpressionMap
from .arithmetic import Interval, outward
from .derivatives import SMOOTH
from .program import Decision, Program

DIGITS = 40
"""Decimal digits to which irrational constants are computed before they are rounded outwards."""


def enclose_number(value: sympy.Expr) -> Interval:
    """A real constant: exact if a float holds it, else between two neighbouring floats."""
    nearest = float(value) if value.is_Number else float(value.evalf(DIGITS))
    if (value.is_Float or value.is_Rational) and np.isfinite(nearest) and sympy.Rational(value) == sympy.Rational(nearest):
        return Interval.of(nearest)
    return outward(np.array(nearest), np.array(nearest))


class IntervalAlgebra:
    """Expressions over intervals, elementwise."""

    def number(self, value: sympy.Expr) -> Interval:
        return enclose_number(value)

    def total(self, parts: Sequence[Interval]) -> Interval:
        return reduce(Interval.__add__, parts)

    def multiply(self, a: Interval, b: Interval) -> Interval:
        return a * b

    def power(self, a: Interval, exponent: int) -> Interval:
        return a.power(exponent)

    def square_root(self, a: Interval) -> Interval:
        return a.sqrt()

    def smooth(self, name: str, a: Interval) -> Interval:
        return SMOOTH[name](a)[0] if name not in DIRECT else DIRECT[name](a)

    def angle(self, y: Interval, x: Interval) -> Interval:
        return y.angle(x)

    def absolute(self, a: Interval) -> Interval:
        return a.absolute()

    def sign(self, a: Interval) -> Interval:
        return a.sign()

    def larger(self, a: Interval, b: Interval) -> Interval:
        return a.larger(b)

    def smaller(self, a: Interval, b: Interval) -> Interval:
        return -((-a).larger(-b))

    def compare(self, greater: Interval, less: Interval, strict: bool) -> Decision:
        if strict:
            return greater.lower > less.upper, greater.upper <= less.lower
        return greater.lower >= less.upper, greater.upper < less.lower

    def choose(self, decision: Decision, a: Interval, b: Interval | None) -> Interval:
        true, false = decision
        if b is None:
            return a.unknown_where(~np.asarray(true))
        hull = a.hull(b)
        lower = np.where(true, a.lower, np.where(false, b.lower, hull.lower))
        return Interval(lower, np.where(true, a.upper, np.where(false, b.upper, hull.upper)))


DIRECT = {
    "sin": Interval.sin,
    "cos": Interval.cos,
    "tan": Interval.tan,
    "exp": Interval.exp,
    "log": Interval.log,
}
"""Functions whose derivatives would be computed for nothing."""


class NaturalEnclosure:
    """The natural interval extension of an `ExpressionMap`: every component over N boxes at once, shared parts once."""

    def __init__(self, function: ExpressionMap) -> None:
        """Raises `NotEnclosed` if an expression holds a function without an enclosure."""
        self._program = Program(function)

    def __call__(self, box: Sequence[Interval]) -> list[Interval]:
        """The components over the boxes whose sides are the intervals, one per variable."""
        shape = np.broadcast_shapes(*(side.lower.shape for side in box))
        with np.errstate(all="ignore"):
            parts = self._program(IntervalAlgebra(), box)
        return [Interval(np.broadcast_to(part.lower, shape), np.broadcast_to(part.upper, shape)) for part in parts]
