"""Lemma 3.1 as code: a two-layer ReLU net for a function that can be sampled, of a given width or to a given error.

Statement (paper, Theorem 3.1): on a compact set of dimension d, width m reaches a sup error O(m^{−K/d}) for F ∈ C^K, K < (d+3)/2.
Here: d = 1 (data that span a line) gets free-knot splines; otherwise a ridge dictionary, whose number of
directions is chosen on held-out points, and linear least squares for the output weights. No gradient training.
The error of a fit is the largest on held-out points: measured, not proved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...atlas import Array
from ...errors import EpsilonNotReached, InvalidArgument
from ..network import ReLUNet
from ..ridge import Dictionary, Ridge
from .dictionary import Coordinates, Hint, hinted_dictionary, ridge_dictionary
from .directions import directions
from .least_squares import solve
from .spline import fit_spline

SAMPLES_PER_NEURON = 10
"""Fitted points per neuron: from about 8 on, the held-out error stops depending on it."""
MINIMUM_SAMPLES = 2048
HELD_OUT = 4096
"""Points the error is measured on; none of them is fitted to."""
CHOOSING = 2048
"""Held-out points that decide between numbers of directions."""
DIRECTION_COUNTS = (0, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
NARROWEST = 8

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
class Fit:
    """A two-layer net with its held-out sup error (largest component) and the held-out input where that occurs."""

    ridge: Ridge
    net: ReLUNet
    """The plain weights of `ridge`."""
    error: float
    witness: Array
    samples: int
    """Number of held-out points."""
    direction_count: int
    """Number of ridge directions; 1 for a spline, 0 for a purely hinted dictionary."""

    @property
    def width(self) -> int:
        return self.net.widths[0]


@dataclass(frozen=True, eq=False)
class _Data:
    inputs: Array
    values: Array
    held_inputs: Array
    held_values: Array


class Samples:
    """The samples of one target: drawn once, and again only when a wider net asks for more. Deterministic for a seed."""

    def __init__(self, target: Target, seed: int) -> None:
        self.target, self.seed = target, seed
        self._held = self._draw(HELD_OUT, True)
        self._fitted = self._held[0][:0], self._held[1][:0]

    def _draw(self, count: int, held_out: bool) -> tuple[Array, Array]:
        inputs, values = self.target.draw(count, 2 * self.seed + held_out, held_out)
        bad = ~(np.isfinite(inputs).all(1) & np.isfinite(values).all(1))
        if bad.any():
            raise InvalidArgument(f"{self.target.name}: not finite at {tuple(np.round(inputs[bad][0], 6))}; run lint on the task")
        return inputs, values

    def for_width(self, width: int) -> _Data:
        """SAMPLES_PER_NEURON·width points to fit to, and the held-out ones."""
        count = max(MINIMUM_SAMPLES, SAMPLES_PER_NEURON * width)
        if len(self._fitted[0]) < count:
            self._fitted = self._draw(count, False)
        return _Data(self._fitted[0][:count], self._fitted[1][:count], *self._held)


def _measure(target: Target, ridge: Ridge, data: _Data, count: int) -> Fit:
    net = ridge.to_relu(target.name, target.origin)
    error = np.abs(net(data.held_inputs) - data.held_values).max(1)
    worst = int(np.argmax(error))
    return Fit(ridge, net, float(error[worst]), data.held_inputs[worst], len(error), count)


def _least_squares(dictionary: Dictionary, data: _Data) -> Ridge:
    return Ridge(dictionary, *solve(dictionary.features(data.inputs), data.values))


@dataclass(frozen=True, eq=False)
class _Search:
    """One target, its data and normalised coordinates, at one width."""

    target: Target
    data: _Data
    coordinates: Coordinates
    width: int

    def known_directions(self) -> Array:
        """The target's own directions in normalised coordinates, without repeated lines."""
        kept: list[Array] = []
        for z in self.coordinates.from_input(np.array(self.target.directions).reshape(-1, len(self.coordinates.center))):
            if all(abs(z @ other) < 1 - 1e-6 for other in kept):
                kept.append(z)
        return np.array(kept).reshape(-1, self.coordinates.rank)

    def solve(self, count: int) -> Ridge:
        """Least squares over `count` generic directions beside the known ones and the hints; at most `width` neurons."""
        rank = self.coordinates.rank
        generic = directions(count, rank) if count else np.zeros((0, rank))
        lines = self.coordinates.to_input(np.concatenate([self.known_directions(), generic]))
        hints = sum(len(hint.knots) for hint in self.target.hints)
        hinted = hinted_dictionary(self.target.hints) if 0 < hints <= self.width // 2 else None
        room = self.width - rank - (0 if hinted is None else hints)
        dictionary = ridge_dictionary(self.data.inputs, lines, max(1, room // len(lines)), rank)
        return _least_squares(dictionary if hinted is None else dictionary + hinted, self.data)

    def error(self, ridge: Ridge) -> float:
        """The sup error on the points that decide."""
        values = ridge.dictionary.features(self.data.held_inputs[:CHOOSING]) @ ridge.weights.T + ridge.constant
        return float(np.abs(values - self.data.held_values[:CHOOSING]).max())

    def allowed(self) -> list[int]:
        """Numbers of generic directions worth trying: with the known ones they must span, and leave two knots each."""
        known = len(self.known_directions())
        counts = [
            c for c in DIRECTION_COUNTS if c + known >= self.coordinates.rank and 2 * (c + known) <= self.width - self.coordinates.rank
        ]
        return counts or [max(1, self.coordinates.rank - known)]

    def climb(self, start: int | None) -> Fit:
        """Uphill on the ladder of direction counts until both neighbours are worse, from the better of `start` and a rule of thumb."""
        ladder = self.allowed()
        # Few directions for smooth functions: about m^{1/3} in two dimensions, m^{1/2} from three on.
        guesses = [self.width ** (1 / 3 if self.coordinates.rank == 2 else 1 / 2), *([] if start is None else [start])]
        found: dict[int, tuple[float, Ridge]] = {}

        def visit(step: int) -> None:
            if 0 <= step < len(ladder) and step not in found:
                ridge = self.solve(ladder[step])
                found[step] = (self.error(ridge), ridge)

        for guess in guesses:
            visit(int(np.argmin([abs(np.log((count + 1) / (guess + 1))) for count in ladder])))
        while True:
            here = min(found, key=lambda step: found[step][0])
            visit(here + 1)
            visit(here - 1)
            if here == min(found, key=lambda step: found[step][0]):
                return _measure(self.target, found[here][1], self.data, ladder[here])


def _hints_alone(target: Target, data: _Data) -> Fit:
    return _measure(target, _least_squares(hinted_dictionary(target.hints), data), data, 0)


def _spline(target: Target, data: _Data, coordinates: Coordinates, width: int) -> Fit:
    """Data on a line: a free-knot spline along it."""
    line = coordinates.to_input(np.ones((1, 1)))
    dictionary, weights, constant = fit_spline(data.inputs @ line[0], data.values, width)
    along = Dictionary(line, dictionary.counts, dictionary.knots, dictionary.facing)
    return _measure(target, Ridge(along, weights, constant), data, 1)


def fit(
    target: Target, width: int, *, seed: int = 0, direction_count: int | None = None, search: bool = True, samples: Samples | None = None
) -> Fit:
    """The best two-layer net of at most `width` hidden neurons found for `target`.

    `direction_count` is where the search for the number of directions starts; with `search=False` it is used as it is.
    `samples` saves drawing them again. Deterministic for a seed. Raises `InvalidArgument` if the target is not finite
    or the width below NARROWEST.
    """
    if width < NARROWEST:
        raise InvalidArgument(f"{target.name}: width {width} is too small, the least is {NARROWEST}")
    data = (samples or Samples(target, seed)).for_width(width)
    coordinates = Coordinates.of(data.inputs)
    if coordinates.rank == 1:
        return _spline(target, data, coordinates, width)
    attempt = _Search(target, data, coordinates, width)
    if direction_count is not None and not search:
        return _measure(target, attempt.solve(direction_count), data, direction_count)
    return attempt.climb(direction_count)


def fit_to(target: Target, budget: float, *, start: int, limit: int, seed: int = 0, direction_count: int | None = None, remedy: str) -> Fit:
    """The narrowest width tried, from `start` up to `limit`, whose held-out error is at most `budget`.

    Hints alone are tried first, then `direction_count` as it is. Widths then grow by the slope of the errors seen so
    far. Raises `EpsilonNotReached` with the best error, its width and `remedy` when `limit` does not suffice, or when
    the slope says that it cannot.
    """
    samples = Samples(target, seed)
    if target.hints:
        hinted = _hints_alone(target, samples.for_width(sum(len(h.knots) for h in target.hints)))
        if hinted.error <= budget:
            return hinted
    width = max(min(start, limit), NARROWEST)
    best: Fit | None = None
    count = direction_count
    if count is not None:
        attempt = fit(target, width, direction_count=count, search=False, samples=samples)
        if attempt.error <= budget:
            return attempt
    while True:
        attempt = fit(target, width, direction_count=count, samples=samples)
        if attempt.error <= budget:
            return attempt
        # log error falls like −slope·log width; the paper's generic rate 1/2 is the most pessimistic slope worth following.
        slope = 1.0
        if best is not None and attempt.width > best.width:
            slope = float(np.clip(np.log(best.error / attempt.error) / np.log(attempt.width / best.width), 0.5, 2.0))
        if best is None or attempt.error < best.error:
            best = attempt
        wanted = best.width * (best.error / budget) ** (1 / slope)
        # Extrapolations over more than a factor of 8 beyond the limit have never come true.
        if width >= limit or wanted > 8 * limit:
            raise EpsilonNotReached(target.name, budget=budget, reached=best.error, width=best.width, remedy=remedy)
        factor = float(np.clip(1.1 * wanted / width, 1.25, 4.0))
        count = round(attempt.direction_count * factor ** (1 / 3))
        width = min(limit, 8 * round(width * factor / 8))
