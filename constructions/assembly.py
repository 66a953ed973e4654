"""`Assembly`: sites, one after the other, become the layers of a network. The lowering of Theorems 4.8, 4.9, 5.2 and 5.3 is one.

    scores      a layer of one expert appends the scores τ of some blocks to the state;
    group       a layer whose gate does so for several blocks at once (N15);
    route       a layer whose gate compares them, or knows by itself, and whose experts write the block's values;
    join        a layer of one expert computes combinations that are no affine maps.

A channel passes every layer up to the last one that anything reads it in, and is then dropped: no value is ever erased while it is
needed (R2), and where nothing reads x_l after block l, y_l takes its place, which is the state of Theorem 5.3. Lowerings of the
same program differ in how it passes (N8), and in what a layer is that has nothing to choose (N3):

    paper       through σ(c) − σ(−c) in every expert, the class H^{2L,E}_{3,m} of the theorems;
    dense       in the same way; layers of scores and joins are dense layers, without a gate (Section 4.3(b) of the paper);
    residual    beside the experts, which then hold only what they compute. Stored numbers are linear in L·E.

Carried channels are the same numbers in both, bit for bit, and so is every route whose scores are. What a net computes from them is a sum
with other zeros in it, which a matrix product may add up in another order: values agree to γ_n·Σ|terms|, n the neurons of an expert.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..atlas import Block, Combine, TaskGraph
from ..moe import channels
from ..moe.channels import Channel, Score, Value
from ..moe.design import Design, Join, Site
from ..moe.grammar import check_network
from ..moe.network import Affine, MoELayer, Net, Network, Weighting
from .built import Built
from .forms import CARRIED, Form, Part, affine_of, beside, combined, factored, reading
from .grouped_layer import together
from .read_out import read_out

DIRECTIONS = "c = σ(c) − σ(−c), c what many neurons are functions of (N8)"
"""Where those come from that a first map of few directions is stored by."""


@dataclass(frozen=True, eq=False)
class Step:
    """A layer to be: for each expert the parts that it computes, which all write the same channels, beside the channels that are kept."""

    options: Sequence[Sequence[Part]]
    names: tuple[str, ...]
    """Of the gate outputs."""
    kept: Sequence[Channel]
    leaving: tuple[Channel, ...]
    gate: Net | None = None
    """Of the state; None: whatever is chosen does."""
    shared: Sequence[Part] = ()
    """What is added for every input, and channels that nothing else writes."""
    top_k: int = 1
    weighting: Weighting = Weighting.SOFTMAX
    gateless: bool = False
    """Whether there is no gate in any form, as there is nothing to choose."""
    latent: Part | None = None
    """What experts read in the place of the state, beside what they carry: the parts read its channels."""

    @property
    def apart(self) -> tuple[Channel, ...]:
        """What the shared expert alone writes."""
        own = [channel for part in self.options[0] for channel in part.writes]
        return tuple(channel for part in self.shared for channel in part.writes if channel not in own)

    def beside_them(self, state: Sequence[Channel], leaving: Sequence[Channel]) -> list[Net]:
        """The shared expert, which leaves these channels; none if nothing is added."""
        if not self.shared:
            return []
        own = [channel for part in self.shared for channel in part.writes]
        return [padded(beside(self.shared, (), state, own, ""), own, leaving)]

    @property
    def choosing(self) -> dict[str, Any]:
        """How the layer chooses, as it takes it."""
        return {"top_k": self.top_k, "weighting": self.weighting}

    @property
    def serves(self) -> tuple[int, ...]:
        """Which expert serves each gate output: one after the other as many of each."""
        copies = len(self.names) // len(self.options)
        return tuple(k for k in range(len(self.options)) for _ in range(copies))


@dataclass(eq=False)
class Assembly:
    """The network in the making: layers so far, and what is known of every component."""

    graph: TaskGraph
    form: str = "paper"
    forms: dict[str, Form] = field(default_factory=dict)
    """Every component known so far, in terms of channels."""
    states: list[tuple[Channel, ...]] = field(default_factory=list)
    layers: list[MoELayer] = field(default_factory=list)
    sites: dict[str, Site] = field(default_factory=dict)
    joins: list[Join] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.states.append(tuple(channels.Input(k) for k in range(self.graph.ambient_dimension)))
        projection = self.graph.projection
        rows = np.eye(len(self.state)) if projection is None else projection
        inputs = [Form.of(channel) for channel in self.state]
        self.forms = {name: combined(row, 0.0, inputs) for name, row in zip(self.graph.coordinates, rows, strict=True)}

    @property
    def state(self) -> tuple[Channel, ...]:
        """What the last layer left."""
        return self.states[-1]

    @property
    def alone(self) -> bool:
        """Whether the graph is a task on one manifold."""
        return len(self.graph.blocks) == 1 and self.graph.blocks[0].given is not None

    def fold(self, node: Combine) -> None:
        """An affine combination of what is known is known."""
        affine = node.function.affine
        assert affine is not None
        parts = [self.forms[name] for name in node.reads]
        for name, row, constant in zip(node.components, *affine, strict=True):
            self.forms[name] = combined(row, float(constant), parts)

    def reads(self, made: Built) -> tuple[Form, ...]:
        """What the nets of a block are functions of."""
        if not made.ambient:
            return tuple(self.forms[name] for name in made.block.reads)
        start = 0
        for node in self.graph.inputs:
            if node.coordinates == made.block.reads:
                return tuple(Form.of(channels.Input(start + k)) for k in range(node.ambient_dimension))
            start += node.ambient_dimension
        raise AssertionError(f"block {made.block.name!r} reads no whole input")

    def scoring(self, made: Built) -> Part:
        """The net of a block's scores, and where it stands."""
        assert made.scores is not None
        return Part(made.scores, self.reads(made), scores_of(made), made.ambient)

    def scores(self, blocks: Sequence[Built], waiting: Sequence[Block]) -> None:
        """A layer that appends τ of the blocks that have scores, if any has; `waiting` are those that are routed after it."""
        parts = [self.scoring(made) for made in blocks if made.scores is not None]
        if not parts:
            return
        kept = self._kept(waiting=waiting)
        leaving = (*kept, *(channel for part in parts for channel in part.writes))
        self._push(Step([parts], blocks[0].names if len(parts) == 1 else ("scores",), kept, leaving))

    def route(self, made: Built, scored: Sequence[Built], following: Built | None = None) -> None:
        """The gate picks a piece, its expert writes the block's values beside all that is needed later, scores of others included.

        A shared expert writes the scores of the block that is routed next, if `following` says which: what reads nothing of this one (N7).
        """
        block, reads = made.block, self.reads(made)
        if made.scores is not None:
            gate: Net | None = affine_of([Form.of(score) for score in scores_of(made)], self.state).net
        else:
            gate = None if made.gate is None else Part(made.gate, reads, (), made.ambient).on(self.state)
        if gate is not None and made.copies > 1:
            gate = copied(gate, made.copies)
        writes = tuple(Value(name) for name in block.components)
        self.forms |= {channel.component: Form.of(channel) for channel in writes}
        others = {score for other in scored if other.scores is not None for score in scores_of(other)}
        waiting = tuple(channel for channel in self.state if channel in others)
        ahead = () if following is None else (self.scoring(following),)
        leaving = (*self._kept(after=writes), *waiting, *(channel for part in ahead for channel in part.writes))
        kept = tuple(channel for channel in (*self._kept(after=writes), *waiting) if channel not in writes)
        score = None if made.scores is None else next(k for k, state in enumerate(self.states) if scores_of(made)[0] in state) - 1
        self.sites[block.name] = made.site(len(self.layers), score)
        latent, inside, whole = None, reads, made.ambient
        if made.latent is not None:
            encoded = tuple(Value(f"latent[{k}]") for k in range(len(made.latent.bias)))
            latent, inside, whole = Part(made.latent.net, reads, encoded, whole), tuple(map(Form.of, encoded)), False
        options = [[Part(net, inside, writes, whole)] for net in made.experts]
        shared = ahead if made.shared is None else (Part(made.shared, reads, writes, made.ambient), *ahead)
        self._push(Step(options, made.outputs, kept, leaving, gate, shared, made.top_k, made.weighting, made.gateless, latent))

    def group(self, blocks: Sequence[Built]) -> None:
        """One layer for blocks that read nothing of each other: it has the experts of all, and chooses one in every block (N15)."""
        reads = [self.reads(made) for made in blocks]
        written = tuple(Value(name) for made in blocks for name in made.block.components)
        self.forms |= {channel.component: Form.of(channel) for channel in written}
        leaving, first = self._kept(after=written), 0
        for made in blocks:
            self.sites[made.block.name] = replace(made.site(len(self.layers), None), first=first)
            first += len(made.names)
        self.layers.append(together(blocks, reads, self.state, leaving))
        self.states.append(leaving)

    def join(self, nodes: Sequence[Combine], nets: Sequence[Net], budgets: Sequence[float], following: Built | None = None) -> None:
        """A layer of one expert for combinations that are ready together, and for the scores of the block that is routed next."""
        parts = [
            Part(net, tuple(self.forms[name] for name in node.reads), tuple(Value(name) for name in node.components))
            for node, net in zip(nodes, nets, strict=True)
        ]
        written = tuple(channel for part in parts for channel in part.writes)
        self.forms |= {name: Form.of(Value(name)) for node in nodes for name in node.components}
        self.joins += [Join(node.name, len(self.layers), budget) for node, budget in zip(nodes, budgets, strict=True)]
        kept = [channel for channel in self._kept(after=written) if channel not in written]
        ahead = () if following is None else (self.scoring(following),)
        leaving = (*self._kept(after=written), *(channel for part in ahead for channel in part.writes))
        self._push(Step([parts], ("+".join(node.name for node in nodes),), kept, leaving, shared=ahead))

    def _kept(self, after: Sequence[Channel] = (), waiting: Sequence[Block] = ()) -> tuple[Channel, ...]:
        """The channels, of those that arrive and those just written, that something still reads; in the order of inputs, then values."""
        wanted: list[str] = list(self.graph[self.graph.output].components)
        done = {*self.sites, *(join.node for join in self.joins), *(node.name for node in self.graph.inputs)}
        for node in self.graph.order:
            # A block whose values have just been written is routed in this very layer.
            written = node.name in done or all(Value(name) in after for name in node.components)
            if not written or any(node is block for block in waiting):
                wanted += node.reads
        needed = {channel for name in wanted if name in self.forms for channel in self.forms[name].weights}
        return tuple(channel for channel in (*self.state, *after) if channel in needed and not isinstance(channel, Score))

    def _push(self, step: Step) -> None:
        """One more layer. What several experts carried, weights would change that add up to 1 only nearly: it passes beside them."""
        beside_experts = self.form == "residual" or (step.top_k > 1 and len(step.kept) > 0)
        self.layers.append(self._residual(step) if beside_experts else self._paper(step))
        self.states.append(step.leaving)

    def _paper(self, step: Step) -> MoELayer:
        """Experts compute their parts and carry what is kept."""
        state, names = self.state, step.names
        arriving, encoder = _encoded(step, step.kept, state)
        own = [channel for channel in step.leaving if channel not in step.apart]
        nets = [padded(beside(parts, step.kept, arriving, own, CARRIED[self.alone]), own, step.leaving) for parts in step.options]
        serves = step.serves
        gate: Net | None = step.gate or Affine(np.zeros((len(names), len(state))), np.zeros(len(names))).net
        if step.gate is None and (self.form == "dense" or step.gateless):
            gate, names, serves = None, names[:1] if len(names) == 1 else ("scores",), (0,)
        shared = step.beside_them(state, step.leaving)
        (nets, beside_them, latent), reads = _together(nets, shared, encoder, _whole(step, state), len(state))
        return MoELayer(gate, tuple(nets), serves, names, _labels(step.leaving), reads, shared=beside_them, latent=latent, **step.choosing)

    def _residual(self, step: Step) -> MoELayer:
        """Experts compute their parts only; what is kept is carried beside them."""
        state, options, names, gate = list(self.state), step.options, step.names, step.gate
        own = [channel for part in options[0] for channel in part.writes]
        written = [*own, *step.apart]
        arriving, encoder = _encoded(step, (), state)
        nets = [padded(beside(parts, (), arriving, own, ""), own, written) for parts in options]
        shared = step.beside_them(state, written)
        (nets, beside_them, latent), reads = _together(nets, shared, encoder, _whole(step, state), len(state))
        nets = [factored(net, DIRECTIONS) for net in nets] if len(nets) == 1 else nets
        carries = tuple(state.index(channel) if channel in step.kept else -1 for channel in step.leaving)
        writes = tuple(step.leaving.index(channel) for channel in written)
        names = names if gate is not None else names[:1] if len(options[0]) == 1 and len(names) == 1 else ("scores",)
        serves = step.serves if gate is not None else (0,)
        seeing, sees = (None, None) if gate is None else _alone(gate, _whole(step, state), len(state))
        return MoELayer(
            seeing,
            tuple(nets),
            serves,
            names,
            _labels(step.leaving),
            reads,
            writes,
            carries if step.kept else None,
            beside_them,
            sees=sees,
            latent=latent,
            **step.choosing,
        )

    def finish(self) -> tuple[Network, Design]:
        """All layers, with the read-out folded into the last; float64."""
        outputs = tuple(self.graph[self.graph.output].components)
        forms = [self.forms[name] for name in outputs]
        leaving = tuple(Value(name) for name in outputs)
        last = self.layers[-1]
        if not self.alone or tuple(form.channel for form in forms) != self.state:
            last = read_out(last, affine_of(forms, self.state))
        order = tuple(self.sites[block.name] for block in self.graph.blocks)
        design = Design((*self.states[:-1], leaving), order, tuple(self.joins), self.form, self.alone)
        layers = [
            replace(layer, channels=tuple(map(design.label, state)))
            for layer, state in zip((*self.layers[:-1], last), design.states[1:], strict=True)
        ]
        network = Network(tuple(layers), tuple(map(design.label, design.states[0])))
        check_network(network, design)
        return network, design


