"""Layers of groups (N15): gates of which exactly one logit of every group is 0 at numbers of the dtype, found and written out.

A logit −Σ w·σ(±s·(x − t)), w ≥ 1, s a power of two, is 0 in floats where no term is positive and negative elsewhere: s·x and s·t are
exact (of s < 1 where they are not, far from t), a difference has the right sign, and sums of numbers ≥ 0 are 0 only if all are. So it
is 0 on a box of numbers that are 0 or normal. Where such boxes tile all of space, run by run of outputs, and there are K runs of a layer
that takes the K largest logits, it takes one output of every run, each with weight 1/K. With uniform weights it is enough that a
logit is ≥ 0 there and negative elsewhere, as s·x + b is (N19). Runs of balls compare snapped scores (N20, `snaps`). So the layer is K
layers that take one of one run, and a sum; how these are built is said in docs/certificate.md. All that follows is about points where
such gates read numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...atlas import Array, Tiling
from .hats import runs_of
from .layers import Layer, narrowed
from .nets import RELU, Indices, Map, Net
from .slices import NONE
from .snaps import Run, grid_of, snapped

EFFORT = 1 << 22
"""How often boxes are looked at before it is given up that they tile space: of d axes there may be 2^d cells."""
Box = dict[int, tuple[float, float]]
"""Axis ↦ the first number at which the logit is 0, and the first one after it at which it is not; −∞ and ∞ where there is none."""


def number_from(t: float, dtype: str) -> float:
    """The first number of the dtype, 0 or normal, that is not below t."""
    if np.isinf(t):
        return t
    kind, limits = (np.float32, np.finfo(np.float32)) if dtype == "float32" else (np.float64, np.finfo(np.float64))
    with np.errstate(all="ignore"):
        x = kind(t)
        while float(x) < t:
            x = np.nextafter(x, kind(np.inf))
    if abs(float(x)) >= float(limits.tiny) or x == 0:
        return float(x) + 0.0
    return float(limits.tiny) if x > 0 else 0.0


def number_after(t: float, dtype: str) -> float:
    """The first one above t."""
    return number_from(float(np.nextafter(t, np.inf)), dtype)


def boxes_of(gate: Net, dtype: str, signs: bool = False) -> list[Box] | None:
    """The box of every output; None unless all outputs have one. Axes are inputs of the net. `signs`: where it is ≥ 0."""
    if len(gate.stored) == 1:
        return _half_lines(gate.stored[0], dtype, signs)
    if len(gate.stored) != 2 or not all(map_.plain for map_ in gate.stored) or np.any(gate.stored[0].kinds != RELU):
        return None
    hidden, out = gate.stored
    if out.bias.any() or (out.weight > -1)[out.weight != 0].any():
        return None
    terms = [_term(row, bias, dtype) for row, bias in zip(hidden.weight, hidden.bias.tolist(), strict=True)]
    if None in terms:
        return None
    found = []
    for row in out.weight:
        box: Box = {}
        for axis, (low, high) in (term for n in np.flatnonzero(row) if (term := terms[n]) is not None):
            before = box.get(axis, (-np.inf, np.inf))
            box[axis] = max(before[0], low), min(before[1], high)
        found.append(box)
    return found


def _term(row: Array, bias: float, dtype: str) -> tuple[int, tuple[float, float]] | None:
    """Axis and numbers where a row is ≤ 0, by its sign in floats; None if it is no s·x + b that shows it."""
    tiny = float(np.finfo(np.float32 if dtype == "float32" else np.float64).tiny)
    (axis, *more) = np.flatnonzero(row).tolist() or (-1,)
    factor = float(row[axis]) if axis >= 0 else 0.0
    if axis < 0 or more or abs(np.frexp(factor)[0]) != 0.5 or (abs(factor) < 1 and abs(bias) < 2 * tiny):
        return None
    t = -bias / factor
    if not np.isfinite(t) or t * factor != -bias:
        return None
    # s·(x − t) is so up to t, s·(t − x) from t on.
    return axis, (-np.inf, number_after(t, dtype)) if factor > 0 else (number_from(t, dtype), np.inf)


def _half_lines(gate: Map, dtype: str, signs: bool) -> list[Box] | None:
    """Boxes of logits without a hidden layer: all of space where they are 0, half of it where they are s·x + b."""
    found: list[Box] = []
    for row, bias in zip(gate.weight, gate.bias.tolist(), strict=True):
        term = _term(-row, -bias, dtype) if signs and row.any() else None
        if (row.any() and term is None) or (not row.any() and bias != 0):
            return None
        found.append({} if term is None else dict([term]))
    return found


class Effort:
    """How often a box may still be looked at."""

    def __init__(self, left: int = EFFORT) -> None:
        self.left = left

    def spent(self, looks: int) -> bool:
        """Whether there is none left, once it was so often."""
        self.left -= looks
        return self.left < 0


def tile(boxes: Sequence[Box], effort: Effort | None = None) -> bool:
    """Whether every point is in exactly one of them, axis by axis; of boxes that would take too long nothing is said: no."""
    effort = effort or Effort()
    axes = sorted({axis for box in boxes for axis in box})
    if not axes:
        return len(boxes) == 1
    axis = axes[0]
    ends = [box.get(axis, (-np.inf, np.inf)) for box in boxes]
    starts = sorted({-np.inf, *(end for pair in ends for end in pair if end < np.inf)})
    for start in starts:
        if effort.spent(len(boxes)):
            return False
        there = [
            {k: side for k, side in box.items() if k != axis} for box, (low, high) in zip(boxes, ends, strict=True) if low <= start < high
        ]
        if not there or not tile(there, effort):
            return False
    return True


def runs(boxes: Sequence[Box]) -> list[tuple[int, int]] | None:
    """First and last + 1 of every run of outputs whose boxes tile space; None if they are not all in one."""
    found, start, effort = [], 0, Effort()
    for stop in range(1, len(boxes) + 1):
        if effort.spent(stop - start):
            return None
        if _whole(boxes[start:stop]) and tile(boxes[start:stop], effort):
            found.append((start, stop))
            start = stop
    return found if start == len(boxes) else None


def _whole(boxes: Sequence[Box]) -> bool:
    """Whether they reach to infinity on both sides of every axis, without which they do not tile."""
    axes = {axis for box in boxes for axis in box}
    ends = [[box.get(axis, (-np.inf, np.inf)) for box in boxes] for axis in axes]
    return all(min(low for low, _ in pairs) == -np.inf and max(high for _, high in pairs) == np.inf for pairs in ends)


class WrittenOut(NamedTuple):
    """Layers, each layer of groups as one for each of them and one that adds up."""

    layers: tuple[Layer, ...]
    numbers: bool
    """Whether all that follows is about numbers of the dtype only."""
    near: bool
    """Whether logits have to be computed to within less than `hats.NEAR`."""

    @property
    def snapped(self) -> frozenset[int]:
        """Layers, from 1, that are runs of snapped scores."""
        return frozenset(n for n, layer in enumerate(self.layers, 1) if grid_of(layer) is not None)


class _Groups(NamedTuple):
    """Runs of outputs of which a layer takes one each."""

    ends: list[tuple[int, int]]
    gate: Net
    """Of runs of faces."""
    snapped: dict[int, Run]

    def of(self, first: int, last: int) -> Net:
        """The gate of one run."""
        return self.snapped[first].gate if first in self.snapped else self.gate.outputs(np.arange(first, last))


def _groups(layer: Layer, dtype: str) -> _Groups | None:
    if layer.gate is None or layer.top_k == 1 or layer.weighting == "rectified":
        return None
    gate, several = snapped(layer.gate, dtype) or (layer.gate, [])
    boxes = boxes_of(gate, dtype, layer.weighting == "uniform")
    if boxes is None:
        return None
    ends, start = list[tuple[int, int]](), 0
    for run in [*several, Run(len(boxes), len(boxes), gate)]:
        before = runs(boxes[start : run.first])
        if before is None:
            return None
        ends += [(start + a, start + b) for a, b in before] + [(run.first, run.last)] * (run.last > run.first)
        start = run.last
    if len(ends) != layer.top_k:
        return None
    idle = [run for run in several if all(layer.nets[k].silent.all() for k in layer.serves[run.first : run.last])]
    return None if idle else _Groups(ends, gate, {run.first: run for run in several})  # no site would say where idle scores are


def written_out(inputs: int, layers: Sequence[Layer], dtype: str) -> WrittenOut:
    """The layers without layers of groups."""
    found, several, near = list[Layer](), False, False
    for n, layer in enumerate(layers):
        width, last = len(layers[n - 1].carries) if n else inputs, n == len(layers) - 1
        if (groups := _groups(layer, dtype)) is not None:
            found += _of_groups(layer, groups, width, last)
            several |= not groups.snapped or any(b - a > 1 and a not in groups.snapped for a, b in groups.ends)
        elif layer.gate is not None and (hats := runs_of(layer, last)) is not None:
            found += _of_groups(layer, _Groups(hats, layer.gate, {}), width, last)
            near = True
        else:
            found.append(layer._replace(weighting="softmax") if layer.unit else layer)
    return WrittenOut(tuple(found), several, near)


def _of_groups(layer: Layer, found: _Groups, width: int, last: bool) -> list[Layer]:
    """The K-th part of what the winner of each group computes, behind what arrives; then the layer's own channels."""
    groups, rectified = found.ends, layer.weighting == "rectified"
    K = 1 if rectified else layer.top_k
    nets, fed = [layer.nets[k] for k in layer.serves], [list[int]() for _ in layer.writes]
    own = [np.logical_not(np.all([net.silent for net in nets[a:b]], axis=0)) for a, b in groups]
    idle = [K > 1 and b - a == 1 and not any(map_.weight.any() for map_ in nets[a].stored) for a, b in groups]
    bias = np.sum([nets[a].stored[-1].bias / K for (a, _), flat in zip(groups, idle, strict=True) if flat], axis=0) + np.zeros(len(fed))
    once = (np.sum(own, axis=0) == 1) & (bias == 0) & (layer.carries[layer.writes] < 0) & (layer.shared is None) & (not last)
    layers, state = list[Layer](), width
    for (a, b), mine, flat in zip(groups, own, idle, strict=True):
        outputs = np.flatnonzero(mine)
        if flat or not len(outputs):
            continue
        parts = tuple(_part(net, outputs, K) for net in nets[a:b])
        for n, k in enumerate(outputs.tolist()):
            fed[k].append(state + n)
        writes = np.arange(state, state + len(outputs))
        carries = np.concatenate([np.arange(state), np.full(len(outputs), -1)])
        one = Layer(found.of(a, b), layer.sees, parts, np.arange(b - a), layer.names[a:b], layer.reads, writes, carries, None)
        one = one._replace(top_k=b - a, weighting="rectified") if rectified else one._replace(weighting="uniform")
        layers.append(narrowed(one))
        state += len(outputs)
    return [*layers, _summed(layer, fed, bias, once, width, state)]


