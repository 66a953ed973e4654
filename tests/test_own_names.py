"""The user's names of coordinates and outputs are those that everybody says."""

from __future__ import annotations

from pathlib import Path

import atlasmoe
import numpy as np
import pytest
from atlasmoe.atlas import lint, load_task, task_from_spec, task_to_spec
from atlasmoe.atlas.graph import as_graph
from atlasmoe.atlas.manifolds import builtin
from atlasmoe.atlas.renaming import renamed
from atlasmoe.cli.main import main
from atlasmoe.errors import SpecError
from atlasmoe.explain import circuit
from click.testing import CliRunner

EXAMPLE = Path(__file__).parent.parent / "examples" / "named.toml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    model = atlasmoe.compile(load_task(EXAMPLE), epsilon=0.5)
    return atlasmoe.save(model, tmp_path_factory.mktemp("named") / "model")


@pytest.mark.parametrize("options", [{}, {"atlas": "graph"}, {"atlas": "ball", "charts": 24}, {"embed": {"dimension": 5}}])
def test_a_renamed_manifold_is_the_same_manifold(options):
    one = builtin("sphere", **options)
    other = renamed(one, ["x2", "x1", "w"], ["b", "a"])
    assert other.coordinates == ("x2", "x1", "w")
    assert [str(v) for v in other.parametrising[0].inverse.variables] == ["b", "a"]
    points = one.sample(200, 0)
    np.testing.assert_array_equal(other.sample(200, 0).ambient, points.ambient)
    np.testing.assert_array_equal(other.membership(points.base), one.membership(points.base))
    np.testing.assert_allclose(other.bumps(points.base), one.bumps(points.base), rtol=1e-12)


def test_names_are_kept_in_the_recipe():
    task = load_task(EXAMPLE)
    spec, arrays = task_to_spec(task)
    assert spec["task"]["outputs"] == ["temperature", "wind"]
    assert spec["manifold"] == {
        "builtin": "sphere",
        "coordinates": ["x", "y", "z"],
        "intrinsic": ["east", "north"],
        "region": "z - (1/2)",
    }
    again = task_from_spec(spec, arrays=arrays)
    assert as_graph(again).outputs == 2
    assert as_graph(again)[as_graph(again).output].components == ("temperature", "wind")
    assert task_to_spec(again)[0] == spec


def test_everybody_says_them(folder):
    runner = CliRunner()
    said = runner.invoke(main, ["explain", str(folder), "--at", "0,0.6,0.8"]).output
    assert "x = 0, y = 0.6, z = 0.8" in said
    assert "east = 0, north = 0.333333" in said
    assert "y[temperature] = " in said
    neuron = runner.invoke(main, ["explain", str(folder), "--layer", "2", "--expert", "north", "--neuron", "0"]).output
    assert "x[" not in neuron
    assert "·z" in neuron
    named = [channel["name"] for channel in circuit(folder)["channels"]]
    assert named[:7] == ["x", "y", "z", "x", "y", "z", "tau[north]"]
    assert "temperature = 0, wind = 0.3" in said
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "Inputs: `x`, `y`, `z`. Outputs: `y[temperature]`, `y[wind]`." in card
    for text in (said, card):
        assert "x1" not in text
        assert "u1" not in text
    assert atlasmoe.load(str(folder)).network.outputs == ("y[temperature]", "y[wind]")


def test_witnesses_are_in_these_names():
    spec = {
        "task": {"name": "t"},
        "manifold": {"builtin": "sphere", "coordinates": ["x", "y", "z"], "intrinsic": ["east", "north"]},
        "target": {"expression": "sqrt(z)"},
    }
    said = [str(finding) for finding in lint(task_from_spec(spec), samples=256)]
    assert any("(east = " in line for line in said)
    assert not any("x1" in line or "u1" in line for line in said)


