"""Points of a product of boxes and manifolds: spread over it, at interfaces, on both sides of wherever a route changes.

A point has parameters: its own coordinates on a box, the intrinsic coordinates of a parametrising chart on a manifold. Coordinates of
boxes are always numbers of the network's dtype, so that an interface point is one for the network too; points of manifolds are
rounded when the network reads them (R9).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, Box, TaskGraph, Tiling
from .points import BISECTIONS, inside

KINDS = 8
"""Ways to lie at an interface: on it (twice), one float above, one below, and at two log-uniform distances above and below."""
DISTANCES = (-12.0, -1.0)
"""Exponents of those distances, in widths of the input's box."""


@dataclass(frozen=True, eq=False)
class Places:
    """N points of the product of the inputs."""

    chart: NDArray[np.intp]
    """The parametrising chart of every manifold input, (N, manifolds)."""
    parameters: Array
    """(N, P)."""
    base: Array
    """Before embedding, (N, k)."""
    ambient: Array
    """(N, D), where the task is evaluated."""

    def __len__(self) -> int:
        return len(self.parameters)

    def __getitem__(self, rows: Any) -> Places:
        return Places(self.chart[rows], self.parameters[rows], self.base[rows], self.ambient[rows])


def joined(parts: list[Places]) -> Places:
    """Several `Places` as one."""
    return Places(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("chart", "parameters", "base", "ambient")))


class Domain:
    """The product of a graph's inputs, as a network of a given dtype reads it."""

    def __init__(self, graph: TaskGraph, dtype: np.dtype) -> None:
        self.graph, self.dtype = graph, dtype
        self.columns: list[slice] = []
        """Of every input, its parameters."""
        start = 0
        for node in graph.inputs:
            width = node.manifold.dimension
            self.columns.append(slice(start, start + width))
            start += width
        self.size = start
        self.manifolds = [k for k, node in enumerate(graph.inputs) if not isinstance(node.manifold, Box)]

    def place(self, chart: NDArray[np.intp], parameters: Array) -> Places:
        """The points with these parameters; coordinates of boxes are rounded to numbers of the dtype inside the box."""
        parameters = np.array(parameters, float)
        base: list[Array] = []
        for k, (node, columns) in enumerate(zip(self.graph.inputs, self.columns, strict=True)):
            if isinstance(node.manifold, Box):
                parameters[:, columns] = representable(parameters[:, columns], node.manifold, self.dtype)
                base.append(parameters[:, columns])
            else:
                base.append(node.manifold.parametrise(chart[:, self.manifolds.index(k)], parameters[:, columns]).base)
        whole = np.concatenate(base, axis=1)
        return Places(chart, parameters, whole, self.graph.embed(whole))

    def bounds(self, chart: NDArray[np.intp]) -> tuple[Array, Array]:
        """The boxes that parameters range over for such charts, (N, P) each."""
        lower, upper = np.empty((len(chart), self.size)), np.empty((len(chart), self.size))
        for k, (node, columns) in enumerate(zip(self.graph.inputs, self.columns, strict=True)):
            if isinstance(node.manifold, Box):
                lower[:, columns], upper[:, columns] = node.manifold.lower, node.manifold.upper
            else:
                boxes = [one.domain for one in node.manifold.parametrising]
                which = chart[:, self.manifolds.index(k)]
                lower[:, columns] = np.array([box.lower for box in boxes])[which]
                upper[:, columns] = np.array([box.upper for box in boxes])[which]
        return lower, upper

    def allowed(self, chart: NDArray[np.intp], parameters: Array) -> NDArray[np.bool_]:
        """Which parameters lie in the closed boxes and regions of their charts, (N,)."""
        lower, upper = self.bounds(chart)
        good = np.asarray(((parameters >= lower) & (parameters <= upper)).all(1))
        for j, k in enumerate(self.manifolds):
            manifold = self.graph.inputs[k].manifold
            assert not isinstance(manifold, Box)
            good &= inside(manifold, chart[:, j], parameters[:, self.columns[k]])
        return good

    def sample(self, count: int, seed: int, *, low_discrepancy: bool = False) -> Places:
        """`count` points: every box uniformly, every manifold as `Atlas.sample` does, independently of each other.

        With `low_discrepancy`: Sobol points over all boxes together, and those of every manifold in an order of its own.
        """
        rng = np.random.default_rng(seed)
        chart = np.empty((count, len(self.manifolds)), np.intp)
        parameters = np.empty((count, self.size))
        flat = [
            (columns, node.manifold)
            for node, columns in zip(self.graph.inputs, self.columns, strict=True)
            if isinstance(node.manifold, Box)
        ]
        if flat:
            whole = Box(tuple(v for _, box in flat for v in box.lower), tuple(v for _, box in flat for v in box.upper))
            drawn = whole.low_discrepancy(count, int(rng.integers(2**31))) if low_discrepancy else whole.uniform(count, rng)
            parameters[:, np.concatenate([np.arange(self.size)[columns] for columns, _ in flat])] = drawn
        for j, k in enumerate(self.manifolds):
            manifold = self.graph.inputs[k].manifold
            assert not isinstance(manifold, Box)
            points = manifold.sample(count, int(rng.integers(2**31)), low_discrepancy=low_discrepancy)
            order = rng.permutation(count)
            chart[:, j], parameters[:, self.columns[k]] = points.chart[order], points.intrinsic[order]
        return self.place(chart, parameters)

    def locate(self, ambient: Array) -> tuple[Places, NDArray[np.bool_]]:
        """The parameters of points of the product, and for which of them they are known: not where charts have no forward maps."""
        base = self.graph.unembed(ambient)
        chart = np.zeros((len(base), len(self.manifolds)), np.intp)
        parameters = np.zeros((len(base), self.size))
        known = np.ones(len(base), bool)
        start = 0
        for k, (node, columns) in enumerate(zip(self.graph.inputs, self.columns, strict=True)):
            part = base[:, start : start + node.base_dimension]
            start += node.base_dimension
            if isinstance(node.manifold, Box):
                parameters[:, columns] = part
                continue
            found = np.zeros(len(base), bool)
            for i, one in enumerate(node.manifold.parametrising):
                rows = np.flatnonzero(~found)
                if one.forward is None or not len(rows):
                    continue
                rows = rows[one.contains(part[rows])]
                found[rows], chart[rows, self.manifolds.index(k)] = True, i
                parameters[rows, columns] = one.coordinates(part[rows])
            lost = ~found
            parameters[lost, columns] = node.manifold.parametrising[0].domain.center
            known &= found
        return self.place(chart, parameters), known

    def elsewhere(self, start: Places, seed: int) -> tuple[Places, NDArray[np.bool_]]:
        """For every point another one in the same charts, and whether it is allowed: the ends of segments."""
        lower, upper = self.bounds(start.chart)
        drawn = lower + np.random.default_rng(seed).random(lower.shape) * (upper - lower)
        good = self.allowed(start.chart, drawn)
        return self.place(start.chart, np.where(good[:, None], drawn, start.parameters)), good


