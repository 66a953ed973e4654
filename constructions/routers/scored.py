"""`Scored`: scores τ that a gate compares, and the reference scores that they follow; what all routers of that kind build."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ...atlas import Array, Atlas, ManifoldTask
from ...moe.ledger import Claim
from ...moe.network import Network, ReLUNet
from ...moe.promise import ScorePromise
from ..experts.cells import Cell, find_cells, leads
from ..experts.charts import Expert
from ..relu import Fit
from ..shares import HELD_OUT_SAFETY
from .scores_claims import Wording, largest, total

COVER_SAMPLES = 1 << 14


@dataclass(frozen=True)
class Cover:
    """What the partition of unity looks like on sampled points."""

    mu: float
    """min_x max_i ρ_i(x); of the K-th largest where K charts are chosen."""
    multiplicity: int
    """N = max_x #{i : ρ_i(x) > 0}."""
    depth: float
    """min_x max_i of the plateau depths (level 1), or of the K-th largest."""
    samples: int


def measure_cover(atlas: Atlas, seed: int = 0, top_k: int = 1) -> Cover:
    """μ, N and the least depth on `COVER_SAMPLES` points of M."""
    base = atlas.sample(max(COVER_SAMPLES, 8 * len(atlas.parametrising)), seed, low_discrepancy=True).base
    rho = atlas.rho(base)
    depth = largest(atlas.plateau(base, 1.0), top_k).min()
    return Cover(float(largest(rho, top_k).min()), int((rho > 0).sum(1).max()), float(depth), len(base))


@dataclass(frozen=True, eq=False)
class Scored:
    """Reference scores, the budget they leave for τ, and the τ that meets it."""

    name: str
    charts: Atlas
    reference: Callable[[Array], Array]
    """Base coordinates [N, k] to reference scores [N, E]."""
    delta: float
    """Budget of ‖s − τ‖."""
    cover: Cover
    level: float | None
    """Plateau level; None for ρ."""
    tau: Fit
    promise: ScorePromise | None
    wording: Wording
    top_k: int = 1
    """How many charts are chosen; what every chosen score reaches is then said of the K-th largest."""

    @property
    def kind(self) -> str:
        return self.name

    @property
    def atlas(self) -> Atlas:
        return self.charts

    @property
    def scores(self) -> ReLUNet:
        return self.tau.net

    @property
    def gate(self) -> None:
        return None

    @property
    def reached(self) -> float:
        """The δ that holds with the safety factor: what the routed cells are computed with."""
        return min(self.delta, HELD_OUT_SAFETY * self.tau.error)

    def lead(self, base: Array, chart: int) -> Array:
        return leads(self.reference(base), self.top_k)[:, chart]

    def cells(self, seed: int) -> list[Cell]:
        return find_cells(self.charts, self.reference, self.reached, seed, self.top_k)

    def total(self, task: ManifoldTask, network: Network, exact: Network, experts: Sequence[Expert], epsilon: float, seed: int) -> Claim:
        return total(task, network, exact, self, experts, epsilon, seed)

    def facts(self) -> dict[str, Any]:
        return {
            "routing": self.name,
            "delta": self.delta,
            "mu": self.cover.mu,
            "multiplicity": self.cover.multiplicity,
            "plateau_level": self.level,
            "m": self.tau.width,
        }
