"""Smoothness: where two branches of an expression meet inside a chart, and whether its value or its slope jumps there.

sympy names the candidates: the argument of an Abs or sign, the difference of two arguments of a Max or Min, the sides of a
Piecewise comparison, the base of a fractional power, 1 − a² under asin and acos, y in atan2(y, x), the grid lines of a linear
table. Where such a switch vanishes inside a chart, the whole expression is differenced across the zero, so that max(0, u)⁴
passes and |u| does not. Only jumps of the value and of the first derivative are found.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from ...errors import Finding
from ...expressions.box import Array
from ...expressions.later import sympy
from ...expressions.looked import Looked, looked
from ...expressions.maps import ExpressionMap
from .maps import check_evaluates
from .probe import Probe, descend, error, warning

EDGE = 5e-3
"""Points within this fraction of half a box width of a face are not "inside" (differences need room)."""
SWITCHES = 48
"""Switches per expression that are followed."""
CROSSINGS = 10
"""Zeros per switch at which the expression is differenced."""
JUMP = 1e-4
KINK = 1e-3
"""A jump of the value (of the slope per half box width) counts from this fraction of the expression's range."""


class Break(IntEnum):
    """What happens at a switch, the worse the larger."""

    NONE = 0
    KINK = 1
    STEEP = 2
    JUMP = 3


@dataclass(frozen=True)
class Broken:
    """The worst switch of one expression on one chart."""

    kind: Break
    amount: float
    part: sympy.Expr
    """The sub-expression whose branches meet."""
    point: Array
    """(d,) intrinsic."""


def switches(expression: sympy.Expr) -> Iterator[tuple[sympy.Expr, sympy.Expr]]:
    """(sub-expression, switch): the sub-expression may lose smoothness where the switch vanishes."""
    for part in sympy.preorder_traversal(expression):
        if isinstance(part, sympy.Abs | sympy.sign | sympy.Heaviside):
            yield part, part.args[0]
        elif isinstance(part, sympy.Max | sympy.Min):
            for a, b in itertools.combinations(part.args, 2):
                yield part, a - b
        elif isinstance(part, sympy.Piecewise):
            for _, condition in part.args:
                for relation in sorted(condition.atoms(sympy.core.relational.Relational), key=str):
                    yield part, relation.lhs - relation.rhs
        elif isinstance(part, sympy.Pow) and part.exp.is_number and not part.exp.is_integer:
            yield part, part.base
        elif isinstance(part, sympy.asin | sympy.acos):
            yield part, 1 - part.args[0] ** 2
        elif isinstance(part, sympy.atan2):
            yield part, part.args[0]
        elif isinstance(part, Looked):
            for variable, argument in enumerate(part.arguments):
                if (saw := part.field.kinks(variable)) is not None:
                    yield part, looked(saw, 0, (0,), (argument,))
        elif isinstance(part, sympy.floor | sympy.ceiling):
            yield part, sympy.sin(sympy.pi * part.args[0])


def find_break(probe: Probe, function: ExpressionMap, component: int, ambient: bool, power: int = 0) -> Broken | None:
    """The worst break of one component on one chart, or None. `ambient`: the function reads φ⁻¹(u) instead of u.

    With a `power` p > 0 it is max(0, component)^p that is looked at: the default bump of a region, which hides what the
    region does where it ends.
    """
    expression = function.expressions[component]
    found = list(itertools.islice(((part, g) for part, g in switches(expression) if g.free_symbols), SWITCHES))
    if not found or check_evaluates("", function, np.zeros((1, function.inputs))):  # reported where values are checked
        return None

    def at(e: sympy.Expr) -> Callable[[Array], Array]:
        compiled = ExpressionMap(function.variables, (e,))
        return lambda u: compiled(probe.chart.inverse(u) if ambient else u)[..., 0]

    plain = at(expression)

    def value(u: Array) -> Array:
        return np.maximum(plain(u), 0) ** power if power else plain(u)

    inner = probe.thin(probe.closed[np.abs(probe.box.to_unit(probe.closed)).max(-1) < 1 - EDGE], 2048)
    if not len(inner):
        return None
    seen = value(inner)
    seen = seen[np.isfinite(seen)]
    size = max(float(np.ptp(seen)), 1e-9 * float(np.abs(seen).max())) if len(seen) else 0.0
    if size == 0:
        return None
    best: Broken | None = None
    for part, switch in dict(found).items() if len(dict(found)) == len(found) else found:
        for point in _zeros(probe, at(switch), inner):
            kind, amount = _classify(probe, value, point, size)
            if kind and (best is None or (kind, round(amount, 6)) > (best.kind, round(best.amount, 6))):
                best = Broken(kind, amount, part, point)
    return best


