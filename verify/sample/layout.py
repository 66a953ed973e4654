"""`Layout`: where the blocks and combinations of a graph are in a network, as its design says.

The design is what somebody claims. Everything that does not fit is a `problem` in words, never an exception: what is wrong is refuted.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...atlas import Block, Combine, Input, TaskGraph
from ...moe import channels
from ...moe.channels import Channel, Value
from ...moe.design import Design, Site
from ...moe.grammar import misfits
from ...moe.network import Indices, Network


@dataclass(frozen=True, eq=False)
class Station:
    """A block, and the site at which the network computes it."""

    block: Block
    site: Site | None
    """None where the design names no site that could be the block's."""
    pieces: NDArray[np.intp]
    """The chart or piece of the block that each gate output stands for; −1 for none."""
    computed: bool
    """Whether it reads values that the network computes."""
    strict: bool
    """Whether the point alone decides which of its pieces are valid, interface points included; else it is what the gate reads."""

    def taken(self, chosen: Indices) -> tuple[Indices, Indices]:
        """The charts or pieces of the block among what its layer chose, [N, K], and their columns there (`Site.taken`)."""
        assert self.site is not None
        places, columns = self.site.taken(chosen)
        return np.where(places < 0, -1, self.pieces[places]), columns

    @property
    def weighed(self) -> bool:
        """Whether it may take charts that do not hold the point, with weights that make up for it (N12): nothing is said of them."""
        return self.soft and self.site is not None and self.site.either

    @property
    def soft(self) -> bool:
        """Whether it routes among charts, of which several may be valid at a point, and scores say how valid."""
        return not self.block.domain.exclusive