def scores_of(made: Built) -> tuple[Score, ...]:
    """The channels of a block's scores, in the order of its gate's outputs."""
    return tuple(Score(made.block.name, name) for name in made.names)


def copied(gate: Net, copies: int) -> Net:
    """The gate with so many equal outputs, one after the other, for each of its own (B21)."""
    last = gate.affines[-1]
    repeated = Affine(np.repeat(last.weight, copies, axis=0), np.repeat(last.bias, copies), last.linear)
    return gate.with_maps((*gate.affines[:-1], repeated))


def _labels(state: Sequence[Channel]) -> tuple[str, ...]:
    """Names until the design gives them theirs."""
    return tuple(map(str, range(len(state))))


def _whole(step: Step, state: Sequence[Channel]) -> set[int]:
    """The columns that parts read as they are, whether or not their weights there are zero."""
    parts = [*(part for parts in step.options for part in parts), *([] if step.latent is None else [step.latent])]
    return {list(state).index(form.channel) for part in parts if part.whole for form in part.reads if form.channel}


def _encoded(step: Step, kept: Sequence[Channel], state: Sequence[Channel]) -> tuple[Sequence[Channel], Affine | None]:
    """What experts read, and the map that makes it of the state: channels that they carry themselves pass it as they are."""
    if step.latent is None:
        return state, None
    pick = affine_of([Form.of(channel) for channel in kept], state)
    inner = step.latent.first(state)
    weight, bias = np.concatenate([pick.weight, inner.weight]), np.concatenate([pick.bias, inner.bias])
    return (*kept, *step.latent.writes), Affine(weight, bias, linear=not bias.any())


