"""Experts that share one dictionary: many small charts, one reference domain, one factorisation, many right-hand sides.

Cell i is put into a reference domain by z = (u − o_i)/h_i: the unit ball for the cells of a ball atlas (one common h), the
cube for the boxes that hold the cells of other atlases. The local targets F_i(o_i + h_i·z) are sampled at the same z for all
charts, so the hidden neurons, their activations and the Cholesky factor of Lemma 3.1's least squares are computed once,
and every further expert costs one more right-hand side. What a fit claims, it claims on the whole reference domain,
which contains the cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from ..atlas import Array, Atlas, BallChart, Points
from .cells import Cell, Scores
from .ridge import Dictionary, Ridge

EXTENT_SAMPLES = 256
NEWTON_STEPS = 30


@dataclass(frozen=True, eq=False)
class Reference:
    """Offsets o (E, d) and half-widths h (E, d) that put each cell with its collar into the reference domain."""

    offsets: Array
    halves: Array
    ball: bool
    """Whether the domain is the unit ball; else [−1, 1]^d."""

    @staticmethod
    def around(atlas: Atlas, routing: Scores, cells: Sequence[Cell], seed: int) -> Reference:
        """From `EXTENT_SAMPLES` points of every cell and a margin of what so many points miss."""
        drawn = [cell.draw(atlas, routing, EXTENT_SAMPLES, seed + 3, collar=True)[0] for cell in cells]
        margin = 1 + EXTENT_SAMPLES ** (-1 / atlas.dimension)
        if isinstance(atlas.charts[0], BallChart):
            # Centres are offsets; one radius for all, so that the domain is the same for all.
            radius = margin * max(float(np.sqrt((u**2).sum(1).max())) for u in drawn)
            zeros = np.zeros((len(cells), atlas.dimension))
            return Reference(zeros, np.full_like(zeros, min(radius, max(chart.radius for chart in atlas.charts))), True)
        low = np.array([u.min(0) for u in drawn])
        high = np.array([u.max(0) for u in drawn])
        middle, half = (low + high) / 2, margin * (high - low) / 2
        domains = [atlas.charts[cell.chart].domain for cell in cells]
        low = np.maximum(middle - half, [domain.lower for domain in domains])
        high = np.minimum(middle + half, [domain.upper for domain in domains])
        return Reference((low + high) / 2, (high - low) / 2, False)

    def sample(self, count: int, seed: int) -> Array:
        """`count` low-discrepancy points z of the reference domain."""
        d = self.offsets.shape[1]
        exponent = int(np.ceil(np.log2(count * (3 if self.ball else 1)))) + 1
        z = 2 * qmc.Sobol(d, seed=seed).random_base2(exponent) - 1
        return z[(z**2).sum(1) <= 1][:count] if self.ball else z[:count]

    def local(self, index: int, z: Array) -> Array:
        return self.offsets[index] + self.halves[index] * z

    def to_local(self, index: int, ridge: Ridge) -> Ridge:
        """The same function of u = o + h·z: directions stay unit vectors, σ(λs) = λσ(s) for the scale."""
        rows = ridge.dictionary.directions / self.halves[index]
        lengths = np.linalg.norm(rows, axis=1)
        rows = rows / lengths[:, None]
        per_neuron = np.repeat(lengths, ridge.dictionary.counts)
        knots = ridge.dictionary.knots / per_neuron + np.repeat(rows @ self.offsets[index], ridge.dictionary.counts)
        dictionary = Dictionary(rows, ridge.dictionary.counts, knots, ridge.dictionary.facing)
        return Ridge(dictionary, ridge.weights * per_neuron, ridge.constant)


def points_at(atlas: Atlas, chart: int, local: Array) -> Points:
    """The points of M with local coordinates `local` (N, d) in a chart; NaN where the chart's box does not reach.

    A ball chart has no closed inverse: Newton's method on s ↦ frameᵀ(φ⁻¹(s) − c), in the parametrising chart whose box holds the
    centre most deeply.
    """
    target = atlas.charts[chart]
    if not isinstance(target, BallChart):
        points = atlas.parametrise(chart, local)
        return _without(points, ~target.inside(local))
    which, start = _chart_of_centre(atlas, target)
    parametrising = atlas.parametrising[which]
    s = np.tile(start, (len(local), 1))
    for _ in range(NEWTON_STEPS):
        residual = target.forward(parametrising.inverse(s)) - local
        jacobian = target.frame.T @ parametrising.inverse.jacobian_at(s)
        # Where the projection degenerates there is nothing to converge to: such points stay, and are missed below.
        lost = ~(np.abs(np.linalg.det(jacobian)) > np.finfo(float).eps) | ~np.isfinite(residual).all(1)
        jacobian[lost], residual[lost] = np.eye(atlas.dimension), 0
        s = s - np.linalg.solve(jacobian, residual[..., None])[..., 0]
        if np.abs(residual).max() <= 1e-13 * target.radius:
            break
    points = atlas.parametrise(which, s)
    missed = ~(np.abs(target.forward(points.base) - local).max(1) <= 1e-10 * target.radius)
    return _without(points, missed | ~_on_manifold(atlas, which, points) | ~target.contains(points.base))


def _on_manifold(atlas: Atlas, which: int, points: Points) -> NDArray[np.bool_]:
    """Whether each φ⁻¹(s) is a point of M: s lies in its chart's box, or another chart contains the point."""
    inside = atlas.parametrising[which].inside(points.intrinsic)
    for chart in atlas.parametrising:
        if inside.all():
            break
        if chart.forward is not None:
            inside[~inside] = chart.contains(points.base[~inside])
    return inside


def _chart_of_centre(atlas: Atlas, ball: BallChart) -> tuple[int, Array]:
    """The parametrising chart that holds the centre most deeply, and the centre's intrinsic coordinates there."""
    best: tuple[float, int, Array] | None = None
    for piece in ball.pieces:
        chart = atlas.parametrising[piece.chart]
        grid = piece.box.low_discrepancy(64, 0)
        s = grid[np.argmin(np.linalg.norm(chart.inverse(grid) - ball.center, axis=1))]
        for _ in range(NEWTON_STEPS):
            jacobian = chart.inverse.jacobian_at(s)
            s = np.clip(
                s - np.linalg.lstsq(jacobian, chart.inverse(s) - ball.center, rcond=None)[0], chart.domain.lower, chart.domain.upper
            )
        if np.linalg.norm(chart.inverse(s) - ball.center) <= 1e-9 * ball.radius:
            edge = float(np.abs(chart.domain.to_unit(s)).max())
            if best is None or edge < best[0]:
                best = edge, piece.chart, s
    if best is None:
        return ball.pieces[0].chart, np.full(atlas.dimension, np.nan)
    return best[1], best[2]


def _without(points: Points, rows: NDArray[np.bool_]) -> Points:
    """The points with NaN in place of those of `rows`."""
    base = np.where(rows[:, None], np.nan, points.base)
    return Points(points.chart, points.intrinsic, base, points.ambient)
