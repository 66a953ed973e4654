"""Enclosures of a whole mixture of experts over boxes: which experts may win at each layer, and what comes out along each such path.

The network reads x = Q·y (Q the embedding, or the identity) at points y enclosed by Taylor forms. Channels that only carry an input
are followed exactly (`linear.split`), so that experts which read nothing else are folded onto y and keep few directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array
from ...intervals import Interval
from ...moe.network import Affine, MoELayer, Network, ReLUNet
from ..enclosure import TaylorForms, prepare
from ..enclosure.taylor import EPS
from .linear import fold, fold_affine, split
from .rounding import GENEROUS

LOGITS = 1 << 22
"""Coefficients of logits enclosed at a time."""
Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class State:
    """The channels after some layers, on rows of (box, path): `carries[c]` ≥ 0 says that channel c is input x_carries[c] exactly."""

    box: Indices
    """(rows,): which box each row is about."""
    y: TaylorForms
    """(rows, k)."""
    carries: Indices
    """(channels,)."""
    computed: TaylorForms | None
    """The other channels in order; None if there are none."""

    def subset(self, rows: Indices) -> State:
        return State(self.box[rows], self.y.subset(rows), self.carries, None if self.computed is None else self.computed.subset(rows))


class _Map:
    """An affine map of a state: the carried channels folded onto y, the others as they are."""

    def __init__(self, map_: Affine, carries: Indices, embedding: Array | None, size: Array, inputs: int) -> None:
        weight = np.asarray(map_.weight, float)
        onto_inputs = np.zeros((len(weight), inputs))
        onto_inputs[:, carries[carries >= 0]] = weight[:, carries >= 0]
        self.carried, slack = fold_affine(Affine(onto_inputs, np.asarray(map_.bias, float)), embedding, size)
        self.slack = Interval(-slack, slack)
        self.computed = weight[:, carries < 0]

    def __call__(self, state: State) -> TaylorForms:
        out = state.y.affine(self.carried.weight, self.carried.bias).plus(self.slack)
        return out if state.computed is None or not self.computed.any() else out + state.computed.affine(self.computed)


class _Net:
    """A ReLU net on the channels it reads: folded onto y where it reads inputs only."""

    def __init__(self, net: ReLUNet, carries: Indices, embedding: Array | None, size: Array) -> None:
        folded = fold(net, _rows(embedding, carries, len(size)), size)
        self.enclosure = prepare(folded.net)
        self.slack = Interval(-folded.slack, folded.slack)

    def __call__(self, inputs: TaylorForms) -> TaylorForms:
        return self.enclosure(inputs).plus(self.slack)


class _Linear:
    """A linear map on the channels that an expert reads."""

    def __init__(self, map_: Affine, carries: Indices, embedding: Array | None, size: Array) -> None:
        self.map, slack = fold_affine(map_, _rows(embedding, carries, len(size)), size)
        self.slack = Interval(-slack, slack)

    def __call__(self, inputs: TaylorForms) -> TaylorForms:
        return inputs.affine(self.map.weight).plus(self.slack)


def _rows(embedding: Array | None, inputs: Indices, base: int) -> Array | None:
    """The matrix that takes y to these inputs; None where an expert reads y itself, or computed channels too."""
    if (inputs < 0).any():
        return None
    if embedding is not None:
        return embedding[inputs]
    return None if np.array_equal(inputs, np.arange(base)) else np.eye(base)[inputs]


class _Layer:
    """One MoE layer, prepared: its gate, and its experts as they are needed."""

    def __init__(self, layer: MoELayer, carries: Indices, embedding: Array | None, size: Array, inputs: int) -> None:
        self.layer, self.embedding, self.size = layer, embedding, size
        self.gate = _Map(layer.affine_gate, carries, embedding, size, inputs)
        self.reads = np.arange(len(carries)) if layer.reads is None else np.array(layer.reads, np.intp)
        self.carries = carries
        self.serves = np.array(layer.serves, np.intp)
        self.nets: dict[int, _Net] = {}
        self.parts: dict[tuple[int, bytes], tuple[_Net, _Linear | None]] = {}

    def winners(self, state: State, eta: float) -> tuple[Indices, Indices]:
        """Rows and gate outputs that may have the largest logit there, each logit known to ±η."""
        rows, gates = [], []
        E = len(self.layer)
        step = max(1, LOGITS // (E * state.y.coefficients.shape[1]))
        for start in range(0, len(state.box), step):
            part = np.arange(start, min(start + step, len(state.box)))
            row, gate = possible(self.gate(state.subset(part)), 2 * eta)
            rows.append(part[row])
            gates.append(gate)
        return np.concatenate(rows), np.concatenate(gates)

    def inputs(self, state: State) -> TaylorForms:
        """What experts read, row by row: y itself where they read carried inputs only."""
        carries = self.carries[self.reads]
        if (carries >= 0).all():
            return state.y
        assert state.computed is not None
        position = np.cumsum(self.carries < 0) - 1
        k = state.y.functions
        both = TaylorForms.concatenate([state.y, state.computed])
        matrix = np.zeros((len(self.reads), both.functions))
        for n, channel in enumerate(self.reads):
            if self.carries[channel] >= 0:
                source = self.carries[channel]
                matrix[n, :k] = np.eye(k)[source] if self.embedding is None else self.embedding[source]
            else:
                matrix[n, k + position[channel]] = 1.0
        return both.affine(matrix)

    def computed(self, stored: int, channels: Indices, inputs: TaylorForms) -> TaylorForms:
        """Some output channels of a stored expert, its linear part kept apart from the rest."""
        if (stored, channels.tobytes()) not in self.parts:
            parts = split(self.layer.experts[stored])
            last = parts.rest.affines[-1]
            kept = Affine(last.weight[channels], last.bias[channels])
            rest = ReLUNet((*parts.rest.affines[:-1], kept), parts.rest.groups)
            carried = Affine(parts.carried[channels], np.zeros(len(channels)))
            net = _Net(rest, self.carries[self.reads], self.embedding, self.size)
            linear = _Linear(carried, self.carries[self.reads], self.embedding, self.size) if carried.weight.any() else None
            self.parts[stored, channels.tobytes()] = (net, linear)
        net, linear = self.parts[stored, channels.tobytes()]
        return net(inputs) if linear is None else net(inputs) + linear(inputs)

    def expert(self, stored: int) -> _Net:
        """The enclosure of a stored expert."""
        if stored not in self.nets:
            self.nets[stored] = _Net(self.layer.experts[stored], self.carries[self.reads], self.embedding, self.size)
        return self.nets[stored]


class EnclosedNetwork:
    """A network near points y: it reads Q·z for some z within `moves` of y, |z| ≤ size."""

    def __init__(self, network: Network, embedding: Array | None, size: Array, moves: Array | None = None) -> None:
        D = len(network.inputs)
        self.moves = None if moves is None else Interval(-moves, moves)
        self.network, self.embedding, self.size = network, embedding, size
        carries: Indices = np.arange(D)
        self.layers: list[_Layer] = []
        self.after: list[Indices] = []
        for layer in network.layers:
            self.layers.append(_Layer(layer, carries, embedding, size, D))
            carries = carried_inputs(layer, carries)
            self.after.append(carries)

    def start(self, y: TaylorForms) -> State:
        """What arrives at the first layer."""
        y = y if self.moves is None else y.plus(self.moves)
        return State(np.arange(len(y)), y, np.arange(len(self.network.inputs)), None)

    def before_last(self, y: TaylorForms, eta: float) -> State:
        """The state at the last gate, one row for every path that may lead there."""
        state = self.start(y)
        for layer, carries in zip(self.layers[:-1], self.after[:-1], strict=True):
            state = _advance(layer, carries, state, eta)
        return state


def carried_inputs(layer: MoELayer, carries: Indices) -> Indices:
    """Which input each channel behind the layer carries exactly, whichever expert is taken; −1 for none."""
    source = carried_channels(layer)
    found = np.where(source >= 0, carries[source], -1)
    first = np.zeros(len(found), bool)
    first[np.unique(found, return_index=True)[1]] = True
    return np.where(first, found, -1)  # a second copy of an input counts as computed


def carried_channels(layer: MoELayer) -> Indices:
    """Which arriving channel each channel behind the layer equals exactly, whichever expert is taken; −1 for none."""
    reads = np.arange(layer.affine_gate.weight.shape[1]) if layer.reads is None else np.array(layer.reads, np.intp)
    found = None
    for expert in layer.experts:
        parts = split(expert)
        silent = ~parts.rest.affines[-1].weight.any(1) & (parts.rest.affines[-1].bias == 0)
        unit = ((parts.carried == 1).sum(1) == 1) & ((parts.carried != 0).sum(1) == 1)
        through = np.where(silent & unit, reads[parts.carried.argmax(1)], -1)
        found = through if found is None else np.where(found == through, through, -1)
    assert found is not None
    return found


def _advance(layer: _Layer, carries: Indices, state: State, eta: float) -> State:
    """The state behind a layer; rows multiply where several experts may win."""
    computed = np.flatnonzero(carries < 0)
    if len(layer.layer.experts) == 1:
        rows, stored = np.arange(len(state.box)), np.zeros(len(state.box), np.intp)
    else:
        rows, gates = layer.winners(state, eta)
        pairs = np.unique(np.stack([rows, layer.serves[gates]], axis=1), axis=0)
        rows, stored = pairs[:, 0], pairs[:, 1]
    state = state.subset(rows)
    inputs = layer.inputs(state)
    parts = []
    order = np.argsort(stored, kind="stable")
    for k in np.unique(stored):
        mine = np.flatnonzero(stored == k)
        parts.append(layer.computed(int(k), computed, inputs.subset(mine)))
    back = np.argsort(order, kind="stable")
    together = TaylorForms(np.concatenate([p.coefficients for p in parts]), np.concatenate([p.radius for p in parts]))
    return State(state.box, state.y, carries, together.subset(back) if len(computed) else None)


def possible(logits: TaylorForms, tolerance: float) -> tuple[Indices, Indices]:
    """Rows and columns of all logits that may be within `tolerance` of the row's largest, (rows, E) forms.

    Logits are compared with the one that is largest at the box's middle as differences of forms, in which common parts cancel.
    """
    spread = GENEROUS * (np.abs(logits.coefficients[:, 1:]).sum(1) + logits.radius)
    best = np.argmax(logits.center, axis=1)
    rows = np.arange(len(best))
    ceiling = logits.center + spread
    ceiling += EPS * np.abs(ceiling)
    floor = logits.center[rows, best] - spread[rows, best] - GENEROUS * tolerance
    floor -= 2 * EPS * (np.abs(logits.center[rows, best]) + spread[rows, best] + tolerance)
    row, column = np.nonzero(~(ceiling < floor[:, None]))
    own = logits.coefficients[row, :, column]
    top = logits.coefficients[row, :, best[row]]
    one = TaylorForms(own[:, :, None], logits.radius[row, column][:, None]) - TaylorForms(
        top[:, :, None], logits.radius[row, best[row]][:, None]
    )
    keep = (column == best[row]) | ~(one.range().upper[:, 0] < -tolerance)
    return row[keep], column[keep]
