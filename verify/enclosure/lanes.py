"""Product lanes: Σ_j V_j·act(z_j)·(c_j + U_j·x) = G_0(x) + Σ_i (x_i − o_i)·G_i(x), where the G are plain sums Σ_j G_ij·act(z_j).

So the lanes of a direction are a few profiles, and products are taken once for every input that lanes read, not for every direction. The
origin o is where c + U·x is smallest over all lanes, so that of what cancels in it nothing is left in radii.

Lemma (rounding). Let G_0 be off by Γ_0 (q, m) and G_i by Γ_i: |V_j|·γ_{n+2}·(|c_j| + |U_j|·|o|) and the rounding of the products. As
|act(z)| ≤ |z| ≤ |w|·|x| + |b|, or z² ≤ 2·(|w|²·|x|² + b²) for relu², what that changes is at most Σ_j (Γ_0j + Σ_i |x_i − o_i|·Γ_ij) times
that, which is summed over neurons once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np

from ...atlas import Array
from ...intervals import Flags, Interval
from .bend import Places
from .taylor import EPS, TaylorForms, settled


@dataclass(frozen=True, eq=False)
class Stacked:
    """Lanes as plain sums."""

    reads: Places
    """(r,): the inputs that lanes read."""
    origin: Array
    """o, (r,)."""
    outputs: Array
    """G_0, G_1, …, G_r beneath each other, ((1 + r)·q, m)."""
    off: Array
    """Γ, the same shape."""

    @staticmethod
    def of(outputs: Array, up: Array, constant: Array) -> Stacked:
        """From V (q, m), U (m, n) and c (m,)."""
        reads = np.flatnonzero(up.any(0))
        up = up[:, reads]
        origin = _origin(outputs, up, constant)
        size = np.abs(constant) + np.abs(up) @ np.abs(origin)
        shifted = constant + up @ origin
        # γ_{r+1} of the sum; nothing is added to it where the origin is 0.
        error = (len(reads) + 2) * EPS * size if origin.any() else 0.0 * size
        factors = [shifted, *up.T]
        slack = [error + EPS * np.abs(shifted), *(EPS * np.abs(up.T))]
        stacked = np.concatenate([outputs * factor for factor in factors])
        off = np.concatenate([np.abs(outputs) * s for s in slack]) * (1 + 8 * EPS)
        return Stacked(reads, origin, stacked, off)


def _origin(outputs: Array, up: Array, constant: Array) -> Array:
    """Where c + U·x is smallest, in float32; 0 where that gains little, or lies so far away that more would be lost by it."""
    share = np.abs(outputs).max(0)
    share = np.where(share > 0, share / max(float(share.max()), 1e-300), 0.0)
    zero = np.zeros(up.shape[1])
    with np.errstate(all="ignore"):
        found = np.linalg.lstsq(share[:, None] * up, -share * constant, rcond=1e-3)[0] if np.isfinite(share).all() else zero
        found = np.asarray(found, np.float32).astype(float)
        left, before = (float(np.abs(share * (constant + up @ o)).sum()) for o in (found, zero))
        near = float((share * (np.abs(up) @ np.abs(found))).sum()) < 4 * before
    return np.asarray(found, float) if near and left < before / 2 else zero


@dataclass(frozen=True, eq=False)
class Slack:
    """Σ_j Γ_j·|act(z_j)| ≤ straight·|x| + curved·|x|² + constant, for all rows of Γ: (Q, n), (Q,) and (Q,)."""

    straight: Array
    curved: Array
    constant: Array

    @staticmethod
    def of(off: Array, weight: Array, bias: Array, squared: Flags) -> Slack:
        """`squared` (m,): which neurons are relu²."""
        linear, square = np.where(squared, 0.0, off), np.where(squared, 2 * off, 0.0)
        return Slack(
            linear @ np.abs(weight), square @ (weight * weight).sum(1), linear @ np.abs(bias) + square @ (bias * bias)
        )  # fmt: skip

    def __call__(self, size: Array) -> Array:
        """At |x| ≤ size (N, n): (N, Q), rounded up."""
        found = size @ self.straight.T + (size * size).sum(1)[:, None] * self.curved + self.constant
        return found * (1 + 2.0**-30)


@dataclass(frozen=True, eq=False)
class Lanes:
    """G_0 + Σ (x_i − o_i)·G_i, q functions."""

    sums: Callable[[TaylorForms], TaylorForms]
    """G, (1 + r)·q functions."""
    stacked: Stacked
    slack: Slack

    def __call__(self, forms: TaylorForms) -> TaylorForms:
        reads, found = self.stacked.reads, self.sums(forms)
        q = found.functions // (1 + len(reads))
        with np.errstate(all="ignore"):
            size = np.abs(forms.coefficients).sum(1) + forms.radius
            found = settled(found.coefficients, found.radius + self.slack(size), found.degree)
            if not len(reads):
                return found
            x = forms[:, reads].plus(Interval.of(-self.stacked.origin))
            terms = (x[:, [i] * q] * found[:, (1 + i) * q : (2 + i) * q] for i in range(len(reads)))
            return reduce(add, terms, found[:, :q])
