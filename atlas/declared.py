"""`Declared`: a Python function as a field, enclosed by what is declared of it: a Lipschitz constant, a bound of second derivatives.

Statement. Let |f_j(x) − f_j(y)| ≤ L·|x − y| (Euclidean) on a convex set K, and v be what f_j is computed to at c, |v − f_j(c)| ≤ s. Then
f_j ∈ v ± (s + L·|r|) on a box c ± r in K, and |∂_k f_j| ≤ L wherever it exists, which is almost everywhere.
Let moreover f_j be differentiable on K with |∂_k f_j(x) − ∂_k f_j(y)| ≤ H·|x − y|₁. Then ∂_k f_j(c) is within H·h/2 + s/h of the central
difference with step h, and on the box |∂_k f_j − ∂_k f_j(c)| ≤ H·Σ r, |f_j − f_j(c) − ∇f_j(c)·(x − c)| ≤ H/2·(Σ r)², |∂_kl f_j| ≤ H.

None of it is proved. A certificate that rests on it names it (`statement`); `lint` looks for pairs of points that refute it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..expressions.box import Array
from ..expressions.fields import Bounds, Field, Orders, key_of

ROUNDING = 1e-12
"""What f is computed to is taken to be off by this part of 1 + |f| at most."""
GROW = 1 + 2.0**-40


@dataclass(frozen=True, eq=False)
class Declared(Field):
    """A function of all of R^inputs, for whatever calls it; `lipschitz` is L, `second_derivative` H."""

    name: str  # of any kind: no text calls it
    function: Callable[[Array], ArrayLike]
    inputs: int
    outputs: int
    lipschitz: float | None = None
    second_derivative: float | None = None
    identity: int = 0
    """Tells functions of one name apart."""

    @cached_property
    def key(self) -> int:  # type: ignore[override]
        return key_of(
            f"declared {self.name}", [repr((self.lipschitz, self.second_derivative, self.identity, self.inputs, self.outputs)).encode()]
        )

    @cached_property
    def lower(self) -> Array:  # type: ignore[override]
        return np.full(self.inputs, -np.inf)

    @cached_property
    def upper(self) -> Array:  # type: ignore[override]
        return np.full(self.inputs, np.inf)

    def evaluate(self, component: int, orders: Orders, points: Array) -> Array:
        """Derivatives by central differences, for whoever wants to know them nearly."""
        if not any(orders):
            return np.asarray(self.function(np.asarray(points, float)), float).reshape(len(points), self.outputs)[:, component]
        k = next(k for k, order in enumerate(orders) if order)
        less = tuple(order - (j == k) for j, order in enumerate(orders))
        step = 1e-4 * (1 + np.abs(points[:, [k]])) * np.eye(self.inputs)[k]
        up, down = (self.evaluate(component, less, points + side * step) for side in (1, -1))
        return np.asarray((up - down) / (2 * step.sum(1)))

    def enclose(self, component: int, orders: Orders, lower: Array, upper: Array, *, again: bool = False) -> Bounds:
        size, unknown = sum(orders), np.full(len(lower), np.inf)
        if size > self._order or not len(lower):
            return -unknown, unknown
        center = lower + (upper - lower) / 2
        reach = np.maximum(upper - center, center - lower) * GROW
        if size == 2:
            bend = np.full(len(lower), float(self.second_derivative or 0.0))
            return -bend, bend
        if size == 1:
            return self._slope(component, orders.index(1), center, reach)
        value, off = self._value(component, center)
        spread = np.full(len(lower), np.inf)
        if self.lipschitz is not None:
            spread = self.lipschitz * np.sqrt((reach**2).sum(1)) * GROW
        if self.second_derivative is not None:
            ends = [self._slope(component, k, center, np.zeros_like(reach)) for k in range(self.inputs)]
            along = sum(np.maximum(np.abs(low), np.abs(high)) * reach[:, k] for k, (low, high) in enumerate(ends))
            spread = np.fmin(spread, (along + self.second_derivative / 2 * reach.sum(1) ** 2) * GROW)
        return value - (off + spread) * GROW, value + (off + spread) * GROW

    @property
    def _order(self) -> int:
        return 1 if self.second_derivative is None else 2

    def _value(self, component: int, points: Array) -> tuple[Array, Array]:
        """f at points, and what it may be off; ∞ where it is not finite."""
        value = self.evaluate(component, (0,) * self.inputs, points)
        return np.nan_to_num(value, nan=0.0, posinf=0.0, neginf=0.0), np.where(np.isfinite(value), ROUNDING * (1 + np.abs(value)), np.inf)

    def _slope(self, component: int, k: int, center: Array, reach: Array) -> Bounds:
        """∂_k on boxes."""
        low, high = np.full(len(center), -np.inf), np.full(len(center), np.inf)
        if self.lipschitz is not None:
            low, high = np.full(len(center), -self.lipschitz), np.full(len(center), self.lipschitz)
        if self.second_derivative is None:
            return low, high
        bend = self.second_derivative
        _, slack = self._value(component, center)
        with np.errstate(all="ignore"):
            step = np.clip(np.sqrt(2 * slack / bend) if bend > 0 else np.ones(len(center)), 2.0**-20, 1.0)
            step = np.where(np.isfinite(slack), 2.0 ** np.round(np.log2(step)), 1.0)
        ahead, behind = (center + side * step[:, None] * np.eye(self.inputs)[k] for side in (1, -1))
        (up, more), (down, less) = self._value(component, ahead), self._value(component, behind)
        width = ahead[:, k] - behind[:, k]
        with np.errstate(all="ignore"):
            slope = (up - down) / width
            # The points are floats, not quite at the same distance: the quotient is a mean of ∂_k between them.
            off = bend * np.maximum(ahead[:, k] - center[:, k], center[:, k] - behind[:, k]) + (more + less) / width
            off = (off + bend * reach.sum(1)) * GROW + 2.0**-45 * np.abs(slope)
            off = np.where(np.isfinite(off), off, np.inf)
        return np.fmax(low, slope - off), np.fmin(high, slope + off)

    def order(self, lower: Array, upper: Array) -> NDArray[np.intp]:
        return np.full(len(lower), self._order)

    def exactly(self, component: int, orders: Orders, at: Sequence[tuple[Fraction, Fraction]]) -> tuple[Fraction, Fraction] | None:
        """On the smallest box of floats around the point."""
        ends = np.array([[float(low), float(high)] for low, high in at])
        low, high = self.enclose(component, orders, np.nextafter(ends[None, :, 0], -np.inf), np.nextafter(ends[None, :, 1], np.inf))
        return None if not np.isfinite([low[0], high[0]]).all() else (Fraction(float(low[0])), Fraction(float(high[0])))

    @property
    def statement(self) -> str:
        """What is assumed, in words."""
        said = []
        if self.lipschitz is not None:
            said.append(f"|f(x) − f(y)| ≤ {self.lipschitz!r}·|x − y|")
        if self.second_derivative is not None:
            said.append(f"|∂_k f(x) − ∂_k f(y)| ≤ {self.second_derivative!r}·|x − y|₁")
        # Slopes are taken from differences over at most 1 to each side, where a bound of second derivatives is declared.
        where = "on boxes around M" if self.second_derivative is None else "within 1 of boxes around M"
        return (
            f"the Python function {self.name!r} computes f to within {ROUNDING:g}·(1 + |f|), and {' and '.join(said)} for every component "
            f"and all x and y {where}"
        )
