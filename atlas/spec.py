"""Spec files: `load_task` reads one, `task_from_spec` and `task_to_spec` go between tasks and plain tables.

A spec is TOML with the tables `[task]`, `[manifold]`, `[[chart]]` and `[target]`; its numbers may be texts such as
"pi/2". Reading finds every mistake, not only the first. What cannot be text, the geometry of ball atlases and
embeddings, travels beside it as arrays, so that a task that was written comes back the same, float by float.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike, NDArray

from ..errors import AtlasMoEError, Finding, Severity, SpecError
from .atlas import Atlas
from .ball import ball_atlas
from .box import Array
from .expressions import real_symbols
from .functions import ExpressionMap
from .manifolds import builtin, embed
from .spec_arrays import BALL_ARRAYS, EMBEDDING, Arrays, embedding_matrix, with_balls
from .spec_charts import MANIFOLD_KEYS, Written, read_charts
from .spec_fields import Fields, shown
from .spec_write import task_to_spec
from .task import CallableTarget, ChartTarget, ExpressionTarget, ManifoldTask, Target

__all__ = ["load_task", "task_from_spec", "task_to_spec"]

MAX_BYTES = 1_000_000
"""Size of a spec file."""
MAX_OUTPUTS = 4_096
"""Components of a target."""

BALL_KEYS = ("charts", "radius", "seed")

PythonTarget = CallableTarget | Callable[[Array], ArrayLike]


def load_task(path: str | os.PathLike[str], *, target: PythonTarget | None = None) -> ManifoldTask:
    """The task that a spec file describes.

    `target` is the function to approximate where the spec has none, or only the name of one (`callable`).
    Raises `SpecError` with all findings; its `source` is the name of the file.
    """
    path = Path(path)
    return task_from_spec(_read_toml(path), path.name, target=target)


def task_from_spec(
    spec: Mapping[str, Any], source: str = "spec", arrays: Mapping[str, NDArray] | None = None, target: PythonTarget | None = None
) -> ManifoldTask:
    """The task that the tables of a spec, and the arrays written with them, describe.

    `source` is what messages call the spec. Raises `SpecError` with all findings.
    """
    fields = Fields()
    tables = fields.table(spec, "spec", ("task", "manifold", "chart", "target"))
    name = _read_task(fields, tables)
    if "manifold" in tables:
        written = _read_manifold(fields, tables["manifold"], tables.get("chart"), arrays or {})
    else:
        fields.error("spec", "the table [manifold] is missing", "add it, with ambient and intrinsic names or a builtin")
        written = Written(None, None)
    f = _read_target(fields, tables, written, target)
    if not fields.findings and name is not None and written.atlas is not None and f is not None:
        try:
            return ManifoldTask(name, written.atlas, f)
        except AtlasMoEError as error:
            fields.failure("task", error, "correct the target")
    raise SpecError(list(dict.fromkeys(fields.findings)), source)


def _read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file of bounded size."""

    def refuse(problem: str, remedy: str) -> SpecError:
        return SpecError([Finding(Severity.ERROR, "file", problem, remedy)], path.name)

    try:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "is not a regular file" if path.exists() else "does not exist"
            raise refuse(what, "give the path of a spec file, such as sphere.toml")
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


def _read_task(fields: Fields, tables: Mapping[str, Any]) -> str | None:
    if "task" not in tables:
        fields.error("spec", "the table [task] is missing", 'add it, with name = "..."')
        return None
    table = fields.table(tables["task"], "task", ("name", "kind"))
    if table.get("kind", "manifold") != "manifold":
        fields.error("task: kind", f"unknown kind {shown(table['kind'])}", 'the kinds are "manifold"')
    if "name" not in table:
        fields.error("task", "the key 'name' is missing", 'add name = "..."')
        return None
    return fields.text(table["name"], "task: name")


