"""Local targets of many charts at once, fitted with shared dictionaries: one width for all, or for each chart the least that will do.

Shares the work of Lemma 3.1 between experts whose cells have the same shape after scaling. For a budget the widths of a ladder are tried
from the bottom: each chart takes the first at which its error, climbed to on its own cell, is within the budget, so easy charts get
narrow experts and hard ones wide ones. Those that no width of the ladder serves, and those whose reference domain reaches beyond
M (at a boundary), are left to be built one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from ...atlas import Array
from ...progress import track
from ..relu import Fit
from ..relu.shared import SharedSamples
from ..shares import SHARPER
from .cells import Cell
from .charts import Expert, Workshop
from .decide import decided
from .narrowest import At, Made, Tried, narrowest
from .shared_dictionary import Reference, common, points_at
from .ways import Shared

FEWEST_EXPERTS = 16
"""From so many experts on a common reference domain, larger than each cell, costs less than a search for each."""
HELD_OUT = 1024
SAMPLES_PER_NEURON = 10
MINIMUM_SAMPLES = 1024
STALLED = 0.9
"""Of a largest error that falls no lower than so much of what fewer neurons left, another number of directions is looked for."""
FEWEST_HELD = 32
"""Held-out points of the reference domain that lie in a cell, below which all of them count for it."""


@dataclass(eq=False)
class Sharing:
    """What the charts of one workshop share: a reference domain and samples of all local targets at the same points of it."""

    workshop: Workshop
    cells: Sequence[Cell]
    reference: Reference
    samples: SharedSamples | None = None
    drawn: int = 0
    """Points of the reference domain drawn to fit to, those included that are left out (`common`)."""
    within: NDArray[np.bool_] | None = None
    """(held-out points, charts): which lie in the chart's own cell."""
    count: dict[int, int] = field(default_factory=dict)
    """Numbers of directions found, by width."""
    reached: dict[int, dict[int, float]] = field(default_factory=dict)
    """Errors by width and chart."""
    sharper: dict[int, float] = field(default_factory=dict)
    """What is left of the budgets of charts that missed them."""

    @staticmethod
    def of(workshop: Workshop, cells: Sequence[Cell]) -> Sharing | None:
        """None for fewer than FEWEST_EXPERTS cells."""
        if len(cells) < FEWEST_EXPERTS:
            return None
        return Sharing(workshop, cells, Reference.around(workshop.task.atlas, workshop.routing, cells, workshop.seed))

    def usable(self, width: int) -> list[int]:
        """The charts whose targets are known at all points of the reference domain, as many as this width needs; none if they are few."""
        samples = self._sampled(max(MINIMUM_SAMPLES, SAMPLES_PER_NEURON * width))
        finite = np.isfinite(samples.values).all((0, 2)) & np.isfinite(samples.held_values).all((0, 2))
        return [int(i) for i in np.flatnonzero(finite)] if finite.sum() >= FEWEST_EXPERTS else []

    def fits(self, width: int, charts: Sequence[int]) -> dict[int, Fit]:
        """The local targets of these charts at one width, each with its error on the part of its cell that is held out."""
        samples = self._sampled(max(MINIMUM_SAMPLES, SAMPLES_PER_NEURON * width))
        assert self.within is not None
        columns = np.array(charts, np.intp)
        some = SharedSamples(samples.inputs, samples.values[:, columns], samples.held_inputs, samples.held_values[:, columns])
        way, options, guess = self.workshop.way, (self.workshop.dtype, self._budgets(charts)), self._guess(width)
        fitted = way.fit_shared(some, width, guess, *options)
        if guess is not None and self._stalled(width, charts, fitted.errors):
            other = way.fit_shared(some, width, None, *options)
            fitted = other if other.errors.max() < fitted.errors.max() else fitted
        self.count[width] = fitted.direction_count
        self.reached[width] = dict(zip(charts, fitted.errors.tolist(), strict=True))
        return self._unpacked(fitted, charts, samples)

    def _stalled(self, width: int, charts: Sequence[int], errors: Array) -> bool:
        """Whether the largest of these errors is hardly below what it was with fewer neurons: what did for easy charts may be too few
        directions for hard ones."""
        narrower = [other for other, known in self.reached.items() if other < width and known.keys() >= set(charts)]
        return bool(narrower) and errors.max() > STALLED * max(self.reached[max(narrower)][i] for i in charts)

    def _budgets(self, charts: Sequence[int]) -> Array:
        """What the fit of each chart may err by on held-out points; 0 where a width is given."""
        budget = self.workshop.target_budget or 0.0
        return np.array([budget * self.sharper.get(i, 1.0) for i in charts])

    def sharpen(self, charts: Iterable[int]) -> None:
        """These charts' errors, within their budgets on held-out points, were climbed to above them."""
        self.sharper |= {i: SHARPER * self.sharper.get(i, 1.0) for i in charts}

    def _guess(self, width: int) -> int | None:
        """A number of directions to start from: what did at the nearest width. Smooth neurons look for their own, from axes up."""
        if not self.count or not self.workshop.way.plain:
            return None
        nearest = min(self.count, key=lambda other: abs(np.log(other / width)))
        return max(1, round(self.count[nearest] * (width / nearest) ** (1 / 3)))

    def _unpacked(self, fitted: Shared, charts: Sequence[int], samples: SharedSamples) -> dict[int, Fit]:
        """Each chart's own net, in its local coordinates."""
        assert self.within is not None
        ready: dict[int, Fit] = {}
        for column, i in enumerate(charts):
            held = np.flatnonzero(self.within[:, i])
            target = self.workshop.local_target(self.cells[i])
            ridge = self.reference.to_local(i, fitted.ridge(column))
            net = ridge.to_net(target.name, target.origin)
            u = self.reference.local(i, samples.held_inputs[held])
            error = np.abs(net(u) - samples.held_values[held, i]).max(1)
            worst = int(error.argmax())
            ready[i] = Fit(ridge, net, float(error[worst]), u[worst], len(held), fitted.direction_count)
        return ready

    def _sampled(self, count: int) -> SharedSamples:
        """f at the same reference points for every cell: at least `count` to fit, HELD_OUT held out. Points already drawn stay."""
        seed = 2 * self.workshop.seed
        if self.samples is None:
            held, values, self.within = self._values(self.reference.sample(HELD_OUT, seed + 1))
            self.within[:, self.within.sum(0) < FEWEST_HELD] = True
            self.samples = SharedSamples(held[:0], values[:0], held, values)
        if self.drawn < count:
            more, values, _ = self._values(self.reference.sample(count, seed)[self.drawn :])
            inputs, values = np.concatenate([self.samples.inputs, more]), np.concatenate([self.samples.values, values])
            self.samples, self.drawn = replace(self.samples, inputs=inputs, values=values), count
        return self.samples

    def _values(self, z: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
        """The reference points among z (N, d) that are common, f there in every cell, (·, E, q), NaN off M, and whether they lie in the
        cell, (·, E)."""
        task, routing = self.workshop.task, self.workshop.routing

        def one(index: int) -> tuple[Array, NDArray[np.bool_]]:
            cell = self.cells[index]
            points = points_at(task.atlas, cell.chart, self.reference.local(index, z))
            known = np.isfinite(points.base).all(1)
            values, within = np.full((len(z), task.outputs), np.nan), np.zeros(len(z), bool)
            values[known] = task.evaluate(points[known])
            within[known] = routing.lead(points.base[known], cell.chart) >= cell.threshold
            return values, within

        both = Parallel(prefer="threads")(delayed(one)(index) for index in range(len(self.cells)))
        values, within = np.stack([values for values, _ in both], axis=1), np.stack([within for _, within in both], axis=1)
        kept = common(np.isfinite(values).all(2))
        return z[kept], values[kept], within[kept]


def shared_targets(workshop: Workshop, cells: Sequence[Cell]) -> dict[int, Fit]:
    """Fits of F_i = f∘φ_i⁻¹ by position in `cells`, at the workshop's width, or within its budget on points held out.

    Empty for fewer than FEWEST_EXPERTS cells.
    """
    sharing = Sharing.of(workshop, cells)
    if sharing is None:
        return {}
    if workshop.width is not None:
        usable = sharing.usable(workshop.width)
        return sharing.fits(workshop.width, usable) if usable else {}
    budget = workshop.target_budget
    assert budget is not None

    def at(width: int, charts: Sequence[int]) -> tuple[dict[int, Fit], dict[int, float]]:
        fits = sharing.fits(width, charts)
        return {i: fit for i, fit in fits.items() if fit.error <= budget}, {i: fit.error for i, fit in fits.items()}

    found = _narrowest(at, sharing, budget)
    return {i: tried.made for i, tried in found.items()}


def shared_experts(workshop: Workshop, cells: Sequence[Cell]) -> dict[int, Expert]:
    """Experts g_i∘φ_i of affine charts by position in `cells`, each of the least width of the ladder with which its claim holds.

    Empty for fewer than FEWEST_EXPERTS cells.
    """
    sharing, allowed = Sharing.of(workshop, cells), workshop.allowed
    if sharing is None or allowed is None:
        return {}

    def at(width: int, charts: Sequence[int]) -> tuple[dict[int, Expert], dict[int, float]]:
        fits = sharing.fits(width, charts)
        errors = {i: fit.error for i, fit in fits.items()}
        good = [i for i in charts if errors[i] <= (workshop.allowed_at(cells[i]) or 0.0)]
        experts = workshop.together([cells[i] for i in good], [fits[i] for i in good])
        errors |= {i: expert.claim.bound for i, expert in zip(good, experts, strict=True)}
        sharing.sharpen(i for i, expert in zip(good, experts, strict=True) if not workshop.accepts(expert))
        return {i: expert for i, expert in zip(good, experts, strict=True) if workshop.accepts(expert)}, errors

    found = _narrowest(at, sharing, allowed)
    return {i: _noted(tried) for i, tried in found.items()}


def _narrowest(at: At[Made], sharing: Sharing, budget: float) -> dict[int, Tried[Made]]:
    """As far as the workshop's way and limit allow."""
    way, limit = sharing.workshop.way, sharing.workshop.limit
    charts = sharing.usable(1)
    return narrowest(at, charts, budget, least=way.narrowest, limit=limit, steepest=way.steepest, patient=way.patient)


def _noted(tried: Tried[Expert]) -> Expert:
    """With why nothing narrower was taken, in the claim's note."""
    expert = tried.made
    if tried.narrower is None:
        return expert
    width, error = tried.narrower
    return replace(expert, claim=replace(expert.claim, note=f"{width} neurons err by {error:.3g}"))


def build_experts(workshop: Workshop, cells: Sequence[Cell]) -> list[Expert]:
    """Theorem 4.8 step 4 for every chart: together where they share a dictionary, the others beside each other through joblib.

    The first of those is the pilot of the search for the others' widths.
    """
    workshop = decided(workshop, cells)
    done = shared_experts(workshop, cells) if workshop.affine and workshop.allowed is not None else {}
    ready = shared_targets(workshop, cells) if not done else {}
    left = [index for index in range(len(cells)) if index not in done]
    if left:
        done[left[0]] = workshop.build(cells[left[0]], None, ready.get(left[0]))
        jobs = (delayed(workshop.build)(cells[index], done[left[0]], ready.get(index)) for index in left[1:])
        rest = Parallel(prefer="threads", return_as="generator")(jobs)
        done |= dict(zip(left[1:], track(rest, "experts", total=len(left) - 1), strict=True))
    return [done[index] for index in range(len(cells))]
