"""What sharing would store, from pilots: joint fits of stand-ins of several widths, by linear algebra alone.

Cells are stood for by some of them, spread over all. Their hidden neurons are dictionaries of the widths of a ladder (`dictionaries`);
a joint fit (`joint`) at each width, without a shared expert and with one of several widths, shows what width reaches ε.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...atlas import Array, ManifoldTask
from ...moe.nets import Net
from ..experts.cells import Cell, Scores
from ..experts.ways import Way
from ..relu.dictionary import Coordinates
from ..smooth.fit import PENALTY
from ..smooth.forms import Lattice
from . import decision
from .decision import Decision
from .dictionaries import counts, dictionary, usual
from .joint import Joint, Samples, chosen

STOOD_FOR = 48
"""Cells at most that stand for all."""
PER_NEURON, LEAST, HELD = 6, 96, 256
"""Samples of a cell for each of its neurons, at least so many, and so many held out; in all of them also PER_NEURON for each shared one."""
GROWTH = 1.5
"""From one width of the ladder to the next."""
WIDEST = 256
PARTS = (0.25, 0.5, 1.0)
"""Widths of the shared expert, in units of what an expert alone takes: with the last an input meets twice as many neurons."""
ORIGIN = "shared expert, the joint fit of N6"


@dataclass(frozen=True, eq=False)
class Drawn:
    """Samples of one cell: ambient points x, local coordinates u and values, to fit and held out."""

    x: Array
    u: Array
    values: Array
    held_x: Array
    held_u: Array
    held_values: Array


@dataclass(frozen=True, eq=False)
class Fitted:
    """A joint fit, and the shared neurons that it is about."""

    form: Lattice
    joint: Joint

    def net(self, name: str) -> Net:
        return self.form.net(self.joint.shared, name, ORIGIN)


@dataclass(eq=False)
class Pilots:
    """The cells of a block that stand for all, and what has been fitted to them."""

    task: ManifoldTask
    routing: Scores
    cells: Sequence[Cell]
    way: Way
    seed: int
    dtype: str
    drawn: list[Drawn] = field(default_factory=list)

    @staticmethod
    def of(task: ManifoldTask, routing: Scores, cells: Sequence[Cell], way: Way, seed: int, dtype: str) -> Pilots:
        some = np.unique(np.linspace(0, len(cells) - 1, STOOD_FOR).round().astype(int))
        return Pilots(task, routing, [cells[i] for i in some], way, seed, dtype)

    def widths(self, limit: int) -> list[int]:
        """The ladder of experts' widths."""
        found = [float(self.way.narrowest)]
        while found[-1] < min(limit, WIDEST):
            found.append(min(found[-1] * GROWTH, limit, WIDEST))
        return sorted({round(width) for width in found})

    def samples(self, width: int, shared: int) -> list[Drawn]:
        """As many as joint fits of such widths take."""
        lanes = 1 + self.task.atlas.dimension if self.way.gated else 1
        count = max(LEAST, PER_NEURON * lanes * width, PER_NEURON * lanes * shared // len(self.cells))
        if not self.drawn or len(self.drawn[0].x) < count:
            self.drawn = [self._drawn(cell, count) for cell in self.cells]
        return self.drawn

    def _drawn(self, cell: Cell, count: int) -> Drawn:
        atlas, routing = self.task.atlas, self.routing
        u, points = cell.draw(atlas, routing, count, 2 * self.seed, collar=True)
        held_u, held = cell.draw(atlas, routing, HELD, 2 * self.seed + 1)
        return Drawn(points.ambient, u, self.task.evaluate(points), held.ambient, held_u, self.task.evaluate(held))

    def fitted(self, width: int, shared: int, count: int) -> Fitted:
        """Experts of one width beside a shared expert of another (0: of none), whose neurons lie along `count` directions."""
        drawn = self.samples(width, shared)
        x = np.concatenate([one.x for one in drawn])
        form = dictionary(self.way, x, self.task.outputs, max(shared, self.way.narrowest), count)
        fit, held = [], []
        for one in drawn:
            own = dictionary(self.way, one.u, self.task.outputs, width, usual(self.way, width, self.task.atlas.dimension))
            here, there = (form.columns(one.x), form.columns(one.held_x)) if shared else (np.zeros((len(one.x), 0)), np.zeros((HELD, 0)))
            fit.append(Samples(here, own.columns(one.u), one.values))
            held.append(Samples(there, own.columns(one.held_u), one.held_values))
        return Fitted(form, chosen(fit, held, PENALTY[self.dtype]))

    def best(self, width: int, shared: int) -> int:
        """The number of directions with which a shared expert of one width does best beside experts of another."""
        inputs = np.concatenate([one.x for one in self.samples(width, shared)])
        tried = counts(self.way, shared, Coordinates.of(inputs).rank)
        return min(tried, key=lambda count: self.fitted(width, shared, count).joint.error)


@dataclass(frozen=True)
class Plan:
    """A shared expert's width and number of directions, the width of the experts beside it, and why."""

    shared: int
    directions: int
    width: int
    decision: Decision


def planned(pilots: Pilots, experts: int, budget: float, limit: int, asked: bool | str, reads: int) -> Plan:
    """The shared expert with which `experts` experts store the least at an error of `budget`; what they read has `reads` numbers each."""
    way, outputs, ambient = pilots.way, pilots.task.outputs, pilots.task.atlas.ambient_dimension
    ladder = pilots.widths(limit)
    alone: dict[int, float] = {}
    for width in ladder:
        alone[width] = pilots.fitted(width, 0, 0).joint.error
        if alone[width] <= budget:
            break
    needed = crossing(alone, budget)
    rate = slope(alone)
    without = experts * way.numbers(round(needed), reads, outputs)
    plans = []
    for shared in sorted({max(way.narrowest, round(part * needed)) for part in PARTS}):
        middle = max(way.narrowest, round(needed / 2))
        count = pilots.best(middle, shared)
        errors: dict[int, float] = {}
        for width in [w for w in ladder if w <= needed * GROWTH]:
            errors[width] = pilots.fitted(width, shared, count).joint.error
            if errors[width] <= budget:
                break
        beside = max(float(way.narrowest), crossing(errors, budget))
        numbers = way.numbers(shared, ambient, outputs)
        what = f"a shared net of {shared} neurons"
        rest = experts * way.numbers(round(beside), reads, outputs)
        made = decision.exact(asked, budget, rate, without, rest, numbers, width=shared, what=what)
        plans.append(Plan(shared, count, round(beside), made))
    return min(plans, key=lambda plan: plan.decision.stored)


def crossing(errors: dict[int, float], budget: float) -> float:
    """The width at which an error would be the budget: log-linear between the last two, or beyond them."""
    widths = sorted(errors)
    last = widths[-1]
    if len(widths) == 1 or errors[last] <= 0:
        return float(last)
    before = widths[-2]
    rate = slope(errors)
    low, high = errors[before], errors[last]
    if high <= budget < low:
        share = np.log(low / budget) / np.log(low / high)
        return float(before * (last / before) ** share)
    return float(last * max(1.0, (high / budget) ** (1 / rate)))


def slope(errors: dict[int, float]) -> float:
    """α: how fast the log of the error fell with that of the width, over the last two steps of the ladder."""
    widths = sorted(errors)[-3:]
    low, high = errors[widths[0]], errors[widths[-1]]
    if len(widths) < 2 or not 0 < high < low:
        return decision.SLOPES[0]
    return float(np.clip(np.log(low / high) / np.log(widths[-1] / widths[0]), *decision.SLOPES))
