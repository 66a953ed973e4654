"""At which points of a batch trees are undefined: where a condition that is asked for is surely not met."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .box import Array
from .conditions import Condition, Demand, conditions, uses
from .evaluate import Float64, evaluate
from .tree import Lookup, Node, postorder

ROUNDING = 4.0
"""A part counts as out of its domain if it is by more than this many bounds of its rounding error."""
CELLS = 1 << 22
"""About this many values are held at a time: parts times points."""

Flags = NDArray[np.bool_]


def undefined(trees: Sequence[Node], columns: Mapping[str, Array]) -> Flags:
    """Where each tree is surely undefined: columns (n,) to (n, trees). A point at which that depends on rounding counts as defined."""
    count = len(next(iter(columns.values()))) if columns else 1
    result = np.zeros((count, len(trees)), bool)
    for k, tree in enumerate(trees):
        asked = conditions([tree])
        order = postorder(tree)
        for rows in _chunks(count, len(order)) if asked else ():
            known = evaluate([tree], {name: column[rows] for name, column in columns.items()})
            used = _used(tree, order, known)
            for condition in asked:
                result[rows, k] |= used[condition.part] & (margin(condition, known) < 0)
    return result


def anywhere(tree: Node, asked: Sequence[Condition], columns: Mapping[str, Array]) -> Flags:
    """Where a tree is surely undefined because one of these conditions of it fails: columns (n,) to (n,)."""
    suspected = np.asarray((margins(asked, columns) < 0).any(1))
    rows = np.flatnonzero(suspected)
    if len(rows):
        suspected[rows] = undefined([tree], {name: column[rows] for name, column in columns.items()})[:, 0]
    return suspected


def margins(asked: Sequence[Condition], columns: Mapping[str, Array]) -> Array:
    """How far each point is from failing each condition: columns (n,) to (n, conditions).

    Negative where it surely fails; ∞ where its guards do not hold, so that nothing is asked.
    """
    count = len(next(iter(columns.values())))
    roots = [node for condition in asked for node in (*condition.arguments, *(guard for guard, _ in condition.guards))]
    result = np.empty((count, len(asked)))
    for rows in _chunks(count, len(postorder(*roots))):
        known = evaluate(roots, {name: column[rows] for name, column in columns.items()})
        for k, condition in enumerate(asked):
            here = np.ones((), bool)
            for guard, holds in condition.guards:
                here = here & (known[guard].value == holds)
            result[rows, k] = np.where(here, margin(condition, known), np.inf)
    return result


def margin(condition: Condition, known: Mapping[Node, Float64]) -> Array:
    """How far from failing: −1 or less where it surely fails, 0 at the edge of what is allowed or where rounding decides, NaN as ∞."""
    with np.errstate(all="ignore"):
        arguments = [known[argument] for argument in condition.arguments]
        depth = _covered(condition.part, arguments) if isinstance(condition.part, Lookup) else _depth(condition.demand, arguments)
    return np.where(np.isnan(depth), np.inf, depth)


def _depth(demand: Demand, arguments: list[Float64]) -> Array:
    a, *more = arguments
    value, slack = a.value, ROUNDING * a.error
    match demand:
        case Demand.NONNEGATIVE:
            depth = _outside(value, slack)
        case Demand.POSITIVE:
            depth = np.where((value == 0) & (slack == 0), -1.0, _outside(value, slack))
        case Demand.WITHIN_ONE:
            depth = _outside(1 - np.abs(value), slack)
        case Demand.INSIDE_ONE:
            depth = np.where((np.abs(value) == 1) & (slack == 0), -1.0, _outside(1 - np.abs(value), slack))
        case Demand.FROM_ONE:
            depth = _outside(value - 1, slack)
        case Demand.NONZERO:
            depth = np.where((value == 0) & (slack == 0), -1.0, np.abs(value))
        case Demand.SINE:
            depth = np.where((value == 0) & (slack == 0), -1.0, np.abs(np.sin(value)))
        case Demand.COSINE:
            depth = np.abs(np.cos(value))
        case Demand.DIRECTION:
            size = np.hypot(value, more[0].value)
            depth = np.where((size == 0) & (slack + more[0].error == 0), -1.0, size)
        case Demand.CASE:
            held = np.asarray(value, bool)
            for other in more:
                held = held | np.asarray(other.value, bool)
            depth = np.where(held, np.inf, -1.0)
    return depth


def _covered(part: Lookup, arguments: list[Float64]) -> Array:
    """How deep variables lie in the domain of a field."""
    depths = [
        np.minimum(_outside(a.value - low, ROUNDING * a.error), _outside(high - a.value, ROUNDING * a.error))
        for a, low, high in zip(arguments, part.field.lower, part.field.upper, strict=True)
    ]
    return np.asarray(np.minimum.reduce(np.broadcast_arrays(*depths)))


def _outside(depth: Array, slack: Array) -> Array:
    """The depth where it is positive, 0 where rounding may have made it negative, else what is below −1 by it."""
    return np.where(depth >= 0, depth, np.where(depth >= -slack, 0.0, depth - 1))


def _used(tree: Node, order: Sequence[Node], known: Mapping[Node, Float64]) -> dict[Node, Flags]:
    """At which points each part is asked for."""
    used: dict[Node, Flags] = {tree: np.ones((), bool)}
    for node in reversed(order):
        for part, reached in uses(node):
            here = used[node]
            for guard, holds in reached:
                here = here & (known[guard].value == holds)
            used[part] = used[part] | here if part in used else here
    return used


def _chunks(count: int, nodes: int) -> Iterator[slice]:
    size = max(1, CELLS // max(1, nodes))
    return (slice(start, start + size) for start in range(0, count, size))
