"""Overlapping pieces of an interval and of a circle, and the coordinate names that all library manifolds share."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from ...expressions.later import sympy
from ...expressions.maps import real_symbols

PI = Fraction("3.14159265358979323846264338327950288419716939937510")
"""π to 50 digits, which say which float is the nearest."""
OVERLAP = Fraction(1, 3)
"""Each piece reaches this share of a cell into its neighbours. Where two pieces meet, both are then 0.6 of their
half-width from their centres (an end piece: 3/4 of its width from the boundary), and no point lies in three pieces."""


def intrinsic_names(dimension: int) -> tuple[str, ...]:
    """u1, …, ud."""
    return tuple(f"u{i + 1}" for i in range(dimension))


def ambient_names(dimension: int) -> tuple[str, ...]:
    """x1, …, xk."""
    return tuple(f"x{i + 1}" for i in range(dimension))


def intrinsic_symbols(dimension: int) -> tuple[sympy.Symbol, ...]:
    """The symbols of these names."""
    return tuple(real_symbols(intrinsic_names(dimension)).values())


def ambient_symbols(dimension: int) -> tuple[sympy.Symbol, ...]:
    """The symbols of these names."""
    return tuple(real_symbols(ambient_names(dimension)).values())


def rational(value: Fraction) -> sympy.Rational:
    """The fraction as sympy has it."""
    return sympy.Rational(value.numerator, value.denominator)


@dataclass(frozen=True)
class Stretch:
    """One overlapping piece [lower, upper] of an interval, and which of its ends are ends of the interval."""

    lower: float
    upper: float
    boundary: tuple[bool, bool]


def stretches(lower: float, upper: float, count: int) -> tuple[Stretch, ...]:
    """`count` pieces of equal cells of [lower, upper], each reaching OVERLAP of a cell into its neighbours."""
    cell = (upper - lower) / count
    reach = float(OVERLAP) * cell
    return tuple(
        Stretch(
            lower if i == 0 else lower + i * cell - reach,
            upper if i == count - 1 else lower + (i + 1) * cell + reach,
            (i == 0, i == count - 1),
        )
        for i in range(count)
    )


@dataclass(frozen=True)
class Arc:
    """An arc of angles, by its centre and by how far it reaches to either side; both exactly, in units of π."""

    middle: Fraction
    reach: Fraction

    @property
    def center(self) -> sympy.Expr:
        """The angle of its centre."""
        return rational(self.middle) * sympy.pi

    @property
    def half_width(self) -> float:
        """The float nearest to the angle from its centre to its ends."""
        return float(self.reach * PI)


def arcs(count: int) -> tuple[Arc, ...]:
    """`count` ≥ 2 arcs, evenly spaced, that cover the circle. Each is shorter than a full turn (5π/6 at most to each side)."""
    return tuple(Arc(Fraction(2 * i, count), (1 + 2 * OVERLAP) / count) for i in range(count))
