"""The files of a certified model as `check` reads them: both schemas as the same list of sites."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from ...atlas import Array, CallableTarget, ManifoldTask, TaskGraph
from ...atlas.graph import as_graph
from ...atlas.spec import task_from_spec
from ...errors import AtlasMoEError, FolderError
from ...moe.typed_json import Fields, parse_json
from .layers import DTYPES, Layer, read_layers
from .slices import Origin
from .trees import ARRAYS, Tree, read_tree

SCHEMAS = (1, 2)
CERTIFICATE, BOXES = "certificate.json", "certificate.safetensors"
BOUND = WEIGHTS, CONFIG, TASK, ARRAYS_FILE = ("model.safetensors", "config.json", "task.toml", "atlas.safetensors")
"""Files that a certificate is about; the last need not be there."""
TEXT_LIMIT, TENSOR_LIMIT = 64 << 20, 4 << 30
"""Bytes of a text file and of a file of tensors that are read at most."""
SCORES = "scores."
"""What the arrays of trees about τ are called before their number."""


class Value(NamedTuple):
    """A component that a site computes: what it lies in, how far it moves with what the site reads, how far its channel is from it."""

    component: str
    lower: float
    upper: float
    spread: float
    error: float


class Promise(NamedTuple):
    """What is said of a site's scores: δ, the floor of max t, the level of plateaus (None: t = ρ), and the two bounds."""

    delta: float
    floor: float
    level: float | None
    bound: float
    least: float


class Site(NamedTuple):
    """What a certificate says of a site."""

    name: str
    kind: str
    components: tuple[str, ...]
    channels: tuple[Origin, ...]
    reads: frozenset[Origin]
    variables: tuple[str, ...]
    moves: Array
    charts: bool
    pieces: tuple[tuple[str, int], ...]
    winners: tuple[str, ...]
    routes: tuple[int, ...] | None
    eta: float
    bound: float
    rounding: Mapping[str, float]
    values: tuple[Value, ...]
    scores: Promise | None
    folded: bool
    trees: tuple[Tree, ...] = ()
    followed: tuple[Tree, ...] = ()
    """The trees about τ."""


class ReadOut(NamedTuple):
    """How the total follows: from the output's site, or from components with a channel, of which f and Ψ are affine."""

    site: str | None
    error: Array
    rounding: Mapping[str, float]
    components: tuple[str, ...] = ()
    task: Array = np.zeros((0, 0))
    network: Array = np.zeros((0, 0))
    block: str | None = None
    constant: Array = np.zeros(0)
    spread: Array = np.zeros(0)


class Documents(NamedTuple):
    """A certified model as read."""

    certificate: Fields
    schema: int
    manifold: bool
    """Whether the task is one on one manifold."""
    graph: TaskGraph
    dtype: str
    inputs: int
    layers: tuple[Layer, ...]
    sites: tuple[Site, ...]
    read_out: ReadOut | None
    problems: list[str]
    """What is wrong with the files or the trees; if there is any, trees may be missing."""


def read(folder: Path) -> Documents:
    """Everything that a certificate is about. Raises `FolderError` if files are missing or cannot be read for what they are."""
    names = (CERTIFICATE, BOXES, *(name for name in BOUND if name != ARRAYS_FILE or (folder / name).exists()))
    data = {name: _bytes(folder / name) for name in names}
    certificate = Fields.of(parse_json(data[CERTIFICATE], folder / CERTIFICATE), folder / CERTIFICATE)
    schema = certificate.get("schema")
    if schema not in SCHEMAS or isinstance(schema, bool) or not isinstance(schema, int):
        raise FolderError(f"{folder / CERTIFICATE}: has schema version {str(schema)[:20]}, this version of atlasmoe checks {SCHEMAS}")
    config = Fields.of(parse_json(data[CONFIG], folder / CONFIG), folder / CONFIG)
    task = _task(folder, data)
    graph, manifold = as_graph(task), isinstance(task, ManifoldTask)
    dtype, inputs, layers = read_layers(config.child("network"), _tensors(folder / WEIGHTS, data[WEIGHTS]))
    if inputs != graph.ambient_dimension or len(layers[-1].carries) != graph.outputs:
        raise config.error(f"the network does not fit task {task.name!r}: it has other inputs or outputs")
    arrays = _tensors(folder / BOXES, data[BOXES])
    if schema == 1:
        if not manifold:
            raise FolderError(f"{folder / CERTIFICATE}: certificates of task graphs of schema 1 cannot be checked; certify the model again")
        scored = any(name.startswith(SCORES) for name in arrays)
        described: Sequence[Fields] = (_first_schema(certificate, config, graph, len(layers), scored),)
        read_out = None
    else:
        described = certificate.children("sites")
        read_out = None if certificate["readout"] is None else _read_out(certificate.child("readout"))
    problems = list(hash_problems(certificate, config, data))
    sites, used = _with_trees([_site(fields) for fields in described], schema, arrays, folder / BOXES, problems)
    if stray := sorted(arrays.keys() - used):
        problems.append(f"{BOXES} has arrays that belong to no piece: {str(stray)[:200]}")
    return Documents(certificate, schema, manifold, graph, dtype, inputs, layers, sites, read_out, problems)


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


