"""Fields over intervals: a field asked for what it lies in, with what is known of it on a whole box as decoration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..expressions import Array
from ..expressions.tree import Lookup
from .arithmetic import Flags, Interval
from .decoration import SURE, Decoration, Decorations, least


def corners(sides: Sequence[Interval]) -> tuple[tuple[int, ...], Array, Array]:
    """Shape, and the corners (N, variables) of the boxes whose sides are the intervals, which broadcast."""
    ends = np.broadcast_arrays(*(end for side in sides for end in (side.lower, side.upper)))
    lower, upper = (np.stack([np.asarray(end).reshape(-1) for end in ends[k::2]], axis=1) for k in range(2))
    return ends[0].shape, lower, upper


def covered(node: Lookup, lower: Array, upper: Array) -> Flags:
    """Which boxes are bounded and lie in the domain of the field."""
    inside = (lower >= node.field.lower) & (upper <= node.field.upper) & np.isfinite(lower) & np.isfinite(upper)
    return np.asarray(inside.all(1))


def derivative(node: Lookup, sides: Sequence[Interval], more: Sequence[int] = (), *, again: bool = False) -> Interval:
    """The derivative of a field that a part is, differentiated `more` by its variables; unknown where a box sticks out of the domain."""
    shape, lower, upper = corners(sides)
    rows = np.flatnonzero(covered(node, lower, upper))
    low, high = np.full(len(lower), -np.inf), np.full(len(lower), np.inf)
    orders = tuple(node.orders)
    for k in more:
        orders = tuple(o + (j == k) for j, o in enumerate(orders))
    if len(rows):
        low[rows], high[rows] = node.field.enclose(node.component, orders, lower[rows], upper[rows], again=again)
    return Interval(low.reshape(shape), high.reshape(shape)).unknown_where(np.zeros((), bool))


def range_of(node: Lookup, sides: Sequence[Interval], *, again: bool = False) -> Interval:
    """What a part lies in that is a field; decorated by what the field says, and no better than what its variables are."""
    return decorated(node, sides, derivative(node, sides, again=again))


def decorated(node: Lookup, sides: Sequence[Interval], found: Interval) -> Interval:
    """What a part is found to lie in, with that decoration."""
    shape, lower, upper = corners(sides)
    inside = covered(node, lower, upper)
    level = np.zeros(len(lower), np.uint8)
    if inside.any():
        level[inside] = levels(node.field.order(lower[inside], upper[inside]) - sum(node.orders))
    total: Decorations = level.reshape(shape)
    if (total == Decoration.SMOOTH).all():
        total = SURE
    for side in sides:
        total = least(total, side.decoration)
    return found.decorated(total)


def levels(order: Array) -> Decorations:
    """The decoration of a function whose derivatives below `order` are continuous, and those of it bounded; of one below 0 nothing."""
    found = np.where(order >= 0, Decoration.DEFINED, Decoration.NOTHING)
    found = np.where(order >= 1, Decoration.LIPSCHITZ, found)
    return np.where(order >= 3, Decoration.SMOOTH, found).astype(np.uint8)


def smoothest(node: Lookup, sides: Sequence[Interval], most: int) -> Array:
    """To which order Taylor's formula holds on boxes, at most `most`; 0 where nothing is known."""
    _, lower, upper = corners(sides)
    inside, found = covered(node, lower, upper), np.zeros(len(lower), np.intp)
    if inside.any():
        found[inside] = np.minimum(node.field.order(lower[inside], upper[inside]) - sum(node.orders), most)
    return np.maximum(found, 0)
