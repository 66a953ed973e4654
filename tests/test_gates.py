"""`gate` and `form = "dense"`: what they build, what they save to the number, what is proved of them, and what is refused."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
import pytest
import torch
from atlasmoe import Box, builtin, compile, load, load_task, to_torch, verify
from atlasmoe.atlas import Block, Combine, Input, ManifoldTask, TaskGraph, Tiling
from atlasmoe.errors import InvalidArgument
from atlasmoe.moe import Known, Model
from atlasmoe.verify.check import check
from certificates import certified
from planned_tasks import library

EXAMPLES = Path(atlasmoe.__file__).parent / "examples"


def sum_graph(jumps: bool = True) -> TaskGraph:
    """Three blocks on pieces."""
    inputs = [Input(f"x{k}", Box((0.0,), (3.0,))) for k in range(3)]
    pieces = [f"sin({i + 1}*x{{}}) + {i}" if jumps else f"{i + 1}*abs(x{{}} - {i})" for i in range(3)]
    tiling = Tiling.intervals(range(4))
    parts = [Block.parse(f"b{k}", (f"x{k}",), tiling, [piece.format(k) for piece in pieces]) for k in range(3)]
    return TaskGraph("sum", (*inputs, *parts, Combine.parse("f", [part.name for part in parts], "b0 + 2*b1 + 3*b2 - 2")), "f")


def circles() -> TaskGraph:
    """Two blocks on charts that no affine gate routes between, and a combination that is no affine map."""
    arcs = builtin("circle", charts=3)
    inputs = [Input("c", arcs), Input("d", arcs)]
    first = Block.parse("a", inputs[0].coordinates, arcs, "c_1*c_2")
    second = Block.parse("b", inputs[1].coordinates, arcs, "d_1 + d_2**2")
    return TaskGraph("circles", (*inputs, first, second, Combine.parse("f", ("a", "b"), "a*b")), "f")


TASKS = {
    "sphere": lambda: load_task(EXAMPLES / "sphere.toml"),
    "swiss roll": lambda: load_task(EXAMPLES / "swiss_roll_R100.toml"),
    "sum": sum_graph,
    "circles": circles,
}
EPSILON = {"sphere": 0.2, "swiss roll": 2.0, "sum": 0.05, "circles": 0.2}
OPTIONS: dict[str, dict[str, Any]] = {
    "linear": {},
    "nonlinear": {"gate": "nonlinear"},
    "dense": {"form": "dense"},
    "residual": {"form": "residual", "gate": "nonlinear"},
}


@functools.lru_cache
def made(task: str, kind: str) -> Model:
    options = dict(OPTIONS[kind])
    if task == "swiss roll":
        # Its charts are balls, between which scores are asked for.
        options |= {"routing": "plateau"}
    return compile(TASKS[task](), epsilon=EPSILON[task], **options)


CASES = [
    ("sphere", "nonlinear"),
    ("sum", "nonlinear"),
    ("circles", "nonlinear"),
    ("sphere", "dense"),
    ("sum", "dense"),
    ("sum", "residual"),
]


@pytest.mark.parametrize(("task", "kind"), CASES)
def test_goes_through_the_house(task: str, kind: str, tmp_path: Path) -> None:
    model = made(task, kind)
    assert model.ledger.holds
    assert verify(model, samples=20_000).holds
    folder = certified(model, tmp_path / "model")
    assert check(folder).verdict == "confirmed"
    again = load(folder)
    x = model.task.atlas.sample(256, 3).ambient if isinstance(model.task, ManifoldTask) else model.task.sample(256, 3)
    y = model(x)
    assert np.array_equal(again(x), y)
    np.testing.assert_allclose(to_torch(model)(torch.from_numpy(x)).detach().numpy(), y, rtol=0, atol=1e-11)
    assert all(block.right for block in model.explain(x[0]).blocks)
    if kind in ("nonlinear", "residual"):
        assert again.facts["variants"] == {block: {"gate": "nonlinear"} for block in again.facts["variants"]}


@pytest.mark.parametrize(("task", "layers"), [("sphere", 1), ("swiss roll", 1), ("sum", 3), ("circles", 3)])
def test_scores_for_a_gate_need_no_layer_and_change_no_bit(task: str, layers: int) -> None:
    """Routes and values are those of the mixture with a layer of scores (N1)."""
    nonlinear, linear = made(task, "nonlinear"), made(task, "linear")
    assert len(nonlinear.network.layers) == layers < len(linear.network.layers)
    x = linear.task.atlas.sample(512, 1).ambient if isinstance(linear.task, ManifoldTask) else linear.task.sample(512, 1)
    np.testing.assert_allclose(nonlinear(x), linear(x), rtol=0, atol=1e-11)
    names = {claim.name for claim in nonlinear.ledger}
    assert ("passthrough" in names) == (layers > 1)
    assert {name for name in names if "routing" in name} == {claim.name for claim in linear.ledger if "routing" in claim.name}


@pytest.mark.parametrize("task", ["sphere", "swiss roll"])
def test_a_nonlinear_gate_saves_what_its_formula_says(task: str) -> None:
    """N1: 4D² + 3D + D·m + 4DE + E² + 2E numbers, and the ledger has both counts."""
    nonlinear, linear = made(task, "nonlinear"), made(task, "linear")
    gate = nonlinear.network.layers[-1].gate
    D, E, (m,) = len(nonlinear.network.inputs), len(nonlinear.network.layers[-1]), gate.widths
    claim = nonlinear.ledger["gate.numbers"]
    assert (claim.bound, claim.budget) == (nonlinear.network.parameters, linear.network.parameters)
    assert claim.budget - claim.bound == 4 * D**2 + 3 * D + D * m + 4 * D * E + E**2 + 2 * E


@pytest.mark.parametrize("task", ["sum", "circles"])
def test_blocks_of_graphs_count_what_they_save(task: str) -> None:
    nonlinear, linear = made(task, "nonlinear"), made(task, "linear")
    claims = [claim for claim in nonlinear.ledger if claim.name.endswith("gate.numbers")]
    assert len(claims) == len(nonlinear.design.sites)
    assert sum(claim.budget - claim.bound for claim in claims) == linear.network.parameters - nonlinear.network.parameters


@pytest.mark.parametrize("task", ["sphere", "sum", "circles"])
def test_dense_layers_save_gates_and_equal_experts(task: str) -> None:
    """N3: (E − 1)·#net + E(D + 1) for each of them against the mixture as printed, which stores its equal experts."""
    dense, paper = made(task, "dense"), made(task, "linear")
    saved = 0
    for layer, twin, state in zip(dense.network.layers, paper.network.layers, paper.design.states, strict=False):
        assert layer.experts[0].parameters == twin.experts[0].parameters
        if layer.gate is None:
            saved += (len(twin) - 1) * layer.experts[0].parameters + len(twin) * (len(state) + 1)
        assert (layer.gate is None) == (len(twin.experts) == 1)
    claim = dense.ledger["dense.numbers"]
    assert claim.known is Known.EXACT
    assert claim.budget - claim.bound == saved > 0
    assert dense.network.parameters < paper.network.parameters
    x = paper.task.atlas.sample(256, 1).ambient if isinstance(paper.task, ManifoldTask) else paper.task.sample(256, 1)
    assert np.array_equal(dense(x), paper(x))


