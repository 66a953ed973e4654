"""Theorem 5.3, the cube case: a block given piece by piece on intervals or boxes of any size, with kinks and jumps where they meet.

Statement: M = [0, E]^L cut into unit intervals, two-layer experts: some Ψ of 2L layers has the largest of the pieces' errors. The printed
hats all vanish at the interfaces (R3), so argmax says nothing there; scores that are 0 exactly on a piece and negative off it do
(`routers.faces`, B10). With `depth` L, affine scores need no layer of their own (`routers.intervals`, B2); nor do the exact ones where
they are the gate (N1). Experts are two-layer nets with a-priori bounds where there are any (`experts.pieces`). Where K experts are chosen
they are copies of one (B21): a point has one piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import DTypeLike

from ..atlas import Array, Block, Tiling
from ..errors import InvalidArgument, MarginTooSmall
from ..moe.layer import Weighting
from ..moe.ledger import Claim, Known
from ..moe.network import Net
from .asked import Asked, Reading
from .built import Built, leaf
from .choices import Choice, called
from .experts.pieces import PieceNet
from .ranges import domains, enlarged, jump, steepness
from .routers import intervals
from .routers.faces import scores_net
from .shares import ROUNDING_SHARE
from .sharing.claims import counted
from .sharing.pieces import on_pieces

SHOWN = 8
"""Interfaces that a claim names."""


@dataclass(frozen=True)
class Interface:
    """One place t along one axis where pieces meet, and what happens there."""

    axis: int
    t: float
    margin: float
    """The distance from t to the nearest value that is read, if the values are not known to lie on both sides of it."""
    jump: float
    """How far the subtasks disagree there, at most."""


def interfaces(block: Block, reading: Reading) -> list[Interface]:
    """All of them, with margins among the values that the block reads."""
    tiling = block.tiling
    assert tiling is not None
    return [
        Interface(axis, float(t), reading.values[axis].distance(float(t)), jump(block, axis, float(t)))
        for axis, knots in enumerate(tiling.knots)
        for t in knots[1:-1]
    ]


def build(block: Block, reading: Reading, asked: Asked, choice: Choice) -> Built:
    """The experts of every piece, the scores or the affine gate that choose among them, and what is claimed of both.

    Values that are read with an error η: an interface at which the subtasks agree needs no margin, as f is Lipschitz across it; any
    other must be further than η from every value that is read, else `MarginTooSmall` (B9). Pieces on the outside are wider by η.
    """
    tiling = block.tiling
    assert tiling is not None
    assert tiling.precedence is not None  # structure checks it
    order = tiling.precedence
    met = interfaces(block, reading)
    gate, band = None, 0.0
    dtype = asked.dtype
    if choice.depth == "L" and len(tiling) > 1 and choice.gate == "linear":
        gate, band = intervals.gate(tiling, called(block), order, all(reading.plain), dtype)
        near = [at for at in met if band > 0 and at.margin <= reading.error[at.axis] + band]
        if jumping := next((at for at in near if at.jump > ROUNDING_SHARE * (asked.budget or band)), None):
            where = f"{block.reads[jumping.axis]} = {jumping.t:.6g}"
            raise InvalidArgument(
                f'block "{block.name}": its pieces jump by {jumping.jump:.3g} at {where}, and affine scores of {len(tiling)} pieces '
                f'tell them apart only to {band:.3g} in {np.dtype(dtype)}; use depth "L+1", which is exact'
            )
    extra = check_margins(block, reading, met, band, asked.budget)
    lower, upper = enlarged(tiling, reading.error)
    lipschitz = None if reading.exact else block_steepness(block, reading)
    if band > 0:
        lower, upper = lower - band, upper + band
        whole = [(function, lower[i], upper[i]) for i, function in enumerate(block.subtasks)]
        extra += 2 * band * float(steepness(f'block "{block.name}"', whole).sum(1).max())
    share = asked.less(extra)
    made = on_pieces(block, lower, upper, share, choice.shared)
    nets, shared = made.nets, made.shared
    scores = None if gate is not None or len(tiling) == 1 else scores_net(tiling, order, reading.plain, dtype)
    nonlinear = scores is not None and choice.gate == "nonlinear"
    names = tuple(tiling.names[i] for i in order)
    local = made.bound + extra
    of = "F" if shared is None else "F − h"
    leaves = tuple(leaf(block.name, tiling.names[i], nets[i], asked.budget, _where(lower[i], upper[i]), of) for i in order)
    if shared is not None:
        leaves = (*leaves, *sharing_claims(block.name, shared, [net.net for net in nets], asked.budget, _where(lower.min(0), upper.max(0))))
    parts = nets if shared is None else [*nets, shared]
    routed = _routing_claim(block, reading, met, gate is not None, band, dtype)
    claim = Claim(
        f"block[{block.name}]",
        f"|{block.name} as computed − {block.name}| for the values it reads, on every piece{'' if not extra else ', interfaces included'}",
        "Theorem 5.3",
        local if asked.budget is None else asked.budget,
        local,
        Known.SAMPLED if any(net.known is Known.SAMPLED for net in parts) else Known.FORMULA,
        samples=max((net.samples for net in parts if net.samples), default=None),
        children=(routed, *leaves),
    )
    built = tuple(nets[i].net for i in order)
    pointwise = band == 0 and all(at.margin > reading.error[at.axis] or reading.error[at.axis] == 0 for at in met)
    return Built(
        block=block,
        names=names,
        scores=None if nonlinear else scores,
        gate=scores if nonlinear else None if gate is None else gate.net,
        experts=built,
        local=local,
        claim=claim,
        router="affine" if gate is not None else "intervals",
        lipschitz=lipschitz,
        pointwise=pointwise,
        either=band > 0,
        theorem="5.3",
        facts={"shared": made.record} if made.record else {},
        width=max((w for part in parts for w in part.net.widths), default=0),
        shared=None if shared is None else shared.net,
        top_k=choice.top_k,
        weighting=Weighting(choice.weighting),
        copies=choice.top_k,
    )


def sharing_claims(block: str, shared: PieceNet, experts: Sequence[Net], budget: float | None, where: str) -> tuple[Claim, ...]:
    """The ledger's lines for what all pieces share: its error, and what it saves (N4)."""
    own = leaf(block, "shared", shared, budget, where, "h")
    return replace(own, name=f"block[{block}].shared", source=f"{own.source}, B7"), *counted(shared.net, experts, f"block[{block}].")


