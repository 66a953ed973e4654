"""What sums of harmonics are worth at the points that were asked for last: all components, and all derivatives to be asked for, at once.

A field is asked for one derivative of one component at a time, of one batch of points after the other. Harmonics of the points cost more
than a sum of them, and all sums of a few points are one product of matrices. So whatever is asked of new points, everything is computed
that was asked of the last batch whose questions began alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ...expressions import Array
from ...expressions.fields import Orders
from .euler import Harmonic, powers
from .solid import count, inverted
from .sums import Sum

AT_ONCE = 1 << 21
"""Harmonics that are held at a time."""
BATCHES = 2
"""Batches of points that are remembered: points of the boxes that forms are about, and middles of boxes around them, take turns."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Points (N, 3); by derivative values (outputs, N), and what they may be off by, of what decays over the distance; what was asked."""

    points: Array
    found: dict[Orders, tuple[Array, Array]] = field(default_factory=dict)
    asked: set[Orders] = field(default_factory=set)


class Memory:
    """Sums by derivative, with harmonics that are computed in one way."""

    def __init__(self, sums: Callable[[Orders], Sum], decaying: bool, harmonic: Harmonic) -> None:
        self.sums, self.decaying, self.harmonic = sums, decaying, harmonic
        self.batches: tuple[Batch, ...] = ()  # never changed, only replaced: threads share a field
        self.habits: dict[tuple[Orders, bool], set[Orders]] = {}

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
        sums = {orders: self.sums(orders) for orders in wanted}
        degree, N = max(int(some.degrees[-1]) for some in sums.values()), len(batch.points)
        step = max(1, AT_ONCE // (2 * count(degree)))
        shape = len(next(iter(sums.values())).coefficients), N
        values = {orders: (np.zeros(shape), np.zeros(shape)) for orders in sums}
        for start in range(0, N, step):
            part = slice(start, start + step)
            at, scale = inverted(batch.points[part]) if self.decaying else (batch.points[part], np.ones(1))
            found, off = self.harmonic(degree, at, reach[part])
            found, R = found.reshape(2, count(degree), -1), powers(degree, reach[part])
            for orders, some in sums.items():
                needed, l = found[:, : len(some.degrees)].reshape(some.rows.shape[1], -1), int(some.degrees[-1]) + 1
                value, slack = values[orders]
                value[:, part], slack[:, part] = (some.rows @ needed) * scale, some.slack(off[:l], R[:l])
        # Whoever finds a value finds all of it, whatever other threads do.
        batch.found.update(values)
