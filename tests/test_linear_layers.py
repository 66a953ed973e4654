"""Linear hidden layers and encoders: the same function for numpy, the search, the checker, PyTorch; and files."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from atlasmoe.errors import InvalidArgument
from atlasmoe.export.torch_module import to_torch
from atlasmoe.moe import MoELayer, Network
from atlasmoe.moe.activations import IDENTITY, RELU, SILU, Activation
from atlasmoe.moe.layout import describe, read_network, tensors
from atlasmoe.moe.nets import Affine, Net, NeuronGroup
from atlasmoe.moe.typed_json import Fields
from atlasmoe.verify.check.layers import read_layers
from atlasmoe.verify.check.nets import IDENTITY as LINEAR
from atlasmoe.verify.check.rounding import Sized, Way, through
from atlasmoe.verify.enclosure import TaylorForms, prepare
from atlasmoe.verify.prove.evaluation import evaluations
from atlasmoe.verify.prove.linear import split
from atlasmoe.verify.prove.rounding import Sized as Range
from atlasmoe.verify.prove.rounding import network as proved


def net_of(rng: np.random.Generator, widths: list[int], kinds: list[list[Activation]], dtype: str = "float64") -> Net:
    """Random maps; `kinds` neuron by neuron. A layer that is linear throughout has no bias."""
    maps = []
    for j, (n, m) in enumerate(pairwise(widths)):
        weight = rng.normal(size=(m, n)).astype(dtype)
        linear = j < len(kinds) and all(kind is IDENTITY for kind in kinds[j])
        maps.append(Affine.without_bias(weight) if linear else Affine(weight, rng.normal(size=m).astype(dtype)))
    return Net(tuple(maps), tuple(tuple(NeuronGroup("n", 1, "test", kind) for kind in layer) for layer in kinds))


def network_of(rng: np.random.Generator, dtype: str = "float64") -> Network:
    """Two factorised experts and a third of mixed kinds behind one encoder."""
    latent = Affine.without_bias(rng.normal(size=(3, 5)).astype(dtype) / 3)
    kinds = [[IDENTITY] * 2, [RELU] * 6], [[IDENTITY] * 2, [RELU] * 4], [[IDENTITY, RELU], [IDENTITY] + [RELU] * 3]
    experts = tuple(net_of(rng, [3, 2, len(kind[1]), 1], kind, dtype) for kind in kinds)
    gate = Affine(rng.normal(size=(3, 5)).astype(dtype), np.zeros(3, dtype))
    shared = net_of(rng, [5, 4, 1], [[RELU] * 4], dtype)
    layer = MoELayer(gate.net, experts, (0, 1, 2), ("a", "b", "c"), ("y",), latent=latent, shared=shared)
    return Network((layer,), tuple("vwxyz"))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_encoder_is_a_linear_layer_of_every_expert(dtype: str) -> None:
    rng = np.random.default_rng(0)
    network = network_of(rng, dtype)
    x = rng.normal(size=(300, 5)).astype(dtype)
    plain = network.plainly()
    assert plain.layers[0].latent is None
    assert len(plain.layers[0].experts[0].affines) == 4
    for sums in ("plain", "blocks", "float64"):
        np.testing.assert_array_equal(network(x, sums), plain(x, sums))
        ours = to_torch(network, sums=sums)(torch.from_numpy(x)).detach().numpy()
        np.testing.assert_allclose(
            ours, network(x, sums), rtol=1e-4 if dtype == "float32" else 1e-12, atol=1e-5 if dtype == "float32" else 1e-12
        )
        if sums == "float64":  # a stack sorts neurons of several kinds by kind
            rows = network.trace(x).routes[0] < 2
            np.testing.assert_array_equal(ours[rows], network(x, sums)[rows])
    layer = network.layers[0]
    low = x[:1] @ layer.latent.weight.T
    expert = layer.experts[int(layer.logits(x[:1]).argmax())]
    np.testing.assert_allclose(network(x[:1]), expert(low) + layer.shared(x[:1]), rtol=1e-4)
    assert network.parameters == sum(net.parameters for net in layer.nets) + 15
    assert network.rounded("bfloat16").layers[0].latent is not None if dtype == "float32" else True


def test_files_hold_encoders_and_no_biases_of_linear_maps() -> None:
    network = network_of(np.random.default_rng(1))
    described, arrays = describe(network), tensors(network)
    assert sum(a.size for a in arrays.values()) == network.parameters
    assert "layers.0.latent.weight" in arrays
    assert "layers.0.latent.bias" not in arrays
    assert "layers.0.experts.0.affines.0.bias" not in arrays
    config = Fields(described, Path("config.json"))
    again = read_network(config, arrays)
    x = np.random.default_rng(2).normal(size=(50, 5))
    np.testing.assert_array_equal(again(x), network(x))
    assert again.parameters == network.parameters
    assert tensors(again).keys() == arrays.keys()


def confirmed(network: Network):
    return read_layers(Fields({"network": describe(network)}, Path("config.json")).child("network"), tensors(network))[2]


def evaluate(net, x: np.ndarray) -> np.ndarray:
    """A net as the checker takes it apart."""
    out = x @ net.skip.T
    for map_ in net.maps[:-1]:
        z = x @ map_.weight.T + map_.bias
        x = np.where(map_.kinds == LINEAR, z, np.maximum(z, 0))
    return out + x @ net.maps[-1].weight.T + net.maps[-1].bias


def carrying(kinds: list[Activation], signs: list[int]) -> Net:
    """±x_0 and ∓x_0 through layers of the given kinds, read with ±3, beside another neuron; signs turn the way."""
    first = np.array([[1.0, 0.0], [-1.0, 0.0], [0.5, 0.25]])
    maps = [Affine(first, np.array([0.0, 0.0, 0.5]))]
    maps += [Affine(np.diag([float(sign), float(sign), 1.0]), np.zeros(3)) for sign in signs]
    groups = tuple((NeuronGroup("n", 3, "test", kind),) for kind in kinds)
    return Net((*maps, Affine(np.array([[3.0, -3.0, 1.0]]), np.zeros(1))), groups)


@pytest.mark.parametrize(
    ("kinds", "signs", "passes"),
    [
        ([RELU, RELU], [1], True),
        ([IDENTITY, RELU], [1], True),
        ([IDENTITY, RELU], [-1], True),
        ([RELU, RELU], [-1], False),
        ([RELU, IDENTITY, RELU], [1, -1], False),
        ([RELU, IDENTITY, RELU], [1, 1], True),
        ([IDENTITY, IDENTITY, RELU], [-1, -1], True),
        ([IDENTITY], [], False),
        ([RELU, IDENTITY], [-1], False),
        ([IDENTITY, SILU], [-1], True),
    ],
)
def test_what_passes_linear_layers_is_told_from_what_does_not(kinds: list[Activation], signs: list[int], passes: bool) -> None:
    net, x = carrying(kinds, signs), np.random.default_rng(0).normal(size=(100, 2))
    parts = split(net)
    np.testing.assert_allclose(x @ parts.carried.T + parts.rest(x), net(x), rtol=1e-12, atol=1e-12)
    assert bool(parts.carried.any()) == passes
    if SILU not in kinds:
        layer = MoELayer(None, (net,), (0,), ("a",), ("y",))
        read = confirmed(Network((layer,), ("v", "w")))[0].nets[0]
        np.testing.assert_allclose(evaluate(read, x), net(x), rtol=1e-12, atol=1e-12)
        assert bool(read.skip.any()) == passes


@pytest.mark.parametrize("seed", range(4))
def test_enclosures_hold_linear_layers_and_are_no_wider(seed: int) -> None:
    rng = np.random.default_rng(seed)
    net = network_of(rng).plainly().layers[0].experts[seed % 3]
    lower = rng.normal(size=(20, 5))
    upper = lower + 0.2
    found = prepare(net)(TaylorForms.variables(lower, upper)).range()
    for t in rng.uniform(size=(50, 20, 5)):
        y = net((lower + t * (upper - lower)).reshape(-1, 5)).reshape(20, -1)
        assert (y >= found.lower).all()
        assert (y <= found.upper).all()
    if seed % 3 < 2:
        one = net.affines[2].after(net.affines[1].after(net.affines[0]))
        whole = prepare(Net((one, net.affines[3]), net.groups[2:]))(TaylorForms.variables(lower, upper)).range()
        assert (found.upper - found.lower <= (whole.upper - whole.lower) * (1 + 1e-9) + 1e-12).all()


@pytest.mark.parametrize("seed", range(3))
def test_what_floats_add_to_linear_layers_is_bounded_twice(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = network_of(rng, "float32")
    lower = rng.normal(size=(40, 5)).astype("float32").astype(float)
    upper = lower + 0.05
    x = np.clip((lower + rng.uniform(size=lower.shape) * 0.05).astype("float32"), lower, upper).astype("float32")
    ways = [way for way in evaluations(network.plainly()) if way.name.startswith("float32")]
    found = proved(network.plainly(), Range(lower, upper, np.zeros((len(ways), *lower.shape))), ways)[1]
    routes = network.trace(x).routes[0]
    truth = network.astype(float).trace(x.astype(float), [routes]).output
    (layer,), cells = confirmed(network), Sized(lower, upper, np.zeros_like(lower))
    for k, way in enumerate(ways):
        sums = way.name.partition(".")[2] or "plain"
        seen = np.abs(network.trace(x, [routes], sums).output.astype(float) - truth)[:, 0]
        assert (seen <= found[k]).all()
        for number, net in enumerate(network.plainly().layers[0].experts):
            allowed = through(layer.nets[number], cells, Way(way.name, 6)).error[:, 0]
            assert (np.abs(net(x, sums).astype(float) - net.astype(float)(x.astype(float)))[:, 0] <= allowed).all()
            assert (allowed < 1e-4).all()


def test_the_identity_knows_itself() -> None:
    z = np.array([-2.0, 0.0, 3.5])
    values, errors = IDENTITY.derivatives(z, 3)
    np.testing.assert_array_equal(values, [z, np.ones(3), np.zeros(3), np.zeros(3)])
    assert not errors.any()
    assert [IDENTITY.supremum(n) for n in (1, 2, 5)] == [1.0, 0.0, 0.0]
    np.testing.assert_array_equal(IDENTITY.range(z - 1, z), (z - 1, z))
    assert IDENTITY(z) is not z
    np.testing.assert_array_equal(IDENTITY(z), z)


def test_misfits_are_refused() -> None:
    network = network_of(np.random.default_rng(3))
    layer = network.layers[0]
    with pytest.raises(InvalidArgument, match="encoder reads 4"):
        replace(layer, latent=Affine.without_bias(np.ones((3, 4))), reads=(0, 1, 2, 3, 4))
    with pytest.raises(InvalidArgument, match="an expert maps"):
        replace(layer, latent=Affine.without_bias(np.ones((2, 5))))
    with pytest.raises(InvalidArgument, match="bias that is not 0"):
        Affine(np.ones((1, 1)), np.ones(1), linear=True)
