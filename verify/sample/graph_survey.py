"""`GraphSurvey`: worst values, routes and distinct pieces while points of different kinds go through a task graph's network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, TaskGraph
from .ascent import FIRST_STEP, LAST_STEP, ROUNDS
from .graph_measure import Gauge, GraphObservation
from .graph_points import Domain, Places, joined
from .report import WorstPoint
from .survey import CHUNK_NUMBERS, _spread_worst

SHOWN_BLOCKS = 16
"""Blocks that the route of a worst point names."""
MOST_AXES, MOST_WILD = 6, 6
"""Axes and random directions, each with both signs, that one round of the ascent tries."""


class Distinct:
    """A set of tuples of pieces: exact, whatever their number; each tuple packed into a few 64-bit words."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.words: list[list[int]] = [[]]
        room = 1
        for l, size in enumerate(sizes):
            if room * size >= 2**62:
                self.words.append([])
                room = 1
            self.words[-1].append(l)
            room *= size
        self.sizes = list(sizes)
        self._seen: NDArray[np.int64] = np.empty((0, len(self.words)), np.int64)
        self._new: list[NDArray[np.int64]] = []

    def add(self, routes: NDArray[np.intp]) -> None:
        """The tuples (N, L), without those in which some gate output is no piece."""
        routes = routes[(routes >= 0).all(1)]
        packed = np.zeros((len(routes), len(self.words)), np.int64)
        for w, members in enumerate(self.words):
            for l in members:
                packed[:, w] = packed[:, w] * self.sizes[l] + routes[:, l]
        self._new.append(np.unique(packed, axis=0))
        if sum(map(len, self._new)) > max(1 << 16, len(self._seen)):
            self._merge()

    def _merge(self) -> None:
        self._seen = np.unique(np.concatenate([self._seen, *self._new]), axis=0)
        self._new = []

    def __len__(self) -> int:
        self._merge()
        return len(self._seen)


