"""Fields among sympy's expressions: `Looked`, which is differentiated into derivatives of fields and evaluated by asking them."""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy
from numpy.typing import ArrayLike

from .box import Array
from .fields import Component, Field, Orders, field_of, known


class Looked(sympy.Function):  # type: ignore[misc]
    """∂^orders of a component of a field, at expressions: its arguments are the key, the component, the orders and the expressions."""

    is_commutative = True

    @property
    def field(self) -> Field:
        return field_of(int(self.args[0]))

    @property
    def component(self) -> int:
        return int(self.args[1])

    @property
    def orders(self) -> Orders:
        return tuple(int(order) for order in self.args[2 : 2 + (len(self.args) - 2) // 2])

    @property
    def arguments(self) -> tuple[sympy.Expr, ...]:
        return tuple(self.args[2 + (len(self.args) - 2) // 2 :])

    def _eval_is_real(self) -> bool:
        return True

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        """By one of the expressions: one order more."""
        inputs = (len(self.args) - 2) // 2
        place = argindex - 1 - inputs
        assert 2 <= place < 2 + inputs, "keys, components and orders hold no variables"
        return self.func(*(a + 1 if k == place else a for k, a in enumerate(self.args)))

    def _eval_evalf(self, prec: int) -> sympy.Expr:
        """What it is worth at numbers, in floats."""
        if not all(argument.is_number for argument in self.arguments):
            return None
        at = np.array([[float(argument.evalf(prec)) for argument in self.arguments]])
        return sympy.Float(float(self.field.evaluate(self.component, self.orders, at)[0]))

    def _sympystr(self, printer: Any) -> str:
        name = Component(self.field, self.component).text
        return f"{name}({', '.join(printer._print(argument) for argument in self.arguments)})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        """With the field itself, which another process may not know."""
        return looked, (self.field, self.component, self.orders, self.arguments)


def looked(field: Field, component: int, orders: Orders, arguments: tuple[sympy.Expr, ...]) -> sympy.Expr:
    return Looked(known(field), component, *orders, *arguments)


def look_up(key: int, component: int, orders: Orders, *arguments: ArrayLike) -> Array:
    """What compiled expressions call: arguments broadcast against each other."""
    columns = np.broadcast_arrays(*(np.asarray(argument, float) for argument in arguments))
    points = np.stack([column.reshape(-1) for column in columns], axis=1)
    return field_of(key).evaluate(component, orders, points).reshape(columns[0].shape)
