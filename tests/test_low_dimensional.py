"""Low-dimensional experts (B6, N9–N11): counts, the same functions and proofs, encoders, and what Dec loses."""

from __future__ import annotations

import itertools
from dataclasses import replace

import atlasmoe
import numpy as np
import pytest
import torch
from atlasmoe import Block, Combine, Input, InvalidArgument, TaskGraph, ball_atlas, builtin, compile, embed, encodings
from atlasmoe.atlas.reach import REACHES
from atlasmoe.constructions.experts import low_dimensional as low
from atlasmoe.constructions.experts.proved_reconstruction import prove_gap
from atlasmoe.constructions.experts.reconstruction import gap
from atlasmoe.moe import Known
from atlasmoe.moe.activations import IDENTITY
from planned_tasks import library
from planned_tasks import task as written

KINDS = ("dense", "factorised", "encoder", "auto")
CIRCLE = library("circle", "sin(5*x1) + cos(3*x2)", charts=8, atlas="ball", embed={"dimension": 64, "seed": 0})
ARCS = library("circle", "sin(5*x1) + cos(3*x2)", charts=4, embed={"dimension": 24, "seed": 0})
SPHERE = library("sphere", "x1*x2 + x3/2", charts=16, atlas="ball", embed={"dimension": 40, "seed": 0})
GLOBE = library("sphere", "x1*x2 + x3/2")
PARABOLA = written(
    "parabola",
    {
        "manifold": {"ambient": ["x", "y"], "intrinsic": ["u"]},
        "chart": [{"name": "all", "domain": [[-1, 1]], "inverse": ["u", "u**2"], "forward": ["x"], "boundary": [[True, True]]}],
    },
    "x + y",
)
BENT = ball_atlas(PARABOLA.atlas, charts=10)
"""Of which nobody says the reach."""


def widths(model) -> list[int]:
    return [net.widths[-1] for net in model.network.layers[-1].experts]


def experts_size(model) -> int:
    layer = model.network.layers[-1]
    return layer.parameters - layer.gate.parameters


@pytest.fixture(scope="module")
def circles():
    return {kind: compile(CIRCLE, epsilon=0.03, experts=kind) for kind in KINDS}


@pytest.mark.parametrize(("task", "epsilon", "D", "d"), [(CIRCLE, 0.03, 64, 1), (SPHERE, 0.1, 40, 2)], ids=["S1", "S2"])
def test_counts_are_those_of_compiled_models(task, epsilon: float, D: int, d: int, circles) -> None:
    """N9, exactly; and "auto" is the least of them."""
    made = circles if task is CIRCLE else {}
    found = {}
    for kind in KINDS:
        model = made.get(kind) or compile(task, epsilon=epsilon, experts=kind)
        m, ell = widths(model), task.atlas.base_dimension
        expected = {
            "dense": sum(low.dense(D, width) for width in m),
            "factorised": sum(low.factorised(D, d, width) for width in m),
            "encoder": min(low.encoder(D, ell, m), low.encoder(D, ell, m, d)),
        }
        found[kind] = experts_size(model)
        if kind != "auto":
            assert found[kind] == expected[kind]
        if kind != "dense":
            (stored,) = model.facts["stored"].values()
            assert stored["numbers"] == {key: expected[key] for key in stored["numbers"]}
    assert found["auto"] == min(found.values())


@pytest.mark.parametrize(("D", "d", "m"), list(itertools.product((3, 9, 40), (1, 2, 3), (1, 2, 3, 4, 5, 6, 7, 12, 40))))
def test_factorised_is_smaller_just_where_the_lemma_says(D: int, d: int, m: int) -> None:
    assert (low.factorised(D, d, m) < low.dense(D, m)) == (d * (D + m) < m * D)
    if d * (D + m) == m * D:
        assert low.factorised(D, d, m) == low.dense(D, m)


@pytest.mark.parametrize(("task", "D", "d"), [(ARCS, 24, 1), (GLOBE, 3, 2)], ids=["S1", "S2"])
def test_multiplying_nonlinear_charts_out_wastes_what_the_lemma_says(task, D: int, d: int) -> None:
    whole, parts = (compile(task, width=20, experts=kind, theorem="4.8").network.layers[-1] for kind in ("dense", "factorised"))
    for one, two in zip(whole.experts, parts.experts, strict=True):
        (m_e, m), kept = one.widths, two.widths
        assert kept == (m_e, d, m)
        assert two.parameters == low.factorised(D, d, m, m_e)
        assert one.parameters - two.parameters == m * m_e - d * (m + m_e) - d
        assert all(group.activation is IDENTITY for group in two.groups[1])


