"""What a task graph is worth at one point that is known exactly: intervals of any precision, from the expressions as they were written.

A point of a manifold is given by a chart and by coordinates that are numbers, not by the irrational point φ⁻¹(u); a point of a box by its
coordinates. Every component of the graph is then one tree in these numbers, and `expressions.precise` encloses it. Floats have no say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from ...errors import AtlasMoEError
from ...expressions.box import Box
from ...expressions.maps import ExpressionMap
from ...expressions.precise import Enclosed, Found, Undefined, enclose_at
from ...expressions.tree import Name, Node, substitute
from ...intervals.program import equations_of
from ..atlas import Atlas
from ..chart import BallChart
from ..task import CallableTarget, ChartTarget, ExpressionTarget
from .graph import TaskGraph
from .nodes import Block, Combine, Input

DIGITS = 80
"""Decimal digits that are carried."""


class NotPointwise(AtlasMoEError):
    """Something about a point that expressions do not decide."""


@dataclass(frozen=True)
class Spot:
    """Where a point lies on one input: coordinates in a parametrising chart, by its number; or in the input's box."""

    chart: int | None
    coordinates: tuple[Fraction, ...]


class Pointwise:
    """A task graph at one point, a `Spot` for every input by name."""

    def __init__(self, graph: TaskGraph, spots: Mapping[str, Spot], digits: int = DIGITS) -> None:
        """Raises `NotPointwise` if a spot is no point of its input, or if it is not decided that it is."""
        self.graph, self.spots, self.digits = graph, dict(spots), digits
        self.exact: dict[str, Fraction] = {}
        self.trees: dict[str, Node] = {}
        """Components of inputs, in terms of the names of `exact`."""
        for node in graph.inputs:
            names = [f"{node.name}:{k}" for k in range(len(spots[node.name].coordinates))]
            self.exact |= dict(zip(names, spots[node.name].coordinates, strict=True))
            self._place(node, spots[node.name], [Name(name) for name in names])

    def _place(self, node: Input, spot: Spot, names: Sequence[Node]) -> None:
        """The components of an input, once it is sure that the point is one of its points."""
        if node.box is not None:
            inside = all(low <= u <= high for low, u, high in zip(node.box.lower, spot.coordinates, node.box.upper, strict=True))
            if spot.chart is not None or not inside:
                raise NotPointwise(f'the point is not in the box of input "{node.name}"')
            if not all(u in map(Fraction, axis) for u, axis in zip(spot.coordinates, node.values, strict=False)):
                raise NotPointwise(f'the point has coordinates that are no values of input "{node.name}"')
            self.trees |= dict(zip(node.coordinates, names, strict=True))
            return
        charts = node.domain.parametrising
        if spot.chart is None or not 0 <= spot.chart < len(charts):
            raise NotPointwise(f'input "{node.name}" has no such chart')
        chart = charts[spot.chart]
        sides = zip(chart.domain.lower, spot.coordinates, chart.domain.upper, chart.boundary, strict=True)
        for low, u, high, (first, last) in sides:
            if not ((low <= u if first else low < u) and (u <= high if last else u < high)):
                raise NotPointwise(f'the coordinates are not in the domain of chart "{chart.name}"')
        if chart.region is not None:
            region = self.at(self.written(chart.region, names)[0])
            if not (isinstance(region, Enclosed) and region.lower > 0):
                raise NotPointwise(f'the region of chart "{chart.name}" is not surely positive there')
        if chart.tube is not None and not equations_of(chart.tube).proved:
            raise NotPointwise(f'chart "{chart.name}" is not proved to hold one zero of the equations over each of its coordinates')
        place = self.written(chart.inverse, names)
        if isinstance(node.domain, Atlas) and node.domain.implicit is not None:
            self._in_box(chart.name, node.domain.implicit.zeros.box, place)
        self.trees |= dict(zip(node.coordinates, place, strict=True))

    def _in_box(self, name: str, box: Box, place: Sequence[Node]) -> None:
        """Zeros of equations are points of M in the box only, and a region may be positive again behind it, where charts reach."""
        for value, low, high in zip(self.enclosed(place), box.lower, box.upper, strict=True):
            if not (value.lower >= Fraction(low) and value.upper <= Fraction(high)):
                raise NotPointwise(f'the point of chart "{name}" is not surely in the box of the equations')

    def written(self, function: ExpressionMap, parts: Sequence[Node]) -> tuple[Node, ...]:
        """A map of these parts."""
        return substitute(function.trees, dict(zip(function.names, parts, strict=True)))

    def at(self, tree: Node) -> Found:
        return enclose_at(tree, self.exact, self.digits)

    def enclosed(self, trees: Sequence[Node]) -> list[Enclosed]:
        """Values that are known. Raises `NotPointwise` for one that is undefined, or not decided."""
        found = [self.at(tree) for tree in trees]
        for value in found:
            if not isinstance(value, Enclosed):
                raise NotPointwise(str(value) if isinstance(value, Undefined) else "it is not decided whether there is a value")
        return [value for value in found if isinstance(value, Enclosed)]

    @cached_property
    def coordinates(self) -> list[Enclosed]:
        """The point before embedding, in the order of the graph's coordinates."""
        return self.enclosed([self.trees[name] for name in self.graph.coordinates])

    @cached_property
    def output(self) -> list[Found]:
        """f, component by component; `Undefined` where it surely has no value. Raises `NotPointwise` where a piece is not decided."""
        known = dict(self.trees)
        for node in self.graph.order:
            match node:
                case Block():
                    known |= dict(zip(node.components, self._block(node, known), strict=True))
                case Combine():
                    known |= dict(zip(node.components, self.written(node.function, [known[name] for name in node.reads]), strict=True))
        return [self.at(known[name]) for name in self.graph[self.graph.output].components]

    def _block(self, block: Block, known: Mapping[str, Node]) -> tuple[Node, ...]:
        read = [known[name] for name in block.reads]
        spot = next((self.spots[node.name] for node in self.graph.inputs if node.coordinates == block.reads), None)
        same = block.given is not None or any(node.atlas is block.atlas for node in self.graph.inputs if node.coordinates == block.reads)
        target = None if block.given is None else block.given.target
        if isinstance(target, ExpressionTarget):
            return self.written(target.function, read)
        if isinstance(target, ChartTarget) and spot is not None and spot.chart is not None:
            return self.written(target.functions[spot.chart], self._names(block.reads))
        if isinstance(target, CallableTarget) and target.function is not None and target.declares:
            return self.written(target.declared(block.reads), read)
        if target is not None:
            raise NotPointwise("the target is a Python function")
        if block.uniform:
            return self.written(block.subtasks[0], read)
        if block.tiling is not None:
            return self.written(block.subtasks[self._owner(block, self.enclosed(read))], read)
        if spot is None or spot.chart is None or not same:
            raise NotPointwise(f'which chart of block "{block.name}" holds what it reads is not decided here')
        function = block.local(spot.chart)
        return self.written(function, self._names(block.reads))

    def _names(self, reads: tuple[str, ...]) -> list[Node]:
        """The coordinates in its chart of the input that a block reads all of."""
        node = next(node for node in self.graph.inputs if node.coordinates == reads)
        return [Name(f"{node.name}:{k}") for k in range(len(self.spots[node.name].coordinates))]

    def _owner(self, block: Block, values: Sequence[Enclosed]) -> int:
        """The piece that owns what is read, well off the interfaces. Raises `NotPointwise` next to one."""
        assert block.tiling is not None
        outer = block.tiling.domain
        for k, piece in enumerate(block.tiling.pieces):
            sides = zip(values, piece.box.lower, piece.box.upper, outer.lower, outer.upper, strict=True)
            if all((v.lower > low or low == least) and (v.upper < high or high == most) for v, low, high, least, most in sides):
                return k
        raise NotPointwise(f'what block "{block.name}" reads is at an interface of its pieces')


