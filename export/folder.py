"""`save` and `load`: a model as a folder of safetensors, TOML and JSON that names, hashes and versions everything in it.

    model.safetensors    the weights, bit for bit: layers.0.gate.weight, layers.0.experts.0.affines.0.weight, …
    config.json          what every channel, expert and neuron is called; size and SHA-256 of the other files; its own digest
    task.toml            the task the model was compiled from (and atlas.safetensors, if it holds large arrays)
    ledger.json          every claim with budget, bound and how it is known
    README.md            the model card

Nothing is pickled, and nothing is read before its size and hash were checked.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from numpy.typing import NDArray
from safetensors import numpy as safetensors

from ..atlas import ManifoldTask, TaskGraph
from ..atlas.graph import as_graph
from ..atlas.spec import task_from_spec, task_to_spec
from ..atlas.spec.python_target import PythonTargets, known_by_name
from ..errors import AtlasMoEError, FolderError, InvalidArgument, SpecError
from ..expressions.given import of_kind, place
from ..moe import Claim, Ledger, Model
from ..moe.beside import earlier
from ..moe.design_file import describe_design, read_design, require_design
from ..moe.layout import describe, read_network, tensors
from ..moe.ledger import require_same
from ..moe.strict import parse_toml, tensors_of_schema
from ..moe.typed_json import MEND, Fields, canonical, finite_json, parse_json
from .card import model_card
from .first_schema import old_design
from .staging import staged

SCHEMA, OLD = 2, 1
"""Versions of the folder and of every file in it: what is written, and what is read beside it (`first_schema`)."""
CONFIG, WEIGHTS, TASK, ARRAYS, LEDGER, CARD = (
    "config.json",
    "model.safetensors",
    "task.toml",
    "atlas.safetensors",
    "ledger.json",
    "README.md",
)
KEYS = ("model_type", "schema", "atlasmoe", "task", "facts", "network", "design", "files", "digest")
"""Of config.json."""
METADATA = {"schema": str(SCHEMA)}
"""Of safetensors files. One key only: safetensors writes several in random order, and equal models should give equal files."""
REQUIRED = {WEIGHTS, TASK, LEDGER, CARD}
ALLOWED = {CONFIG, *REQUIRED, ARRAYS, "certificate.json", "certificate.safetensors", "refutation.json"}
LFS_POINTER = b"version https://git-lfs"
"""How the file begins that git checks out where git lfs is not installed."""
TEXT_LIMIT = 64 << 20
"""Bytes that a JSON, TOML or Markdown file of a folder may have."""


def save(model: Model, folder: str | os.PathLike[str], overwrite: bool = False) -> Path:
    """Write `model` into `folder` and return its absolute path.

    Everything is written to a temporary folder beside it and renamed, so an interrupted save leaves nothing behind and
    the folder is never half old and half new. An existing folder is refused; with `overwrite` it is replaced if it holds
    nothing but a model. A model that was proved when it was compiled brings its certificate. Raises `FolderError`, or `InvalidArgument`
    if the model has weights that are not finite.
    """
    of_kind("save: model", model, Model, "give the Model that compile or load returned, and then the folder")
    folder = place("save", folder)
    weights = tensors(model.network)
    broken = [name for name, array in weights.items() if not np.isfinite(array).all()]
    if broken:
        raise InvalidArgument(f"{broken[0]} has weights that are not finite; compile the model again")
    spec, arrays = task_to_spec(model.task)
    contents = {
        WEIGHTS: safetensors.save(weights, metadata=METADATA),
        TASK: f"# atlasmoe task, schema {SCHEMA}\n{tomli_w.dumps(spec)}".encode(),
        LEDGER: _readable({"schema": SCHEMA, "root": model.ledger.root.to_dict()}),
        CARD: model_card(model).encode(),
    }
    if arrays:
        contents[ARRAYS] = safetensors.save(
            {name: np.ascontiguousarray(array) for name, array in arrays.items()},
            metadata=METADATA,
        )
    from .. import __version__

    config = {
        "model_type": "atlasmoe",
        "schema": SCHEMA,
        "atlasmoe": __version__,
        "task": model.task.name,
        "facts": finite_json(model.facts),
        "network": describe(model.network),
        "design": describe_design(model.design),
        "files": {name: {"bytes": len(data), "sha256": _sha256(data), "schema": SCHEMA} for name, data in contents.items()},
    }
    require_same(Fields(config, folder / CONFIG), model.ledger.root)
    require_design(Fields(config, folder / CONFIG), as_graph(model.task), model.network, model.design)
    config["digest"] = _digest(config)
    contents[CONFIG] = _readable(config)
    with staged(folder, lambda: check_output(folder, overwrite)) as stage:
        for name, data in contents.items():
            (stage / name).write_bytes(data)
        if model.certificate is not None:
            model.certificate.write(stage)
    return folder.absolute()


def save_proof(model: Model, folder: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write the certificate of a model beside it, into the folder that holds it; the card then says what it proves.

    Raises `ProofKept` if a better certificate lies there, unless `overwrite`, and what `Certificate.write` raises.
    """
    folder, certificate = Path(folder), model.certificate
    assert certificate is not None
    path = certificate.write(folder, overwrite=overwrite)
    strangers = {entry.name for entry in folder.iterdir()} - ALLOWED
    exported = (folder.parent / "export.json").exists()  # which lists the hash of config.json
    if certificate.status == "proved" and not strangers and not exported and _read_config(folder)["schema"] == SCHEMA:
        save(model, folder, overwrite=True)
    return path


