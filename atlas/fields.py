"""`field_map`: a field of coordinates, as a map like any other."""

from __future__ import annotations

from functools import partial

from ..errors import InvalidArgument
from ..expressions.fields import Field, callables
from ..expressions.maps import ExpressionMap, Formula, Variables
from ..expressions.to_sympy import sympy_of
from ..expressions.tree import Name


def field_map(field: Field, variables: Variables) -> ExpressionMap:
    """All components of a field of these variables."""
    variables = tuple(variables)
    if len(variables) != field.inputs:
        raise InvalidArgument(f"table {field.name!r} has {field.inputs} axes, but there are {len(variables)} coordinates: give it as many")
    trees = [component(*(Name(str(v)) for v in variables)) for component in callables(field).values()]
    return ExpressionMap.of(variables, [Formula(tree, partial(sympy_of, tree)) for tree in trees])
