"""Jets: enclosures of an expression and its first three derivatives, over many intervals of its one variable at once.

Derivatives are carried through the tree by the rules of Leibniz and Faà di Bruno instead of being written out, so that |u|, max,
min and Piecewise need no generalised functions: where a branch is decided the jet is the branch's; where it is not, values are
hulls of the branches, derivatives mean nothing, and the interval is reported as `undecided`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import comb

import numpy as np
import sympy

from ...atlas import Array
from ...errors import InvalidArgument
from .spline_intervals import Flags, Interval, outward

Jet = tuple[Interval | None, ...]
"""(value, first derivative, …); None stands for a derivative that is identically 0."""

ORDER = 3
ZERO = Interval.of(0.0)
ONE = Interval.of(1.0)
HALF_PI = outward(np.array(np.pi / 2), np.array(np.pi / 2))


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


def powers(x: Interval, n: int) -> tuple[Interval, ...]:
    """xⁿ and its derivatives."""
    factors = (1, n, n * (n - 1), n * (n - 1) * (n - 2))
    return tuple(x.power(n - k).times(factor) if factor else ZERO for k, factor in enumerate(factors))


def _inverse_root(x: Interval) -> Interval:
    """x^{−1/2} for x > 0."""
    return x.sqrt().inverse().unknown_where(x.lower <= 0)


def _sin(x: Interval) -> tuple[Interval, ...]:
    return x.sin(), x.cos(), -x.sin(), -x.cos()


def _cos(x: Interval) -> tuple[Interval, ...]:
    return x.cos(), -x.sin(), -x.cos(), x.sin()


def _exp(x: Interval) -> tuple[Interval, ...]:
    return (x.exp(),) * 4


def _log(x: Interval) -> tuple[Interval, ...]:
    r = x.inverse().unknown_where(x.lower <= 0)
    return x.log(), r, -r.power(2), r.power(3).times(2)


def _tan_like(t: Interval, sign: float) -> tuple[Interval, ...]:
    """Derivatives of t with t′ = 1 + sign·t²: tan for +1; with −1, tanh."""
    square = t.power(2)
    first = ONE + square.times(sign)
    return t, first, (t * first).times(2 * sign), first * (ONE.times(2 * sign) + square.times(6))


def _tan(x: Interval) -> tuple[Interval, ...]:
    return _tan_like(x.tan(), 1)


def _cot(x: Interval) -> tuple[Interval, ...]:
    # cot x = tan(π/2 − x)
    t = _tan(HALF_PI - x)
    return t[0], -t[1], t[2], -t[3]


def _tanh(x: Interval) -> tuple[Interval, ...]:
    return _tan_like(x.monotone(np.tanh), -1)


def _atan(x: Interval) -> tuple[Interval, ...]:
    r = (ONE + x.power(2)).inverse()
    return x.monotone(np.arctan), r, (x * r.power(2)).times(-2), r.power(3) * (x.power(2).times(6) - ONE.times(2))


def _asin(x: Interval) -> tuple[Interval, ...]:
    r = _inverse_root(ONE - x.power(2))
    return x.monotone(np.arcsin), r, x * r.power(3), (ONE + x.power(2).times(2)) * r.power(5)


def _acos(x: Interval) -> tuple[Interval, ...]:
    asin = _asin(x)
    return HALF_PI - asin[0], -asin[1], -asin[2], -asin[3]


def _sinh(x: Interval) -> tuple[Interval, ...]:
    sinh, cosh = x.monotone(np.sinh), x.absolute().monotone(np.cosh)
    return sinh, cosh, sinh, cosh


def _cosh(x: Interval) -> tuple[Interval, ...]:
    sinh, cosh, _, _ = _sinh(x)
    return cosh, sinh, cosh, sinh


def _asinh(x: Interval) -> tuple[Interval, ...]:
    r = _inverse_root(ONE + x.power(2))
    return x.monotone(np.arcsinh), r, -(x * r.power(3)), (x.power(2).times(2) - ONE) * r.power(5)


def _acosh(x: Interval) -> tuple[Interval, ...]:
    r = _inverse_root(x.power(2) - ONE)
    return x.monotone(np.arccosh), r, -(x * r.power(3)), (ONE + x.power(2).times(2)) * r.power(5)


def _atanh(x: Interval) -> tuple[Interval, ...]:
    r = (ONE - x.power(2)).inverse().unknown_where(x.absolute().upper >= 1)
    return x.monotone(np.arctanh), r, (x * r.power(2)).times(2), (ONE.times(2) + x.power(2).times(6)) * r.power(3)


SMOOTH: dict[type, Callable[[Interval], tuple[Interval, ...]]] = {
    sympy.sin: _sin,
    sympy.cos: _cos,
    sympy.tan: _tan,
    sympy.cot: _cot,
    sympy.asin: _asin,
    sympy.acos: _acos,
    sympy.atan: _atan,
    sympy.sinh: _sinh,
    sympy.cosh: _cosh,
    sympy.tanh: _tanh,
    sympy.asinh: _asinh,
    sympy.acosh: _acosh,
    sympy.atanh: _atanh,
    sympy.exp: _exp,
    sympy.log: _log,
}
"""(h, h′, h″, h‴) on an interval."""

Decision = tuple[Flags, Flags]
"""(surely true, surely false), elementwise."""


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
        if type(e) in SMOOTH:
            inner = self(e.args[0])
            return chain(SMOOTH[type(e)](value(inner)), inner)
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
        if exponent.is_Integer:
            return chain(powers(value(inner), int(exponent)), inner)
        if exponent == sympy.S.Half:
            x, root = value(inner), value(inner).sqrt()
            r = _inverse_root(x)
            return chain((root, r.times(0.5), r.power(3).times(-0.25), r.power(5).times(0.375)), inner)
        # x^p = exp(p·log x); sympy keeps E**u as a power of E.
        log = self._constant(ONE) if base == sympy.E else chain(_log(value(inner)), inner)
        scaled = product(self(exponent), log)
        return chain(_exp(value(scaled)), scaled)

    def _angle(self, y: Jet, x: Jet) -> Jet:
        """atan2(y, x): its derivative is (x·y′ − y·x′)/(x² + y²)."""
        a, b = value(y), value(x)
        right = (a / b).monotone(np.arctan)
        up, down = HALF_PI - (b / a).monotone(np.arctan), -HALF_PI - (b / a).monotone(np.arctan)
        lower = np.where(b.lower > 0, right.lower, np.where(a.lower > 0, up.lower, np.where(a.upper < 0, down.lower, -4.0)))
        upper = np.where(b.lower > 0, right.upper, np.where(a.lower > 0, up.upper, np.where(a.upper < 0, down.upper, 4.0)))
        angle = Interval(lower, upper)
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
            return self._constant(Interval(np.sign(x.lower), np.sign(x.upper)))
        self._undecided(inner, (x.lower < 0) & (x.upper > 0))
        sign = Interval(np.where(x.lower >= 0, 1.0, -1.0), np.where(x.upper <= 0, -1.0, 1.0))
        return (x.absolute(), *(multiply(sign, part) for part in inner[1:]))

    def _larger(self, a: Jet, b: Jet, largest: bool) -> Jet:
        first, second = value(a), value(b)
        if not largest:
            first, second = -first, -second
        wins, loses = first.lower >= second.upper, first.upper <= second.lower
        self._undecided(tuple(map(add, a, _negated(b))), ~wins & ~loses)
        chosen = Interval(np.maximum(first.lower, second.lower), np.maximum(first.upper, second.upper))
        return (chosen if largest else -chosen, *self._select(a[1:], b[1:], wins, loses))

    def _select(self, a: Jet, b: Jet, first: Flags, second: Flags) -> Jet:
        """a where `first`, b where `second`, the hull elsewhere."""
        out: list[Interval | None] = []
        for left, right in zip(a, b, strict=True):
            if left is None and right is None:
                out.append(None)
                continue
            left, right = left or ZERO, right or ZERO
            hull = left.hull(right)
            out.append(
                Interval(
                    np.where(first, left.lower, np.where(second, right.lower, hull.lower)),
                    np.where(first, left.upper, np.where(second, right.upper, hull.upper)),
                )
            )
        return tuple(out)

    def _piecewise(self, e: sympy.Piecewise) -> Jet:
        result: Jet | None = None
        for branch, condition in reversed(e.args):
            true, false = self._decide(condition)
            jet = self(branch)
            # After the last condition nothing is defined: if it may be false, nothing is known.
            unknown = (Interval.of(-np.inf, np.inf),) * (self.order + 1)
            result = self._select(jet, unknown if result is None else result, true, false)
        assert result is not None
        return result

    def _decide(self, condition: sympy.Basic) -> Decision:
        shape = self.undecided.shape
        if condition in (sympy.true, sympy.false):
            return np.full(shape, condition == sympy.true), np.full(shape, condition == sympy.false)
        if isinstance(condition, sympy.And | sympy.Or):
            parts = [self._decide(part) for part in condition.args]
            trues, falses = np.array([p[0] for p in parts]), np.array([p[1] for p in parts])
            every, some = np.logical_and.reduce, np.logical_or.reduce
            return (every(trues), some(falses)) if isinstance(condition, sympy.And) else (some(trues), every(falses))
        if isinstance(condition, sympy.Not):
            true, false = self._decide(condition.args[0])
            return false, true
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
        return true, false


def _vanishes(x: Interval) -> Flags:
    return (x.lower == 0) & (x.upper == 0)


def _negated(jet: Jet) -> Jet:
    return tuple(None if part is None else -part for part in jet)


def _number(e: sympy.Expr) -> Interval:
    """An enclosure of a number: exact for what float64 holds."""
    if e in (sympy.nan, sympy.zoo, sympy.oo, -sympy.oo):
        raise InvalidArgument(f"{e} is not a finite number, so no bound can be proved")
    nearest = float(e)
    exact = e.is_Float or e.is_Rational
    if exact and sympy.Rational(e) == sympy.Rational(nearest):
        return Interval.of(nearest)
    return outward(np.array(nearest), np.array(nearest))
