"""What is measured at each point of a task graph's domain: the quantities whose worst values decide the claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, Atlas, Block, Box, Combine, ExpressionMap, Input, TaskGraph, Tiling
from ...atlas import Trace as Truth
from ...moe.network import Network, Trace
from .graph_layout import Layout
from .graph_points import Places
from .measure import UNITS


@dataclass(frozen=True, eq=False)
class GraphObservation:
    """All quantities at N points, larger is worse, each (N,); and the pieces taken, (N, L), −1 for a gate output that is no piece."""

    values: Mapping[str, Array]
    taken: NDArray[np.intp]
    sizes: Mapping[str, float]
    """The largest value in the task of every node that the network computes, by the name of its claim."""

    def badness(self, quantity: str) -> Array:
        """The quantity; NaN is worst of all."""
        return np.where(np.isnan(self.values[quantity]), np.inf, self.values[quantity])


@dataclass(frozen=True, eq=False)
class Gauge:
    """A network beside the graph that it should compute.

    Quantities: error |f − Ψ|; nonfinite; carried |x − x̂| in any state; slots, how much a value y changes in a layer after it was written;
    wrong, how many blocks take a piece that is not the owner (a chart that does not hold the point); astray, how far outside of
    the piece it takes a block's values lie, in units of what rounding allows; tied_error, the error if a chart whose score is tied is taken
    instead; block[…] and combine[…], how far what a layer writes is from the node's own function of what the layer reads.
    """

    network: Network
    graph: TaskGraph
    layout: Layout
    either: frozenset[str] = frozenset()
    """Blocks of whose neighbouring pieces either will do near an interface: they read computed values, or their router is inexact."""

    @cached_property
    def strict(self) -> tuple[Block, ...]:
        """Blocks whose route is decided by the point alone, interface points included."""
        return tuple(b for b in self.graph.blocks if b.name not in self.either and (isinstance(b.domain, Atlas) or self.layout.exact(b)))

    @cached_property
    def _rounded_tilings(self) -> list[int]:
        """Blocks on pieces that read coordinates of manifolds, which rounding may carry across an interface."""
        manifolds = {name for node in self.graph.inputs if not isinstance(node.manifold, Box) for name in node.coordinates}
        return [l for l, b in enumerate(self.graph.blocks) if isinstance(b.domain, Tiling) and manifolds.intersection(b.reads)]

    def taken(self, trace: Trace) -> NDArray[np.intp]:
        """The piece that the network takes in each block, (N, L)."""
        columns = []
        for block in self.graph.blocks:
            layer = self.layout.routes.get(block.name)
            columns.append(np.full(len(trace.output), -1) if layer is None else self.layout.pieces[block.name][trace.routes[layer]])
        return np.stack(columns, axis=-1).astype(np.intp)

    def truth(self, places: Places) -> Truth:
        """The oracle at the points; at the point that the network reads where rounding has carried it into another piece (R9)."""
        truth = self.graph.trace(places.ambient)
        if not self._rounded_tilings or self.network.dtype == np.float64:
            return truth
        read = self.graph.trace(places.ambient.astype(self.network.dtype).astype(float))
        moved = (truth.routes != read.routes)[:, self._rounded_tilings].any(1)
        values = {name: np.where(moved, read.values[name], value) for name, value in truth.values.items()}
        valid = {name: np.where(moved[:, None], read.valid[name], value) for name, value in truth.valid.items()}
        return Truth(values, valid, np.where(moved[:, None], read.output, truth.output))

    def error(self, places: Places, routes: list[NDArray[np.intp] | None] | None = None) -> Array:
        """|f(x) − Ψ(x̂)|, largest component, (N,), on routes of one's own if given."""
        output = self.network.trace(places.ambient.astype(self.network.dtype), routes).output
        return np.abs(output.astype(float) - self.truth(places).output).max(-1)

    def observe(self, places: Places) -> GraphObservation:
        """Run the network in its own dtype, and compare every route, value and output with the task."""
        read = places.ambient.astype(self.network.dtype)
        with np.errstate(all="ignore"):
            trace, truth = self.network.trace(read), self.truth(places)
            taken = self.taken(trace)
            finite = np.ones(len(places), bool)
            for array in (*trace.logits, *trace.states):
                finite &= np.isfinite(array).all(-1)
            values: dict[str, Array] = {
                "error": np.abs(trace.output.astype(float) - truth.output).max(-1),
                "nonfinite": np.where(finite, 0.0, 1.0),
                "wrong": np.zeros(len(places)),
            }
            replay = Replay(self, read.astype(float), trace, taken)
            rows = np.arange(len(places))
            for l, block in enumerate(self.graph.blocks):
                if block in self.strict:
                    held = truth.valid[block.name][rows, taken[:, l]] & (taken[:, l] >= 0)
                    values["wrong"] += np.where(held, 0.0, 1.0)
                else:
                    outside = replay.outside(l, block)
                    values["astray"] = np.maximum(values.get("astray", outside), outside)
            values |= replay.kept() | replay.written()
            if any(isinstance(block.domain, Atlas) for block in self.graph.blocks):
                values["tied_error"] = self._tied(places, trace, replay)
            sizes = {
                quantity(node): max(float(np.nan_to_num(np.abs(truth.values[name])).max(initial=0.0)) for name in node.components)
                for node in self.layout.makers
            }
        return GraphObservation(values, taken, sizes)

    def _tied(self, places: Places, trace: Trace, replay: Replay) -> Array:
        """The error if a block on charts takes the runner-up, where its score is closer than rounding tells apart; else 0."""
        found = np.zeros(len(places))
        for block in self.graph.blocks:
            layer = self.layout.routes.get(block.name)
            if layer is None or not isinstance(block.domain, Atlas) or trace.logits[layer].shape[1] < 2:
                continue
            logits = trace.logits[layer].astype(float)
            order = np.argsort(-logits, axis=1, kind="stable")[:, :2]
            gap = np.take_along_axis(logits, order, 1) @ (1.0, -1.0)
            rows = np.flatnonzero(gap <= replay.rounding(layer, np.zeros(len(places))))
            if len(rows):
                forced: list[NDArray[np.intp] | None] = [None] * len(trace.routes)
                forced[layer] = order[rows, 1]
                found[rows] = np.fmax(found[rows], self.error(places[rows], forced))
        return found


