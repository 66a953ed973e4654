"""Balls as groups of one layer (N20): scores on the grid of the dtype have one first largest, valid if 2q + 4η < κ, and no sooner."""

from __future__ import annotations

import atlasmoe
import numpy as np
import pytest
from atlasmoe import Block, Box, Combine, Input, TaskGraph, Tiling, ball_atlas, builtin
from atlasmoe.constructions.routers.snapped import snapped
from atlasmoe.errors import InvalidArgument
from atlasmoe.moe import Affine
from atlasmoe.verify.sample import verify


def lifted(scores: int, M: float, dtype: str):
    """z of scores that are its inputs, and the step q of its grid."""
    return snapped(Affine(np.eye(scores), np.full(scores, 1.25 * M)), M, dtype).astype(dtype), M / 2.0 ** np.finfo(dtype).nmant


def near_ties(count: int, scores: int, M: float, dtype: str) -> np.ndarray:
    """Scores within a few steps of the grid of each other, some of them equal."""
    rng = np.random.default_rng(0)
    q = M / 2.0 ** np.finfo(dtype).nmant
    x = rng.uniform(-M / 8, M / 8, (count, 1)) + q * rng.uniform(-2, 2, (count, scores))
    x[: count // 4] = np.round(x[: count // 4] / q) * q
    x[: count // 8, 1] = x[: count // 8, 0]
    return x.astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exactly_one_logit_is_zero_and_the_others_are_half_a_step_away(dtype: str) -> None:
    gate, _ = lifted(5, 8.0, dtype)
    x = near_ties(40_000, 5, 8.0, dtype)
    z = gate(x)
    assert ((z == 0).sum(1) == 1).all()
    assert np.sort(z, axis=1)[:, -2].max() == -0.5
    # The sums of the pairs in reverse, and with the bias first: whole numbers and halves below 2^n are exact.
    first, down, ahead, _ = gate.affines
    g = np.maximum(np.maximum(x + first.bias, 0) + down.bias, 0)
    for order in (np.arange(5), np.arange(5)[::-1]):
        total = np.tile(ahead.bias, (len(x), 1))
        for k in order:
            total = total + g[:, [k]] * ahead.weight[:, k]
        assert (total == g @ ahead.weight.T + ahead.bias).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_condition_cannot_be_two_per_cent_less(dtype: str) -> None:
    """r² − |x − c|² = 2s + what is common: of the ball that is chosen it is less than the largest by up to 2q, η = 0 here."""
    gate, q = lifted(2, 8.0, dtype)
    x = near_ties(400000, 2, 8.0, dtype) if dtype == "float32" else near_ties(100000, 2, 8.0, dtype)
    behind = 2 * (x.max(1) - x[np.arange(len(x)), (gate(x) == 0).argmax(1)]).astype(float)
    assert behind.max() <= 2 * q
    assert behind.max() > 0.98 * 2 * q, "κ = 1.96q would have been missed"


def tori(L: int, plus: bool = False) -> TaskGraph:
    """A sum over L circles of 5 balls each, and perhaps a function of an interval that jumps."""
    nodes: list[Input | Block | Combine] = []
    for l in range(1, L + 1):
        balls = ball_atlas(builtin("circle"), charts=5)
        nodes += [Input(f"p{l}", balls), Block.parse(f"f{l}", (f"p{l}_1", f"p{l}_2"), balls, f"p{l}_1*p{l}_2 + {l}*p{l}_1")]
    names = [f"f{l}" for l in range(1, L + 1)]
    if plus:
        nodes += [Input("x", Box((0,), (2,)), ("s",)), Block.parse("g", ("s",), Tiling.intervals((0, 0.3, 1, 2)), ["1", "s", "-s"])]
        names.append("g")
    return TaskGraph("torus", (*nodes, Combine.parse("f", names, " + ".join(names) + " + 1")), "f")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_torus_and_an_interval_in_one_layer(dtype: str, tmp_path) -> None:
    task = tori(2, plus=True)
    model = atlasmoe.compile(task, epsilon=0.5, depth="1", dtype=dtype)
    (layer,) = model.network.layers
    assert (len(layer), layer.top_k, len(layer.gate.widths)) == (13, 3, 3)
    assert {site.block: (site.router, site.first) for site in model.design.sites} == {
        "f1": ("snapped", 0),
        "f2": ("snapped", 5),
        "g": ("grouped", 10),
    }
    x = task.sample(4_000, 1).astype(dtype)
    # Where two arcs are equally near, on both circles at once: what continuous logits cannot tell (N17).
    centres = np.stack([chart.center for chart in model.task.blocks[0].domain.charts])
    angles = np.sort(np.arctan2(centres[:, 1], centres[:, 0]))
    middles = (angles + np.append(angles[1:], angles[0] + 2 * np.pi)) / 2
    corners = np.stack([np.cos(middles), np.sin(middles)], axis=1)
    x[:25, :4] = np.concatenate([np.repeat(corners, 5, 0), np.tile(corners, (5, 1))], axis=1)
    z = layer.logits(x)
    for site in model.design.sites:
        assert ((z[:, site.outputs] == 0).sum(1) == 1).all()
    if dtype == "float32":
        report = verify(model, samples=200)
        assert report.holds, str(report)
    back = atlasmoe.load(atlasmoe.save(model, tmp_path / "m"))
    assert (back.network(x) == model.network(x)).all()


def test_charts_that_are_no_balls() -> None:
    arcs = builtin("circle")
    nodes = []
    for l in (1, 2):
        nodes += [Input(f"p{l}", arcs), Block.parse(f"f{l}", (f"p{l}_1", f"p{l}_2"), arcs, f"p{l}_1")]
    task = TaskGraph("arcs", (*nodes, Combine.parse("f", ("f1", "f2"), "f1 + f2")), "f")
    with pytest.raises(InvalidArgument, match=r'no balls.*theorem "affine"'):
        atlasmoe.compile(task, epsilon=0.5, depth="1")
    with pytest.raises(InvalidArgument, match="no hats add up to 1"):
        atlasmoe.compile(tori(2), epsilon=0.5, depth="1", weighting="rectified")
