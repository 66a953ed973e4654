"""Verification of task graphs: right networks hold, every kind of wrong one is refuted at a point where it is wrong itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import atlasmoe
import numpy as np
import pytest
from atlasmoe import Block, Box, Combine, Input, TaskGraph, Tiling, builtin
from atlasmoe.errors import InvalidArgument
from atlasmoe.moe import Affine, Known, Model, Network
from atlasmoe.moe.channels import Value
from atlasmoe.moe.design import Design
from atlasmoe.moe.promise import ScorePromise
from atlasmoe.verify.sample import Report, verify, verify_network
from handmade import Arrays, with_expert
from jumping import SAMPLES, jumping, refuted, wrong_at


@pytest.fixture(scope="module")
def model() -> Model:
    return atlasmoe.compile(jumping(), epsilon=0.1)


@pytest.fixture(scope="module")
def report(model: Model) -> Report:
    return verify(model, samples=SAMPLES, seed=1)


def test_a_right_model_holds(model: Model, report: Report) -> None:
    assert report.holds, str(report)
    assert {claim.known for claim in report.claims} == {Known.SAMPLED}
    names = {"layout", "total", "finite", "passthrough", "slots", "routing.valid", "routing.batches", "block[a]", "block[b]", "combine[f]"}
    assert {claim.name for claim in report.claims} == names
    assert report.pieces is not None
    assert (report.pieces.seen, report.pieces.total, report.pieces.drawn, report.pieces.empty, report.pieces.every) == (9, 9, 9, 0, True)
    assert {name: sum(counts.values()) for name, counts in report.blocks.items()} == {"a": SAMPLES, "b": SAMPLES}
    assert report.counts["uniform"] == SAMPLES
    assert set(report.counts) == {"pieces", "uniform", "low discrepancy", "interface", "face", "edge", "tie", "ascent"}
    assert report.never == () == report.warnings
    assert report["total"].samples == report.points
    document = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert document["pieces"]["seen"] == 9
    assert "9 of 9 distinct pieces" in str(report)


def test_the_total_error_agrees_with_a_dense_grid(model: Model) -> None:
    line = np.linspace(0, 2, 401)
    x = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    assert isinstance(model.task, TaskGraph)
    worst = np.abs(model(x) - model.task(x)).max()
    assert verify(model, samples=2000)["total"].bound >= 0.98 * worst


def test_same_seed_same_report(model: Model, report: Report) -> None:
    assert replace(verify(model, samples=SAMPLES, seed=1), seconds=0.0) == replace(report, seconds=0.0)


def tampered(model: Model, layer: int, expert: int, change: Callable[[Arrays], None]) -> Network:
    return with_expert(model.network, layer, expert, change)


def with_layer(network: Network, number: int, **changes: object) -> Network:
    layers = tuple(replace(la, **changes) if k == number else la for k, la in enumerate(network.layers))  # type: ignore[arg-type]
    return Network(layers, network.inputs)


def layer_of(model: Model, block: str) -> int:
    return model.design[block].layer


def scores_of(model: Model, block: str) -> int:
    """The layer that writes its scores."""
    layer = model.design[block].scores
    assert layer is not None
    return layer


def redesigned(model: Model, change: Callable[[Design], Design]) -> Report:
    """The model's network, of which something else is said."""
    assert isinstance(model.task, TaskGraph)
    return verify_network(model.network, model.task, epsilon=model.facts["epsilon"], design=change(model.design), samples=100)


def test_swapped_experts(model: Model) -> None:
    number = layer_of(model, "a")
    first, second, third = model.network.layers[number].experts
    broken = with_layer(model.network, number, experts=(second, first, third))
    report = verify(model, samples=SAMPLES, network=broken)
    assert {"total", "block[a]"} <= refuted(report)
    assert "block[b]" not in refuted(report)
    assert wrong_at(broken, report, model)
    assert report.rate.violations > 0
    assert "a: piece" in report.worst["total"].route


