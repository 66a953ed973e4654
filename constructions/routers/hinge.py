"""Hinge scores (B14): routing between charts that half-spaces cut out of M.

If M ∩ {y : a_ik·y < b_ik for all k} ⊂ U_i for unit vectors a_ik, and the sets {a_ik·y ≤ b_ik − η for all k} cover M, then

    s_i(y) = η − Σ_k σ(a_ik·y − b_ik + η)

is η in the i-th of those sets and positive only in U_i: a two-layer net with one neuron per face *is* the scores, nothing is
fitted, and errors below η/2 are harmless. Where several scores are η the first of these charts wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...atlas import Array, Atlas, Chart, ManifoldTask, Points
from ...atlas.covering import climb
from ...errors import InvalidArgument
from ...moe.network import Affine, NeuronGroup, ReLUNet
from ...moe.ridge import Ridge
from ..asked import Asked
from ..relu import Fit
from .base import Router
from .scored import COVER_SAMPLES, Scored, measure_cover
from .scores_claims import Wording

SAMPLES = 1 << 14
CAP_SAFETY = 0.01
"""A cap found by search is made smaller by this part of its height."""
MARGIN_SAFETY = 0.8
"""η is this times the smallest margin that search found."""


@dataclass(frozen=True, eq=False)
class HalfSpaces:
    """For every chart, in order: unit normals a_i (f_i, k) and offsets b_i (f_i,) with M ∩ {a_i·y < b_i} ⊂ U_i, before any embedding."""

    normals: tuple[Array, ...]
    offsets: tuple[Array, ...]

    def __post_init__(self) -> None:
        for i, (a, b) in enumerate(zip(self.normals, self.offsets, strict=True)):
            if a.ndim != 2 or b.shape != a.shape[:1] or not len(b):
                raise InvalidArgument(f"half-spaces of chart {i}: normals of shape {a.shape} and offsets of shape {b.shape}")

    @staticmethod
    def of(atlas: Atlas, faces: Mapping[str, Sequence[tuple[ArrayLike, float]]]) -> HalfSpaces:
        """From chart name ↦ pairs (normal, offset), of any length but zero."""
        if set(faces) != set(atlas.names):
            raise InvalidArgument(f"half-spaces are needed for the charts {atlas.names}, got {tuple(faces)}")
        normals, offsets = [], []
        for name in atlas.names:
            a = np.array([np.asarray(normal, float) for normal, _ in faces[name]])
            length = np.linalg.norm(a, axis=1) if a.ndim == 2 else np.zeros(1)
            if a.ndim != 2 or a.shape[1] != atlas.base_dimension or not (length > 0).all():
                raise InvalidArgument(f'chart "{name}": normals must be nonzero vectors of R^{atlas.base_dimension}')
            normals.append(a / length[:, None])
            offsets.append(np.array([offset for _, offset in faces[name]], float) / length)
        return HalfSpaces(tuple(normals), tuple(offsets))

    def slack(self, base: Array) -> Array:
        """min_k b_ik − a_ik·y, the distance to the nearest face of the i-th set, negative outside it; (N, k) to (N, E)."""
        return np.stack([(b - base @ a.T).min(1) for a, b in zip(self.normals, self.offsets, strict=True)], axis=1)

    def scores(self, base: Array, eta: float) -> Array:
        """s_i(y), (N, k) to (N, E)."""
        sums = [np.maximum(base @ a.T - b + eta, 0).sum(1) for a, b in zip(self.normals, self.offsets, strict=True)]
        return eta - np.stack(sums, axis=1)

    def net(self, atlas: Atlas, eta: float) -> ReLUNet:
        """x ↦ s(x) on R^D, exactly: one neuron per face."""
        counts = [len(b) for b in self.offsets]
        hidden = Affine(atlas.embed(np.concatenate(self.normals)).copy(), eta - np.concatenate(self.offsets))
        out = -np.repeat(np.eye(len(counts)), counts, axis=1)
        groups = tuple(
            NeuronGroup(f"tau.face[{name}]", count, "hinge scores (B14)") for name, count in zip(atlas.names, counts, strict=True)
        )
        return ReLUNet((hidden, Affine(out, np.full(len(counts), eta))), (groups,))


def detect(atlas: Atlas, seed: int = 0) -> HalfSpaces:
    """Half-spaces for the charts of an atlas, by search: the faces of its box where φ is affine, and one cap {n·y > t} if points
    of M off the chart satisfy those; n points from the middle of M to the middle of the chart.

    Raises `InvalidArgument` if a chart cannot be cut out like this; then declare them with `HalfSpaces.of`.
    """
    points = atlas.sample(max(SAMPLES, 64 * len(atlas)), seed, low_discrepancy=True)
    middle = points.base.mean(0)
    normals, offsets = [], []
    for i, chart in enumerate(atlas.charts):
        if not isinstance(chart, Chart):
            raise InvalidArgument('hinge scores are for charts cut out by half-spaces; balls route by theorem="affine"')
        inside = atlas.contains(i, points.base)
        a, b = _box_faces(chart)
        off = ~inside & _within(points.base, a, b)
        if not off.any() and not len(b):
            # The chart is all of M and needs no face: one beyond M stands in.
            a, b = np.eye(1, atlas.base_dimension), np.array([2 * np.abs(points.base).max() + 1])
        elif off.any():
            n = points.base[inside].mean(0) - middle
            height = np.linalg.norm(n)
            if height == 0:
                raise InvalidArgument(f'chart "{chart.name}" is cut out by no single cap; declare its half-spaces')
            n = n / height

            def level(some: Points, i: int = i, a: Array = a, b: Array = b, n: Array = n) -> Array:
                return np.where(~atlas.contains(i, some.base) & _within(some.base, a, b), some.base @ n, -np.inf)

            t, _ = climb(atlas, points[np.flatnonzero(off)], level, seed)
            top = float((points.base[inside] @ n).max())
            if top <= t:
                raise InvalidArgument(f'chart "{chart.name}" is cut out by no single cap; declare its half-spaces')
            a, b = np.concatenate([a, -n[None]]), np.append(b, -(t + CAP_SAFETY * (top - t)))
        normals.append(a)
        offsets.append(b)
    return HalfSpaces(tuple(normals), tuple(offsets))


def _within(base: Array, normals: Array, offsets: Array) -> NDArray[np.bool_]:
    return np.asarray((base @ normals.T < offsets).all(1))


def _box_faces(chart: Chart) -> tuple[Array, Array]:
    """The faces of the chart's box as half-spaces, but for those on the boundary of M; none unless φ is affine."""
    a: list[Array] = []
    b: list[float] = []
    if chart.affine is not None:
        A, shift = chart.affine
        for j, (lower, upper) in enumerate(chart.boundary):
            length = float(np.linalg.norm(A[j]))
            if not lower:
                a.append(-A[j] / length)
                b.append((shift[j] - chart.domain.lower[j]) / length)
            if not upper:
                a.append(A[j] / length)
                b.append((chart.domain.upper[j] - shift[j]) / length)
    return np.array(a).reshape(len(b), chart.inverse.outputs), np.array(b)


