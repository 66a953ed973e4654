"""Slices of a network: the part of it that computes some channels, from the weights alone.

Behind every layer a channel is either an exact copy of an earlier one (`forward.carried_channels`) or computed there. So every number in
the network has one *origin*: (0, i) for input i, (l, c) for channel c computed by layer l. A slice runs from the last state at which
everything it needs has a known origin; gates that decide nothing about its channels, and neurons and channels that nothing in it reads,
are left out. What is proved of a slice holds for every input of the network, whatever the other channels are (B9).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...constructions.network import Affine, MoELayer, Network, ReLUNet
from ...errors import InvalidArgument
from .forward import carried_channels
from .linear import pruned

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
        self.origins: list[list[Origin]] = [[(0, i) for i in range(len(network.inputs))]]
        for number, layer in enumerate(network.layers, 1):
            source = carried_channels(layer)
            before = self.origins[-1]
            self.origins.append([before[s] if s >= 0 else (number, c) for c, s in enumerate(source.tolist())])

    def computed(self, channel: str) -> Origin | None:
        """Where the channel of that name is computed first; None if no layer computes one."""
        for number, layer in enumerate(self.network.layers, 1):
            for c, name in enumerate(layer.channels):
                if name == channel and self.origins[number][c] == (number, c):
                    return number, c
        return None

    def slice(self, layer: int, channels: Collection[int], known: Collection[Origin]) -> Slice:
        """The part that computes channels behind layer number `layer` from inputs and numbers of `known` origin.

        Raises `InvalidArgument` if they depend on something else.
        """
        known = {*known, *((0, i) for i in range(len(self.network.inputs)))}
        needed = np.array(sorted(channels), np.intp)
        layers: list[MoELayer] = []
        state = layer
        while not layers or not all(self.origins[state][c] in known for c in needed):
            if state == 0:
                raise InvalidArgument(f"channels {sorted(channels)} of layer {layer} depend on channels that no earlier proof is about")
            part, needed = _restricted(self.network.layers[state - 1], needed)
            layers.insert(0, part)
            state -= 1
        names = self.network.inputs if state == 0 else self.network.layers[state - 1].channels
        return Slice(Network(tuple(layers), tuple(names[c] for c in needed)), tuple(self.origins[state][c] for c in needed))


def _restricted(layer: MoELayer, channels: Indices) -> tuple[MoELayer, Indices]:
    """The layer, writing only these channels; and the arriving channels that they depend on."""
    arriving = layer.gate.weight.shape[1]
    reads = np.arange(arriving) if layer.reads is None else np.array(layer.reads, np.intp)
    nets, serves = _distinct([_outputs(layer.experts[k], channels) for k in layer.serves])
    used = np.zeros(arriving, bool)
    for net in nets:
        used[reads[(net.affines[0].weight != 0).any(0)]] = True
    decides = len(nets) > 1
    if decides:
        used |= (layer.gate.weight != 0).any(0)
    kept = np.flatnonzero(used)
    # Experts read all that is kept: a column of zeros where they do not need it.
    columns = {int(channel): n for n, channel in enumerate(kept)}
    narrow = []
    for net in nets:
        first = net.affines[0]
        weight = np.zeros((len(first.bias), len(kept)), first.weight.dtype)
        for k, channel in enumerate(reads.tolist()):
            if channel in columns:
                weight[:, columns[channel]] = first.weight[:, k]
        narrow.append(ReLUNet((Affine(weight, first.bias), *net.affines[1:]), net.groups))
    gate = Affine(np.ascontiguousarray(layer.gate.weight[:, kept]), layer.gate.bias)
    if not decides:
        gate = Affine(np.zeros((1, len(kept)), gate.weight.dtype), np.zeros(1, gate.weight.dtype))
    names = layer.names if decides else ("all",)
    written = tuple(layer.channels[c] for c in channels)
    return MoELayer(gate, tuple(narrow), serves if decides else (0,), names, written), kept


def _outputs(net: ReLUNet, channels: Indices) -> ReLUNet:
    """Some outputs of a net, and the neurons they depend on."""
    last = net.affines[-1]
    return pruned(ReLUNet((*net.affines[:-1], Affine(last.weight[channels], last.bias[channels])), net.groups))


def _distinct(nets: list[ReLUNet]) -> tuple[list[ReLUNet], tuple[int, ...]]:
    """Each net once, and which of them every entry is."""
    found: dict[tuple[bytes, ...], int] = {}
    kept: list[ReLUNet] = []
    serves = []
    for net in nets:
        key = tuple(array.tobytes() + str(array.shape).encode() for a in net.affines for array in (a.weight, a.bias))
        if key not in found:
            found[key] = len(kept)
            kept.append(net)
        serves.append(found[key])
    return kept, tuple(serves)
