"""Tables of profiles, filled: derivatives of an activation on the cells, summed over the neurons of a profile (the lemmas of `table`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb, factorial

import numpy as np

from ...atlas import Array
from ...moe.activations import Activation
from .table import CELLS, DEGREES, FARTHEST, HALF, MARGIN, MOST_UNITS, P, Tables
from .taylor import EPS, UNDERFLOW

ROUNDINGS = 2 * P + max(DEGREES) + 4
"""Of a term on its way from a table to a coefficient at most, and some to spare."""


@dataclass(frozen=True, eq=False)
class Neurons:
    """One direction's: Σ_j V_j·act(z_j) + slope·t + level, z = facing·t + bias (m,), facing ±1."""

    facing: Array
    bias: Array
    outputs: Array
    """V, (q, m)."""
    loose: Array
    """What V is off by, the same shape."""
    affine: Array
    """slope, level, and what these are off by, (4, q)."""
    reach: float | None = None
    """The table is that of [−reach, reach]; None: of the knots and a margin."""

    @staticmethod
    def of(facing: Array, bias: Array, outputs: Array) -> Neurons:
        """Neurons of which one is left where several have a knot in common: V·act(z) + W·act(−z) = (V + W)·act(z) − W·z.

        A sum of two floats is rounded once and 0 where they are opposite; one of k is off by γ_k of the sum of their sizes.
        """
        knots, first, which = np.unique(-facing * bias, return_index=True, return_inverse=True)
        kept, size, zero = np.zeros((len(knots), len(outputs))), np.zeros((len(knots), len(outputs))), np.zeros((4, len(outputs)))
        np.add.at(kept, which, outputs.T)
        np.add.at(size, which, np.abs(outputs.T))
        count = np.bincount(which)[:, None]
        loose = count * EPS * np.where(count > 2, size, np.where(count > 1, np.abs(kept), 0.0))
        turned = np.where(facing == facing[first][which], 0.0, outputs)
        terms = -turned * facing[first][which], -turned * bias[first][which]
        rounding = (len(bias) + 4) * EPS
        affine = [*(term.sum(1) for term in terms), *(rounding * np.abs(term).sum(1) for term in terms)] if turned.any() else zero
        return Neurons(facing[first], bias[first], np.ascontiguousarray(kept.T), np.ascontiguousarray(loose.T), np.array(affine))

    @staticmethod
    def alone(reach: float) -> Neurons:
        """act itself, on [−reach, reach]."""
        one = np.ones(1)
        return Neurons(one, 0 * one, one[None], 0 * one[None], np.zeros((4, 1)), reach)

    @property
    def range(self) -> tuple[float, float]:
        """Where the table begins and ends."""
        if self.reach is not None:
            return -self.reach, self.reach
        knots = -self.facing * self.bias
        return float(np.floor(knots.min())) - MARGIN, float(np.ceil(knots.max())) + MARGIN

    @property
    def tabulated(self) -> bool:
        """Whether a table of moderate size holds them."""
        low, high = self.range
        return high - low <= MOST_UNITS and low >= -FARTHEST and high <= FARTHEST


def tables(activation: Activation, profiles: Sequence[Neurons]) -> Tables:
    """The tables of some profiles, in order. Those that have the same knots, as those of an expert mostly have, are filled together.

    Raises what `Activation.derivatives` raises for one that is not smooth.
    """
    groups: dict[tuple[bytes, bytes], list[int]] = {}
    for k, p in enumerate(profiles):
        groups.setdefault((p.facing.tobytes(), p.bias.tobytes()), []).append(k)
    parts: list[tuple[Array, ...]] = [()] * len(profiles)
    for which in groups.values():
        some = [profiles[k] for k in which]
        jets = _jets(activation, some[0].facing.tobytes(), some[0].bias.tobytes(), *some[0].range)
        filled = _filled(jets, *(np.concatenate(arrays) for arrays in zip(*((p.outputs, p.loose, p.affine.T) for p in some), strict=True)))
        for n, k in enumerate(which):
            parts[k] = tuple(array.reshape(*array.shape[:-1], len(which), -1)[..., n, :] for array in filled)
    coefficients, errors, suprema, low, high = zip(*parts, strict=True)
    count = np.array([c.shape[1] for c in coefficients])
    return Tables(
        first=np.cumsum(count) - count,
        count=count,
        start=np.array([p.range[0] for p in profiles]),
        coefficients=np.ascontiguousarray(np.concatenate(coefficients, axis=1).transpose(1, 2, 0)),
        errors=np.array(errors),
        suprema=np.concatenate(suprema, axis=1),
        low=np.concatenate(low),
        high=np.concatenate(high),
    )


