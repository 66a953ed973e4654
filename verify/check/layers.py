"""The network that config.json and model.safetensors describe, read here and by nothing that builds or runs networks.

A layer takes h to carry(h) + scatter(Σ_k w_k·expert_k(h) + shared(h)) over the K gate outputs with the largest logits; see
docs/certificate.md. Nets are kept as they are stored, which is what is evaluated, and with what is linear in them apart (`nets`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...moe.typed_json import Fields
from .nets import IDENTITY, KINDS, Indices, Kinds, Map, Net

DTYPES = ("float32", "float64")
WEIGHTINGS = ("softmax", "uniform", "rectified")
MOST = 1 << 20
"""Channels or experts that a layer may name."""


class Layer(NamedTuple):
    """One layer. Without a gate there is one expert, or none where all is carried."""

    gate: Net | None
    sees: Indices
    """Channels that the gate reads."""
    nets: tuple[Net, ...]
    serves: Indices
    """Gate output j is served by nets[serves[j]]."""
    names: tuple[str, ...]
    reads: Indices
    """Channels that the nets read."""
    writes: Indices
    """Where their outputs go among the channels that leave."""
    carries: Indices
    """For every channel that leaves the one that is carried there, −1 for none."""
    shared: Net | None = None
    top_k: int = 1
    weighting: str = "softmax"

    @property
    def unit(self) -> bool:
        """Whether one expert is chosen, with weight 1."""
        return self.top_k == 1 and self.weighting != "rectified"

    @property
    def everything(self) -> tuple[Net, ...]:
        """All nets: experts, the shared one, the gate."""
        return (*self.nets, *(net for net in (self.shared, self.gate) if net is not None))

    @property
    def copies(self) -> Indices:
        """For every channel that leaves the arriving one that it equals exactly, whichever expert is taken; −1 for none."""
        if not self.nets:
            return self.carries
        found, parts = self.carries.copy(), [net.copies for net in self.nets]
        quiet = np.ones(len(self.writes), bool) if self.shared is None else self.shared.silent
        silent = quiet & np.all([net.silent for net in self.nets], axis=0)
        same = quiet & self.unit & (parts[0] >= 0) & np.all([part == parts[0] for part in parts], axis=0)
        through = np.where(same, self.reads[parts[0]] if len(self.reads) else -1, -1)
        found[self.writes] = np.where(silent, found[self.writes], np.where(found[self.writes] < 0, through, -1))
        return found


def read_layers(config: Fields, arrays: Mapping[str, NDArray]) -> tuple[str, int, tuple[Layer, ...]]:
    """The dtype, the number of inputs and the layers that config.json and the tensors describe, every shape and number checked."""
    dtype, width = config.text("dtype"), len(config.texts("inputs"))
    if dtype not in DTYPES:
        raise config.error(f'"dtype" is {dtype[:80]!r}')
    inputs, layers = width, []
    for n, data in enumerate(config.children("layers")):
        layers.append(_layer(data, _Tensors(config, arrays, dtype, f"layers.{n}."), width))
        width = len(layers[-1].carries)
    if not layers:
        raise config.error("there is no layer")
    return dtype, inputs, tuple(layers)


class _Tensors(NamedTuple):
    """The arrays of one layer."""

    config: Fields
    arrays: Mapping[str, NDArray]
    dtype: str
    prefix: str

    def map(self, name: str, columns: int, rows: int | None) -> Map:
        weight, bias = (self.arrays.get(f"{self.prefix}{name}.{kind}") for kind in ("weight", "bias"))
        if weight is not None and bias is None and weight.ndim == 2:
            bias = np.zeros(len(weight), weight.dtype)  # a linear map
        if weight is None or bias is None or {str(weight.dtype), str(bias.dtype)} != {self.dtype}:
            raise self.config.error(f"model.safetensors has no {self.dtype} tensors {self.prefix}{name}.weight and .bias")
        fits = weight.ndim == 2 and bias.shape == weight.shape[:1] and columns == weight.shape[1] and rows in (None, len(bias))
        if not fits or not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise self.config.error(f"{self.prefix}{name}: shapes {weight.shape}, {bias.shape} do not fit, or numbers are not finite")
        return Map(weight.astype(float), bias.astype(float))

    def net(self, data: Fields, name: str, columns: int, rows: int, single: str | None = None, before: Map | None = None) -> Net:
        """`single`: what the map of a net without hidden layers is called; `before`: an affine map that the net reads through."""
        data.only("hidden", "gated")
        hidden, maps = data.list("hidden"), list[Map]()
        if before is not None:
            maps, columns = [before._replace(kinds=np.full(len(before.bias), IDENTITY, np.uint8))], len(before.bias)
        gated = [False] * len(hidden) if "gated" not in data else data.list("gated")
        if len(hidden) > MOST or len(gated) != len(hidden) or not all(isinstance(flag, bool) for flag in gated):
            raise data.error(f'{len(hidden)} hidden layers, or "gated" is not true or false for each of them')
        for j, flag in enumerate(gated):
            map_, kinds = self.map(f"{name}.affines.{j}", columns, None), _kinds(data, hidden[j])
            if len(kinds) != len(map_.bias):
                raise data.error(f"its groups have {len(kinds)} neurons, but {self.prefix}{name}.affines.{j} has {len(map_.bias)} rows")
            up = self.map(f"{name}.ups.{j}", columns, len(map_.bias)) if flag else None
            maps.append(map_._replace(kinds=kinds, up=up))
            columns = len(map_.bias)
        last = single if single and not hidden else f"{name}.affines.{len(hidden)}"
        return Net.of([*maps, self.map(last, columns, rows)])


def _kinds(data: Fields, groups: object) -> Kinds:
    """The activation of every neuron of a hidden layer."""
    if not isinstance(groups, list):
        raise data.error('"hidden" is not a list of lists')
    found = [np.empty(0, np.uint8)]
    for group in Fields({"hidden": groups}, data.path, data.where).children("hidden"):
        group.only("name", "count", "origin", "activation")
        name, count = group.text("activation") if "activation" in group else "relu", group.integer("count")
        if name not in KINDS or count > MOST:
            raise group.error(f"{count} neurons with the activation {name[:80]!r}, which is not one of {', '.join(KINDS)}")
        found.append(np.full(count, KINDS[name], np.uint8))
    return np.concatenate(found)


def _layer(data: Fields, tensors: _Tensors, width: int) -> Layer:
    names, channels = data.texts("names"), len(data.texts("channels"))
    experts = data.children("experts")
    serves, reads = np.array(data.integers("serves"), np.intp), np.array(_places(data, "reads", width, width), np.intp)
    writes = np.array(_places(data, "writes", channels, channels), np.intp)
    carried = [None] * channels if data.get("carries") is None else data.list("carries")
    carries = np.array([-1 if a is None else _place(data, "carries", a, width) for a in carried], np.intp)
    if not len(names) or len(serves) != len(names) or set(serves.tolist()) != set(range(len(experts))):
        raise data.error(f'"serves" does not fit {len(names)} gate outputs and {len(experts)} experts')
    if len(set(writes.tolist())) != len(writes) or len(carries) != channels:
        raise data.error(f'"writes" or "carries" do not fit {channels} channels')
    gate, sees = None, np.array(_places(data, "sees", width, width), np.intp)
    if "gate" not in data.data or data["gate"] is not None:
        described = data.child("gate") if "gate" in data.data else Fields({"hidden": []}, data.path, data.where)
        gate = tensors.net(described, "gate", len(sees), len(names), "gate")
    elif len(names) != 1:
        raise data.error(f"there is no gate, but {len(names)} gate outputs")
    encoder = tensors.map("latent", len(reads), None) if "latent" in data and data.flag("latent") else None
    nets = tuple(tensors.net(expert, f"experts.{k}", len(reads), len(writes), before=encoder) for k, expert in enumerate(experts))
    shared = None if data.get("shared") is None else tensors.net(data.child("shared"), "shared", len(reads), len(writes))
    top_k = 1 if data.get("top_k") is None else data.integer("top_k")
    weighting = "softmax" if data.get("weighting") is None else data.text("weighting")
    if weighting not in WEIGHTINGS or not 1 <= top_k <= len(names) or (gate is None and weighting == "rectified"):
        raise data.error(f'"weighting" {weighting[:80]!r} and "top_k" {top_k} do not fit {len(names)} gate outputs')
    return narrowed(Layer(gate, sees, nets, serves, names, reads, writes, carries, shared, top_k, weighting))


def _places(data: Fields, key: str, limit: int, default: int) -> list[int]:
    """A list of channel numbers below the limit; all of them where it is null or missing."""
    return list(range(default)) if data.get(key) is None else [_place(data, key, entry, limit) for entry in data.list(key)]


def _place(data: Fields, key: str, entry: object, limit: int) -> int:
    if not isinstance(entry, int) or isinstance(entry, bool) or not 0 <= entry < limit:
        raise data.error(f'"{key}" holds {str(entry)[:80]}, which is no number of one of {limit} channels')
    return entry


def narrowed(layer: Layer) -> Layer:
    """The same layer with nets and gate reading only what has a weight in one of them."""
    nets = [net for net in (*layer.nets, layer.shared) if net is not None]
    if nets:
        used = np.flatnonzero(np.any([net.reads for net in nets], axis=0))
        if len(used) < len(layer.reads):
            experts, shared = tuple(net.inputs(used) for net in layer.nets), layer.shared and layer.shared.inputs(used)
            layer = layer._replace(nets=experts, shared=shared, reads=layer.reads[used])
    if layer.gate is not None and not layer.gate.reads.all():
        used = np.flatnonzero(layer.gate.reads)
        layer = layer._replace(gate=layer.gate.inputs(used), sees=layer.sees[used])
    return layer
