"""Two-layer nets with smooth neurons or product lanes, of a given width or to a given error: linear algebra, no training.

Statement: on a set of dimension d, for F analytic, the sup error falls faster than any power of the width until rounding shows (for F of
K derivatives like m^{−K/d}); where F bends, no faster than for ReLU. Measured figures are in docs/fit.md. The error of a fit is the
largest on held-out points, and on points that those climb to if the target can be evaluated anywhere: measured, not proved.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...errors import EpsilonNotReached, InvalidArgument
from ...moe.activations import Activation
from ..relu.climb import climb
from ..relu.dictionary import Coordinates
from ..relu.fit import Effort, Fit
from ..relu.samples import Samples, Target
from . import polishing
from .forms import Lattice, neurons, unknowns
from .kinks import Bent, Kinks
from .lattice import Shape
from .least_squares import Cost
from .search import CHEAP, SAMPLES_PER_UNKNOWN, Attempt, Search

NARROWEST, START = 2, 4
"""The least width, and where the search for one starts."""
COSTS = {"float32": Cost(1.5e-7, kept=2e-6), "float64": Cost(1e-10)}
"""By the dtype of the weights. float32 inference errs by 0.9 to 2.3 times 6e-8 of max Σ|w·act|, and 1/16 of ε is kept for that.
In float64 it is not rounding but proofs that pay for large sums that cancel."""
GROWTH = (1.25, 2.0)
"""The next width, relative to one that missed the budget."""
SLOW, FASTER, PATIENT = 2.0, 2.0, 64
"""Errors that fall no faster than the width to the −SLOW, and ever slower, will not fall more than FASTER times as fast on the way
to the limit. Nothing is given up below PATIENT neurons."""
RESOLUTION = 16
"""Widths are not told apart more finely than by this part of them."""
SHARPER = 0.8
"""What is left of a budget as far as bending is concerned after a miss."""
PROMISING = 5.0
"""A miss by no more than this is worth pruning, and a search over shapes."""


def fit(
    target: Target,
    width: int,
    *,
    activation: Activation,
    gated: bool = False,
    seed: int = 0,
    direction_count: int | None = None,
    samples: Samples | None = None,
    dtype: str = "float64",
    effort: Effort = "quick",
) -> Fit:
    """The best two-layer net found for `target` with at most `width` hidden neurons, or product lanes act(z)·(c + U·u) if `gated`.

    Where even a linear function takes more, that many: 2r neurons for data of dimension r (3r of relu²), 1 + r lanes for one output.
    `direction_count` of an earlier fit of the like saves the search for it. `dtype`: of the weights that will be stored; float32 wants
    smaller sums. `effort="thorough"` also prunes from too wide lattices where that takes time: for targets that are
    not resolved, and in three dimensions, it pays. `effort="polished"` then moves every neuron by itself (`polishing`): where a target
    is not resolved that is worth a factor of 10 to 200, and costs proofs, as each neuron has a direction of its own.
    `samples` saves drawing them again. Deterministic for a seed. Raises `InvalidArgument` if the target is not finite
    or the width below NARROWEST.
    """
    fitting = _Fitting(target, activation, gated, seed, samples or Samples(target, seed), dtype)
    return fitting.thorough(width, direction_count, prune=effort != "quick", polish=effort == "polished")[0]


def fit_to(
    target: Target,
    budget: float,
    *,
    activation: Activation,
    gated: bool = False,
    start: int = START,
    limit: int,
    seed: int = 0,
    direction_count: int | None = None,
    samples: Samples | None = None,
    dtype: str = "float64",
    remedy: str,
) -> Fit:
    """The narrowest net found, of width at most `limit`, whose error is at most `budget`; arguments as of `fit`.

    Widths grow from `start` until one meets the budget; then the least one is looked for by bisection, down to NARROWEST. Raises
    `EpsilonNotReached` with the best error, its width and `remedy` when `limit` does not suffice, or when the errors seen say that
    it cannot.
    """
    fitting = _Fitting(target, activation, gated, seed, samples or Samples(target, seed), dtype, budget)
    width = min(max(start, NARROWEST), limit)
    missed: list[Fit] = []
    fitted, shape = fitting.thorough(width, direction_count)
    while fitted.error > budget:
        if fitted.error <= PROMISING * budget:
            fitted, shape = fitting.thorough(width, fitted.direction_count, prune=True)
            if fitted.error <= budget:
                break
        missed.append(fitted)
        fitting.sharpen()
        if width >= limit or _out_of_reach(missed, budget, limit):
            best = min(missed, key=lambda other: other.error)
            raise EpsilonNotReached(target.name, budget=budget, reached=best.error, width=best.width, remedy=remedy)
        width = min(limit, _grown(missed, width, budget))
        fitted, shape = fitting.thorough(width, None)
    low = max((other.width for other in missed), default=NARROWEST - 1)
    return _narrowed(fitting, fitted, shape, low, missed, budget)


def _grown(missed: list[Fit], width: int, budget: float) -> int:
    """The next width to try."""
    slope = max(_slope(missed), 1.0)
    factor = float(np.clip(1.1 * (missed[-1].error / budget) ** (1 / slope), *GROWTH))
    return max(width + 1, round(width * factor))


def _slope(missed: list[Fit]) -> float:
    """How fast log error last fell with log width; 2 where only one width was tried."""
    if len(missed) < 2 or missed[-1].width <= missed[-2].width:
        return 2.0
    return float(np.log(missed[-2].error / missed[-1].error) / np.log(missed[-1].width / missed[-2].width))


def _out_of_reach(missed: list[Fit], budget: float, limit: int) -> bool:
    """Whether the last errors fell slowly and ever more slowly, so that FASTER times their slope does not lead to the budget at the limit.

    Of a smooth target they fall ever faster, until it is resolved.
    """
    if len(missed) < 3 or missed[-1].width < PATIENT:
        return False
    slope, before = _slope(missed), _slope(missed[:-1])
    if slope > SLOW or slope > before:
        return False
    return missed[-1].error * (missed[-1].width / limit) ** (FASTER * max(slope, 0.0)) > budget


def _narrowed(fitting: _Fitting, fitted: Fit, shape: Shape, low: int, missed: list[Fit], budget: float) -> Fit:
    """The narrowest fit found between `low`, which misses the budget, and `fitted`, which meets it: log error taken as linear between."""
    error = missed[-1].error if missed else None
    high = fitted.width
    while high - low > max(1, high // RESOLUTION):
        middle = (low + 3 * high) // 4
        if error is not None and error > budget > fitted.error > 0:
            share = np.log(error / budget) / np.log(error / fitted.error)
            margin = max(1, (high - low) // 8)
            middle = int(np.clip(round(low + share * (high - low)), low + margin, high - margin))
        trial = fitting.like(middle, shape, high, budget)
        if trial.error <= budget:
            fitted, high = trial, middle
        else:
            low, error = middle, trial.error
    return fitted


BENDING, BENT = 32, 1e-3
"""Straight kinks are looked for where so many neurons leave so much of the target's range."""


