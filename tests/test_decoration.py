"""What is known of expressions on whole boxes: defined, continuous, Lipschitz, C², and never more than is true."""

from __future__ import annotations

import numpy as np
import pytest
import sympy
from atlasmoe.expressions import ExpressionMap
from atlasmoe.expressions.parse import parse_expression, real_symbols
from atlasmoe.intervals import Decoration, Interval, NaturalEnclosure
from atlasmoe.intervals.decoration import SURE, least
from atlasmoe.intervals.gradients import GradientEnclosure
from atlasmoe.intervals.patch import Patch, PatchMap
from atlasmoe.verify.enclosure import ExpressionEnclosure

NOTHING, DEFINED, CONTINUOUS, LIPSCHITZ, SMOOTH = Decoration
CASES = [
    ("x*y + exp(y)", (0, 1), (0, 1), SMOOTH),
    ("1/x", (-1, 1), (0, 1), NOTHING),
    ("1/x", (0, 1), (0, 1), NOTHING),
    ("1/x**2", (-1, 2), (0, 1), NOTHING),
    ("1/x", (1, 2), (0, 1), SMOOTH),
    ("sqrt(x)", (-1, 4), (0, 1), NOTHING),
    ("sqrt(x)", (0, 1), (0, 1), CONTINUOUS),
    ("sqrt(x)", (1, 2), (0, 1), SMOOTH),
    ("x**0.3", (0, 1), (0, 1), CONTINUOUS),
    ("x**1.5", (0, 1), (0, 1), LIPSCHITZ),
    ("x**2.5", (0, 1), (0, 1), SMOOTH),
    ("x**2.5", (-1, 1), (0, 1), NOTHING),
    ("x**2.0", (-1, 1), (0, 1), SMOOTH),
    ("x**(-1.0)", (-2, -1), (0, 1), SMOOTH),
    ("x**(-0.5)", (0, 1), (0, 1), NOTHING),
    ("x**y", (0.5, 2), (-2, 2), SMOOTH),
    ("x**y", (0, 2), (-2, 2), NOTHING),
    ("log(x)", (0, 1), (0, 1), NOTHING),
    ("sin(log(x))", (-1, 1), (0, 1), NOTHING),
    ("atan(1/x)", (-1, 1), (0, 1), NOTHING),
    ("tanh(tan(x))", (1, 2), (0, 1), NOTHING),
    ("(log(x) + y)**2", (-1, 1), (0, 1), NOTHING),
    ("asin(x)", (-1, 1), (0, 1), CONTINUOUS),
    ("acos(x)", (-0.5, 0.5), (0, 1), SMOOTH),
    ("asin(x)", (0, 2), (0, 1), NOTHING),
    ("acosh(x)", (1, 2), (0, 1), CONTINUOUS),
    ("acosh(x)", (0, 2), (0, 1), NOTHING),
    ("atanh(x)", (0, 1), (0, 1), NOTHING),
    ("atan2(y, x)", (-1, 1), (-1, 1), NOTHING),
    ("atan2(y, x)", (-2, -1), (-1, 1), DEFINED),
    ("atan2(y, x)", (-2, -1), (0, 1), SMOOTH),
    ("atan2(y, x)", (-2, -1), (-1, 0), DEFINED),
    ("atan2(y, x)", (1, 2), (-1, 1), SMOOTH),
    ("sign(x)", (-1, 1), (0, 1), DEFINED),
    ("sign(x)", (0, 1), (0, 1), DEFINED),
    ("sign(x)", (1, 2), (0, 1), SMOOTH),
    ("abs(x)", (-1, 1), (0, 1), LIPSCHITZ),
    ("abs(x)", (0, 1), (0, 1), SMOOTH),
    ("max(x, y)", (0, 1), (0, 1), LIPSCHITZ),
    ("max(x, y)", (1, 2), (0, 1), SMOOTH),
    ("min(x, sqrt(y))", (-2, -1), (0, 1), SMOOTH),
    ("min(x, sqrt(y))", (-2, -1), (-1, 1), NOTHING),
    ("Piecewise((x, x < y), (y, True))", (0, 1), (0, 1), DEFINED),
    ("Piecewise((x, x < y), (y, True))", (2, 3), (0, 1), SMOOTH),
    ("Piecewise((1, log(x) < 0), (2, True))", (-1, 1), (0, 1), NOTHING),
    ("Piecewise((1, sqrt(x) >= 0), (2, True))", (-1, 1), (0, 1), NOTHING),
    ("Piecewise((sqrt(x), x > 1), (y, True))", (-1, 0), (0, 1), SMOOTH),
    ("Piecewise((sqrt(x), x > 1), (y, True))", (2, 3), (0, 1), SMOOTH),
]


