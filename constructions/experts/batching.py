"""Local targets of many charts at once: fitted with one shared dictionary where that meets the budget.

Shares the work of Lemma 3.1 between experts whose cells have the same shape after scaling. Those that miss their budget, and
those whose reference domain reaches beyond M (at a boundary), are left to be built one by one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from ...atlas import Array
from ...progress import track
from ..relu import Fit
from ..relu.shared import SharedFit, SharedSamples, fit_shared
from .cells import Cell
from .charts import FIRST_WIDTH, Expert, Workshop
from .shared_dictionary import Reference, points_at

FEWEST_EXPERTS = 16
"""From so many experts on a common reference domain, larger than each cell, costs less than a search for each."""
HELD_OUT = 1024
SAMPLES_PER_NEURON = 10
MINIMUM_SAMPLES = 1024
ENOUGH = 0.9
"""The shared width grows until this part of the experts meets the budget; the rest get their own."""


def shared_targets(workshop: Workshop, cells: Sequence[Cell]) -> dict[int, Fit]:
    """Fits of F_i = f∘φ_i⁻¹ by position in `cells`, for all cells where the shared dictionary meets the budget.

    Empty for fewer than FEWEST_EXPERTS cells. The held-out error of each is over the whole reference domain.
    """
    if len(cells) < FEWEST_EXPERTS:
        return {}
    atlas = workshop.task.atlas
    reference = Reference.around(atlas, workshop.routing, cells, workshop.seed)
    budget = workshop.target_budget
    width = workshop.width or FIRST_WIDTH.get(atlas.dimension, FIRST_WIDTH[2])
    previous: tuple[int, float] | None = None
    count: int | None = None
    samples: SharedSamples | None = None
    while True:
        wanted = max(MINIMUM_SAMPLES, SAMPLES_PER_NEURON * width)
        if samples is None or len(samples.inputs) < wanted:
            samples = _sample(workshop, cells, reference, wanted)
        finite = np.isfinite(samples.values).all((0, 2)) & np.isfinite(samples.held_values).all((0, 2))
        usable = np.flatnonzero(finite)
        if len(usable) < FEWEST_EXPERTS:
            return {}
        values, held = samples.values[:, usable], samples.held_values[:, usable]
        fitted = fit_shared(SharedSamples(samples.inputs, values, samples.held_inputs, held), width, count)
        error = float(np.quantile(fitted.errors, ENOUGH))
        if budget is None or error <= budget or width >= workshop.limit:
            return _unpack(workshop, cells, reference, usable, fitted, samples.held_inputs, budget)
        slope = 1.0 if previous is None else float(np.clip(np.log(previous[1] / error) / np.log(width / previous[0]), 0.5, 2.0))
        previous = width, error
        factor = float(np.clip(1.1 * (error / budget) ** (1 / slope), 1.25, 4.0))
        width, count = min(workshop.limit, 8 * round(width * factor / 8)), fitted.direction_count


def _sample(workshop: Workshop, cells: Sequence[Cell], reference: Reference, count: int) -> SharedSamples:
    """f at the same reference points for every cell: `count` to fit, HELD_OUT held out."""
    inputs = reference.sample(count, 2 * workshop.seed)
    held = reference.sample(HELD_OUT, 2 * workshop.seed + 1)
    both = np.concatenate([inputs, held])

    def one(index: int) -> Array:
        points = points_at(workshop.task.atlas, cells[index].chart, reference.local(index, both))
        known = np.isfinite(points.base).all(1)
        values = np.full((len(both), workshop.task.outputs), np.nan)
        values[known] = workshop.task.evaluate(points[known])
        return values

    values = np.stack(Parallel(prefer="threads")(delayed(one)(index) for index in range(len(cells))), axis=1)
    return SharedSamples(inputs, values[: len(inputs)], held, values[len(inputs) :])


def _unpack(
    workshop: Workshop,
    cells: Sequence[Cell],
    reference: Reference,
    usable: NDArray[np.intp],
    fitted: SharedFit,
    held: Array,
    budget: float | None,
) -> dict[int, Fit]:
    """Each cell's own net, in its local coordinates, where the budget is met."""
    ready: dict[int, Fit] = {}
    for column, index in enumerate(usable):
        error = float(fitted.errors[column])
        if budget is not None and error > budget:
            continue
        target = workshop.local_target(cells[index])
        ridge = reference.to_local(int(index), fitted.ridge(column))
        witness = reference.local(int(index), held[fitted.worst[column]])
        ready[int(index)] = Fit(ridge, ridge.to_relu(target.name, target.origin), error, witness, len(held), fitted.direction_count)
    return ready


def build_experts(workshop: Workshop, cells: Sequence[Cell]) -> list[Expert]:
    """Theorem 4.8 step 4 for every chart: local targets together where they share a dictionary, then experts beside each other through
    joblib. The first expert is the pilot of the search for the others' widths.
    """
    ready = shared_targets(workshop, cells)
    pilot = workshop.build(cells[0], None, ready.get(0))
    jobs = (delayed(workshop.build)(cell, pilot, ready.get(index)) for index, cell in enumerate(cells) if index)
    rest = Parallel(prefer="threads", return_as="generator")(jobs)
    return [pilot, *track(rest, "experts", total=len(cells) - 1)]
