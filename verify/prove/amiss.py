"""Experts that may be chosen for points that their charts do not hold, and what they weigh together (N12).

Lemma. Let a layer take the K largest logits z with softmax weights, logits known to ±η. Let the chart of output v hold x, and let
z_v − z_j ≥ g_j for every output j that may be chosen and whose chart may not hold x, all g_j > 2η. Then those of them that are chosen
weigh together at most Q/(1 + Q), Q the sum of the K − 1 largest exp(2η − g_j).

Proof. If such a j is chosen, so is v: else K others are computed to be no less than z_v is, j among them, which is less than z_v − 2η.
The weight of each is exp(z_j)/Σ exp ≤ exp(z_j − z_v)/(1 + Σ exp(z_i − z_v)), sums over those that are chosen amiss, which are K − 1 at
most; and t/(1 + t) increases. ∎

With logits β·s the gaps are β times those of scores: N12's β = ln((K − 1)(B/ε′ − 1))/(Δ − 2η) makes Q/(1 + Q) = ε′/B. It is a statement
about weights; that the mixture is right is for the boxes to prove.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, Points
from ...intervals import Flags
from ...moe.network import Network
from ..enclosure import TaylorForms
from .rounding import GENEROUS

Indices = NDArray[np.intp]
LEAST, TIMES, ROOM = 2.0**-12, 4.0, 1 - 2.0**-3
"""What is to be proved of the weights: so many times what was seen, no less than this; boxes are settled at a part of it, so that other
enclosures can confirm it."""


def seen(network: Network, points: Points, membership: Flags, copies: int) -> float:
    """The largest weight at points of experts whose charts do not hold them, `membership` (N, charts)."""
    layer, trace = network.layers[-1], network.trace(points.ambient)
    chosen = trace.chosen[-1]
    outside = ~np.take_along_axis(membership, chosen // copies, axis=1)
    return float((layer.weights(chosen, trace.logits[-1]) * outside).sum(1).max(initial=0.0))


def asked(found: float) -> float:
    """What is to be proved, of so much that was seen."""
    return float(min(1.0, max(LEAST, TIMES * found)))


def weight(logits: TaylorForms, row: Indices, gate: Indices, held: Flags, top_k: int, eta: float) -> Array:
    """At most what is chosen amiss weighs, (rows,): `row` and `gate` are what may be chosen, `held` whether its chart holds the box."""
    rows = len(logits)
    best, least = np.zeros(rows, np.intp), np.full(rows, -np.inf)
    order = np.argsort(logits.center[row, gate], kind="stable")
    mine = order[held[order]]
    best[row[mine]], least[row[mine]] = gate[mine], logits.center[row[mine], gate[mine]]  # the last one stays
    away = np.flatnonzero(~held)
    gap = _at(logits, row[away], best[row[away]]) - _at(logits, row[away], gate[away])
    room = gap.range().lower[:, 0] - 2 * eta * GENEROUS
    each = np.where(room > 0, np.exp(-room) * GENEROUS, np.inf)
    each[least[row[away]] == -np.inf] = np.inf
    several = np.zeros((rows, logits.functions))
    several[row[away], gate[away]] = each
    total = np.sort(several, axis=1)[:, -max(1, top_k - 1) :].sum(1) * GENEROUS
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(total), GENEROUS * total / (1 + total), 1.0)


def _at(logits: TaylorForms, row: Indices, gate: Indices) -> TaylorForms:
    return TaylorForms(logits.coefficients[row, :, gate][:, :, None], logits.radius[row, gate][:, None])
