"""GELU, the exact one: z·Φ(z), Φ the normal distribution function.

a′ = Φ + z·φ and a^(n)(z) = φ(z)·Q_n(z) for n ≥ 2, with Q_2(z) = 2 − z² and Q_{n+1} = Q_n′ − z·Q_n.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.polynomial import polynomial

from ...errors import InvalidArgument
from .base import EPS, LIBRARY, Activation, Array, Floats, dipping, horner

ORDERS = 14
FAR = 40.0
"""Beyond |z| = 40, φ is below 1e-348: 0 in floats, also times any Q_n(z)."""
NOTHING = 1e-280
"""What φ loses where it underflows, times any Q_n(z) with |z| ≤ 40."""


class Gelu(Activation):
    """Its least value is −0.16997…, at −0.75179…"""

    name = "gelu"
    symbol = "gelu"
    gap = 0.16997120747990385
    suprema = (
        1.12890426,
        0.79788459,
        0.77876971,
        1.59576922,
        2.84252523,
        7.18096161,
        16.4475518,
        47.873075,
        129.116973,
        418.88941,
        1276.49369,
        4524.00564,
        15201.963,
        58058.0727,
    )

    def __call__(self, z: Floats) -> Floats:
        from scipy.special import ndtr

        return np.asarray(z * ndtr(z))

    def derivatives(self, z: Array, order: int) -> tuple[Array, Array]:
        if not 0 <= order <= ORDERS:
            raise InvalidArgument(f"gelu: derivatives of order {order} were asked for; 0 … {ORDERS} are known")
        from scipy.special import ndtr

        values, errors = np.empty((order + 1, *np.shape(z))), np.empty((order + 1, *np.shape(z)))
        near = np.clip(z, -FAR, FAR)
        below, away = ndtr(z), np.abs(near)
        # The library's Φ(−|z|) is off by a multiple of z² units, and Φ(|z|) is 1 − Φ(−|z|).
        lost = 2 * LIBRARY * EPS * below + 2 * near * near * EPS * ndtr(-away)
        values[0], errors[0] = z * below, np.abs(z) * (lost + EPS * below)
        density = np.exp(-near * near / 2) / np.sqrt(2 * np.pi)
        wrong = (LIBRARY + 8 + near * near) * EPS * density
        if order:
            values[1] = below + near * density
            errors[1] = lost + away * wrong + 4 * EPS * (below + away * density)
        for n, factor in enumerate(hermite(order), 2):
            value, size = horner(factor, near)
            values[n] = density * value
            errors[n] = (wrong + (2 * len(factor) + 4) * EPS * density) * size
        return values, errors + NOTHING

    def range(self, lower: Array, upper: Array) -> tuple[Array, Array]:
        return dipping(self, lower, upper, -0.7517915246935645, -0.16997120747990385)


@cache
def hermite(order: int) -> tuple[Array, ...]:
    """Q_2, …, Q_order."""
    out = [np.array([2.0, 0.0, -1.0])]
    while len(out) < order - 1:
        out.append(polynomial.polysub(polynomial.polyder(out[-1]), polynomial.polymul([0.0, 1.0], out[-1])))
    return tuple(out[: max(0, order - 1)])


GELU = Gelu()
