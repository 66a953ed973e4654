"""∏ E_l pieces in one layer for continuous targets (N18): a block on intervals as one group of hats; robust where N15 is exact.

Statement: see `routers.hats`. Every block reads one coordinate and is continuous across its interfaces; experts approximate their piece
and half a ramp beyond it. The layer chooses the two largest logits of every block, with the weights σ(z). Nothing jumps, so rounding η of
logits costs at most K·η·max|g|, and the layer is proved on boxes like any continuous function.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..atlas import Array, Block, ExpressionMap
from ..errors import InvalidArgument
from ..intervals import Interval, NaturalEnclosure
from ..moe.ledger import Claim, Known
from ..moe.network import Net, Weighting
from .asked import Asked, Reading
from .built import Built, leaf
from .experts.pieces import PieceNet, piece_net
from .ranges import enlarged, steepness
from .routers.hats import PART, hats, width_of
from .shares import ROUNDING_SHARE
from .theorem_5_3 import Interface, block_steepness, interfaces

SHARE = 1 / 8
"""Of a block's budget, what its ramps may cost."""
NEAR = 4
"""Units of rounding that a logit in (−1, 1) is off by, beside those of a stored bias."""


def build(block: Block, reading: Reading, asked: Asked) -> Built:
    """The experts of every piece and the hats that weigh them. Raises `InvalidArgument` for several coordinates, or jumps."""
    tiling = block.tiling
    assert tiling is not None
    assert tiling.precedence is not None
    if tiling.dimension != 1:
        raise InvalidArgument(
            f'block "{block.name}" reads {tiling.dimension} coordinates, whose hats do not add up to 1 at corners (N18): leave out '
            "{weighting=rectified}, which routes boxes of any dimension (N15)"
        )
    met = interfaces(block, reading)
    allowed = ROUNDING_SHARE * (asked.budget or 1.0)
    if jumping := next((at for at in met if at.jump > allowed), None):
        where = f"{block.reads[0]} = {jumping.t:.6g}"
        raise InvalidArgument(
            f'block "{block.name}": its pieces jump by {jumping.jump:.3g} at {where}, and hats join only what is continuous (N18): leave '
            "out {weighting=rectified}, which routes jumps exactly (N15)"
        )
    share = None if asked.budget is None else SHARE * asked.budget
    lower, upper = enlarged(tiling, reading.error)
    ramps = [_ramp(block, at, share) for at in met]
    widths = np.array([width for width, _ in ramps])
    for at, width in zip(met, widths, strict=True):
        upper[tiling.upper[:, 0] == at.t, 0] += width / 2 + float(reading.error[0])
        lower[tiling.lower[:, 0] == at.t, 0] -= width / 2 + float(reading.error[0])
    extra = max((at.jump / 2 + kink * width / PART for at, (width, kink) in zip(met, ramps, strict=True)), default=0.0)
    nets = [
        piece_net(function, lower[i], upper[i], asked.less(extra), f"block[{block.name}].expert[{tiling.names[i]}]")
        for i, function in enumerate(block.subtasks)
    ]
    order = tiling.precedence
    gate = hats(tiling, order, widths)
    claim = _claim(block, asked, met, ramps, nets, (lower, upper), extra)
    robust = _robust(block, asked, met, widths, gate, max(net.bound for net in nets))
    claim = replace(claim, children=(claim.children[0], robust, *claim.children[1:]))
    return Built(
        block=block,
        names=tuple(tiling.names[i] for i in order),
        scores=None,
        gate=gate,
        experts=tuple(nets[i].net for i in order),
        local=max(net.bound for net in nets) + extra,
        claim=claim,
        router="hats",
        lipschitz=None if reading.exact else block_steepness(block, reading),
        pointwise=False,
        either=True,
        theorem="N18",
        width=max((w for net in nets for w in net.net.widths), default=0),
        top_k=min(2, len(tiling)),
        weighting=Weighting.RECTIFIED,
        wider=float(widths.max(initial=0.0)) / 2,
    )


