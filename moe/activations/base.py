"""`Activation`: what one hidden neuron does to its pre-activation, and everything that has to be known of it.

A subclass is one function. It is evaluated here; who encloses, differentiates or rounds it asks it for proved facts:

* `derivatives`, a^(n)(z) in float64 with absolute error bounds. Errors are bounded by running sums of absolute values: what is
  added from k terms of total size S, each rounded a few times, is off by at most (k + a few)·EPS·S; library functions are trusted to
  `LIBRARY` units in the last place, as in `intervals`, which the tests hold against arbitrary precision;
* `supremum(n)`, a number ≥ sup |a^(n)| over R, n ≥ 1: found by branch and bound in ball arithmetic, written down
  rounded up; a test runs the enclosure again. Beyond |z| = 60 every derivative of order n ≥ 2 is below 1e-20;
* `slip`, κ with |computed a(z) − a(z)| ≤ κ·u·|z| + the smallest number, u the unit roundoff, for numpy and torch in float32 and
  float64. It is relative to |z|, not to |a(z)|: in the left tail a(z) is a product with what is computed to no relative accuracy.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import InvalidArgument

Array = NDArray[np.float64]
Floats = NDArray[np.floating]
EPS = float(np.finfo(float).eps)
LIBRARY = 8
"""Units in the last place to which exp, tanh, expit are trusted: twice what numpy promises."""
FARTHEST = 1e300
"""What lies beyond counts as ∞."""


class Activation(ABC):
    """One function a : R → R; the module says what is known of it. There is one object of each subclass."""

    name: ClassVar[str]
    """In files, options and exports."""
    symbol: ClassVar[str]
    """On screens, as in σ(w·x + b)."""
    homogeneous: ClassVar[int | None] = None
    """k with a(s·z) = s^k·a(z) for all s > 0, or None."""
    reflects: ClassVar[bool] = True
    """Whether a(z) − a(−z) = z for all z: then two neurons carry a linear function, whichever way others face."""
    smooth: ClassVar[bool] = True
    """Whether it is C^∞."""
    slip: ClassVar[float] = float(LIBRARY)
    """κ."""
    suprema: ClassVar[tuple[float, ...]] = ()
    """sup |a^(n)|, n = 1, 2, …"""
    gap: ClassVar[float] = np.inf
    """c ≥ sup |a − σ|, where 0 ≤ σ − a everywhere (N21); ∞ where σ has no such neighbour."""

    @abstractmethod
    def __call__(self, z: Floats) -> Floats:
        """a(z), in the dtype of z; a new array."""

    def derivatives(self, z: Array, order: int) -> tuple[Array, Array]:
        """a^(n)(z) for n = 0 … order, and how far each may be off, (order + 1, *z.shape) both.

        Raises `InvalidArgument` for functions that have none, or not so many.
        """
        raise InvalidArgument(f"{self.name} has no derivatives everywhere")

    def supremum(self, order: int) -> float:
        """At least sup |a^(order)| over R, order ≥ 1; ∞ where it is not bounded, does not exist, or is not known."""
        if order < 1:
            raise InvalidArgument(f"the supremum of a derivative of order {order} was asked for; orders begin at 1")
        return self.suprema[order - 1] if order <= len(self.suprema) else np.inf

    @abstractmethod
    def range(self, lower: Array, upper: Array) -> tuple[Array, Array]:
        """Bounds of a on the intervals [lower, upper], rounded outward."""

    def rounded(self, size: Array, unit: float) -> Array:
        """At most what evaluating a in floats adds where |z| ≤ size, but for the smallest number of the dtype; u = `unit`."""
        return self.slip * unit * size

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> str:
        """The name of the one object in its module, so that copies and other processes have no second one."""
        return self.name.upper()


def horner(coefficients: Array, x: Array) -> tuple[Array, Array]:
    """Σ c_k·x^k and Σ |c_k|·|x|^k, c_0 first; (…)."""
    value, size, away = np.zeros_like(x), np.zeros_like(x), np.abs(x)
    for c in coefficients[::-1]:
        value = value * x + c
        size = size * away + abs(c)
    return value, size


def dipping(activation: Activation, lower: Array, upper: Array, bottom: float, least: float) -> tuple[Array, Array]:
    """The range of a function that falls up to some place within 1e-9 of `bottom`, where it is ≥ `least`, and rises from there on;
    below 0 it is negative.
    """
    ends = np.clip(np.stack([lower, upper]), -FARTHEST, FARTHEST)
    value = activation(ends)
    off = activation.rounded(np.abs(ends), EPS) + float(np.finfo(float).tiny)
    inside = (ends[0] <= bottom + 1e-9) & (ends[1] >= bottom - 1e-9)
    low = np.where(inside, least, np.maximum((value - off).min(0), least))
    high = np.where(ends[1] <= 0, np.minimum((value + off).max(0), 0.0), (value + off).max(0))
    return low, np.where(np.asarray(upper) > FARTHEST, np.inf, high)
