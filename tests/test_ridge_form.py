"""`to_torch(experts="ridge")`: neurons of one direction share its product, values but for another order of sums, and routes, stay."""

from __future__ import annotations

import copy

import atlasmoe
import numpy as np
import pytest
import torch
from atlasmoe import InvalidArgument
from atlasmoe.export.from_torch import network_of
from atlasmoe.export.ridge import directions
from atlasmoe.moe import Affine, MoELayer, Net, Network, NeuronGroup
from atlasmoe.moe.activations import ACTIVATIONS


def ridged(rng: np.random.Generator, neurons: int, inputs: int, count: int) -> np.ndarray:
    """So many rows of `count` directions, as they are or turned round."""
    rows = rng.normal(size=(count, inputs))
    return rows[rng.integers(count, size=neurons)] * rng.choice([-1, 1], (neurons, 1))


def network(activation: str, dtype: str) -> Network:
    """Six experts of which the second hidden layer has 7 directions of 60 numbers; a gate before, and one behind."""
    rng = np.random.default_rng(0)
    act = ACTIVATIONS[activation]

    def expert(outputs: int) -> Net:
        maps = (rng.normal(size=(60, 3)), ridged(rng, 200, 60, 7) / 8, rng.normal(size=(outputs, 200)) / 14)
        affines = tuple(Affine(weight, rng.normal(size=len(weight))) for weight in maps)
        return Net(affines, ((NeuronGroup("first", 60, "by hand"),), (NeuronGroup("ridge", 200, "by hand", act),)))

    layers = [
        MoELayer(
            Affine(rng.normal(size=(6, 3)), np.zeros(6)).net,
            tuple(expert(outputs) for _ in range(6)),
            tuple(range(6)),
            tuple("abcdef"),
            tuple(f"y{k}" for k in range(outputs)),
        )
        for outputs in (3, 2)
    ]
    return Network(tuple(layers), ("s", "t", "u")).astype(dtype)


@pytest.mark.parametrize("activation", ["relu", "silu"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])
def test_values_and_routes_stay(activation: str, dtype: str, tolerance: float) -> None:
    made = network(activation, dtype)
    dense, ridge = atlasmoe.to_torch(made), atlasmoe.to_torch(made, experts="ridge")
    for rows in (0, 1, 5, 700):
        x = torch.from_numpy(np.random.default_rng(1).normal(size=(rows, 3)).astype(dtype))
        with torch.no_grad():
            expected, found = dense(x, return_routes=True), ridge(x, return_routes=True)
            torch.testing.assert_close(found.y, expected.y, rtol=0, atol=tolerance)
            assert all(map(torch.equal, found.routes, expected.routes))
        torch.testing.assert_close(ridge(x), dense(x), rtol=0, atol=tolerance)  # gradients are asked for: dense
    slices = ridge.stack[0].experts.slices.found
    assert sorted(slices) == list(range(6))
    assert all([part.shared is not None for part in expert] == [False, True, False] for expert in slices.values())
    assert all(len(expert[1].shared.rows.mT) == 7 for expert in slices.values())


def test_changed_weights_are_seen() -> None:
    ridge = atlasmoe.to_torch(network("relu", "float64"), experts="ridge")
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(90, 3)))
    with torch.no_grad():
        ridge(x)
        weight = ridge.stack[0].experts.maps[1].weight
        original = atlasmoe.to_torch(network("relu", "float64")).state_dict()
        for change in (lambda: weight.mul_(-2), lambda: weight[2].add_(1), lambda: ridge.load_state_dict(original)):
            before = copy.deepcopy(ridge)
            change()
            for one in (ridge, before):
                np.testing.assert_allclose(one(x), network_of(one)(x.numpy()), rtol=0, atol=1e-10)
    assert ridge.float()(x).dtype == torch.float32


def test_directions_are_exact() -> None:
    """Zeros of either sign, rows of 0, one unit in the last place between two rows; nothing where there is nothing to save."""
    rng = np.random.default_rng(2)
    array = ridged(rng, 90, 50, 4)
    array[5] = 0
    array[6, 3], array[7] = -0.0, array[8]
    array[7, 0] = np.nextafter(array[7, 0], 9)
    weight = torch.from_numpy(array)
    found = directions(weight)
    assert found is not None
    assert found.rows.shape == (50, 7)
    rows = torch.cat((found.rows, -found.rows), 1).mT[found.which]
    assert torch.equal(rows, weight)
    assert directions(torch.from_numpy(rng.normal(size=(90, 50)))) is None
    assert directions(weight[:, :8]) is None
    assert directions(torch.full((90, 50), torch.nan)) is not None  # equal bits are equal rows


def test_wrong_words_are_answered() -> None:
    made = network("relu", "float32")
    with pytest.raises(InvalidArgument, match="experts='sparse' is not one of dense, ridge"):
        atlasmoe.to_torch(made, experts="sparse")
    with pytest.raises(InvalidArgument, match="leave one of them"):
        atlasmoe.to_torch(made, experts="ridge", sums="blocks")
