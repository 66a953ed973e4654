"""Expressions: what is accepted and what it means, what is refused and where, and that text and sympy agree."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy
from atlasmoe.atlas import ExpressionMap
from atlasmoe.errors import InvalidArgument, SpecError
from atlasmoe.expressions.grammar import FUNCTIONS, MAX_LENGTH
from atlasmoe.expressions.parse import caret, format_expression, parse_expression, parse_number, real_symbols, wrong_name
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

X, Y, Z = (sympy.Symbol(name, real=True) for name in "xyz")


def refusal(text: str) -> tuple[int | None, str]:
    """Column and message of the first finding."""
    with pytest.raises(SpecError) as caught:
        parse_expression(text, "xyz")
    finding = caught.value.findings[0]
    assert finding.text == text
    assert str(finding).isprintable()
    return finding.column, str(finding)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x + y*z", X + Y * Z),
        ("-x**2", -(X**2)),
        ("2**-x", 2**-X),
        ("x**y**z", X ** (Y**Z)),
        ("x - y - z", X - Y - Z),
        ("x/y/z", X / Y / Z),
        ("x/3", X / 3),
        ("--x", X),
        ("+x*-y", -X * Y),
        ("0.1*x", sympy.Float(0.1) * X),
        (".5e1 + 2.", sympy.Float(7.0)),
        ("sin(pi/6)", sympy.Rational(1, 2)),
        ("E**x", sympy.exp(X)),
        ("sqrt(8)*x", 2 * sympy.sqrt(2) * X),
        ("abs(x) + Abs(y)", sympy.Abs(X) + sympy.Abs(Y)),
        ("max(x, y, 1) - Min(x, y)", sympy.Max(X, Y, 1) - sympy.Min(X, Y)),
        ("atan2(y, x)", sympy.atan2(Y, X)),
        ("tan(x + pi/2)", -sympy.cot(X)),
        ("Max(1, pi)", sympy.pi),
        ("abs(-sqrt(2))*sign(-3)", -sympy.sqrt(2)),
        (" x\n\t+ y ", X + Y),
        ("Piecewise((x, x < 0), (y, True))", sympy.Piecewise((X, X < 0), (Y, True))),
        (
            "Piecewise((x, x < 0 and y >= 1 or z <= 2), (y, (x > 3) & (z < 1) | (y < 0)), (1, True))",
            sympy.Piecewise((X, ((X < 0) & (Y >= 1)) | (Z <= 2)), (Y, ((X > 3) & (Z < 1)) | (Y < 0)), (1, True)),
        ),
        ("Piecewise((x, True))", X),
    ],
)
def test_meaning(text, expected):
    assert parse_expression(text, "xyz") == expected


def test_symbols_are_the_given_ones():
    u = sympy.Symbol("u", real=True)
    assert parse_expression("u + u", {"u": u}) == 2 * u
    assert parse_expression("u", ["u"]).is_real


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 1, "is empty"),
        ("   ", 1, "is empty"),
        ("x +", 4, "ends after 'x +'"),
        ("sin(x", 6, "1 parenthesis is not closed"),
        ("x)", 2, "was not opened"),
        ("x ^ 2", 3, "write ** for powers"),
        ("2x", 2, "is a * missing"),
        ("x y", 3, "is a * missing"),
        ("sin x", 5, "write sin(...)"),
        ("x if x > 0 else 0", 3, "write Piecewise((value, condition)"),
        ("Piecewise((x, 0 < x < 1), (0, True))", 21, "comparisons are not chained"),
        ("x(2)", 1, "'x' is not a function"),
        ("sin", 1, "has no arguments"),
        ("x + w", 5, "unknown name 'w'"),
        ("x + sine(y)", 5, "did you mean 'sin'?"),
        ("atan2(x)", 1, "takes 2 arguments, got 1"),
        ("x < y", 3, "conditions of Piecewise"),
        ("x == y", 3, "the comparisons are"),
        ("x**2 = 1", 6, "of an equation a = b write a - (b)"),
        ("ln(x)", 1, "did you mean 'log'?"),
        ("x + 2*Pi", 7, "did you mean 'pi'?"),
        ("floor(x)", 1, "it jumps"),
        ("Piecewise((x, x < 0), (y, y > 0))", 27, "the condition True"),
        ("Piecewise((x, 1 < 2), (y, True))", 15, "depends on no coordinate"),
        ("__import__('os')", 12, "unexpected character"),
        ("__import__(x)", 1, "unknown function '__import__'"),
        ("x.__class__", 2, "unexpected character '.'"),
        ("lambda: x", 7, "unexpected character ':'"),
        ("[x]", 1, "unexpected character '['"),
        ("x\x00", 2, "unexpected character"),
        ("é", 1, "unexpected character 'é'"),
        ("x; y", 2, "unexpected character ';'"),
        ("x**10**9", 4, "the exponent '10**9' is too large"),
        ("x**1000000000", 4, "is too large"),
        ("9**9**9**9", 7, "the exponent '9**9' is too large"),
        ("2**(2**(2**40))", 8, "the exponent '(2**40)' is too large"),
        ("(x + 1)**100000", 10, "is too large"),
        ("((x + 1)**200)**200", 1, "degree 40000"),
        ("(x**200)**2", 1, "exponent of more than 256"),
        ("exp(exp(exp(100)))", 5, "too large for float64"),
        ("exp(-1000)", 1, "too small for float64"),
        ("1e400", 1, "too large for float64"),
        ("1e-400", 1, "too small for float64"),
        ("1e300*x*1e300", 1, "no float64"),
        ("7" * 400, 1, "has 400 digits"),
        ("(7**100)**100", 1, "too long a number"),
        ("1/0", 3, "division by '0'"),
        ("y/(x - x)", 3, "division by '(x - x)'"),
        ("0**-1", 1, "divides by 0"),
        ("1/sin(pi)", 3, "division by 'sin(pi)'"),
        ("log(0)", 1, "not a finite real number"),
        ("tan(pi/2)", 1, "not a finite real number"),
        ("x + sqrt(-1)", 5, "not a finite real number"),
        ("(-8)**(1/3)", 1, "not a finite real number"),
        ("sqrt(-exp(x))", 1, "is not real"),
        ("sqrt(2) + sqrt(3) - sqrt(5 + 2*sqrt(6))", 1, "cancels to 0"),
        ("pi + x - x", 1, "cancel"),
        ("(" * 101 + "x" + ")" * 101, 101, "nested more than 100 deep"),
        ("x**" * 150 + "x", None, "more than 100 levels deep"),
        ("x + " * 2500 + "y", MAX_LENGTH + 1, "10001 characters long"),
    ],
)
def test_refused_at_once_and_in_place(text, column, words):
    found, message = refusal(text)
    assert words in message
    assert column in (None, found)


def test_every_unknown_name_is_reported():
    with pytest.raises(SpecError) as caught:
        parse_expression("a + sin(b)*foo(x)", ["x"], where="here")
    assert [finding.column for finding in caught.value.findings] == [1, 9, 12]
    assert all(str(finding).startswith("here: column ") for finding in caught.value.findings)


def test_only_text_is_an_expression():
    with pytest.raises(SpecError, match="expected a text"):
        parse_expression(3, ["x"])  # type: ignore[arg-type]


def test_deep_expressions_evaluate():
    deep = parse_expression("sin(" * 95 + "x" + ")" * 95, "xyz")
    assert np.isfinite(ExpressionMap((X,), (deep,))([[0.5]])).all()


def test_long_expressions_are_read():
    long = parse_expression(" + ".join(f"sin({k}*x)/{k}" for k in range(1, 600)), "xyz")
    assert ExpressionMap((X,), (long,))([[0.5]])[0, 0] == pytest.approx(sum(np.sin(k / 2) / k for k in range(1, 600)), abs=1e-12)


def test_caret_points_at_the_column():
    assert caret("x + 9**9**9", 8) == "x + 9**9**9\n       ^"
    text, column = "x + " * 500 + "w", 2001
    line, mark = caret(text, column).split("\n")
    assert line[mark.index("^")] == "w"
    assert len(line) < 110
    assert caret("x\n+ w", 5) == "x + w\n    ^"
    assert caret("(x", 3) == "(x\n  ^"


@pytest.mark.parametrize(
    ("given", "expected"),
    [(3, 3.0), (0.1, 0.1), ("pi/2", math.pi / 2), ("-pi", -math.pi), ("1/3", 1 / 3), ("sqrt(2)", math.sqrt(2)), ("0", 0.0)],
)
def test_numbers(given, expected):
    assert parse_number(given) == expected


@pytest.mark.parametrize("value", [True, None, [], "", "x", "1/0", "nan", "inf", float("nan"), float("inf"), 10**400, "9**9**9"])
def test_no_numbers(value):
    with pytest.raises(SpecError):
        parse_number(value, "domain[0][1]")


def test_names():
    assert wrong_name("theta_1") is None
    for name in ("", "2x", "a b", "sin", "pi", "lambda", "maximum", "True", "x" * 41, 3, None, "é"):
        assert wrong_name(name)


@pytest.mark.parametrize("expression", [sympy.erf(X), sympy.oo, sympy.I * X, sympy.Heaviside(X), sympy.Integral(X, X)])
def test_not_every_sympy_expression_can_be_written(expression):
    with pytest.raises(InvalidArgument, match="cannot be written"):
        format_expression(expression)


LEAVES = st.one_of(
    st.sampled_from(["x", "y", "z", "pi", "E"]),
    st.integers(-12, 12).map(str),
    st.floats(-1e6, 1e6, allow_subnormal=False).map(repr),
)
UNARY = sorted(name for name, function in FUNCTIONS.items() if function.most == 1)


def _larger(part: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    several = st.lists(part, min_size=2, max_size=3)
    return st.one_of(
        st.tuples(several, st.sampled_from([" + ", " - ", "*", "/"])).map(lambda p: f"({p[1].join(p[0])})"),
        st.tuples(part, st.sampled_from(["2", "3", "-1", "(1/2)", "(-3/2)", "0.5"])).map(lambda p: f"({p[0]})**{p[1]}"),
        st.tuples(st.sampled_from(UNARY), part).map(lambda p: f"{p[0]}({p[1]})"),
        st.tuples(st.sampled_from(["Max", "Min"]), several).map(lambda p: f"{p[0]}({', '.join(p[1])})"),
        st.tuples(part, part).map(lambda p: f"atan2({p[0]}, {p[1]})"),
        part.map(lambda p: f"-{p}"),
        st.tuples(part, part, part, st.sampled_from(["<", "<=", ">", ">="])).map(
            lambda p: f"Piecewise(({p[0]}, x {p[3]} {p[1]} and y < 1 or {p[2]} > z), ({p[2]}, True))"
        ),
    )


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.recursive(LEAVES, _larger, max_leaves=12))
def test_text_and_expression_agree(text):
    """parse ∘ format is the identity on what parse returns: same structure, hence the same floats at the same points."""
    try:
        expression = parse_expression(text, "xyz")
    except SpecError:
        return
    written = format_expression(expression)
    assert parse_expression(written, "xyz") == expression


POINTS = np.random.default_rng(0).uniform(0.1, 2, (50, 3))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.recursive(LEAVES.filter(lambda leaf: abs(float(leaf)) < 100 if leaf[-1].isdigit() else True), _larger, max_leaves=6))
def test_the_value_is_that_of_the_text_in_python(text):
    """Where both are finite, up to rounding in badly conditioned places (compared with a slightly moved point)."""
    try:
        expression = parse_expression(text, "xyz")
    except SpecError:
        return
    symbols = tuple(real_symbols("xyz").values())
    ours = ExpressionMap(symbols, (expression,))(POINTS)[:, 0]
    for value, point in zip(ours[:5], POINTS[:5], strict=True):
        moved = [_python_value(text, point * (1 + step)) for step in (0, 1e-9, -1e-9)]
        if math.isfinite(value) and None not in moved:
            reference = np.array(moved, float)
            spread = 10 * np.ptp(reference) + 1e-6 * (1 + abs(reference[0]))
            assert abs(value - reference[0]) <= spread, (text, point)


def _python_value(text: str, point: np.ndarray) -> float | None:
    """The value by Python's own arithmetic; the text is the test's, not a user's. None where it is not real and finite."""
    functions = {name: function.value for name, function in FUNCTIONS.items()}
    functions["atan2"] = lambda y, x: math.atan2(y + 0.0, x + 0.0)  # there is one real 0, and no −0
    names = dict(zip("xyz", map(float, point), strict=True))
    piecewise = {"Piecewise": lambda *cases: next(value for value, condition in cases if condition), "pi": math.pi, "E": math.e}
    try:
        value = eval(text, {"__builtins__": {}}, {**functions, **names, **piecewise})
    except (ValueError, OverflowError, ZeroDivisionError, TypeError):
        return None
    return float(value) if isinstance(value, int | float) and abs(value) < 1e8 else None


