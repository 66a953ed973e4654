"""The interval and the box [a_1, b_1] × … × [a_d, b_d] in R^d: the identity as chart map, every outer face a boundary."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from ...errors import InvalidArgument
from ...expressions.box import Box
from ...expressions.maps import identity
from .. import arguments
from ..atlas import Atlas
from ..chart import Chart
from .overlap import Stretch, ambient_names, intrinsic_names, stretches


def box(dimension: int = 2, domain: Any = None, charts: int = 1) -> Atlas:
    """The box `domain` (default [0, 1]^dimension), cut into `charts` overlapping sub-boxes per axis."""
    d = arguments.integer("dimension", dimension, 1, arguments.MAX_DIMENSION)
    sides = arguments.intervals("domain", [[0, 1]] * d if domain is None else domain, d)
    inverse, forward = identity(intrinsic_names(d)), identity(ambient_names(d))
    return Atlas(
        ambient_names(d),
        tuple(Chart(name, Box(*bounds), inverse, forward, boundary) for name, bounds, boundary in sub_boxes(sides, charts)),
    )


def interval(domain: Any = (0, 1), charts: int = 1) -> Atlas:
    """The interval [a, b] ⊂ R, cut into `charts` overlapping pieces."""
    return box(1, domain, charts)


def sub_boxes(
    sides: Sequence[tuple[float, float]], charts: Any
) -> list[tuple[str, tuple[tuple[float, ...], tuple[float, ...]], tuple[tuple[bool, bool], ...]]]:
    """Name, bounds and boundary flags of the charts^d overlapping sub-boxes of the box with these sides."""
    d = len(sides)
    per_axis = arguments.integer("charts", charts, 1, arguments.MAX_CHARTS)
    if per_axis**d > arguments.MAX_CHARTS:
        raise InvalidArgument(
            f"charts = {per_axis} per axis makes {per_axis}^{d} charts in {d} dimensions, more than {arguments.MAX_CHARTS}; use fewer"
        )
    axes = [stretches(lower, upper, per_axis) for lower, upper in sides]
    found = []
    for index in itertools.product(range(per_axis), repeat=d):
        cell: list[Stretch] = [axis[i] for axis, i in zip(axes, index, strict=True)]
        bounds = (tuple(s.lower for s in cell), tuple(s.upper for s in cell))
        name = "box" if per_axis == 1 else "box_" + "_".join(map(str, index))
        found.append((name, bounds, tuple(s.boundary for s in cell)))
    return found
