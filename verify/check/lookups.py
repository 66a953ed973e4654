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
from ...intervals.moved import LastPowers
from ...intervals.patch import GROW, TINY
from ...intervals.rounding import gamma
from .jets import Jets


def _same(one: Jets, other: Jets) -> bool:
    alike = (one.space.dimension, one.space.degree) == (other.space.dimension, other.space.degree)
    return alike and np.array_equal(one.coefficients, other.coefficients) and np.array_equal(one.rest, other.rest)


_LAST: LastPowers[Jets] = LastPowers(_same, Jets.shifted)


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
    at = [Interval.of(center[:, k]) for k in range(len(jets))]
    powers = _LAST.of(jets, center)
    total = _Sum(Jets.constant(jets[0].space, derivative(node, at, again=True)))
    for size in range(1, t + 1):
        for which in combinations_with_replacement(range(len(jets)), size):
            share = derivative(node, at if size < t else around, which, again=True)
            total.add(powers.power(which), share / Interval.of(float(prod(factorial(which.count(k)) for k in set(which)))))
    return total.jets


class _Sum:
    """Jets times numbers that are known to lie in intervals: (p, r)·(c ± δ) is c·p within |c|·r + δ·(Σ|p| + r), and a sum of n such,
    computed in floats one after the other, is off by γ_{n+1} of Σ|c|·Σ|p|."""

    def __init__(self, first: Jets) -> None:
        self.space, self.found, self.rest = first.space, np.array(first.coefficients), np.array(first.rest)
        self.size, self.terms = np.abs(first.coefficients).sum(0), 1

    def add(self, jets: Jets, number: Interval) -> None:
        middle, reach = number.middle, number.reach
        size = np.abs(jets.coefficients).sum(0)
        self.found += middle * jets.coefficients
        self.rest += np.abs(middle) * jets.rest + reach * (size + jets.rest)
        self.size += np.abs(middle) * size
        self.terms += 1

    @property
    def jets(self) -> Jets:
        """Unknown where a number was."""
        rest = GROW * (self.rest + gamma(self.terms + 2) * self.size) + (self.terms + 1) * TINY
        rest = np.where(np.isfinite(rest) & np.isfinite(self.found).all(0), rest, np.inf)
        return Jets(self.space, np.where(np.isfinite(self.found), self.found, 0.0), rest)
