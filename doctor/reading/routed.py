"""A gate of a module or checkpoint as `Gate`: its weights, the rows that reach it, and its logits as its dtype has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...atlas import Array, TaskGraph
from ...errors import InvalidArgument
from ...moe.halves import HALVES, rounded
from ..choice import Choice
from ..patient import Charts, Expert, Gate, Local
from ..rounding import UNIT, stored_error
from .names import Found

RELU = "relu"
MOST_PIECES = 1 << 10
"""Tuples of pieces that are told apart."""


@dataclass(frozen=True, eq=False)
class Weights:
    """The router's maps, in float64, exactly as stored, innermost first; ReLU between them where there are several."""

    maps: tuple[tuple[Array, Array], ...]
    dtype: str

    @property
    def affine(self) -> tuple[Array, Array] | None:
        return self.maps[0] if len(self.maps) == 1 else None

    def logits(self, rows: Array, dtype: str) -> Array:
        """(N, E), computed in that dtype: halves are rounded at every map, and added in float32."""
        if dtype not in HALVES:
            h = rows.astype(dtype)
            for j, (weight, bias) in enumerate(self.maps):
                h = (np.maximum(h, 0) if j else h) @ weight.astype(dtype).T + bias.astype(dtype)
            return h.astype(float)
        h = rounded(rows.astype(np.float32), dtype)
        for j, (weight, bias) in enumerate(self.maps):
            h = np.maximum(h, 0) if j else h
            h = rounded(h @ rounded(weight.astype(np.float32), dtype).T + rounded(bias.astype(np.float32), dtype), dtype)
        return h.astype(float)

    def errors(self, rows: Array, dtype: str) -> Array:
        """How far `logits` may be off, (N, E)."""
        e, h = np.zeros_like(rows), rows
        for j, (weight, bias) in enumerate(self.maps):
            h = np.maximum(h, 0) if j else h
            z = h @ weight.T + bias
            e = e @ np.abs(weight).T + stored_error(weight, bias, np.abs(h) + e, z, dtype)
            h = z
        return e


def weights_of(found: Found, tensors: Mapping[str, np.ndarray], dtype: str) -> Weights:
    """The router's weights from the tensors by name, float64. Raises `InvalidArgument` for numbers that are not finite."""
    maps = []
    for weight, bias in zip(found.weights, found.biases, strict=True):
        matrix = np.asarray(tensors[weight], float)
        matrix = matrix.reshape(matrix.shape[-2:])
        vector = np.zeros(len(matrix)) if bias is None else np.asarray(tensors[bias], float).reshape(-1)
        if not (np.isfinite(matrix).all() and np.isfinite(vector).all()):
            raise InvalidArgument(f"router {found.root!r}: {weight} holds numbers that are not finite; such a mixture is broken, not ill")
        maps.append((matrix, vector))
    return Weights(tuple(maps), dtype)


@dataclass(frozen=True)
class Said:
    """What configuration or options say of all gates."""

    top_k: int = 1
    on: str = "logits"
    groups: int = 1
    taken_groups: int = 1
    activation: str | None = None
    """Of the experts' neurons."""
    router_dtype: str | None = None
    """In which logits are computed, if that is not the dtype of the weights."""


def gate_of(
    found: Found,
    weights: Weights,
    said: Said,
    rows: Array | None,
    correction: Array | None = None,
    computed: Array | None = None,
    charts: Charts | None = None,
    local: Local | None = None,
) -> Gate:
    """The gate. `computed`: its logits, if they were seen; else they are computed as its dtype has them."""
    dtype = said.router_dtype or weights.dtype
    if dtype not in UNIT:
        raise InvalidArgument(f"router {found.root!r} is of {dtype}, of which nothing is known; examine it as one of {', '.join(UNIT)}")
    if said.top_k > found.count:
        raise InvalidArgument(f"router {found.root!r} has {found.count} experts, of which {said.top_k} cannot be chosen; give {{top_k=1}}")
    choice = Choice(said.top_k, said.on, correction, said.groups, said.taken_groups)  # type: ignore[arg-type]
    logits = error = None
    if rows is not None:
        if rows.shape[1] != found.reads:
            raise InvalidArgument(
                f"router {found.root!r} reads {found.reads} numbers, the rows have {rows.shape[1]}; give rows (N, {found.reads})"
            )
        logits = weights.logits(rows, dtype) if computed is None else computed
        error = weights.errors(rows, dtype)
    one = Expert(found.widths, _linear_pieces(found, said.activation))
    return Gate(
        name=found.root,
        experts=tuple(f"expert {k}" for k in range(found.count)),
        choice=choice,
        dtype=dtype,
        logits=logits,
        error=error,
        rows=rows,
        affine=weights.affine,
        charts=charts,
        sizes=(one,) * found.count if found.widths else (),
        reads=found.expert_reads,
        local=local,
        in_dtype=None if rows is None else lambda name: weights.logits(rows, name),
    )


def _linear_pieces(found: Found, activation: str | None) -> int | None:
    if activation != RELU or found.lanes or not found.widths:
        return None
    return int(np.prod([float(w + 1) for w in found.widths]))


def charts_of(graph: TaskGraph | None, points: Array | None) -> Charts | None:
    """Which charts or pieces of a task hold the points: of its only block; or, where all blocks are given on pieces of the inputs, tuples
    of pieces, one of each block. None for other tasks, for more than `MOST_PIECES`, and for points that none holds.
    """
    if graph is None or points is None:
        return None
    blocks, valid = graph.blocks, graph.trace(points).valid
    plain = all(block.domain.exclusive and set(block.reads) <= set(graph.coordinates) for block in blocks)
    if not blocks or (len(blocks) > 1 and not plain) or graph.pieces > MOST_PIECES:
        return None
    hold, names = valid[blocks[0].name], blocks[0].names
    for block in blocks[1:]:
        hold = (hold[:, :, None] & valid[block.name][:, None, :]).reshape(len(points), -1)
        names = tuple(f"{one} × {other}" for one in names for other in block.names)
    return Charts(names, blocks[0].domain.noun, np.asarray(hold), False) if hold.any() else None


def local_of(
    graph: TaskGraph | None,
    points: Array | None,
    gates: Sequence[Found],
    weights: Weights,
    rows: Array | None,
    top_k: int,
    epsilon: float | None,
) -> Local | None:
    """The function on boxes that single experts of an affine gate compute, if the only gate reads the inputs themselves."""
    if graph is None or points is None or rows is None or len(gates) != 1 or top_k != 1 or weights.affine is None:
        return None
    flat = all(node.box is not None for node in graph.inputs)
    if not flat or rows.shape != points.shape or not np.allclose(rows, points, rtol=1e-5, atol=1e-5):
        return None
    return Local(points, graph.evaluate, epsilon)
