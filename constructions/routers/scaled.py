"""`Scaled`: several of a ball atlas' experts where some of those chosen may not hold the point, by logits that are scaled (N12, R6).

Statement. Let the balls cover M with κ = min over M of max_i (r_i² − |x − c_i|²) > 0, logits known to ±η, and K experts be weighed by
softmax of β·s. A ball that does not hold x has s_i ≤ 0, the deepest has s ≥ κ/2: what is chosen amiss has a logit of at least Δ − 2η below
the best, Δ = κ/2. With B ≥ |f − expert| on all of M, and every expert right to ε where it is among the K and its ball holds x,

    β ≥ ln((K − 1)(B/ε′ − 1))/(Δ − 2η)   ⇒   |f − Ψ| ≤ ε + ε′,

since the K − 1 others together have at most a weight of (K − 1)q/(1 + (K − 1)q) = ε′/B, q = exp(−β(Δ − 2η)). β is a power of two, so
scaling rounds nothing; what it may cost is that β·max|s| leaves the dtype. B is a bound by a formula: an expert's value at its centre, and
its steepness times how far M goes from there; f is within ε of some expert in its own ball.

It is for atlases that no K-fold cover is found for (`affine`): there weights are right whatever they are. Only softmax weights tell valid
experts from others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, log, log2
from typing import Any, ClassVar

import numpy as np

from ...atlas import Array, Atlas, ManifoldTask, ball_atlas
from ...errors import EpsilonNotReached, InvalidArgument
from ...moe.ledger import Claim
from ...moe.network import Affine, Network
from ...moe.promise import ScorePromise
from ..asked import Asked
from ..experts.cells import Cell
from ..experts.charts import Expert
from . import affine_claims, scaled_claims
from .affine import AffineRouting, route
from .base import Router

SHARE = 0.25
"""Of the budget, what experts that are chosen amiss may add: ε′."""
SAFE = 1 + 2.0**-20
"""Covers the roundings of a bound's own sums."""
HALF = 65504.0
"""The largest number of float16."""


@dataclass(frozen=True, eq=False)
class ScaledRouting:
    """A gate on a ball atlas whose logits are β times the affine router's."""

    inner: AffineRouting
    """Of K balls, with the κ of one."""
    beta: float = 1.0
    amiss: float = np.inf
    """B."""
    allowed: float = 0.0
    """ε′."""

    @property
    def kind(self) -> str:
        return "scaled"

    @property
    def atlas(self) -> Atlas:
        return self.inner.atlas

    @property
    def scores(self) -> None:
        return None

    @property
    def gate(self) -> Affine:
        return Affine(self.beta * self.inner.gate.weight, self.beta * self.inner.gate.bias)

    @property
    def promise(self) -> ScorePromise | None:
        return None

    @property
    def gap(self) -> float:
        """Δ − 2η."""
        return self.inner.kappa / 2 - 2 * self.inner.eta

    @property
    def weight(self) -> float:
        """What experts chosen amiss weigh together, at most."""
        others = (self.inner.top_k - 1) * np.exp(-self.beta * self.gap)
        return float(SAFE * others / (1 + others))

    @property
    def size(self) -> float:
        """β·max|s|: no logit is larger."""
        reach = float((np.linalg.norm(self.inner.centers, axis=1) + self.inner.radii).max())
        gate = self.gate
        return float(SAFE * (np.linalg.norm(gate.weight, axis=1) * reach + np.abs(gate.bias)).max())

    def lead(self, base: Array, chart: int) -> Array:
        return self.inner.lead(base, chart)

    def cells(self, seed: int) -> list[Cell]:
        return self.inner.cells(seed)

    def leaving(self, asked: Asked) -> Asked:
        """What is asked of the experts: the budget without ε′."""
        return asked if asked.budget is None else replace(asked.less(SHARE * asked.budget), formula=None)

    def scaled(self, experts: Sequence[Expert], asked: Asked) -> ScaledRouting:
        """With the β that these experts need. Raises `EpsilonNotReached` where the dtype does not hold it."""
        error = max(expert.claim.budget for expert in experts)
        allowed = SHARE * asked.budget if asked.budget is not None else SHARE / (1 - SHARE) * error
        amiss = _amiss(self.inner, experts, error)
        if not np.isfinite(amiss):
            raise InvalidArgument("how steep the experts are off their balls is not known, so nothing bounds them there; use ReLU experts")
        wanted = log(max((self.inner.top_k - 1) * (amiss / allowed - 1), 2.0)) / self.gap
        found = replace(self, beta=2.0 ** ceil(log2(SAFE * wanted)), amiss=amiss, allowed=allowed)
        largest = float(np.finfo(asked.dtype).max)
        if not found.size < largest / 4:
            raise EpsilonNotReached(
                f"routing.scaled (β·max|s| in {asked.dtype})",
                budget=largest / 4,
                reached=found.size,
                width=0,
                remedy="allow a larger error, {epsilon=…}, or use more charts, whose balls overlap more",
            )
        return found

    def total(self, task: ManifoldTask, network: Network, exact: Network, experts: Sequence[Expert], epsilon: float, seed: int) -> Claim:
        return scaled_claims.total(task, network, exact, self, experts, epsilon, seed)

    def facts(self) -> dict[str, Any]:
        return affine_claims.facts(self.inner) | {
            "routing": self.kind,
            "beta": self.beta,
            "largest_logit": self.size,
            "float16": self.size < HALF,
        }


