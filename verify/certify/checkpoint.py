"""Interrupt-safe: what a search has settled so far, in a file that an interrupted run goes on from."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from ...atlas import Array
from ...constructions.network import Network
from .tree import Search

EVERY = 20.0
"""Seconds between two writes."""
PARTS = {
    "stack": ("number", "depth", "lower", "upper"),
    "cuts": ("number", "depth", "side", "first"),
    "leaves": ("number", "tag", "bound", "size", "members"),
}


class Checkpoint:
    """A file of searches, tied to the network and the options they belong to; no file, no checkpoint."""

    def __init__(self, path: str | Path | None, network: Network, options: Mapping[str, Any]) -> None:
        self.path = None if path is None else Path(path)
        self.key = "" if path is None else _fingerprint(network, options)
        self.written = time.monotonic()

    def searches(self, roots: Sequence[tuple[Array, Array]]) -> list[Search]:
        """Searches of these roots as they were left, or from the start if the file is missing or about something else."""
        fresh = [Search(lower, upper) for lower, upper in roots]
        if self.path is None or not self.path.is_file():
            return fresh
        try:
            data = self.path.read_bytes()
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
            arrays = safetensors.load(data)
            if header.get("__metadata__", {}).get("key") != self.key:
                return fresh
            return [_restored(arrays, n, lower, upper) for n, (lower, upper) in enumerate(roots)]
        except (OSError, SafetensorError, ValueError, KeyError):
            return fresh  # a damaged checkpoint costs time, nothing else

    def save(self, searches: Sequence[Search], *, now: bool = False) -> None:
        """Write, if `EVERY` seconds have passed since the last time."""
        if self.path is None or (not now and time.monotonic() - self.written < EVERY):
            return
        arrays = {f"{n}.{name}": array for n, search in enumerate(searches) for name, array in _arrays(search).items()}
        stage = self.path.with_name(f".{self.path.name}.partial")
        stage.write_bytes(safetensors.save(arrays, metadata={"key": self.key}))
        os.replace(stage, self.path)
        self.written = time.monotonic()

    def remove(self) -> None:
        """The work is done."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


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


def _fingerprint(network: Network, options: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    for layer in network.layers:
        for affine in (layer.gate, *(affine for net in layer.experts for affine in net.affines)):
            digest.update(affine.weight.tobytes() + affine.bias.tobytes())
    return digest.hexdigest()
