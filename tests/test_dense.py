"""Dense networks as baselines: one net without a gate for all of M, proved like any mixture, of equal active or total numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
import pytest
import torch
from atlasmoe import Block, Box, Input, InvalidArgument, TaskGraph, Tiling, certify, compile, dense_baseline, explain_point, load, to_torch
from atlasmoe.atlas.ball import enclosing_ball
from atlasmoe.cli.main import main
from atlasmoe.constructions.one_piece import one_piece
from atlasmoe.errors import EpsilonNotReached
from atlasmoe.moe import Known, Model
from atlasmoe.verify.check.check import check
from certificates import certified
from planned_tasks import library
from test_certify_graph import collar_graph
from test_gates import circles, sum_graph


def kinked() -> TaskGraph:
    """Three pieces that meet continuously, of which the interface at 2 belongs to the piece below."""
    tiling = Tiling.intervals([0, 1, 2, 3], closed="upper")
    return TaskGraph(
        "kinked", (Input("x", Box((0.0,), (3.0,))), Block.parse("f", ("x",), tiling, ["x**2", "2*x - 1", "3 + sin(4*(x - 2))"])), "f"
    )


def saddles() -> TaskGraph:
    """Four boxes, not all in one grid."""
    boxes = [((0, 0), (1, 2)), ((1, 0), (2, 1)), ((1, 1), (1.5, 2)), ((1.5, 1), (2, 2))]
    tiling = Tiling(tuple(atlasmoe.BoxPiece(f"p{k}", Box(*box)) for k, box in enumerate(boxes)), ("a", "b"))
    texts = ["(a - 1)*b", "(a - 1)*b*2", "(a - 1)*(1 + b)", "(a - 1)*(1 + b) + (a - 3/2)*(b - 1)"]
    return TaskGraph("saddles", (Input("z", Box((0.0, 0.0), (2.0, 2.0)), ("a", "b")), Block.parse("f", ("a", "b"), tiling, texts)), "f")


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "circle": (lambda: library("circle", "sin(5*x1) + cos(3*x2)"), {"epsilon": 0.02}),
    "balls": (lambda: library("circle", "sin(5*x1)*x2", charts=8, atlas="ball", embed={"dimension": 16, "seed": 0}), {"epsilon": 0.02}),
    "sphere": (lambda: library("sphere", "x1*x2 + x3/2"), {"epsilon": 0.05, "activation": "silu"}),
    "circles": (circles, {"epsilon": 0.1}),
    "collar": (collar_graph, {"epsilon": 0.1, "form": "residual", "activation": "silu"}),
    "kinked": (kinked, {"epsilon": 0.05}),
}


@pytest.mark.parametrize("name", CASES)
def test_dense_networks_are_proved_confirmed_saved_and_explained(name: str, tmp_path: Path) -> None:
    task, options = CASES[name][0](), CASES[name][1]
    model = compile(task, theorem="dense", **options)
    sites = [model.network.layers[site.layer] for site in model.design.sites]
    assert all(layer.gate is None and len(layer) == 1 for layer in sites)
    assert model.network.active_parameters == model.network.parameters or name == "circles"
    assert atlasmoe.verify(model, samples=4000).holds
    assert check(certified(model, tmp_path / "model", tightness=1.3)).verdict == "confirmed"
    again = load(tmp_path / "model")
    x = task.atlas.sample(64, 3).ambient if isinstance(task, atlasmoe.ManifoldTask) else task.sample(64, 3)
    assert np.array_equal(again(x), model(x))
    np.testing.assert_allclose(to_torch(again)(torch.from_numpy(x)).detach().numpy(), model(x), atol=1e-10)
    assert explain_point(again, x[0]).error <= options["epsilon"]


def test_a_proof_notices_that_one_weight_is_wrong(tmp_path: Path) -> None:
    model = compile(CASES["circle"][0](), theorem="dense", epsilon=0.02)
    (layer,) = model.network.layers
    net = layer.experts[0]
    last = net.affines[-1]
    weight = last.weight.copy()
    weight[0, int(np.abs(weight[0]).argmax())] *= 1.5
    wrong = net.with_maps((*net.affines[:-1], atlasmoe.Affine(weight, last.bias)))
    network = atlasmoe.Network((atlasmoe.MoELayer(None, (wrong,), (0,), layer.names, layer.channels),), model.network.inputs)
    certificate = certify(Model(network, model.ledger, model.task, model.facts, model.design))
    assert certificate.status is Known.REFUTED


def test_the_enclosing_ball_holds_the_manifold_and_travels(tmp_path: Path) -> None:
    for task in (CASES["sphere"][0](), CASES["balls"][0]()):
        atlas = enclosing_ball(task.atlas)
        assert len(atlas) == 1
        assert atlas.contains(0, task.atlas.sample(4096, 7).base).all()
        (ball,) = atlas.charts
        np.testing.assert_allclose(ball.frame.T @ ball.frame, np.eye(atlas.dimension), atol=1e-12)
    model = compile(CASES["balls"][0](), theorem="dense", width=16)
    atlasmoe.save(model, tmp_path / "m")
    assert load(tmp_path / "m").task.atlas.charts[0].radius == model.task.atlas.charts[0].radius


def test_one_piece_is_the_same_function_interfaces_included() -> None:
    for graph in (kinked(), saddles(), sum_graph()):
        for block in graph.blocks:
            z = np.concatenate(
                [block.tiling.domain.uniform(300, np.random.default_rng(2)), [np.full(len(block.reads), t) for t in (0.0, 1.0, 1.5, 2.0)]]
            )
            whole = one_piece(block)
            assert len(whole) == 1
            owner = block.tiling.owner(z)
            expected = np.stack([block.subtask(int(i), row[None])[0] for i, row in zip(owner, z, strict=True)])
            np.testing.assert_allclose(whole.subtask(0, z), expected, atol=1e-14)


def test_pinwheels_are_refused_in_words() -> None:
    boxes = [((0, 0), (2, 1)), ((2, 0), (3, 2)), ((1, 2), (3, 3)), ((0, 1), (1, 3)), ((1, 1), (2, 2))]
    tiling = Tiling(tuple(atlasmoe.BoxPiece(f"p{k}", Box(*box)) for k, box in enumerate(boxes)), ("a", "b"))
    with pytest.raises(InvalidArgument, match="not parted by straight cuts"):
        one_piece(Block.parse("f", ("a", "b"), tiling, "a*b"))


@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_baselines_have_as_many_numbers_as_the_mixture(activation: str) -> None:
    model = compile(
        library("circle", "sin(5*x1)*x2", embed={"dimension": 12, "seed": 0}), epsilon=0.02, theorem="affine", activation=activation
    )
    for equal, numbers in (("active", model.network.active_parameters), ("total", model.network.parameters)):
        dense = dense_baseline(model, equal)
        per_neuron = 12 + 1 + 1
        assert numbers - 2 * per_neuron < dense.network.parameters <= numbers
        assert dense.facts["baseline"]["numbers"] == numbers
        assert {group.activation.name for groups in dense.network.layers[0].experts[0].groups for group in groups} == {activation}
    behind = dense_baseline(model, "active", experts="encoder")
    assert behind.network.parameters <= model.network.active_parameters
    assert sum(behind.network.layers[0].experts[0].widths) > 1.5 * dense_baseline(model, "active").facts["m"]


def test_baselines_of_graphs_are_dense_block_by_block() -> None:
    model = compile(circles(), epsilon=0.05)
    dense = dense_baseline(model, "total")
    assert 0.97 * model.network.parameters < dense.network.parameters <= model.network.parameters
    assert all(layer.gate is None for layer in dense.network.layers)
    assert dense.ledger["total"].bound < 0.05


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"routing": "plateau"}, "chooses nothing; leave routing 'plateau' out"),
        ({"gate": "nonlinear", "top_k": 2}, "leave gate 'nonlinear', top_k 2 out"),
        ({"shared": True}, "leave shared True out"),
        ({"minimise": "active"}, "minimise chooses charts"),
        ({"experts": "encoder"}, "an encoder saves nothing"),
    ],
)
def test_what_one_net_has_no_use_for_is_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        compile(CASES["circle"][0](), epsilon=0.05, theorem="dense", **options)


def test_jumps_depths_widths_and_words_are_refused_by_name() -> None:
    with pytest.raises(InvalidArgument, match=r"jump by 1\.48 at x0 = 2, and one net"):
        compile(sum_graph(), epsilon=0.1, theorem="dense")
    with pytest.raises(InvalidArgument, match="leave depth '1' out"):
        compile(circles(), epsilon=0.1, theorem="dense", depth="1")
    with pytest.raises(EpsilonNotReached, match="a mixture of experts"):
        compile(CASES["balls"][0](), epsilon=1e-4, theorem="dense", max_width=8)
    model = compile(CASES["circle"][0](), epsilon=0.05, theorem="dense")
    with pytest.raises(InvalidArgument, match="'all' is not one of active, total"):
        dense_baseline(model, "all")
    with pytest.raises(InvalidArgument, match="raise max_width"):
        dense_baseline(compile(library("circle", "sin(4*x1 + x2)*cos(3*x2)"), epsilon=0.05), "total", max_width=8)


def test_the_command_line_compiles_and_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = tmp_path / "circle.toml"
    text = '[task]\nname = "c"\nkind = "manifold"\ntheorem = "dense"\n[manifold]\nbuiltin = "circle"\n[target]\nexpression = "x1*x2"\n'
    spec.write_text(text)

    def run(*words: object) -> dict[str, Any]:
        with pytest.raises(SystemExit) as end:
            main([*map(str, words), "--json"])
        assert end.value.code == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    dense = run("compile", spec, "--width", 24, "-o", tmp_path / "dense")
    assert (dense["facts"]["theorem"], dense["facts"]["m"]) == ("dense", 24)
    run("compile", spec, "--theorem", "auto", "--epsilon", "5%", "-o", tmp_path / "given")
    spec.write_text(text.replace('theorem = "dense"\n', ""))
    run("compile", spec, "--epsilon", "5%", "-o", tmp_path / "mixture")
    equal = run("baseline", tmp_path / "mixture", "--equal", "total", "-o", tmp_path / "equal")
    assert equal["facts"]["baseline"]["numbers"] == load(tmp_path / "mixture").network.parameters
