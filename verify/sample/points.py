"""Points at which a network is likely to fail: on faces, at interfaces of pieces, on both sides of wherever a label changes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, Points, TaskGraph
from ...atlas.ascent import Charts, Ground
from .product import Product

BISECTIONS = 48
"""Halvings of a segment before its two ends count as the two sides of a jump: below float64 resolution of any segment."""
MOST_CORNERS = 256
KINDS = 8
"""Ways to lie at an interface: on it (twice), one float above, one below, and at two log-uniform distances above and below."""
DISTANCES = (-12.0, -1.0)
"""Exponents of distances to faces and interfaces, in widths of the box."""


def faces(product: Product, count: int, seed: int) -> Points:
    """Points with at least one input, and about every second, on or near a face of its box, in a corner, or at the edge of a region."""
    parts = [_faces(ground, count, seed + k) for k, ground in enumerate(product.grounds)]
    if len(parts) == 1:
        chart, intrinsic = parts[0]
        return product.of(chart[:, None], intrinsic)
    rng = np.random.default_rng(seed)
    drawn = product.sample(count, seed)
    charts, intrinsic = drawn.chart.copy(), drawn.intrinsic.copy()
    moved = rng.random(charts.shape) < 0.5
    moved[np.arange(count), rng.integers(len(parts), size=count)] = True
    for k, (chart, places) in enumerate(parts):
        rows = np.flatnonzero(moved[:, k])
        picked = rng.integers(len(chart), size=len(rows))
        charts[rows, k], intrinsic[rows, product.columns[k]] = chart[picked], places[picked]
    return product.of(charts, intrinsic)


def _faces(ground: Ground, count: int, seed: int) -> tuple[Charts, Array]:
    """About `count` intrinsic coordinates on or near the faces of the parametrising boxes, and the corners of every box.

    A third lies exactly on a face, the others at a log-uniform distance of 10⁻¹² to 10⁻¹ box widths from one. Where
    a region cuts the box, its edge takes the place of the face.
    """
    rng = np.random.default_rng(seed)
    charts, parts = [], []
    domain = ground.domain
    share = max(2, count // len(domain.parametrising))
    for i, chart in enumerate(domain.parametrising):
        box, d = chart.domain, chart.dimension
        unit = rng.uniform(-1, 1, (share, d))
        depth = 10.0 ** rng.uniform(*DISTANCES, share)
        depth[: share // 3] = 0
        unit[np.arange(share), rng.integers(d, size=share)] = rng.choice((-1.0, 1.0), share) * (1 - depth)
        some = np.where(rng.random((MOST_CORNERS, d)) < 0.5, box.lower, box.upper)
        corners = box.corners() if 2**d <= MOST_CORNERS else some
        parts.append(np.concatenate([box.from_unit(unit), corners]))
        if chart.region is not None:
            parts[-1] = _pulled_inside(ground, i, parts[-1], rng)
        charts.append(np.full(len(parts[-1]), i))
    return np.concatenate(charts), np.concatenate(parts)


def _pulled_inside(ground: Ground, i: int, intrinsic: Array, rng: np.random.Generator) -> Array:
    """The points, each one outside the region replaced by the last point inside it on the way from an inner point."""
    which, box = np.full(len(intrinsic), i), ground.domain.parametrising[i].domain
    outside = np.flatnonzero(~ground.allowed(which, intrinsic))
    inner = box.center + np.zeros((len(outside), intrinsic.shape[1]))
    pool = box.uniform(16 * len(outside) + 64, rng)
    pool = pool[ground.allowed(np.full(len(pool), i), pool)]
    if len(pool):
        inner = pool[rng.integers(len(pool), size=len(outside))]
    low, high = np.zeros((len(outside), 1)), np.ones((len(outside), 1))
    way = intrinsic[outside] - inner
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        good = ground.allowed(which[outside], inner + middle * way)[:, None]
        low, high = np.where(good, middle, low), np.where(good, high, middle)
    pulled = intrinsic.copy()
    pulled[outside] = inner + low * way
    return pulled


def interfaces(product: Product, count: int, seed: int) -> Points:
    """Points at interfaces of blocks on pieces that read coordinates of boxes: every interface in all of the `KINDS` ways.

    Half of the points are at one interface each, every one of them in turn; the others are at one along every second coordinate at random.
    """
    knots = _knots(product)
    if not knots:
        return product.sample(1, seed)[:0]
    rng = np.random.default_rng(seed)
    single = max(count // 2, KINDS * len(knots))
    drawn = product.sample(single + count // 2, seed)
    intrinsic = drawn.intrinsic.copy()
    lower, upper = product.bounds(drawn.chart[:1])
    widths = (upper - lower)[0]
    turn = np.arange(single)
    for j, (column, t) in enumerate(knots):
        rows = turn[turn % len(knots) == j]
        intrinsic[rows, column] = _at(t, (rows // len(knots)) % KINDS, widths[column], product.dtype, rng)
    many = np.arange(single, len(drawn))
    for column in sorted({column for column, _ in knots}):
        values = np.array([t for other, t in knots if other == column])
        rows = many[rng.random(len(many)) < 0.5]
        kinds = rng.integers(KINDS, size=len(rows))
        intrinsic[rows, column] = _at(rng.choice(values, len(rows)), kinds, widths[column], product.dtype, rng)
    return product.parametrise(drawn.chart, intrinsic)


def _knots(product: Product) -> list[tuple[int, float]]:
    """Intrinsic coordinates of boxes at which pieces meet: (column, t)."""
    column_of: dict[str, int] = {}
    for node, columns in zip(product.graph.inputs, product.columns, strict=True):
        if node.box is not None:
            column_of |= {name: columns.start + i for i, name in enumerate(node.coordinates)}
    found = set()
    for block in product.graph.blocks:
        if block.tiling is not None:
            for name, knots in zip(block.reads, block.tiling.knots, strict=True):
                if name in column_of:
                    found |= {(column_of[name], float(t)) for t in knots[1:-1]}
    return sorted(found)


def _at(t: float | Array, kind: NDArray[np.intp], width: float, dtype: np.dtype, rng: np.random.Generator) -> Array:
    """Numbers of the dtype on or near t: of kind 0 and 1 the nearest one, 2 and 3 the next above and below, then further away."""
    t = np.broadcast_to(np.asarray(t, float), kind.shape)
    nearest = t.astype(dtype)
    far = width * 10.0 ** rng.uniform(*DISTANCES, kind.shape) * np.where(kind % 2 == 0, 1, -1)
    up, down = np.asarray(np.inf, dtype), np.asarray(-np.inf, dtype)
    return np.choose(
        np.minimum(kind, 4),
        [nearest.astype(float)] * 2 + [np.nextafter(nearest, up).astype(float), np.nextafter(nearest, down).astype(float), t + far],
    )


def segments(product: Product, pool: Points, seed: int) -> tuple[Points, Points]:
    """Random pairs of points that share all their charts, as starts and ends: an end takes every input from another point of the pool."""
    rng = np.random.default_rng(seed)
    rows = np.arange(len(pool))
    ends, paired = pool.intrinsic.copy(), np.ones(len(pool), bool)
    for k, columns in enumerate(product.columns):
        order = np.lexsort((rng.random(len(pool)), pool.chart[:, k]))
        first, second = order[:-1], order[1:]
        same = pool.chart[first, k] == pool.chart[second, k]
        ends[first[same], columns] = pool.intrinsic[second[same], columns]
        paired &= np.isin(rows, first[same])
        if k == 0:
            sorted_rows = order
    kept = sorted_rows[paired[sorted_rows]]
    return pool[kept], product.parametrise(pool.chart[kept], ends[kept])


def straddle(
    product: Product, start: Points, end: Points, label: Callable[[Points], NDArray[np.generic]]
) -> tuple[Points, NDArray[np.intp]]:
    """Both sides of a jump on each segment, found by bisection in intrinsic coordinates, and the segment that each is of.

    `label` gives a value to one point of every segment; it must differ at the two ends. Returns the last points that have
    the start's label and the first that have not; those that left the region are dropped.
    """
    here = label(start)
    near, far = start.intrinsic.copy(), end.intrinsic.copy()
    for _ in range(BISECTIONS):
        middle = product.parametrise(start.chart, (near + far) / 2)
        beyond = (label(middle) != here)[:, None]
        near, far = np.where(beyond, near, middle.intrinsic), np.where(beyond, middle.intrinsic, far)
    chart, both = np.tile(start.chart, (2, 1)), np.concatenate([near, far])
    kept = np.flatnonzero(product.allowed(chart, both))
    return product.parametrise(chart[kept], both[kept]), kept % len(start)


def jumps(
    product: Product, start: Points, end: Points, labels: Callable[[Points], NDArray[np.generic]], share: int
) -> tuple[Points, NDArray[np.intp]]:
    """Both sides of places where one of several labels (N, C) of a point changes, at most `share` for each label; and which one it is."""
    differ = labels(start) != labels(end)
    found = [np.flatnonzero(column)[:share] for column in differ.T]
    rows, columns = np.concatenate(found), np.repeat(np.arange(len(found)), [len(one) for one in found])
    if not len(rows):
        return start[:0], columns

    def label(points: Points) -> NDArray[np.generic]:
        return labels(points)[np.arange(len(rows)), columns]

    points, which = straddle(product, start[rows], end[rows], label)
    return points, columns[which]


def stratified(graph: TaskGraph, count: int, seed: int) -> NDArray[np.intp]:
    """`count` tuples of pieces in which every piece of a block occurs equally often, up to one: (count, L)."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(count) % len(block) for block in graph.blocks], axis=-1).astype(np.intp)


def tuples(graph: TaskGraph, start: int, stop: int) -> NDArray[np.intp]:
    """The tuples of pieces with numbers `start` to `stop` − 1, the last block running fastest."""
    return np.stack(np.unravel_index(np.arange(start, stop), [len(block) for block in graph.blocks]), axis=-1).astype(np.intp)
