"""Activations against arbitrary precision, and nets that have them: lanes, files, sums of nets."""

from __future__ import annotations

import copy
import itertools
import json
import math
import pickle

import numpy as np
import pytest
import torch
from atlasmoe.atlas import options
from atlasmoe.errors import FolderError, InvalidArgument
from atlasmoe.export import stages
from atlasmoe.export.formats import c_source
from atlasmoe.export.formats.numpy_template import PROGRAM
from atlasmoe.moe import ACTIVATIONS, Affine, MoELayer, Net, Network, NeuronGroup, Ridge
from atlasmoe.moe.activations import GELU, GELU_TANH, IDENTITY, RELU, RELU2, SILU, activation
from atlasmoe.moe.exact_activations import TAILS
from atlasmoe.moe.layout import describe, read_network, tensors
from atlasmoe.moe.nets import beside
from atlasmoe.moe.ridge import Dictionary
from atlasmoe.moe.typed_json import Fields
from atlasmoe.verify.check.nets import KINDS
from flint import arb, arb_series, ctx

SMOOTH = (GELU, GELU_TANH, SILU)
TORCH = {
    "relu": torch.relu,
    "relu2": lambda z: torch.relu(z) ** 2,
    "gelu": torch.nn.functional.gelu,
    "gelu_tanh": lambda z: torch.nn.functional.gelu(z, approximate="tanh"),
    "silu": torch.nn.functional.silu,
}


def exactly(name: str, x):
    """The activation of an arb or arb_series."""
    if name == "silu":
        return x / (1 + (-x).exp())
    if name == "gelu":
        return x * (1 + (x / arb(2).sqrt()).erf()) / 2
    return x / (1 + (-(2 * (2 / arb.pi()).sqrt()) * (x + arb("0.044715") * x * x * x)).exp())


def test_every_table_has_every_activation() -> None:
    """Where a new one has to be made known: a command that meets it in a table without it ends in a defect, not in a sentence."""
    names, bent = set(ACTIVATIONS), set(ACTIVATIONS) - {"identity"}
    assert set(options.ACTIVATIONS) == bent | {"auto"}
    assert set(TAILS) == {act.name for act in SMOOTH} == {name for name in bent if ACTIVATIONS[name].smooth}
    assert set(KINDS) == set(stages.FUNCTIONS) == set(c_source.KINDS) == set(c_source.BENT) == names
    assert [name for name in bent if f'name == "{name}"' not in PROGRAM] == []


@pytest.fixture(autouse=True)
def digits():
    before = ctx.prec, ctx.cap
    ctx.prec, ctx.cap = 200, 17
    yield
    ctx.prec, ctx.cap = before


@pytest.mark.parametrize("act", SMOOTH, ids=str)
def test_derivatives_and_their_suprema(act):
    """Every derivative lies within its error bound of the truth, no derivative exceeds its supremum, and suprema are attained."""
    rng = np.random.default_rng(7)
    top = len(act.suprema) if act is GELU_TANH else 14
    z = np.concatenate(
        [rng.normal(size=80) * 2, rng.uniform(-45, 45, 40), [0.0, -0.0, 1e-300, -1e-9, 38.0, -38.0, 1e3, -1e3], np.linspace(-6, 6, 97)]
    )
    values, errors = act.derivatives(z, top)
    largest = np.zeros(top + 1)
    for point, found, slack in zip(z, values.T, errors.T, strict=True):
        series = exactly(act.name, arb_series([arb(float(point)), 1], top + 1))
        for n in range(top + 1):
            truth = series[n] * arb(math.factorial(n))
            assert abs(truth - arb(float(found[n]))).lower() <= float(slack[n]), (point, n)
            largest[n] = max(largest[n], float(abs(truth).lower()))
            if n:
                assert float(abs(truth).lower()) <= act.supremum(n)
    assert (largest[1:] > 0.97 * np.array(act.suprema[:top])).all()
    useful = np.where(np.arange(2, top + 1) <= 6, 1e-8, 1e-4) * np.array(act.suprema[1:top])
    assert (errors[2:, np.abs(z) < 6].max(1) < useful).all(), "error bounds are of use"


