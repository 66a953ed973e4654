"""Numbers with gradients, over which programs run; see `gradients`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from ..expressions.tree import Lookup
from .algebra import Solver
from .arithmetic import Flags, Interval
from .derivatives import ONE, Derivatives
from .lookups import derivative, range_of
from .sides import Partials, Sides, picked


@dataclass(frozen=True, eq=False)
class Slope:
    """A value and its partial derivatives."""

    value: Interval
    partials: Partials

    def scaled(self, value: Interval, factor: Interval) -> Slope:
        """Of a function of this: its value and its derivative here."""
        return Slope(value, {k: factor * p for k, p in self.partials.items()})


def _combined(value: Interval, *parts: tuple[Slope, Interval]) -> Slope:
    """value, with Σ factor·∇part as gradient."""
    partials: Partials = {}
    for part, factor in parts:
        for k, p in part.partials.items():
            term = factor * p
            partials[k] = partials[k] + term if k in partials else term
    return Slope(value, partials)


class GradientAlgebra(Sides[Slope]):
    """Expressions over values with gradients."""

    def number(self, value: Interval) -> Slope:
        return Slope(value, {})

    def negative(self, a: Slope) -> Slope:
        return Slope(-a.value, {k: -p for k, p in a.partials.items()})

    def valued(self, a: Slope, value: Interval) -> Slope:
        return Slope(value, a.partials)

    def total(self, parts: Sequence[Slope]) -> Slope:
        return _combined(reduce(Interval.__add__, (part.value for part in parts)), *((part, ONE) for part in parts))

    def multiply(self, a: Slope, b: Slope) -> Slope:
        return _combined(a.value * b.value, (a, b.value), (b, a.value))

    def through(self, a: Slope, found: Derivatives) -> Slope:
        return a.scaled(found[0], found[1])

    def lookup(self, node: Lookup, parts: Sequence[Slope]) -> Slope:
        sides = [part.value for part in parts]
        return _combined(range_of(node, sides), *((part, derivative(node, sides, [k])) for k, part in enumerate(parts) if part.partials))

    def angle(self, y: Slope, x: Slope) -> Slope:
        square = (x.value.power(2) + y.value.power(2)).inverse()
        return _combined(y.value.angle(x.value), (y, x.value * square), (x, -(y.value * square)))

    def absolute(self, a: Slope) -> Slope:
        return a.scaled(a.value.absolute(), a.value.sign())

    def sign(self, a: Slope) -> Slope:
        return Slope(a.value.sign(), {})

    def picked(self, value: Interval, first: Flags, second: Flags, a: Slope, b: Slope) -> Slope:
        return Slope(value, picked(first, second, a.partials, b.partials, {*a.partials, *b.partials}))

    def roots(self, solver: Solver, u: Sequence[Slope]) -> list[Slope]:
        """∇w_l = Σ_j ∂_j w_l·∇u_j."""
        found = solver.solve([part.value for part in u])
        return [_combined(value, *zip(u, slopes, strict=True)) for value, slopes in zip(found.values, found.slopes, strict=True)]
