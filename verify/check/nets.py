"""Nets as a file holds them, and the same functions with what is linear in them apart.

A hidden layer is act(W·x + b)·(U·x + c), neuron by neuron with its own activation; without lanes the second factor is 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array

Flags = NDArray[np.bool_]
Indices = NDArray[np.intp]
Kinds = NDArray[np.uint8]

IDENTITY, RELU, RELU2, GELU, GELU_TANH, SILU = range(6)
KINDS = {"relu": RELU, "relu2": RELU2, "gelu": GELU, "gelu_tanh": GELU_TANH, "silu": SILU, "identity": IDENTITY}
"""Activations by the names that files give them; the identity is also what pairs act(z) − act(−z) are."""
REFLECTING = (RELU, GELU, GELU_TANH, SILU)
"""act(z) − act(−z) = z."""


class Map(NamedTuple):
    """x ↦ W·x + b, in float64 whatever the file holds; of a hidden layer with what becomes of it."""

    weight: Array
    bias: Array
    kinds: Kinds | None = None
    """The activation of every row; None of a last map, which has none."""
    up: Map | None = None
    """U·x + c, which the activations are multiplied by; None: 1."""

    @property
    def arrays(self) -> tuple[Array, ...]:
        """All of its numbers."""
        return (self.weight, self.bias) if self.up is None else (self.weight, self.bias, *self.up.arrays)

    @property
    def key(self) -> tuple[bytes, ...]:
        """The same for equal maps only."""
        kinds = b"" if self.kinds is None else self.kinds.tobytes()
        return (kinds, *(part.tobytes() + str(part.shape).encode() for part in self.arrays))

    @property
    def plain(self) -> bool:
        """Whether nothing is bent in it but by the ReLU."""
        return self.up is None and (self.kinds is None or bool((self.kinds <= RELU).all()))

    @property
    def reads(self) -> Flags:
        """Inputs with a weight."""
        found = (self.weight != 0).any(0)
        return found if self.up is None else found | (self.up.weight != 0).any(0)

    def activated(self) -> Map:
        """As a hidden layer, of ReLUs if nothing else is said."""
        return self if self.kinds is not None else self._replace(kinds=np.full(len(self.bias), RELU, np.uint8))

    def rows(self, which: Indices | Flags) -> Map:
        kinds = None if self.kinds is None else self.kinds[which]
        return Map(self.weight[which], self.bias[which], kinds, None if self.up is None else self.up.rows(which))

    def columns(self, which: Indices | Flags) -> Map:
        return self._replace(weight=self.weight[:, which], up=None if self.up is None else self.up.columns(which))

    def without_lanes(self) -> Map:
        """The same function, without `up` if that is 1 exactly."""
        return self if self.up is None or not self.flat.all() else self._replace(up=None)

    @property
    def flat(self) -> Flags:
        """Rows that are multiplied by 1 exactly."""
        return np.ones(len(self.bias), bool) if self.up is None else ~self.up.weight.any(1) & (self.up.bias == 1)


class Net(NamedTuple):
    """`skip`·x plus `maps` one after the other."""

    stored: tuple[Map, ...]
    """As it is in the file and evaluated."""
    maps: tuple[Map, ...]
    """The same function without `skip`, with fewer neurons; some are the identity."""
    skip: Array

    @staticmethod
    def of(stored: Sequence[Map]) -> Net:
        """What is linear apart: inputs that pass all hidden layers as σ(x) and σ(−x), and pairs of neurons act(z) − act(−z). Hidden maps
        of which no activation is said have the ReLU.
        """
        stored = [*(map_.activated() for map_ in stored[:-1]), stored[-1]]
        skip, rest = passing(stored)
        return Net(tuple(stored), _merged(_pairs(_pruned([map_.without_lanes() for map_ in rest]))), skip)

    def outputs(self, rows: Indices) -> Net:
        """Some of its outputs, by the neurons that they depend on."""
        return Net.of(_pruned((*self.stored[:-1], self.stored[-1].rows(rows))))

    def inputs(self, columns: Indices) -> Net:
        """The same where it reads these inputs only; the others have to have no weight."""
        return Net.of((self.stored[0].columns(columns), *self.stored[1:]))

    def without(self, column: int) -> Net:
        """The net without `skip` in that input."""
        return Net.of(_pruned(passing(self.stored, column)[1]))

    @property
    def plain(self) -> bool:
        """Whether nothing is bent in it but by the ReLU."""
        return all(map_.plain for map_ in self.maps)

    @property
    def reads(self) -> Flags:
        """Inputs with a weight."""
        return self.stored[0].reads

    @property
    def copies(self) -> Indices:
        """For every output the input that it equals, whatever the other inputs are, also in floats; −1 for none."""
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


def passing(stored: Sequence[Map], only: int | None = None) -> tuple[Array, list[Map]]:
    """(skip, maps): weights of inputs that reach the last map unchanged, w·σ(x_c) − w·σ(−x_c) = w·x_c, taken out of it; of all inputs,
    or of one. Of ReLUs only, and linear layers before them, which floats keep as they are.
    """
    maps, out = list(stored), np.array(stored[-1].weight)
    chosen = range(maps[0].weight.shape[1]) if only is None else (only,)
    skip = np.zeros((len(out), maps[0].weight.shape[1]))
    if len(maps) == 1:
        skip[:, chosen], out[:, chosen] = out[:, chosen], 0
        return skip, [Map(out, maps[0].bias)]
    source, sign = _signed_units(maps[0])
    straight = _linear(maps[0])
    for map_ in maps[1:-1]:
        before, turn = _signed_units(map_)
        known = (before >= 0) & ((turn == 1) | straight[before])
        source, sign = np.where(known, source[before], -1), np.where(known, turn * sign[before], 0.0)
        straight = straight[before] & _linear(map_)
    source = np.where(straight, -1, source)
    for c in np.intersect1d(source, chosen):
        for p, q in zip(*(np.flatnonzero((source == c) & (sign == s)) for s in (1, -1)), strict=False):
            rows = np.flatnonzero((out[:, p] == -out[:, q]) & (out[:, p] != 0) & (skip[:, c] == 0))
            skip[rows, c] = out[rows, p]
            out[np.ix_(rows, [p, q])] = 0
    return skip, [*maps[:-1], Map(out, maps[-1].bias)]


def _linear(map_: Map) -> Flags:
    assert map_.kinds is not None
    return map_.kinds == IDENTITY


def _signed_units(map_: Map) -> tuple[Indices, Array]:
    """For rows σ(±x_c), or ±x_c, the number c and the sign; −1 and 0 for others."""
    if not map_.weight.size:
        return np.full(len(map_.bias), -1), np.zeros(len(map_.bias))
    place = np.abs(map_.weight).argmax(1)
    entry = map_.weight[np.arange(len(place)), place]
    unit = ((map_.weight != 0).sum(1) == 1) & (np.abs(entry) == 1) & (map_.bias == 0) & map_.flat
    assert map_.kinds is not None
    unit &= map_.kinds <= RELU
    return np.where(unit, place, -1), np.where(unit, entry, 0.0)


def _pruned(maps: Sequence[Map]) -> list[Map]:
    """Without the hidden neurons that no output depends on."""
    maps = list(maps)
    for j in range(len(maps) - 1, 0, -1):
        read = maps[j].reads
        if not read.all():
            maps[j], maps[j - 1] = maps[j].columns(read), maps[j - 1].rows(read)
    return maps


def _pairs(maps: list[Map]) -> tuple[Map, ...]:
    """The same function with act(z) − act(−z) = z as one neuron that is the identity, in the place of a pair of one activation that is
    multiplied by the same and read with opposite weights.
    """
    for j in range(len(maps) - 1):
        inner, outer = maps[j], maps[j + 1]
        assert inner.kinds is not None
        read = outer.weight.T if outer.up is None else np.concatenate([outer.weight, outer.up.weight]).T
        keys = np.concatenate([inner.weight, inner.bias[:, None], read], axis=1) + 0.0  # no −0
        beside = (
            [b""] * len(keys) if inner.up is None else [part.tobytes() for part in np.column_stack([inner.up.weight, inner.up.bias]) + 0.0]
        )
        waiting: dict[tuple[int, bytes, bytes], list[int]] = {}
        kept, kinds = np.ones(len(keys), bool), inner.kinds.copy()
        for n, (kind, key, lane) in enumerate(zip(inner.kinds.tolist(), keys, beside, strict=True)):
            if kind not in REFLECTING:
                continue
            if partners := waiting.get((kind, (0.0 - key).tobytes(), lane)):
                kinds[partners.pop()], kept[n] = IDENTITY, False
            else:
                waiting.setdefault((kind, key.tobytes(), lane), []).append(n)
        maps[j], maps[j + 1] = inner._replace(kinds=kinds).rows(kept).without_lanes(), outer.columns(kept)
    return tuple(maps)


def _merged(maps: tuple[Map, ...]) -> tuple[Map, ...]:
    """Without a first hidden layer that is linear, has no biases and is read row by row with ±1: a product that is exact."""
    if len(maps) < 2 or maps[0].kinds is None or (maps[0].kinds != IDENTITY).any() or maps[0].bias.any() or maps[0].up or maps[1].up:
        return maps
    signs = maps[1].weight
    if not ((signs != 0).sum(1) == 1).all() or not (np.abs(signs).sum(1) == 1).all():
        return maps
    return (maps[1]._replace(weight=signs @ maps[0].weight), *maps[2:])
