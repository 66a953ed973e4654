"""Spec files: what they mean, that tasks survive being written, and that no file whatever gives a traceback."""

from __future__ import annotations

import dataclasses
import os
import tomllib

import numpy as np
import pytest
import sympy
import tomli_w
from atlasmoe.atlas import (
    LIBRARY,
    Atlas,
    Box,
    CallableTarget,
    Chart,
    ChartTarget,
    ExpressionMap,
    ExpressionTarget,
    ManifoldTask,
    PartitionOfUnity,
    ball_atlas,
    builtin,
    embed,
    load_task,
    task_from_spec,
    task_to_spec,
)
from atlasmoe.errors import InvalidArgument, SpecError
from hypothesis import given, settings
from hypothesis import strategies as st

SPHERE = """
[task]
name = "sphere"
kind = "manifold"
[manifold]
ambient = ["x", "y", "z"]
intrinsic = ["u", "v"]
[[chart]]
name = "north"
domain = [["-3/2", 1.5], [-1.5, 1.5]]
inverse = ["2*u/(1+u**2+v**2)", "2*v/(1+u**2+v**2)", "(1-u**2-v**2)/(1+u**2+v**2)"]
forward = ["x/(1+z)", "y/(1+z)"]
[[chart]]
name = "south"
domain = [[-1.5, 1.5], [-1.5, 1.5]]
inverse = ["2*u/(1+u**2+v**2)", "2*v/(1+u**2+v**2)", "(u**2+v**2-1)/(1+u**2+v**2)"]
forward = ["x/(1-z)", "y/(1-z)"]
[target]
expression = "x*y + z**2"
"""


def spec(text=SPHERE):
    return tomllib.loads(text)


def findings(tables, **given):
    with pytest.raises(SpecError) as caught:
        task_from_spec(tables, **given)
    return [str(finding) for finding in caught.value.findings]


def sine(atlas: Atlas) -> ExpressionTarget:
    symbols = [sympy.Symbol(name, real=True) for name in atlas.coordinates]
    return ExpressionTarget(ExpressionMap(tuple(symbols), (sympy.sin(3 * symbols[0]) / 7, sum(symbols) * sympy.Float(0.1))))


def survives(task: ManifoldTask, **given) -> ManifoldTask:
    """Through TOML and back; charts, points, partition and target must be the same bit for bit."""
    tables, arrays = task_to_spec(task)
    again = task_from_spec(tomllib.loads(tomli_w.dumps(tables)), arrays=arrays, **given)
    assert (again.name, again.atlas.names, again.atlas.coordinates) == (task.name, task.atlas.names, task.atlas.coordinates)
    assert again.atlas.partition == task.atlas.partition
    assert [c.domain for c in again.atlas.charts] == [c.domain for c in task.atlas.charts]
    points, others = (t.atlas.sample(300, 1, low_discrepancy=True) for t in (task, again))
    for name in ("chart", "intrinsic", "base", "ambient"):
        np.testing.assert_array_equal(getattr(points, name), getattr(others, name))
    np.testing.assert_array_equal(task.evaluate(points), again.evaluate(points))
    np.testing.assert_array_equal(task.atlas.rho(points.base), again.atlas.rho(points.base))
    tables_again, arrays_again = task_to_spec(again)
    assert tables_again == tables
    assert set(arrays_again) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(arrays_again[name], array)
    return again


def test_sphere(tmp_path):
    path = tmp_path / "sphere.toml"
    path.write_text(SPHERE)
    task = load_task(path)
    assert (task.name, task.atlas.names, task.atlas.coordinates, task.outputs) == ("sphere", ("north", "south"), ("x", "y", "z"), 1)
    points = task.atlas.sample(100, 0)
    x, y, z = points.base.T
    np.testing.assert_allclose(x**2 + y**2 + z**2, 1)
    np.testing.assert_allclose(task.evaluate(points)[:, 0], x * y + z**2)
    survives(task)


def test_every_key_of_a_chart():
    tables = spec()
    tables["manifold"] |= {"partition": "smooth", "partition_power": 6, "embed": {"dimension": 7, "seed": 3}}
    tables["chart"][0] |= {"boundary": [[True, False], [False, False]], "region": "1 - u**2", "bump": "1 + z"}
    tables["chart"][1] |= {"bump": "1 + u**2"}
    tables["target"]["expression"] = ["x", "0.5", "Max(y, z)"]
    task = task_from_spec(tables)
    north, south = task.atlas.parametrising
    assert north.boundary == ((True, False), (False, False))
    assert north.bump is not None
    assert [str(v) for v in north.bump.variables] == ["x", "y", "z"]
    assert south.bump is not None
    assert [str(v) for v in south.bump.variables] == ["u", "v"]
    assert task.atlas.partition == PartitionOfUnity("smooth", 6)
    assert (task.atlas.ambient_dimension, task.outputs) == (7, 3)
    survives(task)
    tables, _ = task_to_spec(task)
    assert "embedding are missing" in findings(tables)[0]


