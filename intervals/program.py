"""A vector of sympy expressions as a straight-line program: every distinct part is computed once, over whatever numbers an algebra has.

The functions are those that specifications may call. What an algebra computes may be intervals, Taylor forms, or anything else with
these operations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import sympy

from ..errors import AtlasMoEError
from ..expressions import ExpressionMap
from .arithmetic import Flags
from .decoration import SURE, Decorations, least
from .derivatives import SMOOTH, Exponent
from .numbers import enclose_exponent

T = TypeVar("T")


class Decision(NamedTuple):
    """What is known of a condition, elementwise."""

    true: Flags
    false: Flags
    decoration: Decorations = SURE
    """Of the numbers that it compares: a condition on undefined numbers has no truth."""

    def negated(self) -> Decision:
        return Decision(self.false, self.true, self.decoration)


LONGEST = 100
"""Characters of an expression that a message shows."""


class NotEnclosed(AtlasMoEError):
    """An expression holds a part that has no enclosure here."""


class Algebra(Protocol[T]):
    """Numbers over which expressions can be computed; they know where they may be undefined, being outside the domain of an operation."""

    def number(self, value: sympy.Expr) -> T:
        """A constant: a float as it is, a rational, π or e."""

    def total(self, parts: Sequence[T]) -> T:
        """The sum of two or more."""

    def multiply(self, a: T, b: T) -> T: ...

    def power(self, a: T, exponent: int) -> T:
        """a^exponent; a pole where a may be 0 and the exponent is negative."""

    def real_power(self, a: T, exponent: Exponent) -> T:
        """a^p for a ≥ 0, and a > 0 if p < 0."""

    def square_root(self, a: T) -> T: ...

    def smooth(self, name: str, a: T) -> T:
        """A function of `derivatives.SMOOTH`."""

    def angle(self, y: T, x: T) -> T:
        """atan2(y, x)."""

    def absolute(self, a: T) -> T: ...

    def sign(self, a: T) -> T: ...

    def larger(self, a: T, b: T) -> T:
        """max(a, b)."""

    def smaller(self, a: T, b: T) -> T:
        """min(a, b)."""

    def compare(self, greater: T, less: T, strict: bool) -> Decision:
        """greater > less, or ≥ if not strict."""

    def choose(self, decision: Decision, a: T, b: T | None) -> T:
        """a where the decision is true, b where it is false, both where it is open; without b it is defined only where that is true."""


Step = Callable[..., object]


class Program:
    """The components of an `ExpressionMap`, in an order in which every part comes after what it is made of."""

    def __init__(self, function: ExpressionMap) -> None:
        """Raises `NotEnclosed` if an expression holds a part that no algebra computes."""
        self._steps: list[Step] = []
        self._places: dict[sympy.Basic, int] = {}
        for place, variable in enumerate(function.variables):
            self._places[variable] = place
        self._inputs = len(function.variables)
        self._outputs = [self._place(e) for e in function.expressions]

    def __call__(self, algebra: Algebra[T], inputs: Sequence[T]) -> list[T]:
        """The components at the inputs, one per variable."""
        if len(inputs) != self._inputs:
            raise NotEnclosed(f"an expression of {self._inputs} variables was given {len(inputs)} values")
        known: list[object] = list(inputs)
        for step in self._steps:
            known.append(step(algebra, known))
        return [known[place] for place in self._outputs]  # type: ignore[misc]

    def _place(self, e: sympy.Basic) -> int:
        """Where the value of e is kept, once a step that computes it has been added."""
        pending = [e]
        while pending:  # not recursive: sums of products of sums may be deep
            part = pending[-1]
            missing = [] if part in self._places else [a for a in _arguments(part) if a not in self._places]
            pending.extend(missing)
            if not missing:
                pending.pop()
                if part not in self._places:
                    step = self._step(part)
                    self._places[part] = self._inputs + len(self._steps)
                    self._steps.append(step)
        return self._places[e]

    def _step(self, e: sympy.Basic) -> Step:
        at = [self._places[a] for a in _arguments(e)]
        if e.is_Number or e.is_NumberSymbol:
            if e.is_finite is False or e is sympy.nan:
                raise NotEnclosed(f"{e} is not a finite number")
            return lambda algebra, known: algebra.number(e)
        if isinstance(e, sympy.Add):
            return lambda algebra, known: algebra.total([known[k] for k in at])
        if isinstance(e, sympy.Mul | sympy.Max | sympy.Min):
            return _folded({sympy.Mul: "multiply", sympy.Max: "larger", sympy.Min: "smaller"}[type(e)], at)
        if isinstance(e, sympy.Pow):
            return _power(e, at)
        if type(e).__name__ in SMOOTH:
            return lambda algebra, known: algebra.smooth(type(e).__name__, known[at[0]])
        if isinstance(e, sympy.atan2):
            return lambda algebra, known: algebra.angle(known[at[0]], known[at[1]])
        if isinstance(e, sympy.Abs):
            return lambda algebra, known: algebra.absolute(known[at[0]])
        if isinstance(e, sympy.sign):
            return lambda algebra, known: algebra.sign(known[at[0]])
        if isinstance(e, sympy.Piecewise):
            return _piecewise(at)
        if isinstance(e, sympy.Gt | sympy.Ge | sympy.Lt | sympy.Le):
            strict = isinstance(e, sympy.Gt | sympy.Lt)
            return lambda algebra, known: algebra.compare(known[at[0]], known[at[1]], strict)
        if isinstance(e, sympy.And | sympy.Or):
            return _connected(isinstance(e, sympy.And), at)
        if isinstance(e, sympy.Not):
            return lambda algebra, known: known[at[0]].negated()
        if e in (sympy.true, sympy.false):
            holds = np.array(e == sympy.true)
            return lambda algebra, known: Decision(holds, ~holds)
        raise NotEnclosed(f"{type(e).__name__} in {str(e)[:LONGEST]} has no enclosure; write it with the functions of specifications")


def _arguments(e: sympy.Basic) -> list[sympy.Basic]:
    """The parts that e is computed from."""
    if isinstance(e, sympy.Pow) and e.exp.is_Number:
        return [e.base]
    if isinstance(e, sympy.Pow) and e.base == sympy.E:
        return [e.exp]
    if isinstance(e, sympy.Piecewise):
        return [part for pair in e.args for part in pair.args]
    if isinstance(e, sympy.Gt | sympy.Ge | sympy.Lt | sympy.Le):
        return [e.gts, e.lts]
    return [] if e.is_Number or e.is_NumberSymbol else list(e.args)


def _folded(name: str, at: list[int]) -> Step:
    def step(algebra: object, known: list) -> object:
        total = known[at[0]]
        for place in at[1:]:
            total = getattr(algebra, name)(total, known[place])
        return total

    return step


def _power(e: sympy.Pow, at: list[int]) -> Step:
    if e.exp.is_Number:
        p = sympy.Rational(e.exp)  # which power it is depends on the number, not on how it is written
        if p.is_Integer:
            n = int(p)
            return lambda algebra, known: algebra.power(known[at[0]], n)
        if p == sympy.S.Half:
            return lambda algebra, known: algebra.square_root(known[at[0]])
        if p == -sympy.S.Half:
            return lambda algebra, known: algebra.power(algebra.square_root(known[at[0]]), -1)
        exponent = enclose_exponent(p)
        return lambda algebra, known: algebra.real_power(known[at[0]], exponent)
    if len(at) == 1:
        return lambda algebra, known: algebra.smooth("exp", known[at[0]])

    # x^p = exp(p·log x) for x > 0; elsewhere it is not real, or is not known to be.
    def real(algebra: Algebra, known: list) -> object:
        return algebra.smooth("exp", algebra.multiply(known[at[1]], algebra.smooth("log", known[at[0]])))

    return real


def _piecewise(at: list[int]) -> Step:
    def step(algebra: Algebra, known: list) -> object:
        result = None
        for value, condition in reversed(list(zip(at[::2], at[1::2], strict=True))):
            result = algebra.choose(known[condition], known[value], result)
        return result

    return step


def _connected(every: bool, at: list[int]) -> Step:
    return lambda algebra, known: connected([known[place] for place in at], every)


def connected(parts: Sequence[Decision], every: bool) -> Decision:
    """Whether all of the conditions hold, or else some."""
    total = parts[0]
    for one in parts[1:]:
        trues, falses = (total.true & one.true, total.false | one.false) if every else (total.true | one.true, total.false & one.false)
        total = Decision(trues, falses, least(total.decoration, one.decoration))
    return total
