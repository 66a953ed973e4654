"""`ExpressionMap`: a vector-valued function given by expressions, evaluated on batches of float64 points.

An expression is there twice: as the tree of what was written, which says what the function is and where it is defined, and as what
sympy made of it, which is evaluated, differentiated and composed. Whoever makes a map of others keeps both: `renamed`, `after`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import sympy
from numpy.typing import ArrayLike
from sympy.printing.numpy import NumPyPrinter

from ..errors import InvalidArgument
from .box import Array
from .conditions import Condition
from .defined import anywhere
from .fields import Field
from .from_sympy import tree_of
from .given import all_of_kind
from .looked import Looked, look_up
from .lost import unseen
from .root import RootBase
from .text import text_of
from .tree import Name, Node, free_names, substitute

REMEMBERED = 1 << 12
"""Functions made of expressions that are kept for whoever has the same expressions."""


class _BatchPrinter(NumPyPrinter):  # type: ignore[misc]
    """sympy's NumPy printer, with Max, Min, And and Or that broadcast constants against arrays, and exact floats."""

    def _fold(self, function: str, arguments: Sequence[sympy.Expr]) -> str:
        printed = [self._print(argument) for argument in arguments]
        name = self._module_format(f"numpy.{function}")
        result = printed[0]
        for argument in printed[1:]:
            result = f"{name}({result}, {argument})"
        return result

    def _print_Float(self, expression: sympy.Float) -> str:
        return repr(float(expression))  # all 17 digits, where sympy prints 15

    def _print_atan2(self, expression: sympy.atan2) -> str:
        """There is one real 0, and no −0, which would turn the angle of a negative number round."""
        y, x = (self._print(argument) for argument in expression.args)
        return f"{self._module_format('numpy.arctan2')}({y} + 0.0, {x} + 0.0)"

    def _print_Looked(self, expression: Looked) -> str:
        parts = ", ".join(self._print(argument) for argument in expression.arguments)
        return f"look_up({int(expression.args[0])}, {expression.component}, {expression.orders}, {parts})"

    def _print_RootBase(self, expression: RootBase) -> str:
        return f"{type(expression).__name__}({', '.join(map(self._print, expression.args))})"

    def _print_And(self, expression: sympy.And) -> str:
        return self._fold("logical_and", expression.args)

    def _print_Or(self, expression: sympy.Or) -> str:
        return self._fold("logical_or", expression.args)

    def _print_Max(self, expression: sympy.Max) -> str:
        return self._fold("maximum", expression.args)

    def _print_Min(self, expression: sympy.Min) -> str:
        return self._fold("minimum", expression.args)


@lru_cache(maxsize=REMEMBERED)
def _function(variables: tuple[sympy.Symbol, ...], expressions: tuple[sympy.Expr, ...]) -> Any:
    """The expressions as one function of numpy, of the coordinates one by one: the same whoever reads, saves or checks them again."""
    printer = _BatchPrinter({"fully_qualified_modules": False, "inline": True, "allow_unknown_functions": False})
    # Its docstring, the expressions printed once more, would take as long as the code.
    # Given by its name, numpy would be imported with all of its parts, which takes longer than everything else here.
    roots = set().union(*(e.atoms(RootBase) for e in expressions))
    known = [{"look_up": look_up, **{type(root).__name__: type(root).evaluate for root in roots}}, vars(np)]
    function = sympy.lambdify(variables, list(expressions), modules=known, printer=printer, cse=True, docstring_limit=0)
    # On its way to another process it is asked for its module; without an answer, every module there is would be searched.
    function.__module__ = __name__
    return function


@dataclass(frozen=True)
class Formula:
    """What a text says: its tree, and what sympy made of it."""

    expression: sympy.Expr
    tree: Node


