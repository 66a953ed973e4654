"""Interrupt-safe: what a search has settled so far, in a file that an interrupted run goes on from.

The file is bound to all that its boxes were judged by: every weight and how the experts are wired, the task down to its last expression
and float, the options and the versions. A task with a Python function, which cannot be told from another one, starts afresh.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from ...atlas import Array, ManifoldTask, TaskGraph, task_to_spec
from ...errors import InvalidArgument
from ...moe.layout import describe, tensors
from ...moe.network import Network
from ...moe.typed_json import canonical, finite_json
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
        self.path, self.key = (None if path is None else Path(path)), ""
        if self.path is not None:
            try:
                self.key = _fingerprint(network, task, options)
            except InvalidArgument:  # nothing tells this task from another one
                self.path = None
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


def _fingerprint(network: Network, task: ManifoldTask | TaskGraph, options: Mapping[str, Any]) -> str:
    tables, arrays = task_to_spec(task)
    if "callable" in tables.get("target", {}):
        raise InvalidArgument("a Python function is only known by its name")
    digest = hashlib.sha256(canonical(finite_json([describe(network), tables, dict(options)])))
    for name, array in {**tensors(network), **arrays}.items():
        digest.update(f"{name} {array.dtype} {array.shape};".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
