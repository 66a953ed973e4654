"""Parameters and loops of specs: they say what the spec without them says, charts, numbers and graphs alike."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from atlasmoe.atlas import load_task, task_from_spec, task_to_spec
from atlasmoe.atlas.spec.unroll import MAX_WRITTEN_OUT
from atlasmoe.errors import SpecError
from atlasmoe.expressions.parse import read_constant, read_expression
from atlasmoe.expressions.scope import Scoped, filled, scoped
from atlasmoe.expressions.text import text_of

KLEIN = Path(__file__).parent.parent / "examples" / "klein_bottle.toml"

CIRCLE = """
[task]
name = "c"
[parameters]
turn = "2*pi/3"
n = 3
[manifold]
ambient = ["x", "y"]
intrinsic = ["t"]
[[chart]]
for = { i = [0, 1, 2] }
name = "arc{i + 1}"
domain = [["-turn*4/5", "4*turn/5"]]
inverse = ["cos(t + i*turn)", "sin(t + i*turn)"]
forward = ["atan2(y*cos(i*turn) - x*sin(i*turn), x*cos(i*turn) + y*sin(i*turn))"]
[target]
expression = "x**n/n - y"
"""

GRAPH = """
[task]
name = "g"
kind = "graph"
output = "total"
[parameters]
w = 0.5
[[input]]
for = { i = [0, 1] }
name = "x{i}"
domain = [0, "2*w"]
[[block]]
for = { i = [0, 1] }
name = "f{i}"
reads = ["x{i}"]
[[block.piece]]
for = { k = [0, 1] }
name = "p{k}"
domain = ["k*w", "(k + 1)*w"]
expression = "x{i}**2 + k*i"
[[combine]]
name = "total"
expression = "f0 + f1"
"""


def strings(value):
    if isinstance(value, dict):
        return [text for part in value.values() for text in strings(part)]
    if isinstance(value, list | tuple):
        return [text for part in value for text in strings(part)]
    return [value] if isinstance(value, str) else []


def given(**values):
    found = {}
    for name, text in values.items():
        found[name] = read_constant(name, scoped(text, found), name, "parameter", set())
    return found


def test_charts_of_a_loop_are_those_written_by_hand():
    task = task_from_spec(tomllib.loads(CIRCLE))
    assert task.atlas.names == ("arc1", "arc2", "arc3")
    t = np.linspace(-1.6, 1.6, 9)[:, None]
    for i, chart in enumerate(task.atlas.charts):
        angle = t + i * 2 * np.pi / 3
        assert chart.domain.upper == (4 * (2 * np.pi / 3) / 5,)
        np.testing.assert_allclose(chart.inverse(t), np.hstack([np.cos(angle), np.sin(angle)]), atol=1e-14)
        np.testing.assert_allclose(chart.forward(chart.inverse(t)), t, atol=1e-14)
    points = task.atlas.sample(50, 0)
    np.testing.assert_allclose(task.evaluate(points)[:, 0], points.base[:, 0] ** 3 / 3 - points.base[:, 1], atol=1e-14)


@pytest.mark.parametrize("text", [CIRCLE, KLEIN.read_text(encoding="utf-8")])
def test_what_is_saved_knows_of_no_parameter(text):
    task = task_from_spec(tomllib.loads(text))
    spec, arrays = task_to_spec(task)
    assert not any(isinstance(part, Scoped) for part in strings(spec))
    assert set(spec) == {"task", "manifold", "chart", "target"}
    again = task_from_spec(json.loads(json.dumps(spec)), arrays=arrays)
    points = task.atlas.sample(64, 1)
    assert again.evaluate(points).tolist() == task.evaluate(points).tolist()
    assert [chart.domain for chart in again.atlas.charts] == [chart.domain for chart in task.atlas.charts]
    assert task_to_spec(again)[0] == spec


def test_the_klein_bottle_is_a_klein_bottle():
    """Nine charts; going round once in u turns v into −v; forward maps are inverse up to rounding."""
    task = load_task(KLEIN)
    assert task.atlas.names == tuple(f"c{i}{j}" for i in range(3) for j in range(3))
    assert task.origins['chart "c12"'] == "i = 1, j = 2"
    rng = np.random.default_rng(0)
    for chart in task.atlas.charts:
        u = chart.domain.uniform(200, rng)
        np.testing.assert_allclose(chart.forward(chart.inverse(u)), u, atol=1e-12)
    first = task.atlas.charts[0].inverse
    v = np.linspace(-1.5, 1.5, 7)
    round_once = first(np.stack([np.full(7, 2 * np.pi), v], 1))
    np.testing.assert_allclose(round_once, first(np.stack([np.zeros(7), -v], 1)), atol=1e-14)
    assert (task.atlas.membership(task.atlas.sample(500, 3).base).sum(1) >= 1).all()


def test_graphs_have_loops_in_every_list_of_tables():
    graph = task_from_spec(tomllib.loads(GRAPH))
    assert [node.name for node in graph.nodes] == ["x0", "x1", "f0", "f1", "total"]
    x = np.array([[0.25, 0.25], [0.25, 0.75], [1.0, 1.0]])
    np.testing.assert_allclose(graph.trace(x).output[:, 0], (x**2).sum(1) + (x[:, 1] >= 0.5))
    assert graph.origins['block "f1": piece "p0"'] == "i = 1, k = 0"
    spec, _ = task_to_spec(graph)
    assert not any(isinstance(part, Scoped) for part in strings(spec))
    assert task_to_spec(task_from_spec(spec))[0] == spec


def test_library_manifolds_take_parameters_for_numbers():
    spec = {
        "task": {"name": "t"},
        "parameters": {"a": "3/2", "n": 4},
        "manifold": {
            "builtin": "product",
            "factors": [{"builtin": "ellipsoid", "axes": ["a", 1, "1/a"]}, {"builtin": "circle", "charts": "n"}],
        },
        "target": {"expression": "a*x1"},
    }
    written = task_to_spec(task_from_spec(spec))[0]["manifold"]
    assert written["factors"][0]["axes"] == [1.5, 1, 2 / 3]
    assert written["factors"][1]["charts"] == 4
    spec["parameters"] = {"a": "3/2", "n": 4, "b": "pi/2"}
    spec["manifold"] = {"builtin": "graph", "dimension": 1, "domain": [["-b", "b"]], "expression": "sin(n*u1) + a"}
    task = task_from_spec(spec)
    assert task.atlas.charts[0].domain.upper == (np.pi / 2,)
    assert task.atlas.charts[0].inverse(np.array([[0.1]]))[0].tolist() == [0.1, np.sin(0.4) + 1.5]


def test_constants_stand_for_what_they_are():
    scope = given(a="2", b="-3/2", c="a*b + 1", d="pi/3", e="0.1")
    assert [scope[name].text for name in scope] == ["2", "-3/2", "-2", "pi/3", "0.1"]
    for text, meant in {"x**a": "x**2", "2**b*x": "2**(-3/2)*x", "x - c": "x - (-2)", "sin(d*x)/e": "sin((pi/3)*x)/0.1"}.items():
        read, written = read_expression(scoped(text, scope), ["x"]), read_expression(meant, ["x"])
        assert read.expression == written.expression
        assert text_of(read.tree) == text_of(written.tree)
        assert read_expression(filled(scoped(text, scope)), ["x"]).expression == written.expression


def test_messages_speak_of_the_text_that_was_written():
    with pytest.raises(SpecError) as caught:
        read_expression(scoped("x/(a - 2)", given(a="2")), ["x"])
    (finding,) = caught.value.findings
    assert (finding.column, finding.text) == (3, "x/(a - 2)")
    assert "(a - 2)" in finding.problem


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"parameters": [1]}, "expected a table"),
        ({"parameters": {f"p{i}": 1 for i in range(300)}}, "at most 256"),
        ({"parameters": {"a": "(" * 200 + "1" + ")" * 200}}, "nested"),
        ({"parameters": {"a": 10**400}}, "not finite"),
        ({"parameters": {"a": True}}, "expected a number"),
        ({"parameters": {"a": "Piecewise((1, 0 < 1), (2, True))"}}, ""),
        ({"parameters": {"": 1}}, "is not a name"),
        ({"chart": [{"for": {}, "name": "c"}]}, "expected a table of lists"),
        ({"chart": [{"for": {"i": []}, "name": "c"}]}, "expected a list of values"),
        ({"chart": [{"for": {"i": [[0]]}, "name": "c{i}"}]}, "expected a number"),
        ({"chart": [{"for": {"i": list(range(4000))}, "name": "c{i}", "target": "x" * 2000}]}, str(MAX_WRITTEN_OUT)),
        ({"chart": [{"for": {"i": list(range(4000))}, "chart": [{"for": {"j": list(range(4000))}}]}]}, str(MAX_WRITTEN_OUT)),
    ],
)
def test_hostile_loops_are_refused(edit, said):
    with pytest.raises(SpecError) as caught:
        task_from_spec({**tomllib.loads(CIRCLE), **edit})
    assert said in str(caught.value)


def test_one_constant_cannot_make_an_expression_of_any_length():
    scope = given(a="+".join(["sqrt(2)"] * 90))
    with pytest.raises(SpecError, match="too long once the parameters are put in"):
        read_expression(scoped("+".join(["a*x"] * 100), scope), ["x"])
