"""Weights of half precision: rounded as PyTorch rounds them, and proved like any other network."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
import torch
from atlasmoe.errors import InvalidArgument
from atlasmoe.moe import Affine, Known, Network, Ridge
from atlasmoe.moe.halves import HALVES, rounded
from atlasmoe.verify.check import check
from atlasmoe.verify.prove import certify
from certificates import claim, edited, tampered, why
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
    for before, after in zip(circle32.network.layers[1].experts, circle32.network.rounded("bfloat16").layers[1].experts, strict=True):
        assert len(Ridge.of(after).dictionary.counts) == len(Ridge.of(before).dictionary.counts)
    assert isinstance(after.affines[0], Affine)


@pytest.mark.parametrize("dtype", HALVES)
def test_evaluation_in_half_precision_is_claimed_and_confirmed(circle32: atlasmoe.Model, dtype: str, tmp_path: Path) -> None:
    """What `to_torch(…).to(dtype)` computes stays within what is proved of it, at every point that is tried."""
    halved = circle32.network.rounded(dtype)
    model = replace(circle32, network=halved)
    certificate = certify(model, epsilon=2.0, tightness=1.5, dtypes=[dtype])
    said = certificate[f"total.{dtype}"]
    assert said.known is Known.PROVED
    assert f"rounded to {dtype}" in said.statement
    added = certificate.sites[0].solution.roundings[dtype].outputs
    points = circle32.task.atlas.sample(20000, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for sums in ("plain", "blocks", "float64"):
            module = atlasmoe.to_torch(halved, sums=sums).to(getattr(torch, dtype))
            with torch.no_grad():
                found = module(torch.from_numpy(points.ambient), return_routes=True)
            exact = halved.astype(float).trace(points.ambient, [route.numpy() for route in found.routes]).output
            off = np.abs(found.y.double().numpy() - exact).max()
            assert added / 200 < off <= added
            assert np.abs(found.y.double().numpy() - circle32.task.evaluate(points)).max() <= said.bound
    atlasmoe.save(model, tmp_path / "model")
    certificate.write(tmp_path / "model")
    report = check(tmp_path / "model")
    assert report.verdict == "confirmed", why(report)
    assert f"total.{dtype}" in report.claims
    for n, (path, change) in enumerate([(f"sites/0/rounding/{dtype}", smaller), (f"@total.{dtype}/statement", lambda text: text + "!")]):
        assert check(tampered(tmp_path / "model", tmp_path / f"changed{n}", edited(path, change))).verdict == "rejected"


def smaller(number: float) -> float:
    return number / 2


def test_weights_that_a_dtype_cannot_hold_are_refused(circle: atlasmoe.Model, circle32: atlasmoe.Model) -> None:
    with pytest.raises(InvalidArgument, match=r"has weights that bfloat16 cannot hold; certify network\.rounded"):
        certify(circle32, dtypes=["bfloat16"])
    with pytest.raises(InvalidArgument, match="float32 networks on one manifold"):
        certify(circle, dtypes=["float16"])
    with pytest.raises(InvalidArgument, match="'float8' is not one of"):
        certify(circle32, dtypes=["float8"])


def test_a_claim_about_weights_of_another_dtype_is_rejected(circle32: atlasmoe.Model, tmp_path: Path) -> None:
    """The certificate of float16 weights says something about bfloat16, which cannot hold them."""
    model = replace(circle32, network=circle32.network.rounded("float16"))
    atlasmoe.save(model, tmp_path / "model")
    certify(model, epsilon=2.0, tightness=1.5, dtypes=["float16"]).write(tmp_path / "model")

    def change(data: dict) -> None:
        for numbers in (data["sites"][0]["rounding"], data["readout"]["rounding"]):
            numbers["bfloat16"] = 100 * numbers["float16"]
        other = copy.deepcopy(claim(data, "total.float16"))
        other |= {"name": "total.bfloat16", "statement": other["statement"].replace("float16", "bfloat16")}
        other |= {"known": "unknown", "bound": data["bound"] + data["readout"]["rounding"]["bfloat16"]}
        data["claims"].append(other)

    report = check(tampered(tmp_path / "model", tmp_path / "other", change))
    assert report.verdict == "rejected"
    assert "its weights are not those of bfloat16" in why(report)
