"""Overlapping pieces of an interval and of a circle, and the coordinate names that all library manifolds share."""

from __future__ import annotations

from dataclasses import dataclass

import sympy

OVERLAP = sympy.Rational(1, 3)
"""Each piece reaches this share of a cell into its neighbours. Where two pieces meet, both are then 0.6 of their
half-width from their centres (an end piece: 3/4 of its width from the boundary), and no point lies in three pieces."""


def intrinsic_symbols(dimension: int) -> tuple[sympy.Symbol, ...]:
    """u1, …, ud."""
    return tuple(sympy.Symbol(f"u{i + 1}", real=True) for i in range(dimension))


def ambient_symbols(dimension: int) -> tuple[sympy.Symbol, ...]:
    """x1, …, xk."""
    return tuple(sympy.Symbol(f"x{i + 1}", real=True) for i in range(dimension))


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
    """The arc of angles center ± half_width; both exact multiples of π."""

    center: sympy.Expr
    half_width: sympy.Expr


def arcs(count: int) -> tuple[Arc, ...]:
    """`count` ≥ 2 arcs, evenly spaced, that cover the circle. Each is shorter than a full turn (5π/6 at most to each side)."""
    half_width = sympy.pi / count * (1 + 2 * OVERLAP)
    return tuple(Arc(2 * sympy.pi * sympy.Rational(i, count), half_width) for i in range(count))
