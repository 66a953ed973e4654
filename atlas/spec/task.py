"""Spec files: `load_task` reads one, `task_from_spec` and `task_to_spec` go between tasks and plain tables.

A spec is TOML: the tables `[task]`, `[manifold]`, `[[chart]]` and `[target]` for a manifold; `[task]`, `[[input]]`, `[[block]]`
and `[[combine]]` for a graph. Its numbers may be texts such as "pi/2". Reading finds every mistake, not only the first. What
cannot be text, the geometry of ball atlases and embeddings, travels beside it as arrays, so that a task that was written
comes back the same, float by float.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ...errors import AtlasMoEError, Finding, InvalidArgument, Severity, SpecError
from ...expressions.fields import callables
from ...expressions.given import place
from ...expressions.maps import ExpressionMap
from ...expressions.parse import coordinates
from ..atlas import Atlas
from ..graph import Combine, TaskGraph
from ..options import OPTIONS, OptionValue
from ..task import ChartTarget, ExpressionTarget, ManifoldTask, Target
from ..wanted import Wanted
from .charts import Written, read_names
from .fields import Fields, once, shown
from .graph import GRAPH_TABLES, read_graph
from .harmonics import series_target
from .manifold import read_manifold
from .periodic import with_periods
from .python_target import CALLABLE_KEYS, MAX_OUTPUTS, PythonTarget, PythonTargets, alone, by_name, python_target
from .several import OWN, Read, read_targets, read_wanted
from .table_target import table_target
from .tables import GRID_KEYS, called, field_tables, read_tables, split
from .unroll import unrolled
from .write import manifold_to_spec, maps_of_atlas
from .write_graph import graph_to_spec

__all__ = ["load_task", "task_from_spec", "task_to_spec"]

MAX_BYTES = 1_000_000
"""Size of a spec file."""

TABLES = {"manifold": ("task", "manifold", "chart", "target", "table"), "graph": (*GRAPH_TABLES, "table")}
"""The kinds of task and the tables of their specs."""

KINDS = ("expression", "charts", "table", "harmonics", "callable")
"""Keys of `[target]`, one for each way to say what f is."""
TARGET_KEYS = (*KINDS[:-1], *CALLABLE_KEYS, "coordinates", *GRID_KEYS)


def load_task(path: str | os.PathLike[str], *, target: PythonTargets | None = None, trust_code: bool = False) -> ManifoldTask | TaskGraph:
    """The task that a spec file describes.

    `target` is the function to approximate where the spec of a manifold has none, or only the name of one (`callable`); of several
    targets a mapping from their names. One that is only named is imported, which runs its code, if `trust_code`.
    Raises `SpecError` with all findings; its `source` is the name of the file.
    """
    if isinstance(path, str) and "\n" in path.strip():
        raise InvalidArgument("load_task takes the path of a spec file, got a text of several lines; write the text to a file first")
    path = place("load_task", path, "spec file")
    return task_from_spec(_read_toml(path), path.name or str(path), target=target, folder=path.parent, trust_code=trust_code)


def task_from_spec(
    spec: Mapping[str, Any],
    source: str = "spec",
    arrays: Mapping[str, NDArray] | None = None,
    target: PythonTargets | None = None,
    folder: Path | None = None,
    trust_code: bool = False,
    kept: bool = False,
) -> ManifoldTask | TaskGraph:
    """The task that the tables of a spec, and the arrays written with them, describe.

    `source` is what messages call the spec, `folder` where the files that it names are; without it none is read. `kept`: it lies beside
    a model, so that its expressions were read before, and need not go through sympy until somebody asks what it makes of them. Raises
    `SpecError` with all findings.
    """
    fields = Fields(kept)
    spec = unrolled(fields, spec)
    if fields.findings:
        raise SpecError(once(fields.findings), source)
    kind = _kind(spec)
    if kind == "manifold" and isinstance(spec, Mapping) and (foreign := [key for key in GRAPH_TABLES[1:] if key in spec]):
        fields.error("task: kind", f'is "manifold", but there are tables [[{foreign[0]}]]', 'add kind = "graph" to [task]')
        raise SpecError(fields.findings, source)
    several = ("target",) if kind == "graph" and isinstance(spec, Mapping) and isinstance(spec.get("target"), list) else ()
    tables = fields.table(spec, "spec", (*TABLES[kind], *several))
    name, output, options = _read_task(fields, tables, kind)
    of_tables, arrays = split(arrays or {})
    if "table" in tables or of_tables:
        read_tables(fields, tables.get("table", []), of_tables, folder)
    if kind == "graph":
        if target is not None:
            fields.error("target", "a graph has no target that could be passed", "write its blocks as expressions")
        graph = read_graph(fields, tables, name, output, arrays)
        if graph is not None and "target" in tables:
            graph = dataclasses.replace(graph, wanted=read_wanted(fields, tables["target"], graph[graph.output].components))
        if not fields.findings:
            fields.unused()
        if fields.findings or graph is None:
            raise SpecError(once(fields.findings), source)
        return dataclasses.replace(graph, origins=fields.origins) if fields.origins else graph
    before = len(fields.findings)
    tables = with_periods(fields, tables)
    if len(fields.findings) > before:
        raise SpecError(once(fields.findings), source)
    if "manifold" in tables:
        written = read_manifold(fields, tables["manifold"], tables.get("chart"), arrays)
    else:
        fields.error("spec", "the table [manifold] is missing", "add it, with ambient and intrinsic names or a builtin")
        written = Written(None, None)
    wanted: tuple[Wanted, ...] = ()
    if isinstance(tables.get("target"), list):
        named = by_name(fields, target, tables["target"])
        f, outputs, wanted = _several(fields, tables, written, named, folder, trust_code) or (None, (), ())
    else:
        f = _read_target(fields, tables, written, alone(fields, target), folder, trust_code)
        outputs = _outputs(fields, tables["task"], written, f) if isinstance(tables.get("task"), Mapping) else ()
    if not fields.findings:
        fields.unused()
    if not fields.findings and name is not None and written.atlas is not None and f is not None:
        try:
            return ManifoldTask(name, written.atlas, f, options, outputs, fields.origins, wanted)
        except AtlasMoEError as error:
            fields.failure("task", error, "correct the target")
    raise SpecError(once(fields.findings), source)


def task_to_spec(task: ManifoldTask | TaskGraph) -> tuple[dict[str, Any], dict[str, NDArray]]:
    """The tables and arrays from which `task_from_spec` makes the same task: same charts, same floats, same values.

    A library manifold is written as its table if that still makes it, any other atlas chart by chart. Of a `CallableTarget`
    only the name and the number of outputs are written. Raises `InvalidArgument` if an expression is not one that a spec can
    hold, or a name not one that it may have.
    """
    spec, arrays = graph_to_spec(task) if isinstance(task, TaskGraph) else manifold_to_spec(task)
    tables, own = field_tables(tree for function in maps_of(task) for tree in called(function))
    return (spec | {"table": tables}, arrays | own) if tables else (spec, arrays)


def maps_of(task: ManifoldTask | TaskGraph) -> list[ExpressionMap | None]:
    """Every map that a task is made of."""
    if isinstance(task, ManifoldTask):
        return [*maps_of_atlas(task.atlas), *task.target.maps]
    maps = [function for node in task.nodes if node.atlas is not None for function in maps_of_atlas(node.atlas)]
    maps += [function for block in task.blocks for function in block.subtasks]
    return [*maps, *(node.function for node in task.nodes if isinstance(node, Combine))]


def _instead(path: Path) -> str:
    """What to give in the place of a path that is no spec file."""
    if (path / "config.json").is_file():
        return f"it holds a compiled model, which `atlasmoe show {path}` shows; give the path of a spec file, such as sphere.toml"
    inside = sorted(entry.name for entry in path.glob("*.toml"))[:4] if path.is_dir() else []
    return f"give the path of a spec file, such as {path / inside[0] if inside else 'sphere.toml'}"


def _read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file of bounded size."""

    def refuse(problem: str, remedy: str) -> SpecError:
        return SpecError([Finding(Severity.ERROR, "file", problem, remedy)], path.name or str(path))

    try:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "is not a regular file" if path.exists() else "does not exist"
            raise refuse(what, _instead(path))
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise refuse(f"cannot be read: {getattr(error, 'strerror', None) or error}", "check the path and its permissions") from None
    if len(data) > MAX_BYTES:
        raise refuse(f"is larger than {MAX_BYTES} bytes", "a spec is a short text; large data belongs in Python")
    if not data.strip():
        raise refuse("is empty", "write the tables [task], [manifold], [[chart]] and [target]")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise refuse(f"is not UTF-8 text (byte {error.start})", "save it as plain UTF-8 text") from None
    except RecursionError:
        raise refuse("is no TOML that can be read: nested too deeply", "flatten it") from None
    except ValueError as error:
        problem = " ".join(str(error).split())
        raise refuse(f"is not TOML: {problem}", "write key = value lines under [tables]; texts stand in quotes") from None


