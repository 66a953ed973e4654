"""Tangent charts of a zero set: around zeros, as large as floats say, along the directions in which the set is bent least and most.

Near a zero c the set is the graph of w(u) = ½·II(u, u) + …, II_l = −((Dg·N)⁻¹)_l·D²g on the tangent space. Its principal directions,
those of Σ_l II_l², become the axes of the chart, and half-widths are as long as slopes allow, axis by axis, about 1/κ_j each: around a thin
tube rectangles reach up to four times as far along it as around it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...expressions.box import Array, Box
from ...expressions.frames import Frames, linear
from ...expressions.implicit import Tube, reflections, turned
from ...expressions.later import sympy
from ...expressions.maps import ExpressionMap
from ...intervals.implicit import prove_all
from ...intervals.program import equations_of
from ..chart import Chart

GRID, MOST_POINTS = 5, 256
"""Points along each side of a box at which w is looked at, fewer in more dimensions; and of the grid at most."""
STEEPEST = 1.3
"""The largest slope |∂_j w_l| of a chart, as sampled."""
FIRST = 1.6
"""Half-widths that are tried first, in radii of curvature."""
LONGEST = 4.0
"""The longest side of a chart in parts of the shortest."""
ROUND = 1.25
"""Where principal curvatures differ by less than this factor, axes are left as they are."""
HEIGHT, LEAST_HEIGHT = 1.3, 0.08
"""h in parts of the largest |w| that was seen; and at least this part of the shortest half-width."""
STEPS = 10
"""Of Newton's method, for points of charts that may be chosen."""
SHRINK = 0.8
FEW = 1 << 9
"""Boxes in which a tube has to be proved, so that a chart is no larger than enclosures are good for."""


@dataclass(eq=False)
class Candidates:
    """Charts that may be chosen, in floats: nothing of them is proved."""

    equations: ExpressionMap
    centers: Array
    """(n, k)."""
    vectors: list[tuple[tuple[int, ...], ...]]
    halves: Array
    """(n, d), and 0 where no chart above the least size was found."""
    heights: Array
    """(n, m)."""

    def __len__(self) -> int:
        return len(self.centers)

    @property
    def found(self) -> NDArray[np.bool_]:
        return np.asarray(self.halves.min(1) > 0)

    def frames(self, rows: NDArray[np.intp]) -> Frames:
        m = self.heights.shape[1]
        frame = np.array([_frame(self.vectors[i]) for i in rows]).reshape(len(rows), *[self.centers.shape[1]] * 2)
        return Frames(self.equations, self.centers[rows], frame[:, :, :m], frame[:, :, m:], self.halves[rows], self.heights[rows])

    def tube(self, i: int) -> Tube:
        return Tube(self.equations, tuple(self.centers[i]), self.vectors[i], tuple(self.halves[i]), tuple(self.heights[i]))

    def shrunk(self, rows: NDArray[np.intp], least: float, factor: float = SHRINK) -> None:
        """Smaller charts in the place of these."""
        self.halves[rows] *= factor
        self.halves[rows[self.halves[rows].min(1) < least]] = 0.0
        self.sized(rows[self.found[rows]], least)

    def prove(self, least: float, scale: float) -> list[Tube | None]:
        """Tubes that are proved, of these sizes times `scale` or smaller; None where none above the least size is."""
        tubes: list[Tube | None] = [None] * len(self)
        left = np.flatnonzero(self.found)
        if scale < 1:
            self.shrunk(left, least, scale)
        while len(left):
            some = [self.tube(int(i)) for i in left]
            good = prove_all([equations_of(tube) for tube in some], FEW)
            for i, tube, done in zip(left, some, good, strict=True):
                tubes[i] = tube if done else None
            left = left[~good]
            self.shrunk(left, least)
            left = left[self.found[left]]
        return tubes

    def sized(self, rows: NDArray[np.intp], least: float) -> None:
        """Shrink charts, side by side, until w is found over all of them, with slopes that are not too steep."""
        d = self.halves.shape[1]
        across = max(3, min(GRID, int(MOST_POINTS ** (1 / d))))
        grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, across)] * d, indexing="ij"), axis=-1).reshape(-1, d)
        frames = self.frames(rows)
        while len(rows):
            halves = self.halves[rows]
            heights = np.repeat(4 * halves.max(1, keepdims=True), self.heights.shape[1], axis=1)
            wide = dataclasses.replace(frames, halves=halves, heights=heights)
            many = wide[np.repeat(np.arange(len(rows)), len(grid))]
            u = (halves[:, None] * grid).reshape(-1, d)
            w = many.solve(u, STEPS)
            slopes = np.abs(many.slopes(u, w)).max(1).reshape(len(rows), len(grid), d).max(1)
            w = np.abs(w).reshape(len(rows), len(grid), -1).max(1)
            lost = ~(np.isfinite(w).all(1) & np.isfinite(slopes).all(1))
            steep = lost[:, None] | (slopes > STEEPEST)
            over = ~steep.any(1)
            self.heights[rows[over]] = np.maximum(HEIGHT * w[over], LEAST_HEIGHT * halves[over].min(1, keepdims=True))
            halves = np.where(steep, halves * SHRINK, halves)
            self.halves[rows] = np.minimum(halves, LONGEST * halves.min(1, keepdims=True))
            small = self.halves[rows].min(1) < least
            self.halves[rows[small]] = 0.0
            left = ~over & ~small
            rows, frames = rows[left], wide[np.flatnonzero(left)]


