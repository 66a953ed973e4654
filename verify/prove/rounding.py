"""What floating-point evaluation adds to the real-arithmetic function of the stored weights, bounded for every point of a box.

For n terms, unit roundoff u and any order of summation, with or without fused multiply-add,
|fl(W·x + b) − (W·x + b)| ≤ γ_{n+1}·(|W|·|x| + |b|) + (n + 1)·t, γ_n = n·u/(1 − n·u), t the smallest subnormal number (R9). A change
of the input by e changes the exact result by at most |W|·e, and σ shrinks distances. Applied layer by layer to |x| ≤ X.
The bounds are computed in float64 and multiplied by `GENEROUS`, which covers their own rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...atlas import Array
from ...intervals.rounding import gamma
from ...moe.layer import MoELayer, Weighting
from ...moe.network import Affine, Network, ReLUNet

GENEROUS = 1 + 2.0**-20
"""Covers the rounding of the bounds themselves: fewer than 2^30 roundings of 2^-53 each."""


@dataclass(frozen=True, eq=False)
class Magnitudes:
    """|value| ≤ size and |computed value − value| ≤ error, for every channel; (n,) each."""

    size: Array
    error: Array

    def joined(self, other: Magnitudes) -> Magnitudes:
        """What holds whichever of the two applies."""
        return Magnitudes(np.maximum(self.size, other.size), np.maximum(self.error, other.error))

    def plus(self, other: Magnitudes, dtype: DTypeLike) -> Magnitudes:
        """Of the sum, rounded once."""
        size, error = self.size + other.size, self.error + other.error
        error = GENEROUS * (error + float(np.finfo(dtype).eps) / 2 * (size + error))
        return Magnitudes(GENEROUS * size, np.where(GENEROUS * (size + error) < float(np.finfo(dtype).max), error, np.inf))

    def some(self, channels: Sequence[int] | NDArray[np.intp]) -> Magnitudes:
        """Of some channels."""
        return Magnitudes(self.size[channels], self.error[channels])


@dataclass(frozen=True, eq=False)
class Rounding:
    """How far an evaluation in `dtype` is from the real-arithmetic function, whatever routes are taken."""

    logits: float
    """η: every logit of every layer is computed to within this…"""
    outputs: float
    """…and every output to within this."""


def affine(map_: Affine, x: Magnitudes, dtype: DTypeLike) -> Magnitudes:
    """What W·x + b, computed in `dtype`, adds to what is known about x."""
    weight, bias = np.abs(np.asarray(map_.weight, float)), np.abs(np.asarray(map_.bias, float))
    n = weight.shape[1]
    size = weight @ x.size + bias
    with np.errstate(invalid="ignore"):
        arriving = weight @ x.error  # NaN where 0 meets ∞
    tiny = (n + 1) * float(np.finfo(dtype).smallest_subnormal)
    error = GENEROUS * (arriving + gamma(n + 1, dtype) * (size + arriving) + tiny)
    # No product or partial sum is larger than size + error; where that may overflow nothing is known of what follows. Nor for NaN.
    safe = GENEROUS * (size + error) < float(np.finfo(dtype).max)
    return Magnitudes(GENEROUS * size, np.where(safe, error, np.inf))


def net(expert: ReLUNet, x: Magnitudes, dtype: DTypeLike) -> Magnitudes:
    """The same through a ReLU net: σ changes neither bound."""
    for map_ in expert.affines:
        x = affine(map_, x, dtype)
    return x


def layer(part: MoELayer, x: Magnitudes, dtype: DTypeLike) -> tuple[float, Magnitudes]:
    """How far logits may be off, and what is known of the channels behind a layer, whatever it chooses."""
    gate = None if part.gate is None else net(part.gate, x, dtype)
    inputs = x if part.reads is None else x.some(list(part.reads))
    each = [net(expert, inputs, dtype) for expert in part.experts]
    written = each[0]
    for found in each[1:]:
        written = written.joined(found)
    if gate is not None and (part.top_k > 1 or part.weighting is Weighting.RECTIFIED):
        written = weighed(part, gate, written, dtype)
    if part.shared is not None:
        written = written.plus(net(part.shared, inputs, dtype), dtype)
    return 0.0 if gate is None else float(gate.error.max()), _placed(part, x, written, dtype)


def weighed(part: MoELayer, gate: Magnitudes, x: Magnitudes, dtype: DTypeLike) -> Magnitudes:
    """Σ w_k·x_k for K chosen logits s known to ±e, |s| ≤ S, and outputs that x says: γ_{K+1} of Σ|w_k|·|x_k| in any order.

    Softmax: |∂w_k/∂s_j| summed over j is 2·w_k(1 − w_k) ≤ 1/2, s_j − max s is rounded once, and exp is right to 4 units in its last place:
    w is off by ω = (e + 2u(S + e))/2 + γ_{2K+12}. 1/K is off by u, σ(s) by e.
    """
    K, u = part.top_k, float(np.finfo(dtype).eps) / 2
    S, e = float(gate.size.max()), float(gate.error.max())
    if part.weighting is Weighting.RECTIFIED:
        weight, off = K * S, K * e
    else:
        weight, off = 1.0, K * (u if part.weighting is Weighting.UNIFORM else (e + 2 * u * (S + e)) / 2 + gamma(2 * K + 12, dtype))
    tiny = (K + 1) * float(np.finfo(dtype).smallest_subnormal)
    arriving = x.size + x.error
    error = GENEROUS * (weight * x.error + off * arriving + gamma(K + 1, dtype) * (weight + off) * arriving + tiny)
    safe = GENEROUS * (weight + off) * (arriving + 1) < float(np.finfo(dtype).max)
    return Magnitudes(GENEROUS * weight * x.size, np.where(safe, error, np.inf))


def _placed(part: MoELayer, x: Magnitudes, written: Magnitudes, dtype: DTypeLike) -> Magnitudes:
    """carry(x) + scatter(written)."""
    if part.writes is None and part.carries is None:
        return written
    sources = part.sources
    carried = Magnitudes(np.where(sources >= 0, x.size[sources], 0.0), np.where(sources >= 0, x.error[sources], 0.0))
    both = carried.some(part.targets).plus(written, dtype)
    fresh = sources[part.targets] < 0
    size, error = carried.size.copy(), carried.error.copy()
    size[part.targets] = np.where(fresh, written.size, both.size)
    error[part.targets] = np.where(fresh, written.error, both.error)
    return Magnitudes(size, error)


def network(weights: Network, size: Array, computed: Array, dtype: DTypeLike) -> Rounding:
    """The rounding of a network evaluated in `dtype` at x̂, for |x| ≤ size (D,) and x̂ one rounding off a point within `computed` of x."""
    one = float(np.finfo(dtype).eps) / 2 * (size + computed) + float(np.finfo(dtype).smallest_subnormal)
    error = GENEROUS * (computed + one)
    x = Magnitudes(size, np.where(size + error < float(np.finfo(dtype).max), error, np.inf))
    eta = 0.0
    for part in weights.layers:
        off, x = layer(part, x, dtype)
        eta = max(eta, off)
    return Rounding(eta, float(x.error.max()))
