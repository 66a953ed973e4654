"""Models in other forms are the functions that they were: outputs and routes, on the hardest points; what is not is refused."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
import pytest
import torch
from atlasmoe import FolderError, InvalidArgument
from atlasmoe.cli.main import main
from atlasmoe.export import capture
from atlasmoe.export.exported import CARD, LISTING, export_to
from atlasmoe.export.formats import FORMATS, compared
from atlasmoe.export.formats.c_numbers import real
from atlasmoe.export.formats.c_run import FLAGS, compiler, runner
from atlasmoe.export.formats.c_source import header, identifier, remark, source
from atlasmoe.export.formats.onnx_file import Onnx, network_graph
from atlasmoe.export.formats.onnx_file import _runner as onnx_runner
from atlasmoe.export.formats.pt2 import exported_program
from atlasmoe.export.integers import coded, quantised
from atlasmoe.export.torch_module import to_torch
from atlasmoe.moe import Affine, Model, Network
from atlasmoe.moe.activations import ACTIVATIONS
from click.testing import CliRunner
from general_layers import KINDS, general_network

CC = compiler()
EXACT = [name for name in FORMATS if not name.startswith("hf-")]
"""Formats that keep float64; the others have a file of their own."""
needs_compiler = pytest.mark.skipif(CC is None, reason="there is no C compiler on this machine")


def in_c(network: Network, folder: Path, codes=None):
    """The network as C, compiled."""
    folder.mkdir(exist_ok=True)
    (folder / "made.h").write_text(header("made", network, ["by hand */ \\"]))
    (folder / "made.c").write_text(source("made", network, codes or {}))
    return runner(CC, folder, "made", network)


def in_onnx(network: Network, folder: Path):
    """The network as an ONNX graph, run by ONNX Runtime."""
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    graph = network_graph(onnx, network, "made")
    onnx.checker.check_model(graph, full_check=True)
    folder.mkdir(exist_ok=True)
    (folder / "made.onnx").write_bytes(graph.SerializeToString())
    return onnx_runner(runtime, folder / "made.onnx", network)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_layer_in_onnx(kind: str, tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(300, 2))
    for dtype in ("float64", "float32"):
        network = general_network(kind).astype(dtype)
        run = in_onnx(network, tmp_path / dtype)
        for some in (x, x[:1], x[:0]):
            y, routes = run(some)
            trace = network.trace(x)
            for mine, theirs in zip(trace.chosen, routes, strict=True):
                np.testing.assert_array_equal(mine[: len(some)], theirs)
            np.testing.assert_allclose(y, trace.output[: len(some)], atol=64 * np.finfo(dtype).eps * np.abs(trace.output).max())


def test_the_size_of_an_onnx_graph_does_not_depend_on_how_many_experts_there_are(circle: Model) -> None:
    onnx = pytest.importorskip("onnx")

    def nodes(network: Network) -> int:
        graph = network_graph(onnx, network, "g").graph
        return len(graph.node) + sum(len(a.g.node) for node in graph.node for a in node.attribute if a.HasField("g"))

    few = general_network("top 1, softmax")
    (layer,) = few.layers
    many = replace(
        layer,
        experts=layer.experts * 20,
        serves=tuple(range(40)),
        names=tuple(map(str, range(40))),
        gate=Affine(np.resize(layer.gate.weight, (40, 2)), np.arange(40.0)),
    )
    assert nodes(Network((many,), few.inputs)) == nodes(few)


@needs_compiler
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_layer_in_c(kind: str, tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(300, 2))
    for dtype in ("float64", "float32")[: 2 if kind == "everything" else 1]:
        network = general_network(kind).astype(dtype)
        y, routes = in_c(network, tmp_path / dtype)(x)
        trace = network.trace(x)
        for mine, theirs in zip(trace.chosen, routes, strict=True):
            np.testing.assert_array_equal(mine, theirs)
        np.testing.assert_allclose(y, trace.output, atol=64 * np.finfo(dtype).eps * np.abs(trace.output).max())


@needs_compiler
def test_every_activation_lanes_and_encoders(tmp_path: Path) -> None:
    """One net after another, of every activation, plain and gated, behind an encoder; far out as well."""
    rng = np.random.default_rng(0)
    base = general_network("top 2, softmax")
    (layer,) = base.layers
    x = np.concatenate([rng.normal(size=(200, 2)), 60 * rng.normal(size=(40, 2)), np.zeros((1, 2))])
    for name, activation in ACTIVATIONS.items():
        experts = []
        for net in layer.experts:
            up = Affine(rng.normal(size=net.affines[0].weight.shape), rng.normal(size=net.affines[0].bias.shape))
            groups = tuple(tuple(replace(group, activation=activation) for group in one) for one in net.groups)
            experts.append(replace(net, groups=groups, ups=(up,)))
        encoder = Affine.without_bias(rng.normal(size=(2, 2)))
        network = Network((replace(layer, experts=tuple(experts), latent=encoder),), base.inputs)
        for dtype in ("float64", "float32"):
            made = network.astype(dtype)
            runs = [in_c(made, tmp_path / f"{name}-{dtype}")]
            if Onnx().unfit(made) is None:
                runs.append(in_onnx(made, tmp_path / f"{name}-{dtype}"))
            for run in runs:
                y, routes = run(x)
                trace = made.trace(x)
                np.testing.assert_array_equal(trace.chosen[0], routes[0])
                scale = np.abs(x).max(1, keepdims=True) ** 3 + 1
                np.testing.assert_array_less(np.abs(y - trace.output), 256 * np.finfo(dtype).eps * scale)


@needs_compiler
def test_ties_go_to_the_first_in_c(tmp_path: Path) -> None:
    network = general_network("top 2, uniform")
    (layer,) = network.layers
    gate = Affine(np.zeros_like(layer.gate.weight), np.array([0.0, 1.0, 1.0]))
    tied = Network((replace(layer, gate=gate),), network.inputs)
    _, routes = in_c(tied, tmp_path)(np.ones((1, 2)))
    assert routes[0].tolist() == tied.trace(np.ones((1, 2))).chosen[0].tolist() == [[1, 2]]


def test_literals_are_exact() -> None:
    values = [0.0, -0.0, 1.0, -1.5, np.pi, 5e-324, 1.7976931348623157e308, float(np.float32(0.1))]
    for value in values:
        assert float.fromhex(real(value, single=False)) == value
    assert real(1.5, single=True) == "0x1.8p+0F"
    assert real(1.0, single=False) == "0x1p+0"


def test_names_and_remarks_cannot_leave_their_place() -> None:
    assert identifier("S² (a sphere)") == "s_a_sphere"
    assert identifier("3 balls") == "model_3_balls"
    assert identifier("…") == "model"
    assert "*/" not in remark("a */ system(); /* b \\\n c")
    assert "\\" not in remark("\\")


@pytest.mark.parametrize("bits", [8, 16])
def test_small_integers_are_the_nearest(bits: int) -> None:
    """Half a step at most, and the step is at most twice the least possible; exact in float32."""
    rng = np.random.default_rng(bits)
    weight = (rng.normal(size=(40, 7)) * 10.0 ** rng.integers(-6, 6, (40, 1))).astype(np.float32)
    weight[3], weight[4] = 0.0, np.float32(2.0 ** (bits - 1) - 1)
    found = coded(weight, bits)
    most = 2 ** (bits - 1) - 1
    step = found.scales.astype(float)[:, None]
    assert (np.abs(found.weight.astype(float) - weight) <= step / 2).all()
    assert (np.frexp(found.scales)[0] == 0.5).all()
    size = np.abs(weight).max(1)
    assert (step[size > 0, 0] * most >= size[size > 0]).all()
    assert (step[size > 0, 0] / 2 * most < size[size > 0]).all()
    assert found.scales[4] == 1
    assert found.weight.dtype == np.float32


@needs_compiler
@pytest.mark.parametrize("bits", [8, 16])
def test_integers_in_c_are_the_quantised_network(bits: int, tmp_path: Path) -> None:
    network, codes = quantised(general_network("everything").astype("float32"), bits)
    assert len(codes) == 2 * (2 + 1)  # two experts and the shared one, behind the last gate
    x = np.random.default_rng(2).normal(size=(200, 2)).astype("float32")
    y, routes = in_c(network, tmp_path, codes)(x)
    trace = network.trace(x)
    np.testing.assert_allclose(y, trace.output, atol=64 * np.finfo("float32").eps * np.abs(trace.output).max())
    np.testing.assert_array_equal(routes[-1], trace.chosen[-1])
    assert f"int{bits}_t" in (tmp_path / "made.c").read_text()


@pytest.mark.filterwarnings("error:No complete tensor")
@pytest.mark.parametrize("to", EXACT)
def test_a_model_is_written_run_and_compared(to: str, circle: Model, tmp_path: Path) -> None:
    done = export_to(circle, to, tmp_path / "out")
    listing = json.loads((tmp_path / "out" / LISTING).read_text())
    assert listing["format"] == to
    if done.comparison is not None:
        assert done.comparison.flips == 0
        assert done.comparison.hardest > 50
        assert done.comparison.difference < 1e-12
        assert listing["comparison"]["difference"] == done.comparison.difference
    assert done.because in (tmp_path / "out" / CARD).read_text()
    with pytest.raises(FolderError, match="exists already"):
        export_to(circle, to, tmp_path / "out")
    export_to(circle, to, tmp_path / "out", overwrite=True)


def test_the_package_may_be_called(circle: Model, tmp_path: Path) -> None:
    called: Any = atlasmoe.export
    done = called(circle, "numpy", tmp_path / "out")
    assert json.loads((tmp_path / "out" / LISTING).read_text())["format"] == done.format == "numpy"


@needs_compiler
def test_the_test_beside_the_files_passes_and_can_fail(circle32: Model, tmp_path: Path) -> None:
    export_to(circle32, "c", tmp_path / "out", prefix="ring")
    build = [CC, *FLAGS, "ring.c", "test_ring.c", "-lm", "-o", "test_ring"]
    assert subprocess.run(build, cwd=tmp_path / "out", capture_output=True, check=False).stderr == b""
    assert subprocess.run(["./test_ring"], cwd=tmp_path / "out", capture_output=True, check=False).returncode == 0
    text = (tmp_path / "out" / "ring.c").read_text()
    broken = text.replace("ONE / (real)layer->chosen", "ZERO").replace("? (z) : ZERO", "").replace("(z > ZERO) ? z : ZERO", "z")
    assert broken != text
    (tmp_path / "out" / "ring.c").write_text(broken)
    subprocess.run(build, cwd=tmp_path / "out", capture_output=True, check=True)
    assert subprocess.run(["./test_ring"], cwd=tmp_path / "out", capture_output=True, check=False).returncode == 1


def test_the_numpy_file_needs_nothing_else(circle: Model, tmp_path: Path) -> None:
    export_to(circle, "numpy", tmp_path / "out")
    text = (tmp_path / "out" / "circle.py").read_text()
    assert [line for line in text.splitlines() if line.startswith(("import", "from"))] == [
        "import json",
        "import math",
        "from pathlib import Path",
        "import numpy as np",
    ]
    shutil.move(tmp_path / "out", tmp_path / "elsewhere")
    spec = importlib.util.spec_from_file_location("circle", tmp_path / "elsewhere" / "circle.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    x = circle.task.atlas.sample(50, 0).ambient
    np.testing.assert_allclose(module.evaluate(x), circle.network(x), atol=1e-13)


@pytest.mark.parametrize("to", EXACT)
def test_graphs_with_interfaces_are_kept(to: str, tmp_path: Path) -> None:
    """Pieces that jump: every neighbour of an interface takes the side that it took."""
    x = atlasmoe.Input("x", atlasmoe.Box((0.0,), (3.0,)))
    block = atlasmoe.Block.parse("a", ("x",), atlasmoe.Tiling.intervals(range(4)), ["x", "5 - x", "x**2"])
    model = atlasmoe.compile(atlasmoe.TaskGraph("steps: 0…3", (x, block), "a"), epsilon=0.05)
    done = export_to(model, to, tmp_path / "out")
    assert done.comparison is None or (done.comparison.flips, done.comparison.ties) == (0, 0)


def test_routes_that_change_are_refused(circle: Model) -> None:
    """A function that takes the second best expert somewhere, and one that says that it does at a tie."""
    network = circle.network

    def second(x):
        trace = network.trace(x)
        routes = [chosen.copy() for chosen in trace.chosen]
        routes[1][:3, 0] = np.argsort(-trace.logits[1][:3], axis=1)[:, 1]
        return network.trace(x, routes).output, routes

    found = compared(circle, second)
    assert found.flips + found.ties >= 3
    assert found.flips >= 1
    assert not found.holds
    assert found.worst is not None
    off = compared(circle, lambda x: (network(x) + 0.5, network.trace(x).chosen))
    assert off.flips == 0
    assert off.difference == pytest.approx(0.5)
    assert not off.holds


def test_what_a_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    block = atlasmoe.Block.parse("a", ("x",), atlasmoe.Tiling.intervals(range(3)), ["sin(x)", "cos(x)"])
    graph = atlasmoe.TaskGraph("waves", (atlasmoe.Input("x", atlasmoe.Box((0.0,), (2.0,))), block), "a")
    model = atlasmoe.compile(graph, width=8, activation="gelu")
    with pytest.raises(InvalidArgument, match="cannot hold this model: ONNX Runtime has no gelu in float64; compile with dtype"):
        export_to(model, "onnx", tmp_path / "a")


def test_wrong_words_are_answered(circle: Model, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="did you mean 'numpy'"):
        export_to(circle, "nunpy", tmp_path / "a")
    with pytest.raises(InvalidArgument, match="has no option 'quantise'; it has none"):
        export_to(circle, "numpy", tmp_path / "a", quantise="int8")
    with pytest.raises(InvalidArgument, match="not one of int8, int16"):
        export_to(circle, "c", tmp_path / "a", quantise="int4")
    with pytest.raises(InvalidArgument, match=r"is no name for functions; take .* like 'my_model'"):
        export_to(circle, "c", tmp_path / "a", prefix="My model")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine.txt").write_text("mine")
    with pytest.raises(FolderError, match="it is nothing that was exported"):
        export_to(circle, "numpy", tmp_path / "b", overwrite=True)
    assert not (tmp_path / "a").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_the_command(circle: Model, tmp_path: Path) -> None:
    atlasmoe.save(circle, tmp_path / "model")
    run = CliRunner()
    done = run.invoke(main, ["export", str(tmp_path / "model"), "--to", "numpy", "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "certificates carry over" in done.output
    assert "0 points take another way" in done.output
    as_json = run.invoke(main, ["export", str(tmp_path / "model"), "--to", "numpy", "-o", str(tmp_path / "out"), "--force", "--json"])
    assert json.loads(as_json.stdout)["comparison"]["flips"] == 0
    for arguments, said in (
        (["--to", "fortran"], "not one of"),
        (["--to", "c", "--option", "quantise"], "give NAME=VALUE"),
        (["--to", "numpy"], "--force"),
    ):
        wrong = run.invoke(main, ["export", str(tmp_path / "model"), *arguments, "-o", str(tmp_path / "out")])
        assert wrong.exit_code == 2
        assert said in wrong.output


RECORDED = ("top 1, softmax", "top 2, softmax", "carries, written too", "everything")


@pytest.mark.parametrize(("kind", "small"), [*((kind, 0) for kind in RECORDED), ("everything", 1 << 8)])
def test_recordings_do_not_keep_the_routes_of_their_example(kind: str, small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded at one point, run at others that other experts serve, one or many; by a loop, and without one."""
    torch._dynamo.reset()
    monkeypatch.setattr(capture, "SMALL", small)
    rng = np.random.default_rng(2)
    module = to_torch(general_network(kind))
    example, x = (torch.from_numpy(rng.normal(size=(count, 2))) for count in (1, 60))
    routes = module(x, return_routes=True).routes[-1]
    assert len(routes.unique()) > 1
    ways = {
        "trace": torch.jit.trace(module, (example,), check_trace=False),
        "vmap": torch.func.vmap(module),
        "export": lambda x: exported_program(module).module()(x)[0],
        "compile": torch.compile(module, fullgraph=True, backend="aot_eager", dynamic=True),
        "compile, breaks allowed": torch.compile(module, backend="aot_eager", dynamic=True),
    }
    with torch.no_grad():
        for name, way in ways.items():
            for some in (x, x[:3]):
                np.testing.assert_allclose(way(some), module(some), atol=1e-13, err_msg=name)


