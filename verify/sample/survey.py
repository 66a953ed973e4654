"""`Survey`: the running worst values of all quantities while points of different kinds are evaluated."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from ...atlas import ManifoldTask, Points, concatenate
from ...moe.network import Network
from ...moe.promise import ScorePromise
from .measure import WORST_IS_LARGEST, Observation, observe
from .report import WorstPoint

CHUNK_NUMBERS = 1 << 23
"""Float64 numbers in one chunk of points, states and scores: 64 MiB, whatever D and E are."""


ASCENDED = ("error", "tau_error", "max_t", "max_tau", "chosen_t", "separation", "tied_error")
"""Quantities that local ascent makes worse, each from its own worst points."""
RANDOM = ("uniform", "low discrepancy")


class Survey:
    """Evaluates a network against its task, keeping only counts, worst points and the starts for ascent."""

    def __init__(self, network: Network, task: ManifoldTask, epsilon: float, promise: ScorePromise | None, keep: int) -> None:
        self.network, self.task, self.epsilon, self.promise, self.keep = network, task, epsilon, promise, keep
        self.counts: Counter[str] = Counter()
        self.routes = np.zeros(len(network.layers[-1]), np.int64)
        """How many i.i.d. points each expert got."""
        self.reached = np.zeros(len(network.layers[-1]), bool)
        self.violations = 0
        """Among the i.i.d. points."""
        self.multiplicity = 0
        self.worst: dict[str, WorstPoint] = {}
        self._bad: dict[str, float] = {}
        self._starts: dict[str, tuple[Points, NDArray[np.float64], NDArray[np.intp]]] = {}

    @property
    def chunk(self) -> int:
        """Points evaluated at a time."""
        width = self.task.atlas.ambient_dimension + max(len(layer.channels) for layer in self.network.layers) + 4 * len(self.task.atlas)
        return int(np.clip(CHUNK_NUMBERS // width, 256, 1 << 16))

    def observe(self, points: Points, kind: str) -> Observation | None:
        """Evaluate at the points, in chunks, and remember the worst; the last chunk's observation (None for no points)."""
        seen = None
        for start in range(0, len(points), self.chunk):
            seen = self._observe(points[start : start + self.chunk], kind)
        return seen

    def values(self, points: Points, quantity: str, kind: str) -> NDArray[np.float64]:
        """Evaluate like `observe`; how bad one quantity is at each point, (N,), larger is worse."""
        parts = [self._observe(points[s : s + self.chunk], kind).badness(quantity) for s in range(0, len(points), self.chunk)]
        return np.concatenate(parts)

    def _observe(self, points: Points, kind: str) -> Observation:
        seen = observe(self.network, self.task, points, self.promise)
        self.counts[kind] += len(points)
        self.reached[seen.routes] = True
        self.multiplicity = max(self.multiplicity, seen.memberships)
        if kind == "uniform":
            self.routes += np.bincount(seen.routes, minlength=len(self.routes))
            wrong = ~(seen.values["error"] <= self.epsilon) | (seen.values["outside"] > 0) | (seen.values["nonfinite"] > 0)
            self.violations += int(wrong.sum())
        for quantity in seen.values:
            if quantity == "gap" and kind not in RANDOM:
                continue  # at a tie it is 0 by design
            bad = seen.badness(quantity)
            k = int(bad.argmax())
            if bad[k] > self._bad.get(quantity, -np.inf) or quantity not in self.worst:
                self._bad[quantity] = float(bad[k])
                self.worst[quantity] = self._worst_point(quantity, points[k : k + 1], seen, k, kind)
            if kind != "ascent" and quantity in ASCENDED:
                self._remember(quantity, points, bad, seen.routes)
        return seen

    def _worst_point(self, quantity: str, point: Points, seen: Observation, k: int, kind: str) -> WorstPoint:
        atlas = self.task.atlas
        return WorstPoint(
            quantity=quantity,
            value=float(seen.values[quantity][k]),
            ambient=tuple(point.ambient[0].tolist()),
            intrinsic=tuple(point.intrinsic[0].tolist()),
            chart=atlas.parametrising[int(point.chart[0])].name,
            route=self.network.layers[-1].names[int(seen.routes[k])],
            kind=kind,
        )

    def _remember(self, quantity: str, points: Points, bad: NDArray[np.float64], routes: NDArray[np.intp]) -> None:
        kept = _spread_worst(bad, routes, self.keep)
        starts = points[kept], bad[kept], routes[kept]
        if quantity in self._starts:
            old = self._starts[quantity]
            merged = concatenate([old[0], starts[0]]), np.concatenate([old[1], starts[1]]), np.concatenate([old[2], starts[2]])
            kept = _spread_worst(merged[1], merged[2], self.keep)
            starts = merged[0][kept], merged[1][kept], merged[2][kept]
        self._starts[quantity] = starts

    def starts(self, quantity: str) -> Points | None:
        """The worst points so far, apart from those that ascent itself found."""
        return self._starts[quantity][0] if quantity in self._starts else None

    def value(self, quantity: str) -> float:
        """The worst value of a quantity so far; the best possible one if it was never measured."""
        if quantity not in self.worst:
            return -np.inf if WORST_IS_LARGEST[quantity] else np.inf
        return self.worst[quantity].value


def _spread_worst(bad: NDArray[np.float64], cell: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Indices of at most `count` bad points: half of them the worst of all, half the worst of each cell in turn."""
    order = np.argsort(-bad, kind="stable")
    best = order[: (count + 1) // 2]
    by_cell = np.argsort(cell[order], kind="stable")
    sorted_cells = cell[order][by_cell]
    rank = np.empty(len(order), np.intp)
    rank[by_cell] = np.arange(len(order)) - np.searchsorted(sorted_cells, sorted_cells)
    spread = order[np.argsort(rank, kind="stable")][: count // 2]
    return np.unique(np.concatenate([best, spread]))
