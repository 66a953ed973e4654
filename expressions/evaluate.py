"""Trees at batches of points in float64, with a bound to first order of how far rounding may have carried each part.

It tells where a part is surely negative, or 0, from where it only came out so; values that anybody uses come from `ExpressionMap`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidArgument
from .box import Array
from .tree import (
    And,
    Call,
    Comparison,
    Constant,
    Lookup,
    Name,
    Negative,
    Node,
    Or,
    Piecewise,
    Power,
    Product,
    Reciprocal,
    Root,
    Roots,
    Sum,
    Truth,
    postorder,
)

EPS = float(np.finfo(float).eps)
SPLIT = 2.0**27 + 1
TINY = 1e-290
"""Below this the rounding of a product is not computed exactly."""
ROUNDINGS = 64
"""What evaluating a field is taken to round, in units of its value."""
EXACT_AT = {"log": 1.0, "acos": 1.0, "acosh": 1.0, "cot": np.nan, "sqrt": 0.0}
"""Where a function's value is a number that floats have; at 0 for the others."""
CONSTANTS = {"pi": math.pi, "E": math.e}
RELATIONS: Mapping[str, Callable[[Array, Array], NDArray[np.bool_]]] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}


def _steady(a: Array) -> Array:
    return np.zeros_like(a)


FUNCTIONS: Mapping[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "sin": (np.sin, np.cos),
    "cos": (np.cos, np.sin),
    "tan": (np.tan, lambda a: 1 / np.cos(a) ** 2),
    "cot": (lambda a: 1 / np.tan(a), lambda a: 1 / np.sin(a) ** 2),
    "asin": (np.arcsin, lambda a: 1 / np.sqrt(1 - a * a)),
    "acos": (np.arccos, lambda a: 1 / np.sqrt(1 - a * a)),
    "atan": (np.arctan, lambda a: 1 / (1 + a * a)),
    "sinh": (np.sinh, np.cosh),
    "cosh": (np.cosh, np.sinh),
    "tanh": (np.tanh, lambda a: 1 - np.tanh(a) ** 2),
    "asinh": (np.arcsinh, lambda a: 1 / np.sqrt(1 + a * a)),
    "acosh": (np.arccosh, lambda a: 1 / np.sqrt(a * a - 1)),
    "atanh": (np.arctanh, lambda a: 1 / (1 - a * a)),
    "exp": (np.exp, np.exp),
    "log": (np.log, lambda a: 1 / a),
    "sqrt": (np.sqrt, lambda a: 0.5 / np.sqrt(a)),
    "sign": (np.sign, _steady),
    "Abs": (np.abs, np.ones_like),
}
"""Functions of one argument: value and slope."""


@dataclass(frozen=True)
class Float64:
    """Values (n,) and bounds of their rounding errors (n,), or scalars for constants; for conditions the values are flags."""

    value: NDArray[Any]
    error: Array


def value_of(constant: Node) -> tuple[float, float]:
    """The value of a tree without names, and a bound of its rounding error; NaN where it has none."""
    found = evaluate([constant], {})[constant]
    return float(found.value), float(np.nan_to_num(found.error, nan=np.inf))


def evaluate(trees: Sequence[Node], columns: Mapping[str, Array]) -> dict[Node, Float64]:
    """Every part of the trees at points given column by column, (n,) each. Raises `InvalidArgument` for what no text can say."""
    known: dict[Node, Float64] = {}
    with np.errstate(all="ignore"):
        for node in postorder(*trees):
            known[node] = _computed(node, [known[part] for part in node.parts], columns)
    return known


def _computed(node: Node, parts: list[Float64], columns: Mapping[str, Array]) -> Float64:
    if node.exact is not None:
        return _number(node.exact)
    match node:
        case Constant(name) if name in CONSTANTS:
            return Float64(np.asarray(CONSTANTS[name]), np.asarray(EPS * CONSTANTS[name]))
        case Name(name):
            return Float64(columns[name], np.zeros(np.shape(columns[name])))
        case Negative():
            return Float64(-parts[0].value, parts[0].error)
        case Sum():
            return _sum(parts)
        case Product():
            total = parts[0]
            for factor in parts[1:]:
                total = _product(total, factor)
            return total
        case Reciprocal():
            return _reciprocal(parts[0])
        case Power():
            return _power(node, *parts)
        case Call(function, _):
            return _call(function, parts)
        case Lookup():
            return _looked_up(node, parts)
        case Piecewise():
            return _piecewise(parts)
        case Comparison(relation, _, _):
            flags = RELATIONS[relation](parts[0].value, parts[1].value)
            return Float64(flags, np.zeros(np.shape(flags)))
        case And() | Or():
            join = np.logical_and if isinstance(node, And) else np.logical_or
            flags = join.reduce(np.broadcast_arrays(*(part.value for part in parts)))
            return Float64(flags, np.zeros(np.shape(flags)))
        case Truth(holds):
            return Float64(np.asarray(holds), np.zeros(()))
        case Roots(tube, _):
            return _roots(tube, parts)
        case Root(_, component, None):
            return Float64(parts[0].value[component], parts[0].error[component])
    raise InvalidArgument(f"{node} has no value here; write it with the functions of specifications")


def _number(exact: Fraction) -> Float64:
    try:
        rounded = float(exact)
    except OverflowError:
        return Float64(np.asarray(math.copysign(math.inf, exact)), np.asarray(math.inf))
    return Float64(np.asarray(rounded), np.asarray(0.0 if Fraction(rounded) == exact else EPS * abs(rounded)))


def _sum(parts: list[Float64]) -> Float64:
    """A sum rounds once for each partial sum, by an amount that is known exactly."""
    total = parts[0]
    for part in parts[1:]:
        a, b = total.value, part.value
        value = a + b
        moved = value - a
        rounding = np.abs((a - (value - moved)) + (b - moved))
        total = Float64(value, total.error + part.error + np.where(np.isfinite(rounding), rounding, EPS * np.abs(value)))
    return total


