"""A model with smooth experts and lanes through everything that is done with models: proof, refutation, files, words, exports."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
import torch
from atlasmoe.atlas.transitions import Chart
from atlasmoe.export.properties import write_properties
from atlasmoe.moe import Activation, Affine, Model, Net, NeuronGroup
from atlasmoe.moe.activations import GELU, GELU_TANH, RELU, SILU
from atlasmoe.moe.layout import tensors
from atlasmoe.report import explanation, render
from atlasmoe.verify.check import check


def expert(chart: Chart, activation: Activation, lanes: bool) -> Net:
    """x·y on a chart of the circle: neurons along five directions and two ReLUs, their weights by least squares."""
    angles, rng = np.repeat(np.linspace(0, np.pi, 5, endpoint=False), 4), np.random.default_rng(0)
    hidden = Affine(1.5 * np.stack([np.cos(angles), np.sin(angles)], 1), np.tile(np.linspace(-1.2, 1.2, 4), 5))
    up = Affine(rng.normal(size=(20, 2)) * (np.arange(20) < 18)[:, None], np.ones(20)) if lanes else None
    groups = (NeuronGroup("bend", 18, "least squares", activation), NeuronGroup("kink", 2, "least squares", RELU))
    net = Net((hidden, Affine(np.zeros((1, 20)), np.zeros(1))), (groups,), (up,))
    x = chart.inverse(np.linspace(-1.42, 1.42, 400)[:, None])
    columns = np.column_stack([net.hidden(0, x), np.ones(len(x))])
    weights = np.linalg.lstsq(columns, x[:, 0] * x[:, 1], rcond=1e-7)[0]
    return net.with_maps((hidden, Affine(weights[None, :-1].copy(), weights[-1:].copy())))


def smooth(model: Model, activation: Activation, lanes: bool, dtype: str = "float32") -> Model:
    """The circle with such experts."""
    *before, last = model.network.layers
    experts = tuple(expert(chart, activation, lanes) for chart in model.manifold_task.atlas.parametrising)
    network = replace(model.network, layers=(*before, replace(last, experts=experts))).astype(dtype)
    return replace(model, network=network)


@pytest.mark.parametrize(("activation", "lanes"), [(SILU, True), (GELU, False), (GELU_TANH, True)], ids=str)
def test_is_proved_confirmed_refuted_and_kept_bit_for_bit(circle: Model, activation: Activation, lanes: bool, tmp_path: Path) -> None:
    model = smooth(circle, activation, lanes)
    folder = atlasmoe.save(model, tmp_path / "m")
    loaded = atlasmoe.load(folder)
    ours, theirs = tensors(model.network), tensors(loaded.network)
    assert ours.keys() == theirs.keys()
    assert all(array.tobytes() == theirs[name].tobytes() for name, array in ours.items())
    x = model.manifold_task.atlas.sample(300, seed=1).ambient
    assert loaded(x).tobytes() == model(x).tobytes()
    np.testing.assert_allclose(atlasmoe.to_torch(loaded)(torch.from_numpy(x)).detach().numpy(), model(x), rtol=0, atol=1e-5)
    certificate = atlasmoe.certify(model, epsilon=0.01)
    assert certificate.status == "proved"
    claims = {claim.name: claim.bound for claim in certificate.claims}
    assert claims["total.float32.float64"] < claims["total.float32.blocks"] < 1e-3
    certificate.write(folder)
    report = check(folder)
    assert report.verdict == "confirmed", report.failures
    missed = atlasmoe.certify(model, epsilon=1e-8)
    assert missed.status == "refuted"
    missed.write(folder, overwrite=True)
    assert check(folder).verdict == "refuted"
    said = json.loads((folder / "refutation.json").read_text())
    assert said["error"] == missed.bound > 1e-8


def test_card_and_explanation_say_what_neurons_do(circle: Model, tmp_path: Path) -> None:
    model = smooth(circle, SILU, True)
    card = (atlasmoe.save(model, tmp_path / "m") / "README.md").read_text()
    assert "| activation of experts | silu lanes (54), relu lanes (6) |" in card
    assert "tags: [mixture-of-experts, function-approximation, manifold, silu, relu, atlasmoe]" in card
    lane, plain = (model.explain(layer=2, expert="east", neuron=n) for n in (0, 18))
    assert (lane.activation, lane.times_bias, plain.activation, plain.times) == ("silu", 1.0, "relu", None)
    net, x = model.network.layers[1].experts[0], np.array([[0.6, 0.8]])
    z, v = (sum(w * x[0, "xy".index(name)] for name, w in form.items()) for form in (lane.reads, lane.times or {}))
    value = SILU(np.array(z + lane.bias)) * (v + 1.0)
    assert value == pytest.approx(float(net.hidden(0, x.astype(np.float32))[0, 0]), rel=1e-6)
    text = render(explanation.neuron(lane))
    assert "silu(w·x + b)·(v·x + c)" in text
    assert "σ(w·x + b)" in render(explanation.neuron(plain))


@pytest.mark.parametrize(("activation", "lanes", "operators"), [(SILU, True, "Sigmoid"), (GELU, False, "Erf"), (GELU_TANH, False, "Gelu")])
def test_properties_are_of_the_same_functions(circle: Model, activation: Activation, lanes: bool, operators: str, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    model = smooth(circle, activation, lanes, "float64")
    folder = atlasmoe.save(model, tmp_path / "m")
    atlasmoe.certify(model, tightness=None).write(folder)
    listing = json.loads(write_properties(model, folder, tmp_path / "out").read_text())
    said = next(item for item in listing["properties"] if item["name"] == "expert-0")
    stored = onnx.load(tmp_path / "out" / "expert-0.onnx")
    onnx.checker.check_model(stored)
    kinds = [node.op_type for node in stored.graph.node]
    assert operators in kinds
    assert ("Gemm", kinds.count("Gemm")) == ("Gemm", 3 if lanes else 2)
    lower = np.array(said["box"]["lower"])
    x = np.random.default_rng(0).uniform(lower, said["box"]["upper"], (4, 2))
    y = np.concatenate([ReferenceEvaluator(stored).run(None, {"X": row[None]})[0] for row in x])
    line = np.array(said["level"]) + (x - lower) @ np.array(said["slope"]).T
    np.testing.assert_allclose(y, model.network.layers[1].experts[0](x) - line, rtol=0, atol=1e-5)  # the reader's erf is a table
    assert (np.abs(y) <= np.array(said["r"])).all()
