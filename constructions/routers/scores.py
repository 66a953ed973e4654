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
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...atlas import Array, Atlas, BallChart
from ...errors import EpsilonNotReached, InvalidArgument
from ...moe.ridge import Ridge
from ..relu import NARROWEST, Fit, Hint, Target, fit, fit_to
from . import hinge
from .hinge import HalfSpaces

ROUTINGS = ("theorem", "multiplicity", "plateau", "hinge")
HELD_OUT_SAFETY = 1.5
"""A largest held-out error understates the true sup by up to 1.4 (measured); leaves are built to budget / this."""
AUTO_WIDTH = 1024
"""routing="auto" moves on to the next budget when τ would have to be wider; a routing asked for by name may use max_width."""
ROUNDING_SHARE = 1 / 16
"""The part of ε kept for the arithmetic of the exported dtype."""
HOPE = 8.0
"""Four times the width has been seen to gain up to a factor of 4, and pruning another 2."""
COVER_SAMPLES = 1 << 14
PLATEAU_SAFETY = 0.8
"""The plateau level is this times the smallest depth seen: the cover {depth ≥ level} then has a margin of a fifth."""


@dataclass(frozen=True, eq=False)
class Routing:
    """Reference scores, the budget they leave for τ, and the τ that meets it."""

    kind: str
    scores: Callable[[Array], Array]
    """Base coordinates [N, k] to reference scores [N, E]."""
    delta: float
    """Budget of ‖s − τ‖."""
    cover: Cover
    level: float | None
    """Plateau level; None for ρ."""
    tau: Fit

    @property
    def reached(self) -> float:
        """The δ that holds with the safety factor: what the routed cells are computed with."""
        return min(self.delta, HELD_OUT_SAFETY * self.tau.error)

    def lead(self, base: Array, chart: int) -> Array:
        """s_chart − max s, (N, k) to (N,); −∞ where s_chart is not positive."""
        scores = self.scores(base)
        return np.where(scores[:, chart] > 0, scores[:, chart] - scores.max(1), -np.inf)


@dataclass(frozen=True)
class Cover:
    """What the partition of unity looks like on sampled points."""

    mu: float
    """min_x max_i ρ_i(x)."""
    multiplicity: int
    """N = max_x #{i : ρ_i(x) > 0}."""
    depth: float
    """min_x max_i of the plateau depths (level 1)."""
    samples: int


def measure_cover(atlas: Atlas, seed: int = 0) -> Cover:
    """μ, N and the least depth on `COVER_SAMPLES` points of M."""
    base = atlas.sample(max(COVER_SAMPLES, 8 * len(atlas.parametrising)), seed, low_discrepancy=True).base
    rho = atlas.rho(base)
    depth = atlas.plateau(base, 1.0).max(1).min()
    return Cover(float(rho.max(1).min()), int((rho > 0).sum(1).max()), float(depth), len(base))


def budget_of(atlas: Atlas, kind: str, cover: Cover) -> float:
    """δ of the table above."""
    return {"theorem": 1 / (4 * len(atlas)), "multiplicity": 1 / (4 * cover.multiplicity), "plateau": 1 / 4}[kind]


def build(atlas: Atlas, kind: str, *, width: int | None, limit: int, seed: int, cover: Cover) -> Routing:
    """τ for one kind of routing: of hidden width `width`, or as narrow as the budget allows up to `limit`.

    Raises `EpsilonNotReached` when the budget is out of reach.
    """
    level = PLATEAU_SAFETY * cover.depth if kind == "plateau" else None
    scores: Callable[[Array], Array] = atlas.rho if level is None else lambda base: atlas.plateau(base, level)
    delta = budget_of(atlas, kind, cover)

    def draw(count: int, draw_seed: int, held_out: bool) -> tuple[Array, Array]:
        points = atlas.sample(max(count, 16 * len(atlas)), draw_seed, low_discrepancy=not held_out)
        return points.ambient, scores(points.base)

    origin = "scores of Theorem 4.8 step 1" if level is None else "plateau scores (B12)"
    target = Target(draw, "tau", origin, _hints(atlas, level), _towards(atlas, scores, seed))
    remedy = 'use routing="plateau", fewer or more strongly overlapping charts, or a larger max_width'
    if width is None:
        tau = fit_to(target, delta / HELD_OUT_SAFETY, start=64, limit=limit, seed=seed, remedy=remedy)
    else:
        tau = fit(target, width, seed=seed)
        if HELD_OUT_SAFETY * tau.error > delta:
            raise EpsilonNotReached("tau", budget=delta / HELD_OUT_SAFETY, reached=tau.error, width=width, remedy=remedy)
    return Routing(kind, scores, delta, cover, level, tau)


