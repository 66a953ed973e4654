"""`experts = "projected"` (N10, second half): one encoder of fewer dimensions than the charts span, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from math import asin, pi, sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from atlasmoe import (
    Block,
    Combine,
    Input,
    InvalidArgument,
    ManifoldTask,
    Model,
    TaskGraph,
    ball_atlas,
    compile,
    embed,
    encodings,
    load,
    to_torch,
    verify,
)
from atlasmoe.constructions.experts import low_dimensional as low
from atlasmoe.constructions.experts.projected import project
from atlasmoe.verify.check import check
from certificates import certified
from planned_tasks import library
from planned_tasks import task as written

D = 24


def curve() -> ManifoldTask:
    """(cos kt, sin kt)/k², k = 1, 2, 3: a closed curve that spans R⁶, in 12 balls; seen in a plane it is nearly a circle."""
    charts = []
    for turn in range(3):
        c = 2 * pi * turn / 3
        point = [f"{f}({k}*(u + {c}))/{k**2}" for k in (1, 2, 3) for f in ("cos", "sin")]
        back = f"atan2(x2*cos({c}) - x1*sin({c}), x1*cos({c}) + x2*sin({c}))"
        charts.append({"name": f"arc{turn}", "domain": [[-1.4, 1.4]], "inverse": point, "forward": [back]})
    manifold = {"ambient": [f"x{k}" for k in range(1, 7)], "intrinsic": ["u"]}
    task = written("curve", {"manifold": manifold, "chart": charts}, "x1*x2 + x5")
    return replace(task, atlas=embed(ball_atlas(task.atlas, charts=12), D, seed=0))


CURVE = curve()


@pytest.fixture(scope="module")
def model() -> Model:
    return compile(CURVE, epsilon=0.05, experts="projected")


def test_experts_read_two_numbers_of_six(model: Model) -> None:
    (layer,) = model.network.layers
    assert layer.latent.weight.shape == (2, D)
    np.testing.assert_allclose(layer.latent.weight @ layer.latent.weight.T, np.eye(2), atol=1e-12)
    widths = [net.widths[-1] for net in layer.experts]
    stored = layer.parameters - layer.gate.parameters
    assert stored == min(low.encoder(D, 2, widths), low.encoder(D, 2, widths, 1)) == model.ledger["experts.stored"].bound
    assert stored < low.encoder(D, 6, widths)
    assert model.facts["stored"]["f"]["experts"] == "projected"
    claim = model.ledger["experts.projected"]
    assert claim.holds
    assert "2 dimensions in the place of the 6" in claim.statement


def test_goes_through_the_house(model: Model, tmp_path: Path) -> None:
    folder = certified(model, tmp_path / "model")
    assert check(folder).verdict == "confirmed"
    again, x = load(folder), CURVE.atlas.sample(256, 3).ambient
    assert np.array_equal(again(x), model(x))
    assert again.task.atlas.charts[0].frame.T @ again.task.atlas.charts[0].frame == pytest.approx(1)  # the task keeps its charts
    assert verify(again, samples=2000).holds
    np.testing.assert_allclose(to_torch(model)(torch.from_numpy(x)).detach().numpy(), model(x), rtol=0, atol=1e-11)
    assert all(block.right for block in model.explain(x[0]).blocks)
    with pytest.raises(InvalidArgument, match="seen through a projection"):
        encodings(model)


def test_charts_are_tangent_maps_through_the_encoder() -> None:
    """φ_i is s·V_iᵀ on the tangent space, grows no distance, by 2 % more it would, and sees nothing that P does not."""
    found = project(CURVE, "curve", 0)
    frames = np.stack([ball.frame for ball in CURVE.atlas.charts])
    maps = np.stack([ball.frame.T for ball in found.task.atlas.charts])
    np.testing.assert_allclose(maps @ frames, found.seen * np.eye(1)[None].repeat(len(maps), 0), atol=1e-12)
    sizes = np.linalg.svd(maps, compute_uv=False).max(1)
    assert 0.98 < sizes.max() <= 1 + 1e-12
    assert np.linalg.matrix_rank(np.concatenate(maps)) == found.dimensions == 2 < found.spanned == 6
    points = CURVE.atlas.sample(4000, 5).base
    for ball, map_ in zip(CURVE.atlas.charts, maps, strict=True):
        y, z = points[ball.contains(points)][:40], points[ball.contains(points)][40:80][:40]
        ratio = np.linalg.norm((y[: len(z)] - z) @ map_.T, axis=1) / np.linalg.norm(y[: len(z)] - z, axis=1)
        assert ratio.min() > 0.98 * found.stretch * found.seen


@pytest.mark.parametrize("seen", [0.3, 0.7, 0.95])
def test_the_lemma_keeps_arcs_apart(seen: float) -> None:
    """On a circle a line that sees its tangent by s folds an arc of radius r if 2·arcsin(r/2) ≥ arcsin s: the lemma is on the safe side."""
    radii = np.linspace(0.01, 1, 400)
    held = radii[np.arcsin(radii) + 2 * np.arcsin(radii / 2) < asin(seen)]
    theta = np.linspace(-1, 1, 2001)
    line = np.array([sqrt(1 - seen**2), seen])

    def injective(r: float) -> bool:
        angle = 2 * np.arcsin(r / 2) * theta
        return bool((np.diff(np.stack([np.cos(angle), np.sin(angle)], axis=1) @ line) > 0).all())

    assert len(held)
    assert all(injective(r) for r in held)
    assert not injective(min(1.99, 1.05 * 2 * np.sin(asin(seen) / 2)))


def test_blocks_of_graphs() -> None:
    block = Block.parse("u", tuple(f"c_{k}" for k in range(1, 7)), replace(CURVE.atlas, embedding=None), "c_1*c_2")
    nodes = (Input("c", replace(CURVE.atlas, embedding=None)), block, Combine.parse("f", ("u", "c_1"), "u + c_1"))
    graph = TaskGraph("g", nodes, "f")
    model = compile(graph, epsilon=0.1, experts={"u": "projected"}, theorem={"u": "affine"}, form="residual")
    assert model.ledger["block[u].experts.projected"].holds
    x = graph.sample(1000, 1)
    assert np.abs(model(x) - graph(x)).max() <= 0.1


@pytest.mark.parametrize(
    ("task", "options", "words"),
    [
        (library("sphere", "x1", charts=16, atlas="ball"), {}, "edge-on"),
        (library("circle", "x1", charts=4), {}, "only tangent charts of balls"),
        (library("circle", "x1", charts=8, atlas="ball"), {"theorem": "dense"}, "theorem 'dense'"),
    ],
    ids=["sphere", "arcs", "dense"],
)
def test_refused(task: ManifoldTask, options: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        compile(task, epsilon=0.5, experts="projected", **options)
