"""The files of a certified model as `check` reads them, and everything in them that contradicts the rest."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from ...atlas import Array, Atlas, ChartTarget, ExpressionTarget, ManifoldTask
from ...atlas.spec import task_from_spec
from ...errors import AtlasMoEError, FolderError
from ...moe.typed_json import Fields, parse_json
from .networks import Flags, Layer, Map, with_linear_pairs

SCHEMA = 1
CERTIFICATE, BOXES = "certificate.json", "certificate.safetensors"
BOUND = WEIGHTS, CONFIG, TASK, ARRAYS_FILE = ("model.safetensors", "config.json", "task.toml", "atlas.safetensors")
"""Files that a certificate is about; the last need not be there."""
TEXT_LIMIT, TENSOR_LIMIT, NODES = 64 << 20, 4 << 30, 1 << 24
"""Bytes of a text file and of a file of tensors, and boxes of a tree, that are read at most."""
OUTSIDE, ELSEWHERE, PROVED, UNSETTLED = 0, 1, 2, 255
SCORES = "scores."
"""What the arrays of trees about τ are called before their number."""
TAGS = {str(OUTSIDE): "outside", str(ELSEWHERE): "elsewhere", str(PROVED): "proved", str(UNSETTLED): "unknown"}
ARRAYS = {"lower": "f8", "upper": "f8", "cuts": "u1", "tags": "u1", "bounds": "f8", "offsets": "i8", "members": "i4"}


class Tree(NamedTuple):
    """The leaves of one chart: boxes (N, d), tags and bounds (N,), and which gate outputs are in each one's set (N, E)."""

    lower: Array
    upper: Array
    tags: NDArray[np.uint8]
    bounds: Array
    members: Flags


class Documents(NamedTuple):
    """A certified model as read."""

    certificate: Fields
    task: ManifoldTask
    dtype: str
    layers: tuple[Layer, ...]
    level: float | None
    """Of the plateaus that are the reference of the scores; None: that is ρ."""
    trees: list[Tree]
    """Of the error and the routing, one per parametrising chart."""
    scores: list[Tree]
    """Of the claims about τ, if there are any."""
    problems: list[str]
    """What is wrong with the files or the trees; if there is any, trees may be missing."""


def read(folder: Path) -> Documents:
    """Everything that a certificate is about. Raises `FolderError` if files are missing or cannot be read for what they are."""
    names = (CERTIFICATE, BOXES, *(name for name in BOUND if name != ARRAYS_FILE or (folder / name).exists()))
    data = {name: _bytes(folder / name) for name in names}
    certificate = Fields.of(parse_json(data[CERTIFICATE], folder / CERTIFICATE), folder / CERTIFICATE)
    version = certificate.get("schema")
    if version != SCHEMA or isinstance(version, bool):
        raise FolderError(f"{folder / CERTIFICATE}: has schema version {version!r}, this version of atlasmoe checks {SCHEMA}")
    config = Fields.of(parse_json(data[CONFIG], folder / CONFIG), folder / CONFIG)
    task = _task(folder, data)
    layers = _layers(config.child("network"), _tensors(folder / WEIGHTS, data[WEIGHTS]), task)
    dtype = config.child("network").text("dtype")
    facts = config.child("facts")
    level = facts.number("plateau_level") if facts.get("routing") == "plateau" else None
    if level is not None and not 0 < level < np.inf:
        raise facts.error(f'"plateau_level" is {level}')
    arrays = _tensors(folder / BOXES, data[BOXES])
    scored = any(name.startswith(SCORES) for name in arrays)
    parts = [_trees(arrays, prefix, folder / BOXES, task.atlas, len(layers[-1].names)) for prefix in ("", SCORES)[: 1 + scored]]
    problems = [*hash_problems(certificate, config, data), *(problem for _, some in parts for problem in some)]
    used = {f"{prefix}{n}.{name}" for prefix in ("", SCORES) for n in range(len(task.atlas.parametrising)) for name in ARRAYS}
    problems += [f"{BOXES} holds the array {name}, which belongs to no chart" for name in sorted(arrays.keys() - used)[:1]]
    trees, scores = parts[0][0], parts[1][0] if scored else []
    return Documents(certificate, task, dtype, layers, level, trees, scores, problems)