def load(folder: str | os.PathLike[str], target: PythonTargets | None = None, *, trust_code: bool = False) -> Model:
    """Read a model that `save` wrote, bit for bit.

    `target` replaces the target of a task whose target was a Python function, which no file can hold; of several targets a mapping from
    their names. Without it the model loads, but whatever evaluates f raises `InvalidArgument`. If `trust_code`, a function with a name
    like module:function is imported, which runs its code. Raises `FolderError`, naming the file and what to do,
    unless every size, hash, schema version, shape and dtype is right and every weight is finite.
    """
    folder = place("load", folder)
    config = _read_config(folder)
    contents = _read_files(folder, config)
    network = read_network(config.child("network"), _read_tensors(folder, WEIGHTS, contents[WEIGHTS]))
    task = _read_task(folder, contents, target, trust_code)
    graph = as_graph(task)
    if (graph.ambient_dimension, graph.outputs) != (len(network.inputs), len(network.outputs)):
        maps = f"R^{graph.ambient_dimension} to R^{graph.outputs}, but the network R^{len(network.inputs)} to R^{len(network.outputs)}"
        raise FolderError(f"{folder / TASK}: maps {maps}; the files do not belong together, compile the model again")
    document = Fields.of(parse_json(contents[LEDGER], folder / LEDGER), folder / LEDGER)
    _check_schema(document)
    document.only("schema", "root")
    ledger = Ledger(Claim.read(document.child("root")))
    require_same(config, ledger.root)
    if "design" in config or config["schema"] != OLD:
        design = read_design(config.child("design"))
    else:
        design = old_design(graph, graph is not task, network, config.child("facts"), ledger)
    require_design(config, graph, network, design)
    return Model(network, ledger, task, config.mapping("facts"), design, beside=earlier(folder))


def check_output(folder: str | os.PathLike[str], overwrite: bool) -> None:
    """Raise `FolderError` unless a model may be written to `folder`.

    It may if nothing is there, or an empty folder, or, with `overwrite`, a folder with nothing but a model in it.
    """
    folder = Path(folder)
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise FolderError(f"{folder}: is a file, not a folder; choose another place")
    names = {entry.name for entry in folder.iterdir()}
    if not names:
        return
    refused = "is not replaced" if overwrite else "exists already"
    strangers = sorted(names - ALLOWED)
    if strangers:
        stranger = f"it holds {strangers[0]}, which is no part of a model"
        raise FolderError(f"{folder}: {refused}: {stranger}; move it or choose another place")
    if not _claims_to_be_ours(folder / CONFIG):
        raise FolderError(f"{folder}: {refused}: it is not a model that atlasmoe wrote; choose another place, or remove it yourself")
    if not overwrite:
        raise FolderError(f"{folder}: exists already; choose another place, or replace it with --force (overwrite=True)")


def _claims_to_be_ours(path: Path) -> bool:
    """Whether a config.json has our model type; a damaged model is still ours to replace."""
    try:
        config = parse_json(_read_bounded(path, TEXT_LIMIT), path)
    except FolderError:
        return False
    return isinstance(config, dict) and config.get("model_type") == "atlasmoe"