@dataclass(frozen=True, eq=False, init=False)
class ExpressionMap:
    """The map R^a → R^b, point ↦ (e_1(point), …, e_b(point)).

    `variables` are the a input coordinates in order, `expressions` the b components over them. Outside an expression's
    real domain (the square root of a negative number, division by zero) the value is NaN or ±∞, never an exception; NaN also where
    only the tree is undefined, for sympy has cancelled the part, and where floats pass over it.
    """

    variables: tuple[sympy.Symbol, ...]
    expressions: tuple[sympy.Expr, ...]
    written: tuple[Node, ...] | None
    """The trees of the texts that the expressions were read from; None if they were never text."""

    def __init__(self, variables: Sequence[sympy.Symbol], expressions: Sequence[sympy.Expr], trees: Sequence[Node] | None = None) -> None:
        """`trees` are the components as they were written, if they were. Raises `InvalidArgument` for names that are no variables."""
        how = 'give sympy symbols and expressions, or read texts: atlasmoe.atlas.graph.expression_map(("x", "y"), "x*y")'
        object.__setattr__(self, "variables", all_of_kind("ExpressionMap: variables", variables, sympy.Symbol, how))
        object.__setattr__(self, "expressions", all_of_kind("ExpressionMap: expressions", expressions, sympy.Basic, how))
        object.__setattr__(self, "written", None if trees is None else tuple(trees))
        used = {str(symbol) for symbol in set().union(*(e.free_symbols for e in self.expressions)) - set(self.variables)}
        if self.written is not None:
            if len(self.written) != len(self.expressions):
                raise InvalidArgument(f"there are {len(self.written)} trees for {len(self.expressions)} expressions; give one for each")
            used |= free_names(*self.written) - set(map(str, self.variables))
        if used:
            raise InvalidArgument(f"expressions use {sorted(used)}, but only {[str(v) for v in self.variables]} are declared")

    @classmethod
    def of(cls, variables: Iterable[sympy.Symbol], formulas: Sequence[Formula]) -> ExpressionMap:
        """The map whose components are these."""
        return cls(tuple(variables), [f.expression for f in formulas], [f.tree for f in formulas])

    @cached_property
    def trees(self) -> tuple[Node, ...]:
        """The b components as trees: as written, or as the text would be that says the sympy expressions."""
        return tuple(map(tree_of, self.expressions)) if self.written is None else self.written

    @property
    def fields(self) -> set[Field]:
        """What it calls that no formula says."""
        return {atom.field for atom in set().union(*(e.atoms(Looked) for e in self.expressions))}

    @property
    def texts(self) -> tuple[str, ...]:
        """The b components as they were written, or as they would be."""
        return tuple(map(text_of, self.trees))

    def same(self, other: ExpressionMap) -> bool:
        """Whether the other map is the same function, written in the same way in the same variables."""
        return self is other or (self.variables, self.expressions, self.trees) == (other.variables, other.expressions, other.trees)

    def renamed(self, variables: Sequence[sympy.Symbol]) -> ExpressionMap:
        """The same function of other variables, as many as there are."""
        into = dict(zip(self.variables, variables, strict=True))
        trees = None
        if self.written is not None:
            trees = substitute(self.written, {str(old): Name(str(new)) for old, new in into.items()})
        return ExpressionMap(variables, tuple(e.xreplace(into) for e in self.expressions), trees)

    def after(self, inner: ExpressionMap) -> ExpressionMap:
        """The composition point ↦ self(inner(point)), defined where `inner` is, and self at its values: sympy may cancel, trees do not."""
        into = dict(zip(self.variables, inner.expressions, strict=True))
        trees = substitute(self.trees, dict(zip(map(str, self.variables), inner.trees, strict=True)))
        return ExpressionMap(inner.variables, tuple(e.xreplace(into) for e in self.expressions), trees)

    @property
    def inputs(self) -> int:
        return len(self.variables)

    @property
    def outputs(self) -> int:
        return len(self.expressions)

    @cached_property
    def _compiled(self) -> Any:
        return _function(self.variables, self.expressions)

    def __call__(self, points: ArrayLike) -> Array:
        """Evaluate at points [..., a]; returns [..., b] float64."""
        points = np.asarray(points, np.float64)
        if points.shape[-1:] != (self.inputs,):
            raise InvalidArgument(
                f"points of shape {points.shape} do not end in the {self.inputs} coordinates {[str(v) for v in self.variables]}"
            )
        result = np.empty((*points.shape[:-1], self.outputs))
        with np.errstate(all="ignore"):
            for k, component in enumerate(self._compiled(*np.moveaxis(points, -1, 0))):
                # Python's powers of negative constants are complex.
                result[..., k] = np.where(np.imag(component) == 0, np.real(component), np.nan) if np.iscomplexobj(component) else component
        self._take_back(points, result)
        return result

    @cached_property
    def _unseen(self) -> list[tuple[int, list[Condition]]]:
        """Components, with the conditions of theirs that evaluating the sympy expressions does not show."""
        written = enumerate(zip(self.written or (), self.expressions, strict=False))
        return [(k, asked) for k, (tree, expression) in written if (asked := unseen(tree, expression))]

    def _take_back(self, points: Array, result: Array) -> None:
        """Put NaN where the trees are undefined."""
        if not self._unseen:
            return
        rows = points.reshape(-1, self.inputs)
        columns = {str(v): rows[:, k] for k, v in enumerate(self.variables)}
        for k, asked in self._unseen:
            bad = anywhere(self.trees[k], asked, columns).reshape(points.shape[:-1])
            result[bad, k] = np.nan

    @cached_property
    def jacobian(self) -> ExpressionMap:
        """The b·a partial derivatives ∂e_i/∂v_j, row-major, as one map R^a → R^{b·a}."""
        return ExpressionMap(self.variables, tuple(sympy.diff(e, v) for e in self.expressions for v in self.variables))

    def jacobian_at(self, points: ArrayLike) -> Array:
        """Jacobian matrices [..., b, a] at points [..., a]."""
        points = np.asarray(points, np.float64)
        return self.jacobian(points).reshape(*points.shape[:-1], self.outputs, self.inputs)

    @cached_property
    def affine(self) -> tuple[Array, Array] | None:
        """(A, b) with value A·point + b if every component is affine, else None."""
        rows, offsets = [], []
        for expression in self.expressions:
            gradient = [sympy.diff(expression, v) for v in self.variables]
            if any(g.free_symbols for g in gradient):
                return None
            rows.append([float(g) for g in gradient])
            offsets.append(float(expression.subs(dict.fromkeys(self.variables, 0))))
        return np.array(rows), np.array(offsets)
