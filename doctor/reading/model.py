"""A `Model` as a patient: its design says where every block is routed, and its task which charts and pieces hold a point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ...atlas import Array, Points, TaskGraph
from ...atlas.graph import as_graph
from ...atlas.targets import in_units
from ...atlas.wanted import units
from ...errors import InvalidArgument
from ...moe.activations import RELU
from ...moe.channels import Channel, Input, Value
from ...moe.halves import HALVES, rounded
from ...moe.layer import MoELayer
from ...moe.model import Model
from ...moe.nets import Floats, Net
from ...moe.network import Trace
from ...moe.outputs import multiplied
from ...verify.sample.layout import Station
from ...verify.sample.measure import ASTRAY, ERROR, NONFINITE, OUTSIDE, Gauge, Observation
from ...verify.sample.replay import Replay
from ..choice import Choice
from ..patient import Charts, Expert, Gate, Local, Oracle, Patient
from ..residual import distance_of
from ..rounding import logit_errors


def patient_of_model(
    model: Model, *, samples: int = 4096, seed: int = 0, data: Array | None = None, task: TaskGraph | None = None
) -> Patient:
    """The patient: points drawn from its own task, independently, or those that are given. `task`: what it should compute, if that is
    another task than its own.

    Raises `InvalidArgument` for data that are no points (N, D) of its input, and for a task with other coordinates.
    """
    if wanted := model.task.wanted:  # errors are in units of the ε of each target, as its ε of 1 is
        model = replace(model, network=multiplied(model.network, 1 / units(wanted)), task=in_units(model.task), beside=None)
    graph = as_graph(model.task)
    gauge = Gauge.of(model.network, graph, model.design)
    distance = distance_of(graph)
    if data is None:
        points, rows, located = gauge.product.sample(samples, seed), None, True
        source = f"{samples:,} independent points of {graph.name}, as the task draws them"
    else:
        rows = checked(data, graph.ambient_dimension)
        points, located = _located(gauge, rows, distance)
        source = f"the {len(rows):,} points given" + (
            "" if located else ", without charts: not all of them are on the manifold of the task"
        )
    x = points.ambient if rows is None else rows
    if task is not None and task.coordinates != graph.coordinates:
        raise InvalidArgument(
            f"the task {task.name!r} has coordinates {', '.join(task.coordinates)}, the model reads {', '.join(graph.coordinates)}; "
            "give the "
            "task of the same inputs, or none, for the model's own"
        )
    seen = gauge.observe(points) if located else None
    trace = model.network.trace(x.astype(model.network.dtype))
    errors = logit_errors(model.network, x, trace)
    gates = []
    for l, station in enumerate(gauge.layout.stations):
        if station.site is not None:
            one = _Reader(gauge, station, points if located else None, x, seen, l)
            gates.append(one.gate(model, trace, errors))
    return Patient(
        name=graph.name,
        kind="model",
        gates=tuple(gates),
        source=source,
        points=x,
        oracle=Oracle(graph if task is None else task, _sums(graph)),
        epsilon=float(model.facts["epsilon"]),
        dimension=sum(node.domain.dimension for node in graph.inputs),
        run=lambda at: np.asarray(model(at), float),
        distance=distance,
        given=data is not None,
        misrouted=None if seen is None else _misrouted(seen),
        error=None if seen is None else seen.values[ERROR],
        assumes=(f"rows are drawn independently: {source}",)
        if data is None
        else ("rows are independent draws of what the model will see",),
    )


def checked(data: Array, width: int) -> Array:
    """Data as rows of so many finite numbers. Raises `InvalidArgument` for anything else."""
    rows = np.asarray(data)
    if rows.dtype.kind not in "fiu" or rows.ndim != 2 or rows.shape[1] != width or not len(rows):
        raise InvalidArgument(
            f"data of shape {rows.shape} and type {rows.dtype}: the mixture reads rows of {width} numbers; give an array (N, {width})"
        )
    rows = rows.astype(float)
    if not np.isfinite(rows).all():
        k = int(np.flatnonzero(~np.isfinite(rows).all(1))[0])
        raise InvalidArgument(f"data row {k} holds a number that is not finite; leave such rows out")
    return rows


def _located(gauge: Gauge, rows: Array, distance: Callable[[Array], tuple[Array, Array, str]] | None) -> tuple[Points, bool]:
    """The rows with charts, if all of them are on the manifold and have some."""
    if distance is not None:
        residual, bound, _ = distance(rows)
        if not (residual <= bound).all():
            return gauge.product.sample(1, 0)[:0], False
    points = gauge.product.locate(rows)
    return points, len(points) == len(rows)


def _misrouted(seen: Observation) -> np.ndarray:
    none = np.zeros(len(seen.values[ERROR]))
    return np.asarray((seen.values[NONFINITE] > 0) | (seen.values[OUTSIDE] > 0) | ~(seen.values.get(ASTRAY, none) <= 1))


@dataclass(frozen=True, eq=False)
class _Reader:
    """One block of a model at its points."""

    gauge: Gauge
    station: Station
    points: Points | None
    x: Array
    seen: Observation | None
    number: int

    def gate(self, model: Model, trace: Trace, errors: list[Array]) -> Gate:
        site = self.station.site
        assert site is not None
        layer = model.network.layers[site.layer]
        dtype = str(model.network.dtype)
        x = self.x.astype(model.network.dtype).astype(float)
        arriving = x if site.layer == 0 else trace.states[site.layer - 1].astype(float)
        rows = arriving if layer.sees is None else arriving[:, list(layer.sees)]
        out = list(site.outputs)
        taken, columns = site.taken(trace.chosen[site.layer])
        weights = layer.weights(trace.chosen[site.layer], trace.logits[site.layer])
        heard = (np.take_along_axis(weights, columns, 1) != 0) | (taken.shape[1] == 1)
        chosen = np.where(heard, taken, -1)
        affine = None
        # Where several blocks share a layer's K best, losing to a rival of one's own block proves nothing.
        shared = len(layer) != len(out) and layer.top_k > 1
        if layer.gate is not None and not layer.gate.groups and not shared:
            affine = layer.gate.weight[out].astype(float), layer.gate.bias[out].astype(float)
        read = self._read(trace)
        return Gate(
            name=site.block if not model.design.alone else "gate",
            experts=site.pieces,
            choice=Choice(taken.shape[1]),
            dtype=dtype,
            logits=trace.logits[site.layer][:, out].astype(float),
            error=errors[site.layer][:, out] if layer.gate is not None else np.zeros((len(x), len(out))),
            rows=rows,
            affine=affine,
            chosen=chosen,
            charts=self._charts(read),
            sizes=tuple(_size(layer.experts[layer.serves[k]]) for k in out),
            reads=layer.experts[0].inputs if layer.latent is None else layer.latent.weight.shape[0],
            either=site.either or site.wider > 0,
            local=self._local(model, read),
            in_dtype=None if layer.gate is None else lambda name: _in_dtype(layer, layer.gate, rows, name)[:, out],
        )

    def _read(self, trace: Trace) -> Array | None:
        """What the block reads, as the layer that routes it has it, (N, k)."""
        if self.points is None or self.seen is None:
            return None
        first = {s.block.name: taken[:, 0] for s, taken in zip(self.gauge.layout.stations, self.seen.taken, strict=True)}
        x = self.x.astype(self.gauge.network.dtype).astype(float)
        replay = Replay(self.gauge.layout, x, trace, first)
        assert self.station.site is not None
        return replay.values(self.station.block.reads, self.station.site.layer)

    def _charts(self, read: Array | None) -> Charts | None:
        station = self.station
        if read is None or self.points is None or (station.pieces < 0).any():
            return None
        block = station.block
        hold = block.contains(read)
        if station.strict:
            hold = self.gauge.truth(self.points).valid[block.name]
        atlas = block.atlas
        promised = station.site is not None and station.site.promise is not None and station.site.promise.balls
        powers = atlas.powers(read)[:, station.pieces] if promised and atlas is not None and atlas.balls is not None else None
        return Charts(block.names, block.domain.noun, hold[:, station.pieces], True, powers)

    def _local(self, model: Model, read: Array | None) -> Local | None:
        """The block's own function, if it lives on a box, one expert at a time reads just its coordinates, and pieces are boxes."""
        block, site = self.station.block, self.station.site
        assert site is not None
        layer, state = model.network.layers[site.layer], model.design.states[site.layer]
        box, graph = block.domain.box, self.gauge.graph
        if read is None or box is None or not layer.unit or layer.shared is not None or site.either or layer.latent is not None:
            return None
        flat = {
            n for node in graph.inputs if node.box is not None and node.ambient_dimension == len(node.coordinates) for n in node.coordinates
        }
        allowed: set[Channel] = {Value(name) for name in block.reads}
        start = 0
        for node in graph.inputs:
            allowed |= {Input(start + k) for k, name in enumerate(node.coordinates) if name in flat and name in block.reads}
            start += node.ambient_dimension
        channels = [state[c] for c in (range(len(state)) if layer.reads is None else layer.reads)]
        places = {c: k for k, c in enumerate(model.design.states[site.layer + 1])}
        writes = [k for k, c in enumerate(layer.targets) if c in {places.get(Value(name)) for name in block.components}]
        for i in site.outputs:
            net = layer.experts[layer.serves[i]]
            if len(net.affines) == 2:
                neurons = (net.affines[1].weight[writes] != 0).any(0)
                used = (net.affines[0].weight[neurons] != 0).any(0)
            else:
                used = (net.affines[0].weight != 0).any(0)
            if not writes or any(channels[k] not in allowed for k in np.flatnonzero(used)):
                return None

        def function(at: Array) -> Array:
            return block.values(at, {block.name: block.contains(at)})

        return Local(read, function, site.budget if site.budget is not None else float(model.facts["epsilon"]))


