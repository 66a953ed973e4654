"""The files of a certified model, read in the one way that they can be read in, and bound by their hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from numpy.typing import NDArray

from ...atlas import ManifoldTask, TaskGraph
from ...atlas.graph import as_graph
from ...atlas.spec import task_from_spec
from ...errors import AtlasMoEError, FolderError, InvalidArgument
from ...moe.design_file import read_design, require_design
from ...moe.layout import read_network
from ...moe.ledger import Claim, require_same
from ...moe.promise import ScorePromise
from ...moe.strict import parse_toml, tensors_of_schema
from ...moe.typed_json import Fields, canonical, parse_json
from .described import read_out_of, require_fields, site_of
from .documents import Documents, Site, number_or_none
from .first_schema import as_site
from .groups import WrittenOut, written_out
from .layers import read_layers
from .refutation import REFUTATION
from .trees import ARRAYS, Tree, read_tree

SCHEMAS = (1, 2, 3)
FOLDERS = (1, 2)
"""Schemas of model folders."""
CERTIFICATE, BOXES = "certificate.json", "certificate.safetensors"
BOUND = WEIGHTS, CONFIG, TASK, ARRAYS_FILE, LEDGER = ("model.safetensors", "config.json", "task.toml", "atlas.safetensors", "ledger.json")
"""Files that a certificate is about; arrays need not be there. Schemas 1 and 2 are not about the ledger."""
LISTED = (WEIGHTS, TASK, LEDGER, "README.md")
"""Files that config.json describes, beside the arrays where there are any."""
TEXT_LIMIT, TENSOR_LIMIT = 64 << 20, 4 << 30
"""Bytes of a text file and of a file of tensors that are read at most."""
SCORES = "scores."
"""What the arrays of trees about τ are called before their number."""


def read(folder: Path, trust_code: bool = False) -> Documents:
    """Everything that a certificate is about; a Python function is imported if its code is trusted.

    Raises `FolderError` if files are missing or cannot be read for what they are.
    """
    names = (CERTIFICATE, BOXES, *(name for name in BOUND if name not in (ARRAYS_FILE, LEDGER) or (folder / name).exists()))
    data = {name: _bytes(folder / name) for name in names}
    certificate = Fields.of(parse_json(data[CERTIFICATE], folder / CERTIFICATE), folder / CERTIFICATE)
    schema = certificate.get("schema")
    if schema not in SCHEMAS or isinstance(schema, bool) or not isinstance(schema, int):
        raise FolderError(f"{folder / CERTIFICATE}: has schema version {str(schema)[:20]}, this version of atlasmoe checks {SCHEMAS}")
    require_fields(certificate, schema)
    config = _config(folder, data[CONFIG])
    if LEDGER in data:
        ledger = Fields.of(parse_json(data[LEDGER], folder / LEDGER), folder / LEDGER)
        ledger.only("schema", "root")
        if ledger.integer("schema") not in FOLDERS:
            raise ledger.error(f"has schema version {ledger.integer('schema')}, this version of atlasmoe reads {FOLDERS}")
        require_same(config, Claim.read(ledger.child("root")))
    task = _task(folder, data, trust_code)
    graph, manifold = as_graph(task), isinstance(task, ManifoldTask)
    weights = tensors_of_schema(data[WEIGHTS], folder / WEIGHTS, FOLDERS)
    dtype, inputs, layers = read_layers(config.child("network"), weights)
    if "design" in config:  # whatever `load` refuses is no model, so nothing is confirmed of it
        require_design(config, graph, read_network(config.child("network"), weights), read_design(config.child("design")))
    if inputs != graph.ambient_dimension or len(layers[-1].carries) != graph.outputs:
        raise config.error(f"the network does not fit task {task.name!r}: it has other inputs or outputs")
    arrays = tensors_of_schema(data[BOXES], folder / BOXES, (schema,))
    if schema == 1:
        if not manifold:
            raise FolderError(f"{folder / CERTIFICATE}: certificates of task graphs of schema 1 cannot be checked; certify the model again")
        scored = any(name.startswith(SCORES) for name in arrays)
        described: Sequence[Site] = (site_of(as_site(certificate, config, graph, len(layers), scored)),)
        read_out = None
    else:
        described = [site_of(fields) for fields in certificate.children("sites")]
        read_out = None if certificate["readout"] is None else read_out_of(certificate.child("readout"))
    problems = [*hash_problems(certificate, schema, config, data)]
    sites, used = _with_trees(described, schema, arrays, folder / BOXES, problems)
    if stray := sorted(arrays.keys() - used):
        problems.append(f"{BOXES} has arrays that belong to no piece: {str(stray)[:200]}")
    plain = WrittenOut(layers, False, False) if manifold else written_out(inputs, layers, dtype)
    return Documents(
        certificate=certificate,
        schema=schema,
        manifold=manifold,
        graph=graph,
        dtype=dtype,
        inputs=inputs,
        layers=layers,
        plain=plain.layers,
        grouped=plain.numbers,
        near=plain.near,
        snapped=frozenset() if manifold else plain.snapped,
        sites=sites,
        read_out=read_out,
        promises=_promises(config, graph, manifold),
        either=_either(config),
        refutation=_bytes(folder / REFUTATION) if (folder / REFUTATION).exists() else None,
        hashes={name: hashlib.sha256(data[name]).hexdigest() for name in (WEIGHTS, CONFIG, TASK, ARRAYS_FILE) if name in data},
        problems=problems,
        epsilon=number_or_none(certificate, "epsilon"),
    )


def _config(folder: Path, data: bytes) -> Fields:
    """config.json, of whose fields `check` goes by the network and by what the design promises."""
    config = Fields.of(parse_json(data, folder / CONFIG), folder / CONFIG)
    if config.get("schema") not in FOLDERS or isinstance(config.get("schema"), bool):
        raise config.error(f"has schema version {str(config.get('schema'))[:20]}, this version of atlasmoe reads {FOLDERS}")
    config.only("model_type", "schema", "atlasmoe", "task", "facts", "network", "design", "files", "digest")
    body = {key: value for key, value in config.items() if key != "digest"}
    if config.text("model_type") != "atlasmoe" or config.text("digest") != hashlib.sha256(canonical(body)).hexdigest():
        raise config.error("was changed after it was written, or is no model of atlasmoe (its digest does not match)")
    return config


def _promises(config: Fields, graph: TaskGraph, manifold: bool) -> dict[str, tuple[float, float, float | None] | None]:
    """What the design promises of the scores of every block, and the facts of a folder that holds no design."""
    if "design" not in config:
        block = graph.blocks[0]
        try:
            old = ScorePromise.from_facts(config.mapping("facts"), len(block.names)) if manifold else None
        except (InvalidArgument, KeyError, TypeError, ValueError) as error:
            raise config.error(f"facts: what they say of the scores makes no promise ({error})") from error
        return {block.name: None if old is None or old.balls else (old.delta, old.floor, old.plateau_level)}
    found: dict[str, tuple[float, float, float | None] | None] = {}
    for site in config.child("design").children("sites"):
        said = None if site["promise"] is None else site.child("promise")
        followed = said is not None and not said.flag("balls")
        promise = (said.number("delta"), said.number("floor"), number_or_none(said, "plateau_level")) if said and followed else None
        found[site.text("block")] = promise
    return found


def _either(config: Fields) -> frozenset[str]:
    """Blocks whose design says that some experts may be chosen amiss."""
    sites = config.child("design").children("sites") if "design" in config else []
    return frozenset(site.text("block") for site in sites if site.flag("either"))


def _bytes(path: Path) -> bytes:
    limit = TENSOR_LIMIT if path.suffix == ".safetensors" else TEXT_LIMIT
    try:
        if path.stat().st_size > limit:
            raise FolderError(f"{path}: has more than {limit} bytes, which is more than is read of such a file")
        return path.read_bytes()
    except OSError as error:
        proof = path.name in (CERTIFICATE, BOXES) and path.with_name(CONFIG).is_file()
        made = "`atlasmoe certify` writes it" if proof else "name a folder that `atlasmoe compile` wrote"
        raise FolderError(f"{path}: cannot be read ({error.strerror}); {made}") from error


def _task(folder: Path, data: dict[str, bytes], trusted: bool) -> ManifoldTask | TaskGraph:
    path = folder / TASK
    arrays = tensors_of_schema(data[ARRAYS_FILE], folder / ARRAYS_FILE, FOLDERS) if ARRAYS_FILE in data else {}
    spec = parse_toml(data[TASK], path)
    try:
        task = task_from_spec(spec, source=str(path), arrays=arrays, trust_code=trusted)
    except (AtlasMoEError, RecursionError) as error:
        raise FolderError(f"{path}: no task can be read from it ({error})") from error
    for target in task.target.functions_in_python if isinstance(task, ManifoldTask) else ():
        if not target.declares:
            problem = f"the target is the Python function {target.name!r}, of which nothing is declared"
            raise FolderError(f"{path}: {problem}; only a target in expressions, or one with a Lipschitz constant, can be checked")
    return task


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
                dimension = len(site.parts[n].variables) if n < len(site.parts) else dimension
                tree = read_tree(arrays, prefix, path, dimension, len(site.winners), kind == SCORES)
                if isinstance(tree, str):
                    problems.append(f'chart "{name}": {tree}')
                else:
                    trees[kind].append(tree)
        found.append(site._replace(trees=tuple(trees[""]), followed=tuple(trees[SCORES])))
    return tuple(found), used


def hash_problems(document: Fields, schema: int, config: Fields, data: Mapping[str, bytes]) -> Iterator[str]:
    """Files that are not the ones that were certified, or that config.json describes."""
    found = {name: hashlib.sha256(content).hexdigest() for name, content in data.items() if name != CERTIFICATE}
    bound = {name: digest for name, digest in found.items() if name != LEDGER or schema > 2}
    given = document.mapping("sha256" if schema < 3 else "files")
    for name in sorted(bound.keys() | given.keys() | ({LEDGER} if schema > 2 else set())):
        if name not in bound or given.get(name) != bound[name]:
            hashes = f"its SHA-256 is {bound.get(name)}, the certificate's {str(given.get(name))[:80]}"
            yield f"{name[:80]} is not the file that was certified: {hashes}"
    if schema > 2 and document.text("root") != (root := hashlib.sha256(canonical(bound)).hexdigest()):
        yield f"the root hash of the files is {root}, the certificate's {document.text('root')[:80]}"
    files = config.child("files")
    for name in files:
        entry = files.child(name)
        entry.only("bytes", "sha256", "schema")
        same = name not in found or (entry.text("sha256"), entry.integer("bytes")) == (found[name], len(data[name]))
        if not same or entry.integer("schema") not in FOLDERS:
            yield f"{name[:80]} is not the file that config.json describes"
    if strangers := set(files) ^ {*LISTED, *({ARRAYS_FILE} & data.keys())}:
        yield f"config.json describes other files than a model has: {str(sorted(strangers))[:200]}"
