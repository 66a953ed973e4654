"""From trees, and so from sympy, back to text: `text_of` and `format_expression`."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from ..errors import InvalidArgument
from .from_sympy import tree_of
from .grammar import MAX_LENGTH
from .later import sympy
from .survey import survey
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

_SUM, _PRODUCT, _SIGN, _POWER, _ATOM = range(5)
"""How tightly a text holds together, loosest first."""

_LONGEST = 4 * MAX_LENGTH
"""A text longer than this is cut: no reader takes it, and a tree that shares its parts may have one of any length."""

Texts = Mapping[Node, tuple[str, int]]


def format_expression(expression: sympy.Expr) -> str:
    """The expression as a text of the grammar; `parse_expression` makes the same expression of it again.

    Floats are written with all their digits, and fractions exactly. Raises `InvalidArgument` if the expression is not
    one of the grammar (another function, an integral, an infinite or complex constant).
    """
    problem = survey(expression).problem
    if problem:
        raise InvalidArgument(f"this expression {problem}, so it cannot be written in a spec: {str(expression)[:200]}")
    return text_of(tree_of(expression))


def text_of(tree: Node) -> str:
    """The tree as a text: the one that it was read from, but for spaces, needless parentheses and the way numbers are written.

    Reading it gives the same tree. Of conditions too.
    """
    known: dict[Node, tuple[str, int]] = {}
    for node in postorder(tree):
        text, tightness = _text(node, known)
        known[node] = (text if len(text) <= _LONGEST else text[:_LONGEST] + "…"), tightness
    return known[tree][0]


def _text(node: Node, known: Texts) -> tuple[str, int]:
    """The text of a node and how tightly it holds together, given those of its parts."""

    def write(part: Node, tightness: int) -> str:
        text, own = known[part]
        return text if own >= tightness else f"({text})"

    match node:
        case Number(value):
            text = repr(value) if isinstance(value, float) else str(value)
            return text, _PRODUCT if isinstance(value, Fraction) and value.denominator > 1 else _SIGN if value < 0 else _ATOM
        case Constant(name) | Name(name):
            return name, _ATOM
        case Sum(terms):
            text = write(terms[0], _PRODUCT)
            for term in terms[1:]:
                text += f" - {write(term.part, _PRODUCT)}" if isinstance(term, Negative) else f" + {write(term, _PRODUCT)}"
            return text, _SUM
        case Negative(part):
            return f"-{write(part, _PRODUCT)}", _PRODUCT if known[part][1] == _PRODUCT else _SIGN
        case Product(factors):
            rest = (f"/{write(f.part, _POWER)}" if isinstance(f, Reciprocal) else f"*{write(f, _POWER)}" for f in factors[1:])
            return write(factors[0], _POWER) + "".join(rest), _PRODUCT
        case Reciprocal(part):
            return f"1/{write(part, _POWER)}", _PRODUCT
        case Power(base, exponent):
            return f"{write(base, _ATOM)}**{write(exponent, _POWER)}", _POWER
        case Call(function, arguments):
            return f"{function}({', '.join(known[a][0] for a in arguments)})", _ATOM
        case Lookup(_, _, orders, arguments):
            what = f"{node.name}(d{''.join(map(str, orders))})" if any(orders) else node.name
            return f"{what}({', '.join(known[a][0] for a in arguments)})", _ATOM
        case Piecewise(cases):
            return f"Piecewise({', '.join(f'({known[value][0]}, {known[condition][0]})' for value, condition in cases)})", _ATOM
        case Comparison(relation, left, right):
            return f"{known[left][0]} {relation} {known[right][0]}", _ATOM
        case And(conditions) | Or(conditions):
            word = " and " if isinstance(node, And) else " or "
            return word.join(write(c, _ATOM) for c in conditions), _SUM
        case Truth(holds):
            return str(holds), _SUM
        case Roots(_, arguments):
            return ", ".join(known[a][0] for a in arguments), _SUM
        case Root(roots, component, along):
            return f"root{component + 1}{'' if along is None else f'_{along + 1}'}({known[roots][0]})", _ATOM
    raise InvalidArgument(f"a {type(node).__name__} is no part of an expression")
