"""The general layer is proved: what a network of every kind does on boxes, close to what it is seen to do, and nothing that is false."""

from __future__ import annotations

from dataclasses import replace

import atlasmoe
import numpy as np
import pytest
import sympy
from atlasmoe.atlas import Atlas, Box, Chart, ExpressionMap, ExpressionTarget, ManifoldTask
from atlasmoe.moe import Affine, Known, MoELayer, Network, NeuronGroup, ReLUNet
from atlasmoe.moe.layer import Weighting
from atlasmoe.verify.enclosure import TaylorForms
from atlasmoe.verify.prove import certify
from atlasmoe.verify.prove.evaluation import evaluations
from atlasmoe.verify.prove.forward import EnclosedNetwork
from atlasmoe.verify.prove.layers import carried_channels
from atlasmoe.verify.prove.linear import split
from atlasmoe.verify.prove.rounding import Sized
from atlasmoe.verify.prove.rounding import network as network_rounding
from general_layers import KINDS, NAMES, experts, general_network, net
from test_certify_graph import collar_graph, product_graph, sum_graph, worst

X, Y = sympy.symbols("x y", real=True)
MUTATIONS = 24


def square_task(target: sympy.Expr = X * Y / 4) -> ManifoldTask:
    """A square that three charts share, so that every gate output is right everywhere."""
    identity = ExpressionMap((X, Y), (X, Y))
    box = Box((-1.0, -1.0), (1.0, 1.0))
    charts = tuple(Chart(name, box, identity, identity, ((True, True),) * 2) for name in NAMES)
    return ManifoldTask("square", Atlas(("x", "y"), charts), ExpressionTarget(ExpressionMap((X, Y), (target,))))


TASK = square_task()
GRID = np.stack(np.meshgrid(*[np.linspace(-1, 1, 161)] * 2), axis=-1).reshape(-1, 2)


def seen(network: Network, task: ManifoldTask = TASK) -> float:
    """The largest error on a grid."""
    return float(np.abs(np.asarray(network(GRID.astype(network.dtype)), float) - task(GRID)).max())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_proved_close_to_what_is_seen(kind: str) -> None:
    network = general_network(kind)
    certificate = certify(network, TASK, tightness=1.2)
    assert certificate.status is Known.PROVED
    assert seen(network) <= certificate["total.float64"].bound
    assert certificate.bound <= 1.2 * certificate.found


@pytest.mark.parametrize("kind", KINDS)
def test_no_wrong_weight_is_proved(kind: str) -> None:
    """One weight after the other is changed; ε is what the right network keeps."""
    network = general_network(kind)
    epsilon = certify(network, TASK, tightness=1.2).bound
    rng = np.random.default_rng(7)
    wrong = 0
    for _ in range(MUTATIONS):
        mutated = with_one_weight(network, rng)
        error = seen(mutated)
        certificate = certify(mutated, TASK, epsilon=epsilon, tightness=None, boxes=900)
        wrong += error > epsilon
        assert certificate.status is not Known.PROVED or error <= certificate["total.float64"].bound <= epsilon * (1 + 1e-9)
    assert wrong >= MUTATIONS // 8


def with_one_weight(network: Network, rng: np.random.Generator) -> Network:
    """The network with one number of one of its nets changed by up to 4."""
    number = int(rng.integers(len(network.layers)))
    layer = network.layers[number]
    parts = [name for name in ("gate", "shared") if getattr(layer, name) is not None]
    part = rng.choice([*parts, *["experts"] * 3])
    stored = int(rng.integers(len(layer.experts)))
    old = layer.experts[stored] if part == "experts" else getattr(layer, part)
    deep = int(rng.integers(len(old.affines)))
    weight, bias = np.array(old.affines[deep].weight), np.array(old.affines[deep].bias)
    array = weight if rng.random() < 0.7 else bias
    array.flat[int(rng.integers(array.size))] += rng.uniform(1, 4) * rng.choice([-1, 1])
    new = ReLUNet((*old.affines[:deep], Affine(weight, bias), *old.affines[deep + 1 :]), old.groups)
    changed = tuple(new if k == stored else e for k, e in enumerate(layer.experts)) if part == "experts" else new
    layers = list(network.layers)
    layers[number] = replace(layer, **{part: changed})
    return Network(tuple(layers), network.inputs)


