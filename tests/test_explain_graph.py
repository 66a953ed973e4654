"""`Model.explain` of a task graph says what the network does and what the task says, in their own numbers; and the command line."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
import pytest
from atlasmoe import Block, Box, Combine, Input, TaskGraph, Tiling
from atlasmoe.atlas import task_from_spec, task_to_spec
from atlasmoe.cli.main import main
from atlasmoe.errors import InvalidArgument
from atlasmoe.moe import Affine, Model, Network
from click.testing import CliRunner, Result

SPEC = """
[task]
name = "stairs"
kind = "graph"
output = "f"
[[input]]
name = "x"
coordinates = ["s", "t"]
domain = [[0, 3], [0, 1]]
[[block]]
name = "a"
reads = ["s"]
[[block.piece]]
name = "low"
domain = [0, 1]
expression = "s/2"
[[block.piece]]
name = "middle"
domain = [1, 2]
expression = "2 - s**2/4"
[[block.piece]]
name = "high"
domain = [2, 3]
expression = "s - 3"
[[block]]
name = "b"
reads = ["t", "s"]
[[block.piece]]
name = "all"
domain = [[0, 1], [0, 3]]
expression = "t - s/3"
[[combine]]
name = "half"
reads = ["a", "b"]
expression = "a/2 + b"
[[combine]]
name = "f"
reads = ["half", "a"]
expression = "half*a"
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled by the command line, ε a percentage of the range."""
    spec = tmp_path_factory.mktemp("graph") / "stairs.toml"
    spec.write_text(SPEC)
    result = run("compile", spec, "-o", spec.parent / "model", "--epsilon", "5%", "--depth", "L+1")
    assert result.exit_code == 0, result.output
    return spec.parent / "model"


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return atlasmoe.load(folder)


def test_a_point(model: Model) -> None:
    x = np.array([1.25, 0.5])
    found = model.explain(x)
    trace = model.network.trace(x[None])
    assert isinstance(model.task, TaskGraph)
    truth = model.task.trace(x[None])
    assert found.route == ("middle", "all")
    assert found.base == {"s": 1.25, "t": 0.5}
    a, b = found.blocks
    assert (a.block, a.right, a.holds, a.margin, a.margin_of) == ("a", True, ("middle",), 0.25, "interface")
    assert a.layer == model.design["a"].layer + 1
    assert a.subtask == ("2 - s**2/4",)
    assert (b.runner_up, b.margin) == (None, np.inf)
    assert [part.value for part in a.reads] == [1.25]
    state = trace.states[a.layer - 1][0][model.network.layers[a.layer - 1].channels.index("y[a]")]
    assert a.outputs[0].value == state
    assert a.outputs[0].truth == truth.values["a"][0] == pytest.approx(2 - 1.25**2 / 4)
    assert a.outputs[0].error == abs(state - truth.values["a"][0])
    half, f = found.combines
    assert half.value is not None
    assert b.outputs[0].value is not None
    assert half.value == pytest.approx(state / 2 + b.outputs[0].value), "an affine combination, which no layer computes"
    assert (f.name, f.value) == ("f", trace.output[0, 0])
    assert found.truth == (pytest.approx(truth.output[0, 0]),)
    assert found.error == pytest.approx(abs(truth.output[0, 0] - trace.output[0, 0]))
    assert (found.bound, found.known) == (model.ledger.root.bound, "sampled")
    assert [step.layer for step in found.layers] == list(range(1, len(model.network.layers) + 1))
    assert [step.does for step in found.layers] == ["appends the scores of a", "routes a", "routes b", "computes f"]


@pytest.mark.parametrize(("s", "piece"), [(1.0, "middle"), (np.nextafter(1, 0), "low"), (2.0, "high"), (3.0, "high")])
def test_an_interface_point(model: Model, s: float, piece: str) -> None:
    choice = model.explain([s, 0.5]).blocks[0]
    assert choice.piece == piece
    assert choice.holds == (piece,)
    assert choice.margin == min(abs(s - 1), abs(s - 2))


def test_off_the_domain_nothing_is_claimed(model: Model) -> None:
    found = model.explain([3.5, 0.5])
    assert found.outside == ("x is not in [0, 3] × [0, 1]",)
    assert (found.truth, found.error, found.blocks[0].right, found.blocks[0].outputs[0].truth) == (None, None, None, None)
    assert found.blocks[0].outputs[0].value is not None


def test_a_wrong_route_is_named(model: Model) -> None:
    number = model.design["a"].layer
    layers = list(model.network.layers)
    gate = layers[number].gate.affine
    layers[number] = replace(layers[number], gate=Affine(gate.weight.copy(), gate.bias + 10 * np.eye(3)[0]))
    broken = replace(model, network=Network(tuple(layers), model.network.inputs))
    choice = broken.explain([0.5, 0.5]).blocks[0]
    assert (choice.piece, choice.right, choice.holds) == (layers[number].names[0], False, ("low",))


@pytest.mark.parametrize("point", [[0.6], [0.6, 0.8, 0.0], [np.nan, 1.0]])
def test_points_of_the_wrong_kind(model: Model, point: list[float]) -> None:
    with pytest.raises(InvalidArgument, match=r"explain takes one point of R\^2, 2 finite numbers"):
        model.explain(point)


def test_neurons_know_their_block(model: Model) -> None:
    layer = model.design["a"].layer + 1
    net = model.network.layers[layer - 1].experts[0]
    origins = [model.explain(layer=layer, expert=model.network.layers[layer - 1].names[0], neuron=k) for k in range(net.widths[0])]
    assert any(origin.origin.startswith("Lemma 3.1 on one piece, Theorem 5.3") for origin in origins)
    assert any("R2" in origin.origin for origin in origins), "neurons that carry"


def test_an_embedded_input() -> None:
    circle = atlasmoe.builtin("circle", charts=2)
    graph = TaskGraph(
        "embedded",
        (
            Input("c", atlasmoe.embed(circle, 5, seed=1), ("u", "v")),
            Block.parse("a", ("u",), Tiling.intervals((-1, 0, 1)), ["-u", "u"]),
            Combine.parse("f", ("a", "v"), "a + v"),
        ),
        "f",
    )
    model = atlasmoe.compile(graph, epsilon=1e-3)
    found = model.explain(graph.embed([[0.6, 0.8]])[0])
    assert found.base == {"u": pytest.approx(0.6), "v": pytest.approx(0.8)}
    assert len(found.point) == 5
    assert found.truth == (pytest.approx(1.4),)
    assert found.blocks[0].outputs[0].value is None or found.blocks[0].outputs[0].value == pytest.approx(0.6)
    off = model.explain(graph.embed([[0.6, 0.9]])[0])
    assert off.outside[0].startswith("c is not on its manifold")
    assert atlasmoe.verify(model, samples=400).holds


def test_the_command_line_explains(folder: Path) -> None:
    result = run("explain", folder, "--at", "1.25,0.5")
    assert result.exit_code == 0, result.output
    for words in ("routes a", "0.25 from an interface", "a = 2 - s**2/4", "middle", "on samples of the domain up to"):
        assert words in result.stdout
    document = json.loads(run("explain", folder, "--at", "1.25,0.5", "--json").stdout)
    assert document["route"] == ["middle", "all"]
    assert document["blocks"][1]["margin"] == "Infinity"
    assert run("explain", folder, "--layer", 2, "--expert", "low", "--neuron", 0).exit_code == 0
    wrong = run("explain", folder, "--at", "1,2,3")
    assert wrong.exit_code == 2
    assert "--at gives 3 numbers, but stairs has 2 coordinates" in wrong.stderr


def test_the_command_line_verifies_and_draws(folder: Path, tmp_path: Path) -> None:
    result = run("verify", folder, "--samples", "1000", "--figure", tmp_path / "stairs.png")
    assert result.exit_code == 0, result.output
    assert "3 of 3 distinct pieces seen" in result.stdout
    assert "a: low" in result.stdout
    assert (tmp_path / "stairs.png").read_bytes().startswith(b"\x89PNG")
    document = json.loads(run("verify", folder, "--samples", "1000", "--json").stdout)
    assert document["holds"] is True
    assert document["pieces"]["total"] == 3


def test_a_refuted_graph_exits_1(folder: Path, model: Model, tmp_path: Path) -> None:
    number = model.design["a"].layer
    layers = list(model.network.layers)
    layers[number] = replace(layers[number], experts=layers[number].experts[::-1])
    atlasmoe.save(replace(model, network=Network(tuple(layers), model.network.inputs)), tmp_path / "broken")
    result = run("verify", tmp_path / "broken", "--samples", "1000")
    assert result.exit_code == 1
    assert "total fails at (" in result.stdout
    assert "block[a] fails at (" in result.stdout
    document = json.loads(run("verify", tmp_path / "broken", "--samples", "1000", "--json").stdout)
    witness = next(claim["witness"] for claim in document["claims"] if claim["name"] == "total")
    explained = run("explain", tmp_path / "broken", "--at", ",".join(map(repr, witness)))
    assert explained.exit_code == 1, "the error there exceeds ε"


def test_show_and_compile_say_what_a_graph_is(folder: Path) -> None:
    result = run("show", folder)
    assert result.exit_code == 0, result.output
    assert "3 pieces" in result.stdout
    assert run("show", folder.parent / "stairs.toml").exit_code == 0
    bad = run("compile", folder.parent / "stairs.toml", "-o", folder.parent / "other", "--depth", "3")
    assert bad.exit_code == 2
    assert "depth '3' is not one of paper, L+1, L" in bad.stderr


def test_the_graph_of_the_documentation() -> None:
    """The spec and the Python of docs/graphs.md are the same graph, and explain says what it says there."""
    text = (Path(__file__).parents[1] / "docs" / "graphs.md").read_text(encoding="utf-8")
    (spec,) = re.findall(r'^```toml title="complete"\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)
    written, explaining = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(written, names)
    graph = task_from_spec(tomllib.loads(spec))
    assert task_to_spec(names["graph"])[0] == task_to_spec(graph)[0]
    names["model"] = atlasmoe.compile(graph, epsilon=1e-2)
    exec(explaining, names)
    found = names["found"]
    assert found.route == ("piece1", "piece1")
    assert (found.blocks[0].margin, found.blocks[0].margin_of, found.blocks[0].outputs[0].name) == (0, "interface", "a")


@pytest.mark.parametrize("inputs", [1, 3])
def test_figures_of_other_dimensions(inputs: int, tmp_path: Path) -> None:
    blocks = [Block.parse(f"y{k}", (f"x{k}",), Tiling.intervals((0, 1, 2)), [f"x{k}", f"3 - x{k}"]) for k in range(inputs)]
    last = Combine.parse("f", [f"y{k}" for k in range(inputs)], "+".join(f"y{k}" for k in range(inputs)))
    graph = TaskGraph("plain", (*(Input(f"x{k}", Box((0,), (2,))) for k in range(inputs)), *blocks, last), "f")
    model = atlasmoe.compile(graph, epsilon=1e-2, depth="L")
    drawn = atlasmoe.figure(model, atlasmoe.verify(model, samples=200), tmp_path / "plain.png")
    assert "holds" in drawn.get_suptitle()
    assert (tmp_path / "plain.png").read_bytes().startswith(b"\x89PNG")
