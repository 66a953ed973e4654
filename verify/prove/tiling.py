"""Routers of tilings, recognised in the weights: which expert every point gets, exactly, points on interfaces included (B10).

A score −Σ_k w_k·σ(±(z_j − t_k)) with w_k ≥ 1 is 0 on a box and negative off it, in real numbers and in floats: a difference of two floats
has the right sign, and a sum of numbers that are not positive is 0 only if all are. So the first gate output whose closed box holds z wins.
Where K are chosen and every K outputs, one after the other, have the box and the expert of one piece (B21), all K outputs of the first such
piece win.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import DTypeLike

from ...atlas import Array, Tiling
from ...moe.layer import MoELayer, Weighting
from ...moe.nets import Affine, Net
from ...moe.network import Network
from .groups import LINE, least, sides_of
from .linear import pruned
from .slices import Origin, Slicer


def tiling_router(
    network: Network, tiling: Tiling, matrix: Array, *, beyond: bool = False, dtype: DTypeLike = "float64"
) -> tuple[int, ...] | None:
    """For every piece the gate output that wins at all points that the piece owns, or the first of its copies that do; None if the weights
    do not show it.

    `matrix` says what the network's inputs are of the tiling's coordinates: each has to be one of them. `beyond`: points
    beyond the outside of the tiling have to get the piece they are beyond of, too. Of one group among several (`ungroup`): at all numbers
    of the dtype.
    """
    last = network.layers[-1]
    if last.gate is None:
        return (0,) * len(tiling)
    if (
        last.weighting is Weighting.RECTIFIED
        or len(last) % last.top_k
        or not (((matrix == 1).sum(1) == 1) & ((matrix != 0).sum(1) == 1)).all()
    ):
        return None
    axes = matrix.argmax(1)
    if last.weighting is Weighting.UNIFORM and last.top_k == 1:
        return _of_group(last, tiling, axes, dtype)
    outputs = []
    for scores in _scores(network):
        box = None if scores is None else _box(*scores, axes, tiling.dimension)
        if box is None or (piece := _piece(tiling, *box, beyond)) is None:
            return None
        outputs.append(piece)
    K = last.top_k
    pieces = outputs[::K]
    if outputs != [p for p in pieces for _ in range(K)] or last.serves != tuple(k for k in last.serves[::K] for _ in range(K)):
        return None
    if sorted(pieces) != list(range(len(tiling))):
        return None
    # An earlier output takes every point of its closed box: none of them may be owned by the piece of a later one.
    order = np.array(pieces)
    for i in range(len(order) - 1):
        if tiling.reaches(order[i + 1 :], np.full(len(order) - i - 1, order[i])).any():
            return None
    return tuple(K * int(np.argsort(pieces)[p]) for p in range(len(tiling)))


def _of_group(layer: MoELayer, tiling: Tiling, axes: Array, dtype: DTypeLike) -> tuple[int, ...] | None:
    """For every piece the output whose logit is 0 at the numbers that the piece owns, and at those beyond it."""
    assert layer.gate is not None
    boxes = sides_of(layer.gate, dtype, equal=False)
    if boxes is None or len(boxes) != len(tiling):
        return None
    found = {tuple(sorted((int(axes[column]), *side) for column, side in box.items() if side != LINE)): n for n, box in enumerate(boxes)}
    (low, high), domain = tiling.owned, tiling.domain
    routes = []
    for p in range(len(tiling)):
        box = []
        for k in range(tiling.dimension):
            a, b = float(tiling.lower[p, k]), float(tiling.upper[p, k])
            start = -np.inf if a == domain.lower[k] else least(a, dtype, above=not low[p, k])
            stop = np.inf if b == domain.upper[k] else least(b, dtype, above=bool(high[p, k]))
            box += [] if (start, stop) == LINE else [(k, start, stop)]
        routes.append(found.get(tuple(box)))
    known = tuple(route for route in routes if route is not None)
    return known if len(set(known)) == len(tiling) else None


def _scores(network: Network) -> Iterator[tuple[Net, Sequence[Origin]] | None]:
    """For every gate output a net of one output that computes its logit, and the origins of what that reads; None for other gates."""
    gate, slicer = network.layers[-1].gate, Slicer(network)
    assert gate is not None
    arriving, affine = slicer.origins[-2], gate.affines[-1]
    for j, (row, bias) in enumerate(zip(affine.weight, affine.bias, strict=True)):
        if len(gate.affines) > 1:
            yield pruned(gate.with_maps((*gate.affines[:-1], Affine(affine.weight[j : j + 1], affine.bias[j : j + 1])))), arriving
            continue
        layer, channel = arriving[int(row.argmax())]
        part = slicer.slice(layer, [channel], ()) if layer and bias == 0 and row.max() == 1 and (row != 0).sum() == 1 else None
        if part is None or len(part.network.layers) != 1 or not _dense(part.network.layers[0]):
            yield None
            continue
        (moe,) = part.network.layers
        reads = range(len(part.reads)) if moe.reads is None else moe.reads
        yield moe.experts[0], [part.reads[k] for k in reads]


def _dense(layer: MoELayer) -> bool:
    """Whether it is one net, and nothing else."""
    return layer.gate is None and layer.shared is None and layer.carries is None


def _box(net: Net, reads: Sequence[Origin], axes: Array, dimension: int) -> tuple[Array, Array] | None:
    """The box on which a score is 0, off which it is negative; None if its weights do not have the form for that."""
    if len(net.affines) != 2 or not net.plain:
        return None
    hidden, out = net.affines
    rows = hidden.weight
    if out.bias.any() or not (out.weight[0] <= -1).all() or not (((np.abs(rows) == 1).sum(1) == 1) & ((rows != 0).sum(1) == 1)).all():
        return None
    lower, upper = np.full(dimension, -np.inf), np.full(dimension, np.inf)
    for row, bias in zip(rows, hidden.bias, strict=True):
        layer, channel = reads[int(np.abs(row).argmax())]
        if layer:
            return None
        axis = int(axes[channel])
        if row.max() > 0:  # σ(z − t) is 0 up to t = −bias
            upper[axis] = min(upper[axis], -bias)
        else:
            lower[axis] = max(lower[axis], bias)
    return lower, upper


def _piece(tiling: Tiling, lower: Array, upper: Array, beyond: bool) -> int | None:
    """The piece with this closed box, whose faces on the outside may be missing, or have to be."""
    domain = tiling.domain
    if beyond and ((lower == domain.lower) | (upper == domain.upper)).any():
        return None
    low = np.where(np.isinf(lower), domain.lower, lower)
    high = np.where(np.isinf(upper), domain.upper, upper)
    found = np.flatnonzero((tiling.lower == low).all(1) & (tiling.upper == high).all(1))
    return int(found[0]) if len(found) == 1 else None
