"""Nets by hand with any activations and lanes, and their values in 60 digits."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import mpmath
import numpy as np
from atlasmoe.moe import Activation, Affine, MoELayer, Net, Network, NeuronGroup
from atlasmoe.moe.activations import GELU, GELU_TANH, RELU, RELU2, SILU

MIXTURES: dict[str, tuple[Activation, ...]] = {
    "relu2": (RELU2,),
    "gelu": (GELU,),
    "gelu_tanh": (GELU_TANH,),
    "silu": (SILU,),
    "silu, relu": (SILU, RELU),
    "relu, gelu, relu2": (RELU, GELU, RELU2),
}
"""What hidden layers are made of, one behind the other."""


def mixed_net(rng: np.random.Generator, sizes: Sequence[int], mixture: Sequence[Activation], lanes: Sequence[bool]) -> Net:
    """Random weights; in every hidden layer as many neurons of each activation as fall to it by chance."""
    maps = tuple(Affine(rng.normal(size=(b, a)) / np.sqrt(a), rng.normal(size=b)) for a, b in pairwise(sizes))
    groups = []
    for width in sizes[1:-1]:
        ends = [0, *np.sort(rng.integers(0, width + 1, len(mixture) - 1)).tolist(), width]
        groups.append(tuple(NeuronGroup(str(a), high - low, "by hand", a) for a, (low, high) in zip(mixture, pairwise(ends), strict=True)))
    ups = [Affine(rng.normal(size=map_.weight.shape), rng.normal(size=len(map_.bias))) for map_ in maps[:-1]]
    return Net(maps, tuple(groups), tuple(up if lane else None for up, lane in zip(ups, lanes, strict=True)))


def mixed_network(name: str, seed: int = 0, lanes: bool = False) -> Network:
    """R³ → R²: four experts of two hidden layers behind a gate of one, and a shared expert; with `lanes` most of them have some."""
    rng, mixture = np.random.default_rng(seed), MIXTURES[name]
    lane = [(lanes and k != 2, lanes and k % 2 == 0) for k in range(4)]
    experts = tuple(mixed_net(rng, (3, *rng.integers(5, 12, 2).tolist(), 2), mixture, lane[k]) for k in range(4))
    gate, shared = mixed_net(rng, (3, 6, 4), mixture, (lanes,)), mixed_net(rng, (3, 5, 2), mixture, (lanes,))
    layer = MoELayer(gate, experts, (0, 1, 2, 3), tuple("abcd"), ("f", "g"), shared=shared)
    return Network((layer,), ("x", "y", "z"))


def exact_value(name: str, z: mpmath.mpf) -> mpmath.mpf:
    """act(z), in as many digits as mpmath is set to."""
    match name:
        case "relu":
            return max(z, mpmath.mpf(0))
        case "relu2":
            return max(z, mpmath.mpf(0)) ** 2
        case "silu":
            return z / (1 + mpmath.exp(-z))
        case "gelu":
            return z * mpmath.erfc(-z / mpmath.sqrt(2)) / 2
    return z * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (z + mpmath.mpf(44715) / 10**6 * z**3))) / 2


def exact_affine(map_: Affine, row: Sequence[mpmath.mpf]) -> list[mpmath.mpf]:
    weight, bias = map_.weight.astype(float).tolist(), map_.bias.astype(float).tolist()
    return [mpmath.fdot(zip(w, row, strict=True)) + b for w, b in zip(weight, bias, strict=True)]


def exact_net(net: Net, row: Sequence[mpmath.mpf]) -> list[mpmath.mpf]:
    """The real-arithmetic function of the stored weights at one point."""
    for map_, up, activations in zip(net.affines[:-1], net.ups, net.activations, strict=True):
        z = exact_affine(map_, row)
        bent = [exact_value(activation.name, z[k]) for rows, activation in activations for k in range(rows.start, rows.stop)]
        row = bent if up is None else [a * v for a, v in zip(bent, exact_affine(up, row), strict=True)]
    return exact_affine(net.affines[-1], row)
