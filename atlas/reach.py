"""The reach τ_M of manifolds of the library: every point nearer to M than τ_M has one nearest point on M."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, sqrt
from typing import Any

import numpy as np

from ..expressions.box import Array, Box
from ..expressions.implicit import Tube
from ..progress import track
from .atlas import Atlas
from .graph import Block, Input, TaskGraph
from .implicit.curvature import curvature_radii
from .implicit.zeros import ZeroSet
from .task import ManifoldTask

POINTS = 1 << 11
"""Points of M by pairs of which its reach is estimated, about."""
ROUNDED = 1e-8
"""Distances from a tangent space below this, relative to the coordinates, are not counted."""

REACHES = {
    "circle": 1.0,
    "sphere": 1.0,
    "torus": 1.0,
    "spheres": 1.0,
    "so3": sqrt(2),
    "se3": sqrt(2),
    "stiefel": 1.0,
    "grassmann": sqrt(0.5),
    "real_projective": sqrt(0.5),
    "complex_projective": sqrt(0.5),
}
"""Round circles and spheres have their radius, products the least of their factors, rotations in R^9 √2: their cut
points are matrices with singular values 1, s, s and determinant ≤ 0. Of frames and of subspaces: `manifolds/stiefel.py`,
`manifolds/grassmann.py`."""


def reach_of(atlas: Atlas) -> float | None:
    """τ_M, the same before and after an isometric embedding; None for manifolds of which nobody says it."""
    reach = None if atlas.recipe is None else _reach(atlas.recipe)
    return None if reach == inf else reach


def _reach(recipe: Mapping[str, Any]) -> float | None:
    """Of the table of a manifold, ∞ for what is convex. The nearest point of a product is the nearest of every factor. Of a shell there is
    one until the centre is reached.
    """
    match recipe:
        case {"builtin": "interval" | "box" | "disc" | "ball"}:
            return inf
        case {"builtin": "shell" | "annulus"}:
            return float(recipe.get("inner", 0.5))
        case {"builtin": "product", "factors": factors}:
            found = [_reach(factor) for factor in factors]
            return None if None in found else min(reach for reach in found if reach is not None)
        case {"builtin": str(name)}:
            return REACHES.get(name)
    return None


@dataclass(frozen=True)
class Measured:
    """What is known of the reach of a manifold that is given by equations.

    τ_M is the lesser of two numbers: the least radius of curvature, and half the length of the shortest bottleneck, a segment that is
    perpendicular to M at both ends (Aamari, Kim, Chazal, Michel, Rinaldo, Wasserman 2019, Theorem 3.4, of a closed M). The first is bounded
    from below; nothing here bounds the second.
    """

    curvature: float
    """A lower bound of the radius of curvature on every chart, proved (`implicit.curvature`); 0 where none is."""
    estimated: float
    """The least |x − y|²/(2·dist(y − x, T_x M)) of pairs of sampled points; τ_M is no larger, up to rounding (Federer 1959, 4.18)."""
    points: int

    def __str__(self) -> str:
        curvature = f"at least {_said(self.curvature)}, proved on each chart" if self.curvature else "not bounded: enclosures are too wide"
        return (
            f"curvature radius {curvature}; "
            f"reach about {_said(self.estimated)}, estimated from pairs of {self.points:,} points, and no larger"
        )


def _said(length: float) -> str:
    return "∞" if length == inf else f"{length:.4g}"


def measured(atlas: Atlas, seed: int = 0) -> Measured | None:
    """Of a manifold that is given by equations; None for any other. Deterministic for a seed."""
    tubes = [chart.tube for chart in atlas.parametrising if chart.tube is not None]
    if atlas.implicit is None or not tubes:
        return None
    radii = curvature_radii(tubes)
    points = _points(atlas.implicit.zeros, tubes, seed)
    return Measured(float(radii.min()), estimated(atlas.implicit.zeros, points), len(points))


def measured_of(task: ManifoldTask | TaskGraph) -> dict[str, Measured]:
    """Of every manifold of a task that is given by equations, by the name of the task or of the block or input."""
    atlases = [(task.name, task.atlas)] if isinstance(task, ManifoldTask) else [(node.name, node.atlas) for node in _charted(task)]
    found = {name: measured(atlas) for name, atlas in atlases if atlas is not None}
    return {name: one for name, one in found.items() if one is not None}


def _charted(graph: TaskGraph) -> list[Input | Block]:
    return [node for node in graph.nodes if isinstance(node, Input | Block)]


def estimated(zeros: ZeroSet, points: Array) -> float:
    """min |x − y|²/(2·dist(y − x, T_x M)) over pairs of points (n, k), T_x the kernel of Dg at x; ∞ if none leaves its tangent space."""
    least = inf
    normal = np.swapaxes(np.linalg.svd(zeros.equations.jacobian_at(points), full_matrices=False)[2], 1, 2)
    for x, away in zip(track(points, "pairs of points"), normal, strict=True):
        offset = points - x
        beside = np.linalg.norm(offset @ away, axis=1)
        square = (offset**2).sum(1)
        # Of points so near that rounding is most of what leaves the tangent space, nothing is said.
        sure = beside > ROUNDED * (1 + np.abs(x).max())
        if sure.any():
            least = min(least, float((square[sure] / (2 * beside[sure])).min()))
    return least


def _points(zeros: ZeroSet, tubes: list[Tube], seed: int) -> Array:
    """About `POINTS` points of M, as many of each chart."""
    each = max(8, POINTS // len(tubes))
    found = []
    for n, tube in enumerate(tubes):
        half = tube.halves
        found.append(tube.point(Box(tuple(-s for s in half), half).low_discrepancy(each, seed + n)))
    points = np.concatenate(found)
    points = points[np.isfinite(points).all(1)]
    return points[zeros.holds(points)]
