"""σ(z)², which writes quadratics exactly: σ(z)² + σ(−z)² = z² (N23)."""

from __future__ import annotations

import numpy as np

from .base import EPS, Activation, Array, Floats


class Relu2(Activation):
    """One rounding, relative to the value. Its derivative 2·σ(z) is not bounded; the second, where it exists, is 0 or 2."""

    name = "relu2"
    symbol = "σ²"
    homogeneous = 2
    reflects = False
    smooth = False
    slip = 0.0
    suprema = (np.inf, 2.0)

    def __call__(self, z: Floats) -> Floats:
        positive = np.maximum(z, 0)
        return np.asarray(positive * positive)

    def range(self, lower: Array, upper: Array) -> tuple[Array, Array]:
        low, high = np.maximum(lower, 0), np.maximum(upper, 0)
        with np.errstate(over="ignore", under="ignore"):
            return np.nextafter(low * low * (1 - EPS), 0), np.where(high > 0, np.nextafter(high * high * (1 + EPS), np.inf), 0.0)

    def rounded(self, size: Array, unit: float) -> Array:
        return np.asarray(unit * size * size)


RELU2 = Relu2()
