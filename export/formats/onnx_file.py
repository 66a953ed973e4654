"""`onnx`: one ONNX graph of the whole network, for any number of inputs at a time; its size does not depend on how many experts there are.

The experts of a layer are stacked, narrower ones padded with neurons that are 0, and a Loop goes over them: rows that chose expert k are
gathered, run through its maps, and scattered back. ArgMax and TopK take the first of equal logits, as everywhere here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InvalidArgument
from ...moe import Model, MoELayer, Network
from ...moe.called import called
from ...moe.layer import Weighting
from ...moe.network import Floats, Indices
from ..onnx_graph import Nodes, onnx_package
from ..stacks import ExpertStack
from ..stages import Stage
from .base import Format, Standing, Written
from .c_source import identifier
from .comparison import Run
from .onnx_operator import DOMAIN, misfit, mixed, without

OPERATOR = "the stored weights in float32, but what ONNX Runtime's operator does with them is written down nowhere"
OPSET, IR = 20, 9
"""Of ONNX: the first with an operator for GELU."""
SINGLE = ("gelu", "gelu_tanh")
"""Activations that ONNX Runtime evaluates in float32 only."""


class Onnx(Format):
    """`NAME.onnx`."""

    name = "onnx"
    summary = (
        "one ONNX graph with a dynamic batch, routes among its outputs; every kind of layer; GELU in float32 only; "
        "option: operator=moe (ONNX Runtime's MoE operator)"
    )
    options = ("operator",)

    def standing(self, network: Network) -> tuple[Standing, str]:
        return Standing.CARRIES, "the stored weights in their own dtype, sums in some order: bounds for plain sums hold of any order"

    def unfit(self, network: Network) -> str | None:
        if network.dtype == np.float64 and (without := sorted(bends(network).intersection(SINGLE))):
            return f"ONNX Runtime has no {without[0]} in float64; compile with dtype float32, or with activation silu"
        return None

    def write(self, model: Model, folder: Path, *, operator: str | None = None, **_: Any) -> Written:
        """Raises `InvalidArgument` for other operators than "moe", and where that can hold no layer."""
        if operator not in (None, "moe"):
            raise InvalidArgument(f"operator {operator!r} is not moe, the one that ONNX Runtime has for experts")
        if operator and (problem := without(model.network)) is not None:
            raise InvalidArgument(f"operator moe: {problem}; leave it out, and the graph has a loop")
        onnx, name = onnx_package("format 'onnx' needs"), identifier(model.task.name)
        graph = network_graph(onnx, model.network, name, operator is not None, called(model)(model.network.inputs))
        (folder / f"{name}.onnx").write_bytes(graph.SerializeToString())
        use = (
            "```python\nimport onnxruntime\n\n"
            f'session = onnxruntime.InferenceSession("{name}.onnx")\n'
            f'(y,) = session.run(["y"], {{"x": x}})  # x [N, {len(model.network.inputs)}], {model.network.dtype}\n```'
        )
        try:
            import onnxruntime
        except ImportError:
            return Written(model.network, None, "not run: onnxruntime is not installed (pip install 'atlasmoe[onnx]')", use)
        how = f"onnxruntime {onnxruntime.__version__}, CPU"
        standing = (Standing.MEASURED, OPERATOR) if operator else None
        return Written(model.network, _runner(onnxruntime, folder / f"{name}.onnx", model.network), how, use, standing=standing)


def bends(network: Network) -> set[str]:
    """The names of all activations."""
    return {act.name for layer in network.layers for net in layer.nets for parts in net.activations for _, act in parts}


def _runner(onnxruntime: Any, path: Path, network: Network) -> Run:
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    names = ["y", *(f"routes_{n}" for n in range(len(network.layers)))]

    def run(x: Floats) -> tuple[Floats, Sequence[Indices]]:
        y, *routes = session.run(names, {"x": np.ascontiguousarray(x, network.dtype)})
        return y, routes

    return run


def network_graph(onnx: Any, network: Network, name: str, operator: bool = False, inputs: Sequence[str] = ()) -> Any:
    """`operator`: with ONNX Runtime's for experts, where a layer fits it. `inputs`: what they are called.

    Input x [N, D]; outputs y [N, out] and routes_l [N, K] for every layer, best first."""
    nodes = Nodes(onnx, network.dtype)
    state = "x"
    for number, layer in enumerate(network.layers):
        state = _Layer(nodes, layer, f"routes_{number}", operator and misfit(layer) is None).behind(state)
    nodes.nodes.append(onnx.helper.make_node("Identity", [state], ["y"]))
    real = onnx.helper.np_dtype_to_tensor_dtype(network.dtype)
    points = [onnx.helper.make_tensor_value_info("x", real, ["N", len(network.inputs)])]
    outputs = [onnx.helper.make_tensor_value_info("y", real, ["N", len(network.outputs)])]
    for number, layer in enumerate(network.layers):
        outputs.append(onnx.helper.make_tensor_value_info(f"routes_{number}", onnx.TensorProto.INT64, ["N", layer.top_k]))
    graph = onnx.helper.make_graph(nodes.nodes, name, points, outputs, nodes.arrays)
    sets = [onnx.helper.make_opsetid("", OPSET), *([onnx.helper.make_opsetid(DOMAIN, 1)] if operator else [])]
    made = onnx.helper.make_model(graph, opset_imports=sets, ir_version=IR, producer_name="atlasmoe")
    for key, channels in (("inputs", inputs or network.inputs), ("outputs", network.outputs)):
        made.metadata_props.add(key=key, value=", ".join(channels))
    return made


class _Layer:
    """The nodes of one layer."""

    def __init__(self, nodes: Nodes, layer: MoELayer, routes: str, by_operator: bool) -> None:
        self.nodes, self.layer, self.routes, self.by_operator = nodes, layer, routes, by_operator

    def behind(self, x: str) -> str:
        """The state that leaves, by what it is read as."""
        op, layer = self.nodes.op, self.layer
        chosen, logits = self._chosen(x)
        read = self._columns(x, layer.reads)
        low = read if layer.latent is None else self.nodes.affine(layer.latent, read)
        if len(layer.experts) == 1:
            written = self.nodes.net(layer.experts[0], low)
            if not layer.unit:
                total = op("ReduceSum", self._weights(chosen, logits), self.nodes.integers([1]), keepdims=1)
                written = op("Mul", written, total)
        else:
            written = self._mixed(low, chosen, logits)
        if layer.shared is not None:
            written = op("Add", written, self.nodes.net(layer.shared, read))
        return self._placed(x, written)

    def _columns(self, x: str, which: Sequence[int] | None) -> str:
        return x if which is None else self.nodes.op("Gather", x, self.nodes.integers(which), axis=1)

    def _chosen(self, x: str) -> tuple[str, str]:
        """The gate outputs [N, K] that are chosen, and the logits [N, E]."""
        op, layer = self.nodes.op, self.layer
        logits = self._zeros(x, 1) if layer.gate is None else self.nodes.net(layer.gate, self._columns(x, layer.sees))
        if layer.top_k == 1:
            chosen = op("ArgMax", logits, axis=1, keepdims=1, select_last_index=0)
        else:
            chosen = op("TopK", logits, self.nodes.integers([layer.top_k]), outputs=2, axis=1, largest=1, sorted=1)
        self.nodes.nodes.append(self.nodes.onnx.helper.make_node("Identity", [chosen], [self.routes]))
        return chosen, logits

    def _zeros(self, x: str, columns: int) -> str:
        """[N, columns] of 0."""
        op = self.nodes.op
        shape = op("Concat", op("Shape", x, start=0, end=1), self.nodes.integers([columns]), axis=0)
        value = self.nodes.onnx.numpy_helper.from_array(np.zeros(1, self.nodes.dtype))
        return op("ConstantOfShape", shape, value=value)

    def _weights(self, chosen: str, logits: str) -> str:
        """[N, K]."""
        op, layer = self.nodes.op, self.layer
        scores = op("GatherElements", logits, chosen, axis=1)
        match layer.weighting:
            case Weighting.RECTIFIED:
                return op("Relu", scores)
            case Weighting.UNIFORM:
                return op("Add", op("Mul", scores, self.nodes.number(0.0)), self.nodes.number(1 / layer.top_k))
            case Weighting.SOFTMAX:
                return op("Softmax", scores, axis=1)

    def _mixed(self, low: str, chosen: str, logits: str) -> str:
        """Σ_k w_k·expert_k, [N, writes]."""
        op, layer, nodes = self.nodes.op, self.layer, self.nodes
        if self.by_operator:
            return mixed(nodes, layer, low, chosen, logits)
        K, width, writes = layer.top_k, layer.experts[0].inputs, layer.experts[0].outputs
        expert = op("Reshape", op("Gather", nodes.integers(layer.serves), chosen), nodes.integers([-1]))
        rows = low
        if K > 1:
            wide = op("Expand", op("Unsqueeze", low, nodes.integers([1])), nodes.integers([1, K, 1]))
            rows = op("Reshape", wide, nodes.integers([-1, width]))
        parts = self._loop(rows, expert)
        if layer.unit:
            return parts
        weights = op("Unsqueeze", self._weights(chosen, logits), nodes.integers([2]))
        weighed = op("Mul", op("Reshape", parts, nodes.integers([-1, K, writes])), weights)
        return op("ReduceSum", weighed, nodes.integers([1]), keepdims=0)

    def _loop(self, rows: str, expert: str) -> str:
        """Every row through its expert."""
        nodes, layer, onnx = self.nodes, self.layer, self.nodes.onnx
        stages = ExpertStack(layer.experts).stages
        stored = [[nodes.array(part.detach().numpy()) for part in (stage.weight, stage.bias, *(stage.up or ()))] for stage in stages]
        inner = nodes.inside()
        k, going, before = (inner.fresh() for _ in range(3))
        hit = inner.op("Reshape", inner.op("NonZero", inner.op("Equal", expert, k)), nodes.integers([-1]))
        current = inner.op("Gather", rows, hit, axis=0)
        for stage, names in zip(stages, stored, strict=True):
            current = _stage(inner, stage, names, current, k)
        after = inner.op("ScatterND", before, inner.op("Unsqueeze", hit, nodes.integers([1])), current)
        on = inner.op("Identity", going)
        real = onnx.helper.np_dtype_to_tensor_dtype(nodes.dtype)
        value = onnx.helper.make_tensor_value_info
        body = onnx.helper.make_graph(
            inner.nodes,
            "one_expert",
            [value(k, onnx.TensorProto.INT64, []), value(going, onnx.TensorProto.BOOL, []), value(before, real, None)],
            [value(on, onnx.TensorProto.BOOL, []), value(after, real, None)],
        )
        count, always = nodes.array(np.array(len(layer.experts))), nodes.array(np.array(True))
        return nodes.op("Loop", count, always, self._zeros(rows, layer.experts[0].outputs), body=body)

    def _placed(self, x: str, written: str) -> str:
        """carry(x) + scatter(written)."""
        op, layer, nodes = self.nodes.op, self.layer, self.nodes
        if layer.writes is None and layer.carries is None:
            return written
        targets, sources = layer.targets.tolist(), layer.sources.tolist()
        place = [targets.index(k) if k in targets else len(targets) for k in range(len(sources))]
        put = op("Gather", op("Concat", written, self._zeros(x, 1), axis=1), nodes.integers(place), axis=1)
        if layer.carries is None:
            return put
        # The zero stands first, so that −1 + 1 is its place.
        kept = op("Gather", op("Concat", self._zeros(x, 1), x, axis=1), nodes.integers([k + 1 for k in sources]), axis=1)
        return op("Add", kept, put)


def _stage(inner: Nodes, stage: Stage, stored: Sequence[str], x: str, k: str) -> str:
    """One map of expert k, what is bent behind it, and its lanes."""
    weight, bias, *up = (inner.op("Gather", name, k, axis=0) for name in stored)
    out = inner.op("Gemm", x, weight, bias, transB=1)
    if not stage.bend:
        return out
    out = inner.bent(stage.bend, out)
    return inner.op("Mul", out, inner.op("Gemm", x, *up, transB=1)) if up else out
