"""`Copies`: K copies of every expert, behind any router (B21).

Every expert is stored once and serves K gate outputs with equal logits. The K largest of all are then those of the winner, in exact
arithmetic: the mixture is the one of K = 1, whichever convex weights there are. In floats copies of one row may be rounded apart, by η
each: the K-th largest computed logit is at least max s − η, as K outputs have one of that size, so every output that is chosen has
s ≥ max s − 2η, and x lies in the routed cell {s_i ≥ max s − 2η} on which its expert is right. No bias sets copies apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...atlas import ManifoldTask
from ...errors import EpsilonNotReached
from ..asked import Asked
from .base import Routed, Router


@dataclass(frozen=True)
class Copies(Router):
    """What a router of one expert builds, every expert in K copies."""

    router: Router
    copies: int

    @property
    def title(self) -> str:
        return f"{self.router.title}, in {self.copies} copies"

    def accepts(self, task: ManifoldTask) -> str | None:
        return self.router.accepts(task)

    def hopeless(self, task: ManifoldTask, asked: Asked, missed: Sequence[EpsilonNotReached]) -> str | None:
        return self.router.hopeless(task, asked, missed)

    def build(self, task: ManifoldTask, asked: Asked) -> Routed:
        return self.router.build(task, asked)