class _Fitting:
    """One target and the ways of fitting it at one width and another."""

    def __init__(
        self, target: Target, activation: Activation, gated: bool, seed: int, samples: Samples, dtype: str, budget: float | None = None
    ) -> None:
        if dtype not in COSTS:
            raise InvalidArgument(f"{target.name}: dtype {dtype!r} is not one of {', '.join(COSTS)}")
        self.target, self.activation, self.gated, self.seed, self.samples = target, activation, gated, seed, samples
        self.cost = replace(COSTS[dtype], budget=budget)
        first = samples.for_width(0)
        self.coordinates = Coordinates.of(first.inputs)
        self.outputs = first.values.shape[1]
        self.kinks: Kinks | None = None

    def sharpen(self) -> None:
        """What was climbed to from an error within the budget is not: less of it for less bending."""
        assert self.cost.budget is not None
        self.cost = replace(self.cost, budget=SHARPER * self.cost.budget)

    def search(self, width: int) -> Search:
        if width < NARROWEST:
            raise InvalidArgument(f"{self.target.name}: width {width} is too small, the least is {NARROWEST}")
        count = neurons(width, self.coordinates.rank, self.outputs, self.activation, self.gated)
        data = self.samples.for_width(unknowns(count, self.coordinates.rank, self.gated), SAMPLES_PER_UNKNOWN)
        known = np.array(self.target.directions).reshape(-1, data.inputs.shape[1])
        kinks = self.kinks if self.kinks is not None and 2 * len(self.kinks) <= width else None
        return Search(known, data, self.coordinates, width, self.outputs, self.activation, self.gated, self.cost, kinks)

    def thorough(self, width: int, direction_count: int | None, prune: bool = False, polish: bool = False) -> tuple[Fit, Shape]:
        """The best of all shapes worth trying, with ReLUs on straight kinks, or pruned, or pruned and polished."""
        search = self.search(width)
        finalists = search.run(direction_count)
        fitted, shape = self.measured(search, finalists)
        if self.may_bend(search, fitted):
            self.kinks = search.find_kinks()
            bent = self.search(width)
            if bent.kinks is not None:
                candidates = bent.run()
                found, other = self.measured(bent, candidates)
                if found.error < fitted.error:
                    search, finalists, fitted, shape = bent, candidates, found, other
                else:
                    self.kinks = None
        if prune or search.unknowns <= CHEAP:
            finalists = [search.sharpened(finalists[0]), finalists[0]]
            if polish:
                finalists.insert(0, self.polished(search, finalists[0]))
            return self.measured(search, finalists)
        return fitted, shape

    def polished(self, search: Search, start: Attempt) -> Attempt:
        """The neurons of an attempt moved; the attempt itself where there are more than is affordable, and of what is no lattice."""
        smooth, rank = start.form.smooth if isinstance(start.form, Bent) else start.form, self.coordinates.rank
        if not isinstance(smooth, Lattice) or not self.activation.smooth or not polishing.affordable(smooth, rank):
            return start
        data = self.samples.for_width(polishing.moved(smooth, rank), polishing.SAMPLES_PER_UNKNOWN)
        made = polishing.polish(smooth, self.coordinates, data.inputs, data.values, search.bends(data.inputs))
        return replace(search, data=data).attempt(start.shape, search.with_kinks(made), len(data.inputs), len(data.held_inputs))

    def may_bend(self, search: Search, fitted: Fit) -> bool:
        """Whether it is time to look for straight kinks."""
        if search.width < BENDING or not self.activation.smooth or search.kinks is not None:
            return False
        return fitted.error > BENT * float(np.ptp(search.data.held_values, axis=0).max())

    def like(self, width: int, shape: Shape, good: int, budget: float) -> Fit:
        """The best of the shapes like one that was good at the width `good`, pruned from wider ones if the budget may be met so."""
        search = self.search(width)
        finalists = search.like(shape, self.search(good).guess)
        fitted = self.measured(search, finalists)[0]
        if budget < fitted.error <= PROMISING * budget:
            fitted = min(fitted, self.measured(search, [search.sharpened(finalists[0])])[0], key=lambda other: other.error)
        return fitted

    def measured(self, search: Search, finalists: list[Attempt]) -> tuple[Fit, Shape]:
        """The finalist with the least error after climbing, in the objective."""
        fits = [(self._measure(search, attempt), attempt) for attempt in finalists]
        fitted, attempt = min(fits, key=lambda pair: pair[0].error + pair[1].objective - pair[1].error)
        return fitted, attempt.shape

    def _measure(self, search: Search, attempt: Attempt) -> Fit:
        ridge = attempt.form.ridge(attempt.weights)
        net = attempt.form.net(attempt.weights, self.target.name, self.target.origin)
        held = search.data.held_inputs
        errors = np.abs(net(held) - search.data.held_values).max(1)
        worst = int(np.argmax(errors))
        error, witness, count = float(errors[worst]), held[worst], len(held)
        if self.target.evaluate is not None:
            points, heights, seen = climb(self.target.evaluate, net, self.coordinates, held, errors, self.seed)
            top = int(np.argmax(heights))
            error, witness, count = float(heights[top]), points[top], count + seen
        return Fit(ridge, net, error, witness, count, attempt.shape.count)
