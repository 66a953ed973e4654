"""`depth = "shared"` (N7): how many layers, who writes whose scores, that nothing else changes, what is proved, and what is refused."""

from __future__ import annotations

import functools
import itertools
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from atlasmoe import (
    Block,
    Box,
    Combine,
    Input,
    InvalidArgument,
    Model,
    TaskGraph,
    Tiling,
    builtin,
    certify,
    compile,
    embed,
    load,
    save,
    to_torch,
    verify,
)
from atlasmoe.constructions.forms import Form
from atlasmoe.constructions.relay import in_turn
from atlasmoe.moe import Affine, Known
from atlasmoe.moe.channels import Score, Value
from atlasmoe.verify.check import check
from certificates import BOXES, CERTIFICATE, bind, certified

HALVES = Tiling.intervals([-1, 1, 3])


def bent(name: str, read: str, level: int = 0) -> Block:
    """A block on two pieces whose values are in [0, 2] where what it reads is."""
    return Block.parse(name, (read,), HALVES, [f"{read}**2/2 + {level}", f"{read} - 1/2 + {level}"])


def intervals(*names: str) -> list[Input]:
    return [Input(name, Box((0.0,), (2.0,))) for name in names]


def sums(L: int, E: int = 3) -> TaskGraph:
    """L blocks on E pieces that jump."""
    inputs = [Input(f"x{k}", Box((0.0,), (float(E),))) for k in range(L)]
    tiling = Tiling.intervals(range(E + 1))
    blocks = [Block.parse(f"b{k}", (f"x{k}",), tiling, [f"sin({i + 1}*x{k}) + {i}" for i in range(E)]) for k in range(L)]
    total = " + ".join(f"{k + 1}*b{k}" for k in range(L))
    return TaskGraph("sums", (*inputs, *blocks, Combine.parse("f", [block.name for block in blocks], total)), "f")


def circles() -> TaskGraph:
    """Two blocks on circles in charts, one of them embedded, and a combination that is no affine map."""
    arcs = builtin("circle", charts=3)
    inputs = [Input("c", embed(arcs, 4, seed=1), ("a", "b")), Input("d", arcs)]
    first = Block.parse("u", ("a", "b"), arcs, "a + b/2")
    second = Block.parse("v", inputs[1].coordinates, arcs, "d_1 - d_2")
    return TaskGraph("circles", (*inputs, first, second, Combine.parse("f", ("u", "v"), "u*v")), "f")


def filled() -> TaskGraph:
    """v reads u, w reads neither."""
    nodes = (*intervals("x", "y"), bent("u", "x"), bent("v", "u"), bent("w", "y"))
    return TaskGraph("filled", (*nodes, Combine.parse("f", ("v", "w"), "v + w")), "f")


def chain(blocks: int, fillers: int) -> TaskGraph:
    """A chain of blocks, and blocks beside it."""
    names = [f"u{k}" for k in range(blocks)]
    links = [bent(name, read) for name, read in zip(names, ["x", *names], strict=False)]
    beside = [bent(f"w{k}", "y") for k in range(fillers)]
    read = [names[-1], *(block.name for block in beside)]
    return TaskGraph("chain", (*intervals("x", "y"), *links, *beside, Combine.parse("f", read, " + ".join(read))), "f")


TASKS = {"sums": lambda: sums(4), "circles": circles, "filled": filled}
EPSILON = {"sums": 0.1, "circles": 1.0, "filled": 0.2}


@functools.lru_cache
def made(task: str, depth: str = "shared", form: str = "residual", **options: Any) -> Model:
    return compile(TASKS[task](), epsilon=EPSILON[task], depth=depth, form=form, **options)


def scores_in(model: Model) -> list[int]:
    return [sum(isinstance(channel, Score) for channel in state) for state in model.design.states]


@pytest.mark.parametrize(
    ("task", "layers", "paper", "ahead"), [("sums", 5, 8, 5), ("circles", 4, 5, 4), ("filled", 4, 6, 5)], ids=["sums", "circles", "filled"]
)
def test_blocks_take_one_layer_each_and_one_more(task: str, layers: int, paper: int, ahead: int) -> None:
    model = made(task)
    blocks, joins = len(model.design.sites), len(model.design.joins)
    assert len(model.network.layers) == blocks + joins + 1 == layers
    claim = model.ledger["scores.layers"]
    assert (claim.bound, claim.budget, claim.known) == (layers, paper, Known.EXACT)
    assert f"{layers} layers, {model.network.parameters:,} numbers" in claim.statement
    others = {"paper": paper, "L+1": ahead} if task != "circles" else {}
    for depth, count in others.items():
        other = made(task, depth)
        assert len(other.network.layers) == count
        assert f"{count} layers, {other.network.parameters:,} numbers" in claim.statement


