"""Covering a manifold by balls: where to put the centres, and how large the balls must be.

Farthest-point sampling is within a factor two of the best covering radius for any manifold; relaxing every centre to the
middle of its Voronoi cell gains most of the rest. The covering radius is then measured on points the centres were not
chosen from, and driven up by local search from the worst of them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..expressions.box import Array
from .atlas import Atlas
from .distances import tree_of
from .points import Points, concatenate

RELAXATION_POWERS = (2.0, 2.0, 4.0, 8.0, 16.0, np.inf, np.inf)
ROUNDS_PER_POWER = 3
ENCLOSING_STEPS = 12
FEW_CENTERS = 128
"""Up to so many, comparing with every centre is faster than a tree."""

CANDIDATES = 256
REFINEMENT_ROUNDS = 12
PROPOSALS = 8

SAFETY = 1.01
"""The measured covering radius is multiplied by this: local search from samples finds the maximum only nearly."""


def farthest_points(points: Array, first: int, *, limit: int, radius: float = 0.0) -> NDArray[np.intp]:
    """Indices of centres among `points` (N, k), each the point farthest from all before it; at most `limit` of them.

    Stops early once every point is within `radius` of a centre.
    """
    squares = np.einsum("nk,nk->n", points, points)
    nearest = np.full(len(points), np.inf)
    distance = np.empty(len(points))
    chosen = [first]
    while len(chosen) < limit:
        c = points[chosen[-1]]
        np.dot(points, -2 * c, out=distance)
        distance += squares
        np.minimum(nearest, distance + c @ c, out=nearest)
        farthest = int(nearest.argmax())
        if nearest[farthest] <= radius**2:
            break
        chosen.append(farthest)
    return np.array(chosen, np.intp)


def relaxed(points: Array, chosen: NDArray[np.intp]) -> NDArray[np.intp]:
    """Better centres among `points`, starting from the indices `chosen`, by Lloyd's iteration for a growing power p.

    A round moves every centre towards the point of least Σ |y − c|^p over its Voronoi cell: p = 2 spreads the
    centres evenly over M, large p and at last p = ∞ (the middle of the smallest enclosing ball) look at the farthest
    points only. `points` should be uniform in area. Returns the best of all stages, snapped back onto M.
    """
    tree = tree_of(points)
    best, best_radius = chosen, nearest(points, points[chosen])[0].max()
    centers = points[chosen]
    for power in RELAXATION_POWERS:
        for _ in range(ROUNDS_PER_POWER):
            distance, cell = nearest(points, centers)
            if np.isinf(power):
                centers = _enclosing_centers(points, cell, centers)
            else:
                centers = centers + min(1, 3 / power) * (_weighted_means(points, distance ** (power - 2), cell, centers) - centers)
        snapped = np.unique(tree.query(centers)[1])
        if len(snapped) == len(chosen) and (radius := nearest(points, points[snapped])[0].max()) < best_radius:
            best, best_radius = snapped, radius
    return best


def nearest(points: Array, centers: Array) -> tuple[Array, NDArray[np.intp]]:
    """Distance (N,) to the nearest of the centres, and its index (N,)."""
    if len(centers) > FEW_CENTERS:
        return tree_of(centers).query(points)
    shifted = points @ (-2 * centers.T) + np.einsum("ek,ek->e", centers, centers)
    cell = shifted.argmin(1)
    return np.linalg.norm(points - centers[cell], axis=1), cell


def _weighted_means(points: Array, weights: Array, cell: NDArray[np.intp], centers: Array) -> Array:
    """The weighted mean of each cell's points, (E, k); the old centre where a cell has no weight."""
    total = np.bincount(cell, weights, len(centers))
    sums = np.stack([np.bincount(cell, weights * column, len(centers)) for column in points.T], axis=1)
    return np.where(total[:, None] > 0, sums / np.where(total > 0, total, 1.0)[:, None], centers)


def _enclosing_centers(points: Array, cell: NDArray[np.intp], centers: Array) -> Array:
    """Near-optimal centres of the smallest balls around each cell's points, (E, k), by Bădoiu and Clarkson's steps.

    Step t moves the centre 1/(t+1) of the way to the cell's farthest point; after T steps the radius is within a factor
    1 + O(1/√T) of the smallest.
    """
    order = np.argsort(cell, kind="stable")
    sorted_points, sorted_cell = points[order], cell[order]
    occupied, starts = np.unique(sorted_cell, return_index=True)
    row = np.repeat(np.arange(len(occupied)), np.diff(np.append(starts, len(points))))
    middle = np.add.reduceat(sorted_points, starts) / np.bincount(row)[:, None]
    for t in range(1, ENCLOSING_STEPS + 1):
        square = ((sorted_points - middle[row]) ** 2).sum(1)
        largest = np.maximum.reduceat(square, starts)
        hits = np.flatnonzero(square == largest[row])
        farthest = hits[np.unique(row[hits], return_index=True)[1]]
        middle += (sorted_points[farthest] - middle) / (t + 1)
    moved = centers.copy()
    moved[occupied] = middle
    return moved


