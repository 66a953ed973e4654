"""Files of a model folder put together anew, with every hash right again: what somebody does who can write the folder."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import numpy as safetensors

CERTIFICATE, BOXES, CONFIG, WEIGHTS = "certificate.json", "certificate.safetensors", "config.json", "model.safetensors"
Document = dict[str, Any]
Arrays = dict[str, np.ndarray]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def canonical(data: object) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def signed(source: Path, folder: Path) -> None:
    """The certificate of one folder in another, about the files that are there."""
    for name in (CERTIFICATE, BOXES):
        shutil.copy(source / name, folder / name)
    resign(folder)


def resign(folder: Path) -> None:
    """Mend every hash and size of config.json, its digest, then the hashes of certificate.json."""
    path = folder / CONFIG
    config: Document = json.loads(path.read_text())
    for name, entry in config.get("files", {}).items():
        if isinstance(entry, dict) and (folder / name).is_file():
            entry |= {"sha256": sha256(folder / name), "bytes": (folder / name).stat().st_size}
    config.pop("digest", None)
    config["digest"] = hashlib.sha256(canonical(config)).hexdigest()
    path.write_text(json.dumps(config, ensure_ascii=False))
    path = folder / CERTIFICATE
    if path.is_file():
        document: Document = json.loads(path.read_text())
        key = "files" if "files" in document else "sha256"
        document[key] = {name: sha256(folder / name) for name in document[key] if (folder / name).is_file()}
        if key == "files":
            document["root"] = hashlib.sha256(canonical(document["files"])).hexdigest()
        path.write_bytes(canonical(document) + b"\n")


def copied(source: Path, folder: Path) -> Path:
    shutil.copytree(source, folder)
    return folder


def with_document(folder: Path, change: Callable[[Document], object], name: str = CERTIFICATE) -> Path:
    """A JSON file of the folder changed in place."""
    document = json.loads((folder / name).read_text())
    change(document)
    (folder / name).write_bytes(canonical(document) + b"\n")
    return folder


def with_arrays(folder: Path, change: Callable[[Arrays], object], name: str = BOXES) -> Path:
    """A file of tensors changed in place."""
    from safetensors import safe_open

    with safe_open(folder / name, "numpy") as file:
        metadata = file.metadata()
    arrays = {key: array.copy() for key, array in safetensors.load_file(folder / name).items()}
    change(arrays)
    (folder / name).write_bytes(safetensors.save({key: np.ascontiguousarray(a) for key, a in arrays.items()}, metadata=metadata))
    return folder
