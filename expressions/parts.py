"""Maps made of maps: their components side by side, multiplied, cut off at 0. Trees go along where a text was read."""

from __future__ import annotations

from .later import sympy
from .maps import ExpressionMap, Variables
from .tree import Call, Number, Product


def joined(variables: Variables, *maps: ExpressionMap) -> ExpressionMap:
    """The components of all the maps, each of some of the variables."""
    trees = [t for f in maps for t in f.trees] if _any_written(*maps) else None
    return ExpressionMap.later(variables, sum(f.outputs for f in maps), lambda *_: [e for f in maps for e in f.expressions], trees)


def multiplied(variables: Variables, one: ExpressionMap, other: ExpressionMap) -> ExpressionMap:
    """The product of two maps of one component, each of some of the variables."""
    trees = [Product((*one.trees, *other.trees))] if _any_written(one, other) else None
    return ExpressionMap.later(variables, 1, lambda *_: [one.expressions[0] * other.expressions[0]], trees)


def cut_off(function: ExpressionMap, unit: float) -> ExpressionMap:
    """max(function/unit, 0), for one component; the unit is positive."""
    trees = [Call("Max", (Product((*function.trees, Number(1 / unit))), Number(0.0)))] if _any_written(function) else None
    return ExpressionMap.later(function.coordinates, 1, lambda *_: [sympy.Max(function.expressions[0] / unit, 0)], trees)


def _any_written(*maps: ExpressionMap) -> bool:
    """Whether some map has trees that were written; else sympy says it all."""
    return any(f.written is not None for f in maps)