@dataclass(frozen=True, eq=False)
class Replay:
    """What each layer should do with what it reads, at N points that went through a network."""

    gauge: Gauge
    read: Array
    """x̂, (N, D)."""
    trace: Trace
    taken: NDArray[np.intp]

    def arriving(self, layer: int) -> Array:
        return self.read if layer == 0 else self.trace.states[layer - 1].astype(float)

    def value(self, component: str, layer: int) -> Array:
        """The value of a component, from the channels that arrive at a layer alone: as they carry it, else computed from them."""
        layout = self.gauge.layout
        place = layout.places[layer]
        if f"y[{component}]" in place:
            return self.arriving(layer)[:, place[f"y[{component}]"]]
        source = layout.graph.sources[component]
        if isinstance(source, Input):
            matrix = layout.graph.projection
            k = layout.graph.coordinates.index(component)
            return self.read[:, k] if matrix is None else self.read @ matrix[k]
        column = source.components.index(component)
        read = np.stack([self.value(name, layer) for name in source.reads], axis=-1)
        if isinstance(source, Combine):
            return source.function(read)[:, column]
        return self.subtask(source, read)[:, column]

    def subtask(self, block: Block, read: Array) -> Array:
        """The subtasks of the pieces that were taken, at values read; NaN where no piece was."""
        chosen = self.taken[:, self.gauge.graph.blocks.index(block)]
        found = np.full((len(read), len(block.outputs)), np.nan)
        for i in np.unique(chosen[chosen >= 0]):
            rows = chosen == i
            found[rows] = block.subtask(int(i), read[rows])
        return found

    def rounding(self, layer: int, size: Array) -> Array:
        """g at each point: `UNITS` units of rounding of what a gate adds up, of x̂ or of `size`, whichever is largest, at least of 1."""
        gate = self.gauge.network.layers[layer].affine_gate
        terms = np.abs(self.arriving(layer)) @ np.abs(gate.weight.astype(float)).T + np.abs(gate.bias.astype(float))
        scale = np.maximum(np.maximum(terms.max(1), np.abs(self.read).max(1)), np.maximum(size, 1.0))
        return UNITS * float(np.finfo(self.gauge.network.dtype).eps) * scale

    def outside(self, l: int, block: Block) -> Array:
        """How far what block l reads lies outside of the closed piece that it takes, in units of g; outer faces are open to errors."""
        layer = self.gauge.layout.routes.get(block.name)
        chosen = self.taken[:, l]
        if layer is None or not isinstance(block.domain, Tiling):
            return np.full(len(chosen), np.inf)
        read = np.stack([self.value(name, layer) for name in block.reads], axis=-1)
        tiling = block.domain
        lower = np.where(tiling.lower == tiling.domain.lower, -np.inf, tiling.lower)[chosen]
        upper = np.where(tiling.upper == tiling.domain.upper, np.inf, tiling.upper)[chosen]
        distance = np.maximum(np.maximum(lower - read, read - upper), 0).max(1)
        ratio = distance / self.rounding(layer, np.abs(read).max(1))
        return np.where(chosen < 0, np.inf, ratio)

    def kept(self) -> dict[str, Array]:
        """How much channels change in layers that should only carry them."""
        layout, found = self.gauge.layout, {"slots": np.zeros(len(self.read))}
        for layer, place in enumerate(layout.places[1:]):
            state = self.trace.states[layer].astype(float)
            for name, column in place.items():
                if name in layout.places[layer] and (name.startswith("y[") or name.startswith("x[")):
                    change = np.abs(state[:, column] - self.arriving(layer)[:, layout.places[layer][name]])
                    kind = "slots" if name.startswith("y[") else "carried"
                    found[kind] = np.maximum(found.get(kind, change), change)
        return found

    def written(self) -> dict[str, Array]:
        """How far each node's values, as its layer writes them, are from the node's own function of what the layer reads.

        Values that the last layer folds into an affine read-out are judged by the output, divided by their weight in it.
        """
        layout, found = self.gauge.layout, {}
        last = len(layout.network.layers) - 1
        made = {node.name: layout.made(node) for node in layout.makers}
        for node in layout.makers:
            layer = made[node.name]
            if layer is None or layer == last:
                continue
            place, state = layout.places[layer + 1], self.trace.states[layer].astype(float)
            names = [name for name in node.components if f"y[{name}]" in place]
            gaps = [np.abs(state[:, place[f"y[{name}]"]] - self.value(name, layer)) for name in names]
            if gaps:
                found[quantity(node)] = np.max(gaps, axis=0)
        late = [node for node in layout.makers if made[node.name] == last]
        if len(late) == 1 and len(late[0].components):
            weight = np.array([readout_weight(layout.graph, name, late[0]) for name in layout.graph[layout.graph.output].components])
            expected = [self.value(name, last) for name in layout.graph[layout.graph.output].components]
            gaps = [np.abs(self.trace.output[:, k] - e) / weight[k] for k, e in enumerate(expected) if weight[k] > 0]
            if gaps:
                found[quantity(late[0])] = np.max(gaps, axis=0)
        return found


def quantity(node: Block | Combine) -> str:
    """The name of the claim about what a node computes."""
    return f"{'block' if isinstance(node, Block) else 'combine'}[{node.name}]"


def readout_weight(graph: TaskGraph, component: str, maker: Block | Combine) -> float:
    """Σ |weights| with which a component depends on the values of `maker`, through affine combinations alone."""
    source = graph.sources[component]
    if source is maker:
        return 1.0
    if isinstance(source, Combine) and isinstance(source.function, ExpressionMap) and source.function.affine is not None:
        row = source.function.affine[0][source.components.index(component)]
        return float(sum(abs(w) * readout_weight(graph, name, maker) for w, name in zip(row, source.reads, strict=True) if w))
    return 0.0
