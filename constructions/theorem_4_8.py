"""Theorem 4.8: a function on a regular atlas, routed by scores and computed chart by chart.

Statement (paper; E charts (U_i, φ_i) with a partition of unity ρ, F_i = f∘φ_i⁻¹): some Ψ of two MoE layers, E experts each, linear gates,
has ‖f − Ψ‖ ≤ max_i ‖F_i − g_i‖ + max_i Lip(g_i)·‖φ_i − ψ_i‖ (in the form of B15), every input going through one expert a layer.

1. two-layer τ_i with ‖ρ_i − τ_i‖ ≤ 1/(4E), or what else routes (`routers.scores`, `routers.hinge`);
2. layer 1: all experts equal, x ↦ (x, τ(x));
3. gate of layer 2: [0, I], so i_x = argmax τ_i(x), and x ∈ U_{i_x};
4. expert i of layer 2: g_i∘ψ_i, two-layer g_i ≈ F_i and ψ_i ≈ φ_i, together a three-layer net.

Steps 2 and 3 are `assembly`'s; this file chooses the experts of step 4.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..atlas import ManifoldTask
from .asked import Asked
from .experts.batching import build_experts
from .experts.cells import Cell
from .experts.charts import Expert, Workshop
from .routers.base import Routed

NAME = "4.8"
WHY = "the chart maps are curved, so experts approximate them"


def experts(task: ManifoldTask, routed: Routed, cells: Sequence[Cell], asked: Asked) -> list[Expert]:
    """g_i∘ψ_i on the routed cell of every chart."""
    shop = Workshop.of(task, routed, asked, affine=False)
    return build_experts(shop, cells)
