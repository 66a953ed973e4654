"""The nearest others of every point, by boxes of neighbouring points.

Statement. Let the points be parted into leaves, and r be at least the distance from each point of a leaf to the k-th nearest of some
others. Whoever is among the k nearest of a point of that leaf is within r of it, so the bounding boxes of the two leaves are within r.
Distances to the points of all such leaves are therefore enough. A tree of compiled code does the same, but takes longer to be loaded than
this takes for a few thousand points in three dimensions; beyond that it is used, and wherever it is loaded already, as it is many times
faster. The distances are the same bits.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from ..expressions.box import Array
from .distances import tree_of

LEAF = 64
"""Points of a leaf, at most."""
MOST, DIMENSIONS = 1 << 13, 3
"""Points, and their coordinates, up to which nothing is loaded."""
TREES = "scipy.spatial"
"""What has to be loaded for a tree."""


def neighbours(points: Array, count: int) -> tuple[Array, NDArray[np.intp]]:
    """Distances to the `count` nearest of the other points, (N, count), in order, and which they are; N > count."""
    if TREES in sys.modules or len(points) > MOST or points.shape[1] > DIMENSIONS:
        found = tree_of(points).query(points, count + 1)
        return found[0][:, 1:], found[1][:, 1:]
    return by_leaves(points, count)


def by_leaves(points: Array, count: int) -> tuple[Array, NDArray[np.intp]]:
    """The same without anything that has to be loaded."""
    leaves = _leaves(points)
    lower, upper = (np.array([bound(points[leaf], axis=0) for leaf in leaves]) for bound in (np.min, np.max))
    distance, near = np.empty((len(points), count)), np.empty((len(points), count), np.intp)
    for n, leaf in enumerate(leaves):
        gap = (np.maximum(np.maximum(lower - upper[n], lower[n] - upper), 0.0) ** 2).sum(1)
        order = np.argsort(gap, kind="stable")
        sizes = np.cumsum([len(leaves[k]) for k in order])
        first = int(np.searchsorted(sizes, count + 1)) + 1
        some = _squares(points, leaf, np.concatenate([leaves[k] for k in order[:first]]))
        reach = np.partition(some, count - 1, axis=1)[:, count - 1].max()
        # The gap between boxes is rounded, and so are distances.
        within = gap <= reach * (1 + 1e-9)
        distance[leaf], near[leaf] = _nearest(points, leaf, np.concatenate([leaves[k] for k in np.flatnonzero(within)]), count)
    return distance, near


def _leaves(points: Array) -> list[NDArray[np.intp]]:
    """The points in halves along the longest side, again and again."""
    parts, done = [np.arange(len(points))], list[NDArray[np.intp]]()
    while parts:
        part = parts.pop()
        if len(part) <= LEAF:
            done.append(part)
            continue
        axis = int(np.ptp(points[part], axis=0).argmax())
        middle = len(part) // 2
        part = part[np.argpartition(points[part, axis], middle)]
        parts += [part[:middle], part[middle:]]
    return done


def _nearest(points: Array, leaf: NDArray[np.intp], others: NDArray[np.intp], count: int) -> tuple[Array, NDArray[np.intp]]:
    """Of the points of a leaf, among `others`, which it is part of."""
    squares = _squares(points, leaf, others)
    chosen = np.argpartition(squares, count - 1, axis=1)[:, :count]
    found = np.take_along_axis(squares, chosen, 1)
    order = np.argsort(found, axis=1, kind="stable")
    return np.sqrt(np.take_along_axis(found, order, 1)), others[np.take_along_axis(chosen, order, 1)]


def _squares(points: Array, leaf: NDArray[np.intp], others: NDArray[np.intp]) -> Array:
    """Of the distances, with ∞ from a point to itself. Column by column: sums over a last axis of three are five times slower."""
    squares = np.zeros((len(leaf), len(others)))
    for column in points.T:
        squares += (column[leaf][:, None] - column[others]) ** 2
    squares[leaf[:, None] == others] = np.inf
    return squares
