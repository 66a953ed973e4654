"""What binds a certificate to a folder: that it holds what was certified, and the one hash of its files.

A certificate is about a network and a task. So the folder has to hold that network (every number, every name, every wire), and that
task, down to its last expression and float; what is compared is what the files say, not their bytes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import ManifoldTask, TaskGraph, task_to_spec
from ...atlas.spec import task_from_spec
from ...atlas.spec.python_target import given_in_python
from ...errors import AtlasMoEError, FolderError
from ...moe.beside import ARRAYS, CONFIG, TASK, WEIGHTS
from ...moe.design import Design
from ...moe.design_file import describe_design
from ...moe.layout import PLAIN, describe, tensors
from ...moe.network import Network
from ...moe.strict import parse_toml, tensors_of_schema
from ...moe.typed_json import canonical, finite_json, parse_json

REFUTATION = "refutation.json"
ABOUT = (WEIGHTS, CONFIG, TASK, ARRAYS)
"""Files that a refutation is about."""
FOLDERS = (1, 2)
"""Schemas of model folders."""
LONGEST = 60
"""Characters of a value that a message shows."""


def root_of(files: Mapping[str, str]) -> str:
    """The one hash of a certificate: SHA-256 of the canonical JSON of file name ↦ SHA-256."""
    return hashlib.sha256(canonical(dict(files))).hexdigest()


def require_same(folder: Path, network: Network, task: ManifoldTask | TaskGraph, design: Design | None) -> None:
    """Raises `FolderError`, naming the first difference, unless the folder holds this network and this task; and this design, if one was
    relied on and folders of its schema hold one.
    """
    weights = tensors_of_schema(_read(folder / WEIGHTS), folder / WEIGHTS, FOLDERS)
    certified = tensors(network)
    for name in sorted(weights.keys() | certified.keys()):
        if not _same(weights.get(name), certified.get(name)):
            raise FolderError(f"{folder / WEIGHTS}: {name} is not what was certified; save the certified network, or certify this one")
    config = parse_json(_read(folder / CONFIG), folder / CONFIG)
    said: dict[str, Any] = {"network": describe(network)}
    if design is not None and isinstance(config, dict) and "design" in config:
        said["design"] = describe_design(design)
    for key, ours in said.items():
        stored = config.get(key) if isinstance(config, dict) else None
        if isinstance(stored, dict) and key == "network":
            stored = describe_stored(stored)
        _require_equal(folder / CONFIG, key, stored, finite_json(ours), "save the certified model, or certify this one")
    _require_task(folder, task)


def describe_stored(stored: dict[str, Any]) -> dict[str, Any]:
    """The network of a config.json with the keys that folders of schema 1 left out."""
    layers = stored.get("layers")
    if not isinstance(layers, list):
        return stored
    return {**stored, "layers": [{**PLAIN, **layer} if isinstance(layer, dict) else layer for layer in layers]}


def _same(stored: NDArray | None, certified: NDArray | None) -> bool:
    if stored is None or certified is None or stored.dtype != certified.dtype or stored.shape != certified.shape:
        return False
    return np.ascontiguousarray(stored).tobytes() == np.ascontiguousarray(certified).tobytes()


def _require_task(folder: Path, task: ManifoldTask | TaskGraph) -> None:
    path = folder / TASK
    spec = parse_toml(_read(path), path)
    arrays = tensors_of_schema(_read(folder / ARRAYS), folder / ARRAYS, FOLDERS) if (folder / ARRAYS).is_file() else {}
    ours, our_arrays = task_to_spec(task)
    given = given_in_python(task) if isinstance(task, ManifoldTask) else None
    try:
        theirs, their_arrays = task_to_spec(task_from_spec(spec, source=str(path), arrays=arrays, target=given))
    except (AtlasMoEError, RecursionError) as error:
        raise FolderError(f"{path}: no task can be read from it ({error}); save the model again") from error
    remedy = f"the certificate is about task {task.name!r}; certify the model of this folder, or save the certified one"
    _require_equal(path, "", finite_json(theirs), finite_json(ours), remedy)
    for name in sorted(their_arrays.keys() | our_arrays.keys()):
        if not _same(their_arrays.get(name), our_arrays.get(name)):
            raise FolderError(f"{folder / ARRAYS}: {name} is not what was certified; {remedy}")


def _require_equal(path: Path, where: str, stored: object, certified: object, remedy: str) -> None:
    found = first_difference(where, stored, certified)
    if found is not None:
        place, theirs, ours = found
        raise FolderError(f"{path}: {place} is {theirs}, but what was certified has {ours}; {remedy}")


def first_difference(where: str, a: object, b: object) -> tuple[str, str, str] | None:
    """The first place at which two JSON documents differ, and what they say there; None if they are the same."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(a.keys() | b.keys()):
            if key not in a or key not in b:
                return f"{where}.{key}".lstrip("."), _shown(a, key), _shown(b, key)
            if found := first_difference(f"{where}.{key}".lstrip("."), a[key], b[key]):
                return found
        return None
    if isinstance(a, list) and isinstance(b, list):
        for k, (one, other) in enumerate(zip(a, b, strict=False)):
            if found := first_difference(f"{where}[{k}]", one, other):
                return found
        return None if len(a) == len(b) else (f"the length of {where}", str(len(a)), str(len(b)))
    same = a == b and isinstance(a, bool) == isinstance(b, bool)
    return None if same else (where or "the document", repr(a)[:LONGEST], repr(b)[:LONGEST])


def _shown(data: Mapping[str, object], key: str) -> str:
    return repr(data[key])[:LONGEST] if key in data else "missing"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FolderError(
            f"{path.parent}: holds no model that this certificate could be about ({path.name}: {error.strerror}); save the model first"
        ) from error


def replace_file(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, then give it its own."""
    stage = path.with_name(f".{path.name}.partial")
    try:
        stage.write_bytes(content)
        os.replace(stage, path)
    except OSError as error:
        raise FolderError(f"{path}: cannot be written ({error.strerror or error}); free some space or choose another place") from error
    finally:
        stage.unlink(missing_ok=True)
