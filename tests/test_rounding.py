"""What rounding may add, taken apart: exact evaluation against every order of sums, by the bounds of the search and of `check`."""

from __future__ import annotations

from pathlib import Path

import mpmath
import numpy as np
import pytest
from atlasmoe.moe import Affine, MoELayer, Network, NeuronGroup, ReLUNet
from atlasmoe.moe.layer import Weighting
from atlasmoe.moe.layout import describe, tensors
from atlasmoe.moe.sums import Sums
from atlasmoe.moe.typed_json import Fields
from atlasmoe.verify.check.layers import Layer, read_layers
from atlasmoe.verify.check.rounding import Way, read, rounding
from atlasmoe.verify.prove.evaluation import Evaluation, evaluations
from atlasmoe.verify.prove.rounding import Sized, arriving
from atlasmoe.verify.prove.rounding import network as bounds
from general_layers import KINDS, general_network

mpmath.mp.dps = 60
Exact = list[list[mpmath.mpf]]


def affine(map_: Affine, rows: Exact) -> Exact:
    weight, bias = map_.weight.astype(float).tolist(), map_.bias.astype(float).tolist()
    return [[mpmath.fdot(zip(w, row, strict=True)) + b for w, b in zip(weight, bias, strict=True)] for row in rows]


def through(net: ReLUNet, rows: Exact) -> Exact:
    for map_ in net.affines[:-1]:
        rows = [[max(z, mpmath.mpf(0)) for z in row] for row in affine(map_, rows)]
    return affine(net.affines[-1], rows)


def weights(layer: MoELayer, scores: list[mpmath.mpf]) -> list[mpmath.mpf]:
    if layer.weighting is Weighting.RECTIFIED:
        return [max(s, mpmath.mpf(0)) for s in scores]
    powers = [mpmath.exp(s - max(scores)) if layer.weighting is Weighting.SOFTMAX else mpmath.mpf(1) for s in scores]
    return [p / mpmath.fsum(powers) for p in powers]


def exactly(network: Network, x: np.ndarray, chosen: tuple[np.ndarray, ...]) -> tuple[list[Exact], Exact]:
    """Logits of every layer and outputs in 60 digits, along the experts that an evaluation took."""
    state, logits = [[mpmath.mpf(v) for v in row] for row in x.tolist()], []
    for layer, taken in zip(network.layers, chosen, strict=True):
        gates = [[mpmath.mpf(0)] for _ in state] if layer.gate is None else through(layer.gate, state)
        logits.append(gates)
        behind = []
        for row, gate, experts in zip(state, gates, taken.tolist(), strict=True):
            inputs = [row if layer.reads is None else [row[c] for c in layer.reads]]
            parts = [through(layer.experts[layer.serves[k]], inputs)[0] for k in experts]
            w = weights(layer, [gate[k] for k in experts])
            out = [mpmath.fdot(w, column) for column in zip(*parts, strict=True)]
            if layer.shared is not None:
                out = [a + b for a, b in zip(out, through(layer.shared, inputs)[0], strict=True)]
            whole = [row[s] if s >= 0 else mpmath.mpf(0) for s in layer.sources.tolist()]
            for target, value in zip(layer.targets.tolist(), out, strict=True):
                whole[target] += value
            behind.append(whole)
        state = behind
    return logits, state


def off(found: np.ndarray, exact: Exact) -> np.ndarray:
    """The largest distance of each row."""
    rows = zip(found.tolist(), exact, strict=True)
    return np.array([max(float(abs(mpmath.mpf(a) - b)) for a, b in zip(row, true, strict=True)) for row, true in rows])


def layers_of(network: Network) -> tuple[Layer, ...]:
    data = Fields.of({"network": describe(network)}, Path("config.json")).child("network")
    return read_layers(data, tensors(network))[2]


