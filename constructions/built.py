"""What the two theorems share: what a block reads and with what error, and what a built block is."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..atlas import Array, Block
from ..moe.ledger import Claim
from ..moe.network import Affine, ReLUNet
from .experts.pieces import PieceNet
from .ranges import Values
from .routers.scores import ROUNDING_SHARE


@dataclass(frozen=True, eq=False)
class Reading:
    """What arrives at a node, component by component."""

    values: tuple[Values, ...]
    """All values that the component has in the task."""
    error: Array
    """How far what arrives may be from that (k,); 0 for inputs, which are carried exactly."""
    channels: tuple[str | None, ...]
    """The channel that the component is, if it is one and no affine form of several."""
    embedding: Array | None = None
    """Q (D, k), if what is read is all of an input that lies in R^D, in its order."""


@dataclass(frozen=True, eq=False)
class BuiltBlock:
    """A block's scores or gate, its experts, and what is claimed of them; everything is a function of what the block reads."""

    block: Block
    names: tuple[str, ...]
    """Charts or pieces in the order of the gate outputs."""
    scores: ReLUNet | None
    """τ, one output for each of `names`; None where the gate needs none."""
    gate: Affine | None
    """An affine router's gate; None where it compares τ, or has nothing to choose from."""
    experts: tuple[ReLUNet, ...]
    local: float
    """|y − f| at most, for exact values read."""
    claim: Claim
    routing: str
    lipschitz: Array | None
    """sup |∂f_j/∂z_k|, where what is read has errors."""
    pointwise: bool = True
    """Whether every point is claimed to go to a piece that holds it: not where neighbouring pieces agree and either will do."""
    embedded: bool = False
    """Whether all of this is a function of the D channels of the block's input instead."""


def leaf(block: str, piece: str, net: PieceNet, budget: float | None, where: str) -> Claim:
    """The ledger's line for one expert."""
    return Claim(
        f"block[{block}].expert[{piece}]",
        f"|F − g| on {where}, {net.how}",
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
