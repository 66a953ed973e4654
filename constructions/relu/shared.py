"""Lemma 3.1 for many functions on one domain: one dictionary, one factorisation, a right-hand side each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...atlas import Array
from ...moe.ridge import Dictionary, Ridge
from .dictionary import Coordinates
from .directions import directions
from .knots import quantile_grid
from .profiles import least_squares
from .spline.spline import fit_spline

LADDER = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""Numbers of directions tried."""
VOTERS = 16
"""Functions, spread over all, whose held-out errors decide the number of directions."""


@dataclass(frozen=True, eq=False)
class SharedSamples:
    """Samples of E functions R^d → R^q at the same points: to fit (N, d), (N, E, q) and held out."""

    inputs: Array
    values: Array
    held_inputs: Array
    held_values: Array

    def head(self, count: int) -> SharedSamples:
        """With only the first `count` points to fit."""
        return SharedSamples(self.inputs[:count], self.values[:count], self.held_inputs, self.held_values)


@dataclass(frozen=True, eq=False)
class SharedFit:
    """E two-layer nets with the same hidden neurons, and for each its held-out sup error and the index of the point where that occurs."""

    dictionary: Dictionary
    weights: Array
    """(E, q, m)."""
    constants: Array
    """(E, q)."""
    errors: Array
    """(E,)."""
    worst: Array
    direction_count: int

    def ridge(self, index: int) -> Ridge:
        return Ridge(self.dictionary, self.weights[index], self.constants[index])


def fit_shared(samples: SharedSamples, width: int, direction_count: int | None = None) -> SharedFit:
    """The best dictionary of at most `width` neurons found for all functions together, by their largest held-out error.

    The search for the number of directions starts at `direction_count` or a rule of thumb, and asks VOTERS of the functions.
    One intrinsic dimension: knots are shared too, spread for the functions together.
    """
    d = samples.inputs.shape[1]
    if d == 1:
        return _along(samples, width)
    ladder = [c for c in LADDER if c >= d and 2 * c <= width - d] or [d]
    voters = np.unique(np.linspace(0, samples.values.shape[1] - 1, VOTERS).round().astype(int))
    electorate = SharedSamples(samples.inputs, samples.values[:, voters], samples.held_inputs, samples.held_values[:, voters])
    guess = direction_count or width ** (1 / 3 if d == 2 else 1 / 2)
    found: dict[int, float] = {}

    def visit(step: int) -> None:
        if 0 <= step < len(ladder) and step not in found:
            found[step] = float(_solved(electorate, width, ladder[step]).errors.max())

    visit(int(np.argmin([abs(np.log(c / guess)) for c in ladder])))
    while True:
        here = min(found, key=lambda step: found[step])
        visit(here + 1)
        visit(here - 1)
        if here == min(found, key=lambda step: found[step]):
            return _solved(samples, width, ladder[here])


def _solved(samples: SharedSamples, width: int, count: int) -> SharedFit:
    """Least squares in hats, lifted for every function that this helps on the held-out points."""
    coordinates = Coordinates.of(samples.inputs)
    lines = coordinates.to_input(directions(count, coordinates.rank))
    grid = quantile_grid(samples.inputs, lines, width - coordinates.rank)
    E, q = samples.values.shape[1:]
    levels = least_squares(grid, samples.inputs, samples.values.reshape(len(samples.values), -1))
    hats = grid.hats(samples.held_inputs)
    plain, lifted = ((at, np.abs((hats @ at).reshape(-1, E, q) - samples.held_values).max(2)) for at in (levels, grid.lifted(levels)))
    better = lifted[1].max(0) < plain[1].max(0)
    errors = np.where(better, lifted[1], plain[1])
    ridge = grid.ridge(np.where(np.repeat(better, q), lifted[0], plain[0]), coordinates)
    return SharedFit(
        ridge.dictionary, ridge.weights.reshape(E, q, -1), ridge.constant.reshape(E, q), errors.max(0), errors.argmax(0), count
    )


def _along(samples: SharedSamples, width: int) -> SharedFit:
    """One intrinsic dimension: a spline with the same knots for all."""
    E, q = samples.values.shape[1:]
    dictionary, weights, constants = fit_spline(samples.inputs[:, 0], samples.values.reshape(len(samples.values), -1), width)
    values = dictionary.features(samples.held_inputs) @ weights.T + constants
    error = np.abs(values.reshape(len(values), E, q) - samples.held_values).max(2)
    return SharedFit(dictionary, weights.reshape(E, q, -1), constants.reshape(E, q), error.max(0), error.argmax(0), 1)
