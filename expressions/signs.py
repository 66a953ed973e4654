"""What can be said of the sign of a part without looking at any number: x**2 + 1 is positive, so that nothing is asked of 1/(x**2 + 1)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from .tree import Call, Constant, Node, Piecewise, Power, Product, Reciprocal, Sum


class Sign(IntEnum):
    """Of the value of a part, wherever it has one."""

    UNKNOWN = 0
    NONNEGATIVE = 1
    POSITIVE = 2


def signs(order: Iterable[Node]) -> dict[Node, Sign]:
    """The sign of every part; parts come before what is made of them."""
    known: dict[Node, Sign] = {}
    for node in order:
        known[node] = _sign(node, [known[part] for part in node.parts])
    return known


def _sign(node: Node, parts: list[Sign]) -> Sign:
    if node.exact is not None:
        return Sign.POSITIVE if node.exact > 0 else Sign.NONNEGATIVE if node.exact == 0 else Sign.UNKNOWN
    match node:
        case Constant("pi" | "E"):
            return Sign.POSITIVE
        case Sum():
            return max(parts) if min(parts) else Sign.UNKNOWN
        case Product():
            return min(parts)
        case Reciprocal():
            return Sign.POSITIVE if parts[0] else Sign.UNKNOWN
        case Power():
            return _power(node.whole, parts[0])
        case Call(function, _):
            return _call(function, parts)
        case Piecewise():
            return min(parts[::2])
    return Sign.UNKNOWN


def _power(whole: int | None, base: Sign) -> Sign:
    """A power that is not whole has a base that is not negative, or no value."""
    if whole == 0 or base is Sign.POSITIVE:
        return Sign.POSITIVE
    return Sign.NONNEGATIVE if whole is None or whole % 2 == 0 else base


def _call(function: str, parts: list[Sign]) -> Sign:
    match function:
        case "exp" | "cosh":
            return Sign.POSITIVE
        case "sqrt" | "Abs":
            return max(parts[0], Sign.NONNEGATIVE)
        case "acos" | "acosh":
            return Sign.NONNEGATIVE
        case "Max":
            return max(parts)
        case "Min":
            return min(parts)
        case "sinh" | "tanh" | "asinh" | "atan" | "sign":
            return parts[0]
    return Sign.UNKNOWN
