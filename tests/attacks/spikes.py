"""Needles: a network that is wrong on a ball of a radius that no sample meets, and as it was everywhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from atlasmoe.moe import Affine, MoELayer, Network, NeuronGroup, ReLUNet
from atlasmoe.moe.nets import Net

Maps = list[tuple[np.ndarray, np.ndarray]]


def states(network: Network, x: np.ndarray) -> list[np.ndarray]:
    """What arrives at every layer, at one point."""
    return [x, *(state[0] for state in network.trace(x[None]).states)]


def with_needle(
    network: Network,
    x: np.ndarray,
    radius: float,
    height: float,
    rng: np.random.Generator,
    layer: int | None = None,
    output: int | None = None,
) -> Network:
    """A needle in the expert that x is sent to in a layer (the last one), in one of its outputs (all of them).

    An expert of one hidden layer gets a ridge across a random direction; of two, a pyramid around the point.
    """
    number = len(network.layers) - 1 if layer is None else layer
    old = network.layers[number]
    arriving = states(network, x)[number]
    chosen = int(network.trace(x[None]).chosen[number][0, 0])
    at = arriving if old.reads is None else arriving[list(old.reads)]
    at = at if old.latent is None else old.latent(at[None])[0]
    stored = old.serves[chosen]
    expert = old.experts[stored]
    hit = np.zeros(expert.outputs)
    hit[slice(None) if output is None else output] = 1.0
    maps = [(np.array(a.weight, float), np.array(a.bias, float)) for a in expert.affines]
    changed = _pyramid(maps, at, radius, height, hit) if len(maps) > 2 else _ridge(maps, at, radius, height, hit, rng)
    spiked = _with_neurons(expert, changed)
    return with_layer(network, number, replace(old, experts=tuple(spiked if k == stored else e for k, e in enumerate(old.experts))))


def _with_neurons(expert: Net, maps: Maps) -> Net:
    """The net of other maps, with the neurons that it has, whatever their activations and lanes, and behind them more ReLUs."""
    if len(maps) > len(expert.affines):
        return net(maps, expert.dtype)
    affines = [Affine(np.asarray(w, expert.dtype), np.asarray(b, expert.dtype)) for w, b in maps]
    groups, ups = [], list[Affine | None]()
    for old, map_, up in zip(expert.groups, affines, expert.ups, strict=False):
        more = len(map_.bias) - sum(group.count for group in old)
        groups.append((*old, NeuronGroup("needle", more, "changed")) if more else old)
        ups.append(None if up is None else _ones_below(up, map_))
    return Net(tuple(affines), tuple(groups), tuple(ups))


def _ones_below(up: Affine, map_: Affine) -> Affine:
    """What a hidden layer is multiplied by, of more neurons: these by 1."""
    weight, bias = np.zeros_like(map_.weight), np.ones_like(map_.bias)
    weight[: len(up.bias), : up.weight.shape[1]] = up.weight
    bias[: len(up.bias)] = up.bias
    return Affine(weight, bias)


def _ridge(maps: Maps, at: np.ndarray, radius: float, height: float, hit: np.ndarray, rng: np.random.Generator) -> Maps:
    """Three more hidden neurons: h·max(0, 1 − |t·(x − at)|/r)."""
    if len(maps) == 1:
        (weight, bias) = maps[0]
        eye = np.eye(len(bias))
        maps = [(np.concatenate([weight, -weight]), np.concatenate([bias, -bias])), (np.concatenate([eye, -eye], axis=1), 0 * bias)]
    direction = rng.normal(size=len(at))
    direction /= np.linalg.norm(direction)
    middle = float(direction @ at)
    (inner, offset), (outer, constant) = maps
    inner = np.concatenate([inner, np.tile(direction, (3, 1))])
    offset = np.concatenate([offset, [radius - middle, -middle, -radius - middle]])
    outer = np.concatenate([outer, hit[:, None] * np.array([1.0, -2.0, 1.0]) * height / radius], axis=1)
    return [(inner, offset), (outer, constant)]


def _pyramid(maps: Maps, at: np.ndarray, radius: float, height: float, hit: np.ndarray) -> Maps:
    """|x_k − at_k| by two neurons per coordinate, and one behind them: max(0, h − h·|x − at|₁/r)."""
    n = len(at)
    (first, a), (second, b), *rest = maps
    away = np.concatenate([np.eye(n), -np.eye(n)])
    first = np.concatenate([first, away])
    a = np.concatenate([a, -away @ at])
    second = np.block([[second, np.zeros((len(b), 2 * n))], [np.zeros((1, second.shape[1])), np.full((1, 2 * n), -height / radius)]])
    b = np.concatenate([b, [height]])
    (third, c), *more = rest
    added = hit[:, None] if not more else np.zeros((len(c), 1))
    return [(first, a), (second, b), (np.concatenate([third, added], axis=1), c), *more]


def net(maps: Maps, dtype: object = np.float64) -> ReLUNet:
    affines = tuple(Affine(np.asarray(w, dtype), np.asarray(b, dtype)) for w, b in maps)
    return ReLUNet(affines, tuple((NeuronGroup(f"h{k}", len(b), "changed"),) for k, (_, b) in enumerate(maps[:-1])))


def with_layer(network: Network, number: int, layer: MoELayer) -> Network:
    return Network(tuple(layer if k == number else old for k, old in enumerate(network.layers)), network.inputs)
