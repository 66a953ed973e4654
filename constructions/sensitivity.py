"""How far the numbers of a network move where its ReLU neurons are replaced by smooth ones (N21), layer by layer, by a formula.

a(β·z)/β = σ(z) − e(β·z)/β with 0 ≤ e ≤ c and e(t) = σ(t) − a(t) even, as a(t) − a(−t) = t. So of neurons that have z or −z for their
pre-activation, with weights A_1, A_2, … in one sum, the sum of all moves by at most c·|ΣA|/(2β), once the middle c·ΣA/(2β) is added: the
two that carry a number, with weights 1 and −1, move nothing. What arrives with an error passes such neurons with the steepness
max(|Σ A over z|, |Σ A over −z|), because σ has a slope of 1 on one side only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..atlas import Array
from ..errors import InvalidArgument
from ..moe.activations import RELU
from ..moe.network import MoELayer, Net, Network, Weighting

SAFE = 1 + 2.0**-20
"""Covers the roundings of a bound's own sums."""


@dataclass(frozen=True)
class Slot:
    """The ReLU neurons of one hidden layer: of all experts of a layer, the shared one among them, or of its gate; both counted from 0."""

    layer: int
    gate: bool
    hidden: int

    def __str__(self) -> str:
        return f"layer {self.layer + 1}, {'gate' if self.gate else 'experts'}, hidden layer {self.hidden + 1}"


@dataclass(frozen=True, eq=False)
class Moved:
    """At most how far everything moves."""

    states: tuple[Array, ...]
    """What arrives at layer 0, 1, …, and the output, channel by channel."""
    logits: tuple[Array, ...]
    """Of every layer, (E,)."""
    own: tuple[Array, ...]
    """What leaves every layer, for what arrives as it is."""


def relu_of(net: Net, hidden: int) -> NDArray[np.bool_]:
    """Which neurons of a hidden layer are σ."""
    return np.repeat([group.activation is RELU for group in net.groups[hidden]], [group.count for group in net.groups[hidden]])


def nets_of(layer: MoELayer, gate: bool) -> tuple[Net, ...]:
    """The gate, or all experts."""
    if gate:
        return () if layer.gate is None else (layer.gate,)
    return layer.experts if layer.shared is None else (*layer.experts, layer.shared)


def slots_of(network: Network) -> Iterator[Slot]:
    """Hidden layers with ReLU neurons."""
    for number, layer in enumerate(network.layers):
        for gate in (True, False):
            nets = nets_of(layer, gate)
            for hidden in range(max((len(net.groups) for net in nets), default=0)):
                if any(hidden < len(net.groups) and relu_of(net, hidden).any() for net in nets):
                    yield Slot(number, gate, hidden)


def moved(network: Network, gaps: Mapping[Slot, float], near: Mapping[int, float]) -> Moved:
    """With c/β for every slot; what it does not have stays what it is. `near`: of layers, from 0, how near every expert that may be chosen
    is to what the layer follows. Raises `InvalidArgument` where no formula bounds it.
    """
    states, logits, own = [np.zeros(len(network.inputs))], [], []
    for number, layer in enumerate(network.layers):
        arriving = states[-1]
        seen = arriving if layer.sees is None else arriving[list(layer.sees)]
        there = {gate: [gaps.get(Slot(number, gate, j), 0.0) for j in range(_depth(layer, gate))] for gate in (True, False)}
        logits.append(np.zeros(1) if layer.gate is None else through(layer.gate, seen, there[True]))
        weights = _weights(layer, number, float(logits[-1].max()), near)
        states.append(_behind(layer, arriving, there[False], weights))
        own.append(_behind(layer, 0 * arriving, there[False], weights))
    return Moved(tuple(states), tuple(logits), tuple(own))


def _depth(layer: MoELayer, gate: bool) -> int:
    return max((len(net.groups) for net in nets_of(layer, gate)), default=0)


def _weights(layer: MoELayer, number: int, off: float, near: Mapping[int, float]) -> float:
    """How far the mixture of the chosen experts moves because its weights do: Σ_k δw_k·q_k = Σ_k δw_k·(q_k − f), as Σ_k δw_k = 0, and of
    softmax weights Σ_jk |∂w_j/∂s_k| = Σ_k 2·w_k·(1 − w_k) ≤ 2·(1 − 1/K).
    """
    if off == 0 or layer.top_k == 1 or layer.weighting is Weighting.UNIFORM:
        return 0.0
    if number not in near:
        raise InvalidArgument(
            f"layer {number + 1} weighs {layer.top_k} experts by logits that would move by {off:.3g}, and nothing says how near to each "
            "other these experts are; compile it with {weighting=uniform}"
        )
    return 2 * (1 - 1 / layer.top_k) * off * near[number]


def _behind(layer: MoELayer, arriving: Array, gaps: list[float], weights: float) -> Array:
    """What leaves a layer whose weights add up to 1, and move what it writes by `weights`."""
    reads = arriving if layer.reads is None else arriving[list(layer.reads)]
    inner = reads if layer.latent is None else np.abs(layer.latent.weight.astype(float)) @ reads * SAFE
    written = np.max([through(net, inner, gaps) for net in layer.experts], axis=0) + weights
    if layer.shared is not None:
        written = written + through(layer.shared, reads, gaps)
    sources = layer.sources
    out = np.where(sources >= 0, arriving[sources], 0.0)
    np.add.at(out, layer.targets, written)
    return out * SAFE


def through(net: Net, error: Array, gaps: list[float]) -> Array:
    """The outputs of a net whose inputs are off by `error`, and whose hidden layer j has c/β = gaps[j]."""
    off = np.abs(net.affines[0].weight.astype(float)) @ error
    for j in range(len(net.groups)):
        if net.ups[j] is not None and (error.any() or off.any()):
            raise InvalidArgument("product lanes read what the substitution moves, and no formula here bounds what they make of it")
        off = _behind_neurons(net, j, off, gaps[j]) * SAFE
    return off


def _behind_neurons(net: Net, hidden: int, off: Array, gap: float) -> Array:
    """What the affine map behind a hidden layer gives, of pre-activations that are off."""
    weight, relu = net.affines[hidden + 1].weight.astype(float), relu_of(net, hidden)
    result = np.zeros(len(weight))
    start = 0
    for group in net.groups[hidden]:
        part = slice(start, start + group.count)
        start += group.count
        if group.activation is not RELU and off[part].any():
            result += np.abs(weight[:, part]) @ (group.activation.supremum(1) * off[part])
    if not relu.any():
        return result
    here = net.affines[hidden]
    index, sign = alike(np.column_stack([here.weight, here.bias])[relu].astype(float))
    count = int(index.max()) + 1
    sums = np.zeros((2, len(weight), count))
    for side, rows in enumerate((sign > 0, sign < 0)):
        np.add.at(sums[side].T, index[rows], weight[:, relu][:, rows].T)
    size = np.zeros(count)
    np.maximum.at(size, index, off[relu])
    return np.asarray(result + np.abs(sums).max(0) @ size + gap / 2 * np.abs(sums.sum(0)).sum(1))


def alike(rows: Array) -> tuple[NDArray[np.intp], Array]:
    """Rows that are equal but for their sign: the class of each, and ±1, which side of it."""
    first = np.argmax(rows != 0, axis=1)
    sign = np.where(rows[np.arange(len(rows)), first] < 0, -1.0, 1.0)
    _, index = np.unique(rows * sign[:, None] + 0.0, axis=0, return_inverse=True)
    return index.ravel(), sign
