"""Few charts that hold all of the sampled zeros: the one that holds most of those left, and again; of charts that are proved.

Greedy covers of n points take at most 1 + log n times as many sets as the best (Johnson, Lovász).
"""

from __future__ import annotations

import numpy as np

from ...expressions.box import Array
from ...expressions.implicit import Tube
from ...progress import gauge
from .charts import SHRINK, candidates
from .zeros import ZeroSet

TRIED = 64
"""Zeros around which charts are tried at a time."""
WORTH = 0.5
"""A chart is chosen while it holds at least this part of what the first one of its batch held: after that, others are tried."""
POINTS = 1 << 12
"""At most so many points count for a choice; the others are held afterwards."""


class NoChart(Exception):
    """Around this zero no chart of the least size is proved, or there are too many of them."""

    def __init__(self, center: Array, many: bool = False) -> None:
        super().__init__()
        self.center, self.many = center, many


def chosen(zeros: ZeroSet, points: Array, core: float, sizes: tuple[float, float], most: int) -> list[Tube]:
    """Proved tubes whose parts `core` hold all points (n, k), each at a zero; `sizes` are the least and the largest half-width.

    Raises `NoChart`.
    """
    tubes: list[Tube] = []
    free, scale = np.ones(len(points), bool), 1.0
    with gauge("tangent charts", len(points)) as progress:
        while free.any():
            rows = np.flatnonzero(free)
            if len(rows) > POINTS:
                rows = rows[np.linspace(0, len(rows) - 1, POINTS).astype(int)]
            centers = points[rows[np.linspace(0, len(rows) - 1, min(TRIED, len(rows))).astype(int)]]
            some, scale = _batch(zeros, centers, points[rows], core, sizes, min(1.0, scale / SHRINK))
            for tube in some:
                free &= ~tube.frames.holds(points, core)[0]
            tubes += some
            if len(tubes) > most:
                raise NoChart(points[rows[0]], many=True)
            progress(float((~free).sum()), f"{len(tubes)} charts")
    return tubes


def _batch(
    zeros: ZeroSet, centers: Array, points: Array, core: float, sizes: tuple[float, float], scale: float
) -> tuple[list[Tube], float]:
    """At least one proved tube around one of the centres; and the part of their sizes at which half of them were proved."""
    least, largest = sizes
    pool = candidates(zeros.equations, centers, largest, least)
    before = pool.halves.max(1)
    some = [tube for tube in pool.prove(least, scale) if tube is not None]
    if not some:
        raise NoChart(centers[0])
    scale = float(np.median(pool.halves.max(1)[pool.found] / before[pool.found]))
    held = np.stack([tube.frames.holds(points, core)[0] for tube in some])
    taken: list[Tube] = []
    worth = 1.0
    while True:
        gains = held.sum(1)
        best = int(gains.argmax())
        if taken and gains[best] < worth:
            return taken, scale
        worth = max(worth, WORTH * gains[best])
        taken.append(some[best])
        held &= ~held[best].copy()
