"""Changes of a network, kind by kind: what may be wrong with weights, for whatever reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from atlasmoe.errors import InvalidArgument
from atlasmoe.moe import Affine, MoELayer, Network
from atlasmoe.moe.activations import ACTIVATIONS
from atlasmoe.moe.layer import Weighting
from atlasmoe.moe.nets import Net
from spikes import Maps, with_layer

Change = Callable[[MoELayer, np.random.Generator], MoELayer | None]
"""Of one layer; None where the layer has nothing of the kind."""


def _nets(layer: MoELayer) -> list[tuple[str, int]]:
    """The nets of a layer: ("gate", 0), ("shared", 0), ("latent", 0), ("experts", k)."""
    parts = [(part, 0) for part in ("gate", "shared", "latent") if getattr(layer, part) is not None]
    return parts + [("experts", k) for k in range(len(layer.experts))]


def _net(layer: MoELayer, name: str, k: int) -> Net:
    found = layer.experts[k] if name == "experts" else getattr(layer, name)
    return found.net if isinstance(found, Affine) else found


def _picked(layer: MoELayer, rng: np.random.Generator, part: str | None = None) -> tuple[str, int, Maps, np.dtype] | None:
    """One of its nets, and all of its maps: those that gate hidden layers last but for the last map."""
    parts = [p for p in _nets(layer) if part in (None, p[0])]
    if not parts:
        return None
    name, k = parts[rng.integers(len(parts))]
    old = _net(layer, name, k)
    *hidden, last = old.affines
    maps = [*hidden, *(up for up in old.ups if up is not None), last]
    return name, k, [(np.array(a.weight, float), np.array(a.bias, float)) for a in maps], old.dtype


def _put(layer: MoELayer, name: str, k: int, maps: Maps, dtype: np.dtype) -> MoELayer:
    """The layer with other maps in one of its nets, as they were taken out of it."""
    old = _net(layer, name, k)
    with np.errstate(over="ignore"):
        given = [Affine(np.asarray(w, dtype), np.asarray(b, dtype)) for w, b in maps]
    ups = iter(given[len(old.groups) : -1])
    new = old.with_maps([*given[: len(old.groups)], given[-1]], [None if up is None else next(ups) for up in old.ups])
    if name == "latent":
        return replace(layer, latent=new.affine)
    return replace(layer, **{name: tuple(new if i == k else e for i, e in enumerate(layer.experts)) if name == "experts" else new})


def _of_number(change: Callable[[float, float, np.random.Generator], float], part: str | None = None) -> Change:
    """One stored number of a net, given the largest of its map."""

    def changed(layer: MoELayer, rng: np.random.Generator) -> MoELayer | None:
        picked = _picked(layer, rng, part)
        if picked is None:
            return None
        name, k, maps, dtype = picked
        weight, bias = maps[rng.integers(len(maps))]
        array = weight if rng.random() < 0.7 else bias
        if not array.size:
            return None
        place = rng.integers(array.size)
        array.reshape(-1)[place] = change(float(array.reshape(-1)[place]), float(np.abs(weight).max(initial=1e-3)), rng)
        return _put(layer, name, k, maps, dtype)

    return changed


def _flipped(value: float, largest: float, rng: np.random.Generator) -> float:
    """Another bit of the 64."""
    found = np.array([value])
    found.view(np.uint64)[0] ^= np.uint64(1) << np.uint64(rng.integers(64))
    return float(found[0])


def _knots(layer: MoELayer, rng: np.random.Generator) -> MoELayer | None:
    """Every neuron takes its neighbour's bias, or all move by a little."""
    picked = _picked(layer, rng, "experts")
    if picked is None or len(picked[2]) < 2:
        return None
    name, k, maps, dtype = picked
    weight, bias = maps[0]
    moved = np.roll(bias, 1) if rng.random() < 0.5 else bias + 10 ** rng.uniform(-4, -1)
    return _put(layer, name, k, [(weight, moved), *maps[1:]], dtype)


def _neurons(layer: MoELayer, rng: np.random.Generator) -> MoELayer | None:
    """Output weights meet the wrong neurons."""
    picked = _picked(layer, rng, "experts")
    if picked is None or len(picked[2]) < 2:
        return None
    name, k, maps, dtype = picked
    weight, bias = maps[0]
    order = rng.permutation(len(bias))
    return _put(layer, name, k, [(weight[order], bias[order]), *maps[1:]], dtype)


def _scaled(layer: MoELayer, rng: np.random.Generator) -> MoELayer | None:
    """All that a net puts out, times a number near 1."""
    picked = _picked(layer, rng)
    if picked is None:
        return None
    name, k, maps, dtype = picked
    factor = 1 + rng.choice([-1, 1]) * 10 ** rng.uniform(-6, 0)
    weight, bias = maps[-1]
    return _put(layer, name, k, [*maps[:-1], (weight * factor, bias * factor)], dtype)


