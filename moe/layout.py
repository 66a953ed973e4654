"""The network inside a folder: names in config.json, arrays in model.safetensors, and back, with every shape checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FolderError, InvalidArgument
from . import Affine, MoELayer, Net, Network, NeuronGroup
from .activations import ACTIVATIONS, RELU
from .layer import Weighting
from .typed_json import MEND, Fields

DTYPES = ("float32", "float64")
PLAIN: Mapping[str, Any] = {"gate": {"hidden": []}, "shared": None, "writes": None, "carries": None, "top_k": 1, "weighting": "softmax"}
"""What a layer is in keys that its object does not have: that of the paper, which is all there was in folders of schema 1."""
SINCE: Mapping[str, Any] = {"sees": None, "latent": False}
"""The same of keys that are written only where they say something else."""
LAYER = ("names", "channels", "serves", "reads", "experts", *PLAIN, *SINCE)
"""The keys of a layer."""


def tensors(network: Network) -> dict[str, NDArray]:
    """Every array of the network: layers.{l}.{gate,shared,experts.{k}}.{affines,ups}.{j}.{weight,bias}; affine gates and
    encoders, layers.{l}.latent: no "affines.0".

    Linear maps have no bias.
    """
    arrays: dict[str, NDArray] = {}
    for number, layer in enumerate(network.layers):
        parts = {"gate": layer.gate, "shared": layer.shared} | {f"experts.{k}": net for k, net in enumerate(layer.experts)}
        if layer.latent is not None:
            parts["latent"] = layer.latent.net
        for part, net in parts.items():
            for place, affine in _placed(part, net) if net else ():
                arrays[f"layers.{number}.{place}.weight"] = np.ascontiguousarray(affine.weight)
                if not affine.linear:
                    arrays[f"layers.{number}.{place}.bias"] = np.ascontiguousarray(affine.bias)
    return arrays


def _placed(part: str, net: Net) -> Iterator[tuple[str, Affine]]:
    """What the maps of a net are called in a file, and the maps."""
    yield from zip(_places(part, len(net.affines)), net.affines, strict=True)
    yield from ((f"{part}.ups.{j}", up) for j, up in enumerate(net.ups) if up is not None)


def _places(part: str, depth: int) -> tuple[str, ...]:
    """What the affine maps of a net are called in a file."""
    return (part,) if part in ("gate", "latent") and depth == 1 else tuple(f"{part}.affines.{j}" for j in range(depth))


def describe(network: Network) -> dict[str, Any]:
    """Everything about the network but its numbers, as JSON."""
    return {
        "dtype": str(network.dtype),
        "inputs": list(network.inputs),
        "layers": [
            {
                "names": list(layer.names),
                "channels": list(layer.channels),
                "serves": _integers(layer.serves),
                "reads": _integers(layer.reads),
                "writes": _integers(layer.writes),
                "carries": None if layer.carries is None else [None if k < 0 else int(k) for k in layer.carries],
                "top_k": int(layer.top_k),
                "weighting": str(layer.weighting),
                "gate": _hidden(layer.gate),
                "shared": _hidden(layer.shared),
                "experts": [_hidden(net) for net in layer.experts],
                **({} if layer.sees is None else {"sees": _integers(layer.sees)}),
                **({} if layer.latent is None else {"latent": True}),
            }
            for layer in network.layers
        ],
    }


def _integers(values: tuple[int, ...] | None) -> list[int] | None:
    return None if values is None else list(map(int, values))


def _hidden(net: Net | None) -> dict[str, Any] | None:
    if net is None:
        return None
    found: dict[str, Any] = {"hidden": [[_group(group) for group in groups] for groups in net.groups]}
    # What is not there is as in folders from before there was anything else.
    return found | {"gated": [up is not None for up in net.ups]} if net.gated else found


def _group(group: NeuronGroup) -> dict[str, Any]:
    found = {"name": group.name, "count": int(group.count), "origin": group.origin}
    return found if group.activation is RELU else found | {"activation": group.activation.name}


def read_network(config: Fields, arrays: Mapping[str, NDArray]) -> Network:
    """The network that `describe` and `tensors` wrote; `FolderError` unless names and arrays fit exactly."""
    config.only("dtype", "inputs", "layers")
    dtype = config.text("dtype")
    if dtype not in DTYPES:
        raise config.error(f'"dtype" is {dtype!r}, not one of {", ".join(DTYPES)}')
    weights = Weights(config, dtype, arrays)
    try:
        layers = tuple(_layer(number, data, weights) for number, data in enumerate(config.children("layers")))
        network = Network(layers, config.texts("inputs"))
    except (InvalidArgument, IndexError) as error:
        raise FolderError(f"{config.path}: does not describe the arrays of model.safetensors ({error}); {MEND}") from error
    if weights.left:
        raise weights.error(f"has the tensor {min(weights.left)}, which config.json does not describe")
    return network


class Weights:
    """The arrays of model.safetensors, each to be taken once."""

    def __init__(self, config: Fields, dtype: str, arrays: Mapping[str, NDArray]) -> None:
        self.path, self.dtype, self.arrays = config.path.with_name("model.safetensors"), dtype, arrays
        self.left = set(arrays)

    def error(self, problem: str) -> FolderError:
        return FolderError(f"{self.path}: {problem}; {MEND}")

    def affine(self, place: str) -> Affine:
        weight = self._take(f"{place}.weight")
        if f"{place}.bias" not in self.arrays and weight.ndim == 2:
            return Affine.without_bias(weight)
        return Affine(weight, self._take(f"{place}.bias"))

    def _take(self, name: str) -> NDArray:
        if name not in self.arrays:
            raise self.error(f"has no tensor {name}")
        array = self.arrays[name]
        if str(array.dtype) != self.dtype:
            raise self.error(f"{name} is {array.dtype}, but config.json says {self.dtype}")
        if not np.isfinite(array).all():
            raise self.error(f"{name} holds numbers that are not finite")
        self.left.discard(name)
        return array


def _layer(number: int, stored: Fields, weights: Weights) -> MoELayer:
    data = Fields({**PLAIN, **SINCE, **stored.data}, stored.path, stored.where)
    data.only(*LAYER)

    def net(fields: Fields, part: str) -> Net:
        groups = tuple(_groups(fields))
        gated = (False,) * len(groups) if "gated" not in fields.data else fields.flags("gated")
        if len(gated) != len(groups):
            raise fields.error(f'"gated" has {len(gated)} entries for {len(groups)} hidden layers')
        ups = tuple(weights.affine(f"layers.{number}.{part}.ups.{j}") if gate else None for j, gate in enumerate(gated))
        return Net(tuple(weights.affine(f"layers.{number}.{place}") for place in _places(part, len(groups) + 1)), groups, ups)

    def indices(key: str) -> tuple[int, ...] | None:
        return None if data[key] is None else data.integers(key)

    weighting = data.text("weighting")
    if weighting not in set(Weighting):
        raise data.error(f'"weighting" is {weighting!r}, not one of {", ".join(Weighting)}')
    return MoELayer(
        gate=None if data["gate"] is None else net(data.child("gate"), "gate"),
        experts=tuple(net(expert, f"experts.{k}") for k, expert in enumerate(data.children("experts"))),
        serves=data.integers("serves"),
        names=data.texts("names"),
        channels=data.texts("channels"),
        reads=indices("reads"),
        writes=indices("writes"),
        carries=None if data["carries"] is None else tuple(_carried(data)),
        shared=None if data["shared"] is None else net(data.child("shared"), "shared"),
        top_k=data.integer("top_k"),
        weighting=Weighting(weighting),
        sees=indices("sees"),
        latent=weights.affine(f"layers.{number}.latent") if data.flag("latent") else None,
    )


def _groups(fields: Fields) -> Iterator[tuple[NeuronGroup, ...]]:
    """The neuron groups of every hidden layer."""
    fields.only("hidden", "gated")
    for groups in fields.list("hidden"):
        if not isinstance(groups, list):
            raise fields.error('"hidden" is not a list of lists')
        some = Fields({"groups": groups}, fields.path, fields.where).children("groups")
        yield tuple(map(_read_group, some))


def _read_group(group: Fields) -> NeuronGroup:
    group.only("name", "count", "origin", "activation")
    name = "relu" if "activation" not in group.data else group.text("activation")
    if name not in ACTIVATIONS:
        raise group.error(f'"activation" is {name[:80]!r}, not one of {", ".join(ACTIVATIONS)}')
    return NeuronGroup(group.text("name"), group.integer("count"), group.text("origin"), ACTIVATIONS[name])


def _carried(data: Fields) -> Iterator[int]:
    """What is carried to every channel; −1 for null, which is nothing."""
    for value in data.list("carries"):
        yield -1 if value is None else Fields({"carries": value}, data.path, data.where).integer("carries")
