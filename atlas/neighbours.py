"""The nearest others of every point, by boxes of neighbouring points.

Statement. Let the points be parted into leaves, and let each point of a leaf have a bound: the distance to the k-th nearest of some others.
Its k nearest are within its bound, so all of those of a leaf's points are within the largest of their bounds from the leaf's bounding box.
Distances to the points that are so near to the box are therefore enough, and of these only those within the bounds are put in order.
A tree of compiled code does the same, but takes longer to be loaded than
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
ROUNDED = 1e-9
"""Part of itself by which a square of a distance may be off, and far more."""
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
    order = np.concatenate(leaves)
    columns = points[order].T.copy()
    ends = np.cumsum([len(leaf) for leaf in leaves])
    starts = ends - [len(leaf) for leaf in leaves]
    lower, upper = (bound.reduceat(columns, starts, axis=1) for bound in (np.minimum, np.maximum))
    members = [np.arange(start, end) for start, end in zip(starts, ends, strict=True)]
    distance, near = np.empty((len(points), count)), np.empty((len(points), count), np.intp)
    for n, (leaf, start, end) in enumerate(zip(leaves, starts, ends, strict=True)):
        box = lower[:, n], upper[:, n]
        some = np.arange(max(0, start - count), min(len(points), end + count))
        bound = np.partition(_squares(columns, start, end, some), count - 1)[:, count - 1]
        # The gap between boxes is rounded, and so are distances.
        reach = bound.max() * (1 + ROUNDED)
        others = np.concatenate([members[k] for k in np.flatnonzero(_gaps(lower, upper, *box) <= reach)])
        others = others[_gaps(columns[:, others], columns[:, others], *box) <= reach]
        distance[leaf], chosen = _nearest(columns, start, end, others, bound, count)
        near[leaf] = order[chosen]
    return distance, near


def _gaps(lower: Array, upper: Array, low: Array, high: Array) -> Array:
    """Squares of the distances from one box to others, which are columns, or from it to points."""
    gap = np.zeros(lower.shape[1])
    for axis in range(len(lower)):
        gap += np.maximum(np.maximum(lower[axis] - high[axis], low[axis] - upper[axis]), 0.0) ** 2
    return gap


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


def _nearest(columns: Array, start: int, end: int, others: NDArray[np.intp], bound: Array, count: int) -> tuple[Array, NDArray[np.intp]]:
    """Of the points of a leaf, among `others`, within the square roots of `bound`: a few more than are wanted of each."""
    squares = _squares(columns, start, end, others)
    row, column = np.nonzero(squares <= bound[:, None])
    each = np.bincount(row)
    place = np.arange(len(row)) - (np.cumsum(each) - each)[row]
    found, which = np.full((len(each), each.max()), np.inf), np.zeros((len(each), each.max()), np.intp)
    found[row, place], which[row, place] = squares[row, column], others[column]
    order = np.argsort(found, axis=1, kind="stable")[:, :count]
    return np.sqrt(np.take_along_axis(found, order, 1)), np.take_along_axis(which, order, 1)


def _squares(columns: Array, start: int, end: int, others: NDArray[np.intp]) -> Array:
    """Of the distances, with ∞ from a point to itself. Column by column: sums over a last axis of three are five times slower."""
    squares = np.zeros((end - start, len(others)))
    for column in columns:
        apart = column[start:end, None] - column[others]
        squares += apart * apart
    squares[np.arange(start, end)[:, None] == others] = np.inf
    return squares
