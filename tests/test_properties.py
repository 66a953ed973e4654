"""Exported properties, read back by a reader of our own: the weights are the stored ones, the boxes hold the leaves, and they are true."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
from atlasmoe.cli.main import main
from atlasmoe.errors import FolderError, InvalidArgument
from atlasmoe.export.properties import properties, write_properties
from atlasmoe.moe import Affine, Model, MoELayer, Network, NeuronGroup, ReLUNet
from atlasmoe.verify.enclosure import TaylorForms, prepare
from atlasmoe.verify.prove import certify
from click.testing import CliRunner
from general_layers import general_network

onnx = pytest.importorskip("onnx")


def read_network(path: Path) -> list[Affine | None]:
    """Gemm by Gemm, None for a Relu; nothing else may be there."""
    model = onnx.load(path)
    onnx.checker.check_model(model)
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    layers: list[Affine | None] = []
    current = "X"
    for node in model.graph.node:
        assert node.input[0] == current
        current = node.output[0]
        if node.op_type == "Relu":
            layers.append(None)
        else:
            assert (node.op_type, [(a.name, a.i) for a in node.attribute]) == ("Gemm", [("transB", 1)])
            layers.append(Affine(arrays[node.input[1]].copy(), arrays[node.input[2]].copy()))
    assert current == "Y"
    return layers


def value(layers: list[Affine | None], x: np.ndarray) -> np.ndarray:
    for map_ in layers:
        x = np.maximum(x, 0) if map_ is None else map_(x)
    return x


def enclosed(layers: list[Affine | None], lower: np.ndarray, upper: np.ndarray) -> TaylorForms:
    """Over the box: each run of maps with Relus between them is a net."""
    forms = TaylorForms.variables(lower[None], upper[None])
    run: list[Affine] = []
    for map_, following in zip(layers, [*layers[1:], layers[0]], strict=True):
        if map_ is not None:
            run.append(map_)
            if following is not None:
                forms = prepare(ReLUNet(tuple(run), tuple((NeuronGroup("h", len(m.bias), ""),) for m in run[:-1])))(forms)
                run = []
    return forms


Cases = list[list[tuple[str, int, float | int]]]


def read_property(path: Path) -> tuple[np.ndarray, np.ndarray, Cases]:
    """Corners of the box, and a list of alternatives, each a list of comparisons: output, operator, number or `Y_k`."""
    text = "\n".join(line.split(";")[0] for line in path.read_text().splitlines())
    assert text.count("(") == text.count(")")
    bounds = {(op, int(k)): float(v) for op, k, v in re.findall(r"\(assert \(([<>]=) X_(\d+) (\S+?)\)\)", text)}
    inputs = text.count("(declare-const X_")
    (goal,) = re.findall(r"\(assert \(or (.*)\)\)", text)
    cases = [re.findall(r"\(([<>]=) Y_(\d+) (\S+?)\)", case) for case in re.findall(r"\(and (.*?\))\)", goal)]
    lower, upper = (np.array([bounds[op, k] for k in range(inputs)]) for op in (">=", "<="))
    return lower, upper, [[(op, int(k), int(v[2:]) if v.startswith("Y_") else float(v)) for op, k, v in case] for case in cases]


def refuted(cases: Cases, y: np.ndarray) -> np.ndarray:
    """Which outputs (N, q) are what the file asks for."""
    found = np.zeros(len(y), bool)
    for case in cases:
        every = np.ones(len(y), bool)
        for op, k, other in case:
            right = y[:, other] if isinstance(other, int) else other
            every &= y[:, k] >= right if op == ">=" else y[:, k] <= right
        found |= every
    return found


@pytest.fixture(scope="module")
def exported(circle: Model, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certified model by hand (two layers), and its properties."""
    folder = atlasmoe.save(circle, tmp_path_factory.mktemp("properties") / "m")
    certify(circle, tightness=None).write(folder)
    return folder, write_properties(circle, folder, folder.parent / "out").parent


def test_there_is_a_piece_of_every_expert_and_of_the_gate(exported: tuple[Path, Path], circle: Model) -> None:
    _, out = exported
    listing = json.loads((out / "properties.json").read_text())
    assert [p["name"] for p in listing["properties"]] == [f"{kind}-{j}" for j in range(3) for kind in ("expert", "gate")]
    assert len((out / "instances.csv").read_text().splitlines()) == 6
    for line in (out / "instances.csv").read_text().splitlines():
        network, formula, seconds = line.split(",")
        assert (out / network).is_file()
        assert (out / formula).is_file()
        assert int(seconds) > 0


