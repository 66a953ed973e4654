"""Interrupt-safe: where a search has cut its boxes so far, in a file that an interrupted run goes on from.

Lemma. Nothing in the file is believed. A resumed search starts with the boxes that the cuts make of its root, none of them settled: each
is judged in this run, in large batches, and cut on where that does not settle it. What was found, and what f was seen to lie in, is found
again. So whatever stands in the file, a leaf is tagged *proved* only by this run's judge; other cuts can cost time and boxes, no more.

Hence an interrupted and resumed run proves what an uninterrupted one does, on a tree that refines the one at which it was stopped. Where no
tightness is asked for, it is the same tree, with bounds that agree but for the rounding of other batches: a box is then settled or cut
whatever was found elsewhere.

The file is bound to all that its boxes were judged by: every weight and how the experts are wired, the task down to its last expression
and float, the options and the versions. A task with a Python function, which cannot be told from another one, starts afresh.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import numpy as safetensors

from ...atlas import Array, ManifoldTask, TaskGraph, task_to_spec
from ...errors import FolderError, InvalidArgument
from ...moe.layout import describe, tensors
from ...moe.network import Network
from ...moe.strict import parse_tensors
from ...moe.typed_json import canonical, finite_json
from .tree import Cuts, Search

EVERY = 20.0
"""Seconds between two writes."""


class Checkpoint:
    """A file of the cuts of all searches; no file, no checkpoint."""

    def __init__(self, path: str | Path | None, network: Network, task: ManifoldTask | TaskGraph, options: Mapping[str, Any]) -> None:
        self.path, self.key = (None if path is None else Path(path)), ""
        if self.path is not None:
            try:
                self.key = _fingerprint(network, task, options)
            except InvalidArgument:  # nothing tells this task from another one
                self.path = None
        self.before = self._read()
        """The cuts of an earlier run, by the names of searches."""
        self.running: dict[str, Search] = {}
        self.under = ""
        """Goes before the names of searches, which several targets would give twice."""
        self.written = time.monotonic()

    def _read(self) -> dict[str, Cuts]:
        """None if the file is missing, damaged or about something else: that costs time, nothing else."""
        if self.path is None or not self.path.is_file():
            return {}
        try:
            arrays, metadata = parse_tensors(self.path.read_bytes(), self.path)
        except (OSError, FolderError):
            return {}
        return arrays if metadata == {"key": self.key} else {}

    def search(self, name: str, lower: Array, upper: Array) -> Search:
        """The search of this root, its boxes cut as they were left; where nothing fit to be one was left, a new one."""
        name = self.under + name
        search = None if name not in self.before else Search.resumed(lower, upper, self.before[name])
        self.running[name] = Search(lower, upper) if search is None else search
        return self.running[name]

    def save(self, *, now: bool = False) -> None:
        """Write, if `EVERY` seconds have passed since the last time."""
        if self.path is None or (not now and time.monotonic() - self.written < EVERY):
            return
        cuts = self.before | {name: search.so_far() for name, search in self.running.items()}
        stage = self.path.with_name(f".{self.path.name}.partial")
        stage.write_bytes(safetensors.save(cuts, metadata={"key": self.key}))
        os.replace(stage, self.path)
        self.written = time.monotonic()

    def finish(self, *, over: bool) -> None:
        """The run is over: the file is needed no more if that is so of what was asked, or if all is done; else it holds the cuts so far."""
        if self.path is None:
            return
        if over or all(search.done for search in self.running.values()):
            self.path.unlink(missing_ok=True)
        else:
            self.save(now=True)


def _fingerprint(network: Network, task: ManifoldTask | TaskGraph, options: Mapping[str, Any]) -> str:
    tables, arrays = task_to_spec(task)
    if isinstance(task, ManifoldTask) and task.target.functions_in_python:
        raise InvalidArgument("a Python function is only known by its name")
    digest = hashlib.sha256(canonical(finite_json([describe(network), tables, dict(options)])))
    for name, array in {**tensors(network), **arrays}.items():
        digest.update(f"{name} {array.dtype} {array.shape};".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
