"""Cells of a map with the edges that they have: triangles cut where routes change, which is found by bisection.

A picture samples routes at the corners of small triangles. On a side whose ends are routed differently the place where the route
changes is traced to a 2^−STEPS-th of the side; a triangle is then cut along the line through two such places, or, where three cells
meet, from three of them to the point between. So edges bend with the cells instead of going round pixels, whatever the gate is:
nothing is assumed but routes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..atlas import Array
from .palette import FEW, expert_colors

STEPS = 7

Between = Callable[[NDArray[np.intp], NDArray[np.intp], Array], NDArray[np.intp]]
"""Routes (S, L) at the share t (S,) of the way from points a (S,) to points b (S,)."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Convex polygons in R^D, the route that owns each, the edges between cells, and which routes have edges in common."""

    polygons: list[Array]
    """(m, D) each, m = 3 or 4; the first corner is one of its triangle's, in the same cell."""
    source: NDArray[np.intp]
    """The triangle that each is a part of."""
    owners: NDArray[np.intp]
    """The row of `routes` that each belongs to."""
    routes: NDArray[np.intp]
    """The distinct routes, (R, L)."""
    edges: Array
    """(S, 2, D)."""
    pairs: frozenset[tuple[int, int]]
    """Rows of `routes`, the smaller first, whose cells meet along an edge."""

    def colors(self, count: int) -> Array:
        """A colour for every row of `routes`: of one block of `count` ≤ 8 experts their own; else cells that meet have different ones."""
        if self.routes.shape[1] == 1 and count <= len(FEW):
            return expert_colors(count)[self.routes[:, 0]]
        return told_apart(len(self.routes), self.pairs)


def told_apart(count: int, pairs: Iterable[tuple[int, int]]) -> Array:
    """Colours (count, 3), different for the two of every pair: as few as a greedy colouring finds, in the plane mostly four or five."""
    if count <= len(FEW):
        return expert_colors(count)
    import networkx

    graph = networkx.Graph()
    graph.add_nodes_from(range(count))
    graph.add_edges_from(pairs)
    found = networkx.coloring.greedy_color(graph, strategy="DSATUR")
    return expert_colors(max(len(FEW), 1 + max(found.values())))[[found[node] for node in range(count)]]


def cut(points: Array, triangles: NDArray[np.intp], routes: NDArray[np.intp], between: Between) -> Cells:
    """Cells from points (P, D) with their routes (P, L), and triangles (N, 3) of them."""
    distinct, which = np.unique(routes, axis=0, return_inverse=True)
    label = which.reshape(-1)
    at = label[triangles]
    kinds = np.array([len(set(row)) for row in at.tolist()])
    place = _Crossings(points, triangles[kinds > 1], label, routes, between)
    parts: list[tuple[Array, NDArray[np.intp], NDArray[np.intp]]] = []
    edges: list[Array] = []
    pairs: set[tuple[int, int]] = set()

    def add(corners: Array, owner: NDArray[np.intp], source: NDArray[np.intp]) -> None:
        parts.append((corners, owner, source))

    def meet(start: Array, end: Array, one: NDArray[np.intp], other: NDArray[np.intp]) -> None:
        edges.append(np.stack([start, end], axis=1))
        pairs.update(zip(np.minimum(one, other).tolist(), np.maximum(one, other).tolist(), strict=True))

    rows = np.flatnonzero(kinds == 1)
    add(points[triangles[rows]], at[rows, 0], rows)
    rows = np.flatnonzero(kinds == 2)
    if len(rows):
        # The corner that differs from the two others comes first.
        odd = np.where(at[rows, 0] == at[rows, 1], 2, np.where(at[rows, 0] == at[rows, 2], 1, 0))
        v, p, q = (triangles[rows, (odd + k) % 3] for k in range(3))
        one, other = place(v, p), place(v, q)
        add(np.stack([points[v], one, other], 1), label[v], rows)
        add(np.stack([points[p], points[q], other, one], 1), label[p], rows)
        meet(one, other, label[v], label[p])
    rows = np.flatnonzero(kinds == 3)
    if len(rows):
        a, b, c = triangles[rows].T
        ab, bc, ca = place(a, b), place(b, c), place(c, a)
        middle = (ab + bc + ca) / 3
        for corner, after, before in ((a, ab, ca), (b, bc, ab), (c, ca, bc)):
            add(np.stack([points[corner], after, middle, before], 1), label[corner], rows)
        for start, one_, other_ in ((ab, a, b), (bc, b, c), (ca, c, a)):
            meet(start, middle, label[one_], label[other_])
    polygons = [polygon for corners, _, _ in parts for polygon in corners]
    source, owners = (np.concatenate([part[k] for part in parts]) for k in (2, 1))
    return Cells(
        polygons, source, owners, distinct, np.concatenate(edges) if edges else np.zeros((0, 2, points.shape[1])), frozenset(pairs)
    )


class _Crossings:
    """Where routes change on the sides of triangles."""

    def __init__(
        self, points: Array, triangles: NDArray[np.intp], label: NDArray[np.intp], routes: NDArray[np.intp], between: Between
    ) -> None:
        sides = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
        sides = np.unique(sides[label[sides[:, 0]] != label[sides[:, 1]]], axis=0)
        a, b = sides.T
        low, high = np.zeros(len(a)), np.ones(len(a))
        for _ in range(STEPS if len(a) else 0):
            middle = (low + high) / 2
            same = (between(a, b, middle) == routes[a]).all(1)
            low, high = np.where(same, middle, low), np.where(same, high, middle)
        t = ((low + high) / 2)[:, None]
        self._size = len(label)
        self._keys = a * self._size + b
        self._found = (1 - t) * points[a] + t * points[b]

    def __call__(self, a: NDArray[np.intp], b: NDArray[np.intp]) -> Array:
        """The places (S, D) on the sides from a to b."""
        keys = np.minimum(a, b) * self._size + np.maximum(a, b)
        return np.asarray(self._found[np.searchsorted(self._keys, keys)])


def grid_triangles(rows: int, columns: int) -> NDArray[np.intp]:
    """Numbers (2·(rows − 1)·(columns − 1), 3) of the corners of the triangles of a grid of points that are numbered row by row."""
    first = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = first[:-1, :-1], first[:-1, 1:], first[1:, 1:], first[1:, :-1]
    return np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
