"""The grammar of expressions: what may be written, and the functions that it names."""

from __future__ import annotations

import keyword
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sympy

GRAMMAR = r"""
    start: sum

    ?sum: term (SIGN term)*
    ?term: SIGN term            -> signed
         | product
    ?product: power (SCALE factor)*
    ?factor: SIGN factor        -> signed
           | power
    ?power: atom POWER factor
          | atom
    ?atom: NUMBER               -> number
         | NAME                 -> name
         | NAME LPAR sum ("," sum)* RPAR                   -> call
         | PIECEWISE LPAR case ("," case)* [","] RPAR     -> piecewise
         | LPAR sum RPAR        -> group

    case: "(" sum "," condition ")"

    ?condition: conjunction (_OR conjunction)*            -> disjunction
    ?conjunction: truth (_AND truth)*
    ?truth: sum COMPARE sum     -> comparison
          | TRUE                -> true
          | "(" condition ")"

    LPAR: "("
    RPAR: ")"
    SIGN: "+" | "-"
    SCALE: "*" | "/"
    POWER: "**"
    COMPARE: "<=" | ">=" | "<" | ">"
    _AND: "and" | "&"
    _OR: "or" | "|"
    TRUE: "True"
    PIECEWISE: "Piecewise"
    NUMBER: /([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?/
    NAME: /[A-Za-z_][A-Za-z_0-9]*/
    SPACE: /\s+/
    %ignore SPACE
"""
"""Powers bind tightest and to the right, then * and /, then + and − (a leading sign is that of the whole product), then
comparisons, `and`, `or`: the values are those of the same text in Python."""

MAX_LENGTH = 10_000
"""Characters of one expression."""
MAX_DEPTH = 100
"""Levels of nesting, of parentheses and of the sympy tree."""
MAX_TOWER = 6
"""Levels of 2**-2**-2**… of constants, where exponents are no fractions: sympy takes twice as long with every one."""
MAX_NODES = 5_000
"""Nodes of the sympy tree."""
MAX_BITS = 512
"""Bits of an exact integer, or of the numerator or denominator of an exact fraction."""
MAX_EXPONENT = 256
"""Largest constant exponent in absolute value, before and after sympy gathers powers."""
MAX_DEGREE = 4_096
"""Largest degree of a nested power, such as 256·16 for (x**256)**16."""


@dataclass(frozen=True)
class Function:
    """A function that expressions may call: its sympy class, its value in floats, and how many arguments it takes."""

    build: Callable[..., sympy.Expr]
    value: Callable[..., float]
    least: int = 1
    most: int | None = 1

    @property
    def arity(self) -> str:
        if self.most is None:
            return f"at least {self.least} arguments"
        return "1 argument" if self.most == 1 else f"{self.most} arguments"


def _unevaluated(head: Any) -> Callable[..., sympy.Expr]:
    """`head` without sympy's rewriting, which may try for ever to decide the sign of a constant."""
    return lambda *arguments: head(*arguments, evaluate=False)


_ABSOLUTE = Function(_unevaluated(sympy.Abs), abs)
_MAXIMUM = Function(_unevaluated(sympy.Max), max, 2, None)
_MINIMUM = Function(_unevaluated(sympy.Min), min, 2, None)

FUNCTIONS: dict[str, Function] = {
    "sin": Function(sympy.sin, math.sin),
    "cos": Function(sympy.cos, math.cos),
    "tan": Function(sympy.tan, math.tan),
    "cot": Function(sympy.cot, lambda v: 1 / math.tan(v)),
    "asin": Function(sympy.asin, math.asin),
    "acos": Function(sympy.acos, math.acos),
    "atan": Function(sympy.atan, math.atan),
    "atan2": Function(sympy.atan2, math.atan2, 2, 2),
    "sinh": Function(sympy.sinh, math.sinh),
    "cosh": Function(sympy.cosh, math.cosh),
    "tanh": Function(sympy.tanh, math.tanh),
    "asinh": Function(sympy.asinh, math.asinh),
    "acosh": Function(sympy.acosh, math.acosh),
    "atanh": Function(sympy.atanh, math.atanh),
    "exp": Function(sympy.exp, math.exp),
    "log": Function(sympy.log, math.log),
    "sqrt": Function(sympy.sqrt, math.sqrt),
    "sign": Function(_unevaluated(sympy.sign), lambda v: math.copysign(1, v) if v else 0.0),
    "Abs": _ABSOLUTE,
    "abs": _ABSOLUTE,
    "Max": _MAXIMUM,
    "max": _MAXIMUM,
    "Min": _MINIMUM,
    "min": _MINIMUM,
}

CONSTANTS: dict[str, tuple[sympy.Expr, float]] = {"pi": (sympy.pi, math.pi), "E": (sympy.E, math.e)}

CONNECTIVES = {"conjunction": sympy.And, "disjunction": sympy.Or}
COMPARISONS: dict[str, tuple[Any, Callable[[float, float], bool]]] = {
    "<": (sympy.StrictLessThan, operator.lt),
    "<=": (sympy.LessThan, operator.le),
    ">": (sympy.StrictGreaterThan, operator.gt),
    ">=": (sympy.GreaterThan, operator.ge),
}

HEADS: dict[type, str] = {
    head: head.__name__
    for head in (
        *(sympy.sin, sympy.cos, sympy.tan, sympy.cot, sympy.asin, sympy.acos, sympy.atan, sympy.atan2),
        *(sympy.sinh, sympy.cosh, sympy.tanh, sympy.asinh, sympy.acosh, sympy.atanh),
        *(sympy.exp, sympy.log, sympy.sign, sympy.Abs, sympy.Max, sympy.Min),
    )
}
"""The sympy functions of the grammar, and how they are written."""

_EVALUATED_BY = (
    "abs absolute arccos arccosh arcsin arcsinh arctan arctan2 arctanh array cbrt equal greater greater_equal heaviside less "
    "less_equal log1p log2 log10 logical_and logical_not logical_or maximum minimum nan select where zoo"
)
"""Names in the numpy code that evaluates an expression, which a coordinate of the same name would hide."""

RESERVED = frozenset({*FUNCTIONS, *CONSTANTS, "True", "False", "Piecewise", *keyword.kwlist, *_EVALUATED_BY.split()})
"""Names that no coordinate may have."""
