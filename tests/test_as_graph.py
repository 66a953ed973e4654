"""A task on one manifold is the graph of one input and one block: same values, same charts, whatever its target is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from atlasmoe import CallableTarget, Chart, ChartTarget, ExpressionTarget, InvalidArgument, ManifoldTask, builtin
from atlasmoe.atlas import Atlas, ExpressionMap
from atlasmoe.atlas.graph import as_graph, expression_map


def _written(atlas: Atlas, text: str) -> ExpressionTarget:
    return ExpressionTarget(expression_map(atlas.coordinates, text))


def _by_charts(atlas: Atlas, text: str) -> ChartTarget:
    """The same function chart by chart."""
    f = expression_map(atlas.coordinates, text)
    functions = []
    for chart in atlas.parametrising:
        into = dict(zip(f.variables, chart.inverse.expressions, strict=True))
        functions.append(ExpressionMap(chart.inverse.variables, tuple(e.xreplace(into) for e in f.expressions)))
    return ChartTarget(tuple(functions))


SPHERE = builtin("sphere", atlas="graph")
BALLS = builtin("sphere", atlas="ball", charts=24)
EMBEDDED = builtin("torus", charts=9, embed={"dimension": 11})


def _texts(atlas: Atlas) -> str:
    return " + ".join(f"sin({k + 2}*{name})" for k, name in enumerate(atlas.coordinates))


def _python(base: np.ndarray) -> np.ndarray:
    return np.stack([np.sin(base).sum(1), base[:, 0] ** 3], axis=1)


TASKS = {
    f"{name}, {kind}": ManifoldTask("t", atlas, make(atlas))
    for name, atlas in (("graph charts", SPHERE), ("balls", BALLS), ("embedded", EMBEDDED))
    for kind, make in (
        ("expression", lambda atlas: _written(atlas, _texts(atlas))),
        ("chart by chart", lambda atlas: _by_charts(atlas, _texts(atlas))),
        ("python", lambda atlas: CallableTarget(_python, 2)),
    )
}


@pytest.mark.parametrize("name", TASKS)
class TestValues:
    def test_located_points_have_the_values_of_the_task_bit_for_bit(self, name: str) -> None:
        task = TASKS[name]
        points = task.atlas.sample(500, 1)
        graph = as_graph(task)
        (group,) = graph.inputs
        found = graph.trace(points.ambient, {group.name: points})
        assert np.array_equal(found.output, task.evaluate(points))
        assert np.array_equal(np.stack([found.values[c] for c in group.coordinates], 1), points.base)
        assert np.array_equal(graph.evaluate(points.ambient, {group.name: points}), task.evaluate(points))

    def test_other_points_have_the_values_of_the_task_called_with_them(self, name: str) -> None:
        task = TASKS[name]
        x = task.atlas.sample(500, 2).ambient
        assert np.array_equal(as_graph(task)(x), task(x))

    def test_its_block_knows_in_which_charts_points_lie(self, name: str) -> None:
        task = TASKS[name]
        points = task.atlas.sample(200, 3)
        graph = as_graph(task)
        valid = graph.trace(points.ambient, {graph.inputs[0].name: points}).valid[graph.blocks[0].name]
        for i in range(len(task.atlas)):
            assert np.array_equal(valid[:, i], task.atlas.contains(i, points.base))

    def test_subtasks_and_local_functions_are_the_target(self, name: str) -> None:
        task = TASKS[name]
        (block,) = as_graph(task).blocks
        _, points = task.atlas.sample_chart(0, 50, 4)
        assert np.allclose(block.subtask(0, points.base), task.evaluate(points), atol=1e-12)
        if isinstance(task.target, CallableTarget):
            with pytest.raises(InvalidArgument, match="Python function 'callable'"):
                block.local(0)
        else:
            for i, chart in enumerate(task.atlas.parametrising):
                rows = points.chart == i
                assert chart.inverse.variables == block.local(i).variables
                assert np.allclose(block.local(i)(points.intrinsic[rows]), task.evaluate(points)[rows], atol=1e-12)


def test_a_target_by_charts_needs_no_forward_maps_where_points_are_located() -> None:
    charts = tuple(
        dataclasses.replace(c, forward=None, partition=expression_map(SPHERE.coordinates, "1/6"))
        for c in SPHERE.charts
        if isinstance(c, Chart)
    )
    atlas = dataclasses.replace(SPHERE, charts=charts)
    task = ManifoldTask("t", atlas, _by_charts(atlas, "x1*x2 + x3"))
    points = atlas.sample(300, 5)
    graph = as_graph(task)
    assert np.array_equal(graph.evaluate(points.ambient, {graph.inputs[0].name: points}), task.evaluate(points))
    with pytest.raises(InvalidArgument, match="has no forward map"):
        graph.evaluate(points.ambient)


def test_the_block_of_an_embedded_manifold_keeps_its_embedding() -> None:
    task = TASKS["embedded, expression"]
    graph = as_graph(task)
    assert graph.blocks[0].domain is task.atlas is graph.inputs[0].domain is graph.blocks[0].task.atlas
    assert graph.ambient_dimension == 11
