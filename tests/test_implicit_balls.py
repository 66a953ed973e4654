"""Balls of unequal radii on implicit manifolds, and tangent charts taken together: the same values as chart by chart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy
from atlasmoe.atlas import Atlas, BallChart, ExpressionMap, ExpressionTarget, ManifoldTask, task_from_spec, task_to_spec
from atlasmoe.atlas.ascent import Ground
from atlasmoe.atlas.ball import LEAST_OVERLAP
from atlasmoe.constructions.experts.shared_dictionary import points_at
from atlasmoe.constructions.routers.proved_cover import prove_cover
from atlasmoe.errors import SpecError

ELLIPSE: dict[str, Any] = {"ambient": ["x", "y"], "implicit": "x**2 + 9*y**2 - 1", "box": [[-1.5, 1.5], [-1, 1]], "region": "x + 0.5"}


def atlas_of(**options: Any) -> Atlas:
    spec = {"task": {"name": "half an ellipse"}, "manifold": {**ELLIPSE, **options}, "target": {"expression": "x*y"}}
    atlas = task_from_spec(spec).atlas
    assert isinstance(atlas, Atlas)
    return atlas


@pytest.fixture(scope="module")
def power() -> Atlas:
    return atlas_of(atlas="power")


def test_charts_taken_together_are_the_charts(power: Atlas) -> None:
    together, rng = power.together, np.random.default_rng(0)
    assert together is not None
    for i, chart in enumerate(power.cover):
        u = rng.uniform(chart.domain.lower, chart.domain.upper, (200, 1))
        which = np.full(len(u), i)
        np.testing.assert_allclose(together.points(which, u), chart.inverse(u), rtol=0, atol=1e-14)
        np.testing.assert_allclose(together.jacobians(which, u), chart.inverse.jacobian_at(u), rtol=0, atol=1e-12)
        np.testing.assert_array_equal(power.inside(which, u), chart.inside(u))
        np.testing.assert_array_equal(power.inside(which, 3 * u), chart.inside(3 * u))
        np.testing.assert_array_equal(Ground(power).allowed(which, 3 * u), chart.inside(3 * u))
    points = power.sample(500, 0)
    assert (points.base[:, 0] >= -0.5).all()
    u, held = together.coordinates(points.base)
    for i, chart in enumerate(power.cover):
        np.testing.assert_array_equal(held[i], chart.contains(points.base))
        assert chart.forward is not None
        np.testing.assert_allclose(u[i][held[i]], chart.forward(points.base[held[i]]), rtol=0, atol=1e-14)


def test_radii_follow_the_curvature_and_the_cover_is_proved(power: Atlas) -> None:
    centers, radii = power.balls or (np.zeros((0, 2)), np.zeros(0))
    tip = centers[:, 0] > 0.9
    assert tip.any()
    assert radii[~tip].max() > 1.3 * radii[tip].min()
    assert (power.powers(power.sample(5000, 1).base) > 0).any(1).all()
    least = float((radii**2).min() * (1 - 1 / LEAST_OVERLAP**2)) / 4
    assert prove_cover(power, centers, radii, least).margin is not None
    # Without the ball at the tip there is a hole, and a radius that is too small leaves one as well.
    found = prove_cover(power, centers[~tip], radii[~tip], least)
    assert found.margin is None
    assert found.hole is not None
    assert found.hole[0] > 0.7
    assert prove_cover(power, centers, np.where(tip, 0.1 * radii, radii), least).margin is None


@pytest.mark.parametrize("radius", [1e-200, 1e200])
def test_radii_whose_squares_are_no_floats_are_refused(power: Atlas, radius: float) -> None:
    x, y = sympy.symbols("x y", real=True)
    spec, arrays = task_to_spec(ManifoldTask("radii", power, ExpressionTarget(ExpressionMap((x, y), [x * y]))))
    task_from_spec(spec, arrays=arrays)
    with pytest.raises(SpecError, match="arrays: radii: expected positive radii whose squares are neither 0 nor infinite"):
        task_from_spec(spec, arrays={**arrays, "radii": np.where(np.arange(len(arrays["radii"])) == 1, radius, arrays["radii"])})


def test_pieces_hold_what_balls_hold(power: Atlas) -> None:
    points = power.sample(2000, 2)
    for ball in power.charts:
        assert isinstance(ball, BallChart)
        within = points.base[ball.contains(points.base)]
        held = np.zeros(len(within), bool)
        for piece in ball.pieces:
            chart = power.cover[piece.chart]
            assert chart.forward is not None
            held |= chart.contains(within) & piece.box.contains(chart.forward(within))
        assert held.all()


def test_points_of_a_ball_are_found_by_the_equations(power: Atlas) -> None:
    points = power.sample(2000, 3)
    for i, ball in enumerate(power.charts):
        assert isinstance(ball, BallChart)
        within = points.base[ball.contains(points.base)]
        np.testing.assert_allclose(points_at(power, i, ball.forward(within)).base, within, rtol=0, atol=1e-12)
        beyond = points_at(power, i, np.linspace(-1.5, 1.5, 301)[:, None] * ball.radius)
        known = np.isfinite(beyond.base).all(1)
        assert ball.contains(beyond.base[known]).all()
        assert (beyond.base[known, 0] >= -0.5).all()
        assert np.isfinite(beyond.base).any()
        assert not known[[0, -1]].any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"atlas": "power", "charts": 5}, "the key 'charts' is for balls of one radius"),
        ({"atlas": "powers"}, """unknown atlas 'powers'; write atlas = "ball", the default, "power" or "tangent\""""),
        ({"atlas": "power", "radius": -1}, "largest must be"),
    ],
)
def test_what_is_meant_has_to_be_said(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        atlas_of(**options)
