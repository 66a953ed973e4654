"""Fields of jets, by Taylor's formula at the constant coefficients of the variables (`expressions.fields`)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from math import factorial, prod

import numpy as np

from ...atlas import Array
from ...expressions.tree import Lookup
from ...intervals import Interval
from ...intervals.lookups import corners, derivative, smoothest
from .jets import Jets


def looked_up(node: Lookup, parts: Sequence[Jets], within: Sequence[Interval]) -> Jets:
    """f(a), for variables a with these jets that lie `within`; of every box to the order that the field has on it.

    Σ_{|α| < t} ∂^α f(c)/α!·(a − c)^α + Σ_{|α| = t} [∂^α f]/α!·(a − c)^α with t ≤ n + 1: a number that is anything in [∂^α f] is the jet of
    its middle and how far it may be off. Unknown where the field is not given.
    """
    space, count = parts[0].space, len(parts)
    N = max(part.boxes for part in parts)
    jets = [Jets(space, np.broadcast_to(p.coefficients, (space.size, N)), np.broadcast_to(p.rest, (N,))) for p in parts]
    _, lower, upper = corners([Interval(np.broadcast_to(side.lower, (N,)), np.broadcast_to(side.upper, (N,))) for side in within])
    center = np.clip(np.stack([jet.coefficients[0] for jet in jets], axis=1), lower, upper)
    around = [Interval(lower[:, k], upper[:, k]) for k in range(count)]
    order = smoothest(node, around, space.degree + 1)
    found = Jets(space, np.zeros((space.size, N)), np.full(N, np.inf))
    for t in np.unique(order[order > 0]):
        rows = np.flatnonzero(order == t)
        total = _expanded(node, [jet.on(rows) for jet in jets], center[rows], [side[rows] for side in around], int(t))
        coefficients, rest = np.array(found.coefficients), np.array(found.rest)
        coefficients[:, rows], rest[rows] = total.coefficients, total.rest
        found = Jets(space, coefficients, rest)
    return found


def _expanded(node: Lookup, jets: Sequence[Jets], center: Array, around: Sequence[Interval], t: int) -> Jets:
    """The formula to order t."""
    space = jets[0].space
    at = [Interval.of(center[:, k]) for k in range(len(jets))]
    moved = [jet.shifted(-center[:, k]) for k, jet in enumerate(jets)]
    powers: dict[tuple[int, ...], Jets] = {}
    total = Jets.constant(space, derivative(node, at, again=True))
    for size in range(1, t + 1):
        for which in combinations_with_replacement(range(len(jets)), size):
            powers[which] = moved[which[0]] if size == 1 else powers[which[:-1]] * moved[which[-1]]
            share = derivative(node, at if size < t else around, which, again=True)
            below = Interval.of(float(prod(factorial(which.count(k)) for k in set(which))))
            total = total + powers[which] * Jets.constant(space, share / below)
    return total
