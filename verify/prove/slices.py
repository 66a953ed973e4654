"""Slices of a network: the part of it that computes some channels, from the weights alone.

Behind every layer a channel is either an exact copy of an earlier one (`forward.carried_channels`) or computed there. So every number in
the network has one *origin*: (0, i) for input i, (l, c) for channel c computed by layer l. A slice computes some channels from numbers of
known origin, which it carries to wherever they are read; gates that decide nothing about its channels, and neurons and channels that
nothing in it reads, are left out. What is proved of a slice holds for every input of the network, whatever the other channels are (B9).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag

from ...atlas import Array
from ...moe.channels import Channel
from ...moe.design import Design
from ...moe.network import Affine, MoELayer, Network, NeuronGroup, ReLUNet
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

    def computed(self, design: Design, channel: Channel) -> Origin | None:
        """Where a channel is computed first; None if no layer computes it."""
        for number, place in enumerate(design.places):
            if number and channel in place and self.origins[number][place[channel]] == (number, place[channel]):
                return number, place[channel]
        return None

    def slice(
        self, layer: int, channels: Collection[int], known: Collection[Origin], spare: Origin = (0, 0), *, choosing: bool = False
    ) -> Slice:
        """The part that computes channels behind layer number `layer` from inputs and numbers of `known` origin."""
        known = {*known, *((0, i) for i in range(len(self.network.inputs)))}
        wanted: Indices = np.array(sorted(channels), np.intp)
        carried: list[Origin] = []
        layers: list[MoELayer] = []
        for state in range(layer, 0, -1):
            part, wanted, carried = _restricted(self.network.layers[state - 1], wanted, carried, self.origins[state - 1], known)
            layers.insert(0, part)
            if not len(wanted):
                break
        return Slice(Network(tuple(layers), tuple(map(self._name, carried))), tuple(carried))

    def _name(self, origin: Origin) -> str:
        layer, channel = origin
        return self.network.inputs[channel] if layer == 0 else self.network.layers[layer - 1].channels[channel]


def _restricted(
    layer: MoELayer, wanted: Indices, carried: list[Origin], arriving: list[Origin], known: Collection[Origin]
) -> tuple[MoELayer, Indices, list[Origin]]:
    """The layer, computing the channels `wanted` and carrying numbers of the origins `carried`.

    Its inputs are arriving channels of unknown origin, which are given back, and then numbers to carry to it, given back too.
    """
    reads = np.arange(len(arriving)) if layer.reads is None else np.array(layer.reads, np.intp)
    nets, serves = _distinct([_outputs(layer.experts[k], wanted) for k in layer.serves])
    used = np.zeros(len(arriving), bool)
    for net in nets:
        used[reads[(net.affines[0].weight != 0).any(0)]] = True
    decides = len(nets) > 1
    if decides:
        used |= (layer.affine_gate.weight != 0).any(0)
    below = np.array([c for c in np.flatnonzero(used) if arriving[c] not in known], np.intp)
    sources, column = list(carried), [-1] * len(carried)
    for c in np.flatnonzero(used).tolist():
        if arriving[c] not in known:
            continue
        # Several channels may be copies of one number; each is an input of its own, so that no weights have to be added.
        free = [n for n, origin in enumerate(sources) if origin == arriving[c] and column[n] < 0]
        if free:
            column[free[0]] = c
        else:
            sources, column = [*sources, arriving[c]], [*column, c]
    # Which arriving channel each input of the slice's layer stands for; none where it is only carried.
    picks = np.zeros((len(below) + len(sources), len(arriving)))
    picks[np.arange(len(below)), below] = 1
    for n, channel in enumerate(column, len(below)):
        if channel >= 0:
            picks[n, channel] = 1
    place = [len(below) + n for n in range(len(carried))]
    experts = tuple(_beside(net, np.asarray(picks[:, reads]), place) for net in nets)
    if decides:
        gate = Affine(np.asarray(layer.affine_gate.weight @ picks.T, layer.dtype), layer.affine_gate.bias)
    else:
        gate = Affine(np.zeros((1, len(picks)), layer.dtype), np.zeros(1, layer.dtype))
    names = layer.names if decides else ("all",)
    written = (*(layer.channels[c] for c in wanted), *(f"carried{origin}" for origin in carried))
    return MoELayer(gate.net, experts, serves if decides else (0,), names, written), below, sources


def _beside(net: ReLUNet, picks: Array, place: list[int]) -> ReLUNet:
    """The net behind a choice of inputs, with the inputs at `place` carried beside it, unchanged."""
    dtype, k = net.affines[0].weight.dtype, len(place)
    affines = []
    for j, map_ in enumerate(net.affines):
        first, last = j == 0, j == len(net.affines) - 1
        own = map_.weight @ picks.T if first else map_.weight
        carry = np.zeros((k, len(picks)))
        carry[np.arange(k), place] = 1
        if not first:
            carry = np.eye(2 * k) if not last else np.concatenate([np.eye(k), -np.eye(k)], axis=1)
        elif not last:
            carry = np.concatenate([carry, -carry])
        weight = np.concatenate([own, carry]) if first else block_diag(own, carry)
        affines.append(Affine(np.asarray(weight, dtype), np.concatenate([map_.bias, np.zeros(len(carry), dtype)])))
    groups = tuple((NeuronGroup("slice", len(map_.bias), "a slice of a larger network"),) for map_ in affines[:-1])
    return ReLUNet(tuple(affines), groups)


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
