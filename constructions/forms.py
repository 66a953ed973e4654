"""What a component is in terms of channels, and how nets stand beside each other in one expert.

The state between two layers is a set of channels: inputs of the network, values of blocks and combinations that have been computed, scores
that have been and are yet to be compared. Every other component (coordinates before an embedding, affine combinations) is an affine form
of these and is folded into whatever reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag

from ..atlas import Array
from ..moe.channels import Channel
from ..moe.network import Affine, Net, NeuronGroup

CARRIED = {True: "x = σ(x) − σ(−x), Theorem 4.8 step 2 (R1)", False: "c = σ(c) − σ(−c), Theorem 5.2 (R1, R2)"}
"""Where neurons that carry come from, for one block alone and for a graph of several."""


@dataclass(frozen=True)
class Form:
    """An affine form Σ weights[channel]·channel + constant."""

    weights: Mapping[Channel, float]
    constant: float = 0.0

    @staticmethod
    def of(channel: Channel) -> Form:
        return Form({channel: 1.0})

    @property
    def channel(self) -> Channel | None:
        """The one channel that this form is, if it is no other."""
        if len(self.weights) != 1 or self.constant != 0:
            return None
        ((channel, weight),) = self.weights.items()
        return channel if weight == 1.0 else None


def combined(row: Array, constant: float, parts: Sequence[Form]) -> Form:
    """Σ row_k·part_k + constant."""
    weights: dict[Channel, float] = {}
    for factor, part in zip(row.tolist(), parts, strict=True):
        if factor == 0:
            continue
        constant += factor * part.constant
        for channel, weight in part.weights.items():
            weights[channel] = weights.get(channel, 0.0) + factor * weight
    return Form({channel: weight for channel, weight in weights.items() if weight}, float(constant))


def affine_of(forms: Sequence[Form], state: Sequence[Channel]) -> Affine:
    """The forms as one affine map of the state, which must hold all that they need."""
    place = {channel: k for k, channel in enumerate(state)}
    weight = np.zeros((len(forms), len(state)))
    for row, form in zip(weight, forms, strict=True):
        for channel, value in form.weights.items():
            row[place[channel]] = value
    return Affine(weight, np.array([form.constant for form in forms], float))


@dataclass(frozen=True, eq=False)
class Part:
    """A network beside those that carry channels: it reads forms of the state and writes channels."""

    net: Net
    reads: tuple[Form, ...]
    writes: tuple[Channel, ...]
    whole: bool = False
    """Whether it reads channels as they are: then its first weights are stored where those stand, and not multiplied by anything."""

    def first(self, state: Sequence[Channel]) -> Affine:
        """Its first map, of the state."""
        return self._of(self.net.affines[0], state)

    def on(self, state: Sequence[Channel]) -> Net:
        """The net as one of the state."""
        return self.net.with_maps((self.first(state), *self.net.affines[1:]), [self.up(j, state) for j in range(len(self.net.ups))])

    def up(self, layer: int, state: Sequence[Channel]) -> Affine | None:
        """What gates a hidden layer; of the first one, a map of the state."""
        map_ = self.net.ups[layer]
        return map_ if map_ is None or layer else self._of(map_, state)

    def _of(self, map_: Affine, state: Sequence[Channel]) -> Affine:
        """A map of what it reads as one of the state."""
        if not self.whole:
            return map_.after(affine_of(self.reads, state))
        weight = np.zeros((len(map_.bias), len(state)))
        weight[:, [list(state).index(form.channel) for form in self.reads if form.channel is not None]] = map_.weight
        return map_.reading(weight)


def factored(net: Net, origin: str) -> Net:
    """The net with its first map in two steps, if that stores fewer numbers: D·x, K rows, then act(S·(σ(D·x) − σ(−D·x)) + b).

    Rows of the first map that are equal bit for bit, or up to their sign, share a row of D, and S (m, 2K) holds ±1: what a neuron is a
    function of is the same real number, c = σ(c) − σ(−c). That pays where many neurons read many channels along few directions.
    """
    if not net.groups or net.ups[0] is not None:
        return net
    weight, bias = net.affines[0].weight, net.affines[0].bias
    leading = np.take_along_axis(weight, (weight != 0).argmax(1)[:, None], 1)[:, 0]
    sign = np.where(leading < 0, -1.0, 1.0)
    rows, which = np.unique(weight * sign[:, None] + 0.0, axis=0, return_inverse=True)
    (m, n), K = weight.shape, len(rows)
    if 2 * K * (n + 1) + 2 * K * m >= m * n:
        return net
    selection = np.zeros((m, 2 * K))
    selection[np.arange(m), which.reshape(-1)], selection[np.arange(m), K + which.reshape(-1)] = sign, -sign
    first, second = Affine(np.concatenate([rows, -rows]), np.zeros(2 * K)), Affine(selection, bias)
    groups = (NeuronGroup("direction", 2 * K, origin),)
    return Net((first, second, *net.affines[1:]), (groups, *net.groups), (None, *net.ups))


def beside(parts: Sequence[Part], kept: Sequence[Channel], state: Sequence[Channel], leaving: Sequence[Channel], carry: str) -> Net:
    """One net that carries the channels `kept` and computes all `parts`, which have equal depth, from the `state`.

    A channel is carried as c = σ(c) − σ(−c), exactly in floats and in any order of summation (R1). The outputs are the channels
    `leaving`, each of them kept or written by a part; `carry` is the origin of the neurons that carry. Without parts there is one
    hidden layer.
    """
    depth = max((len(part.net.affines) for part in parts), default=2)
    k = len(kept)
    pick = np.zeros((k, len(state)))
    pick[np.arange(k), [list(state).index(channel) for channel in kept]] = 1
    written = [*kept, *(channel for part in parts for channel in part.writes)]
    order = [written.index(channel) for channel in leaving]
    affines, groups, ups = [], [], []
    for j in range(depth):
        first, last = j == 0, j == depth - 1
        inner = pick if first else np.eye(k if last else 2 * k)
        passing = np.concatenate([inner, -inner], axis=1 if last and not first else 0) if first != last else inner
        maps = [Affine(passing, np.zeros(len(passing)))] if k else []
        maps += [part.first(state) if first else part.net.affines[j] for part in parts]
        joined = _joined(maps, first)
        affines.append(Affine(joined.weight[order], joined.bias[order]) if last else joined)
        if not last:
            carried = (NeuronGroup("carry", 2 * k, carry),) if k else ()
            groups.append((*carried, *(group for part in parts for group in part.net.groups[j])))
            gates = [*([None] if k else []), *(part.up(j, state) for part in parts)]
            ones = [gate or Affine(np.zeros_like(m.weight), np.ones(len(m.bias))) for gate, m in zip(gates, maps, strict=True)]
            ups.append(_joined(ones, first) if any(gate is not None for gate in gates) else None)
    return Net(tuple(affines), tuple(groups), tuple(ups))


def _joined(maps: Sequence[Affine], same: bool) -> Affine:
    """Maps beside each other, of the same inputs or each of its own."""
    if len(maps) == 1:
        return maps[0]
    weight = np.concatenate([m.weight for m in maps]) if same else block_diag(*(m.weight for m in maps))
    return Affine(weight, np.concatenate([m.bias for m in maps]))


def reading(net: Net, change: Callable[[Affine], Affine]) -> Net:
    """The net with its first maps changed."""
    first = [None if up is None else change(up) for up in net.ups[:1]]
    return net.with_maps((change(net.affines[0]), *net.affines[1:]), (*first, *net.ups[1:]))