def _read_config(folder: Path) -> Fields:
    path = folder / CONFIG
    if not folder.exists():
        raise FolderError(f"{folder}: there is no such folder; `atlasmoe compile SPEC -o {folder}` makes one")
    if not folder.is_dir() or not path.is_file():
        inside = folder / "model"
        better = f"{inside}, the model in this export" if (inside / CONFIG).is_file() else "a folder that `atlasmoe compile` wrote"
        raise FolderError(f"{folder}: no model folder, it has no {CONFIG}; name {better}")
    config = Fields.of(parse_json(_read_bounded(path, TEXT_LIMIT), path), path)
    if config.get("model_type") != "atlasmoe":
        raise FolderError(f'{path}: "model_type" is not "atlasmoe"; name a folder that `atlasmoe compile` wrote')
    _check_schema(config)
    config.only(*KEYS)
    body = {key: value for key, value in config.items() if key != "digest"}
    if config.text("digest") != _digest(body):
        raise FolderError(f"{path}: was changed after it was written (its digest does not match); {MEND}")
    return config


def _read_files(folder: Path, config: Fields) -> dict[str, bytes]:
    """The bytes of every file that config.json lists, each of the size and SHA-256 given there."""
    files = config.child("files")
    missing, unknown = REQUIRED - set(files), set(files) - ALLOWED
    if missing or unknown:
        odd = sorted(missing) or sorted(unknown)
        lists = "lists no" if missing else "lists the unknown file"
        raise FolderError(f"{folder / CONFIG}: {lists} {odd[0]}; compile the model again with this version")
    contents = {}
    for name in files:
        entry = files.child(name)
        entry.only("bytes", "sha256", "schema")
        path, size = folder / name, entry.integer("bytes")
        if not path.is_file():
            raise FolderError(f"{path}: is missing; {MEND}")
        if not name.endswith(".safetensors") and size > TEXT_LIMIT:
            raise FolderError(f"{path}: has {size} bytes, over the limit of {TEXT_LIMIT}; compile the model again")
        if path.stat().st_size != size:
            hint = "it is a pointer of git lfs: run git lfs pull" if _is_lfs_pointer(path) else MEND
            raise FolderError(f"{path}: has {path.stat().st_size} bytes, but {CONFIG} says {size}; {hint}")
        contents[name] = _read_bounded(path, size)
        if _sha256(contents[name]) != entry.text("sha256"):
            raise FolderError(f"{path}: was changed after it was written (its SHA-256 does not match); {MEND}")
        _check_schema(entry)
    return contents


def _is_lfs_pointer(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(LFS_POINTER)) == LFS_POINTER
    except OSError:
        return False


def _read_tensors(folder: Path, name: str, data: bytes) -> dict[str, NDArray]:
    """The arrays of a safetensors file."""
    return tensors_of_schema(data, folder / name, (OLD, SCHEMA))


def _read_task(folder: Path, contents: Mapping[str, bytes], target: PythonTargets | None, trusted: bool) -> ManifoldTask | TaskGraph:
    path = folder / TASK
    arrays = _read_tensors(folder, ARRAYS, contents[ARRAYS]) if ARRAYS in contents else {}
    spec = parse_toml(contents[TASK], path)
    absent = None if trusted else known_by_name(spec.get("target"))
    try:
        given = {**absent, **target} if isinstance(absent, dict) and isinstance(target, Mapping) else target or absent
        return task_from_spec(spec, source=str(path), arrays=arrays, target=given, trust_code=trusted, kept=True)
    except SpecError as error:
        raise FolderError(f"{path}: {'; '.join(map(str, error.findings))}") from error
    except (AtlasMoEError, RecursionError) as error:
        raise FolderError(f"{path}: cannot be read: {error}") from error


def _check_schema(data: Fields) -> None:
    version = data.get("schema")
    if version not in (SCHEMA, OLD) or not isinstance(version, int) or isinstance(version, bool):
        reads = f"this version of atlasmoe reads {OLD} and {SCHEMA}"
        raise FolderError(f"{data.path}: has schema version {version!r}, {reads}; install the one that wrote it")


def _read_bounded(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise FolderError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    if len(data) > limit:
        raise FolderError(f"{path}: has more than {limit} bytes; {MEND}")
    return data


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _digest(config: Mapping[str, Any]) -> str:
    return _sha256(canonical(config))


def _readable(data: Any) -> bytes:
    return (json.dumps(finite_json(data), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
