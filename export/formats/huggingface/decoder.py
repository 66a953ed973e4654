"""A network as a decoder: h ← h + moe(h), layer after layer, every expert with one hidden layer, as the stock classes have it.

Statement. Let every channel that a layer writes get places of its own in the stream h, which are 0 before, and let the channels that a
layer carries stay where they are. Then the decoder computes the network, from the same sums:

* an expert of n hidden layers is n decoder layers with the same gate. What its hidden layer j computes is written into the stream, and
  read by hidden layer j + 1 in the next decoder layer; the stream still holds what the gate reads, so all n choose the same expert. That
  takes weight 1, so K = 1;
* a gate with hidden layers, and an encoder where the class has none, are decoder layers before: what they compute is a channel like any
  other;
* an affine expert is one of linear neurons;
* channels that a layer carries and writes are written in place, h_c ← h_c + written.

Nothing is ever taken out of the stream, so its width is that of all that is computed: the residual form (N8) needs far less than the
paper's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ....errors import InvalidArgument
from ....moe import Affine, MoELayer, Network
from ....moe.activations import IDENTITY, Activation
from ....moe.network import Net

Bends = tuple[tuple[slice, Activation], ...]


class Unfit(InvalidArgument):
    """What a class cannot hold, with a remedy."""


@dataclass(frozen=True, eq=False)
class Branch:
    """h ↦ last(a(first(h[reads]))·up(h[reads])), added to h[writes]."""

    reads: tuple[int, ...]
    first: Affine
    bends: Bends
    up: Affine | None
    last: Affine
    writes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Router:
    """Logits of h[reads]."""

    reads: tuple[int, ...]
    map: Affine


@dataclass(frozen=True, eq=False)
class Stage:
    """One layer of the decoder."""

    what: str
    router: Router | None
    """None: there is nothing to choose, `experts` is one."""
    experts: tuple[Branch | None, ...]
    """None: it does nothing here."""
    shared: Branch | None = None
    encoder: Router | None = None
    """What experts read: then their `reads` count its outputs."""
    layer: int | None = None
    """The layer of the network whose routes it shows."""

    @property
    def branches(self) -> list[Branch]:
        return [branch for branch in (*self.experts, self.shared) if branch is not None]


@dataclass(frozen=True, eq=False)
class Decoder:
    """Layers on a stream that begins with the inputs, then 1 if `one` says where, and 0 elsewhere."""

    stages: tuple[Stage, ...]
    width: int
    inputs: int
    one: int | None
    outputs: tuple[int, ...]
    """Where the outputs are at the end."""


def decoder(network: Network, *, one: bool, encoders: bool, sharing: bool) -> Decoder:
    """The decoder of a network. `one`: whether the stream holds the constant 1; `encoders`, `sharing`: whether the class has an encoder
    before its experts, and a shared expert; where it has none of the latter, every expert gets its neurons.

    Raises `Unfit` for weights that are not normalised, and for several chosen experts of several hidden layers.
    """
    made = _Making(encoders, sharing, len(network.inputs) + one, list(range(len(network.inputs))))
    for number, layer in enumerate(network.layers):
        made.layer(number, layer)
    return Decoder(tuple(made.stages), made.width, len(network.inputs), len(network.inputs) if one else None, tuple(made.state))


@dataclass
class _Making:
    encoders: bool
    sharing: bool
    width: int
    state: list[int]
    """Where the channels of the state are."""
    stages: list[Stage] = field(default_factory=list)

    def fresh(self, count: int) -> tuple[int, ...]:
        self.width += count
        return tuple(range(self.width - count, self.width))

    def layer(self, number: int, layer: MoELayer) -> None:
        called = f"layer {number + 1}"
        arriving = tuple(self.state)
        reads = _picked(arriving, layer.reads)
        router = None
        if layer.gate is not None:
            router = self._router(f"{called}, its gate", layer.gate, _picked(arriving, layer.sees))
        nets = [layer.experts[k] for k in layer.serves]
        encoder, inner = None, reads
        if layer.latent is not None and self.encoders and len({len(net.groups) for net in nets}) == 1:
            encoder = Router(reads, layer.latent)
            inner = tuple(range(len(layer.latent.bias)))
        elif layer.latent is not None:
            inner = self._written(f"{called}, its encoder", layer.latent.net, reads)
        writes = self._targets(called, layer)
        if layer.top_k > 1 and (deepest := max(len(net.groups) for net in nets)) > 1:
            raise Unfit(
                f"{called} takes {layer.top_k} experts of {deepest} hidden layers, and layers of this class have one; "
                "take {routing=affine}, whose experts have one, or leave {top_k=1}"
            )
        chains = _aligned([*nets, *([layer.shared] if layer.shared is not None else [])])
        sources = [inner] * len(nets) + [reads] * (len(chains) - len(nets))
        for step, parts in enumerate(zip(*chains, strict=True)):
            last = step == len(chains[0]) - 1
            own, beside = parts[: len(nets)], parts[len(nets) :]
            places = (
                [writes] * 2 if last else [self.fresh(max((p.width for p in some if p is not None), default=0)) for some in (own, beside)]
            )
            into = [places[0]] * len(own) + [places[1]] * len(beside)
            made = [None if part is None else part.branch(*ends) for part, *ends in zip(parts, sources, into, strict=True)]
            encoded = encoder if any(made[: len(nets)]) and sources[0] is inner else None
            sources = [was if part is None else now for part, was, now in zip(parts, sources, into, strict=True)]
            what = called if len(chains[0]) == 1 else f"{called}, hidden layer {step + 1} of {len(chains[0])}"
            shared = made[len(nets)] if beside else None
            self._add(what, router, tuple(made[: len(nets)]), shared, encoded, number if last else None)
        self.state = self._after(layer, writes)

    def _add(
        self,
        what: str,
        router: Router | None,
        experts: tuple[Branch | None, ...],
        shared: Branch | None,
        encoder: Router | None,
        layer: int | None,
    ) -> None:
        if all(branch is None for branch in experts):  # only the shared expert does something here
            router, experts, shared, encoder = None, (shared,), None, None
        self.stages.append(Stage(what, router, experts, shared, encoder, layer))

    def _router(self, what: str, gate: Net, reads: tuple[int, ...]) -> Router:
        for step in range(len(gate.groups)):
            reads = self._hidden(what, gate, step, reads)
        return Router(reads, gate.affines[-1])

    def _hidden(self, what: str, net: Net, step: int, reads: tuple[int, ...]) -> tuple[int, ...]:
        """A dense layer that writes one hidden layer of a net."""
        part = _Part(net.affines[step], net.activations[step], net.ups[step], None)
        into = self.fresh(part.width)
        self.stages.append(Stage(f"{what}, hidden layer {step + 1}", None, (part.branch(reads, into),)))
        return into

    def _written(self, what: str, net: Net, reads: tuple[int, ...]) -> tuple[int, ...]:
        """A dense layer that writes an affine map."""
        into = self.fresh(net.outputs)
        (part,) = _parts(net)
        self.stages.append(Stage(what, None, (part.branch(reads, into),)))
        return into

    def _targets(self, called: str, layer: MoELayer) -> tuple[int, ...]:
        """Where what experts write is added to."""
        sources = layer.sources.tolist()
        used = Counter(self.state[k] for k in sources if k >= 0)
        places = []
        for target in layer.targets.tolist():
            source = sources[target]
            if source >= 0 and used[self.state[source]] > 1:
                raise Unfit(f"{called} writes to channel {layer.channels[target]!r}, and carries what it was elsewhere; use {{form=paper}}")
            places.append(self.state[source] if source >= 0 else self.fresh(1)[0])
        return tuple(places)

    def _after(self, layer: MoELayer, writes: tuple[int, ...]) -> list[int]:
        written = dict(zip(layer.targets.tolist(), writes, strict=True))
        state = []
        for channel, source in enumerate(layer.sources.tolist()):
            place = written.get(channel, self.state[source] if source >= 0 else None)
            state.append(self.fresh(1)[0] if place is None else place)
        return state


@dataclass(frozen=True, eq=False)
class _Part:
    """One hidden layer of a net, and the affine map behind it if it is the last."""

    first: Affine
    bends: Bends
    up: Affine | None
    last: Affine | None

    @property
    def width(self) -> int:
        return len(self.first.bias)

    def branch(self, reads: Sequence[int], writes: Sequence[int]) -> Branch:
        last = self.last
        if last is None:  # as it is, into the first of the places
            last, writes = Affine.without_bias(np.eye(self.width, dtype=self.first.weight.dtype)), writes[: self.width]
        return Branch(tuple(reads)[: self.first.weight.shape[1]], self.first, self.bends, self.up, last, tuple(writes))


def _parts(net: Net) -> list[_Part]:
    """A net, hidden layer by hidden layer; one of linear neurons if it has none."""
    if not net.groups:
        width = net.outputs
        return [_Part(net.affine, ((slice(0, width), IDENTITY),), None, Affine.without_bias(np.eye(width, dtype=net.dtype)))]
    lasts = [*[None] * (len(net.groups) - 1), net.affines[-1]]
    return [_Part(*part) for part in zip(net.affines[:-1], net.activations, net.ups, lasts, strict=True)]


def _aligned(nets: Sequence[Net]) -> list[list[_Part | None]]:
    """The parts of nets, so that all end together."""
    chains = [_parts(net) for net in nets]
    deepest = max(map(len, chains))
    return [[*[None] * (deepest - len(chain)), *chain] for chain in chains]


def _picked(state: tuple[int, ...], which: Sequence[int] | None) -> tuple[int, ...]:
    return state if which is None else tuple(state[k] for k in which)
