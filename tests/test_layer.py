"""`MoELayer` in its general shape: what it refuses, what it computes, and its two forms (N8)."""

from __future__ import annotations

import numpy as np
import pytest
from atlasmoe import Affine, InvalidArgument, MoELayer, Network, NeuronGroup, ReLUNet
from atlasmoe.moe.layer import Weighting
from general_layers import KINDS, general_network, net, paper_form

GATE = Affine(np.ones((2, 3)), np.zeros(2))
NET = net(np.random.default_rng(0), 3, 4, 2)
FITTING = {"gate": GATE, "experts": (NET, NET), "serves": (0, 1), "names": ("a", "b"), "channels": ("u", "v")}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"experts": ()}, r"routes to stored experts \[0, 1\] of 0"),
        ({"experts": (NET,)}, r"routes to stored experts \[0, 1\] of 1"),
        ({"experts": (NET, NET, NET)}, r"routes to stored experts \[0, 1\] of 3"),
        ({"serves": (0,)}, r"2 gate outputs, 2 names, routes to stored experts \[0\]"),
        ({"serves": (0, -1)}, r"stored experts \[-1, 0\] of 2"),
        ({"names": ("a",)}, "2 gate outputs, 1 names"),
        ({"gate": None}, "1 gate outputs, 2 names"),
        ({"gate": Affine(np.ones((0, 3)), np.zeros(0)), "experts": (), "serves": (), "names": ()}, "top_k = 1, but there are 0"),
        ({"gate": Affine(np.ones((2, 3), np.float32), np.zeros(2, np.float32))}, "are of float32 and float64; cast one"),
        ({"experts": (NET, NET.astype(np.float32))}, "are of float32 and float64; cast one"),
        ({"shared": NET.astype(np.float32)}, "are of float32 and float64; cast one"),
        ({"experts": (NET, net(np.random.default_rng(0), 2, 4, 2))}, r"an expert maps R\^2 to R\^2, the layer reads 3 and writes 2"),
        ({"experts": (net(np.random.default_rng(0), 3, 4, 1), NET)}, r"an expert maps R\^3 to R\^1, the layer reads 3 and writes 2"),
        ({"shared": net(np.random.default_rng(0), 3, 1)}, r"an expert maps R\^3 to R\^1, the layer reads 3 and writes 2"),
        ({"reads": (0, 1)}, "the layer reads 2 and writes 2"),
        ({"writes": (0,)}, "the layer reads 3 and writes 1"),
        ({"writes": (0, 2)}, r"experts write channels \(0, 2\) of 2"),
        ({"writes": (0, -1)}, r"experts write channels \(0, -1\) of 2"),
        ({"writes": (1, 1)}, r"experts write a channel twice: \(1, 1\)"),
        ({"carries": (0,)}, "1 entries say what is carried to 2 channels"),
        ({"top_k": 0}, "top_k = 0, but there are 2 gate outputs"),
        ({"top_k": 3}, "top_k = 3, but there are 2 gate outputs"),
        ({"top_k": 1.5}, r"top_k = 1\.5"),
        ({"weighting": "loudest"}, "weighting 'loudest' is not one of softmax, uniform, rectified"),
    ],
)
def test_layers_refuse_parts_that_do_not_fit(change, complaint):
    MoELayer(**FITTING)
    with pytest.raises(InvalidArgument, match=complaint):
        MoELayer(**FITTING | change)


def one(**change) -> MoELayer:
    return MoELayer(**FITTING | change)


@pytest.mark.parametrize(
    ("layers", "complaint"),
    [
        ((), "at least one layer"),
        ((one(), one()), "layer 2: its gate reads 3 channels, but 2 arrive"),
        ((MoELayer(None, (NET,), (0,), ("a",), ("u", "v")),) * 2, "layer 2: its experts read 3 channels, but 2 arrive"),
        ((one(reads=(0, 1, 3)),), "layer 1: it reads channel 3, but 3 arrive"),
        ((one(reads=(0, 1, -1)),), "layer 1: it reads channel -1, but 3 arrive"),
        ((one(carries=(-1, 3)),), "layer 1: it carries channel 3, but 3 arrive"),
        ((one(carries=(-2, 0)),), "layer 1: it carries channel -2, but 3 arrive"),
        (
            (
                MoELayer(None, (NET.astype("f4"),), (0,), ("a",), ("u", "v")),
                MoELayer(None, (net(np.random.default_rng(0), 2, 1),), (0,), ("a",), ("f",)),
            ),
            "layer 2 is of float64",
        ),
    ],
)
def test_networks_refuse_layers_that_do_not_fit(layers, complaint):
    with pytest.raises(InvalidArgument, match=complaint):
        Network(layers, ("x", "y", "z"))