def test_conditions_of_constants_stand_beside_those_of_points():
    """A condition that sympy cannot decide, and that no point changes, is a single truth value, not one a point."""
    x, y, z = real_symbols("xyz").values()
    never = sympy.sin(1) ** 2 + sympy.cos(1) ** 2 > 1
    points = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    for condition, expected in ((sympy.Or(never, x > z), [1.0, 2.0]), (sympy.And(never, x > z), [1.0, 3.0])):
        assert never in condition.args
        expression = sympy.Piecewise((y, condition), (x, True))
        np.testing.assert_array_equal(ExpressionMap((x, y, z), (expression,))(points)[:, 0], expected)


@pytest.mark.parametrize("name", ["θ", "2y", "the angle", "x₁", "Ω", "ψ dot", "_é", "λ"])
def test_the_name_that_is_proposed_is_one(name):
    said = wrong_name(name)
    assert said is not None
    assert wrong_name(said.split("'")[1]) is None


@pytest.mark.parametrize("text", ["2·x", "x²", "θ", "π*x", "x − 1", "x÷2", "½*x"])
def test_what_is_proposed_for_a_sign_is_read(text):
    for _ in range(3):
        try:
            parse_expression(text, ["x", "theta"])
        except SpecError as error:
            (finding,) = error.findings
            text = text.replace(text[finding.column - 1], finding.remedy.rpartition("write ")[2])
    assert text.isascii()
