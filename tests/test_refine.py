"""`refine`: other charts, the same manifold and the same target, for every manifold there is; refusals in words."""

from __future__ import annotations

import numpy as np
import pytest
import sympy
from atlasmoe import (
    Atlas,
    Box,
    CallableTarget,
    Chart,
    ChartTarget,
    ExpressionMap,
    ExpressionTarget,
    InvalidArgument,
    ManifoldTask,
    builtin,
    embed,
    refine,
)
from atlasmoe.atlas.manifolds import LIBRARY
from atlasmoe.atlas.spec import task_from_spec, task_to_spec

OPTIONS = {
    "graph": {"expression": "u1*u2"},
    "ellipsoid": {"axes": [1, 2, 1.5]},
    "product": {"factors": [{"builtin": "circle"}, {"builtin": "interval"}]},
    "stiefel": {"k": 1},
}
ENOUGH = 64
"""Balls whose tangent charts are injective on every manifold of the library, but for those of MANY dimensions."""
MANY = {"se3"}
"""Six dimensions: not even thousands of balls are small enough."""


def task_on(atlas: Atlas) -> ManifoldTask:
    return ManifoldTask("test", atlas, CallableTarget(lambda y: np.sin(3 * y[:, 0]) + y[:, -1], name="sine"))


@pytest.mark.parametrize("name", sorted(set(LIBRARY) - MANY))
def test_every_library_manifold_can_be_refined(name: str) -> None:
    task = task_on(builtin(name, **OPTIONS.get(name, {})))
    finer = refine(task, experts=ENOUGH)
    assert len(finer.atlas) == ENOUGH
    assert finer.target is task.target
    before, after = task.atlas.sample(500, 3), finer.atlas.sample(500, 3)
    np.testing.assert_array_equal(before.base, after.base)
    np.testing.assert_array_equal(task.evaluate(before), finer.evaluate(after))
    assert finer.atlas.powers(after.base).max(1).min() > 0, "the balls cover M"
    assert finer.atlas.recipe == {"builtin": name, **OPTIONS.get(name, {}), "atlas": "ball", "charts": ENOUGH, "seed": 0}


def test_refining_refined_charts_starts_from_the_manifold() -> None:
    task = task_on(builtin("sphere", atlas="ball", radius=0.9, seed=5, embed={"dimension": 12}))
    twice = refine(refine(task, experts=30), factor=2, seed=1)
    assert len(twice.atlas) == 60
    assert twice.atlas.recipe == {"builtin": "sphere", "atlas": "ball", "embed": {"dimension": 12}, "charts": 60, "seed": 1}
    np.testing.assert_array_equal(twice.atlas.embedding, task.atlas.embedding)
    # The recipe says what was made: the library makes the same balls from it.
    once = builtin("sphere", atlas="ball", charts=60, seed=1)
    np.testing.assert_array_equal(once.balls[0], twice.atlas.balls[0])


def test_finer_means_smaller() -> None:
    """E balls of a d-dimensional manifold have radius ∝ E^{−1/d} (B3's r)."""
    task = task_on(builtin("sphere"))
    coarse, fine = (refine(task, experts=E).atlas.balls[1][0] for E in (16, 144))
    assert coarse / fine == pytest.approx(3, rel=0.15)


def test_factor_rounds_up() -> None:
    task = task_on(builtin("circle", charts=5))
    assert len(refine(task, factor=1.5).atlas) == 8
    assert refine(task, factor=2).atlas.recipe is None, 'the recipe\'s "charts" counts arcs, so no table makes these balls'


def test_targets_written_per_chart_stay_with_their_charts() -> None:
    atlas = builtin("circle", charts=4)
    functions = []
    for chart in atlas.charts:
        x1, x2 = chart.inverse.expressions
        functions.append(ExpressionMap(chart.inverse.variables, (x1 * x2,)))
    finer = refine(ManifoldTask("by chart", atlas, ChartTarget(tuple(functions))), experts=12)
    points = finer.atlas.sample(300, 1)
    np.testing.assert_allclose(finer.evaluate(points)[:, 0], points.base[:, 0] * points.base[:, 1], atol=1e-14)


def test_user_atlases_and_their_specs() -> None:
    u, v = sympy.symbols("u v", real=True)
    x, y, z = sympy.symbols("x y z", real=True)
    chart = Chart(
        "all", Box((-1, -1), (1, 1)), ExpressionMap((u, v), (u, v, u * v / 2)), ExpressionMap((x, y, z), (x, y)), ((True,) * 2,) * 2
    )
    task = ManifoldTask("saddle", embed(Atlas(("x", "y", "z"), (chart,)), 7), ExpressionTarget(ExpressionMap((x, y, z), (x * z,))))
    finer = refine(task, experts=20)
    spec, arrays = task_to_spec(finer)
    read = task_from_spec(spec, arrays=arrays)
    points = finer.atlas.sample(100, 0)
    np.testing.assert_array_equal(read.atlas.balls[0], finer.atlas.balls[0])
    np.testing.assert_array_equal(read.evaluate(read.atlas.sample(100, 0)), finer.evaluate(points))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either experts .* or factor"),
        ({"experts": 8, "factor": 2}, "not both"),
        ({"experts": 3}, "cannot be refined to 3 balls: the tangent chart at .* is not injective"),
        ({"experts": 0}, "experts must be an integer from 1 to 4096, got 0"),
        ({"experts": 2.5}, "experts must be an integer"),
        ({"factor": 0.5}, "factor must be a finite number above 1"),
        ({"factor": 1e5}, "makes 200000 of 2 charts, more than 4096"),
        ({"experts": 30, "seed": -1}, "seed must be an integer"),
    ],
)
def test_refusals(arguments: dict, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        refine(task_on(builtin("sphere")), **arguments)


def test_only_manifold_tasks_are_refined() -> None:
    with pytest.raises(InvalidArgument, match="refine takes a ManifoldTask, whose one atlas it makes finer, got Atlas"):
        refine(builtin("circle"), experts=8)
