"""`Survey`: the running worst values of all quantities while points of different kinds are evaluated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, Points, concatenate
from ...atlas.ascent import ascend
from .measure import ERROR, WORST_IS_LARGEST, Gauge, Observation, Quantity
from .report import WorstPoint

CHUNK_NUMBERS = 1 << 23
"""Float64 numbers in one chunk of points, states and scores: 64 MiB, whatever D and E are."""
ASCENDED = ("tau_error", "max_t", "max_tau", "chosen_t", "separation", "tied_error")
"""Quantities of blocks that local ascent makes worse, each from its own worst points; before all of them the error."""
RANDOM = ("uniform", "low discrepancy")
SHOWN_BLOCKS = 16
"""Blocks that the route of a worst point names."""
LEAST_STARTS, MOST_STARTS = 2, 48
"""Starts of an ascent of each of many blocks' quantities, at least; and of the error of many blocks, at most."""


def tuples_of(routes: NDArray[np.intp]) -> set[bytes]:
    """The different ones of the tuples (N, L), without those in which some gate output is no piece."""
    known = routes[(routes >= 0).all(1)].astype(np.uint32)
    packed, width = known.tobytes(), 4 * known.shape[1]
    return {packed[start : start + width] for start in range(0, len(packed), width)}


class Survey:
    """Evaluates a network against its task, keeping only counts, worst points and the starts for ascent."""

    def __init__(self, gauge: Gauge, epsilon: float, keep: int) -> None:
        self.gauge, self.epsilon, self.keep = gauge, epsilon, keep
        blocks = gauge.graph.blocks
        self.counts: Counter[str] = Counter()
        self.routes = [np.zeros(len(block), np.int64) for block in blocks]
        """For every block how many i.i.d. points each chart or piece got."""
        self.reached = [np.zeros(len(block), bool) for block in blocks]
        self.distinct: set[bytes] = set()
        """The tuples of charts and pieces that were taken, as `tuples_of` packs them."""
        self.violations = 0
        """Among the i.i.d. points."""
        self.multiplicity = 0
        self.worst: dict[Quantity, WorstPoint] = {}
        self.places: dict[Quantity, Points] = {}
        """The same points as such."""
        self.sizes: dict[str, float] = {}
        """The largest value seen of every node that the network computes."""
        self._bad: dict[Quantity, float] = {}
        self._starts: dict[Quantity, tuple[Points, Array, NDArray[np.intp]]] = {}

    @property
    def chunk(self) -> int:
        """Points evaluated at a time: states, scores and the memberships of all blocks fit."""
        graph, layers = self.gauge.graph, self.gauge.network.layers
        states = max(sum(len(layer.channels) for layer in layers[:-1]), len(layers[-1].channels))
        return int(np.clip(CHUNK_NUMBERS // (graph.ambient_dimension + states + 4 * graph.subtasks), 256, 1 << 16))

    def observe(self, points: Points, kind: str) -> None:
        """Evaluate at the points, in chunks, and remember the worst."""
        for _ in self._chunks(points, kind):
            pass

    def _chunks(self, points: Points, kind: str) -> Iterator[Observation]:
        for start in range(0, len(points), self.chunk):
            yield self._observe(points[start : start + self.chunk], kind)

    def _observe(self, points: Points, kind: str) -> Observation:
        seen = self.gauge.observe(points)
        self.counts[kind] += len(points)
        if not self.gauge.layout.design.alone:
            self.distinct |= tuples_of(seen.routes)
        self.multiplicity = max(self.multiplicity, seen.multiplicity)
        self.sizes = {name: max(size, self.sizes.get(name, 0.0)) for name, size in seen.sizes.items()}
        for l, taken in enumerate(seen.taken):
            count = np.bincount(taken[taken >= 0], minlength=len(self.reached[l]))
            self.reached[l] |= count > 0
            if kind == "uniform":
                self.routes[l] += count
        if kind == "uniform":
            self.violations += int((~(seen.values[ERROR] <= self.epsilon) | seen.violates).sum())
        for quantity in seen.values:
            if quantity.kind == "gap" and kind not in RANDOM:
                continue  # at a tie it is 0 by design
            bad = seen.badness(quantity)
            k = int(bad.argmax())
            if bad[k] > self._bad.get(quantity, -np.inf) or quantity not in self.worst:
                self._bad[quantity] = float(bad[k])
                self.places[quantity] = points[k : k + 1]
                self.worst[quantity] = self._worst_point(quantity, points[k : k + 1], seen, k, kind)
            if kind != "ascent" and (quantity == ERROR or quantity.kind in ASCENDED):
                self._remember(quantity, points, bad, seen.routes)
        return seen

    def _worst_point(self, quantity: Quantity, point: Points, seen: Observation, k: int, kind: str) -> WorstPoint:
        alone = self.gauge.layout.design.alone
        return WorstPoint(
            quantity=self.gauge.called(quantity),
            value=float(seen.values[quantity][k]),
            ambient=tuple(point.ambient[0].tolist()),
            intrinsic=tuple((point.intrinsic if alone else point.base)[0].tolist()),
            chart=self.gauge.product.domains[0].parametrising[int(point.chart[0, 0])].name if alone else "",
            route=self.describe([taken[k] for taken in seen.taken]),
            kind=kind,
        )

    def describe(self, taken: Sequence[NDArray[np.intp]]) -> str:
        """A route in words."""
        blocks = self.gauge.graph.blocks
        parts = [" and ".join(b.names[i] if i >= 0 else "?" for i in some) for b, some in zip(blocks, taken, strict=True)]
        if self.gauge.layout.design.alone:
            return parts[0]
        shown = [f"{block.name}: {part}" for block, part in zip(blocks, parts, strict=True)][:SHOWN_BLOCKS]
        return ", ".join(shown) + (f", … {len(parts)} blocks" if len(parts) > SHOWN_BLOCKS else "")

    def _remember(self, quantity: Quantity, points: Points, bad: Array, routes: NDArray[np.intp]) -> None:
        L = routes.shape[1]
        count = self.keep
        if L > 1:
            count = min(self.keep * L, MOST_STARTS) if quantity == ERROR else max(self.keep // (2 * L), LEAST_STARTS)
        # Spread over what the block took, or one block after another, so that no expert's worst point is forgotten.
        names = [block.name for block in self.gauge.graph.blocks]
        block = names.index(quantity.node) if quantity.node else np.arange(len(points)) % L
        cell = routes[np.arange(len(points)), block]
        kept = _spread_worst(bad, cell, count)
        starts = points[kept], bad[kept], cell[kept]
        if quantity in self._starts:
            old = self._starts[quantity]
            merged = concatenate([old[0], starts[0]]), np.concatenate([old[1], starts[1]]), np.concatenate([old[2], starts[2]])
            kept = _spread_worst(merged[1], merged[2], count)
            starts = merged[0][kept], merged[1][kept], merged[2][kept]
        self._starts[quantity] = starts

    def climb(self, kinds: Sequence[str], seed: int) -> None:
        """Ascend from the worst points so far of all quantities of some kinds, apart from those that ascent itself found."""
        climbed = [q for q in self._starts if q.kind in kinds and (q.kind != "tied_error" or self.value(q) != 0)]
        if not climbed:
            return
        starts = [self._starts[quantity][0] for quantity in climbed]
        own = np.repeat(np.arange(len(climbed)), [len(one) for one in starts])

        def bad(points: Points, which: NDArray[np.intp]) -> Array:
            seen = [np.stack([seen.badness(q) for q in climbed]) for seen in self._chunks(points, "ascent")]
            return np.asarray(np.concatenate(seen, axis=1)[own[which], np.arange(len(points))])

        ascend(self.gauge.product, concatenate(starts), bad, seed)

    @property
    def starts(self) -> list[Points]:
        """Points from which ascents start, of every quantity that climbs."""
        return [points for points, _, _ in self._starts.values()]

    def value(self, quantity: Quantity) -> float:
        """The worst value of a quantity so far; the best possible one if it was never measured."""
        if quantity not in self.worst:
            return -np.inf if WORST_IS_LARGEST[quantity.kind] else np.inf
        return self.worst[quantity].value


def _spread_worst(bad: Array, cell: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Indices of at most `count` bad points: half of them the worst of all, half the worst of each cell in turn."""
    order = np.argsort(-bad, kind="stable")
    best = order[: (count + 1) // 2]
    # NumPy sorts small integers by their digits, many times as fast.
    by_cell = np.argsort(cell[order].astype(np.int16 if cell.max(initial=0) < 2**15 else np.intp), kind="stable")
    sorted_cells = cell[order][by_cell]
    rank = np.empty(len(order), np.intp)
    rank[by_cell] = np.arange(len(order)) - np.searchsorted(sorted_cells, sorted_cells)
    last = min(count // 2, len(rank)) - 1
    first = np.flatnonzero(rank <= np.partition(rank, last)[last])
    spread = order[first[np.argsort(rank[first], kind="stable")]][: count // 2]
    return np.unique(np.concatenate([best, spread]))