@pytest.mark.parametrize("weighting", Weighting)
@pytest.mark.parametrize("top_k", [1, 2])
def test_sets_of_k_chosen_on_the_way_are_told_apart(weighting: Weighting, top_k: int) -> None:
    """A layer of three experts before the last one, which reads what any of its sets writes."""
    rng = np.random.default_rng(11)
    before = MoELayer(
        net(rng, 2, 3), experts(rng, 3, 2, 2), (0, 1, 2), NAMES, ("c", "d"), top_k=top_k, weighting=weighting, shared=net(rng, 2, 3, 2)
    )
    last = MoELayer(net(rng, 2, 3), experts(rng, 2, 2, 1), (0, 1, 0), NAMES, ("f",))
    network = Network((before, last), ("x", "y"))
    certificate = certify(network, TASK, tightness=1.3)
    assert certificate.status is Known.PROVED
    assert seen(network) <= certificate["total.float64"].bound
    assert certificate.bound <= 1.3 * certificate.found


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_may_be_chosen_is_enclosed(kind: str) -> None:
    """Outputs, and the outputs chosen by the last gate, at points of small boxes anywhere."""
    rng = np.random.default_rng(5)
    for seed in range(3):
        network = general_network(kind, seed)
        middle = rng.uniform(-1, 1, (200, 2))
        half = rng.uniform(0, 0.1, (200, 2))
        enclosed = EnclosedNetwork(network, None, np.full(2, 1.2))
        last = enclosed.layers[-1]
        state = enclosed.before_last(TaylorForms.variables(middle - half, middle + half), 0.0)
        row, gate = last.chosen(state, 0.0)
        allowed = np.zeros((200, len(NAMES)), bool)
        allowed[state.box[row], gate] = True
        for _ in range(5):
            trace = network.trace(middle + half * rng.uniform(-1, 1, (200, 2)))
            assert np.take_along_axis(allowed, trace.chosen[-1], axis=1).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rounding_is_bounded(kind: str, dtype: str) -> None:
    """Outputs in a dtype against the same weights in the widest floats there are, where both choose the same."""
    network = general_network(kind, 3).astype(dtype)
    points = np.random.default_rng(2).uniform(-1, 1, (4000, 2)).astype(dtype)
    trace, wide = network.trace(points), network.astype(np.longdouble).trace(points.astype(np.longdouble))
    same = np.all([(np.sort(a, 1) == np.sort(b, 1)).all(1) for a, b in zip(trace.chosen, wide.chosen, strict=True)], axis=0)
    ways = evaluations(network)
    eta, added = network_rounding(network, Sized(-np.ones((1, 2)), np.ones((1, 2)), np.zeros((len(ways), 1, 2))), ways)
    plain = [way.name for way in ways].index(dtype)
    assert same.mean() > 0.99
    gap = np.abs(trace.output.astype(np.longdouble) - wide.output)[same].max()
    off = max(float(np.abs(a - b)[same].max()) for a, b in zip(trace.logits, wide.logits, strict=True))
    assert 0 < gap <= added[plain].max() < 1e4 * np.finfo(dtype).eps
    assert off <= eta[plain].max()


def residual(network: Network) -> Network:
    """Every channel that a layer passes on is carried beside its experts (N8)."""
    layers, arriving = [], len(network.inputs)
    for layer in network.layers:
        copies = carried_channels(layer, arriving)
        own = np.flatnonzero(copies < 0)
        nets = []
        for expert in layer.experts:
            last = expert.affines[-1]
            kept = Affine(np.array(last.weight[own]), np.array(last.bias[own]))
            nets.append(ReLUNet((*expert.affines[:-1], kept), expert.groups))
        layers.append(replace(layer, experts=tuple(nets), writes=tuple(own.tolist()), carries=tuple(copies.tolist())))
        arriving = len(layer.channels)
    return Network(tuple(layers), network.inputs)


@pytest.mark.parametrize("graph", [sum_graph(3, 4), collar_graph()], ids=["sum", "collar"])
def test_what_is_compiled_in_the_residual_form_is_proved(graph: atlasmoe.TaskGraph) -> None:
    paper = certify(atlasmoe.compile(graph, epsilon=0.1))
    model = atlasmoe.compile(graph, epsilon=0.1, form="residual")
    certificate = certify(model)
    assert certificate.status is Known.PROVED
    assert certificate.bound == pytest.approx(paper.bound, rel=1e-9)
    assert worst(model, graph) <= certificate.bound


@pytest.mark.parametrize("graph", [product_graph(), sum_graph(2, 3)], ids=["product", "sum"])
def test_the_residual_form_is_proved_like_the_paper_form(graph: atlasmoe.TaskGraph) -> None:
    model = atlasmoe.compile(graph, epsilon=0.1)
    carried = residual(model.network)
    points = graph.sample(500, 1)
    np.testing.assert_allclose(carried(points), model.network(points), rtol=0, atol=1e-12)
    paper, beside = certify(model), certify(carried, graph, epsilon=0.1)
    assert paper.status is beside.status is Known.PROVED
    assert beside.bound == pytest.approx(paper.bound, rel=1e-9)
    assert worst(model, graph) <= beside.bound
    assert [(site.channels, site.part.reads) for site in paper.sites] == [(site.channels, site.part.reads) for site in beside.sites]


