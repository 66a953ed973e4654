"""Which points of a chart another chart holds, as formulas: v = ψ(u) with φ_j⁻¹(ψ(u)) = φ_p⁻¹(u).

Chart j holds the point φ_p⁻¹(u) if there is a v in its box with φ_j⁻¹(v) = φ_p⁻¹(u). A `Transition` is a formula ψ for such a v, found
by writing φ_j∘φ_p⁻¹ in lowest terms (`exact`), with a proof by exact arithmetic that φ_j⁻¹∘ψ − φ_p⁻¹ is 0 wherever both are defined and
the conditions of the transition hold. That is all that membership needs: nothing is assumed of φ_j, which only was where ψ came from,
nor of neighbourhoods. Two charts may overlap in several parts with a formula each (two arcs of a circle, a Möbius band), so formulas are
looked for at points: one for the part that a point is in, and more as points turn up that those known do not take into chart j.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import cast

import mpmath
import numpy as np
from numpy.typing import NDArray

from ..expressions.box import Array, Box
from ..expressions.later import sympy
from ..expressions.maps import ExpressionMap
from .chart import INVERSE_TOLERANCE, Chart
from .exact import Functions, Quotient, Unsettled, substituted, with_finer_angles

MOST_FORMULAS = 16
"""Parts of one overlap that are looked at."""
DIGITS = 40
LONGEST = 4000
"""Operations of a formula that is of use."""
REMEMBERED = 256
"""Formulas of as many points: whoever proves something of another network on the same charts asks for the same ones again."""


@dataclass(frozen=True, eq=False)
class Transition:
    """ψ, where all its conditions hold: strict ones > 0, the others ≥ 0."""

    coordinates: ExpressionMap
    """u ↦ v."""
    conditions: ExpressionMap | None
    """u ↦ numbers; None if there are no conditions."""
    strict: tuple[bool, ...]
    kept: tuple[tuple[bool | None, bool | None], ...]
    """Per coordinate of chart j, whether v_k is nowhere on the box of chart p below its lower bound, or above its upper one, by exact
    arithmetic; None where that is not known: it is of affine functions with rational coefficients."""


@dataclass(eq=False)
class Overlap:
    """What is known of how chart p lies in chart j."""

    chart: Chart
    """p."""
    other: Chart
    """j."""
    found: list[Transition] = field(default_factory=list)
    failed: bool = False
    """Whether at some point no formula was found, or too many are needed."""

    def at(self, points: Array) -> list[Transition]:
        """The formulas known so far, and one for each part of the overlap that the points (n, d) of chart p show to be missing."""
        left = points
        for transition in self.found:
            left = left[~self._takes(transition, left)]
        while len(left) and not self.failed:
            new = transition_at(self.chart, self.other, left[0])
            self.failed = new is None or len(self.found) >= MOST_FORMULAS or not self._takes(new, left[:1]).all()
            if new is not None and not self.failed:
                self.found.append(new)
                left = left[~self._takes(new, left)]
        return self.found

    def _takes(self, transition: Transition, points: Array) -> NDArray[np.bool_]:
        """Whether the conditions hold at points and the formula takes them into the box of chart j, in floats."""
        domain = self.other.domain
        slack = INVERSE_TOLERANCE * domain.widths
        v = transition.coordinates(points)
        with np.errstate(invalid="ignore"):
            inside = np.all((v >= domain.lower - slack) & (v <= domain.upper + slack), axis=1)
            return inside if transition.conditions is None else inside & np.all(transition.conditions(points) >= 0, axis=1)


class Overlaps:
    """Those of all pairs of charts."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], Overlap] = {}

    def of(self, chart: Chart, other: Chart) -> Overlap:
        key = id(chart), id(other)
        if key not in self._known:
            self._known[key] = Overlap(chart, other)
        return self._known[key]


def transition_at(chart: Chart, other: Chart, point: Array) -> Transition | None:
    """The formula around one point of the overlap; None if exact arithmetic does not settle it. `other` needs a forward map."""
    return None if other.forward is None else _transition_at(chart, other, tuple(point.tolist()))