def _part(net: Net, outputs: Indices, K: int) -> Net:
    some = net.outputs(outputs).stored
    return Net.of((*some[:-1], Map(some[-1].weight / K, some[-1].bias / K)))


def _summed(layer: Layer, fed: Sequence[Sequence[int]], bias: Array, once: Array, width: int, state: int) -> Layer:
    """What is written once is carried, all else is added up, with the K-th parts of what groups of one output without inputs write."""
    carries, rest = layer.carries.copy(), np.flatnonzero(np.logical_not(once))
    for k in np.flatnonzero(once).tolist():
        carries[layer.writes[k]] = fed[k][0]
    reads = np.concatenate([layer.reads, np.arange(width, state)]).astype(np.intp)
    weight = np.zeros((len(rest), len(reads)))
    for row, k in enumerate(rest.tolist()):
        weight[row, [len(layer.reads) + at - width for at in fed[k]]] = 1
    nets, shared = (Net.of((Map(weight, bias[rest]),)),), layer.shared
    if shared is not None:
        more = np.zeros((1, state - width))
        first, *others = shared.stored
        up = first.up and first.up._replace(weight=np.concatenate([first.up.weight, np.repeat(more, len(first.bias), 0)], 1))
        first = first._replace(weight=np.concatenate([first.weight, np.repeat(more, len(first.bias), 0)], 1), up=up)
        shared = Net.of((first, *others))
    if not len(rest):
        return Layer(None, NONE, (), NONE, ("all",), NONE, NONE, carries)
    return narrowed(Layer(None, NONE, nets, np.zeros(1, np.intp), ("all",), reads, layer.writes[rest], carries, shared, 1, "uniform"))


