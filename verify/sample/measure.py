"""What is measured at each point: the quantities whose worst values decide the claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, Input, Points, TaskGraph, distinct
from ...atlas import Trace as Truth
from ...atlas.wanted import columns
from ...moe.design import Design
from ...moe.network import Indices, MoELayer, Network, Trace, Weighting
from .layout import Layout, Station
from .product import Product
from .replay import Replay
from .scores import gap, runners_up, separation, tie_tolerance

WORST_IS_LARGEST: Mapping[str, bool] = {
    "error": True,  # |f(x) − Ψ(x̂)|, largest component
    "nonfinite": True,  # 1 if any logit, state or output is NaN or infinite
    "carried": True,  # |x after a layer − x̂|
    "slots": True,  # how much a value changes in a layer after it was written
    "outside": True,  # how many blocks take a chart that does not hold x, or a piece that is not its owner
    "astray": True,  # how far outside of what it takes a block's values are, in units of what rounding allows
    "written": True,  # how far what a layer writes is from the node's own function of what the layer reads
    "separation": False,  # max_{i: x∈U_i} τ_i − max_{j: x∉U_j} τ_j
    "gap": False,  # largest minus second largest τ
    "tied_error": True,  # the error if another expert with a tied score is chosen; 0 where no scores are tied
    "tau_error": True,  # max_i |t_i(x) − τ_i(x̂)|
    "max_t": False,  # max_i t_i(x)
    "max_tau": False,  # max_i τ_i(x̂)
    "chosen_t": False,  # t at the chosen chart
}
"""Kind of quantity ↦ whether its worst value is the largest one. With K experts chosen, the largest τ is the K-th largest."""


class Quantity(NamedTuple):
    """A kind of quantity, of one block or combination or of the whole network."""

    kind: str
    node: str = ""


ERROR, NONFINITE, OUTSIDE, ASTRAY = Quantity("error"), Quantity("nonfinite"), Quantity("outside"), Quantity("astray")


@dataclass(frozen=True, eq=False)
class Observation:
    """All quantities at N points, each (N,) float64, and what was chosen there."""

    values: Mapping[Quantity, Array]
    taken: tuple[Indices, ...]
    """For every block the charts or pieces that it takes, (N, K), best first; −1 for a gate output that is none."""
    multiplicity: int
    """The largest number of charts of a block that contain one of the points."""
    sizes: Mapping[str, float]
    """The largest value in the task of every node that the network computes."""

    @property
    def routes(self) -> Indices:
        """The first of what each block takes, (N, L)."""
        return np.stack([taken[:, 0] for taken in self.taken], axis=-1)

    @property
    def violates(self) -> NDArray[np.bool_]:
        """Where something is chosen or computed that the task does not allow, whatever the error, (N,)."""
        none = np.zeros(len(self.values[ERROR]))
        return (self.values[NONFINITE] > 0) | (self.values[OUTSIDE] > 0) | ~(self.values.get(ASTRAY, none) <= 1)

    def badness(self, quantity: Quantity) -> Array:
        """The quantity with the sign that makes larger worse; NaN is worst of all."""
        values = self.values[quantity]
        return np.where(np.isnan(values), np.inf, values if WORST_IS_LARGEST[quantity.kind] else -values)


@dataclass(frozen=True, eq=False)
class Gauge:
    """A network beside the task that it should compute, at places where its design says."""

    layout: Layout
    product: Product

    @staticmethod
    def of(network: Network, graph: TaskGraph, design: Design) -> Gauge:
        return Gauge(Layout(network, graph, design), Product(graph, network.dtype))

    @property
    def network(self) -> Network:
        return self.layout.network

    @property
    def graph(self) -> TaskGraph:
        return self.layout.graph

    def called(self, quantity: Quantity) -> str:
        """What reports call a quantity."""
        if quantity.kind == "error" and quantity.node:
            return f"target[{quantity.node}]"
        if not quantity.node or self.layout.design.alone:
            return quantity.kind
        label = f"{self.graph[quantity.node].kind}[{quantity.node}]"
        return label if quantity.kind == "written" else f"{label}.{quantity.kind}"

    def run(self, points: Points, routes: Sequence[Indices | None] | None = None) -> Trace:
        """What the network does with the points, rounded to its dtype."""
        return self.network.trace(points.ambient.astype(self.network.dtype), routes)

    @cached_property
    def _manifolds(self) -> tuple[str, ...]:
        """The inputs that are no boxes."""
        return tuple(node.name for node in self.graph.inputs if node.box is None)

    @cached_property
    def _rounded(self) -> list[int]:
        """Blocks on pieces that read coordinates of manifolds, which rounding may carry across an interface."""
        manifolds = {name for node in self.graph.inputs if node.box is None for name in node.coordinates}
        return [l for l, block in enumerate(self.graph.blocks) if block.domain.exclusive and manifolds.intersection(block.reads)]

    @cached_property
    def _made_on(self) -> dict[str, Input]:
        """Block ↦ the input that it reads all of and whose points are made from the block's own charts."""
        pairs = [(block, node) for block in self.graph.blocks for node in self.graph.inputs if block.reads == node.coordinates]
        return {b.name: node for b, node in pairs if b.atlas is not None and node.domain.parametrising == b.atlas.charts}

    def truth(self, points: Points) -> Truth:
        """The oracle at the points; at the point that the network reads where rounding has carried it into another piece (R9)."""
        located = self.product.split(points)
        truth = self.graph.trace(points.ambient, {name: located[name] for name in self._manifolds})
        valid = {name: self._held(name, truth, located) for name in truth.valid}
        if not self._rounded or self.network.dtype == np.float64:
            return replace(truth, valid=valid)
        read = self.graph.trace(points.ambient.astype(self.network.dtype).astype(float))
        moved = (truth.routes != read.routes)[:, self._rounded].any(1)
        values = {name: np.where(moved, read.values[name], value) for name, value in truth.values.items()}
        valid = {name: np.where(moved[:, None], read.valid[name], value) for name, value in valid.items()}
        return Truth(values, valid, np.where(moved[:, None], read.output, truth.output))

    def _held(self, block: str, truth: Truth, located: Mapping[str, Points]) -> NDArray[np.bool_]:
        """Which charts or pieces of a block hold the points, (N, E). A point lies in the chart that it was made from."""
        valid = truth.valid[block]
        if block in self._made_on:
            node = self._made_on[block]
            points = located[node.name]
            for i in distinct.numbers(points.chart):
                rows = np.flatnonzero(points.chart == i)
                valid[rows, i] |= node.domain.parametrising[i].inside(points.intrinsic[rows])
        return valid

    def held(self, points: Points) -> NDArray[np.bool_]:
        """Which charts and pieces of all blocks hold the points, (N, ΣE)."""
        return np.concatenate(list(self.truth(points).valid.values()), axis=1)

    def chosen(self, points: Points) -> NDArray[np.int64]:
        """For every block one number for the set of gate outputs that is chosen, (N, L)."""
        (*front, last), state = self.network.layers, points.ambient.astype(self.network.dtype)
        chosen: list[Indices] = []
        with np.errstate(all="ignore"):
            for layer in front:
                chosen.append(layer.choose(logits := layer.logits(state)))
                state = layer.forward(state, chosen[-1], logits)
            chosen.append(last.choose(last.logits(state)))
        rng, columns = np.random.default_rng(len(self.graph.blocks)), []
        for station in self.layout.stations:
            code = rng.integers(1, 2**40, size=len(station.pieces) + 1)
            none = np.zeros(len(points), np.int64)
            if station.site is None:
                columns.append(none)
                continue
            own = station.site.own(chosen[station.site.layer])
            columns.append(code[np.where(own, chosen[station.site.layer] - station.site.first, len(station.pieces))].sum(1))
        return np.stack(columns, axis=-1)

    def taken(self, trace: Trace) -> tuple[Indices, ...]:
        """For every block the charts or pieces that the network takes, (N, K); −1 for a gate output that is none."""
        nothing = np.full((len(trace.output), 1), -1)
        return tuple(nothing if s.site is None else s.taken(trace.chosen[s.site.layer])[0] for s in self.layout.stations)

    def observe(self, points: Points) -> Observation:
        """Run the network in its own dtype, and compare every route, value and output with the task."""
        with np.errstate(all="ignore"):
            trace, truth = self.run(points), self.truth(points)
            taken = self.taken(trace)
            finite = np.ones(len(points), bool)
            for array in (*trace.logits, *trace.states):
                finite &= np.isfinite(array).all(-1)
            values = {
                **self._errors(trace.output.astype(float) - truth.output),
                NONFINITE: np.where(finite, 0.0, 1.0),
                OUTSIDE: np.zeros(len(points)),
            }
            first = {station.block.name: chosen[:, 0] for station, chosen in zip(self.layout.stations, taken, strict=True)}
            replay = Replay(self.layout, points.ambient.astype(self.network.dtype).astype(float), trace, first)
            multiplicity = 0
            for station, chosen in zip(self.layout.stations, taken, strict=True):
                valid = truth.valid[station.block.name]
                self._route(values, station, chosen, valid, replay)
                if station.soft and station.site is not None:
                    multiplicity = max(multiplicity, int(valid.sum(-1).max(initial=0)))
                    self._scores(values, station, chosen, valid, replay, truth)
                    values[Quantity("tied_error", station.block.name)] = self._tied(station, points, trace, truth)
            values |= {Quantity(kind): change for kind, change in replay.kept().items()}
            if not self.layout.design.alone:
                values |= {Quantity("written", name): gap for name, gap in replay.written().items()}
            sizes = {node.name: max(_size(truth.values[name]) for name in node.components) for node in self.layout.makers}
        return Observation(values, taken, multiplicity, sizes)

    def _errors(self, gap: Array) -> dict[Quantity, Array]:
        """The error of f, and where there are several targets of each of them in its own units."""
        each = {Quantity("error", one.name): np.abs(gap[:, place]).max(-1) for one, place in columns(self.graph.wanted)}
        return {ERROR: self.graph.largest(gap), **each}

    def _route(self, values: dict[Quantity, Array], station: Station, taken: Indices, valid: NDArray[np.bool_], replay: Replay) -> None:
        """Whether all that a block takes may be taken. An expert whose weight is exactly 0 is not heard."""
        site = station.site
        heard = np.ones(taken.shape, bool)
        if site is not None:
            weights = self.network.layers[site.layer].weights(replay.trace.chosen[site.layer], replay.trace.logits[site.layer])
            heard = np.take_along_axis(weights, station.taken(replay.trace.chosen[site.layer])[1], 1) != 0
            heard |= taken < 0
        if station.strict:
            held = np.take_along_axis(valid, taken, 1) & (taken >= 0)
            values[OUTSIDE] += np.where((held | ~heard).all(1), 0.0, 1.0)
        elif not station.weighed:
            astray = replay.astray(station, taken, heard, valid)
            values[ASTRAY] = np.maximum(values.get(ASTRAY, astray), astray)

    def _scores(
        self,
        values: dict[Quantity, Array],
        station: Station,
        taken: Indices,
        valid: NDArray[np.bool_],
        replay: Replay,
        truth: Truth,
    ) -> None:
        """What is said of the logits that choose among charts."""
        block, site = station.block, station.site
        assert site is not None
        logits, K = replay.trace.logits[site.layer][:, site.outputs].astype(float), taken.shape[1]
        inside = valid[:, station.pieces] & (station.pieces >= 0)
        values[Quantity("separation", block.name)] = separation(logits, inside, K)
        values[Quantity("gap", block.name)] = gap(logits, K)
        if site.promise is not None and block.atlas is not None and (station.pieces >= 0).all():
            read = replay.values(block.reads, site.layer) if station.computed else np.stack([truth.values[n] for n in block.reads], axis=-1)
            t = site.promise.reference(block.atlas, read)[:, station.pieces]
            route = site.taken(replay.trace.chosen[site.layer])[0][:, 0]
            values[Quantity("tau_error", block.name)] = site.promise.deviation(t, logits)
            values[Quantity("max_t", block.name)], values[Quantity("max_tau", block.name)] = t.max(-1), logits.max(-1)
            values[Quantity("chosen_t", block.name)] = t[np.arange(len(t)), route]

    def _tied(self, station: Station, points: Points, trace: Trace, truth: Truth) -> Array:
        """The error if a block on charts takes a runner-up whose score rounding may not tell from that of one it takes; else 0."""
        found = np.zeros(len(points))
        assert station.site is not None
        logits = trace.logits[station.site.layer][:, station.site.outputs].astype(float)
        rows, routes = self.tied(station, trace, tie_tolerance(self.network.dtype, logits))
        if len(rows):
            np.maximum.at(found, rows, self.error_along(station, points[rows], routes, truth.output[rows]))
        return found

    def tied(self, station: Station, trace: Trace, tolerance: float) -> tuple[NDArray[np.intp], Indices]:
        """Rows, and what a block's layer would choose there, (n, K), if another chart of the block, within `tolerance` of the last that it
        takes, took its place.
        """
        site = station.site
        assert site is not None
        logits, chosen = trace.logits[site.layer][:, site.outputs].astype(float), trace.chosen[site.layer]
        places, columns = site.taken(chosen)
        known = np.flatnonzero(places[:, 0] >= 0)
        rows, other = runners_up(logits[known], places[known], tolerance)
        routes = chosen[known[rows]].copy()
        np.put_along_axis(routes, columns[known[rows]], other + site.first, 1)
        return known[rows], routes

    def error_along(self, station: Station, points: Points, routes: Indices, target: Array) -> Array:
        """|f(x) − Ψ(x̂)|, largest component, if a block takes these gate outputs (N, K); (N,)."""
        assert station.site is not None
        forced: list[Indices | None] = [None] * len(self.network.layers)
        forced[station.site.layer] = routes
        x = points.ambient.astype(self.network.dtype)
        return self.graph.largest(self._evenly.trace(x, forced).output.astype(float) - target)

    @cached_property
    def _evenly(self) -> Network:
        """The network in which all that several blocks choose in one layer weighs the same, as it does by its own choice (N15)."""
        sites = [station.site.layer for station in self.layout.stations if station.site is not None]

        def even(number: int, layer: MoELayer) -> MoELayer:
            several = sites.count(number) > 1 and layer.weighting is Weighting.SOFTMAX
            return replace(layer, weighting=Weighting.UNIFORM) if several else layer

        return replace(self.network, layers=tuple(even(*pair) for pair in enumerate(self.network.layers)))


def _size(values: Array) -> float:
    return float(np.nan_to_num(np.abs(values)).max(initial=0.0))