def _bytes(path: Path) -> bytes:
    limit = TENSOR_LIMIT if path.suffix == ".safetensors" else TEXT_LIMIT
    try:
        if path.stat().st_size > limit:
            raise FolderError(f"{path}: has more than {limit} bytes, which is more than is read of such a file")
        return path.read_bytes()
    except OSError as error:
        made = "`atlasmoe certify` writes it" if path.name in (CERTIFICATE, BOXES) else "name a folder that `atlasmoe compile` wrote"
        raise FolderError(f"{path}: cannot be read ({error.strerror}); {made}") from error


def _tensors(path: Path, data: bytes) -> dict[str, NDArray]:
    try:
        return safetensors.load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FolderError(f"{path}: is no safetensors file that can be read ({error})") from error


def _task(folder: Path, data: dict[str, bytes]) -> ManifoldTask:
    path = folder / TASK
    arrays = _tensors(folder / ARRAYS_FILE, data[ARRAYS_FILE]) if ARRAYS_FILE in data else {}
    try:
        task = task_from_spec(tomllib.loads(data[TASK].decode()), source=str(path), arrays=arrays)
    except (AtlasMoEError, ValueError, RecursionError) as error:
        raise FolderError(f"{path}: no task can be read from it ({error})") from error
    if not isinstance(task, ManifoldTask) or not isinstance(task.target, ExpressionTarget | ChartTarget):
        raise FolderError(f"{path}: only tasks on one manifold with a target in expressions can be checked")
    return task


def _layers(config: Fields, arrays: dict[str, NDArray], task: ManifoldTask) -> tuple[Layer, ...]:
    """The network that config.json and the tensors describe, every shape and number checked."""
    dtype = config.text("dtype")

    def map_(prefix: str, columns: int | None, rows: int | None = None) -> Map:
        weight, bias = arrays.get(f"{prefix}.weight"), arrays.get(f"{prefix}.bias")
        if weight is None or bias is None or {str(weight.dtype), str(bias.dtype)} != {dtype} or dtype not in ("float32", "float64"):
            raise config.error(f"model.safetensors has no {dtype} tensors {prefix}.weight and .bias")
        fits = weight.ndim == 2 and bias.shape == weight.shape[:1] and columns in (None, weight.shape[1]) and rows in (None, len(bias))
        if not fits or not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise config.error(f"{prefix}: shapes {weight.shape} and {bias.shape} do not fit, or numbers are not finite")
        return Map(weight.astype(float), bias.astype(float))

    layers = []
    width = len(config.texts("inputs"))
    children = config.children("layers")
    for n, data in enumerate(children):
        names, serves = data.texts("names"), np.array(data.integers("serves"), np.intp)
        reads = np.arange(width) if data["reads"] is None else np.array(data.integers("reads"), np.intp)
        experts = data.children("experts")
        if len(serves) != len(names) or not len(names) or (serves >= len(experts)).any() or (reads >= width).any():
            raise data.error(f'"serves" and "reads" do not fit {len(names)} gate outputs, {len(experts)} experts, {width} channels')
        out, nets = len(data.texts("channels")), []
        for k, expert in enumerate(experts):
            last, maps, columns = len(expert.list("hidden")), [], len(reads)
            for j in range(last + 1):
                maps.append(map_(f"layers.{n}.experts.{k}.affines.{j}", columns, out if j == last else None))
                columns = len(maps[-1].bias)
            nets.append(with_linear_pairs(maps))
        layers.append(Layer(map_(f"layers.{n}.gate", width, len(names)), tuple(nets), serves, reads, names))
        width = out
    if not layers or len(layers[-1].names) != len(task.atlas) or width != task.outputs:
        raise config.error(f"the network does not fit task {task.name!r}")
    if len(config.texts("inputs")) != task.atlas.ambient_dimension:
        raise config.error(f"the network reads other inputs than the {task.atlas.ambient_dimension} of task {task.name!r}")
    return tuple(layers)


