"""Points next to interfaces that the dtype of the weights has no number for: where a gate that is given in them changes elsewhere.

Let t be an interface of pieces and t⁻ < t < t⁺ its neighbours in that dtype. Gates with faces at t⁻ and t⁺ change somewhere between the
two, and what lies between that place and t is taken to the wrong piece: far too little of M for samples to meet it, or for boxes to be
worth cutting down to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from ...atlas import Array, Points, TaskGraph
from ...atlas.graph import Input
from ...atlas.graph.pointwise import Spot

PARTS = 8
"""Of the gap between two neighbours: a point is put at the end of each."""


def neighbours(t: float, dtype: np.dtype) -> tuple[float, float]:
    """The numbers of `dtype` on both sides of t; t twice if it is one itself, or beyond them."""
    stored = np.asarray(t, float).astype(dtype)
    if float(stored) == t or not np.isfinite(stored):
        return t, t
    other = np.nextafter(stored, dtype.type(np.inf if float(stored) < t else -np.inf))
    low, high = sorted((float(stored), float(other)))
    return low, high


def faces(graph: TaskGraph, node: Input) -> Iterator[tuple[int, float]]:
    """Of an input that is a box: coordinates by number, and where pieces of blocks that read them meet."""
    if node.box is None or node.values:
        return
    for block in graph.blocks:
        if block.tiling is None or block.given is not None:
            continue
        for k, name in enumerate(block.reads):
            if name in node.coordinates:
                yield from ((node.coordinates.index(name), float(t)) for t in block.tiling.knots[k][1:-1])


def at_interfaces(graph: TaskGraph, located: Mapping[str, Points], dtype: np.dtype) -> dict[str, Points]:
    """The points, the first of them moved to between the neighbours of interfaces."""
    found = dict(located)
    for node in graph.inputs:
        between = [(column, x) for column, t in faces(graph, node) for x in _inside(*neighbours(t, dtype))]
        if between:
            u = located[node.name].intrinsic.copy()
            for row, (column, x) in enumerate(between[: len(u)]):
                u[row, column] = x
            found[node.name] = replace(located[node.name], ambient=u, base=u, intrinsic=u)
    return found


def _inside(low: float, high: float) -> Array:
    return low + (high - low) * np.arange(1, PARTS) / PARTS if low < high else np.empty(0)


def remedy(graph: TaskGraph, spots: Mapping[str, Spot], dtype: np.dtype) -> str:
    """What to do about a point next to an interface that is no number of `dtype`; empty of any other point."""
    for node in graph.inputs:
        for column, t in faces(graph, node):
            low, high = neighbours(t, dtype)
            if low < spots[node.name].coordinates[column] < high:
                name = node.coordinates[column]
                return f"pieces meet at {name} = {t!r}, which is no {dtype}: write {low!r} or {high!r}, or compile with dtype float64"
    return ""
