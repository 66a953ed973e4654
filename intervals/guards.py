"""What holds inside a case of a Piecewise: the conditions there bound parts of its value, which may be defined only because of them.

√x in Piecewise((sqrt(x), x > 0), (0, True)) is asked for where x > 0 alone. On a box [−1, 1], where it is open which case it is, the first
value is therefore enclosed for x in [0, 1], and all of it is defined.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from ..expressions.tree import (
    And,
    Call,
    Comparison,
    Lookup,
    Negative,
    Node,
    Number,
    Or,
    Piecewise,
    Power,
    Reciprocal,
    Sum,
    Truth,
    postorder,
)

FLIPPED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
PARTIAL = frozenset({"sqrt", "log", "tan", "cot", "asin", "acos", "acosh", "atanh", "atan2"})
"""Functions that are not defined everywhere."""


@dataclass(frozen=True)
class Guard:
    """part ≥ bound if `above`, else part ≤ bound; and never equal to it if `strict`."""

    part: Node
    bound: Node
    above: bool
    strict: bool


def guards(condition: Node, holds: bool = True) -> list[Guard]:
    """What is known where a condition holds, or where it does not."""
    match condition:
        case And(parts) if holds:
            return [guard for part in parts for guard in guards(part)]
        case Or(parts) if not holds:
            return [guard for part in parts for guard in guards(part, False)]
        case Comparison(relation, left, right) if relation in FLIPPED:
            relation = relation if holds else FLIPPED[relation]
            greater, less = (left, right) if relation in (">", ">=") else (right, left)
            strict = relation in (">", "<")
            return [*_implied(Guard(greater, less, True, strict)), *_implied(Guard(less, greater, False, strict))]
    return []


def _implied(guard: Guard) -> Iterator[Guard]:
    """The guard, and what it says of the part of its part that is not a number."""
    if guard.part.exact is not None:
        return
    yield guard
    bound = guard.bound.exact
    if bound is None:
        return
    match guard.part:
        case Negative(part):
            yield from _bounded(part, -bound, not guard.above, guard.strict)
        case Sum(terms):
            known = [term.exact for term in terms if term.exact is not None]
            if len(known) == len(terms) - 1:
                (part,) = (term for term in terms if term.exact is None)
                yield from _bounded(part, bound - sum(known, Fraction(0)), guard.above, guard.strict)
        case Call("Abs", (part,)) if not guard.above:
            yield from _bounded(part, bound, False, guard.strict)
            yield from _bounded(part, -bound, True, guard.strict)


def _bounded(part: Node, bound: Fraction, above: bool, strict: bool) -> Iterator[Guard]:
    yield from _implied(Guard(part, Number(bound), above, strict))


def partial(tree: Node) -> bool:
    """Whether there is a part that is not defined for all values of its own parts."""
    for node in postorder(tree):
        match node:
            case Call(name, _) if name in PARTIAL:
                return True
            case Lookup():
                return True
            case Reciprocal(part) if part.exact is None:
                return True
            case Piecewise(cases) if cases[-1][1] != Truth(True):
                return True
            case Power() if node.exact is None and (node.whole is None or node.whole < 0):
                return True
    return False


def never_zero(part: Node, context: tuple[Guard, ...]) -> bool:
    """Whether one of the guards says that a part is not 0: it itself, or what it is a number plus or minus of, or a root."""
    zeros = list(_zeros(part, Fraction(0)))
    return any(guard.strict and guard.part is inner and guard.bound.exact == zero for guard in context for inner, zero in zeros)


def _zeros(part: Node, value: Fraction) -> Iterator[tuple[Node, Fraction]]:
    """Parts with the number that each would have to be for `part` to be `value`."""
    yield part, value
    match part:
        case Negative(inner):
            yield from _zeros(inner, -value)
        case Call("sqrt" | "Abs", (inner,)) if value == 0:
            yield from _zeros(inner, value)
        case Sum(terms):
            known = [term.exact for term in terms if term.exact is not None]
            if len(known) == len(terms) - 1:
                (inner,) = (term for term in terms if term.exact is None)
                yield from _zeros(inner, value - sum(known, Fraction(0)))
