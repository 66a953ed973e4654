"""Numbers with first and pure second derivatives, over which programs run; see `curvature`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from ..expressions.tree import Lookup
from .algebra import Solver
from .arithmetic import Flags, Interval
from .derivatives import ZERO, Derivatives
from .lookups import derivative, range_of
from .sides import Partials, Sides, picked

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

    def roots(self, solver: Solver, u: Sequence[Jet]) -> list[Jet]:
        """w′ and w″ of Dg·x′ = 0 and D²g(x′, x′) + Dg·x″ = 0, x = c + T·u + N·w."""
        found = solver.solve([part.value for part in u])
        keys = sorted({k for part in u for k in part.first})
        first: list[Partials] = [{} for _ in found.values]
        for k in keys:
            for l, slopes in enumerate(found.slopes):
                first[l][k] = reduce(
                    Interval.__add__, [slope * part.first[k] for slope, part in zip(slopes, u, strict=True) if k in part.first]
                )
        bent = [Jet(value, {}, {}) for value in found.values]
        # What moves along straight lines in w bends g by D²g(x′, x′) + Dg·T·u″, and w″ takes that back.
        straight = solver.point(u, [Jet(value, partials, {}) for value, partials in zip(found.values, first, strict=True)], self)
        values = solver.run(self, straight)
        second = {k: found.linear([-value.second.get(k, ZERO) for value in values]) for k in sorted({k for v in values for k in v.second})}
        return [Jet(b.value, first[l], {k: w[l] for k, w in second.items()}) for l, b in enumerate(bent)]
