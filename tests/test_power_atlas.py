"""Power diagrams (B16): balls of unequal radii, fewer than of equal ones where M comes near itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sympy
from atlasmoe import compile, load, save, verify
from atlasmoe.atlas import Atlas, Box, CallableTarget, Chart, ExpressionMap, ManifoldTask, ball_atlas, builtin, power_atlas
from atlasmoe.atlas.ball import LEAST_OVERLAP, LEAST_STRETCH
from atlasmoe.atlas.covering import nearest_ball
from atlasmoe.constructions.routers import affine as affine_router
from atlasmoe.errors import InvalidArgument
from scipy.spatial.distance import pdist


def trefoil() -> Atlas:
    t = sympy.Symbol("t", real=True)
    x, y, z = sympy.symbols("x y z", real=True)
    inverse = ExpressionMap((t,), (sympy.sin(t) + 2 * sympy.sin(2 * t), sympy.cos(t) - 2 * sympy.cos(2 * t), -sympy.sin(3 * t)))
    bump = ExpressionMap((x, y, z), (sympy.Integer(1),))
    return Atlas(("x", "y", "z"), (Chart("knot", Box((0,), (2 * np.pi,)), inverse, boundary=((True, True),), bump=bump),))


@pytest.fixture(scope="module")
def knot() -> Atlas:
    return power_atlas(trefoil())


def test_a_trefoil_takes_fewer_balls_than_of_one_radius(knot: Atlas) -> None:
    _, radii = knot.balls or (np.empty(0), np.empty(0))
    assert radii.max() > 1.4 * radii.min()
    equal = ball_atlas(trefoil(), radius=0.98 * float(radii.min()))
    assert len(knot) <= 14
    assert len(equal) >= 1.4 * len(knot)


def test_the_gate_lands_inside_the_ball(knot: Atlas) -> None:
    routing = affine_router.route(knot, "float32")
    assert routing.kind == "power"
    assert routing.proof.margin is not None
    points = knot.sample(50_000, 2)
    chosen = routing.stored(points.ambient.astype("float32")).argmax(1)
    inside = routing.radii[chosen] ** 2 - ((points.base - routing.centers[chosen]) ** 2).sum(1)
    assert inside.min() >= routing.kappa - 4 * routing.eta > 0
    nearest = ((points.base[:, None] - routing.centers) ** 2).sum(2).argmin(1)
    assert (nearest != chosen).any()  # the nearest centre is another rule, and not always right


def test_balls_cover_with_overlap_and_charts_are_injective(knot: Atlas) -> None:
    centers, radii = knot.balls or (np.empty(0), np.empty(0))
    points = knot.sample(20_000, 7)
    assert nearest_ball(points.base, centers, radii / LEAST_OVERLAP)[0].max() <= 1e-3
    for chart in knot.charts:
        y = points.base[chart.contains(points.base)][:200]
        ambient, local = pdist(y), pdist(chart.forward(y))  # type: ignore[misc]
        assert (local >= 0.8 * LEAST_STRETCH * ambient).all()


def test_the_nearest_ball_is_the_one_of_least_power() -> None:
    rng = np.random.default_rng(0)
    points, centers, radii = rng.normal(size=(500, 3)), rng.normal(size=(200, 3)), rng.uniform(0.1, 1, 200)
    powers = ((points[:, None] - centers) ** 2).sum(2) - radii**2
    least, ball = nearest_ball(points, centers, radii)
    np.testing.assert_array_equal(ball, powers.argmin(1))
    np.testing.assert_allclose(least, powers.min(1), atol=1e-12)


def test_a_mixture_on_a_power_atlas_holds_and_survives_its_folder(knot: Atlas, tmp_path: Path) -> None:
    target = CallableTarget(lambda base: base[:, 0] * base[:, 2])
    model = compile(ManifoldTask("trefoil", knot, target), epsilon=0.05, dtype="float32")
    assert (model.facts["theorem"], model.facts["routing"]) == ("affine", "power")
    assert verify(model, samples=4000).holds
    again = load(save(model, tmp_path / "knot"), target)
    x = knot.sample(200, 1).ambient
    np.testing.assert_array_equal(again(x), model(x))
    assert verify(again, samples=1000).holds


def test_a_largest_radius_is_kept_and_nonsense_is_refused() -> None:
    atlas = power_atlas(builtin("circle"), largest=0.4)
    assert max(chart.radius for chart in atlas.charts) <= 0.4  # type: ignore[union-attr]
    with pytest.raises(InvalidArgument, match="largest must be a positive radius"):
        power_atlas(builtin("circle"), largest=0.0)