def _together(
    nets: Sequence[Net], shared: Sequence[Net], encoder: Affine | None, whole: set[int], width: int
) -> tuple[tuple[list[Net], Net | None, Affine | None], tuple[int, ...] | None]:
    """Experts, a shared one and an encoder that read no more columns of the state than they need, and which these are."""
    outer = [*(nets if encoder is None else [encoder.net]), *shared]
    narrow, reads = _narrowed(outer, whole, width)
    beside_them = narrow[len(narrow) - len(shared)] if shared else None
    if encoder is None:
        return (narrow[: len(nets)], beside_them, None), reads
    return (list(nets), beside_them, narrow[0].affine), reads


def _narrowed(nets: Sequence[Net], whole: set[int], width: int) -> tuple[list[Net], tuple[int, ...] | None]:
    """Nets that do not multiply by columns that are zero in all of them, and the columns that they read; None for all."""
    found = np.any([map_.weight.any(0) for net in nets for map_ in (net.affines[0], *net.ups[:1]) if map_ is not None], axis=0)
    found[list(whole)] = True
    used = np.flatnonzero(found)
    if len(used) == width or not len(used):
        return list(nets), None
    narrow = [reading(net, lambda map_: map_.reading(map_.weight[:, used].copy())) for net in nets]
    return narrow, tuple(used.tolist())


def _alone(net: Net, whole: set[int], width: int) -> tuple[Net, tuple[int, ...] | None]:
    """The same of one net."""
    (narrow,), used = _narrowed([net], whole, width)
    return narrow, used


def padded(net: Net, written: Sequence[Channel], leaving: Sequence[Channel]) -> Net:
    """A net that writes some channels as one that leaves 0 in all others of those that leave."""
    if list(written) == list(leaving):
        return net
    last = net.affines[-1]
    weight, bias = np.zeros((len(leaving), last.weight.shape[1])), np.zeros(len(leaving))
    rows = [list(leaving).index(channel) for channel in written]
    weight[rows], bias[rows] = last.weight, last.bias
    return net.with_maps((*net.affines[:-1], Affine(weight, bias)))
