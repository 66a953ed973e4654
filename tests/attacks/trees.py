"""What an expression is worth at a point, from its tree as it was written, in mpmath; NaN where it is not defined.

Written from the table in `expressions/tree.py`, and sharing nothing else with it: the judge of what enclosures say of the same trees.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import mpmath
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
    postorder,
)  # fmt: skip

NAN = mpmath.nan
Value = mpmath.mpf
PLAIN = {
    "sin": mpmath.sin, "cos": mpmath.cos, "atan": mpmath.atan, "sinh": mpmath.sinh, "cosh": mpmath.cosh, "tanh": mpmath.tanh,
    "asinh": mpmath.asinh, "exp": mpmath.exp, "Abs": abs, "sign": mpmath.sign,
}  # fmt: skip
HOLDS = {"<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b}


def value(tree: Node, at: Mapping[str, Value]) -> Value:
    """The value with these coordinates."""
    found: dict[Node, Value | bool | None] = {}
    for node in postorder(tree):
        parts = [found[part] for part in node.parts]
        found[node] = _condition(node, parts, found) if isinstance(node, Comparison | And | Or | Truth) else _value(node, parts, found, at)
    result = found[tree]
    assert not isinstance(result, bool)
    return NAN if result is None else result


def _condition(node: Node, parts: list, found: Mapping) -> bool | None:
    """None where it is not defined: of And and Or every part has to be."""
    match node:
        case Truth(holds):
            return holds
        case Comparison(relation, _, _):
            return None if any(mpmath.isnan(p) for p in parts) else HOLDS[relation](*parts)
    if None in parts:
        return None
    return all(parts) if isinstance(node, And) else any(parts)


def _value(node: Node, parts: list, found: Mapping, at: Mapping[str, Value]) -> Value:
    if isinstance(node, Piecewise):
        for case, condition in node.cases:
            if found[condition] is None:
                return NAN
            if found[condition]:
                return found[case]
        return NAN
    if any(p is None or mpmath.isnan(p) for p in parts):
        return NAN
    match node:
        case Number(number):
            exact = Fraction(number)
            return mpmath.mpf(exact.numerator) / exact.denominator
        case Constant(name):
            return mpmath.pi() if name == "pi" else mpmath.e()
        case Name(name):
            return at[name]
        case Sum():
            return mpmath.fsum(parts)
        case Negative():
            return -parts[0]
        case Product():
            return mpmath.fprod(parts)
        case Reciprocal():
            return NAN if parts[0] == 0 else 1 / parts[0]
        case Power():
            return _power(
                parts[0], parts[1], node.whole, node.exponent.exact if not _varies(node.exponent) else None, _varies(node.exponent)
            )
        case Call(function, _):
            return _call(function, parts)
    raise AssertionError(node)


def _varies(node: Node) -> bool:
    return any(isinstance(part, Name) for part in postorder(node))


def _power(a: Value, p: Value, whole: int | None, exact: Fraction | None, varies: bool) -> Value:
    if whole is not None:
        return NAN if a == 0 and whole < 0 else a**whole
    if a > 0:
        return mpmath.exp(p * mpmath.log(a))
    return mpmath.mpf(0) if a == 0 and not varies and p > 0 else NAN


def _call(function: str, a: list[Value]) -> Value:
    x = a[0]
    match function:
        case "sqrt":
            return mpmath.sqrt(x) if x >= 0 else NAN
        case "log":
            return mpmath.log(x) if x > 0 else NAN
        case "tan":
            return mpmath.tan(x)
        case "cot":
            return NAN if mpmath.sin(x) == 0 else mpmath.cot(x)
        case "asin" | "acos":
            return getattr(mpmath, function)(x) if abs(x) <= 1 else NAN
        case "acosh":
            return mpmath.acosh(x) if x >= 1 else NAN
        case "atanh":
            return mpmath.atanh(x) if abs(x) < 1 else NAN
        case "atan2":
            return NAN if x == a[1] == 0 else mpmath.atan2(x, a[1])
        case "Max":
            return max(a)
        case "Min":
            return min(a)
    return mpmath.mpf(PLAIN[function](x))
