"""Numbers over which expressions can be computed: the operations that intervals, jets, Taylor forms or anything else must have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from ..errors import AtlasMoEError
from ..expressions import Array
from ..expressions.implicit import Tube
from ..expressions.tree import Lookup
from .arithmetic import Flags, Interval
from .decoration import SURE, Decorations, least
from .derivatives import Exponent
from .spreads import Spread

T = TypeVar("T")


class NotEnclosed(AtlasMoEError):
    """An expression holds a part that has no enclosure here."""


class Solved(Protocol):
    """Where w(u) is for all u of boxes, elementwise."""

    values: list[Interval]
    """(m), with what is known of w on the boxes."""
    slopes: list[list[Interval]]
    """(m, d): ∂_j w_l."""

    inverse: Array
    """Nearly (Dg·N)⁻¹ in the middle of boxes, (…, m, m), in floats."""

    def linear(self, right: Sequence[Interval]) -> list[Interval]:
        """All v with (Dg·N)·v = right, (m), at any point of the boxes; unknown where Dg·N may be singular."""


class Solver(Protocol):
    """The equations of a tube, enclosed."""

    tube: Tube

    def solve(self, u: Sequence[Interval]) -> Solved: ...

    def across(self, u: Sequence[Interval], box: Sequence[Interval]) -> Spread:
        """Dg·N on boxes of (u, w), (…, m, m)."""

    def run(self, algebra: Any, x: Sequence[Any]) -> list[Any]:
        """g over any algebra."""

    def point(self, u: Sequence[Any], w: Sequence[Any], algebra: Any) -> list[Any]:
        """c + T·u + N·w over any algebra."""


class Decision(NamedTuple):
    """What is known of a condition, elementwise."""

    true: Flags
    false: Flags
    decoration: Decorations = SURE
    """Of the numbers that it compares: a condition on undefined numbers has no truth."""

    def negated(self) -> Decision:
        return Decision(self.false, self.true, self.decoration)


def connected(parts: Sequence[Decision], every: bool) -> Decision:
    """Whether all of the conditions hold, or else some."""
    total = parts[0]
    for one in parts[1:]:
        trues, falses = (total.true & one.true, total.false | one.false) if every else (total.true | one.true, total.false & one.false)
        total = Decision(trues, falses, least(total.decoration, one.decoration))
    return total


class Algebra(Protocol[T]):
    """Numbers over which expressions can be computed; they know where they may be undefined, being outside the domain of an operation."""

    def number(self, value: Interval) -> T:
        """A constant, enclosed."""

    def total(self, parts: Sequence[T]) -> T:
        """The sum of two or more."""

    def negative(self, a: T) -> T: ...

    def multiply(self, a: T, b: T) -> T: ...

    def power(self, a: T, exponent: int) -> T:
        """a^exponent; a pole where a may be 0 and the exponent is negative."""

    def real_power(self, a: T, exponent: Exponent) -> T:
        """a^p for a ≥ 0, and a > 0 if p < 0."""

    def square_root(self, a: T) -> T: ...

    def smooth(self, name: str, a: T) -> T:
        """A function of `derivatives.SMOOTH`."""

    def lookup(self, node: Lookup, parts: Sequence[T]) -> T:
        """A field, or a derivative of it, of these variables."""

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

    def restricted(self, a: T, bound: T, above: bool) -> T:
        """a on the part of the box where it is at least, or else at most, `bound`; a itself where there is no such part."""

    def never_zero(self, found: T, a: T, positive: bool) -> T:
        """What was found of a function of a that is continuous but at 0, or for `positive` numbers; a is not 0 at any point."""

    def vanishing(self, found: T, x: T, power: Interval, logs: int) -> T:
        """What was found of x^power·(log x)^logs, power > 0, which goes to 0 at x = 0, where it has no value."""

    def roots(self, solver: Solver, u: Sequence[T]) -> Sequence[T]:
        """w(u), component by component."""
