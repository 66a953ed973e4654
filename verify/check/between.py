"""Numbers between fractions, and activations of them, to as many digits as are asked for."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import NamedTuple

from ...expressions.precise import Enclosed, enclose_at
from ...expressions.tree import Call, Name
from .nets import GELU, GELU_TANH, IDENTITY, RELU, RELU2, SILU

BITS, MOST = 320, 4096
"""Binary digits of fractions that are rounded outward, and how long fractions may be before they are."""


class Between(NamedTuple):
    """A number in [low, high]."""

    low: Fraction
    high: Fraction

    def plus(self, other: Between) -> Between:
        return Between(self.low + other.low, self.high + other.high)

    def times(self, other: Between) -> Between:
        ends = [a * b for a in set(self) for b in set(other)]
        return Between(min(ends), max(ends))

    def shorter(self) -> Between:
        """The same, or a little wider."""
        if max(self.low.denominator.bit_length(), self.high.denominator.bit_length()) <= MOST:
            return self
        scale = 1 << BITS
        low, high = self.low.numerator * scale // self.low.denominator, -(-self.high.numerator * scale // self.high.denominator)
        return Between(Fraction(low, scale), Fraction(high, scale))


SLOPE = Fraction(6, 5)
"""More than |act′| of smooth activations."""
FAR = {GELU: Fraction(40), GELU_TANH: Fraction(40), SILU: Fraction(1000)}
"""Beyond, act(z) is within 2^-1000 of max(z, 0)."""


def activated(kind: int, z: Between) -> Between:
    """act of all of them. Smooth ones through their middle, as none of them is steeper than `SLOPE`."""
    if kind == IDENTITY:
        return z
    if kind in (RELU, RELU2):
        low, high = max(z.low, Fraction(0)), max(z.high, Fraction(0))
        return Between(low, high) if kind == RELU else Between(low * low, high * high).shorter()
    if z.low > FAR[kind] or z.high < -FAR[kind]:
        low, high = max(z.low, Fraction(0)), max(z.high, Fraction(0))
        return Between(low - Fraction(1, 1 << 1000), high + Fraction(1, 1 << 1000))
    middle = Fraction(((z.low + z.high) * (1 << BITS)) // 2, 1 << BITS)
    away = SLOPE * max(z.high - middle, middle - z.low)
    share = _logistic(Between(middle, middle)) if kind == SILU else _normal(middle) if kind == GELU else _logistic(_cubic(middle))
    found = Between(middle, middle).times(share)
    return Between(found.low - away, found.high + away).shorter()


def _value(name: str, x: Fraction) -> Between:
    found = enclose_at(Call(name, (Name("x"),)), {"x": x})
    assert isinstance(found, Enclosed)  # of functions that are defined everywhere
    return Between(found.lower, found.upper)


def _logistic(v: Between) -> Between:
    """1/(1 + e^{−v})."""
    low, high = (_value("exp", -end) for end in v)
    return Between(1 / (1 + low.high), 1 / (1 + high.low)).shorter()


def _normal(x: Fraction) -> Between:
    """Φ(x) = 1/2 ± φ(x)·Σ_k |x|^{2k+1}/(1·3·…·(2k + 1)), whose terms are below half of the one before from k = x² on.

    Terms and sums are counted in units of 2^-BITS.
    """
    away, square = abs(x), x * x
    term, total = [_down(away), _up(away)], [0, 0]
    factors, k = (_down(square), _up(square)), 0
    while k <= square or term[1] > 1:
        total = [a + b for a, b in zip(total, term, strict=True)]
        k += 1
        below = (2 * k + 1) << BITS
        term = [term[0] * factors[0] // below, -(-term[1] * factors[1] // below)]
    sums = Between(Fraction(total[0], 1 << BITS), Fraction(total[1] + 2 * term[1], 1 << BITS))
    half = sums.times(_value("exp", -square / 2)).times(_root()).shorter()
    sign = 1 if x >= 0 else -1
    ends = [Fraction(1, 2) + sign * end for end in half]
    return Between(max(min(ends), Fraction(0)), min(max(ends), Fraction(1)))


def _down(x: Fraction) -> int:
    return (x.numerator << BITS) // x.denominator


def _up(x: Fraction) -> int:
    return -((-x.numerator << BITS) // x.denominator)


@cache
def _root() -> Between:
    """1/√(2π) = √(1/(8·atan 1))."""
    quarter = _value("atan", Fraction(1))
    return Between(_value("sqrt", 1 / (8 * quarter.high)).low, _value("sqrt", 1 / (8 * quarter.low)).high)


def _cubic(x: Fraction) -> Between:
    """2·√(2/π)·(x + 0.044715·x³) = 4/√(2π)·(…)."""
    inner = x + Fraction(44715, 10**6) * x**3
    return _root().times(Between(4 * inner, 4 * inner)).shorter()
