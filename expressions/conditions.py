"""Where an expression is defined: what each part of a tree demands of what it is made of, before any rewriting.

An expression has a value at a point exactly if every `Condition` of its tree holds there that is asked for there: a part inside a
`Piecewise` is asked for only where its case is reached (`guards`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np

from .evaluate import value_of
from .signs import Sign, signs
from .text import text_of
from .tree import Call, Lookup, Node, Piecewise, Power, Reciprocal, Truth, free_names, postorder


class Demand(Enum):
    """What is asked of the argument a (of two, y and x, for `DIRECTION`; of all variables of a field for `COVERED`)."""

    NONZERO = "is not 0"
    NONNEGATIVE = "is not negative"
    POSITIVE = "is positive"
    WITHIN_ONE = "lies in [-1, 1]"
    INSIDE_ONE = "lies strictly between -1 and 1"
    FROM_ONE = "is at least 1"
    COSINE = "is no odd multiple of pi/2"
    SINE = "is no multiple of pi"
    DIRECTION = "are not both 0"
    CASE = "holds in some case"
    COVERED = "lie where the field is given"


OF_FUNCTIONS = {
    "sqrt": Demand.NONNEGATIVE,
    "log": Demand.POSITIVE,
    "asin": Demand.WITHIN_ONE,
    "acos": Demand.WITHIN_ONE,
    "atanh": Demand.INSIDE_ONE,
    "acosh": Demand.FROM_ONE,
    "tan": Demand.COSINE,
    "cot": Demand.SINE,
    "atan2": Demand.DIRECTION,
}

Guard = tuple[Node, bool]
"""A condition of a `Piecewise`, and whether it holds."""


@dataclass(frozen=True)
class Condition:
    """What one part of an expression demands."""

    part: Node
    """The part that has no value where the demand is not met."""
    demand: Demand
    arguments: tuple[Node, ...]
    """What the demand is about: one node; two, y and x, for `DIRECTION`; the conditions for `CASE`."""
    guards: tuple[Guard, ...]
    """What is the case wherever the part is asked for: () for a part that always is."""

    @property
    def text(self) -> str:
        """The part as it was written."""
        return text_of(self.part)


def demand_of(part: Node) -> tuple[Demand, tuple[Node, ...]] | None:
    """What a part demands of its own arguments, if it demands anything that could fail."""
    match part:
        case Reciprocal(argument):
            return None if argument.exact else (Demand.NONZERO, (argument,))
        case Power(base, exponent):
            if (n := part.whole) is not None:
                return (Demand.NONZERO, (base,)) if n < 0 and not base.exact else None
            demand = Demand.NONNEGATIVE if is_positive_constant(exponent) else Demand.POSITIVE
            return None if base.exact is not None and base.exact > 0 else (demand, (base,))
        case Call(function, arguments) if function in OF_FUNCTIONS:
            return OF_FUNCTIONS[function], arguments
        case Lookup(field, _, _, arguments) if np.isfinite([field.lower, field.upper]).any():
            return Demand.COVERED, arguments
        case Piecewise(cases) if cases[-1][1] is not Truth(True):
            return Demand.CASE, tuple(condition for _, condition in cases)
    return None


def is_positive_constant(exponent: Node) -> bool:
    """Whether a part without names has a value > 0: exactly, or by more than its rounding."""
    if exponent.exact is not None:
        return exponent.exact > 0
    if free_names(exponent):
        return False
    value, error = value_of(exponent)
    return value > error


def conditions(trees: Iterable[Node]) -> list[Condition]:
    """The conditions of the trees, each part once, in the order of the text; none that no number could fail, such as x² ≥ 0."""
    order = postorder(*(roots := tuple(trees)))
    guards: dict[Node, frozenset[Guard]] = dict.fromkeys(roots, frozenset())
    for node in reversed(order):  # whatever is made of a part comes before the part
        for part, reached in uses(node):
            now = guards[node] | reached
            guards[part] = now & guards[part] if part in guards else now
    known = signs(order)
    place = {node: k for k, node in enumerate(order)}
    found = []
    for node in order:
        asked = demand_of(node)
        if asked is not None and not _met(*asked, known):
            ordered = sorted(guards[node], key=lambda guard: (place.get(guard[0], 0), guard[1]))
            found.append(Condition(node, *asked, tuple(ordered)))
    return found


def _met(demand: Demand, arguments: tuple[Node, ...], known: Mapping[Node, Sign]) -> bool:
    """Whether a demand is met whatever the coordinates are."""
    match demand:
        case Demand.NONNEGATIVE:
            return known[arguments[0]] >= Sign.NONNEGATIVE
        case Demand.POSITIVE | Demand.NONZERO | Demand.DIRECTION:
            return any(known[argument] is Sign.POSITIVE for argument in arguments)
        case Demand.WITHIN_ONE:
            return isinstance(arguments[0], Call) and arguments[0].function in ("sin", "cos", "tanh", "sign")
        case Demand.FROM_ONE:
            return isinstance(arguments[0], Call) and arguments[0].function == "cosh"
    return False


def uses(node: Node) -> list[tuple[Node, frozenset[Guard]]]:
    """The parts that the value of a node is made of, and what has to be the case for each of them to be asked for."""
    if not isinstance(node, Piecewise):
        return [(part, frozenset()) for part in node.parts]
    found: list[tuple[Node, frozenset[Guard]]] = []
    before: frozenset[Guard] = frozenset()
    for value, condition in node.cases:
        found.append((condition, before))
        here = before if isinstance(condition, Truth) else before | {(condition, True)}
        found.append((value, here))
        before |= {(condition, False)}
    return found
