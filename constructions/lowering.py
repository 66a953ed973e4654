"""The layers of a task graph's network: what the state holds, and how it passes through a layer unchanged beside what is computed.

The state between two layers is a set of channels: network inputs x[k], values y[component] of blocks and combinations that have been
computed, scores tau[block][piece] that have been and are yet to be compared. Every other component (coordinates before an embedding,
affine combinations) is an affine form of these and is folded into whatever reads it.

A channel is carried as c = σ(c) − σ(−c), exactly in floats and in any order of summation (R1), in every layer up to the last one that
anything reads it in, and then dropped: no y is ever erased while it is needed (R2), and where nothing reads x_l after block l, y_l
takes its place, which is the state of Theorem 5.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..atlas import Array
from ..moe.network import Affine, Floats, MoELayer, NeuronGroup, ReLUNet

CARRY = "c = σ(c) − σ(−c), Theorem 5.2 (R1, R2)"


@dataclass(frozen=True)
class Form:
    """An affine form Σ weights[channel]·channel + constant."""

    weights: Mapping[str, float]
    constant: float = 0.0

    @staticmethod
    def of(channel: str) -> Form:
        return Form({channel: 1.0})

    @property
    def channel(self) -> str | None:
        """The one channel that this form is, if it is no other."""
        (name, weight), *more = self.weights.items() if self.weights else (("", 0.0),)
        return name if weight == 1.0 and not more and self.constant == 0 else None


def combined(row: Array, constant: float, parts: Sequence[Form]) -> Form:
    """Σ row_k·part_k + constant."""
    weights: dict[str, float] = {}
    for factor, part in zip(row.tolist(), parts, strict=True):
        if factor == 0:
            continue
        constant += factor * part.constant
        for channel, weight in part.weights.items():
            weights[channel] = weights.get(channel, 0.0) + factor * weight
    return Form({channel: weight for channel, weight in weights.items() if weight}, float(constant))


def affine_of(forms: Sequence[Form], channels: Sequence[str]) -> Affine:
    """The forms as one affine map of the channels, which must hold all that they need."""
    place = {name: k for k, name in enumerate(channels)}
    weight = np.zeros((len(forms), len(channels)))
    for row, form in zip(weight, forms, strict=True):
        for name, value in form.weights.items():
            row[place[name]] = value
    return Affine(weight, np.array([form.constant for form in forms], float))


@dataclass(frozen=True, eq=False)
class Part:
    """A network beside those that carry channels: it reads forms of the state and writes channels."""

    net: ReLUNet
    reads: tuple[Form, ...]
    writes: tuple[str, ...]


def beside(parts: Sequence[Part], kept: Sequence[str], arriving: Sequence[str], leaving: Sequence[str]) -> ReLUNet:
    """One net that carries the channels `kept` and computes all `parts`, which have equal depth, from the channels `arriving`.

    Its outputs are the channels `leaving`, each of them kept or written by a part. Without parts it has one hidden layer.
    """
    depth = max((len(part.net.affines) for part in parts), default=2)
    identity = np.eye(len(kept))
    place = {name: k for k, name in enumerate(arriving)}
    pick = np.zeros((len(kept), len(arriving)))
    pick[np.arange(len(kept)), [place[name] for name in kept]] = 1
    written = [*kept, *(name for part in parts for name in part.writes)]
    order = [written.index(name) for name in leaving]
    affines, groups = [], []
    for j in range(depth):
        first, last = j == 0, j == depth - 1
        carry = np.concatenate([pick, -pick]) if first else np.eye(2 * len(kept))
        if last and not first:
            carry = np.concatenate([identity, -identity], axis=1)
        elif last:
            carry = pick
        blocks = [Affine(carry, np.zeros(len(carry)))] if len(kept) else []
        for part in parts:
            affine = part.net.affines[j]
            blocks.append(affine.after(affine_of(part.reads, arriving)) if first else affine)
        weight = _stacked([b.weight for b in blocks]) if first else _diagonal([b.weight for b in blocks])
        bias = np.concatenate([b.bias for b in blocks])
        affines.append(Affine(weight[order], bias[order]) if last else Affine(weight, bias))
        if not last:
            carried = (NeuronGroup("carry", 2 * len(kept), CARRY),) if len(kept) else ()
            groups.append((*carried, *(group for part in parts for group in part.net.groups[j])))
    return ReLUNet(tuple(affines), tuple(groups))


def _stacked(weights: Sequence[Floats]) -> Floats:
    return np.concatenate(weights)


def _diagonal(weights: Sequence[Floats]) -> Floats:
    rows, columns = sum(len(w) for w in weights), sum(w.shape[1] for w in weights)
    whole = np.zeros((rows, columns))
    row = column = 0
    for w in weights:
        whole[row : row + len(w), column : column + w.shape[1]] = w
        row, column = row + len(w), column + w.shape[1]
    return whole


def layer(gate: Affine, nets: Sequence[ReLUNet], serves: tuple[int, ...], names: tuple[str, ...], channels: tuple[str, ...]) -> MoELayer:
    """An MoE layer whose experts do not multiply by columns that are zero in all of them."""
    used = np.flatnonzero(np.any([net.affines[0].weight.any(0) for net in nets], axis=0))
    width = gate.weight.shape[1]
    if len(used) == width or not len(used):
        return MoELayer(gate.net, tuple(nets), serves, names, channels)
    narrow = [ReLUNet((Affine(net.affines[0].weight[:, used].copy(), net.affines[0].bias), *net.affines[1:]), net.groups) for net in nets]
    return MoELayer(gate.net, tuple(narrow), serves, names, channels, tuple(used.tolist()))


def read_out(net: ReLUNet, forms: Sequence[Form], channels: Sequence[str]) -> ReLUNet:
    """The net followed by affine forms of its outputs: the last linear map of Theorem 5.2, folded into the experts before it."""
    return ReLUNet((*net.affines[:-1], affine_of(forms, channels).after(net.affines[-1])), net.groups)