def _kind(spec: Any) -> str:
    """The kind of task that a spec says it is; "manifold" where it says nothing that is known."""
    task = spec.get("task") if isinstance(spec, Mapping) else None
    return "graph" if isinstance(task, Mapping) and task.get("kind") == "graph" else "manifold"


def _read_task(fields: Fields, tables: Mapping[str, Any], kind: str) -> tuple[str | None, str | None, dict[str, OptionValue]]:
    """The name of the task, that of the output node of a graph, and the options of the one block of a task on one manifold."""
    if "task" not in tables:
        fields.error("spec", "the table [task] is missing", 'add it, with name = "..."')
        return None, None, {}
    table = fields.table(tables["task"], "task", ("name", "kind", "output", "outputs", *OPTIONS))
    if table.get("kind", kind) != kind:
        fields.error("task: kind", f"unknown kind {shown(table['kind'])}", f"the kinds are {', '.join(map(shown, TABLES))}")
    output = fields.text(table["output"], "task: output") if "output" in table else None
    if kind == "graph" and "output" not in table:
        fields.error("task", "the key 'output' is missing", "name the block or combination whose values are f")
    if kind == "graph" and "outputs" in table:
        fields.error("task: outputs", "are names for the values of a task on one manifold", "write outputs in the output node")
    if kind == "manifold" and "output" in table:
        fields.error("task", "the key 'output' is for graphs only", 'add kind = "graph", or remove it')
    options = fields.options(table, "task")
    if kind == "graph" and options:
        fields.error(f"task: {next(iter(options))}", "is an option of blocks", "write it in the [[block]] tables that it is for")
    if "name" not in table:
        fields.error("task", "the key 'name' is missing", 'add name = "..."')
        return None, output, options
    return fields.text(table["name"], "task: name"), output, options


