"""Hinge scores (B14): charts cut out by half-spaces, scores that are a two-layer net by themselves."""

from __future__ import annotations

import numpy as np
import pytest
from atlasmoe import compile, verify
from atlasmoe.atlas import CallableTarget, ManifoldTask, ball_atlas, builtin
from atlasmoe.constructions.routers.hinge import HalfSpaces, detect, margin
from atlasmoe.errors import InvalidArgument

ATLASES = {
    "arcs": ("circle", {"charts": 5}),
    "hemispheres": ("sphere", {"atlas": "graph"}),
    "stereographic": ("sphere", {}),
    "intervals": ("interval", {"charts": 4}),
    "one box": ("box", {"dimension": 2}),
    "torus": ("torus", {}),
}


@pytest.mark.parametrize("name", list(ATLASES))
def test_scores_route_into_the_chart_even_with_errors_below_half_the_margin(name: str) -> None:
    builtin_name, options = ATLASES[name]
    atlas = builtin(builtin_name, **options)
    half_spaces = detect(atlas)
    eta = margin(atlas, half_spaces)
    points = atlas.sample(20_000, 3)
    scores = half_spaces.scores(points.base, eta)
    inside = np.stack([atlas.contains(i, points.base) for i in range(len(atlas))], axis=1)
    inside[np.arange(len(points)), points.chart] = True
    assert (scores.max(1) >= eta * (1 - 1e-12)).all()
    assert inside[scores > 0].all()
    wrong = scores + np.random.default_rng(0).uniform(-0.499, 0.499, scores.shape) * eta
    assert inside[np.arange(len(points)), wrong.argmax(1)].all()
    net = half_spaces.net(atlas, eta)
    assert net.widths == (sum(len(b) for b in half_spaces.offsets),)
    np.testing.assert_allclose(net(points.ambient), scores, atol=1e-12)


@pytest.mark.parametrize(("name", "theorem"), [("hemispheres", "4.9"), ("arcs", "4.8")])
def test_a_compiled_mixture_holds(name: str, theorem: str) -> None:
    builtin_name, options = ATLASES[name]
    task = ManifoldTask(name, builtin(builtin_name, **options), CallableTarget(lambda base: np.sin(base[:, 0] + base[:, 1])))
    model = compile(task, width=32, routing="hinge", dtype="float32")
    assert (model.facts["theorem"], model.facts["routing"]) == (theorem, "hinge")
    assert model.ledger.holds
    assert model.ledger["routing.tau"].bound < 1e-5
    report = verify(model, samples=4000)
    assert report.holds
    assert report["routing.separation"].bound > 0


def test_declared_half_spaces() -> None:
    atlas = builtin("circle", charts=2)
    task = ManifoldTask("arcs", atlas, CallableTarget(lambda base: base[:, 1]))
    found = detect(atlas)
    named = {n: list(zip(3 * a, 3 * b, strict=True)) for n, a, b in zip(atlas.names, found.normals, found.offsets, strict=True)}
    model = compile(task, width=32, routing=HalfSpaces.of(atlas, named))
    assert model.ledger.holds
    assert margin(atlas, HalfSpaces.of(atlas, named)) == pytest.approx(margin(atlas, found))


def test_half_spaces_that_do_not_fit_are_refused_with_a_witness() -> None:
    atlas = builtin("circle", charts=4)
    found = detect(atlas)
    narrow = HalfSpaces(found.normals, tuple(b - 0.9 for b in found.offsets))
    with pytest.raises(InvalidArgument, match=r"of no chart hold \("):
        margin(atlas, narrow)
    wide = HalfSpaces(found.normals, tuple(b + 0.5 for b in found.offsets))
    with pytest.raises(InvalidArgument, match="which is not in the chart"):
        margin(atlas, wide)
    with pytest.raises(InvalidArgument, match="half-spaces are needed for the charts"):
        HalfSpaces.of(atlas, {"arc0": [((1, 0), 0.0)]})
    with pytest.raises(InvalidArgument, match="nonzero vectors of R"):
        HalfSpaces.of(atlas, {name: [((0, 0), 0.0)] for name in atlas.names})
    with pytest.raises(InvalidArgument, match="balls route by theorem"):
        detect(ball_atlas(atlas, charts=5))
