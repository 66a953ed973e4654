"""What figures show of a model at given points: target, output, error, scores and routes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..atlas import Array, Atlas, Block, Box, Chart, Input, TaskGraph, Tiling
from ..atlas.graph import as_graph, component_names
from ..moe.model import Model
from ..moe.network import Trace
from ..verify.sample.measure import Gauge
from ..verify.sample.report import Report, WorstPoint


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model at N points."""

    model: Model
    target: Array
    """f, (N, outputs)."""
    output: Array
    """Ψ, (N, outputs)."""
    scores: Array
    """The logits that the last block is routed by, one for each of its charts or pieces in their order, (N, E)."""
    routes: NDArray[np.intp]
    """The chart or piece that every block takes, of several the first, (N, L)."""

    @cached_property
    def error(self) -> Array:
        """|f − Ψ|, largest component, (N,); of several targets in units of their ε."""
        return as_graph(self.model.task).largest(self.target - self.output)

    @property
    def gap(self) -> Array:
        """Largest minus second largest score, (N,); infinite if there is one expert."""
        if self.scores.shape[1] < 2:
            return np.full(len(self.scores), np.inf)
        two = np.partition(self.scores, -2, axis=1)[:, -2:]
        return two[:, 1] - two[:, 0]

    @property
    def tuples(self) -> NDArray[np.intp]:
        """The distinct rows of `routes`."""
        return np.unique(self.routes, axis=0)


def gauge_of(model: Model) -> Gauge:
    """The model beside its task."""
    return Gauge.of(model.network, as_graph(model.task), model.design)


def evaluate(model: Model, chart: int, intrinsic: Array) -> Evaluation:
    """Task and network, in its own dtype, at points (N, d) of one chart of `whole`."""
    gauge = gauge_of(model)
    points = gauge.product.parametrise(np.full((len(intrinsic), len(gauge.product.domains)), chart), intrinsic)
    with np.errstate(all="ignore"):
        trace = gauge.run(points)
        routes = np.stack([taken[:, 0] for taken in gauge.taken(trace)], axis=-1)
        scores = _by_piece(gauge, trace)
        return Evaluation(model, gauge.truth(points).output, trace.output.astype(float), scores, routes)


def _by_piece(gauge: Gauge, trace: Trace) -> Array:
    """The logits of the last block in the order of its charts or pieces, which need not be that of the gate; −∞ for those without one."""
    station = gauge.layout.stations[-1]
    found = np.full((len(trace.output), len(station.block.names)), -np.inf)
    if station.site is not None:
        logits = trace.logits[station.site.layer][:, station.site.outputs].astype(float)
        found[:, station.pieces[station.pieces >= 0]] = logits[:, station.pieces >= 0]
    return found


def pieces_of(model: Model) -> tuple[tuple[str, ...], ...]:
    """The names of the charts or pieces of every block in the order in which routes number them, which need not be that of the gate."""
    return tuple(block.names for block in as_graph(model.task).blocks)


def outputs_of(model: Model) -> tuple[str, ...]:
    """What the components of f are called: as the task says; where it says nothing f, or f_1, f_2, …"""
    graph = as_graph(model.task)
    output = graph[graph.output]
    if graph.wanted or output.components != component_names(output.name, graph.outputs):
        return output.components
    return component_names("f", graph.outputs)


def routes_at(model: Model, chart: int, intrinsic: Array) -> NDArray[np.intp]:
    """The routes (N, L) alone, at points (N, d) of one chart of `whole`."""
    gauge = gauge_of(model)
    points = gauge.product.parametrise(np.full((len(intrinsic), len(gauge.product.domains)), chart), intrinsic)
    with np.errstate(all="ignore"):
        return np.stack([taken[:, 0] for taken in gauge.taken(gauge.run(points))], axis=-1)


def together(parts: Sequence[Evaluation]) -> Evaluation:
    """Several evaluations of a model as one."""
    arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in ("target", "output", "scores", "routes"))
    return Evaluation(parts[0].model, *arrays)


def whole(graph: TaskGraph) -> Atlas | Tiling | None:
    """What a graph is a function on: its only input, or the box that its inputs are together; None for other products."""
    if len(graph.inputs) == 1:
        return graph.inputs[0].domain
    boxes = [node.box for node in graph.inputs if node.box is not None]
    if len(boxes) < len(graph.inputs):
        return None
    box = Box(tuple(v for b in boxes for v in b.lower), tuple(v for b in boxes for v in b.upper))
    return Tiling.whole(box, graph.coordinates, graph.name)


def shown_charts(domain: Atlas | Tiling, report: Report | None, most: int) -> list[tuple[int, Chart]]:
    """At most so many charts, with their numbers: the first, and in the last's place the one that holds the worst point."""
    numbered = list(enumerate(domain.parametrising))
    shown, rest = numbered[:most], numbered[most:]
    worst = None if report is None else report.worst.get("total")
    if rest and all(on_chart(worst, domain, chart) is None for _, chart in shown):
        shown[-1:] = [one for one in rest if on_chart(worst, domain, one[1]) is not None][:1] or shown[-1:]
    return shown


def names_of_panels(graph: TaskGraph) -> Callable[[str, int], tuple[str, ...]]:
    """What coordinates are called, by name and dimension of a panel of a certificate: those of its chart, or of what its block reads."""
    named: dict[str, tuple[str, ...]] = {}
    nodes: list[Input | Block] = [*graph.inputs, *graph.blocks]
    for node in nodes:
        read = node.reads if isinstance(node, Block) else node.coordinates
        for chart in node.domain.parametrising:
            own = chart.inverse.names if node.domain.box is None else read
            for called in (chart.name, f"{node.name}/{chart.name}", node.name):
                named.setdefault(called, own)

    def names(panel: str, dimension: int) -> tuple[str, ...]:
        found = named.get(panel) or named.get(panel.split("/")[0]) or named.get(panel.split("/")[-1]) or ()
        return found if len(found) == dimension else tuple(f"coordinate {k + 1}" for k in range(dimension))

    return names


def on_chart(worst: WorstPoint | None, domain: Atlas | Tiling, chart: Chart) -> Sequence[float] | None:
    """Where on a chart a worst point lies; None if it lies on another."""
    if worst is None:
        return None
    if worst.chart:
        return worst.intrinsic if worst.chart == chart.name else None
    if chart.forward is None:
        return None
    intrinsic = chart.forward(domain.unembed(np.array(worst.ambient)))
    return intrinsic.tolist() if bool(chart.inside(intrinsic)) else None