@pytest.mark.parametrize(
    ("given", "text", "said"),
    [
        ({"coordinates": ["a", "b", "h"]}, "a + b**2/10", ""),
        ({"intrinsic": ["s", "t"]}, "s + t**2/10", ""),
        ({"intrinsic": ["s", "t"]}, "u1 + u2**2/10", ""),
        ({"intrinsic": ["u2", "u1"]}, "u2 + u1**2/10", ""),
        ({"coordinates": ["a", "b", "h"], "intrinsic": ["s", "t"]}, "s + b**2/10", ""),
        ({"coordinates": ["a", "b", "h"]}, "a + h", "manifold: expression[0]: column 5: unknown name 'h'; the names here are a, b, u1, u2"),
        ({}, "u1 + q", "manifold \"graph\": expression: column 6: unknown name 'q'"),
    ],
)
def test_the_graph_of_a_function_of_named_coordinates(given, text, said):
    spec = {"task": {"name": "t"}, "manifold": {"builtin": "graph", "expression": text, **given}, "target": {"expression": "1/2"}}
    if said:
        with pytest.raises(SpecError) as caught:
            task_from_spec(spec)
        assert len(caught.value.findings) == 1
        assert said in str(caught.value)
        return
    task = task_from_spec(spec)
    again = task_from_spec(task_to_spec(task)[0], arrays=task_to_spec(task)[1])
    for y in (task.atlas.sample(50, seed=0).base, again.atlas.sample(50, seed=0).base):
        np.testing.assert_allclose(y[:, 2], y[:, 0] + y[:, 1] ** 2 / 10, atol=1e-12)


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ((("x1", ["1/2"]),), "the output 'x1' has the name of a coordinate"),
        ((("a", ["1/2", "1/3"]), ("a_1", ["1/2"])), "have the name 'a_1' twice"),
    ],
)
def test_targets_with_names_that_are_taken_are_named(targets, said):
    tables = [{"name": name, "epsilon": 1, "expression": texts} for name, texts in targets]
    with pytest.raises(SpecError) as caught:
        task_from_spec({"task": {"name": "t"}, "manifold": {"builtin": "sphere"}, "target": tables})
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"manifold": {"builtin": "sphere", "coordinates": ["x", "y"]}}, "manifold: coordinates: there are 2 names for 3 coordinates"),
        ({"manifold": {"builtin": "sphere", "intrinsic": ["sin", "v"]}}, "manifold: intrinsic: 'sin' is reserved"),
        ({"manifold": {"builtin": "sphere", "intrinsic": ["x1", "v"]}}, "the name 'x1' is both ambient and intrinsic"),
        ({"manifold": {"builtin": "sphere", "coordinates": ["x", "x", "z"]}}, "'x' is there 2 times"),
        ({"manifold": {"builtin": "sphere", "coordinates": "x"}}, "expected a list of names"),
        ({"manifold": {"builtin": "sphere", "ambient": ["x", "y", "z"]}}, "manifold: unknown key 'ambient'; write coordinates"),
        ({"manifold": {"builtin": "product", "factors": [{"builtin": "circle", "region": "x1"}] * 2}}, "write it beside factors"),
        ({"task": {"name": "t", "outputs": ["a", "b"]}}, "task: outputs: there are 2 names for 1 components"),
        ({"task": {"name": "t", "outputs": ["x1"]}}, "task: outputs: the name 'x1' is that of a coordinate"),
        ({"task": {"name": "t", "outputs": ["a b"]}}, "task: outputs: 'a b' is not a name"),
    ],
)
def test_names_that_will_not_do_are_refused(edit, said):
    spec = {"task": {"name": "t"}, "manifold": {"builtin": "sphere"}, "target": {"expression": "1/2"}}
    with pytest.raises(SpecError) as caught:
        task_from_spec({**spec, **edit})
    assert said in str(caught.value)


def test_a_graph_names_the_coordinates_of_its_inputs():
    spec = {
        "task": {"name": "g", "kind": "graph", "output": "f"},
        "input": [{"name": "p", "coordinates": ["x", "y", "z"], "manifold": {"builtin": "sphere", "intrinsic": ["a", "b"]}}],
        "block": [{"name": "f", "reads": ["p"], "chart": [{"expression": "a*b"}, {"expression": "2"}]}],
    }
    graph = task_from_spec(spec)
    assert [str(v) for v in graph.blocks[0].domain.parametrising[0].inverse.variables] == ["a", "b"]
    assert task_to_spec(task_from_spec(*task_to_spec(graph)[:1]))[0] == task_to_spec(graph)[0]


def test_torch_and_exports_say_the_names_of_coordinates(folder, tmp_path):
    model = atlasmoe.load(folder)
    module = atlasmoe.to_torch(model)
    assert module.inputs == ("x", "y", "z")
    assert module.stack[1].arriving[:3] == ("x", "y", "z")
    assert "inputs=('x', 'y', 'z')" in repr(module)
    again = atlasmoe.from_torch(module, model)
    assert again.network.inputs == model.network.inputs
    assert [layer.channels for layer in again.network.layers] == [layer.channels for layer in model.network.layers]
    far = {"builtin": "circle", "embed": {"dimension": 4}}
    embedded = atlasmoe.compile(task_from_spec({"task": {"name": "far"}, "manifold": far, "target": {"expression": "x1"}}), epsilon=0.5)
    assert atlasmoe.to_torch(embedded).inputs == embedded.network.inputs
    atlasmoe.export_to(model, "c", tmp_path / "c")
    assert "x[1] = y\n" in next((tmp_path / "c").rglob("*.h")).read_text()
    atlasmoe.export_to(model, "numpy", tmp_path / "numpy")
    assert "x, y, z" in next((tmp_path / "numpy").rglob("northern_cap.py")).read_text()


@pytest.mark.parametrize(
    ("manifold", "same"),
    [
        ({"expression": "x*y**2/4"}, {"expression": "u1*u2**2/4"}),
        ({"expression": "x*y**2/4", "region": "x + h + 1"}, {"expression": "u1*u2**2/4", "region": "x1 + x3 + 1"}),
    ],
)
def test_a_library_manifold_of_a_graph_may_be_written_in_the_coordinates_of_its_node(manifold, same):
    def task(table):
        surface = {"name": "s", "coordinates": ["x", "y", "h"], "manifold": {"builtin": "graph", **table}}
        block = {"name": "f", "reads": ["s"], "expression": "x*h"}
        return task_from_spec({"task": {"name": "t", "kind": "graph", "output": "f"}, "input": [surface], "block": [block]})

    own, library = task(manifold), task(same)
    points = library.sample(100, 0)
    np.testing.assert_array_equal(own.sample(100, 0), points)
    again = task_from_spec(*task_to_spec(own)[:1])
    for other in (own, again):
        np.testing.assert_array_equal(other(points), library(points))
        np.testing.assert_array_equal(other["s"].atlas.membership(points * 1.5), library["s"].atlas.membership(points * 1.5))
