"""Values at a point in any precision hold what arb says, and say surely when there is none."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from atlasmoe.errors import InvalidArgument
from atlasmoe.expressions.from_sympy import tree_of
from atlasmoe.expressions.parse import read_expression
from atlasmoe.expressions.precise import FUNCTIONS, Enclosed, Undecided, Undefined, enclose_at
from atlasmoe.expressions.text import text_of
from atlasmoe.expressions.tree import Call, Name
from flint import arb, fmpq
from sympy import Symbol, erf

SEED = 7
SCALES = (1.0, 30.0, 1e-3, 1e-9, 1e-18, 1e-60)


def exactly(value: Fraction) -> arb:
    return arb(fmpq(value.numerator, value.denominator))


def arb_value(function: str, arguments: list[Fraction]) -> arb:
    values = [exactly(a) for a in arguments]
    return arb.atan2(*values) if function == "atan2" else getattr(arb, function)(*values)


def drawn(rng: random.Random, function: str) -> list[Fraction]:
    """Arguments in the domain, often near the places where digits are lost."""
    size = rng.choice(SCALES) * rng.choice((1, 1, 2.0 ** rng.randint(-40, 6)))
    x = Fraction(rng.uniform(-1, 1)) * Fraction(size)
    near = Fraction(rng.uniform(0, 1)) * Fraction(rng.choice(SCALES[2:]))
    match function:
        case "log" | "sqrt":
            return [abs(x) or Fraction(1)] if rng.random() < 0.5 else [1 + near]
        case "asin" | "acos" | "atanh":
            return [x % 1] if rng.random() < 0.5 else [rng.choice((-1, 1)) * (1 - near)]
        case "acosh":
            return [1 + near] if rng.random() < 0.5 else [1 + abs(x)]
        case "atan2":
            return [x, Fraction(rng.uniform(-1, 1)) * Fraction(rng.choice(SCALES))]
        case "sin" | "cos" | "tan" | "cot" if rng.random() < 0.5:
            return [Fraction(rng.randint(1, 20) * 1.5707963267948966) + near]
    return [x]


@pytest.mark.parametrize("function", ["exp", "log", "sqrt", "sin", "cos", "tan", "cot", "asin", "acos", "atan", "atan2"])
@pytest.mark.parametrize("digits", [15, 40])
def test_functions_hold_their_values(function, digits):
    compare(function, digits)


@pytest.mark.parametrize("function", ["sinh", "cosh", "tanh", "asinh", "acosh", "atanh"])
def test_hyperbolic_functions_hold_their_values(function):
    compare(function, 25)


def compare(function: str, digits: int) -> None:
    from flint import ctx

    rng = random.Random(f"{SEED} {function}")
    before, ctx.prec = ctx.prec, 2000
    try:
        for _ in range(400):
            arguments = drawn(rng, function)
            names = ["x", "y"][: len(arguments)]
            found = enclose_at(Call(function, tuple(map(Name, names))), dict(zip(names, arguments, strict=True)), digits)
            assert isinstance(found, Enclosed), arguments
            true = arb_value(function, arguments)
            assert exactly(found.lower) <= true, (function, arguments)
            assert true <= exactly(found.upper), (function, arguments)
            if function not in ("tan", "cot"):  # near a pole
                assert exactly(found.upper - found.lower) <= (1 + abs(true)) * arb(10) ** (1 - digits)
    finally:
        ctx.prec = before


@pytest.mark.parametrize(
    ("text", "x", "part"),
    [
        ("sqrt(x)**2", -1e-300, "sqrt(x)"),
        ("x/x", 0, "1/x"),
        ("0*log(x)", 0, "log(x)"),
        ("exp(log(x))", -1, "log(x)"),
        ("sin(asin(x))", 1 + 2.0**-52, "asin(x)"),
        ("x**(-0.0) + x**-2.0", 0, "x**(-2.0)"),
        ("x**(1/3)", -1, "x**(1/3)"),
        ("x**-pi", 0, "x**(-pi)"),
        ("x**x", 0, "x**x"),
        ("0**x", 1, "0**x"),
        ("1/(1/x)", 0, "1/x"),
        ("cot(x)*tan(x)", 0, "cot(x)"),
        ("atan2(x, 2*x)", 0, "atan2(x, 2*x)"),
        ("Max(log(x), 0)", -2, "log(x)"),
        ("Piecewise((x, sqrt(x) > 1), (0, True))", -1, "sqrt(x)"),
        ("Piecewise((1, x > 1 or 1/x > 0), (0, True))", 0, "1/x"),
        ("acosh(x)", 0.5, "acosh(x)"),
        ("atanh(x)", 1, "atanh(x)"),
    ],
)
def test_surely_undefined(text, x, part):
    found = enclose_at(read_expression(text, "x").tree, {"x": x})
    assert isinstance(found, Undefined)
    assert text_of(found.part) == part
    assert str(found) == f"{part} is undefined"


@pytest.mark.parametrize(
    ("text", "x", "value"),
    [
        ("sqrt(x)**2", 0, 0),
        ("sqrt(1 - x**2)", 1, 0),
        ("sqrt(x)", 0.25, 0.5),
        ("x**2.5", 0, 0),
        ("x**0", 0, 1),
        ("(x**3 - x)/3 + 2**-2", -1, 0.25),
        ("log(exp(x))", 0, 0),
        ("Piecewise((1/x, x > 0), (7, True))", 0, 7),
        ("Piecewise((5, x <= 0), (sqrt(-1*1 - x), True))", 0, 5),
        ("acosh(x) + atan(x - 1)", 1, 0),
        ("Abs(x)**2", -3, 9),
        ("x/3*3", 0.1, 0.1),
        ("sign(x - 0.1)", 0.1, 0),
        ("cos(acos(x)) + acos(x)", 1, 1),
    ],
)
def test_exact_where_arithmetic_is(text, x, value):
    found = enclose_at(read_expression(text, "x").tree, {"x": x}, 15)
    assert isinstance(found, Enclosed)
    assert found.exact == value


def test_what_is_not_decided_may_be_with_more_digits():
    tree = read_expression("sqrt(sin(x) - x + x**3/6 + 1e-150)", "x").tree
    assert isinstance(enclose_at(tree, {"x": 1e-40}, 20), Undecided)
    assert isinstance(enclose_at(tree, {"x": 1e-40}, 250), Enclosed)
    assert isinstance(enclose_at(read_expression("exp(exp(x))", "x").tree, {"x": 1e3}), Undecided)
    assert isinstance(enclose_at(read_expression("tan(pi*x)", "x").tree, {"x": 0.5}), Undecided)
    small = enclose_at(read_expression("exp(-1/x**2)", "x").tree, {"x": 1e-3})
    assert isinstance(small, Enclosed)
    assert small.lower == 0 < small.upper < Fraction(1, 2**1000)


def test_errors():
    with pytest.raises(InvalidArgument, match="not finite"):
        enclose_at(Name("x"), {"x": float("inf")})
    with pytest.raises(InvalidArgument, match="y has no value"):
        enclose_at(Name("y"), {"x": 1.0})
    with pytest.raises(InvalidArgument, match="has no value here"):
        enclose_at(tree_of(erf(Symbol("x"))), {"x": 1.0})


def test_every_function_of_the_grammar_is_there():
    from atlasmoe.expressions import grammar

    assert set(FUNCTIONS) == {name for name in grammar.FUNCTIONS if name not in ("abs", "max", "min")}