def routes_of(layer: Layer, axes: Indices, tiling: Tiling, dtype: str) -> tuple[int, ...] | None:
    """Per piece the output of one group that takes every number which the piece owns, or which lies beyond it outside."""
    assert layer.gate is not None
    boxes = boxes_of(layer.gate, dtype, True)
    if boxes is None or len(boxes) != len(tiling):
        return None
    low, high = tiling.owned
    outer = tiling.domain
    routes = []
    for p in range(len(tiling)):
        wanted = []
        for k in range(tiling.dimension):
            a, b = float(tiling.lower[p, k]), float(tiling.upper[p, k])
            start = -np.inf if a == outer.lower[k] else number_from(a, dtype) if low[p, k] else number_after(a, dtype)
            stop = np.inf if b == outer.upper[k] else number_after(b, dtype) if high[p, k] else number_from(b, dtype)
            wanted.append((start, stop))
        same = [n for n, box in enumerate(boxes) if _on_axes(box, axes, tiling.dimension) == wanted]
        if len(same) != 1:
            return None
        routes += same
    return tuple(routes) if len(set(routes)) == len(tiling) else None


def _on_axes(box: Box, axes: Indices, dimension: int) -> list[tuple[float, float]]:
    """The box in the coordinates of a tiling."""
    sides = [(-np.inf, np.inf)] * dimension
    for channel, (low, high) in box.items():
        axis = int(axes[channel])
        sides[axis] = max(sides[axis][0], low), min(sides[axis][1], high)
    return sides
