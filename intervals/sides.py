"""What max, min, comparisons and Piecewise do to numbers that carry derivatives: a side is picked where it is known which one it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

import numpy as np

from .arithmetic import Flags, Interval
from .derivatives import SMOOTH, ZERO, Derivatives, powers, square_root
from .natural import IntervalAlgebra
from .program import Decision

Partials = dict[int, Interval]
"""Derivatives by coordinate; an absent one is 0."""
NATURAL = IntervalAlgebra()


class Valued(Protocol):
    @property
    def value(self) -> Interval: ...


V = TypeVar("V", bound=Valued)


class Sides(ABC, Generic[V]):
    """Expressions over values with derivatives, elementwise over boxes of so many `coordinates`."""

    def __init__(self, coordinates: int) -> None:
        self.coordinates = coordinates

    @abstractmethod
    def through(self, a: V, found: Derivatives) -> V:
        """h(a), by h and its derivatives on the values of a."""

    @abstractmethod
    def picked(self, value: Interval, first: Flags, second: Flags, a: V, b: V) -> V:
        """A continuous function with this value that is a where `first`, b where `second`, and may switch between them elsewhere."""

    @abstractmethod
    def unknown(self, a: V, value: Interval, where: Flags) -> V:
        """a with this value, and with no derivative known where it may jump, also by coordinates that only a condition depends on."""

    def power(self, a: V, exponent: int) -> V:
        return self.through(a, powers(a.value, exponent))

    def square_root(self, a: V) -> V:
        return self.through(a, square_root(a.value))

    def smooth(self, name: str, a: V) -> V:
        return self.through(a, SMOOTH[name](a.value))

    def larger(self, a: V, b: V) -> V:
        value = NATURAL.larger(a.value, b.value)
        return self.picked(value, a.value.lower >= b.value.upper, a.value.upper <= b.value.lower, a, b)

    def smaller(self, a: V, b: V) -> V:
        value = NATURAL.smaller(a.value, b.value)
        return self.picked(value, a.value.upper <= b.value.lower, a.value.lower >= b.value.upper, a, b)

    def compare(self, greater: V, less: V, strict: bool) -> Decision:
        return NATURAL.compare(greater.value, less.value, strict)

    def choose(self, decision: Decision, a: V, b: V | None) -> V:
        true, false = np.asarray(decision[0]), np.asarray(decision[1])
        if b is None:
            return a if true.all() else self.unknown(a, a.value.unknown_where(~true), ~true)
        found = self.picked(NATURAL.choose((true, false), a.value, b.value), true, false, a, b)
        return self.unknown(found, found.value, ~(true | false))


def picked(first: Flags, second: Flags, a: Partials, b: Partials, keys: Iterable[int]) -> Partials:
    """∂a where `first`, ∂b where `second`, the hull of both elsewhere; by the coordinates `keys`."""
    return {k: NATURAL.choose((first, second), a.get(k, ZERO), b.get(k, ZERO)) for k in sorted(keys)}
