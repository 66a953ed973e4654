"""Transitions between charts: formulas for what one chart holds of another, proved by exact arithmetic, or none."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import atlasmoe
import mpmath
import numpy as np
import pytest
import sympy
from atlasmoe.atlas import Box, Chart, ExpressionMap
from atlasmoe.atlas.exact import Functions, Quotient, Unsettled, with_finer_angles
from atlasmoe.atlas.transitions import Overlap, identity_at, transition_at
from atlasmoe.expressions import tree_of
from atlasmoe.expressions.parse import read_expression

LIBRARY = [
    ("circle", {}),
    ("circle", {"charts": 7}),
    ("circle", {"atlas": "graph"}),
    ("circle", {"atlas": "stereographic"}),
    ("sphere", {}),
    ("sphere", {"atlas": "graph"}),
    ("torus", {"charts": 2}),
    ("cylinder", {}),
    ("moebius_band", {"charts": 2}),
    ("moebius_band", {"charts": 3}),
    ("swiss_roll", {}),
    ("so3", {}),
    ("box", {"charts": 2}),
]


@pytest.mark.parametrize(("name", "options"), LIBRARY)
def test_every_overlap_of_the_library_has_formulas(name: str, options: dict) -> None:
    atlas = atlasmoe.builtin(name, **options)
    rng = np.random.default_rng(1)
    for p in atlas.parametrising:
        points = p.draw(60, rng)
        assert identity_at(p, points[0]) is not None
        for q in atlas.parametrising:
            shared = points[q.contains(p.inverse(points))] if q is not p else points[:0]
            overlap = Overlap(p, q)
            for transition in overlap.at(shared):
                taken = shared[overlap._takes(transition, shared)]
                assert np.abs(q.inverse(transition.coordinates(taken)) - p.inverse(taken)).max(initial=0) < 1e-12
            assert not overlap.failed


def test_the_two_halves_of_a_moebius_band_meet_in_two_parts() -> None:
    p, q = atlasmoe.builtin("moebius_band", charts=2).parametrising
    points = p.draw(100, np.random.default_rng(0))
    overlap = Overlap(p, q)
    across = {transition.coordinates.expressions[1] for transition in overlap.at(points[q.contains(p.inverse(points))])}
    u = p.inverse.variables[1]
    assert across == {u, -u}


def chart(name: str, inverse: tuple, forward: tuple, domain: tuple[float, float] = (-1.0, 1.0)) -> Chart:
    t, x, y = sympy.symbols("t x y", real=True)
    into = {"t": t, "x": x, "y": y}
    maps = [tuple(sympy.sympify(e, locals=into) for e in part) for part in (inverse, forward)]
    return Chart(name, Box((domain[0],), (domain[1],)), ExpressionMap((t,), maps[0]), ExpressionMap((x, y), maps[1]))


LINE = chart("line", ("t", "0"), ("x",))
NOT_HELD = [
    chart("a parallel", ("t", "1e-13"), ("x",)),
    chart("one that crosses", ("t", "t"), ("x",)),
    chart("one that touches", ("t", "t**9"), ("x",)),
    chart("nearly the same", ("t + 1e-18*t**3", "0"), ("x",)),
    chart("a forward map that is off", ("t", "0"), ("x + 1e-18*x**2",)),
]


@pytest.mark.parametrize("other", NOT_HELD, ids=lambda c: c.name)
def test_what_is_not_held_has_no_formula(other: Chart) -> None:
    assert transition_at(LINE, other, np.array([0.25])) is None
    assert Overlap(LINE, other).at(np.array([[0.25]])) == []


def test_branches_are_conditions() -> None:
    upper = chart("upper", ("t", "sqrt(1 - t**2)"), ("x",))
    right = chart("right", ("sqrt(1 - t**2)", "t"), ("y",))
    transition = transition_at(upper, right, np.array([0.5]))
    assert transition is not None
    assert transition.conditions is not None
    assert (transition.conditions(np.array([[0.5], [-0.5]]))[:, 0] > 0).tolist() == [True, False]
    assert transition_at(upper, right, np.array([-0.5])) is None


def test_an_arc_that_is_too_long_is_only_inverse_where_the_angle_is() -> None:
    arc = chart("arc", ("cos(t)", "sin(t)"), ("atan2(y, x)",), (-5.0, 5.0))
    found = identity_at(arc, np.array([0.5]))
    assert found is not None
    assert found.conditions is not None
    assert (found.conditions(np.array([[3.1], [3.2]])) > 0).all(1).tolist() == [True, False]
    assert identity_at(arc, np.array([3.5])) is None


TEXTS = [
    "sqrt((a + b)**2) - a - b",
    "sin(a + b) - sin(a)*cos(b) - cos(a)*sin(b)",
    "cos(3*a) - 4*cos(a)**3 + 3*cos(a)",
    "sin(a/2)**2 - (1 - cos(a))/2",
    "exp(a + b)/exp(b) - exp(a)",
    "log(exp(a)) - a",
    "exp(2*log(a)) - a**2",
    "atan2(sin(a), cos(a)) - a",
    "atan2(2*b*sin(a), 2*b*cos(a)) - a",
    "cos(atan2(b, a)/2)**2 - (1 + a/sqrt(a**2 + b**2))/2",
    "sin(asin(a/2)) - a/2",
    "cos(acos(a/3) + asin(a/3))",
    "tan(atan(a)) - a",
    "cosh(a)**2 - sinh(a)**2 - 1",
    "a*cos(pi/5)**2 + a*sin(pi/5)**2 - a",
    "cos(a + 2*pi/7)*cos(2*pi/7) + sin(a + 2*pi/7)*sin(2*pi/7) - cos(a)",
    "Max(a, b) + Min(a, b) - a - b",
    "Abs(a*b) - a*b",
    "Piecewise((a, a > b), (b, True)) - Max(a, b)",
    "1/(1/a + 1/b) - a*b/(a + b)",
]


@pytest.mark.parametrize("text", TEXTS)
def test_identities_are_seen_and_what_is_nearly_one_is_not(text: str) -> None:
    a, b = sympy.symbols("a b", real=True)
    expression = read_expression(text, ["a", "b"]).tree

    def compute(angles: Sequence[sympy.Expr]) -> tuple[Functions, Quotient]:
        functions = Functions((a, b), np.array([0.75, 1.25]), angles)
        return functions, functions.of(expression, functions.inputs)

    functions, zero = with_finer_angles(compute)
    assert not zero.top
    off = functions.plus(zero, functions.times(functions.inputs["a"], Fraction(1, 10**30)))
    assert off.top


def test_values_are_those_of_arbitrary_precision() -> None:
    """What is computed in the ring has, at the point, the value of the expression."""
    a, b = sympy.symbols("a b", real=True)
    parts = [a, b, a * b, sympy.sin(a), sympy.cos(b), sympy.sqrt(a**2 + b**2), sympy.exp(a), sympy.atan2(b, a), sympy.log(b), a - b, 1 / b]
    rng = np.random.default_rng(5)
    settled = 0
    for _ in range(300):
        x, y, z = (parts[k] for k in rng.integers(len(parts), size=3))
        expression = [x * y + z, x / (1 + y**2) - z, sympy.sqrt(x**2 + y**2 + 1) * z, sympy.cos(x) * y - sympy.sin(z) ** 2][rng.integers(4)]
        point = rng.uniform(0.2, 1.5, 2)

        def compute(angles: Sequence[sympy.Expr], expression: sympy.Expr = expression, point: np.ndarray = point) -> mpmath.mpf:
            functions = Functions((a, b), point, angles)
            return functions.value(functions.of(tree_of(expression), functions.inputs))

        try:
            found = with_finer_angles(compute)
        except Unsettled:
            continue
        with mpmath.workdps(40):
            exact = expression.subs({a: sympy.Float(point[0], 60), b: sympy.Float(point[1], 60)}).evalf(50)
            assert abs(found - mpmath.mpf(str(exact))) < 1e-30 * (1 + abs(found))
        settled += 1
    assert settled > 240


def test_an_inverse_that_jumps_is_held_on_its_side_only() -> None:
    t = sympy.Symbol("t", real=True)
    jumping = chart("jumping", ("t", "0"), ("x",))
    inverse = ExpressionMap((t,), (t, sympy.Piecewise((0, t < 0.5), (1, True))))
    jumping = Chart("jumping", jumping.domain, inverse, jumping.forward)
    transition = transition_at(jumping, LINE, np.array([0.25]))
    assert transition is not None
    assert transition.conditions is not None
    assert (transition.conditions(np.array([[0.4], [0.6]]))[:, 0] > 0).tolist() == [True, False]
    assert transition_at(jumping, LINE, np.array([0.75])) is None
