"""Values, gradients and pure second derivatives of expressions enclosed over boxes at once: forward differentiation, twice, in intervals.

First derivatives are those of Lipschitz functions: where |·|, max or min may switch, the hull of both sides. They are unknown where the
function is not known to be Lipschitz (sign, Piecewise, √ at 0), and second derivatives where it is not known to be C². Mixed derivatives
are not computed: the error of multilinear interpolation on a box depends on the pure ones only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from ..expressions import ExpressionMap
from ..expressions.tree import Lookup
from .arithmetic import Flags, Interval
from .decoration import Decoration
from .derivatives import Derivatives
from .lookups import derivative, range_of
from .natural import known
from .program import Program
from .sides import Partials, Sides, picked, settled

TWO = Interval.of(2.0)


@dataclass(frozen=True, eq=False)
class Jet:
    """A value, its partial derivatives ∂_k and ∂_kk; an absent one is 0."""

    value: Interval
    first: Partials
    second: Partials


def _sum(*parts: Partials) -> Partials:
    keys = sorted({k for part in parts for k in part})
    return {k: reduce(Interval.__add__, [part[k] for part in parts if k in part]) for k in keys}


def _scaled(partials: Partials, factor: Interval) -> Partials:
    return {k: factor * p for k, p in partials.items()}


def _products(a: Partials, b: Partials, factor: Interval) -> Partials:
    """factor·a_k·b_k."""
    return {k: factor * (a[k] * b[k]) for k in sorted(a.keys() & b.keys())}


class CurvatureAlgebra(Sides[Jet]):
    """Expressions over jets."""

    def number(self, value: Interval) -> Jet:
        return Jet(value, {}, {})

    def negative(self, a: Jet) -> Jet:
        return Jet(-a.value, {k: -p for k, p in a.first.items()}, {k: -p for k, p in a.second.items()})

    def valued(self, a: Jet, value: Interval) -> Jet:
        return Jet(value, a.first, a.second)

    def total(self, parts: Sequence[Jet]) -> Jet:
        value = reduce(Interval.__add__, (part.value for part in parts))
        return Jet(value, _sum(*(part.first for part in parts)), _sum(*(part.second for part in parts)))

    def multiply(self, a: Jet, b: Jet) -> Jet:
        second = _sum(_scaled(a.second, b.value), _products(a.first, b.first, TWO), _scaled(b.second, a.value))
        return Jet(a.value * b.value, _sum(_scaled(a.first, b.value), _scaled(b.first, a.value)), second)

    def through(self, a: Jet, found: Derivatives) -> Jet:
        """h(a): h′·a′ and h″·a′² + h′·a″."""
        bent = {k: found[2] * p.power(2) for k, p in a.first.items()}
        return Jet(found[0], _scaled(a.first, found[1]), _sum(bent, _scaled(a.second, found[1])))

    def lookup(self, node: Lookup, parts: Sequence[Jet]) -> Jet:
        """Σ f_i·a_i′ and Σ f_ij·a_i′·a_j′ + Σ f_i·a_i″, the derivatives of the field by the way that nobody searched by."""
        sides = [part.value for part in parts]
        slopes = [derivative(node, sides, [i], again=True) for i in range(len(parts))]
        bends: list[Partials] = []
        for i, a in enumerate(parts):
            for j, b in enumerate(parts[: i + 1]):
                if a.first.keys() & b.first.keys():
                    both = derivative(node, sides, [i, j], again=True)
                    bends.append(_products(a.first, b.first, both if i == j else both.times(2.0)))
        second = _sum(*bends, *(_scaled(a.second, slope) for a, slope in zip(parts, slopes, strict=True)))
        first = _sum(*(_scaled(a.first, slope) for a, slope in zip(parts, slopes, strict=True)))
        return Jet(range_of(node, sides, again=True), first, second)

    def angle(self, y: Jet, x: Jet) -> Jet:
        """θ′ = (x·y′ − y·x′)/r² and θ″ = (x·y″ − y·x″)/r² − 2θ′·(x·x′ + y·y′)/r²."""
        inverse = (x.value.power(2) + y.value.power(2)).inverse()
        along, across = x.value * inverse, y.value * inverse
        first = _sum(_scaled(y.first, along), _scaled(x.first, -across))
        radial = _sum(_scaled(x.first, along), _scaled(y.first, across))
        second = _sum(_scaled(y.second, along), _scaled(x.second, -across), _products(first, radial, -TWO))
        return Jet(y.value.angle(x.value), first, second)

    def absolute(self, a: Jet) -> Jet:
        return self.picked(a.value.absolute(), a.value.lower >= 0, a.value.upper <= 0, a, self.negative(a))

    def sign(self, a: Jet) -> Jet:
        return Jet(a.value.sign(), {}, {})

    def picked(self, value: Interval, first: Flags, second: Flags, a: Jet, b: Jet) -> Jet:
        bends = picked(first, second, a.second, b.second, {*a.second, *b.second})
        return Jet(value, picked(first, second, a.first, b.first, {*a.first, *b.first}), bends)


class CurvatureEnclosure:
    """Components of an `ExpressionMap`, composed with inner functions of box coordinates, over N boxes at once."""

    def __init__(self, function: ExpressionMap) -> None:
        """Raises `NotEnclosed` if an expression holds a function without an enclosure."""
        self._program = Program(function)

    def __call__(self, inputs: Sequence[Jet], coordinates: int) -> list[Jet]:
        """One jet per component, from one per variable; all over boxes of so many coordinates."""
        with np.errstate(all="ignore"):
            parts = self._program(CurvatureAlgebra(), [Jet(known(part.value), part.first, part.second) for part in inputs])
        found = []
        for part in parts:
            first = settled(part.first, part.value, Decoration.LIPSCHITZ, coordinates)
            second = settled(part.second, part.value, Decoration.SMOOTH, coordinates)
            found.append(Jet(part.value.settled(), first, second))
        return found
