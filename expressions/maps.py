"""`ExpressionMap`: a vector-valued function given by expressions, evaluated on batches of float64 points.

An expression is there twice: as the tree of what was written, which says what the function is and where it is defined, and as what
sympy made of it, which is evaluated, differentiated and composed. Whoever makes a map of others keeps both: `renamed`, `after`.
What sympy makes of it is made when it is first asked for, and sympy is loaded then: who only looks at a model never does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InvalidArgument
from .box import Array
from .conditions import Condition
from .defined import anywhere
from .fields import Field, fields_in
from .from_sympy import tree_of
from .given import all_of_kind
from .later import sympy
from .lost import unseen
from .text import text_of
from .tree import Name, Node, free_names, substitute


def real_symbols(names: Iterable[str]) -> dict[str, sympy.Symbol]:
    """The real sympy symbols that stand for `names` in every expression of this package."""
    return {name: sympy.Symbol(name, real=True) for name in names}


@dataclass(frozen=True, eq=False)
class Formula:
    """What a text says: its tree, and what sympy makes of it."""

    tree: Node
    make: Callable[[], Any]

    @cached_property
    def expression(self) -> sympy.Expr:
        """Made when it is first asked for. Raises what reading the text raises, where that was put off (`parse.Kept`)."""
        return self.make()


Variables = Iterable[Any]
"""sympy symbols, or names, which stand for real ones."""


@dataclass(frozen=True, eq=False, init=False, repr=False)
class ExpressionMap:
    """The map R^a → R^b, point ↦ (e_1(point), …, e_b(point)).

    `variables` are the a input coordinates in order, `expressions` the b components over them. Outside an expression's
    real domain (the square root of a negative number, division by zero) the value is NaN or ±∞, never an exception; NaN also where
    only the tree is undefined, for sympy has cancelled the part, and where floats pass over it.
    """

    names: tuple[str, ...]
    """What the variables are called."""
    outputs: int
    written: tuple[Node, ...] | None
    """The trees of the texts that the expressions were read from; None if they were never text."""

    def __init__(self, variables: Sequence[sympy.Symbol], expressions: Sequence[sympy.Expr], trees: Sequence[Node] | None = None) -> None:
        """`trees` are the components as they were written, if they were. Raises `InvalidArgument` for names that are no variables."""
        how = 'give sympy symbols and expressions, or read texts: atlasmoe.atlas.graph.expression_map(("x", "y"), "x*y")'
        given = all_of_kind("ExpressionMap: variables", variables, sympy.Symbol, how)
        found = all_of_kind("ExpressionMap: expressions", expressions, sympy.Basic, how)
        if trees is not None and len(tuple(trees)) != len(found):
            raise InvalidArgument(f"there are {len(tuple(trees))} trees for {len(found)} expressions; give one for each")
        used = {str(symbol) for symbol in set().union(*(e.free_symbols for e in found)) - set(given)}
        self._hold(given, len(found), trees, used)
        object.__setattr__(self, "expressions", found)

    def _hold(self, variables: Variables, outputs: int, trees: Sequence[Node] | None, used: Iterable[str] = ()) -> None:
        given = tuple(variables)
        object.__setattr__(self, "names", tuple(map(str, given)))
        object.__setattr__(self, "outputs", outputs)
        object.__setattr__(self, "written", None if trees is None else tuple(trees))
        if not all(isinstance(one, str) for one in given):
            object.__setattr__(self, "variables", given)
        strange = {*used, *(() if self.written is None else free_names(*self.written) - set(self.names))}
        if strange:
            raise InvalidArgument(f"expressions use {sorted(strange)}, but only {list(self.names)} are declared")

    @classmethod
    def of(cls, variables: Variables, formulas: Sequence[Formula]) -> ExpressionMap:
        """The map whose components are these."""
        given = tuple(formulas)
        return cls.later(variables, len(given), lambda *_: [f.expression for f in given], [f.tree for f in given])

    @classmethod
    def later(
        cls, variables: Variables, outputs: int, make: Callable[..., Iterable[Any]], trees: Sequence[Node] | None = None
    ) -> ExpressionMap:
        """The map whose expressions are made of its variables when they are first asked for, by a function that takes them one by one."""
        made = cls.__new__(cls)
        made._hold(variables, outputs, trees)
        object.__setattr__(made, "_make", make)
        return made

    @cached_property
    def variables(self) -> tuple[sympy.Symbol, ...]:
        """The a input coordinates."""
        return tuple(real_symbols(self.names).values())

    @property
    def coordinates(self) -> Variables:
        """The variables for another map of the same: their names, as long as nobody has asked for symbols."""
        return vars(self).get("variables", self.names)

    @cached_property
    def expressions(self) -> tuple[sympy.Expr, ...]:
        """The b components, as sympy has them."""
        made: Any = vars(self)["_make"]
        return tuple(made(*self.variables))

    def __repr__(self) -> str:
        return f"ExpressionMap(variables={self.variables!r}, expressions={self.expressions!r}, written={self.written!r})"

    def __getstate__(self) -> dict[str, Any]:
        """On its way to another process it is made."""
        return {"variables": self.variables, "expressions": self.expressions} | {k: v for k, v in vars(self).items() if k != "_make"}

    @cached_property
    def trees(self) -> tuple[Node, ...]:
        """The b components as trees: as written, or as the text would be that says the sympy expressions."""
        return tuple(map(tree_of, self.expressions)) if self.written is None else self.written

    @property
    def fields(self) -> set[Field]:
        """What it calls that no formula says."""
        return set(fields_in(self.trees))

    @property
    def texts(self) -> tuple[str, ...]:
        """The b components as they were written, or as they would be."""
        return tuple(map(text_of, self.trees))

    def same(self, other: ExpressionMap) -> bool:
        """Whether the other map is the same function, written in the same way in the same variables."""
        if self is other or self.names != other.names:
            return self is other
        return (self.variables, self.trees, self.expressions) == (other.variables, other.trees, other.expressions)

    def renamed(self, variables: Variables) -> ExpressionMap:
        """The same function of other variables, as many as there are: symbols, or names."""
        given = tuple(variables)
        into = {old: Name(str(new)) for old, new in zip(self.names, given, strict=True)}

        def make(*symbols: sympy.Symbol) -> list[sympy.Expr]:
            renamed = dict(zip(self.variables, symbols, strict=True))
            return [e.xreplace(renamed) for e in self.expressions]

        return ExpressionMap.later(given, self.outputs, make, None if self.written is None else substitute(self.written, into))

    def after(self, inner: ExpressionMap) -> ExpressionMap:
        """The composition point ↦ self(inner(point)), defined where `inner` is, and self at its values: sympy may cancel, trees do not."""

        def make(*_: sympy.Symbol) -> list[sympy.Expr]:
            into = dict(zip(self.variables, inner.expressions, strict=True))
            return [e.xreplace(into) for e in self.expressions]

        trees = substitute(self.trees, dict(zip(self.names, inner.trees, strict=True)))
        return ExpressionMap.later(inner.coordinates, self.outputs, make, trees)

    @property
    def inputs(self) -> int:
        return len(self.names)

    @cached_property
    def _compiled(self) -> Any:
        from .compiled import function_of

        return function_of(self.variables, self.expressions)

    def __call__(self, points: ArrayLike) -> Array:
        """Evaluate at points [..., a]; returns [..., b] float64."""
        points = np.asarray(points, np.float64)
        if points.shape[-1:] != (self.inputs,):
            raise InvalidArgument(f"points of shape {points.shape} do not end in the {self.inputs} coordinates {list(self.names)}")
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
        columns = {name: rows[:, k] for k, name in enumerate(self.names)}
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


def identity(variables: Variables) -> ExpressionMap:
    """The map R^a → R^a whose components are its variables."""
    given = tuple(variables)
    return ExpressionMap.later(given, len(given), lambda *symbols: symbols)
