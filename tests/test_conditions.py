"""What every part of a tree demands, where it is asked for, and where a batch of points surely fails it."""

from __future__ import annotations

import numpy as np
import pytest
from atlasmoe.expressions.conditions import Demand, conditions
from atlasmoe.expressions.defined import margins, undefined
from atlasmoe.expressions.evaluate import evaluate
from atlasmoe.expressions.parse import read_expression
from atlasmoe.expressions.text import text_of

X = np.array([-2.0, -1.0, -0.5, 0.0, 0.25, 1.0, 2.0])


def tree(text: str):
    return read_expression(text, "xy").tree


def listed(text: str) -> list[tuple[str, Demand, list[tuple[str, bool]]]]:
    return [(c.text, c.demand, [(text_of(g), holds) for g, holds in c.guards]) for c in conditions([tree(text)])]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x**2 + sin(x)*exp(y) + 1/3 + 2**x + x**0 + sqrt(x**2)/(1 + x**2)*asin(sin(x)) + acosh(cosh(x)) + log(exp(x))", []),
        (
            "log(x**2) + log(abs(x)) + 1/x**2",
            [("log(x**2)", Demand.POSITIVE, []), ("log(Abs(x))", Demand.POSITIVE, []), ("1/x**2", Demand.NONZERO, [])],
        ),
        ("x/x", [("1/x", Demand.NONZERO, [])]),
        ("x**-2.0", [("x**(-2.0)", Demand.NONZERO, [])]),
        ("x**2.5 + x**-pi", [("x**2.5", Demand.NONNEGATIVE, []), ("x**(-pi)", Demand.POSITIVE, [])]),
        ("x**y", [("x**y", Demand.POSITIVE, [])]),
        ("log(asin(x))", [("asin(x)", Demand.WITHIN_ONE, []), ("log(asin(x))", Demand.POSITIVE, [])]),
        ("atan2(y, x)*acosh(x)", [("atan2(y, x)", Demand.DIRECTION, []), ("acosh(x)", Demand.FROM_ONE, [])]),
        (
            "Piecewise((log(x), x > 0), (1/x, 1/y > 1 and x < 3), (cot(x), True))",
            [
                ("log(x)", Demand.POSITIVE, [("x > 0", True)]),
                ("1/x", Demand.NONZERO, [("x > 0", False), ("1/y > 1 and x < 3", True)]),
                ("1/y", Demand.NONZERO, [("x > 0", False)]),
                ("cot(x)", Demand.SINE, [("x > 0", False), ("1/y > 1 and x < 3", False)]),
            ],
        ),
        ("Piecewise((log(x), x > 0), (0, True)) + log(x)", [("log(x)", Demand.POSITIVE, [])]),
        ("Piecewise((log(x), x > 0), (log(x)**2, y > 0), (0, True))", [("log(x)", Demand.POSITIVE, [])]),
        (
            "Piecewise((Piecewise((sqrt(x), x < 2), (tan(x), True)), x > 0), (0, True))",
            [
                ("sqrt(x)", Demand.NONNEGATIVE, [("x < 2", True), ("x > 0", True)]),
                ("tan(x)", Demand.COSINE, [("x < 2", False), ("x > 0", True)]),
            ],
        ),
    ],
)
def test_conditions(text, expected):
    assert sorted(listed(text), key=str) == sorted(expected, key=str)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("sqrt(x)**2", X < 0),
        ("exp(log(x))", X <= 0),
        ("x/x", X == 0),
        ("0*log(x)", X <= 0),
        ("sin(asin(x))", abs(X) > 1),
        ("tanh(atanh(x))", abs(X) >= 1),
        ("cosh(acosh(x))", X < 1),
        ("(x**2)**(1/2) + log(exp(x)) + sqrt(1 - sin(x)**2 - cos(x)**2 + 0*x) + x**0", X > 9),
        ("Piecewise((sqrt(x)**2, x >= 0), (x, True))", X > 9),
        ("Piecewise((x, sqrt(x) > 1), (0, True))", X < 0),
        ("Piecewise((x, x > 0.5), (1/(x - 1/4), x > 0), (0, True))", X == 0.25),
        ("1/(1/x)", X == 0),
        ("atan2(0*x, x)", X == 0),
        ("Max(x, log(x))", X <= 0),
        ("x**(1/3)", X < 0),
        ("x**-0.5", X <= 0),
        ("y/(y - 1)", X > 9),
    ],
)
def test_undefined_at_points(text, where):
    assert (undefined([tree(text)], {"x": X, "y": np.zeros(len(X))})[:, 0] == where).all()


def test_margins_ask_only_where_the_case_is_reached():
    asked = conditions([tree("Piecewise((log(x), x > 0.1), (sqrt(x + 1), True))")])
    found = margins(asked, {"x": X})
    assert (found[:, [c.demand for c in asked].index(Demand.POSITIVE)][X <= 0.1] == np.inf).all()
    assert (found < 0).any(1).tolist() == (X < -1).tolist()


def test_rounding_is_bounded():
    """The sum comes out as −1.1e-16 or so, which proves nothing; values are right to their bounds."""
    x = np.linspace(0.1, 3, 50)
    known = evaluate([tree("x*x - 2*x*0.3 + 0.09")], {"x": x})[tree("x*x - 2*x*0.3 + 0.09")]
    assert (abs(known.value - (x - 0.3) ** 2) <= 4 * known.error + 1e-17).all()
    assert not undefined([tree("sqrt(x*x - 2*x*y + y*y)")], {"x": np.linspace(1, 2, 999), "y": np.linspace(1, 2, 999) * (1 + 1e-16)}).any()
