"""The weights of one group for targets that are continuous across interfaces (N18): hats that add up to 1, two of them where pieces meet.

Statement. Let intervals meet at t_1 < t_2 < …, let 0 < w_j for each, and no interval between two of them be shorter than 3w_j for
either. The logits of a piece, one face inwards of each of its ends by w_j/2,

    z_i(x) = 1 − Σ_lower σ((t_j + w_j/2 − x)/w_j) − Σ_upper σ((x − t_j + w_j/2)/w_j),

have σ(z_i) = 1 on the piece but for w_j/2 at its ends, 0 beyond them by w_j/2, linear between: Σ_i σ(z_i) = 1 for every x, and at most
two are not 0. Let g_i err by ε_i on its piece and w_j/2 beyond, J_j ≥ |F_i − F_{i+1}| at t_j, Δ_j ≥ |F_i′ − F_{i+1}′| within w_j/2 of it.
Then

    |F − Σ_i σ(z_i)·g_i| ≤ max ε_i + max_j (J_j/2 + Δ_j·w_j/16),

and with every logit off by at most η < 1/4, whichever K logits are chosen as the largest, K = 2 a group, by at most K·η·max|g| more.

Proof. At distance r ≤ w/2 from t on the other piece's side a piece has the weight 1/2 − r/w, and F_i − F_{i+1} is at most J + Δ·r there:
(J + Δ·r)·(1/2 − r/w) ≤ J/2 + Δ·w/16, the second where r = w/4. |x| has it with Δ = 2, so 1/16 cannot be less. A piece has z_i > −1 + 2η
only within w_j·(3/2 − η) of itself, so of at most two in a group: all logits that are positive, or would be, are among the K largest,
and σ passes η on as it is. ∎

Weights that are 0 are 0 exactly, as σ cuts them off, and powers of two for w_j make everything but one difference exact in floats.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...atlas import Array, Tiling
from ...moe.network import Affine, Net, NeuronGroup

PART = 16
"""1/PART of Δ·w is what a ramp of width w makes of a kink; sharp."""
APART = 4
"""A ramp is at most so many times shorter than the pieces that it joins."""
ORIGIN = "distance beyond where a hat begins to fall, in its width (N18)"


def width_of(shortest: float, kink: float, share: float | None) -> float:
    """w: a power of two, at most `shortest`/APART, and so that kink·w/PART ≤ share."""
    most = shortest / APART
    if share is not None and kink > 0:
        most = min(most, PART * share / kink)
    return float(np.ldexp(1.0, int(np.frexp(most)[1]) - 1))


def hats(tiling: Tiling, order: Sequence[int], widths: Array) -> Net:
    """z ↦ (z_i), R to R^E, the pieces in the given order; `widths` of the ramps at the inner knots from left to right (E − 1,)."""
    inner = tiling.knots[0][1:-1].tolist()
    ramps = dict(zip(inner, widths.tolist(), strict=True))
    weight, bias = list[list[float]](), list[float]()
    out = np.zeros((len(order), 2 * len(inner)))
    for row, piece in enumerate(order):
        for side, t in ((1, float(tiling.lower[piece, 0])), (-1, float(tiling.upper[piece, 0]))):
            if t in ramps:
                out[row, len(weight)] = -1.0
                weight.append([-side / ramps[t]])
                bias.append((side * t + ramps[t] / 2) / ramps[t])
    if not weight:
        return Affine(np.zeros((len(order), 1)), np.ones(len(order))).net
    group = NeuronGroup("gate.ramp", len(weight), ORIGIN)
    return Net((Affine(np.array(weight), np.array(bias)), Affine(out, np.ones(len(order)))), ((group,),))
