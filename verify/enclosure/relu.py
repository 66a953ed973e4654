"""ReLU nets of any structure over boxes: neurons that cannot change their mind are one affine map, the others bent chords.

Over a small box most neurons are surely active or surely idle. The active ones of a two-layer net add up to one affine map of the inputs
per box, found by a single matrix product; only the few (box, neuron) pairs that may change are enclosed one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...atlas import Array
from .bend import Bend, Places, narrower
from .fast import always
from .taylor import EPS, UNDERFLOW, TaylorForms, settled

MOST_ACTIVATIONS = 1 << 20
"""Neurons times boxes looked at together."""
WIDE, FEW = 64, 32
"""Neurons and boxes from which on, and readings up to which, compiled loops are taken, where there are any: they sum in another order."""
MOST_PAIRS = 1 << 16
"""(box, neuron) pairs enclosed together."""


def rectified(lower: Array, upper: Array) -> tuple[Bend, Array]:
    """σ(s) for s in [lower, upper] (P,) with lower < 0 < upper: p centred in the middle of σ − p, and what σ − p is off by, (P, 1)."""
    l, r = lower[:, None], upper[:, None]
    width = r - l
    slope = np.clip(r / width, 0.0, 1.0)
    bent = Bend(l, r, slope, -slope * l, 4 * np.minimum(-l, r) / (width * width))
    plain = Bend(l, r, slope, bent.level, np.zeros_like(slope))
    everyone = np.arange(len(l))
    zero = np.zeros_like(l)
    choices = []
    for p in (bent, plain):
        idle, active = p.residuals(zero, zero, l, zero, everyone), p.residuals(zero + 1, zero, zero, r, everyone)
        choices.append((np.minimum(idle[0], active[0]), np.maximum(idle[1], active[1])))
    better = narrower(*choices)
    low, high = (np.where(better, a, b) for a, b in zip(*choices, strict=True))
    chosen = Bend(l, r, slope, bent.level, np.where(better, bent.bend, 0.0))
    middle = low + (high - low) / 2
    reach = np.maximum(high - middle, middle - low) * (1 + 2 * EPS) + chosen.rounding(zero + 1, zero)
    # Moving the level by the middle is one more rounding.
    level = chosen.level + middle
    return Bend(l, r, slope, level, chosen.bend), reach + EPS * np.abs(level)


def rectify(forms: TaylorForms) -> TaylorForms:
    """σ of every function."""
    with np.errstate(all="ignore"):
        spans = forms.range()
        active, idle = spans.lower >= 0, spans.upper <= 0
        coefficients = np.where(active[:, None], forms.coefficients, 0.0)
        radius = np.where(idle, 0.0, forms.radius)
        box, function = np.nonzero(~active & ~idle & (forms.radius < np.inf))
        for part in range(0, len(box), MOST_PAIRS):
            b, k = box[part : part + MOST_PAIRS], function[part : part + MOST_PAIRS]
            p, reach = rectified(spans.lower[b, k], spans.upper[b, k])
            out, error = p.forms(forms.coefficients[b, :, k].T, forms.radius[b, k], forms.dimension)
            coefficients[b, :, k] = out[:, :, 0].T
            radius[b, k] = (error + reach)[:, 0]
        return settled(coefficients, radius, forms.degree)


@dataclass(frozen=True, eq=False)
class Neurons:
    """x ↦ Σ_j V_j·σ(w_j·x + b_j): weight (m, n), bias (m,), outputs V (q, m)."""

    weight: Array
    bias: Array
    outputs: Array

    @cached_property
    def _maps(self) -> Array:
        """V_j·(w_j, b_j), (m, q, n + 1)."""
        columns = np.concatenate([self.weight, self.bias[:, None]], axis=1)
        return self.outputs.T[:, :, None] * columns[:, None, :]

    @cached_property
    def _sizes(self) -> Array:
        """Σ_j |V_j·(w_j, b_j)|, (q, n + 1)."""
        return np.abs(self._maps).sum(0)

    def __call__(self, forms: TaylorForms) -> TaylorForms:
        N, C, n = forms.coefficients.shape
        if min(N, len(self.bias)) >= WIDE and n <= FEW and (compiled := always()):
            total, radius = np.zeros((C, len(self.outputs), N)), np.zeros((len(self.outputs), N))
            nets = np.ascontiguousarray(self.weight.T), self.bias, self.outputs, self._sizes
            compiled.scattered(*forms.in_memory, *map(np.ascontiguousarray, nets), forms.dimension, total, radius)
            return settled(total.transpose(2, 0, 1), radius.T)
        step = max(1, MOST_ACTIVATIONS // len(self.bias))
        with np.errstate(all="ignore"):
            parts = [self._enclosed(forms.subset(slice(start, start + step))) for start in range(0, max(len(forms), 1), step)]
        if len(parts) == 1:
            return parts[0]
        return TaylorForms(np.concatenate([p.coefficients for p in parts]), np.concatenate([p.radius for p in parts]))

    def _enclosed(self, forms: TaylorForms) -> TaylorForms:
        N, C, n = forms.coefficients.shape
        m, q = len(self.bias), len(self.outputs)
        size = np.abs(forms.coefficients)
        # w·x + b at the middles, and how far it can get from there, with γ_{n+1} of rounding in both.
        center = forms.center @ self.weight.T + self.bias
        spread = size[:, 1:].sum(1) + forms.radius + 2 * (n + 2) * EPS * size[:, 0] + UNDERFLOW
        spread = (spread @ np.abs(self.weight).T + 2 * (n + 2) * EPS * np.abs(self.bias)) * (1 + 2 * (n + C) * EPS) + UNDERFLOW
        active, idle = center - spread >= 0, center + spread <= 0
        out = self._stable(forms, size, active)
        box, neuron = np.nonzero(~active & ~idle & (forms.radius.max(1, keepdims=True) < np.inf))
        coefficients, radius = out.coefficients, out.radius
        count = np.zeros(N)
        total = np.zeros((N, q))
        for start in range(0, len(box), MOST_PAIRS):
            b, j = box[start : start + MOST_PAIRS], neuron[start : start + MOST_PAIRS]
            first = np.flatnonzero(np.diff(b, prepend=-1))
            values, error = self._pairs(forms, b, j)
            coefficients[b[first]] += np.add.reduceat(values, first, axis=0)
            radius[b[first]] += np.add.reduceat(error, first, axis=0)
            total[b[first]] += np.add.reduceat(np.abs(values).sum(1), first, axis=0)
            count[b[first]] += np.diff(np.append(first, len(b)))
        # As many additions as there are pairs, and one to what is stable.
        radius = radius + (count[:, None] + 2) * EPS * (total + np.abs(coefficients).sum(1)) * (1 + m * EPS)
        return settled(coefficients, radius)

    def _stable(self, forms: TaylorForms, size: Array, active: Array) -> TaylorForms:
        """The sum over active neurons: one affine map of the inputs per box."""
        N, n = forms.radius.shape
        q, m = len(self.outputs), len(self.bias)
        maps = (active.astype(float) @ self._maps.reshape(m, -1)).reshape(N, q, n + 1)
        linear = maps[:, :, :n]
        coefficients = np.matmul(forms.coefficients, linear.transpose(0, 2, 1))
        coefficients[:, 0] += maps[:, :, n]
        # γ_m of the sums over neurons, γ_{n+2} of those over inputs, of at most Σ|V·w|·|x| + Σ|V·b|.
        inner = size.sum(1) + forms.radius + UNDERFLOW
        radius = np.matmul(np.abs(linear), forms.radius[:, :, None])[:, :, 0] * (1 + 2 * n * EPS)
        radius = radius + 2 * (m + n + 4) * EPS * (inner @ self._sizes[:, :n].T + self._sizes[:, n])
        return TaylorForms(coefficients, radius)

    def _pairs(self, forms: TaylorForms, box: Places, neuron: Places) -> tuple[Array, Array]:
        """V_j·σ(w_j·x + b_j) for pairs of boxes and neurons that may change there: coefficients (P, C, q), radius (P, q)."""
        x, w, n = forms.coefficients[box], self.weight[neuron], self.weight.shape[1]
        coefficients = np.matmul(x, w[:, :, None])
        coefficients[:, 0, 0] += self.bias[neuron]
        inner = forms.radius[box] + 2 * (n + 2) * EPS * np.abs(x).sum(1) + UNDERFLOW
        radius = (inner * np.abs(w)).sum(1, keepdims=True) * (1 + 2 * n * EPS) + EPS * np.abs(coefficients[:, 0])
        value = rectify(settled(coefficients, radius))
        V = self.outputs.T[neuron]
        out = value.coefficients * V[:, None]
        return out, value.radius * np.abs(V) + EPS * np.abs(out).sum(1)
