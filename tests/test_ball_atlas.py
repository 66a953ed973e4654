"""`ball_atlas`: frames, covering, overlap and injectivity, on fresh points, for library and user manifolds."""

from __future__ import annotations

import numpy as np
import pytest
import sympy
from atlasmoe.atlas import Atlas, BallChart, Box, Chart, ExpressionMap, ball_atlas, builtin, embed
from atlasmoe.atlas.ball import LEAST_OVERLAP, LEAST_STRETCH, OVERLAP, tangent_frames
from atlasmoe.errors import InvalidArgument

ATLASES = {
    "circle": ("circle", {"charts": 7}),
    "sphere": ("sphere", {"charts": 30}),
    "sphere by radius": ("sphere", {"radius": 0.5}),
    "torus": ("torus", {"charts": 40}),
    "moebius_band": ("moebius_band", {"charts": 25}),
    "swiss_roll": ("swiss_roll", {"radius": 0.3}),
    "so3": ("so3", {"charts": 64, "seed": 1}),
}


@pytest.fixture(scope="module", params=list(ATLASES))
def atlas(request: pytest.FixtureRequest) -> Atlas:
    name, size = ATLASES[request.param]
    return ball_atlas(builtin(name), **size)


def balls(atlas: Atlas) -> list[BallChart]:
    return [chart for chart in atlas.charts if isinstance(chart, BallChart)]


def test_frames_are_orthonormal_and_tangent(atlas: Atlas) -> None:
    for chart in balls(atlas):
        np.testing.assert_allclose(chart.frame.T @ chart.frame, np.eye(atlas.dimension), atol=1e-12)
    for chart in balls(atlas)[:8]:
        for parametrising in atlas.parametrising:
            assert parametrising.forward is not None
            if parametrising.contains(chart.center):
                u = parametrising.forward(chart.center)
                jacobian = parametrising.inverse.jacobian_at(u)
                np.testing.assert_allclose(chart.frame @ chart.frame.T @ jacobian, jacobian, atol=1e-8)


def test_fresh_points_are_covered_with_overlap(atlas: Atlas) -> None:
    """Some ball contains every point with depth 1 − 1/overlap², whatever the seed of the points."""
    overlap = LEAST_OVERLAP if atlas.recipe and "radius" in atlas.recipe else OVERLAP
    y = atlas.sample(20_000, 99).base
    depth = np.stack([chart.depth(y) for chart in balls(atlas)])
    assert depth.max(0).min() >= 1 - overlap**-2


def test_pieces_contain_their_ball(atlas: Atlas) -> None:
    points = atlas.sample(20_000, 7, low_discrepancy=True)
    for chart in balls(atlas):
        inside = points.base[chart.contains(points.base)]
        found = np.zeros(len(inside), bool)
        for piece in chart.pieces:
            parametrising = atlas.parametrising[piece.chart]
            assert parametrising.forward is not None
            found |= parametrising.contains(inside) & piece.box.contains(parametrising.forward(inside))
        assert found.all()


def test_sampling_a_ball_stays_inside_it(atlas: Atlas) -> None:
    for i, chart in enumerate(balls(atlas)[:6]):
        local, points = atlas.sample_chart(i, 100, 0)
        assert chart.contains(points.base).all()
        assert chart.domain.contains(local).all()


def test_local_coordinates_are_injective(atlas: Atlas) -> None:
    y = atlas.sample(10_000, 3).base
    for chart in balls(atlas)[:20]:
        inside = y[chart.contains(y)][:150]
        ambient = np.linalg.norm(inside[:, None] - inside[None], axis=-1)
        local = np.linalg.norm(chart.forward(inside)[:, None] - chart.forward(inside)[None], axis=-1)
        assert (local >= 0.8 * LEAST_STRETCH * ambient).all()


def test_centers_lie_on_the_manifold(atlas: Atlas) -> None:
    centers = np.stack([chart.center for chart in balls(atlas)])
    on_some_chart = np.stack([chart.contains(centers) for chart in atlas.parametrising])
    assert on_some_chart.any(0).all()


