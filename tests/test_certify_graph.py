"""Certificates of task graphs: few proofs for many pieces, whole, and only where they are right."""

import dataclasses
import json

import atlasmoe
import joblib
import numpy as np
import pytest
from atlasmoe import Box, ManifoldTask, builtin
from atlasmoe.atlas import Atlas, Block, ChartTarget, Combine, Input, TaskGraph, Tiling
from atlasmoe.moe import Affine, MoELayer, Network, NeuronGroup, ReLUNet
from atlasmoe.moe.channels import Value
from atlasmoe.moe.promise import ScorePromise
from atlasmoe.verify.prove.error import ErrorJudge
from atlasmoe.verify.prove.slices import Slicer
from atlasmoe.verify.prove.spread import spread
from atlasmoe.verify.prove.tiling import tiling_router


def product_graph():
    """Experiment II: two blocks of three pieces, multiplied."""
    inputs = [Input(name, Box((0.0,), (3.0,))) for name in ("u", "v")]
    first = Block.parse("a", ("u",), Tiling.intervals([0, 1, 2, 3]), [f"{i}*({i - 1}-u)*(u-{i})" for i in (1, 2, 3)])
    second = Block.parse("b", ("v",), Tiling.intervals([0, 1, 2, 3]), [f"{i}*({i - 1}-v)**2*(v-{i})**2" for i in (1, 2, 3)])
    return TaskGraph("product", (*inputs, first, second, Combine.parse("f", ("a", "b"), "a*b")), "f")


def sum_graph(blocks, pieces):
    """Pieces that jump by one where they meet."""
    inputs = [Input(f"x{k}", Box((0.0,), (float(pieces),))) for k in range(blocks)]
    tiling = Tiling.intervals(range(pieces + 1))
    parts = [Block.parse(f"b{k}", (f"x{k}",), tiling, [f"sin({i + 1}*x{k}) + {i}" for i in range(pieces)]) for k in range(blocks)]
    read_out = Combine.parse("f", [part.name for part in parts], " + ".join(f"{k + 1}*b{k}" for k in range(blocks)) + " - 2")
    return TaskGraph("sum", (*inputs, *parts, read_out), "f")


def chain_graph():
    """A block that reads what an earlier one computed, across a kink."""
    first = Block.parse("a", ("u",), Tiling.intervals([0, 1, 2]), ["u**2/2", "u - 1/2"])
    second = Block.parse("b", ("a",), Tiling.intervals([-1, 0.6, 3]), ["a", "3/5 + 2*(a - 3/5)"])
    return TaskGraph("chain", (Input("u", Box((0.0,), (2.0,))), first, second), "b")


@pytest.fixture(scope="module")
def product_model():
    return atlasmoe.compile(product_graph(), epsilon=2e-2)


def worst(model, graph, count=40_000):
    points = graph.sample(count, 3)
    return np.abs(model.network(points.astype(model.network.dtype)) - graph.evaluate(points)).max()


def test_a_product_of_pieces_is_proved(product_model):
    graph = product_graph()
    certificate = atlasmoe.certify(product_model)
    assert certificate.status == "proved"
    assert worst(product_model, graph) <= certificate.bound <= 2e-2
    assert {claim.name for claim in certificate.claims} >= {"total", "block[a].error", "block[a].routing", "combine[f].error"}
    assert all(claim.known == "proved" for claim in certificate.claims)


@pytest.mark.parametrize(("depth", "dtype"), [("paper", "float64"), ("L+1", "float32")])
def test_jumps_are_proved_at_every_interface_and_read_outs_add_up(depth, dtype):
    graph = sum_graph(3, 4)
    model = atlasmoe.compile(graph, epsilon=0.1, depth=depth, dtype=dtype)
    certificate = atlasmoe.certify(model)
    assert certificate.status == "proved"
    assert worst(model, graph) <= certificate.bound <= 0.1
    assert all(certificate[f"block[b{k}].routing"].known == "proved" for k in range(3))


