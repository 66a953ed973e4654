"""`Product`: the product of a graph's inputs, as a network of a given dtype reads it. One manifold is the product of itself.

A point of it has one chart (of those that parametrise) for every input, (N, inputs), and the intrinsic coordinates in all of them side
by side. Coordinates of boxes are always numbers of the network's dtype, so that an interface point is one for the network too; points of
manifolds are rounded when the network reads them (R9).
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, Box, Points, TaskGraph
from ...atlas.ascent import Charts, Ground
from ...atlas.graph import all_points


class Product:
    """A `Space` whose points are those that the graph and the network read."""

    def __init__(self, graph: TaskGraph, dtype: np.dtype) -> None:
        self.graph, self.dtype = graph, dtype
        self.domains = tuple(node.domain for node in graph.inputs)
        self.grounds = tuple(Ground(domain) for domain in self.domains)
        ends = np.cumsum([0, *(domain.dimension for domain in self.domains)]).tolist()
        self.columns = tuple(slice(start, end) for start, end in itertools.pairwise(ends))
        """Of every input, its intrinsic coordinates."""
        self.size = ends[-1]

    def parametrise(self, chart: Charts, intrinsic: Array) -> Points:
        """The points with these coordinates; those of boxes are rounded to numbers of the dtype inside the box."""
        intrinsic = np.array(intrinsic, float)
        base = []
        for k, (domain, columns) in enumerate(zip(self.domains, self.columns, strict=True)):
            if self.graph.inputs[k].values:
                intrinsic[:, columns] = self.graph.inputs[k].nearest(intrinsic[:, columns])
            elif domain.box is not None:
                intrinsic[:, columns] = representable(intrinsic[:, columns], domain.box, self.dtype)
            base.append(domain.parametrise(chart[:, k], intrinsic[:, columns]).base)
        whole = np.concatenate(base, axis=1)
        return Points(chart, intrinsic, whole, self.graph.embed(whole))

    def bounds(self, chart: Charts) -> tuple[Array, Array]:
        both = [ground.bounds(chart[:, k]) for k, ground in enumerate(self.grounds)]
        return np.concatenate([low for low, _ in both], axis=1), np.concatenate([high for _, high in both], axis=1)

    def allowed(self, chart: Charts, intrinsic: Array) -> NDArray[np.bool_]:
        parts = [g.allowed(chart[:, k], intrinsic[:, c]) for k, (g, c) in enumerate(zip(self.grounds, self.columns, strict=True))]
        return np.asarray(np.all(parts, axis=0))

    def of(self, chart: Charts, intrinsic: Array) -> Points:
        """The points for those coordinates that are `allowed`."""
        good = self.allowed(chart, intrinsic)
        return self.parametrise(chart[good], intrinsic[good])

    def sample(self, count: int, seed: int, *, low_discrepancy: bool = False) -> Points:
        """`count` points: every input as `Domain.sample` does, independently of each other.

        With `low_discrepancy`: Sobol points over all boxes together, and those of every manifold in an order of its own. Of finite inputs
        all points, if there are no more than that.
        """
        if len(self.domains) == 1 and self.domains[0].box is None:
            one = self.domains[0].sample(count, seed, low_discrepancy=low_discrepancy)
            return Points(one.chart[:, None], one.intrinsic, one.base, one.ambient)
        if (everything := all_points(self.graph.inputs, count)) is not None:
            return self.parametrise(np.zeros((count, len(self.domains)), np.intp), np.resize(everything, (count, self.size)))
        rng = np.random.default_rng(seed)
        chart, intrinsic = np.zeros((count, len(self.domains)), np.intp), np.empty((count, self.size))
        flat = [k for k, domain in enumerate(self.domains) if domain.box is not None]
        if flat:
            boxes = [box for domain in self.domains if (box := domain.box) is not None]
            whole = Box(tuple(v for box in boxes for v in box.lower), tuple(v for box in boxes for v in box.upper))
            drawn = whole.low_discrepancy(count, int(rng.integers(2**31))) if low_discrepancy else whole.uniform(count, rng)
            intrinsic[:, np.concatenate([np.arange(self.size)[self.columns[k]] for k in flat])] = drawn
            for k in flat:
                intrinsic[:, self.columns[k]] = self.graph.inputs[k].chosen(intrinsic[:, self.columns[k]])
        for k, domain in enumerate(self.domains):
            if domain.box is None:
                points = domain.sample(count, int(rng.integers(2**31)), low_discrepancy=low_discrepancy)
                order = rng.permutation(count)
                chart[:, k], intrinsic[:, self.columns[k]] = points.chart[order], points.intrinsic[order]
        return self.parametrise(chart, intrinsic)

    def split(self, points: Points) -> dict[str, Points]:
        """The parts of points in every input, by its name."""
        parts, k, D = {}, 0, 0
        for i, (node, columns) in enumerate(zip(self.graph.inputs, self.columns, strict=True)):
            base, ambient = slice(k, k + node.base_dimension), slice(D, D + node.ambient_dimension)
            parts[node.name] = Points(points.chart[:, i], points.intrinsic[:, columns], points.base[:, base], points.ambient[:, ambient])
            k, D = base.stop, ambient.stop
        return parts

    def locate(self, ambient: Array) -> Points:
        """Those of the points (N, D) whose intrinsic coordinates can be found: not where charts have no forward maps."""
        base, ends = self.graph.unembed(ambient), np.cumsum([domain.base_dimension for domain in self.domains])[:-1]
        if any(chart.forward is None for domain in self.domains for chart in domain.parametrising):
            return self.sample(1, 0)[:0]
        parts = [domain.locate(part) for domain, part in zip(self.domains, np.split(base, ends, axis=1), strict=True)]
        chart, intrinsic = np.stack([part.chart for part in parts], axis=1), np.concatenate([part.intrinsic for part in parts], axis=1)
        known = np.isfinite(intrinsic).all(1)
        return self.parametrise(chart[known], intrinsic[known])


def representable(points: Array, box: Box, dtype: np.dtype) -> Array:
    """Points of a box rounded to numbers of the dtype that lie in it."""
    low, high = np.array(box.lower).astype(dtype), np.array(box.upper).astype(dtype)
    low = np.where(low.astype(float) < box.lower, np.nextafter(low, np.asarray(np.inf, dtype)), low)
    high = np.where(high.astype(float) > box.upper, np.nextafter(high, np.asarray(-np.inf, dtype)), high)
    return np.asarray(np.clip(points.astype(dtype), low, high).astype(float))
