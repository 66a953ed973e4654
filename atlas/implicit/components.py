"""Connected components: charts that hold a common point belong together, as every chart is connected.

Two charts in one component are so for certain, up to the rounding of a common point; that two components do not meet is what sampled points
say, those that charts were chosen by and those on the faces of charts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import InvalidArgument
from ...expressions.box import Array
from ...expressions.implicit import Tube
from .. import arguments
from .charts import in_tube
from .zeros import ZeroSet

ON_FACES = 5
"""Points along each side of a face."""


@dataclass(frozen=True, eq=False)
class Component:
    """Charts that hang together."""

    charts: tuple[int, ...]
    point: Array
    """The centre of one: that of least coordinates."""


def components(tubes: Sequence[Tube], points: Array, core: float) -> list[Component]:
    """In the order of the least centre, by the first coordinate that differs."""
    parent = list(range(len(tubes)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    edges = [_edges(tube) for tube in tubes]
    every = np.concatenate([points, *edges])
    held = np.stack([in_tube(tube, every) for tube in tubes])
    start = len(points)
    for i, own in enumerate(edges):  # Rounding may carry a point of a face out of the box that it is a face of.
        held[i, start : start + len(own)] = True
        start += len(own)
    for n in np.flatnonzero(held.sum(0) > 1):
        first, *others = np.flatnonzero(held[:, n]).tolist()
        for other in others:
            parent[root(other)] = root(first)
    groups: dict[int, list[int]] = {}
    for i in range(len(tubes)):
        groups.setdefault(root(i), []).append(i)
    found = []
    for group in groups.values():
        centers = sorted(tubes[i].center for i in group)
        found.append(Component(tuple(group), np.array(centers[0])))
    return sorted(found, key=lambda part: tuple(np.round(part.point, 9)))


def _edges(tube: Tube) -> Array:
    """Points of M on the faces of a chart."""
    d = len(tube.halves)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, max(2, min(ON_FACES, int(1024 ** (1 / d)))))] * d, indexing="ij"), axis=-1).reshape(
        -1, d
    )
    u = grid[np.abs(grid).max(1) == 1] * np.array(tube.halves)
    x = tube.point(u)
    return x[np.isfinite(x).all(1)]


def meant(found: Sequence[Component], asked: Any, tubes: Sequence[Tube], zeros: ZeroSet) -> tuple[int, ...] | None:
    """The charts that are asked for, in order; None if that has to be said and was not.

    Of a point those of the component that holds the zero next to it; where that is in none, of the nearest centre of a chart.
    """
    if asked is None and len(found) > 1:
        return None
    if asked is None or asked == "all":
        return tuple(sorted(i for part in found for i in part.charts))
    if isinstance(asked, str):
        raise InvalidArgument(f'component must be "all", a number from 1 to {len(found)} or a point, got {asked!r}')
    if isinstance(asked, Sequence | np.ndarray):
        point = np.array([arguments.number(f"component[{i}]", v, -np.inf) for i, v in enumerate(asked)])
        if len(point) != len(found[0].point):
            raise InvalidArgument(f"component is a point of {len(point)} coordinates, where there are {len(found[0].point)}")
        near = zeros.projected(point[None])
        away = np.array([0.0 if in_tube(tube, near)[0] else float(np.linalg.norm(tube.center - point)) for tube in tubes])
        return min(found, key=lambda part: float(away[list(part.charts)].min())).charts
    return found[arguments.integer("component", asked, 1, len(found)) - 1].charts
