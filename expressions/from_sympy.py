"""`tree_of`: the tree of an expression that was made in Python, for which no text was ever read.

It is the tree of the text that `format_expression` writes, which is written from it.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from .grammar import heads
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
)

ONE = Number(Fraction(1))
OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}

Known = Callable[[Any], Node]
"""Of parts of sympy."""


def tree_of(expression: sympy.Basic) -> Node:
    """The tree of a sympy expression, or of a condition.

    Functions and constants that the grammar does not have become a `Call` or a `Constant` of their sympy name.
    """
    known: dict[sympy.Basic, Node] = {}
    pending = [expression]
    while pending:
        part = pending[-1]
        missing = [] if part in known or part.is_Number else [argument for argument in part.args if argument not in known]
        pending.extend(missing)
        if not missing:
            pending.pop()
            known.setdefault(part, _node(part, known.__getitem__))
    return known[expression]


def _node(part: sympy.Basic, tree: Known) -> Node:
    """The node of a part; `tree` knows those of its arguments."""
    match part:
        case sympy.Float() | sympy.Rational():
            return _number(part)
        case sympy.Symbol():
            return Name(part.name)
        case sympy.Add():
            # x - 1 rather than -1 + x
            terms = sorted(part.args, key=lambda term: bool(term.is_Number))
            return Sum(tuple(map(tree, terms)))
        case sympy.Mul():
            return _product(part, tree)
        case sympy.Pow():
            return _power(part, tree)
        case sympy.Piecewise():
            return Piecewise(tuple((tree(value), tree(condition)) for value, condition in part.args))
        case sympy.core.relational.Relational():
            return Comparison(part.rel_op, tree(part.lhs), tree(part.rhs))
        case sympy.And() | sympy.Or():
            return (And if isinstance(part, sympy.And) else Or)(tuple(map(tree, part.args)))
        case sympy.Not():
            return _negated(tree(part.args[0]))
        case sympy.Function():
            return _function(part, tree)
    if part in (sympy.true, sympy.false):
        return Truth(bool(part))
    if not part.args:
        return Constant(str(part))
    return _call(part, tree)


def _function(part: sympy.Function, tree: Known) -> Node:
    from .looked import Looked
    from .root import RootBase

    match part:
        case RootBase():
            return Root(Roots(part.tube, tuple(map(tree, part.args))), part.component, part.along)
        case Looked():
            return Lookup(part.field, part.component, part.orders, tuple(map(tree, part.arguments)))
    return _call(part, tree)


def _call(part: sympy.Basic, tree: Known) -> Node:
    return Call(heads().get(type(part), type(part).__name__), tuple(map(tree, part.args)))


def _number(part: sympy.Number) -> Node:
    """A number that is not finite is a constant that no text can say."""
    if not part.is_finite:
        return Constant(str(part))
    if part < 0:
        return Negative(_number(-part))
    if isinstance(part, sympy.Float):
        value = float(part)
        exact = sympy.Rational(part)
        return Number(value if sympy.Float(value) == part else Fraction(int(exact.p), int(exact.q)))
    above = Number(Fraction(int(part.p)))
    return above if part.q == 1 else Product((above, Reciprocal(Number(Fraction(int(part.q))))))


def _power(part: sympy.Pow, tree: Known) -> Node:
    base, exponent = part.args
    if exponent == sympy.S.Half:
        return Call("sqrt", (tree(base),))
    if exponent is sympy.S.NegativeOne:
        return Product((ONE, Reciprocal(tree(base))))
    return Power(tree(base), tree(exponent))


def _product(part: sympy.Mul, tree: Known) -> Node:
    """The sign before the whole product, then what is multiplied, then what it is divided by."""
    above: list[Node] = []
    below: list[Node] = []
    negative = False
    for factor in part.args:
        exponent = factor.args[1] if factor.is_Pow else sympy.S.One
        if factor.is_Rational and (factor is sympy.S.NegativeOne or factor.q != 1):
            negative ^= bool(factor < 0)
            if abs(factor.p) != 1:
                above.append(Number(Fraction(abs(int(factor.p)))))
            if factor.q != 1:
                below.append(Number(Fraction(int(factor.q))))
        elif exponent.is_Rational and exponent < 0 and not factor.args[0].is_Number:
            base = tree(factor.args[0])
            below.append(
                base if exponent == -1 else Call("sqrt", (base,)) if exponent == -sympy.S.Half else Power(base, _number(-exponent))
            )
        else:
            node = tree(factor)
            if factor.is_Number and isinstance(node, Negative) and not above:
                negative, node = not negative, node.part
            above.append(node)
    factors = (*(above or [ONE]), *map(Reciprocal, below))
    whole = factors[0] if len(factors) == 1 else Product(factors)
    return Negative(whole) if negative else whole


def _negated(condition: Node) -> Node:
    match condition:
        case Comparison(relation, left, right) if relation in OPPOSITE:
            return Comparison(OPPOSITE[relation], left, right)
        case And(conditions):
            return Or(tuple(map(_negated, conditions)))
        case Or(conditions):
            return And(tuple(map(_negated, conditions)))
        case Truth(holds):
            return Truth(not holds)
    return Call("Not", (condition,))