def margin(atlas: Atlas, half_spaces: HalfSpaces, seed: int = 0) -> float:
    """η: MARGIN_SAFETY times the smallest max_i slack_i on M, by search.

    Raises `InvalidArgument` with a witness if the sets do not cover M, or if one holds points of M off its chart.
    """
    if len(half_spaces.offsets) != len(atlas):
        raise InvalidArgument(f"half-spaces for {len(half_spaces.offsets)} charts, but the atlas has {len(atlas)}")
    points = atlas.sample(max(SAMPLES, 64 * len(atlas)), seed + 1, low_discrepancy=True)
    slack = half_spaces.slack(points.base)
    for i, name in enumerate(atlas.names):
        stray = np.flatnonzero((slack[:, i] > 0) & ~atlas.contains(i, points.base) & ~_own(atlas, points, i))
        if len(stray):
            raise InvalidArgument(f'the half-spaces of chart "{name}" hold ({_text(points.base[stray[0]])}), which is not in the chart')
    worst, where = climb(atlas, points, lambda some: -half_spaces.slack(some.base).max(1), seed)
    if worst >= 0:
        raise InvalidArgument(f"the half-spaces of no chart hold ({_text(where.base[0])}); move them outwards or add charts")
    return -MARGIN_SAFETY * worst


def _own(atlas: Atlas, points: Points, chart: int) -> NDArray[np.bool_]:
    return np.asarray((points.chart == chart) & (not atlas.cover))


def _text(point: Array) -> str:
    return ", ".join(f"{v:.6g}" for v in point)


@dataclass(frozen=True, eq=False)
class Hinge(Router):
    """Scores that are a two-layer net by themselves (B14): τ differs from them by rounding alone, bounded for float32 here."""

    half_spaces: HalfSpaces | None = None
    """None: those that `detect` finds."""

    @property
    def title(self) -> str:
        return "hinge"

    def accepts(self, task: ManifoldTask) -> str | None:
        return "hinge scores are for charts cut out by half-spaces" if task.atlas.balls is not None else None

    def build(self, task: ManifoldTask, asked: Asked) -> Scored:
        """Raises `InvalidArgument` if the half-spaces do not fit the atlas."""
        atlas, seed = task.atlas, asked.seed
        half_spaces = detect(atlas, seed) if self.half_spaces is None else self.half_spaces
        eta = margin(atlas, half_spaces, seed)
        net = half_spaces.net(atlas, eta)
        faces = max(len(b) for b in half_spaces.offsets)
        reach = float(np.linalg.norm(atlas.sample(COVER_SAMPLES, seed).base, axis=1).max())
        largest = reach + float(np.abs(np.concatenate(half_spaces.offsets)).max()) + eta
        # Weights, inputs, the D + 1 terms of a neuron and the sum over a chart's faces, each term at most `largest`.
        rounding = (atlas.ambient_dimension + 4 + len(net.affines[0].bias)) * faces * largest * float(np.finfo(np.float32).eps)
        tau = Fit(Ridge.of(net), net, rounding, np.zeros(atlas.ambient_dimension), 0, len(net.affines[0].bias))
        cover, wording = measure_cover(atlas, seed), Wording("s", "η", f"η/4, η = {eta:.4g}", "B14")

        def reference(base: Array) -> Array:
            return half_spaces.scores(base, eta)

        return Scored("hinge", atlas, reference, eta / 4, cover, level=None, tau=tau, promise=None, wording=wording)
