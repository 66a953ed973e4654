"""Networks by hand, R² → R, for every place of the general layer: perhaps a layer that is dense or carries, then three gate outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from atlasmoe.moe import Affine, MoELayer, Network, NeuronGroup, ReLUNet
from atlasmoe.moe.layer import Weighting

NAMES = ("east", "north", "south")
KINDS = (
    *(f"top {k}, {weighting}" for k in (1, 2, 3) for weighting in Weighting),
    "shared",
    "two-layer gate",
    "dense",
    "carries",
    "carries, written too",
    "everything",
)


def net(rng: np.random.Generator, *sizes: int) -> ReLUNet:
    affines = tuple(Affine(rng.normal(size=(b, a)) / np.sqrt(a), rng.normal(size=b)) for a, b in pairwise(sizes))
    return ReLUNet(affines, tuple((NeuronGroup(f"h{k}", width, "by hand"),) for k, width in enumerate(sizes[1:-1])))


def experts(rng: np.random.Generator, count: int, inputs: int, outputs: int) -> tuple[ReLUNet, ...]:
    return tuple(net(rng, inputs, 5 + k, outputs) for k in range(count))


def general_network(kind: str, seed: int = 0) -> Network:
    """The network of a kind, its weights drawn by `seed`, in float64."""
    rng = np.random.default_rng(seed)
    before: Sequence[MoELayer] = ()
    arriving = ("x", "y")
    top, weighting = 1, Weighting.SOFTMAX
    if kind.startswith("top "):
        number, name = kind.removeprefix("top ").split(", ")
        top, weighting = int(number), Weighting(name)
    shared = net(rng, 2, 4, 1) if kind in ("shared", "everything") else None
    if kind == "dense":
        arriving = ("a", "b", "c")
        before = (MoELayer(None, (net(rng, 2, 6, 3),), (0,), ("only",), arriving),)
    elif kind.startswith("carries") or kind == "everything":
        # x and y pass beside two experts that write c and d; or y + what they write is what leaves as y.
        arriving = ("c", "y", "x", "d")
        gate = net(rng, 2, 2)
        writes = (0, 1) if kind != "carries" else (3, 0)
        before = (MoELayer(gate, experts(rng, 2, 1, 2), (0, 1), ("l", "r"), arriving, (1,), writes, (-1, 1, 0, -1)),)
    if kind == "everything":
        top, weighting = 2, Weighting.RECTIFIED
    wide = kind in ("two-layer gate", "everything")
    gate = net(rng, len(arriving), *((7, 3) if wide else (3,)))
    last = MoELayer(gate, experts(rng, 2, 2, 1), (0, 1, 0), NAMES, ("f",), (1, 0), None, None, shared, top, weighting)
    return Network((*before, last), ("x", "y"))


def paper_form(layer: MoELayer, arriving: int) -> MoELayer:
    """The layer with every carried channel as σ(c) − σ(−c), by two more neurons in every expert (two-layer ones, nothing shared)."""
    carried = np.flatnonzero(layer.sources >= 0)
    pick = np.eye(arriving)[layer.sources[carried]]
    reads = np.arange(arriving) if layer.reads is None else np.array(layer.reads)
    nets = []
    for net in layer.experts:
        inner, outer = net.affines
        width, extra = len(inner.bias), 2 * len(carried)
        first = np.zeros((extra + width, arriving))
        first[:extra], first[extra:, reads] = np.concatenate([pick, -pick]), inner.weight
        last, bias = np.zeros((len(layer.channels), extra + width)), np.zeros(len(layer.channels))
        last[carried, :extra] = np.concatenate([np.eye(len(carried)), -np.eye(len(carried))], axis=1)
        last[layer.targets, extra:], bias[layer.targets] = outer.weight, outer.bias
        groups = ((NeuronGroup("carry", extra, "c = σ(c) − σ(−c)"), *net.groups[0]),)
        dtype = layer.dtype
        maps = (Affine(first, np.concatenate([np.zeros(extra), inner.bias])).astype(dtype), Affine(last, bias).astype(dtype))
        nets.append(ReLUNet(maps, groups))
    return replace(layer, experts=tuple(nets), reads=None, writes=None, carries=None)
