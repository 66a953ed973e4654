"""Proved coverings (B17): every point of M lies in a ball, with a margin, by enclosing the charts patch by patch.

The boxes of the parametrising charts are split into patches P_a with centre c_a = φ⁻¹(u_a) and a proved enclosing radius e_a. If
for every patch some ball b has r_b² − (|c_a − c_b| + e_a)² ≥ κ, then max_b (r_b² − |x − c_b|²) ≥ κ for every x ∈ M; patches for
which no ball does are halved along the side that contributes most to e_a. A patch whose centre itself is in no ball is a hole,
and its centre the witness. Patches on which a chart's region is proved negative belong to no chart and are dropped.

Where every point has to lie in K balls (N14), the K-th largest takes the place of the largest throughout.

What is proved is about M as the union of the images of the closed boxes under the inverses; no forward map and no test of
membership is needed, because U_b = M ∩ B(c_b, r_b).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, Atlas, Chart
from ...atlas.covering import deepest_balls, nearest_ball
from ...atlas.implicit.spans import Spans
from ...atlas.implicit.together import proved_charts
from ...expressions import halved
from ...expressions.implicit import Tube
from ...intervals import Interval, NaturalEnclosure, NotEnclosed
from ...intervals.program import Program

BATCH = 1 << 15
"""Patches enclosed at a time."""
MOST_PATCHES = 1 << 20
"""A proof that needs more is given up: about a minute."""
FIRST_PATCHES, FEWEST_FIRST = 1 << 10, 1 << 6
"""About so many patches per chart to begin with; of more than `MANY` charts as many in all as of so many, but at least these."""
MANY = 8
SMALLEST = 2.0**-40
"""Sides, in widths of the chart's box, that are not halved any more."""
MOST_VERTICES = 6
"""Coordinates of which all vertices are looked at."""
RELATIVE = 1e-12
"""Float64 rounding in |c_a − c_b|, e_a and their combination, as a part of the numbers that enter: generous."""


Patches = tuple[NDArray[np.bool_], NDArray[np.bool_], Array, Array, NDArray[np.intp]]


@dataclass(frozen=True, eq=False)
class CoverProof:
    """max_b (r_b² − |x − c_b|²), or the K-th largest, is at least `margin` for every x ∈ M, if that is not None."""

    margin: float | None
    patches: int
    """Patches enclosed."""
    hole: Array | None
    """A point of M (k,) that no ball holds, or fewer than K."""
    why: str
    """Why there is no proof; empty if there is one."""


class _Enclosed:
    """Enclosures of one chart: of φ⁻¹, of its Jacobian, and of its region."""

    def __init__(self, chart: Chart) -> None:
        """Raises `NotEnclosed`."""
        self.charts = (chart,)
        try:
            self.inverse = NaturalEnclosure(chart.inverse)
            self.jacobian = NaturalEnclosure(chart.inverse.jacobian)
            self.region = None if chart.region is None else NaturalEnclosure(chart.region)
        except NotEnclosed as missing:
            raise NotEnclosed(f'chart "{chart.name}": {missing}') from None

    def patches(self, owner: NDArray[np.intp], lower: Array, upper: Array) -> Patches:
        """For boxes (n, d) of charts of these numbers: whether they may meet the chart and whether their middles are on it, (n,) each,
        c (n, k), e (n,), and the side to halve (n,).
        """
        d = lower.shape[1]
        middle = lower + (upper - lower) / 2
        sides = [Interval(lower[:, j], upper[:, j]) for j in range(d)]
        meets = np.ones(len(lower), bool)
        if self.region is not None:
            meets = ~(self.region(sides)[0].upper < 0)
        with np.errstate(invalid="ignore", over="ignore"):
            images = self.inverse([Interval.of(middle[:, j]) for j in range(d)])
            center = np.stack([image.middle for image in images], axis=1)
            blur = np.stack([image.upper - image.lower for image in images], axis=1)
            # Mean value: |φ⁻¹(u) − φ⁻¹(u_a)| ≤ Σ_j sup|∂_jφ⁻¹|·half_j, componentwise.
            half = np.nextafter(np.maximum(upper - middle, middle - lower), np.inf)
            slopes = np.stack([entry.magnitude for entry in self.jacobian(sides)], axis=1).reshape(len(lower), -1, d)
            parts = np.where(half[:, None, :] > 0, slopes * half[:, None, :], 0.0)
            reach = np.linalg.norm(parts.sum(2) + blur, axis=1)
            # Directly: how far the image's own enclosure reaches from c.
            whole = zip(self.inverse(sides), center.T, strict=True)
            direct = np.stack([np.maximum(image.upper - c, c - image.lower) for image, c in whole], axis=1)
            radius = np.fmin(reach, np.linalg.norm(direct, axis=1))
        radius = np.where(np.isnan(radius), np.inf, radius) * (1 + RELATIVE)
        weight = np.linalg.norm(np.nan_to_num(parts, nan=np.inf, posinf=np.inf), axis=1)
        relative = (upper - lower) / self.charts[0].domain.widths
        # Where slopes are unbounded the longest side is halved, elsewhere the one that costs most.
        longest = np.where(np.isfinite(weight).all(1, keepdims=True), weight, relative)
        return np.asarray(meets), np.asarray(self.charts[0].inside(middle)), center, radius, longest.argmax(1)


