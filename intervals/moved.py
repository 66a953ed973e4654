"""Products of what variables are away from a point, kept from one component of a field to the next: they are the same for all of them.

Variables are enclosures of any kind that has a product. Which ones were asked for last is remembered thread by thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from ..expressions import Array

Part = TypeVar("Part")
"""An enclosure that has a product."""


class Powers(Generic[Part]):
    """∏_{k ∈ which} (a_k − c_k) of variables that have been moved already."""

    def __init__(self, moved: Sequence[Part]) -> None:
        self._found: dict[tuple[int, ...], Part] = {(k,): one for k, one in enumerate(moved)}

    def power(self, which: tuple[int, ...]) -> Part:
        """Of some, named in ascending order."""
        if which not in self._found:
            first: Any = self.power(which[:-1])
            self._found[which] = first * self.power(which[-1:])
        return self._found[which]


class LastPowers(threading.local, Generic[Part]):
    """The powers of the variables (N boxes) and points (N, variables) that were asked for last, or new ones."""

    def __init__(self, same: Callable[[Part, Part], bool], moved: Callable[[Part, Array], Part]) -> None:
        """`same`: whether two enclosures are equal in all that a product depends on. `moved`: a variable plus numbers, (N,)."""
        self.same, self.moved = same, moved
        self.last: tuple[Sequence[Part], Array, Powers[Part]] | None = None

    def of(self, parts: Sequence[Part], center: Array) -> Powers[Part]:
        if self.last is not None:
            others, there, powers = self.last
            if len(others) == len(parts) and all(map(self.same, others, parts)) and np.array_equal(there, center):
                return powers
        powers = Powers([self.moved(part, -center[:, k]) for k, part in enumerate(parts)])
        self.last = parts, center, powers
        return powers
