"""What sympy made of expressions, as code of numpy: `function_of`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import sympy
from sympy.printing.numpy import NumPyPrinter

from .looked import Looked, look_up
from .root import RootBase

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
def function_of(variables: tuple[sympy.Symbol, ...], expressions: tuple[sympy.Expr, ...]) -> Any:
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
