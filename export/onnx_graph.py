"""A chain of nets as an ONNX model in float64: Gemm by Gemm, activations, and Mul where lanes are multiplied.

Operators say the functions of real numbers exactly: silu(z) = z·Sigmoid(z), relu²(z) = Relu(z)·Relu(z), gelu(z) = z·(1 + Erf(z/Sqrt(2)))/2.
The constants of gelu_tanh are no floats: it is the operator Gelu, which fewer verifiers read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..moe.network import Affine, Floats, Net

OPSET, IR = 13, 8
"""Of ONNX: old enough for every verifier that reads Gemm and Relu."""
WITH_GELU = 20, 9
"""The first that have an operator for GELU."""


def onnx_model(onnx: Any, name: str, nets: Sequence[Net]) -> Any:
    """Input X (1, k), output Y (1, outputs)."""
    nodes = _Nodes(onnx)
    current = "X"
    for net in nets:
        current = nodes.net(net, current)
    nodes.nodes[-1].output[0] = "Y"
    helper, sizes = onnx.helper, (("X", nets[0].inputs), ("Y", nets[-1].outputs))
    ends = [helper.make_tensor_value_info(end, onnx.TensorProto.DOUBLE, [1, k]) for end, k in sizes]
    graph = helper.make_graph(nodes.nodes, name, ends[:1], ends[1:], nodes.arrays)
    opset, ir = WITH_GELU if any(node.op_type == "Gelu" for node in nodes.nodes) else (OPSET, IR)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir, producer_name="atlasmoe")


class _Nodes:
    """The nodes so far, and the numbers that they read."""

    def __init__(self, onnx: Any) -> None:
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.arrays: list[Any] = []

    def op(self, kind: str, *reads: str, **attributes: Any) -> str:
        """A node, by what it is read as."""
        called = f"h{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, list(reads), [called], **attributes))
        return called

    def number(self, array: Floats | float) -> str:
        called = f"w{len(self.arrays)}"
        self.arrays.append(self.onnx.numpy_helper.from_array(np.array(array, float), called))
        return called

    def net(self, net: Net, current: str) -> str:
        for j, map_ in enumerate(net.affines[:-1]):
            hidden, up = self.hidden(self.affine(map_, current), net, j), net.ups[j]
            current = hidden if up is None else self.op("Mul", hidden, self.affine(up, current))
        return self.affine(net.affines[-1], current)

    def affine(self, map_: Affine, current: str) -> str:
        return self.op("Gemm", current, self.number(map_.weight), self.number(map_.bias), transB=1)

    def hidden(self, z: str, net: Net, layer: int) -> str:
        """The activation of every slice."""
        parts = net.activations[layer]
        if len(parts) == 1:
            return self.activated(parts[0][1].name, z)
        called = [f"{z}_{k}" for k in range(len(parts))]
        lengths = self.onnx.numpy_helper.from_array(np.array([rows.stop - rows.start for rows, _ in parts], np.int64), f"{z}_lengths")
        self.arrays.append(lengths)
        self.nodes.append(self.onnx.helper.make_node("Split", [z, f"{z}_lengths"], called, axis=1))
        bent = [self.activated(activation.name, part) for part, (_, activation) in zip(called, parts, strict=True)]
        return self.op("Concat", *bent, axis=1)

    def activated(self, name: str, z: str) -> str:
        match name:
            case "identity":
                return z
            case "relu":
                return self.op("Relu", z)
            case "relu2":
                positive = self.op("Relu", z)
                return self.op("Mul", positive, positive)
            case "silu":
                return self.op("Mul", z, self.op("Sigmoid", z))
            case "gelu":
                error = self.op("Erf", self.op("Div", z, self.op("Sqrt", self.number(2.0))))
                return self.op("Mul", self.op("Mul", z, self.op("Add", error, self.number(1.0))), self.number(0.5))
            case "gelu_tanh":
                return self.op("Gelu", z, approximate="tanh")
        raise AssertionError(f"no operator of ONNX is known for {name}")