def test_membership_is_that_of_every_ball_also_on_its_edge(atlas: Atlas) -> None:
    assert atlas.balls is not None
    centers, radii = atlas.balls
    rng = np.random.default_rng(5)
    away = rng.normal(size=(4000, centers.shape[1]))
    which = rng.integers(len(atlas), size=len(away))
    edge = centers[which] + radii[which, None] * away / np.linalg.norm(away, axis=1, keepdims=True)
    base = np.concatenate([edge, atlas.sample(4000, 6).base])
    one_by_one = np.stack([chart.contains(base) for chart in atlas.charts], axis=-1)
    np.testing.assert_array_equal(atlas.membership(base), one_by_one)
    np.testing.assert_array_equal(atlas.membership(base[7]), one_by_one[7])


def test_same_seed_same_balls_other_seed_other_balls() -> None:
    first, again, other = (ball_atlas(builtin("sphere"), charts=12, seed=seed) for seed in (3, 3, 4))
    assert all(np.array_equal(a.center, b.center) for a, b in zip(balls(first), balls(again), strict=True))
    assert not np.array_equal(balls(first)[0].center, balls(other)[0].center)


def test_balls_of_an_embedded_manifold_live_before_the_embedding() -> None:
    sphere = builtin("sphere")
    plain, embedded = ball_atlas(sphere, charts=12), ball_atlas(embed(sphere, 40, seed=1), charts=12)
    assert embedded.ambient_dimension == 40
    np.testing.assert_array_equal(balls(plain)[3].center, balls(embedded)[3].center)
    A, b = embedded.affine(3) or (None, None)
    points = embedded.sample(20, 0)
    np.testing.assert_allclose(points.ambient @ A.T + b, balls(plain)[3].forward(points.base), atol=1e-12)


def test_a_ball_atlas_of_a_ball_atlas_starts_afresh() -> None:
    twice = ball_atlas(ball_atlas(builtin("circle"), charts=9), charts=5)
    assert len(twice) == 5
    assert twice.names == tuple(f"ball{i}" for i in range(5))


def test_without_a_size_the_tangent_charts_decide() -> None:
    assert 3 <= len(ball_atlas(builtin("circle"))) <= 8
    assert len(ball_atlas(builtin("interval"))) == 2  # flat: the smallest number tried


def test_charts_without_forward_maps_will_do() -> None:
    u, v = sympy.symbols("u v", real=True)
    inverse = ExpressionMap((u, v), (u, v, u * v / 2))
    ambient = sympy.symbols("x y z", real=True)
    bump = ExpressionMap(ambient, (sympy.Integer(1),))
    saddle = Atlas(("x", "y", "z"), (Chart("all", Box((-1, -1), (1, 1)), inverse, boundary=((True, True),) * 2, bump=bump),))
    atlas = ball_atlas(saddle, charts=30)
    y = atlas.sample(5000, 5).base
    assert np.stack([chart.depth(y) for chart in balls(atlas)]).max(0).min() > 0.4
    assert atlas.recipe is None


def test_a_second_sheet_in_the_ball_is_noticed() -> None:
    """Neighbouring turns of the roll are 0.44 apart: balls of radius 0.5 see two of them."""
    with pytest.raises(InvalidArgument, match="not injective on its ball"):
        ball_atlas(builtin("swiss_roll"), radius=0.6)


def test_degenerate_coordinates_are_named() -> None:
    u, v = sympy.symbols("u v", real=True)
    flat = Chart("line", Box((0, 0), (1, 1)), ExpressionMap((u, v), (u + v, 2 * u + 2 * v, sympy.Integer(0))))
    atlas = Atlas(("x", "y", "z"), (flat,))
    with pytest.raises(InvalidArgument, match='chart "line": the Jacobian of its inverse has not full rank'):
        tangent_frames(atlas, atlas.sample(5, 0))


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"charts": 3}, "not injective on its ball"),
        ({"charts": 0}, "charts must be an integer from 1 to 4096"),
        ({"radius": -1.0}, "radius must be a finite number above 0"),
        ({"radius": 0.01}, "needs more than 4096 balls"),
        ({"radius": 1.0, "charts": 5}, "not both"),
        ({"charts": 8, "seed": -1}, "seed must be an integer"),
    ],
)
def test_impossible_sizes_are_refused(size: dict, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        ball_atlas(builtin("sphere"), **size)