def _outputs(fields: Fields, table: Mapping[str, Any], written: Written, target: Target | None) -> tuple[str, ...]:
    """What the components of f are called; () where nothing is said."""
    if "outputs" not in table:
        return ()
    names = read_names(fields, table, "outputs", MAX_OUTPUTS, "task")
    if names is not None and target is not None and len(names) != target.outputs:
        fields.error("task: outputs", f"there are {len(names)} names for {target.outputs} components of f", "name every one of them")
    for name in sorted({*(names or ())} & {*(written.coordinates or ())}):
        fields.error("task: outputs", f"the name {name!r} is that of a coordinate", "choose another name")
    return names or ()


def _several(
    fields: Fields, tables: Mapping[str, Any], written: Written, given: Mapping[str, PythonTarget], folder: Path | None, trusted: bool
) -> Read | None:
    """f of several targets, with the names of its components and what is wanted of them."""
    if written.targets:
        fields.error("target", "is given both for all of M and chart by chart", "write charts = [...] in [[target]], one for each chart")
    if isinstance(tables.get("task"), Mapping) and "outputs" in tables["task"]:
        fields.error("task: outputs", "are names for the components of one target", "write outputs in the [[target]] tables")

    def one(table: Mapping[str, Any], name: object) -> Target | None:
        found = _one_target(fields, table, written, given.get(str(name)), folder, trusted)
        for function in () if found is None else found.maps:
            fields.functions |= callables(*function.fields)
        return found

    keys = [key for key in TARGET_KEYS if key not in OWN]
    return None if fields.findings else read_targets(fields, tables["target"], one, keys)


def _read_target(
    fields: Fields, tables: Mapping[str, Any], written: Written, given: PythonTarget | None, folder: Path | None, trusted: bool
) -> Target | None:
    """f: from `[target]`, from the charts, or the function that was passed."""
    if written.targets:
        if "target" in tables or given is not None:
            fields.error("target", "is given both for all of M and chart by chart", "remove [target], or the targets of the charts")
            return None
        return _chart_targets(fields, tables, written)
    if "target" not in tables:
        if given is not None:
            return python_target(fields, given, {}, trusted, folder)
        fields.error("spec", "the table [target] is missing", 'add it, with expression = "..."')
        return None
    return _one_target(fields, fields.table(tables["target"], "target", TARGET_KEYS), written, given, folder, trusted)


