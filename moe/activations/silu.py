"""SiLU (swish): z·s(z) with s(z) = 1/(1 + e^(−z)), the gate of SwiGLU.

s′ = s·(1 − s), so s^(n) = P_n(s) with P_0(x) = x, P_{n+1}(x) = x·(1 − x)·P_n′(x), and a^(n)(z) = z·P_n(s) + n·P_{n−1}(s). For n ≥ 1
P_n(x) = x·(1 − x)·R_n(x), where 1 − s(z) = s(−z) is computed without cancellation.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.polynomial import polynomial

from ...errors import InvalidArgument
from .base import EPS, LIBRARY, Activation, Array, Floats, dipping, horner

ORDERS = 14
"""R_n has integer coefficients below 2^53 up to here."""


class Silu(Activation):
    """Its least value is −0.27846…, at −1.27846…"""

    name = "silu"
    symbol = "silu"
    gap = 0.27846454276107385
    suprema = (
        1.09983943,
        0.50000002,
        0.30818155,
        0.50000005,
        0.65802833,
        1.50000016,
        2.90856141,
        8.50000079,
        21.7560963,
        77.5000074,
        246.730684,
        1036.50011,
        3949.82072,
        19113.502,
    )

    def __call__(self, z: Floats) -> Floats:
        from scipy.special import expit

        return np.asarray(z * expit(z))

    def derivatives(self, z: Array, order: int) -> tuple[Array, Array]:
        if not 0 <= order <= ORDERS:
            raise InvalidArgument(f"silu: derivatives of order {order} were asked for; 0 … {ORDERS} are known")
        found, errors = logistic(z, order)
        values, slack = np.empty_like(found), np.empty_like(found)
        for n in range(order + 1):
            part, lost = z * found[n], np.abs(z) * errors[n]
            less, missed = (n * found[n - 1], n * errors[n - 1]) if n else (np.zeros_like(part), np.zeros_like(part))
            values[n] = part + less
            slack[n] = lost + missed + 4 * EPS * (np.abs(part) + np.abs(less))
        return values, slack

    def range(self, lower: Array, upper: Array) -> tuple[Array, Array]:
        return dipping(self, lower, upper, -1.2784645427610738, -0.27846454276107385)


@cache
def remainders(order: int) -> tuple[Array, ...]:
    """R_1, …, R_order."""
    powers, out = np.array([0.0, 1.0]), []
    for _ in range(order):
        factor = polynomial.polyder(powers)
        out.append(factor)
        powers = polynomial.polymul(factor, [0.0, 1.0, -1.0])
    return tuple(out)


def logistic(z: Array, order: int) -> tuple[Array, Array]:
    """s^(n)(z) for n = 0 … order and error bounds, (order + 1, …) both."""
    from scipy.special import expit

    s, opposite = expit(z), expit(-z)
    values, errors = np.empty((order + 1, *np.shape(z))), np.empty((order + 1, *np.shape(z)))
    values[0], errors[0] = s, LIBRARY * EPS * s
    for n, factor in enumerate(remainders(order), 1):
        value, size = horner(factor, s)
        values[n] = s * opposite * value
        # Of each term c·s^k·s·(1 − s): k + 2 library values and as many roundings, and one for each of the sums.
        errors[n] = (len(factor) + 2) * (LIBRARY + 4) * EPS * s * opposite * size
    return values, errors + float(np.finfo(float).tiny)


SILU = Silu()
