"""The circuit as JSON is the network: every neuron once, every reference resolves, and whoever adds it up gets Ψ."""

from __future__ import annotations

import importlib.util
import json
import math
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
import pytest
import torch
from atlasmoe import Block, Box, Combine, Input, Model, TaskGraph, Tiling
from atlasmoe.atlas.graph import as_graph
from atlasmoe.atlas.graph.nodes import expression_map
from atlasmoe.cli import main
from atlasmoe.errors import InvalidArgument
from atlasmoe.explain.roles import PARTS
from click.testing import CliRunner
from jsonschema import Draft202012Validator

SCHEMA = json.loads((Path(__file__).parent.parent / "docs" / "circuit.schema.json").read_text(encoding="utf-8"))


def graph() -> TaskGraph:
    return TaskGraph(
        "two blocks",
        (
            Input("x", Box((0, 0, 0), (2, 1, 1)), ("r", "s", "t")),
            Block.parse("a", ("r",), Tiling.intervals((0, 0.7, 2)), ["r", "3 - r**2"]),
            Block.parse("b", ("s",), Tiling.intervals((0, 0.5, 1)), ["s", "1 - s"]),
            Combine.parse("f", ("t", "a", "b"), "a*b + t"),
        ),
        output="f",
    )


def on(manifold: str, text: str, epsilon: float, **options: Any) -> Model:
    atlas = atlasmoe.builtin(manifold, **options.pop("of", {}))
    task = atlasmoe.ManifoldTask(manifold, atlas, atlasmoe.ExpressionTarget(expression_map(atlas.coordinates, text)))
    return atlasmoe.compile(task, epsilon=epsilon, **options)


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    """A model for every kind of part: scores, carried channels, lanes, shared experts, gates with neurons, groups, encoders."""
    task = graph()
    return {
        "paper": atlasmoe.compile(task, epsilon=0.1),
        "residual": atlasmoe.compile(task, epsilon=0.1, form="residual", depth="shared"),
        "groups": atlasmoe.compile(task, epsilon=0.1, depth="path"),
        "charts": on("circle", "x1*x2", 0.1),
        "lanes": on("circle", "x1*x2", 0.1, activation="gelu", gated=True, top_k=2),
        "shared": on("circle", "x1*x2", 0.1, shared=True, gate="nonlinear"),
        "encoder": on("circle", "x1*x2", 0.3, experts="encoder", of={"atlas": "ball", "embed": {"dimension": 6}}),
    }


@pytest.fixture(scope="module")
def circuits(models: dict[str, Model]) -> dict[str, dict[str, Any]]:
    return {name: json.loads(json.dumps(atlasmoe.circuit(model))) for name, model in models.items()}


NAMES = ["paper", "residual", "groups", "charts", "lanes", "shared", "encoder"]


@pytest.mark.parametrize("name", NAMES)
def test_it_fits_its_schema(circuits: dict[str, dict[str, Any]], name: str) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    Draft202012Validator(SCHEMA).validate(circuits[name])
    broken = {**circuits[name], "neurons": [{"id": "x", "group": 3}]}
    assert list(Draft202012Validator(SCHEMA).iter_errors(broken))