@pytest.mark.parametrize(
    "build",
    [
        lambda: Affine(np.zeros((2, 3)), np.zeros(3)),
        lambda: Affine(np.zeros((2, 3)), np.zeros(2, np.float32)),
        lambda: Affine(np.zeros(2), np.zeros(2)),
        lambda: ReLUNet((), ()),
        lambda: ReLUNet((Affine(np.zeros((2, 3)), np.zeros(2)), Affine(np.zeros((1, 4)), np.zeros(1))), ((NeuronGroup("h", 2, ""),),)),
        lambda: ReLUNet((Affine(np.zeros((2, 3)), np.zeros(2)), Affine(np.zeros((1, 2)), np.zeros(1))), ((NeuronGroup("h", 5, ""),),)),
        lambda: NET.affine,
        lambda: one(gate=net(np.random.default_rng(0), 3, 4, 2)).gate.affine,
        lambda: Network((one(),), ("x", "y", "z"))(np.zeros((4, 2))),
        lambda: Network((one(),), ("x", "y", "z"))(np.zeros((4, 3, 1))),
        lambda: Network((one(),), ("x", "y", "z")).trace(np.zeros((4, 3)), [None, None]),
    ],
)
def test_shapes_that_do_not_fit_are_refused(build):
    with pytest.raises(InvalidArgument):
        build()


def by_hand(layer: MoELayer, x: np.ndarray) -> np.ndarray:
    """The layer's formula for one point, expert by expert, in Python's own sorting and sums."""
    logits = [0.0] if layer.gate is None else layer.gate(x[None])[0].tolist()
    chosen = sorted(range(len(logits)), key=lambda k: (-logits[k], k))[: layer.top_k]
    powers = [np.exp(logits[k] - max(logits)) for k in chosen]
    match layer.weighting:
        case Weighting.SOFTMAX:
            weights = [power / sum(powers) for power in powers]
        case Weighting.UNIFORM:
            weights = [1 / layer.top_k] * layer.top_k
        case Weighting.RECTIFIED:
            weights = [max(logits[k], 0.0) for k in chosen]
    reads = x if layer.reads is None else x[list(layer.reads)]
    parts = [w * layer.experts[layer.serves[k]](reads[None])[0] for w, k in zip(weights, chosen, strict=True)]
    if layer.shared is not None:
        parts.append(layer.shared(reads[None])[0])
    out = np.zeros(len(layer.channels))
    for channel, source in enumerate(layer.carries or ()):
        out[channel] += x[source] if source >= 0 else 0.0
    for part in parts:
        for channel, value in zip(layer.writes or range(len(out)), part, strict=True):
            out[channel] += value
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_every_place_of_the_layer_computes_its_formula(kind):
    network = general_network(kind)
    for point in np.random.default_rng(3).normal(size=(60, 2)):
        state = point
        for part in network.layers:
            state = by_hand(part, state)
        np.testing.assert_allclose(network(point)[0], state, rtol=0, atol=1e-13)


@pytest.mark.parametrize("weighting", ["rectified", "uniform", "softmax"])
def test_a_weighting_may_be_given_by_name(weighting):
    assert one(weighting=weighting).weighting is Weighting(weighting)


def residual_network(dtype: str, exact: bool, seed: int = 0) -> Network:
    """Two layers that carry; the second gate reads what the first experts wrote. `exact`: small integers for weights."""
    rng = np.random.default_rng(seed)

    def affine(rows, columns):
        draw = (lambda *size: rng.integers(-3, 4, size).astype(float)) if exact else (lambda *size: rng.normal(size=size))
        return Affine(draw(rows, columns), draw(rows))

    def expert(inputs, width, outputs):
        return ReLUNet((affine(width, inputs), affine(outputs, width)), ((NeuronGroup("h", width, "test"),),))

    names = ("a", "b", "c")
    first = MoELayer(
        affine(3, 4),
        tuple(expert(2, 40 + k, 2) for k in range(3)),
        (0, 1, 2),
        names,
        ("x0", "x1", "x2", "x3", "p", "q"),
        reads=(3, 1),
        writes=(4, 5),
        carries=(0, 1, 2, 3, -1, -1),
    )
    second = MoELayer(
        affine(3, 6), tuple(expert(6, 30, 1) for k in range(3)), (0, 1, 2), names, ("f", "x2", "q"), writes=(0,), carries=(-1, 2, 5)
    )
    return Network((first, second), ("x0", "x1", "x2", "x3")).astype(dtype)