def block_steepness(block: Block, reading: Reading) -> Array:
    """sup |∂F_j/∂z_k| over all pieces, made wider by the error of what is read."""
    return steepness(f'block "{block.name}"', domains(block, reading.values, reading.error))


def check_margins(block: Block, reading: Reading, met: Sequence[Interface], band: float, budget: float | None) -> float:
    """What continuous interfaces add to the block's error: jumps of rounding size; `MarginTooSmall` at a real jump without margin."""
    extra = 0.0
    for at in met:
        reach = float(reading.error[at.axis]) + band
        if reach == 0 or at.margin > reach:
            continue
        allowed = ROUNDING_SHARE * (reach if budget is None else budget)
        if at.jump > allowed:
            raise MarginTooSmall(block.name, block.reads[at.axis], at.t, at.jump, at.margin, reach)
        extra += at.jump
    return extra


def _routing_claim(block: Block, reading: Reading, met: Sequence[Interface], affine: bool, band: float, dtype: DTypeLike) -> Claim:
    tiling = block.tiling
    assert tiling is not None
    name = f"block[{block.name}].routing"
    sides = "; ".join(_side(block, tiling, at) for at in met[:SHOWN]) + (f"; {len(met) - SHOWN} more" if len(met) > SHOWN else "")
    if not reading.exact:
        tight = [at for at in met if at.jump > 0 and at.margin > 0 and reading.error[at.axis] > 0]
        smooth = len(met) - len(tight)
        margin = min((at.margin for at in tight), default=np.inf)
        error = max((float(reading.error[at.axis]) + band for at in tight), default=0.0)
        statement = (
            f"what is read errs by at most {float(reading.error.max()):.3g}: less than the distance of its values from the interfaces "
            f"at which pieces jump; across the {smooth} others {block.name} is Lipschitz continuous, and either piece will do"
        )
        if not tight:
            margin = np.finfo(float).max
        return Claim(name, statement, "B9", error, float(margin), Known.PROVED, ">", note=sides)
    how = "s_i(z) = 0 exactly on the closed piece i, else s_i(z) < 0"
    if affine:
        how = "the largest of the affine scores belongs to the piece that holds z"
    if band > 0:
        statement = f"{how}, except within {band:.3g} of an interface, where the pieces agree and either will do"
        return Claim(name, statement, "B2", 0.0, 0.0, Known.EXACT, note=sides)
    where = "in exact arithmetic; what is read is rounded first"
    if all(reading.plain):
        where = f"in {np.dtype(dtype)} arithmetic, interface points included"
    statement = (
        f"{how}; the first expert wins a tie, and experts stand in order of precedence: every z goes to the piece that owns it, {where}"
    )
    return Claim(name, statement, "Theorem 5.3, R3, B10", 0.0, 0.0, Known.EXACT, note=sides)


def _side(block: Block, tiling: Tiling, at: Interface) -> str:
    """Which side an interface belongs to, as far as one word says it."""
    low, _ = tiling.owned
    above = low[tiling.lower[:, at.axis] == at.t, at.axis]
    word = (
        "belongs to the piece above" if above.all() else "belongs to the piece below" if not above.any() else "is shared out point by point"
    )
    what = "continuous" if at.jump <= 1e-12 else f"jump ≤ {at.jump:.3g}"
    return f"{block.reads[at.axis]} = {at.t:.6g} {word} ({what})"


def _where(lower: Array, upper: Array) -> str:
    return " × ".join(f"[{a:.6g}, {b:.6g}]" for a, b in zip(lower, upper, strict=True))