def _trees(arrays: dict[str, NDArray], prefix: str, path: Path, atlas: Atlas, winners: int) -> tuple[list[Tree], list[str]]:
    """The leaves of all charts, and what is wrong with them."""
    trees, problems = [], []
    for n, chart in enumerate(atlas.parametrising):
        for name, dtype in ARRAYS.items():
            array = arrays.get(f"{prefix}{n}.{name}")
            if array is None or array.dtype != np.dtype(dtype) or array.ndim != 1 or len(array) > NODES:
                raise FolderError(
                    f"{path}: has no array {prefix}{n}.{name} of dtype {np.dtype(dtype)}, one-dimensional, below {NODES} entries"
                )
        lower, upper, cuts, tags, bounds, offsets, members = (arrays[f"{prefix}{n}.{name}"] for name in ARRAYS)
        domain = chart.domain
        if not np.array_equal(lower, domain.lower) or not np.array_equal(upper, domain.upper):
            problems.append(f'chart "{chart.name}": the root box is not its domain {domain.lower} … {domain.upper}')
            continue
        leaves = _leaves(domain.lower, domain.upper, cuts)
        if leaves is None or not len(leaves) == len(tags) == len(bounds) == len(offsets) - 1:
            problems.append(f'chart "{chart.name}": the cuts are not the preorder of a tree with as many leaves as there are tags')
            continue
        sizes = np.diff(offsets)
        if offsets[0] != 0 or (sizes < 0).any() or offsets[-1] != len(members) or ((members < 0) | (members >= winners)).any():
            problems.append(f'chart "{chart.name}": the sets of winners are not one set of gate outputs a leaf')
            continue
        if not np.isin(tags, (OUTSIDE, ELSEWHERE, PROVED, UNSETTLED)).all():
            problems.append(f'chart "{chart.name}": there is a leaf whose tag is none')
        proved = tags == PROVED
        if (not prefix and (sizes[proved] == 0).any()) or not (bounds[proved] >= 0).all() or not np.isfinite(bounds[proved]).all():
            problems.append(f'chart "{chart.name}": there is a leaf tagged proved without winners or without a bound')
        chosen = np.zeros((len(tags), winners), bool)
        chosen[np.repeat(np.arange(len(tags)), sizes), members] = True
        corners = np.array(leaves).reshape(len(tags), 2, -1)
        trees.append(Tree(corners[:, 0], corners[:, 1], tags, bounds, chosen))
    return trees, problems


def _leaves(lower: tuple[float, ...], upper: tuple[float, ...], cuts: NDArray[np.uint8]) -> list[tuple[float, ...]] | None:
    """Corners of the leaves of a preorder, (lower, upper) each: k + 1 cuts side k at lower + (upper − lower)/2. None if it is no tree."""
    d = len(lower)
    waiting, leaves = [lower + upper], []
    for cut in cuts.tolist():
        if not waiting or cut > d:
            return None
        box = waiting.pop()
        if cut == 0:
            leaves.append(box)
            continue
        k = cut - 1
        low, high = box[k], box[d + k]
        middle = low + (high - low) / 2
        if not low < middle < high:
            return None
        waiting.append((*box[:k], middle, *box[k + 1 :]))
        waiting.append((*box[: d + k], middle, *box[d + k + 1 :]))
    return None if waiting else leaves


def hash_problems(document: Fields, config: Fields, data: dict[str, bytes]) -> Iterator[str]:
    found = {name: hashlib.sha256(content).hexdigest() for name, content in data.items() if name != CERTIFICATE}
    given = document.mapping("sha256")
    for name in sorted(found.keys() | given.keys()):
        if given.get(name) != found.get(name):
            hashes = f"its SHA-256 is {found.get(name)}, the certificate's {str(given.get(name))[:80]}"
            yield f"{name[:80]} is not the file that was certified: {hashes}"
    files = config.get("files")
    for name, entry in files.items() if isinstance(files, dict) else ():
        if name in found and isinstance(entry, dict) and entry.get("sha256") != found[name]:
            yield f"{name} is not the file that config.json describes"


def number_or_none(fields: Fields, key: str) -> float | None:
    """A number, or null for one that is not finite."""
    return None if fields[key] is None else fields.number(key)
