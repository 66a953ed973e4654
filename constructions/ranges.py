"""What values the components of a task graph take, and how steeply nodes depend on what they read: by enclosure, never by sampling.

Values are enclosed cell by cell, so that a gap between the values of two pieces is seen: whether a block that reads another
block's output is ever near one of its interfaces is a question about such gaps (B9).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import sympy

from ..atlas import Array, Block, Combine, ExpressionMap, Input, TaskGraph, Tiling
from ..errors import InvalidArgument
from ..expressions import box_cells
from ..intervals import Interval, NaturalEnclosure, NotEnclosed
from ..intervals.gradients import GradientEnclosure

CELLS = 4096
"""Cells that a box is cut into: the enclosures of the parts of a curve then overestimate by about a part in 4096 of its length."""
HALVINGS = 12
"""How often a cell on the edge of a region is halved."""
MOST_CELLS = 1 << 16
"""Cells on edges that are enclosed at a time."""
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


class Part(NamedTuple):
    """A function on the box [lower, upper], or on the part of it where `region` > 0."""

    function: ExpressionMap
    lower: Array
    upper: Array
    region: ExpressionMap | None = None


def domains(block: Block, reach: Sequence[Values] | None = None, wider: Array | None = None) -> list[Part]:
    """The subtasks of a block as functions on boxes, one for every piece or parametrising chart.

    Pieces are cut to what is read, if `reach` says what that is, and those on the outside are made `wider` by so much along every axis.
    """
    if block.tiling is None:
        charts = block.domain.parametrising
        return [Part(block.local(i), np.array(c.domain.lower), np.array(c.domain.upper), c.region) for i, c in enumerate(charts)]
    lower, upper = enlarged(block.tiling, np.zeros(block.tiling.dimension) if wider is None else wider)
    if reach is not None:
        wide = np.zeros(len(reach)) if wider is None else wider
        least, most = np.array([v.least for v in reach]) - wide, np.array([v.most for v in reach]) + wide
        apart = np.any((lower > most) | (upper < least), axis=1, keepdims=True)
        lower, upper = np.where(apart, lower, np.maximum(lower, least)), np.where(apart, upper, np.minimum(upper, most))
    return [Part(function, lower[i], upper[i]) for i, function in enumerate(block.subtasks)]


def enlarged(tiling: Tiling, by: Array) -> tuple[Array, Array]:
    """The boxes of the pieces (E, k), those at the outside moved outwards by `by` (k,)."""
    outer_low, outer_high = tiling.lower == tiling.domain.lower, tiling.upper == tiling.domain.upper
    return np.where(outer_low, tiling.lower - by, tiling.lower), np.where(outer_high, tiling.upper + by, tiling.upper)


def input_values(node: Input) -> list[Values]:
    """The values of every coordinate of an input, before embedding."""
    if node.box is not None:
        return [Values(np.array([low]), np.array([high])) for low, high in zip(node.box.lower, node.box.upper, strict=True)]
    charts = [Part(c.inverse, np.array(c.domain.lower), np.array(c.domain.upper), c.region) for c in node.domain.parametrising]
    return _values(f'input "{node.name}"', charts)


def block_values(block: Block, reach: Sequence[Values]) -> list[Values]:
    """The values of every output of a block that reads the values `reach`."""
    return _values(f'block "{block.name}"', domains(block, reach))


def combine_values(node: Combine, reach: Sequence[Values]) -> list[Values]:
    return _values(f'combine "{node.name}"', [Part(node.function, np.array([v.least for v in reach]), np.array([v.most for v in reach]))])


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
        known |= zip(node.components, finite(task, node.components, found), strict=True)
    return known


def finite(task: TaskGraph, names: Sequence[str], found: Sequence[Values]) -> list[Values]:
    """What was found of components; the values of those that are known to be finite, one by one."""
    return [_points(task.finite[name]) if name in task.finite else values for name, values in zip(names, found, strict=True)]


def _points(values: Sequence[Fraction]) -> Values:
    near = [float(value) for value in values]
    exact = [Fraction(one) == value for one, value in zip(near, values, strict=True)]
    low = [one if same else np.nextafter(one, -np.inf) for one, same in zip(near, exact, strict=True)]
    high = [one if same else np.nextafter(one, np.inf) for one, same in zip(near, exact, strict=True)]
    return Values(np.array(low), np.array(high))


def _values(where: str, parts: Sequence[Part]) -> list[Values]:
    """The values of every component over all of the parts."""
    found = [_enclosed(where, "its range", part, NaturalEnclosure(part.function), max(64, CELLS // len(parts))) for part in parts]
    components = range(parts[0].function.outputs)
    return [Values.of(Interval(*(np.concatenate([getattr(f[k], side) for f in found]) for side in ("lower", "upper")))) for k in components]


def steepness(where: str, parts: Sequence[Part | tuple[ExpressionMap, Array, Array]]) -> Array:
    """sup |∂F_j/∂z_k| over all of the parts, (outputs, variables). Raises `InvalidArgument` naming `where` if there is no finite bound."""
    worst = np.zeros((parts[0][0].outputs, parts[0][0].inputs))
    for part in (Part(*given) for given in parts):
        gradient = GradientEnclosure(part.function)

        def partials(cells: Sequence[Interval], gradient: GradientEnclosure = gradient) -> list[Interval]:
            return [partial for row in gradient(cells)[1] for partial in row]

        found = _enclosed(where, "its Lipschitz constants", part, partials, max(64, CELLS // len(parts)))
        worst = np.maximum(worst, np.reshape([float(p.magnitude.max()) for p in found], worst.shape))
    return worst


def _enclosed(where: str, what: str, part: Part, enclosure: Callable[[Sequence[Interval]], list[Interval]], count: int) -> list[Interval]:
    """An enclosure of several functions over about `count` cells of a part; those on which the region is not positive are left out.

    A cell on the edge of the region, where the enclosure is not finite because nothing is asked of the functions on the other side,
    is halved along all axes, up to HALVINGS times. Raises `InvalidArgument` for a cell on which there is still no finite enclosure.
    """
    lower, upper = box_cells(part.lower, part.upper, count)
    done: list[list[Interval]] = []
    try:
        region = None if part.region is None else NaturalEnclosure(part.region)
        for halvings in range(HALVINGS + 1):
            sides = [Interval(low, high) for low, high in zip(lower.T, upper.T, strict=True)]
            depth = Interval(np.ones(len(lower)), np.ones(len(lower))) if region is None else region(sides)[0]
            reached = depth.upper > 0
            sides, edge = [side[reached] for side in sides], depth.lower[reached] <= 0
            found = enclosure(sides)
            open_ = ~np.all([np.isfinite(f.lower) & np.isfinite(f.upper) for f in found], axis=0)
            done.append([f[~open_] for f in found])
            lower, upper = lower[reached][open_], upper[reached][open_]
            if not len(lower):
                break
            if halvings == HALVINGS or not edge[open_].all() or len(lower) << lower.shape[1] > MOST_CELLS:
                cell = " × ".join(f"[{a:.6g}, {b:.6g}]" for a, b in zip(lower[0], upper[0], strict=True))
                raise _unbounded(where, what, f"no finite enclosure on {cell}")
            middle, corners = lower + (upper - lower) / 2, list(itertools.product((False, True), repeat=lower.shape[1]))
            halves = [(np.where(up, middle, lower), np.where(up, upper, middle)) for up in corners]
            lower, upper = np.concatenate([low for low, _ in halves]), np.concatenate([high for _, high in halves])
    except NotEnclosed as error:
        raise _unbounded(where, what, str(error)) from error
    return [Interval(*(np.concatenate([getattr(f[k], side) for f in done]) for side in ("lower", "upper"))) for k in range(len(done[0]))]


def _unbounded(where: str, what: str, why: str) -> InvalidArgument:
    remedy = "keep its domain away from poles and from roots of 0, and write jumps as pieces of a block"
    return InvalidArgument(f"{where}: {what} cannot be bounded ({why}); {remedy}")


def jump(block: Block, axis: int, t: float) -> float:
    """How far subtasks may disagree across the interface at z_axis = t, at most: 0 up to rounding where the block is continuous.

    Exactly 0 where the difference of two subtasks simplifies to 0 on the common face.
    """
    tiling, worst = block.tiling, 0.0
    if tiling is None:
        return worst
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
    sides = zip(*(corner.T for corner in box_cells(low, high, CELLS)), strict=True)
    found = NaturalEnclosure(ExpressionMap(f.variables, tuple(gaps)))([Interval(a, b) for a, b in sides])
    return max(float(part.magnitude.max()) for part in found)


def _rational(e: sympy.Expr) -> sympy.Expr:
    """The expression with its floats as the rationals that they are."""
    return e.xreplace({x: sympy.Rational(x) for x in e.atoms(sympy.Float)})
