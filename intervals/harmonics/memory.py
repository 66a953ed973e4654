"""What sums of harmonics are worth at the points that were asked for last: all components, and all derivatives to be asked for, at once.

A field is asked for one derivative of one component at a time, of one batch of points after the other. Harmonics of the points cost more
than a sum of them, and all sums of a few points are one product of matrices. So whatever is asked of new points, everything is computed
that was asked of the last batch whose questions began alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...expressions import Array
from ...expressions.fields import Orders
from .euler import Harmonic, powers
from .solid import count, inverted
from .sums import Sum

AT_ONCE = 1 << 21
"""Harmonics that are held at a time."""
KEPT = 1 << 23
"""Harmonics of a batch that are kept for whatever is asked of it next, at most."""
BATCHES = 2
"""Batches of points that are remembered: points of the boxes that forms are about, and middles of boxes around them, take turns."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Points (N, 3); by derivative values (outputs, N), and what they may be off by, of what decays over the distance; what was asked."""

    points: Array
    found: dict[Orders, tuple[Array, Array]] = field(default_factory=dict)
    asked: set[Orders] = field(default_factory=set)
    harmonics: dict[tuple[int, int], tuple[Array, Array]] = field(default_factory=dict)
    """By degree and where a part of the points begins: as computed, and what they may be off by."""


class Memory:
    """Sums by derivative, with harmonics that are computed in one way."""

    def __init__(self, sums: Callable[[Orders], Sum], decaying: bool, harmonic: Harmonic) -> None:
        self.sums, self.decaying, self.harmonic = sums, decaying, harmonic
        self.batches: tuple[Batch, ...] = ()  # never changed, only replaced: threads share a field
        self.habits: dict[tuple[Orders, bool], set[Orders]] = {}
        self.last: tuple[tuple[int, tuple[Orders, ...]], Array] | None = None

    def at(self, points: Array, reach: Array, orders: Orders, alone: bool) -> tuple[Array, Array]:
        """A derivative of all components at points whose lengths, or one over them of what decays, are at most `reach`; `alone`, or as the
        middles of boxes, of which other derivatives are asked.
        """
        batch = next((one for one in self.batches if np.array_equal(one.points, points)), None)
        if batch is None:
            batch = Batch(points.copy())
            self._fill(batch, reach, self.habits.get((orders, alone), set()) | {orders})
            self.habits[orders, alone] = batch.asked
            self.batches = (batch, *self.batches)[:BATCHES]
        elif orders not in batch.found:
            self._fill(batch, reach, {orders})
        batch.asked.add(orders)
        return batch.found[orders]

    def _fill(self, batch: Batch, reach: Array, wanted: set[Orders]) -> None:
        """All that is wanted, by one product of matrices for so many points at a time."""
        orders = sorted(wanted)
        sums, N = [self.sums(one) for one in orders], len(batch.points)
        outputs, degree = len(sums[0].coefficients), max(int(some.degrees[-1]) for some in (self.sums((0, 0, 0)), *sums))
        rows = self._stacked(orders, sums, degree)
        step = max(1, AT_ONCE // (2 * count(degree)))
        values, slack = (np.zeros((len(orders), outputs, N)) for _ in range(2))
        for start in range(0, N, step):
            part = slice(start, start + step)
            at, scale = inverted(batch.points[part]) if self.decaying else (batch.points[part], np.ones(1))
            found, off = self._harmonics(batch, start, degree, at, reach[part])
            R = powers(degree, reach[part])
            values[:, :, part] = (rows @ found).reshape(len(orders), outputs, -1) * scale
            for n, some in enumerate(sums):
                l = int(some.degrees[-1]) + 1
                slack[n, :, part] = some.slack(off[:l], R[:l], count(degree))
        # Whoever finds a value finds all of it, whatever other threads do.
        batch.found.update({one: (values[n], slack[n]) for n, one in enumerate(orders)})

    def _harmonics(self, batch: Batch, start: int, degree: int, points: Array, reach: Array) -> tuple[Array, Array]:
        """Of a part of the points; as they are kept, of few."""
        if (degree, start) in batch.harmonics:
            return batch.harmonics[degree, start]
        found = self.harmonic(degree, points, reach)
        if 2 * count(degree) * len(batch.points) <= KEPT:
            batch.harmonics[degree, start] = found
        return found

    def _stacked(self, orders: Sequence[Orders], sums: Sequence[Sum], degree: int) -> Array:
        """The coefficients of all sums, (orders·outputs, 2·places of a degree), those that were asked for last as they are."""
        key, last = (degree, tuple(orders)), self.last
        if last is None or last[0] != key:
            rows = np.zeros((len(sums), *sums[0].coefficients.shape[:2], count(degree)))
            for row, some in zip(rows, sums, strict=True):
                row[..., : some.coefficients.shape[-1]] = some.coefficients
            self.last = last = key, rows.reshape(-1, 2 * count(degree))
        return last[1]
