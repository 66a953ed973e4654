"""Gates in two levels: routes of the flat gate for every input, lists as short as the lemma allows and no shorter."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from atlasmoe import to_torch
from atlasmoe.errors import InvalidArgument
from atlasmoe.moe import Affine, MoELayer, Network
from atlasmoe.moe.gate_tree import GateTree, _group, _limits
from atlasmoe.moe.sums import Sums

rng = np.random.default_rng(7)


def on_sphere(count: int, dimension: int = 3, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(count, dimension))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def spread(count: int, dimension: int = 3) -> np.ndarray:
    """Farthest points of a sphere."""
    points = on_sphere(8 * count, dimension, 3)
    chosen = [0]
    distance = ((points - points[0]) ** 2).sum(1)
    for _ in range(count - 1):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(1))
    return points[chosen]


def gate_of(centres: np.ndarray, squares: np.ndarray | float = 0.0, dtype: type = np.float64) -> Affine:
    """The nearest centre, or the power diagram of balls with these squared radii."""
    return Affine(centres.astype(dtype), ((squares - (centres**2).sum(1)) / 2).astype(dtype))


def lattice(side: int) -> np.ndarray:
    """Whole numbers, whose cells end at half ones: exact ties."""
    return np.stack(np.meshgrid(*[np.arange(side, dtype=float)] * 2, indexing="ij"), -1).reshape(-1, 2)


GATES = {
    "sphere": gate_of(spread(256)),
    "power": gate_of(spread(256), rng.random(256) * 0.02),
    "float32": gate_of(spread(256), dtype=np.float32),
    "rotations": gate_of(spread(192, 4)),
    "lattice": gate_of(lattice(12)),
    "large lattice": gate_of(lattice(20)),
    "no bias": Affine(spread(200), np.zeros(200)),
    "any": Affine(rng.normal(size=(64, 3)), rng.normal(size=64)),
    "equal rows": gate_of(np.repeat(spread(40), 3, axis=0)),
    "two": gate_of(np.array([[0.0, 0.0], [2.0, 0.0]])),
}


def inputs_of(gate: Affine, count: int = 4096) -> np.ndarray:
    """Points near centres, midpoints of neighbours and their nearest floats, points far off, and what is no number at all."""
    w, D, dtype = gate.weight.astype(float), gate.weight.shape[1], gate.weight.dtype
    near = w[rng.integers(len(w), size=count)] + 0.1 * rng.normal(size=(count, D))
    others = np.argsort(((w[:, None] - w) ** 2).sum(-1), axis=1)[:, 1:4]
    middles = ((w[:, None] + w[others]) / 2).reshape(-1, D)
    nudged = np.nextafter(middles.astype(dtype), np.asarray(np.inf, dtype)).astype(float)
    far = rng.normal(size=(256, D)) * np.array([[3.0], [1e3], [1e18], [1e-30]]).repeat(64, 0)
    bad = np.array([np.full(D, value) for value in (0.0, np.inf, -np.inf, np.nan)])
    return np.concatenate([near, middles, nudged, far, bad]).astype(dtype)


@pytest.mark.parametrize("sums", [Sums.PLAIN, Sums.BLOCKS, Sums.FLOAT64])
@pytest.mark.parametrize("name", GATES)
def test_routes_are_those_of_the_flat_gate(name: str, sums: Sums) -> None:
    gate = GATES[name]
    tree, x = GateTree.of(gate), inputs_of(gate)
    rows = 512
    with np.errstate(invalid="ignore", over="ignore"):
        flat = np.concatenate([gate(x[k : k + rows], sums).argmax(1) for k in range(0, len(x), rows)])
        assert (tree.choose(x, lambda part: gate(x[part], sums), rows, sums) == flat).all()


def at_the_edge(tree: GateTree, gate: Affine) -> tuple[np.ndarray, np.ndarray]:
    """For every group the points of its ball that lie furthest in the direction of every other centre; and the group."""
    q, w = tree.points.astype(float), gate.weight.astype(float)
    towards = w[None] - q[:, None]
    length = np.linalg.norm(towards, axis=-1, keepdims=True)
    x = q[:, None] + tree.radii[:, None, None] * (1 - 1e-9) * towards / np.maximum(length, 1e-300)
    return x.reshape(-1, w.shape[1]), np.repeat(np.arange(len(q)), len(w))


@pytest.mark.parametrize("name", ["sphere", "power", "rotations", "lattice", "any", "two"])
def test_lists_hold_every_winner_in_the_ball_of_their_group(name: str) -> None:
    gate = GATES[name]
    tree = GateTree.of(gate)
    x, group = at_the_edge(tree, gate)
    winners = gate(x).argmax(1)
    assert all(winner in tree.groups[a].candidates for winner, a in zip(winners, group, strict=True))


def test_lists_for_a_radius_two_percent_smaller_miss_winners() -> None:
    """The constant of the lemma is sharp: two balls at a distance of just less than 2R."""
    gate = GATES["two"]
    q, R = gate.weight[0], 1.005
    x = np.array([[1.0 + 1e-3, 0.0]])
    assert np.linalg.norm(x - q) <= R
    winner = int(gate(x).argmax())
    assert winner in _group(gate, q, R, 1).candidates
    assert winner not in _group(gate, q, 0.98 * R, 1).candidates


def test_a_tree_with_lists_two_percent_too_small_has_other_routes() -> None:
    """Centres 0, 2, 4, … on a line, one group around 0 that reaches just beyond the end of its cell."""
    gate = gate_of(np.stack([2 * np.arange(16.0), np.zeros(16)], 1))
    q, radii = np.zeros((1, 2)), np.array([1.01])
    x = np.stack([np.linspace(-1, 1.0099, 1 << 12), np.zeros(1 << 12)], 1)

    def different(lists: float) -> int:
        groups = (_group(gate, q[0], lists * radii[0], 16),)
        tree = GateTree(gate, q, np.zeros(1), _limits(np.zeros(1), radii, 2, float), radii, groups)
        assert not len(tree.settled(x)[1])
        return int((tree.choose(x, lambda part: gate(x[part]), len(x)) != gate(x).argmax(1)).sum())

    assert different(1.0) == 0
    assert different(0.98) > 0


def test_lists_are_short() -> None:
    tree = GateTree.of(GATES["sphere"])
    assert tree.pays
    assert tree.load < 70 < len(GATES["sphere"].bias)
    assert len(tree.settled(on_sphere(1 << 12))[1]) < 32


def network_of(gate: Affine) -> Network:
    D, E = gate.weight.shape[1], len(gate.bias)
    experts = tuple(Affine(w[None], np.zeros(1, w.dtype)).net for w in np.eye(E, D, dtype=gate.weight.dtype) + gate.weight)
    layer = MoELayer(gate.net, experts, tuple(range(E)), tuple(map(str, range(E))), ("y",))
    return Network((layer,), tuple(f"x{k}" for k in range(D)))


@pytest.mark.parametrize("name", ["sphere", "float32", "large lattice"])
@pytest.mark.parametrize("sums", [Sums.PLAIN, Sums.FLOAT64])
def test_torch_has_the_same_routes(name: str, sums: Sums) -> None:
    gate = GATES[name]
    network, x = network_of(gate), torch.from_numpy(inputs_of(gate, 1024))
    flat, tree = to_torch(network, sums=sums).stack[0], to_torch(network, sums=sums, gates="tree").stack[0]
    assert flat.tree is None
    assert tree.tree is not None
    assert torch.equal(flat.route(x)[0], tree.route(x)[0])


def test_torch_lists_follow_the_weights() -> None:
    """A gate that is trained, or loaded, has other lists."""
    module = to_torch(network_of(GATES["sphere"]), gates="tree")
    layer, x = module.stack[0], torch.from_numpy(on_sphere(2048, seed=5))
    before = layer.route(x)[0]
    with torch.no_grad():
        layer.router.weight.copy_(layer.router.weight.roll(7, 0))
        layer.router.bias.copy_(layer.router.bias.roll(7, 0))
    assert torch.equal(layer.route(x)[0], (before + 7) % 256)


def test_a_network_computes_the_same() -> None:
    network = network_of(GATES["sphere"])
    x = on_sphere(3000)
    assert np.array_equal(network(x), network(x, gates="tree"))
    with pytest.raises(InvalidArgument, match="one of flat, tree"):
        network(x, gates="bush")


def test_layers_without_an_affine_choice_have_no_tree() -> None:
    layer = network_of(GATES["sphere"]).layers[0]
    assert layer.tree is not None
    assert dataclasses.replace(layer, top_k=2).tree is None
    assert network_of(GATES["any"]).layers[0].tree is None
    assert dataclasses.replace(layer, gate=None, experts=layer.experts[:1], serves=(0,), names=("one",)).tree is None
