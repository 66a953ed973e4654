"""Interrupt-safe: what a search has settled so far, in a file that an interrupted run goes on from.

The file is bound to all that its boxes were judged by: every weight and how the experts are wired, the task down to its last expression
and float, the options and the versions. A task with a Python function, which cannot be told from another one, starts afresh.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from ...atlas import Array, Atlas, CallableTarget, Chart, ChartTarget, ExpressionMap, ManifoldTask
from ...moe.network import Network
from .error import Goal
from .tree import Search

EVERY = 20.0
"""Seconds between two writes."""
PARTS = {
    "stack": ("number", "depth", "lower", "upper"),
    "cuts": ("number", "depth", "side", "first"),
    "leaves": ("number", "tag", "bound", "size", "members"),
}


class Checkpoint:
    """A file of searches, and of the largest error found by them; no file, no checkpoint."""

    def __init__(self, path: str | Path | None, network: Network, task: ManifoldTask, goal: Goal, options: Mapping[str, Any]) -> None:
        self.goal = goal
        whole = not isinstance(task.target, CallableTarget)
        self.path = None if path is None or not whole else Path(path)
        self.key = "" if self.path is None else _fingerprint(network, task, options)
        self.written = time.monotonic()

    def searches(self, roots: Sequence[tuple[Array, Array]]) -> list[Search]:
        """Searches of these roots, and the goal, as they were left; from the start if the file is missing or about something else."""
        fresh = [Search(lower, upper) for lower, upper in roots]
        if self.path is None or not self.path.is_file():
            return fresh
        try:
            data = self.path.read_bytes()
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
            arrays = safetensors.load(data)
            if header.get("__metadata__", {}).get("key") != self.key:
                return fresh
            found = [_restored(arrays, n, lower, upper) for n, (lower, upper) in enumerate(roots)]
            self.goal.found, self.goal.where = float(arrays["found"][0]), (int(arrays["chart"][0]), arrays["place"])
            return found
        except (OSError, SafetensorError, ValueError, KeyError):
            return fresh  # a damaged checkpoint costs time, nothing else

    def save(self, searches: Sequence[Search], *, now: bool = False) -> None:
        """Write, if `EVERY` seconds have passed since the last time."""
        if self.path is None or (not now and time.monotonic() - self.written < EVERY):
            return
        arrays = {f"{n}.{name}": array for n, search in enumerate(searches) for name, array in _arrays(search).items()}
        assert self.goal.where is not None  # sampling has found some error before any search
        chart, place = self.goal.where
        arrays |= {"found": np.array([self.goal.found]), "chart": np.array([chart]), "place": np.array(place)}
        stage = self.path.with_name(f".{self.path.name}.partial")
        stage.write_bytes(safetensors.save(arrays, metadata={"key": self.key}))
        os.replace(stage, self.path)
        self.written = time.monotonic()

    def finish(self, searches: Sequence[Search]) -> None:
        """The run is over: the file is needed no more, or holds what is left to do."""
        if self.path is None:
            return
        if all(search.done for search in searches):
            self.path.unlink(missing_ok=True)
        else:
            self.save(searches, now=True)


def _arrays(search: Search) -> dict[str, NDArray]:
    with search.lock:
        arrays: dict[str, NDArray] = {"nodes": np.array([search.nodes]), "volume": np.array([search.volume])}
        lists: dict[str, Any] = {"stack": search.stack + search.pending, "cuts": list(search.cuts), "leaves": list(search.leaves)}
    for part, names in PARTS.items():
        entries = lists[part]
        for column, name in enumerate(names):
            if entries:
                arrays[f"{part}.{name}"] = np.ascontiguousarray(np.concatenate([entry[column] for entry in entries]))
    return arrays


def _restored(arrays: Mapping[str, NDArray], number: int, lower: Array, upper: Array) -> Search:
    def part(name: str) -> list[Any]:
        columns = [f"{number}.{name}.{column}" for column in PARTS[name]]
        return [tuple(arrays[column] for column in columns)] if columns[0] in arrays else []

    return Search(
        lower, upper, int(arrays[f"{number}.nodes"][0]), part("stack"), part("cuts"), part("leaves"), float(arrays[f"{number}.volume"][0])
    )


def _fingerprint(network: Network, task: ManifoldTask, options: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()

    def add(*parts: object) -> None:
        for part in parts:
            if isinstance(part, np.ndarray):
                add(str(part.dtype), part.shape)
                digest.update(np.ascontiguousarray(part).tobytes())
            else:
                digest.update(f"{part!r};".encode())

    add(json.dumps(options, sort_keys=True), task.name)
    for layer in network.layers:
        add(layer.serves, layer.reads, len(layer.channels))
        for affine in (layer.affine_gate, *(affine for net in layer.experts for affine in net.affines)):
            add(affine.weight, affine.bias)
        add([len(net.affines) for net in layer.experts])
    _add_atlas(task.atlas, add)
    match task.target:
        case ChartTarget(functions=functions):
            add(*map(_text, functions))
        case CallableTarget():
            pass
        case expression:
            add(_text(expression.function))
    return digest.hexdigest()


def _add_atlas(atlas: Atlas, add: Callable[..., None]) -> None:
    add(atlas.coordinates, atlas.partition, atlas.embedding, len(atlas.charts))
    for chart in (*atlas.charts, *atlas.cover):
        if isinstance(chart, Chart):
            add(chart.name, chart.boundary, np.array(chart.domain.lower), np.array(chart.domain.upper))
            add(*map(_text, (chart.inverse, chart.forward, chart.region, chart.bump, chart.partition)))
        else:
            add(chart.name, chart.center, chart.frame, float(chart.radius))


def _text(function: ExpressionMap | None) -> str:
    """An expression without loss, floats and assumptions included."""
    return "none" if function is None else sympy.srepr((function.variables, function.expressions))
