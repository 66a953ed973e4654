"""Networks of two layers with random weights, for what runs them."""

from __future__ import annotations

import itertools

import numpy as np
from atlasmoe.moe import Affine, MoELayer, Network, NeuronGroup, ReLUNet


def random_net(rng: np.random.Generator, sizes: list[int]) -> ReLUNet:
    affines = tuple(Affine(rng.normal(size=(b, a)) / np.sqrt(a), rng.normal(size=b)) for a, b in itertools.pairwise(sizes))
    return ReLUNet(affines, tuple((NeuronGroup("random", m, "test"),) for m in sizes[1:-1]))


def random_layer(rng: np.random.Generator, inputs: int, outputs: int, experts: int, gates: int, hidden: int = 1) -> MoELayer:
    nets = tuple(random_net(rng, [inputs - 1, *rng.integers(3, 20, hidden).tolist(), outputs]) for _ in range(experts))
    serves = tuple(i % experts for i in range(gates))
    gate = Affine(rng.normal(size=(gates, inputs)), rng.normal(size=gates))
    names = tuple(f"e{i}" for i in range(gates))
    reads = tuple(range(inputs - 1, 0, -1))
    return MoELayer(gate, nets, serves, names, tuple(f"y{j}" for j in range(outputs)), reads)


def random_network(experts: int, seed: int = 0) -> Network:
    rng = np.random.default_rng(seed)
    return Network((random_layer(rng, 5, 7, experts, experts + 2, 2), random_layer(rng, 7, 3, experts, experts)), tuple("abcde"))
