"""Affine routers: one layer, exact routing on ball atlases, η that dominates rounding, covers that are proved or refused."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy
from atlasmoe import compile, load, load_task, save, to_torch, verify
from atlasmoe.atlas import Atlas, BallChart, Box, CallableTarget, Chart, ExpressionMap, ManifoldTask, Points, ball_atlas, builtin, embed
from atlasmoe.atlas.covering import covering_radius, nearest_ball
from atlasmoe.constructions.experts.cells import Cell, Scores
from atlasmoe.constructions.routers import affine as affine_router
from atlasmoe.constructions.routers.affine_claims import deviation
from atlasmoe.constructions.routers.proved_cover import prove_cover
from atlasmoe.errors import EpsilonNotReached, InvalidArgument
from atlasmoe.intervals import Interval, NaturalEnclosure, NotEnclosed
from atlasmoe.moe import Affine, Known, Model, MoELayer, Network, ReLUNet

ATLASES = {
    "circle": ("circle", {}, {"charts": 8}),
    "sphere": ("sphere", {}, {"charts": 24}),
    "torus": ("torus", {}, {"charts": 24}),
    "so3": ("so3", {}, {"charts": 64}),
    "ellipsoid": ("ellipsoid", {}, {"charts": 32}),
    "swiss_roll": ("swiss_roll", {}, {"radius": 0.35}),
    "moebius_band": ("moebius_band", {}, {"charts": 24}),
    "embedded sphere": ("sphere", {"embed": {"dimension": 64, "seed": 2}}, {"charts": 24}),
}


def smooth(base: np.ndarray) -> np.ndarray:
    return np.sin(base[:, 0] + 0.5 * base[:, 1])


def task_on(atlas: Atlas) -> ManifoldTask:
    return ManifoldTask("test", atlas, CallableTarget(smooth))


@functools.cache
def balls(name: str) -> Atlas:
    builtin_name, options, size = ATLASES[name]
    return builtin(builtin_name, **options, atlas="ball", **size)


@pytest.fixture(scope="module", params=list(ATLASES))
def atlas(request: pytest.FixtureRequest) -> Atlas:
    return balls(request.param)


@pytest.fixture(scope="module")
def sphere() -> Model:
    return compile(task_on(balls("sphere")), epsilon=0.02)


def gate_only(routing: affine_router.AffineRouting) -> Network:
    """The stored gate with experts that are 0."""
    atlas, dtype = routing.atlas, routing.stored.weight.dtype
    zero = ReLUNet((Affine(np.zeros((1, atlas.ambient_dimension), dtype), np.zeros(1, dtype)),), ())
    layer = MoELayer(routing.stored, (zero,), (0,) * len(atlas), atlas.names, ("y[0]",))
    return Network((layer,), tuple(f"x[{k}]" for k in range(atlas.ambient_dimension)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_gate_routes_every_point_into_the_ball_it_chooses(atlas: Atlas, dtype: str) -> None:
    routing = affine_router.route(atlas, dtype)
    (layer,) = gate_only(routing).layers
    assert str(layer.gate.weight.dtype) == dtype
    np.testing.assert_array_equal(layer.gate.weight, atlas.embed(routing.centers).astype(dtype))
    points = atlas.sample(20_000, 11)
    chosen = layer.logits(points.ambient.astype(dtype)).argmax(1)
    inside = routing.radii[chosen] ** 2 - ((points.base - routing.centers[chosen]) ** 2).sum(1)
    assert inside.min() >= routing.kappa - 4 * routing.eta > 0
    assert routing.proof.margin is not None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_eta_dominates_the_rounding_that_is_observed(atlas: Atlas, dtype: str) -> None:
    routing = affine_router.route(atlas, dtype)
    network = gate_only(routing)
    points = atlas.sample(3000, 5)
    seen = deviation(routing, network, points)
    assert seen.max() <= routing.eta
    assert routing.eta <= 200 * atlas.ambient_dimension * np.finfo(dtype).eps


@pytest.mark.parametrize("name", ["circle", "torus", "embedded sphere"])
def test_compiled_mixtures_have_one_layer_and_a_proved_route(name: str) -> None:
    model = compile(task_on(balls(name)), width=16, dtype="float32")
    assert model.facts["theorem"] == "affine"
    (layer,) = model.network.layers
    np.testing.assert_array_equal(layer.gate.weight, affine_router.route(model.task.atlas, "float32").stored.weight)
    assert all(len(net.affines) == 2 for net in layer.experts)
    assert model.ledger["routing.valid"].known is Known.PROVED
    assert model.ledger.holds
    assert len([claim for claim in model.ledger if claim.name == "passthrough"]) == 0


def test_no_bias_where_all_centres_are_equally_long() -> None:
    for name, biased in [("circle", False), ("sphere", False), ("torus", False), ("so3", False), ("ellipsoid", True), ("swiss_roll", True)]:
        assert affine_router.route(balls(name), "float32").biased is biased


def test_verify_holds_and_a_moved_centre_is_refuted(sphere: Model) -> None:
    report = verify(sphere, samples=4000)
    assert report.holds
    assert {"routing.valid", "routing.tau", "routing.separation", "routing.ties", "routing.chosen_rho"} <= {c.name for c in report.claims}
    assert "passthrough" not in {claim.name for claim in report.claims}
    (layer,) = sphere.network.layers
    weight = layer.gate.weight.copy()
    weight[3] *= -1
    gate = Affine(weight, layer.gate.bias)
    moved = dataclasses.replace(sphere.network, layers=(dataclasses.replace(layer, gate=gate),))
    wrong = verify(sphere, samples=4000, network=moved)
    assert not wrong["routing.valid"].holds
    assert not wrong["routing.tau"].holds


def test_ties_are_harmless(sphere: Model) -> None:
    """Halfway between neighbouring centres either of the two experts is accurate."""
    (layer,) = sphere.network.layers
    routing = affine_router.route(sphere.task.atlas, "float64")
    points = sphere.task.atlas.sample(200_000, 3)
    logits = layer.logits(points.ambient)
    two = np.sort(logits, axis=1)[:, -2:]
    close = np.argsort(two[:, 1] - two[:, 0])[:100]
    assert (two[close, 1] - two[close, 0]).max() < 1e-3
    second = np.argsort(logits[close], axis=1)[:, -2]
    error = np.abs(layer.forward(points.ambient[close], second) - sphere.task.evaluate(points[close]))
    assert error.max() <= sphere.facts["epsilon"]
    assert routing.eta < 1e-13


def test_a_cover_with_a_hole_is_refused_with_a_witness() -> None:
    whole = balls("sphere")
    holey = dataclasses.replace(whole, charts=whole.charts[:7] + whole.charts[8:])
    with pytest.raises(InvalidArgument, match="the balls do not cover M") as refused:
        affine_router.route(holey, "float64")
    witness = np.array([float(v) for v in str(refused.value).split("(")[1].split(")")[0].split(",")])
    centers, radii = holey.balls or (None, None)
    assert nearest_ball(witness[None], centers, radii)[0][0] > 0
    proof = prove_cover(holey, centers, radii, 0.01)
    assert proof.margin is None
    assert proof.hole is not None
    assert nearest_ball(proof.hole[None], centers, radii)[0][0] > 0


@pytest.mark.parametrize("name", ["circle", "sphere", "swiss_roll", "ellipsoid"])
def test_a_proof_is_sharp_to_two_percent_of_the_radius(name: str) -> None:
    """Balls 2% larger than the covering radius are proved to cover; 2% smaller, they are refused."""
    atlas = balls(name)
    centers, radii = atlas.balls or (np.empty(0), np.empty(0))
    cover = covering_radius(atlas, centers, atlas.sample(50_000, 1, low_discrepancy=True), 0)[0] / 1.01
    larger, smaller = np.full(len(radii), 1.02 * cover), np.full(len(radii), 0.98 * cover)
    proved = prove_cover(atlas, centers, larger, 0.25 * (larger[0] ** 2 - cover**2))
    assert proved.margin is not None, proved.why
    points = atlas.sample(100_000, 8)
    assert -nearest_ball(points.base, centers, larger)[0].max() >= proved.margin
    refused = prove_cover(atlas, centers, smaller, 1e-6)
    assert refused.margin is None
    assert refused.hole is not None


def test_what_cannot_be_enclosed_is_sampled() -> None:
    u, x, y = sympy.symbols("u x y", real=True)
    inverse = ExpressionMap((u,), (u, sympy.sinc(u)))
    line = Atlas(("x", "y"), (Chart("all", Box((-1,), (1,)), inverse, ExpressionMap((x, y), (x,)), boundary=((True, True),)),))
    routing = affine_router.route(ball_atlas(line, charts=5), "float64")
    assert routing.proof.margin is None
    assert "sinc in sinc(u) has no enclosure" in routing.proof.why
    model = compile(ManifoldTask("erf", routing.atlas, CallableTarget(lambda base: base[:, 1])), width=16)
    assert model.ledger["routing.valid"].known is Known.SAMPLED


def test_enclosures_hold_every_value() -> None:
    u, v = sympy.symbols("u v", real=True)
    texts = [
        "sin(u)*cos(3*v) + u**2",
        "1/(1+u**2+v**2)",
        "sqrt(2+u)",
        "exp(u-v)*tanh(v)",
        "u**3*v",
        "Abs(u)-Max(u,v)",
        "atan(u)/(3+v)",
        "pi*u",
    ]
    function = ExpressionMap((u, v), tuple(sympy.sympify(text, {"u": u, "v": v}) for text in texts))
    enclosure = NaturalEnclosure(function)
    rng = np.random.default_rng(0)
    middle, half = rng.uniform(-1.5, 1.5, (500, 2)), 10.0 ** rng.uniform(-6, -0.3, (500, 2))
    lower, upper = middle - half, middle + half
    parts = enclosure([Interval(lower[:, j], upper[:, j]) for j in range(2)])
    for fraction in rng.random((50, 2)):
        values = function(lower + fraction * (upper - lower))
        for part, value in zip(parts, values.T, strict=True):
            assert ((part.lower <= value) & (value <= part.upper)).all()
    for part in parts:
        assert (part.upper - part.lower)[half.max(1) < 1e-5].max() < 1e-3
    with pytest.raises(NotEnclosed):
        NaturalEnclosure(ExpressionMap((u,), (sympy.gamma(u),)))


def test_too_coarse_a_dtype_is_refused() -> None:
    """A sphere far from the origin: float32 knows scores to ±10, the balls leave a margin of 0.1."""
    atlas = balls("sphere")
    away = tuple(dataclasses.replace(chart, center=chart.center + 1e5) for chart in atlas.charts if isinstance(chart, BallChart))
    u = atlas.cover[0].inverse.variables
    far = tuple(
        dataclasses.replace(
            chart, inverse=ExpressionMap(u, tuple(e + 100000 for e in chart.inverse.expressions)), forward=shifted(chart.forward)
        )
        for chart in atlas.cover
    )
    task = task_on(Atlas(atlas.coordinates, away, cover=far))
    with pytest.raises(EpsilonNotReached, match=r"4η < κ.*dtype float64"):
        compile(task, width=16, dtype="float32")
    assert compile(task, width=16).ledger.holds


def shifted(forward: ExpressionMap | None) -> ExpressionMap:
    assert forward is not None
    back = {v: v - 100000 for v in forward.variables}
    return ExpressionMap(forward.variables, tuple(e.subs(back, simultaneous=True) for e in forward.expressions))


def test_folder_torch_and_explain(sphere: Model, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    again = load(save(sphere, tmp_path / "model"), sphere.task.target)
    points = sphere.task.atlas.sample(500, 4)
    np.testing.assert_array_equal(again(points.ambient), sphere(points.ambient))
    module = to_torch(again)
    np.testing.assert_allclose(module(torch.tensor(points.ambient)).detach().numpy(), sphere(points.ambient), atol=1e-12)
    found = again.explain(points.ambient[0])
    assert len(found.choices) == 1
    assert found.choices[0].matters
    assert again.explain(layer=1, expert="ball0", neuron=0).name.startswith("expert[ball0]")


def test_which_theorem_is_chosen_and_refused() -> None:
    atlas = balls("circle")
    assert compile(task_on(atlas), width=16, theorem="4.9").facts["theorem"] == "4.9"
    assert compile(task_on(atlas), width=32, routing="plateau").facts["theorem"] == "4.9"
    with pytest.raises(InvalidArgument, match="routes by its gate alone"):
        compile(task_on(atlas), width=16, theorem="affine", routing="plateau")
    with pytest.raises(InvalidArgument, match="use ball_atlas"):
        affine_router.route(builtin("circle"), "float64")


def test_charts_that_are_no_balls_are_replaced_by_balls_with_a_proved_cover(tmp_path: Path) -> None:
    task = load_task(Path(__file__).parents[1] / "examples" / "sphere.toml")
    model = compile(task, width=32, theorem="affine")
    assert len(model.network.layers) == 1
    assert model.task.atlas.balls is not None
    assert "take the place of its 2 charts" in model.facts["why"]
    assert model.ledger["routing.cover"].known is Known.PROVED
    again = load(save(model, tmp_path / "model"))
    points = task.atlas.sample(2000, 1)  # of the task's own charts
    assert np.abs(again(points.ambient) - task.evaluate(points)).max() <= model.facts["epsilon"]
    assert compile(task, width=16).facts["theorem"] == "4.8"


def test_embedding_changes_no_route() -> None:
    plain = ball_atlas(builtin("torus"), charts=24)
    wide = embed(plain, 50, seed=3)
    points = plain.sample(5000, 1)
    first, second = (affine_router.route(a, "float64") for a in (plain, wide))
    routes = first.stored(points.base).argmax(1)
    np.testing.assert_array_equal(routes, second.stored(wide.embed(points.base)).argmax(1))


def test_a_cell_that_is_a_speck_of_its_ball_is_looked_for_in_it() -> None:
    """Points of all of M show too few of it, and of those drawn from all of the ball's boxes one in a thousand is in the cell."""
    atlas = balls("sphere")
    routing = affine_router.route(atlas, "float64", prove=False)
    points, radii = atlas.sample_chart(0, 50_000, 5)[1], routing.radii.copy()
    others = nearest_ball(points.base, routing.centers[1:], radii[1:])[0]
    ahead = radii[0] ** 2 + others - ((points.base - routing.centers[0]) ** 2).sum(1)
    radii[1:] = np.sqrt(radii[1:] ** 2 + np.quantile(ahead, 0.998))
    small = dataclasses.replace(routing, radii=radii)
    cell = affine_router.cells(small, 0)[0]
    (piece,), (ball,) = cell.pieces, atlas.charts[0].pieces
    own = points[small.lead(points.base, 0) >= cell.threshold]
    assert 50 < len(own) < 150
    assert piece.box.contains(atlas.parametrising[piece.chart].coordinates(own.base)).all()
    assert np.prod(piece.box.widths) < np.prod(ball.box.widths) / 20


def test_attempts_at_an_expert_share_their_points(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, draw = [], Cell.draw

    def counted(cell: Cell, atlas: Atlas, routing: Scores, count: int, seed: int, **options: Any) -> tuple[np.ndarray, Points]:
        asked.append((cell.chart, count, seed, options.get("collar", False)))
        return draw(cell, atlas, routing, count, seed, **options)

    monkeypatch.setattr(Cell, "draw", counted)
    compile(task_on(balls("circle")), epsilon=0.02)
    assert len(asked) == len(set(asked)) == 3 * 8
