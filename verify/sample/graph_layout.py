"""`Layout`: where a task graph is to be found in a network, by what the network itself calls its channels and gate outputs.

Channels x[k] are the network's inputs, y[component] values of blocks and combinations. Which layer routes which block is what somebody
claims; everything here that does not fit is a `problem` in words, never an exception: what is wrong gets refuted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...atlas import Block, Combine, Input, TaskGraph
from ...moe.network import Network


@dataclass(frozen=True, eq=False)
class Layout:
    """Which layer of `network` routes which block of `graph`, and what channels hold."""

    network: Network
    graph: TaskGraph
    claimed: Mapping[str, object]
    """Block ↦ the layer, from 1, whose gate is said to route it."""

    @cached_property
    def routes(self) -> dict[str, int]:
        """Block ↦ layer from 0, for those whose claim names a layer that exists and that no block before it has taken."""
        found: dict[str, int] = {}
        for block in self.graph.blocks:
            layer = self.claimed.get(block.name)
            exists = isinstance(layer, int) and not isinstance(layer, bool) and 1 <= layer <= len(self.network.layers)
            if isinstance(layer, int) and exists and layer - 1 not in found.values():
                found[block.name] = layer - 1
        return found

    @cached_property
    def pieces(self) -> dict[str, NDArray[np.intp]]:
        """For every block with a route, the piece that each gate output of its layer is called like; −1 for none."""
        return {
            name: np.array([block.names.index(n) if n in block.names else -1 for n in self.network.layers[layer].names], np.intp)
            for name, layer in self.routes.items()
            if isinstance(block := self.graph[name], Block)
        }

    def arriving(self, layer: int) -> tuple[str, ...]:
        """The channels that a layer, from 0, reads."""
        return self.network.inputs if layer == 0 else self.network.layers[layer - 1].channels

    @cached_property
    def places(self) -> tuple[dict[str, int], ...]:
        """For what arrives at each layer, channel ↦ column: the first of that name. Inputs are x[k], whatever the network calls them."""
        inputs = {f"x[{k}]": k for k in range(len(self.network.inputs))}
        return (inputs, *({name: k for k, name in reversed(list(enumerate(la.channels)))} for la in self.network.layers[:-1]))

    @cached_property
    def makers(self) -> tuple[Block | Combine, ...]:
        """The nodes that the network computes: blocks, and combinations that are not affine."""
        return tuple(n for n in self.graph.order if isinstance(n, Block) or (isinstance(n, Combine) and n.function.affine is None))

    def made(self, node: Block | Combine) -> int | None:
        """The layer that computes a node: where a block is routed; the first whose state holds a combination, else the last."""
        if isinstance(node, Block):
            return self.routes.get(node.name)
        first = f"y[{node.components[0]}]"
        later = [layer - 1 for layer, place in enumerate(self.places) if layer and first in place]
        return later[0] if later else len(self.network.layers) - 1

    def atoms(self, component: str) -> Iterator[str]:
        """The channels that a component is read from: its own, those of what an affine combination combines, or of an input."""
        source = self.graph.sources[component]
        if isinstance(source, Input):
            row = self.graph.coordinates.index(component)
            matrix = self.graph.projection
            used = [row] if matrix is None else np.flatnonzero(matrix[row]).tolist()
            yield from (f"x[{k}]" for k in used)
        elif isinstance(source, Combine) and source.function.affine is not None:
            column = source.components.index(component)
            for weight, name in zip(source.function.affine[0][column], source.reads, strict=True):
                if weight != 0:
                    yield from self.atoms(name)
        else:
            yield f"y[{component}]"

    def exact(self, block: Block) -> bool:
        """Whether every value that a block reads is a channel of the network's input, so that nothing about it is rounded twice."""
        parts = [list(self.atoms(name)) for name in block.reads]
        matrix = self.graph.projection
        rows = [self.graph.coordinates.index(name) for name in block.reads if name in self.graph.coordinates]
        plain = len(rows) == len(block.reads) and all(len(part) == 1 for part in parts)
        return plain and (matrix is None or bool((matrix[rows].sum(1) == 1).all()))

    @cached_property
    def problems(self) -> tuple[str, ...]:
        """What does not fit, in words."""
        return (*self._wrong_routes(), *self._wrong_slots())

    def _wrong_routes(self) -> Iterator[str]:
        for block in self.graph.blocks:
            layer = self.claimed.get(block.name)
            if block.name not in self.routes:
                said = "no layer is named" if layer is None else f"{layer!r} is no layer of {len(self.network.layers)}, or taken"
                yield f"block {block.name!r}: {said} as the one that routes it"
                continue
            names = self.network.layers[self.routes[block.name]].names
            strangers = [name for name in names if name not in block.names]
            if strangers:
                yield f"block {block.name!r}: layer {layer} has a gate output {strangers[0]!r}, which is none of its pieces"
            if missing := [name for name in block.names if name not in names]:
                yield f"block {block.name!r}: layer {layer} has no gate output for {missing[0]!r}"
        for name in self.claimed:
            if name not in {block.name for block in self.graph.blocks}:
                yield f"{name!r} is no block of the graph"

    def _wrong_slots(self) -> Iterator[str]:
        """Values that are not there where something reads them (R2)."""
        for node in self.makers:
            layer = self.made(node)
            if layer is None:
                continue
            for name in node.reads:
                for atom in self.atoms(name):
                    if atom not in self.places[layer]:
                        yield f"{node.name!r} reads {name!r}, but no channel {atom} arrives at layer {layer + 1}"
        last = len(self.network.layers) - 1
        for name in self.graph[self.graph.output].components:
            for atom in self.atoms(name):
                if atom in self.places[last]:
                    continue
                source = None if atom.startswith("x[") else self.graph.sources[atom[2:-1]]
                if not isinstance(source, Block | Combine) or self.made(source) not in (last, None):
                    yield f"the output needs {atom}, which does not arrive at the last layer"
