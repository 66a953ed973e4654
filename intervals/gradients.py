"""Values and gradients of expressions enclosed over boxes at once: forward differentiation in interval arithmetic.

Gradients are those of Lipschitz functions: where |·|, max or min may switch, the hull of both sides, so that mean value bounds hold across
the switch. Where a function is not known to be Lipschitz (sign, Piecewise, √ at 0), its gradient is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from ..expressions import ExpressionMap
from ..expressions.tree import Lookup
from .arithmetic import Flags, Interval
from .decoration import Decoration
from .derivatives import ONE, Derivatives
from .lookups import derivative, range_of
from .natural import known
from .program import Program
from .sides import Partials, Sides, picked, settled


@dataclass(frozen=True, eq=False)
class Slope:
    """A value and its partial derivatives."""

    value: Interval
    partials: Partials

    def scaled(self, value: Interval, factor: Interval) -> Slope:
        """Of a function of this: its value and its derivative here."""
        return Slope(value, {k: factor * p for k, p in self.partials.items()})


def _combined(value: Interval, *parts: tuple[Slope, Interval]) -> Slope:
    """value, with Σ factor·∇part as gradient."""
    partials: Partials = {}
    for part, factor in parts:
        for k, p in part.partials.items():
            term = factor * p
            partials[k] = partials[k] + term if k in partials else term
    return Slope(value, partials)


class GradientAlgebra(Sides[Slope]):
    """Expressions over values with gradients."""

    def number(self, value: Interval) -> Slope:
        return Slope(value, {})

    def negative(self, a: Slope) -> Slope:
        return Slope(-a.value, {k: -p for k, p in a.partials.items()})

    def valued(self, a: Slope, value: Interval) -> Slope:
        return Slope(value, a.partials)

    def total(self, parts: Sequence[Slope]) -> Slope:
        return _combined(reduce(Interval.__add__, (part.value for part in parts)), *((part, ONE) for part in parts))

    def multiply(self, a: Slope, b: Slope) -> Slope:
        return _combined(a.value * b.value, (a, b.value), (b, a.value))

    def through(self, a: Slope, found: Derivatives) -> Slope:
        return a.scaled(found[0], found[1])

    def lookup(self, node: Lookup, parts: Sequence[Slope]) -> Slope:
        sides = [part.value for part in parts]
        return _combined(range_of(node, sides), *((part, derivative(node, sides, [k])) for k, part in enumerate(parts) if part.partials))

    def angle(self, y: Slope, x: Slope) -> Slope:
        square = (x.value.power(2) + y.value.power(2)).inverse()
        return _combined(y.value.angle(x.value), (y, x.value * square), (x, -(y.value * square)))

    def absolute(self, a: Slope) -> Slope:
        return a.scaled(a.value.absolute(), a.value.sign())

    def sign(self, a: Slope) -> Slope:
        return Slope(a.value.sign(), {})

    def picked(self, value: Interval, first: Flags, second: Flags, a: Slope, b: Slope) -> Slope:
        return Slope(value, picked(first, second, a.partials, b.partials, {*a.partials, *b.partials}))


class GradientEnclosure:
    """Values and Jacobian of an `ExpressionMap` over N boxes at once."""

    def __init__(self, function: ExpressionMap) -> None:
        """Raises `NotEnclosed` if an expression holds a function without an enclosure."""
        self._program = Program(function)

    def __call__(self, box: Sequence[Interval]) -> tuple[list[Interval], list[list[Interval]]]:
        """The components over the boxes whose sides are the intervals, one per variable, and ∂component/∂variable."""
        shape = np.broadcast_shapes(*(side.lower.shape for side in box))
        with np.errstate(all="ignore"):
            parts = self._program(GradientAlgebra(), [Slope(known(side), {k: ONE}) for k, side in enumerate(box)])
        values = [_broadcast(part.value.settled(), shape) for part in parts]
        partials = [settled(part.partials, part.value, Decoration.LIPSCHITZ, len(box)) for part in parts]
        return values, [[_broadcast(part[k], shape) for k in range(len(box))] for part in partials]


def _broadcast(x: Interval, shape: tuple[int, ...]) -> Interval:
    return Interval(np.broadcast_to(x.lower, shape), np.broadcast_to(x.upper, shape), x.decoration)
