"""The claims that sampling can refute, in the words and numbers of the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np

from ...atlas import Points
from ...moe.ledger import Claim, Known
from ...moe.promise import ScorePromise
from .survey import Survey
from .ties import Ties

Sense = Literal["<=", ">=", ">"]


def claims(survey: Survey, ties: Ties, retried: Points) -> Iterator[tuple[Claim, str | None]]:
    """Every claim with the quantity whose worst point decides it (None where there is no one such point)."""
    n = sum(survey.counts.values())
    dtype = survey.network.dtype
    layers = len(survey.network.layers)

    def claim(name: str, quantity: str, statement: str, source: str, sense: Sense, budget: float, note: str = "") -> tuple[Claim, str]:
        point = survey.worst[quantity]
        return _judged(
            Claim(name, statement, source, budget, survey.value(quantity), Known.SAMPLED, sense, n, point.ambient, note=note)
        ), quantity

    where = f"x over {n:,} points of M, x̂ = x rounded to {dtype}"
    yield claim("total", "error", f"max |f(x) − Ψ(x̂)| ≤ ε, largest component; {where}", "Theorem 4.8", "<=", survey.epsilon)
    yield claim("finite", "nonfinite", "every logit, state and output is a finite number (0: yes, 1: no)", "R9", "<=", 0.0)
    if "carried" in survey.worst:
        yield claim("passthrough", "carried", "layer 1 carries x̂ unchanged, as numbers: max |x₁ − x̂| = 0", "R1", "<=", 0.0)
    step = f"4.8 step 3, layer {layers}" if layers > 1 else "B1"
    yield claim("routing.valid", "outside", "x ∈ U_i for the chosen i (0: always, 1: not)", step, "<=", 0.0)
    if survey.value("separation") != np.inf:  # +∞: every chart contains every point, there is nothing to separate
        statement = "max over charts that contain x of τ − max over charts that do not > g"
        note = f"g = {ties.tolerance:.3g}: what another batch size or other hardware may change a score by"
        yield claim("routing.separation", "separation", statement, "B11", ">", ties.tolerance, note)
    if survey.promise is not None:
        for name, quantity, statement, source, sense, budget in _score_claims(survey.promise, survey.value("max_t")):
            yield claim(name, quantity, statement, source, sense, budget)
    yield _ties(survey, ties, retried)


def _ties(survey: Survey, ties: Ties, retried: Points) -> tuple[Claim, str | None]:
    """Whichever of two tied experts is taken, the error stays below ε."""
    statement = (
        f"|f(x) − Ψ(x̂)| ≤ ε also in batches of other sizes ({ties.rerouted} of {len(retried):,} routes changed), and with every expert "
        f"whose τ is within g = {ties.tolerance:.3g} of the largest"
    )
    elsewhere, here = survey.value("tied_error"), ties.error
    claim = Claim("routing.ties", statement, "B8", survey.epsilon, elsewhere, Known.SAMPLED, "<=", sum(survey.counts.values()))
    if ties.worst is None or here <= elsewhere or np.isnan(elsewhere):
        return _judged(replace(claim, witness=survey.worst["tied_error"].ambient)), "tied_error"
    return _judged(replace(claim, bound=here, witness=tuple(retried.ambient[ties.worst].tolist()))), None


def _score_claims(promise: ScorePromise, mu: float) -> Iterator[tuple[str, str, str, str, Sense, float]]:
    t, plateau = promise.symbol, promise.plateau_level is not None
    step = "B1" if promise.balls else "B12" if plateau else "4.8 step 1"
    common = ", up to a summand common to all i" if promise.balls else ""
    yield "routing.tau", "tau_error", f"max_i |{t}_i(x) − τ_i(x̂)| ≤ δ{common}", step, "<=", promise.delta
    sharp = f"max_i |{t}_i(x) − τ_i(x̂)| < μ/2 with μ = min_x max_i {t}_i(x) = {mu:.6g}, both measured here"
    yield "routing.sharp", "tau_error", sharp, "B11", "<=", float(np.nextafter(mu / 2, -np.inf))  # strictly below μ/2
    step = "B1" if promise.balls else "B12" if plateau else "4.8 step 3"
    statement = f"max_i {t}_i(x) ≥ {promise.floor:.6g}"
    # One part in 10^12 of room: the quotients b_i/Σb_j are themselves rounded.
    yield "routing.max_score", "max_t", statement, step, ">=", promise.floor * (1 - 1e-12)
    low, winner = promise.floor - promise.delta, promise.floor - 2 * promise.delta
    if not promise.balls:
        yield "routing.max_tau", "max_tau", f"max_i τ_i(x̂) ≥ {low:.6g}", step, ">=", low
    yield "routing.chosen_rho", "chosen_t", f"{t}_i(x) ≥ {winner:.6g} > 0 for the chosen i", step, ">=", winner


def _judged(claim: Claim) -> Claim:
    """The claim, refuted if its bound misses its budget."""
    return claim if claim.holds else replace(claim, known=Known.REFUTED)