def test_swapped_gate_rows(model: Model) -> None:
    number = layer_of(model, "b")
    gate = model.network.layers[number].gate
    broken = with_layer(model.network, number, gate=Affine(gate.weight[[1, 0, 2]], gate.bias[[1, 0, 2]]))
    report = verify(model, samples=SAMPLES, network=broken)
    assert {"total", "routing.valid"} <= refuted(report)
    assert wrong_at(broken, report, model)


@pytest.mark.parametrize("by", [0.05, 1e-9, "one float"])
def test_a_moved_knot(model: Model, by: float | str) -> None:
    """Also by one float: then the single interface point at t = 0.3 is wrong, and only a sample that contains it shows that."""
    number = scores_of(model, "a")

    def move(arrays: Arrays) -> None:
        bias = arrays[0][1]
        at = int(np.argmin(np.abs(np.abs(bias) - 0.3)))
        towards = np.nextafter(bias[at], np.inf * np.sign(bias[at])) if by == "one float" else bias[at] + float(by) * np.sign(bias[at])
        for k in np.flatnonzero(np.abs(bias) == np.abs(bias[at])):
            bias[k] = towards if np.sign(bias[k]) == np.sign(bias[at]) else -towards

    broken = tampered(model, number, 0, move)
    report = verify(model, samples=SAMPLES, network=broken)
    assert {"routing.valid", "total"} <= refuted(report)
    claim = report["routing.valid"]
    assert claim.witness is not None
    x = np.array([claim.witness])
    assert isinstance(model.task, TaskGraph)
    names = broken.layers[layer_of(model, "a")].names
    taken = names[int(broken.trace(x).routes[layer_of(model, "a")][0])]
    block = model.task.blocks[0]
    owner = block.names[int(model.task.trace(x).routes[0, 0])]
    assert taken != owner
    assert wrong_at(broken, report, model)


def test_an_erased_slot(model: Model) -> None:
    """R2: what block b's experts do to y[a]."""
    number = layer_of(model, "b")
    row = model.network.layers[number].channels.index("y[a]")

    def erase(arrays: Arrays) -> None:
        arrays[-1][0][row] = 0

    broken = tampered(model, number, 2, erase)
    report = verify(model, samples=SAMPLES, network=broken)
    assert {"slots", "total"} <= refuted(report)
    assert wrong_at(broken, report, model)


def test_a_slot_that_is_off_by_a_rounding(model: Model) -> None:
    number = layer_of(model, "b")
    row = model.network.layers[number].channels.index("y[a]")

    def nudge(arrays: Arrays) -> None:
        column = int(np.flatnonzero(arrays[-1][0][row])[0])
        arrays[-1][0][row, column] = np.nextafter(1, 2)

    report = verify(model, samples=SAMPLES, network=tampered(model, number, 0, nudge))
    assert refuted(report) == {"slots"}
    assert 0 < report["slots"].bound < 1e-14


def test_a_slot_that_is_dropped(model: Model) -> None:
    """A channel that is not said to be y[a] any more: what reads it there is named."""
    number = layer_of(model, "b")

    def forget(design: Design) -> Design:
        state = tuple(Value("spare") if channel == Value("a") else channel for channel in design.states[number + 1])
        return replace(design, states=(*design.states[: number + 1], state, *design.states[number + 2 :]))

    report = redesigned(model, forget)
    assert "layout" in refuted(report)
    assert report["total"].holds, "the numbers are as they were"
    assert "'f' reads 'a', but no channel y[a] arrives at layer 5" in report["layout"].note


def test_an_input_that_is_not_carried(model: Model) -> None:
    row = model.network.layers[0].channels.index("x[1]")

    def nudge(arrays: Arrays) -> None:
        column = int(np.flatnonzero(arrays[-1][0][row])[0])
        arrays[-1][0][row, column] = np.nextafter(1, 2)

    assert "passthrough" in refuted(verify(model, samples=SAMPLES, network=tampered(model, 0, 0, nudge)))


