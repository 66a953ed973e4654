"""Charts that grow over whole components: one around each point that is given, then around points on edges that no chart holds yet.

In many dimensions cells of the box are too many, and sampled zeros too sparse; edges of charts are where the next ones are wanted
(`continuation`). Candidates are ranked in floats by how many of these points they hold, and only those that are taken are proved.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...expressions.box import Array
from ...expressions.frames import Frames
from ...expressions.implicit import Tube
from ...intervals.implicit import prove_all
from ...intervals.program import equations_of
from ...progress import gauge
from .charts import FEW, Candidates, candidates
from .choose import TRIED, WORTH, NoChart
from .continuation import Continuation, Continued, Edges
from .zeros import ZeroSet

AHEAD = 0.7
"""How far beyond an edge the next chart stands, in half-widths of the one that ends: it holds the edge, and little of what is held."""
LARGER = 1.1
"""Charts are tried that are so much larger than those that were proved last."""
WELL = 0.95
"""Of the part in which cells count as held: points that are no better held get a chart of their own."""


def grown(zeros: ZeroSet, points: Array, core: float, part: float, sizes: tuple[float, float], most: int) -> tuple[list[Tube], Continued]:
    """Proved tubes around points (n, k) and, as long as there are no more than `most`, without an edge between zeros in the box.

    Raises `NoChart`.
    """
    edges, growth = Continuation(zeros), _Growth(zeros, core, sizes)
    growth.hold(points)
    with gauge("charts that hold each other's edges", 1) as progress:
        while True:
            if len(growth.tubes) > most:
                raise NoChart(points[0], many=True)
            done, missing = edges.goes_on(growth.tubes, part, WELL * part)
            progress(0, f"{len(growth.tubes)} charts, {len(missing)} points on edges")
            if not len(missing):
                return growth.tubes, done
            points = missing.points
            free = growth.ahead(missing)
            growth.hold(points[free], missing.axes[free])


class _Growth:
    """The charts so far."""

    def __init__(self, zeros: ZeroSet, core: float, sizes: tuple[float, float]) -> None:
        self.tubes: list[Tube] = []
        self._zeros, self._core, self._sizes = zeros, core, sizes
        self._scale = 1.0
        """The part of their sizes in floats at which half of the last charts were proved."""

    def ahead(self, missing: Edges) -> NDArray[np.bool_]:
        """Charts beyond edges, as far as they hold their points and most of what else is missing; which points are still free."""
        free = np.ones(len(missing), bool)
        while free.any():
            rows = np.flatnonzero(free)
            some = rows[np.linspace(0, len(rows) - 1, min(TRIED, len(rows))).astype(int)]
            centers = self._zeros.projected(missing.points[some] + AHEAD * missing.outward[some])
            good = np.isfinite(centers).all(1)
            if not good.any() or not self._batch(centers[good], missing.points[rows], missing.axes[some[good]], needed=False):
                break
            free[rows] = self._free(missing.points[rows])
        return free

    def hold(self, points: Array, axes: Array | None = None) -> None:
        """Charts whose middle parts hold all points, each around one."""
        free = np.ones(len(points), bool)
        while free.any():
            rows = np.flatnonzero(free)
            some = rows[np.linspace(0, len(rows) - 1, min(TRIED, len(rows))).astype(int)]
            self._batch(points[some], points[rows], None if axes is None else axes[some], needed=True)
            free[rows] = self._free(points[rows])

    def _free(self, points: Array) -> NDArray[np.bool_]:
        """Which points no chart holds in its middle part."""
        return np.asarray(~Frames.of(self.tubes).holds(points, self._core).any(0)) if self.tubes else np.ones(len(points), bool)

    def _batch(self, centers: Array, points: Array, axes: Array | None, needed: bool) -> bool:
        """Charts around some of these centres, and whether there are any; raises `NoChart` if one is `needed` and none is proved."""
        pool = candidates(self._zeros.equations, centers, self._sizes[1], self._sizes[0], axes)
        first, scale = pool.halves.max(1), min(1.0, self._scale * LARGER)
        if scale < 1:
            pool.shrunk(np.flatnonzero(pool.found), self._sizes[0], scale)
        left, before = _promising(pool, points, self._core, needed), len(self.tubes)
        while len(left):
            good = prove_all([equations_of(pool.tube(int(i))) for i in left], FEW)
            self.tubes += [pool.tube(int(i)) for i in left[good]]
            if good.any():
                self._scale = float(np.median((pool.halves.max(1) / first)[left[good]]))
            left = left[~good]
            pool.shrunk(left, self._sizes[0])
            if needed and not pool.found[left].all():
                raise NoChart(centers[left[~pool.found[left]][0]])
            left = left[pool.found[left]]
        return len(self.tubes) > before


def _promising(pool: Candidates, points: Array, core: float, needed: bool) -> NDArray[np.intp]:
    """Those that hold most of what the ones before them do not, in floats."""
    every = np.arange(len(pool))
    held = pool.frames(every).holds(points, core) & pool.found[:, None]
    taken: list[int] = []
    worth = 1.0
    while (gains := held.sum(1)).max() >= worth:
        taken.append(int(gains.argmax()))
        worth = max(worth, WORTH * float(gains.max()))
        held &= ~held[taken[-1]].copy()
    return np.array(taken or [int(pool.found.argmax())] * needed, int)
