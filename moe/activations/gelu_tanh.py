"""GELU as many exports have it: z·(1 + tanh(√(2/π)·(z + 0.044715·z³)))/2 = z·s(w(z)), s the logistic function and w a cubic.

Its derivatives are those of a composition of power series: s(w(z + δ)) = Σ_k s^(k)(w(z))/k!·(w₁δ + w₂δ² + w₃δ³)^k.
"""

from __future__ import annotations

from math import factorial

import numpy as np

from ...errors import InvalidArgument
from .base import EPS, Activation, Array, Floats, dipping
from .silu import logistic, remainders

LINEAR = 1.5957691216057308
"""2·√(2/π)."""
CUBIC = 0.07135481627260025
"""0.044715 times that; both rounded once, which is among what `derivatives` allows for."""
ORDERS = 10
FAR = 12.0
"""From |z| = 12 on |w| > 142, so that z and its powers times s·(1 − s) are below 1e-50."""
NOTHING = 1e-50


class GeluTanh(Activation):
    """Its least value is −0.17004…, at −0.75246…"""

    name = "gelu_tanh"
    symbol = "gelu_tanh"
    gap = 0.17004075057125406
    suprema = (
        1.1291692524,
        0.7991822126,
        0.7782085939,
        1.6068669154,
        2.8714917299,
        7.3597789797,
        17.192966483,
        50.218506883,
        142.591662979,
        428.266027487,
    )

    def __call__(self, z: Floats) -> Floats:
        from scipy.special import expit

        number = z.dtype.type if isinstance(z, np.ndarray) else float
        with np.errstate(over="ignore"):
            return np.asarray(z * expit(z * (number(LINEAR) + number(CUBIC) * z * z)))

    def derivatives(self, z: Array, order: int) -> tuple[Array, Array]:
        if not 0 <= order <= ORDERS:
            raise InvalidArgument(f"gelu_tanh: derivatives of order {order} were asked for; 0 … {ORDERS} are known")
        z = np.asarray(z, float)
        near = np.clip(z, -FAR, FAR)
        series, errors = _composed(near, order)
        values, slack = np.empty_like(series), np.empty_like(series)
        for n in range(order + 1):
            point = z if n == 0 else near
            part, lost = point * series[n], np.abs(point) * errors[n]
            less, missed = (series[n - 1], errors[n - 1]) if n else (np.zeros_like(part), np.zeros_like(part))
            values[n] = factorial(n) * (part + less)
            slack[n] = factorial(n) * (lost + missed + 8 * EPS * (np.abs(part) + np.abs(less)) + NOTHING * (1 + np.abs(point)))
        return values, slack

    def range(self, lower: Array, upper: Array) -> tuple[Array, Array]:
        return dipping(self, lower, upper, -0.752461422071016, -0.17004075057125406)


def _composed(z: Array, order: int) -> tuple[Array, Array]:
    """The Taylor coefficients of s∘w at z, 0 … order, and error bounds, (order + 1, …) both."""
    from scipy.special import expit

    w = z * (LINEAR + CUBIC * z * z)
    inner = np.stack([LINEAR + 3 * CUBIC * z * z, 3 * CUBIC * z, np.full_like(z, CUBIC)])
    outer, wrong = logistic(w, order)
    # w is off by 6 EPS of its size, which moves s^(k) by at most that times s·(1 − s)·Σ|coefficients of R_{k+1}|, nearly unchanged nearby.
    spread = 8 * EPS * np.abs(w) * expit(w) * expit(-w)
    wrong = wrong + np.stack([spread * np.abs(factor).sum() for factor in remainders(order + 1)])
    power, size = np.zeros((order + 1, *z.shape)), np.zeros((order + 1, *z.shape))
    power[0] = size[0] = 1.0
    values, errors = np.zeros_like(power), np.zeros_like(power)
    for k in range(order + 1):
        share = 1 / factorial(k)
        values += outer[k] * share * power
        # Each coefficient of (w₁δ + …)^k is off by at most 10k roundings of its size, and 2·(order + 2) follow.
        errors += (wrong[k] + (10 * k + 2 * order + 8) * EPS * np.abs(outer[k])) * share * size
        power, size = _times(power, inner), _times(size, np.abs(inner))
    return values, errors


def _times(series: Array, cubic: Array) -> Array:
    """A power series times w₁δ + w₂δ² + w₃δ³, cut where it was."""
    out = np.zeros_like(series)
    for j, factor in enumerate(cubic, 1):
        out[j:] += factor * series[: max(0, len(series) - j)]
    return out


GELU_TANH = GeluTanh()
