"""Tangent charts of a zero set: around a zero, as large as its tube can be proved to hold one zero over each u."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import sympy
from numpy.typing import NDArray

from ...expressions.box import Array, Box
from ...expressions.implicit import Tube, reflections
from ...expressions.maps import ExpressionMap
from ...intervals.program import equations_of
from ..chart import Chart

GRID = 9
"""Points along each side of a box at which w is looked at; fewer in more dimensions."""
MOST_POINTS = 4096
STEEPEST = 1.3
"""The largest slope |∂_j w_l| of a chart, as sampled."""
HEIGHT, LEAST_HEIGHT = 1.3, 0.08
"""h in parts of the largest |w| that was seen; and at least this part of the half-width."""
SHRINK = 0.8
SMALLEST = 1e-4
"""The least half-width, in parts of the box."""
FEW = 1 << 9
"""Boxes in which a tube has to be proved, so that a chart is no larger than enclosures are good for."""


@dataclass(frozen=True, eq=False)
class Cores:
    """Which points the middle parts of tubes hold."""

    tubes: tuple[Tube, ...]
    core: float
    """The part of each half-width that counts."""

    def hold(self, points: Array) -> NDArray[np.bool_]:
        """(n, k) to (tubes, n)."""
        return np.stack([in_tube(tube, points, self.core) for tube in self.tubes])


def in_tube(tube: Tube, points: Array, part: float = 1.0) -> NDArray[np.bool_]:
    """Whether points (n, k) have coordinates in the tube, in floats."""
    offset = points - np.array(tube.center)
    inside = np.all(np.abs(offset @ tube.tangent) <= part * np.array(tube.halves), axis=-1)
    return np.asarray(inside & np.all(np.abs(offset @ tube.normal) <= np.array(tube.heights), axis=-1))


def tube_at(equations: ExpressionMap, center: Array, half: float, least: float) -> Tube | None:
    """A tube around a zero with half-widths at most `half`, proved to be one; None if none above `least` is."""
    vectors = reflections(equations.jacobian_at(center))
    d, m = equations.inputs - equations.outputs, equations.outputs
    across = max(2, min(GRID, int(MOST_POINTS ** (1 / d))))
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, across)] * d, indexing="ij"), axis=-1).reshape(-1, d)
    while half > least:
        wide = Tube(equations, tuple(center), vectors, (half,) * d, (4 * half,) * m)
        u = half * grid
        w = wide.solve(u)
        if np.isfinite(w).all() and np.abs(wide.slopes(u)).max() <= STEEPEST:
            heights = np.maximum(HEIGHT * np.abs(w).max(0), LEAST_HEIGHT * half)
            tube = Tube(equations, tuple(center), vectors, (half,) * d, tuple(heights))
            if equations_of(tube).prove(FEW):
                return tube
        half *= SHRINK
    return None


def chart_of(name: str, tube: Tube, variables: tuple[sympy.Symbol, ...], boundary: tuple[tuple[bool, bool], ...] = ()) -> Chart:
    """The chart u ↦ x(u, w(u)) of a tube."""
    box = Box(tuple(-s for s in tube.halves), tube.halves)
    return Chart(name, box, tube.inverse(variables), tube.forward, boundary, tube=tube)
