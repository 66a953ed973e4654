"""A shared expert for a block on charts: f = s + r_i on chart i, s a net of the ambient coordinates (section 4.3(c), N5, N6).

The hidden neurons of s lie along directions of the space that M lies in; with stand-ins for the experts' own, its output weights are those
of the joint fit (N6), so s is no approximation of f but what all charts have in common. The experts are then built, as any others are,
for F_i − s∘φ_i⁻¹, to the whole budget: s is a part of the network, not an approximation with an error of its own (B7).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...atlas import ManifoldTask, Remainder
from ...errors import InvalidArgument
from ...moe.ledger import Claim
from ...moe.nets import Net
from ..asked import Asked
from ..experts.cells import Cell
from ..experts.charts import Expert, Workshop
from ..experts.decide import decided
from ..routers.base import Routed
from .pilots import Pilots, planned

WITHOUT = "with one chart there is nothing to share: the shared expert and the other one are one net"


@dataclass(frozen=True, eq=False)
class Shared:
    """What was decided, and the net if it was decided to have one."""

    net: Net | None
    record: dict[str, Any]

    def left(self, task: ManifoldTask) -> ManifoldTask:
        """What experts have to do."""
        return task if self.net is None else replace(task, target=Remainder(task.target, self.net))

    def told(self, expert: Expert) -> Expert:
        """The expert with claims that say what it is beside."""
        return expert if self.net is None else replace(expert, claim=_told(expert.claim))


NOTHING = Shared(None, {})


def on_charts(task: ManifoldTask, routed: Routed, cells: Sequence[Cell], asked: Asked, affine: bool, how: bool | str) -> Shared:
    """The shared expert that `how`, True or "auto", asks for.

    Raises `InvalidArgument` for one chart, and for "auto" where a width is given in the place of ε.
    """
    if how is False:
        return NOTHING
    if len(cells) == 1:
        if how == "auto":
            return Shared(None, {"share": False, "asked": how, "rule": WITHOUT})
        raise InvalidArgument(f"{WITHOUT}; leave {{shared=true}} out, or use more charts")
    if how == "auto" and asked.budget is None:
        raise InvalidArgument("whether sharing pays depends on ε (N5): give {epsilon=…} in the place of a width, or {shared=true}")
    workshop = decided(Workshop.of(task, routed, asked, affine=affine), cells)
    pilots = Pilots.of(task, routed, cells, workshop.way, asked.seed, asked.dtype)
    if asked.budget is None:
        width = max(asked.width or 0, workshop.way.narrowest)
        found = pilots.fitted(width, width, pilots.best(width, width))
        return Shared(found.net("shared"), {"share": True, "asked": how, "width": width})
    reads = task.atlas.ambient_dimension if affine else task.atlas.dimension
    plan = planned(pilots, len(cells), asked.budget, asked.limit, how, reads)
    if not plan.decision.share:
        return Shared(None, plan.decision.record())
    found = pilots.fitted(plan.width, plan.shared, plan.directions)
    return Shared(found.net("shared"), plan.decision.record())


def _told(claim: Claim) -> Claim:
    """|f − g∘φ| is |f − s − g∘φ| beside a shared s."""
    statement = claim.statement.replace("|f − g", "|f − s − g").replace("|F − g|", "|F − s − g|")
    return replace(claim, statement=statement, children=tuple(map(_told, claim.children)))