def build_hinge(atlas: Atlas, half_spaces: HalfSpaces, *, seed: int, cover: Cover) -> Routing:
    """Scores that are a two-layer net by themselves (B14): τ differs from them by rounding alone, bounded for float32 here.

    Raises `InvalidArgument` if the half-spaces do not fit the atlas.
    """
    eta = hinge.margin(atlas, half_spaces, seed)
    net = half_spaces.net(atlas, eta)
    faces = max(len(b) for b in half_spaces.offsets)
    reach = float(np.linalg.norm(atlas.sample(COVER_SAMPLES, seed).base, axis=1).max())
    largest = reach + float(np.abs(np.concatenate(half_spaces.offsets)).max()) + eta
    # Weights, inputs, the D + 1 terms of a neuron and the sum over a chart's faces, each term at most `largest`.
    rounding = (atlas.ambient_dimension + 4 + len(net.affines[0].bias)) * faces * largest * float(np.finfo(np.float32).eps)
    tau = Fit(Ridge.of(net), net, rounding, np.zeros(atlas.ambient_dimension), 0, len(net.affines[0].bias))
    return Routing("hinge", lambda base: half_spaces.scores(base, eta), eta / 4, cover, None, tau)


def choose(atlas: Atlas, kind: str | HalfSpaces, *, width: int | None, limit: int, seed: int) -> Routing:
    """`build` for the routing asked for; half-spaces are routed by B14.

    "auto" takes the first of "theorem", "multiplicity", "plateau" whose budget τ meets within AUTO_WIDTH.
    """
    if isinstance(kind, str) and kind not in ("auto", *ROUTINGS):
        raise InvalidArgument(f"routing {kind!r} is not one of auto, {', '.join(ROUTINGS)}")
    cover = measure_cover(atlas, seed)
    if isinstance(kind, HalfSpaces) or kind == "hinge":
        return build_hinge(atlas, hinge.detect(atlas, seed) if isinstance(kind, str) else kind, seed=seed, cover=cover)
    if kind != "auto":
        return build(atlas, kind, width=width, limit=limit, seed=seed, cover=cover)
    limit = min(limit, AUTO_WIDTH)
    for candidate in ("theorem", "multiplicity"):
        if width is None and not _within_reach(atlas, budget_of(atlas, candidate, cover), limit, seed):
            continue
        try:
            return build(atlas, candidate, width=width, limit=limit, seed=seed, cover=cover)
        except EpsilonNotReached as miss:
            # "multiplicity" asks the same of the same scores, with a larger budget: is that one within what was reached?
            if HELD_OUT_SAFETY * miss.reached > budget_of(atlas, "multiplicity", cover):
                break
    return build(atlas, "plateau", width=width, limit=limit, seed=seed, cover=cover)


def _within_reach(atlas: Atlas, delta: float, limit: int, seed: int) -> bool:
    """Whether a quick τ ≈ ρ of a quarter of the width errs by no more than HOPE times what δ allows."""

    def draw(count: int, draw_seed: int, held_out: bool) -> tuple[Array, Array]:
        points = atlas.sample(count, draw_seed, low_discrepancy=not held_out)
        return points.ambient, atlas.rho(points.base)

    scout = fit(Target(draw, "tau", "scout"), max(limit // 4, NARROWEST), seed=seed)
    return scout.error <= HOPE * delta / HELD_OUT_SAFETY


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
