"""Routed cells: the part of each chart that the gate can send to its expert, and how to draw points from it (R4).

The cell of chart i is {y ∈ M : s_i(y) ≥ max s(y) − 2δ}. With δ ≥ ‖s − τ‖ it contains every point that the gate sends to
expert i, so it is all that the expert has to get right. Where K experts are chosen, the K-th largest score takes the place of the
largest, and cells overlap (N14). Cells are far smaller than charts when charts are many; points
are drawn from boxes of intrinsic coordinates that hold the cell, and kept if they lie in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ...atlas import Array, Atlas, BallChart, Box, Piece, Points, concatenate
from ...errors import InvalidArgument

SEARCHED = (1 << 16, 1 << 20)
"""Points of M among which cells are looked for, at least and at most: about 2048 a chart."""
COLLAR = 1.3
STRETCH = 1.1
"""Where a box ends at a face of its chart, points are drawn from one so much larger, and put back onto the face."""
FEWEST = 64
"""A cell with fewer of the searched points counts as (almost) empty."""


class Scores(Protocol):
    """What a gate compares, as far as its cells depend on it."""

    def lead(self, base: Array, chart: int) -> Array:
        """s_chart − max s at points of M, (N, k) to (N,), or what it is above the K-th largest where K charts are chosen; −∞ where s_chart
        is not positive, that is, off its chart.
        """
        ...


@dataclass(frozen=True, eq=False)
class Cell:
    """The routed cell of one chart: boxes that hold it, and the least s_i − max s of its points."""

    chart: int
    pieces: tuple[Piece, ...]
    shares: Array
    """How the searched points of the cell divide over the pieces; sums to 1."""
    threshold: float
    collar: float
    """A lower threshold with COLLAR times as many points: experts are fitted up to it, the cell's edge is no edge of the data."""

    def draw(
        self, atlas: Atlas, routing: Scores, count: int, seed: int, *, collar: bool = False, misses: Points | None = None
    ) -> tuple[Array, Points]:
        """`count` points of the cell, or of the cell with its collar, and their local coordinates (count, d). Deterministic for a seed.

        `misses`, further points of M, take the place of up to half of them, where their local coordinates are known. Raises
        `InvalidArgument` if fewer than one in 10^4 drawn points lie in the cell.
        """
        rng = np.random.default_rng([seed, self.chart])
        threshold = self.collar if collar else self.threshold
        parts: list[Points] = []
        found, tried = 0, 0
        while found < count:
            batch = int(1.5 * (count - found) / max(found / tried if tried else 1, 0.05)) + 64
            drawn = []
            for piece, n in zip(self.pieces, rng.multinomial(batch, self.shares), strict=True):
                if n:
                    intrinsic = piece.box.low_discrepancy(int(n), int(rng.integers(2**31)))
                    drawn.append((piece.chart, onto_faces(piece.box, atlas.parametrising[piece.chart].domain, intrinsic)))
            for points in _joined(atlas, drawn) if atlas.together is not None else _one_by_one(atlas, drawn):
                if not np.isfinite(points.base).all():
                    points = points[np.isfinite(points.base).all(1)]
                parts.append(points[routing.lead(points.base, self.chart) >= threshold])
                found += len(parts[-1])
            tried += batch
            if found < count and found < 1e-4 * tried:
                raise InvalidArgument(f'chart "{atlas.names[self.chart]}": only {found} of {tried} drawn points lie in its routed cell')
        points = concatenate(parts)
        points = points[rng.permutation(len(points))[:count]]
        if misses is not None and len(misses):
            misses = self._own(atlas, misses)
            points = concatenate([points[: max(count - len(misses), (count + 1) // 2)], misses[: count // 2]])
        return self.local(atlas, points), points

    def local(self, atlas: Atlas, points: Points) -> Array:
        """φ of points that were made from the cell's pieces, (N, d)."""
        chart = atlas.charts[self.chart]
        return chart.forward(points.base) if isinstance(chart, BallChart) else points.intrinsic

    def _own(self, atlas: Atlas, points: Points) -> Points:
        """The points as points of this chart, those that are known to be."""
        chart = atlas.charts[self.chart]
        if isinstance(chart, BallChart) or (points.chart == self.chart).all():
            return points
        if chart.forward is None:
            return points[points.chart == self.chart]
        points = points[chart.contains(points.base)]
        return Points(np.full(len(points), self.chart), chart.coordinates(points.base), points.base, points.ambient)


def _one_by_one(atlas: Atlas, drawn: Sequence[tuple[int, Array]]) -> Iterator[Points]:
    """The points of M at coordinates in charts, those in the region."""
    for chart, intrinsic in drawn:
        yield atlas.parametrise(chart, intrinsic[atlas.parametrising[chart].inside(intrinsic)])


def _joined(atlas: Atlas, drawn: Sequence[tuple[int, Array]]) -> list[Points]:
    """The same as one batch, where charts are evaluated together."""
    which = np.repeat([chart for chart, _ in drawn], [len(intrinsic) for _, intrinsic in drawn])
    points = atlas.parametrise(which, np.concatenate([intrinsic for _, intrinsic in drawn]))
    return [points[atlas.inside(points.chart, points.intrinsic, points.base)]]


def onto_faces(box: Box, domain: Box, points: Array) -> Array:
    """Points (N, d) of a box, some of them moved onto those of its faces that lie on faces of the chart's `domain`, and into its corners.

    Nothing lies beyond these faces that would belong to the cell, and errors are largest there.
    """
    center = box.center
    for k in range(box.dimension):
        for side, face, end in ((-1.0, box.lower[k], domain.lower[k]), (1.0, box.upper[k], domain.upper[k])):
            if face == end:
                column = points[:, k]
                outer = side * (column - center[k]) > 0
                column[outer] = center[k] + STRETCH * (column[outer] - center[k])
    return np.clip(points, box.lower, box.upper)


def leads(scores: Array, top_k: int = 1) -> Array:
    """s_i − max s, or s_i − s_(K), the K-th largest, where K charts are chosen; −∞ where s_i is not positive. (N, E) to (N, E)."""
    best = scores.max(1) if top_k == 1 else np.partition(scores, -top_k, axis=1)[:, -top_k]
    return np.where(scores > 0, scores - best[:, None], -np.inf)


def find_cells(atlas: Atlas, reference: Callable[[Array], Array], reached: float, seed: int, top_k: int = 1) -> list[Cell]:
    """The routed cells of all charts, for scores that follow the `reference`, (N, k) to (N, E), to within `reached`; of order K, all of
    where a chart may be among the K that are chosen.
    """
    searched = atlas.sample(int(np.clip(2048 * len(atlas), *SEARCHED)), seed + 2, low_discrepancy=True)
    found = leads(reference(searched.base), top_k)
    return [_cell(atlas, chart, searched, found[:, chart], -2 * reached) for chart in range(len(atlas))]


def _cell(atlas: Atlas, chart: int, searched: Points, leads: Array, threshold: float) -> Cell:
    # A chart is parametrised by its own box; a ball by every box that reaches into it.
    own = isinstance(atlas.charts[chart], BallChart) | (searched.chart == chart)
    candidates = np.flatnonzero(own & np.isfinite(leads))
    candidates = candidates[np.argsort(-leads[candidates], kind="stable")]
    count = int((leads[candidates] >= threshold).sum())
    if count < FEWEST:
        # Hardly ever chosen: its expert is built where it comes closest to being chosen.
        count = min(FEWEST, len(candidates))
        threshold = min(threshold, float(leads[candidates[count - 1]]))
    rows = candidates[: int(COLLAR * count)]
    collar = float(leads[rows[-1]])
    pieces, shares = [], []
    for which in np.unique(searched.chart[rows]):
        part = searched.intrinsic[rows[searched.chart[rows] == which]]
        domain = atlas.parametrising[which].domain
        # n uniform points miss a cell's extent by about its n^{-1/d}-th part.
        margin = (part.max(0) - part.min(0) + 1e-3 * domain.widths) * len(part) ** (-1 / part.shape[1])
        box = Box(tuple(np.maximum(part.min(0) - margin, domain.lower)), tuple(np.minimum(part.max(0) + margin, domain.upper)))
        pieces.append(Piece(int(which), box))
        shares.append(len(part))
    return Cell(chart, tuple(pieces), np.array(shares) / len(rows), threshold, collar)
