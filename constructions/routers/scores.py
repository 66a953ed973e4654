"""Layer 1 and the gate of layer 2: scores τ whose argmax is a chart that contains x (Theorem 4.8 steps 1–3, B11, B12).

The reference scores s are the partition of unity ρ, or the depths b of x in the charts, in units of a level that
some depth reaches everywhere. If ‖s − τ‖ ≤ δ, the winner i = argmax τ(x) has
s_i(x) ≥ max_k s_k(x) − 2δ, so it is valid as soon as 2δ < min_x max_k s_k(x):

=============== ======== ===================== =============================== ======================
routing         scores s budget δ              because                         then
=============== ======== ===================== =============================== ======================
"theorem"       ρ        1/(4E)                max ρ ≥ 1/E                     ρ_i ≥ 1/(2E)
"multiplicity"  ρ        1/(4N), B11           at most N charts meet: ≥ 1/N    ρ_i ≥ 1/(2N)
"plateau"       b        1/4, B12              some b_k ≥ 1 everywhere         b_i ≥ 1/2
=============== ======== ===================== =============================== ======================

Where K charts are chosen the K-th largest score takes the place of the largest (R6, N14): with 2δ < μ_K = min_x s_(K)(x) all K that win
have s_i ≥ s_(K) − 2δ > 0, so each of them holds x. "multiplicity" then has δ = μ_K/4, μ_K taken smaller than search found it, and
"plateau" a level that K depths reach everywhere; "theorem" speaks of the largest ρ only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...atlas import Array, Atlas, BallChart, ManifoldTask
from ...errors import EpsilonNotReached
from ...moe.promise import ScorePromise
from ..asked import Asked
from ..relu import NARROWEST, Hint, Target, fit, fit_to
from ..shares import HELD_OUT_SAFETY
from .base import Router
from .scored import COVER_SAMPLES, Cover, Scored, measure_cover
from .scores_claims import Wording

AUTO_WIDTH = 1024
"""routing="auto" moves on to the next budget when τ would have to be wider; a routing asked for by name may use max_width."""
HOPE = 8.0
"""Four times the width has been seen to gain up to a factor of 4, and pruning another 2."""
PLATEAU_SAFETY = 0.8
"""The plateau level is this times the smallest depth seen: the cover {depth ≥ level} then has a margin of a fifth."""

WORDING = {
    "theorem": Wording("ρ", "1/E", "1/(4E)", "Theorem 4.8 steps 1–3"),
    "multiplicity": Wording("ρ", "1/N", "1/(4N)", "B11"),
    "plateau": Wording("b", "1", "1/4", "B12"),
}
SEVERAL = {"multiplicity": Wording("ρ", "μ_K", "μ_K/4", "R6, N14"), "plateau": Wording("b", "1", "1/4", "B12, N14")}
"""The same where K charts are chosen."""

cover_of = functools.lru_cache(maxsize=4)(measure_cover)
"""The same charts are asked about by one router after another."""


def budget_of(atlas: Atlas, kind: str, cover: Cover, top_k: int = 1) -> float:
    """δ of the table above."""
    if top_k > 1 and kind == "multiplicity":
        return PLATEAU_SAFETY * cover.mu / 4
    return {"theorem": 1 / (4 * len(atlas)), "multiplicity": 1 / (4 * cover.multiplicity), "plateau": 1 / 4}[kind]


def promise_of(atlas: Atlas, kind: str, cover: Cover, delta: float, level: float | None) -> ScorePromise | None:
    """What the table above says of τ."""
    facts = {"routing": kind, "delta": delta, "mu": cover.mu, "multiplicity": cover.multiplicity, "plateau_level": level}
    return ScorePromise.from_facts(facts, len(atlas))


@dataclass(frozen=True)
class Scores(Router):
    """τ for one kind of scores: of the width asked for, or as narrow as the budget allows."""

    name: str
    """"theorem", "multiplicity" or "plateau"."""
    tentative: bool = False
    """Whether it is one of several to be tried: then τ is no wider than AUTO_WIDTH, and is not tried without hope."""
    top_k: int = 1

    @property
    def title(self) -> str:
        return self.name

    def accepts(self, task: ManifoldTask) -> str | None:
        if self.top_k == 1:
            return None
        if self.top_k > len(task.atlas):
            return f"of {len(task.atlas)} charts no {self.top_k} can be chosen"
        cover = cover_of(task.atlas, 0, self.top_k)
        reached = cover.mu if self.name == "multiplicity" else cover.depth
        return None if reached > 0 else f"some points lie in fewer than {self.top_k} charts"

    def choosing(self, top_k: int) -> Router | None:
        return None if self.name == "theorem" and top_k > 1 else replace(self, top_k=top_k)

    def hopeless(self, task: ManifoldTask, asked: Asked, missed: Sequence[EpsilonNotReached]) -> str | None:
        """A quick τ ≈ ρ of a quarter of the width errs by more than HOPE times what δ allows; or the same scores have been tried."""
        if not self.tentative or self.name == "plateau":
            return None
        cover = cover_of(task.atlas, asked.seed, self.top_k)
        delta = budget_of(task.atlas, self.name, cover, self.top_k)
        if missed and HELD_OUT_SAFETY * missed[-1].reached > delta:
            # "multiplicity" asks the same of the same scores, with a larger budget.
            return f"τ ≈ ρ reached {missed[-1].reached:.3g} before, but the budget is {delta / HELD_OUT_SAFETY:.3g}"
        if asked.width is not None:
            return None
        scout = _scout(task.atlas, min(asked.limit, AUTO_WIDTH), asked.seed)
        if scout <= HOPE * delta / HELD_OUT_SAFETY:
            return None
        return f"a quick τ ≈ ρ errs by {scout:.3g}, too far from the budget {delta / HELD_OUT_SAFETY:.3g}"

    def build(self, task: ManifoldTask, asked: Asked) -> Scored:
        """Raises `EpsilonNotReached` when the budget is out of reach."""
        atlas, seed = task.atlas, asked.seed
        cover = cover_of(atlas, seed, self.top_k)
        level = PLATEAU_SAFETY * cover.depth if self.name == "plateau" else None
        reference: Callable[[Array], Array] = atlas.rho if level is None else lambda base: atlas.plateau(base, level)
        delta = budget_of(atlas, self.name, cover, self.top_k)

        def draw(count: int, draw_seed: int, held_out: bool) -> tuple[Array, Array]:
            points = atlas.sample(max(count, 16 * len(atlas)), draw_seed, low_discrepancy=not held_out)
            return points.ambient, reference(points.base)

        origin = "scores of Theorem 4.8 step 1" if level is None else "plateau scores (B12)"
        target = Target(draw, "tau", origin, _hints(atlas, level), _towards(atlas, reference, seed))
        remedy = 'use routing="plateau", fewer or more strongly overlapping charts, or a larger max_width'
        if asked.width is None:
            limit = min(asked.limit, AUTO_WIDTH) if self.tentative else asked.limit
            tau = fit_to(target, delta / HELD_OUT_SAFETY, start=64, limit=limit, seed=seed, remedy=remedy)
        else:
            tau = fit(target, asked.width, seed=seed)
            if HELD_OUT_SAFETY * tau.error > delta:
                raise EpsilonNotReached("tau", budget=delta / HELD_OUT_SAFETY, reached=tau.error, width=asked.width, remedy=remedy)
        promise = promise_of(atlas, self.name, cover, delta, level)
        wording = (WORDING if self.top_k == 1 else SEVERAL)[self.name]
        return Scored(self.name, atlas, reference, delta, cover, level, tau, promise, wording, self.top_k)


@functools.lru_cache(maxsize=4)
def _scout(atlas: Atlas, limit: int, seed: int) -> float:
    """The error of a quick τ ≈ ρ of a quarter of the width."""

    def draw(count: int, draw_seed: int, held_out: bool) -> tuple[Array, Array]:
        points = atlas.sample(count, draw_seed, low_discrepancy=not held_out)
        return points.ambient, atlas.rho(points.base)

    return fit(Target(draw, "tau", "scout"), max(limit // 4, NARROWEST), seed=seed).error


def _towards(atlas: Atlas, scores: Callable[[Array], Array], seed: int) -> tuple[Array, ...]:
    """From the middle of M to the middle of each score's mass: a bump varies along this direction first of all."""
    points = atlas.sample(max(COVER_SAMPLES, 64 * len(atlas)), seed + 1)
    weights = scores(points.base)
    middles = (weights.T @ points.ambient) / weights.sum(0)[:, None]
    return tuple(middles - points.ambient.mean(0))


def _hints(atlas: Atlas, level: float | None) -> tuple[Hint, ...]:
    """Depths in balls bend where |y − c|² = r².

    |y|² is constant on circles, spheres, tori and rotation groups; there |y − c|² = |y|² + |c|² − 2c·y makes these
    places hyperplanes c·y = t and τ exact with one neuron a chart. Elsewhere they are only approximately flat.
    """
    if level is None or not isinstance(atlas.charts[0], BallChart):
        return ()
    square = float(np.mean(np.sum(atlas.sample(1024, 0).base ** 2, axis=1)))
    hints = []
    for chart in atlas.charts:
        assert isinstance(chart, BallChart)
        length = float(np.linalg.norm(chart.center))
        if length > 0:
            knot = (square + length**2 - chart.radius**2) / (2 * length)
            hints.append(Hint(atlas.embed(chart.center / length), (knot,)))
    return tuple(hints)