def _ramp(block: Block, at: Interface, share: float | None) -> tuple[float, float]:
    """The width of the ramp at an interface, and Δ there."""
    tiling = block.tiling
    assert tiling is not None
    below, above = int(np.flatnonzero(tiling.upper[:, 0] == at.t)[0]), int(np.flatnonzero(tiling.lower[:, 0] == at.t)[0])
    shortest = float((tiling.upper - tiling.lower)[[below, above], 0].min())
    width = width_of(shortest, 0.0, None)
    kink = _kink(block, below, above, at.t, width)
    narrow = width_of(shortest, kink, share)
    return (width, kink) if narrow >= width else (narrow, _kink(block, below, above, at.t, narrow))


def _kink(block: Block, below: int, above: int, t: float, width: float) -> float:
    """Δ: sup |F_below′ − F_above′| within width/2 of t, largest component."""
    f, g = block.subtasks[below], block.subtasks[above]
    into = dict(zip(g.variables, f.variables, strict=True))
    gap = ExpressionMap(f.variables, tuple(a - b.xreplace(into) for a, b in zip(f.expressions, g.expressions, strict=True)))
    return float(steepness(f'block "{block.name}"', [(gap, np.array([t - width / 2]), np.array([t + width / 2]))]).max())


def _claim(
    block: Block,
    asked: Asked,
    met: list[Interface],
    ramps: list[tuple[float, float]],
    nets: list[PieceNet],
    boxes: tuple[Array, Array],
    extra: float,
) -> Claim:
    """|F − Σ σ(z)·g| ← the ramps, every expert."""
    tiling = block.tiling
    assert tiling is not None
    lower, upper = boxes
    local = max(net.bound for net in nets) + extra
    where = "; ".join(f"w = {width:.3g} at {at.t:.6g}, Δ ≤ {kink:.3g}" for at, (width, kink) in list(zip(met, ramps, strict=True))[:8])
    ramp = Claim(
        f"block[{block.name}].ramps",
        f"hats add up to 1, two at a time; where pieces meet they cost max(J/2 + Δ·w/{PART}), J the jump and Δ the change of slope",
        "N18",
        extra if asked.budget is None else max(extra, SHARE * asked.budget + ROUNDING_SHARE * asked.budget / 2),
        extra,
        Known.PROVED,
        note=where,
    )
    leaves = [leaf(block.name, tiling.names[i], net, asked.budget, f"[{lower[i, 0]:.6g}, {upper[i, 0]:.6g}]") for i, net in enumerate(nets)]
    leaves = [leaves[i] for i in tiling.precedence or ()]
    return Claim(
        f"block[{block.name}]",
        f"|{block.name} as computed − {block.name}| for the values it reads, on every piece, and where they meet",
        "N18, Theorem 5.3",
        local if asked.budget is None else asked.budget,
        local,
        Known.SAMPLED if any(net.known is Known.SAMPLED for net in nets) else Known.FORMULA,
        samples=max((net.samples for net in nets if net.samples), default=None),
        children=(ramp, *leaves),
    )


def _robust(block: Block, asked: Asked, met: list[Interface], widths: Array, gate: Net, bound: float) -> Claim:
    """What rounding of the logits costs: K·η·max|g|, of the experts where pieces meet; elsewhere weights are 0 or 1 exactly."""
    tiling = block.tiling
    assert tiling is not None
    unit = float(np.finfo(asked.dtype).eps) / 2
    stored = gate.affines[0].bias
    eta = NEAR * unit + float(np.abs(stored - stored.astype(asked.dtype).astype(float)).max(initial=0.0))
    size = 0.0
    for at, width in zip(met, widths.tolist(), strict=True):
        ramp = [Interval(np.array([at.t - width / 2]), np.array([at.t + width / 2]))]
        for i in np.flatnonzero((tiling.lower[:, 0] == at.t) | (tiling.upper[:, 0] == at.t)):
            size = max(size, *(float(part.magnitude.max()) for part in NaturalEnclosure(block.subtasks[i])(ramp)))
    cost = 2 * eta * (size + bound)
    statement = (
        f"no logit that matters, between −1 and 1, is off by more than η = {eta:.3g} in {asked.dtype}: of the two that weigh anything "
        "where pieces meet, values of g included, that is K·η·max|g|"
    )
    share = ROUNDING_SHARE / (1 - ROUNDING_SHARE)
    return Claim(
        f"block[{block.name}].robust", statement, "N18, R9", cost if asked.budget is None else share * asked.budget, cost, Known.PROVED
    )
