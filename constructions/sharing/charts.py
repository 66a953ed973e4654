"""A shared expert for a block on charts: f = s + r_i on chart i, s a net of the ambient coordinates (section 4.3(c), N5, N6).

The hidden neurons of s lie along directions of the space that M lies in; with stand-ins for the experts' own, its output weights are those
of the joint fit (N6), so s is no approximation of f but what all charts have in common. The experts are then built, as any others are,
for F_i − s∘φ_i⁻¹, to the whole budget: s is a part of the network, not an approximation with an error of its own (B7).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...atlas import Array, CallableTarget, ManifoldTask, Points
from ...errors import EpsilonNotReached, InvalidArgument
from ...moe.ledger import Claim
from ...moe.nets import Net
from ..asked import Asked
from ..experts.batching import build_experts
from ..experts.cells import Cell
from ..experts.charts import Expert, Workshop
from ..experts.decide import decided
from ..pilots import SOME, ranked, strata
from ..routers.base import Routed
from . import decision
from .decision import Decision
from .stand_ins import StandIns

NAME = "shared"
PARTS = (0.5, 1.0, 2.0)
"""Widths of the shared expert, in units of what the widest expert alone takes: with the last an input meets three times as many neurons."""
COARSER = 4.0
"""Errors so many times apart show how fast numbers grow."""
WITHOUT = "with one chart there is nothing to share: the shared expert and the other one are one net"


@dataclass(frozen=True, eq=False)
class Shared:
    """What was decided, and the net if it was decided to have one."""

    net: Net | None
    record: dict[str, Any]

    def left(self, task: ManifoldTask) -> ManifoldTask:
        """What experts have to do."""
        net = self.net
        if net is None:
            return task

        def rest(points: Points) -> Array:
            return task.evaluate(points) - np.asarray(net(points.ambient), float)

        return replace(task, target=CallableTarget(None, task.outputs, "what is left beside the shared expert", pointwise=rest))

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
    stand_ins = StandIns.of(task, routed, cells, workshop.way, asked.seed, asked.dtype)
    if asked.budget is None:
        width = max(asked.width or 0, workshop.way.narrowest)
        found = stand_ins.best(width, width)
        return Shared(found.net(NAME), {"share": True, "asked": how, "width": width})
    pilots = Pilots.of(workshop, cells)
    best = min(_candidates(stand_ins, pilots, how), key=lambda one: (one.decision.stored, one.error))
    return Shared(best.net if best.decision.share else None, best.decision.record())


@dataclass(frozen=True, eq=False)
class Pilots:
    """Some cells, how many each stands for, and the workshop that builds experts on them as `compile` builds all of them."""

    workshop: Workshop
    cells: list[Cell]
    weights: list[float]

    @staticmethod
    def of(workshop: Workshop, cells: Sequence[Cell]) -> Pilots:
        order, _ = ranked(workshop.task, workshop.routing, cells, workshop.seed)
        places, weights = strata(len(cells), SOME)
        return Pilots(workshop, [cells[order[place]] for place in places], weights)

    def numbers(self, shared: Net | None, allowed: float, limit: int) -> tuple[float, int]:
        """What all experts store beside a shared one at an error of `allowed`, and the widest hidden layer; ∞ where `limit` forbids it."""
        task = Shared(shared, {}).left(self.workshop.task)
        workshop = replace(self.workshop, task=task, allowed=allowed, limit=limit, drawn={})
        try:
            experts = build_experts(workshop, self.cells)
        except EpsilonNotReached:
            return np.inf, 0
        stored = sum(weight * expert.net.parameters for weight, expert in zip(self.weights, experts, strict=True))
        return float(stored), max(expert.target_fit.width for expert in experts)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A shared expert, the largest error beside stand-ins, and what N5 says of it."""

    net: Net
    error: float
    decision: Decision


def _candidates(stand_ins: StandIns, pilots: Pilots, how: bool | str) -> Iterator[Candidate]:
    """Shared experts of several widths."""
    workshop = pilots.workshop
    allowed = workshop.allowed
    assert allowed is not None
    alone, widest = pilots.numbers(None, allowed, workshop.limit)
    coarse, _ = pilots.numbers(None, COARSER * allowed, workshop.limit)
    known = np.isfinite(alone) and coarse < alone
    rate = float(np.clip(np.log(COARSER) / np.log(alone / coarse), *decision.SLOPES)) if known else decision.SLOPES[1]
    widest = widest or workshop.limit
    for width in sorted({max(workshop.way.narrowest, round(part * widest)) for part in PARTS}):
        beside = max(workshop.way.narrowest, widest // 2)
        fitted = stand_ins.best(beside, width)
        net = fitted.net(NAME)
        rest, _ = pilots.numbers(net, allowed, widest)  # what takes wider experts than without it is of no use
        what = f"a shared net of {net.widths[0]} neurons"
        made = decision.exact(how, allowed, rate, alone, rest, net.parameters, width=net.widths[0], what=what)
        yield Candidate(net, fitted.joint.error, made)


def _told(claim: Claim) -> Claim:
    """|f − g∘φ| is |f − s − g∘φ| beside a shared s."""
    statement = claim.statement.replace("|f − g", "|f − s − g").replace("|F − g|", "|F − s − g|")
    return replace(claim, statement=statement, children=tuple(map(_told, claim.children)))