def _one_target(
    fields: Fields, table: Mapping[str, Any], written: Written, given: PythonTarget | None, folder: Path | None, trusted: bool
) -> Target | None:
    """f, or one of several, as its table says."""
    if [key for key in KINDS if key in table] == ["callable"]:
        if grid := [key for key in ("coordinates", *GRID_KEYS) if key in table]:
            fields.error("target", f"{grid[0]} is for a table only", "remove it")
        return python_target(fields, given, table, trusted, folder)
    if given is not None and len([key for key in KINDS if key in table]) == 1:
        fields.error("target", "is given in the spec and once more in Python", "remove one of the two")
        return None
    return _told(fields, table, written, folder)


def _told(fields: Fields, table: Mapping[str, Any], written: Written, folder: Path | None) -> Target | None:
    """f as a table says it, all but a Python function."""
    kinds = [key for key in KINDS if key in table]
    if len(kinds) != 1:
        problem = f"has {' and '.join(kinds)}" if kinds else "the key 'expression' is missing"
        remedy = 'give one of expression = "...", charts = [...] (one per chart), table = "file.npz", harmonics = "file", callable = "name"'
        fields.error("target", problem, remedy)
        return None
    if kinds != ["table"] and (grid := [key for key in ("coordinates", *GRID_KEYS) if key in table]):
        fields.error("target", f"{grid[0]} is for a table only", "remove it")
    if said := [key for key in CALLABLE_KEYS if key in table]:
        remedy = "remove it: the number of expressions says it" if said == ["outputs"] else "remove it: of anything else it is proved"
        fields.error("target", f"{said[0]} is for a callable only", remedy)
    if kinds == ["harmonics"]:
        return series_target(fields, table["harmonics"], written, folder)
    if kinds == ["table"]:
        return table_target(fields, table, written, folder)
    if kinds == ["charts"]:
        return _listed_targets(fields, table["charts"], written.atlas)
    if written.coordinates is None:
        return None
    symbols = coordinates(written.coordinates)
    read = fields.components(table["expression"], "target: expression", symbols)
    return None if read is None else ExpressionTarget(ExpressionMap.of(symbols.values(), read))


def _chart_targets(fields: Fields, tables: Mapping[str, Any], written: Written) -> Target | None:
    """F_i = f∘φ_i⁻¹, from the `target` of every chart."""
    count = len(tables["chart"])
    if len(written.targets) != count:
        fields.error("target", f"only {len(written.targets)} of {count} charts have a target", "give every chart one, or none")
    read = [target for _, target in written.targets if target is not None]
    first = len(read[0]) if read else 0
    for label, target in written.targets:
        if target is not None and len(target) != first:
            fields.error(
                f"{label}: target",
                f"the number of components is {len(target)}, that of the first target {first}",
                "give all the same number",
            )
    if fields.findings or written.atlas is None:
        return None
    parametrising = written.atlas.parametrising
    return ChartTarget(tuple(ExpressionMap.of(c.inverse.names, f) for c, f in zip(parametrising, read, strict=True)))


def _listed_targets(fields: Fields, value: Any, atlas: Atlas | None) -> Target | None:
    """F_i for the charts of a builtin manifold, in their order, in the intrinsic names u1, u2, …."""
    if atlas is None:
        return None
    entries = fields.sequence(value, "target: charts", len(atlas.parametrising), "targets", "chart")
    if entries is None:
        return None
    functions = []
    for k, (entry, chart) in enumerate(zip(entries, atlas.parametrising, strict=True)):
        u = coordinates(chart.inverse.names)
        read = fields.components(entry, f"target: charts[{k}]", u)
        if read is not None:
            functions.append(ExpressionMap.of(chart.inverse.names, read))
    if len(functions) < len(entries):
        return None
    if len({f.outputs for f in functions}) > 1:
        fields.error("target: charts", "the targets have different numbers of components", "give all the same number")
        return None
    return ChartTarget(tuple(functions))
