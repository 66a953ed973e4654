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
from atlasmoe.moe.typed_json import canonical
from atlasmoe.verify.check import CheckReport
from atlasmoe.verify.check.claims import FORMER
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
    metadata = {"schema": str(data["schema"])}
    (copy / BOXES).write_bytes(safetensors.save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata=metadata))
    if rehash:
        bind(copy, data)
    document(data)
    (copy / CERTIFICATE).write_text(json.dumps(data))
    return copy


def bind(folder: Path, data: Document) -> None:
    """Make all hashes of a certificate right again."""
    key = "files" if "files" in data else "sha256"
    data[key] = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in data[key]}
    if key == "files":
        data["root"] = hashlib.sha256(canonical(data["files"])).hexdigest()


def reweighted(folder: Path, copy: Path, change: Callable[[Arrays], object], config: Callable[[Document], object] = id) -> Path:
    """A copy with other weights, or another config.json, whose hashes are mended there and in the certificate."""
    tampered(folder, copy)
    arrays = {name: array.copy() for name, array in safetensors.load_file(copy / WEIGHTS).items()}
    change(arrays)
    (copy / WEIGHTS).write_bytes(safetensors.save(arrays, metadata={"schema": "2"}))
    data = json.loads((copy / "config.json").read_text())
    config(data)
    data["files"][WEIGHTS]["sha256"] = hashlib.sha256((copy / WEIGHTS).read_bytes()).hexdigest()
    data.pop("digest")
    data["digest"] = hashlib.sha256(canonical(data)).hexdigest()
    (copy / "config.json").write_text(json.dumps(data))
    data = json.loads((copy / CERTIFICATE).read_text())
    bind(copy, data)
    (copy / CERTIFICATE).write_text(json.dumps(data))
    return copy


def retold(folder: Path, copy: Path, old: str, new: str) -> Path:
    """A copy whose task says something else, with hashes that are right again."""
    shutil.copytree(folder, copy)
    text = (copy / "task.toml").read_text()
    assert old in text
    (copy / "task.toml").write_text(text.replace(old, new))
    config = json.loads((copy / "config.json").read_text())
    data = (copy / "task.toml").read_bytes()
    config["files"]["task.toml"] |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    config.pop("digest")
    config["digest"] = hashlib.sha256(canonical(config)).hexdigest()
    (copy / "config.json").write_text(json.dumps(config))
    certificate = json.loads((copy / CERTIFICATE).read_text())
    bind(copy, certificate)
    (copy / CERTIFICATE).write_text(json.dumps(certificate))
    return copy


def in_older_schema(folder: Path, copy: Path, schema: int) -> Path:
    """A copy of a folder whose certificate is written as an older schema has it."""
    shutil.copytree(folder, copy)
    data, arrays = json.loads((copy / CERTIFICATE).read_text()), safetensors.load_file(copy / BOXES)
    search, files = data.pop("search"), data.pop("files")
    del data["root"], data["assumptions"], files["ledger.json"]
    data |= {"schema": schema, "sha256": files, **{key: search[key] for key in ("found", "tightness", "seconds", "versions")}}
    data["claims"] = [entry for entry in data["claims"] if not entry["name"].endswith(("defined", "inverse"))]
    for entry in data["claims"]:
        if entry["name"].endswith("cover"):
            entry["statement"] = FORMER
        entry |= {"note": search["notes"].get(entry["name"], ""), "witness": None, "samples": None, "children": []}
    if schema == 1:
        (site,) = data.pop("sites")
        del data["readout"]
        data |= {"charts": site["pieces"], "winners": site["winners"]}
        arrays = {name.replace("scores.0.", "scores.") if name.startswith("scores.") else name[2:]: array for name, array in arrays.items()}
    (copy / BOXES).write_bytes(safetensors.save(arrays, metadata={"schema": str(schema)}))
    bind(copy, data)
    (copy / CERTIFICATE).write_text(json.dumps(data, indent=1))
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
