"""Which neurons the experts of a block are made of, where that is left open: tried on one expert, the hardest of a few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...errors import EpsilonNotReached
from .cells import Cell
from .charts import Expert, Workshop
from .ways import AUTO, Way, ways

LOOKED_AT, PER_CELL = 8, 128
"""Cells among which the hardest is looked for, and points of each."""


def decided(workshop: Workshop, cells: Sequence[Cell]) -> Workshop:
    """The workshop with the way whose pilot stores the least, or errs least where a width is given.

    Each way is allowed no more numbers than the best so far has. If none reaches the budget, the first one tried: its `EpsilonNotReached`
    says so when the experts are built.
    """
    if workshop.activation != AUTO:
        return workshop
    cell = _hardest(workshop, cells)
    tried = ways(workshop.activation, workshop.gated)
    best: tuple[float, Way] | None = None
    task = workshop.task
    # What a two-layer net of the best so far reads: all of x, or the local coordinates only where ψ comes before it.
    reads = task.atlas.ambient_dimension if workshop.affine else task.atlas.dimension
    for way in tried:
        one = replace(workshop, activation=way.activation.name, gated=way.gated)
        if best is not None and workshop.allowed is not None:
            room = way.room(int(best[0]), reads, task.outputs)
            if room < way.narrowest:
                continue
            one = replace(one, limit=min(workshop.limit, room))
        try:
            cost = _cost(one.first(cell), workshop.width is not None)
        except EpsilonNotReached:
            continue
        if best is None or cost < best[0]:
            best = cost, way
    chosen = tried[0] if best is None else best[1]
    return replace(workshop, activation=chosen.activation.name, gated=chosen.gated)


def _cost(expert: Expert, given: bool) -> float:
    return expert.claim.bound if given else expert.net.parameters


def _hardest(workshop: Workshop, cells: Sequence[Cell]) -> Cell:
    """Of some cells, the one on which the target is least affine."""
    some = [cells[i] for i in np.unique(np.linspace(0, len(cells) - 1, LOOKED_AT).round().astype(int))]

    def bent(cell: Cell) -> float:
        u, points = cell.draw(workshop.task.atlas, workshop.routing, PER_CELL, workshop.seed)
        basis, values = np.column_stack([u, np.ones(len(u))]), workshop.task.evaluate(points)
        return float(np.abs(values - basis @ np.linalg.lstsq(basis, values, rcond=None)[0]).max())

    return max(some, key=bent)
