"""The flat torus T^n ⊂ R^{2n} and the cylinder S¹ × [−h/2, h/2] ⊂ R³: products of circles and intervals."""

from __future__ import annotations

import functools
from typing import Any

from ...errors import InvalidArgument
from .. import arguments
from ..atlas import Atlas
from .circle import circle
from .interval import interval
from .product import product


def torus(dimension: int = 2, charts: Any = 3) -> Atlas:
    """T^n: the points (cos θ_1, sin θ_1, …, cos θ_n, sin θ_n), with `charts` arcs per circle."""
    n = arguments.integer("dimension", dimension, 1, arguments.MAX_DIMENSION)
    per_circle = arguments.integer("charts", charts, 2, arguments.MAX_CHARTS)
    if per_circle**n > arguments.MAX_CHARTS:
        raise InvalidArgument(
            f"charts = {per_circle} per circle makes {per_circle}^{n} charts on T^{n}, more than {arguments.MAX_CHARTS}; use fewer"
        )
    return functools.reduce(product, [circle(charts=per_circle)] * n)


def cylinder(height: Any = 2.0, charts: Any = 4) -> Atlas:
    """x1² + x2² = 1, |x3| ≤ height/2, with `charts` arcs around; its two rims are its boundary."""
    half = arguments.number("height", height, 0) / 2
    return product(circle(charts=charts), interval((-half, half)))
