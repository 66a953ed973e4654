"""The grammar of expressions: what may be written, and the functions that it names."""

from __future__ import annotations

import keyword
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .later import sympy

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
    """A function that expressions may call: what sympy calls it, its value in floats, and how many arguments it takes."""

    head: str
    value: Callable[..., float]
    least: int = 1
    most: int | None = 1
    rewritten: bool = True
    """Whether sympy may rewrite it as it is built: of some it may try for ever to decide the sign of a constant."""

    def build(self, *arguments: Any, **said: bool) -> Any:
        """The sympy expression; `evaluate=False` leaves it as it is said."""
        return getattr(sympy, self.head)(*arguments, **(said if self.rewritten else {"evaluate": False}))

    def takes(self, count: int) -> bool:
        return self.least <= count and (self.most is None or count <= self.most)

    @property
    def arity(self) -> str:
        if self.most is None:
            return f"at least {self.least} arguments"
        return "1 argument" if self.most == 1 else f"{self.most} arguments"


_ABSOLUTE = Function("Abs", abs, rewritten=False)
_MAXIMUM = Function("Max", max, 2, None, rewritten=False)
_MINIMUM = Function("Min", min, 2, None, rewritten=False)

FUNCTIONS: dict[str, Function] = {
    "sin": Function("sin", math.sin),
    "cos": Function("cos", math.cos),
    "tan": Function("tan", math.tan),
    "cot": Function("cot", lambda v: 1 / math.tan(v)),
    "asin": Function("asin", math.asin),
    "acos": Function("acos", math.acos),
    "atan": Function("atan", math.atan),
    "atan2": Function("atan2", math.atan2, 2, 2),
    "sinh": Function("sinh", math.sinh),
    "cosh": Function("cosh", math.cosh),
    "tanh": Function("tanh", math.tanh),
    "asinh": Function("asinh", math.asinh),
    "acosh": Function("acosh", math.acosh),
    "atanh": Function("atanh", math.atanh),
    "exp": Function("exp", math.exp),
    "log": Function("log", math.log),
    "sqrt": Function("sqrt", math.sqrt),
    "sign": Function("sign", lambda v: math.copysign(1, v) if v else 0.0, rewritten=False),
    "Abs": _ABSOLUTE,
    "abs": _ABSOLUTE,
    "Max": _MAXIMUM,
    "max": _MAXIMUM,
    "Min": _MINIMUM,
    "min": _MINIMUM,
}

CONSTANTS = {"pi": math.pi, "E": math.e}
"""By the names that sympy has for them too, and their values in floats."""

CONNECTIVES = {"conjunction": "And", "disjunction": "Or"}
COMPARISONS = {"<": "StrictLessThan", "<=": "LessThan", ">": "StrictGreaterThan", ">=": "GreaterThan"}
"""What sympy calls them."""


@lru_cache(maxsize=1)
def heads() -> dict[type, str]:
    """The sympy functions of the grammar, and how they are written; a root is a power there."""
    return {getattr(sympy, function.head): function.head for function in FUNCTIONS.values() if function.head != "sqrt"}


_EVALUATED_BY = (
    "abs absolute arccos arccosh arcsin arcsinh arctan arctan2 arctanh array cbrt equal greater greater_equal heaviside less "
    "less_equal log1p log2 log10 logical_and logical_not logical_or maximum minimum nan select where zoo"
)
"""Names in the numpy code that evaluates an expression, which a coordinate of the same name would hide."""

RESERVED = frozenset({*FUNCTIONS, *CONSTANTS, "True", "False", "Piecewise", *keyword.kwlist, *_EVALUATED_BY.split()})
"""Names that no coordinate may have."""
