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
from ..network import Affine, NeuronGroup, ReLUNet
from .dictionary import Coordinates, Hint, hinted_dictionary, ridge_dictionary
from .directions import directions
from .least_squares import solve
from .spline import fit_spline

SAMPLES_PER_NEURON = 10
"""Fitted points per neuron: from about 8 on, the held-out error stops depending on it."""
MINIMUM_SAMPLES = 2048
HELD_OUT = 8192
"""Points the error is measured on; none of them is fitted to."""
DIRECTION_COUNTS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
NARROWEST = 8

Sampler = Callable[[int, int], tuple[Array, Array]]
"""(count, seed) ↦ inputs (count, n) and values (count, q) of the function to be fitted."""


@dataclass(frozen=True, eq=False)
class Target:
    """What is to be fitted: how to sample it, where it is known to bend, and what its neurons will be called."""

    draw: Sampler
    name: str
    origin: str
    hints: tuple[Hint, ...] = ()


@dataclass(frozen=True, eq=False)
class Fit:
    """A two-layer net with its held-out sup error (largest component) and the held-out input where that occurs."""

    net: ReLUNet
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


def _draw(target: Target, width: int, seed: int) -> _Data:
    inputs, values = target.draw(max(MINIMUM_SAMPLES, SAMPLES_PER_NEURON * width), 2 * seed)
    held_inputs, held_values = target.draw(HELD_OUT, 2 * seed + 1)
    for x, v in ((inputs, values), (held_inputs, held_values)):
        bad = ~(np.isfinite(x).all(1) & np.isfinite(v).all(1))
        if bad.any():
            raise InvalidArgument(f"{target.name}: not finite at {tuple(np.round(x[bad][0], 6))}; run lint on the task")
    return _Data(inputs, values, held_inputs, held_values)


def _measure(target: Target, hidden: Affine, output: Affine, data: _Data, count: int) -> Fit:
    net = ReLUNet((hidden, output), ((NeuronGroup(target.name, len(hidden.bias), target.origin),),))
    error = np.abs(net(data.held_inputs) - data.held_values).max(1)
    worst = int(np.argmax(error))
    return Fit(net, float(error[worst]), data.held_inputs[worst], len(error), count)


def _with_directions(target: Target, data: _Data, coordinates: Coordinates, width: int, count: int) -> Fit:
    """Least squares over `count` generic directions beside the hinted ones, `width` neurons in all (at most)."""
    z = coordinates(data.inputs)
    known = sum(len(hint.knots) for hint in target.hints)
    hinted = hinted_dictionary(target.hints) if 0 < known <= width // 2 else None
    room = width - coordinates.rank - (0 if hinted is None else len(hinted.bias))
    generic = ridge_dictionary(z, directions(count, coordinates.rank), max(1, room // count)).after(coordinates.affine)
    hidden = generic
    if hinted is not None:
        hidden = Affine(np.concatenate([generic.weight, hinted.weight]), np.concatenate([generic.bias, hinted.bias]))
    weight, bias = solve(np.maximum(hidden(data.inputs), 0), data.values)
    return _measure(target, hidden, Affine(weight, bias), data, count)


def _hints_alone(target: Target, data: _Data) -> Fit:
    hidden = hinted_dictionary(target.hints)
    weight, bias = solve(np.maximum(hidden(data.inputs), 0), data.values)
    return _measure(target, hidden, Affine(weight, bias), data, 0)


def _climb(target: Target, data: _Data, coordinates: Coordinates, width: int, start: int | None) -> Fit:
    """The best number of directions: uphill on the ladder `DIRECTION_COUNTS` from a guess until both neighbours are worse."""
    allowed = [c for c in DIRECTION_COUNTS if c >= coordinates.rank and 2 * c <= width] or [coordinates.rank]
    # Few directions for smooth functions: about m^{1/3} in two dimensions, m^{1/2} from three on.
    guess = start or width ** (1 / 3 if coordinates.rank == 2 else 1 / 2)
    here = int(np.argmin([abs(np.log(c / guess)) for c in allowed]))
    fits = {here: _with_directions(target, data, coordinates, width, allowed[here])}
    while True:
        for step in (here + 1, here - 1):
            if 0 <= step < len(allowed) and step not in fits:
                fits[step] = _with_directions(target, data, coordinates, width, allowed[step])
        best = min(fits, key=lambda k: fits[k].error)
        if best == here:
            return fits[best]
        here = best


def fit(target: Target, width: int, *, seed: int = 0, direction_count: int | None = None, search: bool = True) -> Fit:
    """The best two-layer net of `width` hidden neurons found for `target`.

    `direction_count` is where the search for the number of directions starts; with `search=False` it is used as it is.
    Deterministic for a seed. Raises `InvalidArgument` if the target is not finite or the width below NARROWEST.
    """
    if width < NARROWEST:
        raise InvalidArgument(f"{target.name}: width {width} is too small, the least is {NARROWEST}")
    data = _draw(target, width, seed)
    coordinates = Coordinates.of(data.inputs)
    if coordinates.rank == 1:
        hidden, output = fit_spline(coordinates(data.inputs)[:, 0], data.values, width)
        return _measure(target, hidden.after(coordinates.affine), output, data, 1)
    if direction_count and not search:
        return _with_directions(target, data, coordinates, width, direction_count)
    return _climb(target, data, coordinates, width, direction_count)


def fit_to(target: Target, budget: float, *, start: int, limit: int, seed: int = 0, direction_count: int | None = None, remedy: str) -> Fit:
    """The narrowest width tried, from `start` up to `limit`, whose held-out error is at most `budget`.

    Hints alone are tried first. Widths then grow by the slope of the errors seen so far. Raises `EpsilonNotReached` with the best
    error, its width and `remedy` when `limit` does not suffice, or when the slope says that it cannot.
    """
    if target.hints:
        hinted = _hints_alone(target, _draw(target, sum(len(h.knots) for h in target.hints), seed))
        if hinted.error <= budget:
            return hinted
    width = max(min(start, limit), NARROWEST)
    best: Fit | None = None
    count = direction_count
    while True:
        attempt = fit(target, width, seed=seed, direction_count=count)
        if attempt.error <= budget:
            return attempt
        # log error falls like −slope·log width; the paper's generic rate 1/2 is the most pessimistic slope worth following.
        slope = 1.0
        if best is not None and attempt.width > best.width:
            slope = np.log(best.error / attempt.error) / np.log(attempt.width / best.width)
        if best is None or attempt.error < best.error:
            best = attempt
        slope = float(np.clip(slope, 0.5, 2.0))
        wanted = width * (attempt.error / budget) ** (1 / slope)
        # Extrapolations over more than a factor of 8 beyond the limit have never come true.
        if width >= limit or wanted > 8 * limit:
            raise EpsilonNotReached(target.name, budget=budget, reached=best.error, width=best.width, remedy=remedy)
        factor = float(np.clip(1.1 * wanted / width, 1.25, 4.0))
        count = None if attempt.direction_count == 0 else round(attempt.direction_count * factor ** (1 / 3))
        width = min(limit, 8 * round(width * factor / 8))
