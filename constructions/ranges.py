"""What values the components of a task graph take, and how steeply nodes depend on what they read: by enclosure, never by sampling.

Values are enclosed cell by cell, so that a gap between the values of two pieces is seen: whether a block that reads another
block's output is ever near one of its interfaces is a question about such gaps (B9).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sympy

from ..atlas import Array, Atlas, Block, Box, Combine, ExpressionMap, ExpressionTarget, Input, TaskGraph, Tiling
from ..errors import InvalidArgument
from ..intervals import Interval, NaturalEnclosure, NotEnclosed
from ..intervals.gradients import GradientEnclosure

CELLS = 4096
"""Cells that a box is cut into: the enclosures of the parts of a curve then overestimate by about a part in 4096 of its length."""
MOST_INTERVALS = 4096
"""Intervals that a set of values is kept as; closer ones are joined."""


@dataclass(frozen=True, eq=False)
class Values:
    """A union of ascending disjoint closed intervals that holds every value of one component."""

    lower: Array
    upper: Array

    @staticmethod
    def of(cells: Interval) -> Values:
        """The union of any intervals."""
        order = np.argsort(cells.lower, kind="stable")
        lower, upper = cells.lower[order], np.maximum.accumulate(cells.upper[order])
        starts = np.concatenate([[True], lower[1:] > upper[:-1]])
        first = np.flatnonzero(starts)
        lower, upper = lower[first], upper[np.append(first[1:] - 1, len(upper) - 1)]
        if len(lower) > MOST_INTERVALS:
            kept = np.sort(np.argsort(upper[:-1] - lower[1:], kind="stable")[: MOST_INTERVALS - 1])
            lower, upper = lower[np.append(0, kept + 1)], upper[np.append(kept, len(upper) - 1)]
        return Values(lower, upper)

    @property
    def least(self) -> float:
        return float(self.lower[0])

    @property
    def most(self) -> float:
        return float(self.upper[-1])

    def distance(self, t: float) -> float:
        """From t to the nearest value."""
        return float(np.maximum(np.maximum(self.lower - t, t - self.upper), 0).min())

    def within(self, least: float, most: float) -> Values:
        """The values in [least, most]; that interval itself if there is none."""
        kept = (self.upper >= least) & (self.lower <= most)
        if not kept.any():
            return Values(np.array([least]), np.array([most]))
        return Values(np.maximum(self.lower[kept], least), np.minimum(self.upper[kept], most))


def cells_of(lower: Sequence[float], upper: Sequence[float], count: int = CELLS) -> list[Interval]:
    """The sides of about `count` equal boxes that fill a box, an axis each; an axis of no width is not cut."""
    flat = np.asarray(lower) == np.asarray(upper)
    each = max(1, int(count ** (1 / max(1, int((~flat).sum())))))
    if each == 1:
        return [Interval(np.array([low], float), np.array([high], float)) for low, high in zip(lower, upper, strict=True)]
    edges = [np.linspace(a, b, (1 if point else each) + 1) for a, b, point in zip(lower, upper, flat, strict=True)]
    lows = np.meshgrid(*(e[:-1] for e in edges), indexing="ij")
    highs = np.meshgrid(*(e[1:] for e in edges), indexing="ij")
    return [Interval(low.ravel(), high.ravel()) for low, high in zip(lows, highs, strict=True)]


def domains(block: Block, reach: Sequence[Values] | None = None, wider: Array | None = None) -> list[tuple[ExpressionMap, Array, Array]]:
    """The subtasks of a block as functions on boxes: (F, lower, upper), one for every piece or parametrising chart.

    Pieces are cut to what is read, if `reach` says what that is, and those on the outside are made `wider` by so much along every axis.
    """
    if isinstance(block.domain, Atlas):
        target = block.task.target
        found = []
        for i, chart in enumerate(block.domain.parametrising):
            if isinstance(target, ExpressionTarget):
                into = dict(zip(target.function.variables, chart.inverse.expressions, strict=True))
                function = ExpressionMap(
                    chart.inverse.variables, tuple(e.subs(into, simultaneous=True) for e in target.function.expressions)
                )
            else:
                function = block.local(i)
            found.append((function, np.array(chart.domain.lower), np.array(chart.domain.upper)))
        return found
    lower, upper = enlarged(block.domain, np.zeros(block.domain.dimension) if wider is None else wider)
    if reach is not None:
        wide = np.zeros(len(reach)) if wider is None else wider
        least, most = np.array([v.least for v in reach]) - wide, np.array([v.most for v in reach]) + wide
        apart = np.any((lower > most) | (upper < least), axis=1, keepdims=True)
        lower, upper = np.where(apart, lower, np.maximum(lower, least)), np.where(apart, upper, np.minimum(upper, most))
    return [(function, lower[i], upper[i]) for i, function in enumerate(block.subtasks)]


def enlarged(tiling: Tiling, by: Array) -> tuple[Array, Array]:
    """The boxes of the pieces (E, k), those at the outside moved outwards by `by` (k,)."""
    outer_low, outer_high = tiling.lower == tiling.domain.lower, tiling.upper == tiling.domain.upper
    return np.where(outer_low, tiling.lower - by, tiling.lower), np.where(outer_high, tiling.upper + by, tiling.upper)


def input_values(node: Input) -> list[Values]:
    """The values of every coordinate of an input, before embedding."""
    if isinstance(node.manifold, Box):
        return [Values(np.array([low]), np.array([high])) for low, high in zip(node.manifold.lower, node.manifold.upper, strict=True)]
    charts = [(chart.inverse, np.array(chart.domain.lower), np.array(chart.domain.upper)) for chart in node.manifold.parametrising]
    return _values(f'input "{node.name}"', charts)


def block_values(block: Block, reach: Sequence[Values]) -> list[Values]:
    """The values of every output of a block that reads the values `reach`."""
    return _values(f'block "{block.name}"', domains(block, reach))


def combine_values(node: Combine, reach: Sequence[Values]) -> list[Values]:
    return _values(f'combine "{node.name}"', [(node.function, np.array([v.least for v in reach]), np.array([v.most for v in reach]))])


def reachable(task: TaskGraph) -> dict[str, Values]:
    """The values of every component of the graph."""
    known: dict[str, Values] = {}
    for node in task.order:
        reads = [known[name] for name in node.reads]
        match node:
            case Input():
                found = input_values(node)
            case Block():
                found = block_values(node, reads)
            case Combine():
                found = combine_values(node, reads)
        known |= zip(node.components, found, strict=True)
    return known


def _values(where: str, parts: Sequence[tuple[ExpressionMap, Array, Array]]) -> list[Values]:
    """The values of every component over all of the boxes."""
    found: list[list[Interval]] = []
    for function, lower, upper in parts:
        try:
            found.append(NaturalEnclosure(function)(cells_of(tuple(lower), tuple(upper), max(64, CELLS // len(parts)))))
        except NotEnclosed as error:
            raise _unbounded(where, "its range", str(error)) from error
    values = []
    for k in range(parts[0][0].outputs):
        cells = Interval(np.concatenate([f[k].lower for f in found]), np.concatenate([f[k].upper for f in found]))
        if not (np.isfinite(cells.lower).all() and np.isfinite(cells.upper).all()):
            raise _unbounded(where, "its range", "no finite enclosure")
        values.append(Values.of(cells))
    return values


def steepness(where: str, parts: Sequence[tuple[ExpressionMap, Array, Array]]) -> Array:
    """sup |∂F_j/∂z_k| over all of the boxes, (outputs, variables). Raises `InvalidArgument` naming `where` if there is no finite bound."""
    worst = np.zeros((parts[0][0].outputs, parts[0][0].inputs))
    for function, lower, upper in parts:
        try:
            _, partials = GradientEnclosure(function)(cells_of(tuple(lower), tuple(upper), max(64, CELLS // len(parts))))
        except NotEnclosed as error:
            raise _unbounded(where, "its Lipschitz constants", str(error)) from error
        worst = np.maximum(worst, [[float(p.magnitude.max()) for p in row] for row in partials])
    if not np.isfinite(worst).all():
        raise _unbounded(where, "its Lipschitz constants", "unbounded")
    return worst


def _unbounded(where: str, what: str, why: str) -> InvalidArgument:
    remedy = "keep its domain away from poles and from roots of 0, and write jumps as pieces of a block"
    return InvalidArgument(f"{where}: {what} cannot be bounded ({why}); {remedy}")


def jump(block: Block, axis: int, t: float) -> float:
    """How far subtasks may disagree across the interface at z_axis = t, at most: 0 up to rounding where the block is continuous.

    Exactly 0 where the difference of two subtasks simplifies to 0 on the common face.
    """
    tiling = block.domain
    assert isinstance(tiling, Tiling)
    worst = 0.0
    below, above = np.flatnonzero(tiling.upper[:, axis] == t), np.flatnonzero(tiling.lower[:, axis] == t)
    for p in below:
        for q in above:
            low, high = np.maximum(tiling.lower[p], tiling.lower[q]), np.minimum(tiling.upper[p], tiling.upper[q])
            if (np.delete(low, axis) > np.delete(high, axis)).any():
                continue
            low[axis] = high[axis] = t
            worst = max(worst, _difference(block, int(p), int(q), axis, low, high))
    return worst


def _difference(block: Block, p: int, q: int, axis: int, low: Array, high: Array) -> float:
    """sup |F_p − F_q| over a face."""
    f, g = block.subtasks[p], block.subtasks[q]
    into = {g.variables[k]: f.variables[k] for k in range(len(block.reads))}
    exact = sympy.Rational(float(low[axis]))
    gaps = []
    for a, b in zip(f.expressions, g.expressions, strict=True):
        gap = sympy.expand(_rational(a - b.xreplace(into)).subs(f.variables[axis], exact))
        gaps.append(gap)
    if all(gap == 0 for gap in gaps):
        return 0.0
    found = NaturalEnclosure(ExpressionMap(f.variables, tuple(gaps)))(cells_of(tuple(low), tuple(high)))
    return max(float(part.magnitude.max()) for part in found)


def _rational(e: sympy.Expr) -> sympy.Expr:
    """The expression with its floats as the rationals that they are."""
    return e.xreplace({x: sympy.Rational(x) for x in e.atoms(sympy.Float)})
