"""The reach τ_M of manifolds of the library: every point nearer to M than τ_M has one nearest point on M."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, sqrt
from typing import Any

from .atlas import Atlas

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
