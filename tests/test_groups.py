"""Layers of groups (N15): ∏ E_l pieces in one layer are proved from the signs of logits, and confirmed by other code; nothing false is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from atlasmoe.moe import Affine, Known, Network, ReLUNet
from atlasmoe.moe.layer import Weighting
from atlasmoe.verify.check.groups import number_after, number_from, tile
from atlasmoe.verify.prove import certify
from atlasmoe.verify.prove.groups import fills, groups_of, least
from atlasmoe.verify.prove.hats import hats_of
from grouped import grouped_network, hat_network, sum_of_blocks

KNOTS = ((-1.0, -0.3, 0.0, 1.0), (0.0, 0.1, 0.7), (-2.0, -1.0, 1.0, 2.0))
FACTORS = (1.0, -0.5, 0.25)


def seen(network: Network, graph, count: int = 4000) -> float:
    """The largest error at numbers of the dtype, among them the interfaces and their neighbours."""
    points = graph.sample(count, 3).astype(network.dtype)
    rng = np.random.default_rng(5)
    for k, ends in enumerate(KNOTS):
        at = np.array(ends[1:-1], network.dtype)
        near = np.concatenate([at, np.nextafter(at, np.inf, dtype=network.dtype), np.nextafter(at, -np.inf, dtype=network.dtype)])
        near = near[(near == 0) | (np.abs(near) >= np.finfo(network.dtype).smallest_normal)]
        rows = rng.integers(0, count, count // 2)
        points[rows, k] = rng.choice(near, len(rows))
    return float(np.abs(np.asarray(network(points), float) - graph.evaluate(points.astype(float))).max())


@pytest.mark.parametrize(
    ("closed", "dtype", "weighting", "nulls"),
    [
        ("lower", "float64", "softmax", 0),
        ("upper", "float32", "uniform", 1),
        ("upper", "float64", "uniform", 0),
        ("lower", "float32", "softmax", 2),
    ],
)
def test_a_sum_of_blocks_in_one_layer_is_proved(closed: str, dtype: str, weighting: str, nulls: int) -> None:
    graph = sum_of_blocks(KNOTS, FACTORS, 0.75, closed)
    network = grouped_network(KNOTS, FACTORS, 0.75, closed, dtype=dtype, weighting=Weighting(weighting), nulls=nulls)
    certificate = certify(network, graph, epsilon=0.1)
    assert certificate.status is Known.PROVED
    error = seen(network, graph)
    assert error <= certificate[f"total.{dtype}" if dtype == "float32" else "total"].bound
    assert certificate.bound <= 1.3 * error
    assert all(certificate[f"block[b{k}].routing"].known is Known.PROVED for k in range(3))
    assert f"all that gates of groups read are {dtype} numbers" in certificate["total"].statement


def test_thresholds_between_numbers() -> None:
    """The least number of a dtype from somewhere on, by both; subnormal numbers do not count."""
    tiny = {dtype: float(np.finfo(dtype).smallest_normal) for dtype in ("float32", "float64")}
    for dtype, smallest in tiny.items():
        kind = np.dtype(dtype).type
        for t in (0.0, -smallest, smallest, 0.1, -0.1, 1.0, smallest / 4, -smallest / 4, 3e30, -np.inf, np.inf):
            numbers = [-smallest, 0.0, smallest, *(float(np.nextafter(kind(t), kind(side))) for side in (-np.inf, np.inf)), float(kind(t))]
            numbers = [n for n in numbers if n == 0 or abs(n) >= smallest]
            assert least(t, dtype) == number_from(t, dtype) == min((n for n in numbers if n >= t), default=np.inf)
            if np.isfinite(t):
                assert least(t, dtype, above=True) == number_after(t, dtype) == min((n for n in numbers if n > t), default=np.inf)


def test_what_fills_space() -> None:
    """Half-open boxes that leave a gap, overlap, or fill space: both say the same."""
    split = [{0: (-np.inf, 0.0)}, {0: (0.0, np.inf)}]
    quarters = [{0: x, 1: y} for x in ((-np.inf, 0.0), (0.0, np.inf)) for y in ((-np.inf, 1.0), (1.0, np.inf))]
    bricks = [{0: (-np.inf, 0.0)}, {0: (0.0, np.inf), 1: (-np.inf, 2.0)}, {0: (0.0, np.inf), 1: (2.0, np.inf)}]
    for boxes in ([{}], split, quarters, bricks):
        assert fills(boxes) is True
        assert tile(boxes)
        for n in range(len(boxes)):
            fewer = boxes[:n] + boxes[n + 1 :]
            assert not fewer or (not fills(fewer) and not tile(fewer))
            assert fills([*boxes, boxes[n]]) is None
            assert not tile([*boxes, boxes[n]])
    assert fills([split[0], {0: (1e-300, np.inf)}]) is False
    assert fills([split[0], {0: (-1e-300, np.inf)}]) is None


def changed(network: Network, part: str, which: int, change) -> Network:
    """One number of the gate, or of an expert, changed."""
    layer = network.layers[0]
    old = layer.gate if part == "gate" else layer.experts[which]
    arrays = [np.array(a) for map_ in old.affines for a in (map_.weight, map_.bias)]
    change(arrays)
    maps = tuple(Affine(weight, bias) for weight, bias in zip(arrays[::2], arrays[1::2], strict=True))
    new = ReLUNet(maps, old.groups)
    experts = tuple(new if part != "gate" and k == which else net for k, net in enumerate(layer.experts))
    return Network((replace(layer, gate=new if part == "gate" else layer.gate, experts=experts),), network.inputs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_gate_that_is_off_by_one_number_is_no_gate_of_groups(dtype: str) -> None:
    """Every threshold moved by one number of the dtype, either way, or to the interface itself; slopes, signs, biases that are none."""
    network = grouped_network(KNOTS, FACTORS, dtype=dtype)
    layer = network.layers[0]
    assert [len(group) for group in groups_of(layer, dtype)] == [3, 2, 3]
    kind = np.dtype(dtype).type

    def set_to(array: int, place: tuple[int, ...] | int, value: float):
        def change(arrays) -> None:
            arrays[array][place] = value

        return change

    biases = layer.gate.affines[0].bias
    changes = [set_to(1, n, np.nextafter(b, kind(side))) for n, b in enumerate(biases) if abs(b) > 1e-30 for side in (-np.inf, np.inf)]
    changes += [set_to(2, (0, 0), -0.5), set_to(2, (0, 0), 0.0), set_to(2, (0, 1), -1.0), set_to(3, 0, -1e-30), set_to(0, (0, 0), 255.0)]
    changes += [set_to(0, (0, 1), 1.0), set_to(0, (0, 0), -layer.gate.affines[0].weight[0, 0])]
    for change in changes:
        assert groups_of(changed(network, "gate", 0, change).layers[0], dtype) is None
    for spoiled in (replace(layer, top_k=2), replace(layer, weighting=Weighting.RECTIFIED), replace(layer, top_k=1)):
        assert groups_of(spoiled, dtype) is None


def test_a_threshold_at_0_has_its_neighbour_at_the_smallest_normal_number() -> None:
    """Or at a subnormal one: between them is no number that counts; further away there is."""
    network = grouped_network(KNOTS, FACTORS)
    (row,) = (n for n, b in enumerate(network.layers[0].gate.affines[0].bias) if 0 < abs(b) < 1e-300)
    smallest, known = float(np.finfo(float).smallest_normal), {}
    for factor in (2.0**-52, 0.5, 1.0, 1.5, 2.0):

        def change(arrays, factor=factor) -> None:
            arrays[1][row] = np.sign(arrays[1][row]) * 256 * factor * smallest

        known[factor] = groups_of(changed(network, "gate", 0, change).layers[0], "float64") is not None
    assert known == {2.0**-52: True, 0.5: True, 1.0: True, 1.5: False, 2.0: False}


def test_no_wrong_weight_is_proved() -> None:
    """One number after the other is changed a little or much; ε is what the right network keeps."""
    graph, network = sum_of_blocks(KNOTS, FACTORS, 0.75), grouped_network(KNOTS, FACTORS, 0.75, parts=3)
    epsilon = certify(network, graph, tightness=1.1).bound
    rng = np.random.default_rng(7)
    wrong = 0
    for _ in range(24):
        part, which = ("gate", 0) if rng.random() < 0.4 else ("expert", int(rng.integers(8)))

        def change(arrays) -> None:
            array = arrays[int(rng.integers(len(arrays)))]
            if array.size:
                array.flat[int(rng.integers(array.size))] += rng.choice([1e-9, 0.05, 1.0, 300.0]) * rng.choice([-1, 1])

        mutated = changed(network, part, which, change)
        error = seen(mutated, graph, 1000)
        certificate = certify(mutated, graph, epsilon=epsilon, tightness=None, boxes=300)
        wrong += error > epsilon
        assert certificate.status is not Known.PROVED or error <= certificate.bound <= epsilon * (1 + 1e-9)
    assert wrong >= 8


def linear_gate(network: Network) -> Network:
    """The gate without its hidden layer, of groups of two (N19)."""
    layer = network.layers[0]
    inner, outer = layer.gate.affines
    gate = Affine(np.array(outer.weight @ inner.weight), np.array(outer.weight @ inner.bias))
    return Network((replace(layer, gate=gate),), network.inputs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_half_lines_are_groups_with_uniform_weights(dtype: str) -> None:
    """2^L pieces from 2L experts with a linear gate; with softmax weights these are no groups, as logits differ."""
    knots = [(-1.0, 0.25, 1.0), (0.0, 0.1, 0.7), (-1.0, 0.0, 2.0), (0.0, 1.0)]
    factors = (1.0, -0.5, 0.25, 2.0)
    graph = sum_of_blocks(knots, factors, 0.5)
    network = linear_gate(grouped_network(knots, factors, 0.5, dtype=dtype, weighting=Weighting.UNIFORM))
    assert [len(group) for group in groups_of(network.layers[0], dtype)] == [2, 2, 2, 1]
    assert groups_of(replace(network.layers[0], weighting=Weighting.SOFTMAX), dtype) is None
    certificate = certify(network, graph, epsilon=0.1)
    assert certificate.status is Known.PROVED
    points = graph.sample(4000, 1).astype(dtype)
    points[::3, 1], points[1::3, 0] = np.asarray(0.1, dtype), 0.25
    assert np.abs(network(points) - graph.evaluate(points.astype(float))).max() <= certificate.bound + 1e-5
    bias = network.layers[0].gate.affines[0].bias
    for n in np.flatnonzero(np.abs(bias) > 1e-30):

        def change(arrays, n=n) -> None:
            arrays[1][n] = np.nextafter(arrays[1][n], arrays[1].dtype.type(np.inf))

        assert groups_of(changed(network, "gate", 0, change).layers[0], dtype) is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_hats_cost_what_the_statement_says(dtype: str) -> None:
    """Δ·w/16 for |x|, whose slope changes by Δ = 2; no less is proved, and it is proved of all points, not of numbers only."""
    w = 0.25
    graph, network = hat_network(w, dtype)
    sharp = 1.5 * 2 * w / 16
    certificate = certify(network, graph, epsilon=sharp * 1.02, tightness=1.01)
    assert certificate.status is Known.PROVED
    assert sharp <= certificate.bound <= 1.02 * sharp
    assert "numbers" not in certificate["total"].statement
    assert certify(network, graph, epsilon=sharp * 0.98, tightness=1.01, boxes=20_000).status is not Known.PROVED


def test_hats_that_three_logits_share_are_no_groups() -> None:
    """Too few chosen; logits that are never far below 0; a gate that reads two numbers: left to what encloses any layer."""
    _, network = hat_network()
    layer = network.layers[0]
    assert hats_of(layer, last=True) == [range(2), range(2, 4)]
    assert hats_of(replace(layer, top_k=3), last=True) is None
    assert hats_of(replace(layer, weighting=Weighting.UNIFORM), last=True) is None

    def mix(arrays) -> None:
        arrays[2][0, 2] = -1.0

    def positive(arrays) -> None:
        arrays[2][0, 0] = 1.0

    for change in (mix, positive):
        assert hats_of(changed(network, "gate", 0, change).layers[0], last=True) is None
