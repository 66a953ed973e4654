"""Natural interval extensions: an expression with every operation replaced by that of intervals."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from ..expressions.tree import Lookup
from .algebra import Decision, Solver
from .arithmetic import Interval
from .decoration import SURE, Decoration, least, lowered
from .derivatives import SMOOTH, Exponent
from .lookups import range_of
from .vanishing import bounded


class IntervalAlgebra:
    """Expressions over intervals, elementwise."""

    def number(self, value: Interval) -> Interval:
        return value

    def total(self, parts: Sequence[Interval]) -> Interval:
        return reduce(Interval.__add__, parts)

    def negative(self, a: Interval) -> Interval:
        return -a

    def multiply(self, a: Interval, b: Interval) -> Interval:
        return a * b

    def power(self, a: Interval, exponent: int) -> Interval:
        return a.power(exponent)

    def real_power(self, a: Interval, exponent: Exponent) -> Interval:
        return a.raised(exponent.shifted[0])

    def square_root(self, a: Interval) -> Interval:
        return a.sqrt()

    def smooth(self, name: str, a: Interval) -> Interval:
        return SMOOTH[name](a, (0,))[0] if name not in DIRECT else DIRECT[name](a)

    def lookup(self, node: Lookup, parts: Sequence[Interval]) -> Interval:
        return range_of(node, parts)

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

    def roots(self, solver: Solver, u: Sequence[Interval]) -> list[Interval]:
        return solver.solve(u).values

    def restricted(self, a: Interval, bound: Interval, above: bool) -> Interval:
        lower, upper = (np.maximum(a.lower, bound.lower), a.upper) if above else (a.lower, np.minimum(a.upper, bound.upper))
        empty = lower > upper
        return Interval(np.where(empty, a.lower, lower), np.where(empty, a.upper, upper), a.decoration)

    def never_zero(self, found: Interval, a: Interval, positive: bool) -> Interval:
        touches = (a.lower == 0) if positive else (a.lower == 0) | (a.upper == 0)
        return found.decorated(np.where(touches, lowered(a.decoration, touches, Decoration.CONTINUOUS), found.decoration))

    def vanishing(self, found: Interval, x: Interval, power: Interval, logs: int) -> Interval:
        return bounded(found, x, power, logs)


DIRECT = {
    "sin": Interval.sin,
    "cos": Interval.cos,
    "tan": Interval.tan,
    "exp": Interval.exp,
    "log": Interval.log,
}
"""Functions whose derivatives would be computed for nothing."""


def known(side: Interval) -> Interval:
    """What expressions are computed from: numbers that are not bounded may be undefined."""
    return side.at_most(Decoration.NOTHING, np.isinf(side.lower) | np.isinf(side.upper))
