"""`Works`: the sites of a graph, built one after the other from what arrives at them, and handed to the assembly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import ModuleType

import numpy as np

from ..atlas import Block, Combine, ManifoldTask, TaskGraph
from ..atlas.graph import as_graph
from ..errors import EpsilonNotReached, InvalidArgument
from ..moe.channels import Input, Value
from ..moe.design import Design
from ..moe.network import Network
from . import relay, theorem_5_2, theorem_5_3, theorem_chen, theorem_dense, theorem_one_layer
from .advice import Missing, advised
from .asked import NOTHING_MISSED, Asked, Missed, Reading
from .assembly import Assembly
from .budgets import Shares, Stage, inexact, propagate, share_out, slopes, stored
from .built import Built
from .choices import GROUPED, PROJECTED, Choices, called
from .collar import require
from .counts import gate_claim, laid, trial, twin
from .experts.combinations import combination_net
from .experts.low_dimensional import least_stored, size_claim
from .experts.pieces import PieceNet
from .experts.reconstruction import reconstruction
from .forms import Form
from .ranges import Values
from .shares import FORMULA_SHARE, ROUNDING_SHARE, SHARPENINGS

BY_NAME = {theorem_dense.NAME: theorem_dense, theorem_chen.NAME: theorem_chen}
"""Theorems that build one net for all charts of a block."""
COMBINED = "f_out by Lemma 3.1, Theorem 5.2 (R10)"


@dataclass(eq=False)
class Works:
    """What is known of every node so far."""

    graph: TaskGraph
    reach: Mapping[str, Values]
    planned: Shares | None
    choices: Choices
    width: int | None
    form: str
    dtype: str
    limit: int
    seed: int
    epsilon: float | None = None
    exact: Mapping[str, float] = field(default_factory=dict)
    """Combinations that are built up to rounding, and what that is allowed to be."""
    missed: Mapping[str, Mapping[str, Missed]] = field(default_factory=dict)
    """Node ↦ chart or piece ↦ what a proof of an earlier attempt could not settle."""
    ready: dict[str, Built] = field(default_factory=dict)
    """Blocks that were built before what they read."""
    built: dict[str, Built] = field(default_factory=dict)
    combines: dict[str, PieceNet] = field(default_factory=dict)
    own: dict[str, float] = field(default_factory=dict)
    """The error that each node makes itself."""
    lipschitz: dict[str, np.ndarray] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    """How far the computed value of each component may be from the task's, rounding included."""
    stored: set[str] = field(init=False)
    """Affine combinations with channels of their own."""
    assembly: Assembly = field(init=False)
    together: Sequence[Block] = ()
    """Blocks that are ready at once."""
    later: list[Block | Combine] = field(default_factory=list)
    """What is built and has no layer yet, where layers come in an order of their own (N7)."""
    turns: Sequence[relay.Turn] = ()

    def __post_init__(self) -> None:
        self.assembly = Assembly(self.graph, self.form)
        self.errors = dict.fromkeys(self.graph.coordinates, 0.0)
        self.stored = stored(self.graph)
        self._fold()

    @property
    def task(self) -> ManifoldTask | TaskGraph:
        """The task as it was compiled: on the charts that routers chose, where those are not the ones given."""
        blocks = {name: made.block for name, made in self.built.items()}
        if self.assembly.alone:
            (block,) = blocks.values()
            return block.task
        if all(self.graph[name] is block for name, block in blocks.items()):
            return self.graph
        return replace(self.graph, nodes=tuple(blocks.get(node.name, node) for node in self.graph.nodes))

    @property
    def grouped(self) -> bool:
        """Whether blocks that are ready together share a layer."""
        return self.choices.depth in GROUPED and not self.assembly.alone

    @property
    def relayed(self) -> bool:
        """Whether layers hand on scores, and so wait for all blocks (N7)."""
        return self.choices.depth == relay.DEPTH

    def _fold(self) -> None:
        """Affine combinations of what is known are known."""
        forms = self.assembly.forms
        for node in self.graph.combines:
            affine = node.function.affine
            if (
                affine is not None
                and node.name not in self.stored
                and node.components[0] not in forms
                and all(name in forms for name in node.reads)
            ):
                self.assembly.fold(node)
                self._known(node, 0.0, np.abs(affine[0]))

    def _known(self, node: Block | Combine, own: float, lipschitz: np.ndarray) -> None:
        """What the values of a node err by, once it is built; what the plan allows for, if there is one."""
        self.own[node.name], self.lipschitz[node.name] = own, lipschitz
        arriving = np.array([self.errors[name] for name in node.reads])
        for j, name in enumerate(node.components):
            reached = own / (1 - ROUNDING_SHARE) + float(lipschitz[j] @ arriving)
            self.errors[name] = reached if self.planned is None else self.planned.errors.get(name, reached)

    def reading(self, node: Block | Combine) -> Reading:
        """What arrives at a node; values only where the node asks for them."""
        error = np.array([self.errors[name] for name in node.reads])
        needed = node.atlas is None or (error > 0).any()
        values = tuple(self.reach[name] for name in node.reads) if needed else ()
        plain = tuple(isinstance(self.assembly.forms[name].channel, Input) for name in node.reads)
        whole = next((i for i in self.graph.inputs if i.coordinates == node.reads), None)
        return Reading(values, error, plain, None if whole is None else whole.domain.embedding)

    def asked(self, node: Block | Combine) -> Asked:
        budget = None if self.planned is None else self.planned.budgets[node.name]
        if node.name in self.stored:
            return Asked(budget, self.width, self.limit, self.seed, self.dtype)
        choice, missed = self.choices[node], self.missed.get(node.name, NOTHING_MISSED)
        if budget is not None and node.atlas is not None:
            # Experts of charts look up their own.
            budget *= missed.get(node.name, Missed()).factor
        elif budget is not None:
            budget *= min((one.factor for one in missed.values()), default=1.0)
        formula = None
        if self.assembly.alone and self.dtype == "float64" and budget is not None:
            formula = budget * (1 - FORMULA_SHARE) / (1 - ROUNDING_SHARE)
        return Asked(budget, self.width, self.limit, self.seed, self.dtype, choice.activation, choice.gated, missed, formula)

    @contextmanager
    def _advising(self, node: Block | Combine) -> Iterator[None]:
        """Experts that miss their budget come with what was tried and what will help."""
        try:
            yield
        except EpsilonNotReached as miss:
            if "expert[" not in miss.what and "combine[" not in miss.what:
                raise
            raise advised(miss, Missing(node, self.choices[node], self.epsilon, self.limit, self.assembly.alone)) from miss

    def add(self, stage: Stage) -> None:
        """All layers of a stage."""
        nodes = [node for step in stage.steps for node in step.nodes]
        blocks = [node for node in nodes if isinstance(node, Block)]
        if blocks:
            self._add_blocks(blocks)
        else:
            self._add_combines([node for node in nodes if isinstance(node, Combine)])
        self._fold()

    def prepare(self, epsilon: float | None) -> None:
        """Build the blocks on charts that read computed values, and share ε out anew with what they bear (`collar`).

        What they bear does not depend on what arrives, only the other way round.
        """
        approximated = inexact(self.graph)
        blocks = [b for b in self.graph.blocks if b.tiling is None and approximated.intersection(b.reads)]
        for block in blocks:
            self.ready[block.name] = self._on_charts(block)
        for _ in range(SHARPENINGS if blocks else 0):
            if self.planned is None or epsilon is None:
                return
            before = self.planned
            collars = {name: made.charts.collar for name, made in self.ready.items() if made.charts and made.charts.collar}
            self.planned = share_out(self.graph, epsilon, self.reach, collars, self.exact)
            short = [block for block in blocks if self.planned.budgets[block.name] < before.budgets[block.name]]
            for block in short:
                self.ready[block.name] = self._on_charts(block)
            if not short:
                break

    def _on_charts(self, block: Block) -> Built:
        """A block that reads computed values, as if it read them exactly."""
        k = len(block.reads)
        reading = Reading((), np.zeros(k), (False,) * k)
        return self._by(block).build(block, reading, self.asked(block), self.choices[block], computed=True)

    def _by(self, block: Block) -> ModuleType:
        """What builds a block."""
        return BY_NAME.get(self.choices[block].theorem, theorem_5_3 if block.domain.exclusive else theorem_5_2)

    def build(self, block: Block) -> Built:
        """Theorem 5.2 for blocks on charts, Theorem 5.3 for blocks on pieces."""
        reading = self.reading(block)
        if block.name in self.ready:
            made = self._measured(self.ready[block.name])
            assert made.charts is not None
            assert made.charts.collar is not None
            require(block, reading, made.charts.collar)
            return theorem_5_2.with_collar(made, reading, made.charts.collar)
        if self.grouped:
            made = theorem_one_layer.build(block, reading, self.assembly.forms, self.asked(block), self.choices[block], self.together)
            return made if made.charts is None else self._measured(made)
        made = self._by(block).build(block, reading, self.asked(block), self.choices[block])
        return made if made.charts is None or self.assembly.alone else self._measured(made)

    def _measured(self, made: Built) -> Built:
        """A block on charts with the ledger of a network that holds it alone."""
        assert made.charts is not None
        network, _ = alone(made)
        epsilon = theorem_5_2.reached(made, self.asked(made.block))
        root = made.charts.routed.total(made.charts.task, network, network, made.charts.experts, epsilon, self.seed)
        return theorem_5_2.conclude(made, made.charts.experts, root)

    def _add_blocks(self, blocks: Sequence[Block]) -> None:
        made = []
        self.together = blocks
        for block in blocks:
            with self._advising(block):
                made.append(self.build(block))
        for one in made:
            self.built[one.block.name] = one
            reading = self.reading(one.block)
            lipschitz = one.lipschitz
            if lipschitz is None:
                shape = (len(one.block.components), len(one.block.reads))
                lipschitz = np.zeros(shape) if reading.exact else theorem_5_3.block_steepness(one.block, reading)
            self._known(one.block, one.local, lipschitz)
        if self.grouped:
            self.assembly.group(made)
            return
        if self.relayed:
            self._wait(blocks)
            return
        together = self.choices.depth == "L+1"
        if together:
            self.assembly.scores(made, [one.block for one in made])
        for k, one in enumerate(made):
            if not together:
                self.assembly.scores([one], [other.block for other in made[k:]])
            self._route(one, made[k + 1 :] if together else (), [other.block for other in made[k:]])

    def _route(self, one: Built, others: Sequence[Built], waiting: Sequence[Block], following: Built | None = None) -> None:
        """The layer of a block, `others` those whose scores pass it, `waiting` those that are routed from it on."""
        placed = self._stored(one, others)
        if placed.nonlinear:
            prefix = "" if self.assembly.alone else f"block[{one.block.name}]."
            placed = replace(placed, beside=(*placed.beside, gate_claim(self.assembly, placed, waiting, prefix)))
        self.built[one.block.name] = placed
        self.assembly.route(placed, others, following)

    def _wait(self, nodes: Sequence[Block | Combine]) -> None:
        """Nodes whose layers come later: what they write is known already."""
        self.later += nodes
        self.assembly.forms |= {name: Form.of(Value(name)) for node in nodes for name in node.components}

    def _hand_on(self) -> None:
        """The layers of all that waits, each writing the scores of the block after it where it can (N7)."""
        self.turns = relay.in_turn(self.later, self.built, self.assembly.forms, self.graph)
        scored = {name for name, made in self.built.items() if made.scores is not None}
        passed = relay.handed(self.turns, scored)
        start = twin(self.assembly)
        for turn, after in zip(self.turns, (*self.turns[1:], None), strict=True):
            following = self.built[after.title] if after is not None and after.title in passed else None
            if turn.block is None:
                self._join([node for node in turn.nodes if isinstance(node, Combine)], following)
                continue
            if turn.apart is not None:
                self.assembly.scores([self.built[turn.title]], [turn.block])
            self._route(self.built[turn.title], (), [turn.block], following)
        # What else there is, of the same nets.
        nets = {name: made.net for name, made in self.combines.items()}
        others = [laid(start, self.built, nets, together) for together in (False, True)]
        first = self.built[next(iter(passed))]
        network, _ = self.assembly.finish()
        counted = relay.claim(self.turns, scored, len(network.layers), network.parameters, *others)
        self.built[first.block.name] = replace(first, beside=(*first.beside, counted))

    def _stored(self, made: Built, scored: Sequence[Built]) -> Built:
        """The block with its experts stored as it was asked for (N9), about to be routed."""
        kind = self.choices[made.block].experts
        if kind == "dense":
            return made
        channels = len({channel for form in self.assembly.reads(made) for channel in form.weights})
        embedding = made.charts.task.atlas.embedding if made.charts is not None and made.ambient else None
        stored = "encoder" if kind == PROJECTED else kind
        found = least_stored(made, stored, channels, embedding, lambda one: trial(self.assembly, one, scored))
        if stored == "encoder" != found.kind and self.assembly.alone:
            raise InvalidArgument(
                f"{called(made.block)}: its charts span all of the {channels} channels that it reads, so an encoder saves nothing and is "
                'none; use experts "factorised", or "auto"'
            )
        name = "" if self.assembly.alone else f"block[{made.block.name}]."
        whole = made.charts is None or made.gateless or found.kind == "dense" or kind == PROJECTED
        lost = () if whole or made.charts is None else reconstruction(made.charts.task.atlas, name, self.seed)
        facts = {**made.facts, "stored": {"experts": kind if kind == PROJECTED else found.kind, "numbers": dict(found.numbers)}}
        return replace(found.made, facts=facts, beside=(*made.beside, size_claim(found, name, stored), *lost))

    def _add_combines(self, nodes: Sequence[Combine]) -> None:
        """One layer of one expert for combinations that are ready together."""
        for node in nodes:
            reading = self.reading(node)
            low = np.array([v.least for v in reading.values]) - reading.error
            high = np.array([v.most for v in reading.values]) + reading.error
            with self._advising(node):
                made = combination_net(node.function, low, high, self.asked(node), f"combine[{node.name}]", COMBINED)
            self.combines[node.name] = made
            errors = {name: float(e) for name, e in zip(node.reads, reading.error, strict=True)}
            self._known(node, made.bound, slopes(node, self.reach, errors))
        if self.relayed:
            self._wait(nodes)
        else:
            self._join(nodes)

    def _join(self, nodes: Sequence[Combine], following: Built | None = None) -> None:
        """Their layer."""
        built = [self.combines[node.name] for node in nodes]
        asked = [self.asked(node).budget for node in nodes]
        # As for blocks: what is claimed of the numbers that are stored has room for their rounding.
        budgets = [(made.bound if budget is None else budget) / (1 - ROUNDING_SHARE) for made, budget in zip(built, asked, strict=True)]
        self.assembly.join(nodes, [made.net for made in built], budgets, following)

    def finish(self) -> tuple[Network, Design]:
        """The network in float64, and its design."""
        if self.relayed:
            self._hand_on()
        return self.assembly.finish()

    def own_error(self) -> float:
        """The error of the output that all nodes together allow for, before rounding."""
        errors = propagate(self.graph, self.own, self.lipschitz)
        return max(errors[name] for name in self.graph[self.graph.output].components)


def alone(made: Built) -> tuple[Network, Design]:
    """The network that holds one block on charts and nothing else, float64."""
    assert made.charts is not None
    graph = as_graph(made.charts.task)
    (block,) = graph.blocks
    routed = made.charts.routed
    scores, gate = theorem_5_2.nets_of(routed, made.nonlinear)
    whole = replace(made, block=block, scores=scores, gate=gate, ambient=True)
    assembly = Assembly(graph)
    assembly.scores([whole], [block])
    assembly.route(whole, ())
    return assembly.finish()