def test_compiled_modules_have_gradients() -> None:
    torch._dynamo.reset()
    x = torch.from_numpy(np.random.default_rng(2).normal(size=(20, 2)))
    gradients = []
    for compiled in (False, True):
        module = to_torch(general_network("everything"))
        way = torch.compile(module, fullgraph=True, backend="aot_eager") if compiled else module
        way(x).square().sum().backward()
        gradients.append([parameter.grad for parameter in module.parameters() if parameter.grad is not None])
    assert len(gradients[0]) > 5
    for plain, recorded in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recorded)


@pytest.mark.parametrize("sums", ["blocks", "float64"])
def test_orders_of_sums_are_not_recorded(sums: str) -> None:
    module = to_torch(general_network("top 1, softmax"), sums=sums)
    with pytest.raises(InvalidArgument, match="cannot be recorded"):
        torch.jit.trace(module, (torch.zeros(3, 2, dtype=torch.float64),), check_trace=False)


@pytest.mark.parametrize("small", [0, 1 << 8])
def test_exported_programs_do_not_grow_with_experts(small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither those that loop over experts nor those that copy their weights."""
    monkeypatch.setattr(capture, "SMALL", small)
    (layer,) = general_network("top 1, softmax").layers

    def of(count: int) -> Network:
        E = count * len(layer.experts)
        gate = Affine(np.resize(layer.gate.weight, (E, 2)), np.arange(float(E)))
        return Network(
            (replace(layer, experts=layer.experts * count, serves=tuple(range(E)), names=tuple(map(str, range(E))), gate=gate),), ("x", "y")
        )

    programs = [exported_program(to_torch(of(count))) for count in (2, 20)]
    counts = [len(program.graph.nodes) for program in programs]
    assert counts[0] == counts[1]
    assert any("while_loop" in str(node.target) for node in programs[0].graph.nodes) == (small == 0)
