"""What evaluation in floats adds to a network in real arithmetic, bounded layer by layer (R9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from ...atlas import Array
from ...intervals.patch import GROW
from ...intervals.rounding import gamma
from .layers import Indices, Layer, Map, Net
from .networks import outer

ELEMENTARY = 4
"""Units in the last place, of twice the unit roundoff each, to which exp is trusted in either dtype."""


class Sized(NamedTuple):
    """|x| ≤ size and |computed x − x| ≤ error, channel by channel."""

    size: Array
    error: Array

    def of(self, channels: Indices) -> Sized:
        return Sized(self.size[channels], self.error[channels])

    def within(self, dtype: DTypeLike) -> Sized:
        """With ∞ for the error of what may overflow on the way."""
        return Sized(self.size, np.where(GROW * (self.size + self.error) < float(np.finfo(dtype).max), self.error, np.inf))


def largest(parts: Sequence[Sized]) -> Sized:
    return Sized(np.max([part[0] for part in parts], axis=0), np.max([part[1] for part in parts], axis=0))


def evaluated(map_: Map, x: Sized, dtype: DTypeLike, twice: int = 0) -> Sized:
    """|fl(W·x + b) − (W·x + b)| ≤ γ_{n+1}·(|W|·|x| + |b|) in any order of summation, plus a subnormal number for each operation.

    Terms that are 0 do not count. `twice`: so many inputs are pairs, z = σ(z) − σ(−z), both of which may be computed as small numbers.
    """
    weight = np.abs(map_.weight)
    n = int((weight != 0).sum(1).max(initial=0)) + twice + 1
    exact, arriving = weight @ x.size + np.abs(map_.bias), weight @ x.error
    lost = arriving + gamma(n, dtype) * (exact + 2 * arriving) + n * float(np.finfo(dtype).smallest_subnormal)
    grow = GROW + 2 * gamma(map_.weight.shape[1] + 1)  # for what is rounded here
    return Sized(grow * exact, grow * lost).within(dtype)


def through(net: Net, x: Sized, dtype: DTypeLike) -> Sized:
    """A pair of neurons computes σ(ẑ) − σ(−z̃) within e of z where ẑ and z̃ are; inputs that pass all layers arrive as they are."""
    inner, pairs = x, 0
    for map_, linear in zip(net.maps[:-1], net.linear, strict=True):
        inner, pairs = evaluated(map_, inner, dtype, pairs), int(linear.sum())
    if len(net.maps) > 1 and net.skip.any():
        inner = Sized(np.concatenate([inner.size, x.size]), np.concatenate([inner.error, x.error]))
    return evaluated(outer(net), inner, dtype, pairs)


def overflows(layers: Sequence[Layer], x: Sized, dtype: DTypeLike) -> bool:
    """Whether a number of any layer may be beyond `dtype`, also one that is multiplied by 0."""
    for layer in layers:
        for net in layer.everything:
            inner = x.of(layer.sees if net is layer.gate else layer.reads)
            for map_ in net.stored:
                inner = evaluated(map_, inner, dtype)
                if not np.isfinite(inner.error).all():
                    return True
        x = rounding([layer], x, dtype)[1]
    return not np.isfinite(x.error).all()


def added(a: Sized, b: Sized, dtype: DTypeLike) -> Sized:
    """One rounded sum."""
    size, error = a.size + b.size, a.error + b.error
    return Sized(GROW * size, GROW * (error + gamma(1, dtype) * (size + error))).within(dtype)


def read(embedding: Array | None, size: Array, computed: Array, dtype: DTypeLike) -> Sized:
    """x = Q·z, |z_k| ≤ size, computed in float64 and rounded. A z_k that the network computed itself, within `computed` > 0, is there as it
    is; a coordinate that is copied is only rounded.
    """
    error, channel = computed.copy(), computed > 0
    if embedding is not None:
        terms = (embedding != 0).sum(1)
        lost = np.array([gamma(n) for n in np.where((terms == 1) & (embedding == 1).any(1), 0, terms).tolist()])
        size = np.abs(embedding) @ size * (GROW + 2 * gamma(embedding.shape[1]))
        error, channel = np.abs(embedding) @ computed + lost * size, (embedding != 0) @ channel
    once = gamma(1, dtype) * (size + error) + float(np.finfo(dtype).smallest_subnormal)
    error = GROW * (error + np.where(channel, 0.0, once))
    return Sized(size, error).within(dtype)


def rounding(layers: Sequence[Layer], x: Sized, dtype: DTypeLike) -> tuple[float, Sized]:
    """(η, each channel behind the last layer) for evaluation in `dtype` of what the layers read."""
    eta = 0.0
    for layer in layers:
        logits = None if layer.gate is None else through(layer.gate, x.of(layer.sees), dtype)
        eta = eta if logits is None else max(eta, float(logits.error.max()))
        size, error = np.zeros(len(layer.carries)), np.zeros(len(layer.carries))
        kept = layer.carries >= 0
        size[kept], error[kept] = x.of(layer.carries[kept])
        if layer.nets:
            out = largest([through(net, x.of(layer.reads), dtype) for net in layer.nets])
            if logits is not None and not layer.unit:
                out = weighed(layer, logits, out, dtype)
            if layer.shared is not None:
                out = added(out, through(layer.shared, x.of(layer.reads), dtype), dtype)
            both = kept[layer.writes]
            summed = added(Sized(size, error).of(layer.writes), out, dtype)
            size[layer.writes] = np.where(both, summed.size, out.size)
            error[layer.writes] = np.where(both, summed.error, out.error)
        x = Sized(size, error)
    return eta, x


def weighed(layer: Layer, logits: Sized, out: Sized, dtype: DTypeLike) -> Sized:
    """Σ_k w_k·q_k over K experts, |q_k| ≤ `out`; for one set of K, whichever it is.

    Weights: 1/K, rounded once; σ(s_k), as far off as s_k. Softmax: Σ_k |∂_j w_k| summed over j is Σ_k 2·w_k·(1 − w_k) ≤ 2·(1 − 1/K), the
    exponents s_k − max s are off by the error of a logit and a rounding, and each exp, sum and quotient adds its own.
    """
    K, u, eta = layer.top_k, gamma(1, dtype), float(logits.error.max())
    largest_logit = float((logits.size + logits.error).max())
    whole, wrong = 1.0, u
    if layer.weighting == "rectified":
        whole, wrong = K * largest_logit, K * eta
    elif layer.weighting == "softmax":
        wrong = GROW * 2 * (1 - 1 / K) * (eta + 2 * u * largest_logit) + gamma(K + 1 + 4 * ELEMENTARY, dtype)
    tiny = 4 * K * float(np.finfo(dtype).tiny)
    reach = out.size + out.error
    error = whole * out.error + (wrong + tiny) * reach + gamma(K + 1, dtype) * (whole + wrong) * reach + tiny
    return Sized(GROW**2 * whole * out.size, GROW**2 * error).within(dtype)
