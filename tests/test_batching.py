"""Experts that share one dictionary: same errors as claimed, one factorisation, the rest built one by one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import sympy
from atlasmoe import ExpressionMap, ExpressionTarget, ManifoldTask, ball_atlas, builtin, compile
from atlasmoe.constructions.experts import shared_dictionary
from atlasmoe.constructions.experts.batching import shared_targets
from atlasmoe.constructions.experts.charts import Workshop
from atlasmoe.constructions.experts.shared_dictionary import Reference, common, points_at
from atlasmoe.constructions.relu.shared import SharedSamples, fit_shared
from atlasmoe.constructions.routers import affine as affine_router
from atlasmoe.moe import Ridge


def task_on(atlas, expression) -> ManifoldTask:
    symbols = tuple(sympy.Symbol(name, real=True) for name in atlas.coordinates)
    return ManifoldTask("test", atlas, ExpressionTarget(ExpressionMap(symbols, (expression(*symbols),))))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sphere", {"dimension": 2, "atlas": "ball", "charts": 30}),
        ("so3", {"atlas": "ball", "charts": 72}),
        ("circle", {"atlas": "ball", "charts": 9}),
        ("torus", {"dimension": 2}),
    ],
)
def test_points_have_the_local_coordinates_asked_for(name, options):
    """φ(points_at(u)) = u, on M; ball charts have no closed inverse."""
    atlas = builtin(name, **options)
    for chart in (0, len(atlas) - 1):
        domain = atlas.charts[chart].domain
        local = 0.4 * (domain.uniform(200, np.random.default_rng(chart)) - domain.center) + domain.center
        points = points_at(atlas, chart, local)
        found = np.isfinite(points.base).all(1)
        assert found.all()
        np.testing.assert_allclose(atlas.charts[chart].forward(points.base), local, rtol=0, atol=1e-9)
        assert atlas.contains(chart, points.base).all()


def test_points_beyond_the_boundary_are_not_made_up():
    """A ball around an end of the interval reaches over the edge of M: there is no point there."""
    atlas = ball_atlas(builtin("interval"), charts=4)
    low, high = (float(f(chart.center[0] for chart in atlas.charts)) for f in (min, max))
    chart = int(np.argmin([ball.center[0] for ball in atlas.charts]))
    ball = atlas.charts[chart]
    domain = atlas.parametrising[0].domain
    local = np.linspace(-ball.radius, ball.radius, 101)[1:-1, None]
    points = points_at(atlas, chart, local)
    where = ball.center[0] + (local @ ball.frame.T)[:, 0]
    outside = (where < domain.lower[0] - 1e-9) | (where > domain.upper[0] + 1e-9)
    assert low < high
    assert np.isnan(points.base[outside]).all()
    assert np.isfinite(points.base[~outside]).all()


def test_scaling_into_local_coordinates_keeps_the_function():
    rng = np.random.default_rng(0)
    z = rng.uniform(-1, 1, (3000, 2))
    values = np.stack([np.sin(2 * z[:, :1]) * z[:, 1:], np.exp(z[:, :1])], axis=1)
    fitted = fit_shared(SharedSamples(z, values, z[:500], values[:500]), 64)
    reference = Reference(np.array([[0.3, -1.0], [2.0, 5.0]]), np.array([[0.1, 0.4], [3.0, 0.02]]), False)
    for index in range(2):
        ridge = reference.to_local(index, fitted.ridge(index))
        lengths = np.linalg.norm(ridge.dictionary.directions, axis=1)
        np.testing.assert_allclose(lengths, 1, rtol=0, atol=1e-14)
        net = ridge.to_relu("n", "test")
        np.testing.assert_allclose(net(reference.local(index, z)), fitted.ridge(index)(z), rtol=0, atol=1e-9)


def test_shared_errors_are_each_functions_own():
    rng = np.random.default_rng(1)
    z, held = rng.uniform(-1, 1, (3000, 2)), rng.uniform(-1, 1, (500, 2))

    def functions(z):
        return np.stack([0 * z[:, :1], np.sin(3 * z[:, :1] + z[:, 1:]), 5 * np.abs(z[:, :1] - 0.2 * z[:, 1:])], axis=1)

    fitted = fit_shared(SharedSamples(z, functions(z), held, functions(held)), 96)
    for index in range(3):
        error = np.abs(fitted.ridge(index).to_relu("n", "t")(held) - functions(held)[:, index]).max()
        assert fitted.errors[index] == pytest.approx(error, abs=1e-10)
    assert fitted.errors[0] < 1e-10 < fitted.errors[1] < fitted.errors[2]


def test_compiled_experts_share_directions_and_hold_on_their_cells():
    atlas = builtin("sphere", dimension=2, atlas="ball", charts=32)
    model = compile(task_on(atlas, lambda x, y, z: sympy.sin(3 * x) * y + z), epsilon=0.01)
    experts = model.network.layers[-1].experts
    widths = [net.widths[0] for net in experts]
    # The same for all was 86. Every chart has the least width that serves it.
    assert max(widths) <= 48
    assert min(widths) <= 24
    # Directions live in different tangent planes, but there are equally many.
    common = max(set(widths), key=widths.count)
    counts = {Ridge.of(net).dictionary.counts for net in experts if net.widths[0] == common}
    assert len({tuple(sorted(c)) for c in counts}) <= 2
    points = atlas.sample(50_000, 4)
    assert np.abs(model(points.ambient) - model.task.evaluate(points)).max() <= 0.01


def without_forward_maps(atlas):
    return dataclasses.replace(atlas, charts=tuple(dataclasses.replace(chart, forward=None) for chart in atlas.charts), recipe=None)


@pytest.mark.parametrize(
    ("cover", "charts"),
    [
        (builtin("torus", dimension=2), 24),
        # No chart says which points are its own: only the boxes do.
        (without_forward_maps(builtin("torus", dimension=2)), 24),
        # Inverses that end where their boxes end: z = √(1 − x² − y²).
        (builtin("sphere", dimension=2, atlas="graph"), 24),
    ],
)
def test_points_of_a_ball_come_from_several_charts(cover, charts):
    """Balls that no single parametrising chart holds: every point of M in the ball has its coordinates, and is found from them."""
    atlas = ball_atlas(cover, charts=charts)
    several = [i for i, ball in enumerate(atlas.charts) if len(ball.pieces) > 1]
    assert several
    for chart in several[:6]:
        local, points = atlas.sample_chart(chart, 300, 0)
        found = points_at(atlas, chart, local)
        assert len(np.unique(points.chart)) > 1
        np.testing.assert_allclose(found.base, points.base, rtol=0, atol=1e-8)


def test_the_reference_ball_of_a_three_torus_is_all_on_the_manifold():
    """u = sin θ folds at 1, just beyond the cells: the common reference ball must not reach there."""
    task = task_on(builtin("torus", dimension=3, atlas="ball", charts=216), lambda *x: x[0] * x[2] + x[1] * x[4])
    routing = affine_router.route(task.atlas, "float64")
    cells = affine_router.cells(routing, 0)[::9]
    ready = shared_targets(Workshop(task, routing, None, 24, True, 24, 0), cells)
    assert len(ready) == len(cells)
    for index in (0, 7):
        u, points = cells[index].draw(task.atlas, routing, 500, 9)
        assert np.abs(ready[index].net(u) - task.evaluate(points)).max() <= 1.5 * ready[index].error


def test_points_off_most_charts_are_left_out_for_all() -> None:
    known = np.ones((4, 6), bool)
    known[1] = False  # off all of them
    known[2, :4] = False  # off most
    known[3, :3] = False  # a chart that misses such a point is the one that is left out
    assert common(known).tolist() == [True, False, False, True]


def test_points_at_which_every_projection_degenerates_are_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Newton's method has nothing left to go on with, and says so by NaN."""
    monkeypatch.setattr(shared_dictionary, "adjugate", lambda matrices: (np.zeros(len(matrices)), np.zeros_like(matrices)))
    atlas = builtin("sphere", atlas="ball", charts=64)
    local = np.random.default_rng(0).uniform(-1, 1, (50, 2)) * atlas.charts[0].radius / 2
    assert np.isnan(points_at(atlas, 0, local).intrinsic).any()