def candidates(equations: ExpressionMap, centers: Array, largest: float, least: float, beside: Array | None = None) -> Candidates:
    """Charts around zeros (n, k), with sides between these; `beside`: T of a chart near each (n, k, d), along which M may be cut as well.

    Boxes along the same axes overlap least; where curvatures differ, they say which axes are good.
    """
    (n, k), m = centers.shape, equations.outputs
    d = k - m
    vectors = [reflections(jacobian) for jacobian in equations.jacobian_at(centers)]
    frame = np.array([_frame(v) for v in vectors])
    axes, bent = bending(equations, centers, frame)
    for i in range(n):
        if d > 1 and bent[i].max() > ROUND * bent[i].min():
            vectors[i] = turned(vectors[i], axes[i])
        elif d > 1 and beside is not None:
            left, _, right = np.linalg.svd(frame[i, :, m:].T @ beside[i])
            vectors[i] = turned(vectors[i], left @ right)
    halves = np.minimum(FIRST / np.maximum(bent, FIRST / largest), largest)
    halves = np.minimum(halves, LONGEST * halves.min(1, keepdims=True))
    made = Candidates(equations, centers, vectors, halves, np.ones((n, m)))
    made.sized(np.arange(n), least)
    return made


def bending(equations: ExpressionMap, centers: Array, frame: Array) -> tuple[Array, Array]:
    """Principal directions in the columns of T, (n, d, d), and √ of the eigenvalues of Σ_l II_l², (n, d); frames are (n, k, k)."""
    (n, k), m = centers.shape, equations.outputs
    normal, tangent = frame[:, :, :m], frame[:, :, m:]
    hessian = equations.jacobian.jacobian_at(centers).reshape(n, m, k, k)
    along = np.einsum("nka,nlkj,njb->nlab", tangent, hessian, tangent)
    d = k - m
    form = -linear(equations.jacobian_at(centers) @ normal, along.reshape(n, m, d * d)).reshape(n, m, d, d)
    square = np.nan_to_num(np.einsum("nlab,nlbc->nac", form, form), posinf=0.0, neginf=0.0)
    values, axes = np.linalg.eigh((square + np.swapaxes(square, 1, 2)) / 2)
    return axes, np.sqrt(np.maximum(values, 0.0))


def in_tube(tube: Tube, points: Array, part: float = 1.0) -> NDArray[np.bool_]:
    """Whether points (n, k) have coordinates in the tube, in floats."""
    return np.asarray(tube.frames.holds(points, part)[0])


def chart_of(name: str, tube: Tube, variables: tuple[sympy.Symbol, ...], boundary: tuple[tuple[bool, bool], ...] = ()) -> Chart:
    """The chart u ↦ x(u, w(u)) of a tube."""
    box = Box(tuple(-s for s in tube.halves), tube.halves)
    return Chart(name, box, tube.inverse(variables), tube.forward, boundary, tube=tube)


def _frame(vectors: Sequence[Sequence[int]]) -> Array:
    """[N T] in floats, (k, k)."""
    frame = np.eye(len(vectors[0]))
    for v in np.array(vectors, float):
        frame -= np.outer(2 * frame @ v, v) / (v @ v)
    return frame