@pytest.mark.parametrize(("task", "form"), [("sums", "paper"), ("sums", "residual"), ("filled", "dense"), ("filled", "residual")])
def test_routes_and_values_are_those_of_theorem_5_2(task: str, form: str) -> None:
    model, plain = made(task, form=form), made(task, "paper", form=form)
    x = model.task.sample(512, 1)
    mine, theirs = model.network.trace(x), plain.network.trace(x)
    for site in model.design.sites:
        assert np.array_equal(mine.chosen[site.layer], theirs.chosen[plain.design[site.block].layer])
    np.testing.assert_allclose(mine.output, theirs.output, rtol=0, atol=1e-13)


@pytest.mark.parametrize("task", ["sums", "filled"])
def test_tau_is_stored_once_and_the_scores_of_one_block_pass_a_layer(task: str) -> None:
    model, plain = made(task), made(task, "paper")

    def neurons(one: Model) -> list[tuple[str, int]]:
        nets = [net for layer in one.network.layers for net in (*layer.experts, *([layer.shared] if layer.shared else []))]
        groups = [group for net in nets for hidden in net.groups for group in hidden]
        return sorted((group.origin, group.count) for group in groups if "score" in group.origin.lower() or "face" in group.origin.lower())

    assert neurons(model) == neurons(plain)
    assert max(scores_in(model)) == max(len(site.pieces) for site in model.design.sites)
    if task == "sums":
        assert max(scores_in(made(task, "L+1"))) == 4 * 3
    for site in model.design.sites:
        assert site.scores == site.layer - 1
        host = model.network.layers[site.scores]
        columns = [host.channels.index(model.design.label(score)) for score in model.design.scores(site)]
        rows = [host.targets.tolist().index(column) for column in columns]
        if any(other.layer == site.scores for other in model.design.sites):
            assert host.shared.affines[-1].weight[rows].any(1).all()
            assert not any(net.affines[-1].weight[rows].any() or net.affines[-1].bias[rows].any() for net in host.experts)


@pytest.mark.parametrize(("task", "form"), [("sums", "paper"), ("circles", "residual"), ("filled", "dense")])
def test_goes_through_the_house(task: str, form: str, tmp_path: Path) -> None:
    model = made(task, form=form)
    assert model.ledger.holds
    assert verify(model, samples=2000).holds
    folder = certified(model, tmp_path / "model")
    assert check(folder).verdict == "confirmed"
    again, x = load(folder), model.task.sample(256, 3)
    assert np.array_equal(again(x), model(x))
    np.testing.assert_allclose(to_torch(model)(torch.from_numpy(x)).detach().numpy(), model(x), rtol=0, atol=1e-11)
    found = model.explain(x[0])
    assert all(block.right for block in found.blocks)
    handed = model.facts["scores"]["shared"]
    said = [step.does for step in found.layers if step.shared]
    assert all(
        any(f"appends the scores of {block}" in text and f"routes {host}" in text for text in said) for block, host in handed.items()
    )


def test_what_else_experts_write_into_scores_is_not_overlooked(tmp_path: Path) -> None:
    """Whoever trusted the shared expert alone would call these networks proved, or confirm them by the right one's certificate."""
    model = made("sums")
    folder = certified(model, tmp_path / "right")
    site = model.design["b2"]
    host = model.network.layers[site.scores]
    row = host.targets.tolist().index(host.channels.index(model.design.label(model.design.scores(site)[0])))

    def spoilt(net, by: float):
        last = net.affines[-1]
        bias = last.bias.copy()
        bias[row] += by
        return net.with_maps((*net.affines[:-1], Affine(last.weight, bias)))

    for number, change in enumerate(
        (
            replace(host, experts=(spoilt(host.experts[0], 1e3), *host.experts[1:])),
            replace(host, experts=tuple(spoilt(net, 1e3) for net in host.experts)),
            replace(host, shared=spoilt(host.shared, 1e3)),
        )
    ):
        layers = list(model.network.layers)
        layers[site.scores] = change
        wrong = replace(model, network=replace(model.network, layers=tuple(layers)))
        assert not verify(wrong, samples=2000).holds
        assert certify(wrong, tightness=None).status != "proved"
        forged = save(wrong, tmp_path / f"wrong{number}")
        (forged / BOXES).write_bytes((folder / BOXES).read_bytes())
        data = json.loads((folder / CERTIFICATE).read_text())
        bind(forged, data)
        (forged / CERTIFICATE).write_text(json.dumps(data))
        assert check(forged).verdict in ("rejected", "undecided")


