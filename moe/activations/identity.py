"""z ↦ z: what a linear hidden layer does, as charts are that are kept apart from what is a function of them (B6, N9)."""

from __future__ import annotations

import numpy as np

from .base import Activation, Array, Floats


class Identity(Activation):
    """Exact in floats. Two affine maps with it between them are one of low rank, stored as two."""

    name = "identity"
    symbol = "id"
    homogeneous = 1
    reflects = False
    slip = 0.0
    suprema = (1.0,)

    def __call__(self, z: Floats) -> Floats:
        return np.array(z)

    def derivatives(self, z: Array, order: int) -> tuple[Array, Array]:
        found = np.zeros((order + 1, *np.shape(z)))
        found[0] = z
        found[1:2] = 1.0
        return found, np.zeros_like(found)

    def supremum(self, order: int) -> float:
        return super().supremum(order) if order <= 1 else 0.0

    def range(self, lower: Array, upper: Array) -> tuple[Array, Array]:
        return np.array(lower, float), np.array(upper, float)


IDENTITY = Identity()
"""a(z) = z."""
