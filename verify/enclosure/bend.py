"""Piecewise-linear functions of one quantity s, enclosed by a quadratic in s: the step from knots to Taylor forms.

On [l, r] a piecewise-linear q is replaced by p(s) = λ·s + κ + γ/2·(s − l)(s − r), the chord bent by γ, and the exact extrema of q − p.
As γ comes out of the slopes of q, p follows a q that interpolates a smooth function to third order, and what the target does to second
order can cancel against it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array
from .monomials import pairs
from .taylor import EPS, UNDERFLOW

Places = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Bend:
    """p on the intervals [l, r] of P boxes, for q outputs: slope λ, level κ, bend γ, (P, q) each; l and r (P, 1)."""

    left: Array
    right: Array
    slope: Array
    level: Array
    bend: Array

    def residuals(self, slope: Array, offset: Array, start: Array, end: Array, owner: Places) -> tuple[Array, Array]:
        """The least and largest slope·s + offset − p(s) on segments start ≤ s ≤ end (S, 1) of the boxes `owner` (S,): (S, q), in floats.

        A segment's extrema are at its ends or where the slopes agree. `rounding` bounds what the floats hide.
        """
        l, r, bend = self.left[owner], self.right[owner], self.bend[owner]
        steeper, higher = slope - self.slope[owner], offset - self.level[owner]

        def gap(s: Array) -> Array:
            return steeper * s + higher - bend / 2 * ((s - l) * (s - r))

        ends = gap(start), gap(end)
        vertex = (l + r) / 2 + steeper / bend
        inside = (vertex > start) & (vertex < end)
        turn = np.where(inside, gap(np.where(inside, vertex, start)), ends[0])
        return np.minimum(np.minimum(*ends), turn), np.maximum(np.maximum(*ends), turn)

    def rounding(self, slopes: Array, offsets: Array) -> Array:
        """What rounding in `residuals` may hide, (P, q), for slopes and offsets of at most these sizes.

        |s| ≤ b := max(|l|, |r|). The vertex is off by at most 8 EPS·b, which moves the extremum by γ/2 times its square.
        """
        reach, width = np.maximum(np.abs(self.left), np.abs(self.right)), self.right - self.left
        bent = np.abs(self.bend) * width * width + np.abs(self.bend) * (8 * EPS * reach) * reach
        return 16 * EPS * ((slopes + np.abs(self.slope)) * reach + offsets + np.abs(self.level) + bent)

    def forms(self, coefficients: Array, radius: Array, dimension: int) -> tuple[Array, Array]:
        """p(s) as coefficients (C, P, q) and radius (P, q), s given by coefficients (C, P) and radius (P,), its rounding included.

        With s = s_0 + D: (s − l)(s − r) = (s_0 − l)(s_0 − r) + (2·s_0 − l − r)·D + D², and D² = (linear part)² up to what `smooth` says.
        """
        s = coefficients[:, :, None]
        center, half = s[0], self.bend / 2
        below, above = center - self.left, center - self.right
        slope = self.slope + half * (below + above)
        out = slope * s
        out[0] = self.slope * center + self.level + half * (below * above)
        for k, (i, j) in enumerate(pairs(dimension), 1 + dimension):
            out[k] += (half if i == j else 2 * half) * (s[1 + i] * s[1 + j])
        size = np.abs(coefficients)
        l = size[1 : 1 + dimension].sum(0)[:, None]
        q, r = size[1 + dimension :].sum(0)[:, None], radius[:, None]
        width = self.right - self.left
        error = np.abs(slope) * r + (np.abs(half) * (q + r) + UNDERFLOW) * (2 * l + q + r)
        deviation = l + q + r
        bent = np.abs(self.bend) * ((width + deviation) * (width + deviation) + UNDERFLOW)
        error += 8 * EPS * (np.abs(self.slope) * (size[0][:, None] + deviation) + np.abs(self.level) + bent)
        return out, error


def narrower(a: tuple[Array, Array], b: tuple[Array, Array]) -> NDArray[np.bool_]:
    """Where the interval a is narrower than b; anything is narrower than NaN."""
    return ~(a[1] - a[0] >= b[1] - b[0])