def test_depth_l_takes_charts_of_any_kind_with_a_nonlinear_gate() -> None:
    with pytest.raises(InvalidArgument, match='gate "nonlinear", which takes charts of any kind'):
        compile(circles(), epsilon=0.2, depth="L")
    model = compile(circles(), epsilon=0.2, depth="L", gate="nonlinear")
    assert len(model.network.layers) == 3


def test_pieces_that_jump_are_exact_behind_a_nonlinear_gate() -> None:
    """Affine gates of more than three jumping pieces are refused; faces as a gate are exact (B10)."""
    tiling = Tiling.intervals(np.arange(6) / 10)
    block = Block.parse("b", ("x",), tiling, [f"{(-1) ** i * (i + 1)}" for i in range(5)])
    graph = TaskGraph("steps", (Input("x", Box((0.0,), (0.5,))), block), "b")
    with pytest.raises(InvalidArgument, match="jump"):
        compile(graph, epsilon=0.01, depth="L")
    model = compile(graph, epsilon=0.01, depth="L", gate="nonlinear")
    near = np.array([0.1, 0.2, 0.3, 0.4])
    x = np.concatenate([near, np.nextafter(near, 1), np.nextafter(near, 0)])[:, None]
    np.testing.assert_allclose(model(x), graph.evaluate(x), atol=0.01)


