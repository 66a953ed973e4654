"""Natural interval extensions of expressions over boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..expressions import ExpressionMap
from .arithmetic import Interval
from .natural import IntervalAlgebra, known
from .program import Program


class NaturalEnclosure:
    """The natural interval extension of an `ExpressionMap`: every component over N boxes at once, shared parts once."""

    def __init__(self, function: ExpressionMap) -> None:
        """Raises `NotEnclosed` if an expression holds a function without an enclosure."""
        self._program = Program(function)

    def __call__(self, box: Sequence[Interval]) -> list[Interval]:
        """The components over the boxes whose sides are the intervals, one per variable; unknown where they may be undefined."""
        shape = np.broadcast_shapes(*(side.lower.shape for side in box))
        with np.errstate(all="ignore"):
            parts = [part.settled() for part in self._program(IntervalAlgebra(), [known(side) for side in box])]
        return [Interval(np.broadcast_to(part.lower, shape), np.broadcast_to(part.upper, shape), part.decoration) for part in parts]
