"""A vector of expressions as a straight-line program: every distinct part is computed once, over whatever numbers an algebra has.

A program runs over the trees of what was written (`expressions.tree`), never over what sympy made of it: where a part is undefined, the
whole is. The functions are those that specifications may call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache, reduce
from typing import TypeVar

import numpy as np

from ..expressions import ExpressionMap
from ..expressions.implicit import Tube
from ..expressions.text import text_of
from ..expressions.tree import (
    And,
    Call,
    Comparison,
    Constant,
    Lookup,
    Name,
    Negative,
    Node,
    Or,
    Piecewise,
    Power,
    Product,
    Reciprocal,
    Root,
    Roots,
    Sum,
    Truth,
    free_names,
    postorder,
)  # fmt: skip
from .algebra import Algebra, Decision, NotEnclosed, connected
from .arithmetic import Interval
from .collected import factors, terms
from .derivatives import SMOOTH
from .guards import Guard, guards, never_zero, partial
from .implicit import Equations, slopes_of
from .natural import IntervalAlgebra
from .numbers import CONSTANTS, enclose_fraction, exponent_between, exponent_of
from .vanishing import vanishing

T = TypeVar("T")

LONGEST = 100
"""Characters of an expression that a message shows."""


Context = tuple[Guard, ...]
"""What is known where a part is asked for: the conditions of the cases that it is in, as far as they are about parts of it."""
Key = tuple[Node, Context]
Step = Callable[..., object]
Plan = tuple[Sequence[Key], Callable[[list[int]], Step]]
"""What a part is computed from, and the step that does, given where these are kept."""


class Program:
    """The components of an `ExpressionMap`, in an order in which every part comes after what it is made of."""

    def __init__(self, function: ExpressionMap) -> None:
        """Raises `NotEnclosed` if an expression holds a part that no algebra computes."""
        self._build([str(variable) for variable in function.variables], function.trees)

    def _build(self, names: Sequence[str], trees: Sequence[Node]) -> None:
        self._steps: list[Step] = []
        self._inputs = len(names)
        self._places: dict[Key, int] = {(Name(name), ()): k for k, name in enumerate(names)}
        self._inside: dict[Node, frozenset[Node]] = {}
        self._outputs = [self._place((tree, ())) for tree in trees]

    def __call__(self, algebra: Algebra[T], inputs: Sequence[T]) -> list[T]:
        """The components at the inputs, one per variable."""
        if len(inputs) != self._inputs:
            raise NotEnclosed(f"an expression of {self._inputs} variables was given {len(inputs)} values")
        known: list[object] = list(inputs)
        for step in self._steps:
            known.append(step(algebra, known))
        return [known[place] for place in self._outputs]  # type: ignore[misc]

    def _place(self, root: Key) -> int:
        """Where the value of a part is kept, once a step that computes it has been added."""
        pending = [root]
        while pending:  # not recursive: sums of products of sums may be deep
            key = pending[-1]
            if key in self._places:
                pending.pop()
                continue
            needs, step = self._plan(*key)
            missing = [need for need in needs if need not in self._places]
            pending.extend(missing)
            if not missing:
                self._places[key] = self._add(step([self._places[need] for need in needs]))
        return self._places[root]

    def _add(self, step: Step) -> int:
        self._steps.append(step)
        return self._inputs + len(self._steps) - 1

    def _key(self, node: Node, context: Context) -> Key:
        if not context:
            return node, context
        if node not in self._inside:
            self._inside[node] = frozenset(postorder(node))
        return node, tuple(guard for guard in context if guard.part in self._inside[node])

    def _plan(self, e: Node, context: Context) -> Plan:
        own = [guard for guard in context if guard.part is e]
        if own:
            guard, rest = own[-1], tuple(g for g in context if g is not own[-1])
            return [self._key(e, rest), (guard.bound, ())], _restricted(guard.above)
        if e.exact is not None:
            number = enclose_fraction(e.exact)
            return [], lambda at: lambda algebra, known: algebra.number(number)
        parts = [self._key(part, context) for part in e.parts]
        match e:
            case Constant(name) if name in CONSTANTS:
                return [], lambda at: lambda algebra, known: algebra.number(CONSTANTS[name])
            case Sum():
                return self._sum(e, context)
            case Negative():
                return parts, lambda at: lambda algebra, known: algebra.negative(known[at[0]])
            case Product() | Reciprocal():
                return self._product(e, context)
            case Power():
                return self._power(e, context)
            case Call(name, _):
                return parts, lambda at: _called(e, name, at, name == "log" and never_zero(e.parts[0], context))
            case Lookup():
                return parts, lambda at: lambda algebra, known: algebra.lookup(e, [known[k] for k in at])
            case Piecewise():
                return self._piecewise(e, context)
            case Comparison(relation) if relation in (">", ">=", "<", "<="):
                ends = parts if relation in (">", ">=") else parts[::-1]
                return ends, lambda at: lambda algebra, known: algebra.compare(known[at[0]], known[at[1]], relation in (">", "<"))
            case And() | Or():
                return parts, lambda at: lambda algebra, known: connected([known[k] for k in at], isinstance(e, And))
            case Truth(holds):
                return [], lambda at: lambda algebra, known: Decision(np.array(holds), np.array(not holds))
            case Roots(tube, _):
                solver = equations_of(tube)
                return parts, lambda at: lambda algebra, known: algebra.roots(solver, [known[k] for k in at])
            case Root(Roots() as roots, component, along):
                if along is None:
                    return parts, lambda at: lambda algebra, known: known[at[0]][component]
                solver, inner = equations_of(roots.tube), [self._key(part, context) for part in roots.parts]
                return inner, lambda at: lambda algebra, known: slopes_of(algebra, solver, [known[k] for k in at])[component][along]
        raise NotEnclosed(f"{_named(e)} in {text_of(e)[:LONGEST]} has no enclosure; write it with the functions of specifications")

    def _sum(self, e: Sum, context: Context) -> Plan:
        constant, counted = terms(e)
        rest = enclose_fraction(constant)
        numbers = [enclose_fraction(count) for count in counted.values()]

        def step(at: list[int]) -> Step:
            def total(algebra: Algebra, known: list) -> object:
                parts = [_times(algebra, n, c, known[k]) for n, c, k in zip(numbers, counted.values(), at, strict=True)]
                if constant or not parts:
                    parts.append(algebra.number(rest))
                return algebra.total(parts) if len(parts) > 1 else parts[0]

            return total

        return [self._key(part, context) for part in counted], step

    def _product(self, e: Node, context: Context) -> Plan:
        front, counted = factors(e)
        number = enclose_fraction(front)
        powers = [-count if below else count for (_, below), count in counted.items()]
        punctured = [never_zero(part, context) for part, _ in counted]
        groups = [(g, enclose_fraction(g.power), [n for n, key in enumerate(counted) if key in g.keys]) for g in vanishing(counted)]
        together = {n for _, _, places in groups for n in places}

        def step(at: list[int]) -> Step:
            def product(algebra: Algebra, known: list) -> object:
                raised = [_raised(algebra, known[k], power, safe) for power, safe, k in zip(powers, punctured, at, strict=False)]
                parts = [part for n, part in enumerate(raised) if n not in together]
                for (group, power, places), x in zip(groups, at[len(powers) :], strict=True):
                    found = reduce(algebra.multiply, [raised[n] for n in places])
                    parts.append(algebra.vanishing(found, known[x], power, group.logs))
                if abs(front) != 1 or not parts:
                    parts.insert(0, algebra.number(number))
                total = reduce(algebra.multiply, parts)
                return algebra.negative(total) if front == -1 and at else total

            return product

        return [self._key(part, context) for part in (*(part for part, _ in counted), *(g.x for g, _, _ in groups))], step

    def _power(self, e: Power, context: Context) -> Plan:
        base, safe = self._key(e.base, context), never_zero(e.base, context)
        p = e.exponent.exact
        if e.whole is not None:
            whole = e.whole
            return [base], lambda at: lambda algebra, known: _raised(algebra, known[at[0]], whole, safe)
        if p is not None and abs(p) == Fraction(1, 2):
            return [base], lambda at: lambda algebra, known: _raised(algebra, algebra.square_root(known[at[0]]), int(2 * p), safe)
        if e.base == Constant("E"):
            return [self._key(e.exponent, context)], lambda at: lambda algebra, known: algebra.smooth("exp", known[at[0]])
        if not free_names(e.exponent):
            exponent = exponent_of(p) if p is not None else exponent_between(_constant(e.exponent))
            return [base], lambda at: lambda algebra, known: algebra.real_power(known[at[0]], exponent)

        # x^y = exp(y·log x) for x > 0; elsewhere it is not defined.
        def real(at: list[int]) -> Step:
            return lambda algebra, known: algebra.smooth("exp", algebra.multiply(known[at[1]], algebra.smooth("log", known[at[0]])))

        return [base, self._key(e.exponent, context)], real

    def _piecewise(self, e: Piecewise, context: Context) -> Plan:
        """Each value is asked for where its condition holds and none before it does, which only matters where it may be undefined."""
        needs: list[Key] = []
        before = context
        for value, condition in e.cases:
            needs.append(self._key(value, (*before, *guards(condition)) if partial(value) else context))
            needs.append(self._key(condition, before if partial(condition) else context))
            before = (*before, *guards(condition, False))

        def step(at: list[int]) -> Step:
            def chosen(algebra: Algebra, known: list) -> object:
                result = None
                for value, condition in reversed(list(zip(at[::2], at[1::2], strict=True))):
                    result = algebra.choose(known[condition], known[value], result)
                return result

            return chosen

        return needs, step


@lru_cache(maxsize=1 << 13)
def equations_of(tube: Tube) -> Equations:
    """The equations of a tube, enclosed; what is proved of it is proved once."""
    return Equations(tube, Program(tube.equations))


def _constant(e: Node) -> Interval:
    """A number that is no fraction, enclosed."""
    program = Program.__new__(Program)
    program._build((), (e,))
    with np.errstate(all="ignore"):
        return program(IntervalAlgebra(), [])[0]


def _named(e: Node) -> str:
    return e.function if isinstance(e, Call) else e.name if isinstance(e, Constant) else type(e).__name__


def _restricted(above: bool) -> Callable[[list[int]], Step]:
    return lambda at: lambda algebra, known: algebra.restricted(known[at[0]], known[at[1]], above)


def _times(algebra: Algebra[T], number: Interval, exact: Fraction, part: T) -> T:
    """A number times a part."""
    if abs(exact) == 1:
        return part if exact == 1 else algebra.negative(part)
    return algebra.multiply(algebra.number(number), part)


def _raised(algebra: Algebra[T], a: T, n: int, safe: bool) -> T:
    if n == 1:
        return a
    found = algebra.power(a, n)
    return algebra.never_zero(found, a, False) if safe and n < 0 else found


def _called(e: Node, name: str, at: list[int], safe: bool) -> Step:
    if name in ("Max", "Min"):
        return _folded("larger" if name == "Max" else "smaller", at)
    if safe:
        return lambda algebra, known: algebra.never_zero(algebra.smooth(name, known[at[0]]), known[at[0]], True)
    if name in SMOOTH:
        return lambda algebra, known: algebra.smooth(name, known[at[0]])
    if name == "atan2":
        return lambda algebra, known: algebra.angle(known[at[0]], known[at[1]])
    own = {"sqrt": "square_root", "Abs": "absolute", "sign": "sign"}
    if name in own:
        return lambda algebra, known: getattr(algebra, own[name])(known[at[0]])
    raise NotEnclosed(f"{name} in {text_of(e)[:LONGEST]} has no enclosure; write it with the functions of specifications")


def _folded(name: str, at: list[int]) -> Step:
    def step(algebra: object, known: list) -> object:
        total = known[at[0]]
        for place in at[1:]:
            total = getattr(algebra, name)(total, known[place])
        return total

    return step
