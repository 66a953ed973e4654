"""Slices of a network: the part of it that computes some channels, from the weights alone.

Behind every layer a channel is either an exact copy of an earlier one (`layers.carried_channels`) or computed there. So every number in
the network has one *origin*: (0, i) for input i, (l, c) for channel c computed by layer l. A slice computes some channels from numbers of
known origin, which its layers carry to wherever they are read; gates that decide nothing about its channels, layers that only copy, and
neurons and channels that nothing in it reads are left out. What is proved of a slice holds for every input of the network, whatever the
other channels are (B9).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...moe.channels import Channel
from ...moe.design import Design
from ...moe.layer import Weighting
from ...moe.nets import Affine, Net
from ...moe.network import MoELayer, Network
from .layers import carried_channels
from .linear import first_reads, on_inputs, pruned

Origin = tuple[int, int]
Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Slice:
    """A network that reads numbers of known origin and computes some channels of a larger one."""

    network: Network
    reads: tuple[Origin, ...]


class Slicer:
    """Origins of all channels of a network, and its slices."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.copies: list[Indices] = []
        """For every layer, which arriving channel each channel behind it is."""
        self.origins: list[list[Origin]] = [[(0, i) for i in range(len(network.inputs))]]
        for number, layer in enumerate(network.layers, 1):
            before = self.origins[-1]
            self.copies.append(carried_channels(layer, len(before)))
            self.origins.append([before[s] if s >= 0 else (number, c) for c, s in enumerate(self.copies[-1].tolist())])

    def computed(self, design: Design, channel: Channel) -> Origin | None:
        """Where a channel is computed first; None if no layer computes it."""
        for number, place in enumerate(design.places):
            if number and channel in place and self.origins[number][place[channel]] == (number, place[channel]):
                return number, place[channel]
        return None

    def slice(
        self, layer: int, channels: Sequence[int], known: Collection[Origin], spare: Origin = (0, 0), *, choosing: bool = False
    ) -> Slice:
        """The part that computes channels behind layer number `layer` from inputs and numbers of `known` origin.

        What reads nothing reads `spare`. `choosing`: the gate of that layer stays, even if it decides nothing.
        """
        known = {*known, *((0, i) for i in range(len(self.network.inputs)))}
        wanted, carried = list(channels), list[Origin]()
        layers: list[MoELayer] = []
        for number in range(layer, 0, -1):
            copies, arriving = self.copies[number - 1], self.origins[number - 1]
            if all(copies[c] >= 0 and arriving[copies[c]] not in known for c in wanted):
                wanted = [int(copies[c]) for c in wanted]  # the layer only copies
                continue
            cut = _Cut(self.network.layers[number - 1], copies, arriving, known, choosing and not layers)
            part, wanted, carried = cut(wanted, carried, spare)
            layers.insert(0, part)
            if not wanted:
                break
        return Slice(Network(tuple(layers), tuple(map(self._name, carried))), tuple(carried))

    def _name(self, origin: Origin) -> str:
        layer, channel = origin
        return self.network.inputs[channel] if layer == 0 else self.network.layers[layer - 1].channels[channel]


