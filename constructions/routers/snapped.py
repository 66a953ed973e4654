"""Balls as one group of a layer that many groups share (N20): scores snapped to a grid have exactly one first largest.

Statement. Let s_i = c_i·x − (|c_i|² − r_i²)/2 be the logits of an affine gate on balls (B1, B16), |s_i| ≤ M/4 on M, M a power of two.
In a floating-point type with n bits behind the leading one, numbers in [M, 2M) are multiples of q = M/2^n. The gate

    h_i = σ(s_i + 5M/4),   g_i = σ(h_i − M),   z_i = −Σ_{j<i} σ((g_j − g_i)/q + 1/2) − Σ_{j>i} σ((g_j − g_i)/q − 1/2)

is 0 for the first i with the largest h_i, and at most −1/2 for all others, in any order of summation. If h_i is within η′ of s_i plus
something common to all i, then r_i² − |x − c_i|² ≥ κ − 4η′ there: 4η′ < κ makes the chosen ball one that holds x. Where 5M/4 is added last,
to logits known to ±η, η′ = η + q/2, and the condition is 2q + 4η < κ; it is sharp.

Proof. h_i is a number in [M, 2M), whatever rounding made it, so a multiple of q, and all that follows is exact: g_i ∈ [0, M) are
multiples of q, (g_j − g_i)/q whole numbers below 2^(n−1) on M, and with 1/2 they have one bit more. z_i = 0 ⇔ h_j < h_i for j < i
and h_j ≤ h_i for j > i; else some whole number is ≥ 1 or ≥ 0, and its term at least 1/2. The first largest is one i. Then
s_i ≥ max s − 2η′, as for B1. A sum is rounded to the grid by q/2 at most: of two scores q apart the less one may be first, and the
squares differ by 2q. ∎

Continuous logits cannot do this (N17): the step is in rounding itself, and holds for no arithmetic but that of the dtype.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from ...atlas import Array, ManifoldTask
from ...moe.network import Affine, Net, NeuronGroup
from ..asked import Asked
from . import affine_claims
from .affine import AffineRouting, NearestCentre
from .centres import score_error

SNAP = "a score on the grid of the dtype (N20)"
PAIR = "how many steps of the grid another score is ahead (N20)"


@dataclass(frozen=True, eq=False)
class SnappedRouting(AffineRouting):
    """The gate of balls, its η that of snapped scores; `gate` and `stored` are the affine map M + b + s that is snapped."""

    lifted: float = 1.0
    """M."""

    @property
    def net(self) -> Net:
        """z, of what the block reads."""
        return snapped(self.gate, self.lifted, str(self.stored.weight.dtype))


def lift(centers: Array, radii: Array, gate: Affine) -> tuple[float, float]:
    """M and what is added: with |s_i| ≤ S on the balls M is a power of two ≥ 4S, and 5M/4 is added, so that h ∈ [M, 3M/2]."""
    X = float((np.linalg.norm(centers, axis=1) + radii).max())
    S = float((np.linalg.norm(gate.weight, axis=1) * X + np.abs(gate.bias)).max())
    M = float(np.ldexp(1.0, int(np.frexp(4 * S)[1])))
    return M, 1.25 * M


def snapped(gate: Affine, M: float, dtype: DTypeLike) -> Net:
    """z for an affine map whose values lie in [M, 2M], all of its numbers exact in `dtype`."""
    E, steps = len(gate.bias), 2.0 ** np.finfo(dtype).nmant / M
    pairs = [(i, j) for i in range(E) for j in range(E) if i != j]
    ahead, out = np.zeros((len(pairs), E)), np.zeros((E, len(pairs)))
    bias = np.array([0.5 if j < i else -0.5 for i, j in pairs])
    for row, (i, j) in enumerate(pairs):
        ahead[row, j], ahead[row, i] = steps, -steps
        out[i, row] = -1
    groups = ((NeuronGroup("gate.snap", E, SNAP),), (NeuronGroup("gate.grid", E, SNAP),), (NeuronGroup("gate.ahead", len(pairs), PAIR),))
    maps = (gate, Affine(np.eye(E), np.full(E, -M)), Affine(ahead, bias), Affine(out, np.zeros(E)))
    return Net(maps, groups)


@dataclass(frozen=True)
class Snapped(NearestCentre):
    """Balls as a group; charts of another kind are replaced by balls of the same manifold, if `replaces` allows it."""

    @property
    def title(self) -> str:
        return "snapped"

    def build(self, task: ManifoldTask, asked: Asked) -> SnappedRouting:
        """Raises `EpsilonNotReached` if the margin of the balls is lost in the dtype."""
        plain = super().build(task, asked)
        M, added = lift(plain.centers, plain.radii, plain.gate)
        gate = Affine(plain.gate.weight.copy(), plain.gate.bias + added)
        stored = gate.astype(asked.dtype)
        eta = score_error(plain.atlas, plain.centers, plain.radii, gate, stored) + float(np.finfo(float).eps) * M
        if not plain.biased:
            eta += float(np.ptp(np.einsum("ek,ek->e", plain.centers, plain.centers) - plain.radii**2)) / 4
        fields = {name: getattr(plain, name) for name in ("atlas", "centers", "radii", "found", "witness", "proof", "neighbours")}
        routing = SnappedRouting(**fields, gate=gate, stored=stored, eta=eta, lifted=M)
        affine_claims.require_margin(routing, asked.dtype)
        return routing
