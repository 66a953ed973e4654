"""Pilot cells: what experts an atlas needs for ε, from a few of them that are built as `compile` builds all of them.

Cells are put in order by how much polynomials miss the target there, and pilots taken from all of that order, the worst among them: each
stands for the cells beside it, so that easy cells count with their narrow experts and hard ones with their wide ones (`sized`).
Where that is more than pilots may cost, a law says what wider ones would do, from the worst cells at two or three widths (`law`).

An expert of width m on a cell of radius r ~ E^{−1/d} has an error of the form of B3, C·[(E·m)^{−K/d} + E^{−2/d}·m^{−2}] with K up to
(d+3)/2: the first term is the target's smoothness, the second its quadratic part on the cell, of size r² and approximated by m pieces.
Nobody knows C and K of a target beforehand; a pilot measures both on the cells that matter, at widths on either side of
the one that is looked for where that can be had.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..atlas import Array, ManifoldTask
from ..errors import InvalidArgument
from .asked import Asked
from .experts.batching import FEWEST_EXPERTS, shared_targets
from .experts.cells import Cell, Scores
from .experts.charts import Expert, Workshop
from .experts.shared_dictionary import Reference, common, points_at
from .experts.ways import FIRST_WIDTH
from .relu import NARROWEST
from .routers.base import Routed
from .theorem_4_9 import experts

FEW = 3
"""Pilots of a law among the cells whose experts are built one by one."""
REACHED = 256
"""Points of the reference domain that show whether a cell's chart holds all of it."""
SOME = 5
"""Pilots among cells too few to share a dictionary."""
SHARING = 2 * FEWEST_EXPERTS
"""Pilots among the cells whose experts may share a dictionary: enough to share one although some at a boundary cannot."""
MEASUREMENTS = 4
"""Widths at most at which pilots are built."""
WIDEST = 512
"""Pilots are no wider, whatever the target asks for: up to there one takes well under a second."""
STEP = 4.0
"""From one measured width to the next at most this factor, up or down."""
NEAR = 1.15
"""A width within this factor of a measured one is as good as measured."""
POINTS_PER_COEFFICIENT = 12
SLOWEST = 0.1
"""Slopes below this count as this: kinks that no direction catches give 1/(2d) or so, noise gives 0."""


@dataclass(frozen=True)
class Law:
    """error(m): through the measured points on doubly logarithmic axes, beyond the last of them like m^(−slope)."""

    widths: tuple[int, ...]
    """Increasing."""
    errors: tuple[float, ...]
    """The worst pilot's largest error at each, not increasing: a wider net that came out worse counts as the narrower one."""
    slope: float
    """Of the extrapolation: the last measured one, but no more than the law at work allows; so also to the left of the first."""
    quadratic: bool
    """Whether the quadratic part is the law at work: the widest pilot misses more than the best quadratic on its cell does (B3)."""

    def error(self, width: float) -> float:
        if self.errors[-1] <= 0:
            return 0.0
        x, y = np.log(self.widths), np.log(self.errors)
        at = math.log(width)
        if at <= x[0]:
            return float(np.exp(y[0] + self.slope * (x[0] - at)))
        if at >= x[-1]:
            return float(np.exp(y[-1] - self.slope * (at - x[-1])))
        return float(np.exp(np.interp(at, x, y)))

    def width(self, budget: float) -> int:
        """The least width ≥ NARROWEST with error(width) ≤ budget; or the next measured one, if it is that near."""
        if self.errors[-1] <= 0 or self.error(NARROWEST) <= budget:
            return NARROWEST
        if budget < self.errors[-1]:
            return math.ceil(self.widths[-1] * (self.errors[-1] / budget) ** (1 / self.slope))
        low, high = NARROWEST, self.widths[-1]
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.error(middle) <= budget else (middle, high)
        # Errors drop suddenly where one more direction is affordable: what was measured is better than a point on the way down.
        near = min(w for w in self.widths if w >= high)
        return near if near <= NEAR * high else high