def _experts(layer: MoELayer, rng: np.random.Generator) -> MoELayer | None:
    """Two gate outputs are served by each other's experts."""
    if len(layer.serves) < 2:
        return None
    a, b = rng.choice(len(layer.serves), 2, replace=False)
    serves = list(layer.serves)
    serves[a], serves[b] = serves[b], serves[a]
    return None if tuple(serves) == layer.serves else replace(layer, serves=tuple(serves))


def _gate_rows(layer: MoELayer, rng: np.random.Generator) -> MoELayer | None:
    """Two rows of the gate change places, or one is another's."""
    picked = _picked(layer, rng, "gate")
    if picked is None or len(layer.names) < 2:
        return None
    name, k, maps, dtype = picked
    weight, bias = maps[-1]
    a, b = rng.choice(len(bias), 2, replace=False)
    rows = [b, a] if rng.random() < 0.5 else [a, a]
    weight[[a, b]], bias[[a, b]] = weight[rows], bias[rows]
    return _put(layer, name, k, maps, dtype)


def _gate_shift(layer: MoELayer, rng: np.random.Generator) -> MoELayer | None:
    """One logit is larger everywhere."""
    picked = _picked(layer, rng, "gate")
    if picked is None:
        return None
    name, k, maps, dtype = picked
    maps[-1][1][rng.integers(len(maps[-1][1]))] += rng.choice([-1, 1]) * 10 ** rng.uniform(-6, 0.5)
    return _put(layer, name, k, maps, dtype)


def _channels(layer: MoELayer, rng: np.random.Generator) -> MoELayer | None:
    """A layer reads, carries or writes another channel: two layers overlap."""
    field = rng.choice(["reads", "carries", "writes"])
    listed = getattr(layer, field)
    if listed is None or len(listed) < 2:
        return None
    order = rng.permutation(len(listed))
    moved = tuple(listed[i] for i in order)
    return None if moved == listed else replace(layer, **{field: moved})


def _weighing(layer: MoELayer, rng: np.random.Generator) -> MoELayer | None:
    """Another weighting, or another K."""
    weighting = Weighting(rng.choice([w for w in Weighting if w is not layer.weighting]))
    K = int(rng.integers(1, len(layer) + 1))
    try:
        return replace(layer, weighting=weighting) if rng.random() < 0.6 or layer.top_k == K else replace(layer, top_k=K)
    except InvalidArgument:
        return None


def _activation(layer: MoELayer, rng: np.random.Generator) -> MoELayer | None:
    """Some neurons of a net take another activation."""
    name, k = (nets := [part for part in _nets(layer) if part[0] != "latent"])[rng.integers(len(nets))]
    old = _net(layer, name, k)
    if not any(old.groups):
        return None
    j = int(rng.integers(len(old.groups)))
    n = int(rng.integers(len(old.groups[j])))
    kind = list(ACTIVATIONS.values())[rng.integers(len(ACTIVATIONS))]
    if kind is old.groups[j][n].activation:
        return None
    groups = [list(groups) for groups in old.groups]
    groups[j][n] = replace(groups[j][n], activation=kind)
    new = Net(old.affines, tuple(map(tuple, groups)), old.ups)
    return replace(layer, **{name: tuple(new if i == k else e for i, e in enumerate(layer.experts)) if name == "experts" else new})


CHANGES: dict[str, Change] = {
    "weight": _of_number(lambda v, largest, rng: v + rng.choice([-1, 1]) * 10 ** rng.uniform(-3, 0) * largest),
    "little": _of_number(lambda v, largest, rng: v + rng.choice([-1, 1]) * 10 ** rng.uniform(-9, -3) * largest),
    "sign": _of_number(lambda v, largest, rng: -v),
    "zero": _of_number(lambda v, largest, rng: 0.0),
    "bit": _of_number(_flipped),
    "gate weight": _of_number(lambda v, largest, rng: v + rng.choice([-1, 1]) * 10 ** rng.uniform(-3, 0) * largest, "gate"),
    "knots": _knots,
    "neurons": _neurons,
    "scaled": _scaled,
    "experts": _experts,
    "gate rows": _gate_rows,
    "gate shift": _gate_shift,
    "channels": _channels,
    "weighing": _weighing,
    "activation": _activation,
}


def changes(network: Network, rng: np.random.Generator) -> Iterator[tuple[str, Network]]:
    """Endless random changes, kind by kind."""
    while True:
        for kind, change in CHANGES.items():
            for number in rng.permutation(len(network.layers)):
                layer = change(network.layers[number], rng)
                if layer is not None:
                    yield kind, with_layer(network, int(number), layer)
                    break