def nearest_ball(points: Array, centers: Array, radii: Array) -> tuple[Array, NDArray[np.intp]]:
    """min_i |x − c_i|² − r_i², (N,), and the ball where it is reached: a nearest-centre search one dimension up.

    The centre (c_i, √(R² − r_i²)), R the largest radius, is |x − c_i|² − r_i² + R² away, squared, from (x, 0).
    """
    height = np.sqrt(np.maximum(radii.max() ** 2 - radii**2, 0))
    if height.any():
        _, ball = nearest(np.pad(points, ((0, 0), (0, 1))), np.column_stack([centers, height]))
    else:
        _, ball = nearest(points, centers)
    return ((points - centers[ball]) ** 2).sum(1) - radii[ball] ** 2, ball


def deepest_balls(points: Array, centers: Array, radii: Array, count: int) -> tuple[Array, NDArray[np.intp]]:
    """The `count` least |x − c_i|² − r_i², ascending, and the balls that have them, (N, count) each; by `nearest_ball`'s search."""
    height = np.sqrt(np.maximum(radii.max() ** 2 - radii**2, 0))
    _, balls = tree_of(np.column_stack([centers, height])).query(np.pad(points, ((0, 0), (0, 1))), k=range(1, count + 1))
    return ((points[:, None] - centers[balls]) ** 2).sum(2) - radii[balls] ** 2, balls


def covering_radius(manifold: Atlas, centers: Array, fresh: Points, seed: int, fold: int = 1) -> tuple[float, Points]:
    """max over y ∈ M of the distance to the nearest centre, or the `fold`-th nearest, times `SAFETY`, and the worst point found (a batch
    of one).

    `fresh` are points of M; the worst of them start a random local search in the intrinsic coordinates of their charts.
    """

    def distance(points: Points) -> Array:
        if fold == 1:
            return nearest(points.base, centers)[0]
        return np.asarray(tree_of(centers).query(points.base, k=[fold])[0][:, 0])

    largest, worst = climb(manifold, fresh, distance, seed)
    return largest * SAFETY, worst


def covering_margin(manifold: Atlas, centers: Array, radii: Array, fresh: Points, seed: int, fold: int = 1) -> tuple[float, Points]:
    """min over y ∈ M of max_i (r_i² − |y − c_i|²), or of the `fold`-th largest, as found like a `covering_radius`, and the point (a batch
    of one).
    """

    def power(points: Points) -> Array:
        if fold == 1:
            return nearest_ball(points.base, centers, radii)[0]
        return deepest_balls(points.base, centers, radii, fold)[0][:, -1]

    largest, worst = climb(manifold, fresh, power, seed)
    return -largest, worst


def uncovered(manifold: Atlas, centers: Array, radii: Array, fresh: Points, seed: int) -> Points:
    """Points of M in none of the balls, as found like a `covering_radius`, the farthest off first; none where none was found."""

    def power(points: Points) -> Array:
        return nearest_ball(points.base, centers, radii)[0]

    values, found = climbed(manifold, fresh, power, seed)
    order = np.argsort(-values, kind="stable")
    return found[order[values[order] > 0]]


def climb(manifold: Atlas, fresh: Points, value: Callable[[Points], Array], seed: int) -> tuple[float, Points]:
    """The largest value found on M, and where (a batch of one)."""
    values, found = climbed(manifold, fresh, value, seed)
    worst = int(values.argmax())
    return float(values[worst]), found[[worst]]


def climbed(manifold: Atlas, fresh: Points, value: Callable[[Points], Array], seed: int) -> tuple[Array, Points]:
    """Values that are large on M, and where: random local search from the best of the `fresh` points."""
    rng = np.random.default_rng(seed)
    values = value(fresh)
    start = np.argsort(values, kind="stable")[-CANDIDATES:]
    best, best_value = fresh[start], values[start]
    step = (len(fresh) / len(manifold.parametrising)) ** (-1 / manifold.dimension)  # about the spacing of the samples
    for _ in range(REFINEMENT_ROUNDS):
        for _ in range(PROPOSALS):
            moved = _perturbed(manifold, best, step, rng)
            values = value(moved)
            better = np.flatnonzero(values > best_value)
            best_value[better] = values[better]
            keep = np.setdiff1d(np.arange(len(best)), better)
            origin = np.argsort(np.concatenate([keep, better]), kind="stable")
            best = concatenate([best[keep], moved[better]])[origin]
        step *= 0.7
    return best_value, best


def _perturbed(manifold: Atlas, points: Points, step: float, rng: np.random.Generator) -> Points:
    """Points moved by `step` times a normal vector, in units of their chart's box; unmoved where that leaves the chart."""
    charts = manifold.parametrising
    lower, upper = (np.array([getattr(chart.domain, end) for chart in charts]) for end in ("lower", "upper"))
    widths = (upper - lower)[points.chart]
    moved = points.intrinsic + step * widths * rng.standard_normal(points.intrinsic.shape)
    moved = np.clip(moved, lower[points.chart], upper[points.chart])
    allowed = manifold.inside(points.chart, moved)
    return manifold.parametrise(points.chart, np.where(allowed[:, None], moved, points.intrinsic))