@dataclass(frozen=True, eq=False)
class Jets:
    """act^(l)(z_j)·f_j^l/l! in the middles of T cells for m neurons, l ≤ P + 1, and what that is off by, errors of later sums apart."""

    middle: Array
    """(T,)."""
    values: Array
    """(P + 2, T, m)."""
    errors: Array
    """The same shape."""
    drift: Array
    """What |act^(P+1)(z)|/(P+1)! changes by within a cell, at most, (T, m)."""


@lru_cache(maxsize=16)
def _jets(activation: Activation, facing_bytes: bytes, bias_bytes: bytes, low: float, high: float) -> Jets:
    facing, bias = np.frombuffer(facing_bytes), np.frombuffer(bias_bytes)
    middle = low + (np.arange(int(high - low) * CELLS) + 0.5) / CELLS
    turned = middle[:, None] * facing
    z = turned + bias
    back = z - turned
    delta = np.abs((turned - (z - back)) + (bias - back))
    values, errors = activation.derivatives(z, P + 1)
    top = [activation.supremum(n) for n in range(1, P + 3)]
    errors = np.array([e + delta * s for e, s in zip(errors, top, strict=True)])
    inverse = np.array([1 / factorial(l) for l in range(P + 2)])[:, None, None]
    signs = np.array([facing**l for l in range(P + 2)])[:, None, :]
    drift = np.full(z.shape, top[P + 1] * HALF * inverse[-1, 0, 0] * (1 + 8 * EPS))
    return Jets(middle, values * inverse * signs, errors * inverse * (1 + 8 * EPS), drift)


def _filled(jets: Jets, outputs: Array, loose: Array, affine: Array) -> tuple[Array, ...]:
    """a (P + 1, T, Q), errors (·, Q), suprema (3, T, Q) and the least and largest slopes (T/CELLS, Q), for Q outputs (Q, m)."""
    with np.errstate(all="ignore"):
        m, size, (slope, level, tilt, lift) = outputs.shape[1], np.abs(outputs).T, affine.T
        a = jets.values @ outputs.T
        # Products of V with act^(l), 1/l! and f^l, and the sum.
        e = (np.abs(jets.values) * ((m + 8) * EPS) + jets.errors) @ size
        if loose.any():
            e += (np.abs(jets.values) + jets.errors) @ loose.T
        rest = np.abs(a[P + 1]) + e[P + 1] + jets.drift @ (size + loose.T)
        far = np.abs(jets.middle)[:, None]
        a[0] += jets.middle[:, None] * slope + level
        a[1] += slope
        e[0] += lift + far * tilt + 4 * EPS * (far * np.abs(slope) + np.abs(level) + np.abs(a[0]))
        e[1] += tilt + 4 * EPS * np.abs(a[1])
        a, e, rest = a[: P + 1], e[: P + 1] * (1 + (m + 8) * EPS) + UNDERFLOW, rest * (1 + (m + 8) * EPS) + UNDERFLOW
        errors = np.array([_sup(i, ROUNDINGS * EPS * np.abs(a) + e, rest).max(0) for i in range(max(DEGREES) + 2)])
        suprema = np.array([_sup(n + 2, np.abs(a) + e, rest) for n in DEGREES])
        wander = np.abs(a) + e
        wander[1] = e[1] + 4 * EPS * np.abs(a[1])
        wander = _sup(1, wander, rest)
        blocks = (-1, CELLS, outputs.shape[0])
        return a, errors, suprema, (a[1] - wander).reshape(blocks).min(1), (a[1] + wander).reshape(blocks).max(1)


def _sup(i: int, sizes: Array, rest: Array) -> Array:
    """Σ_{l ≥ i} C(l, i)·sizes_l·h^{l−i} + C(P + 1, i)·rest·h^{P+1−i}, (T, Q)."""
    found = comb(P + 1, i) * HALF ** (P + 1 - i) * rest
    for l in range(i, P + 1):
        found = found + comb(l, i) * HALF ** (l - i) * sizes[l]
    return found * (1 + 64 * EPS)
