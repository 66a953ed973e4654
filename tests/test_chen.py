"""Chen, Jiang, Liao and Zhao 2019 as a construction: squares, indicators, gates; the sum of errors; proofs; refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
import pytest
import torch
from atlasmoe import InvalidArgument, certify, compile, explain_point, load, to_torch
from atlasmoe.constructions.indicators import Balls, Squares, gated_sum
from atlasmoe.constructions.relu import Target, fit
from atlasmoe.constructions.theorem_chen import Charts
from atlasmoe.errors import EpsilonNotReached
from atlasmoe.moe import Known, Model
from atlasmoe.verify.check.check import check
from certificates import certified
from planned_tasks import library
from test_certify_graph import collar_graph
from test_gates import circles, sum_graph

RNG = np.random.default_rng(5)
SQUARES = Squares.within(np.array([-1.0, -2.0]), np.array([1.5, 2.0]), 0.01)
BALLS = Balls(np.array([[0.0, 0.0], [0.7, -1.0]]), np.array([0.9, 0.8]), np.array([0.8, 0.65]))


def hidden(points: np.ndarray) -> np.ndarray:
    return np.maximum(SQUARES.neurons(points), 0)


def test_squares_are_off_by_e_and_no_less() -> None:
    points = np.array([-1.0, -2.0]) + np.array([2.5, 4.0]) * RNG.random((20_000, 2))
    middles = np.stack([(t[:-1] + t[1:])[:4] / 2 for t in SQUARES.knots], axis=1)
    knots = np.stack([t[1:5] for t in SQUARES.knots], axis=1)
    points = np.concatenate([points, middles, knots])
    found = SQUARES.distances(BALLS.centers)(hidden(points))
    truth = ((points[:, None] - BALLS.centers) ** 2).sum(2)
    assert np.abs(found - truth).max() <= SQUARES.error * (1 + 1e-12)
    assert (found - truth).max() > 0.98 * SQUARES.error
    assert (truth - found).max() > 0.98 * SQUARES.error
    assert SQUARES.error <= 0.01
    assert SQUARES.width == sum(len(t) - 1 for t in SQUARES.knots)


def test_indicators_are_0_inside_and_1_outside() -> None:
    angles = RNG.random((4000, 1)) * 2 * np.pi
    around = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    for i, center in enumerate(BALLS.centers):
        p = lambda radius, i=i, center=center: np.maximum(  # noqa: E731
            BALLS.indicators(SQUARES)(hidden(center + radius * around))[:, i], 0
        )
        assert not p(BALLS.inner[i] * (1 - 1e-12)).any()
        assert p(BALLS.outer[i]).min() >= 1 - 1e-12
        # The band is used up to the squares' error: with 2e less of it, or e, the claim would be false.
        assert p(BALLS.inner[i] * 1.02).max() > 0
        assert p(BALLS.outer[i] * 0.97).min() < 1


def test_a_gate_lets_through_inside_shuts_outside_and_lies_between() -> None:
    def draw(count: int, seed: int, held_out: bool) -> tuple[np.ndarray, np.ndarray]:
        y = np.array([-1.0, -2.0]) + np.array([2.5, 4.0]) * np.random.default_rng(seed).random((count, 2))
        return y, np.stack([np.sin(3 * y[:, 0]) - y[:, 1], y[:, 0] * y[:, 1]], axis=1)

    value = fit(Target(draw, "v", "test"), 24).net
    points, _ = draw(20_000, 3, False)
    sizes = np.full(2, 1.01 * float(np.abs(value(points)).max()))
    for i in range(2):
        alone = Balls(BALLS.centers[i : i + 1], BALLS.outer[i : i + 1], BALLS.inner[i : i + 1])
        v, gated = value(points), gated_sum(alone, SQUARES, [value], sizes[i : i + 1])(points)
        far = np.linalg.norm(points - BALLS.centers[i], axis=1)
        np.testing.assert_allclose(gated[far <= BALLS.inner[i]], v[far <= BALLS.inner[i]], atol=1e-12)
        assert np.abs(gated[far >= BALLS.outer[i]]).max() < 1e-12
        assert (np.abs(gated) <= np.abs(v) + 1e-12).all()
        assert (gated * v >= -1e-12).all()
    both = gated_sum(BALLS, SQUARES, [value, value], sizes)
    parts = [
        gated_sum(Balls(*(part[i : i + 1] for part in (BALLS.centers, BALLS.outer, BALLS.inner))), SQUARES, [value], sizes[:1])
        for i in (0, 1)
    ]
    np.testing.assert_allclose(both(points), parts[0](points) + parts[1](points), atol=1e-12)


def test_a_bound_of_values_that_is_too_small_lets_them_out() -> None:
    """F_i matters: with half of it a value outside is no longer shut out."""
    constant = atlasmoe.ReLUNet(
        (atlasmoe.Affine(np.zeros((1, 2)), np.ones(1)), atlasmoe.Affine(np.ones((1, 1)), np.zeros(1))),
        ((atlasmoe.NeuronGroup("one", 1, "test"),),),
    )
    one = Balls(BALLS.centers[:1], BALLS.outer[:1], BALLS.inner[:1])
    at = np.array([[BALLS.outer[0], 0.0]])
    assert abs(gated_sum(one, SQUARES, [constant], np.array([1.0]))(at)[0, 0]) < 1e-12
    assert gated_sum(one, SQUARES, [constant], np.array([0.5]))(at)[0, 0] > 0.1


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "balls": (lambda: library("circle", "sin(5*x1) + cos(3*x2)", atlas="ball", charts=8), {"epsilon": 0.05}),
    "arcs in R^16": (
        lambda: library("circle", "sin(5*x1)*x2", embed={"dimension": 16, "seed": 0}),
        {"epsilon": 0.02, "activation": "silu"},
    ),
    "sphere": (lambda: library("sphere", "x1*x2 + x3/2"), {"epsilon": 0.2, "dtype": "float32"}),
    "circles": (circles, {"epsilon": 0.3, "form": "dense"}),
}


@pytest.mark.parametrize("name", CASES)
def test_all_charts_in_parallel_are_proved_confirmed_saved_and_explained(name: str, tmp_path: Path) -> None:
    task, options = CASES[name][0](), CASES[name][1]
    model = compile(task, theorem="chen", **options)
    sites = [model.network.layers[site.layer] for site in model.design.sites]
    assert all(layer.gate is None and len(layer.experts[0].widths) == 3 for layer in sites)
    assert atlasmoe.verify(model, samples=4000).holds
    assert check(certified(model, tmp_path / "model", tightness=None if name != "circles" else 1.5)).verdict == "confirmed"
    again = load(tmp_path / "model")
    x = task.atlas.sample(64, 3).ambient if isinstance(task, atlasmoe.ManifoldTask) else task.sample(64, 3)
    x = x.astype(model.network.dtype)
    assert np.array_equal(again(x), model(x))
    np.testing.assert_allclose(to_torch(again)(torch.from_numpy(x)).detach().numpy(), model(x), atol=1e-10 if x.dtype == float else 1e-4)
    assert explain_point(again, x[0].astype(float)).error <= options["epsilon"]


def test_the_error_is_at_most_the_sum_of_those_of_the_charts_that_hold_the_point() -> None:
    model = compile(CASES["balls"][0](), theorem="chen", width=12)
    claims = {claim.name: claim for claim in model.ledger}
    assert claims["chen.sum"].holds
    charts, task = Charts.of(CASES["balls"][0](), 0), model.task
    facts = model.facts["chen"]
    assert facts["multiplicity"] == charts.multiplicity == 2
    assert claims["total"].bound <= 2 * claims["chen.local"].bound
    x = task.atlas.sample(4096, 11)
    np.testing.assert_allclose(charts.rho(x.base).sum(1), 1, atol=1e-12)
    assert not charts.rho(x.base)[charts.square(x.base) > charts.balls.inner**2].any()
    assert facts["nonzero"] < model.network.parameters


def test_a_proof_notices_that_an_indicator_is_missing() -> None:
    model = compile(CASES["balls"][0](), theorem="chen", epsilon=0.05)
    (layer,) = model.network.layers
    net = layer.experts[0]
    gates = net.affines[2].weight.copy()
    gates[0, net.affines[2].weight.shape[1] // 2] = 0.0
    wrong = net.with_maps((*net.affines[:2], replace(net.affines[2], weight=gates), net.affines[3]))
    network = atlasmoe.Network((replace(layer, experts=(wrong,)),), model.network.inputs)
    assert certify(Model(network, model.ledger, model.task, model.facts, model.design)).status is Known.REFUTED


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"top_k": 2}, "chooses nothing; leave top_k 2 out"),
        ({"gated": True, "activation": "silu"}, "of one activation without lanes"),
        ({"activation": "auto"}, "name the activation"),
        ({"experts": "factorised"}, "stored whole"),
    ],
)
def test_what_the_construction_has_no_use_for_is_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        compile(CASES["balls"][0](), epsilon=0.05, theorem="chen", **options)


def test_pieces_computed_values_and_widths_are_refused_by_name() -> None:
    with pytest.raises(InvalidArgument, match="theorem 'dense' is for both"):
        compile(sum_graph(), epsilon=0.1, theorem="chen")
    with pytest.raises(InvalidArgument, match='block "g": it reads computed values'):
        compile(collar_graph(), epsilon=0.1, theorem="chen")
    with pytest.raises(EpsilonNotReached, match=r'activation="silu".*a mixture of experts'):
        compile(CASES["balls"][0](), epsilon=1e-4, theorem="chen", max_width=8)
