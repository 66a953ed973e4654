"""Routers of tilings, recognised in the weights: which expert every point gets, exactly, points on interfaces included (B10).

A score −Σ_k w_k·σ(±(z_j − t_k)) with w_k ≥ 1 is 0 on a box and negative off it, in real numbers and in floats: a difference of two floats
has the right sign, and a sum of numbers that are not positive is 0 only if all are. So the first gate output whose closed box holds z wins.
"""

from __future__ import annotations

import numpy as np

from ...atlas import Array, Tiling
from ...moe.network import Network
from .linear import split
from .slices import Slicer


def tiling_router(network: Network, tiling: Tiling, matrix: Array, *, beyond: bool = False) -> tuple[int, ...] | None:
    """For every piece the gate output that wins at all points that the piece owns; None if the weights do not show it.

    `matrix` says what the network's inputs are of the tiling's coordinates: each has to be one of them. `beyond`: points
    beyond the outside of the tiling have to get the piece they are beyond of, too.
    """
    last = network.layers[-1]
    if len(last.experts) == 1:
        return (0,) * len(tiling)
    if not (((matrix == 1).sum(1) == 1) & ((matrix != 0).sum(1) == 1)).all():
        return None
    axes = matrix.argmax(1)
    slicer = Slicer(network)
    arriving = slicer.origins[-2]
    unit = ((last.affine_gate.weight == 1).sum(1) == 1) & ((last.affine_gate.weight != 0).sum(1) == 1)
    if not unit.all() or last.affine_gate.bias.any():
        return None
    pieces = []
    for row in last.affine_gate.weight:
        layer, channel = arriving[int(row.argmax())]
        box = None if layer == 0 else _box(slicer, layer, channel, axes, tiling.dimension)
        if box is None or (piece := _piece(tiling, *box, beyond)) is None:
            return None
        pieces.append(piece)
    if sorted(pieces) != list(range(len(tiling))):
        return None
    # An earlier output takes every point of its closed box: none of them may be owned by the piece of a later one.
    order = np.array(pieces)
    for i in range(len(order) - 1):
        if tiling.reaches(order[i + 1 :], np.full(len(order) - i - 1, order[i])).any():
            return None
    return tuple(int(np.argsort(pieces)[p]) for p in range(len(tiling)))


def _box(slicer: Slicer, layer: int, channel: int, axes: Array, dimension: int) -> tuple[Array, Array] | None:
    """The box on which a score is 0, off which it is negative; None if its weights do not have the form for that."""
    part = slicer.slice(layer, [channel], ())
    if len(part.network.layers) != 1 or len(part.network.layers[0].experts) != 1 or any(origin[0] != 0 for origin in part.reads):
        return None
    moe = part.network.layers[0]
    parts = split(moe.experts[0])
    if len(parts.rest.affines) != 2 or parts.carried.any():
        return None
    hidden, out = parts.rest.affines
    rows = hidden.weight
    if out.bias.any() or not (out.weight[0] <= -1).all() or not (((np.abs(rows) == 1).sum(1) == 1) & ((rows != 0).sum(1) == 1)).all():
        return None
    lower, upper = np.full(dimension, -np.inf), np.full(dimension, np.inf)
    for row, bias in zip(rows, hidden.bias, strict=True):
        column = int(np.abs(row).argmax())
        axis = int(axes[part.reads[column][1]])
        if row[column] > 0:  # σ(z − t) is 0 up to t = −bias
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