def representable(points: Array, box: Box, dtype: np.dtype) -> Array:
    """Points of a box rounded to numbers of the dtype that lie in it."""
    low, high = np.array(box.lower).astype(dtype), np.array(box.upper).astype(dtype)
    low = np.where(low.astype(float) < box.lower, np.nextafter(low, np.asarray(np.inf, dtype)), low)
    high = np.where(high.astype(float) > box.upper, np.nextafter(high, np.asarray(-np.inf, dtype)), high)
    return np.asarray(np.clip(points.astype(dtype), low, high).astype(float))


def interface_points(domain: Domain, count: int, seed: int) -> Places:
    """Points at interfaces of blocks on pieces that read coordinates of boxes: every interface in all of the `KINDS` ways.

    Half of the points are at one interface each, every one of them in turn; the others are at one along every second coordinate at random.
    """
    knots = _knots(domain)
    if not knots:
        return domain.sample(1, seed)[:0]
    rng = np.random.default_rng(seed)
    single = max(count // 2, KINDS * len(knots))
    drawn = domain.sample(single + count // 2, seed)
    parameters = drawn.parameters.copy()
    lower, upper = domain.bounds(drawn.chart[:1])
    widths = (upper - lower)[0]
    turn = np.arange(single)
    for j, (column, t) in enumerate(knots):
        rows = turn[turn % len(knots) == j]
        parameters[rows, column] = _at(t, (rows // len(knots)) % KINDS, widths[column], domain.dtype, rng)
    many = np.arange(single, len(drawn))
    for column in sorted({column for column, _ in knots}):
        values = np.array([t for other, t in knots if other == column])
        rows = many[rng.random(len(many)) < 0.5]
        parameters[rows, column] = _at(
            rng.choice(values, len(rows)), rng.integers(KINDS, size=len(rows)), widths[column], domain.dtype, rng
        )
    return domain.place(drawn.chart, parameters)


def _knots(domain: Domain) -> list[tuple[int, float]]:
    """Parameters of boxes at which pieces meet: (column, t)."""
    column_of: dict[str, int] = {}
    for node, columns in zip(domain.graph.inputs, domain.columns, strict=True):
        if isinstance(node.manifold, Box):
            column_of |= {name: columns.start + i for i, name in enumerate(node.coordinates)}
    found = set()
    for block in domain.graph.blocks:
        if isinstance(block.domain, Tiling):
            for name, knots in zip(block.reads, block.domain.knots, strict=True):
                if name in column_of:
                    found |= {(column_of[name], float(t)) for t in knots[1:-1]}
    return sorted(found)


def _at(t: float | Array, kind: NDArray[np.intp], width: float, dtype: np.dtype, rng: np.random.Generator) -> Array:
    """Numbers of the dtype on or near t: of kind 0 and 1 the nearest one, 2 and 3 the next above and below, then further away."""
    t = np.broadcast_to(np.asarray(t, float), kind.shape)
    nearest = t.astype(dtype)
    far = width * 10.0 ** rng.uniform(*DISTANCES, kind.shape) * np.where(kind % 2 == 0, 1, -1)
    up, down = np.asarray(np.inf, dtype), np.asarray(-np.inf, dtype)
    return np.choose(
        np.minimum(kind, 4),
        [nearest.astype(float)] * 2 + [np.nextafter(nearest, up).astype(float), np.nextafter(nearest, down).astype(float), t + far],
    )


def face_points(domain: Domain, count: int, seed: int) -> Places:
    """Points of which about every second parameter, and at least one, lies on a face of its box or at most a tenth of the box from one."""
    rng = np.random.default_rng(seed)
    drawn = domain.sample(count, seed)
    lower, upper = domain.bounds(drawn.chart)
    depth = 10.0 ** rng.uniform(*DISTANCES, lower.shape) * (rng.random(lower.shape) < 0.5)
    moved = rng.random(lower.shape) < 0.5
    moved[np.arange(count), rng.integers(domain.size, size=count)] = True
    at = np.where(rng.random(lower.shape) < 0.5, lower + depth * (upper - lower), upper - depth * (upper - lower))
    parameters = np.where(moved, at, drawn.parameters)
    good = domain.allowed(drawn.chart, parameters)
    return domain.place(drawn.chart[good], parameters[good])


def straddle(domain: Domain, pool: Places, label: Callable[[Places], NDArray[np.int64]], count: int, seed: int) -> Places:
    """At most 2·`count` points on both sides of places where a label changes: the last near and the last far point of a bisection.

    `label` gives every point one integer for each block, (N, L); segments are shared out evenly among the blocks whose label changes.
    """
    end, good = domain.elsewhere(pool, seed)
    here = label(pool)
    differ = (here != label(end)) & good[:, None]
    column = _shared_out(differ, seed)
    rows = np.flatnonzero(column >= 0)[:count]
    if not len(rows):
        return pool[:0]
    start, column = pool[rows], column[rows]
    mine = here[rows, column]
    near, far = start.parameters.copy(), end.parameters[rows].copy()
    for _ in range(BISECTIONS):
        middle = domain.place(start.chart, (near + far) / 2).parameters
        beyond = (label(domain.place(start.chart, middle))[np.arange(len(rows)), column] != mine)[:, None]
        near, far = np.where(beyond, near, middle), np.where(beyond, middle, far)
    chart, both = np.tile(start.chart, (2, 1)), np.concatenate([near, far])
    kept = domain.allowed(chart, both)
    return domain.place(chart[kept], both[kept])


def _shared_out(differ: NDArray[np.bool_], seed: int) -> NDArray[np.intp]:
    """For every row one of the columns that are True, about equally often each; −1 where there is none."""
    weight = np.where(differ, np.random.default_rng(seed).random(differ.shape), -1.0)
    # A column that seldom differs goes first.
    weight = np.where(differ, weight / np.maximum(differ.mean(0), 1e-3), -1.0)
    return np.where(differ.any(1), weight.argmax(1), -1).astype(np.intp)


def stratified(graph: TaskGraph, count: int, seed: int) -> NDArray[np.intp]:
    """`count` tuples of pieces in which every piece of a block occurs equally often, up to one: (count, L)."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(count) % len(block) for block in graph.blocks], axis=-1).astype(np.intp)


def tuples(graph: TaskGraph, start: int, stop: int) -> NDArray[np.intp]:
    """The tuples of pieces with numbers `start` to `stop` − 1, the last block running fastest."""
    return np.stack(np.unravel_index(np.arange(start, stop), [len(block) for block in graph.blocks]), axis=-1).astype(np.intp)
