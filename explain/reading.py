"""`Reading`: what a network has where, at N points, in the words of its task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..atlas import Array, Block, Combine, TaskGraph
from ..atlas.graph import as_graph
from ..moe.channels import Value
from ..moe.model import Model
from ..moe.network import Trace


@dataclass(frozen=True, eq=False)
class Reading:
    """The way of N points through a network."""

    model: Model
    points: Array
    """x, (N, D)."""

    @cached_property
    def graph(self) -> TaskGraph:
        return as_graph(self.model.task)

    @cached_property
    def trace(self) -> Trace:
        return self.model.network.trace(self.points)

    @cached_property
    def coordinates(self) -> Array:
        """Before embedding, of the points as the network's dtype has them; (N, k)."""
        return self.graph.unembed(self.points.astype(self.model.network.dtype))

    @cached_property
    def _combined(self) -> dict[str, tuple[Combine, int]]:
        return {name: (node, k) for node in self.graph.combines for k, name in enumerate(node.components)}

    def read(self, component: str, layer: int) -> Array:
        """A component as a layer, from 0, finds it, (N,): a coordinate, a channel, or an affine form of those; NaN if it is none."""
        column = self.model.design.places[layer].get(Value(component))
        if column is not None:
            return self.trace.states[layer - 1][:, column].astype(float)
        if component in self.graph.coordinates:
            return np.asarray(self.coordinates[:, self.graph.coordinates.index(component)], float)
        node, k = self._combined.get(component, (None, 0))
        if node is None or node.function.affine is None:
            return np.full(len(self.points), np.nan)
        weight, constant = node.function.affine
        return np.asarray(self.reads(node.reads, layer) @ weight[k] + constant[k])

    def reads(self, components: Sequence[str], layer: int) -> Array:
        """Several components, (N, n)."""
        return np.stack([self.read(name, layer) for name in components], axis=-1)

    def written(self, component: str) -> Array:
        """A component where the network first has it, (N,): in a channel, in the output, or as an affine form of what the last layer
        reads; NaN where it is nowhere."""
        place = self.model.design.computed(component)
        if place is None:
            return self.read(component, len(self.model.network.layers) - 1)
        state, column = place
        return self.trace.states[state - 1][:, column].astype(float)

    def deviations(self) -> Iterator[tuple[str, Array]]:
        """For every block and every combination that a layer computes, how far what is written is from the node's own function of what
        its layer read, (N,): the error that is its own. Of a block by the piece that was taken; blocks of several experts are left out."""
        design = self.model.design
        for block in self.graph.blocks:
            site = design[block.name]
            if block.subtasks and self.model.network.layers[site.layer].top_k == 1:
                taken = np.array([block.names.index(name) for name in site.pieces])[self.trace.routes[site.layer]]
                own = _subtasks(block, self.reads(block.reads, site.layer), taken)
                yield f"block[{block.name}]", self._gap(block.components, own)
        for join in design.joins:
            node = next(node for node in self.graph.combines if node.name == join.node)
            yield f"combine[{node.name}]", self._gap(node.components, node.function(self.reads(node.reads, join.layer)))

    def _gap(self, components: Sequence[str], own: Array) -> Array:
        return np.asarray(np.abs(np.stack([self.written(name) for name in components], axis=-1) - own).max(-1))


def _subtasks(block: Block, values: Array, taken: Array) -> Array:
    """The subtasks that were taken at the values read, (N, outputs)."""
    own = np.empty((len(values), len(block.components)))
    for piece in np.unique(taken):
        own[taken == piece] = block.subtask(int(piece), values[taken == piece])
    return own
