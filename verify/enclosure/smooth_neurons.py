"""Neurons of a smooth activation one by one, whatever their rows: each by the one table of the activation, far away by what it tends to.

Lemma. act(z) − σ(z) = act(−|z|) for activations with act(z) − act(−z) = z. So act lies in σ + [low, high], the range of act on the left,
and beyond `REACH` in σ + its range there; and σ on [l, r] ∋ 0 is λ·(z − l) − [0, −λ·l], λ = r/(r − l).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ...atlas import Array
from ...moe.activations import Activation
from . import jets
from .fast import smooth_loops
from .powers import Quantities, Total
from .table import LEVEL, REACH, WIDE, Tables
from .taylor import EPS, UNKNOWN, TaylorForms

MOST_COEFFICIENTS = 1 << 22
"""Boxes times neurons times coefficients looked at together."""


@dataclass(frozen=True, eq=False)
class Unit:
    """An activation: its table on [−REACH, REACH], and act − σ."""

    tables: Tables
    middle: tuple[float, float]
    """Of act − σ beyond the table, and everywhere."""
    width: tuple[float, float]
    """How far act − σ is from that."""

    def local(self, center: Array, reach: Array, degree: int) -> tuple[Array, Array]:
        """c (n + 1, 1, N) and R (1, N) with |act(center + δ) − Σ c_i·δ^i| ≤ R for |δ| ≤ reach."""
        l, r = center - reach, center + reach
        held = (l >= -REACH) & (r <= REACH) & (reach <= WIDE)
        c, off = self.tables.local(0, np.where(held, center, 0.0), np.where(held, reach, 0.0), degree)
        far = (l >= REACH) | (r <= -REACH)
        middle, width = (np.where(far, *ends) for ends in (self.middle, self.width))
        slope = np.where(l >= 0, 1.0, np.where(r <= 0, 0.0, np.minimum(np.maximum(r / (r - l), 0.0), 1.0)))
        mixed = (l < 0) & (r > 0)
        value = np.where(mixed, slope * (center - l) + slope * l / 2, slope * center)
        gap = np.where(mixed, slope * -l / 2, 0.0)
        c[0] = np.where(held, c[0], value + middle)
        c[1] = np.where(held, c[1], slope)
        c[2:, :, ~held] = 0.0
        far_off = gap + width + 16 * EPS * (np.abs(l) + np.abs(r))
        return c, np.where(held, off, far_off)


@lru_cache(maxsize=16)
def unit(activation: Activation) -> Unit:
    """Raises what `Activation.derivatives` raises for one that is not smooth."""
    low, high = (np.array(ends, float) for ends in activation.range(np.array([-np.inf, -np.inf]), np.array([-REACH, 0.0])))
    middle = low + (high - low) / 2
    width = np.maximum(high - middle, middle - low) * (1 + 2 * EPS)
    table = jets.tables(activation, [jets.Neurons.alone(REACH)])
    return Unit(table, tuple(middle.tolist()), tuple(width.tolist()))


@dataclass(frozen=True, eq=False)
class SmoothNeurons:
    """x ↦ Σ_j V_j·act(w_j·x + b_j): weight (m, n), bias (m,), outputs V (q, m)."""

    activation: Activation
    weight: Array
    bias: Array
    outputs: Array

    def __call__(self, forms: TaylorForms) -> TaylorForms:
        step = max(1, MOST_COEFFICIENTS // (len(self.bias) * forms.coefficients.shape[1]))
        with np.errstate(all="ignore"):
            parts = [self._enclosed(forms.subset(slice(start, start + step))) for start in range(0, max(len(forms), 1), step)]
        if len(parts) == 1:
            return parts[0]
        return TaylorForms(np.concatenate([p.coefficients for p in parts]), np.concatenate([p.radius for p in parts]), degree=forms.degree)

    def _enclosed(self, forms: TaylorForms) -> TaylorForms:
        s = Quantities.of(self.weight, self.bias, forms)
        total, one = Total(len(self.outputs), s), unit(self.activation)
        if compiled := smooth_loops(s.radius.size, len(self.bias)):
            t = one.tables
            stored = t.coefficients[:, 0], t.errors[0, :, 0], t.tops(s.degree)[:, :, 0], np.array([*one.middle, *one.width])
            outputs = np.ascontiguousarray(self.outputs.T)
            compiled.OF_DEGREE[s.degree][1](*s.arrays, *stored, outputs, *total.tables.arrays, LEVEL, *total.arrays)
        else:
            for j, V in enumerate(self.outputs.T):
                c, off = one.local(s.center[j], s.reach[j], s.degree)
                total.add(j, V[:, None] * c, np.abs(V)[:, None] * off)
        return total.forms().unknown_where(~(forms.radius.max(1) < UNKNOWN)[:, None])
