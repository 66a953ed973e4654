"""One derivative of all components of a sum of harmonics: its coefficients, and what is known of its size and of rounding in it.

Statement. With e_l what the harmonics of degree l are off by, all 2l + 1 together, a sum over n places is off by

    Σ_l (Σ_m g² + h²)^{1/2}·(‖e_l‖ + γ·(R^l + ‖e_l‖)) + (Σ_m Δg² + Δh²)^{1/2}·(R^l + ‖e_l‖),      γ = 2·(n + 8)·2^-52,

where |p| ≤ R and coefficients are known to ±Δ: Cauchy–Schwarz by degree, and a product of rows and columns in any order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...expressions import Array
from .solid import EPS, GENEROUS, degree_of, places

TINY = 2.0**-1000
UNDERFLOW = 2.0**-500
"""What underflows is less than this part of the sum of all coefficients: 2^-1074 in every operation of a step, which later steps enlarge by
R^l at most; where that is more than 1, the bound of rounding has room for it."""


@dataclass(frozen=True, eq=False)
class Sum:
    """The same derivative of all components: coefficients (outputs, 2, places), and how far they may be off."""

    coefficients: Array
    errors: Array

    @property
    def rows(self) -> Array:
        return self.coefficients.reshape(len(self.coefficients), -1)

    @cached_property
    def degrees(self) -> NDArray[np.intp]:
        return places(degree_of(self.coefficients.shape[-1]))[0]

    @cached_property
    def sizes(self) -> Array:
        """(outputs, l): what |f| is at most, over R^l."""
        return lengths(np.abs(self.coefficients) + self.errors, self.degrees)

    @cached_property
    def doubts(self) -> Array:
        """(outputs, l): the same of what the coefficients are off by."""
        return lengths(self.errors, self.degrees)

    def slack(self, off: Array, powers: Array, places: int) -> Array:
        """What sums over so many places of harmonics that are off by `off` (l, N) are off by, (outputs, N), R^l at most `powers`."""
        summed = 2 * (places + 8) * EPS
        whole = powers + off
        found = self.sizes @ (off + summed * whole) + self.doubts @ whole
        return np.asarray(found * GENEROUS + UNDERFLOW * np.abs(self.coefficients).sum((1, 2))[:, None])

    def bound(self, powers: Array) -> Array:
        """What |f| is at most, (outputs, N), R^l at most `powers`; nothing that is not 0 is taken to be less than `TINY`."""
        return np.asarray(self.sizes @ powers * GENEROUS + TINY * self.sizes.any(1, keepdims=True))


def lengths(sizes: Array, degrees: NDArray[np.intp]) -> Array:
    """At least (Σ_m g² + h²)^{1/2} by degree, (outputs, 2, places) ≥ 0 to (outputs, l), of numbers whose squares underflow too."""
    first = np.flatnonzero(np.diff(degrees, prepend=-1))
    largest = np.maximum.reduceat(sizes.max(1), first, axis=1)
    scale = np.where(largest > 0, largest, 1.0)
    squares = np.add.reduceat(((sizes / scale[:, None, degrees]) ** 2).sum(1), first, axis=1)
    return np.where(largest > 0, np.maximum(largest * np.sqrt(squares) * GENEROUS, TINY), 0.0)