@dataclass(frozen=True)
class Sizes:
    """What pilots say of all experts of an atlas."""

    width: int
    """Of the widest."""
    largest: int
    """Numbers of the largest."""
    total: int
    """Numbers of all."""
    error: float
    """The largest that was found of any."""
    quadratic: bool
    """Whether that is more than the best quadratic on a cell misses (B3)."""

    @property
    def law(self) -> Law:
        """What was measured, as a law of one point."""
        return Law((self.width,), (self.error,), 2.0 if self.quadratic else 1.0, self.quadratic)


def sized(task: ManifoldTask, routed: Routed, cells: Sequence[Cell], asked: Asked) -> Sizes:
    """The experts of an affine atlas, from pilots. Raises `EpsilonNotReached` where one takes more than `asked` or WIDEST allow."""
    order, smooth = ranked(task, routed, cells, asked.seed)
    odd = alone(task, routed, cells, asked.seed)
    chosen, weights = [], []
    for some, most in (([i for i in order if i not in odd], None), ([i for i in order if i in odd], FEW)):
        places, counts = strata(len(some), most)
        chosen += [cells[some[place]] for place in places]
        weights += counts
    pilots = experts(task, routed, chosen, replace(asked, limit=min(asked.limit, WIDEST)))
    numbers = [expert.net.parameters for expert in pilots]
    error = max(expert.claim.bound for expert in pilots)
    total = round(sum(weight * count for weight, count in zip(weights, numbers, strict=True)))
    return Sizes(max(max(expert.net.widths) for expert in pilots), max(numbers), total, error, error > smooth)


def alone(task: ManifoldTask, routing: Scores, cells: Sequence[Cell], seed: int) -> set[int]:
    """The cells that share no dictionary where others do: the reference domain reaches beyond their charts."""
    if len(cells) < FEWEST_EXPERTS:
        return set()
    reference = Reference.around(task.atlas, routing, cells, seed)
    z = reference.sample(REACHED, 2 * seed)
    known = [np.isfinite(points_at(task.atlas, cell.chart, reference.local(i, z)).base).all(1) for i, cell in enumerate(cells)]
    kept = common(np.stack(known, axis=1))
    found = {i for i, there in enumerate(known) if (kept & ~there).any()}
    return found if len(cells) - len(found) >= FEWEST_EXPERTS else set()


def strata(count: int, most: int | None = None) -> tuple[list[int], list[float]]:
    """Places in an order of so many cells, the first and the last among them, and how many cells each stands for: the nearest."""
    if not count:
        return [], []
    few = min(count, (SOME if count < FEWEST_EXPERTS else SHARING) if most is None else most)
    places = np.unique(np.linspace(0, count - 1, few).round().astype(int))
    ends = np.concatenate([[-0.5], (places[1:] + places[:-1]) / 2, [count - 0.5]])
    return places.tolist(), np.diff(ends).tolist()


def fastest(dimension: int, quadratic: bool) -> float:
    """The slope that B3 allows in the long run: 2 while the quadratic part limits, else K/d with K = (d+3)/2."""
    return 2.0 if quadratic else (dimension + 3) / (2 * dimension)


def law(task: ManifoldTask, routing: Scores, cells: Sequence[Cell], budget: float, *, limit: int, seed: int) -> Law:
    """The law of the worst cells of an affine atlas near the width whose error is `budget`.

    The pilots are built like all experts are, by a shared dictionary where it fits their cells, and measured on held-out and
    on fresh points of them.
    """
    pilots, smooth = worst_cells(task, routing, cells, SHARING, seed)

    def error(width: int) -> float:
        workshop = Workshop(task, routing, None, width, True, limit, seed)
        ready = shared_targets(workshop, pilots) if len(cells) >= FEWEST_EXPERTS else {}
        alone = [index for index in range(len(pilots)) if index not in ready][:FEW]
        built: list[Expert] = []
        for index in (*alone, *ready):
            built.append(workshop.build(pilots[index], built[0] if built else None, ready.get(index)))
        return max(max(expert.target_fit.error, expert.claim.bound) for expert in built)

    first = FIRST_WIDTH.get(task.atlas.dimension, FIRST_WIDTH[2])
    return measured(error, budget, first=min(first, limit), limit=min(limit, WIDEST), dimension=task.atlas.dimension, smooth=smooth)


