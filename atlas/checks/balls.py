"""Ball atlases (Example 4.6): orthonormal frames, affine charts that are injective on their balls (B18), no ball twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import Finding
from ...expressions.box import Array
from ..atlas import Atlas
from ..chart import BallChart
from ..distances import tree_of
from ..points import Points
from .probe import error, number, worst

ORTHONORMAL = 1e-9
FLAT = 0.1
"""|φ(y) − φ(y′)| below this fraction of |y − y′| for two sampled points of a ball: the tangent plane cannot tell them apart.
Below half the reach no pair comes under about 0.7, and beyond (√3 − 1)·reach (B18) the fraction may fall to zero."""
PER_BALL = 160
SAME = 1e-12
"""Two balls count as one if centres and radii differ by less than this times the radius."""


def check_orthonormal(atlas: Atlas) -> list[Finding]:
    """The embedding and every frame have orthonormal columns."""
    found = []
    if atlas.embedding is not None and (gap := _gap(atlas.embedding)) > ORTHONORMAL:
        problem = f"its columns are not orthonormal (QᵀQ differs from I by {number(gap)})"
        found.append(error("embedding", problem, "orthonormalise them, for example by numpy.linalg.qr"))
    for chart in atlas.charts:
        if isinstance(chart, BallChart) and (gap := _gap(chart.frame)) > ORTHONORMAL:
            problem = f"its columns are not orthonormal (VᵀV differs from I by {number(gap)})"
            found.append(error(f'chart "{chart.name}": frame', problem, "orthonormalise them, for example by numpy.linalg.qr"))
    return found


def _gap(matrix: Array) -> float:
    return float(np.abs(matrix.T @ matrix - np.eye(matrix.shape[1])).max())


def check_balls(charts: Sequence[BallChart], points: Points) -> list[Finding]:
    """Every ball holds points of M, φ is injective on them, and no ball is given twice. `points` are samples of M."""
    found: list[Finding] = []
    if not charts:
        return found
    twins = _twins(charts)
    centers, radii = np.array([chart.center for chart in charts]), np.array([chart.radius for chart in charts])
    near = tree_of(points.base).query_ball_point(centers, radii, return_sorted=True)
    for i, chart in enumerate(charts):
        where = f'chart "{chart.name}"'
        if i in twins:
            found.append(error(where, f'is a duplicated chart: same ball as chart "{charts[twins[i]].name}"', "remove one of the two"))
        y = points.base[np.array(near[i], np.intp)]
        y = y[chart.contains(y)][:PER_BALL]
        if not len(y):
            found.append(error(where, "its ball holds none of the sampled points of M", "move the centre onto M", chart.center))
            continue
        first, second = np.triu_indices(len(y), 1)
        apart = np.linalg.norm(y[first] - y[second], axis=-1)
        seen = np.linalg.norm((y[first] - y[second]) @ chart.frame, axis=-1)
        ratio = np.where(apart > 1e-6 * chart.radius, seen / np.maximum(apart, 1e-300), 1)
        if len(ratio) and ratio.min() < FLAT:
            k = worst(-ratio)
            problem = (
                f"φ is not injective on the ball: two points {number(apart[k])} apart are {number(seen[k])} apart in local coordinates"
            )
            found.append(error(where, problem, "use a smaller radius, that is, more charts (B18)", y[first[k]]))
    return found


def _twins(charts: Sequence[BallChart]) -> dict[int, int]:
    """The first ball that equals each ball that comes again."""
    balls = np.array([[*chart.center, chart.radius] for chart in charts])
    pairs = tree_of(balls).query_pairs(SAME * balls[:, -1].max(), p=np.inf, output_type="ndarray")
    same = np.abs(balls[pairs[:, 0]] - balls[pairs[:, 1]]).max(1, initial=0) < SAME * balls[pairs[:, 0], -1]
    twins: dict[int, int] = {}
    for first, again in sorted(map(tuple, pairs[same].tolist())):
        twins.setdefault(again, first)
    return twins
