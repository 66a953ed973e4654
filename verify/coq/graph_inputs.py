"""The inputs of a graph in the words of `Tasks.v`: boxes, charts, finitely many values; and what stands beside them.

Statement. A coordinate that takes the values v_1, …, v_m is an input of its own with m charts, the boxes [v_i, v_i], which leave their
points as they are. Where a block is given chart by chart, f_p a function of the coordinates u on chart p, the point y of its input stands
there as (y, u, p), u in the box of chart p with y = φ_p⁻¹(u): the union over all charts of all these is the domain, so the theorem is
about every u of every chart that leads to y; the block is then p ↦ f_p(u), piece by piece, a piece [p − 1/2, p + 1/2) of the number of
the chart. The network sees neither u nor p. Of an embedded input it reads Q·y: a node of the graph whose functions are the rows of Q.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...atlas import Block, Combine, ExpressionMap, Input, TaskGraph
from ...atlas.chart import Chart
from ...errors import InvalidArgument
from .expressions import expression, names_of
from .numbers import comment, dyadic, number

ASIDE = 0.25
"""Ranges of what stands beside a point are so much wider than they need be: intervals are rounded outwards."""


@dataclass(frozen=True)
class Given:
    """An input of `Tasks.v`."""

    node: Input
    axis: int | None = None
    """The coordinate of an input of finitely many values that it is."""
    beside: tuple[str, ...] = ()
    """Coordinates on a chart, and last its number, where functions are given chart by chart."""

    @property
    def coordinates(self) -> tuple[str, ...]:
        own = self.node.coordinates if self.axis is None else (self.node.coordinates[self.axis],)
        return (*own, *self.beside)

    @property
    def charts(self) -> tuple[Chart, ...]:
        """None for a box, a chart that leaves its points as they are, and for finitely many values."""
        return () if self.node.atlas is None else self.node.atlas.parametrising

    @property
    def values(self) -> tuple[float, ...]:
        """All that it takes; () if these are not finitely many."""
        return () if self.axis is None else self.node.values[self.axis]

    @property
    def ranges(self) -> list[tuple[float, float]] | None:
        """Of a box or finitely many values; None for charts."""
        if self.node.box is None:
            return None
        sides = list(zip(map(float, self.node.box.lower), map(float, self.node.box.upper), strict=True))
        return sides if self.axis is None else [(min(self.values), max(self.values))]

    @property
    def ranges_beside(self) -> list[tuple[float, float]]:
        """Of what stands beside a point."""
        if not self.beside:
            return []
        sides = [list(zip(chart.domain.lower, chart.domain.upper, strict=True)) for chart in self.charts]
        hulls = [(min(low for low, _ in axis), max(high for _, high in axis)) for axis in zip(*sides, strict=True)]
        return [*((low - ASIDE, high + ASIDE) for low, high in hulls), (-ASIDE, len(self.charts) - 1 + ASIDE)]


def by_chart(block: Block) -> bool:
    """Whether a block's functions are given chart by chart, or differ from chart to chart."""
    return block.tiling is None and not block.uniform


def givens_of(task: TaskGraph) -> tuple[Given, ...]:
    """The inputs. Raises `InvalidArgument` for blocks chart by chart that do not read the charts of an input."""
    blocks = [block for block in task.blocks if by_chart(block)]
    found = []
    for node in task.inputs:
        own = [block for block in blocks if block.reads == node.coordinates and node.atlas is not None]
        for block in own:
            _same_charts(block, node)
        blocks = [block for block in blocks if block not in own]
        if node.values:
            found += [Given(node, axis) for axis in range(len(node.values))]
        elif own:
            assert node.atlas is not None
            variables = map(str, node.atlas.parametrising[0].inverse.variables)
            found.append(Given(node, None, (*(f"{node.name}, {v}" for v in variables), f"{node.name}, chart")))
        else:
            found.append(Given(node))
    if blocks:
        problem = f"block {blocks[0].name!r} is given chart by chart, and reads {', '.join(blocks[0].reads)}, which is no one whole input"
        raise InvalidArgument(
            f"{problem}; the proof in Coq knows coordinates on charts of inputs alone: give it one expression in what it reads"
        )
    return tuple(found)


