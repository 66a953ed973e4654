"""Jets: enclosures of an expression and its first three derivatives, over many intervals of its one variable at once.

Derivatives are carried through the tree by the rules of Leibniz and Faà di Bruno instead of being written out, so that |u|, max,
min and Piecewise need no generalised functions: where a branch is decided the jet is the branch's; where it is not, values are
hulls of the branches, derivatives mean nothing, and the interval is reported as `undecided`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import comb

import numpy as np
import sympy

from ....atlas import Array
from ....errors import InvalidArgument
from ....intervals import Decision, Flags, Interval, enclose_number
from ....intervals.algebra import connected
from ....intervals.derivatives import ONE, SMOOTH, ZERO, exponential, logarithm, powers, square_root
from ....intervals.numbers import exponent_of
from ....intervals.sides import NATURAL

Jet = tuple[Interval | None, ...]
"""(value, first derivative, …); None stands for a derivative that is identically 0."""

ORDER = 3


def add(a: Interval | None, b: Interval | None) -> Interval | None:
    return b if a is None else a if b is None else a + b


def multiply(a: Interval | None, b: Interval | None) -> Interval | None:
    return None if a is None or b is None else a * b


def product(a: Jet, b: Jet) -> Jet:
    """Leibniz' rule; as long as the shorter of the two."""
    orders = min(len(a), len(b))
    out: list[Interval | None] = []
    for n in range(orders):
        total: Interval | None = None
        for k in range(n + 1):
            term = multiply(a[k], b[n - k])
            factor = comb(n, k)
            total = add(total, term.times(factor) if term is not None and factor > 1 else term)
        out.append(total)
    return tuple(out)


def chain(outer: Sequence[Interval], inner: Jet) -> Jet:
    """Faà di Bruno's rule up to order 3: outer = (h, h′, h″, h‴) on the values of `inner`."""
    out: list[Interval | None] = [outer[0]]
    if len(inner) > 1:
        out.append(multiply(outer[1], inner[1]))
    if len(inner) > 2:
        out.append(add(multiply(outer[2], _square(inner[1])), multiply(outer[1], inner[2])))
    if len(inner) > 3:
        cube = None if inner[1] is None else inner[1].power(3)
        mixed = multiply(multiply(inner[1], inner[2]), Interval.of(3.0))
        out.append(add(add(multiply(outer[3], cube), multiply(outer[2], mixed)), multiply(outer[1], inner[3])))
    return tuple(out)


def _square(x: Interval | None) -> Interval | None:
    return None if x is None else x.power(2)


def quotient(a: Jet, b: Jet) -> Jet:
    return product(a, chain(powers(value(b), -1), b))


def value(jet: Jet) -> Interval:
    return ZERO if jet[0] is None else jet[0]


