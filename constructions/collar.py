"""Blocks on charts that read computed values (B9): experts are certified on a collar around their cells, and the values have to stay in it.

A block reads z in the place of v ∈ M, |z_k − v_k| ≤ e_k. With logits that change by at most λ = max_i Σ_k L_ik·e_k, the expert i that wins
at z has s_i(v) ≥ max s(v) − 2δ − 2λ: so v lies in the cell of i, made wider by 2λ in the scores. Experts of such blocks are fitted to and
measured on the collar {s_i ≥ max s − t_i}, and it is enough that 2λ ≤ t_i − 2δ for every i; every point of it is a point of U_i. Then

    |Ψ(z) − f(v)| ≤ |Ψ_i(v) − f(v)| + |Ψ_i(z) − Ψ_i(v)| ≤ (error on the collar) + Σ_k S_k·e_k,

S the steepness of the experts as nets on all of R^k, off M too. L and S are sums of sup|q′| over the profiles of a ridge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..atlas import Array, Block
from ..errors import InvalidArgument
from ..moe.network import Net, ReLUNet
from ..moe.ridge import Ridge
from .asked import Reading
from .experts.cells import Cell
from .experts.charts import Expert
from .routers.base import Routed

SHARE = 0.5
"""Of what the collar bears, how much error what is read there is planned to have."""


@dataclass(frozen=True, eq=False)
class Collar:
    """What a block on charts bears of errors in what it reads."""

    depth: float
    """min_i t_i − 2δ, in the scores."""
    scores: Array
    """L (E, k)."""
    values: Array
    """S (outputs, k)."""

    def moved(self, error: Array) -> float:
        """2λ."""
        return float(2 * (self.scores @ error).max(initial=0.0))

    @property
    def bears(self) -> Array:
        """e_k that may be read along each axis if the others are exact, times 1/k: together they stay in the collar. (k,)."""
        steep = 2 * self.scores.max(0)
        return np.asarray(self.depth / np.maximum(steep, np.finfo(float).tiny) / len(steep))


def widened(cells: Sequence[Cell]) -> list[Cell]:
    """The cells with their collars: what experts are then fitted to and measured on."""
    return [replace(cell, threshold=cell.collar) for cell in cells]


def collar_of(routed: Routed, cells: Sequence[Cell], experts: Sequence[Expert], shared: Net | None = None) -> Collar:
    """The collar of a built block, from its cells before they were widened."""
    atlas = routed.atlas
    if routed.gate is not None:
        scores = np.abs(routed.gate.weight)
    else:
        assert routed.scores is not None
        scores = steepness_of(routed.scores)
    depth = min((cell.threshold - cell.collar for cell in cells), default=np.inf) if len(cells) > 1 else np.inf
    values = np.zeros((experts[0].net.outputs, atlas.ambient_dimension))
    for chart, expert in enumerate(experts):
        affine = atlas.affine(chart)
        inner = expert.chart_fit.steepness if expert.chart_fit is not None else np.abs(affine[0]) if affine is not None else None
        assert inner is not None
        values = np.maximum(values, expert.target_fit.steepness @ inner)
    if shared is not None:
        values = values + steepness_of(shared)
    return Collar(float(depth), scores, values)


def steepness_of(net: ReLUNet) -> Array:
    """The steepness of a two-layer net, by its ridge form."""
    return Ridge.of(net).steepness


def require(block: Block, reading: Reading, collar: Collar) -> None:
    """Raise `InvalidArgument` with the distance that is missing, unless what the block reads stays in its collar."""
    moved = collar.moved(reading.error)
    if moved <= collar.depth:
        return
    worst = int((collar.scores.max(0) * reading.error).argmax())
    missing = float(reading.error[worst] * (1 - collar.depth / moved))
    name, error = block.reads[worst], reading.error[worst]
    raise InvalidArgument(
        f'block "{block.name}" is given on charts and reads {name!r}, which is approximated to within {error:.3g}: scores move by '
        f"{moved:.3g} and leave the collar of {collar.depth:.3g} in which its experts are certified; {name} has to be {missing:.3g} "
        "more exact: allow a smaller epsilon, or give the block on intervals or boxes ([[block.piece]])"
    )