class _Spanned:
    """The same of all tangent charts of an atlas that nothing is cut off from, side by side.

    x lies in m + A·[−1, 1]^d and a ball of radius ρ around each point (`atlas.implicit.spans`): e = ρ + max |A·s|, at a vertex s.
    """

    def __init__(self, charts: Sequence[Chart], tubes: Sequence[Tube]) -> None:
        self.charts = charts
        self._spans = Spans(tubes, Program(tubes[0].equations))

    def patches(self, owner: NDArray[np.intp], lower: Array, upper: Array) -> Patches:
        center, span, ball = self._spans(owner, lower, upper)
        sizes = np.linalg.norm(span, axis=1)
        if span.shape[2] > MOST_VERTICES:
            radius = sizes.sum(1)
        else:
            signs = np.array([(1.0, *rest) for rest in product((-1.0, 1.0), repeat=span.shape[2] - 1)])
            radius = np.linalg.norm(np.einsum("nkd,vd->nvk", span, signs), axis=2).max(1)
        every = np.ones(len(owner), bool)
        return every, every, center, np.asarray((radius + ball) * (1 + RELATIVE)), sizes.argmax(1)


def _grouped(atlas: Atlas) -> list[_Enclosed | _Spanned]:
    """Raises `NotEnclosed`."""
    tubes = [chart.tube for chart in atlas.parametrising if chart.region is None]
    proved = proved_charts([chart.tube for chart in atlas.parametrising])
    if atlas.together is not None and len(tubes) == len(proved) and proved.all():
        return [_Spanned(atlas.parametrising, [tube for tube in tubes if tube is not None])]
    return [_Enclosed(chart) for chart in atlas.parametrising]


def prove_cover(atlas: Atlas, centers: Array, radii: Array, kappa: float, *, fold: int = 1, most: int = MOST_PATCHES) -> CoverProof:
    """Prove max_b (r_b² − |x − c_b|²) ≥ kappa > 0 on M for balls with centres (E, k) and radii (E,), or find a hole, or say why neither.
    With a `fold` of K: that the K-th largest is.

    Centres and radii are the floats as they are; M is before any embedding. At most `most` patches are enclosed.
    """
    enclosed = 0
    margin = np.inf
    first = min(FIRST_PATCHES, max(FEWEST_FIRST, FIRST_PATCHES * MANY // len(atlas.parametrising)))
    try:
        groups = _grouped(atlas)
    except NotEnclosed as missing:
        return CoverProof(None, enclosed, None, str(missing))
    for group in groups:
        cells = [chart.domain.cells(first) for chart in group.charts]
        lower, upper = (np.concatenate(ends) for ends in zip(*cells, strict=True))
        owner = np.repeat(np.arange(len(cells)), [len(low) for low, _ in cells])
        least = SMALLEST * np.array([chart.domain.widths for chart in group.charts])
        while len(lower):
            enclosed += min(len(lower), BATCH)
            if enclosed > most:
                return CoverProof(None, enclosed, None, f"more than {most} patches are needed")
            low, high, of = lower[:BATCH], upper[:BATCH], owner[:BATCH]
            meets, on, center, radius, side = group.patches(of, low, high)
            reach, depth = _judge(center, radius, centers, radii, fold)
            holes = np.flatnonzero(on & (depth < 0))
            if len(holes):
                return CoverProof(None, enclosed, center[holes[0]], "")
            settled = reach >= kappa
            thin = np.flatnonzero(~settled & on & (depth < kappa))
            if len(thin):
                at = ", ".join(f"{v:.6g}" for v in center[thin[0]])
                return CoverProof(None, enclosed, None, f"the margin is {depth[thin[0]]:.3g} at ({at}), less than {kappa:.3g}")
            settled |= ~meets
            margin = min(margin, float(reach[settled & meets].min(initial=np.inf)))
            open_ = np.flatnonzero(~settled)
            again = np.tile(of[open_], 2)
            split = halved(low[open_], high[open_], side[open_])
            if len(small := np.flatnonzero((split[1] - split[0] < least[again]).any(1))):
                at = ", ".join(f"{v:.6g}" for v in split[0][small[0]])
                return CoverProof(None, enclosed, None, f'chart "{group.charts[again[small[0]]].name}" cannot be settled near ({at})')
            lower, upper = np.concatenate([split[0], lower[BATCH:]]), np.concatenate([split[1], upper[BATCH:]])
            owner = np.concatenate([again, owner[BATCH:]])
    return CoverProof(margin, enclosed, None, "")


def _judge(center: Array, radius: Array, centers: Array, radii: Array, fold: int) -> tuple[Array, Array]:
    """With b the ball that c_a is deepest in: r_b² − (|c_a − c_b| + e_a)² from below, r_b² − |c_a − c_b|² from above; (n,) each. With a
    `fold` of K the least of the former among the K balls that c_a is deepest in, and the latter of the K-th.
    """
    finite = np.isfinite(center).all(1) & np.isfinite(radius)
    center, radius = np.where(finite[:, None], center, 0.0), np.where(finite, radius, np.inf)
    if fold == 1:
        power, ball = (found[:, None] for found in nearest_ball(center, centers, radii))
    else:
        power, ball = deepest_balls(center, centers, radii, fold)
    scale = RELATIVE * (np.abs(centers).max() ** 2 * centers.shape[1] + float(radii.max()) ** 2)
    distance = np.linalg.norm(center[:, None] - centers[ball], axis=2)
    reach = (radii[ball] ** 2 - (distance + radius[:, None]) ** 2).min(1)
    return reach - scale, np.where(finite, scale - power.max(1), np.inf)
