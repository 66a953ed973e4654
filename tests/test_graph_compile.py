"""Task graphs compiled: shared inputs, trees, blocks that read blocks, error budgets, ledgers, folders."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from atlasmoe import (
    Block,
    Box,
    Combine,
    EpsilonNotReached,
    Input,
    InvalidArgument,
    Known,
    TaskGraph,
    Tiling,
    builtin,
    compile,
    load,
    save,
    to_torch,
)
from atlasmoe.constructions.budgets import inexact, propagate, share_out, stages
from atlasmoe.constructions.ranges import jump, reachable
from atlasmoe.errors import MarginTooSmall


def unit(*nodes, output: str) -> TaskGraph:
    return TaskGraph("test", (Input("x", Box((0,), (1,))), *nodes), output)


def halves(name: str, reads: str, *pieces: str) -> Block:
    return Block.parse(name, (reads,), Tiling.intervals([0, 0.5, 1]), list(pieces))


def check(model, count: int = 4000) -> None:
    """Ψ is within ε of the oracle at fresh points, and the ledger holds with a leaf for every subtask."""
    graph = model.task
    x = graph.sample(count, 99).astype(model.network.dtype).astype(float)
    error = np.abs(model(x) - graph(x)).max(1)
    assert np.isfinite(error).all()
    assert error.max() <= model.facts["epsilon"]
    assert model.ledger.holds
    leaves = [c for c in model.ledger if c.name.startswith("block[") and c.name.split("].", 1)[-1].startswith("expert[")]
    assert len([c for c in leaves if c.name.count(".") == 1]) == graph.subtasks == model.facts["experts"]


@pytest.fixture(scope="module")
def overlapping() -> TaskGraph:
    """Two blocks that share the coordinate b, each with jumps; a product, and an affine part folded around it."""
    nodes = (
        Input("x", Box((0,) * 3, (1,) * 3), ("a", "b", "c")),
        Block.parse("u", ("a", "b"), Tiling.grid([[0, 0.5, 1], [0, 0.3, 1]]), ["a*b", "a+b", "a-b", "1"]),
        Block.parse("v", ("b", "c"), Tiling.grid([[0, 0.7, 1], [0, 1]]), ["sin(b)+c", "b**2*c"]),
        Combine.parse("w", ("u", "v"), "u - v/2"),
        Combine.parse("p", ("w", "v"), "w*v"),
        Combine.parse("f", ("p", "u"), ["2*p - u + 1", "p"]),
    )
    return TaskGraph("overlap", nodes, "f")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_overlapping_inputs(overlapping, dtype):
    model = compile(overlapping, epsilon=0.1, dtype=dtype, depth="L+1")
    check(model)
    assert len(model.network.layers) == 4  # scores, u, v, the product; w and f are folded
    assert model.ledger["routing"].bound == 0
    assert model.ledger["combine[p]"].known is Known.FORMULA


def test_binary_tree_of_depth_4():
    nodes: list = [Input("x", Box((-1,) * 16, (1,) * 16))]
    names = list(nodes[0].components)
    for level in range(4):
        pairs = list(zip(names[::2], names[1::2], strict=True))
        names = [f"n{level}_{k}" for k in range(len(pairs))]
        for k, (a, b) in enumerate(pairs):
            nodes.append(Block.parse(f"p{level}_{k}", (a,), Tiling.intervals([-1, 0, 1]), [f"-{a}/2", f"{a}/2"]))
            nodes.append(Combine.parse(names[k], (f"p{level}_{k}", b), f"p{level}_{k}*{b}/2 + {b}/4"))
    graph = TaskGraph("tree", tuple(nodes), names[0])
    model = compile(graph, epsilon=0.02, depth="L+1")
    check(model)
    assert model.facts["pieces"] == 2**15
    # A level is its blocks, one layer for their scores and one for all its products.
    assert len(model.network.layers) == 15 + 4 + 4


def test_blocks_that_agree_may_read_blocks():
    graph = unit(halves("u", "x", "2*x", "2-2*x"), halves("v", "u", "u**2", "u/2"), halves("w", "v", "v", "v**2+1/4"), output="w")
    for depth, layers in (("paper", 6), ("L", 3)):
        model = compile(graph, epsilon=0.02, depth=depth)
        check(model)
        assert len(model.network.layers) == layers
        assert "Lipschitz" in model.ledger["block[v].routing"].statement
        errors = propagate(graph, {"u": 1e-3, "v": 1e-3, "w": 1e-3}, {"u": np.eye(1), "v": 2 * np.eye(1), "w": 3 * np.eye(1)})
        assert errors["w"] == pytest.approx(1e-3 * (1 + 3 + 6))


def test_a_jump_far_from_all_values_is_accepted():
    graph = unit(halves("u", "x", "x/5", "4/5+x/5"), halves("v", "u", "exp(u)", "-u"), output="v")
    model = compile(graph, epsilon=2.0)
    check(model)
    claim = model.ledger["block[v].routing"]
    # u takes values in [0, 0.1] and [0.9, 1]: the margin at 0.5 is 0.4.
    assert claim.known is Known.PROVED
    assert claim.bound == pytest.approx(0.4, rel=1e-2)
    assert 0 < claim.budget < 0.4
    x = np.array([[0.5], [np.nextafter(0.5, 0)]])
    assert np.abs(model(x) - graph(x)).max() <= 2.0
    # The affine gate of v, which reads u, is off by rounding; that is far less than the margin.
    check(compile(graph, epsilon=0.1, depth="L", dtype="float32"))


def test_a_jump_among_the_values_is_refused():
    graph = unit(halves("u", "x", "x", "x**2"), halves("v", "u", "exp(u)", "-u"), output="v")
    with pytest.raises(
        MarginTooSmall, match=r"block \"v\": what it reads as 'u' errs by up to .* u = 0.5, where its pieces jump by 2\.1.* only 0"
    ) as miss:
        compile(graph, epsilon=0.01)
    assert miss.value.block == "v"
    assert miss.value.margin == 0
    assert miss.value.error > 0


def test_a_margin_smaller_than_the_error_of_a_given_width_is_refused():
    wave = "2/5 + 99/1000*sin(40*x)"  # within 0.001 of 1/2 at most
    graph = unit(halves("u", "x", wave, wave), halves("v", "u", "0*u", "1+0*u"), output="v")
    with pytest.raises(MarginTooSmall, match="allow a smaller epsilon") as miss:
        compile(graph, width=8)
    assert 0 < miss.value.margin < miss.value.error
    check(compile(graph, epsilon=0.5))  # where the budget is lowered until the margin is enough


def test_jumps_are_measured():
    block = halves("u", "x", "x", "1-x")
    assert jump(block, 0, 0.5) == 0
    assert jump(halves("u", "x", "x", "2-x"), 0, 0.5) == pytest.approx(1)
    grid = Block.parse("u", ("a", "b"), Tiling.grid([[0, 0.5, 1], [0, 1]]), ["a*b", "b/2"])
    assert jump(grid, 0, 0.5) == 0


def test_budgets_add_up(overlapping):
    reach = reachable(overlapping)
    assert reach["v"].least <= 0 <= 1 + math.sin(0.7) <= reach["v"].most + 1e-9
    assert inexact(overlapping) == {"u", "v", "w", "p", "f_1", "f_2"}
    made = share_out(overlapping, 0.1, reach)
    errors = propagate(overlapping, made.budgets, made.lipschitz)
    assert max(errors["f_1"], errors["f_2"]) <= 0.1 * 15 / 16 + 1e-12
    assert all(errors[name] <= made.errors[name] for name in ("u", "v", "w", "p"))
    # |∂p/∂w| = |v| and |∂p/∂v| = |w|, on ranges that are only a little wider.
    assert made.lipschitz["p"][0, 0] == pytest.approx(reach["v"].most, rel=0.05)
    assert [len(stage.steps) for stage in stages(overlapping)] == [2, 1]


def test_more_pieces_than_a_64_bit_counter():
    E, L = 4, 33
    nodes: list = [Input("x", Box((0,) * L, (E,) * L))]
    for l, name in enumerate(nodes[0].components):
        nodes.append(Block.parse(f"f{l}", (name,), Tiling.intervals(list(range(E + 1))), [f"{3 * i % E} + {name}/{E}" for i in range(E)]))
    blocks = tuple(node.name for node in nodes[1:])
    nodes.append(Combine.parse("f", blocks, " + ".join(blocks)))
    graph = TaskGraph("many", tuple(nodes), "f")
    model = compile(graph, epsilon=0.01)
    assert model.facts["pieces"] == 2**66 == json.loads(json.dumps(model.facts["pieces"]))
    assert sum(c.name.startswith("block[") and ".expert[" in c.name for c in model.ledger) == E * L
    # Every other layer is a single expert, stored once.
    assert sum(len(layer.experts) for layer in model.network.layers) == E * L + L
    routes = graph.draw_routes(500, 3)
    x, found = graph.sample_routes(routes, 4)
    assert found.all()
    trace = model.network.trace(x)
    for l, block in enumerate(graph.blocks):
        number = model.design[block.name].layer
        names = model.network.layers[number].names
        assert [names[k] for k in trace.routes[number]] == [block.names[i] for i in routes[:, l]]
    assert np.abs(trace.output - graph(x)).max() <= 0.01


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_folders_hold_graphs_bit_for_bit(overlapping, dtype, tmp_path):
    model = compile(overlapping, epsilon=0.2, dtype=dtype)
    again = load(save(model, tmp_path / "model"))
    x = overlapping.sample(500, 5)
    assert (again(x) == model(x)).all()
    assert again.facts == model.facts
    assert again.ledger == model.ledger
    assert again.task.pieces == overlapping.pieces
    assert (again.task(x) == overlapping(x)).all()
    card = (tmp_path / "model" / "README.md").read_text()
    assert "a task graph of 2 blocks and 3 combinations" in card
    assert "| pieces, ∏ E_l | 8 |" in card
    module = to_torch(model)(torch.tensor(x)).detach().numpy()
    assert np.abs(module - model(x)).max() <= 64 * np.finfo(dtype).eps


def test_models_refuse_wrong_routes(overlapping):
    model = compile(overlapping, epsilon=0.2)
    wrong = tuple(replace(site, layer=1) if site.block == "v" else site for site in model.design.sites)
    with pytest.raises(InvalidArgument, match="layer 2 has 4 gate outputs, of which u has 4 from number 1, v has 2 from number 1"):
        replace(model, design=replace(model.design, sites=wrong))


def test_widths_instead_of_epsilon():
    graph = unit(halves("u", "x", "sin(5*x)", "x"), halves("v", "x", "x**2", "x**3"), Combine.parse("f", ("u", "v"), "u*v"), output="f")
    narrow, wide = compile(graph, width=16), compile(graph, width=64)
    check(narrow)
    check(wide)
    assert narrow.facts["m"] <= 16
    assert wide.facts["m"] <= 64
    assert wide.facts["epsilon"] < narrow.facts["epsilon"] / 8


def test_functions_without_profiles_are_fitted():
    graph = TaskGraph(
        "fit",
        (
            Input("x", Box((0, 0), (1, 1)), ("a", "b")),
            Block.parse("u", ("a", "b"), Tiling.grid([[0, 0.5, 1], [0, 1]]), ["sin(a*b)", "cos(a*b)"]),
            Combine.parse("f", ("u",), "exp(u)"),
        ),
        "f",
    )
    model = compile(graph, epsilon=0.05)
    check(model)
    assert model.ledger["block[u]"].known is Known.SAMPLED
    assert model.ledger["propagation"].known is Known.SAMPLED
    assert model.ledger["combine[f]"].known is Known.FORMULA


def test_what_is_out_of_reach_is_named():
    graph = unit(halves("u", "x", "x", "sin(500*x)"), output="u")
    with pytest.raises(EpsilonNotReached, match=r"block\[u\]\.expert\[piece2\].*at width 64"):
        compile(graph, epsilon=1e-6, max_width=64)


def test_float32_refuses_what_it_cannot_hold():
    graph = unit(halves("u", "x", "1000+x", "1000-x"), output="u")
    with pytest.raises(EpsilonNotReached, match="rounding"):
        compile(graph, epsilon=1e-5, dtype="float32")
    assert compile(graph, epsilon=1e-5).ledger.holds


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": "3"}, "depth '3' is not one of paper, L\\+1, L"),
        ({"theorem": "4.7"}, "theorem '4.7' is not one of auto, 4.8, 4.9, affine, 5.2, 5.3"),
        ({"theorem": "4.8"}, 'block "u" is given on pieces, which is Theorem 5.3; use theorem "auto"'),
        ({"routing": "plateau"}, 'block "u" is given on pieces, whose faces route by themselves'),
        ({"routing": {"v": "plateau"}}, "routing: there is no block 'v'; the blocks are u"),
        ({"form": "square"}, "form 'square' is not one of paper, dense, residual"),
        ({"minimise": "active"}, "has no block on charts that could be planned"),
    ],
)
def test_arguments_that_do_not_fit(arguments, message):
    with pytest.raises(InvalidArgument, match=message):
        compile(unit(halves("u", "x", "x", "1-x"), output="u"), epsilon=0.1, **arguments)


def test_depth_l_needs_balls():
    from atlasmoe import ExpressionTarget, ManifoldTask
    from atlasmoe.atlas.graph import expression_map

    circle = builtin("circle")
    task = ManifoldTask("t", circle, ExpressionTarget(expression_map(circle.coordinates, "x1*x2")))
    with pytest.raises(InvalidArgument, match=r'task "t": the charts are no balls.*use theorem "affine".* or depth "L\+1"'):
        compile(task, epsilon=0.1, depth="L")


def test_no_lipschitz_constant_no_budget():
    graph = unit(halves("u", "x", "x", "1-x"), Combine.parse("f", ("u",), "sqrt(u)"), output="f")
    with pytest.raises(InvalidArgument, match=r'combine "f": its .* cannot be bounded'):
        compile(graph, epsilon=0.1)


def test_a_combination_of_a_block_without_pieces():
    graph = unit(Block.parse("u", ("x",), Tiling.intervals([0, 1]), ["x**2"]), Combine.parse("f", ("u", "x"), "u*x"), output="f")
    model = compile(graph, epsilon=0.01)
    check(model)
    assert len(model.network.layers) == 2  # one piece needs no scores