@dataclass(frozen=True, eq=False)
class Layout:
    """A network, the graph that it should compute, and the design that says how."""

    network: Network
    graph: TaskGraph
    given: Design

    @cached_property
    def _misfits(self) -> tuple[str, ...]:
        return tuple(misfits(self.network, self.given))

    @cached_property
    def design(self) -> Design:
        """What is given if it fits the network; else nothing is known but the inputs."""
        if not self._misfits:
            return self.given
        inputs = tuple(channels.Input(k) for k in range(len(self.network.inputs)))
        return Design((inputs, *((),) * len(self.network.layers)), (), alone=self.given.alone)

    @cached_property
    def stations(self) -> tuple[Station, ...]:
        """One for every block of the graph, in their order."""
        return tuple(self._station(block) for block in self.graph.blocks)

    def _station(self, block: Block) -> Station:
        site = next((site for site in self.design.sites if site.block == block.name), None)
        names = () if site is None else site.pieces
        pieces = np.array([block.names.index(name) if name in block.names else -1 for name in names], np.intp)
        computed = any(name not in self.graph.coordinates for name in block.reads)
        # A coordinate that is one channel of the network's input is rounded once, and an interface is the same for task and network.
        exact = not computed and all(list(self.form(name).values()) == [1.0] for name in block.reads)
        strict = not computed and (site is None or not site.either) and (not block.domain.exclusive or exact)
        return Station(block, site, pieces, computed, strict)

    @cached_property
    def blocks(self) -> dict[str, Block]:
        """Component ↦ the block that computes it."""
        return {name: block for block in self.graph.blocks for name in block.components}

    @cached_property
    def combines(self) -> dict[str, Combine]:
        """Component ↦ the combination that it is of."""
        return {name: combine for combine in self.graph.combines for name in combine.components}

    @cached_property
    def budgets(self) -> dict[str, float]:
        """Node ↦ how far what its layer writes may be from its own function of what the layer reads, where that is said."""
        said = {site.block: site.budget for site in self.design.sites} | {join.node: join.budget for join in self.design.joins}
        return {name: budget for name, budget in said.items() if budget is not None}

    @cached_property
    def joined(self) -> frozenset[str]:
        """Combinations that a layer computes; affine ones are otherwise folded into what reads them."""
        return frozenset(join.node for join in self.design.joins)

    @cached_property
    def makers(self) -> tuple[Block | Combine, ...]:
        """What layers compute: what the graph has to have computed, and the affine combinations that have a layer all the same."""
        needed = {node.name for node in self.graph.makers} | self.joined
        return tuple(node for node in self.graph.order if not isinstance(node, Input) and node.name in needed)

    @cached_property
    def made(self) -> dict[str, int]:
        """Node ↦ the layer that computes it."""
        made = {station.block.name: station.site.layer for station in self.stations if station.site is not None}
        return made | {join.node: join.layer for join in self.design.joins}

    @cached_property
    def passing(self) -> tuple[tuple[int, str, list[int], list[int]], ...]:
        """For every layer the columns that inputs ("carried") and other channels ("slots") which pass it have before and after it."""
        found = []
        for layer, (before, after) in enumerate(itertools.pairwise(self.design.places)):
            for kind in ("carried", "slots"):
                both = [c for c in before if c in after and isinstance(c, channels.Input) == (kind == "carried")]
                if both:
                    found.append((layer, kind, [before[c] for c in both], [after[c] for c in both]))
        return tuple(found)

    def form(self, component: str) -> dict[Channel, float]:
        """The channels that a component is read from, with Σ |weights|: its own, those of an input or of what an affine map combines."""
        combine, found = self.combines.get(component), dict[Channel, float]()
        if component in self.graph.coordinates:
            k, matrix = self.graph.coordinates.index(component), self.graph.projection
            return (
                {channels.Input(k): 1.0}
                if matrix is None
                else {channels.Input(j): abs(matrix[k, j]) for j in np.flatnonzero(matrix[k]).tolist()}
            )
        if combine is None or combine.function.affine is None or combine.name in self.joined:
            return {Value(component): 1.0}
        row = combine.function.affine[0][combine.components.index(component)]
        for weight, name in zip(row.tolist(), combine.reads, strict=True):
            for channel, part in self.form(name).items() if weight else ():
                found[channel] = found.get(channel, 0.0) + abs(weight) * part
        return found

    @cached_property
    def problems(self) -> tuple[str, ...]:
        """What does not fit, in words."""
        return self._misfits or (*self._wrong_sites(), *self._wrong_slots())

    def _wrong_sites(self) -> Iterator[str]:
        for station in self.stations:
            block, site = station.block, station.site
            if site is None:
                yield f"block {block.name!r}: no layer is named as the one that routes it"
            elif strangers := [name for name in site.pieces if name not in block.names]:
                yield f"block {block.name!r}: layer {site.layer + 1} has a gate output {strangers[0]!r}, which is none of its pieces"
            elif missing := [name for name in block.names if name not in site.pieces]:
                yield f"block {block.name!r}: layer {site.layer + 1} has no gate output for {missing[0]!r}"
        for name in self.made.keys() | {site.block for site in self.design.sites}:
            if name not in {node.name for node in self.makers}:
                yield f"{name!r} is no block and no curved combination of the graph"
        names = [*(site.block for site in self.design.sites), *(join.node for join in self.design.joins)]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield f"{name!r} is said to be computed at {names.count(name)} places"

    def _wrong_slots(self) -> Iterator[str]:
        """Values that are not there where something reads them (R2)."""
        places, last = self.design.places, len(self.network.layers) - 1
        for node in self.makers:
            layer = self.made.get(node.name)
            if layer is None:
                if node.kind == "combine":
                    yield f"combination {node.name!r}: no layer is named as the one that computes it"
                continue
            for name in node.reads:
                for atom in self.form(name):
                    if atom not in places[layer]:
                        yield f"{node.name!r} reads {name!r}, but no channel {self.design.label(atom)} arrives at layer {layer + 1}"
        late = {name for node in self.makers if self.made.get(node.name) in (last, None) for name in node.components}
        for name in self.graph[self.graph.output].components:
            for atom in self.form(name):
                if atom not in places[last] and not (isinstance(atom, Value) and atom.component in late):
                    yield f"the output needs {self.design.label(atom)}, which does not arrive at the last layer"
