"""Interrupt-safe: what a search has settled so far, in a file that an interrupted run goes on from.

The file is bound to all that its boxes were judged by: every weight and how the experts are wired, the task down to its last expression
and float, the options and the versions. A task with a Python function, which cannot be told from another one, starts afresh.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import sympy
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from ...atlas import (
    Array,
    Block,
    CallableTarget,
    Chart,
    ChartTarget,
    Combine,
    Domain,
    ExpressionMap,
    ExpressionTarget,
    Input,
    ManifoldTask,
    Target,
    TaskGraph,
)
from ...atlas.graph import as_graph
from ...moe.network import Network
from .tree import Search

EVERY = 20.0
"""Seconds between two writes."""
PARTS = {
    "stack": ("number", "depth", "lower", "upper"),
    "cuts": ("number", "depth", "side", "first"),
    "leaves": ("number", "tag", "bound", "size", "members"),
}


class Remembering(Protocol):
    """A judge whose knowledge outlives a run."""

    @property
    def refuted(self) -> bool: ...

    def remember(self) -> dict[str, NDArray]: ...

    def recall(self, arrays: Mapping[str, NDArray]) -> None: ...


class Checkpoint:
    """A file of the searches of all sites, and of what their judges have seen; no file, no checkpoint."""

    def __init__(self, path: str | Path | None, network: Network, task: ManifoldTask | TaskGraph, options: Mapping[str, Any]) -> None:
        given = [block.given for block in as_graph(task).blocks if block.given is not None]
        whole = not any(isinstance(task.target, CallableTarget) for task in given)
        self.path = None if path is None or not whole else Path(path)
        self.key = "" if self.path is None else _fingerprint(network, as_graph(task), options)
        self.before = self._read()
        """The arrays of an earlier run, by the names of searches."""
        self.running: dict[str, tuple[Search, Remembering]] = {}
        self.written = time.monotonic()

    def _read(self) -> dict[str, NDArray]:
        """None if the file is missing, damaged or about something else: that costs time, nothing else."""
        if self.path is None or not self.path.is_file():
            return {}
        try:
            data = self.path.read_bytes()
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
            return safetensors.load(data) if header.get("__metadata__", {}).get("key") == self.key else {}
        except (OSError, SafetensorError, ValueError, KeyError):
            return {}

    def search(self, name: str, judge: Remembering, lower: Array, upper: Array) -> Search:
        """The search of this root as it was left, its judge with what it had seen; else a new one."""
        found = {key.removeprefix(f"{name}/"): array for key, array in self.before.items() if key.startswith(f"{name}/")}
        if found:
            judge.recall(found)
        search = _restored(found, lower, upper) if found else Search(lower, upper)
        self.running[name] = search, judge
        return search

    def save(self, *, now: bool = False) -> None:
        """Write, if `EVERY` seconds have passed since the last time."""
        if self.path is None or (not now and time.monotonic() - self.written < EVERY):
            return
        arrays: dict[str, NDArray] = {}
        for name, (search, judge) in self.running.items():
            arrays |= {f"{name}/{key}": array for key, array in {**_arrays(search), **judge.remember()}.items()}
        stage = self.path.with_name(f".{self.path.name}.partial")
        stage.write_bytes(safetensors.save(self.before | arrays, metadata={"key": self.key}))
        os.replace(stage, self.path)
        self.written = time.monotonic()

    def finish(self) -> None:
        """The run is over: the file is needed no more, or holds what is left to do."""
        if self.path is None:
            return
        if all(search.done or judge.refuted for search, judge in self.running.values()):
            self.path.unlink(missing_ok=True)
        else:
            self.save(now=True)


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


def _restored(arrays: Mapping[str, NDArray], lower: Array, upper: Array) -> Search:
    def part(name: str) -> list[Any]:
        columns = [f"{name}.{column}" for column in PARTS[name]]
        return [tuple(arrays[column] for column in columns)] if columns[0] in arrays else []

    nodes, volume = int(arrays["nodes"][0]), float(arrays["volume"][0])
    return Search(lower, upper, nodes, part("stack"), part("cuts"), part("leaves"), volume)


def _fingerprint(network: Network, graph: TaskGraph, options: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()

    def add(*parts: object) -> None:
        for part in parts:
            if isinstance(part, np.ndarray):
                add(str(part.dtype), part.shape)
                digest.update(np.ascontiguousarray(part).tobytes())
            else:
                digest.update(f"{part!r};".encode())

    add(json.dumps(options, sort_keys=True), graph.name, graph.output)
    for layer in network.layers:
        add(layer.serves, layer.reads, layer.writes, layer.carries, layer.top_k, str(layer.weighting), layer.gate is None)
        add(layer.channels, layer.shared is None)
        for net in layer.nets:
            add(len(net.affines), *(array for affine in net.affines for array in (affine.weight, affine.bias)))
    for node in graph.nodes:
        add(node.name, node.components, node.reads)
        match node:
            case Combine():
                add(_text(node.function))
            case Input():
                _add_domain(node.domain, add)
            case Block():
                _add_domain(node.domain, add)
                add(*map(_text, node.subtasks), None if node.given is None else _target(node.given.target))
    return digest.hexdigest()


def _target(target: Target) -> list[str]:
    match target:
        case ChartTarget(functions=functions):
            return list(map(_text, functions))
        case ExpressionTarget(function=function):
            return [_text(function)]
        case CallableTarget(name=name):
            return [name]


def _add_domain(domain: Domain, add: Callable[..., None]) -> None:
    add(domain.coordinates, getattr(domain, "partition", None), domain.embedding, domain.names)
    for chart in (*getattr(domain, "charts", ()), *domain.parametrising):
        if isinstance(chart, Chart):
            add(chart.name, chart.boundary, np.array(chart.domain.lower), np.array(chart.domain.upper))
            add(*map(_text, (chart.inverse, chart.forward, chart.region, chart.bump, chart.partition)))
        else:
            add(chart.name, chart.center, chart.frame, float(chart.radius))
    add(*(piece.closed for piece in getattr(domain, "pieces", ())))


def _text(function: ExpressionMap | None) -> str:
    """An expression without loss, floats and assumptions included."""
    return "none" if function is None else sympy.srepr((function.variables, function.expressions))
