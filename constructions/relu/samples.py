"""What is to be fitted, and its samples: points to fit to, and points held out to judge by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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

OVERDRAWN = 4
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
    evaluate: Callable[[Array], Array] | None = None
    """Values (N, q) at inputs (N, n) of the domain that counts, NaN elsewhere; None where only samples are to be had."""


@dataclass(frozen=True, eq=False)
class Data:
    """Points (N, n) to fit to and points held out, with the values (·, q) of the target."""

    inputs: Array
    values: Array
    held_inputs: Array
    held_values: Array


class Samples:
    """The samples of one target: drawn once, and again only when a wider net asks for more. Deterministic for a seed.

    If the points fill a solid of two or more dimensions, OVERDRAWN times as many are drawn as are used and up to half of
    those used are the outermost ones: near faces and corners few points see the last pieces of the profiles, and errors are
    largest there.
    """

    def __init__(self, target: Target, seed: int) -> None:
        self.target, self.seed = target, seed
        first = self._draw(HELD_OUT, True)
        coordinates = Coordinates.of(first[0])
        self._solid = coordinates.rank >= 2 and _filled(coordinates(first[0]))
        self._held = self._spread(HELD_OUT, True) if self._solid else first
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

    def _spread(self, count: int, held_out: bool) -> tuple[Array, Array]:
        """`count` points and values, the outermost ones preferred where the points fill a solid."""
        if not self._solid:
            # A sampler's points may be of low discrepancy, which a part of more points would not be.
            return self._draw(count, held_out)
        inputs, values = self._draw(OVERDRAWN * count, held_out)
        return _outer_first(inputs, values, Coordinates.of(inputs), count)

    def for_width(self, width: int, per_neuron: int = SAMPLES_PER_NEURON, held_out: int = HELD_OUT) -> Data:
        """`per_neuron`·width points to fit to, and the held-out ones, of which there are as many as were last asked for."""
        if len(self._held[0]) < held_out:
            self._held = self._spread(held_out, True)
        count = max(MINIMUM_SAMPLES, per_neuron * width)
        if len(self._fitted[0]) < count:
            self._fitted = self._spread(count, False)
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


def _outer_first(inputs: Array, values: Array, coordinates: Coordinates, count: int) -> tuple[Array, Array]:
    """`count` of the points, up to half of them outermost ones, in the order in which they were drawn.

    Outermost are those furthest along some direction, equally many for either sense of FAN quasi-uniform directions per
    dimension beyond the first, and of the axes: oblique ones reach into corners, axes along faces.
    """
    z = coordinates(inputs)
    rank = coordinates.rank
    projected = z @ np.concatenate([directions(FAN * (rank - 1), rank), np.eye(rank)]).T
    outer = _extreme(projected, max(1, count // (4 * projected.shape[1])))
    outermost = np.flatnonzero(outer)
    chosen = np.concatenate([outermost, np.flatnonzero(~outer)[: count - len(outermost)]])
    # In the drawn order, so that any first part of them is as mixed as all of them.
    chosen = np.sort(chosen)
    return inputs[chosen], values[chosen]


def _extreme(values: Array, each: int) -> NDArray[np.bool_]:
    """Which rows (N,) are among the `each` least or the `each` largest of some column of (N, k), the first of equal ones being least."""
    N, each = len(values), min(each, len(values))
    least, most = np.partition(values, (each - 1, N - each), axis=0)[[each - 1, N - each]]
    below, above = values < least, values > most
    for column, low, high, inside, outside in zip(values.T, least, most, below.T, above.T, strict=True):
        inside[np.flatnonzero(column == low)[: each - inside.sum()]] = True
        outside[np.flatnonzero(column == high)[outside.sum() - each :]] = True
    return (below | above).any(1)
