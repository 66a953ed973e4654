"""Corollary 4.9: on a highly regular atlas, whose chart maps φ_i are affine, ψ_i = φ_i exactly.

Statement: as Theorem 4.8, with ‖f − Ψ‖ ≤ max_i ‖F_i − g_i‖ and experts g_i∘φ_i of two layers: φ_i is folded into the first weights of g_i.
Such an atlas always exists: tangent charts of balls of radius below reach/2. On balls the nearest centre routes, and there is
one layer and no τ (B1, B16; `routers.affine`).
"""

from __future__ import annotations

from collections.abc import Sequence

from ..atlas import ManifoldTask
from .asked import Asked
from .experts.batching import build_experts
from .experts.cells import Cell
from .experts.charts import Expert, Workshop
from .routers.base import Routed

NAME = "4.9"
WHY = "the chart maps are affine, so experts use them exactly"


def curved(task: ManifoldTask) -> list[str]:
    """The charts whose maps are not affine, for which the corollary says nothing."""
    return [name for chart, name in enumerate(task.atlas.names) if task.atlas.affine(chart) is None]


def experts(task: ManifoldTask, routed: Routed, cells: Sequence[Cell], asked: Asked) -> list[Expert]:
    """g_i∘φ_i on the routed cell of every chart."""
    shop = Workshop.of(task, routed, asked, affine=True)
    return build_experts(shop, cells)
