"""A chain of nets as an ONNX model in float64: Gemm by Gemm, activations, and Mul where lanes are multiplied.

Operators say the functions of real numbers exactly: silu(z) = z·Sigmoid(z), relu²(z) = Relu(z)·Relu(z), gelu(z) = z·(1 + Erf(z/Sqrt(2)))/2.
The constants of gelu_tanh are no floats: it is the operator Gelu, which fewer verifiers read.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import InvalidArgument
from ..moe.network import Affine, Floats, Net

OPSET, IR = 13, 8
"""Of ONNX: old enough for every verifier that reads Gemm and Relu."""
WITH_GELU = 20, 9
"""The first that have an operator for GELU."""


def onnx_package(what: str) -> Any:
    """The package onnx. Raises `InvalidArgument` where it is not installed."""
    try:
        import onnx
    except ImportError as error:
        raise InvalidArgument(f"{what} the package onnx: pip install 'atlasmoe[onnx]'") from error
    return onnx


def onnx_model(onnx: Any, name: str, nets: Sequence[Net]) -> Any:
    """Input X (1, k), output Y (1, outputs)."""
    nodes = Nodes(onnx)
    current = "X"
    for net in nets:
        current = nodes.net(net, current)
    nodes.nodes[-1].output[0] = "Y"
    helper, sizes = onnx.helper, (("X", nets[0].inputs), ("Y", nets[-1].outputs))
    ends = [helper.make_tensor_value_info(end, onnx.TensorProto.DOUBLE, [1, k]) for end, k in sizes]
    graph = helper.make_graph(nodes.nodes, name, ends[:1], ends[1:], nodes.arrays)
    opset, ir = WITH_GELU if any(node.op_type == "Gelu" for node in nodes.nodes) else (OPSET, IR)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir, producer_name="atlasmoe")


class Nodes:
    """The nodes so far, and the numbers that they read."""

    def __init__(self, onnx: Any, dtype: DTypeLike = np.float64) -> None:
        self.onnx, self.dtype = onnx, np.dtype(dtype)
        self.nodes: list[Any] = []
        self.arrays: list[Any] = []
        self.names = count()

    def inside(self) -> Nodes:
        """The nodes of a body of a loop: their numbers, and their names, are among those outside."""
        inner = Nodes(self.onnx, self.dtype)
        inner.arrays, inner.names = self.arrays, self.names
        return inner

    def fresh(self) -> str:
        """A name that nothing has."""
        return f"h{next(self.names)}"

    def op(self, kind: str, *reads: str, outputs: int = 1, **attributes: Any) -> str:
        """A node, by what its last output is read as."""
        called = [self.fresh() for _ in range(outputs)]
        self.nodes.append(self.onnx.helper.make_node(kind, list(reads), called, **attributes))
        return called[-1]

    def array(self, array: NDArray) -> str:
        """Numbers of any kind, as they are."""
        called = f"w{len(self.arrays)}"
        self.arrays.append(self.onnx.numpy_helper.from_array(np.array(array), called))
        return called

    def number(self, array: Floats | float) -> str:
        return self.array(np.array(array, self.dtype))

    def integers(self, numbers: Sequence[int]) -> str:
        return self.array(np.array(numbers, np.int64))

    def net(self, net: Net, current: str) -> str:
        for j, map_ in enumerate(net.affines[:-1]):
            hidden, up = self.hidden(self.affine(map_, current), net, j), net.ups[j]
            current = hidden if up is None else self.op("Mul", hidden, self.affine(up, current))
        return self.affine(net.affines[-1], current)

    def affine(self, map_: Affine, current: str) -> str:
        return self.op("Gemm", current, self.number(map_.weight), self.number(map_.bias), transB=1)

    def hidden(self, z: str, net: Net, layer: int) -> str:
        """The activation of every slice."""
        return self.bent([(rows, activation.name) for rows, activation in net.activations[layer]], z)

    def bent(self, parts: Sequence[tuple[slice, str]], z: str) -> str:
        """Rows of a hidden layer, each slice by its own activation."""
        if len(parts) == 1:
            return self.activated(parts[0][1], z)
        called = [f"{z}_{k}" for k in range(len(parts))]
        lengths = self.integers([rows.stop - rows.start for rows, _ in parts])
        self.nodes.append(self.onnx.helper.make_node("Split", [z, lengths], called, axis=1))
        bent = [self.activated(name, part) for part, (_, name) in zip(called, parts, strict=True)]
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
