"""`Model.explain` says what the network does, in the network's own numbers."""

from __future__ import annotations

import numpy as np
import pytest
from atlasmoe.errors import InvalidArgument
from atlasmoe.moe import Model


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
