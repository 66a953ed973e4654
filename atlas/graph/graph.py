"""`TaskGraph`: a function composed of blocks, E^L pieces from L·E subtasks; and its oracle, which needs no network.

M = M_1 × … × M_L is the product of the inputs. A block picks the chart or piece in which the components it reads lie, and
evaluates the subtask there; a combination is one expression. Blocks may share coordinates and read the values of earlier
nodes. Theorems 5.2 and 5.3 are the graphs in which every block reads an input of its own and one combination reads all blocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InvalidArgument, LintError
from ...expressions.box import Array
from ...expressions.given import lists_of, parts_of
from ..blocks import block_diagonal
from ..domain import first_valid
from ..points import Points
from ..wanted import Wanted, largest
from .finite import Finite, finite_values
from .nodes import Block, Combine, Input, Node
from .sampling import RouteSampler, spread
from .structure import structure
from .wiring import in_order

if TYPE_CHECKING:
    import networkx

NOWHERE: Mapping[str, Points] = MappingProxyType({})
"""Nothing is known of where points lie on their charts."""


class Membership(Mapping[str, NDArray[np.bool_]]):
    """For every block by name, in which charts or pieces what it reads lies; looked at when somebody asks."""

    def __init__(self) -> None:
        self.read: dict[str, tuple[Block, Array]] = {}
        self._known: dict[str, NDArray[np.bool_]] = {}

    def __getitem__(self, name: str) -> NDArray[np.bool_]:
        if name not in self._known:
            block, read = self.read[name]
            self._known[name] = block.contains(read)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.read)

    def __len__(self) -> int:
        return len(self.read)


@dataclass(frozen=True, eq=False)
class Trace:
    """What a graph does at N points."""

    values: Mapping[str, Array]
    """Every component by name, (N,) each: coordinates (before embedding), partial outputs, the output."""
    valid: Mapping[str, NDArray[np.bool_]]
    """For every block by name: in which charts or pieces the point lies, (N, E_l). One column for pieces, none off the domain."""
    output: Array
    """f, (N, outputs). NaN where some block it depends on was left."""

    @property
    def routes(self) -> NDArray[np.intp]:
        """One valid chart or piece for every block, the first, (N, L); −1 where there is none."""
        return np.stack([first_valid(valid) for valid in self.valid.values()], axis=-1)


@dataclass(frozen=True, eq=False)
class TaskGraph:
    """Inputs, blocks and combinations with one output node, to be approximated in the sup norm (largest component).

    Edges are implied by the names that nodes read. Raises `LintError` with all findings if a name is unknown or given twice, nodes
    read each other in a circle, some node does not lead to the output, shapes do not match, or pieces leave gaps or overlap.
    """

    name: str
    nodes: tuple[Node, ...]
    output: str
    """The name of the block or combination whose values are f."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """The loop values behind the nodes, charts and pieces that a loop of the spec made, by label, for messages."""
    wanted: tuple[Wanted, ...] = ()
    """The targets that the output is made of, each with an ε of its own; () for one whose ε is said when something is built for it."""

    def __post_init__(self) -> None:
        parts_of(self, name=str, output=str)
        lists_of(self, nodes=(Input, Block, Combine))
        if findings := structure(self.nodes, self.output):
            raise LintError(findings)

    @cached_property
    def graph(self) -> networkx.DiGraph:
        """The names of the nodes, each with its `Input`, `Block` or `Combine` as `node`; edge (a, b) has what b `reads` of a."""
        import networkx

        graph = networkx.DiGraph()
        graph.add_nodes_from((node.name, {"node": node}) for node in self.nodes)
        for node in self.nodes:
            for component in node.reads:
                source = self.sources[component].name
                before = graph.get_edge_data(source, node.name, {"reads": ()})["reads"]
                graph.add_edge(source, node.name, reads=(*before, component))
        return graph

    @cached_property
    def sources(self) -> Mapping[str, Node]:
        """The node that offers each component."""
        return {component: node for node in self.nodes for component in node.components}

    @cached_property
    def order(self) -> tuple[Node, ...]:
        """All nodes, every one after those that it reads; else inputs, blocks and combinations, each as they were given."""
        place = {node.name: (("input", "block", "combine").index(node.kind), i) for i, node in enumerate(self.nodes)}
        reads = {node.name: {self.sources[component].name for component in node.reads} for node in self.nodes}
        return tuple(self[name] for name in in_order(reads, place))

    def __getitem__(self, name: str) -> Node:
        for node in self.nodes:
            if node.name == name:
                return node
        raise InvalidArgument(f"graph {self.name!r} has no node {name!r}; it has {', '.join(node.name for node in self.nodes)}")

    @cached_property
    def inputs(self) -> tuple[Input, ...]:
        """As they were given: the order of their coordinates in points."""
        return tuple(node for node in self.nodes if isinstance(node, Input))

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The L blocks, in the order of `order`."""
        return tuple(node for node in self.order if isinstance(node, Block))

    @cached_property
    def combines(self) -> tuple[Combine, ...]:
        """In the order of `order`."""
        return tuple(node for node in self.order if isinstance(node, Combine))

    @cached_property
    def makers(self) -> tuple[Block | Combine, ...]:
        """What experts compute: the blocks, and the combinations that are no affine maps; in the order of `order`."""
        return tuple(n for n in self.order if isinstance(n, Block) or (isinstance(n, Combine) and n.function.affine is None))

    @cached_property
    def finite(self) -> Finite:
        """The components that are known to take finitely many values, and all of these."""
        return finite_values(self.order)

    @property
    def cases(self) -> int | None:
        """How many points the graph is about; None where some input has a continuum of them."""
        counts = [node.cases for node in self.inputs]
        return None if None in counts else math.prod(count for count in counts if count is not None)

    @property
    def outputs(self) -> int:
        """The number of components of f."""
        return len(self[self.output].components)

    def largest(self, gap: Array) -> Array:
        """The largest component of errors of f, [..., outputs] to [...], each in units of its target's ε where targets have one each."""
        return largest(gap, self.wanted)

    @property
    def pieces(self) -> int:
        """∏ E_l, the number of functions among which the routes choose, exactly (B9). Routes that no point takes are counted."""
        return math.prod(len(block) for block in self.blocks)

    @property
    def subtasks(self) -> int:
        """Σ E_l."""
        return sum(len(block) for block in self.blocks)

    @property
    def coordinates(self) -> tuple[str, ...]:
        """The names of all coordinates before embedding."""
        return tuple(name for node in self.inputs for name in node.coordinates)

    @property
    def ambient_dimension(self) -> int:
        """D, the number of coordinates of a point as the network reads it."""
        return sum(node.ambient_dimension for node in self.inputs)

    @property
    def read(self) -> tuple[str, ...]:
        """What the D numbers of a point as the network reads it are called: coordinates, or NODE[k] where an input is embedded."""
        embedded = [(node, node.domain.embedding is not None) for node in self.inputs]
        return tuple(
            name
            for node, far in embedded
            for name in ([f"{node.name}[{k}]" for k in range(node.ambient_dimension)] if far else node.coordinates)
        )

    @cached_property
    def projection(self) -> Array | None:
        """The matrix that takes a point as the network reads it to its `coordinates`, (k, D); None for the identity."""
        parts = [np.eye(node.base_dimension) if (Q := node.domain.embedding) is None else Q.T for node in self.inputs]
        whole = parts[0] if len(parts) == 1 else block_diagonal(parts)
        return None if whole.shape[0] == whole.shape[1] and np.array_equal(whole, np.eye(len(whole))) else whole

    def unembed(self, points: ArrayLike) -> Array:
        """The coordinates before embedding: (N, D) to (N, k). Raises `InvalidArgument` for points of another dimension."""
        x = np.atleast_2d(np.asarray(points, float))
        if x.ndim != 2 or x.shape[1] != self.ambient_dimension:
            raise InvalidArgument(
                f"points of shape {np.shape(points)} do not end in the {self.ambient_dimension} coordinates of {self.name!r}"
            )
        ends = np.cumsum([node.ambient_dimension for node in self.inputs])[:-1]
        parts = np.split(x, ends, axis=1)
        return np.concatenate([node.unembed(part) for node, part in zip(self.inputs, parts, strict=True)], axis=1)

    def embed(self, base: ArrayLike) -> Array:
        """The inverse of `unembed` on the product of the inputs: (N, k) to (N, D)."""
        y = np.atleast_2d(np.asarray(base, float))
        ends = np.cumsum([node.base_dimension for node in self.inputs])[:-1]
        return np.concatenate([node.embed(part) for node, part in zip(self.inputs, np.split(y, ends, axis=1), strict=True)], axis=1)

    def evaluate(self, points: ArrayLike, located: Mapping[str, Points] = NOWHERE) -> Array:
        """f at points (N, D), (N, outputs): the oracle that every network is compared with. NaN where a block's domain was left."""
        return self.trace(points, located).output

    __call__ = evaluate

    def trace(self, points: ArrayLike, located: Mapping[str, Points] = NOWHERE) -> Trace:
        """Every component and every valid chart or piece at points (N, D).

        `located` may say of inputs, by name, on which charts and where their parts of the points lie: what is said there is taken
        as it is, so that a target given chart by chart needs no forward maps, and no coordinate is rounded by an embedding.
        """
        values: dict[str, Array] = dict(zip(self.coordinates, self.unembed(points).T, strict=True))
        known: dict[tuple[str, ...], Points] = {}
        for group in self.inputs:
            if group.name in located:
                known[group.coordinates] = located[group.name]
                values |= zip(group.coordinates, located[group.name].base.T, strict=True)
        valid = Membership()
        for node in self.order:
            if not node.reads:
                continue  # an input
            read = np.stack([values[name] for name in node.reads], axis=-1)
            match node:
                case Block():
                    valid.read[node.name] = node, read
                    values |= zip(node.components, node.values(read, valid, known.get(node.reads)).T, strict=True)
                case Combine():
                    values |= zip(node.components, node.function(read).T, strict=True)
        output = np.stack([values[name] for name in self[self.output].components], axis=-1)
        return Trace(values, valid, output)

    def sample(self, count: int, seed: int, *, low_discrepancy: bool = False) -> Array:
        """`count` points (count, D) of the product of the inputs; see `sampling.spread`."""
        return self.embed(spread(self.inputs, count, np.random.default_rng(seed), low_discrepancy))

    def draw_routes(self, count: int, seed: int) -> NDArray[np.intp]:
        """`count` uniform tuples of charts and pieces, one for each of `blocks`, (count, L)."""
        rng = np.random.default_rng(seed)
        return np.stack([rng.integers(len(block), size=count) for block in self.blocks], axis=-1).astype(np.intp)

    def sample_routes(self, routes: ArrayLike, seed: int) -> tuple[Array, NDArray[np.bool_]]:
        """A point of every given tuple of charts and pieces: (N, L) to (N, D), and for which tuples there is one; see
        `sampling.RouteSampler`."""
        import networkx

        feeding = tuple(
            tuple(node for node in self.inputs if networkx.has_path(self.graph, node.name, block.name)) for block in self.blocks
        )
        base, found = RouteSampler(self.inputs, self.blocks, feeding, self._follows).sample(np.asarray(routes, np.intp), seed)
        return self.embed(base), found

    def _follows(self, base: Array, routes: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Whether the route through each block is one at points before embedding: (N, k) and (N, L) to (N, L)."""
        trace, rows = self.trace(self.embed(base)), np.arange(len(base))
        return np.stack([trace.valid[block.name][rows, routes[:, l]] for l, block in enumerate(self.blocks)], axis=-1)
