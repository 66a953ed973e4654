"""What floating-point evaluation adds to the real-arithmetic function of the stored weights, bounded for every point of a box.

For n terms, unit roundoff u and any order of summation, with or without fused multiply-add,
|fl(W·x + b) − (W·x + b)| ≤ γ_{n+1}·(|W|·|x| + |b|) + (n + 1)·t, γ_n = n·u/(1 − n·u), t the smallest subnormal number (R9). A change
of the input by e changes the exact result by at most |W|·e, and σ shrinks distances. Applied layer by layer to |x| ≤ X.
The bounds are computed in float64 and multiplied by `GENEROUS`, which covers their own rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from ...atlas import Array
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


@dataclass(frozen=True, eq=False)
class Rounding:
    """How far an evaluation in `dtype` is from the real-arithmetic function, whatever routes are taken."""

    logits: float
    """η: every logit of every layer is computed to within this…"""
    outputs: float
    """…and the output of every expert of the last layer to within this, largest component."""


def gamma(n: int, dtype: DTypeLike) -> float:
    """γ_n = n·u/(1 − n·u); ∞ for more terms than 1/u."""
    u = float(np.finfo(dtype).eps) / 2
    return n * u / (1 - n * u) if n * u < 1 else np.inf


def affine(map_: Affine, x: Magnitudes, dtype: DTypeLike) -> Magnitudes:
    """What W·x + b, computed in `dtype`, adds to what is known about x."""
    weight, bias = np.abs(np.asarray(map_.weight, float)), np.abs(np.asarray(map_.bias, float))
    n = weight.shape[1]
    size = weight @ x.size + bias
    arriving = weight @ x.error
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


def network(weights: Network, size: Array, computed: Array, dtype: DTypeLike) -> Rounding:
    """The rounding of a network evaluated in `dtype` at x̂, for |x| ≤ size (D,) and x̂ one rounding off a point within `computed` of x."""
    one = float(np.finfo(dtype).eps) / 2 * (size + computed) + float(np.finfo(dtype).smallest_subnormal)
    error = GENEROUS * (computed + one)
    x = Magnitudes(size, np.where(size + error < float(np.finfo(dtype).max), error, np.inf))
    eta = 0.0
    outputs = 0.0
    for layer in weights.layers:
        eta = max(eta, float(affine(layer.affine_gate, x, dtype).error.max()))
        inputs = x if layer.reads is None else Magnitudes(x.size[list(layer.reads)], x.error[list(layer.reads)])
        each = [net(expert, inputs, dtype) for expert in layer.experts]
        outputs = max(float(found.error.max()) for found in each)
        x = each[0]
        for found in each[1:]:
            x = x.joined(found)
    return Rounding(eta, outputs)
