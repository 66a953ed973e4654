"""Theorems 5.2 and 5.3: a task graph becomes a stack of MoE layers, node by node in topological order.

    paper:  for every block two layers: the first appends its scores τ, the second routes on them and writes y.  Depth 2L.
    L+1:    blocks that are ready together have their scores appended by one layer in front of them (B2).
    L:      affine gates on intervals, grids of boxes and balls need no scores (B2, B1).

Non-affine combinations that are ready together take one more layer, of a single expert; affine ones are folded into what reads
them, the last one into the last experts: the theorem's last linear map. There are Σ E_l experts for ∏ E_l pieces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..atlas import Atlas, Block, Combine, Input, TaskGraph, Tiling
from ..errors import InvalidArgument
from ..moe import channels
from ..moe.channels import Channel, Score, Value
from ..moe.design import Design, Join, Site
from ..moe.ledger import Claim, Known, Ledger
from ..moe.model import Model
from ..moe.network import Affine, MoELayer, Network
from ..progress import track
from . import theorem_5_2, theorem_5_3
from . import totals as graph_claims
from .budgets import Plan, Stage, inexact, plan, propagate, slopes, stages
from .built import BuiltBlock, Reading
from .experts.pieces import Asked, PieceNet, piece_net
from .lowering import Form, Part, affine_of, beside, combined, layer, read_out
from .ranges import Values, reachable
from .routers.scores import ROUNDING_SHARE

DEPTHS = ("paper", "L+1", "L")
THEOREMS = ("5.2", "5.3")
COMBINED = "f_out by Lemma 3.1, Theorem 5.2 (R10)"


def compile_graph(
    task: TaskGraph,
    *,
    epsilon: float | None,
    width: int | None,
    theorem: str = "auto",
    depth: str = "paper",
    dtype: str = "float64",
    max_width: int,
    seed: int = 0,
) -> Model:
    """Ψ with |f − Ψ| ≤ ε for a task graph, and its ledger of Σ E_l experts' claims; see `compile` for the arguments.

    Raises `InvalidArgument` where `theorem` or `depth` do not fit a block, `EpsilonNotReached` naming block and piece, and
    `MarginTooSmall` for a block that reads computed values too near to an interface at which it jumps.
    """
    _check(task, theorem, depth)
    reach = reachable(task)
    planned = None if epsilon is None else plan(task, epsilon, reach)
    works = _Works(task, reach, planned, width, depth, dtype, max_width, seed)
    for stage in track(stages(task), "blocks"):
        works.add(stage)
    exact = works.network()
    if epsilon is None:
        epsilon = graph_claims.round_up(works.own_error() / (1 - ROUNDING_SHARE))
    network = exact.astype(dtype)
    pointwise = {name for name, made in works.built.items() if made.pointwise}
    root = graph_claims.total(task, network, exact, works.ledger_parts(epsilon), works.routes, works.orders, pointwise, epsilon, seed)
    return Model(network, Ledger(root), task, works.facts(network, epsilon), works.design(network))


def _check(task: TaskGraph, theorem: str, depth: str) -> None:
    if depth not in DEPTHS:
        raise InvalidArgument(f"depth {depth!r} is not one of {', '.join(DEPTHS)}")
    if theorem not in ("auto", *THEOREMS):
        raise InvalidArgument(f"theorem {theorem!r} is not one of auto, {', '.join(THEOREMS)} for a task graph")
    approximated = inexact(task)
    for block in task.blocks:
        pieces = isinstance(block.domain, Tiling)
        if theorem == "5.2" and pieces:
            raise InvalidArgument(f'block "{block.name}" is given on pieces, which is Theorem 5.3; use theorem "auto"')
        if theorem == "5.3" and not pieces:
            raise InvalidArgument(f'block "{block.name}" is given on charts, which is Theorem 5.2; use theorem "auto"')
        if not pieces and (computed := sorted(approximated.intersection(block.reads))):
            raise InvalidArgument(
                f'block "{block.name}" is given on charts and reads {computed[0]!r}, which is approximated and may leave the manifold; '
                "give it on intervals or boxes ([[block.piece]])"
            )


def _affine(node: object) -> bool:
    return isinstance(node, Combine) and node.function.affine is not None


@dataclass(eq=False)
class _Works:
    """The network in the making: layers so far, and what is known of every component."""

    task: TaskGraph
    reach: Mapping[str, Values]
    planned: Plan | None
    width: int | None
    depth: str
    dtype: DTypeLike
    limit: int
    seed: int
    forms: dict[str, Form] = field(default_factory=dict)
    """Every component known so far, in terms of channels."""
    channels: tuple[str, ...] = ()
    """What the last layer wrote."""
    layers: list[MoELayer] = field(default_factory=list)
    built: dict[str, BuiltBlock] = field(default_factory=dict)
    combines: dict[str, PieceNet] = field(default_factory=dict)
    own: dict[str, float] = field(default_factory=dict)
    """The error that each node makes itself."""
    lipschitz: dict[str, np.ndarray] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    """How far the computed value of each component may be from the task's, rounding included."""
    routes: dict[str, int] = field(default_factory=dict)
    """The layer (from 0) whose gate routes each block."""
    orders: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.channels = tuple(f"x[{k}]" for k in range(self.task.ambient_dimension))
        inputs = [Form.of(name) for name in self.channels]
        projection = self.task.projection
        rows = np.eye(len(inputs)) if projection is None else projection
        self.forms = {name: combined(row, 0.0, inputs) for name, row in zip(self.task.coordinates, rows, strict=True)}
        self.errors = dict.fromkeys(self.task.coordinates, 0.0)
        self._fold()

    def _fold(self) -> None:
        """Affine combinations of what is known are known."""
        for node in self.task.combines:
            if _affine(node) and node.components[0] not in self.forms and all(name in self.forms for name in node.reads):
                affine = node.function.affine
                assert affine is not None
                parts = [self.forms[name] for name in node.reads]
                for name, row, constant in zip(node.components, *affine, strict=True):
                    self.forms[name] = combined(row, float(constant), parts)
                self._known(node, 0.0, np.abs(affine[0]))

    def _known(self, node: Block | Combine, own: float, lipschitz: np.ndarray) -> None:
        """What the values of a node err by, once it is built; what the plan allows for, if there is one."""
        self.own[node.name], self.lipschitz[node.name] = own, lipschitz
        arriving = np.array([self.errors[name] for name in node.reads])
        for j, name in enumerate(node.components):
            reached = own / (1 - ROUNDING_SHARE) + float(lipschitz[j] @ arriving)
            self.errors[name] = reached if self.planned is None else self.planned.errors[name]

    def reading(self, node: Block | Combine) -> Reading:
        """What arrives at a node."""
        error = np.array([self.errors[name] for name in node.reads])
        values, channels = tuple(self.reach[n] for n in node.reads), tuple(self.forms[n].channel for n in node.reads)
        whole = next((i for i in self.task.inputs if i.coordinates == node.reads), None)
        embedding = whole.manifold.embedding if whole is not None and isinstance(whole.manifold, Atlas) else None
        return Reading(values, error, channels, embedding)

    def asked(self, node: Block | Combine) -> Asked:
        return Asked(None if self.planned is None else self.planned.budgets[node.name], self.width, self.limit, self.seed)

    def add(self, stage: Stage) -> None:
        """All layers of a stage."""
        nodes = [node for step in stage.steps for node in step.nodes]
        if isinstance(nodes[0], Combine):
            self._add_combines([node for node in nodes if isinstance(node, Combine)])
        else:
            self._add_blocks([node for node in nodes if isinstance(node, Block)])
        self._fold()

    def _add_blocks(self, blocks: Sequence[Block]) -> None:
        for block in blocks:
            theorem = theorem_5_3 if isinstance(block.domain, Tiling) else theorem_5_2
            reading = self.reading(block)
            made = theorem.build(block, reading, self.asked(block), affine=self.depth == "L", dtype=self.dtype)
            self.built[block.name] = made
            self.orders[block.name] = tuple(block.names.index(name) for name in made.names)
            shape = (len(block.components), len(block.reads))
            lipschitz = made.lipschitz
            if lipschitz is None:
                lipschitz = theorem_5_3.block_steepness(block, reading) if (reading.error > 0).any() else np.zeros(shape)
            self._known(block, made.local, lipschitz)
        together = self.depth == "L+1"
        if together:
            self._score(blocks, blocks)
        for k, block in enumerate(blocks):
            if not together:
                self._score([block], blocks[k:])
            self._route(block, blocks[k + 1 :] if together else ())

    def _reads(self, block: Block) -> tuple[Form, ...]:
        """What the nets of a block are functions of."""
        if self.built[block.name].embedded:
            start = 0
            for node in self.task.inputs:
                if node.coordinates == block.reads:
                    return tuple(Form.of(f"x[{start + k}]") for k in range(node.ambient_dimension))
                start += node.ambient_dimension
        return tuple(self.forms[name] for name in block.reads)

    def _score(self, blocks: Sequence[Block], waiting: Sequence[Block]) -> None:
        """Layer 2l − 1: a single expert that appends τ of the blocks."""
        parts = [
            Part(made.scores, self._reads(block), _tau(made)) for block in blocks if (made := self.built[block.name]).scores is not None
        ]
        if not parts:
            return
        kept = self._kept(waiting=waiting)
        leaving = (*kept, *(name for part in parts for name in part.writes))
        net = beside(parts, kept, self.channels, leaving)
        names = self.built[blocks[0].name].names if len(parts) == 1 else ("scores",)
        gate = Affine(np.zeros((len(names), len(self.channels))), np.zeros(len(names)))
        self.layers.append(layer(gate, [net], (0,) * len(names), names, leaving))
        self.channels = leaving

    def _route(self, block: Block, scored: Sequence[Block]) -> None:
        """Layer 2l: the gate picks a piece, its expert writes y beside all that is still needed."""
        made = self.built[block.name]
        if made.scores is not None:
            gate = affine_of([Form.of(name) for name in _tau(made)], self.channels)
        elif made.gate is not None:
            gate = made.gate.after(affine_of(self._reads(block), self.channels))
        else:
            gate = Affine(np.zeros((1, len(self.channels))), np.zeros(1))
        reads = self._reads(block)
        writes = tuple(f"y[{name}]" for name in block.components)
        self.forms |= {name: Form.of(channel) for name, channel in zip(block.components, writes, strict=True)}
        tau = tuple(name for other in scored for name in _tau(self.built[other.name]) if self.built[other.name].scores is not None)
        kept = (*(name for name in self._kept(after=writes) if name not in writes), *(name for name in self.channels if name in tau))
        leaving = (*(name for name in self._kept(after=writes)), *(name for name in self.channels if name in tau))
        nets = [beside([Part(net, reads, writes)], kept, self.channels, leaving) for net in made.experts]
        self.routes[block.name] = len(self.layers)
        self.layers.append(layer(gate, nets, tuple(range(len(nets))), made.names, leaving))
        self.channels = leaving

    def _add_combines(self, nodes: Sequence[Combine]) -> None:
        """One layer of one expert for combinations that are ready together."""
        parts = []
        for node in nodes:
            reading = self.reading(node)
            low = np.array([v.least for v in reading.values]) - reading.error
            high = np.array([v.most for v in reading.values]) + reading.error
            made = piece_net(node.function, low, high, self.asked(node), f"combine[{node.name}]", COMBINED)
            self.combines[node.name] = made
            errors = {name: float(e) for name, e in zip(node.reads, reading.error, strict=True)}
            parts.append(Part(made.net, tuple(self.forms[name] for name in node.reads), tuple(f"y[{c}]" for c in node.components)))
            self._known(node, made.bound, slopes(node, self.reach, errors))
        written = tuple(name for part in parts for name in part.writes)
        for node, part in zip(nodes, parts, strict=True):
            self.forms |= {name: Form.of(channel) for name, channel in zip(node.components, part.writes, strict=True)}
        leaving = self._kept(after=written)
        net = beside(parts, [name for name in leaving if name not in written], self.channels, leaving)
        gate = Affine(np.zeros((1, len(self.channels))), np.zeros(1))
        self.layers.append(layer(gate, [net], (0,), ("+".join(node.name for node in nodes),), leaving))
        self.channels = leaving

    def _kept(self, after: Sequence[str] = (), waiting: Sequence[Block] = ()) -> tuple[str, ...]:
        """The channels, of those that arrive and those just written, that something still reads; in the order of x, then y."""
        needed: set[str] = set()
        for name in self.task[self.task.output].components:
            needed.update(self.forms[name].weights if name in self.forms else ())
        done = {*self.routes, *self.combines}
        # A block whose slot has just been written is routed in this very layer.
        for node in self.task.order:
            written = isinstance(node, Input) or node.name in done or all(f"y[{c}]" in after for c in node.components)
            if not written or any(node is block for block in waiting):
                needed.update(channel for name in node.reads if name in self.forms for channel in self.forms[name].weights)
        return tuple(name for name in (*self.channels, *after) if name in needed and not name.startswith("tau["))

    def network(self) -> Network:
        """All layers, with the read-out folded into the last."""
        last = self.layers[-1]
        forms = [self.forms[name] for name in self.task[self.task.output].components]
        names = tuple(f"y[{name}]" for name in self.task[self.task.output].components)
        nets = tuple(read_out(net, forms, last.channels) for net in last.experts)
        layers = (*self.layers[:-1], replace(last, experts=nets, channels=names))
        return Network(layers, tuple(f"x[{k}]" for k in range(self.task.ambient_dimension)))

    def own_error(self) -> float:
        """The error of the output that all nodes together allow for, before rounding."""
        errors = propagate(self.task, self.own, self.lipschitz)
        return max(errors[name] for name in self.task[self.task.output].components)

    def ledger_parts(self, epsilon: float) -> tuple[Claim, ...]:
        """How the errors add up, and the claims of every block and combination."""
        blocks = [self.built[block.name].claim for block in self.task.blocks]
        combines = [
            graph_claims.combine(node, self.combines[node.name], self.asked(node).budget, self.lipschitz[node.name], self.reading(node))
            for node in self.task.combines
            if node.name in self.combines
        ]
        claims = (*blocks, *combines)
        sampled = any(claim.known is Known.SAMPLED for claim in claims)
        bound = self.own_error()
        return (graph_claims.propagation(self.task, bound, epsilon, sampled, self.own), *claims)

    def design(self, network: Network) -> Design:
        """Where everything is; channels are called like what they hold."""
        score = {f"tau[{b.name}][{piece}]": Score(b.name, piece) for b in self.task.blocks for piece in b.names}
        value = {f"y[{name}]": Value(name) for node in self.task.nodes for name in node.components}
        known: dict[str, Channel] = {name: channels.Input(k) for k, name in enumerate(network.inputs)} | score | value
        states = [tuple(known[name] for name in names) for names in (network.inputs, *(la.channels for la in network.layers))]
        sites = tuple(self._site(block, states) for block in self.task.blocks)
        last = len(network.layers) - 1
        joins = []
        for node in self.combines:
            first = f"y[{self.task[node].components[0]}]"
            layer = next((k for k, la in enumerate(network.layers) if first in la.channels), last)
            joins.append(Join(node, layer, self.asked(self.task[node]).budget))  # type: ignore[arg-type]
        return Design(tuple(states), sites, tuple(joins))

    def _site(self, block: Block, states: Sequence[tuple[Channel, ...]]) -> Site:
        made = self.built[block.name]
        first = Score(block.name, made.names[0])
        scored = None if made.scores is None else next(k for k, state in enumerate(states) if first in state) - 1
        budget = made.claim.budget / (1 - ROUNDING_SHARE)
        either = made.claim.source == "B2" or any(child.source == "B2" for child in made.claim.children)
        return Site(block.name, self.routes[block.name], made.names, scored, made.routing, None, budget, either, made.embedded)

    def facts(self, network: Network, epsilon: float) -> dict[str, Any]:
        """What a model card and a verifier need to know, as JSON.

        `routes`: the layer, from 1, whose gate routes each block; its gate outputs are called like the block's pieces, in an order in
        which the first of equal logits is right. `scores`: the layer that writes its tau[block][piece], where there is one.
        `slots`: the channels of its values, in the state that layer `routes` leaves (in the last layer they are folded into the output).
        """
        pieces = {isinstance(block.domain, Tiling) for block in self.task.blocks}
        used = " and ".join(name for name, kind in (("5.2", False), ("5.3", True)) if kind in pieces)
        widths = [w for made in self.built.values() for net in made.experts for w in net.widths]
        widths += [w for made in self.combines.values() for w in made.net.widths]
        scored = {
            block.name: next(k for k, la in enumerate(network.layers, 1) if any(c.startswith(f"tau[{block.name}][") for c in la.channels))
            for block in self.task.blocks
            if self.built[block.name].scores is not None
        }
        return {
            "theorem": used,
            "routing": "graph",
            "depth": len(network.layers),
            "depth_kind": self.depth,
            "epsilon": epsilon,
            "requested": "width" if self.planned is None else "epsilon",
            "seed": self.seed,
            "pieces": self.task.pieces,
            "blocks": {block.name: len(block) for block in self.task.blocks},
            "subtasks": self.task.subtasks,
            "routes": {name: k + 1 for name, k in self.routes.items()},
            "scores": scored,
            "slots": {block.name: [f"y[{c}]" for c in block.components] for block in self.task.blocks},
            "routers": {name: made.routing for name, made in self.built.items()},
            "experts": sum(len(made.experts) for made in self.built.values()),
            "m": max(widths),
            "true_width": max(w for la in network.layers for net in la.experts for w in net.widths),
            "parameters": network.parameters,
            "active_parameters": network.active_parameters,
            "nonzero": graph_claims.nonzero(network),
        }


def _tau(made: BuiltBlock) -> tuple[str, ...]:
    return tuple(f"tau[{made.block.name}][{name}]" for name in made.names)
