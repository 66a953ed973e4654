"""Experts that share one dictionary: many small charts, one reference domain, one factorisation, many right-hand sides.

Cell i is put into a reference domain by z = (u − o_i)/h_i: the unit ball for the cells of a ball atlas (one common h), the
cube for the boxes that hold the cells of other atlases. The local targets F_i(o_i + h_i·z) are sampled at the same z for all
charts, so the hidden neurons, their activations and the Cholesky factor of Lemma 3.1's least squares are computed once,
and every further expert costs one more right-hand side. What a fit claims, it claims on the whole reference domain,
which contains the cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, Atlas, BallChart, Points
from ...atlas.distances import distances
from ...expressions.sobol import sobol
from ...moe.activations import RELU
from ...moe.nets import Affine
from ...moe.ridge import Dictionary, Ridge
from .cells import Cell, Scores

EXTENT_SAMPLES, LEAST_EXTENT_SAMPLES = 1 << 16, 64
"""Points that show how far cells reach: of all cells of a ball atlas together, and of each of them at least."""
BOX_SAMPLES = 256
"""Points that show the box of a single cell."""
NEWTON_STEPS = 30
NEWTON_TOLERANCE, MISSED = 1e-13, 1e-10
"""Residuals, in radii, at which Newton's method stops, and beyond which it has not converged."""
GUESSES = 6
"""Per dimension and piece of a ball: where Newton's method may start."""