def _product(a: Float64, b: Float64) -> Float64:
    value, rounding = _multiplied(a.value, b.value)
    return Float64(value, a.error * np.abs(b.value) + np.abs(a.value) * b.error + a.error * b.error + rounding)


def _reciprocal(a: Float64) -> Float64:
    value = 1 / a.value
    product, rounding = _multiplied(value, a.value)
    off = np.where((product == 1) & (rounding == 0), 0.0, EPS * np.abs(value))
    return Float64(value, _moved(a.error, value**2) + off)


def _multiplied(a: Array, b: Array) -> tuple[Array, Array]:
    """A product, and how much it was rounded: exactly, by the halves of the factors, unless they are huge or tiny."""
    value = a * b
    halves = []
    for factor in (a, b):
        shifted = SPLIT * factor
        high = shifted - (shifted - factor)
        halves += [high, factor - high]
    a_high, a_low, b_high, b_low = halves
    rounding = np.abs(((a_high * b_high - value) + a_high * b_low + a_low * b_high) + a_low * b_low)
    usual = np.isfinite(rounding) & (np.abs(value) > TINY)
    return value, np.where(usual | (a == 0) | (b == 0), np.nan_to_num(rounding), EPS * np.abs(value) + TINY)


def _power(node: Power, base: Float64, exponent: Float64) -> Float64:
    """a^n for a whole n; else exp(p·log a)."""
    if (n := node.whole) is not None:
        if n == 2:
            return _product(base, base)
        value = np.power(base.value, float(n))
        slope = abs(n) * np.abs(np.power(base.value, float(n - 1))) if n else np.zeros_like(base.value)
        return Float64(value, _moved(base.error, slope) + 2 * EPS * np.abs(value))
    value = np.power(base.value, exponent.value)
    by_base = np.abs(exponent.value * np.power(base.value, exponent.value - 1))
    by_exponent = np.where(value == 0, 0.0, np.abs(value * np.log(base.value)))
    return Float64(value, _moved(base.error, by_base) + _moved(exponent.error, by_exponent) + 2 * EPS * np.abs(value))


def _call(function: str, parts: list[Float64]) -> Float64:
    if function == "atan2":
        y, x = parts
        value = np.arctan2(y.value + 0.0, x.value + 0.0)
        square = x.value**2 + y.value**2
        turned = _moved(y.error, np.abs(x.value) / square) + _moved(x.error, np.abs(y.value) / square)
        return Float64(value, turned + EPS * np.abs(value))
    if function in ("Max", "Min"):
        pick = np.maximum if function == "Max" else np.minimum
        total = parts[0]
        for part in parts[1:]:
            value = pick(total.value, part.value)
            error = np.where(value == total.value, total.error, part.error)
            close = np.abs(total.value - part.value) <= total.error + part.error
            total = Float64(value, np.where(close, np.maximum(total.error, part.error), error))
        return total
    if function not in FUNCTIONS:
        raise InvalidArgument(f"{function}(…) has no value here; write it with the functions of specifications")
    compute, slope = FUNCTIONS[function]
    value = np.asarray(compute(parts[0].value))
    if function in ("sign", "Abs"):
        return Float64(value, parts[0].error if function == "Abs" else np.zeros(np.shape(value)))
    rounding = np.where(parts[0].value == EXACT_AT.get(function, 0.0), 0.0, 2 * EPS * np.abs(value))
    if function == "sqrt":
        square, off = _multiplied(value, value)
        rounding = np.where((square == parts[0].value) & (off == 0), 0.0, rounding)
    return Float64(value, _moved(parts[0].error, np.abs(slope(parts[0].value))) + rounding)


def _looked_up(node: Lookup, parts: list[Float64]) -> Float64:
    """Of a field; what the variables are off by times its slopes there, and some roundings."""
    columns = np.broadcast_arrays(*(np.asarray(part.value, float) for part in parts))
    points = np.stack([column.reshape(-1) for column in columns], axis=1)
    value = node.field.evaluate(node.component, node.orders, points).reshape(columns[0].shape)
    error = ROUNDINGS * EPS * np.abs(value)
    for k, part in enumerate(parts):
        slope = node.field.evaluate(node.component, tuple(o + (j == k) for j, o in enumerate(node.orders)), points)
        error = error + _moved(part.error, np.abs(slope).reshape(columns[0].shape))
    return Float64(value, error)


def _piecewise(parts: list[Float64]) -> Float64:
    """The first case whose condition holds; NaN where none does."""
    value, error, open_ = np.asarray(np.nan), np.zeros(()), np.asarray(True)
    for case, condition in zip(parts[::2], parts[1::2], strict=True):
        here = open_ & condition.value
        value, error, open_ = np.where(here, case.value, value), np.where(here, case.error, error), open_ & ~here
    return Float64(value, error)


def _roots(tube: Any, parts: list[Float64]) -> Float64:
    """All components, (m, n)."""
    columns = np.broadcast_arrays(*(part.value for part in parts))
    errors = np.broadcast_arrays(columns[0], *(part.error for part in parts))[1:]
    u = np.stack(columns, axis=-1)
    error = np.einsum("...lj,...j->...l", np.abs(tube.slopes(u)), np.stack(errors, axis=-1)) + tube.uncertainty(u)
    return Float64(np.moveaxis(tube.solve(u), -1, 0), np.moveaxis(error, -1, 0))


def _moved(error: Array, slope: Array) -> Array:
    """What an error becomes; 0 stays 0 where the slope is infinite."""
    return np.where(error == 0, 0.0, error * slope)