@lru_cache(maxsize=REMEMBERED)
def _transition_at(chart: Chart, other: Chart, point: tuple[float, ...]) -> Transition | None:

    def attempt(angles: Sequence[sympy.Expr]) -> Transition:
        functions = Functions(chart.inverse.variables, np.array(point), angles)
        y = substituted(functions, chart.inverse, list(functions.inputs.values()))
        functions.any_turn = True
        v = substituted(functions, cast(ExpressionMap, other.forward), y)
        functions.any_turn = False
        back = substituted(functions, other.inverse, v)
        if any(functions.minus(a, b).top for a, b in zip(back, y, strict=True)):
            raise Unsettled("not an identity")
        return _transition(functions, v, chart.domain, other.domain)

    return _attempted(attempt)


def identity_at(chart: Chart, point: Array) -> Transition | None:
    """Where φ(φ⁻¹(u)) = u holds by exact arithmetic, around a point; None if that does not settle it."""
    return None if chart.forward is None else _identity_at(chart, tuple(point.tolist()))


@lru_cache(maxsize=REMEMBERED)
def _identity_at(chart: Chart, point: tuple[float, ...]) -> Transition | None:

    def attempt(angles: Sequence[sympy.Expr]) -> Transition:
        functions = Functions(chart.inverse.variables, np.array(point), angles)
        u = list(functions.inputs.values())
        v = substituted(functions, cast(ExpressionMap, chart.forward), substituted(functions, chart.inverse, u))
        if any(functions.minus(a, b).top for a, b in zip(v, u, strict=True)):
            raise Unsettled("not the identity")
        return _transition(functions, u, chart.domain, chart.domain)

    return _attempted(attempt)


def _attempted(attempt: Callable[[Sequence[sympy.Expr]], Transition]) -> Transition | None:
    try:
        return with_finer_angles(attempt)
    except (Unsettled, RecursionError):
        return None


def _transition(functions: Functions, v: list[Quotient], source: Box, target: Box) -> Transition:
    u, found = functions.variables, list(dict.fromkeys(functions.conditions))
    formulas = tuple(functions.expression(part) for part in v)
    if sum(map(sympy.count_ops, (*formulas, *(c.expression for c in found)))) > LONGEST:
        raise Unsettled("the formulas grow too large")
    conditions = ExpressionMap(u, tuple(c.expression for c in found)) if found else None
    kept = []
    for part, low, high in zip(v, target.lower, target.upper, strict=True):
        least, most = _range(functions, part, source)
        kept.append((None if least is None else least >= Fraction(low), None if most is None else most <= Fraction(high)))
    return Transition(ExpressionMap(u, formulas), conditions, tuple(c.strict for c in found), tuple(kept))


def _range(functions: Functions, a: Quotient, box: Box) -> tuple[Fraction, Fraction] | tuple[None, None]:
    """Of an affine function with rational coefficients over a box, exactly."""
    affine = functions.affine(a)
    if affine is None:
        return None, None
    least = most = affine[-1]
    for slope, low, high in zip(affine[:-1], box.lower, box.upper, strict=True):
        ends = sorted([slope * Fraction(low), slope * Fraction(high)])
        least, most = least + ends[0], most + ends[1]
    return least, most


def residual(chart: Chart, other: Chart, point: Array) -> float:
    """|φ_j⁻¹(φ_j(y)) − y|/(1 + |y|) at y = φ_p⁻¹(point), computed with 40 digits; ∞ where it cannot be. `other` needs a forward map."""
    assert other.forward is not None
    values = [sympy.Rational(float(x)) for x in point]
    with mpmath.workdps(DIGITS):
        try:
            y = _at(chart.inverse, [mpmath.mpf(int(x.p)) / int(x.q) for x in values])
            back = _at(other.inverse, _at(other.forward, y))
            return float(max(abs(a - b) for a, b in zip(back, y, strict=True)) / (1 + max(map(abs, y))))
        except (TypeError, ValueError, ZeroDivisionError, NameError):
            return math.inf


def _at(function: ExpressionMap, point: Sequence[mpmath.mpf]) -> list[mpmath.mpf]:
    """The value at a point, with many digits."""
    return list(sympy.lambdify(function.variables, list(function.expressions), modules="mpmath")(*point))
