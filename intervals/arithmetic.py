"""Intervals of floats that provably contain a real result, over whole arrays at once, with outward rounding.

+ − · / and the square root are correctly rounded by IEEE 754: one float outward makes them rigorous. For the other functions this
trusts numpy's documented accuracy of 4 ulp and goes `LIBRARY_ULPS` outward, which the tests hold against arbitrary precision.
Unknown is [−∞, ∞]: what NaN becomes. There is no empty interval: no operation here produces one. Every operation also carries what is
known of the numbers as functions on a box (`decoration`): an interval without `DEFINED` holds the values where there is one,
√[−1, 4] = [0, 2], and is to be read as unknown by whoever asks about the whole box (`settled`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InvalidArgument
from ..expressions import Array
from .decoration import SURE, Decoration, Decorations, least, lowered

Flags = NDArray[np.bool_]

LIBRARY_ULPS = 8
"""Twice what numpy promises for float64."""
SHORT = 2.0**-900
"""Far above where products of floats may underflow."""
PHASE = 1e-9
"""Extrema of the sine within this distance of an interval (radians, relative from 1 on) count as inside it: far more than rounding."""
REDUCIBLE = 1e6
"""Beyond this argument the sine is only known to lie in [−1, 1]."""


class Domain(NamedTuple):
    """[least, most], or without its finite ends."""

    least: float
    most: float
    closed: bool


NOWHERE: Flags = np.zeros((), bool)
NONNEGATIVE, POSITIVE = Domain(0.0, np.inf, closed=True), Domain(0.0, np.inf, closed=False)


@dataclass(frozen=True, eq=False, init=False)
class Interval:
    """The closed intervals [lower, upper], elementwise; the shapes broadcast against each other."""

    lower: Array
    upper: Array
    decoration: Decorations
    """What holds of the numbers as a function on its box, whatever the box is; broadcasts against the bounds."""

    def __init__(self, lower: Array, upper: Array, decoration: Decorations = SURE) -> None:
        """Written out: intervals are made by the million, and a frozen dataclass takes twice as long."""
        held = self.__dict__
        held["lower"], held["upper"], held["decoration"] = lower, upper, decoration

    @staticmethod
    def of(lower: ArrayLike, upper: ArrayLike | None = None) -> Interval:
        """[lower, upper], or the points `lower`; NaN is unknown. Raises `InvalidArgument` where lower > upper."""
        low = np.asarray(lower, float)
        high = low if upper is None else np.asarray(upper, float)
        if (reversed_ := low > high).any():
            at = int(np.argmax(reversed_))
            low, high = np.broadcast_arrays(low, high)
            raise InvalidArgument(f"the interval [{low.flat[at]:g}, {high.flat[at]:g}] at {at} is empty; swap its ends")
        return Interval(low, high).unknown_where(NOWHERE)

    def __getitem__(self, index: Any) -> Interval:
        decoration = self.decoration
        if decoration.ndim:
            decoration = np.broadcast_to(decoration, np.broadcast_shapes(self.lower.shape, decoration.shape))[index]
        return Interval(self.lower[index], self.upper[index], decoration)

    def __add__(self, other: Interval) -> Interval:
        with np.errstate(invalid="ignore", over="ignore"):
            low, high = self.lower + other.lower, self.upper + other.upper
        # A sum that rounds to 0 is 0: numbers that are known not to be negative stay so.
        least_zero, most_zero = low == 0, high == 0
        low, high = np.nextafter(low, -np.inf), np.nextafter(high, np.inf)
        if some(least_zero):
            low = np.where(least_zero, 0.0, low)
        if some(most_zero):
            high = np.where(most_zero, 0.0, high)
        if not every(low <= high):
            lost = np.isnan(low) | np.isnan(high)  # ∞ − ∞: of any size, and defined all the same
            low, high = np.where(lost, -np.inf, low), np.where(lost, np.inf, high)
        return Interval(low, high, least(self.decoration, other.decoration))

    def __neg__(self) -> Interval:
        return Interval(-self.upper, -self.lower, self.decoration)

    def __sub__(self, other: Interval) -> Interval:
        return self + (-other)

    def __mul__(self, other: Interval) -> Interval:
        for a, b in ((self, other), (other, self)):
            if not b.lower.ndim and b.lower == b.upper and abs(np.frexp(b.lower)[0]) == 0.5:
                return a._scaled(float(b.lower), b.decoration)
        with np.errstate(invalid="ignore", over="ignore", under="ignore"):
            products = [a * b for a in (self.lower, self.upper) for b in (other.lower, other.upper)]
            low, high = _ends(products)
            if not every(low <= high):  # 0·∞ is 0: an unbounded interval stands for real numbers of any size.
                low, high = _ends([np.where(np.isnan(p), 0.0, p) for p in products])
        decoration = least(self.decoration, other.decoration)
        zero = some(low == 0) or some(high == 0)
        low, high = np.nextafter(low, -np.inf), np.nextafter(high, np.inf)
        if zero:  # What rounds to 0 may have either sign, but that of a product is known from its factors.
            up, down = self.lower >= 0, self.upper <= 0
            same = up & (other.lower >= 0) | down & (other.upper <= 0)
            opposite = up & (other.upper <= 0) | down & (other.lower >= 0)
            low, high = np.where(same, np.maximum(low, 0), low), np.where(opposite, np.minimum(high, 0), high)
        return Interval(low, high, decoration)

    def __truediv__(self, other: Interval) -> Interval:
        return self * other.inverse()

    def _scaled(self, factor: float, decoration: Decorations) -> Interval:
        """The product with ± a power of two, which is exact where dividing by it gives the number back: what overflowed stays infinite,
        and what underflowed is multiplied without rounding.
        """
        ends = (self.lower, self.upper) if factor > 0 else (self.upper, self.lower)
        found = []
        for end, to in zip(ends, (-np.inf, np.inf), strict=True):
            with np.errstate(over="ignore", under="ignore"):
                product = end * factor
                exact = product / factor == end
            found.append(product if every(exact) else np.where(exact, product, np.nextafter(product, to)))
        return Interval(found[0], found[1], least(self.decoration, decoration))

    def times(self, factor: float) -> Interval:
        return self * Interval.of(factor)

    def inverse(self) -> Interval:
        """1/x; not defined at 0: unbounded on one side where an end is 0, on both where 0 lies inside."""
        pole = self.contains_zero()
        if not some(pole):
            with np.errstate(over="ignore"):
                return outward(1 / self.upper, 1 / self.lower).decorated(self.decoration)
        with np.errstate(divide="ignore", over="ignore"):
            low = np.where(self.upper == 0, -np.inf, 1 / np.where(self.upper == 0, 1.0, self.upper))
            high = np.where(self.lower == 0, np.inf, 1 / np.where(self.lower == 0, 1.0, self.lower))
        found = outward(low, high).decorated(self.decoration)
        nothing = (self.lower < 0) & (self.upper > 0) | (self.lower == 0) & (self.upper == 0)
        return found.at_most(Decoration.NOTHING, pole).unknown_where(nothing)

    def column(self, k: int) -> Interval:
        """Component k of intervals (P, q)."""
        return self[:, k]

    @property
    def middle(self) -> Array:
        """A float of the interval, near its middle; NaN for an unknown one."""
        return self.lower + (self.upper - self.lower) / 2

    @property
    def magnitude(self) -> Array:
        """The largest |x|."""
        return np.maximum(np.abs(self.lower), np.abs(self.upper))

    @property
    def reach(self) -> Array:
        """At least |x − middle| for every x of the interval; ∞ for one without a middle."""
        middle = self.middle
        with np.errstate(invalid="ignore"):
            reach = np.nextafter(np.maximum(self.upper - middle, middle - self.lower), np.inf)
        return np.where(np.isfinite(middle), reach, np.inf)

    def contains_zero(self) -> Flags:
        return (self.lower <= 0) & (self.upper >= 0)

    def unknown_where(self, where: Flags) -> Interval:
        """[−∞, ∞], and perhaps not defined, where the condition holds or a bound is NaN."""
        if every(self.lower <= self.upper) and not some(where):
            return self
        where = where | np.isnan(self.lower) | np.isnan(self.upper)
        if not some(where):
            return self
        low, high = np.where(where, -np.inf, self.lower), np.where(where, np.inf, self.upper)
        return Interval(low, high, lowered(self.decoration, where, Decoration.NOTHING))

    def decorated(self, decoration: Decorations) -> Interval:
        """The same numbers, of which this is known."""
        return self if decoration is self.decoration else Interval(self.lower, self.upper, decoration)

    def at_most(self, level: Decoration, where: Flags) -> Interval:
        """No more is known than this where the condition holds."""
        return self.decorated(lowered(self.decoration, where, level))

    def settled(self, level: Decoration = Decoration.DEFINED) -> Interval:
        """Unknown where less than this is known."""
        return self if self.decoration is SURE else self.unknown_where(self.decoration < level)

    def absolute(self) -> Interval:
        low = np.maximum(np.maximum(self.lower, -self.upper), 0.0)
        found = Interval(low, np.maximum(-self.lower, self.upper), self.decoration)
        return found.at_most(Decoration.LIPSCHITZ, (self.lower < 0) & (self.upper > 0))

    def hull(self, other: Interval) -> Interval:
        low, high = np.minimum(self.lower, other.lower), np.maximum(self.upper, other.upper)
        return Interval(low, high, least(self.decoration, other.decoration))

    def meet(self, other: Interval) -> Interval:
        """The intersection of two enclosures of the same number; unknown where they are disjoint, as then there is no such number."""
        low, high = np.maximum(self.lower, other.lower), np.minimum(self.upper, other.upper)
        return Interval(low, high, least(self.decoration, other.decoration)).unknown_where(low > high)

    def power(self, n: int) -> Interval:
        """xⁿ for any integer n, by squaring and multiplying."""
        if n < 0:
            return self.power(-n).inverse()
        if n % 2 == 0:
            low, high = np.maximum(np.maximum(self.lower, -self.upper), 0.0), np.maximum(-self.lower, self.upper)
            return Interval(_power(low, n, -np.inf), _power(high, n, np.inf), self.decoration)
        return Interval(_signed_power(self.lower, n, -np.inf), _signed_power(self.upper, n, np.inf), self.decoration)

    def monotone(self, function: Callable[[Array], Array], ulps: int = LIBRARY_ULPS) -> Interval:
        """The image under an ascending smooth function of numpy; unknown where an end is outside its domain."""
        with np.errstate(all="ignore"):
            found = outward(function(self.lower), function(self.upper), ulps)
        return found.decorated(least(self.decoration, found.decoration))

    def ascending(self, function: Callable[[Array], Array], domain: Domain, ulps: int = LIBRARY_ULPS) -> Interval:
        """The image of what lies in the domain under an ascending function, smooth inside and continuous at closed ends."""
        low, high = self.lower < domain.least, self.upper > domain.most
        inside = self.within(domain.least, domain.most) if some(low | high) else self
        nowhere = inside.lower > inside.upper
        with np.errstate(all="ignore"):
            found = outward(function(inside.lower), function(inside.upper), ulps)
        found = found.decorated(least(self.decoration, found.decoration))
        ends = (self.lower <= domain.least) & np.isfinite(domain.least) | (self.upper >= domain.most) & np.isfinite(domain.most)
        found = found.at_most(Decoration.CONTINUOUS if domain.closed else Decoration.NOTHING, ends)
        return found.at_most(Decoration.NOTHING, low | high).unknown_where(nowhere)

    def within(self, least: float, most: float) -> Interval:
        """The part in [least, most] of an enclosure of a number that is known to lie there."""
        return Interval(np.maximum(self.lower, least), np.minimum(self.upper, most), self.decoration)

    def larger(self, other: Interval) -> Interval:
        """max(x, y)."""
        low, high = np.maximum(self.lower, other.lower), np.maximum(self.upper, other.upper)
        if self.decoration is SURE and other.decoration is SURE:
            both = SURE
        else:  # The one that is known to be larger counts, if the other is defined.
            both = least(self.decoration, other.decoration)
            one, two = self.lower >= other.upper, self.upper <= other.lower
            both = np.where(one & (both > 0), self.decoration, np.where(two & (both > 0), other.decoration, both))
        open_ = (self.lower < other.upper) & (self.upper > other.lower)
        return Interval(low, high, lowered(both, open_, Decoration.LIPSCHITZ))

    def sign(self) -> Interval:
        found = Interval(np.sign(self.lower), np.sign(self.upper), self.decoration)
        return found.at_most(Decoration.DEFINED, found.lower < found.upper)

    def sqrt(self) -> Interval:
        return self.ascending(np.sqrt, NONNEGATIVE, 1).within(0, np.inf)

    def exp(self) -> Interval:
        return self.monotone(np.exp).within(0, np.inf)

    def log(self) -> Interval:
        return self.ascending(np.log, POSITIVE)

    def raised(self, exponent: Interval) -> Interval:
        """x^p for x ≥ 0 and one real number p enclosed by an interval, 0^p = 0 for p > 0; at 0 as smooth as p says."""
        p, positive = exponent, bool(exponent.lower > 0)
        low, high = self.lower, self.upper
        base = Interval(np.maximum(low, 0.0), np.maximum(high, 0.0))
        with np.errstate(all="ignore"):
            ends = [np.power(x, q) for x in (base.lower, base.upper) for q in ((p.lower,) if p.lower == p.upper else (p.lower, p.upper))]
        found = outward(reduce(np.minimum, ends), reduce(np.maximum, ends), LIBRARY_ULPS).within(0, np.inf)
        found = found.decorated(least(self.decoration, p.decoration))
        level = Decoration.NOTHING if not positive else Decoration(int(np.clip(np.floor(p.lower), 0, 2)) + 2)
        return found.at_most(level, low <= 0).at_most(Decoration.NOTHING, low < 0).unknown_where((high < 0) | (high <= 0) & (not positive))

    def angle(self, x: Interval) -> Interval:
        """atan2(self, x); [−π, π] for arguments that reach the origin, where it is not defined, or the negative x-axis from below."""
        y, half, whole = self, HALF_PI, HALF_PI + HALF_PI
        right = (y / x).monotone(np.arctan)
        steep = (x / y).monotone(np.arctan)
        result = Interval(-whole.upper, whole.upper, least(y.decoration, x.decoration))
        cases = [
            (x.upper < 0) & (y.upper < 0), (x.upper < 0) & (y.lower >= 0), x.lower > 0, y.lower > 0, y.upper < 0,
        ]  # fmt: skip
        values = [right - whole, right + whole, right, half - steep, -half - steep]
        for case, value in zip(cases, values, strict=True):
            result = Interval(np.where(case, value.lower, result.lower), np.where(case, value.upper, result.upper), result.decoration)
        level, across = y.contains_zero(), (y.lower < 0) & (y.upper >= 0) & (x.lower < 0)
        return result.at_most(Decoration.DEFINED, across).at_most(Decoration.NOTHING, level & x.contains_zero())

    def sin(self) -> Interval:
        return self._wave(np.sin, np.pi / 2)

    def cos(self) -> Interval:
        return self._wave(np.cos, 0.0)

    def _wave(self, function: Callable[[Array], Array], top: float) -> Interval:
        """The range of a sine with maxima at top + 2πk and minima halfway between."""
        size = self.magnitude
        with np.errstate(invalid="ignore"):
            left, right = function(self.lower), function(self.upper)
            ends = outward(np.minimum(left, right), np.maximum(left, right), LIBRARY_ULPS)
            low = np.where(self._meets(top + np.pi, 2 * np.pi, size), -1.0, np.maximum(ends.lower, -1.0))
            high = np.where(self._meets(top, 2 * np.pi, size), 1.0, np.minimum(ends.upper, 1.0))
        if every(size <= REDUCIBLE) and every(low <= high):
            return Interval(low, high, self.decoration)
        wide = ~(size <= REDUCIBLE) | np.isnan(low) | np.isnan(high)
        return Interval(np.where(wide, -1.0, low), np.where(wide, 1.0, high), self.decoration)

    def _meets(self, first: float, period: float, size: Array) -> Flags:
        """Whether some first + k·period may lie within, where numbers are of this size; true in doubt."""
        slack = PHASE * (1 + size)
        return np.floor((self.upper + slack - first) / period) >= np.ceil((self.lower - slack - first) / period)

    def tan(self) -> Interval:
        with np.errstate(invalid="ignore"):
            pole = self._meets(np.pi / 2, np.pi, self.magnitude) | (self.magnitude > REDUCIBLE)
        return self.monotone(np.tan).unknown_where(pole)


def some(flags: Flags) -> bool:
    """Whether any is true: of few flags in a sixth of the time of their own method."""
    return bool(np.count_nonzero(flags))


def every(flags: Flags) -> bool:
    """Whether all are true; with `low <= high` that nothing is NaN."""
    return bool(np.count_nonzero(flags) == flags.size)


def _ends(values: Sequence[Array]) -> tuple[Array, Array]:
    """The least and the largest of four numbers; NaN where one is."""
    a, b, c, d = values
    return np.minimum(np.minimum(a, b), np.minimum(c, d)), np.maximum(np.maximum(a, b), np.maximum(c, d))


def outward(lower: Array, upper: Array, ulps: int = 1) -> Interval:
    """[lower, upper] widened by `ulps` floats on both sides; unknown where a bound is NaN."""
    if ulps == 1:
        return Interval(np.nextafter(lower, -np.inf), np.nextafter(upper, np.inf)).unknown_where(NOWHERE)
    with np.errstate(invalid="ignore"):
        low, high = lower - ulps * np.spacing(np.abs(lower)), upper + ulps * np.spacing(np.abs(upper))
    if not every(np.isfinite(lower) & np.isfinite(upper)):
        low, high = np.where(np.isinf(lower), lower, low), np.where(np.isinf(upper), upper, high)
        # An infinite value of a library function on the wrong side is an overflow: the largest float is still below it.
        low = np.where(lower == np.inf, np.finfo(float).max, low)
        high = np.where(upper == -np.inf, -np.finfo(float).max, high)
    return Interval(low, high).unknown_where(NOWHERE)


def _power(size: Array, n: int, towards: float) -> Array:
    """sizeⁿ for size ≥ 0, rounded `towards` at every step."""
    if n == 0:
        return np.ones_like(size)
    result, base = None, size
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        while n:
            if n % 2:
                result = base if result is None else np.maximum(np.nextafter(result * base, towards), 0)
            n //= 2
            if n:
                square = base * base
                short = base == base.astype(np.float32)
                rounded = np.maximum(np.nextafter(square, towards), 0)
                # Squares of 24 bits are exact: 1 − x² is not negative on [−1, 1].
                base = np.where(short & ((square > SHORT) | (base == 0)), square, rounded) if some(short) else rounded
    assert result is not None
    return result


def _signed_power(x: Array, n: int, towards: float) -> Array:
    """xⁿ for odd n, rounded `towards`."""
    up = x >= 0
    if every(up):
        return _power(np.abs(x), n, towards)
    return np.where(up, _power(np.abs(x), n, towards), -_power(np.abs(x), n, -towards))


HALF_PI = outward(np.array(np.pi / 2), np.array(np.pi / 2))