def both(network: Network, lower: np.ndarray, upper: np.ndarray, ways: tuple[Evaluation, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    """(η, added), (V, N) each, of the search and of `check`, on cells of what the network reads."""
    x = arriving(None, Sized(lower, upper, np.zeros((len(ways), *lower.shape))), ways)
    layers, seen = layers_of(network), []
    for way in ways:
        eta, behind = rounding(layers, read(None, lower, upper, np.zeros(lower.shape[1]), w := Way(way.name, way.terms)), w)
        seen.append((eta, behind.error.max(1)))
    return [bounds(network, x, ways), tuple(np.array(part) for part in zip(*seen, strict=True))]


def attack(network: Network, x: np.ndarray, width: float) -> float:
    """Holds an evaluation at points against bounds on cells around them; how much of a bound was seen at most."""
    seen, ways = 0.0, evaluations(network)
    found = both(network, x - width, x + width, ways)
    for n, way in enumerate(ways):
        computing = network.astype(way.dtype)
        trace = computing.trace(x.astype(way.dtype), sums=way.sums)
        logits, outputs = exactly(network, x, trace.chosen)
        for eta, added in found:
            error = off(trace.output, outputs)
            assert (error <= added[n]).all(), way.name
            seen = max(seen, float((error / added[n]).max()))
            for ours, theirs in zip(trace.logits, logits, strict=True):
                assert (off(ours, theirs) <= eta[n] + (0 if len(theirs[0]) > 1 else np.inf)).all(), way.name
    return seen


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [0.0, 0.05])
def test_layers_of_every_kind_stay_within_their_bounds(kind: str, width: float) -> None:
    network = general_network(kind).astype(np.float32)
    assert attack(network, np.random.default_rng(0).uniform(-1, 1, (8, 2)), width) > 0.001


def ridge(rng: np.random.Generator, m: int, kind: str) -> Network:
    """Two-layer experts behind an affine gate, made so that much cancels or all terms round the same way."""
    experts = []
    for _ in range(3):
        rows = np.repeat(rng.normal(size=(4, 3)), -(-m // 4), axis=0)[:m]
        outer = rng.normal(size=(2, m)) / np.sqrt(m)
        bias = rng.normal(size=m)
        if kind == "cancelling":
            outer = 10.0 ** rng.uniform(-4, 4, (2, m))
            outer[:, 1::2] = -outer[:, : m // 2 * 2 : 2] * (1 + 1e-6 * rng.normal(size=(2, m // 2)))
            rows[1::2], bias[1::2] = rows[: m // 2 * 2 : 2], bias[: m // 2 * 2 : 2]
        if kind == "one way":
            rows, bias, outer = np.ones((m, 3)) / 3, np.ones(m), 1 + 2.0**-12 * np.arange(2 * m).reshape(2, m) / m
        maps = Affine(rows, bias), Affine(outer, np.zeros(2))
        experts.append(ReLUNet(maps, ((NeuronGroup("n", m, "test"),),)))
    names = ("a", "b", "c")
    layer = MoELayer(Affine(rng.normal(size=(3, 3)), rng.normal(size=3)), tuple(experts), (0, 1, 2), names, ("f", "g"))
    return Network((layer,), ("x", "y", "z")).astype(np.float32)


@pytest.mark.parametrize("kind", ["random", "cancelling", "one way"])
@pytest.mark.parametrize("m", [1, 7, 33, 150])
def test_no_point_exceeds_the_bound_of_its_cell(kind: str, m: int) -> None:
    rng = np.random.default_rng([m, len(kind)])
    seen = max(attack(ridge(rng, m, kind), rng.uniform(-1, 1, (6, 3)) * scale, width) for scale in (1, 1e-3, 1e3) for width in (0.0, 1e-3))
    assert 0.02 < seen <= 1, "a bound that nothing comes near would prove little"


@pytest.mark.parametrize("seed", range(3))
def test_points_sought_for_their_error_stay_within_the_bound(seed: int) -> None:
    """A climb: of many points the one whose error takes most of its bound, and from there again."""
    rng = np.random.default_rng(seed)
    network = ridge(rng, 64, "one way" if seed else "random")
    best, x = 0.0, rng.uniform(-1, 1, (4000, 3))
    single = network.astype(np.float32)
    for spread in (1.0, 0.1, 0.01):
        x = x[:1] + spread * rng.uniform(-1, 1, (4000, 3)) if best else x
        ways = evaluations(network)
        x_hat = x.astype(np.float32)
        error = np.abs(single(x_hat).astype(float) - network.astype(float)(x)).max(1)
        most = both(network, x, x, ways)[0][1][1]
        assert (error <= most * (1 + 1e-6)).all()
        order = np.argsort(-error / most)
        x, best = x[order], float((error / most)[order[0]])
    assert attack(network, x[:4], 0.0) <= 1


def test_the_search_and_check_agree_on_points() -> None:
    """Written twice: neither leaves out what the other counts."""
    rng = np.random.default_rng(0)
    for network in (ridge(rng, 200, "random"), *(general_network(kind).astype(np.float32) for kind in KINDS)):
        x = rng.uniform(-1, 1, (50, len(network.inputs)))
        single = all(layer.unit for layer in network.layers)
        (eta, added), (eta2, added2) = both(network, x, x, evaluations(network))
        for ours, theirs in ((eta, eta2), (added, added2)):
            ratio = theirs[1:] / np.maximum(ours[1:], 1e-300)
            assert (ratio < 1.1).all()
            assert ((ratio > (0.9 if single else 0.5)) | (ours[1:] == 0)).all()


def test_idle_neurons_count_for_nothing() -> None:
    """Far to the left all neurons face right and are idle; there evaluation is exact but for the bias."""
    m = 64
    maps = Affine(np.ones((m, 1)), -np.linspace(0, 1, m)), Affine(np.full((1, m), 1e3), np.array([0.5]))
    layer = MoELayer(None, (ReLUNet(maps, ((NeuronGroup("n", m, "test"),),)),), (0,), ("all",), ("f",))
    network = Network((layer,), ("x",)).astype(np.float32)
    idle, busy = (both(network, np.full((1, 1), at), np.full((1, 1), at), evaluations(network)) for at in (-1.0, 1.0))
    for (_, few), (_, many) in zip(idle, busy, strict=True):
        assert (few[1:] <= 2.0**-22).all()
        assert (many[1:] > 1e-4).all()


def test_what_may_overflow_is_unknown() -> None:
    network = ridge(np.random.default_rng(0), 5, "random")
    huge = np.full((1, 3), 1e38)
    for _, added in both(network, huge, 3 * huge, evaluations(network)):
        assert np.isinf(added[1:]).all()


@pytest.mark.parametrize("sums", Sums)
def test_roundings_of_a_product_are_counted(sums: Sums) -> None:
    way = Evaluation("float32", sums, 2048)
    most = {Sums.PLAIN: 2049, Sums.BLOCKS: 32 + 6 + 1, Sums.FLOAT64: 1 + 11 + 1}[sums]
    assert way.roundings(np.array([2048.0]))[0] == most == Way(way.name, 2048).roundings(np.array([2048.0]))[0]
    assert way.roundings(np.array([1.0]))[0] == 2 == Way(way.name, 2048).roundings(np.array([1.0]))[0]