def test_a_tree_is_claimed_saved_and_used(tmp_path: Path) -> None:
    sphere = load_task(EXAMPLES / "sphere.toml")
    task = ManifoldTask(sphere.name, atlasmoe.ball_atlas(sphere.atlas, charts=300), sphere.target)
    model = compile(task, epsilon=0.5, gate="tree")
    claim = model.ledger["routing.tree"]
    assert claim.holds
    assert claim.known is Known.PROVED
    assert claim.bound > 0
    atlasmoe.save(model, tmp_path)
    again = load(tmp_path)
    assert again.gates == model.gates == "tree"
    assert again.network.layers[0].tree is not None
    x = task.atlas.sample(2048, 5).ambient
    assert np.array_equal(again(x), model(x, gates="flat"))
    treed, plain = to_torch(again), to_torch(again, gates="flat")
    assert treed.stack[0].tree is not None
    assert plain.stack[0].tree is None
    assert torch.equal(treed.stack[0].route(torch.from_numpy(x))[0], plain.stack[0].route(torch.from_numpy(x))[0])


@pytest.mark.parametrize(
    ("task", "options", "why"),
    [
        ("sphere", {"gate": "nonlinear", "theorem": "affine"}, "needs no hidden layer"),
        ("sphere", {"gate": "tree", "theorem": "4.8"}, "compares scores"),
        ("sphere", {"gate": "tree", "routing": "plateau"}, "compares scores"),
        ("sphere", {"gate": "tree"}, 'use theorem "affine"'),
        ("sphere", {"gate": "tree", "theorem": "affine", "top_k": 2}, "picks one expert"),
        ("sum", {"gate": "tree"}, "is given on pieces"),
        ("sum", {"gate": "nonlinear", "depth": "1"}, "the one gate that picks an expert of each"),
        ("sphere", {"gate": "curved"}, "is not one of linear, nonlinear, tree"),
    ],
)
def test_what_makes_no_sense_is_refused(task: str, options: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        compile(TASKS[task](), epsilon=1.0, **options)


HINGE, COPIED = {"routing": "hinge", "top_k": 2}, {"routing": "duplicates", "top_k": 2}


@pytest.mark.parametrize(
    ("manifold", "options", "copies"),
    [
        ("interval", {"routing": "hinge"}, 1),
        ("interval", HINGE, 2),
        ("circle", HINGE, 2),
        ("interval", {"top_k": 2}, 2),
        ("interval", COPIED, 2),
    ],
    ids=str,
)
def test_nonlinear_gates_of_half_spaces_and_of_several_experts(manifold: str, options: dict[str, Any], copies: int, tmp_path: Path) -> None:
    """The faces of half-spaces (B14) are a gate by themselves, one neuron a face; K rows a chart count what they are (B21)."""
    model = compile(library(manifold, "x1**2 + x1", charts=4), epsilon=0.2, gate="nonlinear", **options)
    (layer,) = model.network.layers
    assert (layer.top_k, len(layer.gate.groups)) == (copies, 1)
    hinge = options.get("routing") == "hinge"
    assert (model.facts["routing"] == "hinge") == hinge
    assert any("hinge scores (B14)" in group.origin for group in layer.gate.groups[0]) == hinge
    claim = model.ledger["gate.numbers"]
    assert claim.bound == model.network.parameters
    assert claim.holds
    assert verify(model, samples=2000).holds
    assert check(certified(model, tmp_path / "model")).verdict == "confirmed"


def test_a_nonlinear_gate_with_copies_may_store_more() -> None:
    """K rows of m + 1 numbers a chart in the place of rows of what arrives: said, not claimed to be fewer."""
    task = library("circle", "sin(2*x1)*x2", charts=8, atlas="ball")
    claim = compile(task, epsilon=0.1, gate="nonlinear", top_k=2).ledger["gate.numbers"]
    assert claim.statement.endswith("fewer")
    assert claim.bound == claim.budget


def test_half_spaces_in_two_levels_or_as_nearest_centres_are_refused() -> None:
    task = library("interval", "x1", charts=4)
    with pytest.raises(InvalidArgument, match="routing 'hinge' compares scores"):
        compile(task, epsilon=0.2, routing="hinge", gate="tree")
    with pytest.raises(InvalidArgument, match="routing 'hinge' belongs to theorems 4"):
        compile(task, epsilon=0.2, routing="hinge", theorem="affine")
