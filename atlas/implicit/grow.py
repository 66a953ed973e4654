"""Charts that grow over whole components: one around each point that is given, then around points on edges that no chart holds yet.

In many dimensions cells of the box are too many, and sampled zeros too sparse; edges of charts are where the next ones are wanted
(`continuation`). Candidates are ranked in floats by how many of these points they hold, and only those that are taken are proved.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...expressions.box import Array
from ...expressions.implicit import Tube
from ...intervals.implicit import prove_all
from ...intervals.program import equations_of
from ...progress import gauge
from .charts import FEW, Candidates, candidates
from .choose import TRIED, WORTH, NoChart
from .continuation import Continuation, Continued
from .zeros import ZeroSet

LARGER = 1.1
"""Charts are tried that are so much larger than those that were proved last."""
WELL = 0.95
"""Of the part in which cells count as held: points that are no better held get a chart of their own."""


def grown(zeros: ZeroSet, points: Array, core: float, part: float, sizes: tuple[float, float], most: int) -> tuple[list[Tube], Continued]:
    """Proved tubes around points (n, k) and, as long as there are no more than `most`, without an edge between zeros in the box.

    Raises `NoChart`.
    """
    tubes: list[Tube] = []
    edges, missing, scale = Continuation(zeros), points, 1.0
    with gauge("charts that hold each other's edges", 1) as progress:
        while True:
            new, scale = _holding(zeros, missing, core, sizes, scale)
            tubes += new
            if len(tubes) > most:
                raise NoChart(missing[0], many=True)
            done, missing = edges.goes_on(tubes, part, WELL * part)
            progress(0, f"{len(tubes)} charts, {len(missing)} points on edges")
            if not len(missing):
                return tubes, done


def _holding(zeros: ZeroSet, points: Array, core: float, sizes: tuple[float, float], scale: float) -> tuple[list[Tube], float]:
    """Charts whose parts `core` hold all points, and the part of their sizes in floats at which half of the last ones were proved."""
    tubes: list[Tube] = []
    free = np.ones(len(points), bool)
    while free.any():
        rows = np.flatnonzero(free)
        centers = points[rows[np.linspace(0, len(rows) - 1, min(TRIED, len(rows))).astype(int)]]
        pool = candidates(zeros.equations, centers, sizes[1], sizes[0])
        first, scale = pool.halves.max(1), min(1.0, scale * LARGER)
        if scale < 1:
            pool.shrunk(np.flatnonzero(pool.found), sizes[0], scale)
        left = _promising(pool, points[rows], core)
        while len(left):
            good = prove_all([equations_of(pool.tube(int(i))) for i in left], FEW)
            tubes += [pool.tube(int(i)) for i in left[good]]
            if good.any():
                scale = float(np.median((pool.halves.max(1) / first)[left[good]]))
            left = left[~good]
            pool.shrunk(left, sizes[0])
            if not pool.found[left].all():
                raise NoChart(centers[left[~pool.found[left]][0]])
        for tube in tubes:
            free[rows] &= ~tube.frames.holds(points[rows], core)[0]
    return tubes, scale


def _promising(pool: Candidates, points: Array, core: float) -> NDArray[np.intp]:
    """Those that hold most of what the ones before them do not, in floats."""
    every = np.arange(len(pool))
    held = pool.frames(every).holds(points, core) & pool.found[:, None]
    taken: list[int] = []
    worth = 1.0
    while (gains := held.sum(1)).max() >= worth:
        taken.append(int(gains.argmax()))
        worth = max(worth, WORTH * float(gains.max()))
        held &= ~held[taken[-1]].copy()
    return np.array(taken or [int(pool.found.argmax())])
