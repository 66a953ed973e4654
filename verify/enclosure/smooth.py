"""Elementary functions of Taylor forms: expansion about the middle of the box to the degree of the form, the rest by one derivative more.

To second order h(a) = h(a_0) + h′(a_0)·δ + h″(a_0)/2·δ² + h‴(ξ)/6·δ³ with δ = a − a_0 and ξ between a_0 and a. Where that is unknown,
or has a larger radius than the bare range of h, the bare range is taken.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from functools import reduce
from math import factorial
from operator import add, mul

import numpy as np

from ...atlas import Array
from ...intervals import Interval
from .fast import taylor_loops
from .monomials import pairs, products, starts
from .taylor import EPS, UNDERFLOW, TaylorForms, settled

Orders = tuple[int, ...]


def compose(
    derivatives: Callable[[Interval, Orders], Sequence[Interval]], forms: TaylorForms, within: Interval, range: Interval
) -> TaylorForms:
    """h(a) for the function with these derivatives: a has these forms and lies `within`, h(a) lies in `range`, (N, n) each.

    `derivatives` gives h, h′, … of the orders it is asked for.
    """
    n = forms.degree
    with np.errstate(all="ignore"):
        center = Interval(forms.center, forms.center)
        # The middle of the form need not be a value of a.
        (last,) = derivatives(within.hull(center), (n + 1,))
        at = derivatives(center, tuple(builtins.range(n + 1)))
        expanded = _second(at, last, forms) if n == 2 else _higher(at, last, forms)
        bare = TaylorForms.constants(range, forms.dimension, n)
        return expanded.where(expanded.radius < bare.radius, bare)


def _second(at: Sequence[Interval], third: Interval, forms: TaylorForms) -> TaylorForms:
    """The expansion, h, h′, h″ at the middle and h‴ over the range, each enclosed."""
    d, c = forms.dimension, forms.coefficients
    (h0, e0), (h1, e1), (h2, e2) = (_split(x) for x in at)
    h2, e2 = h2 / 2, e2 / 2 + UNDERFLOW
    out = h1[:, None] * c
    out[:, 0] = h0
    for k, (i, j) in enumerate(pairs(d), 1 + d):
        out[:, k] += (h2 if i == j else 2 * h2) * (c[:, 1 + i] * c[:, 1 + j])
    _, l, q = forms.sizes()
    r = forms.radius
    deviation = l + q + r
    curved = np.abs(h2) + e2
    radius = e0 + e1 * (l + q) + (np.abs(h1) + e1) * r + (e2 * l + UNDERFLOW) * l
    # δ² − (linear part)² is the product of δ − linear and δ + linear.
    radius = radius + (curved * (q + r) + UNDERFLOW) * (2 * l + q + r) + third.magnitude * (deviation**3 + UNDERFLOW) / 6
    # At most 4 roundings in a coefficient, each of at most the sum of absolute values; c_i·c_j may underflow before it meets h″.
    radius = radius + 8 * EPS * (np.abs(h0) + np.abs(h1) * (l + q) + (np.abs(h2) * l + UNDERFLOW) * l) + np.abs(h2) * UNDERFLOW
    return settled(out, radius)


def _higher(at: Sequence[Interval], last: Interval, forms: TaylorForms) -> TaylorForms:
    """The expansion to degree n = 3, 4 or 5: h and its first n derivatives at the middle, and the next one over the range, each enclosed.

    Let L = δ but for its radius r, S = Σ|L|, and P_1 = L, P_{k+1} = P_k·L without terms above the degree, p_k = Σ|P_k|. With E_1 = r,
    δ^{k+1} − P_{k+1} = (δ^k − P_k)·δ + P_k·(δ − L) + (P_k·L − P_{k+1}) is at most E_{k+1} = E_k·(S + r) + p_k·r + what was left out.
    """
    d, n, c, r = forms.dimension, forms.degree, forms.coefficients, forms.radius
    first, terms = starts(d, n), products(d, n)
    values, errors = zip(*(_split(x) for x in at), strict=True)
    if compiled := taylor_loops(r.size, n):
        # Of one layout each, whatever the forms': a loop is compiled for every other one that it meets.
        rows = (np.array([np.broadcast_to(x, r.shape).T for x in part], order="C") for part in (values, errors))
        rest = np.array(np.broadcast_to(last.magnitude, r.shape).T, order="C")
        left, spread = forms.in_memory
        found, total = np.empty_like(left), np.empty_like(spread)
        compiled.composed(left, spread, *rows, rest, terms, first, found, total)
        return settled(found.transpose(2, 0, 1), total.T, n)
    _, *sizes = forms.sizes()
    reach = reduce(add, sizes)
    out = values[1][:, None] * c
    out[:, 0] = values[0]
    power, error, size = c, r, reach
    radius = errors[0] + errors[1] * (size + error) + np.abs(values[1]) * error
    rounding = np.abs(values[0]) + np.abs(values[1]) * size
    for k in builtins.range(2, n + 1):
        grades = [np.abs(power[:, first[g] : first[g + 1]]).sum(1) for g in builtins.range(k - 1, n + 1)]
        left_out = reduce(add, (a * b for g, a in enumerate(grades, k - 1) for h, b in enumerate(sizes, 1) if g + h > n))
        higher = np.zeros_like(c)
        for m, i, j in terms:
            if first[k - 1] <= i:
                higher[:, m] += power[:, i] * c[:, j]
        error = error * (reach + r) + size * r + left_out + 2 ** (n + 1) * EPS * (size * reach) + UNDERFLOW
        power, size = higher, np.abs(higher).sum(1)
        value, spread = np.broadcast_to(values[k] / factorial(k), r.shape), errors[k] / factorial(k) + UNDERFLOW
        out += value[:, None] * power
        radius = radius + spread * (size + error) + np.abs(value) * error
        rounding = rounding + np.abs(value) * size
    rest = last.magnitude * (reduce(mul, [reach + r] * (n + 1)) + UNDERFLOW) / factorial(n + 1)
    # n + 1 products, of numbers that were divided once, and their sum make a coefficient.
    return settled(out, radius + rest + 2 ** (n + 1) * EPS * rounding, n)


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