def test_properties_are_true_and_of_the_stored_weights(exported: tuple[Path, Path], circle: Model) -> None:
    _, out = exported
    rng = np.random.default_rng(0)
    for facts in json.loads((out / "properties.json").read_text())["properties"]:
        layers = read_network(out / f"{facts['name']}.onnx")
        lower, upper, cases = read_property(out / f"{facts['name']}.vnnlib")
        np.testing.assert_array_equal(lower, facts["box"]["lower"])
        x = rng.uniform(lower, upper, (4000, 2))
        y = value(layers, x)
        assert not refuted(cases, y).any()
        proof = enclosed(layers, lower, upper)
        j = int(facts["name"].split("-")[1])
        if facts["kind"] == "expert":
            line = np.array(facts["level"]) + (x - lower) @ np.array(facts["slope"]).T
            np.testing.assert_allclose(y, circle.network.layers[1].experts[j](x) - line, atol=1e-12)
            assert len(cases) == 2
            assert all((proof.range().upper[0] <= facts["r"]) & (proof.range().lower[0] >= -np.array(facts["r"])))
            assert refuted(cases, np.array([[facts["r"][0] * 1.01], [-facts["r"][0] * 1.01]])).all()
            # On the leaf r + s is a bound of the error of the whole network.
            chart = next(c for c in circle.task.atlas.charts if c.name == facts["chart"])
            points = chart.inverse(rng.uniform(facts["leaf"]["lower"], facts["leaf"]["upper"], (2000, 1)))
            assert ((points >= lower) & (points <= upper)).all()
            error = np.abs(circle.network(points) - circle.task(points)).max()
            assert error <= facts["certified bound"] <= max(facts["r"]) + facts["s"] + facts["slack"] < 10 * facts["certified bound"]
        else:
            np.testing.assert_array_equal(value(layers, x), circle.network.layers[1].gate(circle.network.layers[0].experts[0](x)))
            assert len(cases) == 2
            assert (y.argmax(1) == j).all()
            gaps = proof[:, [j, j]] - proof[:, [i for i in range(3) if i != j]]
            assert (gaps.range().lower > 0).all()


def test_a_changed_property_is_seen_to_be_false(exported: tuple[Path, Path]) -> None:
    """The reader has teeth: an expert that is off by 2·r somewhere is refuted."""
    _, out = exported
    for path in out.glob("expert-*.vnnlib"):
        lower, upper, cases = read_property(path)
        y = value(read_network(path.with_suffix(".onnx")), np.random.default_rng(0).uniform(lower, upper, (4000, 2)))
        r = cases[0][0][2]
        assert refuted(cases, y + 2 * r).all()


def test_behind_an_embedding_and_an_affine_router(tmp_path: Path) -> None:
    import sympy

    atlas = atlasmoe.embed(atlasmoe.builtin("circle", atlas="ball", charts=4), 9)
    x = tuple(sympy.Symbol(name, real=True) for name in atlas.coordinates)
    task = atlasmoe.ManifoldTask("t", atlas, atlasmoe.ExpressionTarget(atlasmoe.ExpressionMap(x, (x[0] * x[1], x[0]))))
    model = atlasmoe.compile(task, width=16)
    folder = atlasmoe.save(model, tmp_path / "m")
    certify(model, tightness=None).write(folder)
    for facts in json.loads(write_properties(model, folder, tmp_path / "out").read_text())["properties"]:
        layers = read_network(tmp_path / "out" / f"{facts['name']}.onnx")
        lower, upper, cases = read_property(tmp_path / "out" / f"{facts['name']}.vnnlib")
        assert 0 < facts["slack"] < 1e-10
        points = np.random.default_rng(0).uniform(lower, upper, (1000, 2))
        assert not refuted(cases, value(layers, points)).any()
        if facts["kind"] == "gate":
            logits = model.network.layers[0].gate(atlas.embed(points))
            assert np.abs(value(layers, points) - logits).max() <= facts["slack"] + 1e-12


def test_command_line(exported: tuple[Path, Path], tmp_path: Path) -> None:
    folder, _ = exported
    into = CliRunner().invoke(main, ["verify", str(folder), "--samples", "500", "--properties", str(folder)])
    assert "is not empty and holds no properties.json" in into.stderr  # a model folder with strangers could not be replaced any more
    result = CliRunner().invoke(main, ["verify", str(folder), "--samples", "500", "--properties", str(tmp_path / "out")])
    assert "properties: " in result.stdout
    assert result.exit_code == 1, "the scores of this model follow no partition of unity, and verify says so"
    assert (tmp_path / "out" / "properties.json").is_file()