def _same_charts(block: Block, node: Input) -> None:
    assert block.atlas is not None
    assert node.atlas is not None
    own, given = block.atlas.parametrising, node.atlas.parametrising
    if len(own) != len(given) or not all(
        a is b or (a.domain == b.domain and a.inverse.same(b.inverse)) for a, b in zip(own, given, strict=True)
    ):
        problem = f"block {block.name!r} is given chart by chart, on other charts than those of input {node.name!r}, which it reads"
        raise InvalidArgument(f"{problem}; the proof in Coq follows blocks chart by chart on the charts of their input: leave its own out")


def embeddings_of(task: TaskGraph) -> dict[str, Combine]:
    """Embedded input ↦ the node that computes Q·y, in the stored numbers of Q."""
    found = {}
    for node in task.inputs:
        Q = node.domain.embedding
        if Q is not None:
            rows = [" + ".join(f"{float(q)!r}*{v}" for q, v in zip(row, node.coordinates, strict=True) if q) or "0" for row in Q]
            name = f"{node.name}, embedded"
            found[node.name] = Combine.parse(name, node.coordinates, rows, [f"{name}, {k + 1}" for k in range(len(rows))])
    return found


def input_text(n: int, given: Given) -> list[str]:
    """Input n in `Task.v`."""
    node = given.node
    if given.values:
        said = comment(f"Input {node.name}, finitely many values: {given.coordinates[0]}")
        points = "; ".join(f"Chart [{_box([value], [value])}] [Var 0] []" for value in given.values)
        return [said, f"Definition input_{n} : list chart := [{points}].", ""]
    if node.box is not None:
        box = _box(node.box.lower, node.box.upper)
        same = ";".join(f"Var {k}" for k in range(node.base_dimension))
        said = comment(f"Input {node.name}, a box: {', '.join(node.coordinates)}")
        return [said, f"Definition input_{n} : list chart := [Chart [{box}] [{same}] []].", ""]
    lines = [comment(f"Input {node.name}, on charts: {', '.join(node.coordinates)}")]
    if given.beside:
        lines.append(
            "(* Beside every point stand its coordinates on a chart and the number of that chart, which the network does not read. *)"
        )
    for k, chart in enumerate(given.charts):
        own = names_of([str(v) for v in chart.inverse.variables])
        lines += [f"Module Input{n}Chart{k}.", *(f"Definition {coq} : expr := Var {j}." for j, coq in enumerate(own.values()))]
        lines += functions_text("inverse", chart.inverse, own, f'input "{node.name}", chart "{chart.name}": inverse')
        image, regions = "inverse", "[]"
        if given.beside:
            image = f"(inverse ++ [{'; '.join(own.values())}; Int {k}])%list"
        if chart.region is not None:
            lines += functions_text("region", chart.region, own, f'input "{node.name}", chart "{chart.name}": region')
            regions = "region"
        box = _box(chart.domain.lower, chart.domain.upper)
        lines += [f"Definition chart : chart := Chart [{box}] {image} {regions}.", f"End Input{n}Chart{k}."]
    charts = "; ".join(f"Input{n}Chart{k}.chart" for k in range(len(given.charts)))
    return [*lines, f"Definition input_{n} : list chart := [{charts}].", ""]


def _box(lower: Sequence[float], upper: Sequence[float]) -> str:
    return ";".join(f"({number(dyadic(low))},{number(dyadic(high))})" for low, high in zip(lower, upper, strict=True))


def functions_text(what: str, function: ExpressionMap, names: dict[str, str], where: str) -> list[str]:
    """A list of expressions, their texts above."""
    terms = [expression(tree, names, where) for tree in function.trees]
    listed = "; ".join(f"({term})%expr" for term in terms)
    return [*map(comment, function.texts), f"Definition {what} : list expr := [{listed}]."]
