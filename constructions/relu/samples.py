"""What is to be fitted, and its samples: points to fit to, and points held out to judge by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...atlas import Array
from ...errors import InvalidArgument
from .dictionary import Coordinates, Hint
from .directions import directions
from .kinks import straight_kinks

SAMPLES_PER_NEURON = 10
"""Fitted points per neuron: from about 8 on, the held-out error stops depending on it."""
MINIMUM_SAMPLES = 2048
HELD_OUT = 4096
"""Points the error is measured on; none of them is fitted to. They also choose between fits: the error on them is a little too
good to be true (by less than a factor of two where it was tried), and whoever claims anything measures again."""

HOLLOW = 0.25
"""Share of the points that uniform ones would have in the middle half of their box, below which it counts as empty."""
FAN = 8
"""Directions per dimension beyond the first, along which points count as outermost."""

Sampler = Callable[[int, int, bool], tuple[Array, Array]]
"""(count, seed, held_out) ↦ inputs (count, n) and values (count, q) of the function to be fitted. Points to be held out come
from the domain that counts; points to be fitted may come from a little around it."""


@dataclass(frozen=True, eq=False)
class Target:
    """What is to be fitted: how to sample it, where it is known to bend, and what its neurons will be called."""

    draw: Sampler
    name: str
    origin: str
    hints: tuple[Hint, ...] = ()
    directions: tuple[Array, ...] = ()
    """Directions in input space along which the target is expected to vary."""


@dataclass(frozen=True, eq=False)
class Data:
    """Points (N, n) to fit to and points held out, with the values (·, q) of the target."""

    inputs: Array
    values: Array
    held_inputs: Array
    held_values: Array


class Samples:
    """The samples of one target: drawn once, and again only when a wider net asks for more. Deterministic for a seed.

    If the points fill a solid of two or more dimensions, twice as many are drawn as are used and the outermost ones are
    preferred: near faces and corners few points see the last pieces of the profiles, and that is where errors are largest.
    """

    def __init__(self, target: Target, seed: int) -> None:
        self.target, self.seed = target, seed
        self._held = self._draw(HELD_OUT, True)
        self._fitted = self._held[0][:0], self._held[1][:0]
        self._kinks: tuple[Array, tuple[Array, ...]] | None = None

    def _draw(self, count: int, held_out: bool) -> tuple[Array, Array]:
        inputs, values = self.target.draw(count, 2 * self.seed + held_out, held_out)
        bad = ~(np.isfinite(inputs).all(1) & np.isfinite(values).all(1))
        if bad.any():
            raise InvalidArgument(f"{self.target.name}: not finite at {tuple(np.round(inputs[bad][0], 6))}; run lint on the task")
        # Samplers may hand out their points piece by piece; here any first part stands for the whole.
        order = np.random.default_rng([self.seed, held_out]).permutation(len(inputs))
        return inputs[order], values[order]

    def for_width(self, width: int, per_neuron: int = SAMPLES_PER_NEURON) -> Data:
        """`per_neuron`·width points to fit to, and the held-out ones."""
        count = max(MINIMUM_SAMPLES, per_neuron * width)
        if len(self._fitted[0]) < count:
            self._fitted = self._draw(2 * count, False)
            coordinates = Coordinates.of(self._fitted[0])
            if coordinates.rank >= 2 and _filled(coordinates(self._fitted[0])):
                self._fitted = _outer_first(*self._fitted, coordinates)
        return Data(self._fitted[0][:count], self._fitted[1][:count], *self._held)

    def kinks(self, coordinates: Coordinates) -> tuple[Array, tuple[Array, ...]]:
        """The straight kinks of the target: unit directions (j, n) of input space and their knots; looked for once."""
        if self._kinks is None:
            data = self.for_width(0)
            found = straight_kinks(coordinates(data.inputs), data.values)
            lines = np.array([a / coordinates.scale for a, _ in found]).reshape(-1, coordinates.rank)
            lengths = np.linalg.norm(lines, axis=1)
            rows = (lines / lengths[:, None]) @ coordinates.basis.T
            # a·z = b along the unit row: t = b/length + row·center.
            knots = tuple(
                np.array([b / length + row @ coordinates.center]) for (_, b), length, row in zip(found, lengths, rows, strict=True)
            )
            self._kinks = rows, knots
        return self._kinks


def _filled(z: Array) -> bool:
    """Whether points (N, r) of [−1, 1]^r fill a solid; points of a surface around an empty middle have no outermost ones."""
    return bool((np.abs(z).max(1) < 0.5).mean() > HOLLOW * 0.5 ** z.shape[1])


def _outer_first(inputs: Array, values: Array, coordinates: Coordinates) -> tuple[Array, Array]:
    """Half of the points: as many outermost ones as others, in the order in which they were drawn.

    Outermost are those that come nearest to the end of the data along some direction: FAN quasi-uniform ones, and the axes.
    """
    z = coordinates(inputs)
    rank = coordinates.rank
    projected = z @ np.concatenate([directions(FAN * (rank - 1), rank), np.eye(rank)]).T
    low, high = projected.min(0), projected.max(0)
    depth = (np.minimum(projected - low, high - projected) / (high - low)).min(1)
    half = len(inputs) // 2
    outermost = np.argsort(depth, kind="stable")[: half // 2]
    inner = np.ones(len(inputs), bool)
    inner[outermost] = False
    chosen = np.concatenate([outermost, np.flatnonzero(inner)[: half - half // 2]])
    # In the drawn order, so that any first part of them is as mixed as all of them.
    chosen = np.sort(chosen)
    return inputs[chosen], values[chosen]
