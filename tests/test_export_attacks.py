"""What is claimed for engines, attacked: settings of compilers and engines that a bound might not survive."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
import sympy
import torch
from atlasmoe.atlas import ExpressionMap, ExpressionTarget, ManifoldTask
from atlasmoe.errors import InvalidArgument
from atlasmoe.export.exported import export_to
from atlasmoe.export.formats.c_run import compiler
from atlasmoe.export.formats.c_source import header, source
from atlasmoe.export.formats.onnx_file import Onnx, network_graph
from atlasmoe.export.formats.onnx_operator import misfit
from atlasmoe.moe import Affine, Model, MoELayer, Network, NeuronGroup, ReLUNet
from atlasmoe.moe.activations import ACTIVATIONS
from atlasmoe.moe.engines import EXACT
from atlasmoe.verify.prove import certify
from atlasmoe.verify.sample.hardest import hardest
from general_layers import general_network
from numpy.typing import NDArray

needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C compiler")
FLAGS = ["-O0", "-O3 -march=native -std=gnu99 -ffp-contract=fast", "-Ofast -march=native -DMADE_UNPROVED"]
Points = NDArray[np.float32]


@pytest.fixture(scope="module", params=["relu", "silu"])
def subject(request: pytest.FixtureRequest) -> tuple[Model, float, Points, NDArray]:
    """A model in float32, what its evaluation may be off by, points, and the real-arithmetic function there, expert by expert."""
    x = sympy.symbols("x1:3", real=True)
    task = ManifoldTask(
        "ring", atlasmoe.builtin("sphere", dimension=1, atlas="ball", charts=4), ExpressionTarget(ExpressionMap(x, (x[0] * x[1],)))
    )
    model = atlasmoe.compile(task, epsilon=1e-3, dtype="float32", activation=request.param)
    certificate = certify(model, epsilon=0.05, tightness=None, for_="c")
    (site,) = certificate.sites
    points = np.concatenate([task.atlas.sample(2000, 1).ambient, hardest(model, samples=256).ambient]).astype(np.float32)
    wide = model.network.astype(float)
    exact = np.array([wide.trace(points.astype(float), [np.full(len(points), k)]).output for k in range(len(model.network.layers[0]))])
    return model, site.solution.roundings["float32.flushed"].outputs, points, exact


def off(y: Points, exact: NDArray) -> float:
    """The distance from whichever expert is nearest: near a tie an engine may take the other one."""
    return float(np.abs(y.astype(float) - exact).max(2).min(0).max())


def in_c(network: Network, folder: Path, flags: str) -> Callable[[Points], Points]:
    (folder / "made.h").write_text(header("made", network, []))
    (folder / "made.c").write_text(source("made", network, {}))
    command = [str(compiler()), *flags.split(), "-shared", "-fPIC", str(folder / "made.c"), "-o", str(folder / "made.so"), "-lm"]
    subprocess.run(command, check=True, capture_output=True)
    function = ctypes.CDLL(str(folder / "made.so")).made_evaluate

    def run(x: Points) -> Points:
        y = np.empty((len(x), len(network.outputs)), np.float32)
        for row in range(len(x)):
            function(ctypes.c_void_p(x[row].ctypes.data), ctypes.c_void_p(y[row].ctypes.data), None)
        return y

    return run


@needs_compiler
@pytest.mark.parametrize("flags", FLAGS)
def test_compilers_stay_within_the_bound(flags: str, subject: tuple[Model, float, Points, NDArray], tmp_path: Path) -> None:
    """Also where all is allowed that the file itself refuses; a library that was linked so may flush for all of the process."""
    model, bound, points, exact = subject
    try:
        assert 0 < off(in_c(model.network, tmp_path, flags)(points), exact) <= bound
    finally:
        torch.set_flush_denormal(False)


@needs_compiler
def test_files_refuse_fast_math(subject: tuple[Model, float, Points, NDArray], tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        in_c(subject[0].network, tmp_path, "-Ofast")
    assert b"compile without -ffast-math" in refused.value.stderr


@needs_compiler
def test_files_in_double_refuse_longer_registers(tmp_path: Path) -> None:
    made = general_network("top 1, softmax")
    (tmp_path / "made.h").write_text(header("made", made, []))
    (tmp_path / "made.c").write_text(source("made", made, {}))
    command = [str(compiler()), "-std=c99", "-c", str(tmp_path / "made.c"), "-o", str(tmp_path / "made.o"), "-DFLT_EVAL_METHOD=2"]
    text = (tmp_path / "made.c").read_text().replace("#include <float.h>", "")
    (tmp_path / "made.c").write_text(text)
    refused = subprocess.run(command, check=False, capture_output=True)
    assert b"double is not evaluated in double here" in refused.stderr
    assert subprocess.run([*command[:-1], "-DFLT_EVAL_METHOD=0"], check=False).returncode == 0


def test_runtimes_stay_within_the_bound(subject: tuple[Model, float, Points, NDArray]) -> None:
    """With all rewriting and with none, and where subnormal numbers are flushed."""
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    model, bound, points, exact = subject
    data = network_graph(onnx, model.network, "made").SerializeToString()
    for level in (runtime.GraphOptimizationLevel.ORT_DISABLE_ALL, runtime.GraphOptimizationLevel.ORT_ENABLE_ALL):
        for flush in ("0", "1"):
            options = runtime.SessionOptions()
            options.graph_optimization_level, options.intra_op_num_threads = level, 2
            options.add_session_config_entry("session.set_denormal_as_zero", flush)
            session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
            assert 0 < off(session.run(["y"], {"x": points})[0], exact) <= bound


def test_torch_stays_within_the_bound(subject: tuple[Model, float, Points, NDArray]) -> None:
    model, bound, points, exact = subject
    module, threads = atlasmoe.to_torch(model), torch.get_num_threads()
    try:
        for count, flush in ((1, False), (2, False), (1, True)):
            torch.set_num_threads(count)
            torch.set_flush_denormal(flush)
            with torch.no_grad():
                assert 0 < off(module(torch.from_numpy(points)).numpy(), exact) <= bound
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)


ENGINES = ["c", "onnx", "torch"]


@pytest.mark.parametrize("engine", ENGINES)
def test_activations_are_as_close_as_is_assumed(engine: str, tmp_path: Path) -> None:
    """|computed a(z) − a(z)| ≤ 8u·|z| + t, at every 2^13-th float32 number up to 10⁴."""
    bits = np.arange(np.float32(2.0**-30).view(np.uint32), np.float32(1e4).view(np.uint32), 1 << 13, dtype=np.uint32)
    z = np.concatenate([bits.view(np.float32), -bits.view(np.float32)])
    for name in sorted(set(ACTIVATIONS) - set(EXACT)):
        network = Network((MoELayer(None, (alone(name),), (0,), ("a",), ("y",)),), ("x",))
        if engine == "c":
            if compiler() is None:
                pytest.skip("no C compiler")
            (tmp_path / name).mkdir()
            y = in_c(network, tmp_path / name, "-O2 -std=c99")(z[:, None])[:, 0]
        elif engine == "onnx":
            onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
            y = runtime.InferenceSession(network_graph(onnx, network, "made").SerializeToString()).run(["y"], {"x": z[:, None]})[0][:, 0]
        else:
            with torch.no_grad():
                y = atlasmoe.to_torch(network)(torch.from_numpy(z[:, None])).numpy()[:, 0]
        wide = z.astype(float)
        truth = ACTIVATIONS[name](wide)
        assert (np.abs(y - truth) <= 8 * 2.0**-24 * np.abs(wide) + float(np.finfo(np.float32).tiny)).all(), name


def alone(name: str) -> ReLUNet:
    """z ↦ a(z)."""
    one = Affine(np.ones((1, 1), np.float32), np.zeros(1, np.float32))
    return ReLUNet((one, one), ((NeuronGroup("a", 1, "test", ACTIVATIONS[name]),),))


OPERATOR = ("top 1, softmax", "top 2, softmax", "top 2, uniform")


@pytest.mark.parametrize("kind", OPERATOR)
def test_the_operator_of_onnx_runtime(kind: str) -> None:
    """Outputs and routes are those of the network, at ties too, of which the operator by itself takes the last."""
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    network = general_network(kind).astype("float32")
    (layer,) = network.layers
    if layer.top_k > 1:
        assert misfit(layer) == "several gate outputs share an expert, and several are chosen"
        layer = replace(layer, experts=tuple(layer.experts[k] for k in layer.serves), serves=(0, 1, 2))
    assert misfit(layer) is None
    network = Network((layer,), network.inputs)
    tied = Network((replace(layer, gate=Affine(np.zeros_like(layer.gate.affine.weight), np.zeros(3, np.float32))),), network.inputs)
    x = np.random.default_rng(3).normal(size=(300, 2)).astype(np.float32)
    for made in (network, tied):
        graph = network_graph(onnx, made, "made", operator=True)
        assert "MoE" in {node.op_type for node in graph.graph.node}
        y, routes = runtime.InferenceSession(graph.SerializeToString()).run(["y", "routes_0"], {"x": x})
        trace = made.trace(x)
        np.testing.assert_array_equal(routes, trace.chosen[0])
        np.testing.assert_allclose(y, trace.output, atol=1e-5 * np.abs(trace.output).max())


def test_what_the_operator_cannot_hold(subject: tuple[Model, float, Points, NDArray], tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    model = subject[0]
    wide = replace(model, network=model.network.astype(float))
    with pytest.raises(InvalidArgument, match="operator moe: ONNX Runtime has the operator in float32 only; compile with dtype"):
        export_to(wide, "onnx", tmp_path / "a", operator="moe")
    with pytest.raises(InvalidArgument, match="operator 'mixture' is not moe"):
        export_to(model, "onnx", tmp_path / "a", operator="mixture")
    assert misfit(general_network("top 2, rectified").layers[0]) == "it weighs its experts by rectified logits"
    assert misfit(general_network("dense").layers[0]) == "it has one expert"
    assert Onnx().standing(model.network)[0] == "certificates carry over"
