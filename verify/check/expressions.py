"""The functions of a task as jets: the programs of `intervals`, run over jets beside natural interval extensions.

The interval says what is known of a part all over a box, and of its smoothness. Where a function is smooth on it, the jet of the part goes
through its Taylor series; elsewhere the jet is that of anything in the interval. Where it is open which of two sides is picked, the jet is
the mean of theirs, and half their difference is how far it may be off.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ...atlas import Array, ExpressionMap
from ...expressions.fields import fields_in
from ...expressions.tree import Lookup
from ...intervals import Interval
from ...intervals.algebra import Decision, Solver
from ...intervals.arithmetic import HALF_PI, Flags
from ...intervals.decoration import Decoration
from ...intervals.derivatives import Exponent
from ...intervals.lookups import range_of
from ...intervals.natural import IntervalAlgebra, known
from ...intervals.patch import GROW, TINY
from ...intervals.program import Program
from .implicit import rooted
from .jets import Jets
from .lookups import looked_up
from .nets import Indices
from .polynomials import Space
from .series import SERIES, Series, power, whole_power
from .vanishing import bounded

NATURAL = IntervalAlgebra()
MULTIPLIED = 6
"""Powers up to this are products."""
LOOKED_UP = 512
"""Boxes at a time on which fields are asked: all their derivatives are remembered from one component to the next."""


@dataclass(frozen=True, eq=False)
class Part:
    """A function on boxes: what it lies in where it has a value, and a jet of it."""

    value: Interval
    jets: Jets


class JetAlgebra:
    """Expressions over intervals and jets at once."""

    def __init__(self, space: Space) -> None:
        self.space = space

    def number(self, value: Interval) -> Part:
        return Part(value, Jets.constant(self.space, Interval(value.lower[..., None], value.upper[..., None])))

    def total(self, parts: Sequence[Part]) -> Part:
        jets = parts[0].jets
        for part in parts[1:]:
            jets = jets + part.jets
        return Part(NATURAL.total([part.value for part in parts]), jets)

    def negative(self, a: Part) -> Part:
        return Part(-a.value, -a.jets)

    def multiply(self, a: Part, b: Part) -> Part:
        return Part(a.value * b.value, a.jets * b.jets)

    def power(self, a: Part, exponent: int) -> Part:
        value = NATURAL.power(a.value, exponent)
        if not 2 <= exponent <= MULTIPLIED:
            return self._smooth(a, value, lambda x, n: whole_power(x, exponent, n))
        jets = a.jets
        for bit in bin(exponent)[3:]:
            jets = jets * jets
            if bit == "1":
                jets = jets * a.jets
        return Part(value, jets)

    def real_power(self, a: Part, exponent: Exponent) -> Part:
        p = exponent.shifted[0]
        return self._smooth(a, NATURAL.real_power(a.value, exponent), lambda x, n: power(x, p, x.raised(p), n))

    def square_root(self, a: Part) -> Part:
        return self._smooth(a, a.value.sqrt(), lambda x, n: power(x, Interval.of(0.5), x.sqrt(), n))

    def smooth(self, name: str, a: Part) -> Part:
        return self._smooth(a, NATURAL.smooth(name, a.value), SERIES[name])

    def lookup(self, node: Lookup, parts: Sequence[Part]) -> Part:
        found = range_of(node, [part.value for part in parts], again=True)
        return Part(found, self._or_anything(looked_up(node, [p.jets for p in parts], [p.value for p in parts]), found))

    def _smooth(self, a: Part, value: Interval, series: Callable[[Interval, int], Series]) -> Part:
        """φ(a), which lies in `value`, by its Taylor series where that has coefficients."""
        n, center = self.space.degree, a.jets.coefficients[0]
        cheap = a.jets.cheap
        lower, upper = np.fmax(a.value.lower, cheap.lower), np.fmin(a.value.upper, cheap.upper)
        around = Interval(np.minimum(lower, center), np.maximum(upper, center))
        terms, last = series(Interval.of(center), n), series(around, n + 1)[-1]
        deviation = a.jets.magnitude_but_constant
        found = a.jets.composed(terms, GROW * (last.magnitude * deviation ** (n + 1) * (1 + (n + 2) * 2.0**-50)) + TINY)
        return Part(value, self._or_anything(found, value))

    def _or_anything(self, jets: Jets, value: Interval) -> Jets:
        """The jets, or those of the interval where that says more."""
        lost = ~(jets.rest < np.inf) | ~np.isfinite(jets.coefficients).all(0)
        if not lost.any():
            return jets
        other = Jets.constant(self.space, Interval(*np.broadcast_arrays(value.lower, value.upper)))
        coefficients = np.where(lost, np.broadcast_to(other.coefficients, (self.space.size, *lost.shape)), jets.coefficients)
        return Jets(self.space, coefficients, np.where(lost, other.rest, jets.rest))

    def roots(self, solver: Solver, u: Sequence[Part]) -> list[Part]:
        return [Part(part.value, self._or_anything(part.jets, part.value)) for part in rooted(solver, u, self, Part)]

    def angle(self, y: Part, x: Part) -> Part:
        """atan(y/x) on the right, that and ±π on the left, ±π/2 − atan(x/y) above and below; what the value says around the origin."""
        value, right, left = y.value.angle(x.value), x.value.lower > 0, x.value.upper < 0
        above, below = y.value.lower > 0, y.value.upper < 0
        flat = self.smooth("atan", self.multiply(y, self.power(x, -1)))
        steep = self.negative(self.smooth("atan", self.multiply(x, self.power(y, -1))))
        quarter = self.number(HALF_PI)
        half = self.total([quarter, quarter])
        cases = [
            (above, self.total([quarter, steep])),
            (below, self.total([self.negative(quarter), steep])),
            (right, flat),
            (left & (y.value.lower >= 0), self.total([half, flat])),
            (left & below, self.total([self.negative(half), flat])),
        ]  # fmt: skip
        jets = Jets.constant(self.space, value)
        for case, part in cases:
            jets = _where(np.asarray(case), part.jets, jets)
        return Part(value, self._or_anything(jets, value))

    def absolute(self, a: Part) -> Part:
        return self._picked(a.value.absolute(), a.value.lower >= 0, a.value.upper <= 0, a, self.negative(a))

    def sign(self, a: Part) -> Part:
        value = a.value.sign()
        return Part(value, Jets.constant(self.space, value))

    def larger(self, a: Part, b: Part) -> Part:
        value = NATURAL.larger(a.value, b.value)
        return self._picked(value, a.value.lower >= b.value.upper, a.value.upper <= b.value.lower, a, b)

    def smaller(self, a: Part, b: Part) -> Part:
        value = NATURAL.smaller(a.value, b.value)
        return self._picked(value, a.value.upper <= b.value.lower, a.value.lower >= b.value.upper, a, b)

    def compare(self, greater: Part, less: Part, strict: bool) -> Decision:
        return NATURAL.compare(greater.value, less.value, strict)

    def choose(self, decision: Decision, a: Part, b: Part | None) -> Part:
        value = NATURAL.choose(decision, a.value, None if b is None else b.value)
        return self._picked(value, np.asarray(decision.true), np.asarray(decision.false), a, a if b is None else b)

    def _picked(self, value: Interval, first: Flags, second: Flags, a: Part, b: Part) -> Part:
        """a or b where it is known which one, either elsewhere."""
        gap = (a.jets - b.jets).magnitude
        mean = (a.jets + b.jets).halved()
        either = replace(mean, rest=GROW * (mean.rest + gap / 2))
        jets = _where(np.asarray(first), a.jets, _where(np.asarray(second), b.jets, either))
        return Part(value, self._or_anything(jets, value))

    def restricted(self, a: Part, bound: Part, above: bool) -> Part:
        """The same function; what it lies in is narrower, where it is asked for."""
        return Part(NATURAL.restricted(a.value, bound.value, above), a.jets)

    def never_zero(self, found: Part, a: Part, positive: bool) -> Part:
        return Part(NATURAL.never_zero(found.value, a.value, positive), found.jets)

    def vanishing(self, found: Part, x: Part, power: Interval, logs: int) -> Part:
        value = bounded(found.value, x.value, power, logs)
        return Part(value, self._or_anything(found.jets, value))


def _where(condition: Flags, a: Jets, b: Jets) -> Jets:
    shape = np.broadcast_shapes(condition.shape, a.rest.shape, b.rest.shape)
    coefficients = np.where(condition, a.coefficients, b.coefficients)
    return Jets(a.space, np.broadcast_to(coefficients, (a.space.size, *shape)), np.broadcast_to(np.where(condition, a.rest, b.rest), shape))


class Functions(NamedTuple):
    """Functions on N boxes as jets, and what is known of their values all over the boxes, (functions, N)."""

    jets: Jets
    value: Interval

    @staticmethod
    def coordinates(space: Space, lower: Array, upper: Array) -> Functions:
        """The first coordinates of boxes, corners (N, k)."""
        return Functions(Jets.coordinates(space, lower, upper), Interval(lower.T, upper.T))

    def on(self, boxes: Indices) -> Functions:
        return Functions(self.jets.on(boxes), self.value[..., boxes])


class JetMap:
    """An `ExpressionMap` of jets."""

    def __init__(self, function: ExpressionMap) -> None:
        """Raises `NotEnclosed` if an expression holds a function without an enclosure."""
        self._program = Program(function)
        self._looks = bool(fields_in(function.written or ()))

    def __call__(self, inner: Functions) -> Functions:
        """The components as functions on the boxes, by those that the variables are. Jets say nothing where one may have no value."""
        N = inner.jets.boxes
        if not self._looks or N <= LOOKED_UP:
            return self._on(inner)
        found = [self._on(inner.on(np.arange(start, min(start + LOOKED_UP, N)))) for start in range(0, N, LOOKED_UP)]
        jets = Jets(
            inner.jets.space, *(np.concatenate([getattr(one.jets, part) for one in found], axis=-1) for part in ("coefficients", "rest"))
        )
        lower, upper, decoration = (
            np.concatenate([np.broadcast_to(getattr(one.value, part), one.jets.rest.shape) for one in found], axis=-1)
            for part in ("lower", "upper", "decoration")
        )
        return Functions(jets, Interval(lower, upper, decoration))

    def _on(self, inner: Functions) -> Functions:
        N = inner.jets.boxes
        algebra = JetAlgebra(inner.jets.space)
        with np.errstate(all="ignore"):
            parts = [Part(known(inner.value[k]), inner.jets.functions(k)) for k in range(len(inner.value.lower))]
            found = self._program(algebra, parts)
            jets = Jets.stacked([part.jets for part in found], N)
        decorations = np.stack([np.broadcast_to(part.value.decoration, (N,)) for part in found])
        lower, upper = (np.stack([np.broadcast_to(getattr(part.value, end), (N,)) for part in found]) for end in ("lower", "upper"))
        value = Interval(lower, upper, decorations).settled()
        return Functions(replace(jets, rest=np.where(decorations < Decoration.DEFINED, np.inf, jets.rest)), value)
