"""Natural interval extensions: an expression with every operation replaced by that of intervals."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
import sympy

from ..expressions import ExpressionMap
from .arithmetic import Interval
from .decoration import SURE, Decoration, least, lowered
from .derivatives import SMOOTH, Exponent
from .numbers import enclose_number
from .program import Decision, Program


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

    def real_power(self, a: Interval, exponent: Exponent) -> Interval:
        return a.raised(exponent.shifted[0])

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
        known = least(greater.decoration, less.decoration)
        if strict:
            return Decision(greater.lower > less.upper, greater.upper <= less.lower, known)
        return Decision(greater.lower >= less.upper, greater.upper < less.lower, known)

    def choose(self, decision: Decision, a: Interval, b: Interval | None) -> Interval:
        true, false, known = decision
        if b is None:
            found = a.unknown_where(~np.asarray(true))
        else:
            hull = a.hull(b)
            lower = np.where(true, a.lower, np.where(false, b.lower, hull.lower))
            upper = np.where(true, a.upper, np.where(false, b.upper, hull.upper))
            if a.decoration is not SURE or b.decoration is not SURE:
                either = np.where(true, a.decoration, np.where(false, b.decoration, hull.decoration))
                hull = hull.decorated(either)
            # Where it is open which one it is, the function may jump.
            found = Interval(lower, upper, lowered(hull.decoration, ~np.asarray(true | false), Decoration.DEFINED))
        return found.at_most(Decoration.NOTHING, np.asarray(known < Decoration.DEFINED))


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
        """The components over the boxes whose sides are the intervals, one per variable; unknown where they may be undefined."""
        shape = np.broadcast_shapes(*(side.lower.shape for side in box))
        with np.errstate(all="ignore"):
            parts = [part.settled() for part in self._program(IntervalAlgebra(), [known(side) for side in box])]
        return [Interval(np.broadcast_to(part.lower, shape), np.broadcast_to(part.upper, shape), part.decoration) for part in parts]


def known(side: Interval) -> Interval:
    """What expressions are computed from: numbers that are not bounded may be undefined."""
    return side.at_most(Decoration.NOTHING, np.isinf(side.lower) | np.isinf(side.upper))
