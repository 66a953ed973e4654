"""Constants of expressions, enclosed."""

from __future__ import annotations

import numpy as np
import sympy

from .arithmetic import Interval, outward
from .derivatives import Exponent

DIGITS = 40
"""Decimal digits to which irrational constants are computed before they are rounded outwards."""


def enclose_number(value: sympy.Expr) -> Interval:
    """A real constant: exact if a float holds it, else between two neighbouring floats."""
    nearest = float(value) if value.is_Number else float(value.evalf(DIGITS))
    if (value.is_Float or value.is_Rational) and np.isfinite(nearest) and sympy.Rational(value) == sympy.Rational(nearest):
        return Interval.of(nearest)
    return outward(np.array(nearest), np.array(nearest))


def enclose_exponent(value: sympy.Rational) -> Exponent:
    return Exponent(tuple(enclose_number(value - k) for k in range(4)))
