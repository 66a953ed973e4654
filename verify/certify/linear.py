"""What of a ReLU net is linear, and the embedding folded into first weights: both exactly or with a bound on the rounding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...atlas import Array
from ...constructions.network import Affine, NeuronGroup, ReLUNet
from .rounding import GENEROUS, gamma

Net = ReLUNet | Affine


@dataclass(frozen=True, eq=False)
class Split:
    """net(x) = carried·x + rest(x), exactly, where `carried` (out, in) gathers pairs of neurons that are linear together.

    Two hidden neurons with opposite rows and biases are σ(z) and σ(−z); if their output weights are opposite too, they add to a
    multiple of z. That is how x passes through a layer unchanged (R1).
    """

    carried: Array
    rest: ReLUNet


def split(net: ReLUNet) -> Split:
    """The linear pairs of a two-layer net apart from the rest; a deeper net has no such part. float64, exact."""
    first, last = net.affines[0], net.affines[-1]
    carried = np.zeros((last.weight.shape[0], first.weight.shape[1]))
    if len(net.affines) != 2:
        return Split(carried, net.astype(float))
    weight, bias, out = (np.asarray(a, float) for a in (first.weight, first.bias, last.weight))
    rows = np.concatenate([weight, bias[:, None]], axis=1) + 0.0  # no −0
    where: dict[bytes, list[int]] = {}
    kept = np.ones(len(rows), bool)
    for j, row in enumerate(rows):
        partner = where.get((-row + 0.0).tobytes(), [])
        k = next((k for k in partner if np.array_equal(out[:, k], -out[:, j])), None)
        if k is not None and not bias[j].any():
            product = out[:, j, None] * row[None, :-1]
            # Entries 0 and ±1 keep the products exact, and no two products share an entry.
            if np.isin(np.abs(out[:, j]), (0.0, 1.0)).all() and not ((carried != 0) & (product != 0)).any():
                carried, kept[[j, k]] = carried + product, False
                partner.remove(k)
                continue
        where.setdefault(row.tobytes(), []).append(j)
    hidden = Affine(weight[kept], bias[kept])
    group = NeuronGroup("rest", int(kept.sum()), "neurons that do not add to a linear map")
    return Split(carried, ReLUNet((hidden, Affine(out[:, kept], np.asarray(last.bias, float))), ((group,),)))


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
    return Affine(sign[:, None] * (directions @ embedding)[which], bias.copy()), error[which]
