"""The data types: affine maps, nets, layers, networks, claims, ledgers, ridge forms."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from atlasmoe import Affine, Claim, InvalidArgument, Known, Ledger, MoELayer, Network, NeuronGroup, ReLUNet
from atlasmoe.moe import Ridge
from atlasmoe.moe.ridge import Dictionary
from atlasmoe.moe.typed_json import Fields


def random_net(rng, *sizes: int) -> ReLUNet:
    affines = tuple(Affine(rng.normal(size=(b, a)), rng.normal(size=b)) for a, b in pairwise(sizes))
    groups = tuple((NeuronGroup(f"h{k}", width, "test"),) for k, width in enumerate(sizes[1:-1]))
    return ReLUNet(affines, groups)


def layer(rng, inputs: int, outputs: int, experts: int, serves=None) -> MoELayer:
    serves = tuple(range(experts)) if serves is None else serves
    gate = Affine(rng.normal(size=(len(serves), inputs)), rng.normal(size=len(serves)))
    nets = tuple(random_net(rng, inputs, 5 + k, outputs) for k in range(experts))
    return MoELayer(gate, nets, serves, tuple(f"e{k}" for k in range(len(serves))), tuple(f"y{k}" for k in range(outputs)))


def test_composition_merges_the_inner_affine_maps():
    rng = np.random.default_rng(0)
    inner, outer = random_net(rng, 3, 7, 2), random_net(rng, 2, 6, 4)
    both = inner.then(outer)
    x = rng.normal(size=(50, 3))
    assert len(both.affines) == 3
    assert both.widths == (7, 6)
    np.testing.assert_allclose(both(x), outer(inner(x)), rtol=0, atol=1e-11)


def test_each_input_goes_through_the_expert_of_its_largest_logit():
    rng = np.random.default_rng(1)
    one = layer(rng, 4, 3, 2, serves=(0, 1, 1))
    x = rng.normal(size=(200, 4))
    logits = one.logits(x)
    routes = np.argmax(logits, axis=1)
    assert set(routes) == {0, 1, 2}
    got = one.forward(x, routes)
    for k in range(200):
        np.testing.assert_allclose(got[k], one.experts[one.serves[routes[k]]](x[k : k + 1])[0], rtol=0, atol=1e-12)


def test_the_first_expert_wins_a_tie():
    rng = np.random.default_rng(2)
    one = layer(rng, 2, 1, 3)
    tied = MoELayer(Affine(np.zeros((3, 2)), np.zeros(3)), one.experts, one.serves, one.names, one.channels)
    network = Network((tied,), ("a", "b"))
    assert set(network.trace(rng.normal(size=(10, 2))).routes[0]) == {0}


def test_forced_routes_are_taken():
    rng = np.random.default_rng(3)
    one = layer(rng, 2, 1, 3)
    network = Network((one,), ("a", "b"))
    x = rng.normal(size=(10, 2))
    forced = np.full(10, 2)
    np.testing.assert_allclose(network.trace(x, [forced]).output, one.experts[2](x), rtol=0, atol=1e-12)


def test_casting_rounds_every_number_and_leaves_the_original_alone():
    rng = np.random.default_rng(4)
    network = Network((layer(rng, 2, 2, 2), layer(rng, 2, 1, 3)), ("a", "b"))
    single = network.astype(np.float32)
    assert single.dtype == np.float32
    assert network.dtype == np.float64
    assert single(np.zeros((1, 2))).dtype == np.float32
    assert single.parameters == network.parameters


def test_weights_are_frozen():
    affine = Affine(np.ones((2, 2)), np.ones(2))
    with pytest.raises(ValueError, match="read-only"):
        affine.weight[0, 0] = 5


def test_parameters_count_gates_and_experts_and_active_ones_the_largest_expert():
    rng = np.random.default_rng(5)
    one = layer(rng, 4, 3, 2)
    network = Network((one,), tuple("abcd"))
    sizes = [5 * 4 + 5 + 3 * 5 + 3, 6 * 4 + 6 + 3 * 6 + 3]
    assert network.parameters == 2 * 4 + 2 + sum(sizes)
    assert network.active_parameters == 2 * 4 + 2 + max(sizes)


def test_neurons_know_their_names():
    groups = ((NeuronGroup("carry", 2, "R1"), NeuronGroup("tau", 3, "step 1")),)
    net = ReLUNet((Affine(np.zeros((5, 1)), np.zeros(5)), Affine(np.zeros((1, 5)), np.zeros(1))), groups)
    assert net.neuron(0, 1)[0] == "carry[1]"
    assert net.neuron(0, 4) == ("tau[2]", groups[0][1])
    with pytest.raises(InvalidArgument, match="there is no neuron 5"):
        net.neuron(0, 5)


def test_claims_hold_by_their_sense_and_never_on_nan():
    def claim(bound, budget, sense, known=Known.SAMPLED):
        return Claim("c", "s", "t", budget, bound, known, sense)

    assert claim(1, 1, "<=").holds
    assert claim(1, 1, ">=").holds
    assert not claim(1, 1, ">").holds
    assert not claim(2, 1, "<=").holds
    assert claim(2, 1, ">").holds
    assert not claim(float("nan"), 1, "<=").holds
    assert not claim(float("nan"), 1, ">=").holds
    assert not claim(0, 1, "<=", Known.REFUTED).holds
    assert claim(0.25, 1, "<=").slack == 0.75
    assert claim(3, 1, ">=").slack == 2


def test_ledgers_survive_the_way_through_json():
    import json

    leaf = Claim("leaf", "a ≤ b", "B11", 1.0, 0.5, Known.EXACT, ">=", None, (0.25, -1.0), (), "note")
    ledger = Ledger(Claim("root", "r", "4.8", 2.0, 1.0, Known.SAMPLED, "<=", 100, None, (leaf,)))
    again = Ledger(Claim.read(Fields.of(json.loads(json.dumps(ledger.root.to_dict())), Path("ledger.json"))))
    assert again == ledger
    assert [claim.name for claim in again] == ["root", "leaf"]
    assert not again.holds
    with pytest.raises(InvalidArgument, match="no claim 'stem'"):
        again["stem"]


def random_ridge(rng) -> Ridge:
    directions = rng.normal(size=(3, 2))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    dictionary = Dictionary(directions, (4, 1, 6), rng.normal(size=11), rng.choice([-1.0, 1.0], 11))
    return Ridge(dictionary, rng.normal(size=(2, 11)), rng.normal(size=2))


@pytest.mark.parametrize("seed", range(5))
def test_profiles_and_plain_weights_are_the_same_function(seed):
    """Σ_k q_k(a_k·u) evaluated by prefix sums equals the two-layer net, at knots too."""
    rng = np.random.default_rng(seed)
    ridge = random_ridge(rng)
    net = ridge.to_relu("n", "test")
    u = rng.normal(size=(500, 2))
    np.testing.assert_allclose(ridge(u), net(u), rtol=0, atol=1e-12)
    on_knots = ridge.dictionary.directions[0] * ridge.dictionary.knots[:4, None]
    np.testing.assert_allclose(ridge(on_knots), net(on_knots), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_ridge_form_is_recognised_in_plain_weights(dtype):
    """Rows of one direction are equal bit for bit up to sign, also after rounding."""
    ridge = random_ridge(np.random.default_rng(7))
    net = ridge.to_relu("n", "test").astype(dtype)
    again = Ridge.of(net)
    assert sorted(again.dictionary.counts) == [1, 4, 6]
    rows = {
        (*row, bias)
        for row, bias in zip(again.dictionary.rows.tolist(), (-again.dictionary.facing * again.dictionary.knots).tolist(), strict=True)
    }
    hidden = net.affines[0]
    assert rows == {
        (*row, bias) for row, bias in zip(hidden.weight.astype(float).tolist(), hidden.bias.astype(float).tolist(), strict=True)
    }
    u = np.random.default_rng(8).normal(size=(100, 2)).astype(dtype)
    np.testing.assert_allclose(again(u), net.astype("float64")(u.astype(float)), rtol=0, atol=1e-12)


def test_compiled_experts_have_few_directions():
    import atlasmoe

    task = atlasmoe.load_task(Path(__file__).parents[1] / "examples/sphere_graph.toml")
    model = atlasmoe.compile(task, width=96, routing="plateau")
    for net in model.network.layers[1].experts:
        assert len(Ridge.of(net).dictionary.counts) <= 16 < net.widths[0]
