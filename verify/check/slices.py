"""What computes some channels, and from what: origins of all channels, and slices of a network, found in the weights (B9).

Behind every layer a channel is an exact copy of an earlier one or computed there. So every number has one origin, (0, i) for input i
or (l, c) for channel c behind layer l, and what is proved of a slice holds whatever the channels are that it does not read. Here a
slice is made of layers that carry beside their experts, whatever form the network has.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from ...atlas import Array
from .layers import Layer, narrowed
from .nets import Indices, Net

Origin = tuple[int, int]
NONE = np.empty(0, np.intp)


class Slice(NamedTuple):
    """Layers that take numbers of known origin, `reads`, to the channels asked for."""

    layers: tuple[Layer, ...]
    reads: tuple[Origin, ...]


class Slicer:
    """Origins of all channels of a network."""

    def __init__(self, inputs: int, layers: Sequence[Layer]) -> None:
        self.inputs, self.layers = inputs, tuple(layers)
        self.origins: list[list[Origin]] = [[(0, i) for i in range(inputs)]]
        for number, layer in enumerate(layers, 1):
            before = self.origins[-1]
            self.origins.append([before[a] if a >= 0 else (number, c) for c, a in enumerate(layer.copies.tolist())])

    def has(self, origin: Origin) -> bool:
        """Whether something is computed there."""
        layer, channel = origin
        return 0 <= layer < len(self.origins) and 0 <= channel < len(self.origins[layer]) and self.origins[layer][channel] == origin

    def slice(self, last: int, channels: Sequence[int], known: Collection[Origin], gated: bool = False) -> Slice:
        """What computes channels behind layer `last`, from 1, out of inputs and numbers of `known` origin.

        `gated`: the gate of that layer is kept even where it decides nothing about them.
        """
        known = {*known, *self.origins[0]}
        wanted, carried, layers = list(channels), list[Origin](), list[Layer]()
        while True:
            layer, wanted, carried = self._restricted(last, wanted, carried, known, gated)
            layers.append(layer)
            last, gated = last - 1, False
            if not wanted:
                return Slice(tuple(layers[::-1]), tuple(carried))

    def _restricted(
        self, number: int, wanted: list[int], carried: list[Origin], known: Collection[Origin], gated: bool
    ) -> tuple[Layer, list[int], list[Origin]]:
        """The layer that computes the channels `wanted` and passes numbers of the origins `carried`; what it needs of the layer before,
        and of which origins it is given numbers after that.
        """
        layer, arriving = self.layers[number - 1], self.origins[number - 1]
        copies, place = layer.copies, {c: n for n, c in enumerate(layer.writes.tolist())}
        passing = [int(copies[c]) if copies[c] >= 0 else int(layer.carries[c]) for c in wanted]
        written = [n for n, c in enumerate(wanted) if copies[c] < 0 and c in place]
        part = narrowed(_computing(layer, np.array([place[wanted[n]] for n in written], np.intp), gated))
        needed = {*part.reads.tolist(), *part.sees.tolist(), *(a for a in passing if a >= 0)}
        below = sorted(a for a in needed if arriving[a] not in known)
        sources = list(dict.fromkeys([*carried, *(arriving[a] for a in sorted(needed) if arriving[a] in known)]))
        at = {a: below.index(a) if arriving[a] not in known else len(below) + sources.index(arriving[a]) for a in needed}

        def moved(channels: Indices) -> Indices:
            return np.array([at[a] for a in channels.tolist()], np.intp)

        carries = [at[a] if a >= 0 else -1 for a in passing] + [len(below) + sources.index(origin) for origin in carried]
        part = part._replace(
            reads=moved(part.reads), sees=moved(part.sees), writes=np.array(written, np.intp), carries=np.array(carries, np.intp)
        )
        return part, below, sources


def _computing(layer: Layer, outputs: Indices, gated: bool) -> Layer:
    """The layer's nets for some of their outputs, equal ones once; without its gate where that decides nothing about them."""
    shared = None if layer.shared is None else layer.shared.outputs(outputs)
    if shared is not None and shared.silent.all():
        shared = None
    nets, serves = _distinct([net.outputs(outputs) for net in layer.nets] if len(outputs) else [])
    serves = serves[layer.serves] if len(outputs) else layer.serves
    keeps = gated and layer.gate is not None
    if shared is not None and len(nets) == 1 and not keeps and nets[0].silent.all():
        return Layer(None, NONE, (shared,), np.zeros(1, np.intp), ("all",), layer.reads, NONE, NONE)  # experts add 0, whatever the weights
    if keeps or len(nets) > 1 or (len(nets) == 1 and not layer.unit):
        return layer._replace(nets=nets, serves=serves, shared=shared)
    alone, reads = np.zeros(len(nets), np.intp), layer.reads if nets else NONE
    return Layer(None, NONE, nets, alone, ("all",), reads, NONE, NONE, shared, 1, layer.weighting)


def _distinct(nets: list[Net]) -> tuple[tuple[Net, ...], Indices]:
    """Each net once, and which of them every entry is."""
    places: dict[tuple[bytes, ...], int] = {}
    keys = [tuple(part for map_ in net.stored for part in map_.key) for net in nets]
    which = np.array([places.setdefault(key, len(places)) for key in keys], np.intp)
    return tuple(nets[int(np.flatnonzero(which == n)[0])] for n in range(len(places))), which


def without_linear(part: Slice, column: int) -> tuple[Array, Slice]:
    """(w, rest): outputs = w·(number `column` of `reads`) + those of the rest, as far as it is carried there, or all experts of the last
    layer share that part, or the shared expert has it.
    """
    last = part.layers[-1]
    outputs = len(last.carries)
    nothing = np.zeros(outputs), part
    position = column
    for layer in part.layers[:-1]:
        found = np.flatnonzero(layer.carries == position)
        if len(found) != 1 or found[0] in layer.writes:
            return nothing
        position = int(found[0])
    weights = (last.carries == position).astype(float)
    bared = last._replace(carries=np.where(last.carries == position, -1, last.carries))
    at = last.reads.tolist().index(position) if position in last.reads.tolist() else -1
    each, beside = np.zeros((2, len(last.writes)))
    # What several experts share, weights apply to; what the shared one has they do not.
    if last.nets and at >= 0 and (last.unit or not any(net.skip[:, at].any() for net in last.nets)):
        each, others = last.nets[0].skip[:, at], last.nets[1:]
        beside = beside if last.shared is None else last.shared.skip[:, at]
        several = (each * beside).any() or ((each + beside) * weights[last.writes]).any()
        if several or any(not np.array_equal(net.skip[:, at], each) for net in others):
            return nothing
        bared = bared._replace(nets=tuple(net.without(at) for net in last.nets), shared=last.shared and last.shared.without(at))
    weights[last.writes] += each + beside  # two of the three are 0
    if not weights.any():
        return nothing
    bare = Slicer(len(part.reads), (*part.layers[:-1], narrowed(bared)))
    rest = bare.slice(len(part.layers), range(outputs), (), last.gate is not None)
    return weights, Slice(rest.layers, tuple(part.reads[i] for _, i in rest.reads))