@pytest.mark.parametrize("by", [0.2, 1e-10])
def test_a_changed_gate_bias(model: Model, by: float) -> None:
    """Also by so little that no random point is routed wrongly: the points next to interfaces are."""
    number = layer_of(model, "a")
    gate = model.network.layers[number].gate
    broken = with_layer(model.network, number, gate=Affine(gate.weight.copy(), gate.bias + by * np.array([1, 0, 0])))
    report = verify(model, samples=SAMPLES, network=broken)
    assert {"routing.valid", "total"} <= refuted(report)
    assert wrong_at(broken, report, model)


def test_a_wrong_read_out(model: Model) -> None:
    def stretch(arrays: Arrays) -> None:
        arrays[-1][0][:] *= 1.1

    broken = tampered(model, len(model.network.layers) - 1, 0, stretch)
    report = verify(model, samples=SAMPLES, network=broken)
    assert refuted(report) == {"total", "combine[f]"}
    assert wrong_at(broken, report, model)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_no_number(model: Model, value: float) -> None:
    def poison(arrays: Arrays) -> None:
        arrays[-1][0][-1, 0] = value

    report = verify(model, samples=SAMPLES, network=tampered(model, layer_of(model, "b"), 0, poison))
    assert {"finite", "total"} <= refuted(report)
    json.dumps(report.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (3, 1, "does not arrive at layer"),  # each other's
        (1, None, "block 'b': no layer is named"),
        (1, 1, "layer 3 is no layer before layer 2 that could write its scores"),
        (1, 98, "there is no layer 99"),
        (1, -1, "there is no layer 0"),
        (1, 4, "layer 5 has 1 gate outputs for 3 pieces"),
        (None, None, "block 'a': no layer is named"),
    ],
)
def test_wrong_sites_are_refuted_and_never_crash(model: Model, a: int | None, b: int | None, said: str) -> None:
    layers = {"a": a, "b": b}
    assert {site.block: site.layer for site in model.design.sites} == {"a": 1, "b": 3}

    def move(design: Design) -> Design:
        sites = tuple(replace(site, layer=layer) for site in design.sites if (layer := layers[site.block]) is not None)
        return replace(design, sites=sites)

    report = redesigned(model, move)
    assert "layout" in refuted(report)
    assert said in report["layout"].note
    assert report["total"].holds, "the weights are as they were"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"sites": lambda d: (*d.sites, replace(d.sites[0], block="c", scores=None))},
            "layer 2 has 3 gate outputs, of which a has 3 from number 1, c has 3",
        ),
        ({"sites": lambda d: (*d.sites, d.sites[0])}, "layer 2 has 3 gate outputs, of which a has 3 from number 1, a has 3"),
        ({"sites": lambda d: tuple(replace(s, pieces=("p", "q", "r"), scores=None) for s in d.sites)}, "gate output 'p', which is none"),
        ({"joins": lambda d: ()}, "combination 'f': no layer is named"),
        ({"states": lambda d: d.states[:-1]}, "the design has 5 states"),
        ({"states": lambda d: (d.states[0][::-1], *d.states[1:])}, "the first state is not the inputs"),
        ({"states": lambda d: (*d.states[:-1], ())}, "state 5 has 0 channels in the design"),
    ],
)
def test_a_design_of_something_else_is_refuted(model: Model, change: dict[str, Callable[[Design], object]], said: str) -> None:
    report = redesigned(model, lambda design: replace(design, **{name: make(design) for name, make in change.items()}))  # type: ignore[arg-type]
    assert "layout" in refuted(report)
    assert said in report["layout"].note
    assert report["total"].holds


def test_a_graph_without_a_design_is_refused(model: Model) -> None:
    assert isinstance(model.task, TaskGraph)
    with pytest.raises(InvalidArgument, match="verified with its design"):
        verify_network(model.network, model.task, epsilon=0.1)
    three = TaskGraph("more", (*model.task.nodes[:3], Combine.parse("f", ("a", "b"), ["a", "b"])), "f")
    with pytest.raises(InvalidArgument, match=r"R\^2 to R\^1, task 'more' needs R\^2 to R\^2"):
        verify_network(model.network, three, epsilon=0.1, design=model.design)


