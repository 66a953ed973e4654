"""`Centres`: the gate of balls, x ↦ c_i·x − (|c_i|² − r_i²)/2, its margin κ and what its logits are off by (B1, B16)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, Atlas, Points
from ...atlas.distances import squared
from ...intervals.rounding import gamma
from ...moe.network import Affine
from .proved_cover import CoverProof

CLAIMED = 0.5
"""κ is claimed to be this times the smallest margin found by search: what a proof has to reach, and a sample to refute."""
PRODUCTS = 1 + 2.0**-20
"""Covers the products of two rounding errors and the rounding of a bound's own formula."""


@dataclass(frozen=True, eq=False)
class Centres:
    """The gate on a ball atlas, and why its argmax lands inside the ball of the winner."""

    atlas: Atlas
    centers: Array
    """c (E, k), before embedding."""
    radii: Array
    """r (E,)."""
    gate: Affine
    """float64, on R^D."""
    stored: Affine
    """As exported."""
    eta: float
    """η: the stored logits, in any order of summation, differ by at most this from s_i(x) + something common to all i."""
    found: float
    """The smallest max_i (r_i² − |x − c_i|²) that search found on M…"""
    witness: Points
    """…and where."""
    proof: CoverProof
    neighbours: tuple[NDArray[np.intp], ...]
    """For every ball, the balls that meet it."""
    top_k: int = 1
    """K, how many balls are chosen. κ, and what search and proof found, are then of the K-th largest r_i² − |x − c_i|² (N14)."""
    tree: bool = False
    """Whether the gate is claimed to be the same in two levels (`moe.gate_tree`)."""

    @property
    def kind(self) -> str:
        """Equal radii, the nearest centre: "affine". Unequal ones: "power"."""
        return "affine" if np.ptp(self.radii) == 0 else "power"

    @property
    def kappa(self) -> float:
        """The κ that is claimed."""
        return CLAIMED * self.found

    @property
    def biased(self) -> bool:
        """Whether the gate needs its bias; not if all |c_i|² − r_i² are equal (R8)."""
        return bool(self.gate.bias.any())

    def lead(self, base: Array, chart: int) -> Array:
        """s_chart − max s at points of M, (N, k) to (N,); −∞ off the ball. Only balls that meet it can beat it there.

        Where K are chosen, above the K-th largest: s_chart − s_(K), or s_chart itself where fewer than K balls hold the point.
        """
        near = self.neighbours[chart]
        scores = (self.radii[near] ** 2 - squared(base, self.centers[near])) / 2
        own = scores[:, np.searchsorted(near, chart)]
        if self.top_k == 1:
            return np.where(own > 0, own - scores.max(1), -np.inf)
        level = np.partition(scores, -self.top_k, axis=1)[:, -self.top_k] if len(near) >= self.top_k else np.zeros(len(own))
        return np.where(own > 0, own - np.maximum(level, 0), -np.inf)


def exact_gate(atlas: Atlas, centers: Array, radii: Array) -> Affine:
    """x ↦ c_i·x − (|c_i|² − r_i²)/2 on R^D, float64."""
    return Affine(atlas.embed(centers).copy(), -(np.einsum("ek,ek->e", centers, centers) - radii**2) / 2)


def score_error(atlas: Atlas, centers: Array, radii: Array, gate: Affine, stored: Affine) -> float:
    """η: |stored logits at x̂ − s_i(x) − common(x)| ≤ η for x ∈ M, x̂ = x rounded to the stored dtype (R9).

    With u the dtype's unit roundoff, γ_n = nu/(1 − nu), X ≥ |x|, W ≥ |w_i|, B ≥ |b_i|, the sum of
    * γ_{D+1}(W·X + B): the dot product and the bias, in any order of summation, with or without fused multiply-add;
    * u·W·X: x rounded to x̂; and max_i |ŵ_i − w_i|·X + |b̂_i − b_i|, measured: the weights rounded to the dtype;
    * in float64: computing b_i, and s_i itself when it is compared with; and Q·c_i and Q·x if there is an embedding Q, whose
      columns are orthonormal only nearly;
    * half the spread of |c_i|² − r_i², halved, if the gate leaves its bias out.
    """
    k, D = atlas.base_dimension, atlas.ambient_dimension
    u = float(np.finfo(stored.weight.dtype).eps) / 2
    tiny = (D + 1) * float(np.finfo(stored.weight.dtype).smallest_subnormal)
    C = float(np.linalg.norm(centers, axis=1).max())
    X = float((np.linalg.norm(centers, axis=1) + radii).max())  # M lies in the balls
    weight, bias = stored.weight.astype(float), stored.bias.astype(float)
    W, B = float(np.linalg.norm(weight, axis=1).max()), float(np.abs(bias).max())
    arithmetic = gamma(D + 1, stored.weight.dtype) * (W * X + B) + tiny * (1 + X)
    inputs = u * W * X + tiny * W
    rounded = float((np.linalg.norm(weight - gate.weight, axis=1) * X + np.abs(bias - gate.bias)).max())
    built = gamma(k + 3, float) * ((C**2 + float(radii.max()) ** 2) / 2 + (C + X) ** 2)
    if atlas.embedding is not None:
        Q = atlas.embedding
        defect = float(np.linalg.norm(Q.T @ Q - np.eye(k))) + gamma(D, float) * k
        built += (defect + 2 * gamma(k, float) * np.sqrt(k)) * C * X
    offsets = np.einsum("ek,ek->e", centers, centers) - radii**2
    dropped = 0.0 if gate.bias.any() else float(np.ptp(offsets)) / 4
    return float(PRODUCTS * (arithmetic + inputs + rounded + built + dropped))
