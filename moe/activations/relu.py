"""σ(z) = max(z, 0), the activation of the theorems."""

from __future__ import annotations

import numpy as np

from .base import Activation, Array, Floats


class Relu(Activation):
    """Exact in floats."""

    name = "relu"
    symbol = "σ"
    gap = 0.0
    homogeneous = 1
    smooth = False
    slip = 0.0
    suprema = (1.0,)

    def __call__(self, z: Floats) -> Floats:
        return np.maximum(z, 0)

    def range(self, lower: Array, upper: Array) -> tuple[Array, Array]:
        return np.maximum(lower, 0), np.maximum(upper, 0)


RELU = Relu()
