"""Smooth activations: Taylor coefficients act^(i)(z)/i! in floats, how far these are from the true ones, and their suprema.

With σ the logistic function, w = tanh(z/2) = 2σ(z) − 1 and g = σ(z)·σ(−z) = (1 − w²)/4: w′ = 2g and g′ = −w·g. So σ^(i) = g·T_i(w), i ≥ 1,
with polynomials T_1 = 1, T_{i+1} = (1 − w²)/2·T_i′ − w·T_i of binary fractions, even or odd, and silu^(i) = z·σ^(i) + i·σ^(i−1).
With φ, Φ the normal density and distribution, gelu = z·Φ, gelu′ = Φ + z·φ, gelu^(i) = φ·Q_i(z), i ≥ 2, Q_2 = 2 − z²,
Q_{i+1} = Q_i′ − z·Q_i.

Bounds. |z|·g ≤ |z|/(4 + z² + z⁴/12) ≤ 0.2253, as 2 + 2·cosh z is 1/g; g ≤ 1/4; |T_i| ≤ Σ |coefficients|; φ·|z|^k ≤ (k/e)^{k/2}/√(2π). These
give *crude* suprema of every order. Sharper ones come from a grid of step h: sup |a| ≤ max (|a| + h/2·|a′|) on it + h²/8·(crude sup |a″|).

Rounding. exp errs by 8 units in the last place at most, so w and g are computed to 40u and g·60u, T_i(w) to
u·(40·Σ k|t_k| + (2i + 4)·Σ |t_k|), φ(z) to (z²/2 + 30)·u·φ. Φ is read from a table of its Taylor polynomials of degree 6 at multiples
of 1/64.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from math import factorial

import mpmath
import numpy as np

from ...atlas import Array
from .nets import GELU, GELU_TANH, SILU

SMOOTH = (GELU, GELU_TANH, SILU)
"""Kinds that have all derivatives."""
MOST = 13
"""The highest order that is asked for."""
U = 2.0**-53
STEP, REACH = 1 / 256, 45.0
"""Of the grid for suprema: beyond, everything is below TAIL from order 2 on, as |z|^k·e^{−|z|} is."""
TAIL = 1e-9
UNIT, DEGREE, FAR = 64, 6, 9
"""Of the table of Φ: cells an unit, and where it ends; beyond, 1 − Φ < 2^-60."""
CUBE = 0.044715


def taylor(kind: int, z: Array, order: int) -> list[Array]:
    """act^(i)(z)/i!, i = 0 … order, as computed; within `slack`·u of the true ones."""
    if kind == SILU:
        return _silu(z, order)
    return _gelu(z, order) if kind == GELU else _gelu_tanh(z, order)


@cache
def supremum(kind: int, i: int) -> float:
    """At least |act^(i)(z)|/i! for every z, i ≥ 1."""
    grid = np.arange(0, REACH + STEP, STEP)
    both = np.concatenate([-grid[::-1], grid])
    here, slope = (np.abs(part) for part in taylor(kind, both, i + 1)[i:])
    missed = sum(n * (slack(kind, k)[0] + slack(kind, k)[1] * 2 * REACH) for k, n in ((i, 1), (i + 1, i + 1))) * U
    bent = (i + 1) * (i + 2) / 2 * _crude(kind, i + 2) * (STEP / 2) ** 2
    known = float((here + (i + 1) * STEP / 2 * slope).max()) + missed + bent
    return max(known, 1 + TAIL if i == 1 else TAIL) * (1 + 2.0**-40)


@cache
def slack(kind: int, i: int) -> tuple[float, float]:
    """(a, b): coefficient i is computed from a float z to within (a + b·|z|)·u."""
    if kind == SILU:
        return _silu_slack(i)
    return _gelu_slack(i) if kind == GELU else _gelu_tanh_slack(i)


@cache
def _logistic(i: int) -> tuple[float, ...]:
    """The coefficients of T_i."""
    found = [Fraction(1)]
    for _ in range(i - 1):
        slope = [k * c for k, c in enumerate(found)][1:]
        more = [Fraction(0)] * (len(found) + 1)
        for k, c in enumerate(slope):
            more[k] += c / 2
            more[k + 2] -= c / 2
        for k, c in enumerate(found):
            more[k + 1] -= c
        found = more
    return tuple(float(c) for c in found)


@cache
def _hermite(i: int) -> tuple[float, ...]:
    """The coefficients of Q_i, i ≥ 2."""
    found = [2, 0, -1]
    for _ in range(i - 2):
        slope = [*(k * c for k, c in enumerate(found[1:], 1)), 0, 0]
        found = [a - b for a, b in zip(slope, [0, *found], strict=True)]
    return tuple(float(c) for c in found)


def _parity(coefficients: Sequence[float], x: Array, square: Array) -> Array:
    """An even or odd polynomial."""
    odd = (len(coefficients) + 1) % 2
    found = np.full_like(x, coefficients[-1])
    for c in coefficients[-3::-2]:
        found *= square
        found += c
    return found * x if odd else found


def _sigmoids(z: Array) -> tuple[Array, Array, Array]:
    """σ(z), w, g."""
    e = np.exp(-np.abs(z))
    below = 1 / (1 + e)
    small = e * below
    return np.where(z >= 0, below, small), np.copysign((1 - e) * below, z), small * below


def _silu(z: Array, order: int) -> list[Array]:
    sigma, w, g = _sigmoids(z)
    square, before, found = w * w, sigma, [z * sigma]
    for i in range(1, order + 1):
        here = _parity(_logistic(i), w, square)
        here *= g
        here *= 1 / factorial(i)
        found.append(z * here + before)
        before = here
    return found


def _sums(coefficients: Sequence[float]) -> tuple[float, float]:
    """Σ |t_k| and Σ k·|t_k|."""
    return sum(abs(c) for c in coefficients), sum(k * abs(c) for k, c in enumerate(coefficients))


def _logistic_slack(i: int) -> float:
    """T_i(w) is computed to so many u, and g·T_i to as many times g."""
    size, slope = _sums(_logistic(i))
    return 40 * slope + (2 * i + 4 + 70) * size


def _silu_slack(i: int) -> tuple[float, float]:
    if i == 0:
        return 1e-290, 30.0
    before = 60.0 if i == 1 else _logistic_slack(i - 1) / 4
    return 1.1 * (0.2253 * _logistic_slack(i) + i * before) / factorial(i) + 1e-290, 0.0


def _density(k: int) -> float:
    """At least φ(z)·|z|^k."""
    return float((k / np.e) ** (k / 2) if k else 1.0) * 0.3991


@cache
def _table() -> Array:
    """(DEGREE + 1, cells): Taylor coefficients of Φ at k/UNIT."""
    found = np.zeros((DEGREE + 1, FAR * UNIT + 1))
    with mpmath.workdps(40):
        for k in range(found.shape[1]):
            x = mpmath.mpf(k) / UNIT
            density, terms = mpmath.npdf(x), [mpmath.ncdf(x), mpmath.npdf(x)]
            hermite = [mpmath.mpf(1), x]
            for i in range(2, DEGREE + 1):
                terms.append((-1) ** (i - 1) * hermite[i - 1] * density / factorial(i))
                hermite.append(x * hermite[i - 1] - (i - 1) * hermite[i - 2])
            found[:, k] = [float(term) for term in terms]
    return found


def _normal(z: Array) -> Array:
    """Φ(z) to 4u: a Taylor polynomial at a distance of at most 1/128 misses less than 2^-62."""
    x = np.minimum(np.abs(z), FAR)
    cell = np.rint(x * UNIT)
    place, table = cell.astype(np.intp), _table()
    x = x - cell / UNIT
    found = table[DEGREE][place]
    for i in range(DEGREE - 1, -1, -1):
        found *= x
        found += table[i][place]
    return np.where(z < 0, 1 - found, found)


def _gelu(z: Array, order: int) -> list[Array]:
    below = _normal(z)
    x = np.clip(z, -REACH, REACH)
    square = x * x
    density = np.exp(-square / 2) * 0.3989422804014327
    found = [z * below, below + x * density][: order + 1]
    for i in range(2, order + 1):
        found.append(_parity(_hermite(i), x, square) * (density * (1 / factorial(i))))
    return found


def _gelu_slack(i: int) -> tuple[float, float]:
    if i == 0:
        return 1e-290, 10.0
    coefficients = (0.0, 1.0) if i == 1 else _hermite(i)
    size = sum(abs(c) * ((2 * i + 34) * _density(k) + _density(k + 2) / 2) for k, c in enumerate(coefficients))
    return 1.1 * (size / factorial(i) + (8 if i == 1 else 0)) + 1e-290, 0.0


def _crude(kind: int, i: int) -> float:
    """At least |act^(i)|/i!, i ≥ 2."""
    if kind == SILU:
        return 1.01 * (0.2253 * _sums(_logistic(i))[0] + i / 4 * _sums(_logistic(i - 1))[0]) / factorial(i)
    if kind == GELU:
        return 1.01 * sum(abs(c) * _density(k) for k, c in enumerate(_hermite(i))) / factorial(i)
    return _crude_tanh(i)


SCALE = 1.5957691216057308
"""2·√(2/π) to the nearest float."""
EDGE, CELLS = 10.0, 1024
"""Beyond the edge σ′ of the cubic is below 2^-100; and the cells on which bounds that fall with |z| are multiplied by such that grow."""


def _cubic(x: Array) -> tuple[Array, Array, Array, Array]:
    """v = 2√(2/π)·(x + 0.044715·x³) with v(x + δ) = v + v_1·δ + v_2·δ² + v_3·δ³."""
    bend = SCALE * CUBE
    return x * (SCALE + bend * (x * x)), SCALE + 3 * bend * (x * x), 3 * bend * x, np.full_like(x, bend)


def _powers(terms: Sequence[Array], order: int) -> list[list[Array]]:
    """Row k: the coefficients of δ^0, …, δ^order in (v_1·δ + v_2·δ² + v_3·δ³)^k."""
    rows = [[np.ones_like(terms[0]), *[np.zeros_like(terms[0])] * order]]
    for _ in range(order):
        last = rows[-1]
        nothing = np.zeros_like(terms[0])
        rows.append([sum((term * last[i - j] for j, term in enumerate(terms, 1) if i >= j), start=nothing) for i in range(order + 1)])
    return rows


def _gelu_tanh(z: Array, order: int) -> list[Array]:
    """z·σ(v), σ(v) composed of the series of σ and the cubic."""
    v, *terms = _cubic(np.clip(z, -EDGE, EDGE))
    sigma, w, g = _sigmoids(v)
    square, rows, found = w * w, _powers(terms, order), [z * sigma]
    bends = [g * _parity(_logistic(k), w, square) * (1 / factorial(k)) for k in range(1, order + 1)]
    before = sigma
    for i in range(1, order + 1):
        here = sum((bends[k - 1] * rows[k][i] for k in range(1, i + 1)), start=np.zeros_like(v))
        found.append(z * here + before)
        before = here
    return found


@cache
def _weights(order: int) -> tuple[list[list[Array]], Array, Array]:
    """Cell by cell of |z|: the powers of the cubic's terms, |z|, and g·(1 + |v|), at most; all falls beyond the edge."""
    ends = np.linspace(0, EDGE, CELLS + 1)
    low, high = _cubic(ends[:-1]), _cubic(ends[1:])
    return _powers(high[1:], order), ends[1:], np.exp(-low[0]) * (1 + high[0]) * 1.01


def _tanh_sum(i: int, factors: Sequence[float]) -> float:
    """Σ_k factors_k·max over z of (1 + |v|)·g·(what coefficient i of z·(cubic)^k is at most)."""
    rows, z, g = _weights(MOST + 2)
    return sum(c * float((g * (z * rows[k][i] + rows[k][i - 1])).max()) for k, c in enumerate(factors, 1))


def _crude_tanh(i: int) -> float:
    return 1.1 * _tanh_sum(i, [_sums(_logistic(k))[0] / factorial(k) for k in range(1, i + 1)])


def _gelu_tanh_slack(i: int) -> tuple[float, float]:
    if i == 0:
        return 1e-290, 40.0
    sizes = [_sums(_logistic(k))[0] for k in range(1, i + 2)]
    factors = [(_logistic_slack(k) + (10 * k + 30) * sizes[k - 1] + 8 * sizes[k]) / factorial(k) for k in range(1, i + 1)]
    return 1.1 * (_tanh_sum(i, factors) + (40.0 if i == 1 else 0.0)) + 1e-290, 0.0
