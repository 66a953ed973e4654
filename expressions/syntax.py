"""From what the parser saw to the tree of the text: nothing is evaluated, nothing is rewritten."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from .fields import Component
from .grammar import CONSTANTS
from .parsed import Fold, Token
from .tree import And, Call, Comparison, Constant, Name, Negative, Node, Number, Or, Piecewise, Power, Product, Reciprocal, Sum, Truth

FIRST_NAMES = {"abs": "Abs", "max": "Max", "min": "Min"}
"""Functions of two names, by the other one."""


class Syntax(Fold):
    """Builds the tree of a text that `Builder` has accepted. Declared names go before the constants."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self.names = names

    def start(self, children: list[Node]) -> Node:
        return children[0]

    def number(self, children: list[Token]) -> Node:
        token = str(children[0])
        return Number(Fraction(int(token)) if token.isdigit() else float(token))

    def name(self, children: list[Token]) -> Node:
        token = str(children[0])
        return Constant(token) if token in CONSTANTS and token not in self.names else Name(token)

    def signed(self, children: list[Any]) -> Node:
        sign, part = children
        return part if sign == "+" else Negative(part)

    def sum(self, children: list[Any]) -> Node:
        later = zip(children[1::2], children[2::2], strict=True)
        return Sum((children[0], *(term if sign == "+" else Negative(term) for sign, term in later)))

    def product(self, children: list[Any]) -> Node:
        later = zip(children[1::2], children[2::2], strict=True)
        return Product((children[0], *(factor if sign == "*" else Reciprocal(factor) for sign, factor in later)))

    def power(self, children: list[Any]) -> Node:
        base, _, exponent = children
        return Power(base, exponent)

    def group(self, children: list[Any]) -> Node:
        return children[1]

    def call(self, children: list[Any]) -> Node:
        token = str(children[0])
        if isinstance(component := self.names.get(token), Component):
            return component(*children[2:-1])
        return Call(FIRST_NAMES.get(token, token), tuple(children[2:-1]))

    def case(self, children: list[Node]) -> tuple[Node, Node]:
        value, condition = children
        return value, condition

    def piecewise(self, children: list[Any]) -> Node:
        return Piecewise(tuple(children[2:-1]))

    def comparison(self, children: list[Any]) -> Node:
        left, sign, right = children
        return Comparison(str(sign), left, right)

    def true(self, children: list[Token]) -> Node:
        return Truth(True)

    def conjunction(self, children: list[Node]) -> Node:
        return children[0] if len(children) == 1 else And(tuple(children))

    def disjunction(self, children: list[Node]) -> Node:
        return children[0] if len(children) == 1 else Or(tuple(children))