def measured(error: Callable[[int], float], budget: float, *, first: int, limit: int, dimension: int, smooth: float) -> Law:
    """The law of `error` from at most MEASUREMENTS of its values at widths from NARROWEST to `limit`.

    `smooth` is what the best quadratic misses: the quadratic part is at work while the error is above it.
    """
    found: dict[int, float] = {}
    width = first
    while True:
        found[width] = error(width)
        widths = sorted(found)
        errors = np.minimum.accumulate([found[w] for w in widths])
        quadratic = bool(errors[-1] > smooth)
        slope = fastest(dimension, quadratic)
        if len(widths) > 1 and errors[-1] > 0:
            steepness = float(np.log(errors[-2] / errors[-1]) / np.log(widths[-1] / widths[-2]))
            slope = float(np.clip(steepness, SLOWEST, slope))
        seen = Law(tuple(widths), tuple(map(float, errors)), slope, quadratic)
        if len(found) == MEASUREMENTS or seen.errors[-1] <= 0:
            return seen
        wanted = float(np.clip(seen.width(budget), widths[0] / STEP, widths[-1] * STEP))
        width = round(min(max(wanted, NARROWEST), limit))
        if any(max(width / w, w / width) <= NEAR for w in widths):
            return seen


def worst_cells(task: ManifoldTask, routing: Scores, cells: Sequence[Cell], count: int, seed: int) -> tuple[list[Cell], float]:
    """The `count` cells on which polynomials miss the target most, and the largest miss of degree two."""
    order, smooth = ranked(task, routing, cells, seed)
    return [cells[i] for i in order[:count]], smooth


def ranked(task: ManifoldTask, routing: Scores, cells: Sequence[Cell], seed: int) -> tuple[list[int], float]:
    """Cells by how much polynomials of degree two, and of degree one, miss the target there, and the largest miss of degree two.

    Which degree predicts a network's error depends on whether the quadratic part limits it: from the top in turn by each.
    """
    misses = np.array([polynomial_misses(*_drawn(task, routing, cell, seed)) for cell in cells])
    ranks = [np.argsort(-misses[:, degree], kind="stable") for degree in (1, 0)]
    return list(dict.fromkeys(int(i) for pair in zip(*ranks, strict=True) for i in pair)), float(misses[:, 1].max())


def _drawn(task: ManifoldTask, routing: Scores, cell: Cell, seed: int) -> tuple[Array, Array]:
    d = task.atlas.dimension
    count = POINTS_PER_COEFFICIENT * (d + 1) * (d + 2) // 2
    u, points = cell.draw(task.atlas, routing, count, 2 * seed + 1)
    values = task.evaluate(points)
    if not np.isfinite(values).all():
        raise InvalidArgument(f'chart "{task.atlas.names[cell.chart]}": the target is not finite there; run lint on the task')
    return u, values


def polynomial_misses(u: Array, values: Array) -> tuple[float, float]:
    """The largest residual of least squares by linear and by quadratic polynomials, points u (N, d) and values (N, q)."""
    z = (u - u.mean(0)) / np.maximum(np.ptp(u, axis=0), np.finfo(float).tiny)
    linear = np.column_stack([np.ones(len(z)), z])
    products = [z[:, i] * z[:, j] for i, j in itertools.combinations_with_replacement(range(z.shape[1]), 2)]
    quadratic = np.column_stack([linear, *products])
    residuals = [values - basis @ np.linalg.lstsq(basis, values, rcond=None)[0] for basis in (linear, quadratic)]
    first, second = (float(np.abs(residual).max()) for residual in residuals)
    return first, second
