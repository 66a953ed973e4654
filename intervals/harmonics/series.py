"""`Harmonics`: Σ g·Re S_lm + h·Im S_lm in three variables, of solid harmonics or of those that decay, as a `Field`.

One sum for every component, all of them infinitely often differentiable, the decaying ones but in 0. On boxes a derivative is enclosed
twice. For a search: by its value at the middle, its first derivatives there, and the second derivatives that the addition theorem allows
on the whole box, harmonics by Euler's identity (`euler`). To check: by its value at the middle and the first derivatives that the theorem
allows, harmonics by another recursion (`solid.upwards`), which are held against Euler's identity one by one. Either is cut to what the
theorem says of the derivative itself; rounding is covered in both, that of the derivatives' coefficients too (`ladder`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...errors import InvalidArgument
from ...expressions import Array
from ...expressions.fields import SMOOTH, Bounds, Expansion, Field, Orders, key_of
from .about import Stacked, about
from .euler import by_euler, compared, powers
from .ladder import derivative
from .memory import Memory
from .solid import EPS, GENEROUS, degree_of, inverted, places, upwards
from .sums import TINY, Sum

MAX_DEGREE = 400
AT_ONCE = 1 << 21
"""Harmonics that are held at a time: what a cache holds."""
LARGEST = 1e100
"""Of coefficients, and of what boxes may reach."""
SMALLEST = 1e-200
"""Of coefficients that are not 0: what is lost of them is counted in parts of them, which has to be a number."""


@dataclass(frozen=True, eq=False)
class Harmonics(Field):
    """A sum of solid harmonics for every component; equal ones have one key."""

    name: str
    coefficients: Array
    """(outputs, 2, places): g and h, of (l, m) at the place l(l+1)/2 + m."""
    decaying: bool
    expanded = True
    _sums: dict[Orders, Sum] = field(default_factory=dict, repr=False)
    _seen: dict[int, tuple[Array, dict[str, Array]]] = field(default_factory=dict, repr=False)
    _many: dict[Orders, tuple[Array, Array]] = field(default_factory=dict, repr=False)
    _memories: dict[bool, Memory] = field(default_factory=dict, repr=False)
    _reached: dict[int, tuple[Array, dict[Orders, Array], dict[int, Array]]] = field(default_factory=dict, repr=False)
    _stacked: dict[int, Stacked] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Raises `InvalidArgument` for coefficients that are not finite, of another shape, or of too high a degree."""
        given = np.array(self.coefficients, float)
        if given.ndim != 3 or given.shape[1] != 2 or not len(given) or not 0 <= degree_of(given.shape[2]) <= MAX_DEGREE:
            remedy = f"give (components, 2, (N+1)(N+2)/2), N the degree, at most {MAX_DEGREE}"
            raise InvalidArgument(f"harmonics {self.name!r}: coefficients of shape {given.shape}; {remedy}")
        if not (np.abs(given) < LARGEST).all():
            raise InvalidArgument(f"harmonics {self.name!r}: a coefficient is not finite, or beyond {LARGEST:g}; correct it")
        if ((given != 0) & (np.abs(given) < SMALLEST)).any():
            raise InvalidArgument(f"harmonics {self.name!r}: a coefficient is below {SMALLEST:g}, but not 0; rescale them, or write 0")
        given[:, 1, places(degree_of(given.shape[2]))[1] == 0] = 0.0
        given.flags.writeable = False
        object.__setattr__(self, "coefficients", given)
        self._sums[0, 0, 0] = Sum(given, np.zeros_like(given))
        for again, harmonic in ((False, by_euler), (True, _by_columns)):
            self._memories[again] = Memory(self.sum, self.decaying, harmonic)

    @property
    def inputs(self) -> int:  # type: ignore[override]
        return 3

    @property
    def outputs(self) -> int:  # type: ignore[override]
        return len(self.coefficients)

    @property
    def degree(self) -> int:
        return degree_of(self.coefficients.shape[2])

    @cached_property
    def key(self) -> int:  # type: ignore[override]
        return key_of(f"harmonics {self.name} {self.decaying}", [self.coefficients])

    @property
    def lower(self) -> Array:  # type: ignore[override]
        return np.full(3, -np.inf)

    @property
    def upper(self) -> Array:  # type: ignore[override]
        return np.full(3, np.inf)

    def __getstate__(self) -> dict[str, object]:
        """Without what it remembers."""
        return {"name": self.name, "coefficients": self.coefficients, "decaying": self.decaying}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def sum(self, orders: Orders) -> Sum:
        """The derivative of these orders."""
        if orders not in self._sums:
            axis = next(k for k in range(3) if orders[k])
            before = self.sum(tuple(o - (k == axis) for k, o in enumerate(orders)))
            self._sums[orders] = Sum(*derivative(before.coefficients, before.errors, axis, self.decaying))
        return self._sums[orders]

    def values(self, points: Array, orders: Orders = (0, 0, 0)) -> Array:
        """∂^orders of all components in floats, (N, 3) → (outputs, N)."""
        rows = self.sum(orders).coefficients.reshape(self.outputs, -1)
        step = max(1, AT_ONCE // rows.shape[1])
        if len(points) <= step:
            return self._at(points, orders, rows)
        last = self._many.get(orders)
        if last is None or not np.array_equal(last[0], points):
            parts = [points[start : start + step] for start in range(0, len(points), step)]
            last = points.copy(), np.concatenate([self._at(part, orders, rows) for part in parts], axis=1)
            self._many.clear()
            self._many[orders] = last
        return last[1]

    def _at(self, points: Array, orders: Orders, rows: Array) -> Array:
        """Of few points; what was asked for the same points last is remembered, as derivatives are asked for one by one."""
        last, name = self._seen.get(0), f"{orders}"
        if last is None or not np.array_equal(last[0], points):
            last = self._seen[0] = points.copy(), {}
        seen = last[1]  # of these points, whatever other threads ask for
        if name not in seen:
            places_needed, whole = rows.shape[1] // 2, seen.get("harmonics")
            if whole is None or len(whole) < 2 * places_needed:
                degree = max(degree_of(places_needed), self.degree)
                at, scale = inverted(points) if self.decaying else (points, None)
                with np.errstate(all="ignore"):
                    whole = upwards(degree, at) if scale is None else upwards(degree, at) * scale
                seen["harmonics"] = whole
            some = whole.reshape(2, -1, len(points))[:, :places_needed]
            flat = whole if some.size == whole.size else some.reshape(2 * places_needed, -1)
            with np.errstate(all="ignore"):
                seen[name] = rows @ flat
        return seen[name]

    def evaluate(self, component: int, orders: Orders, points: Array) -> Array:
        points = np.asarray(points, float)
        found = self.values(points, tuple(orders))[component].copy()
        found[~np.isfinite(found)] = np.nan
        return found

    def reach(self, lower: Array, upper: Array) -> Array:
        """(N,): R of boxes, at least |p|, or 1/|p| of what decays."""
        with np.errstate(all="ignore"):
            if self.decaying:
                nearest = np.maximum(np.maximum(lower, -upper), 0.0)
                return 1 / np.sqrt((nearest**2).sum(1)) * GENEROUS
            furthest = np.maximum(np.abs(lower), np.abs(upper))
            return np.hypot(np.hypot(furthest[:, 0], furthest[:, 1]), furthest[:, 2]) * GENEROUS + TINY  # squares may underflow

    def bound(self, component: int, orders: Orders, reach: Array) -> Array:
        """What |∂^orders| of a component is at most, (N,), where |p| ≤ R, or 1/|p| of what decays; computed for all of them at once."""
        last = self._reached.get(0)
        if last is None or not np.array_equal(last[0], reach):
            last = self._reached[0] = reach.copy(), {}, {}
        if orders not in last[1]:
            some = self.sum(orders)
            degree = degree_of(some.coefficients.shape[-1])
            if degree not in last[2]:
                last[2][degree] = powers(degree, reach)
            found = some.bound(last[2][degree])
            last[1][orders] = (found * reach if self.decaying else found) * GENEROUS + TINY
        return last[1][orders][component]

    def enclose(self, component: int, orders: Orders, lower: Array, upper: Array, *, again: bool = False) -> Bounds:
        orders = tuple(orders)
        with np.errstate(all="ignore"):
            middle = lower + (upper - lower) / 2
            half = np.maximum(upper - middle, middle - lower)
            half = np.where(lower == upper, 0.0, half * GENEROUS + TINY)
            reach = self.reach(lower, upper)
            known = (reach < LARGEST) & (np.maximum(np.abs(lower), np.abs(upper)) < LARGEST).all(1)
            safe, at = np.where(known, reach, 1.0), np.where(known[:, None], middle, (0.0, 0.0, 1.0))
            total = self.bound(component, orders, safe)
            wide = bool(half.any())
            value, slack = self._summed(component, orders, at, again, not wide)
            if wide:
                around = self._further if again else self._around
                slack = slack + around(component, orders, at, half, safe)
            slack = slack * GENEROUS + 4 * EPS * np.abs(value) + TINY
            low, high = np.maximum(value - slack, -total), np.minimum(value + slack, total)
            known &= np.isfinite(low) & np.isfinite(high)
        return np.where(known, low, -np.inf), np.where(known, high, np.inf)

    def about(self, center: Array, lower: Array, upper: Array, degree: int) -> Expansion:
        """By derivatives of one order more than the degree, and a bound of the next (`about`)."""
        if degree not in self._stacked:
            self._stacked[degree] = Stacked(self.sum((0, 0, 0)), self.decaying, degree + 1)
        with np.errstate(all="ignore"):
            reach, around = self.reach(lower, upper), self.reach(center, center)
            known = (np.maximum(np.abs(lower), np.abs(upper)) < LARGEST).all(1) & (reach < LARGEST)
            safe = np.where(known[:, None], center, (0.0, 0.0, 1.0))
            around, reach = np.where(known, around, 1.0), np.where(known, reach, 1.0)
            found = about(self._stacked[degree], safe, around, reach, degree)
            known &= np.isfinite(found.numbers).all((0, 1)) & np.isfinite(found.off).all((0, 1)) & ~np.isnan(found.sizes).any((0, 1))
        numbers, off = (np.where(known, part, 0.0) for part in (found.numbers, found.off))
        return Expansion(numbers, off, np.where(known, found.sizes, np.inf))

    def _summed(self, component: int, orders: Orders, at: Array, again: bool, alone: bool) -> tuple[Array, Array]:
        """A value at points, and what it may be off by."""
        reach = self.reach(at, at)
        values, slack = self._memories[again].at(at, reach, orders, alone)
        return values[component], slack[component] * reach * GENEROUS if self.decaying else slack[component]

    def _around(self, component: int, orders: Orders, at: Array, half: Array, reach: Array) -> Array:
        """How far f goes from its value at the middle: Σ|∂_k f|·h_k + ½·Σ sup|∂_j∂_k f|·h_j·h_k."""
        total = np.zeros(len(at))
        for k in range(3):
            slope, slack = self._summed(component, _more(orders, k), at, False, False)
            total = total + (np.abs(slope) + slack) * half[:, k]
            for j in range(k + 1):
                size = self.bound(component, _more(orders, j, k), reach)
                total = total + (0.5 if j == k else 1.0) * size * half[:, j] * half[:, k]
        return total * GENEROUS

    def _further(self, component: int, orders: Orders, at: Array, half: Array, reach: Array) -> Array:
        """The same by first derivatives alone: Σ sup|∂_k f|·h_k."""
        total = np.zeros(len(at))
        for k in range(3):
            total = total + half[:, k] * self.bound(component, _more(orders, k), reach)
        return total * GENEROUS

    def order(self, lower: Array, upper: Array) -> NDArray[np.intp]:
        """Everything, but where a box holds the centre of what decays: nothing."""
        return np.where(np.isfinite(self.reach(lower, upper)), SMOOTH, -SMOOTH)

    def exactly(self, component: int, orders: Orders, at: Sequence[tuple[Fraction, Fraction]]) -> tuple[Fraction, Fraction] | None:
        """By its enclosure on the box of floats around these numbers."""
        lower = np.array([[np.nextafter(float(low), -np.inf) if Fraction(float(low)) > low else float(low) for low, _ in at]])
        upper = np.array([[np.nextafter(float(high), np.inf) if Fraction(float(high)) < high else float(high) for _, high in at]])
        low, high = self.enclose(component, orders, lower, upper)
        return (Fraction(float(low[0])), Fraction(float(high[0]))) if np.isfinite(low[0]) and np.isfinite(high[0]) else None


def _by_columns(degree: int, points: Array, reach: Array) -> tuple[Array, Array]:
    """Harmonics by the recursion of `solid`, bounded afterwards."""
    return compared(degree, points, reach, upwards(degree, points))


def _more(orders: Orders, *axes: int) -> Orders:
    """Orders with one more for every axis named."""
    return tuple(o + axes.count(k) for k, o in enumerate(orders))
