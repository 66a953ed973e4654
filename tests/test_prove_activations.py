"""What the search takes apart, for nets of any activation: carried pairs, folded embeddings, slices, parts, differences of logits."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from atlasmoe.moe import MoELayer, Network
from atlasmoe.moe.activations import ACTIVATIONS, GELU, RELU, RELU2, SILU, Activation
from atlasmoe.moe.nets import Affine, Net, NeuronGroup
from atlasmoe.verify.prove.choice import difference, rounded
from atlasmoe.verify.prove.linear import fold, pruned, reached, split
from atlasmoe.verify.prove.parts import Neuron, _neurons
from atlasmoe.verify.prove.slices import Slicer

EVERY = list(ACTIVATIONS.values())


def net_of(weights: list[np.ndarray], kinds: list[list[Activation]], ups: list[Affine | None], seed: int = 0) -> Net:
    """With random biases, and a group a neuron."""
    rng = np.random.default_rng(seed)
    affines = tuple(Affine(np.array(W, float), rng.normal(size=len(W))) for W in weights)
    return Net(affines, tuple(tuple(NeuronGroup("n", 1, "", kind) for kind in layer) for layer in kinds), tuple(ups))


def random_net(seed: int, inputs: int = 3, outputs: int = 2, depth: int = 2) -> Net:
    rng = np.random.default_rng(seed)
    widths = [inputs, *rng.integers(4, 8, depth).tolist(), outputs]
    weights = [rng.normal(size=(m, n)) * (rng.random((m, n)) < 0.8) for n, m in pairwise(widths)]
    weights[-1][:, 1:3] = 0  # neurons that nothing reads
    kinds = [[EVERY[k] for k in rng.integers(0, 5, m)] for m in widths[1:-1]]
    ups = [Affine(rng.normal(size=W.shape), rng.normal(size=len(W))) if rng.random() < 0.6 else None for W in weights[:-1]]
    return net_of(weights, kinds, ups, seed)


def carrying(kinds: tuple[Activation, Activation], *, factor: float | None = None, middle: Activation | None = None) -> Net:
    """Two neurons act(x_0), act(−x_0) that are read with ±3, beside another; behind a layer of `middle` that passes them on, if any."""
    first = Affine(np.array([[1.0, 0.0], [-1.0, 0.0], [0.5, 0.25]]), np.array([0.0, 0.0, 1.0]))
    maps = [first] + ([Affine(np.eye(3), np.zeros(3))] if middle else []) + [Affine(np.array([[3.0, -3.0, 1.0]]), np.zeros(1))]
    groups = [tuple(NeuronGroup("n", 1, "", kind) for kind in (*kinds, RELU))]
    groups += [(NeuronGroup("m", 3, "", middle),)] if middle else []
    up = None if factor is None else Affine(np.zeros((3, 2)), np.array([factor, factor, 1.0]))
    return Net(tuple(maps), tuple(groups), (up, *[None] * (len(groups) - 1)))


@pytest.mark.parametrize("seed", range(8))
def test_pruned_folded_and_shortened_nets_are_the_nets_they_were(seed: int) -> None:
    net, x = random_net(seed), np.random.default_rng(seed).normal(size=(50, 3))
    less = pruned(net)
    assert sum(less.widths) < sum(net.widths)
    np.testing.assert_allclose(less(x), net(x), rtol=1e-10, atol=1e-10)
    parts = split(net)
    np.testing.assert_allclose(x @ parts.carried.T + parts.rest(x), net(x), rtol=1e-10, atol=1e-10)
    embedding = np.random.default_rng(seed).normal(size=(3, 2))
    size = np.array([1.0, 2.0])
    folded = fold(net, embedding, size)
    y = np.random.default_rng(1).uniform(-size, size, (50, 2))
    gap = np.abs(folded.net(y) - net(y @ embedding.T))
    assert (gap <= folded.slack + 1e-11 * np.abs(net(y @ embedding.T)) + 1e-11).all()
    assert np.isfinite(folded.slack).all()
    hidden = net.hidden(1, net.hidden(0, x))
    assert (np.abs(hidden) <= reached(net, np.abs(x)) * (1 + 1e-12)).all()
    other = difference(net, 1)
    assert (np.abs(other(x) - (net(x) - net(x)[:, 1:])) <= rounded(other, np.abs(x)) + 1e-10 * (1 + np.abs(net(x)).sum(1)[:, None])).all()


@pytest.mark.parametrize(
    ("net", "carried"),
    [
        (carrying((RELU, RELU)), 3),
        (carrying((SILU, SILU)), 3),
        (carrying((GELU, GELU), factor=1.0), 3),
        (carrying((SILU, SILU), factor=2.0), 0),  # lanes: 2·x_0, which is not taken for 3·x_0
        (carrying((SILU, GELU)), 0),  # silu(z) − gelu(−z) is no line
        (carrying((RELU2, RELU2)), 0),
        (carrying((RELU, RELU), middle=RELU), 3),
        (carrying((SILU, SILU), middle=RELU), 0),  # σ(silu(z)) is not silu(z)
        (carrying((RELU, RELU), middle=GELU), 0),
    ],
)
def test_only_what_is_linear_is_carried(net: Net, carried: float) -> None:
    parts, x = split(net), np.random.default_rng(0).normal(size=(20, 2))
    np.testing.assert_array_equal(parts.carried, [[carried, 0.0]])
    np.testing.assert_allclose(x @ parts.carried.T + parts.rest(x), net(x), atol=1e-14)


def test_neurons_of_one_kind_cancel_to_a_line() -> None:
    row, zero = np.array([1.0, 2.0]), np.zeros(2)

    def pair(one: Activation, other: Activation, up: np.ndarray, factor: float) -> tuple[int, int]:
        curved, linear = _neurons([Neuron(row, 0.5, 2.0, one, up, factor), Neuron(-row, -0.5, -2.0, other, up, factor)])
        return len(curved), len(linear)

    assert pair(GELU, GELU, zero, 1.0) == pair(RELU, RELU, zero, 1.0) == (0, 1)
    assert pair(GELU, SILU, zero, 1.0) == pair(RELU2, RELU2, zero, 1.0) == (2, 0)
    assert pair(SILU, SILU, row, 1.0) == pair(SILU, SILU, zero, 2.0) == (2, 0)


def test_slices_read_what_lanes_read() -> None:
    """The second input is read by the factor of a lane only; two experts that differ in an activation only stay two."""
    first, last = Affine(np.array([[1.0, 0.0, 0.0]]), np.zeros(1)), Affine(np.array([[1.0]]), np.zeros(1))
    up = Affine(np.array([[0.0, 1.0, 0.0]]), np.zeros(1))
    experts = tuple(Net((first, last), ((NeuronGroup("n", 1, "", kind),),), (up,)) for kind in (SILU, GELU))
    gate = Affine(np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]), np.zeros(2)).net
    network = Network((MoELayer(gate, experts, (0, 1), ("a", "b"), ("out",)),), ("x", "y", "z"))
    part = Slicer(network).slice(1, [0], ())
    assert sorted(part.reads) == [(0, 0), (0, 1), (0, 2)]
    points = np.random.default_rng(0).normal(size=(40, 3))
    np.testing.assert_array_equal(part.network(points[:, [i for _, i in part.reads]]), network(points))
    alone = Slicer(Network((MoELayer(None, experts[:1], (0,), ("a",), ("out",)),), ("x", "y", "z"))).slice(1, [0], ())
    assert sorted(alone.reads) == [(0, 0), (0, 1)]