def test_more_pieces_than_anybody_can_count():
    graph = sum_graph(16, 4)
    certificate = atlasmoe.certify(atlasmoe.compile(graph, epsilon=2.0), tightness=2.0)
    assert graph.pieces == 4**16
    assert certificate.status == "proved"
    assert certificate.bound <= 2.0


def test_a_block_on_earlier_values_is_proved_across_a_kink():
    graph = chain_graph()
    model = atlasmoe.compile(graph, epsilon=0.05)
    certificate = atlasmoe.certify(model)
    assert certificate.status == "proved"
    assert worst(model, graph) <= certificate.bound
    # Next to the kink either piece may be taken, but none that is further away than what is read is off.
    assert certificate["block[b].routing"].known == "proved"
    assert certificate["block[b].routing"].bound == certificate.sites[1].moves.max() > 0


@pytest.mark.parametrize(("first", "jump"), [("a", 0.0), ("a + 2", 2.0), ("Piecewise((a, a > 0), (a - 1, True))", np.inf)])
def test_what_a_small_move_may_change(first, jump):
    tiling = Tiling.intervals([-1, 0.6, 3])
    block = Block.parse("b", ("a",), tiling, [first, "3/5 + 2*(a - 3/5)"])
    charts = dataclasses.replace(tiling, coordinates=("a",)).parametrising
    task = ManifoldTask("b", Atlas(("a",), charts), ChartTarget(tuple(block.local(i) for i in range(2))))
    (moved,) = spread(task, np.array([1e-6]), tiling)
    assert jump + 2e-6 <= moved <= (jump + 2e-6) * (1 + 2.0**-19)  # twice the factor that covers its own rounding
    assert spread(task, np.zeros(1), tiling) == 0
    # What points within reach of each other really differ by.
    z = np.linspace(0.6 - 2e-6, 0.6 + 2e-6, 9)
    values = np.where(z < 0.6, block.subtask(0, z[:, None])[:, 0], block.subtask(1, z[:, None])[:, 0])
    near = np.abs(z[:, None] - z) <= 1e-6
    assert np.abs(values[:, None] - values)[near].max() <= moved


def test_manifolds_and_intervals_in_one_graph():
    circle, point = Input("c", builtin("circle", charts=3)), Input("t", Box((-1.0,), (1.0,)))
    around = Block.parse("around", circle.coordinates, circle.manifold, "c_1*c_2")
    along = Block.parse("along", ("t",), Tiling.intervals([-1, 0, 1]), ["-t", "t"])
    graph = TaskGraph("mixed", (circle, point, around, along, Combine.parse("f", ("around", "along"), "around + along/2")), "f")
    model = atlasmoe.compile(graph, epsilon=0.1)
    certificate = atlasmoe.certify(model)
    assert certificate.status == "proved"
    assert certificate["block[around].cover"].known == "proved"
    assert worst(model, graph) <= certificate.bound <= 0.1


def test_a_smooth_combination_of_values_that_are_not_settled_says_so():
    circle = Input("c", builtin("circle", charts=3))
    around = Block.parse("around", circle.coordinates, circle.manifold, "c_1*c_2")
    graph = TaskGraph("square", (circle, around, Combine.parse("f", ("around",), "around**2")), "f")
    certificate = atlasmoe.certify(atlasmoe.compile(graph, epsilon=0.1), boxes=10)
    assert certificate.status == "unknown"
    assert any("around, which it reads, is not proved on all boxes" in claim.note for claim in certificate.claims)


def collar_graph():
    """A point of a circle is computed, and read by a block on the circle."""
    time = Input("t", Box((0.0,), (3.0,)))
    point = Combine.parse("p", ("t",), ["cos(t)", "sin(t)"])
    return TaskGraph("collar", (time, point, Block.parse("g", ("p_1", "p_2"), builtin("circle", charts=3), "p_1*p_2")), "g")


