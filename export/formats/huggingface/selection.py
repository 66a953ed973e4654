"""How routers of the classes tell logits apart, and the power of two that logits are multiplied by so that they do.

A router that compares logits themselves loses nothing. Others compare float32 numbers p made of them, u = 2⁻²⁴, each known to a few u of
itself, so that two logits that are closer than the *resolution* r may come out equal, or in another order. Logits times c:

* softmax: p_i/p_j = exp(c·(s_i − s_j)), so r = 8u/c: 1 − exp(−8u) is four units of rounding on both sides. For K = 1 only the largest has
  to be told from others, and underflow of others does no harm: any c will do, and c ≥ 8/S, |s| ≤ S, makes r ≤ u·S, what logits are
  rounded to;
* softmax weights of K > 1 experts are exp(s_i)/Σ exp(s_j): c = 1, r = 8u;
* sigmoid: at 17 it *is* 1, near 0 it is flat to u, and far below 0 it is exp(z), known to a few u of itself. So logits are moved there: c
  is the largest power of two with c·(h − l) ≤ 8 and c·S ≤ 64, where [l, h] is what the largest logits are sampled in, and
  −10 − c·(l + h)/2 is added: largest logits are in [−14, −6], and in [−18, −2] if they reach half as far again. There σ′/σ > 0.88, so with
  what z itself is rounded by r = (8/0.88 + 2·(18 + c·S))·u/c; and p/(p + 10⁻²⁰), the weight, is 1;
* K > 1 experts of logits exactly 0, others at most −m (N15): c·m ≥ 8u for softmax, 32u for sigmoids, whose slope at 0 is 1/4; nothing is
  lost if the others underflow; whatever the rule, all weights are 1/K. m is the ledger's (`routing.stock`), or the least that is sampled.

Ties. `topk` of PyTorch does not say which of equal numbers it takes, and where a function jumps that matters. Pieces are told by scores
whose largest is 0, exactly: there expert i gets −i·η more, η the largest power of two with 2E·η ≤ m, m the least score below 0 in size that
is sampled (at neighbours of interfaces in the dtype, too). −i·η is a number of the dtype, so that the first of equal ones is taken, and
m − E·η ≥ η keeps what is not tied; c·η is to be 8u or 32u as above. Equal logits that are not 0 are left to `topk`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ....moe import MoELayer
from ....moe.layer import Weighting
from ....moe.network import Floats
from ....verify.sample.scores import gap
from .decoder import Unfit

U = 2.0**-24
SLOPE = 0.88
"""Below σ′/σ left of −2."""
SPREAD, AT, MOST_SCALED = 8.0, -10.0, 64.0
"""Of sigmoids: how far apart the largest logits of inputs are, where the middle of them is, and how large they are before that."""
NEVER = -(2.0**64)
"""The logit of an expert that is there to make up the number."""


MOST = 2.0**100
"""Of a logit."""


class Rule(StrEnum):
    """What a router compares."""

    LOGITS = "logits"
    SOFTMAX = "softmax probabilities"
    SIGMOID = "sigmoids"


@dataclass(frozen=True)
class Scale:
    """What logits of a layer are multiplied by."""

    factor: float
    """c, a power of two."""
    largest: float
    """S, the largest logit in size at sampled points."""
    resolution: float
    """r: of logits that are further apart the larger one is taken."""
    margin: float | None
    """m, between what is chosen and what is not, where logits do not meet but in ties of the best."""
    step: float = 0.0
    """η, by which each expert is behind the one before it."""
    shift: float = 0.0
    """What is added to all logits, times c."""


def scale(rule: Rule, layer: MoELayer, logits: Floats, stock: float | None) -> Scale:
    """For one layer with a gate, from logits at sampled points [N, E]; `stock`: a margin that the ledger knows. Raises `Unfit` where
    weights are others than the network's.
    """
    s = logits.astype(float)
    largest = float(np.abs(s).max(initial=0.0))
    margin = None
    if layer.weighting is Weighting.RECTIFIED:
        raise Unfit("it weighs experts by their logits, not normalised; take {weighting=uniform} or {weighting=softmax}")
    several = layer.top_k > 1
    chosen = np.sort(s, axis=1)[:, -layer.top_k :]
    if several and layer.weighting is Weighting.UNIFORM and np.ptp(chosen, axis=1).any():
        raise Unfit(f"{layer.top_k} experts are weighed alike, whatever their logits; take {{weighting=softmax}}")
    if several and (layer.weighting is Weighting.UNIFORM or (rule is Rule.SIGMOID and not chosen.any())):
        margin = float(gap(s, layer.top_k).min()) if stock is None else stock
    elif several and rule is Rule.SIGMOID:
        raise Unfit(f"{layer.top_k} experts are weighed by softmax, in this class by sigmoids; export to hf-mixtral, or take {{top_k=1}}")
    if not several and not s.max(axis=1, initial=-np.inf).any():
        below = np.abs(s[s < 0]).min(initial=1.0)
        step = 1 / _up(2 * len(layer) / below)
        factor = 1.0 if rule is Rule.LOGITS else max(1.0, _up((8 if rule is Rule.SOFTMAX else 32) * U / step))
        if factor * max(largest, 1.0) < MOST:
            return Scale(factor, largest, step, float(below), step)
    if rule is Rule.LOGITS:
        return Scale(1.0, largest, 0.0, margin)
    if margin is not None:
        need = (8 if rule is Rule.SOFTMAX else 32) * U
        factor = max(1.0, _up(need / margin)) if 0 < margin < np.inf else 1.0
        return Scale(factor, largest, need / factor, margin)
    if rule is Rule.SIGMOID:
        return _sigmoids(s, largest)
    factor = 1.0 if several or largest == 0 else _up(8 / largest)
    return Scale(factor, largest, 8 * U / factor, None)


def _sigmoids(s: Floats, largest: float) -> Scale:
    """For the largest of logits that are compared by sigmoids."""
    best = s.max(axis=1)
    low, high = float(best.min()), float(best.max())
    most = max((high - low) / SPREAD, largest / MOST_SCALED)
    factor = 1.0 if most == 0 else 1 / _up(most)
    resolution = (8 / SLOPE + 2 * (SPREAD - AT + factor * largest)) * U / factor
    return Scale(factor, largest, resolution, None, shift=float(np.float32(AT - factor * (low + high) / 2)))


def _up(value: float) -> float:
    """The least power of two that is not below."""
    return float(2.0 ** math.ceil(math.log2(value)))