def test_chains_have_layers_of_scores_of_their_own() -> None:
    """Only where nothing else can go between; the facts say which and why."""
    model = compile(chain(3, 1), epsilon=0.3, depth="shared", form="residual")
    assert len(model.network.layers) == 4 + 2
    assert model.facts["scores"] == {
        "shared": {"w0": "u0", "u1": "w0"},
        "layers": {"u0": "no layer is before it", "u2": "it reads u1, which the layer before it computes"},
    }
    assert len(compile(chain(3, 1), epsilon=0.3, form="residual").network.layers) == 8
    assert len(compile(chain(2, 1), epsilon=0.3, depth="shared", form="residual").network.layers) == 4


@pytest.mark.parametrize(
    ("graph", "options", "words"),
    [
        (chain(3, 0), {}, "u0 → u1 → u2 is a chain"),
        (sums(2), {"gate": "nonlinear"}, "no block has any"),
        (sums(1), {}, "only one block"),
    ],
    ids=["chain", "no scores", "one block"],
)
def test_refused_where_there_is_nothing_to_hand_on(graph: TaskGraph, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        compile(graph, epsilon=0.3, depth="shared", **options)


def test_blocks_without_scores_go_first() -> None:
    """A gate that knows by itself needs no layer before it, and hands on the scores of the next: L layers."""
    model = compile(sums(3), epsilon=0.2, depth="shared", gate={"b1": "nonlinear"})
    assert len(model.network.layers) == 3
    assert model.facts["scores"] == {"shared": {"b0": "b1", "b2": "b0"}, "layers": {}}


@pytest.mark.parametrize("options", [{"top_k": 2, "routing": "duplicates"}, {"shared": True}], ids=str)
def test_goes_with_other_variants(options: dict[str, Any]) -> None:
    """Copies of experts (B21); and a block whose own shared expert is one net with the scores of the next."""
    graph = sums(2, 2)
    if "shared" in options:
        blocks = [Block.parse(f"b{k}", (n,), HALVES, [f"sin(3*{n})", f"sin(3*{n}) + {n}/4"]) for k, n in enumerate("xy")]
        graph = TaskGraph("alike", (*intervals("x", "y"), *blocks, Combine.parse("f", ("b0", "b1"), "b0 - b1")), "f")
    model = compile(graph, epsilon=0.3, depth="shared", form="residual", **options)
    plain = compile(graph, epsilon=0.3, form="residual", **options)
    assert len(model.network.layers) == len(plain.network.layers) - 1
    x = graph.sample(512, 1)
    np.testing.assert_allclose(model(x), plain(x), rtol=0, atol=1e-13)
    assert certify(model, tightness=None).status == "proved"


def layers_of(order: tuple[int, ...], reads: list[set[int]]) -> int:
    return len(order) + 1 + sum(a in reads[b] for a, b in itertools.pairwise(order))


@pytest.mark.parametrize("seed", range(24))
def test_no_other_order_takes_fewer_layers(seed: int) -> None:
    """Against all orders of six blocks at random, which read what some of those before compute."""
    rng = np.random.default_rng(seed)
    count = 6
    reads = [{i for i in range(k) if rng.random() < 0.45} for k in range(count)]
    names = [f"u{k}" for k in range(count)]
    nodes: list[Any] = []
    forms = {"x": Form({}, 0.0)} | {name: Form.of(Value(name)) for name in names}
    for k, before in enumerate(reads):
        read = "x"
        if before:
            read = f"c{k}"
            nodes.append(
                Combine.parse(read, [names[i] for i in sorted(before)], " + ".join(f"{names[i]}/{len(before)}" for i in sorted(before)))
            )
            forms[read] = Form({Value(names[i]): 1 / len(before) for i in before})
        nodes.append(bent(names[k], read))
    graph = TaskGraph("random", (*intervals("x"), *nodes, Combine.parse("f", names, " + ".join(names))), "f")
    blocks = [node for node in nodes if isinstance(node, Block)]
    built: Any = {name: SimpleNamespace(scores=object()) for name in names}
    orders = [p for p in itertools.permutations(range(count)) if all(reads[b].isdisjoint(p[n:]) for n, b in enumerate(p))]
    least = min(layers_of(order, reads) for order in orders)
    if least == 2 * count:
        with pytest.raises(InvalidArgument, match="is a chain"):
            in_turn(blocks, built, forms, graph)
        return
    turns = in_turn(blocks, built, forms, graph)
    assert len(turns) + sum(turn.apart is not None for turn in turns) == least
