"""What Enc of a ball loses, at every point: |x − Dec Enc x| enclosed patch by patch, whether or not a reach is known (N11, B17).

Let N_b = I − V_b·V_bᵀ, so that x − Dec Enc x = N_b·(x − c_b) on ball b, and let u range over a patch of a parametrising chart with middle
u_a and half-widths h_j. By the mean value theorem, componentwise,

    |N_b·(φ⁻¹(u) − c_b)| ≤ |N_b·(φ⁻¹(u_a) − c_b)| + Σ_j (|N_b·m_j| + |ρ_j|)·h_j,   ∂_jφ⁻¹ ∈ m_j ± ρ_j on the patch,

as ‖N_b‖ ≤ 1. N_b takes away what of ∂_jφ⁻¹ is tangent at c_b, so that patches need to be small against r, not against r²/(2τ_M). A patch
that meets the ball and is not below the bound that is asked for is halved. The union of the images of closed boxes is all of M, so what
is farther from its Dec Enc than the largest of these bounds, and in the ball, is no point of M.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, Atlas, BallChart, Chart
from ...expressions import halved
from ...intervals import Interval, NaturalEnclosure, NotEnclosed

FIRST_PATCHES = 1 << 5
"""About so many patches per chart to begin with."""
MOST_PATCHES = 1 << 20
"""Patches in all, each counted for every ball that it may meet; a proof that needs more is given up: some seconds."""
BATCH = 1 << 14
SMALLEST = 2.0**-30
"""Sides, in widths of the chart's box, that are not halved any more."""
RELATIVE = 1e-12
"""Float64 rounding, as a part of the numbers that enter: generous. ‖N_b‖ ≤ 1 + RELATIVE too, V_b orthonormal up to rounding."""


@dataclass(frozen=True)
class GapProof:
    """|x − Dec Enc x| ≤ `bound` for every x ∈ M in any of the balls, if that is not None."""

    bound: float | None
    patches: int
    why: str = ""
    """Why there is no proof."""


@dataclass(frozen=True, eq=False)
class _Judged:
    """Patches, each beside one ball."""

    meets: NDArray[np.bool_]
    above: Array
    """At least |N_b·(x − c_b)| on the patch."""
    misses: NDArray[np.bool_]
    """Where the middle is a point of the ball whose gap is above what was asked for."""
    side: NDArray[np.intp]


class _Balls:
    """Centres, radii and what is beside the tangent spaces."""

    def __init__(self, balls: tuple[BallChart, ...]) -> None:
        self.centers, self.radii = np.stack([ball.center for ball in balls]), np.array([ball.radius for ball in balls])
        self.beside = np.stack([np.eye(len(ball.center)) - ball.frame @ ball.frame.T for ball in balls])
        self.slack = RELATIVE * float(np.abs(self.centers).max() + self.radii.max())


class _Patches:
    """One chart, over boxes."""

    def __init__(self, chart: Chart, balls: _Balls) -> None:
        self.chart, self.balls = chart, balls
        self.inverse, self.jacobian = NaturalEnclosure(chart.inverse), NaturalEnclosure(chart.inverse.jacobian)
        self.region = None if chart.region is None else NaturalEnclosure(chart.region)

    def judge(self, lower: Array, upper: Array, ball: NDArray[np.intp], target: float) -> _Judged:
        """Boxes (n, d), each beside the ball of number ball[n]."""
        n, d = lower.shape
        middle, sides = lower + (upper - lower) / 2, [Interval(lower[:, j], upper[:, j]) for j in range(d)]
        half = np.nextafter(np.maximum(upper - middle, middle - lower), np.inf)
        with np.errstate(invalid="ignore", over="ignore"):
            images = self.inverse([Interval.of(middle[:, j]) for j in range(d)])
            y = np.stack([image.middle for image in images], axis=1)
            blur = np.linalg.norm(np.stack([image.upper - image.lower for image in images], axis=1), axis=1)
            entries = self.jacobian(sides)
            m = np.stack([entry.middle for entry in entries], axis=1).reshape(n, -1, d)
            rho = np.stack([np.maximum(e.upper - e.middle, e.middle - e.lower) for e in entries], axis=1).reshape(n, -1, d)
            beside, offset = self.balls.beside[ball], y - self.balls.centers[ball]
            gap = np.linalg.norm(np.einsum("nik,nk->ni", beside, offset), axis=1)
            spread = np.linalg.norm(rho, axis=1)
            steep = np.linalg.norm(np.einsum("nik,nkj->nij", beside, m), axis=1) + spread
            reach = (np.linalg.norm(m, axis=1) + spread) * half
            above = (gap + blur + (steep * half).sum(1)) * (1 + RELATIVE) + self.balls.slack
            away = np.linalg.norm(offset, axis=1)
        above = np.where(np.isnan(above), np.inf, above)
        near = away - (reach.sum(1) + blur) * (1 + RELATIVE) - self.balls.slack
        meets = ~(near > self.balls.radii[ball])
        if self.region is not None:
            meets &= ~(self.region(sides)[0].upper < 0)
        inside = (away < self.balls.radii[ball] - self.balls.slack) & self.chart.inside(middle)
        longest = np.where(np.isfinite(reach).all(1, keepdims=True), reach, (upper - lower) / self.chart.domain.widths)
        return _Judged(meets, above, inside & (gap - blur - self.balls.slack > target), longest.argmax(1))


def prove_gap(atlas: Atlas, target: float, most: int = MOST_PATCHES) -> GapProof:
    """Prove |x − Dec Enc x| ≤ target for every point of M in every ball of an atlas of balls, or say why there is no proof."""
    balls = _Balls(tuple(chart for chart in atlas.charts if isinstance(chart, BallChart)))
    patches, bound = 0, 0.0
    for chart in atlas.parametrising:
        try:
            maps = _Patches(chart, balls)
        except NotEnclosed as missing:
            return GapProof(None, patches, f'chart "{chart.name}": {missing}')
        low, high = chart.domain.cells(FIRST_PATCHES)
        ball = np.repeat(np.arange(len(balls.radii)), len(low))
        lower, upper = np.tile(low, (len(balls.radii), 1)), np.tile(high, (len(balls.radii), 1))
        while len(lower):
            part = slice(BATCH)
            patches += len(lower[part])
            if patches > most:
                return GapProof(None, patches, f"more than {most:,} patches are needed")
            found = maps.judge(lower[part], upper[part], ball[part], target)
            if found.misses.any():
                return GapProof(None, patches, "a point is farther from its Dec Enc than all that were sampled")
            settled = ~found.meets | (found.above <= target)
            bound = max(bound, float(found.above[settled & found.meets].max(initial=0.0)))
            rows = np.flatnonzero(~settled)
            first, second = halved(lower[part][rows], upper[part][rows], found.side[rows])
            if (second - first < SMALLEST * chart.domain.widths).any():
                return GapProof(None, patches, f'chart "{chart.name}" cannot be settled')
            lower, upper = np.concatenate([first, lower[BATCH:]]), np.concatenate([second, upper[BATCH:]])
            ball = np.concatenate([ball[part][rows], ball[part][rows], ball[BATCH:]])
    return GapProof(bound, patches)
