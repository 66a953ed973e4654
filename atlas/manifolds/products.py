"""Products of round spheres S^n × S^m × …, and the rigid motions SE(3): products with a factor that has a name."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from ...errors import InvalidArgument
from .. import arguments
from ..atlas import Atlas
from .interval import box
from .product import product
from .rotations import rotations
from .sphere import sphere


def spheres(dimensions: Any = (1, 1), atlas: str = "stereographic") -> Atlas:
    """S^n × S^m × … in R^{n+1+m+1+…}, n, m, … the entries of `dimensions`; its reach is 1."""
    if isinstance(dimensions, str) or not isinstance(dimensions, Sequence) or not 2 <= len(dimensions) <= arguments.MAX_DIMENSION:
        raise InvalidArgument(f"dimensions must be a list of two or more dimensions of spheres, e.g. [1, 2], got {dimensions!r}")
    each = [arguments.integer(f"dimensions[{i}]", n, 1, arguments.MAX_DIMENSION) for i, n in enumerate(dimensions)]
    return functools.reduce(product, (sphere(n, atlas) for n in each))


def rigid_motions(domain: Any = None) -> Atlas:
    """SO(3) × the box `domain` (default [−1, 1]³) of translations, in R¹²: x1 … x9 the rotation row by row, x10 … x12 the translation."""
    return product(rotations(), box(3, [[-1, 1]] * 3 if domain is None else domain))
