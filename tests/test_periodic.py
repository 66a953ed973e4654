"""Boxes with periodic axes: circles, on which f is single-valued, and which certificates are about."""

from __future__ import annotations

from pathlib import Path

import atlasmoe
import numpy as np
import pytest
from atlasmoe.atlas import lint, load_task, task_from_spec, task_to_spec
from atlasmoe.errors import Severity, SpecError

EXAMPLE = Path(__file__).parent.parent / "examples" / "periodic.toml"

YEAR = {
    "task": {"name": "year"},
    "parameters": {"year": 365},
    "manifold": {"box": {"day": [1, "year + 1"]}, "periodic": ["day"]},
    "target": {"expression": "sin(2*pi*day/year)"},
}


def errors(task):
    return [finding for finding in lint(task, samples=256) if finding.severity is Severity.ERROR]


def test_both_ends_are_one_place_and_no_chart_ends_there():
    task = load_task(EXAMPLE)
    assert task.atlas.coordinates == ("cos_theta", "sin_theta", "read_h")
    assert task.atlas.names == ("theta0", "theta1", "theta2")
    seam = np.array([[1.0, 0.0, 0.3]])
    assert task.atlas.membership(seam).any()
    assert (task.atlas.bumps(seam) > 0.1).tolist() == [[True, False, True]]  # well inside of both charts that meet there
    points = task.atlas.sample(1000, 0)
    theta, h = np.arctan2(points.base[:, 1], points.base[:, 0]), points.base[:, 2]
    np.testing.assert_allclose(task.evaluate(points)[:, 0], np.cos(2 * theta) * h / 2 + h**2, atol=1e-12)
    assert not errors(task)
    for chart in task.atlas.charts:
        u = chart.domain.uniform(100, np.random.default_rng(1))
        np.testing.assert_allclose(chart.forward(chart.inverse(u)), u, atol=1e-12)


def test_two_circles_and_what_is_saved():
    spec = {"task": {"name": "t"}, "manifold": {"box": {"a": [0, 1], "b": [-2, 2]}, "periodic": ["a", "b"], "charts": 4}}
    spec["target"] = {"expression": ["cos(2*pi*a)*sin(pi*b/2)", "1/2"]}
    task = task_from_spec(spec)
    assert len(task.atlas) == 16
    assert not errors(task)
    written, arrays = task_to_spec(task)
    assert "box" not in written["manifold"]
    again = task_from_spec(written, arrays=arrays)
    points = task.atlas.sample(50, 0)
    assert again.evaluate(points).tolist() == task.evaluate(points).tolist()


@pytest.mark.parametrize("charts", [3, 5])
def test_every_place_of_the_box_is_read_as_it_is_written(charts):
    box = {"box": {"a": [-1, 2]}, "periodic": ["a"], "charts": charts}
    task = task_from_spec({"task": {"name": "t"}, "manifold": box, "target": {"expression": "cos(2*pi*a/3)"}})
    ends = np.array([(chart.domain.lower[0], chart.domain.upper[0]) for chart in task.atlas.charts])
    a = np.linspace(-1, 2, 101)
    assert ((ends[:, :1] < a) & (a < ends[:, 1:])).any(0).all()
    assert (ends[0, 0], ends[-1, 1]) == pytest.approx((-1 - 1 / charts, 2 + 1 / charts))
    assert not errors(task)


@pytest.mark.parametrize("expression", ["sin(pi*day/year)", "day*(year - day)", "day/100", "Max(0, day - 360)"])
def test_a_function_that_does_not_close_is_found_with_a_witness(expression):
    found = errors(task_from_spec({**YEAR, "target": {"expression": expression}}))
    assert found
    assert all(finding.where.startswith("target on charts") for finding in found)
    assert all(finding.coordinates == ("cos_day", "sin_day") for finding in found)


def test_a_year_is_proved_and_confirmed(tmp_path):
    task = task_from_spec(YEAR)
    model = atlasmoe.compile(task, epsilon=0.25)
    folder = atlasmoe.save(model, tmp_path / "year")
    certificate = atlasmoe.certify(model, epsilon=0.25)
    certificate.write(folder)
    assert certificate["cover"].holds
    assert atlasmoe.check(str(folder)).holds
    seam = model(np.array([[1.0, 0.0], [np.cos(1e-9), -np.sin(1e-9)]]))
    assert np.abs(np.diff(seam[:, 0])) <= 2 * certificate.bound


