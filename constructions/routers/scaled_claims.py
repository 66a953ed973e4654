"""The ledger of several experts with scaled logits (N12): total ← weights of what is chosen amiss ← cover, B; experts; rounding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from ...atlas import ManifoldTask
from ...moe.ledger import Claim, Known
from ...moe.network import Network
from ..experts.charts import Expert
from ..shares import ROUNDING_SHARE
from .affine_claims import chosen_by, worst_of
from .centres import Centres
from .scores_claims import MEASURED


class Following(Protocol):
    """What is said of a scaled gate."""

    @property
    def inner(self) -> Centres: ...

    @property
    def beta(self) -> float: ...

    @property
    def amiss(self) -> float: ...

    @property
    def allowed(self) -> float: ...

    @property
    def weight(self) -> float: ...

    @property
    def gap(self) -> float: ...

    @property
    def size(self) -> float: ...


def total(
    task: ManifoldTask, network: Network, exact: Network, routing: Following, experts: Sequence[Expert], epsilon: float, seed: int
) -> Claim:
    """|f − Ψ| ≤ ε with everything it follows from."""
    points = task.atlas.sample(max(MEASURED, 16 * len(task.atlas)), seed + 15485863)
    layer, twin, inner, K = network.layers[0], exact.layers[0], routing.inner, routing.inner.top_k
    x = points.ambient.astype(network.dtype)
    chosen = chosen_by(network, x)
    logits = layer.logits(x)
    output = layer.forward(x, chosen, logits).astype(float)
    truth = task.evaluate(points)
    weights = layer.weights(chosen, logits).astype(float)
    outside = np.stack([((points.base - inner.centers[taken]) ** 2).sum(1) >= inner.radii[taken] ** 2 for taken in chosen.T], axis=1)
    off, alone = np.zeros(len(points)), replace(layer, top_k=1)
    for k, taken in enumerate(chosen.T):
        rows = np.flatnonzero(outside[:, k])
        off[rows] = np.maximum(off[rows], np.abs(alone.forward(x[rows], taken[rows]).astype(float) - truth[rows]).max(1))
    margin = _margin(routing)
    amiss = worst_of(
        "routing.amiss",
        f"B: |f − expert i| at any x of M off ball i where i is among the {K}; bounded by its steepness",
        "N12, R6",
        routing.amiss,
        off,
        points,
    )
    seen = worst_of(
        "routing.weights",
        f"what the experts weigh together that are chosen for a point which their balls do not hold ≤ ε′/B, β = {routing.beta:g}",
        "N12",
        routing.allowed / routing.amiss,
        (weights * outside).sum(1),
        points,
    )
    scaled = Claim(
        "routing.scaled",
        f"B·(K − 1)q/(1 + (K − 1)q) ≤ ε′, q = exp(−β(Δ − 2η)), β = {routing.beta:g}, Δ − 2η = {routing.gap:.4g}",
        "N12",
        routing.allowed,
        routing.amiss * routing.weight,
        Known.FORMULA,
        children=(margin, amiss, seen),
        note=f"no logit exceeds {routing.size:.4g}{'' if routing.size < 65504 else ', which float16 does not hold'}",
    )
    same = twin.forward(x.astype(float), chosen)
    statement = f"|Ψ in {network.dtype} − Ψ in float64 along the same routes| ≤ {ROUNDING_SHARE:g}·ε"
    rounding = worst_of("rounding", statement, "R9", ROUNDING_SHARE * epsilon, np.abs(output - same).max(1), points)
    whole = worst_of("total", "|f − Ψ|∞ ≤ ε on M", "N12, R6, Corollary 4.9", epsilon, np.abs(output - truth).max(1), points)
    return replace(whole, children=(scaled, *(expert.claim for expert in experts), rounding))


def _margin(routing: Following) -> Claim:
    """κ, by proof where there is one."""
    inner = routing.inner
    statement = "max_i (r_i² − |x − c_i|²) ≥ κ everywhere on M: the deepest ball's score is Δ = κ/2 above that of any that does not hold x"
    if inner.proof.margin is None:
        witness = tuple(map(float, inner.witness.ambient[0]))
        note = f"by search; no proof: {inner.proof.why}"
        return Claim("routing.cover", statement, "B17", inner.kappa, inner.found, Known.SAMPLED, ">=", None, witness, (), note)
    note = f"{inner.proof.patches:,} patches enclosed; search found {inner.found:.4g}"
    return Claim("routing.cover", statement, "B17", inner.kappa, inner.proof.margin, Known.PROVED, ">=", note=note)
