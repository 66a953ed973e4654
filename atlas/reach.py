"""The reach τ_M of manifolds of the library: every point nearer to M than τ_M has one nearest point on M."""

from __future__ import annotations

from math import sqrt

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
"""Round circles and spheres have their radius, products the least of their factors (a box has none), rotations in R^9 √2: their cut
points are matrices with singular values 1, s, s and determinant ≤ 0. Of frames and of subspaces: `manifolds/stiefel.py`,
`manifolds/grassmann.py`."""


def reach_of(atlas: Atlas) -> float | None:
    """τ_M, the same before and after an isometric embedding; None for manifolds of which nobody says it."""
    name = None if atlas.recipe is None else atlas.recipe.get("builtin")
    return REACHES.get(name) if isinstance(name, str) else None
