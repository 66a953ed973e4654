"""The value of a tree at one point in interval arithmetic of any precision: an interval that holds it, or that it surely has none.

Exact where arithmetic is: numbers, sums, products, quotients and whole powers of fractions are fractions, so that whether x/x has a value
at 0, or sqrt(1 − x²) at 1, is no question of rounding. Every other part is an interval of mpmath's, made wider by a few of its last
digits. Whatever cannot be decided at the given precision is `Undecided`, and may be at a higher one.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from mpmath.ctx_iv import MPIntervalContext

from ..errors import InvalidArgument
from .conditions import is_positive_constant
from .mp_ends import outward_end
from .precise_roots import root_at
from .text import text_of
from .tree import (
    EXACT_BITS,
    And,
    Call,
    Comparison,
    Constant,
    Lookup,
    Name,
    Negative,
    Node,
    Number,
    Or,
    Piecewise,
    Power,
    Product,
    Reciprocal,
    Root,
    Roots,
    Sum,
    Truth,
    free_names,
    postorder,
)

LARGEST, FARTHEST, HUGE = 1 << 40, 1 << 1024, 1 << 17
"""exp of larger numbers, sin and cos of numbers beyond all floats, and values above 2^HUGE are `Undecided`."""
GUARD_BITS, WIDENED = 24, 8
"""Bits beyond those asked for; and every function value is made wider by 2^-(bits − WIDENED) of its size."""


@dataclass(frozen=True)
class Enclosed:
    """The value lies in [lower, upper]."""

    lower: Fraction
    upper: Fraction

    @property
    def exact(self) -> Fraction | None:
        """The value, if it is known exactly."""
        return self.lower if self.lower == self.upper else None


@dataclass(frozen=True)
class Undefined:
    """There surely is no value at this point: this part has none."""

    part: Node

    def __str__(self) -> str:
        return f"{text_of(self.part)} is undefined"


@dataclass(frozen=True)
class Undecided:
    """Whether this part has a value, or which case it takes, is not decided at this precision."""

    part: Node


@dataclass(frozen=True)
class Decided:
    """A condition holds, or does not."""

    holds: bool


Found = Enclosed | Undefined | Undecided


def enclose_at(tree: Node, point: Mapping[str, float | Fraction], digits: int = 50) -> Found:
    """The value of the tree at a point whose coordinates are exactly these numbers.

    Raises `InvalidArgument` for a part that no text can say, a name that is not in the point, or a coordinate that is not finite.
    """
    arithmetic = _Arithmetic(digits)
    if not all(map(math.isfinite, point.values())):
        raise InvalidArgument(f"the point {dict(point)} is not finite; give finite coordinates")
    exact = {name: Fraction(value) for name, value in point.items()}
    known: dict[Node, Any] = {}
    for node in postorder(tree):
        known[node] = _found(arithmetic, node, known, exact)
    return arithmetic.ends(tree, known[tree])


def _found(arithmetic: _Arithmetic, node: Node, known: Mapping[Node, Any], point: Mapping[str, Any]) -> Any:
    """A `Fraction` or an interval, `Decided`, `Undefined` or `Undecided`."""
    if isinstance(node, Piecewise):
        return _piecewise(node, known)
    parts = [known[part] for part in node.parts]
    for kind in (Undefined, Undecided):
        for part in parts:
            if isinstance(part, kind):
                return part
    try:
        return arithmetic.value(node, parts, point)
    except _NoValue as why:
        return why.found


def _piecewise(node: Piecewise, known: Mapping[Node, Any]) -> Any:
    for value, condition in node.cases:
        state = known[condition]
        if not isinstance(state, Decided):
            return state
        if state.holds:
            return known[value]
    return Undefined(node)


class _NoValue(Exception):
    def __init__(self, found: Undefined | Undecided) -> None:
        self.found = found


class _Arithmetic:
    """Fractions as long as that is exact, then intervals of a context of our own."""

    def __init__(self, digits: int) -> None:
        self.iv = MPIntervalContext()
        self.bits = int(digits * 3.33) + GUARD_BITS
        self.iv.prec = self.bits

    def value(self, node: Node, parts: list[Any], point: Mapping[str, Any]) -> Any:
        match node:
            case Number(value):
                return Fraction(value)
            case Constant("pi"):
                return self.wider(self.iv.pi + 0)
            case Constant("E"):
                return self.wider(self.iv.exp(1))
            case Name(name) if name in point:
                return point[name]
            case Negative():
                return -parts[0]
            case Sum():
                return self.folded(operator.add, parts)
            case Product():
                return self.folded(operator.mul, parts)
            case Reciprocal():
                self.nonzero(node, parts[0])
                return 1 / parts[0]
            case Power():
                return self.power(node, *parts)
            case Call(function, _) if function in FUNCTIONS:
                return FUNCTIONS[function](self, node, *parts)
            case Lookup():
                return self.looked_up(node, parts)
            case Comparison(relation, _, _) if relation in RELATIONS:
                return self.compared(node, relation, *parts)
            case And() | Or():
                return Decided((all if isinstance(node, And) else any)(part.holds for part in parts))
            case Truth(holds):
                return Decided(holds)
            case Roots():
                return self.roots(node, parts)
            case Root(Roots(), component, None):
                return parts[0][component]
            case Root():
                raise _NoValue(Undecided(node))
        raise InvalidArgument(f"{text_of(node)[:100]} has no value here; write it with the functions of specifications")

    def interval(self, a: Any) -> Any:
        return self.iv.mpf(a.numerator) / a.denominator if isinstance(a, Fraction) else a

    def wider(self, a: Any) -> Any:
        """By more than mpmath's last digits, which are not proved to be right."""
        return a * self.iv.mpf([1 - self.iv.ldexp(1, WIDENED - self.bits), 1 + self.iv.ldexp(1, WIDENED - self.bits)])

    def ends(self, tree: Node, found: Any) -> Found:
        """A value as `Enclosed`, anything else as it is."""
        if isinstance(found, Fraction):
            return Enclosed(found, found)
        if isinstance(found, Undefined | Undecided):
            return found
        low, high = found._mpi_
        if any(exponent + bits > HUGE for _, _, exponent, bits in (low, high)):
            return Undecided(tree)
        return Enclosed(outward_end(low, -1), outward_end(high, 1))

    def looked_up(self, node: Lookup, parts: list[Any]) -> Any:
        """Of a field, at fractions that the parts lie between."""
        ends = [self.ends(node, part) for part in parts]
        inside = [e for e in ends if isinstance(e, Enclosed)]
        self.demand(node, len(inside) == len(ends), False)
        for e, low, high in zip(inside, map(float, node.field.lower), map(float, node.field.upper), strict=True):
            self.demand(node, e.lower >= low and e.upper <= high, e.upper < low or e.lower > high)
        found = node.field.exactly(node.component, node.orders, [(e.lower, e.upper) for e in inside])
        self.demand(node, found is not None, False)
        assert found is not None
        return found[0] if found[0] == found[1] else self.iv.mpf([self.interval(found[0]).a, self.interval(found[1]).b])

    def roots(self, node: Roots, parts: list[Any]) -> list[Any]:
        """Of coordinates that are fractions."""
        names = list(map(str, node.tube.equations.variables))
        known = all(isinstance(part, Fraction) for part in parts)
        found = root_at(node.tube, parts, self.iv, self.bits, lambda trees, x: self.values(trees, names, x)) if known else None
        self.demand(node, found is not None, False)
        return found or []

    def values(self, trees: Sequence[Node], names: Sequence[str], x: Sequence[Any]) -> list[Any] | None:
        """All of them at intervals x; None where one is not known to have a value, or is no function of specifications."""
        known: dict[Node, Any] = {}
        try:
            for part in postorder(*trees):
                known[part] = _found(self, part, known, dict(zip(names, x, strict=True)))
        except (InvalidArgument, ZeroDivisionError, OverflowError):
            return None
        unknown = any(isinstance(known[tree], Undefined | Undecided) for tree in trees)
        return None if unknown else [self.interval(known[tree]) for tree in trees]

    def sign(self, a: Any) -> int | None:
        """−1, 0 or 1; None where that is not decided."""
        return next((sign for sign, holds in ((1, a > 0), (-1, a < 0), (0, a == 0)) if holds), None)

    def demand(self, node: Node, surely: bool | None, never: bool | None) -> None:
        """What a part asks for: met, or the part has no value, or that is not decided."""
        if not surely:
            raise _NoValue(Undefined(node) if never else Undecided(node))

    def nonzero(self, node: Node, a: Any) -> None:
        self.demand(node, self.sign(a) in (-1, 1), self.sign(a) == 0)

    def folded(self, operation: Callable[[Any, Any], Any], parts: list[Any]) -> Any:
        total = parts[0]
        for part in parts[1:]:
            if isinstance(total, Fraction) and isinstance(part, Fraction):
                total = operation(total, part)
                if max(total.numerator.bit_length(), total.denominator.bit_length()) > EXACT_BITS:
                    total = self.interval(total)
            else:
                total = operation(self.interval(total), self.interval(part))
        return total

    def power(self, node: Power, base: Any, exponent: Any) -> Any:
        if (n := node.whole) is not None:
            return self.whole_power(node, base, n)
        sign = self.sign(base)
        if sign == 0 and is_positive_constant(node.exponent):
            return Fraction(0)
        undecided = sign == 0 and not free_names(node.exponent) and self.sign(exponent) is None
        self.demand(node, sign == 1, sign in (-1, 0) and not undecided)
        return self.exp(node, self.interval(exponent) * self.interval(self.log(node, base)))

    def whole_power(self, node: Node, base: Any, n: int) -> Any:
        if n < 0:
            self.nonzero(node, base)
        if isinstance(base, Fraction):
            length = max(base.numerator.bit_length(), base.denominator.bit_length())
            if base in (-1, 0, 1) or length * abs(n) <= EXACT_BITS:
                return base**n
        powered = self.interval(base) ** abs(n)
        return 1 / powered if n < 0 else powered

    def compared(self, node: Node, relation: str, left: Any, right: Any) -> Decided:
        if isinstance(left, Fraction) != isinstance(right, Fraction):
            left, right = self.interval(left), self.interval(right)
        holds = RELATIONS[relation](left, right)
        if holds is None:
            raise _NoValue(Undecided(node))
        return Decided(bool(holds))

    def exp(self, node: Node, a: Any) -> Any:
        if a == 0:
            return Fraction(1)
        if a < -LARGEST:
            return self.iv.mpf([0, 1]) * self.iv.exp(-LARGEST)
        self.demand(node, abs(a) < LARGEST, False)
        return self.wider(self.iv.exp(self.interval(a)))

    def log(self, node: Node, a: Any) -> Any:
        self.demand(node, self.sign(a) == 1, self.sign(a) in (-1, 0))
        return Fraction(0) if a == 1 else self.wider(self.iv.log(self.interval(a)))

    def sqrt(self, node: Node, a: Any) -> Any:
        self.demand(node, (a >= 0), a < 0)
        if isinstance(a, Fraction):
            above, below = math.isqrt(a.numerator), math.isqrt(a.denominator)
            if above**2 == a.numerator and below**2 == a.denominator:
                return Fraction(above, below)
        return self.wider(self.iv.sqrt(self.interval(a)))

    def sin(self, node: Node, a: Any) -> Any:
        self.demand(node, abs(a) < FARTHEST, False)
        return Fraction(0) if a == 0 else self.wider(self.iv.sin(self.interval(a)))

    def cos(self, node: Node, a: Any) -> Any:
        self.demand(node, abs(a) < FARTHEST, False)
        return Fraction(1) if a == 0 else self.wider(self.iv.cos(self.interval(a)))

    def tan(self, node: Node, a: Any) -> Any:
        return self.quotient(node, self.sin(node, a), self.cos(node, a))

    def cot(self, node: Node, a: Any) -> Any:
        return self.quotient(node, self.cos(node, a), self.sin(node, a))

    def quotient(self, node: Node, a: Any, b: Any) -> Any:
        self.nonzero(node, b)
        return Fraction(0) if a == 0 else self.interval(a) / self.interval(b)

    def asin(self, node: Node, a: Any) -> Any:
        self.demand(node, abs(a) <= 1, abs(a) > 1)
        return Fraction(0) if a == 0 else self.angle(node, a, self.sqrt(node, 1 - a * a))

    def acos(self, node: Node, a: Any) -> Any:
        self.demand(node, abs(a) <= 1, abs(a) > 1)
        return Fraction(0) if a == 1 else self.angle(node, self.sqrt(node, 1 - a * a), a)

    def angle(self, node: Node, y: Any, x: Any) -> Any:
        """atan2(y, x)."""
        signs = self.sign(y), self.sign(x)
        if signs[0] == 0:
            self.demand(node, signs[1] in (-1, 1), signs[1] == 0)
            return Fraction(0) if signs[1] == 1 else self.wider(self.iv.pi + 0)
        # Across the cut, where y may be 0 and x negative, the angle jumps.
        self.demand(node, signs[0] is not None or signs[1] == 1, False)
        return self.wider(self.iv.atan2(self.interval(y), self.interval(x)))

    def sinh(self, node: Node, a: Any) -> Any:
        return Fraction(0) if a == 0 else (self.exp(node, a) - self.exp(node, -a)) / 2

    def cosh(self, node: Node, a: Any) -> Any:
        return Fraction(1) if a == 0 else (self.exp(node, a) + self.exp(node, -a)) / 2

    def tanh(self, node: Node, a: Any) -> Any:
        return Fraction(0) if a == 0 else self.sinh(node, a) / self.cosh(node, a)

    def asinh(self, node: Node, a: Any) -> Any:
        if a == 0:
            return Fraction(0)
        return -self.asinh(node, -a) if a < 0 else self.log(node, self.interval(a) + self.interval(self.sqrt(node, 1 + a * a)))

    def acosh(self, node: Node, a: Any) -> Any:
        self.demand(node, a >= 1, a < 1)
        return Fraction(0) if a == 1 else self.log(node, self.interval(a) + self.interval(self.sqrt(node, (a - 1) * (a + 1))))

    def atanh(self, node: Node, a: Any) -> Any:
        self.demand(node, abs(a) < 1, abs(a) >= 1)
        return Fraction(0) if a == 0 else self.log(node, (1 + a) / (1 - a)) / 2

    def signum(self, node: Node, a: Any) -> Any:
        self.demand(node, self.sign(a) is not None, False)
        return Fraction(self.sign(a) or 0)

    def extreme(self, greatest: bool, parts: tuple[Any, ...]) -> Any:
        pick = max if greatest else min
        if all(isinstance(part, Fraction) for part in parts):
            return pick(parts)
        sides = [self.interval(part) for part in parts]
        return self.iv.mpf([pick(side.a for side in sides).b, pick(side.b for side in sides).b])


RELATIONS: Mapping[str, Callable[[Any, Any], bool | None]] = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "sin": _Arithmetic.sin,
    "cos": _Arithmetic.cos,
    "tan": _Arithmetic.tan,
    "cot": _Arithmetic.cot,
    "asin": _Arithmetic.asin,
    "acos": _Arithmetic.acos,
    "atan": lambda arithmetic, node, a: arithmetic.angle(node, a, Fraction(1)),
    "atan2": _Arithmetic.angle,
    "sinh": _Arithmetic.sinh,
    "cosh": _Arithmetic.cosh,
    "tanh": _Arithmetic.tanh,
    "asinh": _Arithmetic.asinh,
    "acosh": _Arithmetic.acosh,
    "atanh": _Arithmetic.atanh,
    "exp": _Arithmetic.exp,
    "log": _Arithmetic.log,
    "sqrt": _Arithmetic.sqrt,
    "sign": _Arithmetic.signum,
    "Abs": lambda arithmetic, node, a: abs(a),
    "Max": lambda arithmetic, node, *parts: arithmetic.extreme(True, parts),
    "Min": lambda arithmetic, node, *parts: arithmetic.extreme(False, parts),
}
