"""Several experts for one input: overlapping balls and charts (N14), copies (B21), scaled logits (N12), from statement to other tools."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from math import log
from pathlib import Path

import numpy as np
import pytest
import sympy
import torch
from atlasmoe import Block, Combine, Input, TaskGraph, check, compile, load, save, to_torch, verify
from atlasmoe.atlas import Atlas, Box, Chart, ExpressionMap, ExpressionTarget, ManifoldTask, Tiling, ball_atlas, builtin
from atlasmoe.atlas.covering import covering_radius, deepest_balls, nearest_ball
from atlasmoe.constructions.routers import affine
from atlasmoe.constructions.routers.proved_cover import prove_cover
from atlasmoe.constructions.routers.scaled import Scaled, ScaledRouting
from atlasmoe.errors import InvalidArgument
from atlasmoe.moe import Known, Model, MoELayer
from atlasmoe.moe.grammar import misfits
from atlasmoe.moe.layer import Weighting
from certificates import certified

CIRCLE, SPHERE = builtin("circle"), builtin("sphere")


def task_on(atlas: Atlas, text: str) -> ManifoldTask:
    symbols = sympy.symbols(atlas.coordinates, real=True)
    names = dict(zip(atlas.coordinates, symbols, strict=True))
    return ManifoldTask("test", atlas, ExpressionTarget(ExpressionMap(symbols, (sympy.sympify(text, names),))))


def arcs(count: int, half: float) -> Atlas:
    """Arcs of the circle, each `half` long to either side."""
    u, x, y = sympy.symbols("u x y", real=True)
    charts = []
    for k in range(count):
        c = 2 * sympy.pi * k / count
        forward = ExpressionMap((x, y), (sympy.atan2(y * sympy.cos(c) - x * sympy.sin(c), x * sympy.cos(c) + y * sympy.sin(c)),))
        charts.append(Chart(f"arc{k}", Box((-half,), (half,)), ExpressionMap((u,), (sympy.cos(u + c), sympy.sin(u + c))), forward))
    return Atlas(("x", "y"), tuple(charts))


def sums() -> TaskGraph:
    """A sum of functions on two circles."""
    atlas = ball_atlas(CIRCLE, charts=6)
    u, v = Block.parse("u", ("a", "b"), atlas, "a*b"), Block.parse("v", ("c", "d"), atlas, "c*d + d")
    inputs = Input("p", atlas, ("a", "b")), Input("q", atlas, ("c", "d"))
    return TaskGraph("sum", (*inputs, u, v, Combine.parse("f", ("u", "v"), "u - v/2")), "f")


PIECES = TaskGraph(
    "pieces",
    (
        Input("x", Box((0, 0), (1, 1)), ("a", "b")),
        Block.parse("u", ("a",), Tiling.intervals([0, 0.5, 1]), ["a*a", "a - 1/4"]),
        Block.parse("v", ("b",), Tiling.intervals([0, 0.25, 1]), ["b", "b + 1"]),
        Combine.parse("f", ("u", "v"), "u + v"),
    ),
    "f",
)
MODELS = {
    "circle": (lambda: task_on(ball_atlas(CIRCLE, charts=8), "x1*x2"), {"epsilon": 0.05, "top_k": 2}),
    "sphere, uniform": (
        lambda: task_on(ball_atlas(SPHERE, charts=16), "x1*x2 + x3"),
        {"epsilon": 0.25, "top_k": 2, "weighting": "uniform", "dtype": "float32"},
    ),
    "scores": (lambda: task_on(arcs(6, 1.4), "x*y"), {"epsilon": 0.05, "top_k": 2, "routing": "plateau"}),
    "graph": (sums, {"epsilon": 0.1, "top_k": 2}),
    "copies": (lambda: task_on(ball_atlas(CIRCLE, charts=8), "x1*x2"), {"epsilon": 0.05, "top_k": 3, "routing": "duplicates"}),
    "copies of scores": (lambda: task_on(arcs(6, 1.4), "x*y"), {"epsilon": 0.05, "top_k": 2, "routing": "duplicates"}),
    "pieces": (lambda: PIECES, {"epsilon": 0.05, "top_k": 3}),
}
SCALED = (lambda: task_on(ball_atlas(CIRCLE, charts=6), "x1*x2"), {"epsilon": 0.05, "top_k": 2, "routing": "scaled"})


@cache
def made(name: str) -> Model:
    task, asked = SCALED if name == "scaled" else MODELS[name]
    return compile(task(), **asked)


def points(model: Model, count: int, seed: int = 11) -> np.ndarray:
    return model.task.sample(count, seed) if isinstance(model.task, TaskGraph) else model.task.atlas.sample(count, seed).ambient


@pytest.mark.parametrize("name", [*MODELS, "scaled"])
def test_models_of_several_experts(name: str, tmp_path: Path) -> None:
    """Their ledger holds, they verify, and the folder, PyTorch and the explanation have the experts and weights that the network has."""
    model = made(name)
    layer, asked = model.network.layers[-1], (SCALED if name == "scaled" else MODELS[name])[1]
    assert (layer.top_k, layer.weighting) == (asked["top_k"], asked.get("weighting", "softmax"))
    assert model.ledger.holds
    report = verify(model, samples=3000)
    assert report.holds, [c for c in report.claims if not c.holds]
    x = points(model, 400)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    np.testing.assert_array_equal(again(x), model(x))
    assert again.design == model.design
    assert again.facts["variants"] == model.facts["variants"]
    y = to_torch(model)(torch.from_numpy(np.asarray(x, model.network.dtype))).detach().numpy()
    np.testing.assert_allclose(y, model(x), rtol=0, atol=1e-6 if model.network.dtype == np.float32 else 1e-13)
    (*_, choice) = model.explain(x[0]).blocks
    assert len(choice.chosen) == layer.top_k
    assert sum(weight for _, weight in choice.chosen) == pytest.approx(1)
    trace = model.network.trace(x[:1])
    assert [piece for piece, _ in choice.chosen] == [model.design.sites[-1].pieces[k] for k in trace.chosen[-1][0]]


@pytest.mark.parametrize("name", ["circle", "scores", "graph", "copies", "pieces"])
def test_models_of_several_experts_are_proved(name: str, tmp_path: Path) -> None:
    report = check(certified(made(name), tmp_path / "model"))
    assert report.verdict == "confirmed", report.failures
    assert report.bound <= made(name).facts["epsilon"]


@pytest.mark.parametrize("name", ["circle", "sphere, uniform", "scores"])
def test_every_expert_that_is_chosen_is_right(name: str) -> None:
    """So that any convex weights are (N14): x lies in all K charts, and each of the K errs by at most ε."""
    model = made(name)
    sampled = model.task.atlas.sample(4000, 5)
    x, truth, rng = sampled.ambient.astype(model.network.dtype), model.task.evaluate(sampled), np.random.default_rng(0)
    trace = model.network.trace(x)
    layer, state = model.network.layers[-1], x if len(model.network.layers) == 1 else trace.states[-2]
    outputs = np.stack([replace(layer, top_k=1).forward(state, taken) for taken in trace.chosen[-1].T])
    assert np.abs(outputs - truth).max() <= model.facts["epsilon"]
    for taken in trace.chosen[-1].T:
        assert model.task.atlas.membership(sampled.base)[np.arange(len(x)), taken].all()
    assert len(np.unique(trace.chosen[-1])) == len(layer)
    weights = rng.dirichlet(np.ones(layer.top_k), len(x)).T[:, :, None]
    assert np.abs((weights * outputs).sum(0) - truth).max() <= model.facts["epsilon"]


def test_kappa_of_several_balls_is_proved_and_sharp() -> None:
    """κ_K = r² − max d_K², by search and by proof; radii 1 % below max d_K leave a hole, radii 1 % above do not."""
    for atlas, fold in ((ball_atlas(CIRCLE, charts=9), 3), (ball_atlas(SPHERE, charts=12), 2)):
        centers = atlas.balls[0]
        fresh = atlas.sample(20_000, 1, low_discrepancy=True)
        reach = covering_radius(atlas, centers, fresh, 0, fold)[0] / 1.01
        larger, smaller = np.full(len(centers), 1.01 * reach), np.full(len(centers), 0.99 * reach)
        kappa = larger[0] ** 2 - reach**2
        proof = prove_cover(atlas, centers, larger, 0.9 * kappa, fold=fold)
        assert proof.margin is not None
        assert 0.9 * kappa <= proof.margin <= 1.001 * kappa
        refused = prove_cover(atlas, centers, smaller, 1e-6, fold=fold)
        assert refused.margin is None
        assert refused.hole is not None
        assert (((refused.hole - centers) ** 2).sum(1) < smaller**2).sum() < fold
        powers, balls = deepest_balls(fresh.base, centers, larger, fold)
        assert (powers[:, -1] < 0).all()
        np.testing.assert_array_equal(balls[:, 0], nearest_ball(fresh.base, centers, larger)[1])


def test_balls_grow_until_they_hold_every_point_several_times() -> None:
    """Balls that do so already stay; others become as many, larger, or more where tangent charts of that size degenerate."""
    few = ball_atlas(CIRCLE, charts=8)
    with pytest.raises(InvalidArgument, match=r"lies in 1 of the balls, and 2 experts are to be chosen"):
        affine.route(few, "float64", top_k=2)
    grown = affine.grown(few, 2, 0)
    assert len(grown) == len(few)
    routing = affine.route(grown, "float64", top_k=2)
    assert routing.proof.margin is not None
    assert 4 * routing.eta < routing.kappa < routing.found
    model = compile(task_on(grown, "x1*x2"), epsilon=0.05, top_k=2)
    assert model.task.atlas.charts is grown.charts
    claim = model.ledger["routing.kappa[2]"]
    assert claim.known is Known.PROVED
    assert "price: cells reach 3.85 times as far, squared" in claim.note
    assert len(affine.grown(few, 4, 0)) > len(few)
    with pytest.raises(InvalidArgument, match="fold"):
        ball_atlas(CIRCLE, fold=0)


@pytest.mark.parametrize("weighting", [Weighting.SOFTMAX, Weighting.UNIFORM])
def test_weights_in_floats_cost_a_few_roundings(weighting: Weighting) -> None:
    """(K + 2)·u·|f| where all experts have one value, whatever the logits are."""
    layer, rng = made("circle").network.layers[0], np.random.default_rng(2)
    wide = replace(layer, weighting=weighting).astype(np.float32)
    for K in (2, 5, 8):
        some = replace(wide, top_k=K)
        logits = (rng.normal(size=(5000, len(layer))) * rng.choice([0.1, 3.0, 30.0], (5000, 1))).astype(np.float32)
        w = some.weights(some.choose(logits), logits)
        f = np.float32(np.pi)
        total = w[:, 0] * f
        for k in range(1, K):
            total = total + w[:, k] * f
        assert np.abs(total.astype(float) - float(f)).max() <= (K + 2) * 2.0**-24 * np.pi


@pytest.mark.parametrize("name", ["copies", "copies of scores", "pieces"])
def test_copies_are_the_mixture_of_one_expert(name: str) -> None:
    """B21: stored once, the function of K = 1 up to rounding, and all K that are chosen serve one expert."""
    model = made(name)
    task, asked = MODELS[name]
    single = compile(task(), **{key: value for key, value in asked.items() if key not in ("top_k", "routing")} | _routed_as(name))
    x = points(model, 3000)
    np.testing.assert_allclose(model(x), single(x), rtol=0, atol=1e-14)
    last, one = model.network.layers[-1], single.network.layers[-1]
    assert len(last.experts) == len(one.experts)
    assert last.serves == tuple(k for k in one.serves for _ in range(last.top_k))
    chosen = model.network.trace(x).chosen[-1]
    assert (chosen // last.top_k == chosen[:, :1] // last.top_k).all()


def _routed_as(name: str) -> dict[str, str]:
    return {"routing": "affine"} if name == "copies" else {}


def test_copies_that_rounding_sets_apart_stay_within_two_eta() -> None:
    """Every selected true score is ≥ max − 2η, whatever η does to the copies; and 2 % less than 2η would be too little."""
    rng, K, eta = np.random.default_rng(4), 3, 1e-3
    scores = np.repeat(rng.normal(size=(20_000, 6)) * 4 * eta, K, axis=1)
    seen = scores + rng.uniform(-eta, eta, scores.shape)
    chosen = np.argsort(-seen, axis=1, kind="stable")[:, :K]
    lost = scores.max(1) - np.take_along_axis(scores, chosen, 1).min(1)
    assert lost.max() <= 2 * eta
    worst = np.repeat([0.0, -2 * 0.99 * eta], K)
    apart = worst + np.repeat([-eta, eta], K)
    taken = worst[np.argsort(-apart, kind="stable")[:K]]
    assert 0.98 * 2 * eta < -taken.min() <= 2 * eta


def test_several_gate_outputs_of_a_piece_have_one_expert() -> None:
    model = made("copies")
    layer = model.network.layers[0]
    wrong = replace(layer, serves=(1, *layer.serves[1:-1], 0))
    assert any("served by different experts" in said for said in misfits(replace(model.network, layers=(wrong,)), model.design))
    assert isinstance(wrong, MoELayer)


def test_beta_is_as_large_as_it_has_to_be() -> None:
    """N12: with β = ln((K − 1)(B/ε′ − 1))/(Δ − 2η), K − 1 experts chosen amiss weigh ε′/B, and with β 2 % smaller more."""
    for K, amiss, allowed, gap in ((2, 3.0, 1e-2, 0.3), (5, 40.0, 1e-3, 0.05)):
        beta = log((K - 1) * (amiss / allowed - 1)) / gap

        def weight(scale: float, K: int = K, gap: float = gap) -> float:
            powers = np.exp(-scale * np.r_[0.0, np.full(K - 1, gap)])
            return float(powers[1:].sum() / powers.sum())

        assert amiss * weight(beta) == pytest.approx(allowed, rel=1e-9)
        assert amiss * weight(0.98 * beta) > 1.05 * allowed


def test_scaled_logits(tmp_path: Path) -> None:
    """The router's β is a power of two within twice what it has to be, and what its formula says of weights and of experts holds."""
    model = made("scaled")
    claim, beta = model.ledger["routing.scaled"], model.facts["beta"]
    assert claim.known is Known.FORMULA
    assert claim.bound <= claim.budget
    assert float(np.log2(beta)) == int(np.log2(beta))
    atlas = model.task.atlas
    found = Scaled(2).build(model.task, _asked())
    assert isinstance(found, ScaledRouting)
    amiss, allowed = model.ledger["routing.amiss"], claim.budget
    needed = log(amiss.budget / allowed - 1) / found.gap
    assert needed <= beta < 2.0001 * needed
    assert 0 < amiss.bound < amiss.budget
    assert model.ledger["routing.weights"].bound <= allowed / amiss.budget
    np.testing.assert_array_equal(model.network.layers[0].gate.weight, beta * atlas.embed(atlas.balls[0]))
    x = atlas.sample(2000, 3)
    chosen = model.network.trace(x.ambient).chosen[0]
    assert not np.take_along_axis(atlas.membership(x.base), chosen, 1).all()  # no cover of two folds: some are chosen amiss
    assert verify(model, samples=2000).holds


