"""Is a tiling one? Gaps, overlaps and interface points that belong to no piece or to two, each with a witness.

Gaps and overlaps are found exactly: the domain is split along faces of pieces until every part lies in all the pieces that
meet it. If all pieces own the same faces, every interface point has one owner. If not, owners are exact for intervals; for
boxes they are looked at in the middle and at the corners of common faces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...expressions.box import Array, Box
from .tiling import MAX_PAIRS, Tiling

MAX_SPLITS = 1 << 17
"""Parts of the domain that are looked at; far more than the pieces of a grid need."""
MAX_POINTS = 1 << 15
"""Places of interfaces that are looked at."""
COMPARISONS = 1 << 23
"""Comparisons of a coordinate with a face made at a time."""
CORNER_DIMENSION = 8
"""Common faces up to this dimension have all their corners looked at."""


@dataclass(frozen=True, eq=False)
class Overlap:
    """Two pieces that share the inner points of a box."""

    first: int
    second: int
    box: Box


@dataclass(frozen=True, eq=False)
class Cut:
    """What is wrong with a tiling."""

    gaps: tuple[Box, ...]
    overlaps: tuple[Overlap, ...]
    """One for each pair of pieces."""
    intricate: bool
    """Whether MAX_SPLITS was not enough to see everything."""


def cut(tiling: Tiling) -> Cut:
    """Every gap (in parts, unless the pieces are intervals) and every overlapping pair of pieces."""
    lower, upper = tiling.lower, tiling.upper
    if _is_grid(tiling):
        return Cut((), (), False)
    gaps: list[Box] = []
    overlaps: dict[tuple[int, int], Overlap] = {}
    everything = np.arange(len(tiling))
    parts: list[tuple[Array, Array, NDArray[np.intp]]] = [(lower.min(0), upper.max(0), everything)]
    for _ in range(MAX_SPLITS):
        if not parts:
            return Cut(tuple(gaps), tuple(overlaps.values()), False)
        low, high, candidates = parts.pop()
        here = candidates[((lower[candidates] < high) & (upper[candidates] > low)).all(-1)]
        if not len(here):
            gaps.append(Box(tuple(low), tuple(high)))
            continue
        place = _split(lower[here], upper[here], low, high)
        if place is None:  # every piece that meets this part contains it
            for a, b in zip(here[:-1].tolist(), here[1:].tolist(), strict=True):
                shared = Box(tuple(np.maximum(lower[a], lower[b])), tuple(np.minimum(upper[a], upper[b])))
                overlaps.setdefault((a, b), Overlap(a, b, shared))
            continue
        axis, at = place
        left, right = high.copy(), low.copy()
        left[axis] = right[axis] = at
        parts += [(right, high, here), (low, left, here)]
    return Cut(tuple(gaps), tuple(overlaps.values()), True)


def _is_grid(tiling: Tiling) -> bool:
    """Whether the pieces are all the boxes between neighbouring knots, each once."""
    if not tiling.is_grid:
        return False
    places = [
        (np.searchsorted(knots, tiling.lower[:, k]), np.searchsorted(knots, tiling.upper[:, k])) for k, knots in enumerate(tiling.knots)
    ]
    between = all((high == low + 1).all() for low, high in places)
    return between and len(np.unique(np.stack([low for low, _ in places]), axis=1).T) == len(tiling)


def _split(lower: Array, upper: Array, low: Array, high: Array) -> tuple[int, float] | None:
    """An axis and a place, the middle one of the faces that run through the part, where it is split; None if none does."""
    best: tuple[int, float] | None = None
    fewest = np.inf
    for axis in range(len(low)):
        faces = np.concatenate([lower[:, axis], upper[:, axis]])
        faces = np.sort(faces[(faces > low[axis]) & (faces < high[axis])])
        if not len(faces):
            continue
        at = float(faces[len(faces) // 2])
        severed = int(((lower[:, axis] < at) & (upper[:, axis] > at)).sum())
        if severed < fewest:
            best, fewest = (axis, at), severed
    return best


@dataclass(frozen=True, eq=False)
class Disputed:
    """A point of an interface that does not belong to exactly one of the pieces that meet there."""

    point: Array
    owners: tuple[int, ...]
    meeting: tuple[int, ...]
    """The pieces whose closed boxes hold the point."""


def disputed(tiling: Tiling) -> list[Disputed]:
    """Interface points without exactly one owner, one for each set of pieces that meet; the tiling has no gap or overlap."""
    if tiling.half_open is not None:
        return []
    pairs = tiling.touching(MAX_PAIRS)
    low = np.maximum(tiling.lower[pairs[:, 0]], tiling.lower[pairs[:, 1]])
    high = np.minimum(tiling.upper[pairs[:, 0]], tiling.upper[pairs[:, 1]])
    points = [(low + high) / 2]
    k = tiling.dimension
    if k <= CORNER_DIMENSION:
        points += [np.where([bool(corner >> axis & 1) for axis in range(k)], high, low) for corner in range(2**k)]
    found: dict[tuple[int, ...], Disputed] = {}
    places = np.unique(np.concatenate(points)[:MAX_POINTS], axis=0)
    for part in np.array_split(places, max(1, len(places) * len(tiling) * k // COMPARISONS)):
        inside = tiling.contains(part)
        for point, owners in zip(part[inside.sum(1) != 1], inside[inside.sum(1) != 1], strict=True):
            meeting = tuple(np.flatnonzero(((tiling.lower <= point) & (point <= tiling.upper)).all(-1)).tolist())
            found.setdefault(meeting, Disputed(point, tuple(np.flatnonzero(owners).tolist()), meeting))
    return list(found.values())