def _task(folder: Path, data: dict[str, bytes]) -> ManifoldTask | TaskGraph:
    path = folder / TASK
    arrays = _tensors(folder / ARRAYS_FILE, data[ARRAYS_FILE]) if ARRAYS_FILE in data else {}
    try:
        task = task_from_spec(tomllib.loads(data[TASK].decode()), source=str(path), arrays=arrays)
    except (AtlasMoEError, ValueError, RecursionError) as error:
        raise FolderError(f"{path}: no task can be read from it ({error})") from error
    if any(isinstance(block.given and block.given.target, CallableTarget) for block in as_graph(task).blocks):
        raise FolderError(f"{path}: only a target in expressions can be checked, this one is a Python function")
    return task


def _site(data: Fields) -> Site:
    return Site(
        name=data.text("name"),
        kind=_word(data, "kind", ("block", "combine")),
        components=data.texts("components"),
        channels=_origins(data, "channels"),
        reads=frozenset(_origins(data, "reads")),
        variables=data.texts("variables"),
        moves=np.array(_finite(data, "moves")),
        charts=_word(data, "domain", ("charts", "boxes")) == "charts",
        pieces=tuple((piece.text("name"), piece.integer("boxes")) for piece in data.children("pieces")),
        winners=data.texts("winners"),
        routes=None if data["routes"] is None else data.integers("routes"),
        eta=data.number("eta"),
        bound=_or_infinite(data, "bound"),
        rounding=_by_dtype(data.child("rounding")),
        values=tuple(_value(value) for value in data.children("values")),
        scores=None if data["scores"] is None else _promise(data.child("scores")),
        folded=data.flag("folded"),
    )


def _promise(data: Fields) -> Promise:
    level = number_or_none(data, "level")
    if level is not None and not 0 < level < np.inf:
        raise data.error(f'"level" is {level}')
    return Promise(data.number("delta"), data.number("floor"), level, _or_infinite(data, "bound"), _or_infinite(data, "least"))


def _value(data: Fields) -> Value:
    return Value(data.text("component"), *(_or_infinite(data, key) for key in ("lower", "upper", "spread", "error")))


def _read_out(data: Fields) -> ReadOut:
    error, rounding = np.array(_finite(data, "error")), _by_dtype(data.child("rounding"))
    if _word(data, "kind", ("site", "affine")) == "site":
        return ReadOut(data.text("site"), error, rounding)
    block = None if data["block"] is None else data.text("block")
    matrices = []
    for key in ("task", "network"):
        rows = [_finite(Fields({key: row}, data.path, data.where), key) for row in data.list(key)]
        if len({len(row) for row in rows}) > 1:
            raise data.error(f'"{key}" is no matrix')
        matrices.append(np.array(rows))
    constant, spread = (np.array(_finite(data, key)) for key in ("constant", "spread"))
    return ReadOut(None, error, rounding, data.texts("components"), matrices[0], matrices[1], block, constant, spread)


