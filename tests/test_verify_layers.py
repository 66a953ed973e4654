"""Verification of the general layer: K experts, gates with a hidden layer or none, shared experts, carried channels.

For each a network made by hand that is right, which holds, and one with a planted fault, which is refuted at a point where it is wrong.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from atlasmoe import Block, Box, Combine, Input, TaskGraph, Tiling
from atlasmoe.atlas import Array, Atlas, Chart, ExpressionMap, ExpressionTarget, ManifoldTask
from atlasmoe.moe import Affine, Known, MoELayer, Network, ReLUNet
from atlasmoe.moe.channels import Input as X
from atlasmoe.moe.channels import Value
from atlasmoe.moe.design import Design, Site, design_of
from atlasmoe.moe.layer import Weighting
from atlasmoe.moe.promise import ScorePromise
from atlasmoe.verify.sample import Report, verify_network
from handmade import X1, X2, circle, circle_model, net

C = np.array([1.5, -0.5])
SAMPLES = 400
EPSILON = 1e-9


def linear(weight: Array | float, bias: float = 0.0, times: tuple[float, ...] = (1.0,)) -> ReLUNet:
    """x ↦ times·(w·x + b) with one hidden layer."""
    w = np.atleast_2d(np.asarray(weight, float))
    return net((np.concatenate([w, -w]), np.zeros(2)), (np.outer(times, [1.0, -1.0]), bias * np.array(times)))


def refuted(report: Report) -> set[str]:
    return {claim.name for claim in report.claims if claim.known is Known.REFUTED}


def witness(report: Report, claim: str) -> Array:
    """The point that refutes a claim, (1, D)."""
    assert report[claim].witness is not None
    return np.array([report[claim].witness])


def errs(network: Network, task: ManifoldTask | TaskGraph, report: Report) -> bool:
    """Whether the network itself is as wrong as the report says, at the point that it names."""
    x = witness(report, "total")
    error = float(np.abs(network(x) - task(x)).max())
    return error == pytest.approx(report["total"].bound, rel=1e-6) and error > EPSILON


TASK = ManifoldTask("six arcs", circle(6), ExpressionTarget(ExpressionMap((X1, X2), (C[0] * X1 + C[1] * X2,))))
CENTRES = np.array([[np.cos(t), np.sin(t)] for t in np.arange(6) * np.pi / 3])
"""Arcs of half-width 1.2 at distances of π/3: the two that are nearest to a point always hold it, the third does not always."""


def arcs(**changes: object) -> Network:
    """One layer that routes to the nearest arcs."""
    expert = linear(C)
    layer = MoELayer(Affine(CENTRES.copy(), np.zeros(6)), (expert,), (0,) * 6, TASK.atlas.names, ("y[0]",))
    return Network((replace(layer, **changes),), ("x[0]", "x[1]"))  # type: ignore[arg-type]


@pytest.mark.parametrize("weighting", [Weighting.SOFTMAX, Weighting.UNIFORM])
def test_two_experts_that_are_both_valid(weighting: Weighting) -> None:
    """N14: then any convex weights will do."""
    report = verify_network(arcs(top_k=2, weighting=weighting), TASK, epsilon=EPSILON, samples=SAMPLES)
    assert report.holds, str(report)
    assert "all 2 chosen i" in report["routing.valid"].statement
    assert sum(report.routes.values()) == 2 * SAMPLES
    # The second largest score is worst where a third arc just ceases to hold the point, 1.2 from its centre.
    edge = 1.2 - np.pi / 3
    assert report["routing.separation"].bound == pytest.approx(np.cos(np.pi / 3 - edge) - np.cos(1.2), rel=1e-3)


def test_a_third_expert_that_is_not_always_valid() -> None:
    network = arcs(top_k=3)
    report = verify_network(network, TASK, epsilon=EPSILON, samples=SAMPLES)
    assert refuted(report) == {"routing.valid", "routing.separation"}, "all experts are right everywhere, only two of three are valid"
    x = witness(report, "routing.valid")
    chosen = network.trace(x).chosen[0][0]
    assert not all(TASK.atlas.contains(int(i), x)[0] for i in chosen)
    assert report.worst["routing.valid"].route.count(" and ") == 2


def test_an_expert_that_is_wrong_only_where_it_is_second() -> None:
    """It adds a ramp beyond 0.6 from its centre; the first choice is never more than π/6 away."""
    bent = net(
        (np.concatenate([[C, -C], -CENTRES[:1]]), np.array([0, 0, np.cos(0.6)])),
        (np.array([[1.0, -1.0, 1.0]]), np.zeros(1)),
    )
    changed = {"experts": (linear(C), bent), "serves": (1, 0, 0, 0, 0, 0)}
    assert verify_network(arcs(**changed), TASK, epsilon=EPSILON, samples=SAMPLES)["total"].holds
    network = arcs(top_k=2, weighting="uniform", **changed)
    report = verify_network(network, TASK, epsilon=EPSILON, samples=SAMPLES)
    assert {"total", "routing.ties"} == refuted(report)
    assert errs(network, TASK, report)
    assert "arc0" in report.worst["total"].route


def test_weights_that_do_not_sum_to_one() -> None:
    network = arcs(top_k=2, weighting="rectified")
    report = verify_network(network, TASK, epsilon=EPSILON, samples=SAMPLES)
    assert refuted(report) == {"total", "routing.ties"}
    assert errs(network, TASK, report)


def hats() -> tuple[Network, ManifoldTask]:
    """[0, 3] in four overlapping intervals around 0, 1, 2, 3, weighed by the hats of the four knots, which sum to one (N18)."""
    domains = [(max(0, i - 1), min(3, i + 1)) for i in range(4)]
    charts = tuple(
        Chart(f"hat{i}", Box((low,), (high,)), ExpressionMap((X1,), (X1,)), ExpressionMap((X1,), (X1,)), ((i < 2, i > 1),))
        for i, (low, high) in enumerate(domains)
    )
    task = ManifoldTask("line", Atlas(("x1",), charts), ExpressionTarget(ExpressionMap((X1,), (2 * X1 + 1,))))
    bends = np.arange(-1.0, 5.0)
    outer = np.array([[{-1: 1.0, 0: -2.0, 1: 1.0}.get(int(t) - i, 0.0) for t in bends] for i in range(4)])
    gate = net((np.ones((6, 1)), -bends), (outer, np.zeros(4)))
    expert = linear(2, 1)
    layer = MoELayer(gate, (expert,), (0,) * 4, task.atlas.names, ("y[0]",), top_k=2, weighting=Weighting.RECTIFIED)
    return Network((layer,), ("x[0]",)), task


def test_an_expert_of_weight_zero_is_not_heard() -> None:
    """On a knot one hat is 1 and the second choice is any of the others, with weight 0."""
    network, task = hats()
    trace = network.trace([[2.0]])
    assert network.layers[0].weights(trace.chosen[0], trace.logits[0]).tolist() == [[1.0, 0.0]]
    assert not task.atlas.contains(int(trace.chosen[0][0, 1]), np.array([[2.0]]))[0]
    report = verify_network(network, task, epsilon=EPSILON, samples=SAMPLES)
    assert "routing.valid" not in refuted(report)
    assert report["total"].holds
    assert verify_network(_weighed(network, "uniform"), task, epsilon=EPSILON, samples=SAMPLES)["total"].holds
    network = _weighed(network, "softmax", top_k=3)
    report = verify_network(network, task, epsilon=EPSILON, samples=SAMPLES)
    assert "routing.valid" in refuted(report)
    x = witness(report, "routing.valid")
    assert not all(task.atlas.contains(int(i), x)[0] for i in network.trace(x).chosen[0][0])


def _weighed(network: Network, weighting: str, **changes: object) -> Network:
    return Network((replace(network.layers[0], weighting=weighting, **changes),), network.inputs)  # type: ignore[arg-type]


def test_a_shared_expert() -> None:
    """Half of the target each."""
    network = arcs(experts=(linear(C / 2),), shared=linear(C / 2))
    assert verify_network(network, TASK, epsilon=EPSILON, samples=SAMPLES).holds
    for other in (None, linear(C / 2 + 1e-6)):
        broken = arcs(experts=(linear(C / 2),), shared=other)
        report = verify_network(broken, TASK, epsilon=EPSILON, samples=SAMPLES)
        assert refuted(report) == {"total", "routing.ties"}
        assert errs(broken, TASK, report)


MODEL = circle_model()
PROMISE = ScorePromise.from_facts(MODEL.facts, 4)
FIRST, LAST = MODEL.network.layers
CARRY = FIRST.experts[0]
"""x ↦ (x, τ(x))."""


def verified(*layers: MoELayer, promise: ScorePromise | None = PROMISE) -> Report:
    return verify_network(Network(layers, MODEL.network.inputs), MODEL.task, epsilon=1e-6, promise=promise, samples=SAMPLES)


def test_a_gate_with_a_hidden_layer() -> None:
    """N1: the scores of Theorem 4.8 as the gate of one layer; the same claims but that nothing passes."""
    inner, outer = CARRY.affines

    def with_scores(order: list[int]) -> MoELayer:
        rows = [2 + i for i in order]
        gate = net((inner.weight, inner.bias), (outer.weight[rows], outer.bias[rows]))
        return MoELayer(gate, (linear(C),), (0,) * 4, LAST.names, LAST.channels)

    report = verified(with_scores([0, 1, 2, 3]))
    assert report.holds, str(report)
    assert {"routing.tau", "routing.max_tau", "routing.separation"} <= {claim.name for claim in report.claims}
    assert "passthrough" not in {claim.name for claim in report.claims}
    two = verify_network(MODEL.network, MODEL.task, epsilon=1e-6, promise=PROMISE, samples=SAMPLES)
    assert report["routing.tau"].bound == pytest.approx(two["routing.tau"].bound, rel=1e-9)
    swapped = with_scores([2, 1, 0, 3])
    broken = verified(swapped)
    assert {"routing.valid", "routing.tau", "routing.separation", "routing.chosen_rho"} <= refuted(broken)
    x = witness(broken, "routing.valid")
    assert not MODEL.task.atlas.contains(int(swapped.choose(swapped.logits(x))[0, 0]), x)[0]


def test_a_dense_layer_before_the_gate() -> None:
    dense = MoELayer(None, (CARRY,), (0,), ("all",), FIRST.channels)
    assert verified(dense, LAST).holds
    inner, outer = CARRY.affines
    weight = outer.weight.copy()
    weight[1, 3] = np.nextafter(-1, -2)
    report = verified(replace(dense, experts=(net((inner.weight, inner.bias), (weight, outer.bias)),)), LAST)
    assert refuted(report) == {"passthrough"}
    assert report.worst["passthrough"].value == pytest.approx(np.finfo(float).eps, rel=0.01)


def residual(also: bool = False) -> MoELayer:
    """τ written beside x, which is carried; or a little of it added to x[1] too."""
    inner, outer = CARRY.affines
    weight, bias = outer.weight[2:], outer.bias[2:]
    if also:
        weight, bias = np.concatenate([1e-9 * weight[:1], weight]), np.concatenate([[0.0], bias])
    expert = net((inner.weight[4:], inner.bias[4:]), (weight[:, 4:], bias))
    writes = (1, 2, 3, 4, 5) if also else (2, 3, 4, 5)
    return MoELayer(None, (expert,), (0,), ("all",), FIRST.channels, None, writes, (0, 1, -1, -1, -1, -1))


def test_inputs_that_are_carried_beside_the_experts() -> None:
    report = verified(residual(), LAST)
    assert report.holds, str(report)
    assert report["passthrough"].bound == 0
    broken = verified(residual(also=True), LAST)
    assert "passthrough" in refuted(broken)
    state = residual(also=True).forward(x := witness(broken, "passthrough"), np.zeros((1, 1), np.intp))
    assert abs(state[0, 1] - x[0, 1]) == broken["passthrough"].bound > 0


def test_a_design_in_residual_form_says_what_is_carried() -> None:
    (name,), pieces = ("f",), LAST.names
    for also in (False, True):
        network = Network((residual(also), LAST), MODEL.network.inputs)
        design = replace(design_of(network, name, pieces, ("y",), PROMISE), form="residual")
        report = verify_network(network, MODEL.task, epsilon=1e-6, design=design, samples=100)
        assert report.holds is not also
        assert ("layout" in refuted(report)) is also
    assert "an expert of layer 1 writes a channel that is carried" in report["layout"].note


GRAPH = TaskGraph(
    "two jumps",
    (
        Input("s", Box((0,), (2,))),
        Input("t", Box((0,), (2,))),
        Block.parse("a", ("s",), Tiling.intervals((0, 1, 2)), ["s", "3 - s"]),
        Block.parse("b", ("t",), Tiling.intervals((0, 1, 2)), ["-t", "2*t"]),
        Combine.parse("f", ("a", "b"), "a + 2*b"),
    ),
    "f",
)
DESIGN = Design(
    ((X(0), X(1)), (X(1), Value("a")), (Value("a"), Value("b")), (Value("f"),)),
    (Site("a", 0, ("piece2", "piece1"), budget=EPSILON), Site("b", 1, ("piece2", "piece1"), budget=EPSILON)),
    form="residual",
)


def jumps(also: float = 0.0, slope: float = 2.0) -> Network:
    """Three layers that carry: y[a] beside t, y[b] beside y[a], and a dense one that adds. Interface points go to the upper piece."""
    names = ("piece2", "piece1")
    gate = Affine(np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([-1.0, 0.0]))
    first = MoELayer(gate, (linear(-1, 3), linear(1)), (0, 1), names, ("x[1]", "y[a]"), (0,), (1,), (1, -1))
    times, writes = ((also, 1.0), (0, 1)) if also else ((1.0,), (1,))
    b = (linear(slope, times=times), linear(-1, times=times))
    second = MoELayer(gate, b, (0, 1), names, ("y[a]", "y[b]"), (0,), writes, (1, -1))
    third = MoELayer(None, (linear(np.array([1.0, 2.0])),), (0,), ("f",), ("y[f]",))
    return Network((first, second, third), ("x[0]", "x[1]"))


def of_graph(network: Network, design: Design = DESIGN) -> Report:
    return verify_network(network, GRAPH, epsilon=EPSILON, design=design, samples=SAMPLES)


def test_a_graph_whose_values_are_carried() -> None:
    report = of_graph(jumps())
    assert report.holds, str(report)
    assert {"layout", "passthrough", "slots", "routing.valid", "block[a]", "block[b]"} <= {claim.name for claim in report.claims}
    assert report.pieces is not None
    assert (report.pieces.seen, report.pieces.total) == (4, 4)


def test_a_value_that_is_carried_and_overwritten() -> None:
    network = jumps(also=1e-6)
    report = of_graph(network)
    assert {"layout", "total"} <= refuted(report), "in residual form nothing that is carried may be written"
    report = of_graph(network, replace(DESIGN, form="paper"))
    assert refuted(report) == {"total", "slots"}
    assert errs(network, GRAPH, report)
    x = witness(report, "slots")
    states = network.trace(x).states
    assert abs(states[1][0, 0] - states[0][0, 1]) == pytest.approx(report["slots"].bound)


def test_one_of_the_experts_beside_what_is_carried() -> None:
    network = jumps(slope=2.001)
    report = of_graph(network)
    assert refuted(report) == {"total", "block[b]"}
    assert errs(network, GRAPH, report)
    assert report["block[b]"].bound == pytest.approx(0.002, rel=1e-6)
    assert report.worst["block[b]"].route.endswith("b: piece2")


OVERLAPPING = Atlas(
    ("x1",),
    tuple(
        Chart(name, Box((low,), (high,)), ExpressionMap((X1,), (X1,)), ExpressionMap((X1,), (X1,)), ((low == 0, high == 1),))
        for name, low, high in (("low", 0, 0.6), ("high", 0.4, 1))
    ),
)
CHAIN = TaskGraph(
    "chain",
    (
        Input("t", Box((0,), (1,))),
        Block.parse("a", ("t",), Tiling.intervals((0, 1)), ["t"]),
        Block.parse("b", ("a",), OVERLAPPING, "2*a"),
    ),
    "b",
)


def chain(at: float) -> tuple[Network, Design]:
    """A dense layer that computes a to 10⁻³, and one that reads it and takes the lower chart up to `at`."""
    first = MoELayer(None, (linear(1, 1e-3),), (0,), ("piece1",), ("y[a]",))
    gate = Affine(np.array([[-1.0], [1.0]]), np.array([at, -at]))
    second = MoELayer(gate, (linear(2),), (0, 0), ("low", "high"), ("y[b]",))
    sites = (Site("a", 0, ("piece1",), budget=1e-3), Site("b", 1, ("low", "high"), budget=EPSILON))
    return Network((first, second), ("x[0]",)), Design(((X(0),), (Value("a"),), (Value("b"),)), sites)


def test_charts_of_computed_values() -> None:
    """B9: a chart has to hold the true value or the one that is read."""
    for at, right in ((0.5, True), (0.4, True), (0.6, True), (0.39, False), (0.62, False)):
        network, design = chain(at)
        report = verify_network(network, CHAIN, epsilon=3e-3, design=design, samples=SAMPLES)
        assert report["total"].bound == pytest.approx(2e-3)
        assert report["routing.read"].holds is right
        assert report["block[b].routing.separation"].holds is (0.4 < at <= 0.6), "that is about the true values"
        assert report["block[a]"].holds
    x = witness(report, "routing.read")
    assert 0.6 < x[0, 0] < 0.62