def _zeros(probe: Probe, switch: Callable[[Array], Array], inner: Array) -> Array:
    """Up to CROSSINGS points inside the chart at which the switch changes sign or touches zero."""
    try:
        g = switch(inner)
    except Exception:  # an argument with no numpy form is no candidate
        return inner[:0]
    inner, g = inner[np.isfinite(g)], g[np.isfinite(g)]
    if not len(g) or not g.any():
        return inner[:0]
    zeros = [inner[g == 0][: CROSSINGS // 2]]
    plus, minus = inner[g > 0], inner[g < 0]
    if len(plus) and len(minus):
        if len(plus) > len(minus):
            plus, minus = minus, plus
        a = probe.thin(plus, CROSSINGS)
        unit = probe.box.to_unit
        b = minus[((unit(a)[:, None] - unit(minus)[None]) ** 2).sum(-1).argmin(1)]
        sign = np.sign(switch(a))
        for _ in range(60):
            middle = (a + b) / 2
            stays = (np.sign(switch(middle)) == sign)[:, None]
            a, b = np.where(stays, middle, a), np.where(stays, b, middle)
        zeros.append(a)
    elif not len(zeros[0]):
        start = inner[np.argsort(np.abs(g), kind="stable")[:3]]
        point, value = descend(lambda u: np.abs(switch(u)), start, probe.chart, seed=probe.seed)
        zeros.append(point[value <= 1e-9 * np.abs(g).max()])
    points = np.concatenate(zeros)
    return points[(np.abs(probe.box.to_unit(points)).max(-1, initial=0) < 1 - EDGE) & probe.chart.inside(points)][:CROSSINGS]


def _classify(probe: Probe, value: Callable[[Array], Array], point: Array, size: float) -> tuple[Break, float]:
    """Differences across `point` at two step sizes tell a jump (they stay), a kink (their quotients stay), and a smooth point.

    The amount is the jump of the value, or of the slope per half box width, as a fraction of the expression's range.
    """
    d, half = len(point), probe.box.widths / 2
    directions = np.concatenate([np.eye(d), np.random.default_rng(probe.seed).uniform(-1, 1, (3 if d > 1 else 0, d))])
    steps = np.array([1e-4, 1e-5, 1e-6, 1e-8])
    offsets = steps[:, None, None] * directions * half
    up, down, here = value(point + offsets), value(point - offsets), value(point)
    if not (np.isfinite(up).all() and np.isfinite(down).all() and np.isfinite(here)):
        return Break.NONE, 0.0  # the check for finite values reports it
    across = np.abs(up - down) / size
    bend = np.abs(up + down - 2 * here) / size / steps[:, None]
    slope = across / (2 * steps[:, None])
    jump = across[3][across[3] > 0.5 * across[2]].max(initial=0)
    if jump > JUMP:
        return Break.JUMP, float(jump)
    steep = ((bend[1] > 2 * bend[0]) & (bend[1] > 1)) | ((slope[1] > 2 * slope[0]) & (slope[1] > 1))
    if steep.any():
        return Break.STEEP, float(np.maximum(bend, slope)[1][steep].max())
    kink = bend[1][bend[1] > 0.5 * bend[0]].max(initial=0)
    return (Break.KINK, float(kink)) if kink > KINK else (Break.NONE, 0.0)


def report(broken: Broken, where: str, probe: Probe, *, steep_is_error: bool, consequence: str) -> Finding:
    """A jump is an error everywhere; an unbounded slope is one for chart maps; a kink is a warning."""
    on = "" if where.startswith("chart") else f' on chart "{probe.chart.name}"'
    part = f"`{broken.part}`"
    if broken.kind is Break.JUMP:
        return error(
            where, f"jumps{on}, where the branches of {part} meet", "make the branches meet: the theorems ask for continuity", broken.point
        )
    if broken.kind is Break.STEEP:
        problem = f"has an unbounded slope{on}, where {part} has one"
        return (error if steep_is_error else warning)(where, problem, consequence, broken.point)
    return warning(where, f"has a kink{on}, where the branches of {part} meet", consequence, broken.point)