class GraphSurvey:
    """Evaluates a network against its graph, keeping only counts, worst points and starts for the ascent."""

    def __init__(self, gauge: Gauge, domain: Domain, epsilon: float, keep: int) -> None:
        self.gauge, self.domain, self.epsilon, self.keep = gauge, domain, epsilon, keep
        self.counts: Counter[str] = Counter()
        self.routes = [np.zeros(len(block), np.int64) for block in self.graph.blocks]
        """For every block how many i.i.d. points took each piece."""
        self.reached = [np.zeros(len(block), bool) for block in self.graph.blocks]
        self.distinct = Distinct([len(block) for block in self.graph.blocks])
        self.violations = 0
        """Among the i.i.d. points."""
        self.worst: dict[str, WorstPoint] = {}
        self.sizes: dict[str, float] = {}
        """The largest value seen of every node, by the name of its claim."""
        self._bad: dict[str, float] = {}
        self._starts: tuple[Places, Array, NDArray[np.intp]] | None = None

    @property
    def graph(self) -> TaskGraph:
        return self.gauge.graph

    @property
    def chunk(self) -> int:
        """Points evaluated at a time: states, scores and the memberships of all blocks fit."""
        layers = self.gauge.network.layers
        width = self.domain.size + sum(len(layer.channels) + len(layer) for layer in layers) + 4 * self.graph.subtasks
        return int(np.clip(CHUNK_NUMBERS // width, 256, 1 << 14))

    def observe(self, places: Places, kind: str) -> None:
        """Evaluate at the points, in chunks, and remember the worst."""
        for start in range(0, len(places), self.chunk):
            self._observe(places[start : start + self.chunk], kind)

    def errors(self, places: Places, kind: str) -> Array:
        """Evaluate like `observe`; how bad the error is at each point, (N,)."""
        parts = [self._observe(places[s : s + self.chunk], kind).badness("error") for s in range(0, len(places), self.chunk)]
        return np.concatenate(parts)

    def _observe(self, places: Places, kind: str) -> GraphObservation:
        seen = self.gauge.observe(places)
        self.counts[kind] += len(places)
        self.distinct.add(seen.taken)
        self.sizes = {name: max(size, self.sizes.get(name, 0.0)) for name, size in seen.sizes.items()}
        for l, reached in enumerate(self.reached):
            taken = seen.taken[:, l]
            count = np.bincount(taken[taken >= 0], minlength=len(reached))
            reached |= count > 0
            if kind == "uniform":
                self.routes[l] += count
        if kind == "uniform":
            wrong = ~(seen.values["error"] <= self.epsilon) | (seen.values["wrong"] > 0) | (seen.values["nonfinite"] > 0)
            self.violations += int((wrong | ~(seen.values.get("astray", np.zeros(1)) <= 1)).sum())
        for quantity in seen.values:
            bad = seen.badness(quantity)
            k = int(bad.argmax())
            if bad[k] > self._bad.get(quantity, -np.inf):
                self._bad[quantity] = float(bad[k])
                self.worst[quantity] = self._worst_point(quantity, places[k : k + 1], seen, k, kind)
        if kind != "ascent":
            self._remember(places, seen)
        return seen

    def _worst_point(self, quantity: str, place: Places, seen: GraphObservation, k: int, kind: str) -> WorstPoint:
        return WorstPoint(
            quantity=quantity,
            value=float(seen.values[quantity][k]),
            ambient=tuple(place.ambient[0].tolist()),
            intrinsic=tuple(place.base[0].tolist()),
            chart="",
            route=self.describe(seen.taken[k]),
            kind=kind,
        )

    def describe(self, taken: NDArray[np.intp]) -> str:
        """A route in words."""
        parts = [f"{b.name}: {b.names[i] if i >= 0 else '?'}" for b, i in zip(self.graph.blocks, taken.tolist(), strict=True)]
        return ", ".join(parts[:SHOWN_BLOCKS]) + (f", … {len(parts)} blocks" if len(parts) > SHOWN_BLOCKS else "")

    def _remember(self, places: Places, seen: GraphObservation) -> None:
        # Spread over what the blocks took, one block after another, so that no expert's worst point is forgotten.
        cell = seen.taken[np.arange(len(places)), np.arange(len(places)) % seen.taken.shape[1]]
        bad = seen.badness("error")
        kept = _spread_worst(bad, cell, self.keep)
        starts = places[kept], bad[kept], cell[kept]
        if self._starts is not None:
            old = self._starts
            merged = joined([old[0], starts[0]]), np.concatenate([old[1], starts[1]]), np.concatenate([old[2], starts[2]])
            kept = _spread_worst(merged[1], merged[2], self.keep)
            starts = merged[0][kept], merged[1][kept], merged[2][kept]
        self._starts = starts

    def climb(self, seed: int) -> None:
        """From the worst points so far to points of larger error, by a pattern search in their parameters.

        Each round tries some axes and random directions at each start's own step, moves to the best point if it is better (and lengthens
        the step by half), else halves the step.
        """
        assert self._starts is not None
        starts, best, _ = self._starts
        best = best.copy()
        rng = np.random.default_rng(seed)
        lower, upper = self.domain.bounds(starts.chart)
        place, step = starts.parameters.copy(), np.full(len(starts), FIRST_STEP)
        for _ in range(ROUNDS):
            active = np.flatnonzero(step > LAST_STEP)
            if not len(active):
                break
            directions = _directions(self.domain.size, rng)
            low, high = lower[active, None], upper[active, None]
            tried = np.clip(place[active, None] + step[active, None, None] * directions * (high - low), low, high)
            tried = tried.reshape(-1, self.domain.size)
            chart = np.repeat(starts.chart[active], len(directions), axis=0)
            stay = np.repeat(place[active], len(directions), axis=0)
            tried = np.where(self.domain.allowed(chart, tried)[:, None], tried, stay)
            gained = self.errors(self.domain.place(chart, tried), "ascent").reshape(len(active), -1)
            winner = gained.argmax(1)
            top = gained[np.arange(len(active)), winner]
            better = top > best[active]
            moved = active[better]
            place[moved] = tried.reshape(len(active), -1, self.domain.size)[better, winner[better]]
            best[moved] = top[better]
            step[moved] = np.minimum(1.5 * step[moved], 0.25)
            step[active[~better]] /= 2


def _directions(size: int, rng: np.random.Generator) -> Array:
    axes = np.eye(size)[rng.permutation(size)[:MOST_AXES]]
    wild = rng.standard_normal((min(size, MOST_WILD), size))
    half = np.concatenate([axes, wild / np.linalg.norm(wild, axis=1, keepdims=True)])
    return np.concatenate([half, -half])
