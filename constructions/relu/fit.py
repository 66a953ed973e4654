"""Lemma 3.1 as code: a two-layer ReLU net for a function that can be sampled, of a given width or to a given error.

Statement (paper, Theorem 3.1): on a compact set of dimension d, width m reaches a sup error O(m^{−K/d}) for F ∈ C^K, K < (d+3)/2.
Here: d = 1 (data that span a line) gets free-knot splines; otherwise sums of piecewise-linear ridge profiles, whose
directions and knots are chosen on held-out points and whose output weights are linear least squares. No gradient
training. The error of a fit is the largest on held-out points: measured, not proved.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ...atlas import Array
from ...errors import EpsilonNotReached, InvalidArgument
from ...moe.network import ReLUNet
from ...moe.ridge import Dictionary, Ridge
from . import lawson
from .affine import affine_ridge
from .climb import climb
from .dictionary import Coordinates, hinted_dictionary
from .knots import snapped
from .least_squares import solve
from .profiles import Grid
from .pruning import prune
from .quadratic import quadratic_ridge
from .samples import SAMPLES_PER_NEURON, Data, Samples, Target
from .search import Model, Search
from .spline.spline import fit_spline

NARROWEST = 8
PROMISING = 4.0
"""A quick fit within this factor of its budget is worth the slower ways: they gain about a factor of two."""
SHRUNK = 0.9
"""Pruning to a budget stops at this part of it: the fits it chooses from are many, and the best of many looks better than it is."""
SHRINK_FROM = 1.5
"""Pruning to a budget starts from a net this many times as wide as the one that met it."""

FINER, DENSER = 32, 32768
"""Points fitted to, per neuron, and held-out ones, where knots move: fewer would not see what happens between them."""

PEAK, PEAKS, ROUNDS = 1.25, 4, 3
"""A point is a peak of the error if that is so many times the largest held-out one; so many are looked at; and so often."""

Effort = Literal["quick", "thorough", "polished"]


@dataclass(frozen=True, eq=False)
class Fit:
    """A two-layer net with its held-out sup error (largest component) and the held-out input where that occurs."""

    ridge: Ridge | None
    """None for nets of several activations."""
    net: ReLUNet
    """The plain weights of `ridge`."""
    error: float
    witness: Array
    samples: int
    """Number of held-out points."""
    direction_count: int
    """Number of quasi-uniform directions the fit was chosen from; 1 for a spline, 0 for axes or hints alone."""

    @property
    def width(self) -> int:
        return self.net.widths[0]

    @property
    def steepness(self) -> Array:
        """`Ridge.steepness`, (q, n): bounds of |∂_k of each component| everywhere; ∞ where nothing is known."""
        return np.full((self.net.outputs, self.net.inputs), np.inf) if self.ridge is None else self.ridge.steepness


def _measure(target: Target, ridge: Ridge, data: Data, count: int) -> Fit:
    net = ridge.to_relu(target.name, target.origin)
    error = np.abs(net(data.held_inputs) - data.held_values).max(1)
    worst = int(np.argmax(error))
    return Fit(ridge, net, float(error[worst]), data.held_inputs[worst], len(error), count)


def _climbed(attempt: Search, model: Model) -> tuple[Fit, Array]:
    """The model as a fit, whose error is the largest that was climbed to from its worst held-out points, and the peaks (·, n) found.

    Peaks rise by PEAK above what the held-out points say: the target has a tip there, or too few points see it.
    """
    fitted = _measure(attempt.target, attempt.ridge(model), attempt.data, model.count)
    if attempt.target.evaluate is None:
        return fitted, fitted.witness[None][:0]
    data = attempt.data
    errors = np.abs(fitted.net(data.held_inputs) - data.held_values).max(1)
    points, heights, seen = climb(attempt.target.evaluate, fitted.net, attempt.coordinates, data.held_inputs, errors, 0)
    top = int(np.argmax(heights))
    peaks = points[heights > PEAK * fitted.error][:PEAKS]
    return replace(fitted, error=float(heights[top]), witness=points[top], samples=fitted.samples + seen), peaks


def _resolved(attempt: Search, model: Model, effort: Effort) -> tuple[Fit, Search, Model]:
    """The model, or one like it that resolves the peaks of its error: samples around them, and of every direction a knot on them."""
    fitted, peaks = _climbed(attempt, model)
    for _ in range(ROUNDS):
        if not len(peaks):
            break
        closer = attempt.towards(peaks)
        tried = [closer.refitted(model.grid, model.count), closer.refitted(snapped(model.grid, peaks[0]), model.count)]
        if effort != "quick":
            tried.append(closer.reweighted(tried[1]))
        better, best = min(((_climbed(closer, other), other) for other in tried), key=lambda pair: pair[0][0].error)
        if better[0].error >= fitted.error:
            break
        (fitted, peaks), model, attempt = better, best, closer
    return fitted, attempt, model


def _hints_alone(target: Target, data: Data) -> Fit:
    dictionary = hinted_dictionary(target.hints)
    return _measure(target, Ridge(dictionary, *solve(dictionary.features(data.inputs), data.values)), data, 0)


def _affine_alone(target: Target, data: Data) -> Fit:
    return _measure(target, affine_ridge(data.inputs, data.values), data, 0)


def _spline(target: Target, data: Data, coordinates: Coordinates, width: int) -> Fit:
    """Data on a line: a free-knot spline along it."""
    line = coordinates.to_input(np.ones((1, 1)))
    dictionary, weights, constant = fit_spline(data.inputs @ line[0], data.values, width)
    along = Dictionary(line, dictionary.counts, dictionary.knots, dictionary.facing)
    return _measure(target, Ridge(along, weights, constant), data, 1)


def fit(
    target: Target,
    width: int,
    *,
    seed: int = 0,
    direction_count: int | None = None,
    search: bool = True,
    samples: Samples | None = None,
    effort: Effort = "quick",
) -> Fit:
    """The best two-layer net of at most `width` hidden neurons (2r for data of dimension r > width/2) found for `target`.

    `direction_count` is where the search for the number of directions starts; with `search=False` it is used as it is.
    `effort="thorough"` prunes from too wide nets and reweights towards the sup norm: about half the error in ten times
    the time. `effort="polished"` also moves the knots, and looks at more points: up to a third less in twice the time again.
    `samples` saves drawing them again. Deterministic for a seed. Raises `InvalidArgument` if the target is
    not finite or the width below NARROWEST.
    """
    if width < NARROWEST:
        raise InvalidArgument(f"{target.name}: width {width} is too small, the least is {NARROWEST}")
    samples = samples or Samples(target, seed)
    fitted, _, _ = _fit(target, width, direction_count, search, samples, effort)
    return fitted


def _fit(
    target: Target, width: int, direction_count: int | None, search: bool, samples: Samples, effort: Effort
) -> tuple[Fit, Search | None, Model | None]:
    """`fit` with what it was found by, if it is no spline."""
    if effort == "polished":
        data = samples.for_width(width, FINER, DENSER)
    else:
        data = samples.for_width(width, lawson.SAMPLES_PER_NEURON if effort == "thorough" else SAMPLES_PER_NEURON)
    coordinates = Coordinates.of(data.inputs)
    if coordinates.rank == 1:
        return _spline(target, data, coordinates, width), None, None
    attempt = Search(target, data, coordinates, samples.kinks(coordinates), width)
    model = attempt.climb(direction_count) if search or direction_count is None else attempt.solve(direction_count)
    if effort == "polished":
        peaks = _climbed(attempt, model)[1]
        if len(peaks):
            attempt = replace(attempt.towards(peaks), tip=peaks[0])
        attempt = replace(attempt, free=True)
    if effort != "quick":
        model = attempt.sharpen(model)
    return _resolved(attempt, model, effort)


def _shrink(fitted: Fit, attempt: Search, budget: float) -> Fit:
    """The narrowest net on the way of pruning, from SHRINK_FROM times the width, whose error stays within SHRUNK of the budget."""
    data = attempt.data

    def goes_on(grid: Grid, levels: Array) -> bool:
        return attempt.error(grid, levels) <= SHRUNK * budget

    for count in sorted({fitted.direction_count, attempt.finer(fitted.direction_count)}, reverse=True):
        wide = attempt.grid(count, int(SHRINK_FROM * attempt.room))
        grid, levels = prune(wide, data.inputs, data.values, 0, goes_on=goes_on)
        narrow = replace(attempt, width=min(fitted.width - 1, grid.knots + 2 * attempt.coordinates.rank))
        if grid.knots <= narrow.room:
            shrunk = _measure(attempt.target, narrow.ridge(attempt.model(grid, levels, count)), data, count)
            if shrunk.error <= SHRUNK * budget and shrunk.width < fitted.width:
                return shrunk
    return fitted


def fit_to(target: Target, budget: float, *, start: int, limit: int, seed: int = 0, direction_count: int | None = None, remedy: str) -> Fit:
    """The narrowest net found, of width at most `limit`, whose held-out error is at most `budget`.

    Hints alone, affine and quadratic functions are tried first, then `direction_count` as it is. Widths then grow from `start` by the
    slope of the errors seen so far, and the net that meets the budget is pruned while it does. Raises `EpsilonNotReached` with the best
    error, its width and `remedy` when `limit` does not suffice, or when the slope says that it cannot.
    """
    samples = Samples(target, seed)
    if target.hints:
        hinted = _hints_alone(target, samples.for_width(sum(len(h.knots) for h in target.hints)))
        if hinted.error <= budget:
            return hinted
    affine = _affine_alone(target, samples.for_width(0))
    if affine.error <= SHRUNK * budget:
        return affine
    data = samples.for_width(0)
    if (ridge := quadratic_ridge(data.inputs, data.values, budget, limit)) is not None:
        quadratic = _measure(target, ridge, data, len(ridge.dictionary.directions))
        if quadratic.error <= budget:
            return quadratic
    width = max(min(start, limit), NARROWEST)
    best: Fit | None = None
    count, search = direction_count, direction_count is None
    while True:
        fitted, attempt, model = _fit(target, width, count, search, samples, "quick")
        # Far from the budget the number of directions is not worth a search.
        if fitted.error > budget and not search and (fitted.error <= PROMISING * budget or width >= limit):
            search = True
            continue
        if fitted.error > budget and width >= limit and attempt is not None and fitted.error <= PROMISING * budget:
            fitted, attempt, model = _fit(target, width, fitted.direction_count, True, samples, "thorough")
        if fitted.error <= budget:
            return fitted if attempt is None or model is None else _shrink(fitted, attempt, budget)
        # log error falls like −slope·log width; the paper's generic rate 1/2 is the most pessimistic slope worth following.
        slope = 1.0
        if best is not None and fitted.width > best.width:
            slope = float(np.clip(np.log(best.error / fitted.error) / np.log(fitted.width / best.width), 0.5, 2.0))
        if best is None or fitted.error < best.error:
            best = fitted
        wanted = best.width * (best.error / budget) ** (1 / slope)
        # Extrapolations over more than a factor of 8 beyond the limit have never come true.
        if width >= limit or wanted > 8 * limit:
            raise EpsilonNotReached(target.name, budget=budget, reached=best.error, width=best.width, remedy=remedy)
        factor = float(np.clip(1.1 * wanted / width, 1.25, 4.0))
        # Axes win among narrow nets also where wider ones need more directions.
        count, search = round(fitted.direction_count * factor ** (1 / 3)), fitted.direction_count == 0
        width = min(limit, 8 * round(width * factor / 8))