def _asked():
    from atlasmoe.constructions.asked import Asked

    return Asked(0.05, None, 2048, 0)


@pytest.mark.parametrize(
    ("task", "asked", "said"),
    [
        ("circle", {"top_k": 2, "weighting": "rectified"}, "rectified weights do not add up to 1"),
        ("circle", {"weighting": "uniform"}, "one expert has weight 1, whatever the weighting"),
        ("circle", {"routing": "scaled"}, "routing 'scaled' is about several experts"),
        ("circle", {"routing": "duplicates"}, "routing 'duplicates' is about several experts"),
        ("circle", {"top_k": 2, "routing": "scaled", "weighting": "uniform"}, "only softmax weights tell valid experts"),
        ("circle", {"top_k": 9, "routing": "scaled"}, "of 8 balls no 9 can be chosen"),
        ("circle", {"top_k": 0}, "expected a whole number from 1"),
        ("pieces", {"top_k": 2, "routing": "affine"}, "given on pieces, whose faces route by themselves"),
        ("one", {"top_k": 2}, "of its one chart no 2 can be chosen"),
    ],
)
def test_what_makes_no_sense_is_refused(task: str, asked: dict[str, object], said: str) -> None:
    given = task_on(builtin("interval"), "x1") if task == "one" else MODELS[task][0]()
    with pytest.raises(InvalidArgument, match=said):
        compile(given, epsilon=0.05, **asked)


def test_what_was_tried_is_on_record() -> None:
    tried = made("circle").facts["tried"]
    assert [one["router"] for one in tried] == ["affine", "multiplicity", "plateau"]
    assert "lies in 1 of the balls" in tried[0]["why"]
    assert "some points lie in fewer than 2 charts" in tried[1]["why"]
    assert made("circle").facts["variants"] == {"f": {"top_k": 2}}


def test_what_several_experts_would_carry_passes_beside_them() -> None:
    """In paper form too: weights that add up to 1 only nearly would change it."""
    for layer in made("graph").network.layers[:-1]:
        assert layer.top_k == 2
        assert layer.carries is not None