def outside(atlas: Atlas, j: int, pointwise: Pointwise, chart: int | None) -> str:
    """Why chart j surely does not hold the point, which lies in parametrising chart number `chart`; empty if it may.

    Of a chart with a forward map: its map takes the point to coordinates that are none of its own, or that belong to another point.
    """
    target, name = atlas.charts[j], f'chart "{atlas.charts[j].name}"'
    if isinstance(target, BallChart):
        y = pointwise.coordinates
        gaps = [max(v.lower - Fraction(c), Fraction(c) - v.upper, Fraction(0)) for v, c in zip(y, map(float, target.center), strict=True)]
        return f"{name} is a ball that does not reach it" if sum(g * g for g in gaps) >= Fraction(float(target.radius)) ** 2 else ""
    if j == chart or target.forward is None:
        return ""
    base = [pointwise.trees[c] for c in pointwise.graph.coordinates]
    local = pointwise.written(target.forward, base)
    try:
        v = pointwise.enclosed(local)
        for value, low, high in zip(v, target.domain.lower, target.domain.upper, strict=True):
            if value.upper < Fraction(low) or value.lower > Fraction(high):
                return f"{name} gives it coordinates outside of its domain"
        if target.region is not None:
            (region,) = pointwise.enclosed(pointwise.written(target.region, local))
            if region.upper < 0 or (region.upper == 0 and not target.edge):
                return f"the region of {name} is not positive at its coordinates"
        back = pointwise.enclosed(pointwise.written(target.inverse, local))
    except NotPointwise:
        return ""
    apart = any(b.upper < y.lower or b.lower > y.upper for b, y in zip(back, pointwise.coordinates, strict=True))
    return f"{name} takes its coordinates there to another point" if apart else ""
