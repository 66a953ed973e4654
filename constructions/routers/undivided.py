"""`Undivided`: no routing at all, one expert for all of M; what a dense network has in the place of a router.

The atlas is one ball that holds M. The layer has no gate (N3), so all that is claimed of routing is x ∈ U = M, which whoever proves the
network proves box by box, like the claim of any other chart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...atlas import Array, Atlas, BallChart, ManifoldTask
from ...moe.ledger import Claim
from ...moe.network import Network
from ..experts.cells import Cell
from ..experts.charts import Expert
from ..shares import ROUNDING_SHARE
from .affine_claims import worst_of
from .scores_claims import MEASURED


@dataclass(frozen=True, eq=False)
class Undivided:
    """All of M as one routed cell."""

    atlas: Atlas
    source: str
    """Of the claim about the whole network."""
    kind: str = "none"
    scores: None = None
    gate: None = None
    promise: None = None

    def lead(self, base: Array, chart: int) -> Array:
        """0: there is nothing that could be ahead."""
        return np.zeros(len(base))

    def cells(self, seed: int) -> list[Cell]:
        """M, every chart that parametrises it with the same share of the points."""
        (whole,) = self.atlas.charts
        assert isinstance(whole, BallChart)
        shares = np.full(len(whole.pieces), 1 / len(whole.pieces))
        return [Cell(0, whole.pieces, shares, 0.0, 0.0)]

    def total(self, task: ManifoldTask, network: Network, exact: Network, experts: Sequence[Expert], epsilon: float, seed: int) -> Claim:
        """|f − Ψ| ≤ ε on fresh points ← the error of the one net, rounding."""
        points = task.atlas.sample(MEASURED, seed + 15485863)
        x = points.ambient.astype(network.dtype)
        output = network(x).astype(float)
        errors = np.abs(output - task.evaluate(points)).max(1)
        rounding = worst_of(
            "rounding",
            f"|Ψ in {network.dtype} − Ψ in float64| ≤ {ROUNDING_SHARE:g}·ε",
            "R9",
            ROUNDING_SHARE * epsilon,
            np.abs(output - exact(x.astype(float))).max(1),
            points,
        )
        whole = worst_of("total", "|f − Ψ|∞ ≤ ε on M", self.source, epsilon, errors, points)
        return Claim(**{**vars(whole), "children": (*(expert.claim for expert in experts), rounding)})

    def facts(self) -> dict[str, Any]:
        """There is no margin, and nothing that scores could be off by."""
        return {"routing": self.kind, "multiplicity": None, "plateau_level": None, "m": 0}