def test_all_kinds_are_one_function_proved_and_confirmed(circles, tmp_path) -> None:
    x = CIRCLE.atlas.sample(500, 3).ambient
    truth = circles["dense"].network(x)
    bounds = []
    for kind in ("dense", "factorised", "encoder"):
        model = circles[kind]
        np.testing.assert_allclose(model.network(x), truth, atol=1e-11)
        atlasmoe.save(model, tmp_path / kind)
        again = atlasmoe.load(tmp_path / kind)
        np.testing.assert_array_equal(again.network(x), model.network(x))
        assert again.network.parameters == model.network.parameters
        y = atlasmoe.to_torch(again)(torch.from_numpy(x)).detach().numpy()
        np.testing.assert_allclose(y, truth, atol=1e-11)
        certificate = atlasmoe.certify(again)
        assert certificate.status.value == "proved"
        bounds.append(certificate.bound)
        certificate.write(tmp_path / kind)
        assert atlasmoe.check(tmp_path / kind).holds
        assert "ball" in str(atlasmoe.explain_point(again, x[0]))
    assert max(bounds) <= 0.03
    assert max(bounds) - min(bounds) <= 1e-6


@pytest.mark.parametrize("form", ["paper", "residual"])
def test_blocks_of_graphs_carry_what_is_needed_past_encoders(form: str, tmp_path) -> None:
    circle = builtin("circle", charts=4)
    first = ball_atlas(builtin("circle"), charts=5)
    nodes = (
        Input("s", embed(first, 24 if form == "residual" else 8, 1)),
        Input("c", embed(circle, 6, 5)),
        Block.parse("a", ("s_1", "s_2"), first, "s_1*s_2"),
        Block.parse("b", ("c_1", "c_2"), circle, "c_1 + c_2"),
        Combine.parse("f", ("a", "b"), "a + b/2"),
    )
    graph = TaskGraph("both", nodes, "f")
    x = graph.sample(400, 2)
    models = {kind: compile(graph, epsilon=0.5, experts=kind, form=form) for kind in ("dense", "encoder")}
    models["mixed"] = compile(graph, epsilon=0.5, experts={"a": "factorised", "b": "auto"}, form=form)
    for kind, model in models.items():
        np.testing.assert_allclose(model.network(x), models["dense"].network(x), atol=1e-10)
        assert set(model.facts.get("stored", {})) == (set() if kind == "dense" else {"a", "b"})
        assert model.ledger.root.holds
    assert sum(layer.latent is not None for layer in models["encoder"].network.layers) == 2
    model = models["encoder"]
    certificate = atlasmoe.certify(model)
    assert certificate.status.value == "proved"
    atlasmoe.save(model, tmp_path / "m")
    certificate.write(tmp_path / "m")
    assert atlasmoe.check(tmp_path / "m").holds
    if form == "residual":
        assert model.network.parameters < models["dense"].network.parameters


def test_an_encoder_spans_just_what_charts_read() -> None:
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.normal(size=(30, 4)))[0]
    charts = [low.Affine.without_bias(rng.normal(size=(2, 3)) @ Q[:, :3].T).net for _ in range(5)]
    P = low.encoder_of(charts, None)
    assert P.shape == (3, 30)
    np.testing.assert_allclose(P @ P.T, np.eye(3), atol=1e-12)
    for chart in charts:
        np.testing.assert_allclose(chart.affines[0].weight @ P.T @ P, chart.affines[0].weight, atol=1e-11)
    assert low.encoder_of(charts, Q).shape == (3, 30)  # fewer than the embedding has
    np.testing.assert_array_equal(low.encoder_of(charts, Q[:, :3]), Q[:, :3].T)


def test_encoders_that_save_nothing_are_refused() -> None:
    with pytest.raises(InvalidArgument, match=r'span all of the 3 channels.*"factorised"'):
        compile(GLOBE, width=20, experts="encoder", theorem="4.8")


@pytest.mark.parametrize("kind", ["dense", "factorised", "encoder"])
def test_enc_and_dec_of_experts_are_there_to_be_called(kind: str, circles) -> None:
    model = circles[kind]
    points = CIRCLE.atlas.sample(3000, 9)
    for name, one in encodings(model).items():
        ball = CIRCLE.atlas.charts[CIRCLE.atlas.names.index(name)]
        assert one.stored == (kind != "dense")
        inside = ball.contains(points.base)
        x = points.ambient[inside]
        np.testing.assert_allclose(one.encode(x), ball.forward(points.base[inside]), atol=1e-12)
        assert not one.off(x).any()
        away = x * 1.3
        near = np.linalg.norm(away - CIRCLE.atlas.embed(ball.center), axis=1) < ball.radius
        assert one.off(away[near & (one.gap(away) > one.tolerance)]).all()
        normal = np.linalg.svd(CIRCLE.atlas.embedding.T)[2][-1]  # leaves the plane of the circle
        assert one.off(CIRCLE.atlas.embed(ball.center[None]) + 0.9 * ball.radius * normal).all()
        assert one.off(x + 2 * one.tolerance * normal)[one.gap(x) < 1e-3].all()
    with pytest.raises(InvalidArgument, match="there is no block 'nobody'"):
        encodings(model, "nobody")