def test_targets_chart_by_chart():
    tables = spec()
    del tables["target"]
    tables["chart"][0]["target"] = ["u", "v"]
    tables["chart"][1]["target"] = ["u", "-v"]
    task = task_from_spec(tables)
    assert isinstance(task.target, ChartTarget)
    survives(task)


def test_balls_of_written_charts():
    tables = spec()
    tables["manifold"] |= {"atlas": "ball", "charts": 40}
    task = task_from_spec(tables)
    assert len(task.atlas) == 40
    survives(task)
    assert "balls only" in findings({**spec(), "manifold": {**spec()["manifold"], "charts": 3}})[0]


OPTIONS = {
    "graph": {"expression": "u1**2 + sin(u2)/3"},
    "product": {"factors": [{"builtin": "circle"}, {"builtin": "interval"}]},
    "ellipsoid": {"axes": [1, 2, 2.5]},
    "klein_bottle": {"charts": 2},
}


@pytest.mark.parametrize("name", sorted(LIBRARY))
def test_every_library_manifold_survives(name):
    for kind in LIBRARY[name].atlases:
        if kind == "ball":
            continue
        atlas = builtin(name, atlas=kind, embed={"dimension": 12, "seed": 3}, **OPTIONS.get(name, {}))
        again = survives(ManifoldTask(name, atlas, sine(atlas)))
        assert again.atlas.recipe == atlas.recipe
        survives(ManifoldTask(f"{name}, written out", dataclasses.replace(atlas, recipe=None), sine(atlas)))


def test_ball_atlases_survive():
    tables = {"task": {"name": "balls"}, "manifold": {"builtin": "sphere", "dimension": 2, "atlas": "ball", "charts": 30}}
    task = task_from_spec({**tables, "target": {"expression": "x1*x2"}})
    assert survives(task).atlas.recipe == tables["manifold"]
    sphere = dataclasses.replace(builtin("sphere", dimension=2), recipe=None)
    atlas = embed(ball_atlas(sphere, charts=30), 5, 1)
    survives(ManifoldTask("balls of written charts", atlas, sine(atlas)))


def test_a_stale_recipe_is_not_believed():
    atlas = builtin("circle", charts=3)
    changed = dataclasses.replace(atlas, partition=PartitionOfUnity("smooth"))
    assert "builtin" not in task_to_spec(ManifoldTask("circle", changed, sine(atlas)))[0]["manifold"]
    survives(ManifoldTask("circle", changed, sine(atlas)))
    Q = np.linalg.qr(np.random.default_rng(5).standard_normal((6, 2)))[0]
    survives(ManifoldTask("circle", dataclasses.replace(builtin("circle", embed={"dimension": 6}), embedding=Q), sine(atlas)))


def test_chart_targets_on_a_library_manifold():
    atlas = builtin("circle", charts=3)
    u = atlas.parametrising[0].inverse.variables
    functions = tuple(ExpressionMap(u, (sympy.sin(u[0] + k), u[0] / 3)) for k in range(3))
    survives(ManifoldTask("circle", atlas, ChartTarget(functions)))


def test_python_targets(tmp_path):
    atlas = builtin("circle")
    target = CallableTarget(lambda y: np.sin(y), 2, "field")
    task = ManifoldTask("circle", atlas, target)
    assert survives(task, target=target).target is target
    tables, arrays = task_to_spec(task)
    assert tables["target"] == {"callable": "field", "outputs": 2}
    assert "Python function 'field'" in findings(tables, arrays=arrays)[0]
    assert "the spec says 2 outputs, the function has 1" in findings(tables, target=CallableTarget(np.sin))[0]
    path = tmp_path / "circle.toml"
    path.write_text('[task]\nname = "c"\n[manifold]\nbuiltin = "circle"\n')
    assert isinstance(load_task(path, target=lambda y: y[:, 0]).target, CallableTarget)
    with pytest.raises(SpecError, match="once more in Python"):
        task_from_spec(spec(), target=np.sin)


def test_symbols_of_python_tasks_need_not_be_real():
    t, x, y = sympy.symbols("t x y")
    chart = Chart("arc", Box((-3,), (3,)), ExpressionMap((t,), (sympy.cos(t), sympy.sin(t))), ExpressionMap((x, y), (sympy.atan2(y, x),)))
    survives(ManifoldTask("arc", Atlas(("x", "y"), (chart,)), ExpressionTarget(ExpressionMap((x, y), (sympy.sqrt(x**2) * y,)))))


