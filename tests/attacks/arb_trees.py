"""Trees of expressions at single points, in arbitrary precision with error bounds (python-flint's arb), with first and second derivatives.

It shares nothing with what encloses. A part is *undefined* at a point only where that is certain; where arb cannot tell on which side of a
branch or of the end of a domain a point lies, nothing is said (`Undecided`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from atlasmoe.expressions.tree import (
    And,
    Call,
    Comparison,
    Constant,
    Name,
    Negative,
    Node,
    Number,
    Or,
    Piecewise,
    Power,
    Product,
    Reciprocal,
    Sum,
    Truth,
)  # fmt: skip
from flint import arb, fmpq, fmpz


class Undefined(Exception):
    """The tree certainly has no value at the point."""


class Undecided(Exception):
    """Whether it has, or which, is not known to this precision."""


@dataclass(frozen=True)
class Dual:
    """A value with its first and second derivative along one direction; none where the function may have a kink, or a side only."""

    value: arb
    first: arb | None
    second: arb | None

    def through(self, value: arb, first: arb | None, second: arb | None) -> Dual:
        """h of this: h′·a′ and h″·a′² + h′·a″."""
        if self.first is None or first is None:
            return Dual(value, None, None)
        bent = None if self.second is None or second is None else second * self.first**2 + first * self.second
        return Dual(value, first * self.first, bent)

    def __add__(self, other: Dual) -> Dual:
        return Dual(self.value + other.value, _plus(self.first, other.first), _plus(self.second, other.second))

    def __neg__(self) -> Dual:
        return self.scaled(arb(-1))

    def __mul__(self, other: Dual) -> Dual:
        first = second = None
        if self.first is not None and other.first is not None:
            first = self.first * other.value + self.value * other.first
            if self.second is not None and other.second is not None:
                second = self.second * other.value + 2 * self.first * other.first + self.value * other.second
        return Dual(self.value * other.value, first, second)

    def scaled(self, factor: arb) -> Dual:
        return Dual(*(None if part is None else factor * part for part in (self.value, self.first, self.second)))  # type: ignore[arg-type]


def _plus(a: arb | None, b: arb | None) -> arb | None:
    return None if a is None or b is None else a + b


ZERO = arb(0)


def constant(value: arb) -> Dual:
    return Dual(value, ZERO, ZERO)


def exactly(value: Fraction | float) -> arb:
    number = Fraction(value)
    return arb(fmpq(fmpz(number.numerator), fmpz(number.denominator)))


Branches = list[object]


class Point:
    """One point, and what was found of trees there."""

    def __init__(self, names: Mapping[str, Dual]) -> None:
        self.names = names
        self.branches: Branches = []
        """Which sides were taken, in the order in which they were asked for: equal for points between which nothing switches."""
        self._known: dict[Node, Dual] = {}

    def __call__(self, node: Node) -> Dual:
        found = self._known.get(node)
        if found is None:
            found = self._known[node] = self._value(node)
            if not found.value.is_finite():
                raise Undecided
        return found

    def _value(self, node: Node) -> Dual:
        match node:
            case Number(value):
                return constant(exactly(value))
            case Constant(name):
                return constant(arb.pi() if name == "pi" else arb(1).exp())
            case Name(name):
                return self.names[name]
            case Sum(parts):
                total = self(parts[0])
                for part in parts[1:]:
                    total = total + self(part)
                return total
            case Product(parts):
                total = self(parts[0])
                for part in parts[1:]:
                    total = total * self(part)
                return total
            case Negative(part):
                return -self(part)
            case Reciprocal(part):
                return self._whole(self(part), -1)
            case Power(base, exponent):
                return self._power(node, base, exponent)
            case Call("Max" | "Min" as name, parts):
                return self._extreme(name, [self(part) for part in parts])
            case Call("atan2", (y, x)):
                return self._angle(self(y), self(x))
            case Call(name, (part,)):
                return self._call(name, self(part))
            case Piecewise(cases):
                for value, condition in cases:
                    holds = self.holds(condition)
                    if holds:
                        return self(value)
                raise Undefined
        raise AssertionError(node)

    def side(self, a: arb) -> int:
        """The sign of a number: −1, 0, 1."""
        found = 1 if a > 0 else -1 if a < 0 else 0 if a.is_zero() else None
        if found is None:
            raise Undecided
        self.branches.append(found)
        return found

    def holds(self, condition: Node) -> bool:
        match condition:
            case Truth(value):
                return value
            case And(parts):
                known = [self.holds(part) for part in parts]
                return all(known)
            case Or(parts):
                known = [self.holds(part) for part in parts]
                return any(known)
            case Comparison(relation, left, right):
                gap = self.side(self(left).value - self(right).value)
                return {">": gap > 0, ">=": gap >= 0, "<": gap < 0, "<=": gap <= 0}[relation]
        raise AssertionError(condition)

    def _whole(self, a: Dual, n: int) -> Dual:
        if n == 0:
            return constant(arb(1))
        if n < 0 and self.side(a.value) == 0:
            raise Undefined
        first = n * a.value ** (n - 1) if n != 1 else arb(1)
        second = ZERO if n == 1 else n * (n - 1) * (a.value ** (n - 2) if n != 2 else arb(1))
        return a.through(a.value**n, first, second)

    def _power(self, node: Power, base: Node, exponent: Node) -> Dual:
        if node.whole is not None:
            return self._whole(self(base), node.whole)
        a, p = self(base), self(exponent)
        side = self.side(a.value)
        varies = p.first is None or not p.first.is_zero() or p.second is None or not p.second.is_zero()
        if _names(exponent) or varies:
            if side <= 0:
                raise Undefined
            log = a.through(a.value.log(), 1 / a.value, -1 / a.value**2)
            inner = p * log
            grown = inner.value.exp()
            return inner.through(grown, grown, grown)
        if side < 0 or (side == 0 and not p.value > 0):
            if side == 0 and not p.value <= 0:
                raise Undecided
            raise Undefined
        if side == 0:
            return Dual(ZERO, None, None)
        value = a.value**p.value
        return a.through(value, p.value * value / a.value, p.value * (p.value - 1) * value / a.value**2)

    def _extreme(self, name: str, parts: list[Dual]) -> Dual:
        total = parts[0]
        for part in parts[1:]:
            gap = self.side(total.value - part.value)
            if gap == 0:
                total = Dual(total.value, None, None)
            elif (gap < 0) == (name == "Max"):
                total = part
        return total

    def _angle(self, y: Dual, x: Dual) -> Dual:
        above = self.side(y.value)
        right = self.side(x.value)
        if above == 0 and right == 0:
            raise Undefined
        value = arb.atan2(y.value, x.value)
        if above == 0 and right < 0:
            return Dual(arb.pi(), None, None)
        square = x.value**2 + y.value**2
        along, across = constant(x.value / square), constant(-y.value / square)
        if None in (y.first, y.second, x.first, x.second):
            return Dual(value, None, None)
        first = along.value * y.first + across.value * x.first
        radial = along.value * x.first - across.value * y.first
        second = along.value * y.second + across.value * x.second - 2 * first * radial
        return Dual(value, first, second)

    def _inside(self, a: arb, least: float | None, most: float | None, closed: bool) -> bool:
        """Raises `Undefined` outside a domain; whether it is at a closed end."""
        sides = [self.side(a - least)] if least is not None else []
        sides += [self.side(most - a)] if most is not None else []
        if min(sides) < 0 or (min(sides) == 0 and not closed):
            raise Undefined
        return min(sides) == 0

    def _call(self, name: str, a: Dual) -> Dual:
        x = a.value
        end = False
        if name in ("sqrt", "log"):
            end = self._inside(x, 0, None, name == "sqrt")
        elif name in ("asin", "acos", "atanh"):
            end = self._inside(x, -1, 1, name != "atanh")
        elif name == "acosh":
            end = self._inside(x, 1, None, True)
        if name in ("Abs", "sign"):
            side = self.side(x)
            if name == "Abs":
                return a if side > 0 else -a if side < 0 else Dual(ZERO, None, None)
            return Dual(arb(side), None, None) if side == 0 else constant(arb(side))
        if end:
            return Dual({"sqrt": arb.sqrt, "asin": arb.asin, "acos": arb.acos, "acosh": arb.acosh}[name](x), None, None)
        value = getattr(arb, name)(x)
        first, second = DERIVATIVES[name](x, value)
        return a.through(value, first, second)


def _names(node: Node) -> bool:
    return isinstance(node, Name) or any(map(_names, node.parts))


DERIVATIVES = {
    "sin": lambda x, v: (x.cos(), -v),
    "cos": lambda x, v: (-x.sin(), -v),
    "tan": lambda x, v: (1 + v**2, 2 * v * (1 + v**2)),
    "cot": lambda x, v: (-(1 + v**2), 2 * v * (1 + v**2)),
    "asin": lambda x, v: ((1 - x**2) ** -arb("0.5"), x * (1 - x**2) ** -arb("1.5")),
    "acos": lambda x, v: (-((1 - x**2) ** -arb("0.5")), -x * (1 - x**2) ** -arb("1.5")),
    "atan": lambda x, v: (1 / (1 + x**2), -2 * x / (1 + x**2) ** 2),
    "sinh": lambda x, v: (x.cosh(), v),
    "cosh": lambda x, v: (x.sinh(), v),
    "tanh": lambda x, v: (1 - v**2, -2 * v * (1 - v**2)),
    "asinh": lambda x, v: ((1 + x**2) ** -arb("0.5"), -x * (1 + x**2) ** -arb("1.5")),
    "acosh": lambda x, v: ((x**2 - 1) ** -arb("0.5"), -x * (x**2 - 1) ** -arb("1.5")),
    "atanh": lambda x, v: (1 / (1 - x**2), 2 * x / (1 - x**2) ** 2),
    "exp": lambda x, v: (v, v),
    "log": lambda x, v: (1 / x, -1 / x**2),
    "sqrt": lambda x, v: (1 / (2 * v), -1 / (4 * v**3)),
}