def _first_schema(document: Fields, config: Fields, graph: TaskGraph, layers: int, scored: bool) -> Fields:
    """What a certificate of schema 1 says of its one manifold, as schema 2 says it of a site."""
    (block,), facts = graph.blocks, config.child("facts")
    claims = {claim.text("name"): claim for claim in document.children("claims")}
    missing = Fields({"budget": None, "bound": None}, document.path)

    def said(name: str, key: str) -> float:
        return _or_infinite(claims.get(name, missing), key)

    # What the claims about evaluation in floats leave for rounding.
    left = {dtype: (said(f"total.{dtype}", "bound") - said("total", "bound")) * (1 - 2.0**-50) for dtype in DTYPES}
    level = facts["plateau_level"] if facts.get("routing") == "plateau" else None
    delta, floor = said("routing.tau", "budget"), said("routing.max_tau", "budget") + said("routing.tau", "budget")
    scores = {
        "delta": delta,
        "floor": floor,
        "level": level,
        "bound": said("routing.tau", "bound"),
        "least": said("routing.max_tau", "bound"),
    }
    site = {
        "name": block.name,
        "kind": "block",
        "components": list(block.components),
        "channels": [[layers, c] for c in range(graph.outputs)],
        "reads": [[0, i] for i in range(graph.ambient_dimension)],
        "variables": list(block.reads),
        "moves": [0.0] * len(block.reads),
        "domain": "charts",
        "pieces": document["charts"],
        "winners": document["winners"],
        "routes": None,
        "eta": document["eta"],
        "bound": document["bound"],
        "rounding": {dtype: None if np.isnan(number) else number for dtype, number in left.items()},
        "values": [],
        "scores": scores if scored else None,
        "folded": False,
    }
    return Fields(site, document.path)


def _with_trees(
    sites: Sequence[Site], schema: int, arrays: Mapping[str, NDArray], path: Path, problems: list[str]
) -> tuple[tuple[Site, ...], set[str]]:
    """The sites with their trees, and the names of the arrays that belong to them."""
    found, used = [], set()
    for s, site in enumerate(sites):
        trees: dict[str, list[Tree]] = {"": [], SCORES: []}
        for kind in trees if site.scores is not None else ("",):
            for n, (name, _) in enumerate(site.pieces):
                prefix = f"{kind}{n}." if schema == 1 else f"{kind}{s}.{n}."
                used |= {f"{prefix}{array}" for array in ARRAYS}
                # A chart may have fewer coordinates than the point; which number is right the domain says.
                dimension = len(arrays.get(f"{prefix}lower", ())) if site.charts else len(site.variables)
                tree = read_tree(arrays, prefix, path, dimension, len(site.winners), kind == SCORES)
                if isinstance(tree, str):
                    problems.append(f'chart "{name}": {tree}')
                else:
                    trees[kind].append(tree)
        found.append(site._replace(trees=tuple(trees[""]), followed=tuple(trees[SCORES])))
    return tuple(found), used


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


def _or_infinite(fields: Fields, key: str) -> float:
    found = number_or_none(fields, key)
    return np.inf if found is None or np.isnan(found) else found


def _finite(fields: Fields, key: str) -> list[float]:
    """A list of numbers; ∞ for null."""
    return [_or_infinite(Fields({key: entry}, fields.path, fields.where), key) for entry in fields.list(key)]


def _word(fields: Fields, key: str, allowed: tuple[str, ...]) -> str:
    if fields.text(key) not in allowed:
        raise fields.error(f'"{key}" is {fields.text(key)[:80]!r}, not one of {", ".join(allowed)}')
    return fields.text(key)


def _by_dtype(fields: Fields) -> dict[str, float]:
    if not set(fields) <= set(DTYPES):
        raise fields.error("it names other dtypes than float32 and float64")
    return {dtype: _or_infinite(fields, dtype) for dtype in fields}


def _origins(fields: Fields, key: str) -> tuple[Origin, ...]:
    found = []
    for entry in fields.list(key):
        if not isinstance(entry, list) or len(entry) != 2:
            raise fields.error(f'"{key}" holds {str(entry)[:80]}, which is no pair of a layer and a channel')
        layer, channel = Fields({key: entry}, fields.path, fields.where).integers(key)
        found.append((layer, channel))
    return tuple(found)
