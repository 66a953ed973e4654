"""Scaled logits (N12) are proved: the error of every mixture, and how little experts weigh whose balls do not hold the point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
import pytest
from atlasmoe import ball_atlas, builtin
from atlasmoe.errors import FolderError, InvalidArgument
from atlasmoe.intervals import Interval
from atlasmoe.moe import Affine, Known, Model, Network
from atlasmoe.verify.check import check
from atlasmoe.verify.enclosure import TaylorForms
from atlasmoe.verify.prove import certify
from atlasmoe.verify.prove.amiss import weight
from certificates import certified, claim, reweighted, tampered, why
from test_top_k import task_on

MODELS: dict[str, tuple[str, int, str, dict[str, Any]]] = {
    "circle": ("circle", 6, "x1*x2", {"epsilon": 0.05, "top_k": 2}),
    "three of eight": ("circle", 8, "sin(2*x1)*x2", {"epsilon": 0.02, "top_k": 3, "dtype": "float32"}),
    "sphere": ("sphere", 24, "x1*x2 + exp(x3)/3", {"epsilon": 0.05, "top_k": 2}),
}


@cache
def made(name: str) -> Model:
    manifold, charts, text, options = MODELS[name]
    return atlasmoe.compile(task_on(ball_atlas(builtin(manifold), charts=charts), text), routing="scaled", **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certified(made("circle"), tmp_path_factory.mktemp("scaled") / "model", tightness=1.1)


@pytest.mark.parametrize("name", MODELS)
def test_scaled_logits_are_proved_and_confirmed(name: str, tmp_path: Path) -> None:
    model = made(name)
    certificate = certify(model, tightness=None)
    atlasmoe.save(model, tmp_path / "model")
    certificate.write(tmp_path / "model")
    report = check(tmp_path / "model")
    assert report.verdict == "confirmed", why(report)
    assert {"total", "routing.weight", "cover"} <= set(report.claims)
    assert all(claim.name != "routing.valid" for claim in certificate.claims)
    atlas, points = model.task.atlas, model.task.atlas.sample(8000, 4)
    x = points.ambient.astype(model.network.dtype)
    layer, trace = model.network.layers[0], model.network.trace(x)
    chosen = trace.chosen[0]
    weights = layer.weights(chosen, trace.logits[0]).astype(float)
    outside = ~np.take_along_axis(atlas.membership(points.base), chosen, 1)
    assert outside.any()
    assert (weights * outside).sum(1).max() <= certificate["routing.weight"].bound
    error = np.abs(np.asarray(trace.output, float) - model.task.evaluate(points)).max()
    assert error <= certificate[f"total.{model.network.dtype}"].bound


@pytest.fixture
def briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is false is not looked for on parts of parts of boxes."""
    monkeypatch.setattr(import_module("atlasmoe.verify.check.leaves"), "DEEPEST", 4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_refused_with_a_remedy(dtype: str) -> None:
    task = task_on(ball_atlas(builtin("circle"), charts=6), "x1*x2")
    with pytest.raises(InvalidArgument, match=r"does not hold the margins.*N12.*dtype"):
        atlasmoe.compile(task, epsilon=0.05, top_k=2, routing="scaled", dtype=dtype)


def constant(logits: list[float]) -> TaylorForms:
    return TaylorForms.constants(Interval.of(np.array([logits])), 1)


def test_the_weight_is_what_softmax_gives_and_no_less() -> None:
    """K − 1 experts amiss at gaps g: attained where logits are known exactly, so that 2 % less would be false."""
    for gaps, K in (([1.5], 2), ([0.25, 0.5, 3.0], 3), ([2.0, 2.0, 2.0, 2.0], 4)):
        logits = np.array([0.0, *(-g for g in gaps)])
        every = np.arange(len(logits))
        found = weight(constant(list(logits)), 0 * every, every, every == 0, K, 0.0)[0]
        powers = np.exp(np.sort(logits)[::-1][:K])
        true = powers[1:].sum() / powers.sum()
        assert true <= found <= true * (1 + 1e-5)
        assert 0.98 * found < true
        # Logits off by η each way: the best one down, the others up.
        eta = 0.1
        known = weight(constant(list(logits)), 0 * every, every, every == 0, K, eta)[0]
        powers = np.exp(np.sort(np.where(every == 0, logits - eta, logits + eta))[::-1][:K])
        true = powers[1:].sum() / powers.sum()
        assert true <= known <= true * (1 + 1e-5)
    alone = np.arange(2)
    assert weight(constant([0.0, -1.0]), 0 * alone, alone, np.zeros(2, bool), 2, 0.0)[0] == 1
    assert weight(constant([0.0, -0.1]), 0 * alone, alone, alone == 0, 2, 0.06)[0] == 1  # which is ahead is not known
    assert weight(constant([0.0, -0.1]), 0 * alone, alone, alone < 2, 2, 0.06)[0] == 0


def said(data: dict[str, Any], amiss: float) -> None:
    """Another weight, wherever it stands."""
    data["sites"][0]["amiss"] = amiss
    claim(data, "routing.weight").update(bound=amiss, budget=amiss)


def valid(data: dict[str, Any]) -> None:
    """Every expert that may be chosen holds the point."""
    data["sites"][0].pop("amiss")
    statement = "for every x ∈ M and every expert j that the gate may choose at x, logits known to ±η: x ∈ U_j (0: always)"
    claim(data, "routing.weight").update(name="routing.valid", statement=statement, source="Theorem 4.8 step 3, B1", budget=0.0, bound=0.0)


FORGED: dict[str, Callable[[dict[str, Any]], object]] = {
    "a weight of 1e-12": lambda data: said(data, 1e-12),
    "no weight": lambda data: said(data, 0.0),
    "more than all": lambda data: said(data, 2.0),
    "a smaller bound of the claim": lambda data: claim(data, "routing.weight").update(bound=1e-5),
    "valid": valid,
    "left out": lambda data: data["sites"][0].pop("amiss"),
    "of logits known exactly": lambda data: data["sites"][0].update(eta=0.0),
}


@pytest.mark.usefixtures("briefly")
@pytest.mark.parametrize("name", FORGED)
def test_forged_certificates_are_refused(name: str, folder: Path, tmp_path: Path) -> None:
    try:
        report = check(tampered(folder, tmp_path / "forged", FORGED[name]))
    except FolderError:
        return
    assert report.verdict in ("rejected", "undecided"), name


@pytest.mark.usefixtures("briefly")
def test_a_smaller_beta_is_neither_proved_nor_confirmed(folder: Path, tmp_path: Path) -> None:
    """A gate of β/64 gives weight to experts that are wrong there: what is proved is larger, if anything, and the old proof is refused."""
    model = made("circle")
    (layer,) = model.network.layers
    small = layer.gate.with_maps([Affine(map_.weight / 64, map_.bias / 64) for map_ in layer.gate.affines])
    off = Network((replace(layer, gate=small),), model.network.inputs)
    certificate = certify(replace(model, network=off), tightness=None, boxes=1_000)
    points = model.task.atlas.sample(4000, 1)
    error = np.abs(off(points.ambient) - model.task.evaluate(points)).max()
    assert error > 4 * certify(model).bound
    assert certificate.status is not Known.PROVED or error <= certificate.bound

    def change(arrays: dict[str, np.ndarray]) -> None:
        for name in arrays:
            if ".gate." in name:
                arrays[name] /= 64

    assert check(reweighted(folder, tmp_path / "small", change)).verdict in ("rejected", "undecided")


def test_only_designs_that_say_so_may_be_amiss(tmp_path: Path) -> None:
    """A model whose experts are all to hold the point has no such claim, whatever its certificate says."""
    model = atlasmoe.compile(task_on(ball_atlas(builtin("circle"), charts=8), "x1*x2"), epsilon=0.05, top_k=2)
    sound = certified(model, tmp_path / "model")
    try:
        verdict = check(tampered(sound, tmp_path / "weaker", lambda data: data["sites"][0].update(amiss=0.5))).verdict
    except FolderError:
        return
    assert verdict in ("rejected", "undecided")