def turns(count: int) -> np.ndarray:
    """Random rotations, and those about one axis, (N, 9)."""
    rng = np.random.default_rng(0)
    axis = np.concatenate([rng.normal(size=(count, 3)), np.tile([0.0, 0, 1], (12, 1))])
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    angle = np.concatenate([rng.uniform(0, 0.8, count), np.linspace(0.05, 0.6, 12)])[:, None, None]
    K = np.cross(np.eye(3), axis[:, None])
    return (np.eye(3) + np.sin(angle) * K + (1 - np.cos(angle)) * K @ K).reshape(-1, 9)


ALGEBRA = np.linalg.qr(np.cross(np.eye(3)[None], np.eye(3)[:, None]).reshape(3, 9).T)[0]


@pytest.mark.parametrize("name", ["circle", "sphere", "so3"])
def test_what_dec_loses_is_sharp(name: str) -> None:
    """N11: |x − Dec Enc x| ≤ |x − c|²/(2τ), and a constant 2 % smaller is wrong on circles, spheres and geodesics of rotations."""
    if name == "so3":
        center, frame, radius, base = np.eye(3).reshape(9), ALGEBRA, 1.0, turns(20_000)
    else:
        atlas = (CIRCLE if name == "circle" else SPHERE).atlas
        ball, base = atlas.charts[0], atlas.sample(20_000, 5).base
        center, frame, radius = ball.center, ball.frame, ball.radius
    away = np.linalg.norm(base - center, axis=1)
    inside = (away < radius) & (away > 1e-3)
    ratio = gap(base[inside], center, frame) * 2 * REACHES[name] / away[inside] ** 2
    assert ratio.max() <= 1 + 1e-9
    assert ratio.max() > 0.98


def test_the_ledger_says_what_is_stored_and_what_dec_loses(circles) -> None:
    for kind in ("factorised", "encoder", "auto"):
        claims = {claim.name: claim for _, claim in circles[kind].ledger.root.walk()}
        proved = claims["reconstruction.proved"]
        assert proved.known is Known.PROVED
        assert claims["reconstruction"].bound <= proved.bound <= proved.budget <= 1.1 * claims["reconstruction"].bound * (1 + 1e-12)
        assert claims["experts.stored"].bound == experts_size(circles[kind])
        lost = claims["reconstruction"]
        assert lost.holds
        radius = CIRCLE.atlas.charts[0].radius
        assert lost.budget == pytest.approx(radius**2 / 2)
        assert lost.bound > 0.9 * lost.budget
    assert not {"experts.stored", "reconstruction", "reconstruction.proved"} & {
        claim.name for _, claim in circles["dense"].ledger.root.walk()
    }


@pytest.mark.parametrize("name", ["circle", "sphere", "bent"])
def test_what_dec_loses_is_enclosed(name: str) -> None:
    """No point of M misses what is proved, on balls without a known reach too; less than what points lose is never proved, nor for
    frames that are not those of the tangent spaces.
    """
    atlas = {"circle": CIRCLE.atlas, "sphere": SPHERE.atlas, "bent": BENT}[name]
    base = atlas.sample(20_000, 11).base
    lost = max(gap(base[ball.contains(base)], ball.center, ball.frame).max() for ball in atlas.charts)
    proof = prove_gap(atlas, 1.1 * lost)
    assert proof.bound is not None
    assert lost <= proof.bound <= 1.1 * lost
    assert prove_gap(atlas, 0.98 * lost).bound is None
    turned = [replace(ball, frame=np.roll(ball.frame, 1, axis=0)) for ball in atlas.charts]
    assert prove_gap(replace(atlas, charts=tuple(turned)), 1.1 * lost).bound is None
    assert "patches are needed" in prove_gap(atlas, 1.1 * lost, most=50).why


def test_off_the_manifold_without_a_reach() -> None:
    """What the ledger proved tells points off a curve of which nobody says the reach; of whole experts it says nothing."""
    atlas = embed(BENT, 12, seed=0)
    task = replace(PARABOLA, atlas=atlas)
    model = compile(task, epsilon=0.3, experts="factorised")
    normal = np.linalg.svd(atlas.embedding.T)[2][-1]
    points = atlas.sample(2000, 3)
    for name, one in encodings(model).items():
        x = points.ambient[atlas.charts[atlas.names.index(name)].contains(points.base)]
        assert one.tolerance == model.ledger["reconstruction.proved"].bound
        assert not one.off(x).any()
        assert one.off(x + 2 * one.tolerance * normal)[one.gap(x) < 1e-3].all()
    with pytest.raises(InvalidArgument, match="factorised"):
        next(iter(encodings(compile(task, epsilon=0.3)).values())).off(x)