def test_what_cannot_be_written_is_refused_when_it_is_written():
    t, x, y = sympy.symbols("t x y", real=True)
    chart = Chart("arc", Box((-3,), (3,)), ExpressionMap((t,), (sympy.cos(t), sympy.sin(t))))
    with pytest.raises(InvalidArgument, match="target: expression"):
        task_to_spec(ManifoldTask("arc", Atlas(("x", "y"), (chart,)), ExpressionTarget(ExpressionMap((x, y), (sympy.erf(x),)))))
    with pytest.raises(InvalidArgument, match="'sin' is reserved"):
        task_to_spec(ManifoldTask("arc", Atlas(("x", "sin"), (chart,)), CallableTarget(np.sin)))


@pytest.mark.parametrize("change", ["drop", "shape", "nan", "dtype", "chart", "radius", "name", "orthonormal"])
def test_damaged_arrays(change):
    tables = {
        "task": {"name": "balls"},
        "manifold": {"builtin": "circle", "atlas": "ball", "charts": 9, "embed": {"dimension": 4}},
        "target": {"expression": "x1"},
    }
    tables, arrays = task_to_spec(task_from_spec(tables))
    match change:
        case "drop":
            del arrays["frames"]
        case "shape":
            arrays["frames"] = arrays["frames"][:-1]
        case "nan":
            arrays["centers"] = arrays["centers"] * np.nan
        case "dtype":
            arrays["piece_ball"] = arrays["piece_ball"].astype(float)
        case "chart":
            arrays["piece_chart"] = arrays["piece_chart"] + 100
        case "radius":
            arrays["radii"] = -arrays["radii"]
        case "name":
            arrays["surprise"] = np.zeros(1)
        case "orthonormal":
            arrays["embedding"] = arrays["embedding"] * 2
    assert findings(tables, arrays=arrays)[0].startswith(("arrays", "manifold: arrays"))


def refused(path) -> str:
    with pytest.raises(SpecError) as caught:
        load_task(path)
    return str(caught.value)


def test_files_that_are_no_specs(tmp_path):
    assert refused(tmp_path / "none.toml").startswith("none.toml: file: does not exist; ")
    assert "is a folder" in refused(tmp_path)
    (tmp_path / "huge.toml").write_text("# " + "x" * 2_000_000)
    assert "larger than 1000000 bytes" in refused(tmp_path / "huge.toml")
    (tmp_path / "deep.toml").write_text("x = " + "[" * 100_000)
    assert "nested too deeply" in refused(tmp_path / "deep.toml")
    (tmp_path / "digits.toml").write_text("x = " + "7" * 100_000)
    assert "is not TOML" in refused(tmp_path / "digits.toml")
    os.mkfifo(tmp_path / "pipe.toml")
    assert "not a regular file" in refused(tmp_path / "pipe.toml")
    with pytest.raises(InvalidArgument, match="holds a null character"):
        load_task("a\x00b")


def test_many_charts_are_bounded(tmp_path):
    path = tmp_path / "many.toml"
    path.write_text(SPHERE + "[[chart]]\n" * 5000)
    assert "5002 charts" in refused(path)
    path.write_text(SPHERE + "[[chart]]\n" * 1000)
    assert refused(path).count("\n") < 5000


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    path = tmp_path / "bom.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SPHERE.encode())
    assert load_task(path).name == "sphere"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["x", "u", "1/0", "ball", "smooth"]),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.sampled_from(["name", "dimension", "seed", "q"]), part, max_size=2),
    max_leaves=6,
)


def messages(tables) -> list[str]:
    try:
        task_from_spec(tables)
    except SpecError as error:
        return [str(finding) for finding in error.findings]
    return []


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_wrong_values_give_findings_and_nothing_else(data):
    """Any value at any key: a task or a SpecError of one-line findings, never another exception."""
    tables = spec()
    table = data.draw(st.sampled_from([tables, tables["task"], tables["manifold"], *tables["chart"], tables["target"]]))
    extra = [
        "bump",
        "region",
        "boundary",
        "partition",
        "partition_power",
        "embed",
        "atlas",
        "seed",
        "arrays",
        "callable",
        "charts",
        "builtin",
    ]
    table[data.draw(st.sampled_from([*table, *extra]))] = data.draw(VALUES)
    for message in messages(tables):
        assert message.isprintable()
        assert len(message) < 1000


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(sorted(set(LIBRARY) - {"so3"})),
    st.dictionaries(
        st.sampled_from(["dimension", "domain", "axes", "height", "turns", "factors", "expression", "embed", "seed", "q"]), VALUES
    ),
)
def test_wrong_options_of_library_manifolds_give_findings_and_nothing_else(name, options):
    tables = {"task": {"name": "t"}, "manifold": {"builtin": name, **options}, "target": {"expression": "x1"}}
    for message in messages(tables):
        assert message.isprintable()
        assert len(message) < 1000
