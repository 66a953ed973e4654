"""Certificates of models in folders, and ways to change them: what `check` is tested with."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
from atlasmoe.atlas import ManifoldTask
from atlasmoe.moe import Model, Network
from atlasmoe.verify.check import CheckReport
from atlasmoe.verify.prove import Certificate, certify
from safetensors import numpy as safetensors

Arrays = dict[str, np.ndarray]
Document = dict[str, Any]
CERTIFICATE, BOXES, WEIGHTS = "certificate.json", "certificate.safetensors", "model.safetensors"
OUTSIDE, ELSEWHERE, PROVED = 0, 1, 2


def loose(network: Network | Model, task: ManifoldTask | None = None, **options: object) -> Certificate:
    return certify(network, task, **({"tightness": None} | options))


def certified(model: atlasmoe.Model, folder: Path, status: str = "proved", **options: Any) -> Path:
    atlasmoe.save(model, folder)
    certificate = certify(model, **{"tightness": None, **options})
    assert certificate.status == status
    certificate.write(folder)
    return folder


def tampered(
    folder: Path, copy: Path, document: Callable[[Document], object] = id, boxes: Callable[[Arrays], object] = id, rehash: bool = True
) -> Path:
    """A copy whose certificate was changed, with hashes that are right again."""
    shutil.copytree(folder, copy)
    data, arrays = json.loads((copy / CERTIFICATE).read_text()), dict(safetensors.load_file(copy / BOXES))
    boxes(arrays)
    (copy / BOXES).write_bytes(safetensors.save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))
    if rehash:
        data["sha256"] = {name: hashlib.sha256((copy / name).read_bytes()).hexdigest() for name in data["sha256"]}
    document(data)
    (copy / CERTIFICATE).write_text(json.dumps(data))
    return copy


def reweighted(folder: Path, copy: Path, change: Callable[[Arrays], object], config: Callable[[Document], object] = id) -> Path:
    """A copy with other weights, or another config.json, whose hashes are mended there and in the certificate."""
    tampered(folder, copy)
    arrays = {name: array.copy() for name, array in safetensors.load_file(copy / WEIGHTS).items()}
    change(arrays)
    (copy / WEIGHTS).write_bytes(safetensors.save(arrays))
    data = json.loads((copy / "config.json").read_text())
    config(data)
    data["files"][WEIGHTS]["sha256"] = hashlib.sha256((copy / WEIGHTS).read_bytes()).hexdigest()
    (copy / "config.json").write_text(json.dumps(data))
    data = json.loads((copy / CERTIFICATE).read_text())
    data["sha256"] = {name: hashlib.sha256((copy / name).read_bytes()).hexdigest() for name in data["sha256"]}
    (copy / CERTIFICATE).write_text(json.dumps(data))
    return copy


def claim(data: Document, name: str) -> Document:
    return next(found for found in data["claims"] if found["name"] == name)


def edited(path: str, value: object) -> Callable[[Document], None]:
    """A change of one entry: keys and positions between slashes, @name for the claim of that name."""

    def change(data: Document) -> None:
        *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
        for part in parents:
            data = claim(data, part[1:]) if isinstance(part, str) and part.startswith("@") else data[part]
        data[last] = value(data[last]) if callable(value) else value

    return change


def why(report: CheckReport) -> str:
    return "\n".join(map(str, report.failures))