def test_a_certificate_of_other_weights_is_refused(exported: tuple[Path, Path], circle: Model, tmp_path: Path) -> None:
    folder = atlasmoe.save(circle, tmp_path / "m")
    with pytest.raises(FolderError, match=r"holds no certificate.*atlasmoe certify"):
        write_properties(circle, folder, tmp_path / "out")
    certify(circle, tightness=None).write(folder)
    with (folder / "config.json").open("a") as file:
        file.write("\n")
    with pytest.raises(FolderError, match=r"config\.json: is not what the certificate is about"):
        write_properties(circle, folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("top 2, uniform", "layer 1 mixes 2 experts"),
        ("top 1, rectified", "layer 1 multiplies its expert by a logit"),
        ("shared", "layer 1 adds a shared expert"),
    ],
)
def test_networks_that_are_no_expert_alone_are_refused_in_words(kind: str, reason: str, circle: Model) -> None:
    model = replace(circle, network=general_network(kind), design=None)
    with pytest.raises(InvalidArgument, match=f"properties are exported of one or two layers, each of one expert at a time; {reason}"):
        list(properties(model, []))


def test_networks_of_other_shapes_are_refused_in_words(circle: Model, tmp_path: Path) -> None:
    first, last = circle.network.layers
    again = MoELayer(None, (ReLUNet((Affine(np.eye(2), np.zeros(2)),), ()),), (0,), ("same",), ("x", "y"))
    carried = replace(last, carries=(0,))
    for layers, reason in (((again, first, last), "this network has 3"), ((first, carried), "the last one carries channels")):
        model = replace(circle, network=Network(layers, circle.network.inputs), design=None)
        with pytest.raises(InvalidArgument, match=reason):
            list(properties(model, []))
    graph = atlasmoe.load(Path(__file__).parent / "folders_v1" / "graph")
    for refused in (lambda: list(properties(graph, [])), lambda: write_properties(graph, tmp_path, tmp_path / "out")):
        with pytest.raises(InvalidArgument, match="is a task graph"):
            refused()


def other_shapes(circle: Model) -> dict[str, tuple[MoELayer, ...]]:
    """The circle's network in other shapes: a gate with a hidden layer, carried inputs, and both at once in a single layer."""
    first, last = circle.network.layers
    inner, outer = first.experts[0].affines
    eye = np.eye(5)
    pairs = (Affine(np.vstack([eye, -eye]), np.zeros(10)), Affine(np.hstack([last.gate.weight, -last.gate.weight]), np.zeros(3)))
    gate = ReLUNet(pairs, ((NeuronGroup("pair", 10, "c = σ(c) − σ(−c)"),),))
    scores = ReLUNet((inner, Affine(outer.weight[2:].copy(), outer.bias[2:].copy())), first.experts[0].groups)
    carrying = replace(first, experts=(scores,), writes=(2, 3, 4), carries=(0, 1, -1, -1, -1))
    return {
        "two-layer gate": (first, replace(last, gate=gate)),
        "carried inputs": (carrying, last),
        "one layer": (replace(last, gate=scores, reads=None),),
    }


@pytest.mark.parametrize("shape", ["two-layer gate", "carried inputs", "one layer"])
def test_properties_of_the_same_function_in_another_shape(shape: str, circle: Model, exported: tuple[Path, Path], tmp_path: Path) -> None:
    """They are true, of the same experts, on the same boxes with the same gaps between logits."""
    model = replace(circle, network=Network(other_shapes(circle)[shape], circle.network.inputs), design=None)
    folder = atlasmoe.save(model, tmp_path / "m")
    certify(model, tightness=None).write(folder)
    ours = json.loads(write_properties(model, folder, tmp_path / "out").read_text())["properties"]
    theirs = json.loads((exported[1] / "properties.json").read_text())["properties"]
    assert [(p["name"], p["box"]) for p in ours] == [(p["name"], p["box"]) for p in theirs]
    rng = np.random.default_rng(1)
    for facts, other in zip(ours, theirs, strict=True):
        layers = read_network(tmp_path / "out" / f"{facts['name']}.onnx")
        lower, upper, cases = read_property(tmp_path / "out" / f"{facts['name']}.vnnlib")
        x = rng.uniform(lower, upper, (1000, 2))
        assert not refuted(cases, value(layers, x)).any()
        if facts["kind"] == "gate":
            np.testing.assert_allclose(value(layers, x), model.network.trace(x).logits[-1], rtol=0, atol=1e-14)
            np.testing.assert_allclose(facts["margin"], other["margin"], rtol=1e-6)
