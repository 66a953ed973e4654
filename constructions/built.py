"""What a built block is, whichever theorem built it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..atlas import Array, Block, ManifoldTask
from ..moe.design import Site
from ..moe.ledger import Claim
from ..moe.network import Affine, Net, ReLUNet, Weighting
from ..moe.promise import ScorePromise
from .collar import Collar
from .experts.charts import Expert
from .experts.pieces import PieceNet
from .routers.base import Routed
from .shares import ROUNDING_SHARE


@dataclass(frozen=True)
class Tried:
    """A router that was tried for a block and left."""

    block: str
    router: str
    why: str


@dataclass(frozen=True, eq=False)
class OnCharts:
    """What a block on charts was built from: what its claims are measured with."""

    task: ManifoldTask
    routed: Routed
    experts: Sequence[Expert]
    collar: Collar | None = None
    """What it bears of errors in what it reads; None where that is exact."""


@dataclass(frozen=True, eq=False)
class Built:
    """A block's scores or gate, its experts, and what is claimed of them; everything is a function of what the block reads."""

    block: Block
    """On the charts that it was built for, which need not be those it was given on."""
    names: tuple[str, ...]
    """Charts or pieces in the order of the gate outputs."""
    scores: ReLUNet | None
    """τ, one output for each of `names`; None where the gate needs none."""
    gate: Net | None
    """The gate of a router that needs no scores, affine or with a hidden layer (N1); None where it compares τ, or has nothing to choose
    from.
    """
    experts: tuple[ReLUNet, ...]
    local: float
    """|y − f| at most, for exact values read."""
    claim: Claim
    router: str
    lipschitz: Array | None = None
    """sup |∂f_j/∂z_k|, where what is read has errors."""
    pointwise: bool = True
    """Whether every point is claimed to go to a piece that holds it: not where neighbouring pieces agree and either will do."""
    ambient: bool = False
    """Whether all of this is a function of the D channels of the block's input instead."""
    either: bool = False
    """Whether the router tells pieces apart only up to a band around their interfaces."""
    promise: ScorePromise | None = None
    theorem: str = ""
    why: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What a model card says of the router; m is the width of τ."""
    width: int = 0
    """The widest two-layer net that was fitted."""
    wider: float = 0.0
    """How far beyond their inner faces pieces may be taken, as their weights fade out there (N18)."""
    tried: tuple[Tried, ...] = ()
    charts: OnCharts | None = None
    shared: Net | None = None
    """What is added to the chosen experts' values for every input (N4–N7)."""
    top_k: int = 1
    weighting: Weighting = Weighting.SOFTMAX
    beside: tuple[Claim, ...] = ()
    """What is claimed of how its experts are stored."""
    latent: Affine | None = None
    """One linear map, of what the nets read, that all experts read instead (N9, N10)."""
    copies: int = 1
    """How many gate outputs, one after the other, stand for each of `names` and are served by its expert (B21)."""
    gateless: bool = False
    """Whether its layer has no gate in any form: one net is all there is."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """What every gate output stands for."""
        return tuple(name for name in self.names for _ in range(self.copies))

    @property
    def nonlinear(self) -> bool:
        """Whether its gate is a net with a hidden layer (N1)."""
        return self.gate is not None and bool(self.gate.groups)

    def site(self, layer: int, scores: int | None) -> Site:
        """Where it went."""
        # Off its manifold a block is no function that its values could be compared with.
        off = self.charts is not None and self.charts.collar is not None
        budget = None if off else self.claim.budget / (1 - ROUNDING_SHARE)
        found = Site(self.block.name, layer, self.outputs, scores, self.router, self.promise, budget, self.either, self.ambient)
        return replace(found, wider=self.wider)


def leaf(block: str, piece: str, net: PieceNet, budget: float | None, where: str, of: str = "F") -> Claim:
    """The ledger's line for one expert, the net g of a function that is called `of`."""
    return Claim(
        f"block[{block}].expert[{piece}]",
        f"|{of} − g| on {where}, {net.how}",
        net.source,
        net.bound if budget is None else budget,
        net.bound,
        net.known,
        samples=net.samples,
        witness=net.witness,
    )


def prefixed(claim: Claim, prefix: str) -> Claim:
    """A claim and all below it, with names that say whose they are; ε is the whole graph's, here it is the block's share of it."""
    statement = claim.statement.replace(f"(1 − {ROUNDING_SHARE:g})·ε", "the block's share of ε")
    children = tuple(prefixed(child, prefix) for child in claim.children)
    return replace(claim, name=f"{prefix}.{claim.name}", statement=statement, children=children)
