"""Formulas put into one another: what is made of names, tree and sympy expression beside each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from .conditions import conditions
from .from_sympy import tree_of
from .later import sympy
from .lost import lost
from .maps import ExpressionMap, Formula, real_symbols
from .text import text_of
from .tree import Name, substitute


def named(names: Iterable[str]) -> dict[str, Formula]:
    """Every name as the formula that it is."""
    return {name: Formula(Name(name), _said(symbol)) for name, symbol in real_symbols(names).items()}


def _said(expression: sympy.Expr) -> Callable[[], sympy.Expr]:
    return lambda: expression


def written_out(function: ExpressionMap, into: Mapping[str, Formula]) -> list[Formula]:
    """The components of a map with a formula in the place of every variable."""
    symbols = {symbol: into[str(symbol)].expression for symbol in function.variables}
    trees = substitute(function.trees, {name: formula.tree for name, formula in into.items()})
    return [Formula(tree, _said(e.xreplace(symbols))) for e, tree in zip(function.expressions, trees, strict=True)]


def cancelled(formula: Formula) -> str | None:
    """The text of a part that may have no value, of which sympy has left nothing; None if there is none."""
    asked = conditions([formula.tree])
    other = tree_of(formula.expression)
    gone = lost(asked, conditions([other])) if asked and other is not formula.tree else []
    return text_of(gone[0].part) if gone else None