def test_a_box_takes_a_table_and_a_python_function(tmp_path):
    day = np.linspace(1, 366, 25)
    values = np.sin(2 * np.pi * (day - 1) / 365)
    values[-1] = values[0]
    np.savez(tmp_path / "year.npz", day=day, values=values)
    table = {"table": "year.npz", "coordinates": "chart", "interpolation": "cubic", "periodic": ["day"]}
    one = task_from_spec({**YEAR, "target": table}, folder=tmp_path)
    assert not errors(one)
    points = one.atlas.sample(200, seed=0)
    assert np.abs(one.target.evaluate(points)[:, 0] - points.base[:, 1]).max() < 1e-3
    assert errors(task_from_spec({**YEAR, "target": {**table, "periodic": []}}, folder=tmp_path)), "the seam is beyond the table"
    two = [{"name": "a", "epsilon": 0.1, **table}, {"name": "b", "epsilon": 0.1, "expression": "cos(2*pi*day/year)"}]
    assert task_from_spec({**YEAR, "target": two}, folder=tmp_path).target.outputs == 2
    assert not errors(task_from_spec({**YEAR, "target": {"callable": "f"}}, target=lambda y: y[:, 1]))
    assert not errors(task_from_spec({key: YEAR[key] for key in YEAR if key != "target"}, target=lambda y: y[:, 1]))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"manifold": {"box": {"day": [1, 366]}, "periodic": ["night"]}}, "manifold: periodic: 'night' is no axis of the box"),
        ({"manifold": {"box": {"day": [1, 366]}, "periodic": "day"}}, "manifold: periodic: expected a list of names"),
        ({"manifold": {"box": {"day": [366, 1]}, "periodic": ["day"]}}, "manifold: box: day: the lower end 366 is not below"),
        ({"manifold": {"box": {"day": [1]}, "periodic": ["day"]}}, "manifold: box: day: expected 2 entries"),
        ({"manifold": {"box": [1, 2], "periodic": ["day"]}}, "manifold: box: expected a table of intervals"),
        ({"manifold": {"box": {"day": [1, 366]}, "charts": 2}}, "manifold: charts: expected an integer from 3"),
        ({"manifold": {"box": {"sin": [1, 366]}}}, "'sin' is reserved"),
        ({"manifold": {"box": {"day": [1, float("inf")]}, "periodic": ["day"]}}, "is not finite"),
        ({"manifold": {"box": {"a": [0, 1], "b": [0, 1]}, "periodic": ["a", "b"], "charts": 100}}, "100 around every circle are too many"),
        ({"manifold": {"box": {"day": [1, 366]}, "ambient": ["x"]}}, "unknown key 'ambient'"),
        ({"target": {"charts": ["1"]}}, "target: of a box is one expression"),
        ({"target": {"expression": "cos_day"}}, "unknown name 'cos_day'"),
        ({"chart": []}, "a box brings its own charts"),
    ],
)
def test_what_is_no_box_is_refused(edit, said):
    spec = {**YEAR, **edit}
    if "manifold" in edit:
        spec.pop("parameters")
        spec["target"] = {"expression": "1"}
    with pytest.raises(SpecError) as caught:
        task_from_spec(spec)
    assert said in str(caught.value)


DAY = {
    "task": {"name": "day", "kind": "graph", "output": "out"},
    "input": [{"name": "clock", "box": {"hour": [0, 24]}, "periodic": ["hour"]}, {"name": "y", "domain": [[0, 1]]}],
    "block": [
        {"name": "sun", "reads": ["clock"], "expression": "cos(2*pi*hour/24)"},
        {"name": "q", "reads": ["y"], "expression": "y**2"},
    ],
    "combine": [{"name": "out", "expression": "sun + q/2"}],
}


def with_sun(expression, **clock):
    sun = {**DAY["block"][0], "expression": expression}
    return {**DAY, "block": [sun, DAY["block"][1]], "input": [{**DAY["input"][0], **clock}, DAY["input"][1]]}


def test_an_input_of_a_graph_may_be_periodic(tmp_path):
    graph = task_from_spec(DAY)
    assert graph["clock"].components == ("cos_hour", "sin_hour")
    assert not errors(graph)
    written, arrays = task_to_spec(graph)
    assert task_to_spec(task_from_spec(written, arrays=arrays))[0] == written
    points = graph.sample(500, 0)
    hour = np.arctan2(points[:, 1], points[:, 0]) * 24 / (2 * np.pi)
    for around in (hour, hour + 24):  # one place, whatever it is called
        truth = np.cos(2 * np.pi * around / 24) + points[:, 2] ** 2 / 2
        np.testing.assert_allclose(graph(points)[:, 0], truth, atol=1e-12)
    model = atlasmoe.compile(graph, epsilon=0.5)
    certificate = atlasmoe.certify(model, tightness=None)
    assert certificate.status == "proved"
    certificate.write(atlasmoe.save(model, tmp_path / "day"))
    assert atlasmoe.check(tmp_path / "day").holds
    turn = 2 * np.pi * 1e-9
    seam = model(np.array([[1.0, 0.0, 0.5], [np.cos(turn), -np.sin(turn), 0.5]]))
    assert np.abs(np.diff(seam[:, 0])) <= 2 * certificate.bound


@pytest.mark.parametrize("expression", ["hour", "sin(2*pi*hour/48)", "Max(hour, 12)", "Max(0, hour - 23)"])
def test_a_block_that_does_not_close_is_found_with_a_witness(expression):
    found = errors(task_from_spec(with_sun(expression)))
    assert any('block "sun": target on charts' in finding.where for finding in found)
    assert all(finding.coordinates == ("cos_hour", "sin_hour") for finding in found)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (with_sun("hour*cos_hour"), "mixes intrinsic names and names that the block reads"),
        (with_sun("hour", periodic=["day"]), "input \"clock\": periodic: 'day' is no axis of the box"),
        (with_sun("hour", domain=[0, 1]), "is given beside a box; give one of the two"),
        (with_sun("hour", coordinates=["a"]), "what is read of a box is called by its axes"),
        (with_sun("hour", box={"hour": [24, 0]}), "is not below the upper end"),
        (with_sun("hour", charts=2), "expected an integer from 3"),
        ({**DAY, "input": [DAY["input"][0], {"name": "y", "domain": [[0, 1]], "periodic": ["y"]}]}, "is for a box only"),
        ({**DAY, "combine": [{"name": "out", "expression": "sun + q + hour"}]}, "unknown name 'hour'"),
    ],
)
def test_mistakes_in_periodic_inputs_are_named(spec, said):
    with pytest.raises(SpecError) as caught:
        task_from_spec(spec)
    assert said in str(caught.value)
