"""`sympy_of`: what sympy makes of a tree, with all its rewriting.

Two parts of which it makes the same are the same where both are defined.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from ..errors import InvalidArgument
from .grammar import COMPARISONS, CONSTANTS, FUNCTIONS
from .later import sympy
from .tree import (
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
    postorder,
)


def sympy_of(tree: Node) -> Any:
    """An expression over real symbols, or a condition. Raises `InvalidArgument` for what no text can say."""
    known: dict[Node, Any] = {}
    for node in postorder(tree):
        known[node] = _made(node, [known[part] for part in node.parts])
    return known[tree]


HEADS: Mapping[type[Node], Callable[..., Any]] = {
    Sum: lambda *parts: sympy.Add(*parts),
    Product: lambda *parts: sympy.Mul(*parts),
    Power: lambda base, exponent: sympy.Pow(base, exponent),
    Negative: lambda a: -a,
    Reciprocal: lambda a: 1 / a,
    And: lambda *parts: sympy.And(*parts, evaluate=False),
    Or: lambda *parts: sympy.Or(*parts, evaluate=False),
}


def _made(node: Node, parts: list[Any]) -> Any:
    match node:
        case Number(value):
            return sympy.Rational(value.numerator, value.denominator) if isinstance(value, Fraction) else sympy.Float(value)
        case Name(name):
            return sympy.Symbol(name, real=True)
        case Constant(name) if name in CONSTANTS:
            return getattr(sympy, name)
        case Truth(holds):
            return sympy.true if holds else sympy.false
        case Call(function, _) if function in FUNCTIONS:
            return FUNCTIONS[function].build(*parts)
        case Lookup(field, component, orders, _):
            from .looked import looked

            return looked(field, component, orders, tuple(parts))
        case Comparison(relation, _, _) if relation in COMPARISONS:
            return getattr(sympy, COMPARISONS[relation])(*parts, evaluate=False)
        case Piecewise():
            return sympy.Piecewise(*zip(parts[::2], parts[1::2], strict=True), evaluate=False)
        case Roots():
            return tuple(parts)
        case Root(Roots(tube, _), component, along):
            from .root import root_function

            return root_function(tube, component, along)(*parts[0])
    if type(node) in HEADS:
        return HEADS[type(node)](*parts)
    raise InvalidArgument(f"a {type(node).__name__} of this kind is no part of the expression language")
