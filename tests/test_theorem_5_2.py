"""Theorem 5.2: blocks on atlases, mixed manifolds, embedded inputs, routers with and without scores."""

from __future__ import annotations

import numpy as np
import pytest
from atlasmoe import (
    Block,
    Box,
    Combine,
    EpsilonNotReached,
    Input,
    InvalidArgument,
    Model,
    TaskGraph,
    Tiling,
    ball_atlas,
    builtin,
    compile,
    embed,
    load,
    save,
    verify,
)

EPSILON = 0.3


@pytest.fixture(scope="module")
def mixed() -> TaskGraph:
    """circle × sphere × interval, the block on the interval with a jump."""
    circle, sphere = builtin("circle"), builtin("sphere")
    nodes = (
        Input("c", circle),
        Input("s", sphere),
        Input("t", Box((0,), (1,))),
        Block.parse("u", ("c_1", "c_2"), circle, "c_1*c_2"),
        Block.parse("v", ("s_1", "s_2", "s_3"), sphere, "s_1*s_2 + s_3"),
        Block.parse("w", ("t",), Tiling.intervals([0, 0.3, 1]), ["t**2", "2 - t"]),
        Combine.parse("f", ("u", "v", "w"), "u + 2*v - w"),
    )
    return TaskGraph("mixed", nodes, "f")


@pytest.fixture(scope="module")
def model(mixed) -> Model:
    return compile(mixed, epsilon=EPSILON)


def test_mixed_manifolds(mixed, model):
    x = mixed.sample(4000, 7)
    assert np.abs(model(x) - mixed(x)).max() <= EPSILON
    assert model.ledger.holds
    assert model.facts["theorem"] == "5.2 and 5.3"
    assert model.facts["pieces"] == len(builtin("circle")) * len(builtin("sphere")) * 2
    assert len(model.network.layers) == 2 * 3


def test_every_block_is_routed_where_the_design_says(mixed, model):
    x = mixed.sample(4000, 8)
    trace, truth = model.network.trace(x), mixed.trace(x)
    rows = np.arange(len(x))
    for block in mixed.blocks:
        layer = model.design[block.name].layer
        names = model.network.layers[layer].names
        chosen = np.array([block.names.index(name) for name in names])[trace.routes[layer]]
        assert truth.valid[block.name][rows, chosen].all()
        # The gate compares the scores that an earlier layer wrote, and nothing else.
        written = model.network.layers[model.design[block.name].scores].channels
        gate = model.network.layers[layer].gate
        assert not gate.bias.any()
        for row, name in zip(gate.weight, names, strict=True):
            assert {written[k]: row[k] for k in np.flatnonzero(row)} == {f"tau[{block.name}][{name}]": 1.0}


def test_partial_outputs_stand_in_their_slots(mixed, model):
    x = mixed.sample(2000, 9)
    trace, truth = model.network.trace(x), mixed.trace(x)
    for block in mixed.blocks[:-1]:  # the last one is folded into the read-out
        layer = model.design[block.name].layer
        (component,) = block.components
        column = model.network.layers[layer].channels.index(f"y[{component}]")
        assert np.abs(trace.states[layer][:, column] - truth.values[block.name]).max() <= model.ledger[f"block[{block.name}]"].budget
    # R2: y of the first block passes the layers of all others unchanged.
    states = [trace.states[k][:, la.channels.index("y[u]")] for k, la in enumerate(model.network.layers) if "y[u]" in la.channels]
    assert len(states) == 4
    assert all((state == states[0]).all() for state in states)


def test_blocks_carry_the_claims_of_theorem_4_8(model):
    assert model.ledger["block[u].routing.tau"].budget == 1 / (4 * 4)
    assert model.ledger["block[v].routing.valid"].bound > 0
    assert model.ledger["block[u].expert[arc0].chart"].holds
    assert model.ledger["block[w].routing"].source == "Theorem 5.3, R3, B10"


def test_folder(mixed, model, tmp_path):
    again = load(save(model, tmp_path / "model"))
    x = mixed.sample(300, 3)
    assert (again(x) == model(x)).all()
    assert (again.task(x) == mixed(x)).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_affine_routers_on_an_embedded_input(dtype):
    """Depth L: the gate reads x itself, 16-dimensional; and one more layer for the product."""
    circle = builtin("circle")
    nodes = (
        Input("c", embed(circle, 16), ("a", "b")),
        Block.parse("u", ("a", "b"), ball_atlas(circle, charts=8), "a*b"),
        Block.parse("w", ("a",), Tiling.intervals([-1, 0, 1]), ["a**2", "2*a**2"]),
        Combine.parse("f", ("u", "w"), "u*w"),
    )
    graph = TaskGraph("balls", nodes, "f")
    model = compile(graph, epsilon=0.1, depth="L", dtype=dtype)
    assert len(model.network.layers) == 3
    assert model.facts["routers"] == {"u": "affine", "w": "affine"}
    assert all(site.scores is None for site in model.design.sites)
    x = graph.sample(3000, 1)
    assert np.abs(model(x) - graph(x)).max() <= 0.1
    assert model.ledger.holds
    # The score error is that of a gate on R^16.
    assert model.ledger["block[u].routing.eta"].bound > (16 + 1) * np.finfo(dtype).eps / 2


def test_charts_that_are_no_balls_need_scores(mixed):
    with pytest.raises(InvalidArgument, match=r'block "u": the charts are no balls, between which no affine gate routes'):
        compile(mixed, epsilon=EPSILON, depth="L")


def test_charts_take_computed_values_that_stay_in_their_collar():
    """(cos kt, sin kt) is computed, and read as a point of the circle (B9); too far off it is refused, with what is missing."""
    circle = builtin("circle")

    def turning(k):
        turn = Block.parse("p", ("t",), Tiling.intervals([0, 1]), [[f"cos({k}*t)", f"sin({k}*t)"]], ("a", "b"))
        return TaskGraph("computed", (Input("t", Box((0,), (1,))), turn, Block.parse("u", ("a", "b"), circle, "a*b")), "u")

    for choice in ({"epsilon": 0.05}, {"width": 32}, {"epsilon": 0.05, "theorem": {"u": "affine"}}):
        model = compile(turning(6), **choice)
        collar = model.ledger["block[u].collar"]
        assert 0 < collar.bound <= collar.budget
        assert model.ledger.holds
        assert verify(model, samples=2000).holds
    with pytest.raises(InvalidArgument, match=r'block "u" is given on charts and reads .* leave the collar .* has to be .* more exact'):
        compile(turning(20), width=8)


def test_theorem_5_3_needs_pieces(mixed):
    with pytest.raises(InvalidArgument, match=r'block "u" is given on charts, which is Theorem 5\.2'):
        compile(mixed, epsilon=EPSILON, theorem="5.3")


def test_what_is_out_of_reach_is_named():
    circle = builtin("circle")
    graph = TaskGraph("fast", (Input("c", circle, ("a", "b")), Block.parse("u", ("a", "b"), circle, "sin(200*a)")), "u")
    with pytest.raises(EpsilonNotReached, match=r"^block\[u\]\.expert\[arc0\]"):
        compile(graph, epsilon=1e-4, max_width=64)