def _read_manifold(fields: Fields, table: Any, charts: Any, arrays: Arrays) -> Written:
    """The atlas: read from the charts or taken from the library, then cut into balls, then embedded."""
    if isinstance(table, Mapping):
        _check_arrays(fields, table, arrays)
    if not isinstance(table, Mapping) or "builtin" not in table:
        table = fields.table(table, "manifold", MANIFOLD_KEYS)
        written = read_charts(fields, table, charts)
        kind = table.get("atlas")
        if kind not in (None, "ball"):
            fields.error(
                "manifold: atlas", f"unknown atlas {shown(kind)}", 'write atlas = "ball", or leave it out to use the charts as they are'
            )
        for key in BALL_KEYS:
            if key in table and kind is None:
                fields.error("manifold", f"the key {key!r} is for balls only", 'add atlas = "ball", or remove it')
        recipe = None
    else:
        if charts is not None:
            fields.error("chart", f"the builtin manifold {shown(table['builtin'])} brings its own charts", "remove [[chart]], or builtin")
        if "name" in table:
            fields.error("manifold", "unknown key 'name'", "the name of the task stands in [task]")
            return Written(None, None)
        balls = table.get("atlas") == "ball" and "centers" in arrays
        left_out = {"builtin", "arrays", *(("atlas", *BALL_KEYS) if balls else ()), *(("embed",) if EMBEDDING in arrays else ())}
        try:
            atlas = builtin(table["builtin"], **{key: value for key, value in table.items() if key not in left_out})
        except AtlasMoEError as error:
            name = table["builtin"]
            fields.failure(f'manifold "{name}"' if isinstance(name, str) else "manifold", error, "correct the [manifold] table")
            return Written(None, None)
        written = Written(atlas, atlas.coordinates)
        recipe = {key: value for key, value in table.items() if key != "arrays"}
    if written.atlas is None or fields.findings:
        return dataclasses.replace(written, atlas=None)
    return dataclasses.replace(written, atlas=_finished(fields, written.atlas, table, recipe, arrays))


def _finished(fields: Fields, atlas: Atlas, table: Mapping[str, Any], recipe: Mapping[str, Any] | None, arrays: Arrays) -> Atlas | None:
    """The atlas cut into balls and embedded, by the arrays where there are any, else by computation."""
    done: Atlas | None = atlas
    try:
        if table.get("atlas") == "ball" and not atlas.cover:
            if "centers" in arrays:
                done = with_balls(fields, atlas, arrays)
            else:
                done = ball_atlas(atlas, **{key: table[key] for key in BALL_KEYS if key in table})
        if done is None:
            return None
        if EMBEDDING in arrays:
            Q = embedding_matrix(fields, done, arrays)
            done = None if Q is None else dataclasses.replace(done, embedding=Q)
        elif "embed" in table and recipe is None:
            options = fields.table(table["embed"], "manifold: embed", ("dimension", "seed"))
            if "dimension" not in options:
                fields.error("manifold: embed", "the key 'dimension' is missing", "write embed = { dimension = 100, seed = 0 }")
                return None
            done = embed(done, options["dimension"], options.get("seed", 0))
    except AtlasMoEError as error:
        fields.failure("manifold", error, "correct the [manifold] table")
        return None
    return None if done is None else dataclasses.replace(done, recipe=recipe)


def _check_arrays(fields: Fields, table: Mapping[str, Any], arrays: Arrays) -> None:
    """That the arrays are ones that belong to a spec, and all those are there that this one cannot do without."""
    for name in arrays:
        if name not in (*BALL_ARRAYS, EMBEDDING):
            fields.error("arrays", f"unknown array {shown(name)}", f"the arrays are {', '.join((*BALL_ARRAYS, EMBEDDING))}")
    listed = table.get("arrays", [])
    needed = {name for name in listed if isinstance(name, str)} if isinstance(listed, list) else set()
    if set(BALL_ARRAYS) & set(arrays):
        needed |= set(BALL_ARRAYS)
    missing = sorted(needed - set(arrays))
    if missing:
        fields.error(
            "manifold: arrays", f"the arrays {', '.join(missing)} are missing", "load the whole folder that this spec was saved in"
        )


