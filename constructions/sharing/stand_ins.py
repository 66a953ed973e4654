"""The shared expert of a block on charts, of a given width: joint fits (N6) with stand-ins for the experts, by linear algebra alone.

Cells are stood for by some of them, spread over all, and the hidden neurons of their experts by dictionaries (`dictionaries`).
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
from ..smooth.fit import COSTS
from ..smooth.forms import Lattice
from .dictionaries import counts, dictionary, shares, spread, usual
from .joint import Joint, Samples, chosen

STOOD_FOR = 48
"""Cells at most that stand for all."""
PER_NEURON, LEAST, HELD = 6, 96, 256
"""Samples of a cell for each of its neurons, at least so many, and so many held out; in all of them also PER_NEURON for each shared one."""
RELEVANT = 0.1
"""Part of the largest contribution that a direction has to make, to keep its neurons."""
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
class StandIns:
    """The cells of a block that stand for all, and samples of them."""

    task: ManifoldTask
    routing: Scores
    cells: Sequence[Cell]
    way: Way
    seed: int
    dtype: str
    drawn: list[Drawn] = field(default_factory=list)

    @staticmethod
    def of(task: ManifoldTask, routing: Scores, cells: Sequence[Cell], way: Way, seed: int, dtype: str) -> StandIns:
        some = np.unique(np.linspace(0, len(cells) - 1, STOOD_FOR).round().astype(int))
        return StandIns(task, routing, [cells[i] for i in some], way, seed, dtype)

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

    def fitted(self, width: int, shared: int, along: Array) -> Fitted:
        """Experts of one width beside a shared expert of another, whose neurons lie along unit directions (K, r)."""
        drawn = self.samples(width, shared)
        form = dictionary(self.way, np.concatenate([one.x for one in drawn]), self.task.outputs, shared, along)
        d = self.task.atlas.dimension
        fit, held = [], []
        for one in drawn:
            own = dictionary(self.way, one.u, self.task.outputs, width, spread(usual(self.way, width, d), d))
            fit.append(Samples(form.columns(one.x), own.columns(one.u), one.values))
            held.append(Samples(form.columns(one.held_x), own.columns(one.held_u), one.held_values))
        return Fitted(form, chosen(fit, held, COSTS[self.dtype]))

    def best(self, width: int, shared: int) -> Fitted:
        """The shared expert of one width that does best beside experts of another: of several numbers of directions, and of those of
        each that contribute."""
        inputs = np.concatenate([one.x for one in self.samples(width, shared)])
        rank = Coordinates.of(inputs).rank
        found = []
        for count in counts(self.way, shared, rank):
            along = spread(count, rank)
            found.append(self.fitted(width, shared, along))
            part = shares(found[-1].form, inputs, found[-1].joint.shared)
            kept = along[: len(part)][part >= RELEVANT * part.max(initial=0.0)]
            if 0 < len(kept) < len(along):
                found.append(self.fitted(width, shared, kept))
        return min(found, key=lambda fitted: fitted.joint.error)