@pytest.fixture(scope="module")
def mixed() -> Model:
    """A circle on charts, a block that reads its value, and an interval: 2 · 3 · 2 pieces."""
    circle = builtin("circle", charts=2)
    graph = TaskGraph(
        "mixed",
        (
            Input("c", circle, ("u", "v")),
            Input("t", Box((0,), (1,))),
            Block.parse("a", ("u", "v"), circle, "u*v"),
            Block.parse("b", ("a",), Tiling.intervals((-0.5, -0.2, 0.1, 0.5)), ["-a", "a + 0.4", "0.5 + (a - 0.1)/2"]),
            Block.parse("d", ("t",), Tiling.intervals((0, 0.5, 1)), ["t", "2*t"]),
            Combine.parse("f", ("b", "d", "t"), ["b + d", "d - t"]),
        ),
        "f",
    )
    return atlasmoe.compile(graph, epsilon=0.2)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_charts_computed_values_and_intervals_together(mixed: Model, dtype: str) -> None:
    report = verify(mixed, samples=SAMPLES, network=mixed.network.astype(dtype))
    assert report.holds, str(report)
    assert {"routing.valid", "routing.read", "routing.ties", "block[a]", "block[b]", "block[d]"} <= {claim.name for claim in report.claims}
    assert report.worst["routing.valid"].route.startswith("a: arc")


def test_a_block_that_misreads_a_computed_value(mixed: Model) -> None:
    number = scores_of(mixed, "b")

    def move(arrays: Arrays) -> None:
        arrays[0][1][np.isclose(np.abs(arrays[0][1]), 0.1)] *= 1.5

    broken = with_expert(mixed.network, number, 0, move)
    report = verify(mixed, samples=SAMPLES, network=broken)
    assert "routing.read" in refuted(report)
    assert report["routing.read"].bound > 1e6, "in units of what rounding allows"


def test_charts_that_change_places(mixed: Model) -> None:
    number = layer_of(mixed, "a")
    gate = mixed.network.layers[number].gate
    broken = with_layer(mixed.network, number, gate=Affine(gate.weight[::-1].copy(), gate.bias[::-1].copy()))
    report = verify(mixed, samples=SAMPLES, network=broken)
    assert "routing.valid" in refuted(report)
    witness = report["routing.valid"].witness
    assert witness is not None
    chosen = int(broken.trace([witness]).routes[number][0])
    assert isinstance(mixed.task, TaskGraph)
    assert not mixed.task.trace([witness]).valid["a"][0, chosen]


def promised(model: Model, promise: ScorePromise) -> Design:
    sites = tuple(replace(site, promise=promise) if site.block == "a" else site for site in model.design.sites)
    return replace(model.design, sites=sites)


def test_scores_of_a_block_on_charts_that_follow_a_promise(mixed: Model) -> None:
    """As for a task on one manifold, under the block's name; μ = 1/2 is where two arcs hold a point equally."""
    design = promised(mixed, ScorePromise(1 / 2, 1 / 8))
    assert isinstance(mixed.task, TaskGraph)
    report = verify_network(mixed.network, mixed.task, epsilon=0.2, design=design, samples=SAMPLES)
    assert report.holds, str(report)
    names = {claim.name.removeprefix("block[a].routing.") for claim in report.claims if claim.name.startswith("block[a].routing.")}
    assert names == {"separation", "tau", "sharp", "max_score", "max_tau", "chosen_rho", "ties"}
    assert report["block[a].routing.max_score"].bound == pytest.approx(1 / 2, abs=1e-6)
    number = layer_of(mixed, "a")
    gate = mixed.network.layers[number].gate
    broken = with_layer(mixed.network, number, gate=Affine(gate.weight * 0.5, gate.bias * 0.5))
    report = verify_network(broken, mixed.task, epsilon=0.2, design=design, samples=SAMPLES)
    assert refuted(report) == {"block[a].routing.tau", "block[a].routing.sharp", "block[a].routing.max_tau"}
    x = np.array([report["block[a].routing.tau"].witness])
    scores = broken.trace(x).logits[number][0]
    block = mixed.task.blocks[0]
    assert block.atlas is not None
    assert np.abs(block.atlas.rho(x[:, :2])[0] - scores).max() == pytest.approx(report["block[a].routing.tau"].bound)
