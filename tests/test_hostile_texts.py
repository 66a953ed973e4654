"""Texts that sympy rewrites, and texts made to be misread: value and definedness are those of the text, by an arithmetic of its own.

The arbiter is Python: `eval` of the test's own text over mpmath numbers of 60 digits that refuse to be undefined.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from atlasmoe.atlas import ExpressionMap
from atlasmoe.errors import SpecError
from atlasmoe.expressions.parse import read_expression, real_symbols
from atlasmoe.expressions.precise import Enclosed, Undecided, Undefined, enclose_at
from atlasmoe.expressions.text import text_of

TOWERS = ["2" + "**-2" * 2_000, "exp(-" * 40 + "1" + ")" * 40, "x + 2" + "**-2" * 20]
"""Constants on which sympy spent twice as long with every level."""
POINTS = [-3.0, -1.0, -0.75, -1e-9, 0.0, 1e-9, 0.3, 1.0, 1.5, 2.0, 7.0]

TEXTS = [
    "x/x",
    "x**2/x",
    "(x**2)**(1/2)",
    "sqrt(x)*sqrt(x)",
    "sqrt(x)**2",
    "sqrt(x**2)",
    "sqrt(x**4)",
    "exp(log(x))",
    "log(exp(x))",
    "tan(atan(x))",
    "atan(tan(x))",
    "sin(asin(x))",
    "asin(sin(x))",
    "cos(acos(x))",
    "acos(cos(x))",
    "cosh(acosh(x))",
    "acosh(cosh(x))",
    "tanh(atanh(x))",
    "sinh(asinh(x))",
    "0*log(x)",
    "log(x) - log(x)",
    "x**0",
    "(1/x)**0",
    "0**x",
    "1**x",
    "1**(1/x)",
    "x**x",
    "(1/x)*x",
    "1/(1/x)",
    "1/(1/(x - 1))",
    "abs(x)**2",
    "Abs(sqrt(x))",
    "(x**3)**(1/3)",
    "(x**(1/3))**3",
    "x**(1/3)**3",
    "x**1.0",
    "x**2.0",
    "x**(4/2)",
    "x**-1.0",
    "x**-2.0*x**2",
    "x**0.5*x**0.5",
    "x**2.5",
    "x**-2.5",
    "x**pi",
    "x**(2*sin(pi/6))",
    "x**sqrt(4)",
    "(-x)**(3/3)",
    "cot(x)*tan(x)",
    "sign(1/x)",
    "sign(x)*Abs(x) - x",
    "Max(x, 1/x)",
    "Min(log(x), 0)*0",
    "Max(0, sqrt(x) - sqrt(x))",
    "atan2(0, x)",
    "atan2(x, x)",
    "atan2(x, 0)*0",
    "atan2(-Abs(x), -1)",
    "atan(1/Min(atan2(x, 2), 1))",
    "atan(1/Max(x, 0)**pi)",
    "atan(1/(sign(x)*x/2 - 0.5))",
    "exp(-1/(x*(1 - x))**2)",
    "exp(-1/x**2)",
    "1/(1 + exp(1/x))",
    "tanh(1/x)",
    "x - x + log(x)*0",
    "Piecewise((1/x, x > 0.5), (log(x), x > 0.25), (2, True))",
    "Piecewise((x, log(x) > 0), (0, True))",
    "Piecewise((x, x > 1 or 1/x > 0), (0, True))",
    "Piecewise((sqrt(x), x >= 0), (sqrt(-x), True))",
    "Piecewise((Piecewise((sqrt(x - 1), x > 1), (1/x, True)), x > 0), (0, True))",
    "sqrt(1 - x**2)**2 + x**2",
    "sqrt(x - 1)*sqrt(x + 1) - sqrt(x**2 - 1)",
    "(x - 1)**2/(x - 1)",
    "(x**2 - 1)/(x + 1)",
    "log(x**2) - 2*log(x)",
    "log(x) + log(1/x)",
    "exp(log(x) + log(x))",
    "exp(2*log(x))",
    "exp(log(x)/2)**2",
    "x**x/x**x",
    "2**(log(x)/log(2))",
    "sqrt(sqrt(x)**4)",
    "((x**0.5)**0.5)**4",
    "1/x - 1/x",
    "x/(x - x + 1)",
    "--x**2",
    "-(-x)**2",
    "2**-x**2",
    "x*-x/-x",
    "1 - (2 - (3 - x))/x*x",
    "sin(x)**2 + cos(x)**2 - 1 + sqrt(x)*0",
    "E**log(x)",
    "log(E**x)",
    "sqrt(x**2 + 2*x + 1)",
    "(x**2 + 2*x + 1)**(1/2)",
    "sqrt(" * 6 + "x" + ")" * 6 + "**64",
    "1/" * 7 + "x",
    "+".join(f"x**{k}/x**{k}" for k in range(1, 30)),
    "(" * 12 + "sqrt(x)" + "**2)" * 12 + "*0",
    "(" * 60 + "sqrt(x)" + "/x)" * 60 + "*0",
    "sin(" * 40 + "sqrt(x)**2" + ")" * 40,
]


class Nowhere(Exception):
    """The text has no value at the point."""


def demand(holds: Any) -> None:
    if not holds:
        raise Nowhere


class Real:
    """A number of mpmath with the arithmetic of the expression language. Fractions of integers are as exact as 60 digits are."""

    def __init__(self, value: Any, constant: bool, rational: bool = True) -> None:
        self.value, self.constant, self.rational = mpmath.mpf(value), constant, rational

    def made(self, value: Any, *others: Real) -> Real:
        return Real(value, self.constant and all(o.constant for o in others), self.rational and all(o.rational for o in others))

    def __add__(self, other: Real) -> Real:
        return self.made(self.value + other.value, other)

    def __sub__(self, other: Real) -> Real:
        return self.made(self.value - other.value, other)

    def __mul__(self, other: Real) -> Real:
        return self.made(self.value * other.value, other)

    def __truediv__(self, other: Real) -> Real:
        demand(other.value != 0)
        return self.made(self.value / other.value, other)

    def __neg__(self) -> Real:
        return self.made(-self.value)

    def __pow__(self, other: Real) -> Real:
        p = other.value
        if other.constant and other.rational and mpmath.almosteq(p, mpmath.nint(p), 1e-50):
            n = int(mpmath.nint(p))
            demand(n >= 0 or self.value != 0)
            return self.made(self.value**n, other)
        demand(self.value > 0 or (self.value == 0 and other.constant and p > 0))
        return self.made(self.value**p if self.value else 0, other)

    def __lt__(self, other: Real) -> bool:
        return bool(self.value < other.value)

    def __le__(self, other: Real) -> bool:
        return bool(self.value <= other.value)

    def __gt__(self, other: Real) -> bool:
        return bool(self.value > other.value)

    def __ge__(self, other: Real) -> bool:
        return bool(self.value >= other.value)


DOMAINS: dict[str, Callable[..., Any]] = {
    "sqrt": lambda a: a >= 0,
    "log": lambda a: a > 0,
    "asin": lambda a: abs(a) <= 1,
    "acos": lambda a: abs(a) <= 1,
    "acosh": lambda a: a >= 1,
    "atanh": lambda a: abs(a) < 1,
    "cot": lambda a: a != 0,
    "atan2": lambda y, x: y != 0 or x != 0,
}
PLAIN = {"Abs": abs, "abs": abs, "Max": max, "max": max, "Min": min, "min": min}


def function(name: str) -> Callable[..., Real]:
    def call(*arguments: Real) -> Real:
        values = [a.value for a in arguments]
        if name in DOMAINS:
            demand(DOMAINS[name](*values))
        result = arguments[0].made((PLAIN.get(name) or getattr(mpmath, name))(*values), *arguments[1:])
        result.rational = False
        return result

    return call


def arbiter(text: str, x: float) -> mpmath.mpf | None:
    """The value of the text as written, None where it has none. Cases and joined conditions are only looked at one after the other."""
    text = re.sub(r"(?<![\w.])(\d+\.?\d*(?:[eE][+-]?\d+)?)", r"Real(\1, True)", text)
    code = compile(_lazy(text), "text", "eval")
    names = [
        "sin",
        "cos",
        "tan",
        "cot",
        "asin",
        "acos",
        "atan",
        "atan2",
        "sinh",
        "cosh",
        "tanh",
        "asinh",
        "acosh",
        "atanh",
        "exp",
        "log",
        "sqrt",
        "sign",
        "Abs",
        "abs",
        "Max",
        "max",
        "Min",
        "min",
    ]
    scope = {
        **{n: function(n) for n in names},
        "Real": Real,
        "x": Real(x, False),
        "pi": Real(mpmath.pi, True, False),
        "E": Real(mpmath.e, True, False),
    }
    scope["Piecewise"] = lambda *cases: next(value for value, condition in ((v, c()) for v, c in cases) if condition)()
    scope["either"] = lambda *conditions: any(list(conditions))
    try:
        result = eval(code, {"__builtins__": {}, **scope})
    except Nowhere:
        return None
    return result.value


def _lazy(text: str) -> str:
    """Cases of a Piecewise as functions, conditions joined by `or` as lists: both sides of those are asked for."""
    import ast

    class Lazy(ast.NodeTransformer):
        def visit_Call(self, node: ast.Call) -> ast.AST:
            self.generic_visit(node)
            if getattr(node.func, "id", "") == "Piecewise":
                for case in node.args:
                    case.elts = [ast.Lambda(args=ast.arguments([], [], None, [], [], None, []), body=part) for part in case.elts]
            return node

        def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
            self.generic_visit(node)
            assert isinstance(node.op, ast.Or)
            return ast.Call(func=ast.Name("either", ast.Load()), args=node.values, keywords=[])

    return ast.unparse(ast.fix_missing_locations(Lazy().visit(ast.parse(text.strip(), mode="eval"))))


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:40])
def test_value_and_domain_are_those_of_the_text(text):
    formula = read_expression(text, "x")
    function = ExpressionMap.of(real_symbols("x").values(), [formula])
    values = function(np.array(POINTS)[:, None])[:, 0]
    with mpmath.workdps(60):
        for x, value in zip(POINTS, values, strict=True):
            true, found = arbiter(text, x), enclose_at(formula.tree, {"x": x}, 60)
            if true is None:
                assert isinstance(found, Undefined), x
                assert not np.isfinite(value), x
            else:
                assert isinstance(found, Enclosed), x
                room = mpmath.mpf(10) ** -40 * (1 + abs(true))
                assert mpmath.mpf(found.lower.numerator) / found.lower.denominator - room <= true, x
                assert true <= mpmath.mpf(found.upper.numerator) / found.upper.denominator + room, x
                assert abs(value - true) <= 1e-7 * (1 + abs(true)), (x, value, true)


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:40])
def test_written_and_read_again(text):
    formula = read_expression(text, "x")
    again = read_expression(text_of(formula.tree), "x")
    assert again.tree is formula.tree
    assert again.expression == formula.expression


@pytest.mark.parametrize(
    "text",
    ["tan(pi/2*x)", "log(sin(x)**2 + cos(x)**2)*0", "sqrt(sin(x)**2 + cos(x)**2 - 1)*0 + 1"],
)
def test_what_only_rounding_decides_is_not_decided(text):
    """Nobody is told that such a text is undefined."""
    formula = read_expression(text, "x")
    assert isinstance(enclose_at(formula.tree, {"x": 1.0}), Undecided | Enclosed)
    assert np.isfinite(ExpressionMap.of(real_symbols("x").values(), [formula])([[1.0]])).all()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ｘ + 1", "unexpected character"),
        ("x² ", "unexpected character"),
        ("х + 1", "unexpected character"),
        ("x\u200b + 1", "unexpected character"),
        ("sin + x", "has no arguments"),
        ("x(x)", "not a function"),
        ("sin(x)(x)", "is a * missing"),
        ("log + 1", "has no arguments"),
        ("Piecewise(x)", "unexpected 'x'"),
        ("Piecewise((x, 0*log(x) >= 0), (1, True))", "depends on no coordinate"),
        ("Piecewise((1, x/x > 0.5), (2, True))", "depends on no coordinate"),
        ("Piecewise((log(x), x > 0), (1, x <= 0))", "condition True"),
        ("log(0*x)", "not a finite real number"),
        ("1/(x - x)", "division by"),
        ("sqrt(-1)*0 + x", "not a finite real number"),
        ("x**-x**x**x**300", "too large"),
        ("0/0*x", "division by"),
        ("0**-1*x", "divides by 0"),
        ("log(-x**2)", None),
    ],
)
def test_what_can_be_nothing_is_refused_or_undefined(text, words):
    if words is None:
        formula = read_expression(text, "x")
        assert all(isinstance(enclose_at(formula.tree, {"x": x}), Undefined) for x in POINTS)
        return
    with pytest.raises(SpecError, match=re.escape(words)):
        read_expression(text, "x")


def test_names_that_shadow_functions_are_refused():
    from atlasmoe.expressions.parse import wrong_name

    for name in ("sin", "log", "E", "pi", "Max", "Piecewise", "True", "arctan2", "select", "lambda"):
        assert wrong_name(name)


@pytest.mark.parametrize("text", TOWERS, ids=lambda text: text[:8])
def test_towers_of_constants_are_refused_at_once(text: str) -> None:
    begun = time.process_time()
    with pytest.raises(SpecError, match="constant powers are nested more than 6 levels deep; write the value, 0"):
        read_expression(text, real_symbols(["x"]))
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    "text", ["q*x", "sin(x, x)", "1/0 + x", "x**1000", "1e999*x", "Piecewise((x, x < 0))", "x +", "-" * 3000 + "x", "9**9**9**9*x"]
)
def test_a_kept_text_that_was_never_accepted_is_refused_as_ever(text: str) -> None:
    refusals = []
    for kept in (True, False):
        with pytest.raises(SpecError) as refused:
            read_expression(text, ["x"], kept=kept)
        refusals.append(str(refused.value))
    assert refusals[0] == refusals[1]


def test_what_only_sympy_refuses_of_a_kept_text_is_refused_when_it_is_asked() -> None:
    kept = read_expression("x/(x - x)", ["x"], "target", kept=True)
    assert text_of(kept.tree) == "x/(x - x)"
    with pytest.raises(SpecError, match="division by"):
        ExpressionMap.of(["x"], [kept])([[1.0]])
