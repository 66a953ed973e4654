"""`numpy`: one Python file that needs NumPy only, and its weights."""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from ...moe import Affine, Model, MoELayer, Network
from ...moe.activations.gelu_tanh import CUBIC, LINEAR
from ...moe.called import called
from ...moe.network import Floats, Indices, Net
from .base import Format, Standing, Written
from .c_source import identifier
from .numpy_template import PROGRAM


class NumPy(Format):
    """A module of a page, and `weights.npz` beside it."""

    name = "numpy"
    summary = "one Python file that needs NumPy only, and weights.npz; every kind of layer"

    def standing(self, network: Network) -> tuple[Standing, str]:
        return (
            Standing.CARRIES,
            "the stored weights in their own dtype, sums by NumPy's library in some order: bounds for plain sums hold of any order",
        )

    def write(self, model: Model, folder: Path, **_: Any) -> Written:
        network, name = model.network, identifier(model.task.name)
        root = model.ledger.root
        arrays: dict[str, Floats] = {}
        layers = [_layer(f"layers.{n}", layer, arriving, arrays) for n, (layer, arriving) in enumerate(_arriving(network))]
        about = f"{_plain(model.task.name)}: a mixture of experts, compiled by atlasmoe; {_plain(root.statement)}, ε = {root.budget:.3g}."
        text = Template(PROGRAM).substitute(
            about=about,
            name=name,
            inputs=len(network.inputs),
            outputs=len(network.outputs),
            channels=", ".join(map(_plain, called(model)(network.inputs))),
            dtype=str(network.dtype),
            linear=repr(LINEAR),
            cubic=repr(CUBIC),
        )
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
        document = np.frombuffer(json.dumps(layers).encode(), np.uint8)
        stream = io.BytesIO()
        np.savez(stream, layers=document, **arrays)  # type: ignore[arg-type]
        (folder / "weights.npz").write_bytes(stream.getvalue())
        use = f"```python\nimport {name}\n\ny = {name}.evaluate(x)\n```"
        return Written(network, _runner(folder / f"{name}.py"), f"NumPy {np.__version__}", use)


def _runner(path: Path) -> Any:
    """The function of the file, whose arrays are in memory once it is imported."""
    spec = importlib.util.spec_from_file_location(f"atlasmoe_exported_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(x: Floats) -> tuple[Floats, Sequence[Indices]]:
        y, routes = module.evaluate(x, routes=True)
        return y, routes

    return run


def _plain(text: str) -> str:
    """A text that may stand in a string of three quotes."""
    return " ".join(text.replace("\\", "?").replace('"', "'").split())


def _arriving(network: Network) -> list[tuple[MoELayer, int]]:
    widths = [len(network.inputs), *(len(layer.channels) for layer in network.layers)]
    return list(zip(network.layers, widths, strict=False))


def _affine(name: str, map_: Affine, arrays: dict[str, Floats]) -> None:
    arrays[f"{name}.weight"] = map_.weight
    if not map_.linear:
        arrays[f"{name}.bias"] = map_.bias


def _net(name: str, net: Net | None, arrays: dict[str, Floats]) -> dict[str, Any] | None:
    if net is None:
        return None
    for j, map_ in enumerate(net.affines):
        _affine(f"{name}.{j}", map_, arrays)
    hidden = []
    for j, (parts, up) in enumerate(zip(net.activations, net.ups, strict=True)):
        if up is not None:
            _affine(f"{name}.{j}.up", up, arrays)
        hidden.append([[[rows.stop - rows.start, activation.name] for rows, activation in parts], up is not None])
    return {"name": name, "hidden": hidden}


def _layer(name: str, layer: MoELayer, arriving: int, arrays: dict[str, Floats]) -> dict[str, Any]:
    """What the program reads of a layer; its numbers go to `arrays`."""
    if layer.latent is not None:
        _affine(f"{name}.latent", layer.latent, arrays)
    everything = list(range(arriving))
    return {
        "gate": _net(f"{name}.gate", layer.gate, arrays),
        "experts": [_net(f"{name}.experts.{k}", net, arrays) for k, net in enumerate(layer.experts)],
        "serves": list(layer.serves),
        "top_k": layer.top_k,
        "weighting": str(layer.weighting),
        "shared": _net(f"{name}.shared", layer.shared, arrays),
        "latent": None if layer.latent is None else f"{name}.latent",
        "reads": everything if layer.reads is None else list(layer.reads),
        "sees": everything if layer.sees is None else list(layer.sees),
        "writes": layer.targets.tolist(),
        "carries": layer.sources.tolist(),
        "writing": layer.experts[0].outputs,
    }
