"""Trees: what is read is what was written, and written back it is the same; sympy's rewriting leaves them alone."""

from __future__ import annotations

import pickle
from fractions import Fraction

import pytest
import sympy
from atlasmoe.atlas import ExpressionMap, builtin, product, task_from_spec, task_to_spec
from atlasmoe.errors import InvalidArgument, SpecError
from atlasmoe.expressions import tree_of
from atlasmoe.expressions.parse import format_expression, parse_expression, read_expression, real_symbols
from atlasmoe.expressions.text import text_of
from atlasmoe.expressions.tree import Call, Name, Negative, Number, Power, Product, Reciprocal, Sum, depth, postorder, substitute

X, Y = real_symbols("xy").values()
x, y = Name("x"), Name("y")


def tree(text: str):
    return read_expression(text, "xyz").tree


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sqrt(x)**2", Power(Call("sqrt", (x,)), Number(Fraction(2)))),
        ("x/x", Product((x, Reciprocal(x)))),
        ("0*log(x)", Product((Number(Fraction(0)), Call("log", (x,))))),
        ("x - x", Sum((x, Negative(x)))),
        ("abs(x)", Call("Abs", (x,))),
        ("((x))", x),
        ("2.0", Number(2.0)),
        ("-x*y", Negative(Product((x, y)))),
    ],
)
def test_nothing_is_rewritten(text, expected):
    assert tree(text) is expected


@pytest.mark.parametrize(
    "text",
    [
        "sqrt(x)**2 + exp(log(x))",
        "x/x - -y",
        "(x + y) + z",
        "x + (y + z)",
        "(-x)*y/(-z)",
        "-(x + y)**2",
        "(x*y)*z/(x/y)",
        "2**(-x**2)",
        "(x**y)**z",
        "x**y**z",
        "--x",
        "Piecewise((x, x < 0 and (y > 1 or z >= 2)), (Max(x, y, 1), (x < 1 or y <= 2)), (1e+30, True))",
        "atan2(0.1, x)*1e-05",
    ],
)
def test_what_is_written_is_read_again(text):
    """Up to needless parentheses, and from then on to the letter."""
    first = read_expression(text, "xyz")
    written = text_of(first.tree)
    again = read_expression(written, "xyz")
    assert again.tree is first.tree
    assert again.expression == first.expression
    assert text_of(again.tree) == written


@pytest.mark.parametrize(
    "text", ["x**2*y/3 - 1/2", "sqrt(x)/sqrt(y)", "-2*x", "x**(-3/2)", "0.5*x - 1.5", "exp(-x)*pi", "Piecewise((x, x < 1), (y, True))"]
)
def test_an_expression_made_in_python_has_the_tree_of_its_text(text):
    expression = parse_expression(text, "xyz")
    assert tree(format_expression(expression)) is tree_of(expression)


def test_values_of_constants_are_exact():
    assert tree("2/6 + 0.5").exact == Fraction(5, 6)
    assert tree("x**2.0").whole == 2
    assert tree("x**(4/2)").whole == 2
    assert tree("x**(1/2)").whole is None
    assert tree("x**(0.1*10)").whole is None  # 0.1 is the float64, a little more than a tenth
    assert tree("sqrt(4)").exact is None


def test_equal_trees_are_one_object_in_every_process():
    deep = tree("sin(" * 90 + "x + 1/(1 + x)" + ")" * 90)
    assert pickle.loads(pickle.dumps(deep)) is deep
    assert tree_of(X + 1) is tree("x + 1")
    assert tree_of(sympy.Integer(2)) is not tree_of(sympy.Float(2))


def test_shared_parts_are_visited_once():
    part = x
    for _ in range(60):
        part = Sum((part, part))
    assert len(postorder(part)) == 61
    assert depth(part) == 61
    assert substitute([part], {"x": y})[0] is not part


def test_too_many_levels_of_signs_are_refused():
    with pytest.raises(SpecError, match="levels of signs"):
        read_expression("-" * 5000 + "x", "xyz")


def test_what_sympy_stumbles_over_is_a_finding():
    inner = "Piecewise((x, x < x and y < 1 or pi > z), (pi, True))"
    with pytest.raises(SpecError, match="sympy cannot work with"):
        read_expression(f"Piecewise((x, x < x and y < 1 or atanh({inner}) > z), (atanh({inner}), True))", "xyz")


def test_maps_keep_their_trees():
    f = ExpressionMap.of((X, Y), [read_expression("sqrt(x)**2 + y/y", ["x", "y"])])
    assert text_of(f.renamed(tuple(real_symbols("yx").values())).trees[0]) == "sqrt(y)**2 + x/x"
    inner = ExpressionMap((X,), (X, X + 1))
    assert text_of(f.after(inner).trees[0]) == "sqrt(x)**2 + (x + 1)/(x + 1)"
    assert not f.same(ExpressionMap(f.variables, f.expressions))
    with pytest.raises(InvalidArgument, match="trees for"):
        ExpressionMap((X,), (X,), (x, x))
    with pytest.raises(InvalidArgument, match="'y'"):
        ExpressionMap((X,), (X,), (y,))


SPEC = {
    "task": {"name": "written"},
    "manifold": {"ambient": ["x", "y"], "intrinsic": ["t"]},
    "chart": [
        {
            "name": "a",
            "domain": [[1, 2]],
            "boundary": [[True, True]],
            "inverse": ["t**2/t", "sqrt(t)**2"],
            "forward": ["exp(log(x))"],
            "region": "t/t",
            "partition": "x/x",
        }
    ],
    "target": {"expression": ["sqrt(x)**2", "y - y + x"]},
}


def test_a_spec_is_saved_as_it_was_written():
    once, _ = task_to_spec(task_from_spec(SPEC))
    assert once["target"] == SPEC["target"]
    assert {key: once["chart"][0][key] for key in SPEC["chart"][0]} == {**SPEC["chart"][0], "domain": [[1.0, 2.0]]}
    assert task_to_spec(task_from_spec(once))[0] == once


def test_products_and_graphs_of_functions_keep_texts():
    curve = builtin("graph", expression="sqrt(u1)**2", dimension=1, domain=[[1, 2]])
    both = product(curve, curve)
    assert [text_of(t) for t in both.charts[0].inverse.trees] == ["u1", "sqrt(u1)**2", "u2", "sqrt(u2)**2"]
    again = task_from_spec(
        {
            "task": {"name": "curve"},
            "manifold": {"builtin": "graph", "expression": "sqrt(u1)**2", "dimension": 1, "domain": [[1, 2]]},
            "target": {"expression": "x1"},
        }
    )
    assert task_to_spec(again)[0]["manifold"]["expression"] == "sqrt(u1)**2"