def test_a_block_on_charts_reads_computed_values():
    graph = collar_graph()
    model = atlasmoe.compile(graph, epsilon=0.1)
    certificate = atlasmoe.certify(model)
    assert certificate.status == "proved"
    assert certificate["block[g].routing"].known == "proved"
    assert worst(model, graph) <= certificate.bound <= 0.1
    (point, block) = certificate.sites
    assert block.moves.tolist() == [value.error for value in point.values]
    # Whatever is read in the place of the point, as far away as it may be.
    angle = np.linspace(0, 2 * np.pi, 4001)
    truth = np.cos(angle) * np.sin(angle)
    for signs in np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]]):
        read = np.stack([np.cos(angle), np.sin(angle)], axis=1) + signs * block.moves
        assert np.abs(block.part.network(read)[:, 0] - truth).max() <= certificate["block[g].error"].bound


def test_what_is_read_too_far_away_is_not_proved():
    """The same block behind values that are off by as much as the charts are large."""
    graph = collar_graph()
    model = atlasmoe.compile(graph, epsilon=0.1)
    spoiled = changed(model.network, 0, 0, shifted(0.4))
    assert atlasmoe.certify(spoiled, graph, epsilon=5.0, boxes=20_000)["block[g].routing"].known == "unknown"


def test_scores_are_followed_at_every_site_that_promises_them():
    circle = Input("c", builtin("circle", charts=3))
    around = Block.parse("around", circle.coordinates, circle.manifold, "c_1*c_2")
    graph = TaskGraph("direct", (circle, around), "around")
    model = atlasmoe.compile(graph, epsilon=0.1)
    (site,) = model.design.sites
    for delta, known in ((0.1, "proved"), (1e-6, "refuted")):
        promising = dataclasses.replace(model.design, sites=(dataclasses.replace(site, promise=ScorePromise(0.33, delta)),))
        certificate = atlasmoe.certify(dataclasses.replace(model, design=promising))
        assert certificate["block[around].routing.tau"].known == known
        assert certificate.status == "proved"
        assert certificate["block[around].routing.max_tau"].known == ("proved" if known == "proved" else "unknown")
    (proved,) = certificate.sites
    assert len(proved.scores.trees) == 3


@pytest.mark.parametrize(("prefers", "known"), [(None, "proved"), (1, "unknown")])
def test_a_gate_over_charts_is_looked_at_although_all_experts_are_equal(prefers, known):
    circle = Input("c", builtin("circle", charts=3))
    graph = TaskGraph("line", (circle, Block.parse("b", circle.coordinates, circle.manifold, "c_1")), "b")
    model = atlasmoe.compile(graph, epsilon=0.1)
    last = model.network.layers[-1]
    row = np.zeros((1, last.experts[0].inputs))
    row[0, 0] = 1.0
    maps = (Affine(np.concatenate([row, -row]), np.zeros(2)), Affine(np.array([[1.0, -1.0]]), np.zeros(1)))
    same = dataclasses.replace(last, experts=(ReLUNet(maps, ((NeuronGroup("c_1", 2, "by hand"),),)),), serves=(0, 0, 0))
    if prefers is not None:
        same = dataclasses.replace(same, gate=Affine(np.zeros_like(last.gate.weight), np.eye(3)[prefers]))
    certificate = atlasmoe.certify(Network((*model.network.layers[:-1], same), model.network.inputs), graph, epsilon=0.1, boxes=6000)
    assert certificate["block[b].routing"].known == known
    assert certificate.sites[0].part.network.layers[-1].names == last.names


def test_an_interrupted_proof_of_a_graph_goes_on_to_the_same_certificate(product_model, tmp_path, monkeypatch):
    place, options = tmp_path / "progress", {"tightness": 1.01}
    judge, calls = ErrorJudge.__call__, [0, 0]

    def counted(self, lower, upper):
        calls[0] += 1
        if calls[0] == calls[1]:
            raise KeyboardInterrupt
        return judge(self, lower, upper)

    monkeypatch.setattr(ErrorJudge, "__call__", counted)
    whole = atlasmoe.certify(product_model, **options)
    needed = calls[0]
    for stop in (2, needed - 1):  # in the first site, and in the last, which reads the values of the others
        calls[:] = [0, stop]
        with pytest.raises(KeyboardInterrupt):
            atlasmoe.certify(product_model, **options, checkpoint=place)
        assert place.is_file()
        calls[:] = [0, 0]
        resumed = atlasmoe.certify(product_model, **options, checkpoint=place)
        assert not place.exists()
        assert (resumed.bound, resumed.boxes) == (pytest.approx(whole.bound, rel=1e-12), whole.boxes)
        for name, tree in whole.trees.items():
            np.testing.assert_allclose(tree.bounds, resumed.trees[name].bounds, rtol=1e-12)


