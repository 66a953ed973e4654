"""Weights of half precision: rounded as PyTorch rounds them, and proved like any other network."""

from __future__ import annotations

import warnings

import atlasmoe
import numpy as np
import pytest
import torch
from atlasmoe.errors import InvalidArgument
from atlasmoe.moe import Affine, Known, Network
from atlasmoe.moe.halves import HALVES, rounded
from atlasmoe.verify.prove import certify
from conftest import EPSILON
from general_layers import KINDS, general_network


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("wide", [np.float32, np.float64])
def test_numbers_are_rounded_as_pytorch_does(dtype: str, wide: type) -> None:
    rng = np.random.default_rng(0)
    array = np.concatenate(
        [rng.normal(size=10000) * 10.0 ** rng.uniform(-12, 4, 10000), [0.0, -0.0, 1.0, 1 + 2.0**-8, 1 + 3 * 2.0**-8, 1 + 2.0**-11]]
    )
    array = array.astype(wide)
    half = getattr(torch, dtype)
    expected = torch.from_numpy(array).to(half).to(torch.float64).numpy()
    got = rounded(array, dtype)
    assert got.dtype == wide
    np.testing.assert_array_equal(got.astype(float), expected)
    np.testing.assert_array_equal(np.signbit(got), np.signbit(array))
    np.testing.assert_array_equal(rounded(got, dtype), got)


def test_what_cannot_be_held_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="70000 is beyond what float16 can hold"):
        rounded(np.array([1.0, 7e4]), "float16")
    with pytest.raises(InvalidArgument, match="'float8' is not one of bfloat16, float16"):
        rounded(np.ones(2), "float8")
    assert rounded(np.array([7e4]), "bfloat16") == 70144


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", HALVES)
def test_the_network_has_the_weights_of_the_module(kind: str, dtype: str) -> None:
    network = general_network(kind).astype(np.float32)
    halved = network.rounded(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = atlasmoe.to_torch(network).to(getattr(torch, dtype))
    ours, theirs = atlasmoe.to_torch(halved).state_dict(), module.state_dict()
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert torch.equal(ours[name].double(), tensor.double()), name
    x = np.random.default_rng(0).normal(size=(500, 2)).astype(np.float32)
    for before, after in zip(network.trace(x).chosen, halved.trace(x).chosen, strict=True):
        np.testing.assert_array_equal(before, after)


def worst(network: Network, model: atlasmoe.Model) -> float:
    points = model.task.atlas.sample(4000, 1)
    return float(np.abs(network.astype(float)(points.ambient) - model.task.evaluate(points)).max())


@pytest.mark.parametrize("dtype", HALVES)
def test_rounded_networks_are_proved_where_the_margin_allows(circle32: atlasmoe.Model, dtype: str) -> None:
    """At an ε that the rounded network keeps it is proved, orders of float32 included; at one that it misses it is refuted."""
    halved = circle32.network.rounded(dtype)
    error = worst(halved, circle32)
    certificate = certify(halved, circle32.task, epsilon=1.2 * error, tightness=None)
    assert certificate.status is Known.PROVED
    assert certificate["total.float32.float64"].known is Known.PROVED
    assert error <= certificate.bound
    if error > EPSILON:
        assert certify(halved, circle32.task, epsilon=EPSILON).status is Known.REFUTED


def test_directions_stay_shared(circle32: atlasmoe.Model) -> None:
    """Equal rows stay equal, so that proofs stay cheap."""
    from atlasmoe.moe import Ridge

    for before, after in zip(circle32.network.layers[1].experts, circle32.network.rounded("bfloat16").layers[1].experts, strict=True):
        assert len(Ridge.of(after).dictionary.counts) == len(Ridge.of(before).dictionary.counts)
    assert isinstance(after.affines[0], Affine)