def test_suprema_are_proved():
    """Branch and bound once more, for the orders that proofs rest on most."""
    for act in SMOOTH:
        for order in (2, 5):
            boxes = [(k / 8, (k + 1) / 8) for k in range(-64, 64)]
            while boxes:
                low, high = boxes.pop()
                middle = (low + high) / 2
                wide = exactly(act.name, arb_series([arb(middle, (high - low) / 2), 1], order + 2))
                exact = exactly(act.name, arb_series([arb(middle), 1], order + 1))
                bound = abs(exact[order]) + abs(wide[order + 1]) * (order + 1) * arb((high - low) / 2)
                if not float((bound * math.factorial(order)).upper()) <= act.supremum(order) * (1 + 1e-9):
                    assert high - low > 1e-7, (act, order, middle)
                    boxes += [(low, middle), (middle, high)]


@pytest.mark.parametrize("act", [act for act in ACTIVATIONS.values() if act is not IDENTITY], ids=str)
def test_evaluation_slips_no_further_than_said(act):
    rng = np.random.default_rng(3)
    for dtype in (np.float32, np.float64):
        z = np.concatenate([rng.normal(size=200) * 3, rng.uniform(-60, 60, 100), [0.0, 1e-30, -1e-30]]).astype(dtype)
        for found in (act(z), TORCH[act.name](torch.from_numpy(z)).numpy()):
            assert found.dtype == dtype
            slack = act.rounded(np.abs(z.astype(float)), float(np.finfo(dtype).eps) / 2) + float(np.finfo(dtype).tiny)
            for point, value, allowed in zip(z, found, slack, strict=True):
                x = float(point)
                truth = arb(max(x, 0)) ** (2 if act is RELU2 else 1) if act in (RELU, RELU2) else exactly(act.name, arb(x))
                assert float(abs(truth - arb(float(value))).lower()) <= allowed, (dtype, x)
    low, high = act.range(z - 0.5, z + np.abs(z))
    for t in (-0.5, -0.25, 0.0, 0.4, 1.0):
        inside = act(np.clip(z + t * (0.5 if t < 0 else np.abs(z)), z - 0.5, z + np.abs(z)))
        slack = act.rounded(np.abs(z) * 2 + 1, 2.0**-52)
        assert ((inside >= low - slack) & (inside <= high + slack)).all()
    low, high = act.range(np.array([-np.inf, -np.inf, 3.0]), np.array([-50.0, np.inf, np.inf]))
    assert (low[:2] <= 0).all()
    assert (low > -0.3).all()
    assert high[0] <= 1e-12
    assert (high[1:] == np.inf).all()
    if act.reflects:
        np.testing.assert_allclose(act(z) - act(-z), z, rtol=1e-15, atol=1e-300)


def test_activations_are_single_objects_with_names():
    for act in ACTIVATIONS.values():
        assert pickle.loads(pickle.dumps(act)) is act
        assert copy.deepcopy(act) is act
        assert activation(act.name) is act
    with pytest.raises(InvalidArgument, match="did you mean 'gelu'"):
        activation("gellu")
    with pytest.raises(InvalidArgument, match="no derivatives"):
        RELU.derivatives(np.zeros(1), 1)


def lanes(rng, widths=(5, 4), inputs=3, outputs=2, gated=(True, False), dtype=float) -> Net:
    """A net of several activations, some of whose layers are gated."""
    sizes = (inputs, *widths, outputs)
    maps = [Affine(rng.normal(size=(b, a)).astype(dtype), rng.normal(size=b).astype(dtype)) for a, b in itertools.pairwise(sizes)]
    ups = tuple(
        Affine(rng.normal(size=(b, a)).astype(dtype), rng.normal(size=b).astype(dtype)) if gate else None
        for a, b, gate in zip(sizes, widths, gated, strict=False)
    )
    kinds = list(ACTIVATIONS.values())
    groups = tuple((NeuronGroup("a", 2, "test", kinds[j]), NeuronGroup("b", w - 2, "test", kinds[j + 2])) for j, w in enumerate(widths))
    return Net(tuple(maps), groups, ups)


