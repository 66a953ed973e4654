"""One MoE layer over boxes: what its gate may choose, and what comes out.

Channels that only carry an input are followed exactly (`linear.split`), so that nets which read nothing else are folded onto y and keep
few directions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...atlas import Array
from ...intervals import Interval
from ...moe.layer import MoELayer, Weighting
from ...moe.nets import Affine, Net
from ..enclosure import TaylorForms, prepare
from ..enclosure.taylor import EPS
from .choice import Indices, difference, largest, mixed, possible, rounded, subsets
from .linear import fold, fold_affine, split

LOGITS = 1 << 22
"""Coefficients of logits enclosed at a time."""


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

    def reading(self, y: TaylorForms) -> State:
        """The same with finer forms of what is read, box by box."""
        computed = None if self.computed is None else self.computed.raised(y.degree)
        return State(self.box, y.subset(self.box), self.carries, computed)


@dataclass(frozen=True, eq=False)
class Reading:
    """What nets read: Q·y, |y| ≤ size, in channels that carry inputs, and computed channels."""

    embedding: Array | None
    size: Array

    def forms(self, state: State, channels: Indices) -> TaylorForms:
        """Channels of a state, row by row."""
        k = state.y.functions
        both = state.y if state.computed is None else TaylorForms.concatenate([state.y, state.computed])
        position = np.cumsum(state.carries < 0) - 1
        matrix = np.zeros((len(channels), both.functions))
        for n, channel in enumerate(channels):
            source = state.carries[channel]
            if source >= 0:
                matrix[n, :k] = np.eye(k)[source] if self.embedding is None else self.embedding[source]
            else:
                matrix[n, k + position[channel]] = 1.0
        return both.affine(matrix)

    def inputs(self, state: State, channels: Indices) -> TaylorForms:
        """The same for nets that are folded: y itself where the channels carry inputs only."""
        return state.y if (state.carries[channels] >= 0).all() else self.forms(state, channels)

    def rows(self, inputs: Indices) -> Array | None:
        """The matrix that takes y to these inputs; None where a net reads y itself, or computed channels too."""
        if (inputs < 0).any():
            return None
        if self.embedding is not None:
            return self.embedding[inputs]
        return None if np.array_equal(inputs, np.arange(len(self.size))) else np.eye(len(self.size))[inputs]


class _Net:
    """A net on channels that carry these inputs: folded onto y where all do."""

    def __init__(self, net: Net, carries: Indices, reading: Reading) -> None:
        folded = fold(net, reading.rows(carries), reading.size)
        self.net = folded.net
        self.enclosure = prepare(folded.net)
        self.slack = Interval(-folded.slack, folded.slack)

    def __call__(self, inputs: TaylorForms) -> TaylorForms:
        return self.enclosure(inputs).plus(self.slack)


class _Linear:
    """A linear map on such channels."""

    def __init__(self, map_: Affine, carries: Indices, reading: Reading) -> None:
        self.map, slack = fold_affine(map_, reading.rows(carries), reading.size)
        self.slack = Interval(-slack, slack)

    def __call__(self, inputs: TaylorForms) -> TaylorForms:
        return inputs.affine(self.map.weight).plus(self.slack)


class _AffineGate:
    """Logits that are an affine map of a state: the carried channels folded onto y, the others as they are."""

    def __init__(self, map_: Affine, carries: Indices, reading: Reading, inputs: int) -> None:
        weight = np.asarray(map_.weight, float)
        onto_inputs = np.zeros((len(weight), inputs))
        onto_inputs[:, carries[carries >= 0]] = weight[:, carries >= 0]
        self.carried, slack = fold_affine(Affine(onto_inputs, np.asarray(map_.bias, float)), reading.embedding, reading.size)
        self.slack = Interval(-slack, slack)
        self.computed = weight[:, carries < 0]

    def logits(self, state: State) -> TaylorForms:
        out = state.y.affine(self.carried.weight, self.carried.bias).plus(self.slack)
        return out if state.computed is None or not self.computed.any() else out + state.computed.affine(self.computed)

    def possible(self, state: State, tolerance: float, top_k: int) -> tuple[Indices, Indices]:
        return possible(self.logits(state), tolerance, top_k)

    def relative(self, state: State, best: Indices) -> TaylorForms:
        """All logits less that of one output of each row."""
        logits, rows = self.logits(state), np.arange(len(best))
        top = TaylorForms(logits.coefficients[rows, :, best][:, :, None], logits.radius[rows, best][:, None])
        return logits - top[:, [0] * logits.functions]


class _NetGate:
    """Logits that are a net of a state (N1)."""

    def __init__(self, net: Net, carries: Indices, reading: Reading) -> None:
        self.net, self.carries, self.reading = net.astype(float), carries, reading
        self.whole = _Net(net, carries, reading)
        self.less: dict[int, _Net] = {}

    def logits(self, state: State) -> TaylorForms:
        return self.whole(self._inputs(state))

    def _inputs(self, state: State) -> TaylorForms:
        return self.reading.inputs(state, np.arange(len(self.carries)))

    def _relative(self, inputs: TaylorForms, best: int) -> TaylorForms:
        if best not in self.less:
            self.less[best] = _Net(difference(self.net, best), self.carries, self.reading)
        net = self.less[best]
        slack = rounded(net.net, inputs.range().magnitude) + EPS * net.slack.upper
        return net(inputs).plus(Interval(-slack, slack))

    def relative(self, state: State, best: Indices) -> TaylorForms:
        """All logits less that of one output of each row."""
        inputs = self._inputs(state)
        return _each(best, inputs, lambda b, some: self._relative(some, b))

    def possible(self, state: State, tolerance: float, top_k: int) -> tuple[Indices, Indices]:
        """As `choice.possible`, by the nets of differences."""
        inputs = self._inputs(state)
        beaten = np.zeros((len(state.box), len(self.net.affines[-1].bias)), np.intp)
        for best in largest(self.whole(inputs).center, top_k):
            for b in np.unique(best):
                rows = np.flatnonzero(best == b)
                below = self._relative(inputs.subset(rows), int(b)).range().upper < -tolerance
                below[:, b] = False
                beaten[rows] += below
        row, column = np.nonzero(beaten < top_k)
        return row, column


class EnclosedLayer:
    """One MoE layer, prepared: its gate, and its experts as they are needed."""

    def __init__(self, layer: MoELayer, carries: Indices, reading: Reading, inputs: int) -> None:
        self.layer, self.carries, self.reading = layer, carries, reading
        self.gate: _AffineGate | _NetGate | None = None
        if layer.gate is not None:
            plain = len(layer.gate.affines) == 1
            self.gate = _AffineGate(layer.gate.affine, carries, reading, inputs) if plain else _NetGate(layer.gate, carries, reading)
        self.reads = np.arange(len(carries)) if layer.reads is None else np.array(layer.reads, np.intp)
        self.serves = np.array(layer.serves, np.intp)
        self.after = carried_inputs(layer, carries)
        """Which input each channel behind the layer carries exactly; −1 for none."""
        self.nets: dict[int, _Net] = {}
        self.parts: dict[tuple[int, bytes], tuple[_Net, _Linear | None]] = {}
        self.position = np.full(len(layer.channels), -1)
        self.position[layer.targets] = np.arange(len(layer.targets))

    @property
    def single(self) -> bool:
        """Whether the output is that of one chosen expert, and perhaps of the shared one."""
        return self.layer.top_k == 1 and self.layer.weighting is not Weighting.RECTIFIED

    @property
    def convex(self) -> bool:
        """Whether the weights of the chosen experts add up to 1."""
        return self.layer.weighting is not Weighting.RECTIFIED

    def logits(self, state: State) -> TaylorForms:
        """Of all gate outputs. Not of a dense layer, which has none."""
        assert self.gate is not None
        return self.gate.logits(state)

    def chosen(self, state: State, eta: float) -> tuple[Indices, Indices]:
        """Rows and gate outputs that may be among the chosen there, each logit known to ±η."""
        if self.gate is None:
            return np.arange(len(state.box)), np.zeros(len(state.box), np.intp)
        rows, gates = [], []
        step = max(1, LOGITS // (len(self.layer) * state.y.coefficients.shape[1]))
        for start in range(0, len(state.box), step):
            part = np.arange(start, min(start + step, len(state.box)))
            row, gate = self.gate.possible(state.subset(part), 2 * eta, self.layer.top_k)
            rows.append(part[row])
            gates.append(gate)
        return np.concatenate(rows), np.concatenate(gates)

    def expert(self, stored: int, state: State) -> TaylorForms:
        """All channels behind the layer if this stored expert, with weight 1, and the shared one write them."""
        inputs = self.reading.inputs(state, self.reads)
        return self._whole(state, self._net(stored)(inputs), inputs)

    def blend(self, state: State, chosen: Indices) -> TaylorForms:
        """All channels behind the layer if these gate outputs are chosen, (rows, K) best or not."""
        inputs = self.reading.inputs(state, self.reads)
        written = self._mixed(state, chosen, inputs, lambda k, some: self._net(k)(some))
        return self._whole(state, written, inputs)

    def _whole(self, state: State, written: TaylorForms, inputs: TaylorForms) -> TaylorForms:
        """All channels, from all outputs of experts."""
        channels, outputs = np.arange(len(self.layer.channels)), np.arange(len(self.layer.targets))
        return self._placed(state, self._with_shared(written, inputs), channels, outputs)

    def advance(self, state: State, eta: float) -> State:
        """The state behind the layer; rows multiply where several experts, or sets of K, may be chosen."""
        channels = np.flatnonzero(self.after < 0)
        written = self.position[channels]
        which = written[written >= 0]
        net = lambda k, inputs: self._computed(k, which, inputs)  # noqa: E731
        if self.single:
            rows, stored = self._stored(state, eta)
            state = state.subset(rows)
            inputs = self.reading.inputs(state, self.reads)
            out = _each(stored, inputs, net)
        else:
            rows, chosen = subsets(*self.chosen(state, eta), len(state.box), self.layer.top_k)
            lost = np.setdiff1d(np.arange(len(state.box)), rows)
            filler = np.tile(np.arange(self.layer.top_k), (len(lost), 1))
            state = state.subset(np.concatenate([rows, lost]))
            inputs = self.reading.inputs(state, self.reads)
            out = self._mixed(state, np.concatenate([chosen, filler]), inputs, net)
            unknown = np.zeros((len(state.box), out.functions), bool)
            unknown[len(rows) :] = True  # too many sets of K to tell apart
            out = out.unknown_where(unknown)
        out = self._with_shared(out, inputs, which)
        return State(state.box, state.y, self.after, self._placed(state, out, channels, which) if len(channels) else None)

    def _stored(self, state: State, eta: float) -> tuple[Indices, Indices]:
        """Rows and stored experts that may be chosen there."""
        if len(self.layer.experts) == 1:
            return np.arange(len(state.box)), np.zeros(len(state.box), np.intp)
        rows, gates = self.chosen(state, eta)
        pairs = np.unique(np.stack([rows, self.serves[gates]], axis=1), axis=0)
        return pairs[:, 0], pairs[:, 1]

    def _mixed(self, state: State, chosen: Indices, inputs: TaylorForms, net: Callable[[int, TaylorForms], TaylorForms]) -> TaylorForms:
        outputs = [_each(self.serves[part], inputs, net) for part in chosen.T]
        assert self.gate is not None
        index = np.arange(len(chosen))[:, None], chosen
        logits, relative = self.gate.logits(state), self.gate.relative(state, chosen[:, 0])
        some = [TaylorForms(f.coefficients[index[0], :, index[1]].transpose(0, 2, 1), f.radius[index]) for f in (logits, relative)]
        return mixed(self.layer, outputs, *some)

    def _with_shared(self, written: TaylorForms, inputs: TaylorForms, which: Indices | None = None) -> TaylorForms:
        if self.layer.shared is None:
            return written
        return written + (self._net(-1)(inputs) if which is None else self._computed(-1, which, inputs))

    def _placed(self, state: State, written: TaylorForms, channels: Indices, which: Indices) -> TaylorForms:
        """carry(h) + scatter(written) at some channels, `written` the outputs number `which`."""
        sources, position = self.layer.sources[channels], self.position[channels]
        if (sources < 0).all() and np.array_equal(position, which):
            return written
        place, pick = np.zeros((len(channels), len(which))), np.zeros((len(channels), len(self.carries)))
        rows, column = np.nonzero(position[:, None] == which)
        place[rows, column] = 1
        carried = np.flatnonzero(sources >= 0)
        pick[carried, sources[carried]] = 1
        out = written.affine(place)
        return out + self.reading.forms(state, np.arange(len(self.carries))).affine(pick) if len(carried) else out

    def _net(self, stored: int) -> _Net:
        """The enclosure of a stored expert; −1: of the shared one."""
        if stored not in self.nets:
            self.nets[stored] = _Net(self._weights(stored), self.carries[self.reads], self.reading)
        return self.nets[stored]

    def _weights(self, stored: int) -> Net:
        net = self.layer.shared if stored < 0 else self.layer.experts[stored]
        assert net is not None
        return net

    def _computed(self, stored: int, outputs: Indices, inputs: TaylorForms) -> TaylorForms:
        """Some outputs of a stored expert, its linear part kept apart from the rest."""
        if (stored, outputs.tobytes()) not in self.parts:
            parts = split(self._weights(stored))
            last = parts.rest.affines[-1]
            rest = parts.rest.with_maps((*parts.rest.affines[:-1], Affine(last.weight[outputs], last.bias[outputs])))
            carried = Affine(parts.carried[outputs], np.zeros(len(outputs)))
            carries = self.carries[self.reads]
            linear = _Linear(carried, carries, self.reading) if carried.weight.any() else None
            self.parts[stored, outputs.tobytes()] = (_Net(rest, carries, self.reading), linear)
        net, linear = self.parts[stored, outputs.tobytes()]
        return net(inputs) if linear is None else net(inputs) + linear(inputs)


def _each(which: Indices, inputs: TaylorForms, net: Callable[[int, TaylorForms], TaylorForms]) -> TaylorForms:
    """Row n through net number which[n]."""
    order = np.argsort(which, kind="stable")
    parts = [net(int(k), inputs.subset(np.flatnonzero(which == k))) for k in np.unique(which)]
    if not parts:
        return net(0, inputs)
    together = TaylorForms(np.concatenate([p.coefficients for p in parts]), np.concatenate([p.radius for p in parts]))
    return together.subset(np.argsort(order, kind="stable"))


def carried_inputs(layer: MoELayer, carries: Indices) -> Indices:
    """Which input each channel behind the layer carries exactly, whichever expert is taken; −1 for none."""
    source = carried_channels(layer, len(carries))
    found = np.where(source >= 0, carries[source], -1)
    first = np.zeros(len(found), bool)
    first[np.unique(found, return_index=True)[1]] = True
    return np.where(first, found, -1)  # a second copy of an input counts as computed


def carried_channels(layer: MoELayer, arriving: int) -> Indices:
    """Which arriving channel each channel behind the layer equals exactly, whichever expert is taken; −1 for none.

    Carried, and nothing written to it; or what every stored expert passes on unchanged, if one is taken with weight 1.
    """
    reads = np.arange(arriving) if layer.reads is None else np.array(layer.reads, np.intp)
    passed = np.full(len(layer.targets), -1)
    silent = np.ones(len(layer.targets), bool)
    for n, net in enumerate(layer.experts):
        through, idle = _passed(net, reads)
        passed = through if n == 0 else np.where(passed == through, through, -1)
        silent &= idle
    if layer.top_k > 1 or layer.weighting is Weighting.RECTIFIED:
        passed = np.full(len(passed), -1)
    if layer.shared is not None:
        idle = _passed(layer.shared, reads)[1]
        passed, silent = np.where(idle, passed, -1), silent & idle
    found = layer.sources.copy()
    kept = found[layer.targets]
    found[layer.targets] = np.where(kept < 0, passed, np.where(silent, kept, -1))
    return found


def _passed(net: Net, reads: Indices) -> tuple[Indices, Array]:
    """For every output the channel that it is exactly, −1 for none; and which outputs are 0."""
    parts = split(net)
    last = parts.rest.affines[-1]
    silent = ~last.weight.any(1) & (last.bias == 0)
    if not parts.carried.shape[1]:
        return np.full(len(silent), -1), silent
    unit = ((parts.carried == 1).sum(1) == 1) & ((parts.carried != 0).sum(1) == 1)
    return np.where(silent & unit, reads[parts.carried.argmax(1)], -1), silent & ~parts.carried.any(1)
