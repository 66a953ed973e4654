"""Values, gradients and pure second derivatives of expressions enclosed over boxes at once: forward differentiation, twice, in intervals.

First derivatives are those of Lipschitz functions: where |·|, max or min may switch, the hull of both sides. They are unknown where the
function is not known to be Lipschitz (sign, Piecewise, √ at 0), and second derivatives where it is not known to be C². Mixed derivatives
are not computed: the error of multilinear interpolation on a box depends on the pure ones only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..expressions import ExpressionMap
from .decoration import Decoration
from .jets import CurvatureAlgebra, Jet
from .natural import known
from .program import Program
from .sides import settled


class CurvatureEnclosure:
    """Components of an `ExpressionMap`, composed with inner functions of box coordinates, over N boxes at once."""

    def __init__(self, function: ExpressionMap) -> None:
        """Raises `NotEnclosed` if an expression holds a function without an enclosure."""
        self._program = Program(function)

    def __call__(self, inputs: Sequence[Jet], coordinates: int) -> list[Jet]:
        """One jet per component, from one per variable; all over boxes of so many coordinates."""
        with np.errstate(all="ignore"):
            parts = self._program(CurvatureAlgebra(), [Jet(known(part.value), part.first, part.second) for part in inputs])
        found = []
        for part in parts:
            first = settled(part.first, part.value, Decoration.LIPSCHITZ, coordinates)
            second = settled(part.second, part.value, Decoration.SMOOTH, coordinates)
            found.append(Jet(part.value.settled(), first, second))
        return found