def test_a_net_is_what_its_layers_say():
    rng = np.random.default_rng(0)
    net, x = lanes(rng), rng.normal(size=(7, 3))
    hidden = net.affines[0](x)
    hidden = np.concatenate([np.maximum(hidden[:, :2], 0), GELU(hidden[:, 2:])], axis=1) * net.ups[0](x)
    second = net.affines[1](hidden)
    second = np.concatenate([np.maximum(second[:, :2], 0) ** 2, GELU_TANH(second[:, 2:])], axis=1)
    np.testing.assert_allclose(net(x), net.affines[2](second), rtol=1e-14)
    assert net.gated
    assert not net.plain
    assert net.parameters == sum(m.weight.size + m.bias.size for m in (*net.affines, net.ups[0]))
    inner = Affine(rng.normal(size=(3, 6)), rng.normal(size=3))
    outer = lanes(rng, (4,), 2, 1, (True,))
    z = rng.normal(size=(5, 6))
    np.testing.assert_allclose(net.after(inner)(z), net(inner(z)), rtol=1e-12)
    np.testing.assert_allclose(net.then(outer)(x), outer(net(x)), rtol=1e-10)
    a, b = lanes(rng, (3,), 3, 2, (False,)), lanes(rng, (4,), 3, 2, (True,))
    np.testing.assert_allclose(beside(a, b)(x), a(x) + b(x), rtol=1e-12)
    with pytest.raises(InvalidArgument, match="gated by"):
        Net(net.affines, net.groups, (net.affines[1], None))


def test_files_hold_activations_and_lanes(tmp_path):
    rng = np.random.default_rng(1)
    layer = MoELayer(Affine(rng.normal(size=(2, 3)), np.zeros(2)), (lanes(rng), lanes(rng)), (0, 1), ("p", "q"), ("f", "g"))
    network = Network((layer,), ("x", "y", "z"))
    described = json.loads(json.dumps(describe(network)))
    again = read_network(Fields.of(described, tmp_path / "config.json"), tensors(network))
    x = rng.normal(size=(20, 3))
    np.testing.assert_array_equal(again(x), network(x))
    assert [g.activation for layer in again.layers[0].experts[0].groups for g in layer] == [RELU, GELU, RELU2, GELU_TANH]
    described["layers"][0]["experts"][0]["hidden"][0][0]["activation"] = "swish"
    with pytest.raises(FolderError, match="'swish', not one of"):
        read_network(Fields.of(described, tmp_path / "config.json"), tensors(network))
    half = network.rounded("bfloat16").layers[0].experts[0]
    assert half.ups[0] is not None
    assert not np.array_equal(half.ups[0].weight, layer.experts[0].ups[0].weight)


@pytest.mark.parametrize("act", [RELU, GELU, SILU, RELU2], ids=str)
def test_ridges_have_activations_and_lanes(act):
    rng = np.random.default_rng(2)
    directions, counts = rng.normal(size=(3, 2)), (2, 4, 3)
    dictionary = Dictionary(directions, counts, rng.normal(size=9), np.where(rng.random(9) < 0.5, -1.0, 1.0), act)
    x = rng.normal(size=(400, 2)) * 3
    for ups in (None, Affine(rng.normal(size=(9, 2)), rng.normal(size=9))):
        ridge = Ridge(dictionary, rng.normal(size=(2, 9)), rng.normal(size=2), ups)
        net = ridge.to_net("n", "test")
        np.testing.assert_allclose(ridge(x), net(x), rtol=1e-11, atol=1e-11)
        again = Ridge.of(net)
        assert again.dictionary.activation is act
        assert len(again.dictionary.counts) == 3
        np.testing.assert_allclose(again(x), net(x), rtol=1e-11, atol=1e-11)
        seen = np.abs([(net(x + h) - net(x - h)) / 2e-6 for h in 1e-6 * np.eye(2)]).max(1).T
        assert (seen <= ridge.steepness + 1e-6).all()
        if ups is None and act in (GELU, SILU):
            assert (ridge.steepness < 3 * seen + 1).all(), "a bound of use"
