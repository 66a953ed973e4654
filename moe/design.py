"""`Design`: what a network is made of, in the terms of its task; typed, and written to disk beside the weights.

Blocks of a task become *sites*: a gate that routes, experts that compute, perhaps a layer before them that writes scores. What flows
between layers are *channels*. Whoever explains, samples, proves or exports a network reads here where things are; nothing is
found out from names. What the design says is a claim like any other: `grammar.check_network` holds it against the network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..atlas.graph.nodes import component_names
from ..errors import InvalidArgument
from .channels import Channel, Input, Score, Value
from .network import Indices, Network
from .promise import ScorePromise

FORMS = ("paper", "dense", "residual")
"""How channels pass a layer: through σ(c) − σ(−c) inside every expert, or carried beside the experts (N8). Dense is paper, but that layers
with nothing to choose have no gate (N3).
"""


@dataclass(frozen=True)
class Site:
    """One block in the network: where it is routed and computed, and what is said of it there."""

    block: str
    layer: int
    """Its gate picks the piece and its experts write the block's values; from 0."""
    pieces: tuple[str, ...]
    """The chart or piece that each gate output stands for; one that several stand for is served by the same expert (B21)."""
    scores: int | None = None
    """The layer that writes its scores; None where the gate reads what the block reads."""
    router: str = "given"
    """Which router built it (`constructions.routers`); "given" where nobody says."""
    promise: ScorePromise | None = None
    """What the logits follow, and how closely; None where nothing is said."""
    budget: float | None = None
    """How far the values that its layer writes may be from the block's own function of what the layer reads."""
    either: bool = False
    """Whether next to an interface of two pieces either will do; of charts, whether some that are chosen may not hold the point, with
    weights that make up for it (N12).
    """
    ambient: bool = False
    """Whether its nets read all D channels of its input as they arrive, in the place of coordinates before embedding."""
    first: int = 0
    """The gate output of its first piece: several sites may share a layer, each with gate outputs of its own."""

    wider: float = 0.0
    """How far beyond their inner faces its pieces may be taken: their weights fade there (N18)."""

    @property
    def outputs(self) -> range:
        """The gate outputs that stand for its pieces."""
        return range(self.first, self.first + len(self.pieces))

    def own(self, chosen: Indices) -> NDArray[np.bool_]:
        """Which of the gate outputs that its layer chose, [N, K], are those of its pieces."""
        return (chosen >= self.first) & (chosen < self.first + len(self.pieces))

    def taken(self, chosen: Indices) -> tuple[Indices, Indices]:
        """Of the gate outputs that its layer chose, [N, K], best first, its own: [N, m], m the most at any point, as places among its
        pieces and as columns of `chosen`. Where there are fewer the first stands again; −1 and 0 where there is none.
        """
        own = self.own(chosen)
        columns = np.argsort(~own, axis=1, kind="stable")[:, : max(1, int(own.sum(1).max(initial=0)))]
        mine = np.take_along_axis(own, columns, axis=1)
        columns = np.where(mine, columns, np.where(mine[:, :1], columns[:, :1], 0))
        places = np.take_along_axis(chosen, columns, axis=1) - self.first
        return np.where(mine[:, :1], places, -1), columns


@dataclass(frozen=True)
class Join:
    """A combination that is no affine map: one expert for all points computes it."""

    node: str
    layer: int
    budget: float | None = None


@dataclass(frozen=True)
class Design:
    """Sites in the order of the task's blocks, joins in that of its combinations, and what every channel is."""

    states: tuple[tuple[Channel, ...], ...]
    """What arrives at layer 0, 1, …, and what the last one leaves."""
    sites: tuple[Site, ...]
    joins: tuple[Join, ...] = ()
    form: str = "paper"
    alone: bool = False
    """Whether the task is one block on one input: its channels are then called tau[piece] and y[0], y[1], …"""

    def __getitem__(self, block: str) -> Site:
        for site in self.sites:
            if site.block == block:
                return site
        raise InvalidArgument(f"the design has no site for block {block!r}; it has {', '.join(site.block for site in self.sites)}")

    @cached_property
    def places(self) -> tuple[dict[Channel, int], ...]:
        """For every state, channel ↦ column."""
        return tuple({channel: k for k, channel in enumerate(state)} for state in self.states)

    def label(self, channel: Channel) -> str:
        """What files and people call a channel."""
        match channel:
            case Input(index):
                return f"x[{index}]"
            case Score(block, piece):
                return f"tau[{piece}]" if self.alone else f"tau[{block}][{piece}]"
            case Value(component):
                return f"y[{component}]" if self._named else f"y[{self._values.index(component)}]"

    @cached_property
    def _named(self) -> bool:
        """Whether components have names, and not only a place."""
        return not self.alone or self._values != component_names(self.sites[-1].block, len(self._values))

    @cached_property
    def _values(self) -> tuple[str, ...]:
        """The components of the last state, which is the output."""
        return tuple(channel.component for channel in self.states[-1] if isinstance(channel, Value))

    def scores(self, site: Site) -> tuple[Score, ...]:
        """The channels that a site's gate compares, in the order of its outputs."""
        return tuple(Score(site.block, piece) for piece in site.pieces)

    def computed(self, component: str) -> tuple[int, int] | None:
        """The first state, from 1, that holds a component, and its column there; None if none does."""
        for state, place in enumerate(self.places):
            if state and Value(component) in place:
                return state, place[Value(component)]
        return None

    def does(self, layer: int) -> Iterator[str]:
        """What a layer, from 0, does, in words."""
        if scored := [site.block for site in self.sites if site.scores == layer]:
            yield f"appends the scores of {', '.join(scored)}"
        if routed := [site.block for site in self.sites if site.layer == layer]:
            yield f"routes {', '.join(routed)}"
        if joined := [join.node for join in self.joins if join.layer == layer]:
            yield f"computes {', '.join(joined)}"


def design_of(network: Network, block: str, pieces: Sequence[str], outputs: Sequence[str], promise: ScorePromise | None = None) -> Design:
    """The design of a network that routes one block by its last layer, gate output i standing for piece i: what a hand-made or
    fine-tuned network for one manifold needs to be verified. Channels in between are taken for inputs where they are called so.
    """
    inputs = tuple(Input(k) for k in range(len(network.inputs)))
    known = dict(zip(network.inputs, inputs, strict=True))
    states: list[tuple[Channel, ...]] = [inputs]
    for number, layer in enumerate(network.layers[:-1]):
        states.append(tuple(known.get(name, Value(f"layer{number + 1}[{k}]")) for k, name in enumerate(layer.channels)))
    states.append(tuple(Value(name) for name in outputs))
    last = len(network.layers) - 1
    return Design(tuple(states), (Site(block, last, tuple(pieces), promise=promise, ambient=True),), alone=True)
