"""What the stored network is at one point in real arithmetic: fractions, and intervals of fractions where something is not exact."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

import numpy as np

from ...atlas import Array
from ...expressions.precise import Enclosed, enclose_at
from ...expressions.tree import Call, Name, Reciprocal, Sum
from .between import Between, activated
from .layers import Layer
from .nets import Map

ZERO = Between(Fraction(0), Fraction(0))


class Open(Exception):
    """Which expert is taken is not decided."""


def evaluated(layers: Sequence[Layer], inputs: Sequence[Enclosed]) -> tuple[list[Between], tuple[int, ...]]:
    """What leaves the network, and the gate outputs that the last layer takes. Raises `Open` where a choice is not decided."""
    state = [Between(value.lower, value.upper) for value in inputs]
    chosen: tuple[int, ...] = (0,)
    for layer in layers:
        logits = None if layer.gate is None else _net(layer.gate.stored, [state[k] for k in layer.sees])
        chosen = (0,) if logits is None else _chosen(logits, layer.top_k)
        state = _behind(layer, state, logits, chosen)
    return state, chosen


def embedded(matrix: Array | None, base: Sequence[Enclosed]) -> list[Enclosed]:
    """Q·y; None: y."""
    if matrix is None:
        return list(base)
    found = _affine(Map(np.asarray(matrix, float), np.zeros(len(matrix))), [Between(value.lower, value.upper) for value in base])
    return [Enclosed(value.low, value.high) for value in found]


def _affine(map_: Map, x: Sequence[Between]) -> list[Between]:
    found = []
    for row, bias in zip(map_.weight, map_.bias, strict=True):
        total = Between(Fraction(float(bias)), Fraction(float(bias)))
        for k in np.flatnonzero(row).tolist():
            total = total.plus(x[k].times(Between(*[Fraction(float(row[k]))] * 2)))
        found.append(total.shorter())
    return found


def _net(stored: Sequence[Map], x: Sequence[Between]) -> list[Between]:
    for map_ in stored[:-1]:
        assert map_.kinds is not None
        found = [activated(int(kind), value) for kind, value in zip(map_.kinds, _affine(map_, x), strict=True)]
        if map_.up is not None:
            found = [a.times(lane).shorter() for a, lane in zip(found, _affine(map_.up, x), strict=True)]
        x = found
    return _affine(stored[-1], x)


def _chosen(logits: Sequence[Between], top_k: int) -> tuple[int, ...]:
    order = sorted(range(len(logits)), key=lambda k: (-(logits[k].low + logits[k].high), k))
    taken = order[:top_k]
    for j in taken:
        for k in order[top_k:]:
            if not (logits[j].low > logits[k].high or (logits[j].low == logits[k].high and j < k)):
                raise Open
    return tuple(sorted(taken))


def _behind(layer: Layer, state: Sequence[Between], logits: Sequence[Between] | None, chosen: Sequence[int]) -> list[Between]:
    reads = [state[k] for k in layer.reads]
    out = [ZERO if source < 0 else state[source] for source in layer.carries]
    parts = [_net(layer.nets[layer.serves[j]].stored, reads) for j in chosen] if layer.nets else []
    if parts and not layer.unit:
        assert logits is not None
        weights = _weights(layer, [logits[j] for j in chosen])
        parts = [[value.times(weight) for value in part] for part, weight in zip(parts, weights, strict=True)]
    if layer.shared is not None:
        parts.append(_net(layer.shared.stored, reads))
    for part in parts:
        for place, value in zip(layer.writes, part, strict=True):
            out[place] = out[place].plus(value).shorter()
    return out


def _weights(layer: Layer, logits: Sequence[Between]) -> Iterable[Between]:
    if layer.weighting == "rectified":
        return [Between(max(s.low, Fraction(0)), max(s.high, Fraction(0))) for s in logits]
    if layer.weighting == "uniform":
        return [Between(*[Fraction(1, layer.top_k)] * 2)] * len(logits)
    return [Between(_share(n, logits, 0), _share(n, logits, 1)) for n in range(len(logits))]


def _share(n: int, logits: Sequence[Between], end: int) -> Fraction:
    """One end of 1/(1 + Σ exp(s_j − s_n)): the own logit at that end, the others at the other one."""
    point = {f"s{j}": other[1 - end] - logits[n][end] for j, other in enumerate(logits) if j != n} | {"one": Fraction(0)}
    found = enclose_at(Reciprocal(Sum(tuple(Call("exp", (Name(name),)) for name in point))), point)
    if not isinstance(found, Enclosed):
        raise Open
    return (found.lower, found.upper)[end]
