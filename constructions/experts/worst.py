"""The largest error of a net where it counts: sampled, then climbed to from the worst samples, along faces and into corners.

A proof finds the true sup; the largest of some thousand samples understates it by up to 1.4, most of all at corners and at the far ends of
cells. Budgets are therefore compared with what climbing finds, and places that were missed can be handed back to be fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, Box, ManifoldTask, Points, concatenate, distinct
from ...atlas.ascent import Charts, Ground, Space, ascend
from ...moe.network import ReLUNet
from ..relu.directions import directions
from .cells import Cell, Scores

STARTS = (4, 6, 24)
"""Of the worst samples of each net, how many are climbed from, by dimension; the last for three and more, where tops are many and steep."""
ROUNDS = 24
"""From steps of a twentieth of the cell; an error at its top hardly depends on the last ones."""
FAN = (1, 6, 24)
"""Axes along both senses of which cells are followed to their ends, by dimension; the last for three and more."""
END_ROUNDS = 16
STRETCH = 1.25
"""Points of a box are drawn from one so much larger and put back onto its faces: a fifth of each coordinate lies on one."""


@dataclass(frozen=True, eq=False)
class Worst:
    """The largest error that was found, where, and on how many samples before climbing."""

    error: float
    at: Array
    """What the net read there."""
    samples: int
    places: Points
    """The worst places, climbed to: what a next fit has to look at."""


def missed(found: Array, truth: Array) -> Array:
    """The largest component of |found − truth|, (N, q) each to (N,); −∞ where the truth is no number: nothing is claimed there."""
    error = np.abs(found - truth).max(1)
    return np.where(np.isfinite(truth).all(1), np.where(np.isnan(error), np.inf, error), -np.inf)


def spread(box: Box, count: int, seed: int, stretch: float = STRETCH) -> Array:
    """`count` low-discrepancy points of a box, its faces and edges included, and as many corners as are no more than an eighth of them."""
    points = box.from_unit(stretch * box.to_unit(box.low_discrepancy(count, seed)))
    if 2**box.dimension <= count // 8:
        points[: 2**box.dimension] = box.corners()
    return points


@dataclass(frozen=True, eq=False)
class _Box:
    """A box as ground to climb on."""

    box: Box

    def bounds(self, chart: Charts) -> tuple[Array, Array]:
        shape = len(chart), self.box.dimension
        return np.broadcast_to(self.box.lower, shape), np.broadcast_to(self.box.upper, shape)

    def allowed(self, chart: Charts, intrinsic: Array) -> NDArray[np.bool_]:
        return np.ones(len(intrinsic), bool)

    def parametrise(self, chart: Charts, intrinsic: Array) -> Points:
        return Points(chart, intrinsic, intrinsic, intrinsic)


def worst_on_box(error: Callable[[Array], Array], box: Box, count: int, seed: int, suspect: float = 0.0) -> Worst:
    """The largest `error`, (N, n) to (N,), on a box: of `count` points, climbed from unless even the largest is below `suspect`."""
    u = spread(box, count, seed)
    ground = _Box(box)
    points = ground.parametrise(np.zeros(len(u), np.intp), u)
    (found,) = _climbed(ground, [points], lambda tried, _: error(tried.ambient), [box.widths], seed, suspect)
    return found


def worst_on_cells(
    task: ManifoldTask,
    routing: Scores,
    cells: Sequence[Cell],
    nets: Sequence[ReLUNet],
    drawn: Sequence[Points],
    seed: int,
    *,
    suspect: float = 0.0,
) -> list[Worst]:
    """For each net its largest |f − net| on its routed cell, from the points `drawn` for each. As `worst_on_box`, all nets together."""
    sizes = _sizes(cells)

    def error(points: Points, which: NDArray[np.intp]) -> Array:
        truth, found = task.evaluate(points), np.full(len(points), -np.inf)
        for k in distinct.numbers(which):
            rows = np.flatnonzero(which == k)
            rows = rows[routing.lead(points.base[rows], cells[k].chart) >= cells[k].threshold]
            found[rows] = missed(nets[k](points.ambient[rows]), truth[rows])
        return found

    return _climbed(Ground(task.atlas), drawn, error, sizes, seed, suspect)


def _by_dimension(values: tuple[int, ...], dimension: int) -> int:
    return values[min(dimension, len(values)) - 1]


def _sizes(cells: Sequence[Cell]) -> Array:
    """How large each cell is in intrinsic coordinates, (E, d)."""
    return np.array([np.max([piece.box.widths for piece in cell.pieces], axis=0) for cell in cells])


def _climbed(
    space: Space,
    drawn: Sequence[Points],
    error: Callable[[Points, NDArray[np.intp]], Array],
    sizes: Sequence[Array] | Array,
    seed: int,
    suspect: float,
) -> list[Worst]:
    """`error` is given points and the index of the net each is for."""
    which = np.repeat(np.arange(len(drawn)), [len(points) for points in drawn])
    sampled = np.split(error(concatenate(drawn), which), np.cumsum([len(points) for points in drawn])[:-1])
    count = _by_dimension(STARTS, drawn[0].intrinsic.shape[1])
    order = [np.argsort(-errors, kind="stable")[:count] for errors in sampled]
    starts = [points[rows] for points, rows in zip(drawn, order, strict=True)]
    tops = [errors[rows] for errors, rows in zip(sampled, order, strict=True)]
    climbing = [k for k, errors in enumerate(tops) if errors[0] >= suspect and np.isfinite(errors[0])]
    if climbing:
        owner = np.repeat(climbing, [len(starts[k]) for k in climbing])
        reached, values = ascend(
            space,
            concatenate([starts[k] for k in climbing]),
            lambda points, index: error(points, owner[index]),
            seed,
            sizes=np.array([sizes[k] for k in owner]),
            rounds=ROUNDS,
        )
        for k in climbing:
            mine = np.flatnonzero(owner == k)
            mine = mine[np.argsort(-values[mine], kind="stable")]
            starts[k], tops[k] = reached[mine], values[mine]
    return [Worst(float(errors[0]), points.ambient[0], len(all_), points) for errors, points, all_ in zip(tops, starts, drawn, strict=True)]


def extremes(task: ManifoldTask, routing: Scores, cells: Sequence[Cell], drawn: Sequence[Points], seed: int) -> list[Points]:
    """The far ends of each cell, its vertices among them: climbed to from points of it, in some directions of its local coordinates.

    They are a cell's smallest part by volume, and where a fit errs most.
    """
    d = task.atlas.dimension
    ways = directions(_by_dimension(FAN, d), d)
    ways = np.concatenate([ways, -ways])
    owner = np.repeat(np.arange(len(cells)), len(ways))
    along = np.tile(ways, (len(cells), 1))

    def reach(points: Points, which: NDArray[np.intp]) -> Array:
        found, of = np.full(len(points), -np.inf), owner[which]
        for k in np.unique(of):
            rows = np.flatnonzero(of == k)
            some = points[rows]
            within = routing.lead(some.base, cells[k].chart) >= cells[k].threshold
            lengths = np.einsum("ij,ij->i", cells[k].local(task.atlas, some), along[which[rows]])
            found[rows] = np.where(within, lengths, -np.inf)
        return found

    outermost = [(cell.local(task.atlas, points) @ ways.T).argmax(0) for cell, points in zip(cells, drawn, strict=True)]
    starts = concatenate([points[rows] for points, rows in zip(drawn, outermost, strict=True)])
    sizes = np.repeat(_sizes(cells), len(ways), axis=0)
    reached, _ = ascend(Ground(task.atlas), starts, reach, seed, sizes=sizes, rounds=END_ROUNDS)
    return [reached[k * len(ways) : (k + 1) * len(ways)] for k in range(len(cells))]
