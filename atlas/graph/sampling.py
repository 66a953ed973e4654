"""Points of a task graph's domain: spread over the product of the inputs, or one for every given tuple of charts and pieces.

There are E^L tuples, so none of them is ever listed: tuples are drawn block by block, and a point is then put together from
the parts that the blocks read.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...errors import InvalidArgument
from ...expressions.box import Array, Box
from .. import distinct
from .nodes import Block, Input

ATTEMPTS = 64
"""How often the parts of a point that no block fixes are drawn anew, until the point has the route that was asked for."""

Follows = Callable[[Array, NDArray[np.intp]], NDArray[np.bool_]]


def spread(inputs: tuple[Input, ...], count: int, rng: np.random.Generator, low_discrepancy: bool) -> Array:
    """`count` points (count, k) of the product of the inputs, before embedding.

    Independent: every box uniformly, every manifold as `Atlas.sample` does. With `low_discrepancy`: Sobol points over
    all box inputs together, and those of every manifold in an order of its own. Of finite inputs all points, if there are no more.
    """
    if (everything := all_points(inputs, count)) is not None:
        return np.resize(everything, (count, everything.shape[1]))
    boxes = [node.box for node in inputs if node.box is not None]
    columns: list[Array] = []
    if boxes:
        whole = Box(tuple(v for box in boxes for v in box.lower), tuple(v for box in boxes for v in box.upper))
        drawn = whole.low_discrepancy(count, int(rng.integers(2**31))) if low_discrepancy else whole.uniform(count, rng)
        columns = np.split(drawn, np.cumsum([box.dimension for box in boxes])[:-1], axis=1)
    parts = []
    for node in inputs:
        if node.box is not None:
            parts.append(node.chosen(columns.pop(0).copy()))
        else:
            points = node.domain.sample(count, int(rng.integers(2**31)), low_discrepancy=low_discrepancy)
            parts.append(points.base[rng.permutation(count)])
    return np.concatenate(parts, axis=1)


def all_points(inputs: tuple[Input, ...], most: int) -> Array | None:
    """Every point of the product of the inputs, before embedding; None if there are more than that."""
    cases = [node.cases for node in inputs]
    if None in cases or math.prod(count for count in cases if count is not None) > most:
        return None
    axes = [np.array(axis) for node in inputs for axis in node.values]
    return np.stack([column.reshape(-1) for column in np.meshgrid(*axes, indexing="ij")], axis=1)


@dataclass(frozen=True, eq=False)
class RouteSampler:
    """Draws a point for every given tuple of charts and pieces of the blocks.

    Where one was found, point n lies in piece routes[n, l] of every block l (for an atlas: in that chart, perhaps in others too).
    Blocks that read coordinates are met by construction: pieces by intersecting them with each other and with the inputs, charts
    by drawing in them, unless earlier blocks already fixed these coordinates. Other blocks are met by drawing the inputs that
    they depend on anew, up to ATTEMPTS times. A tuple without a point, because pieces that share coordinates do not meet
    or values never get there, is not found; its row is a point of the domain with another route.
    """

    inputs: tuple[Input, ...]
    blocks: tuple[Block, ...]
    feeding: tuple[tuple[Input, ...], ...]
    """The inputs that each block depends on."""
    follows: Follows
    """Whether the oracle allows the route through each block at points before embedding: (n, k) and (n, L) to (n, L)."""

    def sample(self, routes: NDArray[np.intp], seed: int) -> tuple[Array, NDArray[np.bool_]]:
        """(N, L) indices into the charts and pieces to points (N, k) before embedding and found (N,)."""
        routes = np.atleast_2d(routes)
        sizes = np.array([len(block) for block in self.blocks])
        if routes.shape[1] != len(sizes) or (routes < 0).any() or (routes >= sizes).any():
            raise InvalidArgument(f"routes must be (N, {len(sizes)}) indices below {sizes.tolist()}, got shape {routes.shape}")
        rng = np.random.default_rng(seed)
        base, possible = self._draw(routes, rng)
        wrong = ~self.follows(base, routes) & possible[:, None]
        feeding = [np.array([self._place[name] for node in nodes for name in node.coordinates]) for nodes in self.feeding]
        for _ in range(ATTEMPTS if "try" in self._plan else 0):
            rows = np.flatnonzero(wrong.any(1))
            if not len(rows):
                break
            # Only what the failing blocks depend on is drawn anew, so that L blocks need no more attempts than one.
            again, _ = self._draw(routes[rows], rng)
            for l, columns in enumerate(feeding):
                redrawn = np.flatnonzero(wrong[rows, l])
                base[np.ix_(rows[redrawn], columns)] = again[np.ix_(redrawn, columns)]
            wrong[rows] = ~self.follows(base[rows], routes[rows])
        return base, possible & ~wrong.any(1)

    @cached_property
    def _place(self) -> dict[str, int]:
        """Coordinate ↦ column."""
        return {name: i for i, name in enumerate(name for node in self.inputs for name in node.coordinates)}

    @cached_property
    def _plan(self) -> list[str]:
        """How every block is met: "intersect" boxes, "draw" in a chart, or "try"."""
        flat = {name for node in self.inputs if node.box is not None for name in node.coordinates}
        drawn: set[str] = set()
        boxed: set[str] = set()
        plan = []
        for block in self.blocks:
            reads = set(block.reads)
            on_boxes = reads <= flat and not reads & drawn
            whole = any(set(node.coordinates) == reads for node in self.inputs)
            plan.append("try")
            if block.domain.exclusive and on_boxes:
                plan[-1] = "intersect"
                boxed |= reads
            elif not block.domain.exclusive and not reads & (drawn | boxed) and (on_boxes or whole):
                plan[-1] = "draw"
                drawn |= reads
        return plan

    def _draw(self, routes: NDArray[np.intp], rng: np.random.Generator) -> tuple[Array, NDArray[np.bool_]]:
        """Points (n, k) before embedding, in the pieces and charts that can be met by construction, and whether those meet, (n,)."""
        n = len(routes)
        base = spread(self.inputs, n, rng, False)
        lower, upper = np.full(base.shape, np.nan), np.full(base.shape, np.nan)
        for node in self.inputs:
            if node.box is not None:
                columns = [self._place[name] for name in node.coordinates]
                lower[:, columns], upper[:, columns] = node.box.lower, node.box.upper
        finite = {self._place[name]: np.array(v) for node in self.inputs for name, v in zip(node.coordinates, node.values, strict=False)}
        constrained: list[int] = []
        for l, (block, how) in enumerate(zip(self.blocks, self._plan, strict=True)):
            columns = [self._place[name] for name in block.reads] if how != "try" else []
            if how == "intersect" and (tiling := block.tiling) is not None:
                low, high = tiling.lower[routes[:, l]], tiling.upper[routes[:, l]]
                if finite.keys() & set(columns):
                    # Of finitely many values the one on an interface counts.
                    low = np.where(tiling.owned[0][routes[:, l]], low, np.nextafter(low, np.inf))
                    high = np.where(tiling.owned[1][routes[:, l]], high, np.nextafter(high, -np.inf))
                lower[:, columns], upper[:, columns] = np.maximum(lower[:, columns], low), np.minimum(upper[:, columns], high)
                constrained += columns
            elif how == "draw":
                for i in distinct.numbers(routes[:, l]):
                    rows = np.flatnonzero(routes[:, l] == i)
                    _, points = block.domain.sample_chart(int(i), len(rows), int(rng.integers(2**31)))
                    base[np.ix_(rows, np.array(columns))] = points.base[rng.permutation(len(rows))]
        if not constrained:
            return base, np.ones(n, bool)
        inner = np.unique(constrained)
        low, high = lower[:, inner], upper[:, inner]
        drawn = low + (parts := rng.random(low.shape)) * (high - low)
        some = low < high
        for k, column in enumerate(inner.tolist()):
            if column in finite:
                first, last = np.searchsorted(finite[column], low[:, k], "left"), np.searchsorted(finite[column], high[:, k], "right")
                some[:, k] = first < last
                place = np.clip(first + np.floor(parts[:, k] * (last - first)), 0, len(finite[column]) - 1)
                drawn[:, k] = finite[column][place.astype(np.intp)]
        possible = np.asarray(some.all(1))
        base[:, inner] = np.where(possible[:, None], drawn, base[:, inner])
        return base, possible