def _size(net: Net) -> Expert:
    pieces = None
    if net.plain and all(a is RELU for layer in net.activations for _, a in layer):
        pieces = int(np.prod([float(w + 1) for w in net.widths])) if net.widths else 1
    return Expert(net.widths, pieces)


def _in_dtype(layer: MoELayer, gate: Net | None, rows: Array, name: str) -> Array:
    """Logits as they are if rows, weights and everything between are numbers of that dtype, sums taken in float32."""
    assert gate is not None
    if name not in HALVES:
        return np.asarray(gate.astype(name)(rows.astype(name)), float)
    single = gate.astype(np.float32)

    def half(array: Floats) -> Floats:
        return rounded(np.asarray(array, np.float32), name)

    maps = [type(a)(half(a.weight), half(a.bias), a.linear) for a in single.affines]
    ups = [None if up is None else type(up)(half(up.weight), half(up.bias), up.linear) for up in single.ups]
    net, h = single.with_maps(maps, ups), half(rows)
    for j in range(len(net.groups)):
        h = half(net.hidden(j, h))
    return np.asarray(half(net.affines[-1](h)), float)


def _sums(graph: TaskGraph) -> tuple[tuple[str, ...], ...] | None:
    """The groups of coordinates that the graph is a sum over: inputs that no block and no curved combination brings together."""
    group = {name: {name} for name in graph.coordinates}

    def join(names: set[str]) -> None:
        merged = set().union(*(group[name] for name in names)) if names else set()
        for name in merged:
            group[name] = merged

    of: dict[str, set[str]] = {name: {name} for name in graph.coordinates}
    for source in graph.inputs:
        if source.box is None:
            join(set(source.coordinates))
    for node in graph.order:
        if not node.reads:
            continue
        read = set().union(*(of[name] for name in node.reads))
        affine = getattr(getattr(node, "function", None), "affine", None)
        if affine is None:
            join(read)
        for name in node.components:
            of[name] = read
    found = {tuple(sorted(group[name], key=graph.coordinates.index)) for name in graph.coordinates if group[name]}
    used = set().union(*(of[name] for name in graph[graph.output].components))
    return tuple(sorted(g for g in found if set(g) <= used or set(g) & used))
