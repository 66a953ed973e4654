"""The network inside a folder: names in config.json, arrays in model.safetensors, and back, with every shape checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FolderError, InvalidArgument
from . import Affine, MoELayer, Network, NeuronGroup, ReLUNet
from .typed_json import MEND, Fields

DTYPES = ("float32", "float64")


def tensors(network: Network) -> dict[str, NDArray]:
    """Every array of the network: layers.{l}.gate.{weight,bias}, layers.{l}.experts.{k}.affines.{j}.{weight,bias}."""
    arrays: dict[str, NDArray] = {}
    for number, layer in enumerate(network.layers):
        parts = {"gate": layer.affine_gate}
        for k, net in enumerate(layer.experts):
            parts |= {f"experts.{k}.affines.{j}": affine for j, affine in enumerate(net.affines)}
        for part, affine in parts.items():
            arrays[f"layers.{number}.{part}.weight"] = np.ascontiguousarray(affine.weight)
            arrays[f"layers.{number}.{part}.bias"] = np.ascontiguousarray(affine.bias)
    return arrays


def describe(network: Network) -> dict[str, Any]:
    """Everything about the network but its numbers, as JSON."""
    return {
        "dtype": str(network.dtype),
        "inputs": list(network.inputs),
        "layers": [
            {
                "names": list(layer.names),
                "channels": list(layer.channels),
                "serves": list(map(int, layer.serves)),
                "reads": None if layer.reads is None else list(map(int, layer.reads)),
                "experts": [
                    {
                        "hidden": [
                            [{"name": group.name, "count": int(group.count), "origin": group.origin} for group in groups]
                            for groups in net.groups
                        ]
                    }
                    for net in layer.experts
                ],
            }
            for layer in network.layers
        ],
    }


def read_network(config: Fields, arrays: Mapping[str, NDArray]) -> Network:
    """The network that `describe` and `tensors` wrote; `FolderError` unless names and arrays fit exactly."""
    dtype = config.text("dtype")
    if dtype not in DTYPES:
        raise config.error(f'"dtype" is {dtype!r}, not one of {", ".join(DTYPES)}')
    weights = config.path.with_name("model.safetensors")
    left = set(arrays)

    def affine(prefix: str) -> Affine:
        for name in (f"{prefix}.weight", f"{prefix}.bias"):
            if name not in arrays:
                raise FolderError(f"{weights}: has no tensor {name}; {MEND}")
            if str(arrays[name].dtype) != dtype:
                raise FolderError(f"{weights}: {name} is {arrays[name].dtype}, but config.json says {dtype}; {MEND}")
            if not np.isfinite(arrays[name]).all():
                raise FolderError(f"{weights}: {name} holds numbers that are not finite; {MEND}")
            left.discard(name)
        return Affine(arrays[f"{prefix}.weight"], arrays[f"{prefix}.bias"])

    def layer(number: int, data: Fields) -> MoELayer:
        experts = []
        for k, expert in enumerate(data.children("experts")):
            hidden = expert.list("hidden")
            if not all(isinstance(groups, list) for groups in hidden):
                raise expert.error('"hidden" is not a list of lists')
            nested = [Fields({"groups": groups}, expert.path, expert.where).children("groups") for groups in hidden]
            groups = tuple(tuple(NeuronGroup(g.text("name"), g.integer("count"), g.text("origin")) for g in some) for some in nested)
            experts.append(ReLUNet(tuple(affine(f"layers.{number}.experts.{k}.affines.{j}") for j in range(len(groups) + 1)), groups))
        reads = None if data["reads"] is None else data.integers("reads")
        return MoELayer(
            affine(f"layers.{number}.gate").net, tuple(experts), data.integers("serves"), data.texts("names"), data.texts("channels"), reads
        )

    try:
        network = Network(tuple(layer(number, data) for number, data in enumerate(config.children("layers"))), config.texts("inputs"))
    except (InvalidArgument, IndexError) as error:
        raise FolderError(f"{config.path}: does not describe the arrays of model.safetensors ({error}); {MEND}") from error
    for number, moe in enumerate(network.layers):
        inputs = moe.affine_gate.weight.shape[1]
        if moe.reads is not None and not all(0 <= channel < inputs for channel in moe.reads):
            raise config.error(f"layers[{number}].reads names channels beyond the {inputs} that arrive")
    if left:
        raise FolderError(f"{weights}: has the tensor {min(left)}, which config.json does not describe; {MEND}")
    return network
