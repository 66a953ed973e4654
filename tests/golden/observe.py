"""Everything about a compiled case that the golden files hold, through the public names of the library.

Nothing of it depends on the clock, on versions or on where files lie.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import math
import os
import runpy
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
from cases import NEVER, Case
from safetensors import numpy as safetensors

CLOCK = ("seconds", "versions")
BESIDES = ("activation", "times", "times_bias")
"""What is said of neurons that are not those of the theorems."""
DRAWN, SEED, EVALUATED, SHOWN = 3, 11, 256, 8
"""Points to explain, the seed of all points drawn here, points to evaluate, and how many of their values are written down."""


def observe(case: Case) -> dict[str, Any]:
    """Compile, save, load, verify, explain, certify and check one case, as JSON."""
    task = atlasmoe.load_task(case.spec)
    model = atlasmoe.compile(task, **case.compile)
    report = atlasmoe.verify(model, samples=case.samples, seed=0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = atlasmoe.save(model, Path(temporary) / "model")
        data = {
            "case": case.name,
            "fitted": case.fitted,
            "compile": dict(case.compile),
            "model": repr(model),
            "network": network_arrays(model),
            "loaded": network_arrays(atlasmoe.load(folder)) == network_arrays(model),
            "facts": without_clock(model.facts),
            "ledger": model.ledger.root.to_dict(),
            "values": values(model),
            "verify": without_clock(report.to_dict()),
            "explain": list(explained(model, folder, case)),
            "neurons": list(neurons(model)),
        }
        if case.certify is not None:
            data |= proof(model, folder, case)
    return plain(data)


def group_data(group: atlasmoe.NeuronGroup) -> dict[str, Any]:
    """A neuron group; its activation where it is not that of the theorems."""
    data = {"name": group.name, "count": group.count, "origin": group.origin}
    return data if group.activation.name == "relu" else data | {"activation": group.activation.name}


def network_arrays(model: atlasmoe.Model) -> dict[str, Any]:
    """Names, shapes and hashes of all that a network consists of.

    The only function here that looks into layers, gates and experts: where those classes change, this is what to adapt, so that it
    says the same of the same network. What is new in a layer goes under names of its own.
    """
    network = model.network
    layers = []
    for layer in network.layers:
        experts = [
            {
                "affines": [{"weight": array(affine.weight), "bias": array(affine.bias)} for affine in net.affines],
                "groups": [[group_data(group) for group in hidden] for hidden in net.groups],
            }
            for net in layer.experts
        ]
        layers.append(
            {
                "gate": {"weight": array(layer.gate.weight), "bias": array(layer.gate.bias)},
                "experts": experts,
                "serves": layer.serves,
                "names": layer.names,
                "channels": layer.channels,
                "reads": layer.reads,
            }
        )
    return plain({"inputs": network.inputs, "outputs": network.outputs, "layers": layers})


def array(numbers: np.ndarray) -> dict[str, Any]:
    """Type and shape of an array, and the SHA-256 of both with all its bytes."""
    numbers = np.ascontiguousarray(numbers)
    text = f"{numbers.dtype.str}{numbers.shape}".encode()
    return {"dtype": str(numbers.dtype), "shape": numbers.shape, "sha256": hashlib.sha256(text + numbers.tobytes()).hexdigest()}


def points(model: atlasmoe.Model, count: int) -> np.ndarray:
    """Points of the manifold or of the graph's domain, (count, D)."""
    if isinstance(model.task, atlasmoe.TaskGraph):
        return model.task.sample(count, SEED)
    return model.task.atlas.sample(count, SEED).ambient


def values(model: atlasmoe.Model) -> dict[str, Any]:
    """What the network computes at drawn points."""
    found = model(points(model, EVALUATED))
    return {"first": found[:SHOWN].astype(float).tolist(), "all": array(found)}


def explained(model: atlasmoe.Model, folder: Path, case: Case) -> Iterator[dict[str, Any]]:
    """Fixed points explained, as data and as the text that the command line prints."""
    graph = isinstance(model.task, atlasmoe.TaskGraph)
    embed = model.task.embed if graph else model.task.atlas.embed
    given = [np.asarray(embed([list(point)]), float).reshape(-1) for point in case.at]
    for point in [*given, *points(model, DRAWN)]:
        found = model.explain(point)
        chosen = {"route": found.route} if graph else {"chart": found.chart}
        yield {**found.to_dict(), **chosen, "text": printed("explain", folder, f"--at={','.join(map(repr, point.tolist()))}")}


def neurons(model: atlasmoe.Model) -> Iterator[dict[str, Any]]:
    """The first neuron of the first expert of every layer, and the last of the last."""
    for number, layer in enumerate(network_arrays(model)["layers"], 1):
        for output in (0, len(layer["names"]) - 1):
            net = layer["experts"][layer["serves"][output]]
            for hidden, groups in enumerate(net["groups"], 1):
                count = sum(group["count"] for group in groups)
                if count:
                    neuron = 0 if output == 0 else count - 1
                    found = dataclasses.asdict(model.explain(layer=number, expert=output, neuron=neuron, hidden=hidden))
                    yield {key: value for key, value in found.items() if key not in BESIDES or value not in (None, "relu")}


def proof(model: atlasmoe.Model, folder: Path, case: Case) -> dict[str, Any]:
    """The certificate with its boxes, and what the checker says of it; or the exception, where that is what `certify` ends in today."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            certificate = atlasmoe.certify(model, seconds=NEVER, **case.certify)
    except (ArithmeticError, ValueError) as error:
        return {"certificate": {"raises": f"{type(error).__name__}: {error}"}}
    certificate.write(folder)
    boxes = safetensors.load_file(folder / "certificate.safetensors")
    said = certificate.to_dict()
    said["search"] = without_clock(said["search"])
    found = {"certificate": said, "boxes": {name: array(boxes[name]) for name in sorted(boxes)}}
    return found | ({"check": without_clock(atlasmoe.check(folder).to_dict())} if case.check else {})


def printed(*arguments: object) -> str:
    """What `python -m atlasmoe …` prints, and its exit code."""
    output, code = io.StringIO(), 0
    before, sys.argv = sys.argv, ["atlasmoe", *map(str, arguments)]
    columns = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "400"  # so that no line is wrapped, whatever its numbers
    try:
        with contextlib.redirect_stdout(output):
            runpy.run_module("atlasmoe", run_name="__main__")
    except SystemExit as ended:
        code = ended.code
    finally:
        sys.argv = before
        os.environ.pop("COLUMNS") if columns is None else os.environ.update(COLUMNS=columns)
    return f"{output.getvalue()}exit code {code}"


def without_clock(data: Mapping[str, Any]) -> dict[str, Any]:
    """All but what changes from run to run or from machine to machine."""
    return {key: value for key, value in data.items() if key not in CLOCK}


def plain(value: Any) -> Any:
    """As JSON: lists for tuples, Python numbers for numpy's, words for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else str(float(value))
    return value if value is None else str(value)