@dataclass(frozen=True, eq=False)
class _Cut:
    """How one layer is cut."""

    layer: MoELayer
    copies: Indices
    """Which arriving channel each channel behind it is."""
    arriving: Sequence[Origin]
    known: Collection[Origin]
    choosing: bool

    def __call__(self, wanted: list[int], carried: list[Origin], spare: Origin) -> tuple[MoELayer, list[int], list[Origin]]:
        """The layer, computing the channels `wanted` and carrying numbers of the origins `carried`.

        What arrives at it are arriving channels of unknown origin, which are given back, and then numbers to carry to it, given back too.
        """
        layer = self.layer
        own = [c for c in wanted if self.copies[c] < 0] or wanted
        source = {c: int(layer.sources[c] if c in own else self.copies[c]) for c in wanted}
        position = {int(c): n for n, c in enumerate(layer.targets)}
        rows = [position.get(c, -1) for c in own]
        nets, serves = _distinct([_outputs(layer.experts[k], rows) for k in layer.serves])
        shared = None if layer.shared is None else _outputs(layer.shared, rows)
        if shared is not None and _silent(shared):
            shared = None
        many = layer.top_k > 1 or layer.weighting is Weighting.RECTIFIED
        if shared is not None and len(nets) == 1 and not self.choosing and _silent(nets[0]):
            nets, shared, serves, many = [shared], None, (0,) * len(serves), False  # what all inputs share is all that is written (N7)
        gate = layer.gate if len(nets) > 1 or many or self.choosing else None
        reads = np.arange(len(self.arriving)) if layer.reads is None else np.array(layer.reads, np.intp)
        columns = np.any([first_reads(net) for net in (*nets, *(() if shared is None else (shared,)))], axis=0)
        used = np.zeros(len(self.arriving), bool)
        used[reads[columns]] = True
        used[[s for s in source.values() if s >= 0]] = True
        if gate is not None:
            used |= first_reads(gate)
        below, sources, slots = self._slots(np.flatnonzero(used).tolist(), carried)
        if not (below or sources):
            sources = [spare]
        width = len(below) + len(sources)
        carries = [slots.get(source[c], -1) for c in wanted] + [len(below) + n for n in range(len(carried))]
        plain = len(own) == len(carries) and max(carries) < 0
        part = MoELayer(
            None if gate is None else _reading(gate, [slots.get(c, -1) for c in range(len(self.arriving))], width),
            tuple(_some_inputs(net, columns) for net in nets),
            serves if gate is not None else (0,),
            layer.names if gate is not None else ("all",),
            (*(layer.channels[c] for c in wanted), *(f"carried{origin}" for origin in carried)),
            reads=tuple(slots[int(c)] for c in reads[columns]) or (0,),
            writes=None if plain else tuple(wanted.index(c) for c in own),
            carries=None if plain else tuple(carries),
            shared=None if shared is None else _some_inputs(shared, columns),
            top_k=layer.top_k if gate is not None else 1,
            # What groups share out in equal parts stays so: 1/K is a rounding.
            weighting=Weighting.SOFTMAX if gate is None and layer.weighting is Weighting.RECTIFIED else layer.weighting,
        )
        return part, below, sources

    def _slots(self, used: list[int], carried: list[Origin]) -> tuple[list[int], list[Origin], dict[int, int]]:
        """Channels to be computed below, numbers to be carried here, and the place of every used channel among the two.

        Several channels may be copies of one number; each has a place of its own, so that no weights have to be added.
        """
        below = [c for c in used if self.arriving[c] not in self.known]
        sources, taken = list(carried), [False] * len(carried)
        slots = {c: n for n, c in enumerate(below)}
        for c in used:
            origin = self.arriving[c]
            if origin not in self.known:
                continue
            free = [n for n, other in enumerate(sources) if other == origin and not taken[n]]
            if not free:
                free, sources, taken = [len(sources)], [*sources, origin], [*taken, True]
            taken[free[0]] = True
            slots[c] = len(below) + free[0]
        return below, sources, slots


def _reading(gate: Net, slots: list[int], width: int) -> Net:
    """The gate behind a choice of its inputs: input c is number slots[c] of `width`, or read with weight 0."""

    def moved(map_: Affine) -> Affine:
        weight = np.zeros((len(map_.weight), width), map_.weight.dtype)
        for c, slot in enumerate(slots):
            if slot >= 0:
                weight[:, slot] = map_.weight[:, c]
        return Affine(weight, map_.bias)

    return on_inputs(gate, moved)


def _some_inputs(net: Net, columns: NDArray[np.bool_]) -> Net:
    """The net on some of its inputs; on one that it reads with weight 0, if there are none."""

    def fewer(map_: Affine) -> Affine:
        weight = map_.weight[:, columns] if columns.any() else np.zeros((len(map_.weight), 1), map_.weight.dtype)
        return Affine(weight, map_.bias)

    return on_inputs(net, fewer)


def _outputs(net: Net, rows: Sequence[int]) -> Net:
    """Some outputs of a net, and the neurons they depend on; −1 is an output that is 0."""
    last, where = net.affines[-1], np.array(rows, np.intp)
    weight, bias = np.where(where[:, None] >= 0, last.weight[where], 0), np.where(where >= 0, last.bias[where], 0)
    kept = Affine(weight.astype(net.dtype), bias.astype(net.dtype))
    return pruned(net.with_maps((*net.affines[:-1], kept)))


def _silent(net: Net) -> bool:
    """Whether it is 0."""
    return not (net.affines[-1].weight.any() or net.affines[-1].bias.any())


def _distinct(nets: list[Net]) -> tuple[list[Net], tuple[int, ...]]:
    """Each net once, and which of them every entry is."""
    found: dict[tuple[object, ...], int] = {}
    kept: list[Net] = []
    serves = []
    for net in nets:
        kinds = tuple(tuple((part.start, part.stop, kind.name) for part, kind in layer) for layer in net.activations)
        lanes = tuple(up is not None for up in net.ups)
        key = kinds, lanes, tuple(array.tobytes() + str(array.shape).encode() for a in net.maps for array in (a.weight, a.bias))
        if key not in found:
            found[key] = len(kept)
            kept.append(net)
        serves.append(found[key])
    return kept, tuple(serves)
