"""Ends of mpmath's intervals as fractions, and back."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

TINY = 1 << 14
"""Numbers below 2^-TINY are not told apart."""


def outward_end(end: tuple[int, int, int, int], direction: int) -> Fraction:
    """An end of an interval, moved outwards to a number of reasonable length if it is tiny."""
    sign, mantissa, exponent, bits = end
    if exponent + bits < -TINY:
        towards = (-1 if sign else 1) if mantissa else 0
        return Fraction(towards, 2**TINY) if towards == direction else Fraction(0)
    value = Fraction(int(mantissa)) * (Fraction(2) ** int(exponent))
    return -value if sign else value


def ends(a: Any) -> tuple[Fraction, Fraction]:
    """At or outside of both."""
    low, high = a._mpi_
    return outward_end(low, -1), outward_end(high, 1)


def largest(a: Any) -> Fraction:
    """At least |x| for every x of the interval."""
    return max(map(abs, ends(a)))


def middle(a: Any) -> Fraction:
    return sum(ends(a), Fraction(0)) / 2


def interval(iv: Any, a: Fraction) -> Any:
    return iv.mpf(a.numerator) / a.denominator


def between(iv: Any, low: Fraction, high: Fraction) -> Any:
    """Holds both."""
    return iv.mpf([interval(iv, low).a, interval(iv, high).b])
