"""Theorem 5.3, the cube case: a block given piece by piece on intervals or boxes of any size, with kinks and jumps where they meet.

The printed hats all vanish at the interfaces (R3), so argmax says nothing there. Instead (B10), for a piece that is the box ∏_k [a_k, b_k],

    s_i(z) = −Σ_k σ(a_k − z_k) + σ(z_k − b_k),    the faces on the outside of the whole domain left out:

s_i is 0 exactly on the closed piece and negative off it, by the distance to it (summed over the axes). At an interface several
scores are 0; the first expert wins, and experts stand in the tiling's order of precedence, so every interface point goes to the
piece that owns it. In floats too: fl(t − z) has the right sign. Where t is no number of the stored dtype, no z of that dtype lies
on the interface, and a face is stored as the nearest number on its own side: a_k rounded up, b_k down. For E intervals these are
2(E − 1) neurons, and the margin is the distance to the interface.

`affine` scores need no layer of their own (B2): along each axis, of the functions z ↦ j·z − (t_1 + … + t_j) the largest is that of the
interval that holds z. Slopes −1, 0, 1 and fewer are exact in floats; more are off by rounding within a narrow band around an interface.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from ..atlas import Array, Block, Tiling
from ..errors import InvalidArgument, MarginTooSmall
from ..moe.ledger import Claim, Known
from ..moe.network import Affine, NeuronGroup, ReLUNet
from .built import BuiltBlock, Reading, leaf
from .experts.pieces import Asked, piece_net
from .ranges import domains, enlarged, jump, steepness
from .routers.scores import ROUNDING_SHARE

ORIGIN = "distance beyond a face, Theorem 5.3 (R3, B10)"
SHOWN = 8
"""Interfaces that a claim names."""


def scores_net(tiling: Tiling, order: Sequence[int], exact: Sequence[bool], dtype: DTypeLike) -> ReLUNet:
    """z ↦ s(z) (k to E), the pieces in the given order: one neuron for every inner face, shared by the pieces that have it.

    `exact` says of every axis whether z_k arrives as a number of the `dtype`, so that its faces can be rounded to their own side.
    """
    faces: dict[tuple[int, float, int], list[int]] = {}
    for row, piece in enumerate(order):
        for axis in range(tiling.dimension):
            for side, ends in ((1, tiling.lower), (-1, tiling.upper)):
                t = float(ends[piece, axis])
                if t != (tiling.domain.lower if side > 0 else tiling.domain.upper)[axis]:
                    faces.setdefault((axis, t, side), []).append(row)
    weight, bias = np.zeros((len(faces), tiling.dimension)), np.zeros(len(faces))
    out = np.zeros((len(order), len(faces)))
    for j, ((axis, t, side), rows) in enumerate(faces.items()):
        weight[j, axis] = -side
        bias[j] = side * (directed(t, side, dtype) if exact[axis] else t)
        out[rows, j] = -1
    group = NeuronGroup("tau.face", len(faces), ORIGIN)
    return ReLUNet((Affine(weight, bias), Affine(out, np.zeros(len(order)))), ((group,),))


def directed(t: float, side: int, dtype: DTypeLike) -> float:
    """t, or where the dtype does not hold it the next number of it above (side > 0) or below."""
    nearest = np.asarray(t, dtype)[()]
    if (float(nearest) - t) * side < 0:
        nearest = np.nextafter(nearest, np.asarray(side * np.inf, dtype)[()])
    return float(nearest)


def is_grid(tiling: Tiling) -> bool:
    """Whether the pieces are all the boxes between the knots of the axes."""
    if len(tiling) != np.prod([len(knots) - 1 for knots in tiling.knots]):
        return False
    return all(
        np.array_equal(np.searchsorted(k, tiling.lower[:, a]) + 1, np.searchsorted(k, tiling.upper[:, a]))
        for a, k in enumerate(tiling.knots)
    )


def _affine_gate(block: Block, order: Sequence[int], exact: bool, dtype: DTypeLike) -> tuple[Affine, float]:
    """The affine gate of a block, and how close to an interface it may confuse the pieces that meet there."""
    assert isinstance(block.domain, Tiling)
    try:
        gate, rounding = affine_scores(block.domain, order, exact, dtype)
    except InvalidArgument as error:
        raise InvalidArgument(f'block "{block.name}": {error}; use depth "L+1"') from error
    # Two scores that differ by |z − t| are compared, each off by this.
    return gate, 2 * rounding * float(np.finfo(dtype).eps)


def affine_scores(tiling: Tiling, order: Sequence[int], exact: bool, dtype: DTypeLike) -> tuple[Affine, float]:
    """The gate z ↦ Σ_k (j_k·z_k − c_{k,j}), j_k the place of a piece along axis k; and by how many units of rounding it may be off.

    Up to three intervals have the scores t_1 − z, 0 and z − t_2, whose signs are exact if z arrives `exact`ly; a t that is no number of
    the dtype is rounded towards the piece that loses the tie. Raises `InvalidArgument` for pieces that are no grid.
    """
    if not is_grid(tiling):
        raise InvalidArgument("the pieces are no grid, so no affine scores tell them apart")
    weight, bias = np.zeros((len(tiling), tiling.dimension)), np.zeros(len(tiling))
    error = 0.0
    for axis, knots in enumerate(tiling.knots):
        inner = knots[1:-1]
        signs = tiling.dimension == 1 and len(inner) <= 2 and exact
        if signs:
            rank = _ranks(tiling, order)
            # The winner of a tie gets the stored number itself, so that must lie on its side of t, or be t.
            sides = [-1 if rank[k] < rank[k + 1] else 1 for k in range(len(inner))]
            inner = np.array([directed(float(t), side, dtype) for t, side in zip(inner, sides, strict=True)])
        middle = len(inner) // 2
        sums = np.concatenate([[0.0], np.cumsum(inner)])
        slopes = np.arange(len(inner) + 1) - middle
        offsets = -(sums - sums[middle])
        if signs and len(inner) == 2:
            offsets = np.array([inner[0], 0.0, -inner[1]])
        place = np.searchsorted(knots, tiling.lower[:, axis])
        weight[:, axis] = slopes[place]
        bias += offsets[place]
        if not signs:
            size = float(np.abs(knots[[0, -1]]).max())
            # What is read, products, their sum over the axes, the bias and the sums of knots, each rounded.
            error += (4 + tiling.dimension + len(inner)) * (float(np.abs(slopes).max()) * size + float(np.abs(sums).max()))
    rows = list(order)
    return Affine(weight[rows], bias[rows]), error


def _ranks(tiling: Tiling, order: Sequence[int]) -> list[int]:
    """For intervals from left to right, their places among the gate outputs."""
    return [order.index(piece) for piece in np.argsort(tiling.lower[:, 0]).tolist()]


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
    tiling = block.domain
    assert isinstance(tiling, Tiling)
    return [
        Interface(axis, float(t), reading.values[axis].distance(float(t)), jump(block, axis, float(t)))
        for axis, knots in enumerate(tiling.knots)
        for t in knots[1:-1]
    ]


def build(block: Block, reading: Reading, asked: Asked, *, affine: bool, dtype: DTypeLike) -> BuiltBlock:
    """The experts of every piece, the scores or the affine gate that choose among them, and what is claimed of both.

    Values that are read with an error η: an interface at which the subtasks agree needs no margin, as f is Lipschitz across it; any
    other must be further than η from every value that is read, else `MarginTooSmall` (B9). Pieces on the outside are wider by η.
    """
    tiling = block.domain
    assert isinstance(tiling, Tiling)
    assert tiling.precedence is not None  # structure checks it
    order = tiling.precedence
    met = interfaces(block, reading)
    gate, band = None, 0.0
    exact = [channel is not None and channel.startswith("x[") for channel in reading.channels]
    if affine and len(tiling) > 1:
        gate, band = _affine_gate(block, order, all(exact), dtype)
        near = [at for at in met if band > 0 and at.margin <= reading.error[at.axis] + band]
        if jumping := next((at for at in near if at.jump > ROUNDING_SHARE * (asked.budget or band)), None):
            where = f"{block.reads[jumping.axis]} = {jumping.t:.6g}"
            raise InvalidArgument(
                f'block "{block.name}": its pieces jump by {jumping.jump:.3g} at {where}, and affine scores of {len(tiling)} pieces '
                f'tell them apart only to {band:.3g} in {np.dtype(dtype)}; use depth "L+1", which is exact'
            )
    extra = check_margins(block, reading, met, band, asked.budget)
    lower, upper = enlarged(tiling, reading.error)
    lipschitz = block_steepness(block, reading) if (reading.error > 0).any() else None
    if band > 0:
        lower, upper = lower - band, upper + band
        whole = [(function, lower[i], upper[i]) for i, function in enumerate(block.subtasks)]
        extra += 2 * band * float(steepness(f'block "{block.name}"', whole).sum(1).max())
    share = asked.less(extra)
    nets = [
        piece_net(function, lower[i], upper[i], share, f"block[{block.name}].expert[{tiling.names[i]}]")
        for i, function in enumerate(block.subtasks)
    ]
    scores = None if gate is not None or len(tiling) == 1 else scores_net(tiling, order, exact, dtype)
    names = tuple(tiling.names[i] for i in order)
    local = max(net.bound for net in nets) + extra
    leaves = tuple(leaf(block.name, tiling.names[i], nets[i], asked.budget, _where(lower[i], upper[i])) for i in order)
    routed = _routing_claim(block, reading, met, gate is not None, band, all(exact), dtype)
    claim = Claim(
        f"block[{block.name}]",
        f"|{block.name} as computed − {block.name}| for the values it reads, on every piece{'' if not extra else ', interfaces included'}",
        "Theorem 5.3",
        local if asked.budget is None else asked.budget,
        local,
        Known.SAMPLED if any(net.known is Known.SAMPLED for net in nets) else Known.FORMULA,
        samples=max((net.samples for net in nets if net.samples), default=None),
        children=(routed, *leaves),
    )
    built = tuple(nets[i].net for i in order)
    pointwise = band == 0 and all(at.margin > reading.error[at.axis] or reading.error[at.axis] == 0 for at in met)
    routing = "affine" if gate is not None else "intervals"
    return BuiltBlock(block, names, scores, gate, built, local, claim, routing, lipschitz, pointwise)


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


def _routing_claim(
    block: Block, reading: Reading, met: Sequence[Interface], affine: bool, band: float, exact: bool, dtype: DTypeLike
) -> Claim:
    tiling = block.domain
    assert isinstance(tiling, Tiling)
    name = f"block[{block.name}].routing"
    sides = "; ".join(_side(block, tiling, at) for at in met[:SHOWN]) + (f"; {len(met) - SHOWN} more" if len(met) > SHOWN else "")
    if (reading.error > 0).any():
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
    where = f"in {np.dtype(dtype)} arithmetic, interface points included" if exact else "in exact arithmetic; what is read is rounded first"
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
