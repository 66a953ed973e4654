"""Expressions as they were written: a closed set of nodes, and what each of them means.

The text is the function. sympy, which constructions differentiate and compose, rewrites while it reads: sqrt(x)**2 becomes x,
x/x becomes 1, 0*log(x) becomes 0, and with the rewriting goes the domain. So a text also becomes a tree of our own, in which
nothing is rewritten, and what an expression is worth and where it is defined is said of that tree, node by node. It has a value at
a point if every part of it that is used there has one, whatever is done with the part: 0*log(x) has none at 0. Numbers are
real; every value is the exact one of real analysis, with no overflow and no rounding.

| node | value | defined where its parts are, and |
|---|---|---|
| `Number` | the fraction, or the float64 as the dyadic fraction that it is | everywhere |
| `Constant` | π or e | everywhere |
| `Name` | the coordinate | everywhere |
| `Sum`, `Negative`, `Product` | a + b + …, −a, a·b·… | everywhere |
| `Reciprocal` | 1/a; a quotient is a `Product` with reciprocals in it | a ≠ 0 |
| `Power`, exponent whole | a·a·…·a, with a^0 = 1 for every a | a ≠ 0 if the exponent is negative |
| `Power`, exponent a constant > 0 | a^p = exp(p·log a), 0^p = 0 | a ≥ 0 |
| `Power`, any other exponent | exp(p·log a) | a > 0 |
| `Call` sin cos atan sinh cosh tanh asinh exp Abs sign Max Min | as in analysis, sign(0) = 0 | everywhere |
| `Call` sqrt | the root that is ≥ 0 | a ≥ 0 |
| `Call` log | the natural logarithm | a > 0 |
| `Call` tan, cot | sin a/cos a, cos a/sin a | cos a ≠ 0, sin a ≠ 0 |
| `Call` asin, acos | the principal values | −1 ≤ a ≤ 1 |
| `Call` acosh, atanh | the inverse functions | a ≥ 1, −1 < a < 1 |
| `Call` atan2(y, x) | the angle of (x, y), in (−π, π] | (x, y) ≠ (0, 0) |
| `Lookup` | that of a field (`fields`), or of a derivative of it | the parts lie in the domain of the field |
| `Piecewise` | that of the first case whose condition holds | see below |
| `Comparison`, `And`, `Or`, `Truth` | true or false | both sides are; every condition joined is |
| `Roots` | all w in the box W of a `Tube` with g(c + T·u + N·w) = 0 | u is in the tube's box, and there is exactly one |
| `Root` | one component of them, or its derivative along one of the u | the `Roots` are |

A `Piecewise` is defined where its conditions are, up to the first that holds, and the value that goes with it; nothing else of it matters.

An exponent is *whole* by its value and not by how it is written: x**2.0 and x**(4/2) are x². It is known to be so if it is made of
numbers by + − * / and whole powers (`exact`); sqrt(4) and 2*sin(pi/6) count as other constants.

Nodes are interned: equal nodes are one object, so that comparing and hashing cost nothing, and a part that occurs twice is one part.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any

EXACT_BITS = 1 << 14
"""Bits of an exact constant; what is longer counts as a constant that is not known exactly."""

_KNOWN: weakref.WeakValueDictionary[tuple[Any, ...], Any] = weakref.WeakValueDictionary()


class _Interned(type):
    """The class of classes whose equal instances are one object."""

    def __call__(cls, *values: Any) -> Any:
        node = super().__call__(*values)
        own = tuple(getattr(node, f.name) for f in fields(node))
        return _KNOWN.setdefault((cls, *((type(v), v) for v in own)), node)


class Node(metaclass=_Interned):
    """A part of an expression. Compared by identity, which is equality."""

    exact: Fraction | None
    """The value of a part that is made of numbers by rational arithmetic; None if it is not, or undefined."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "exact", self._value())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, f.name) for f in fields(self))  # type: ignore[arg-type]

    @property
    def parts(self) -> tuple[Node, ...]:
        """What the node is made of, in the order of the text."""
        return ()

    def _value(self) -> Fraction | None:
        return None