@pytest.mark.parametrize("name", NAMES)
def test_every_neuron_is_there_once_and_every_reference_resolves(
    models: dict[str, Model], circuits: dict[str, dict[str, Any]], name: str
) -> None:
    model, found = models[name], circuits[name]
    neurons = [neuron["id"] for neuron in found["neurons"]]
    expected = sum(width for layer in model.network.layers for net in layer.nets for width in net.widths)
    assert len(neurons) == len(set(neurons)) == expected
    groups, nets = {one["id"]: one for one in found["groups"]}, {one["id"]: one for one in found["nets"]}
    channels = {one["id"] for one in found["channels"]}
    gates = {output["id"] for layer in found["layers"] for output in layer["outputs"]}
    latents = {node for net in found["nets"] if net["kind"] == "encoder" for node in net["writes"]}
    nodes = channels | gates | latents | set(neurons)
    assert len(nodes) == len(channels) + len(gates) + len(latents) + len(neurons)
    claims = {one["name"] for one in found["claims"]}
    assert [one["name"] for one in found["claims"]] == [claim.name for claim in model.ledger]
    pieces = {(block["name"], piece["name"]) for block in found["blocks"] for piece in block["pieces"]}
    for group in found["groups"]:
        assert set(group["claims"]) <= claims
        assert {tuple(pair) for pair in group["serves"]["pieces"]} <= pieces
        assert group["net"] in nets
    members = defaultdict(int)
    for neuron in found["neurons"]:
        assert neuron["id"].startswith(groups[neuron["group"]]["net"] + f".h{groups[neuron['group']]['hidden']}.")
        members[neuron["group"]] += 1
    assert all(members[key] == one["count"] for key, one in groups.items())
    for net in found["nets"]:
        assert set(net["reads"]) | set(net["writes"]) <= nodes
        assert {node for one in net["maps"] for a, b, _ in one["edges"] for node in (a, b)} <= nodes
        assert {node for one in net["maps"] for node in one["bias"]} <= nodes
    for layer in found["layers"]:
        assert {layer[key] for key in ("gate", "shared", "encoder")} - {None} <= nets.keys()
        assert {output["expert"] for output in layer["outputs"]} <= nets.keys()
        assert {node for pair in layer["carries"] for node in pair} <= channels
    for block in found["blocks"]:
        assert {piece["gate"] for piece in block["pieces"]} <= gates
        assert {piece["expert"] for piece in block["pieces"]} <= nets.keys()
    assert {one["for"] for one in found["claims"]} - {None} <= claims


@pytest.mark.parametrize("name", NAMES)
def test_it_adds_up_to_the_network(models: dict[str, Model], circuits: dict[str, dict[str, Any]], name: str) -> None:
    model, found = models[name], circuits[name]
    outputs = [one["id"] for one in found["channels"] if one["state"] == len(found["layers"])]
    for point in as_graph(model.task).sample(12, 5):
        values = evaluated(found, point)
        assert [values[node] for node in outputs] == pytest.approx(model(point)[0].tolist(), rel=1e-9, abs=1e-9)


def test_groups_have_the_claims_on_what_they_compute(models: dict[str, Model], circuits: dict[str, dict[str, Any]]) -> None:
    charts = {one["name"]: one["claims"] for one in circuits["charts"]["groups"]}
    assert charts["expert[arc0].psi"] == [f"expert[arc0]{PARTS['.psi']}"]
    assert charts["expert[arc0].g"] == [f"expert[arc0]{PARTS['.g']}"]
    assert (charts["carry"], charts["tau"]) == (["passthrough"], ["routing.tau"])
    paper = {one["name"]: one["claims"] for one in circuits["paper"]["groups"]}
    assert paper["block[a].expert[piece1]"] == ["block[a].expert[piece1]"]
    assert paper["combine[f]"] == ["combine[f]"]
    assert {tuple(one["claims"]) for one in circuits["paper"]["groups"] if one["name"].startswith("tau")} == {
        ("block[a].routing",),
        ("block[b].routing",),
    }
    gates = [one for one in circuits["groups"]["groups"] if ".gate.h" in one["id"]]
    assert gates
    assert all(one["claims"] == ["block[a].routing", "block[b].routing"] for one in gates)
    shared = next(one for one in circuits["shared"]["groups"] if one["name"] == "shared")
    assert shared["claims"] == [f"expert[arc{k}]" for k in range(4)]
    every = {claim for one in circuits["charts"]["groups"] for claim in one["claims"]}
    assert {claim.name for claim in models["charts"].ledger if claim.name.endswith((".chart", ".target"))} <= every


def test_on_the_command_line(models: dict[str, Model], tmp_path: Path) -> None:
    atlasmoe.save(models["charts"], tmp_path / "model")
    done = CliRunner().invoke(main, ["explain", str(tmp_path / "model"), "--circuit", "-o", str(tmp_path / "circuit.json"), "--json"])
    assert done.exit_code == 0
    found = json.loads((tmp_path / "circuit.json").read_text(encoding="utf-8"))
    assert found == json.loads(json.dumps(atlasmoe.circuit(tmp_path / "model")))
    assert json.loads(done.stdout)["neurons"] == len(found["neurons"])
    for wrong in (["--circuit"], ["--circuit", "--at", "1,0", "-o", "x.json"], ["--at", "1,0", "-o", "x.json"], []):
        assert CliRunner().invoke(main, ["explain", str(tmp_path / "model"), *wrong]).exit_code == 2
    with pytest.raises(InvalidArgument, match="circuit takes a compiled model"):
        atlasmoe.circuit(3)  # type: ignore[arg-type]


