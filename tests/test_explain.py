"""`Model.explain` says what the network does, in the network's own numbers."""

from __future__ import annotations

from dataclasses import replace

import atlasmoe
import numpy as np
import pytest
from atlasmoe import Block, Combine, Input, TaskGraph, Tiling, builtin
from atlasmoe.errors import InvalidArgument
from atlasmoe.moe import Model, Network
from atlasmoe.moe.layer import Weighting
from atlasmoe.report import explanation, render


def test_a_point(circle: Model) -> None:
    x = np.array([0.6, 0.8])
    found = circle.explain(x)
    trace = circle.network.trace(x[None])
    names = circle.network.layers[1].names
    logits = trace.logits[1][0]
    assert found.chart == names[trace.routes[1][0]]
    assert found.choices[1].margin == np.sort(logits)[-1] - np.sort(logits)[-2]
    assert not found.choices[0].matters, "layer 1 has one stored expert"
    assert [score.tau for score in found.scores] == sorted(logits, reverse=True)
    rho = dict(zip(names, circle.task.atlas.rho(x), strict=True))
    assert {score.chart: score.rho for score in found.scores} == rho
    assert found.output == {"f": circle(x)[0, 0]}
    assert found.truth is not None
    assert found.truth[0] == pytest.approx(0.48)
    assert found.error == pytest.approx(abs(0.48 - circle(x)[0, 0]))
    assert found.local is not None
    chart = circle.task.atlas.charts[names.index(found.chart)]
    np.testing.assert_allclose(chart.inverse(found.local), x, atol=1e-15)  # type: ignore[union-attr]


def test_off_the_manifold_nothing_is_claimed(circle: Model) -> None:
    found = circle.explain([0.6, 0.9])
    assert (found.on_manifold, found.truth, found.error, found.local) == (False, None, None, None)
    assert found.distance == pytest.approx(np.hypot(0.6, 0.9) - 1)
    assert all(score.rho is None for score in found.scores)


def test_every_neuron_has_a_name_and_computes_what_is_said(circle: Model) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=2)
    for expert, net in zip(circle.network.layers[1].names, circle.network.layers[1].experts, strict=True):
        for k in range(net.widths[0]):
            origin = circle.explain(layer=2, expert=expert, neuron=k)
            assert origin.name == f"knot[{k}]"
            assert "Lemma 3.1" in origin.origin
            value = sum(weight * x["xy".index(name)] for name, weight in origin.reads.items()) + origin.bias
            assert value == pytest.approx((net.affines[0](x[None]))[0, k], abs=1e-14)
            assert origin.writes.get("f", 0.0) == net.affines[1].weight[0, k]
    carried = circle.explain(layer=1, expert=2, neuron=1)
    assert (carried.reads, carried.writes["y"]) == ({"y": 1.0}, 1.0)


@pytest.mark.parametrize("point", [[0.6], [0.6, 0.8, 0.0], [np.nan, 1.0], [np.inf, 0.0]])
def test_points_of_the_wrong_kind(circle: Model, point: list[float]) -> None:
    with pytest.raises(InvalidArgument, match=r"explain takes one point of R\^2, 2 finite numbers"):
        circle.explain(point)


def general(circle: Model) -> Model:
    """A dense layer before one that takes two experts of three, and one that all points share."""
    first, last = circle.network.layers
    dense = replace(first, gate=None, serves=(0,), names=("scores",))
    shared = last.experts[0]
    mixed = replace(last, top_k=2, weighting=Weighting.SOFTMAX, shared=shared)
    return Model(Network((dense, mixed), circle.network.inputs), circle.ledger, circle.task, circle.facts)


def test_several_experts_and_their_weights(circle: Model) -> None:
    model, x = general(circle), np.array([0.6, 0.8])
    found = model.explain(x)
    layer = model.network.layers[1]
    logits = model.network.trace(x[None]).logits[1][0]
    best, second, third = np.argsort(-logits)
    powers = np.exp(logits[[best, second]] - logits[best])
    block = found.blocks[0]
    assert [name for name, _ in block.chosen] == [layer.names[best], layer.names[second]]
    np.testing.assert_allclose([weight for _, weight in block.chosen], powers / powers.sum(), rtol=1e-15)
    assert (block.runner_up, block.margin) == (layer.names[third], logits[second] - logits[third])
    assert block.right == ({layer.names[best], layer.names[second]} <= set(block.holds))
    assert found.choices[1].shared
    assert not found.choices[0].matters
    assert found.choices[0].expert == "scores"
    assert found.output == {"f": model(x)[0, 0]}
    text = render(explanation.point(found))
    assert f"·{layer.names[best]} + " in text
    assert "what all points share" in text


def test_neurons_of_what_all_points_share(circle: Model) -> None:
    model = general(circle)
    shared = model.explain(layer=2, expert="shared", neuron=3)
    assert (shared.expert, shared.name) == ("shared", "knot[3]")
    assert shared.reads == circle.explain(layer=2, expert=0, neuron=3).reads
    with pytest.raises(InvalidArgument, match="no expert 'shared'"):
        circle.explain(layer=2, expert="shared", neuron=0)
    with pytest.raises(InvalidArgument, match='"gate" of layer 2 is an affine map'):
        circle.explain(layer=2, expert="gate", neuron=0)


def test_the_form_of_the_network_does_not_matter() -> None:
    """A graph on charts and pieces, its channels in the experts or beside them: the same point, the same explanation."""
    ring = builtin("circle", charts=3)
    graph = TaskGraph(
        "both",
        (
            Input("c", ring),
            Block.parse("a", ("c_1", "c_2"), ring, "c_1*c_2"),
            Block.parse("b", ("c_1",), Tiling.intervals((-1, 0.3, 1)), ["c_1", "2"]),
            Combine.parse("f", ("a", "b"), "a*b"),
        ),
        "f",
    )
    paper, residual = (atlasmoe.compile(graph, epsilon=2e-2, form=form).explain([0.6, 0.8]) for form in ("paper", "residual"))
    assert residual.route == paper.route
    assert residual.output == pytest.approx(paper.output, abs=1e-12)
    a, b = residual.blocks
    assert a.scores[0].chart == a.piece
    rho = dict(zip(ring.names, ring.rho(np.array([0.6, 0.8])), strict=True))
    assert {score.chart: score.rho for score in a.scores} == rho
    assert a.local is not None
    np.testing.assert_allclose(ring.charts[ring.names.index(a.piece)].inverse(np.array(a.local)), [0.6, 0.8], atol=1e-15)
    assert [score.rho for score in b.scores] == [1, 0]
    assert (b.piece, b.local, b.margin) == ("piece2", (0.6,), pytest.approx(0.3))
    text = render(explanation.point(residual), 80)
    assert f"ρ and τ: {a.piece} {a.scores[0].rho:.6g} and {a.scores[0].tau:.6g}" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80
