"""Where expressions are undefined: every condition of the tree of every map that is used, followed to where it may fail.

Conditions are those of the text, before sympy has rewritten it. Each is looked at in floats at the sampled points, then followed to
where it comes nearest to failing; a part that must not vanish also to where it changes its sign. What is found there is a finding only if
interval arithmetic at that very point confirms it, so that an end of a domain that belongs to it, like 0 for sqrt(x), is never one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ...errors import AtlasMoEError, Finding, InvalidArgument, Severity
from ...expressions.box import Array
from ...expressions.conditions import Condition, Demand, conditions
from ...expressions.defined import margins
from ...expressions.evaluate import evaluate
from ...expressions.from_sympy import tree_of
from ...expressions.later import sympy
from ...expressions.lost import lost
from ...expressions.maps import ExpressionMap
from ...expressions.precise import Enclosed, Undefined, enclose_at
from ...expressions.text import format_expression, text_of
from ...expressions.tree import Call, Lookup, Negative, Node, Number, Piecewise, Power, Product, Truth, substitute
from .probe import Probe, descend, many, number, rounded

STARTS = 4
"""Points from which each condition is followed."""
DIGITS = 60
"""Digits of the arithmetic that confirms."""
DECIMALS = 9
"""A worst point is also looked at rounded to 1, …, DECIMALS decimals, where expressions with round numbers vanish exactly."""
CROSSINGS = 4
SMALL = 1e-6
"""Between two neighbouring floats a part changes its sign through 0, and not by a jump, if it is this small there, relative to its size."""
LONGEST = 60
"""Characters of a part that a message shows."""
ZERO, ONE = Number(Fraction(0)), Number(Fraction(1))

Columns = Mapping[str, Array]
Reads = Callable[[Array], Columns]
"""From points of a box to the values of the variables of an expression."""


@dataclass(frozen=True)
class Failure:
    """A condition of component `component` that fails at a point of the box."""

    component: int
    condition: Condition
    point: Array
    """(d,)."""
    value: float | None
    """Of its (first) argument there; None if it is only known to vanish near by."""
    bad: NDArray[np.bool_]
    """At which of the sampled points it fails."""


@dataclass(frozen=True, eq=False)
class Use:
    """A map that is used on a chart: its components over intrinsic coordinates, exactly, and where it is looked at."""

    probe: Probe
    function: ExpressionMap
    through: ExpressionMap | None
    """φ⁻¹, if the map is one of ambient coordinates."""
    points: Array
    """(n, d) points of the chart at which it is used."""
    closed: bool
    """Whether it is used on the faces of the box too."""

    def holds(self, u: Array) -> NDArray[np.bool_]:
        """Whether it is used there."""
        inside = self.probe.chart.inside(u)
        return inside if self.closed else inside & (np.abs(self.probe.box.to_unit(u)).max(-1) < 1)

    def columns(self, u: Array) -> Columns:
        values = u if self.through is None else self.through(u)
        return {name: values[..., k] for k, name in enumerate(self.function.names)}

    def exactly(self, part: Node, u: Array) -> tuple[Node, dict[str, float]]:
        """A part of the map as a tree over intrinsic coordinates, and a point of them."""
        if self.through is not None:
            (part,) = substitute([part], dict(zip(self.function.names, self.through.trees, strict=True)))
        names = self.function.names if self.through is None else self.through.names
        return part, dict(zip(names, map(float, u), strict=True))


def check_defined(
    probe: Probe,
    where: str,
    function: ExpressionMap,
    points: Array,
    *,
    remedy: str,
    through: ExpressionMap | None = None,
    of: str = "",
    closed: bool = True,
    reported: set[Node] | None = None,
    cut: bool = False,
) -> list[Finding]:
    """A map of intrinsic coordinates, or of ambient ones `through` φ⁻¹, has a value at every point of the (closed) chart where it is used.

    One finding for every part that has none somewhere, unless it was `reported` before, as on another chart. `cut`: whether a region of
    ambient coordinates may leave the place out of M.
    """
    found: list[Finding] = []
    reported = set() if reported is None else reported
    for failure in _failures(Use(probe, function, through, points, closed)):
        if failure.condition.part not in reported:
            reported.add(failure.condition.part)
            name = f"{where}[{failure.component}]" if function.outputs > 1 else where
            left_out = _left_out(failure.condition) if cut else ""
            found.append(finding(name, failure, function, of, f"{left_out}{remedy}"))
    return found


def _failures(use: Use) -> Iterator[Failure]:
    asked: dict[Condition, int] = {}
    for k, tree in enumerate(use.function.trees):
        for condition in conditions([tree]):
            asked.setdefault(condition, k)
    if not asked or not len(use.points):
        return
    columns = use.columns(use.points)
    for condition, component in asked.items():
        try:
            depth = margins([condition], columns)[:, 0]
        except InvalidArgument:
            continue  # a function that no text can say: nothing is known of its domain
        if np.isinf(depth).all():
            continue
        point = _nearest(use, condition, depth)
        if (confirmed := _confirmed(use, component, condition, point)) is not None:
            yield Failure(component, condition, *confirmed, depth < 0)
        elif (crossing := _crossing(use, condition, columns)) is not None:
            yield Failure(component, condition, crossing, None, depth < 0)


def _nearest(use: Use, condition: Condition, depth: Array) -> Array:
    """(d,): the point at which a condition fails most, or comes nearest to failing."""
    if depth.min() < 0:
        return use.points[int(depth.argmin())]

    def objective(u: Array) -> Array:
        return np.where(use.holds(u), margins([condition], use.columns(u))[:, 0], np.inf)

    starts = use.points[np.argsort(depth, kind="stable")[:STARTS]]
    at, value = descend(objective, starts, use.probe.chart, seed=use.probe.seed)
    best = at[int(value.argmin())]
    if value.min() < 0:
        return best
    round_ = np.stack([np.round(best, decimals) for decimals in range(1, DECIMALS + 1)] + [best])
    round_ = round_[use.holds(round_)]
    return best if not len(round_) else round_[int(objective(round_).argmin())]


def _confirmed(use: Use, component: int, condition: Condition, point: Array) -> tuple[Array, float] | None:
    """The point and the argument there if the part surely has no value at it, rounded if it has none there either."""
    for u in (np.array(rounded(point)), point):
        if not use.holds(u):
            continue
        try:
            alone, at = use.exactly(_guarded(condition), u)
            if any(isinstance(enclose_at(use.exactly(part, u)[0], at, DIGITS), Undefined) for part in condition.arguments):
                continue  # a part of it has no value, which is said of that part
            whole, _ = use.exactly(use.function.trees[component], u)
            if isinstance(enclose_at(alone, at, DIGITS), Undefined) and isinstance(enclose_at(whole, at, DIGITS), Undefined):
                argument = (
                    enclose_at(use.exactly(condition.arguments[0], u)[0], at, DIGITS) if condition.demand is not Demand.CASE else None
                )
                return u, float(argument.lower) if isinstance(argument, Enclosed) else float("nan")
        except InvalidArgument:
            return None
    return None


def _guarded(condition: Condition) -> Node:
    """The part where its guards hold, 0 elsewhere."""
    tree, zero = condition.part, ZERO
    for guard, holds in condition.guards:
        cases = ((tree, guard), (zero, Truth(True))) if holds else ((zero, guard), (tree, Truth(True)))
        tree = Piecewise(cases)
    return tree


def vanishing(condition: Condition) -> list[Node]:
    """The parts whose zeros are where the condition fails, if it fails at zeros."""
    argument = condition.arguments[0]
    match condition.demand:
        case Demand.COSINE:
            return [Call("cos", (argument,))]
        case Demand.SINE:
            return [Call("sin", (argument,))]
        case Demand.NONZERO:
            return list(_factors(argument))
    return []


def _factors(node: Node) -> Iterator[Node]:
    """Parts one of which vanishes where the node does."""
    match node:
        case Product(factors):
            for factor in factors:
                yield from _factors(factor)
        case Negative(part):
            yield from _factors(part)
        case Call("Abs", (part,)):
            yield from _factors(part)
        case Power(base, _) if node.whole is not None and node.whole > 0:
            yield from _factors(base)
        case _ if node.exact is None:
            yield node


def _crossing(use: Use, condition: Condition, columns: Columns) -> Array | None:
    """A point next to which a part that must not vanish changes its sign, if there is one where the part is asked for."""
    for node in vanishing(condition):

        def signed(u: Array, columns: Columns | None = None, node: Node = node) -> Array:
            known = evaluate([node, *(g for g, _ in condition.guards)], use.columns(u) if columns is None else columns)
            here = np.ones(len(u), bool)
            for guard, holds in condition.guards:
                here &= known[guard].value == holds
            return np.where(here, known[node].value, np.nan)

        value = signed(use.points, columns)
        plus, minus = use.points[value > 0], use.points[value < 0]
        if not len(plus) or not len(minus):
            continue
        unit = use.probe.box.to_unit
        a = use.probe.thin(plus, CROSSINGS)
        b = minus[((unit(a)[:, None] - unit(minus)[None]) ** 2).sum(-1).argmin(1)]
        for _ in range(60):
            middle = (a + b) / 2
            positive = (signed(middle) > 0)[:, None]
            a, b = np.where(positive, middle, a), np.where(positive, b, middle)
        size = float(np.nanmax(np.abs(value)))
        for high, low in zip(a, b, strict=True):
            if use.holds(np.stack([high, low])).all() and _changes_sign(use, condition, node, high, low, size):
                return np.array(rounded((high + low) / 2))
    return None


def _changes_sign(use: Use, condition: Condition, node: Node, high: Array, low: Array, size: float) -> bool:
    """Whether a part is surely positive at one point and negative at another beside it, small at both, and asked for at both."""
    if np.abs(high - low).max() > 1e-9 * np.abs(use.probe.box.widths).max():
        return False
    for sign, u in ((1, high), (-1, low)):
        tree, at = use.exactly(_guarded(Condition(node, condition.demand, (), condition.guards)), u)
        try:
            found = enclose_at(tree, at, DIGITS)
        except InvalidArgument:
            return False
        if not isinstance(found, Enclosed) or not min(sign * found.lower, sign * found.upper) > 0:
            return False
        if abs(float(found.upper)) > SMALL * size:
            return False
    return True


def finding(where: str, failure: Failure, function: ExpressionMap, of: str, remedy: str, at: str = "") -> Finding:
    """`of` and `at` say on which chart, and in which coordinates the point is."""
    condition = failure.condition
    arguments = " and ".join(_shown(argument) for argument in condition.arguments)
    share = many(failure.bad) if failure.bad.any() else "a point"
    if failure.value is None:
        here = "and next to this one it changes its sign"
    elif condition.demand in (Demand.DIRECTION, Demand.CASE, Demand.COVERED):
        here = "which is not so here"
    else:
        here = f"and here it is {number(failure.value + 0.0)}"
    asked = condition.demand.value if not isinstance(condition.part, Lookup) else f"lie in {_given(condition.part)}"
    problem = f"is undefined{of} at {share}: {_shown(condition.part)} has a value only where {arguments} {asked}, {here}{at}"
    advice = _advice(condition, function.expressions[failure.component])
    return Finding(Severity.ERROR, where, problem, f"{advice}{remedy}", tuple(float(f"{v + 0.0:.6g}") for v in failure.point))


def _given(part: Lookup) -> str:
    """The domain of a field."""
    return " × ".join(f"[{a:.6g}, {b:.6g}]" for a, b in zip(part.field.lower, part.field.upper, strict=True))


def _shown(node: Node) -> str:
    text = text_of(node)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _left_out(condition: Condition) -> str:
    """How to leave a place out of M at which a direction is asked for that is none, as that of longitude at a pole."""
    if condition.demand is not Demand.DIRECTION:
        return ""
    size = " + ".join(text_of(Power(argument, Number(Fraction(2)))) for argument in condition.arguments)
    return f'leave what is near it out of M, with region = "{size} - 1/100" in the manifold, or ' if len(size) <= LONGEST else ""


def _advice(condition: Condition, expression: sympy.Expr) -> str:
    """How to write it so that it has a value: as sympy simplifies it, if the part is gone then; or with the argument cut off, or asked."""
    if lost([condition], conditions([tree_of(expression)])):
        try:
            text = format_expression(expression)
        except AtlasMoEError:
            text = ""
        if 0 < len(text) <= LONGEST:
            return f"write {text} if that is meant, or "
    part, argument = condition.part, condition.arguments[0]
    if condition.demand is Demand.COVERED:
        return "give the table wider axes, or name those that are periodic, periodic = [...], or "
    if isinstance(part, Power) and part.exponent.exact is not None and part.exponent.exact.denominator % 2:
        root: Node = Power(Call("Abs", (argument,)), part.exponent)  # the root of a negative number that calculators mean
        text = text_of(Product((Call("sign", (argument,)), root)) if part.exponent.exact.numerator % 2 else root)
        return f"write {text} if that is meant, or " if len(text) <= LONGEST else ""
    inside = {
        Demand.NONNEGATIVE: Call("Max", (argument, ZERO)),
        Demand.WITHIN_ONE: Call("Max", (Negative(ONE), Call("Min", (ONE, argument)))),
        Demand.FROM_ONE: Call("Max", (ONE, argument)),
    }.get(condition.demand)
    if inside is not None and isinstance(part, Power | Call):
        text = text_of(Power(inside, part.exponent) if isinstance(part, Power) else Call(part.function, (inside,)))
        return f"write {text}, or " if len(text) <= LONGEST else ""
    tests = {Demand.POSITIVE: "{a} > 0", Demand.NONZERO: "{a} < 0 or {a} > 0", Demand.INSIDE_ONE: "{a} > -1 and {a} < 1"}
    asked = vanishing(condition) if condition.demand is Demand.NONZERO else [argument]
    text = tests.get(condition.demand, "").format(a=text_of(asked[0] if len(asked) == 1 else argument))
    return f"say what it is there, with Piecewise((…, {text}), (…, True)), or " if 0 < len(text) <= LONGEST else ""
