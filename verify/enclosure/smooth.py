"""Elementary functions of Taylor forms: expansion to second order about the middle of the box, the rest bounded by the third derivative.

h(a) = h(a_0) + h′(a_0)·δ + h″(a_0)/2·δ² + h‴(ξ)/6·δ³ with δ = a − a_0 and ξ between a_0 and a. Where that is unknown, or has a larger
radius than the bare range of h, the bare range is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...atlas import Array
from ...intervals import Interval
from .taylor import EPS, UNDERFLOW, TaylorForms, pairs, settled

Orders = tuple[int, ...]


def compose(
    derivatives: Callable[[Interval, Orders], Sequence[Interval]], forms: TaylorForms, within: Interval, range: Interval
) -> TaylorForms:
    """h(a) for the function with these derivatives: a has these forms and lies `within`, h(a) lies in `range`, (N, n) each.

    `derivatives` gives h, h′, … of the orders it is asked for.
    """
    with np.errstate(all="ignore"):
        center = Interval(forms.center, forms.center)
        # The middle of the form need not be a value of a.
        (third,) = derivatives(within.hull(center), (3,))
        expanded = _expanded(derivatives(center, (0, 1, 2)), third, forms)
        bare = TaylorForms.constants(range, forms.dimension)
        return expanded.where(expanded.radius < bare.radius, bare)


def _expanded(at: Sequence[Interval], third: Interval, forms: TaylorForms) -> TaylorForms:
    """The expansion, h, h′, h″ at the middle and h‴ over the range, each enclosed."""
    d, c = forms.dimension, forms.coefficients
    (h0, e0), (h1, e1), (h2, e2) = (_split(x) for x in at)
    h2, e2 = h2 / 2, e2 / 2 + UNDERFLOW
    out = h1[:, None] * c
    out[:, 0] = h0
    for k, (i, j) in enumerate(pairs(d), 1 + d):
        out[:, k] += (h2 if i == j else 2 * h2) * (c[:, 1 + i] * c[:, 1 + j])
    _, l, q = forms._sizes()
    r = forms.radius
    deviation = l + q + r
    curved = np.abs(h2) + e2
    radius = e0 + e1 * (l + q) + (np.abs(h1) + e1) * r + (e2 * l + UNDERFLOW) * l
    # δ² − (linear part)² is the product of δ − linear and δ + linear.
    radius = radius + (curved * (q + r) + UNDERFLOW) * (2 * l + q + r) + third.magnitude * (deviation**3 + UNDERFLOW) / 6
    # At most 4 roundings in a coefficient, each of at most the sum of absolute values; c_i·c_j may underflow before it meets h″.
    radius = radius + 8 * EPS * (np.abs(h0) + np.abs(h1) * (l + q) + (np.abs(h2) * l + UNDERFLOW) * l) + np.abs(h2) * UNDERFLOW
    return settled(out, radius)


def _split(x: Interval) -> tuple[Array, Array]:
    """Middle and reach; ∞ for what is unknown."""
    middle = x.middle
    return middle, np.where(x.lower == x.upper, 0.0, x.reach)


def absolute(forms: TaylorForms, within: Interval) -> TaylorForms:
    """|a|: ±a where the sign is known; else between λ·a and λ·a + max(|l| − λ·l, |u| − λ·u), for λ = (u + l)/(u − l), on [l, u] ∋ 0."""
    with np.errstate(all="ignore"):
        l, u = within.lower, within.upper
        slope = np.clip((u + l) / (u - l), -1.0, 1.0)
        slope = np.where(np.isfinite(slope), slope, 0.0)
        # Both products are non-negative differences: |l| − λ·l = −l·(1 + λ) and |u| − λ·u = u·(1 − λ), rounded up by 4 EPS.
        height = np.maximum(-l * (1 + slope), u * (1 - slope)) * (1 + 8 * EPS) + 8 * EPS * np.maximum(-l, u)
        open_ = forms.times(slope).plus(Interval(np.zeros_like(height), height))
        return forms.where(l >= 0, (-forms).where(u <= 0, open_))


def hull(a: TaylorForms, b: TaylorForms) -> TaylorForms:
    """What is a or b: a + [0, b − a]."""
    gap = (b - a).range()
    return a.plus(gap.hull(Interval.of(0.0)))