def test_all_sites_share_the_boxes_that_are_allowed():
    graph = sum_graph(3, 4)
    model = atlasmoe.compile(graph, epsilon=0.1)
    # A search begins with 511 boxes, of which none is judged unless it is allowed more; there are twelve, and perhaps one of f.
    assert atlasmoe.certify(model, boxes=13 * 511).status == "unknown"
    assert atlasmoe.certify(model, boxes=13 * 512).status == "proved"


def test_nothing_is_said_of_what_reads_open_boxes():
    certificate = atlasmoe.certify(atlasmoe.compile(chain_graph(), epsilon=0.05), boxes=2 * 511)
    assert certificate.status == certificate["block[a].error"].known == "unknown"
    assert certificate["total"].note == "a, which it reads, is not proved on all boxes"
    assert [claim.name for claim in certificate.claims if claim.name.startswith("block[b]")] == []


def test_charts_and_sites_side_by_side_prove_the_same(product_model):
    alone = atlasmoe.certify(product_model)
    with joblib.parallel_config(n_jobs=2):
        together = atlasmoe.certify(product_model)
    assert together.status == "proved"
    assert together.bound == pytest.approx(alone.bound, rel=0.1)


def changed(network, layer, expert, change):
    """The network with one expert replaced."""
    moe = network.layers[layer]
    experts = list(moe.experts)
    experts[expert] = change(experts[expert])
    layers = list(network.layers)
    layers[layer] = dataclasses.replace(moe, experts=tuple(experts))
    return Network(tuple(layers), network.inputs)


def shifted(by):
    def change(net):
        last = net.affines[-1]
        return ReLUNet((*net.affines[:-1], Affine(last.weight, last.bias + by)), net.groups)

    return change


def moved_knot(net):
    first = net.affines[0]
    bias = first.bias.copy()
    bias[np.flatnonzero(bias)[0]] += 1e-9
    return ReLUNet((Affine(first.weight, bias), *net.affines[1:]), net.groups)


def test_a_wrong_expert_is_refuted_where_the_network_is_wrong(product_model):
    network = changed(product_model.network, 3, 1, shifted(0.3))
    certificate = atlasmoe.certify(network, product_graph(), epsilon=2e-2)
    assert certificate.status == "refuted"
    witness = np.array([certificate["total"].witness])
    assert np.abs(network(witness) - product_graph().evaluate(witness)).max() > 2e-2


def test_a_knot_of_the_router_that_is_a_billionth_off_is_not_proved():
    graph = sum_graph(2, 3)
    model = atlasmoe.compile(graph, epsilon=0.1)
    assert atlasmoe.certify(model, tightness=None).status == "proved"
    spoiled = changed(model.network, 0, 0, moved_knot)
    certificate = atlasmoe.certify(spoiled, graph, epsilon=0.1, tightness=1.5, boxes=20_000)
    assert certificate.status != "proved"  # between the knots lies an interval where the wrong piece is taken


def test_a_router_is_recognised_only_if_it_is_one():
    graph = sum_graph(1, 3)
    model = atlasmoe.compile(graph, epsilon=0.1)
    tiling, matrix = graph.blocks[0].domain, np.eye(1)
    assert sorted(tiling_router(model.network, tiling, matrix)) == [0, 1, 2]
    assert tiling_router(changed(model.network, 0, 0, moved_knot), tiling, matrix) is None
    upper = Tiling.intervals(range(4), closed="upper")
    assert tiling_router(model.network, upper, matrix) is None  # the same boxes, other owners of the interfaces


