"""What max, min, comparisons and Piecewise do to numbers that carry derivatives: a side is picked where it is known which one it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

import numpy as np

from .algebra import Decision
from .arithmetic import Flags, Interval
from .decoration import SURE, Decoration
from .derivatives import SMOOTH, ZERO, Derivatives, Exponent, powers, square_root
from .natural import IntervalAlgebra

Partials = dict[int, Interval]
"""Derivatives by coordinate; an absent one is 0."""
NATURAL = IntervalAlgebra()
CURVATURE = range(3)
"""The orders of derivatives that are made use of at most."""


class Valued(Protocol):
    @property
    def value(self) -> Interval: ...


V = TypeVar("V", bound=Valued)


class Sides(ABC, Generic[V]):
    """Expressions over values with derivatives, elementwise over boxes. What the derivatives are worth the decoration of the value says."""

    @abstractmethod
    def through(self, a: V, found: Derivatives) -> V:
        """h(a), by h, h′ and h″ on the values of a."""

    @abstractmethod
    def picked(self, value: Interval, first: Flags, second: Flags, a: V, b: V) -> V:
        """A continuous function with this value that is a where `first`, b where `second`, and may switch between them elsewhere."""

    @abstractmethod
    def valued(self, a: V, value: Interval) -> V:
        """a with this value."""

    def restricted(self, a: V, bound: V, above: bool) -> V:
        return self.valued(a, NATURAL.restricted(a.value, bound.value, above))

    def never_zero(self, found: V, a: V, positive: bool) -> V:
        return self.valued(found, NATURAL.never_zero(found.value, a.value, positive))

    def vanishing(self, found: V, x: V, power: Interval, logs: int) -> V:
        return self.valued(found, NATURAL.vanishing(found.value, x.value, power, logs))

    def power(self, a: V, exponent: int) -> V:
        return self.through(a, powers(a.value, exponent, CURVATURE))

    def real_power(self, a: V, exponent: Exponent) -> V:
        return self.through(a, exponent.powers(a.value, CURVATURE))

    def square_root(self, a: V) -> V:
        return self.through(a, square_root(a.value, CURVATURE))

    def smooth(self, name: str, a: V) -> V:
        return self.through(a, SMOOTH[name](a.value, CURVATURE))

    def larger(self, a: V, b: V) -> V:
        value = NATURAL.larger(a.value, b.value)
        return self.picked(value, a.value.lower >= b.value.upper, a.value.upper <= b.value.lower, a, b)

    def smaller(self, a: V, b: V) -> V:
        value = NATURAL.smaller(a.value, b.value)
        return self.picked(value, a.value.upper <= b.value.lower, a.value.lower >= b.value.upper, a, b)

    def compare(self, greater: V, less: V, strict: bool) -> Decision:
        return NATURAL.compare(greater.value, less.value, strict)

    def choose(self, decision: Decision, a: V, b: V | None) -> V:
        value = NATURAL.choose(decision, a.value, None if b is None else b.value)
        return self.picked(value, np.asarray(decision.true), np.asarray(decision.false), a, a if b is None else b)


def picked(first: Flags, second: Flags, a: Partials, b: Partials, keys: Iterable[int]) -> Partials:
    """∂a where `first`, ∂b where `second`, the hull of both elsewhere; by the coordinates `keys`."""
    decision = Decision(first, second)
    return {k: NATURAL.choose(decision, a.get(k, ZERO), b.get(k, ZERO)) for k in sorted(keys)}


def settled(partials: Partials, value: Interval, level: Decoration, coordinates: int) -> Partials:
    """Derivatives of a function with this value by every coordinate: unknown where less than `level` is known of it."""
    every = {k: partials.get(k, ZERO) for k in range(coordinates)}
    if value.decoration is SURE:
        return every
    lost = np.asarray(value.decoration < level)
    return {k: p.decorated(SURE).unknown_where(lost) for k, p in every.items()}