@dataclass(frozen=True, eq=False)
class Number(Node):
    """An integer as it is, or a decimal as the float64 that it was read as; ≥ 0 in everything that was read."""

    value: Fraction | float

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", self.value + 0.0 if isinstance(self.value, float) else Fraction(self.value))
        super().__post_init__()

    def _value(self) -> Fraction | None:
        return Fraction(self.value)


@dataclass(frozen=True, eq=False)
class Constant(Node):
    """pi or E. Another name is a constant of sympy's that no text can say."""

    name: str


@dataclass(frozen=True, eq=False)
class Name(Node):
    """A coordinate."""

    name: str


@dataclass(frozen=True, eq=False)
class Sum(Node):
    """a + b + …; a difference has a `Negative` in it."""

    terms: tuple[Node, ...]

    @property
    def parts(self) -> tuple[Node, ...]:
        return self.terms

    def _value(self) -> Fraction | None:
        known = [term.exact for term in self.terms]
        return None if None in known else _short(sum((v for v in known if v is not None), Fraction(0)))


@dataclass(frozen=True, eq=False)
class Negative(Node):
    """−a."""

    part: Node

    @property
    def parts(self) -> tuple[Node, ...]:
        return (self.part,)

    def _value(self) -> Fraction | None:
        return None if self.part.exact is None else -self.part.exact


@dataclass(frozen=True, eq=False)
class Product(Node):
    """a·b·…; a quotient has a `Reciprocal` in it, never as the first factor."""

    factors: tuple[Node, ...]

    @property
    def parts(self) -> tuple[Node, ...]:
        return self.factors

    def _value(self) -> Fraction | None:
        total: Fraction | None = Fraction(1)
        for factor in self.factors:
            if total is None or factor.exact is None:
                return None
            total = _short(total * factor.exact)
        return total


@dataclass(frozen=True, eq=False)
class Reciprocal(Node):
    """1/a."""

    part: Node

    @property
    def parts(self) -> tuple[Node, ...]:
        return (self.part,)

    def _value(self) -> Fraction | None:
        return 1 / self.part.exact if self.part.exact else None


@dataclass(frozen=True, eq=False)
class Power(Node):
    """a^p. `whole` says by the value of p which power it is."""

    base: Node
    exponent: Node

    @property
    def parts(self) -> tuple[Node, ...]:
        return self.base, self.exponent

    @property
    def whole(self) -> int | None:
        """The exponent if it is whole, else None."""
        p = self.exponent.exact
        return int(p) if p is not None and p.denominator == 1 else None

    def _value(self) -> Fraction | None:
        base, n = self.base.exact, self.whole
        if base is None or n is None or (base == 0 and n < 0):
            return None
        length = max(base.numerator.bit_length(), base.denominator.bit_length())
        return base**n if base in (-1, 0, 1) or length * abs(n) <= EXACT_BITS else None


@dataclass(frozen=True, eq=False)
class Call(Node):
    """A function of the grammar, by its first name there (`Abs`, not `abs`). Another name is a function of sympy's that no text can say."""

    function: str
    arguments: tuple[Node, ...]

    @property
    def parts(self) -> tuple[Node, ...]:
        return self.arguments


@dataclass(frozen=True, eq=False)
class Lookup(Node):
    """A component of a `fields.Field`, or a derivative of it, of these variables. A derivative is nothing that a text can say."""

    field: Any
    component: int
    orders: tuple[int, ...]
    arguments: tuple[Node, ...]

    @property
    def parts(self) -> tuple[Node, ...]:
        return self.arguments

    @property
    def name(self) -> str:
        return str(self.field.components[self.component])


@dataclass(frozen=True, eq=False)
class Comparison(Node):
    """left < right, <=, > or >=."""

    relation: str
    left: Node
    right: Node

    @property
    def parts(self) -> tuple[Node, ...]:
        return self.left, self.right