def test_scores_inside_the_gate_are_recognised_too():
    """The two layers of a router as one with a gate that has a hidden layer (N1): the same pieces, in one layer."""
    graph = sum_graph(1, 3)
    model = atlasmoe.compile(graph, epsilon=0.1)
    last = model.network.layers[-1]
    scores = Slicer(model.network).slice(1, last.gate.weight.argmax(1).tolist(), ())
    part = Slicer(model.network).slice(2, [0], ())
    gate, inner = scores.network.layers[0].experts[0], part.network.layers[-1]
    network = Network((MoELayer(gate, inner.experts, inner.serves, inner.names, ("y[f]",)),), ("x[0]",))
    points = graph.sample(300, 2)
    np.testing.assert_allclose(network(points), model.network(points), rtol=0, atol=1e-12)
    assert tiling_router(network, graph.blocks[0].domain, np.eye(1)) == tiling_router(model.network, graph.blocks[0].domain, np.eye(1))
    certificate = atlasmoe.certify(network, graph, epsilon=0.1)
    assert certificate.status == "proved"
    assert certificate["block[b0].routing"].known == "proved"
    spoiled = MoELayer(moved_knot(gate), inner.experts, inner.serves, inner.names, ("y[f]",))
    assert tiling_router(Network((spoiled,), ("x[0]",)), graph.blocks[0].domain, np.eye(1)) is None


def test_a_slice_computes_what_the_network_computes(product_model):
    network, graph = product_model.network, product_graph()
    slicer = Slicer(network)
    points = graph.sample(300, 1)
    states = network.trace(points).states
    for name in ("a", "b"):
        layer, channel = slicer.computed(product_model.design, Value(name))
        part = slicer.slice(layer, [channel], (), (0, 0))
        assert len(part.reads) == 1
        inputs = points[:, [origin[1] for origin in part.reads]]
        np.testing.assert_allclose(part.network(inputs)[:, 0], states[layer - 1][:, channel], rtol=0, atol=1e-12)


def test_what_cannot_be_proved_says_why():
    circle = Input("c", builtin("circle", charts=3))
    around = Block.parse("around", circle.coordinates, circle.manifold, "c_1*c_2")
    graph = TaskGraph("direct", (circle, around, Combine.parse("f", ("around", "c_1"), "around*c_1")), "f")
    certificate = atlasmoe.certify(atlasmoe.compile(graph, epsilon=0.1))
    assert certificate.status == "unknown"
    assert "c_1 is a coordinate of a manifold" in certificate["total"].note


def test_written_beside_the_weights(product_model, tmp_path):
    folder = atlasmoe.save(product_model, tmp_path / "model")
    certificate = atlasmoe.certify(atlasmoe.load(folder))
    document = json.loads(certificate.write(folder).read_text())
    assert (document["kind"], document["status"]) == ("graph", "proved")
    assert [(site["name"], site["kind"]) for site in document["sites"]] == [("a", "block"), ("b", "block"), ("f", "combine")]
    assert [piece["name"] for piece in document["sites"][0]["pieces"]] == ["piece1", "piece2", "piece3"]
    assert document["sites"][2]["reads"] == [document["sites"][0]["channels"][0], document["sites"][1]["channels"][0]]
    assert document["readout"]["error"][0] == document["bound"]
    other = dataclasses.replace(certificate, network=changed(product_model.network, 3, 1, shifted(0.3)))
    with pytest.raises(atlasmoe.FolderError, match="is not what was certified"):
        other.write(folder)


def cancelling_graph(text):
    inputs = [Input(name, Box((-1.0,), (1.0,))) for name in ("u", "v")]
    blocks = [Block.parse(name, (read,), Tiling.intervals([-1, 0, 1]), [f"{read}/2", read]) for name, read in (("a", "u"), ("b", "v"))]
    return TaskGraph("cancels", (*inputs, *blocks, Combine.parse("f", ("a", "b"), text)), "f")


def test_what_only_cancels_is_not_proved():
    """sqrt(a)**2 is a for sympy, and undefined where a < 0: no weights of the read-out approximate it."""
    model = atlasmoe.compile(cancelling_graph("a + b"), epsilon=1e-3)
    assert atlasmoe.certify(model).status == "proved"
    certificate = atlasmoe.certify(dataclasses.replace(model, task=cancelling_graph("sqrt(a)**2 + b")))
    assert certificate.status != "proved"