class Jets:
    """Enclosures of expressions of one variable over the intervals [left, right], (P,) each."""

    def __init__(self, variable: sympy.Symbol, left: Array, right: Array, order: int = ORDER) -> None:
        self.variable, self.order = variable, order
        self.point = Interval(left, right)
        self.undecided = np.zeros(left.shape, bool)
        """Where some branch of what was asked for so far may change within the interval."""
        self._known: dict[sympy.Basic, Jet] = {}

    def __call__(self, expression: sympy.Expr) -> Jet:
        """(F, F′, …) up to `order`. Raises `InvalidArgument` for functions that have no enclosure here."""
        found = self._known.get(expression)
        if found is None:
            found = self._known[expression] = self._jet(expression)
        return found

    def _constant(self, x: Interval) -> Jet:
        return (x,) + (None,) * self.order

    def _jet(self, e: sympy.Expr) -> Jet:
        if e == self.variable:
            return (self.point, ONE, None, None)[: self.order + 1]
        if e.is_Number or e.is_NumberSymbol:
            return self._constant(_number(e))
        if isinstance(e, sympy.Add | sympy.Mul):
            combine = product if isinstance(e, sympy.Mul) else lambda a, b: tuple(map(add, a, b))
            total = self(e.args[0])
            for argument in e.args[1:]:
                total = combine(total, self(argument))
            return total
        if isinstance(e, sympy.Pow):
            return self._power(e.base, e.exp)
        if (name := type(e).__name__) in SMOOTH:
            inner = self(e.args[0])
            return chain(SMOOTH[name](value(inner)), inner)
        if isinstance(e, sympy.atan2):
            return self._angle(self(e.args[0]), self(e.args[1]))
        if isinstance(e, sympy.Abs | sympy.sign):
            return self._signed(e, self(e.args[0]))
        if isinstance(e, sympy.Max | sympy.Min):
            total = self(e.args[0])
            for argument in e.args[1:]:
                total = self._larger(total, self(argument), isinstance(e, sympy.Max))
            return total
        if isinstance(e, sympy.Piecewise):
            return self._piecewise(e)
        raise InvalidArgument(f"{e.func.__name__} in {e} has no enclosure, so no bound can be proved for it")

    def _power(self, base: sympy.Expr, exponent: sympy.Expr) -> Jet:
        inner = self(base)
        if exponent.is_Number and sympy.Rational(exponent).is_Integer:
            return chain(powers(value(inner), int(exponent)), inner)
        if exponent == sympy.S.Half:
            return chain(square_root(value(inner)), inner)
        if exponent.is_Number:
            p = sympy.Rational(exponent)
            return chain(exponent_of(Fraction(int(p.p), int(p.q))).powers(value(inner)), inner)
        # x^p = exp(p·log x); sympy keeps E**u as a power of E.
        log = self._constant(ONE) if base == sympy.E else chain(logarithm(value(inner)), inner)
        scaled = product(self(exponent), log)
        return chain(exponential(value(scaled)), scaled)

    def _angle(self, y: Jet, x: Jet) -> Jet:
        """atan2(y, x): its derivative is (x·y′ − y·x′)/(x² + y²)."""
        a, b = value(y), value(x)
        angle = a.angle(b)
        # On the negative x-axis the angle jumps by 2π; at the origin nothing is known.
        self._undecided(y, (b.lower <= 0) & a.contains_zero())
        if self.order == 0:
            return (angle,)
        turning = tuple(map(add, product(x, y[1:]), _negated(product(y, x[1:]))))
        radius = tuple(map(add, product(x, x), product(y, y)))
        return (angle, *quotient(turning, radius)[: self.order])

    def _undecided(self, switch: Jet, where: Flags) -> None:
        """Marks intervals where a switch may change; one whose derivative is 0 cannot."""
        if len(switch) > 1:
            where = where & (~_vanishes(switch[1]) if switch[1] is not None else np.False_)
        self.undecided = self.undecided | where

    def _signed(self, e: sympy.Expr, inner: Jet) -> Jet:
        x = value(inner)
        if isinstance(e, sympy.sign):
            self._undecided(inner, x.contains_zero())
            return self._constant(x.sign())
        self._undecided(inner, (x.lower < 0) & (x.upper > 0))
        sign = Interval(np.where(x.lower >= 0, 1.0, -1.0), np.where(x.upper <= 0, -1.0, 1.0))
        return (x.absolute(), *(multiply(sign, part) for part in inner[1:]))

    def _larger(self, a: Jet, b: Jet, largest: bool) -> Jet:
        first, second = value(a), value(b)
        if not largest:
            first, second = -first, -second
        wins, loses = first.lower >= second.upper, first.upper <= second.lower
        self._undecided(tuple(map(add, a, _negated(b))), ~wins & ~loses)
        chosen = first.larger(second)
        return (chosen if largest else -chosen, *self._select(a[1:], b[1:], Decision(wins, loses)))

    def _select(self, a: Jet, b: Jet, decision: Decision) -> Jet:
        """a where the decision is true, b where it is false, the hull elsewhere."""
        out: list[Interval | None] = []
        for left, right in zip(a, b, strict=True):
            if left is None and right is None:
                out.append(None)
                continue
            out.append(NATURAL.choose(decision, left or ZERO, right or ZERO))
        return tuple(out)

    def _piecewise(self, e: sympy.Piecewise) -> Jet:
        result: Jet | None = None
        for branch, condition in reversed(e.args):
            decision = self._decide(condition)
            jet = self(branch)
            # After the last condition nothing is defined: if it may be false, nothing is known.
            unknown = (Interval.of(np.nan),) * (self.order + 1)
            result = self._select(jet, unknown if result is None else result, decision)
        assert result is not None
        return result

    def _decide(self, condition: sympy.Basic) -> Decision:
        shape = self.undecided.shape
        if condition in (sympy.true, sympy.false):
            return Decision(np.full(shape, condition == sympy.true), np.full(shape, condition == sympy.false))
        if isinstance(condition, sympy.And | sympy.Or):
            parts = [self._decide(part) for part in condition.args]
            return connected(parts, every=isinstance(condition, sympy.And))
        if isinstance(condition, sympy.Not):
            return self._decide(condition.args[0]).negated()
        if not isinstance(condition, sympy.Gt | sympy.Ge | sympy.Lt | sympy.Le):
            raise InvalidArgument(f"the condition {condition} has no enclosure, so no bound can be proved")
        difference = tuple(map(add, self(condition.gts), _negated(self(condition.lts))))
        x = value(difference)
        # A condition that only changes at an end of the interval counts as decided: at one point values agree if F is continuous.
        true, false = np.broadcast_to(x.lower >= 0, shape), np.broadcast_to(x.upper <= 0, shape)
        both = true & false
        if isinstance(condition, sympy.Gt | sympy.Lt):
            true = true & ~both
        else:
            false = false & ~both
        self._undecided(difference, ~true & ~false)
        return Decision(true, false, x.decoration)


def _vanishes(x: Interval) -> Flags:
    return (x.lower == 0) & (x.upper == 0)


def _negated(jet: Jet) -> Jet:
    return tuple(None if part is None else -part for part in jet)


def _number(e: sympy.Expr) -> Interval:
    if e in (sympy.nan, sympy.zoo, sympy.oo, -sympy.oo):
        raise InvalidArgument(f"{e} is not a finite number, so no bound can be proved")
    return enclose_number(e)