def test_what_moves_a_value_is_in_its_true_circuit() -> None:
    """The example of docs/interpretability.md: what moves the target is in its true circuit; what is missed is σ(−r), always 0."""
    spec = importlib.util.spec_from_file_location("circuit_discovery", Path(__file__).parent.parent / "examples" / "circuit_discovery.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    model = atlasmoe.compile(example.task(), epsilon=0.05)
    found, module, seen = atlasmoe.circuit(model), atlasmoe.to_torch(model), []
    truth = example.true_circuit(found)
    state, column = min(tuple(map(int, one["id"][1:].split("."))) for one in found["channels"] if one.get("component") == example.TARGET)
    module.layers[state - 1].register_forward_hook(lambda _, __, out: seen.append(out[:, column].detach()))
    x = torch.tensor(example.task().sample(200, 1))
    with torch.no_grad():
        module(x)
        moved = {
            name for name, parts, k in example.neurons(found, module) if example.moved(module, x, lambda: seen[-1], parts, k, "mean") > 1e-9
        }
    everything = {neuron["id"] for neuron in found["neurons"]}
    assert moved < truth
    assert (truth & everything) - moved == {"layer1.expert0.h1.3"}


# What a reader of docs/circuit.md would write, in float64.

ACTS = {
    "relu": lambda z: max(z, 0.0),
    "relu2": lambda z: max(z, 0.0) ** 2,
    "silu": lambda z: z / (1 + math.exp(-z)),
    "gelu": lambda z: z * math.erfc(-z / math.sqrt(2)) / 2,
    "identity": lambda z: z,
}


def evaluated(found: Mapping[str, Any], point: np.ndarray) -> dict[str, float]:
    nets, groups = {net["id"]: net for net in found["nets"]}, {one["id"]: one["activation"] for one in found["groups"]}
    act = {neuron["id"]: ACTS[groups[neuron["group"]]] for neuron in found["neurons"]}
    values = {one["id"]: float(point[one["input"]]) for one in found["channels"] if one["state"] == 0}
    for layer in found["layers"]:
        if layer["encoder"]:
            values |= run(nets[layer["encoder"]], values, act)
        logits = run(nets[layer["gate"]], values, act) if layer["gate"] else {layer["outputs"][0]["id"]: 0.0}
        ranked = sorted(layer["outputs"], key=lambda output: -logits[output["id"]])[: layer["top_k"]]
        scores = np.array([logits[output["id"]] for output in ranked])
        weights = {
            "one": lambda s: np.ones(1),
            "softmax": lambda s: np.exp(s - s.max()) / np.exp(s - s.max()).sum(),
            "uniform": lambda s: np.full(len(s), 1 / len(s)),
            "rectified": lambda s: np.maximum(s, 0),
        }[layer["weighting"]](scores)
        state = {one["id"]: 0.0 for one in found["channels"] if one["state"] == layer["layer"]}
        for source, target in layer["carries"]:
            state[target] += values[source]
        for output, weight in zip(ranked, weights.tolist(), strict=True):
            for node, value in run(nets[output["expert"]], values, act).items():
                state[node] += weight * value
        if layer["shared"]:
            for node, value in run(nets[layer["shared"]], values, act).items():
                state[node] += value
        values |= state
    return values


def run(net: Mapping[str, Any], values: Mapping[str, float], act: Mapping[str, Any]) -> dict[str, float]:
    inner = {node: values[node] for node in net["reads"]}
    for into in range(1, len(net["widths"]) + 2):
        last = into > len(net["widths"])
        nodes = net["writes"] if last else [f"{net['id']}.h{into}.{k}" for k in range(net["widths"][into - 1])]
        sums = {}
        for map_ in net["maps"]:
            if map_["into"] == into:
                sums[map_["lane"]] = {node: map_["bias"].get(node, 0.0) for node in nodes}
                for source, target, weight in map_["edges"]:
                    sums[map_["lane"]][target] += weight * inner[source]
        if last:
            return sums[False]
        inner = {node: act[node](value) * (sums[True][node] if True in sums else 1.0) for node, value in sums[False].items()}
    raise AssertionError
