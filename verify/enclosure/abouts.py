"""Fields of Taylor forms that are polynomials about points, all components at once (`expressions.fields.Expansion`).

Lemma. On boxes let δ = a − c be the distance of the variables from a point, |δ| ≤ ρ, and let P_α be forms of δ^α, the constant 1 among
them. Then f(a) lies within Σ_{k > n} sizes_k·ρ^k of Σ_α a_α·δ^α, which is the form Σ_α a_α·P_α but for off_α·sup|δ^α|, and for what P_α
is off by, times |a_α|. And f(a) lies within Σ_{k ≥ 1} sizes_k·ρ^k of f(c), which needs no form of anything but |δ|².
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import combinations_with_replacement

import numpy as np

from ...atlas import Array
from ...expressions.fields import Expansion, Field
from ...expressions.tree import Lookup
from ...intervals import Interval
from ...intervals.lookups import corners, covered
from ...intervals.moved import LastPowers, Powers
from .taylor import EPS, INFLATION, UNDERFLOW, TaylorForms, settled

MOST_NUMBERS = 1 << 21
"""Of the polynomials of a batch of points."""

Found = tuple[TaylorForms, Interval]
"""All components, (N, outputs)."""


def same(one: TaylorForms, other: TaylorForms) -> bool:
    """Whether two forms are equal in all that a product depends on."""
    alike = one.degree == other.degree and np.array_equal(one.coefficients, other.coefficients) and np.array_equal(one.radius, other.radius)
    return alike and one.bounds is other.bounds


MOVED: LastPowers[TaylorForms] = LastPowers(same, lambda form, by: form.plus(Interval.of(by[:, None])))


class _Last(threading.local):
    """What was found last, for whatever component comes next."""

    known: tuple[Field, Sequence[TaylorForms], Array, Array, Found | None] | None = None


_LAST = _Last()


def about(node: Lookup, forms: Sequence[TaylorForms], within: Sequence[Interval]) -> Found | None:
    """Forms of the field of variables with these forms (N, 1) that lie `within`, and what it lies in; None where it is not expanded."""
    if any(node.orders):
        return None
    _, lower, upper = corners(within)
    if _LAST.known is not None:
        field, others, low, high, found = _LAST.known
        alike = field == node.field and len(others) == len(forms) and all(map(same, others, forms))
        if alike and np.array_equal(low, lower) and np.array_equal(high, upper):
            return found
    found = _found(node.field, forms, lower, upper) if node.field.expanded and covered(node, lower, upper).all() else None
    _LAST.known = node.field, forms, lower, upper, found
    return found


def _found(field: Field, forms: Sequence[TaylorForms], lower: Array, upper: Array) -> Found:
    """As many boxes at a time as have few numbers."""
    center, degree = np.clip(np.stack([form.center[:, 0] for form in forms], axis=1), lower, upper), forms[0].degree
    moved, variables = MOVED.of(forms, center), range(len(forms))
    with np.errstate(all="ignore"):
        distance = _distance(moved, np.maximum(upper - center, center - lower))
    powers = [moved.power(which) for k in range(1, degree + 1) for which in combinations_with_replacement(variables, k)]
    parts, step = [], max(1, MOST_NUMBERS // ((len(powers) + 1) * field.outputs))
    for start in range(0, max(len(center), 1), step):
        part = slice(start, start + step)
        expansion = field.about(center[part], lower[part], upper[part], degree)
        assert expansion is not None
        parts.append(_expanded(expansion, [power.subset(part) for power in powers], distance[part]))
    if len(parts) == 1:
        return parts[0]
    coefficients, radius = (np.concatenate([getattr(form, what) for form, _ in parts]) for what in ("coefficients", "radius"))
    ends = (np.concatenate([getattr(bounds, end) for _, bounds in parts]) for end in ("lower", "upper"))
    return TaylorForms(coefficients, radius, degree=degree), Interval(*ends)


def _expanded(expansion: Expansion, powers: Sequence[TaylorForms], distance: Array) -> Found:
    """The lemma, of powers of δ, (N, 1) each, and ρ (N,)."""
    numbers, off, degree = expansion.numbers, expansion.off, powers[0].degree
    with np.errstate(all="ignore"):
        beyond = _beyond(expansion.sizes, distance)
        first = np.zeros_like(powers[0].coefficients[:, :, 0].T)
        first[0] = 1.0
        coefficients = first[:, None] * numbers[0]
        total, radius = np.abs(numbers[0]), beyond[degree + 1 :].sum(0) + off[0]
        for number, slack, power in zip(numbers[1:], off[1:], powers, strict=True):
            part = power.coefficients[:, :, 0].T
            coefficients += part[:, None] * number
            size, spread = np.abs(part).sum(0), power.radius[:, 0]
            total += size * np.abs(number)
            radius += spread * np.abs(number) + (size + spread) * slack
        radius += (len(numbers) + 2) * EPS * total
        slack = ((beyond[1:].sum(0) + off[0]) * INFLATION + UNDERFLOW).T
        at, most = numbers[0].T, expansion.sizes[0].T
        low, high = np.nextafter(at - slack, -np.inf), np.nextafter(at + slack, np.inf)
        bounds = Interval(np.maximum(low, -most), np.minimum(high, most)).unknown_where(~np.isfinite(slack))
    return settled(coefficients.transpose(2, 0, 1), radius.T, degree), bounds


def _distance(moved: Powers[TaylorForms], away: Array) -> Array:
    """ρ, (N,), by the ends of every variable, and by the form of |δ|²."""
    square = moved.power((0, 0))
    for k in range(1, away.shape[1]):
        square = square + moved.power((k, k))
    by_ends = np.sqrt((away**2).sum(1)) * INFLATION + np.where(away.any(1), UNDERFLOW**0.5, 0.0)
    return np.asarray(np.fmin(by_ends, np.sqrt(np.maximum(square.range().upper[:, 0], 0.0)) * INFLATION))


def _beyond(sizes: Array, distance: Array) -> Array:
    """sizes_k·ρ^k, multiplied so that nothing underflows which does not stay small."""
    found = sizes.copy()
    for k in range(1, len(found)):
        found[k:] *= distance
    return np.asarray(found * INFLATION)