def _read_target(fields: Fields, tables: Mapping[str, Any], written: Written, given: PythonTarget | None) -> Target | None:
    """f: from `[target]`, from the charts, or the function that was passed."""
    if written.targets:
        if "target" in tables or given is not None:
            fields.error("target", "is given both for all of M and chart by chart", "remove [target], or the targets of the charts")
            return None
        return _chart_targets(fields, tables, written)
    if "target" not in tables:
        if given is not None:
            return _python_target(fields, given, None, {})
        fields.error("spec", "the table [target] is missing", 'add it, with expression = "..."')
        return None
    table = fields.table(tables["target"], "target", ("expression", "charts", "callable", "outputs"))
    kinds = [key for key in ("expression", "charts", "callable") if key in table]
    if len(kinds) != 1:
        problem = f"has {' and '.join(kinds)}" if kinds else "the key 'expression' is missing"
        fields.error("target", problem, 'give one of expression = "...", charts = [...] (one per chart), callable = "name"')
        return None
    if "outputs" in table and kinds != ["callable"]:
        fields.error("target", "outputs is for a callable only", "remove it: the number of expressions says it")
    if kinds == ["callable"]:
        return _python_target(fields, given, table["callable"], table)
    if given is not None:
        fields.error("target", "is given in the spec and once more in Python", "remove one of the two")
        return None
    if kinds == ["charts"]:
        return _listed_targets(fields, table["charts"], written.atlas)
    if written.coordinates is None:
        return None
    symbols = real_symbols(written.coordinates)
    read = fields.components(table["expression"], "target: expression", symbols)
    return None if read is None else ExpressionTarget(ExpressionMap(tuple(symbols.values()), read))


def _python_target(fields: Fields, given: PythonTarget | None, name: Any, table: Mapping[str, Any]) -> Target | None:
    """The function that was passed, under the name and with the outputs that the spec tells."""
    outputs = fields.integer(table["outputs"], "target: outputs", 1, MAX_OUTPUTS) if "outputs" in table else None
    if name is not None and fields.text(name, "target: callable") is None:
        return None
    if given is None:
        problem = f"is the Python function {shown(name)}, which a spec cannot hold"
        fields.error("target", problem, "pass it in Python when loading: target=CallableTarget(function, outputs, name)")
        return None
    if isinstance(given, CallableTarget):
        if outputs is not None and outputs != given.outputs:
            fields.error(
                "target: outputs", f"the spec says {outputs} outputs, the function has {given.outputs}", "pass the function it was"
            )
        return given
    return CallableTarget(given, outputs or 1, name or getattr(given, "__name__", "callable"))


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
    return ChartTarget(tuple(ExpressionMap(c.inverse.variables, f) for c, f in zip(parametrising, read, strict=True)))


def _listed_targets(fields: Fields, value: Any, atlas: Atlas | None) -> Target | None:
    """F_i for the charts of a builtin manifold, in their order, in the intrinsic names u1, u2, …."""
    if atlas is None:
        return None
    entries = fields.sequence(value, "target: charts", len(atlas.parametrising), "targets", "chart")
    if entries is None:
        return None
    functions = []
    for k, (entry, chart) in enumerate(zip(entries, atlas.parametrising, strict=True)):
        u = {str(symbol): symbol for symbol in chart.inverse.variables}
        read = fields.components(entry, f"target: charts[{k}]", u)
        if read is not None:
            functions.append(ExpressionMap(chart.inverse.variables, read))
    if len(functions) < len(entries):
        return None
    if len({f.outputs for f in functions}) > 1:
        fields.error("target: charts", "the targets have different numbers of components", "give all the same number")
        return None
    return ChartTarget(tuple(functions))
