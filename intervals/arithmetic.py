"""Intervals of floats that provably contain a real result, over whole arrays at once, with outward rounding.

+ − · / and the square root are correctly rounded by IEEE 754: one float outward makes them rigorous. For the other functions this
trusts numpy's documented accuracy of 4 ulp and goes `LIBRARY_ULPS` outward, which the tests hold against arbitrary precision.
Unknown is [−∞, ∞]: what NaN becomes, and every function where its real domain is left. At a closed end of a domain the value is the
limit, log 0 = −∞. There is no empty interval: no operation here produces one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InvalidArgument
from ..expressions import Array

Flags = NDArray[np.bool_]

LIBRARY_ULPS = 8
"""Twice what numpy promises for float64."""
PHASE = 1e-9
"""Extrema of the sine within this distance of an interval (radians, relative from 1 on) count as inside it: far more than rounding."""
REDUCIBLE = 1e6
"""Beyond this argument the sine is only known to lie in [−1, 1]."""


@dataclass(frozen=True, eq=False)
class Interval:
    """The closed intervals [lower, upper], elementwise; the shapes broadcast against each other."""

    lower: Array
    upper: Array

    @staticmethod
    def of(lower: ArrayLike, upper: ArrayLike | None = None) -> Interval:
        """[lower, upper], or the points `lower`; NaN is unknown. Raises `InvalidArgument` where lower > upper."""
        low = np.asarray(lower, float)
        high = low if upper is None else np.asarray(upper, float)
        if (reversed_ := low > high).any():
            at = int(np.argmax(reversed_))
            low, high = np.broadcast_arrays(low, high)
            raise InvalidArgument(f"the interval [{low.flat[at]:g}, {high.flat[at]:g}] at {at} is empty; swap its ends")
        return Interval(low, high).unknown_where(np.zeros((), bool))

    def __getitem__(self, index: Any) -> Interval:
        return Interval(self.lower[index], self.upper[index])

    def __add__(self, other: Interval) -> Interval:
        with np.errstate(invalid="ignore", over="ignore"):
            low, high = self.lower + other.lower, self.upper + other.upper
        # A sum that rounds to 0 is 0: numbers that are known not to be negative stay so.
        low, high = np.where(low == 0, 0.0, np.nextafter(low, -np.inf)), np.where(high == 0, 0.0, np.nextafter(high, np.inf))
        return Interval(low, high).unknown_where(np.zeros((), bool))

    def __neg__(self) -> Interval:
        return Interval(-self.upper, -self.lower)

    def __sub__(self, other: Interval) -> Interval:
        return self + (-other)

    def __mul__(self, other: Interval) -> Interval:
        with np.errstate(invalid="ignore", over="ignore", under="ignore"):
            products = [a * b for a in (self.lower, self.upper) for b in (other.lower, other.upper)]
        # 0·∞ is 0: an unbounded interval stands for real numbers of any size.
        products = [np.where(np.isnan(p), 0.0, p) for p in products]
        low = np.minimum(np.minimum(products[0], products[1]), np.minimum(products[2], products[3]))
        high = np.maximum(np.maximum(products[0], products[1]), np.maximum(products[2], products[3]))
        # What rounds to 0 may have either sign, but that of a product is known from its factors.
        up, down = self.lower >= 0, self.upper <= 0
        same = up & (other.lower >= 0) | down & (other.upper <= 0)
        opposite = up & (other.upper <= 0) | down & (other.lower >= 0)
        found = outward(low, high)
        return Interval(
            np.where(same, np.maximum(found.lower, 0), found.lower), np.where(opposite, np.minimum(found.upper, 0), found.upper)
        )

    def __truediv__(self, other: Interval) -> Interval:
        return self * other.inverse()

    def times(self, factor: float) -> Interval:
        return self * Interval.of(factor)

    def inverse(self) -> Interval:
        """1/x; unbounded on one side where an end is 0, on both where 0 lies inside."""
        with np.errstate(divide="ignore", over="ignore"):
            low = np.where(self.upper == 0, -np.inf, 1 / np.where(self.upper == 0, 1.0, self.upper))
            high = np.where(self.lower == 0, np.inf, 1 / np.where(self.lower == 0, 1.0, self.lower))
        return outward(low, high).unknown_where((self.lower < 0) & (self.upper > 0) | (self.lower == 0) & (self.upper == 0))

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
        """[−∞, ∞] where the condition holds or a bound is NaN."""
        where = where | np.isnan(self.lower) | np.isnan(self.upper)
        if not where.any():
            return self
        return Interval(np.where(where, -np.inf, self.lower), np.where(where, np.inf, self.upper))

    def absolute(self) -> Interval:
        low = np.maximum(np.maximum(self.lower, -self.upper), 0.0)
        return Interval(low, np.maximum(-self.lower, self.upper))

    def hull(self, other: Interval) -> Interval:
        return Interval(np.minimum(self.lower, other.lower), np.maximum(self.upper, other.upper))

    def meet(self, other: Interval) -> Interval:
        """The intersection of two enclosures of the same number; unknown where they are disjoint, as then there is no such number."""
        low, high = np.maximum(self.lower, other.lower), np.minimum(self.upper, other.upper)
        return Interval(low, high).unknown_where(low > high)

    def power(self, n: int) -> Interval:
        """xⁿ for any integer n, by squaring and multiplying."""
        if n < 0:
            return self.power(-n).inverse()
        if n % 2 == 0:
            size = self.absolute()
            return Interval(_power(size.lower, n, -np.inf), _power(size.upper, n, np.inf))
        return Interval(_signed_power(self.lower, n, -np.inf), _signed_power(self.upper, n, np.inf))

    def monotone(self, function: Callable[[Array], Array], ulps: int = LIBRARY_ULPS) -> Interval:
        """The image under an ascending function of numpy; unknown where an end is outside its domain."""
        with np.errstate(all="ignore"):
            return outward(function(self.lower), function(self.upper), ulps)

    def within(self, least: float, most: float) -> Interval:
        """The part in [least, most] of an enclosure of a number that is known to lie there."""
        return Interval(np.maximum(self.lower, least), np.minimum(self.upper, most))

    def larger(self, other: Interval) -> Interval:
        """max(x, y)."""
        return Interval(np.maximum(self.lower, other.lower), np.maximum(self.upper, other.upper))

    def sign(self) -> Interval:
        return Interval(np.sign(self.lower), np.sign(self.upper))

    def sqrt(self) -> Interval:
        return self.monotone(np.sqrt, 1).within(0, np.inf).unknown_where(self.lower < 0)

    def exp(self) -> Interval:
        return self.monotone(np.exp).within(0, np.inf)

    def log(self) -> Interval:
        return self.monotone(np.log).unknown_where(self.lower < 0)

    def angle(self, x: Interval) -> Interval:
        """atan2(self, x); [−π, π] for arguments that reach the origin, or the negative x-axis from below."""
        y, half, whole = self, HALF_PI, HALF_PI + HALF_PI
        right = (y / x).monotone(np.arctan)
        steep = (x / y).monotone(np.arctan)
        result = Interval(-whole.upper, whole.upper)
        cases = [
            (x.upper < 0) & (y.upper < 0), (x.upper < 0) & (y.lower >= 0), x.lower > 0, y.lower > 0, y.upper < 0,
        ]  # fmt: skip
        values = [right - whole, right + whole, right, half - steep, -half - steep]
        for case, value in zip(cases, values, strict=True):
            result = Interval(np.where(case, value.lower, result.lower), np.where(case, value.upper, result.upper))
        return result

    def sin(self) -> Interval:
        return self._wave(np.sin, np.pi / 2)

    def cos(self) -> Interval:
        return self._wave(np.cos, 0.0)

    def _wave(self, function: Callable[[Array], Array], top: float) -> Interval:
        """The range of a sine with maxima at top + 2πk and minima halfway between."""
        with np.errstate(invalid="ignore"):
            left, right = function(self.lower), function(self.upper)
            ends = outward(np.minimum(left, right), np.maximum(left, right), LIBRARY_ULPS)
            low = np.where(self._meets(top + np.pi, 2 * np.pi), -1.0, np.maximum(ends.lower, -1.0))
            high = np.where(self._meets(top, 2 * np.pi), 1.0, np.minimum(ends.upper, 1.0))
            wide = np.maximum(np.abs(self.lower), np.abs(self.upper)) > REDUCIBLE
        wide = wide | np.isnan(low) | np.isnan(high)
        return Interval(np.where(wide, -1.0, low), np.where(wide, 1.0, high))

    def _meets(self, first: float, period: float) -> Flags:
        """Whether some first + k·period may lie within; true in doubt."""
        slack = PHASE * (1 + np.maximum(np.abs(self.lower), np.abs(self.upper)))
        return np.floor((self.upper + slack - first) / period) >= np.ceil((self.lower - slack - first) / period)

    def tan(self) -> Interval:
        with np.errstate(invalid="ignore"):
            pole = self._meets(np.pi / 2, np.pi) | (np.maximum(np.abs(self.lower), np.abs(self.upper)) > REDUCIBLE)
        return self.monotone(np.tan).unknown_where(pole)


def outward(lower: Array, upper: Array, ulps: int = 1) -> Interval:
    """[lower, upper] widened by `ulps` floats on both sides; unknown where a bound is NaN."""
    if ulps == 1:
        low, high = np.nextafter(lower, -np.inf), np.nextafter(upper, np.inf)
    else:
        with np.errstate(invalid="ignore"):
            low, high = lower - ulps * np.spacing(np.abs(lower)), upper + ulps * np.spacing(np.abs(upper))
        low, high = np.where(np.isinf(lower), lower, low), np.where(np.isinf(upper), upper, high)
        # An infinite value of a library function on the wrong side is an overflow: the largest float is still below it.
        low = np.where(lower == np.inf, np.finfo(float).max, low)
        high = np.where(upper == -np.inf, -np.finfo(float).max, high)
    return Interval(low, high).unknown_where(np.zeros((), bool))


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
                base = np.maximum(np.nextafter(base * base, towards), 0)
    assert result is not None
    return result


def _signed_power(x: Array, n: int, towards: float) -> Array:
    """xⁿ for odd n, rounded `towards`."""
    return np.where(x >= 0, _power(np.abs(x), n, towards), -_power(np.abs(x), n, -towards))


HALF_PI = outward(np.array(np.pi / 2), np.array(np.pi / 2))
