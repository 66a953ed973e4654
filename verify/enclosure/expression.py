"""Taylor forms of expressions: every part is enclosed twice, as a form and by its natural interval extension.

The two help each other: the range of a form cuts the interval, and the interval keeps domains and third derivatives tight
where a form cannot (√(u² + v²) at 0). What is known of a part on a whole box, whether it is defined, continuous, Lipschitz, C², is the
decoration of its interval; forms of what may be undefined are unknown in the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from ...atlas import ExpressionMap
from ...errors import InvalidArgument
from ...expressions.tree import Lookup
from ...intervals import Decision, Decoration, Flags, Interval, Program
from ...intervals.algebra import Solver
from ...intervals.arithmetic import HALF_PI
from ...intervals.decoration import SURE, least
from ...intervals.derivatives import SMOOTH, Exponent, Rule, powers, square_root
from ...intervals.lookups import decorated, range_of
from ...intervals.natural import IntervalAlgebra, known
from . import smooth
from .abouts import about
from .lookups import looked_up
from .roots import rooted
from .taylor import TaylorForms


@dataclass(frozen=True, eq=False)
class Enclosed:
    """Functions over boxes, enclosed by forms and by intervals (N, n), both of which hold."""

    forms: TaylorForms
    bounds: Interval

    @staticmethod
    def variables(lower: ArrayLike, upper: ArrayLike, degree: int = 2) -> Enclosed:
        """The coordinates on the boxes with corners (N, d)."""
        forms = TaylorForms.variables(lower, upper, degree)
        assert forms.bounds is not None
        return Enclosed(forms, forms.bounds)

    @staticmethod
    def of(forms: TaylorForms, bounds: Interval | None = None) -> Enclosed:
        """The forms, with bounds cut to their range. Of forms alone no more is known than that what they hold is defined.

        Forms of a higher degree are for small boxes, on which `span` is nearly as sharp.
        """
        found = forms.range() if forms.degree == 2 else forms.span()
        if bounds is None:
            bounds = found.decorated(np.where(np.isfinite(forms.radius), Decoration.DEFINED, Decoration.NOTHING).astype(np.uint8))
        return Enclosed(forms, found.decorated(bounds.decoration).meet(bounds))

    @property
    def known(self) -> Flags:
        """Where anything is known at all, (N, n)."""
        return np.isfinite(self.bounds.lower) & np.isfinite(self.bounds.upper)


class ExpressionEnclosure:
    """The Taylor forms of an `ExpressionMap`, from those of its variables. Built once, used on many batches of boxes."""

    def __init__(self, function: ExpressionMap) -> None:
        """Raises `NotEnclosed`, naming the part, if an expression holds a function that has no enclosure."""
        self._program = Program(function)
        self.inputs, self.outputs = function.inputs, function.outputs

    def __call__(self, forms: TaylorForms) -> TaylorForms:
        """The components as functions of the box coordinates of `forms`, which hold the variables in order; with bounds, if those have."""
        found = self.enclosed(Enclosed.of(forms, forms.bounds))
        return replace(found.forms, bounds=found.bounds)

    def over(self, lower: ArrayLike, upper: ArrayLike, degree: int = 2) -> Enclosed:
        """The components over the boxes with corners (N, inputs)."""
        return self.enclosed(Enclosed.variables(lower, upper, degree))

    def enclosed(self, variables: Enclosed) -> Enclosed:
        """The components, from forms and bounds of the variables; compositions pass on both."""
        if variables.forms.functions != self.inputs:
            raise InvalidArgument(f"an expression of {self.inputs} variables was given {variables.forms.functions} forms")
        forms = variables.forms
        inputs: list[Value] = [Enclosed(forms[:, k], known(variables.bounds[:, [k]])) for k in range(self.inputs)]
        with np.errstate(all="ignore"):
            algebra = _FormAlgebra(len(forms), forms.dimension, forms.degree)
            parts = [_settled(algebra.lifted(part)) for part in self._program(algebra, inputs)]
        lower, upper = (np.concatenate([getattr(p.bounds, end) for p in parts], axis=1) for end in ("lower", "upper"))
        decoration = SURE
        if any(p.bounds.decoration is not SURE for p in parts):
            decoration = np.concatenate([np.broadcast_to(p.bounds.decoration, (len(forms), 1)) for p in parts], axis=1)
        return Enclosed(TaylorForms.concatenate([p.forms for p in parts]), Interval(lower, upper, decoration))


def _settled(part: Enclosed) -> Enclosed:
    """Unknown where it may be undefined; and a bare range where no form is known."""
    bounds, forms = part.bounds.settled(), part.forms
    bare = ~(forms.radius < np.inf)
    if bare.any():
        forms = TaylorForms.constants(bounds, forms.dimension, forms.degree).where(bare, forms)
    if bounds.decoration is not SURE:
        forms = forms.unknown_where(bounds.decoration < Decoration.DEFINED)
    return Enclosed(forms, bounds)


Value = Enclosed | Interval
"""Constants stay numbers until they meet a function."""


class _FormAlgebra:
    """Expressions over single functions, bounds (N, 1), and over constants."""

    def __init__(self, boxes: int, dimension: int, degree: int) -> None:
        self._shape, self._dimension, self._degree = (boxes, 1), dimension, degree
        self._natural = IntervalAlgebra()

    def lifted(self, value: Value) -> Enclosed:
        """A constant as a function."""
        if isinstance(value, Enclosed):
            return value
        full = Interval(np.broadcast_to(value.lower, self._shape), np.broadcast_to(value.upper, self._shape))
        return Enclosed(TaylorForms.constants(full, self._dimension, self._degree), full.decorated(value.decoration))

    def number(self, value: Interval) -> Value:
        return value

    def negative(self, a: Value) -> Value:
        return -a if isinstance(a, Interval) else Enclosed(-a.forms, -a.bounds)

    def restricted(self, a: Value, bound: Value, above: bool) -> Value:
        if isinstance(a, Interval):
            return a
        limit = bound.bounds if isinstance(bound, Enclosed) else bound
        return Enclosed(a.forms, self._natural.restricted(a.bounds, limit, above))

    def never_zero(self, found: Value, a: Value, positive: bool) -> Value:
        found, a = self.lifted(found), self.lifted(a)
        return Enclosed(found.forms, self._natural.never_zero(found.bounds, a.bounds, positive))

    def vanishing(self, found: Value, x: Value, power: Interval, logs: int) -> Value:
        found, x = self.lifted(found), self.lifted(x)
        bounds = self._natural.vanishing(found.bounds, x.bounds, power, logs)
        bare = ~(found.forms.radius < np.inf)
        forms = TaylorForms.constants(bounds, self._dimension, self._degree).where(bare, found.forms) if bare.any() else found.forms
        return Enclosed.of(forms, bounds)

    def total(self, parts: Sequence[Value]) -> Value:
        numbers = [part for part in parts if isinstance(part, Interval)]
        functions = [part for part in parts if isinstance(part, Enclosed)]
        if not functions:
            return self._natural.total(numbers)
        form, bounds = functions[0].forms, functions[0].bounds
        for part in functions[1:]:
            form, bounds = form + part.forms, bounds + part.bounds
        if numbers:
            constant = self._natural.total(numbers)
            form, bounds = form.plus(constant), bounds + constant
        return Enclosed.of(form, bounds)

    def multiply(self, a: Value, b: Value) -> Value:
        if isinstance(a, Interval):
            a, b = b, a
        if isinstance(a, Interval):
            return a * cast(Interval, b)
        if isinstance(b, Interval):
            return Enclosed.of(a.forms.scaled(b), a.bounds * b)
        return Enclosed.of(a.forms * b.forms, a.bounds * b.bounds)

    def _composed(self, derivatives: Rule, a: Value, image: Callable[[Interval], Interval]) -> Value:
        if isinstance(a, Interval):
            return image(a)
        values = image(a.bounds)
        return Enclosed.of(smooth.compose(derivatives, a.forms, a.bounds, values), values)

    def power(self, a: Value, exponent: int) -> Value:
        return self._composed(lambda x, orders: powers(x, exponent, orders), a, lambda x: x.power(exponent))

    def real_power(self, a: Value, exponent: Exponent) -> Value:
        return self._composed(exponent.powers, a, lambda x: x.raised(exponent.shifted[0]))

    def square_root(self, a: Value) -> Value:
        return self._composed(square_root, a, Interval.sqrt)

    def smooth(self, name: str, a: Value) -> Value:
        return self._composed(SMOOTH[name], a, lambda x: self._natural.smooth(name, x))

    def lookup(self, node: Lookup, parts: Sequence[Value]) -> Value:
        if all(isinstance(part, Interval) for part in parts):
            return range_of(node, cast(Sequence[Interval], parts))
        lifted = [self.lifted(part) for part in parts]
        sides, forms = [part.bounds for part in lifted], [part.forms for part in lifted]
        if (together := about(node, forms, sides)) is not None:
            c = node.component
            form, found = together[0][:, [c]], decorated(node, sides, together[1][:, [c]])
        else:
            form, found = looked_up(node, forms, sides), range_of(node, sides)
        bare = TaylorForms.constants(found, self._dimension, self._degree)
        return Enclosed.of(form.where(form.radius < bare.radius, bare), found)

    def roots(self, solver: Solver, u: Sequence[Value]) -> list[Enclosed]:
        parts = [self.lifted(part) for part in u]
        found = rooted(solver, [part.forms for part in parts], [part.bounds for part in parts], self, Enclosed.of)
        return [Enclosed.of(form, bounds) for form, bounds in found]

    def angle(self, y: Value, x: Value) -> Value:
        """atan2(y, x): ±π or 0 + atan(y/x), or ±π/2 − atan(x/y), whichever quotient is less steep at the middle."""
        y, x = self.lifted(y), self.lifted(x)
        right, left = x.bounds.lower > 0, x.bounds.upper < 0
        up, down = y.bounds.lower > 0, y.bounds.upper < 0
        flat = (right | left & ((y.bounds.lower >= 0) | down)) & ((np.abs(x.forms.center) >= np.abs(y.forms.center)) | ~(up | down))
        steep = ~flat & (up | down)
        inverse = self.power(self._select(flat, x, y), -1)
        turned = cast(Enclosed, self.smooth("atan", self.multiply(self._select(flat, y, x), inverse))).forms
        start = Interval.of(np.zeros(self._shape))
        half, whole = HALF_PI, HALF_PI + HALF_PI
        for case, value in [(flat & left & ~down, whole), (flat & left & down, -whole), (steep & up, half), (steep & down, -half)]:
            start = Interval(np.where(case, value.lower, start.lower), np.where(case, value.upper, start.upper))
        form = turned.where(flat, -turned).plus(start)
        bounds = y.bounds.angle(x.bounds)
        bare = TaylorForms.constants(bounds, self._dimension, self._degree)
        return Enclosed.of(form.where((flat | steep) & (form.radius < bare.radius), bare), bounds)

    @staticmethod
    def _select(condition: Flags, a: Enclosed, b: Enclosed) -> Enclosed:
        lower, upper = np.where(condition, a.bounds.lower, b.bounds.lower), np.where(condition, a.bounds.upper, b.bounds.upper)
        return Enclosed(a.forms.where(condition, b.forms), Interval(lower, upper, least(a.bounds.decoration, b.bounds.decoration)))

    def absolute(self, a: Value) -> Value:
        if isinstance(a, Interval):
            return a.absolute()
        return Enclosed.of(smooth.absolute(a.forms, a.bounds), a.bounds.absolute())

    def sign(self, a: Value) -> Value:
        return a.sign() if isinstance(a, Interval) else self.lifted(a.bounds.sign())

    def _gap(self, a: Enclosed, b: Enclosed) -> Enclosed:
        return Enclosed.of(a.forms - b.forms, a.bounds - b.bounds)

    def larger(self, a: Value, b: Value) -> Value:
        """a or b where that is known, else (a + b + |a − b|)/2."""
        a, b = self.lifted(a), self.lifted(b)
        gap = self._gap(a, b)
        half = (a.forms + b.forms + smooth.absolute(gap.forms, gap.bounds)).times(0.5)
        form = a.forms.where(gap.bounds.lower >= 0, b.forms.where(gap.bounds.upper <= 0, half))
        return Enclosed.of(form, a.bounds.larger(b.bounds))

    def smaller(self, a: Value, b: Value) -> Value:
        a, b = self.lifted(a), self.lifted(b)
        found = cast(Enclosed, self.larger(Enclosed(-a.forms, -a.bounds), Enclosed(-b.forms, -b.bounds)))
        return Enclosed(-found.forms, -found.bounds)

    def compare(self, greater: Value, less: Value, strict: bool) -> Decision:
        gap = self._gap(self.lifted(greater), self.lifted(less)).bounds
        if strict:
            return Decision(gap.lower > 0, gap.upper <= 0, gap.decoration)
        return Decision(gap.lower >= 0, gap.upper < 0, gap.decoration)

    def choose(self, decision: Decision, a: Value, b: Value | None) -> Value:
        true, false = (np.broadcast_to(part, self._shape) for part in decision[:2])
        a, b = self.lifted(a), None if b is None else self.lifted(b)
        bounds = self._natural.choose(Decision(true, false, decision.decoration), a.bounds, None if b is None else b.bounds)
        if b is None:
            return Enclosed(a.forms.unknown_where(~true), bounds)
        form = a.forms.where(true, b.forms.where(false, smooth.hull(a.forms, b.forms)))
        return Enclosed.of(form, bounds)
