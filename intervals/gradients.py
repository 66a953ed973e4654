"""Values and gradients of expressions enclosed over boxes at once: forward differentiation in interval arithmetic.

Gradients are those of Lipschitz functions: where |·|, max or min may switch, the hull of both sides, so that mean value bounds hold across
the switch. Where a function is not known to be Lipschitz (sign, Piecewise, √ at 0), its gradient is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..expressions import ExpressionMap
from .arithmetic import Interval
from .decoration import Decoration
from .derivatives import ONE
from .natural import known
from .program import Program
from .sides import settled
from .slopes import GradientAlgebra, Slope


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
