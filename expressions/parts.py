"""Maps made of maps: their components side by side, multiplied, cut off at 0. Trees go along where a text was read."""

from __future__ import annotations

from collections.abc import Sequence

import sympy

from .maps import ExpressionMap
from .tree import Call, Node, Number, Product


def joined(variables: Sequence[sympy.Symbol], *maps: ExpressionMap) -> ExpressionMap:
    """The components of all the maps, each of some of the variables."""
    return ExpressionMap(variables, [e for f in maps for e in f.expressions], _trees([t for f in maps for t in f.trees], *maps))


def multiplied(variables: Sequence[sympy.Symbol], one: ExpressionMap, other: ExpressionMap) -> ExpressionMap:
    """The product of two maps of one component, each of some of the variables."""
    return ExpressionMap(variables, [one.expressions[0] * other.expressions[0]], _trees([Product((*one.trees, *other.trees))], one, other))


def cut_off(function: ExpressionMap, unit: float) -> ExpressionMap:
    """max(function/unit, 0), for one component; the unit is positive."""
    scaled = Product((*function.trees, Number(1 / unit)))
    trees = _trees([Call("Max", (scaled, Number(0.0)))], function)
    return ExpressionMap(function.variables, [sympy.Max(function.expressions[0] / unit, 0)], trees)


def _trees(trees: list[Node], *maps: ExpressionMap) -> list[Node] | None:
    """The trees, if some map has any that were written; else none, for sympy says it all."""
    return None if all(f.written is None for f in maps) else trees
