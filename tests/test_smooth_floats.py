"""Activations and lanes in floats and in exact arithmetic: the numpy network, PyTorch, what rounding adds, and single points."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import atlasmoe
import mpmath
import numpy as np
import pytest
import torch
from atlasmoe.errors import PrecisionWarning
from atlasmoe.export import dispatch, stacks
from atlasmoe.expressions.precise import Enclosed
from atlasmoe.moe import Affine, MoELayer, Network
from atlasmoe.moe import exact_activations as exact
from atlasmoe.moe.activations import RELU
from atlasmoe.moe.exact import evaluate
from atlasmoe.moe.layout import describe, tensors
from atlasmoe.moe.sums import Sums
from atlasmoe.moe.typed_json import Fields
from atlasmoe.verify.check.layers import read_layers
from atlasmoe.verify.check.rounding import Way, read, rounding
from atlasmoe.verify.prove.evaluation import Evaluation, evaluations
from atlasmoe.verify.prove.rounding import Sized, arriving
from atlasmoe.verify.prove.rounding import network as bounds
from smooth_nets import MIXTURES, exact_net, exact_value, mixed_net, mixed_network

mpmath.mp.dps = 60


def inputs(seed: int, count: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-2, 2, (count, 3))


@pytest.mark.parametrize("name", exact.TAILS)
def test_activations_of_one_number_are_enclosed(name: str) -> None:
    """From subnormal numbers to far tails, at points and on intervals; within one unit of the last digit where it is one."""
    rng = np.random.default_rng(0)
    with mpmath.workprec(1400):
        for scale in (1e-310, 1e-8, 1, 5, 20, 22.6, 23, 100, 255.9, 256.1, 1e6):
            for z in (rng.uniform(-scale, scale, 6)).tolist():
                number, bits = int(mpmath.ldexp(mpmath.mpf(z), 1200)), 1200
                width = int(rng.integers(0, 2)) << 900
                low, high = exact.enclose(name, number - width, number + width, bits)
                for end in (number - width, number + width):
                    assert low <= mpmath.ldexp(exact_value(name, mpmath.ldexp(mpmath.mpf(end), -bits)), exact.FINE) <= high
                assert width or high - low <= 1


@pytest.mark.parametrize("lanes", [False, True])
@pytest.mark.parametrize("name", MIXTURES)
def test_a_network_at_one_point_is_enclosed(name: str, lanes: bool) -> None:
    network = mixed_network(name, lanes=lanes).astype(np.float32)
    for x in inputs(1, 2).astype(np.float32).astype(float):
        outputs, chosen = evaluate(network, [Enclosed(Fraction(v), Fraction(v)) for v in x.tolist()])
        trace = network.astype(float).trace(x[None])
        assert chosen == [(int(trace.routes[0][0]),)]
        layer, row = network.layers[0], [mpmath.mpf(v) for v in x.tolist()]
        parts = exact_net(layer.experts[chosen[0][0]], row), exact_net(layer.shared, row)  # type: ignore[arg-type]
        for found, *values in zip(outputs, *parts, strict=True):
            truth = mpmath.fsum(values)
            low, high = (mpmath.mpf(end.numerator) / end.denominator for end in (found.lower, found.upper))
            assert low - mpmath.mpf(10) ** -50 <= truth <= high + mpmath.mpf(10) ** -50
            assert high - low < 1e-80


@pytest.mark.parametrize("sums", Sums)
@pytest.mark.parametrize("lanes", [False, True])
@pytest.mark.parametrize("name", MIXTURES)
def test_pytorch_computes_what_numpy_computes(name: str, lanes: bool, sums: Sums) -> None:
    for dtype, tolerance in (("float64", 1e-12), ("float32", 1e-4)):
        network, x = mixed_network(name, lanes=lanes).astype(dtype), inputs(2, 200).astype(dtype)
        trace, module = network.trace(x, sums=sums), atlasmoe.to_torch(network, sums=sums)
        with torch.no_grad():
            result = module(torch.from_numpy(x), return_routes=True)
            single = torch.cat([module(torch.from_numpy(x[k : k + 1])) for k in range(9)])
        same = result.routes[0].numpy() == trace.routes[0]
        assert same.mean() > 0.98
        scale = np.abs(trace.output).max()
        np.testing.assert_allclose(result.y.numpy()[same], trace.output[same], rtol=0, atol=tolerance * scale)
        np.testing.assert_allclose(single.numpy()[same[:9]], trace.output[:9][same[:9]], rtol=0, atol=tolerance * scale)
        if sums is Sums.FLOAT64 and dtype == "float32":
            assert torch.equal(single, result.y[:9]), "smooth activations are evaluated in float64, and rounded"
            if len(MIXTURES[name]) == 1:  # others are sorted by activation, where experts have different numbers of each
                np.testing.assert_array_equal(result.y.numpy(), trace.output)


@pytest.mark.parametrize("way", dispatch.WAYS.values())
@pytest.mark.parametrize("name", ["silu", "relu, gelu, relu2"])
def test_every_way_of_dispatch_and_gradients(name: str, way: dispatch.Dispatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "choose_dispatch", lambda stages, rows, expert, sums: way)
    network = mixed_network(name, lanes=True)
    module, x = copy.deepcopy(atlasmoe.to_torch(network)), inputs(3)
    np.testing.assert_allclose(module(torch.from_numpy(x)).detach().numpy(), network(x), rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(module, torch.tensor(x[:4], requires_grad=True))


def test_names_of_weights_and_half_precision() -> None:
    module = atlasmoe.to_torch(mixed_network("silu", lanes=True))
    names = {name.removeprefix("layers.0.") for name in module.state_dict()}
    assert {
        "experts.0.weight",
        "experts.0.up.weight",
        "experts.0.up.bias",
        "router.1.up.weight",
        "shared.1.up.bias",
        "shared.2.bias",
    } < names
    assert "experts.2.up.weight" not in names, "the last map has no lanes"
    x = torch.from_numpy(inputs(4))
    before = module(x).detach()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PrecisionWarning)
        after = module.to(torch.bfloat16)(x)
    assert after.dtype == torch.bfloat16
    assert 1e-4 < (after.double() - before).abs().max() < 0.2 * before.abs().max()


def both(network: Network, x: np.ndarray, width: float, ways: Sequence[Evaluation]) -> np.ndarray:
    """What the search and `check` say that rounding adds on cells around points, (V, N) both."""
    start = Sized(x - width, x + width, np.zeros((len(ways), *x.shape)))
    described = Fields.of({"network": describe(network)}, Path("config.json")).child("network")
    layers, seen = read_layers(described, tensors(network))[2], []
    for way in (Way(way.name, way.terms) for way in ways):
        seen.append(rounding(layers, read(None, x - width, x + width, np.zeros(x.shape[1]), way), way)[1].error.max(1))
    return np.stack([bounds(network, arriving(None, start, ways), ways)[1], np.array(seen)])


def attack(network: Network, x: np.ndarray, width: float) -> dict[str, float]:
    """Holds evaluations by numpy and by PyTorch at points against bounds on cells around them; how much of a bound was seen at most."""
    ways = evaluations(network, ("bfloat16", "float16"))
    searched, checked = both(network, x, width, ways)
    assert width > 0.1 or (checked <= 1.12 * searched).all(), "the numbers of a certificate are rounded up by an eighth"
    added = np.minimum(searched, checked)
    (net,) = network.layers[0].experts
    truth = [exact_net(net, [mpmath.mpf(v) for v in row]) for row in x.tolist()]
    seen = {}
    for most, way in zip(added, ways, strict=True):
        computing = network.astype(way.dtype)
        module, found = atlasmoe.to_torch(computing, sums=way.sums), []
        if way.half is None:
            found.append(computing(x.astype(way.dtype), sums=way.sums))
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", PrecisionWarning)
            module = module if way.half is None else module.to(getattr(torch, way.half))
            found.append(module(torch.from_numpy(x.astype(way.dtype))).double().numpy())
        for y in found:
            pairs = (zip(row, exactly, strict=True) for row, exactly in zip(y.tolist(), truth, strict=True))
            off = np.array([max(float(abs(mpmath.mpf(v) - w)) for v, w in pair) for pair in pairs])
            assert (off <= most).all(), way.name
            known = np.isfinite(most)
            seen[way.name] = max(seen.get(way.name, 0.0), *(off[known] / most[known]).tolist())
    return seen


@pytest.mark.parametrize("lanes", [False, True])
@pytest.mark.parametrize("name", MIXTURES)
def test_no_evaluation_leaves_its_bound(name: str, lanes: bool) -> None:
    """All orders of sums, both libraries, half precision; one and two hidden layers, small and large inputs, points and cells."""
    rng = np.random.default_rng(len(name))
    for sizes, scale, width in (((3, 40, 2), 1.0, 0.0), ((3, 20, 6, 2), 1e-3, 1e-5), ((3, 12, 2), 30.0, 0.5)):
        net = mixed_net(rng, sizes, MIXTURES[name], (lanes,) * (len(sizes) - 2))
        halved = Network((MoELayer(None, (net,), (0,), ("all",), ("f", "g")),), ("x", "y", "z")).astype(np.float32).rounded("float16")
        halved = halved.rounded("bfloat16")
        x = (rng.uniform(-1, 1, (5, 3)) * scale).astype(np.float32).astype(float)
        assert max(attack(halved, x, width).values()) > 0.01, "a bound that nothing comes near would prove little"


def test_plain_neurons_among_lanes_cost_no_rounding() -> None:
    """Their factor is 1 exactly: bounds are those of the net without lanes."""
    rng = np.random.default_rng(0)
    net = mixed_net(rng, (3, 16, 1), (RELU,), (False,))
    ones = net.with_maps(net.affines, [Affine(np.zeros((16, 3)), np.ones(16))])
    x = rng.uniform(-1, 1, (7, 3))
    found = []
    for one in (net, ones):
        network = Network((MoELayer(None, (one,), (0,), ("all",), ("f",)),), ("x", "y", "z")).astype(np.float32)
        ways = evaluations(network)
        found.append(bounds(network, arriving(None, Sized(x, x, np.zeros((len(ways), *x.shape))), ways), ways)[1])
    np.testing.assert_allclose(*found, rtol=1e-14)


@pytest.mark.parametrize("lanes", [False, True])
@pytest.mark.parametrize("name", ["gelu", "silu, relu"])
def test_points_sought_for_their_error_stay_within_the_bound(name: str, lanes: bool) -> None:
    """A climb: of many points those whose error takes most of its bound, and from there again; few neurons nearly reach theirs."""
    rng, best = np.random.default_rng([len(name), lanes]), 0.0
    for m, far in ((1, 1.0), (2, 20.0), (20, 1.0)):
        net = mixed_net(rng, (2, m, 1), MIXTURES[name], (lanes,))
        net = net.with_maps((Affine(far * net.affines[0].weight, far * net.affines[0].bias), net.affines[1]))
        network = Network((MoELayer(None, (net,), (0,), ("all",), ("f",)),), ("x", "y")).astype(np.float32)
        ways = evaluations(network)
        x = rng.uniform(-1, 1, (600, 2))
        for step in range(3):
            x = x.astype(np.float32).astype(float)
            added, truth = both(network, x, 0.0, ways).min(0), network.astype(float)(x)
            ratio = np.zeros(len(x))
            for most, way in zip(added[1:], ways[1:], strict=True):
                with torch.no_grad():
                    theirs = atlasmoe.to_torch(network, sums=way.sums)(torch.from_numpy(x.astype(np.float32))).numpy()
                for y in (network(x, sums=way.sums), theirs):
                    ratio = np.maximum(ratio, (np.abs(y - truth)[:, 0] - added[0]) / most)
            assert ratio.max() <= 1
            best = max(best, float(ratio.max()))
            x = np.repeat(x[np.argsort(-ratio)[:20]], 30, axis=0) * (1 + 0.1 ** (step + 1) * rng.normal(size=(600, 2)))
    assert best > 0.3
