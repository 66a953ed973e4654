"""What of a ReLU net is linear, and the embedding folded into first weights: both exactly or with a bound on the rounding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array
from ...intervals.rounding import gamma
from ...moe.network import Affine, NeuronGroup, ReLUNet
from .rounding import GENEROUS

Net = ReLUNet | Affine


@dataclass(frozen=True, eq=False)
class Split:
    """net(x) = carried·x + rest(x), exactly, where `carried` (out, in) gathers pairs of neurons that are linear together.

    Two neurons that are σ(x_c) and σ(−x_c) in the first hidden layer, passed on unchanged by all others, and read with opposite
    weights w, −w, add to w·x_c. That is how numbers pass through a layer unchanged (R1).
    """

    carried: Array
    rest: ReLUNet


def split(net: ReLUNet, only: int | None = None) -> Split:
    """The linear pairs of a net apart from the rest, for every output; neurons that nothing reads any more are left out. float64, exact.

    `only`: the pairs of one input, the others stay.
    """
    net = net.astype(float)
    out = np.array(net.affines[-1].weight)
    carried = np.zeros((len(out), net.inputs))
    if len(net.affines) == 1:
        columns = slice(None) if only is None else only
        carried[:, columns], out[:, columns] = out[:, columns], 0.0
        return Split(carried, ReLUNet((Affine(out, np.array(net.affines[0].bias)),), ()))
    inputs, signs = _passed_on(net)
    for c in np.unique(inputs[inputs >= 0]) if only is None else [only]:
        up, down = (np.flatnonzero((inputs == c) & (signs == sign)) for sign in (1, -1))
        for p, q in zip(up, down, strict=False):
            rows = (out[:, p] == -out[:, q]) & (carried[:, c] == 0)
            carried[rows, c] = out[rows, p]
            out[np.ix_(rows, [p, q])] = 0
    last = Affine(out, np.array(net.affines[-1].bias))
    return Split(carried, pruned(ReLUNet((*net.affines[:-1], last), net.groups)))


def _passed_on(net: ReLUNet) -> tuple[NDArray[np.intp], Array]:
    """For every neuron of the last hidden layer the input c whose σ(±x_c) it is, and the sign; −1 for no input."""
    first = net.affines[0]
    inputs, signs = _unit_rows(first)
    for map_ in net.affines[1:-1]:
        source, sign = _unit_rows(map_)
        known = (source >= 0) & (sign == 1)
        inputs, signs = np.where(known, inputs[source], -1), np.where(known, signs[source], 0)
    return inputs, signs


def _unit_rows(map_: Affine) -> tuple[NDArray[np.intp], Array]:
    """For rows ±e_c without bias: c and the sign. −1 and 0 for others."""
    place = np.abs(map_.weight).argmax(1)
    entry = map_.weight[np.arange(len(place)), place]
    unit = ((map_.weight != 0).sum(1) == 1) & (np.abs(entry) == 1) & (map_.bias == 0)
    return np.where(unit, place, -1), np.where(unit, entry, 0.0)


def pruned(net: ReLUNet) -> ReLUNet:
    """The same function without the neurons that no output depends on."""
    affines = list(net.affines)
    for j in range(len(affines) - 1, 0, -1):
        read = (affines[j].weight != 0).any(0)
        affines[j] = Affine(affines[j].weight[:, read], affines[j].bias)
        affines[j - 1] = Affine(affines[j - 1].weight[read], affines[j - 1].bias[read])
    groups = tuple((NeuronGroup("rest", len(map_.bias), "neurons that outputs depend on"),) for map_ in affines[:-1])
    return ReLUNet(tuple(affines), groups)


@dataclass(frozen=True, eq=False)
class Folded:
    """|net(y) − original(Q·y)| ≤ slack (out,) for all |y| ≤ size: the original reads R^D, `net` reads R^k."""

    net: ReLUNet
    slack: Array


def fold(original: ReLUNet, embedding: Array | None, size: Array) -> Folded:
    """The net behind a linear map Q (D, k). Rows that were equal up to sign stay so: each direction is multiplied once."""
    original = original.astype(float)
    if embedding is None:
        return Folded(original, np.zeros(original.affines[-1].weight.shape[0]))
    first, slack = fold_affine(original.affines[0], embedding, size)
    for map_ in original.affines[1:]:
        slack = np.abs(map_.weight) @ slack * GENEROUS
    return Folded(ReLUNet((first, *original.affines[1:]), original.groups), slack)


def fold_affine(map_: Affine, embedding: Array | None, size: Array) -> tuple[Affine, Array]:
    """The affine map behind Q, and a bound (out,) on what the rounding of W·Q changes for |y| ≤ size."""
    weight, bias = np.asarray(map_.weight, float), np.asarray(map_.bias, float)
    if embedding is None:
        return Affine(weight.copy(), bias.copy()), np.zeros(len(bias))
    leading = weight[np.arange(len(weight)), np.argmax(weight != 0, axis=1)]
    sign = np.where(leading < 0, -1.0, 1.0)
    directions, which = np.unique(weight * sign[:, None] + 0.0, axis=0, return_inverse=True)
    which = which.reshape(-1)
    error = gamma(weight.shape[1] + 1, float) * (np.abs(directions) @ np.abs(embedding) @ size) * GENEROUS
    error += weight.shape[1] * float(np.finfo(float).tiny) * size.sum()  # products that underflow
    return Affine(sign[:, None] * (directions @ embedding)[which], bias.copy()), error[which]
