"""`Router`: which expert a gate picks, as one way among several.

Three instances. Scores (4.8, B11, B12): a two-layer τ follows a partition of unity, the gate compares its outputs. Half-spaces (B14)
and faces of boxes (B10): the scores are a net by themselves, nothing is fitted. Affine (B1, B16, B2): the gate alone knows, from
centres of balls or places of intervals, and there is no layer of scores. They differ in which domains they accept and in what
they promise about their logits; whatever comes after them, experts, lowering, ledger, asks for a `Routed` and nothing more.

A new router is one file with a subclass of `Router`, whose `build` gives a `Routed`, and a line in `routers.named`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from ...atlas import Array, Atlas, ManifoldTask
from ...errors import EpsilonNotReached
from ...moe.ledger import Claim
from ...moe.network import Affine, Network, ReLUNet
from ...moe.promise import ScorePromise
from ..asked import Asked
from ..experts.cells import Cell
from ..experts.charts import Expert


class Routed(Protocol):
    """A router on an atlas, built: where it sends points, and what that rests on."""

    @property
    def kind(self) -> str:
        """What the design calls it."""
        ...

    @property
    def atlas(self) -> Atlas:
        """The charts it routes between: those that were given, or others of the same manifold."""
        ...

    @property
    def scores(self) -> ReLUNet | None:
        """τ, one output a chart, of what the block reads; None where the gate needs none."""
        ...

    @property
    def gate(self) -> Affine | None:
        """The gate, of what the block reads; None where it compares τ."""
        ...

    @property
    def promise(self) -> ScorePromise | None:
        """What the logits follow, and how closely."""
        ...

    def lead(self, base: Array, chart: int) -> Array:
        """s_chart − max s at points of M, (N, k) to (N,); −∞ where s_chart is not positive, that is, off its chart."""
        ...

    def cells(self, seed: int) -> list[Cell]:
        """The routed cell of every chart."""
        ...

    def total(self, task: ManifoldTask, network: Network, exact: Network, experts: Sequence[Expert], epsilon: float, seed: int) -> Claim:
        """|f − Ψ| ≤ ε on M for a network of this router and these experts, measured on fresh points, with everything it follows from."""
        ...

    def facts(self) -> dict[str, Any]:
        """What a model card says of it, as JSON; m is the width of τ."""
        ...


class Router(ABC):
    """One way to route between charts."""

    gate_alone: ClassVar[bool] = False
    """Whether the gate knows by itself, without a layer of scores before it."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What a model card calls it."""

    @abstractmethod
    def accepts(self, task: ManifoldTask) -> str | None:
        """None if it can route the charts of the task; else why not, in words."""

    def choosing(self, top_k: int) -> Router | None:
        """The router of its kind that chooses so many experts; None if there is none. By default there is none that chooses several."""
        return self if top_k == 1 else None

    def hopeless(self, task: ManifoldTask, asked: Asked, missed: Sequence[EpsilonNotReached]) -> str | None:
        """Why it is not worth trying after what others have `missed`; None if it is. Nothing is said by default."""
        return None

    @abstractmethod
    def build(self, task: ManifoldTask, asked: Asked) -> Routed:
        """The router for these charts. Raises `EpsilonNotReached` if what it promises is out of reach."""
