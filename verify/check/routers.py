"""Exact routers of tilings: which gate output wins at every point that a piece owns, by the signs of floats (B10).

A logit −Σ_k w_k·σ(±(z_j − t_k)), w_k ≥ 1, is 0 on a closed box and negative off it, in reals and in floats: fl(z − t) has the sign of
z − t, a product by w ≥ 1 does not vanish, a sum of numbers ≥ 0 is 0 only if all are, in any order. So the first output whose box holds z
wins. Where K are chosen, and every K outputs, one after the other, have one box and one expert, all K of the first such box win (B21).
"""

from __future__ import annotations

import numpy as np

from ...atlas import Array, Tiling
from .groups import routes_of
from .layers import Layer
from .nets import Flags, Indices, Map, Net
from .slices import Slice


def exact_routes(part: Slice, matrix: Array, tiling: Tiling, beyond: bool, dtype: str = "float64") -> tuple[int, ...] | None:
    """Per piece the winner, or its first copy, at all points that the piece owns; `beyond`: and at those beyond it, outside the tiling.
    None if the weights do not show it. `matrix` says what the slice reads of the tiling's coordinates. Of one group among several: at the
    numbers of the dtype.
    """
    last = part.layers[-1]
    if last.gate is None:
        return (0,) * len(tiling)
    if last.weighting == "rectified" or not (((matrix == 1).sum(1) == 1) & ((matrix != 0).sum(1) == 1)).all():
        return None
    axes, boxes = matrix.argmax(1), []
    if last.weighting == "uniform" and last.top_k == 1:
        sources = _through(part.layers[:-1], last.sees)
        return None if sources is None else routes_of(last, axes[sources], tiling, dtype)
    if (found_faces := _faces(part)) is None or (faces := _single(found_faces, last)) is None:
        return None
    for face in faces:
        lower, upper = np.full(tiling.dimension, -np.inf), np.full(tiling.dimension, np.inf)
        for read, sign, knot in face:
            axis = axes[read]
            if sign > 0:
                upper[axis] = min(upper[axis], knot)
            else:
                lower[axis] = max(lower[axis], knot)
        boxes.append((lower, upper))
    outer = np.array(tiling.domain.lower), np.array(tiling.domain.upper)
    found = np.full(len(tiling), -1)
    for output, (lower, upper) in enumerate(boxes):
        if beyond and ((lower == outer[0]) | (upper == outer[1])).any():
            return None
        low, high = np.where(np.isinf(lower), outer[0], lower), np.where(np.isinf(upper), outer[1], upper)
        (piece,) = np.flatnonzero((tiling.lower == low).all(1) & (tiling.upper == high).all(1))[:1].tolist() or (-1,)
        if piece < 0 or found[piece] >= 0 or np.isinf(np.concatenate([low, high])).any():
            return None
        found[piece] = output
    # An earlier output takes every point of its closed box, so that no later piece may own one of them.
    if (found < 0).any() or len(boxes) != len(tiling):
        return None
    for piece, output in enumerate(found):
        later = np.flatnonzero(found > output)
        if _owns(tiling, later, piece).any():
            return None
    return tuple(last.top_k * int(output) for output in found)


def _single(faces: list[list[tuple[int, float, float]]], last: Layer) -> list[list[tuple[int, float, float]]] | None:
    """The faces of each K copies once; None if the K that are chosen need not be copies of one expert, with weights that add up to 1."""
    K = last.top_k
    if len(faces) % K or last.weighting == "rectified":
        return None
    groups = [(faces[n : n + K], list(last.serves[n : n + K])) for n in range(0, len(faces), K)]
    if any(face != boxes[0] for boxes, _ in groups for face in boxes) or any(len(set(serves)) > 1 for _, serves in groups):
        return None
    return [boxes[0] for boxes, _ in groups]


def _owns(tiling: Tiling, pieces: Indices, closed: int) -> Flags:
    """Which of the pieces own a point of the closed box of another one."""
    low, high = tiling.owned
    a, b = np.maximum(tiling.lower[pieces], tiling.lower[closed]), np.minimum(tiling.upper[pieces], tiling.upper[closed])
    point = np.where(a == tiling.lower[pieces], low[pieces], True) & np.where(a == tiling.upper[pieces], high[pieces], True)
    return np.asarray(((a < b) | ((a == b) & point)).all(1))


def _faces(part: Slice) -> list[list[tuple[int, float, float]]] | None:
    """Per gate output its faces, (number in `reads`, sign of the coordinate, knot): from a two-layer gate that reads them, or from a gate
    that compares what one net of the layer before wrote.
    """
    last = part.layers[-1]
    assert last.gate is not None
    if len(last.gate.stored) == 2:
        net, sees = last.gate, last.sees
        sources = _through(part.layers[:-1], sees)
    else:
        gate = last.gate.stored[0]
        unit = ((gate.weight == 1).sum(1) == 1) & ((gate.weight != 0).sum(1) == 1)
        if len(last.gate.stored) != 1 or not unit.all() or gate.bias.any():
            return None
        compared = last.sees[gate.weight.argmax(1)]
        found = _written(part.layers[:-1], compared.tolist())
        if found is None:
            return None
        net, sources = found
    return None if sources is None else _of_net(net, sources)


def _written(layers: tuple[Layer, ...], channels: list[int]) -> tuple[Net, list[int] | None] | None:
    """The one net that writes these channels, in this order, and where in the slice's reads its inputs come from."""
    while layers:
        layer = layers[-1]
        if (layer.carries[channels] < 0).all() and set(channels) <= set(layer.writes.tolist()):
            if len(layer.nets) != 1 or layer.gate is not None or layer.shared is not None:
                return None
            place = {c: n for n, c in enumerate(layer.writes.tolist())}
            net = layer.nets[0].outputs(np.array([place[c] for c in channels], np.intp))
            return net, _through(layers[:-1], layer.reads)
        if (layer.carries[channels] < 0).any() or set(channels) & set(layer.writes.tolist()):
            return None
        channels, layers = layer.carries[channels].tolist(), layers[:-1]
    return None


def _through(layers: tuple[Layer, ...], channels: Indices) -> list[int] | None:
    """Which numbers of the slice's reads these channels are, carried through all layers; None if one is computed."""
    found = channels
    for layer in layers[::-1]:
        if (layer.carries[found] < 0).any() or np.isin(found, layer.writes).any():
            return None
        found = layer.carries[found]
    return [int(c) for c in found]


def _of_net(net: Net, sources: list[int]) -> list[list[tuple[int, float, float]]] | None:
    """The faces of every output of a two-layer net of the form above; None for others."""
    if len(net.stored) != 2 or not all(map_.plain for map_ in net.stored):
        return None
    hidden, out = net.stored
    if out.bias.any() or not ((out.weight == 0) | (out.weight <= -1)).all() or not _signed(hidden):
        return None
    columns = np.abs(hidden.weight).argmax(1) if hidden.weight.size else np.zeros(0, int)
    signs = hidden.weight[np.arange(len(columns)), columns]
    knots = np.where(signs > 0, -hidden.bias, hidden.bias)
    faces = [(sources[c], float(s), float(t)) for c, s, t in zip(columns, signs, knots, strict=True)]
    return [[faces[n] for n in np.flatnonzero(row)] for row in out.weight]


def _signed(map_: Map) -> bool:
    """Whether every row is ±e_c."""
    return bool((((map_.weight != 0).sum(1) == 1) & (np.abs(map_.weight).sum(1) == 1)).all())
