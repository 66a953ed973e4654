"""The network that config.json and model.safetensors describe, read here and by nothing that builds or runs networks.

A layer takes h to carry(h) + scatter(Σ_k w_k·expert_k(h) + shared(h)) over the K gate outputs with the largest logits; see
docs/certificate.md. Nets are kept as they are stored, which is what is evaluated, and with what is linear in them apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array
from ...moe.typed_json import Fields

Flags = NDArray[np.bool_]
Indices = NDArray[np.intp]
DTYPES = ("float32", "float64")
WEIGHTINGS = ("softmax", "uniform", "rectified")
MOST = 1 << 20
"""Channels or experts that a layer may name."""


class Map(NamedTuple):
    """x ↦ W·x + b, in float64 whatever the file holds."""

    weight: Array
    bias: Array


class Net(NamedTuple):
    """A ReLU net: `skip`·x plus `maps` with σ between them, where hidden neurons flagged `linear` have the identity for σ."""

    stored: tuple[Map, ...]
    """As it is in the file and evaluated."""
    maps: tuple[Map, ...]
    """The same function without `skip`, with fewer neurons."""
    linear: tuple[Flags, ...]
    skip: Array

    @staticmethod
    def of(stored: Sequence[Map]) -> Net:
        """What is linear apart: inputs that pass all hidden layers as σ(x) and σ(−x), and pairs of neurons σ(z) − σ(−z)."""
        skip, rest = passing(stored)
        maps, linear = _pairs(_pruned(rest))
        return Net(tuple(stored), maps, linear, skip)

    def outputs(self, rows: Indices) -> Net:
        """Some of its outputs, by the neurons that they depend on."""
        last = self.stored[-1]
        return Net.of(_pruned((*self.stored[:-1], Map(last.weight[rows], last.bias[rows]))))

    def inputs(self, columns: Indices) -> Net:
        """The same where it reads these inputs only; the others have to have no weight."""
        first = self.stored[0]
        return Net.of((Map(first.weight[:, columns], first.bias), *self.stored[1:]))

    def without(self, column: int) -> Net:
        """The net without `skip` in that input."""
        return Net.of(_pruned(passing(self.stored, column)[1]))

    @property
    def reads(self) -> Flags:
        """Inputs with a weight."""
        return np.asarray((self.stored[0].weight != 0).any(0))

    @property
    def copies(self) -> Indices:
        """For every output the input that it equals, whatever the other inputs are; −1 for none."""
        unit = ((self.skip == 1).sum(1) == 1) & ((self.skip != 0).sum(1) == 1)
        rest = self.maps[-1].weight.any(1) | (self.maps[-1].bias != 0)
        return np.where(unit & ~rest, self.skip.argmax(1), -1) if self.skip.shape[1] else np.full(len(rest), -1)

    @property
    def silent(self) -> Flags:
        """Outputs that are 0."""
        last = self.stored[-1]
        return ~last.weight.any(1) & (last.bias == 0)

    @property
    def widest(self) -> int:
        return max(len(map_.bias) for map_ in self.maps)


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
        if weight is None or bias is None or {str(weight.dtype), str(bias.dtype)} != {self.dtype}:
            raise self.config.error(f"model.safetensors has no {self.dtype} tensors {self.prefix}{name}.weight and .bias")
        fits = weight.ndim == 2 and bias.shape == weight.shape[:1] and columns == weight.shape[1] and rows in (None, len(bias))
        if not fits or not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise self.config.error(f"{self.prefix}{name}: shapes {weight.shape}, {bias.shape} do not fit, or numbers are not finite")
        return Map(weight.astype(float), bias.astype(float))

    def net(self, data: Fields, name: str, columns: int, rows: int, single: str | None = None) -> Net:
        """`single`: what the map of a net without hidden layers is called."""
        last, maps = len(data.list("hidden")), []
        if last > MOST:
            raise data.error(f"{last} hidden layers")
        for j in range(last + 1):
            maps.append(self.map(single if single and not last else f"{name}.affines.{j}", columns, rows if j == last else None))
            columns = len(maps[-1].bias)
        return Net.of(maps)


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
    gate = None
    if "gate" not in data.data or data["gate"] is not None:
        described = data.child("gate") if "gate" in data.data else Fields({"hidden": []}, data.path, data.where)
        gate = tensors.net(described, "gate", width, len(names), "gate")
    elif len(names) != 1:
        raise data.error(f"there is no gate, but {len(names)} gate outputs")
    nets = tuple(tensors.net(expert, f"experts.{k}", len(reads), len(writes)) for k, expert in enumerate(experts))
    shared = None if data.get("shared") is None else tensors.net(data.child("shared"), "shared", len(reads), len(writes))
    top_k = 1 if data.get("top_k") is None else data.integer("top_k")
    weighting = "softmax" if data.get("weighting") is None else data.text("weighting")
    if weighting not in WEIGHTINGS or not 1 <= top_k <= len(names):
        raise data.error(f'"weighting" {weighting[:80]!r} and "top_k" {top_k} do not fit {len(names)} gate outputs')
    return narrowed(Layer(gate, np.arange(width), nets, serves, names, reads, writes, carries, shared, top_k, weighting))


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


def passing(stored: Sequence[Map], only: int | None = None) -> tuple[Array, list[Map]]:
    """(skip, maps): weights of inputs that reach the last map unchanged, w·σ(x_c) − w·σ(−x_c) = w·x_c, taken out of it; of all inputs,
    or of one.
    """
    maps, out = list(stored), np.array(stored[-1].weight)
    chosen = range(maps[0].weight.shape[1]) if only is None else (only,)
    skip = np.zeros((len(out), maps[0].weight.shape[1]))
    if len(maps) == 1:
        skip[:, chosen], out[:, chosen] = out[:, chosen], 0
        return skip, [Map(out, maps[0].bias)]
    source, sign = _signed_units(maps[0])
    for map_ in maps[1:-1]:
        before, same = _signed_units(map_)
        known = (before >= 0) & (same == 1)
        source, sign = np.where(known, source[before], -1), np.where(known, sign[before], 0.0)
    for c in np.intersect1d(source, chosen):
        for p, q in zip(*(np.flatnonzero((source == c) & (sign == s)) for s in (1, -1)), strict=False):
            rows = np.flatnonzero((out[:, p] == -out[:, q]) & (out[:, p] != 0) & (skip[:, c] == 0))
            skip[rows, c] = out[rows, p]
            out[np.ix_(rows, [p, q])] = 0
    return skip, [*maps[:-1], Map(out, maps[-1].bias)]


def _signed_units(map_: Map) -> tuple[Indices, Array]:
    """For rows ±e_c without bias c and the sign; −1 and 0 for others."""
    if not map_.weight.size:
        return np.full(len(map_.bias), -1), np.zeros(len(map_.bias))
    place = np.abs(map_.weight).argmax(1)
    entry = map_.weight[np.arange(len(place)), place]
    unit = ((map_.weight != 0).sum(1) == 1) & (np.abs(entry) == 1) & (map_.bias == 0)
    return np.where(unit, place, -1), np.where(unit, entry, 0.0)


def _pruned(maps: Sequence[Map]) -> list[Map]:
    """Without the hidden neurons that no output depends on."""
    maps = list(maps)
    for j in range(len(maps) - 1, 0, -1):
        read = (maps[j].weight != 0).any(0)
        if not read.all():
            maps[j] = Map(maps[j].weight[:, read], maps[j].bias)
            maps[j - 1] = Map(maps[j - 1].weight[read], maps[j - 1].bias[read])
    return maps


def _pairs(maps: list[Map]) -> tuple[tuple[Map, ...], tuple[Flags, ...]]:
    """The same function with σ(z) − σ(−z) = z as one linear neuron: the second of such a pair is dropped."""
    linear = []
    for j in range(len(maps) - 1):
        inner, outer = maps[j], maps[j + 1]
        keys = np.concatenate([inner.weight, inner.bias[:, None], outer.weight.T], axis=1) + 0.0  # no −0
        waiting: dict[bytes, list[int]] = {}
        kept, flags = np.ones(len(keys), bool), np.zeros(len(keys), bool)
        for n, key in enumerate(keys):
            if partners := waiting.get((0.0 - key).tobytes()):
                flags[partners.pop()], kept[n] = True, False
            else:
                waiting.setdefault(key.tobytes(), []).append(n)
        maps[j], maps[j + 1] = Map(inner.weight[kept], inner.bias[kept]), Map(outer.weight[:, kept], outer.bias)
        linear.append(flags[kept])
    return tuple(maps), tuple(linear)
