"""Fields of Taylor forms, by Taylor's formula at the middles of the boxes (`expressions.fields`)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from math import factorial, prod

import numpy as np

from ...atlas import Array
from ...expressions.tree import Lookup
from ...intervals import Interval
from ...intervals.lookups import derivative, smoothest
from .abouts import MOVED
from .taylor import TaylorForms, settled


def looked_up(node: Lookup, forms: Sequence[TaylorForms], within: Sequence[Interval]) -> TaylorForms:
    """f(a), (N, 1), for variables a with these forms (N, 1) that lie `within`; unknown where the field is not given.

    Of every box to the order t ≤ n + 1 that the field has on it: derivatives below t at a point of the box next to the middle of the
    forms, those of order t all over the box, as their middles and what they may be off.
    """
    N, n = len(forms[0]), forms[0].degree
    lower, upper = (np.stack([np.broadcast_to(getattr(side, end), (N, 1))[:, 0] for side in within], axis=1) for end in ("lower", "upper"))
    center = np.clip(np.stack([form.center[:, 0] for form in forms], axis=1), lower, upper)
    around = [Interval(lower[:, [k]], upper[:, [k]]) for k in range(len(forms))]
    order = smoothest(node, around, n + 1)
    found = TaylorForms.constants(Interval(np.full((N, 1), -np.inf), np.full((N, 1), np.inf)), forms[0].dimension, n)
    coefficients, radius = found.coefficients.copy(order="K"), found.radius.copy(order="K")
    for t in np.unique(order[order > 0]):
        rows = np.flatnonzero(order == t)
        some = [form.subset(rows) for form in forms]
        total = _expanded(node, some, center[rows], [side[rows] for side in around], int(t))
        coefficients[rows], radius[rows] = total.coefficients, total.radius
    return TaylorForms(coefficients, radius, degree=n)


def _expanded(node: Lookup, forms: Sequence[TaylorForms], center: Array, around: Sequence[Interval], t: int) -> TaylorForms:
    """The formula to order t."""
    at = [Interval.of(center[:, [k]]) for k in range(len(forms))]
    powers = MOVED.of(forms, center)
    total = TaylorForms.constants(derivative(node, at), forms[0].dimension, forms[0].degree)
    for size in range(1, t + 1):
        for which in combinations_with_replacement(range(len(forms)), size):
            share = derivative(node, at if size < t else around, which)
            below = Interval.of(float(prod(factorial(which.count(k)) for k in set(which))))
            total = total + _multiplied(powers.power(which), share / below)
    return total


def _multiplied(form: TaylorForms, number: Interval) -> TaylorForms:
    """The product with a number of every box, enclosed, (N, 1)."""
    with np.errstate(all="ignore"):
        middle = number.middle
        size = np.abs(form.coefficients).sum(1) + form.radius
        found = form.times(middle)
        off = np.where(number.lower == number.upper, 0.0, size * number.reach)
        return settled(found.coefficients, found.radius + off, form.degree)
