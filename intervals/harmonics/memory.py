"""What sums of harmonics are worth at the points that were asked for last: all components, and all derivatives to be asked for, at once.

A field is asked for one derivative of one component at a time, of one batch of points after the other. Harmonics of the points cost more
than a sum of them, and all sums of a few points are one product of matrices. So whatever is asked of new points, everything is computed
that was asked of the last batch whose questions began alike.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ...expressions import Array
from ...expressions.fields import Orders
from .euler import Harmonic
from .solid import count, degree_of, inverted

AT_ONCE = 1 << 21
"""Harmonics that are held at a time."""
BATCHES = 3
"""Batches of points that are remembered: the middles of boxes in two coordinates take turns."""


@dataclass(eq=False)
class Batch:
    """Points (N, 3), bounds of what their harmonics are off by (degree + 1, N), and values (outputs, N) by derivative."""

    points: Array
    first: Orders
    errors: Array
    values: dict[Orders, Array] = field(default_factory=dict)
    asked: set[Orders] = field(default_factory=set)


class Memory:
    """The sums of rows by derivative (outputs, 2·places) with harmonics that are computed in one way."""

    def __init__(self, rows: Callable[[Orders], Array], decaying: bool, harmonic: Harmonic) -> None:
        self.rows, self.decaying, self.harmonic = rows, decaying, harmonic
        self.batches: deque[Batch] = deque(maxlen=BATCHES)
        self.habits: dict[Orders, set[Orders]] = {}

    def at(self, points: Array, reach: Array, orders: Orders) -> tuple[Array, Array]:
        """A derivative of all components at points whose lengths, or one over them of what decays, are at most `reach`: values
        (outputs, N), and bounds of what the harmonics are off by, (degree + 1, N)."""
        batch = next((one for one in self.batches if np.array_equal(one.points, points)), None)
        if batch is None:
            batch = Batch(points.copy(), orders, np.zeros((0, len(points))))
            self._fill(batch, reach, self.habits.get(orders, set()) | {orders})
            self.habits[orders] = batch.asked
            self.batches.appendleft(batch)
        if orders not in batch.values:
            self._fill(batch, reach, {orders})
        batch.asked.add(orders)
        return batch.values[orders], batch.errors[: degree_of(self.rows(orders).shape[1] // 2) + 1]

    def _fill(self, batch: Batch, reach: Array, wanted: set[Orders]) -> None:
        rows = {orders: self.rows(orders) for orders in wanted}
        degree, N = degree_of(max(row.shape[1] for row in rows.values()) // 2), len(batch.points)
        step = max(1, AT_ONCE // (2 * count(degree)))
        errors = np.zeros((degree + 1, N))
        values = {orders: np.zeros((len(row), N)) for orders, row in rows.items()}
        for start in range(0, N, step):
            some = slice(start, start + step)
            at, scale = inverted(batch.points[some]) if self.decaying else (batch.points[some], np.ones(1))
            found, errors[:, some] = self.harmonic(degree, at, reach[some])
            found = found.reshape(2, count(degree), -1)
            for orders, row in rows.items():
                needed = found[:, : row.shape[1] // 2].reshape(row.shape[1], -1)
                values[orders][:, some] = (row @ needed) * scale
        # Whoever finds a value finds all of it, and its errors, whatever other threads do.
        if len(errors) > len(batch.errors):
            batch.errors = errors
        batch.values.update(values)
