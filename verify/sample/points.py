"""Points of M at which a network is likely to fail: on chart faces, at chart edges, at argmax ties."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, Atlas, Points, concatenate

BISECTIONS = 48
"""Halvings of a segment before its two ends count as the two sides of a jump: below float64 resolution of any segment."""
MOST_CORNERS = 256


def inside(atlas: Atlas, chart: NDArray[np.intp], intrinsic: Array) -> NDArray[np.bool_]:
    """Which u lie in the closed box and the region of their parametrising chart and have a finite image, (N,)."""
    good = np.zeros(len(intrinsic), bool)
    for i in np.unique(chart):
        rows = chart == i
        parametrising = atlas.parametrising[i]
        good[rows] = parametrising.inside(intrinsic[rows]) & np.isfinite(parametrising.inverse(intrinsic[rows])).all(-1)
    return good


def of_manifold(atlas: Atlas, chart: NDArray[np.intp], intrinsic: Array) -> Points:
    """The points φ⁻¹(u) for those u that are `inside`."""
    good = inside(atlas, chart, intrinsic)
    return atlas.parametrise(chart[good], intrinsic[good])


def faces(atlas: Atlas, count: int, seed: int) -> Points:
    """About `count` points on or near the faces of the parametrising boxes, and the corners of every box.

    A third lies exactly on a face, the others at a log-uniform distance of 10⁻¹² to 10⁻¹ box widths from one. Where
    a region cuts the box, its edge takes the place of the face.
    """
    rng = np.random.default_rng(seed)
    charts, parts = [], []
    share = max(2, count // len(atlas.parametrising))
    for i, chart in enumerate(atlas.parametrising):
        box, d = chart.domain, chart.dimension
        unit = rng.uniform(-1, 1, (share, d))
        depth = 10.0 ** rng.uniform(-12, -1, share)
        depth[: share // 3] = 0
        unit[np.arange(share), rng.integers(d, size=share)] = rng.choice((-1.0, 1.0), share) * (1 - depth)
        some = np.where(rng.random((MOST_CORNERS, d)) < 0.5, box.lower, box.upper)
        corners = box.corners() if 2**d <= MOST_CORNERS else some
        parts.append(np.concatenate([box.from_unit(unit), corners]))
        if chart.region is not None:
            parts[-1] = _pulled_inside(atlas, i, parts[-1], rng)
        charts.append(np.full(len(parts[-1]), i))
    return of_manifold(atlas, np.concatenate(charts), np.concatenate(parts))


def _pulled_inside(atlas: Atlas, chart: int, intrinsic: Array, rng: np.random.Generator) -> Array:
    """The points, each one outside the region replaced by the last point inside it on the way from an inner point."""
    which = np.full(len(intrinsic), chart)
    outside = np.flatnonzero(~inside(atlas, which, intrinsic))
    inner = atlas.parametrising[chart].domain.center + np.zeros((len(outside), intrinsic.shape[1]))
    pool = atlas.parametrising[chart].domain.uniform(16 * len(outside) + 64, rng)
    pool = pool[inside(atlas, np.full(len(pool), chart), pool)]
    if len(pool):
        inner = pool[rng.integers(len(pool), size=len(outside))]
    low, high = np.zeros((len(outside), 1)), np.ones((len(outside), 1))
    way = intrinsic[outside] - inner
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        good = inside(atlas, which[outside], inner + middle * way)[:, None]
        low, high = np.where(good, middle, low), np.where(good, high, middle)
    pulled = intrinsic.copy()
    pulled[outside] = inner + low * way
    return pulled


def pairs(pool: Points, seed: int) -> tuple[Points, Points]:
    """Random pairs of points of the pool that share their parametrising chart, as starts and ends of segments."""
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.random(len(pool)), pool.chart))
    first, second = order[:-1], order[1:]
    same = pool.chart[first] == pool.chart[second]
    return pool[first[same]], pool[second[same]]


def straddle(atlas: Atlas, start: Points, end: Points, crossed: Callable[[Points], NDArray[np.bool_]]) -> Points:
    """Both sides of a jump on each segment from `start` to `end`, found by bisection in intrinsic coordinates.

    `crossed(points)` says, for one point per segment, whether it is on the far side; it must be false at the starts and
    true at the ends. Returns the last near and the last far points; those that left the region are dropped.
    """
    near, far = start.intrinsic.copy(), end.intrinsic.copy()
    for _ in range(BISECTIONS):
        middle = (near + far) / 2
        beyond = crossed(atlas.parametrise(start.chart, middle))[:, None]
        near, far = np.where(beyond, near, middle), np.where(beyond, middle, far)
    return of_manifold(atlas, np.tile(start.chart, 2), np.concatenate([near, far]))


def jumps(atlas: Atlas, pool: Points, label: Callable[[Points], NDArray[np.intp]], count: int, seed: int) -> Points:
    """At most 2·`count` points on both sides of places where the integer label of a point changes."""
    start, end = pairs(pool, seed)
    if not len(start):
        return pool[:0]
    here, there = label(start), label(end)
    rows = np.flatnonzero(here != there)[:count]
    if not len(rows):
        return pool[:0]
    here = here[rows]
    return straddle(atlas, start[rows], end[rows], lambda points: label(points) != here)


def edges(atlas: Atlas, pool: Points, members: Callable[[Points], NDArray[np.bool_]], count: int, seed: int) -> Points:
    """At most 2·`count` points on both sides of the edges of the charts, about equally many for each chart.

    `members` maps N points to their membership in the charts, (N, E).
    """
    start, end = pairs(pool, seed)
    if not len(start):
        return pool[:0]
    differ = members(start) != members(end)
    parts = []
    share = max(1, count // len(atlas))
    for i in range(len(atlas)):
        rows = np.flatnonzero(differ[:, i])[:share]
        if len(rows):
            there = atlas.contains(i, end[rows].base)

            def crossed(points: Points, i: int = i, there: NDArray[np.bool_] = there) -> NDArray[np.bool_]:
                return atlas.contains(i, points.base) == there

            parts.append(straddle(atlas, start[rows], end[rows], crossed))
    return concatenate(parts) if parts else pool[:0]
