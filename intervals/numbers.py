"""Constants of expressions, enclosed."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from ..expressions.later import sympy
from .arithmetic import Interval, outward
from .derivatives import HIGHEST, Exponent

DIGITS = 40
"""Decimal digits to which irrational constants are computed before they are rounded outwards."""


def enclose_number(value: sympy.Expr) -> Interval:
    """A real constant of sympy: exact if a float holds it, else between two neighbouring floats."""
    if value.is_Float or value.is_Rational:
        exact = sympy.Rational(value)
        return enclose_fraction(Fraction(int(exact.p), int(exact.q)))
    nearest = float(value.evalf(DIGITS))
    return outward(np.array(nearest), np.array(nearest))


def enclose_fraction(value: Fraction) -> Interval:
    """Exact if a float holds it, else between two neighbouring floats."""
    try:
        nearest = float(value)
    except OverflowError:
        nearest = np.inf if value > 0 else -np.inf
    if np.isfinite(nearest) and Fraction(nearest) == value:
        return Interval.of(nearest)
    if np.isinf(nearest):
        largest = np.finfo(float).max
        return Interval.of(*((largest, np.inf) if value > 0 else (-np.inf, -largest)))
    return outward(np.array(nearest), np.array(nearest))


CONSTANTS = {"pi": outward(np.array(np.pi), np.array(np.pi)), "E": outward(np.array(np.e), np.array(np.e))}
"""Both are the nearest floats."""


def exponent_of(value: Fraction) -> Exponent:
    return Exponent(tuple(enclose_fraction(value - k) for k in range(HIGHEST + 1)))


def exponent_between(value: Interval) -> Exponent:
    """A constant that is only known to lie in an interval."""
    return Exponent(tuple(value - Interval.of(float(k)) for k in range(HIGHEST + 1)))
