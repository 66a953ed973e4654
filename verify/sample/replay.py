"""`Replay`: what each layer should do with what it reads, beside what it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, Atlas, distinct
from ...moe.channels import Value
from ...moe.nets import Affine, Net
from ...moe.network import Trace
from .layout import Layout, Station

UNITS = 256
"""Units of rounding by which another batch size or other hardware is assumed to change a score."""


@dataclass(frozen=True, eq=False)
class Replay:
    """N points that went through a network."""

    layout: Layout
    read: Array
    """x̂, (N, D)."""
    trace: Trace
    taken: Mapping[str, NDArray[np.intp]]
    """Block ↦ the chart or piece with the largest logit, (N,); −1 for a gate output that is none."""

    def column(self, layer: int, channel: int) -> Array:
        """One channel of what arrives at a layer, (N,)."""
        return self.read[:, channel] if layer == 0 else self.trace.states[layer - 1][:, channel].astype(float)

    def values(self, names: tuple[str, ...], layer: int) -> Array:
        """Components from the channels that arrive at a layer alone, (N, len(names))."""
        return np.stack([self.value(name, layer) for name in names], axis=-1)

    def value(self, component: str, layer: int) -> Array:
        """The value of a component, from the channels that arrive at a layer alone: as they carry it, else computed from them."""
        layout = self.layout
        place = layout.design.places[layer]
        if Value(component) in place:
            return self.column(layer, place[Value(component)])
        if component in layout.graph.coordinates:
            matrix, k = layout.graph.projection, layout.graph.coordinates.index(component)
            return self.read[:, k] if matrix is None else self.read @ matrix[k]
        combine = layout.combines.get(component)
        if combine is not None:
            return combine.function(self.values(combine.reads, layer))[:, combine.components.index(component)]
        block = layout.blocks[component]
        chosen, read = self.taken[block.name], self.values(block.reads, layer)
        found = np.full(len(read), np.nan)
        for i in distinct.numbers(chosen[chosen >= 0]):
            rows = chosen == i
            found[rows] = block.subtask(int(i), read[rows])[:, block.components.index(component)]
        return found

    def rounding(self, layer: int, size: Array) -> Array:
        """g at each point: `UNITS` units of rounding of what a gate adds up, of x̂ or of `size`, whichever is largest, at least of 1."""
        moe, arriving = self.layout.network.layers[layer], self.read if layer == 0 else self.trace.states[layer - 1].astype(float)
        seen = arriving if moe.sees is None else arriving[:, list(moe.sees)]
        terms = np.abs(arriving) if moe.gate is None else _magnitude(moe.gate, seen)
        scale = np.maximum(np.maximum(terms.max(1), np.abs(self.read).max(1)), np.maximum(size, 1.0))
        return UNITS * float(np.finfo(self.layout.network.dtype).eps) * scale

    def astray(self, station: Station, taken: NDArray[np.intp], heard: NDArray[np.bool_], valid: NDArray[np.bool_]) -> Array:
        """How far what a block reads lies outside of the charts or pieces that it takes, in units of g, (N,).

        Outer faces of pieces are open to errors, and inner ones as far as the design says. A chart has to hold the true values, as `valid`
        (N, E) says, or those that are read. `taken` (N, K), and which of them are `heard`.
        """
        if station.site is None:
            return np.full(len(taken), np.inf)
        read = self.values(station.block.reads, station.site.layer)
        tiling, atlas = station.block.tiling, station.block.atlas
        if atlas is not None:
            held = valid | _reach(atlas, read)
            distance = np.where(np.take_along_axis(held, taken, 1), 0.0, np.inf)
        if tiling is not None:
            lower = np.where(tiling.lower == tiling.domain.lower, -np.inf, tiling.lower)[taken]
            upper = np.where(tiling.upper == tiling.domain.upper, np.inf, tiling.upper)[taken]
            distance = np.maximum(np.maximum(lower - read[:, None], read[:, None] - upper), 0).max(2)
            distance = np.maximum(distance - station.site.wider, 0)
        distance = np.where(heard, np.where(taken < 0, np.inf, distance), 0.0).max(1)
        return np.asarray(distance / self.rounding(station.site.layer, np.abs(read).max(1)))

    def kept(self) -> dict[str, Array]:
        """How much channels change in layers that should only carry them: of the inputs ("carried"), of all others ("slots")."""
        found = {} if self.layout.design.alone else {"slots": np.zeros(len(self.read))}
        for layer, kind, before, after in self.layout.passing:
            arriving = self.read if layer == 0 else self.trace.states[layer - 1]
            change = np.abs(self.trace.states[layer][:, after].astype(float) - arriving[:, before].astype(float)).max(1)
            found[kind] = np.maximum(found.get(kind, change), change)
        return found

    def written(self) -> dict[str, Array]:
        """Node ↦ how far its values, as its layer writes them, are from the node's own function of what the layer reads.

        Values that the last layer folds into an affine read-out are judged by the output, divided by their weight in it.
        """
        layout, found = self.layout, {}
        last = len(layout.network.layers) - 1
        late = [node for node in layout.makers if layout.made.get(node.name) == last]
        for node in layout.makers:
            layer = layout.made.get(node.name, last)
            if layer == last:
                continue
            place = layout.design.places[layer + 1]
            names = [name for name in node.components if Value(name) in place]
            gaps = [np.abs(self.column(layer + 1, place[Value(name)]) - self.value(name, layer)) for name in names]
            if gaps:
                found[node.name] = np.max(gaps, axis=0)
        if len(late) == 1:
            outputs = layout.graph[layout.graph.output].components
            makes = {Value(name) for name in late[0].components}
            weights = [sum(weight for channel, weight in layout.form(name).items() if channel in makes) for name in outputs]
            expected = [self.value(name, last) for name in outputs]
            gaps = [np.abs(self.trace.output[:, k] - e) / w for k, (e, w) in enumerate(zip(expected, weights, strict=True)) if w > 0]
            if gaps:
                found[late[0].name] = np.max(gaps, axis=0)
        return found


def _reach(atlas: Atlas, read: Array) -> NDArray[np.bool_]:
    """Whether each chart's box or ball holds points that lie near M, perhaps not on it, (N, E)."""
    known = all(chart.forward is not None for chart in atlas.parametrising)
    if atlas.balls is not None or not known:
        return atlas.membership(read)
    return np.stack([chart.inside(chart.coordinates(read)) for chart in atlas.parametrising], axis=-1)


def _magnitude(net: Net, x: Array) -> Array:
    """The largest sum of |terms| that can occur in each output of a net, [N, in] to [N, out]; |act(z)| ≤ |z|, of relu² ≤ z²."""
    size = np.abs(x)
    *hidden, last = net.affines
    for affine, up, activations in zip(hidden, net.ups, net.activations, strict=True):
        arriving, size = size, _sizes(affine, size)
        for rows, activation in activations:
            size[:, rows] **= activation.homogeneous or 1
        size = size if up is None else size * _sizes(up, arriving)
    return _sizes(last, size)


def _sizes(affine: Affine, size: Array) -> Array:
    return size @ np.abs(affine.weight.astype(float)).T + np.abs(affine.bias.astype(float))
