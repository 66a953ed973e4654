"""What Enc of a ball loses: Dec∘Enc(x) = c_i + V_i·V_iᵀ(x − c_i) is the nearest point of the tangent space (N11).

Statement. For c ∈ M of reach τ_M and every x ∈ M

    |x − Dec Enc x| ≤ |x − c|²/(2τ_M) ≤ r²/(2τ_M)   on the ball of radius r,

with equality on a circle or sphere of radius τ_M in the middle: x − c has the height 1 − cos θ = |x − c|²/2 over the tangent. So what lies
farther from its tangent space than r²/(2τ_M) is no point of M. Source: Federer, Curvature measures, Theorem 4.18. That is measured; what
is proved besides, of any manifold, is a number a little above what was found (`proved_reconstruction`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...atlas import Array, Atlas, BallChart
from ...atlas.reach import reach_of
from ...moe.ledger import Claim, Known
from .proved_reconstruction import prove_gap

SAMPLES = 1 << 12
PROVED_NAME = "reconstruction.proved"
SLACK = 1.1
"""What is proved is at most so many times the largest that was found."""
ROUNDED = 1e-12
"""Of what is measured, in units of the radius."""
FLAT = 1e-9
"""In units of the radius, what of a flat manifold is proved."""


def reconstruction(atlas: Atlas, prefix: str, seed: int) -> tuple[Claim, ...]:
    """Two claims about all balls of an atlas, none about charts of other kinds.

    `reconstruction`, measured on points of M: the largest |x − Dec Enc x|·2τ_M/|x − c_i|² ≤ 1 over all balls that hold x, or
    |x − Dec Enc x| ≤ r where no reach is known, as Dec Enc x is the foot of a perpendicular. `reconstruction.proved`: what is enclosed of
    it; none, and a note in the first, where that takes too many patches.
    """
    if atlas.balls is None:
        return ()
    measured, largest = _measured(atlas, prefix, seed)
    radius = max(ball.radius for ball in atlas.charts if isinstance(ball, BallChart))
    budget = max(SLACK * largest, FLAT * radius)
    proof = prove_gap(atlas, budget)
    if proof.bound is None:
        return (replace(measured, note=proof.why),)
    statement = (
        f"|x − Dec Enc x| ≤ {proof.bound:.6g} for every x of the manifold in the ball of any expert, enclosed on {proof.patches:,} "
        f"patches, whatever the reach is: what lies farther is no point of the manifold; {SLACK:g} times what was found was asked for"
    )
    return measured, Claim(f"{prefix}{PROVED_NAME}", statement, "N11, B17", budget, proof.bound, Known.PROVED)


def _measured(atlas: Atlas, prefix: str, seed: int) -> tuple[Claim, float]:
    """The claim on points of M, and the largest |x − Dec Enc x| among them."""
    tau, points = reach_of(atlas), atlas.sample(SAMPLES, seed + 86028121)
    radius = max(ball.radius for ball in atlas.charts if isinstance(ball, BallChart))
    gaps, away = np.zeros(len(points)), np.zeros(len(points))
    for ball in atlas.charts:
        assert isinstance(ball, BallChart)
        inside = ball.contains(points.base)
        lost = gap(points.base[inside], ball.center, ball.frame)
        gaps[inside] = np.maximum(gaps[inside], lost)
        away[inside] = np.maximum(away[inside], 0.0 if tau is None else lost * 2 * tau - _squared(points.base[inside], ball.center))
    worst, allowed = int(gaps.argmax()), radius if tau is None else radius**2 / (2 * tau)
    known = "of which no reach is known" if tau is None else f"of reach τ_M = {tau:.6g}, r²/(2τ_M) = {allowed:.6g}"
    found = float(gaps[worst]) if tau is None or away.max() <= ROUNDED * radius else np.inf
    claim = Claim(
        f"{prefix}reconstruction",
        f"|x − Dec Enc x| ≤ {'r' if tau is None else '|x − c_i|²/(2τ_M) ≤ r²/(2τ_M)'} for x in the ball of radius r = {radius:.6g} of any "
        f"expert: what lies farther from its Dec Enc is no point of the manifold, {known}",
        "N11",
        allowed,
        found,
        Known.SAMPLED,
        samples=len(points),
        witness=tuple(map(float, points.ambient[worst])),
    )
    return claim, float(gaps[worst])


def gap(base: Array, center: Array, frame: Array) -> Array:
    """|x − Dec Enc x| for points (N, k)."""
    offset = base - center
    return np.asarray(np.linalg.norm(offset - (offset @ frame) @ frame.T, axis=1))


def _squared(base: Array, center: Array) -> Array:
    return np.asarray(((base - center) ** 2).sum(1))