def _amiss(routing: AffineRouting, experts: Sequence[Expert], error: float) -> float:
    """B ≥ |f − expert| on M: what an expert is at its centre, and its steepness times how far M goes from there, tangent by tangent."""
    centers, radii = routing.centers, routing.radii
    own, far = 0.0, 0.0
    for i, expert in enumerate(experts):
        reach = float((np.linalg.norm(centers - centers[i], axis=1) + radii).max())
        g = expert.target_fit
        middle = np.abs(g.net(np.zeros((1, g.net.inputs)))[0])
        steep = g.steepness.sum(1)
        own = max(own, float((middle + steep * radii[i]).max()))
        far = max(far, float((middle + steep * reach).max()))
    return SAFE * (own + far + error)


def require_exact(who: str, computed: bool) -> None:
    """Raises `InvalidArgument` for a block that reads computed values: its collar says nothing of balls that do not hold a point."""
    if computed:
        raise InvalidArgument(f"{who} reads computed values, for which scaled logits (N12) say nothing; use routing 'duplicates'")


@dataclass(frozen=True)
class Scaled(Router):
    """Balls, or others in the place of other charts, whose gate is scaled until what is chosen amiss weighs next to nothing."""

    gate_alone: ClassVar[bool] = True
    top_k: int = 2

    @property
    def title(self) -> str:
        return "scaled"

    def accepts(self, task: ManifoldTask) -> str | None:
        if task.atlas.balls is not None and self.top_k > len(task.atlas):
            return f"of {len(task.atlas)} balls no {self.top_k} can be chosen"
        return None

    def choosing(self, top_k: int) -> Router:
        return replace(self, top_k=top_k)

    def build(self, task: ManifoldTask, asked: Asked) -> ScaledRouting:
        """Without β, which depends on the experts. Raises `EpsilonNotReached` if the margin of the balls is lost in the dtype."""
        atlas = task.atlas if task.atlas.balls is not None else ball_atlas(task.atlas, seed=asked.seed)
        routing = route(atlas, asked.dtype, asked.seed)
        affine_claims.require_margin(routing, asked.dtype)
        if self.top_k > len(atlas):
            raise InvalidArgument(f"of {len(atlas)} balls no {self.top_k} can be chosen; use more charts")
        return ScaledRouting(replace(routing, top_k=self.top_k))