@dataclass(frozen=True, eq=False)
class And(Node):
    """Every one of the conditions holds."""

    conditions: tuple[Node, ...]

    @property
    def parts(self) -> tuple[Node, ...]:
        return self.conditions


@dataclass(frozen=True, eq=False)
class Or(Node):
    """One of the conditions holds."""

    conditions: tuple[Node, ...]

    @property
    def parts(self) -> tuple[Node, ...]:
        return self.conditions


@dataclass(frozen=True, eq=False)
class Truth(Node):
    """The condition True, or False, which only sympy writes."""

    holds: bool


@dataclass(frozen=True, eq=False)
class Piecewise(Node):
    """(value, condition), …: the first condition that holds decides."""

    cases: tuple[tuple[Node, Node], ...]

    @property
    def parts(self) -> tuple[Node, ...]:
        return tuple(part for case in self.cases for part in case)


@dataclass(frozen=True, eq=False)
class Roots(Node):
    """The solution of the equations of a tube (`implicit.Tube`) at these coordinates; what a `Root` is a part of. No text can say it."""

    tube: Any
    arguments: tuple[Node, ...]

    @property
    def parts(self) -> tuple[Node, ...]:
        return self.arguments


@dataclass(frozen=True, eq=False)
class Root(Node):
    """Component `component` of the solution, or its derivative along coordinate `along`. No text can say it."""

    roots: Node
    component: int
    along: int | None = None

    @property
    def parts(self) -> tuple[Node, ...]:
        return (self.roots,)


def _short(value: Fraction) -> Fraction | None:
    return value if max(value.numerator.bit_length(), value.denominator.bit_length()) <= EXACT_BITS else None


def postorder(*roots: Node) -> list[Node]:
    """Every part of the trees once, after the parts that it is made of. Not recursive: trees may be deep."""
    found: dict[Node, None] = {}
    pending = list(reversed(roots))
    while pending:
        node = pending[-1]
        missing = [] if node in found else [part for part in node.parts if part not in found]
        pending.extend(reversed(missing))
        if not missing:
            found[pending.pop()] = None
    return list(found)


def depth(tree: Node) -> int:
    """Levels of the tree; 1 for a name."""
    levels: dict[Node, int] = {}
    for node in postorder(tree):
        levels[node] = 1 + max((levels[part] for part in node.parts), default=0)
    return levels[tree]


def free_names(*trees: Node) -> set[str]:
    """The names that occur in the trees."""
    return {node.name for node in postorder(*trees) if isinstance(node, Name)}


def substitute(trees: Sequence[Node], into: Mapping[str, Node]) -> tuple[Node, ...]:
    """The trees with other trees in the place of names. Nothing is rewritten, so the domain is that of the composition."""
    done: dict[Node, Node] = {}
    for node in postorder(*trees):
        done[node] = into.get(node.name, node) if isinstance(node, Name) else rebuilt(node, done)
    return tuple(done[tree] for tree in trees)


def rebuilt(node: Node, done: Mapping[Node, Node]) -> Node:
    """The same node made of what its parts became."""
    match node:
        case Sum() | Product() | And() | Or():
            return type(node)(tuple(done[part] for part in node.parts))
        case Negative(part) | Reciprocal(part):
            return type(node)(done[part])
        case Power(base, exponent):
            return Power(done[base], done[exponent])
        case Call(function, arguments):
            return Call(function, tuple(done[a] for a in arguments))
        case Lookup(field, component, orders, arguments):
            return Lookup(field, component, orders, tuple(done[a] for a in arguments))
        case Comparison(relation, left, right):
            return Comparison(relation, done[left], done[right])
        case Piecewise(cases):
            return Piecewise(tuple((done[value], done[condition]) for value, condition in cases))
        case Roots(tube, arguments):
            return Roots(tube, tuple(done[a] for a in arguments))
        case Root(roots, component, along):
            return Root(done[roots], component, along)
    return node