@pytest.mark.parametrize(("text", "x", "y", "known"), CASES)
def test_what_is_known_on_a_box(text: str, x: tuple[float, float], y: tuple[float, float], known: Decoration) -> None:
    """By every enclosure; what may be undefined is unknown, derivatives are known of what is Lipschitz, second ones of what is C²."""
    names = real_symbols(["x", "y"])
    function = ExpressionMap(tuple(names.values()), (parse_expression(text, names),))
    lower, upper = np.array([[x[0], y[0]]], float), np.array([[x[1], y[1]]], float)
    sides = [Interval(lower[:, k], upper[:, k]) for k in range(2)]
    (natural,) = NaturalEnclosure(function)(sides)
    enclosed = ExpressionEnclosure(function).over(lower, upper)
    (value,), ((first, _),) = GradientEnclosure(function)(sides)
    patch = PatchMap(function)(Patch.coordinates(lower, upper))
    for found in (natural, enclosed.bounds, value, patch.value):
        assert np.all(found.decoration == known)
        assert np.isfinite(found.lower).all() == np.isfinite(found.upper).all() == (known >= DEFINED)
    assert np.isfinite(enclosed.forms.radius).all() == (known >= DEFINED)
    for slope in (first, patch.first):
        assert np.isfinite(slope.magnitude).all() == (known >= LIPSCHITZ)
    assert np.isfinite(patch.second.magnitude).all() == (known >= SMOOTH)


def test_without_a_last_case_it_is_defined_where_a_condition_holds() -> None:
    (x,) = real_symbols(["x"]).values()
    map_ = NaturalEnclosure(ExpressionMap((x,), (sympy.Piecewise((x, x < 4)),)))
    (found,) = map_([Interval.of([2.0, 2.0], [3.0, 4.0])])
    assert found.decoration.tolist() == [SMOOTH, NOTHING]
    assert np.isinf(found.upper).tolist() == [False, True]


def test_values_where_there_are_some() -> None:
    root = Interval.of(-1.0, 4.0).sqrt()
    assert (root.lower, root.decoration) == (0, NOTHING)
    assert 2 <= root.upper < 2 + 1e-12
    nowhere = Interval.of([-2.0, 2.0], [-1.0, 3.0])
    assert np.isinf(nowhere.sqrt().upper).tolist() == [True, False]


def test_what_cannot_go_wrong_costs_nothing() -> None:
    """One shared constant is handed on; only what is at risk gets an array."""
    x = Interval.of([0.25, 1.0], [0.5, 2.0])
    for found in (x + x, x * x, -x, x.inverse(), x.power(3), x.sqrt(), x.log(), x.sin(), x.absolute(), x.larger(-x), x[0], x.hull(-x)):
        assert found.decoration is SURE
    assert least(SURE, SURE) is SURE
    assert (Interval.of([0.0, 1.0], [1.0, 2.0]).sqrt() * x).decoration.tolist() == [CONTINUOUS, SMOOTH]


def test_overflow_is_not_undefined() -> None:
    big = Interval.of(800.0).exp()
    assert np.isinf(big.upper)
    assert (big - big).decoration == SMOOTH
    assert Interval.of(np.nan).decoration == NOTHING
    (x,) = real_symbols(["x"]).values()
    (found,) = NaturalEnclosure(ExpressionMap((x,), (parse_expression("tanh(x)", {"x": x}),)))([Interval.of(-np.inf, np.inf)])
    assert found.decoration == NOTHING  # what is not bounded may not be defined