def bits(values: np.ndarray) -> np.ndarray:
    return values.view(f"i{values.itemsize}")


def awkward(count: int, dtype: str, rng) -> np.ndarray:
    """Points with zeros of both signs, subnormals, and numbers up to the square root of the largest."""
    info = np.finfo(dtype)
    special = np.array([0.0, -0.0, info.smallest_subnormal, -info.smallest_subnormal, info.max**0.5, -1.0, info.eps], dtype)
    return np.where(rng.random((count, 4)) < 0.5, rng.choice(special, (count, 4)), rng.normal(size=(count, 4))).astype(dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("count", [1, 7, 1000])
def test_carried_channels_agree_bit_for_bit_with_the_paper_form(dtype, count):
    """N8, the first statement; −0.0 counts, and is +0.0 behind the layer in both forms."""
    network = residual_network(dtype, exact=False)
    first, x = network.layers[0], awkward(count, dtype, np.random.default_rng(5))
    route = first.choose(first.logits(x))
    ours, theirs = first.forward(x, route), paper_form(first, 4).forward(x, route)
    np.testing.assert_array_equal(bits(ours[:, :4]), bits(theirs[:, :4]))
    np.testing.assert_array_equal(ours[:, :4], x)
    assert not (np.signbit(ours[:, :4]) & (ours[:, :4] == 0)).any()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("count", [1, 7, 1000])
def test_the_two_forms_agree_bit_for_bit_where_sums_are_exact(dtype, count):
    network = residual_network(dtype, exact=True)
    paper = Network((paper_form(network.layers[0], 4), paper_form(network.layers[1], 6)), network.inputs)
    x = np.random.default_rng(6).integers(-4, 5, (count, 4)).astype(dtype) / 8
    ours, theirs = network.trace(x), paper.trace(x)
    for k in range(2):
        np.testing.assert_array_equal(ours.chosen[k], theirs.chosen[k])
        np.testing.assert_array_equal(bits(ours.logits[k]), bits(theirs.logits[k]))
        np.testing.assert_array_equal(bits(ours.states[k]), bits(theirs.states[k]))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("count", [1, 7, 1000])
def test_written_channels_of_the_two_forms_agree_within_the_stated_bound(dtype, count):
    """N8, the third and fourth statement: routes agree, and outputs within what the order of summation can change."""
    network = residual_network(dtype, exact=False)
    paper = Network((paper_form(network.layers[0], 4), paper_form(network.layers[1], 6)), network.inputs)
    x = np.random.default_rng(7).normal(size=(count, 4)).astype(dtype)
    ours, theirs = network.trace(x), paper.trace(x)
    u = np.finfo(dtype).eps / 2
    moved = np.zeros((count, 4))
    for k, part in enumerate(network.layers):
        state = (x, *ours.states)[k].astype(float)
        np.testing.assert_array_equal(ours.chosen[k], theirs.chosen[k])
        for n in range(count):
            net = part.experts[part.serves[ours.chosen[k][n, 0]]]
            inputs = np.arange(state.shape[1]) if part.reads is None else list(part.reads)
            size, off = np.abs(state[n, inputs]), moved[n, inputs]
            for affine in net.affines:
                terms = affine.weight.shape[1] + 2 * (part.sources >= 0).sum() + 1
                gamma = terms * u / (1 - terms * u)
                whole = np.abs(affine.weight.astype(float)) @ (size + off) + np.abs(affine.bias)
                size, off = whole * (1 + gamma), np.abs(affine.weight.astype(float)) @ off + 2 * gamma * whole
            difference = np.abs(ours.states[k][n].astype(float) - theirs.states[k][n])
            assert (difference[part.targets] <= off).all()
            assert (difference[(part.sources >= 0) & (np.append(moved[n], 0.0)[part.sources] == 0)] == 0).all()
        after = np.zeros((count, len(part.channels)))
        kept = part.sources >= 0
        after[:, kept] = moved[:, part.sources[kept]]
        after[:, part.targets] = np.abs(ours.states[k].astype(float) - theirs.states[k])[:, part.targets]
        moved = after
    assert np.abs(ours.output.astype(float) - theirs.output).max() < 1e4 * u


def test_where_a_number_overflows_only_the_residual_form_keeps_what_it_carries():
    network = residual_network("float32", exact=False)
    first, x = network.layers[0], np.array([[1.0, 3e38, 2.0, 3e38]], np.float32)
    with np.errstate(all="ignore"):
        ours, theirs = first.forward(x, np.array([0])), paper_form(first, 4).forward(x, np.array([0]))
    np.testing.assert_array_equal(ours[:, :4], x)
    assert np.isnan(theirs[0, 0])
