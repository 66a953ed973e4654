"""Charts that see less than all tangent spaces span: one encoder P of ℓ dimensions, where exact ones need more (N10, second half).

Statement. Let P (ℓ, k) have orthonormal rows and s = min_i σ_min(P·V_i) > 0. Then φ_i(x) = s·(P·V_i)⁺·P·(x − c_i) is a chart map of x
through P alone; on the tangent space at c_i it is s times V_iᵀ, and no distance grows, as ‖(P·V_i)⁺‖ ≤ 1/s. It is injective on a ball of
radius r if

    arcsin(r/τ_M) + 2·arcsin(r/(2τ_M)) < arcsin s,

which for s = 1 is B18. A chart that shrinks no distance to less than s/5 of itself will do as well, which is measured; what experts make of
it is measured and proved like any other. P is of the largest singular vectors of all V_iᵀ, ℓ the least for which that holds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import asin

import numpy as np

from ...atlas import Array, BallChart, ManifoldTask
from ...atlas.ball import LEAST_STRETCH
from ...atlas.distances import pairwise
from ...atlas.reach import reach_of
from ...errors import InvalidArgument
from ...moe.ledger import Claim, Known
from .low_dimensional import row_space

LEAST_SEEN = 0.2
"""σ_min(P·V_i) at least: what is seen of every tangent space."""
SAMPLES, PER_BALL = 1 << 12, 48
"""Points drawn, and those of each ball whose distances are looked at."""


@dataclass(frozen=True, eq=False)
class Projected:
    """A task on slanted charts, of which all maps read ℓ numbers."""

    task: ManifoldTask
    dimensions: int
    spanned: int
    seen: float
    """s."""
    stretch: float
    """The least |W_i(y − z)|/|y − z| that was found, W_i = (P·V_i)⁺·P."""

    def claim(self, prefix: str) -> Claim:
        """What the encoder keeps, beside what the lemma asks for where a reach is known."""
        tau, radius = reach_of(self.task.atlas), max(ball.radius for ball in self.task.atlas.charts if isinstance(ball, BallChart))
        lemma = "no reach is known"
        if tau is not None:
            angle = asin(min(1.0, radius / tau)) + 2 * asin(min(1.0, radius / (2 * tau)))
            holds = radius < tau and angle < asin(self.seen)
            lemma = f"arcsin(r/τ_M) + 2·arcsin(r/2τ_M) = {angle:.4g} is {'' if holds else 'not '}below arcsin s, reach τ_M = {tau:.6g}"
        statement = (
            f"one encoder of {self.dimensions} dimensions in the place of the {self.spanned} that the charts span: s = min σ_min(P·V_i) = "
            f"{self.seen:.4g}, and no distance in a ball shrinks to less than this part of itself; {lemma}"
        )
        return Claim(f"{prefix}experts.projected", statement, "N10", LEAST_STRETCH, self.stretch, Known.SAMPLED, ">=", SAMPLES)


def project(task: ManifoldTask, called: str, seed: int) -> Projected:
    """The task on charts behind the smallest encoder that keeps them apart. Raises `InvalidArgument` for charts that are no balls, and
    where no encoder of fewer dimensions than the charts span does.
    """
    atlas = task.atlas
    balls = [chart for chart in atlas.charts if isinstance(chart, BallChart)]
    if len(balls) < len(atlas):
        raise InvalidArgument(f"{called}: only tangent charts of balls are projected (N10); use experts 'encoder', or theorem 'affine'")
    frames = np.stack([ball.frame for ball in balls])
    spanned, V = row_space(np.concatenate(np.swapaxes(frames, 1, 2)))
    base, best = atlas.sample(SAMPLES, seed + 32452867).base, 0.0
    near = [base[ball.contains(base)][:PER_BALL] for ball in balls]
    for dimensions in range(atlas.dimension, spanned):
        P = V[:dimensions]
        seen = float(np.linalg.svd(P @ frames, compute_uv=False)[:, -1].min())
        if seen < LEAST_SEEN:
            best = max(best, seen)
            continue
        W = np.linalg.pinv(P @ frames) @ P
        stretch = min(_stretch(points, w) for points, w in zip(near, W, strict=True))
        if stretch >= LEAST_STRETCH:
            slanted = tuple(replace(ball, frame=np.ascontiguousarray(seen * w.T)) for ball, w in zip(balls, W, strict=True))
            return Projected(replace(task, atlas=replace(atlas, charts=slanted)), dimensions, spanned, seen, stretch)
    raise InvalidArgument(
        f"{called}: its charts span {spanned} dimensions, and an encoder of fewer sees one of them edge-on (least singular value "
        f"{best:.2g}, {LEAST_SEEN:g} is asked for) or folded; use experts 'encoder', or smaller balls"
    )


def _stretch(points: Array, w: Array) -> float:
    """The least |w·(y − z)|/|y − z| of these points."""
    apart, local = pairwise(points), pairwise(points @ w.T)
    far = apart > 1e-9 * apart.max(initial=0.0)
    return float((local[far] / apart[far]).min(initial=1.0))