def test_a_gate_that_is_a_net_is_compared_by_the_net_of_the_difference() -> None:
    """Two logits that share all their neurons, |x| and |x| + 1: each is bent, their difference is not."""
    hidden = Affine(np.array([[1.0, 0.0], [-1.0, 0.0]]), np.zeros(2))
    heads = Affine(np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]) * 100, np.array([0.0, 1.0, 0.0]))
    gate = ReLUNet((hidden, heads), ((NeuronGroup("h", 2, "by hand"),),))
    layer = replace(general_network("shared").layers[-1], gate=gate)
    enclosed = EnclosedNetwork(Network((layer,), ("x", "y")), None, np.ones(2))
    state = enclosed.start(TaylorForms.variables([[-1.0, -1.0]], [[1.0, 1.0]]))
    assert enclosed.layers[-1].chosen(state, 0.1)[1].tolist() == [1]


def test_a_dense_layer_alone() -> None:
    """No gate, one chart: nothing is chosen."""
    dense = general_network("dense").layers[0].experts[0]
    last = dense.affines[-1]
    one = ReLUNet((*dense.affines[:-1], Affine(np.array(last.weight[:1]), np.array(last.bias[:1]))), dense.groups)
    network = Network((MoELayer(None, (one,), (0,), ("all",), ("f",)),), ("x", "y"))
    task = replace(TASK, atlas=Atlas(("x", "y"), TASK.atlas.charts[:1]))
    certificate = certify(network, task, tightness=1.1)
    assert certificate.status is Known.PROVED
    assert seen(network, task) <= certificate.bound <= 1.1 * certificate.found
    assert certificate.eta == 0


@pytest.mark.parametrize(("reach", "known"), [(0.3, Known.PROVED), (-0.2, Known.REFUTED)])
def test_every_one_of_k_experts_has_to_be_valid(reach: float, known: Known) -> None:
    """Two of three intervals are chosen, the whole one and the left or right one; short ones do not hold all points that choose them."""
    x = sympy.Symbol("x", real=True)
    identity = ExpressionMap((x,), (x,))
    ends = [(-1.0, reach), (-1.0, 1.0), (-reach, 1.0)]
    boundary = [(True, False), (True, True), (False, True)]
    charts = [
        Chart(name, Box((low,), (high,)), identity, identity, (edge,))
        for name, (low, high), edge in zip(NAMES, ends, boundary, strict=True)
    ]
    task = ManifoldTask("line", Atlas(("x",), tuple(charts)), ExpressionTarget(ExpressionMap((x,), (x / 2,))))
    gate = Affine(np.array([[-1.0], [0.0], [1.0]]), np.array([-0.25, 0.0, -0.25]))
    halves = tuple(ReLUNet((Affine(np.array([[0.5]]), np.array([0.01 * k])),), ()) for k in range(3))
    layer = MoELayer(gate, halves, (0, 1, 2), NAMES, ("f",), top_k=2)
    certificate = certify(Network((layer,), ("x",)), task, epsilon=0.1, tightness=None, boxes=20_000)
    assert certificate["routing.valid"].known is known
    if known is Known.PROVED:
        assert 0.01 <= certificate.bound <= 0.02 * (1 + 1e-9)


def test_a_dense_layer_weighed_by_nothing_is_refused() -> None:
    net = ReLUNet((Affine(np.ones((1, 2)), np.zeros(1)),), ())
    with pytest.raises(atlasmoe.InvalidArgument, match="no logits that could weigh"):
        MoELayer(None, (net,), (0,), ("all",), ("f",), weighting=Weighting.RECTIFIED)


def test_linear_parts_of_nets() -> None:
    """Of affine maps all is linear; of others pairs σ(x) − σ(−x), all of them or those of one input."""
    rng = np.random.default_rng(4)
    points = rng.normal(size=(50, 2))
    flat = ReLUNet((Affine(np.array([[0.0, 1.0], [0.0, -1.0], [2.0, -2.0]]), np.arange(3.0)),), ())
    pairs = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [0.6, 0.8]])
    outer = np.array([[2.0, -2.0, 3.0, -3.0, 1.0], [0.0, 0.0, 1.0, 1.0, 0.0]])
    bent = ReLUNet((Affine(pairs, np.zeros(5)), Affine(outer, np.ones(2))), ((NeuronGroup("h", 5, "by hand"),),))
    for whole, linear in ((flat, flat.weight), (bent, [[2.0, 3.0], [0.0, 0.0]])):
        for only in (None, 0, 1):
            found = split(whole, only)
            expected = np.array(linear) if only is None else np.array(linear) * (np.arange(2) == only)
            np.testing.assert_array_equal(found.carried, expected)
            np.testing.assert_allclose(points @ found.carried.T + found.rest(points), whole(points), rtol=0, atol=1e-14)