@dataclass(frozen=True, eq=False)
class Reference:
    """Offsets o (E, d) and half-widths h (E, d) that put each cell with its collar into the reference domain."""

    offsets: Array
    halves: Array
    ball: bool
    """Whether the domain is the unit ball; else [−1, 1]^d."""

    @staticmethod
    def around(atlas: Atlas, routing: Scores, cells: Sequence[Cell], seed: int) -> Reference:
        """From points of every cell with its collar, and a margin of what so many points miss."""
        ball = isinstance(atlas.charts[0], BallChart)
        count = max(EXTENT_SAMPLES // len(cells), LEAST_EXTENT_SAMPLES) if ball else BOX_SAMPLES
        drawn = [cell.draw(atlas, routing, count, seed + 3, collar=True)[0] for cell in cells]
        if ball:
            # Centres are offsets; one radius for all, so that the domain is the same for all, and all cells together show how
            # far they reach. Not much further: beyond the cells the projection onto the tangent plane folds, or M ends.
            # Of balls of unequal radii each has its own.
            margin = 1 + (count * len(cells)) ** (-1 / atlas.dimension)
            radii = np.array([chart.radius for chart in atlas.charts if isinstance(chart, BallChart)])
            reached = margin * np.array([float(np.sqrt((u**2).sum(1).max())) for u in drawn])
            unequal = bool((radii != radii[0]).any())
            halves = np.minimum(reached, radii[[cell.chart for cell in cells]]) if unequal else min(float(reached.max()), float(radii[0]))
            zeros = np.zeros((len(cells), atlas.dimension))
            return Reference(zeros, np.broadcast_to(np.reshape(halves, (-1, 1)), zeros.shape).copy(), True)
        margin = 1 + count ** (-1 / atlas.dimension)
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
        z = 2 * sobol(d, exponent, seed) - 1
        return z[(z**2).sum(1) <= 1][:count] if self.ball else z[:count]

    def local(self, index: int, z: Array) -> Array:
        return self.offsets[index] + self.halves[index] * z

    def to_local(self, index: int, ridge: Ridge) -> Ridge:
        """The same function of u = o + h·z. Directions of plain ReLUs stay unit vectors, σ(λs) = λσ(s); others are rescaled."""
        if ridge.ups is not None or ridge.dictionary.activation is not RELU:
            return self._rescaled(index, ridge)
        rows = ridge.dictionary.directions / self.halves[index]
        lengths = np.linalg.norm(rows, axis=1)
        rows = rows / lengths[:, None]
        per_neuron = np.repeat(lengths, ridge.dictionary.counts)
        knots = ridge.dictionary.knots / per_neuron + np.repeat(rows @ self.offsets[index], ridge.dictionary.counts)
        dictionary = Dictionary(rows, ridge.dictionary.counts, knots, ridge.dictionary.facing)
        return Ridge(dictionary, ridge.weights * per_neuron, ridge.constant)

    def _rescaled(self, index: int, ridge: Ridge) -> Ridge:
        offset, half, old = self.offsets[index], self.halves[index], ridge.dictionary
        rows = old.directions / half
        knots = old.knots + np.repeat(rows @ offset, old.counts)
        ups = None if ridge.ups is None else ridge.ups.after(Affine(np.diag(1 / half), -offset / half))
        return Ridge(replace(old, directions=rows, knots=knots), ridge.weights, ridge.constant, ups)


def common(known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which reference points, (N, E) known or not, are points of half of all charts at least: the others are left out for all.

    Where M curves more in one direction of the tangent planes than in another, the ball there ends before the reference domain does, in
    every chart alike.
    """
    return np.asarray(2 * known.sum(1) >= known.shape[1])


def points_at(atlas: Atlas, chart: int, local: Array) -> Points:
    """The points of M with local coordinates `local` (N, d) in a chart; NaN where the chart's domain does not reach.

    A ball chart has no closed inverse, and its points may come from several parametrising charts: Newton's method on
    s ↦ frameᵀ(φ⁻¹(s) − c), in the chart that holds the centre most deeply, then in every other chart that has a piece of the ball, for
    the points not found so far. Of zeros of equations, by these equations themselves (`Together.lifted`).
    """
    target = atlas.charts[chart]
    if not isinstance(target, BallChart):
        points = atlas.parametrise(chart, local)
        return _without(points, ~target.inside(local))
    if atlas.together is not None:
        which, intrinsic = atlas.together.lifted(target.center, target.frame, target.radius, local)
        return _without(atlas.parametrise(which, intrinsic), ~atlas.inside(which, intrinsic))
    which = np.zeros(len(local), np.intp)
    intrinsic = np.full_like(local, np.nan)
    for p, guesses in _by_depth(atlas, target):
        missing = np.flatnonzero(np.isnan(intrinsic).any(1))
        if not len(missing):
            break
        s, found = _solved(atlas, target, p, guesses, local[missing])
        which[missing[found]], intrinsic[missing[found]] = p, s[found]
    return atlas.parametrise(which, intrinsic)


def _by_depth(atlas: Atlas, ball: BallChart) -> Iterator[tuple[int, Array]]:
    """The charts with a piece of the ball, the deepest around its centre first, each with points s (·, d) to start Newton's method from."""
    axis = (np.arange(GUESSES) + 0.5) / GUESSES
    unit = np.stack(np.meshgrid(*[axis] * atlas.dimension, indexing="ij"), axis=-1).reshape(-1, atlas.dimension)
    ranked: list[tuple[float, int, Array]] = []
    for piece in ball.pieces:
        chart = atlas.parametrising[piece.chart]
        s = np.array(piece.box.lower) + unit * piece.box.widths
        nearest = np.linalg.norm(chart.inverse(s) - ball.center, axis=1).argmin()
        # How far out in its chart the point nearest to the centre lies: 1 on a face.
        ranked.append((float(np.abs(chart.domain.to_unit(s[nearest])).max()), piece.chart, s))
    for _, p, s in sorted(ranked, key=lambda entry: entry[:2]):
        yield p, s


def _solved(atlas: Atlas, ball: BallChart, which: int, guesses: Array, local: Array) -> tuple[Array, NDArray[np.bool_]]:
    """s (N, d) with frameᵀ(φ⁻¹(s) − c) = local, φ⁻¹ of one parametrising chart, and where that is a point of M in the ball.

    Newton's method from the guess that comes closest in local coordinates, of those in the ball; only points that have not converged go on.
    """
    chart = atlas.parametrising[which]
    images = chart.inverse(guesses)
    within = ball.contains(images)
    if within.any():
        guesses, images = guesses[within], images[within]
    s = guesses[distances(local, ball.forward(images)).argmin(1)]
    open_ = np.arange(len(local))
    for _ in range(NEWTON_STEPS):
        residual = ball.forward(chart.inverse(s[open_])) - local[open_]
        jacobian = ball.frame.T @ chart.inverse.jacobian_at(s[open_])
        # Where the projection degenerates there is nothing to converge to: such points stay, and are missed below.
        finite = np.isfinite(np.concatenate([residual, jacobian.reshape(len(open_), atlas.dimension**2)], axis=1))
        goes_on: NDArray[np.bool_] = np.logical_and.reduce(finite, axis=1)
        goes_on &= np.abs(residual).max(1) > NEWTON_TOLERANCE * ball.radius
        open_ = open_[goes_on]
        if not len(open_):
            break
        determinant, cofactors = adjugate(jacobian[goes_on])
        regular = np.abs(determinant) > np.finfo(float).eps
        open_ = open_[regular]
        step = np.einsum("nij,nj->ni", cofactors[regular], residual[goes_on][regular])
        s[open_] -= step / determinant[regular, None]
    base = chart.inverse(s)
    found = np.abs(ball.forward(base) - local).max(1) <= MISSED * ball.radius
    return s, found & ball.contains(base) & _on_manifold(atlas, which, s, base)


def adjugate(matrices: Array) -> tuple[Array, Array]:
    """Determinants (N,) and adjugates (N, d, d) of matrices (N, d, d): in closed form up to d = 3, where LAPACK is many times slower."""
    d = matrices.shape[1]
    a = matrices
    if d == 1:
        return a[:, 0, 0], np.ones_like(a)
    if d == 2:
        cofactors = np.stack([a[:, 1, 1], -a[:, 0, 1], -a[:, 1, 0], a[:, 0, 0]], axis=1).reshape(-1, 2, 2)
        return a[:, 0, 0] * a[:, 1, 1] - a[:, 0, 1] * a[:, 1, 0], cofactors
    if d == 3:
        # Its rows are the cross products of columns.
        x, y, z = a[:, :, 0], a[:, :, 1], a[:, :, 2]
        cofactors = np.stack([np.cross(y, z), np.cross(z, x), np.cross(x, y)], axis=1)
        return np.einsum("ni,ni->n", x, cofactors[:, 0]), cofactors
    determinant = np.linalg.det(a)
    cofactors = np.zeros_like(a)
    regular = np.abs(determinant) > np.finfo(float).eps
    cofactors[regular] = np.linalg.inv(a[regular]) * determinant[regular, None, None]
    return determinant, cofactors


def _on_manifold(atlas: Atlas, which: int, s: Array, base: Array) -> NDArray[np.bool_]:
    """Whether each φ⁻¹(s) is a point of M: s lies in its chart's box, or another chart contains the point."""
    inside = atlas.parametrising[which].inside(s)
    for chart in atlas.parametrising:
        if inside.all():
            break
        if chart.forward is not None:
            inside[~inside] = chart.contains(base[~inside])
    return inside


def _without(points: Points, rows: NDArray[np.bool_]) -> Points:
    """The points with NaN in place of those of `rows`."""
    base = np.where(rows[:, None], np.nan, points.base)
    return Points(points.chart, points.intrinsic, base, points.ambient)
