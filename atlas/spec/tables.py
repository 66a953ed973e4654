"""The `[[table]]` tables of a spec: functions given by values on a grid, which expressions call by name; and the way back.

A table is read from an .npz file beside the spec, and its interpolant is what is kept: breaks and coefficients, as arrays beside the
spec in a model folder, with everything else that makes the task. The file is not looked at again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import AtlasMoEError, InvalidArgument
from ...expressions.fields import Field, callables, fields_in
from ...expressions.maps import ExpressionMap
from ...expressions.parse import wrong_name
from ...expressions.tree import Node
from ...intervals.harmonics import Harmonics
from ...intervals.splines import INTERPOLATIONS, Axis, Spline, interpolant
from .fields import Fields, shown
from .harmonics import read_series, series_table
from .npz import beside, read_npz

PREFIX = "table/"
"""What arrays of tables are called by: table/NAME/axis1, …, table/NAME/coefficients."""
GRID_KEYS = ("axes", "values", "interpolation", "periodic")
TABLE_KEYS = ("name", "file", "harmonics", *GRID_KEYS)
MAX_TABLES = 64
MAX_INPUTS = 6

Arrays = Mapping[str, NDArray]


def split(arrays: Arrays) -> tuple[Arrays, Arrays]:
    """The arrays of tables, and the others."""
    own = {name: array for name, array in arrays.items() if name.startswith(PREFIX)}
    return own, {name: array for name, array in arrays.items() if name not in own}


def read_tables(fields: Fields, given: Any, arrays: Arrays, folder: Path | None) -> None:
    """Makes what `[[table]]` tables describe known to every expression that `fields` reads from now on."""
    if not isinstance(given, list) or len(given) > MAX_TABLES:
        problem = f"there are {len(given)} tables" if isinstance(given, list) else f"expected a list of tables, got {shown(given)}"
        fields.error("table", problem, f"begin each with [[table]], in double brackets; at most {MAX_TABLES}")
        return
    used: set[str] = set()
    for number, one in enumerate(given):
        label = f'table "{one["name"]}"' if isinstance(one, Mapping) and isinstance(one.get("name"), str) else f"table {number + 1}"
        table = fields.table(one, label, TABLE_KEYS)
        if (name := table.get("name")) is None or (why := wrong_name(name)):
            problem = "the key 'name' is missing" if name is None else f"{shown(name)} {why}"
            fields.error(label, problem, 'name it as expressions call it: name = "T"')
            continue
        own = {key.removeprefix(f"{PREFIX}{name}/"): array for key, array in arrays.items() if key.startswith(f"{PREFIX}{name}/")}
        if "harmonics" in table:
            used |= set() if "file" in table else {f"{PREFIX}{name}/{key}" for key in own}
            _known(fields, read_series(fields, table, label, name, own, folder), label, name)
            continue
        if "file" in table:
            axes = _names(fields, table.get("axes"), f"{label}: axes")
            found = None if axes is None else read_file(fields, table, table["file"], label, name, axes, folder)
            _known(fields, found, label, name)
            continue
        used |= {f"{PREFIX}{name}/{key}" for key in own}
        if not own:
            fields.error(label, "the key 'file' is missing", 'name the .npz file beside the spec: file = "field.npz"')
        _known(fields, _stored(fields, table, label, name, own) if own else None, label, name)
    for name in sorted(arrays.keys() - used):
        fields.error("arrays", f"unknown array {shown(name)}", "save the task again")


def _known(fields: Fields, field: Field | None, label: str, name: str) -> None:
    """Makes a field known to expressions, or known to be missing."""
    if field is None:
        fields.lost.add(name)
        return
    if twice := sorted(callables(field).keys() & fields.functions.keys()):
        fields.error(label, f"another table has the name {twice[0]!r}", "give every table its own name")
        return
    fields.functions |= callables(field)


def read_file(
    fields: Fields, table: Mapping[str, Any], file: Any, label: str, name: str, axes: Sequence[str], folder: Path | None
) -> Spline | None:
    """The interpolant of a grid in an .npz file, whose arrays `axes` are the grid's; of the values `values` names the array, or arrays."""
    kept = len(fields.findings)
    degree = _degree(fields, table, label, required=True)
    periodic = _periodic(fields, table.get("periodic", []), f"{label}: periodic", axes)
    values = _names(fields, table.get("values", "values"), f"{label}: values")
    path = fields.text(file, f"{label}: file", 1000)
    if len(axes) > MAX_INPUTS:
        fields.error(f"{label}: axes", f"has {len(axes)} axes", f"at most {MAX_INPUTS} are taken")
    if folder is None and path is not None:
        fields.error(f"{label}: file", "is read beside a spec file only", "load the spec from its file")
    if len(fields.findings) > kept or degree is None or periodic is None or values is None or path is None or folder is None:
        return None
    try:
        arrays = read_npz(beside(folder, path), (*axes, *values))
        grid = [arrays[axis] for axis in axes]
        given = arrays[values[0]] if len(values) == 1 else _stacked(arrays, values, path)
        return interpolant(name, grid, given, degree, periodic, axes)
    except AtlasMoEError as error:
        problem, _, remedy = str(error).removeprefix(f"table {name!r}: ").rpartition("; ")
        fields.error(label, problem, remedy)
        return None


def _stacked(arrays: Arrays, names: Sequence[str], path: str) -> NDArray:
    if len({arrays[name].shape for name in names}) > 1:
        raise InvalidArgument(f"{path}: the arrays {', '.join(names)} have different shapes; give them the same")
    return np.stack([arrays[name] for name in names], axis=-1)


def _names(fields: Fields, value: Any, where: str) -> tuple[str, ...] | None:
    """Names of arrays; one may stand alone."""
    if value is None:
        fields.error(where, "the names are missing", 'name the arrays of the file, in the order of the arguments: ["lon", "lat"]')
        return None
    entries = fields.sequence([value] if isinstance(value, str) else value, where, None, "names")
    if entries is None:
        return None
    if not entries:
        fields.error(where, "is an empty list", "name at least one array")
        return None
    read = [fields.text(entry, f"{where}[{k}]") for k, entry in enumerate(entries)]
    return None if None in read else tuple(entry for entry in read if entry is not None)


def _degree(fields: Fields, table: Mapping[str, Any], label: str, required: bool) -> int | None:
    word = table.get("interpolation")
    if word is None or not isinstance(word, str) or word not in INTERPOLATIONS:
        problem = "the key 'interpolation' is missing" if word is None else f"unknown interpolation {shown(word)}"
        fields.error(f"{label}: interpolation", problem, 'write "bilinear", with kinks at the grid lines, or "bicubic", without')
        return None
    return INTERPOLATIONS[word]


def _periodic(fields: Fields, value: Any, where: str, axes: Sequence[str]) -> tuple[bool, ...] | None:
    """Names of the axes that are periodic."""
    entries = fields.sequence(value, where, None, "names of axes")
    if entries is None:
        return None
    for entry in entries:
        if entry not in axes:
            fields.error(where, f"{shown(entry)} is no axis of the table", f"the axes are {', '.join(axes)}")
            return None
    return tuple(axis in entries for axis in axes)


def _stored(fields: Fields, table: Mapping[str, Any], label: str, name: str, arrays: Arrays) -> Spline | None:
    """The interpolant as it was saved."""
    degree = _degree(fields, table, label, required=True)
    axes = tuple(f"axis{k + 1}" for k in range(len(arrays) - 1))
    periodic = _periodic(fields, table.get("periodic", []), f"{label}: periodic", axes)
    if degree is None or periodic is None:
        return None
    if set(arrays) != {*axes, "coefficients"} or not all(np.asarray(a).dtype == np.float64 for a in arrays.values()):
        fields.error(label, "its arrays are not axes and coefficients in float64", "save the task again")
        return None
    try:
        return Spline(name, tuple(Axis(arrays[a], degree, p) for a, p in zip(axes, periodic, strict=True)), arrays["coefficients"])
    except (AtlasMoEError, ValueError, IndexError) as error:
        fields.error(label, str(error).partition(";")[0], "save the task again")
        return None


def field_tables(trees: Iterable[Node]) -> tuple[list[dict[str, Any]], dict[str, NDArray]]:
    """The `[[table]]` tables and the arrays of all that trees call. Raises `InvalidArgument` where two go by one name."""
    tables: list[dict[str, Any]] = []
    arrays: dict[str, NDArray] = {}
    for field in fields_in(trees):
        if any(table["name"] == field.name for table in tables):
            raise InvalidArgument(f"two tables are called {field.name!r}, so a spec cannot tell them apart; give them names of their own")
        table, own = _written(field)
        tables.append(table)
        arrays |= {f"{PREFIX}{field.name}/{name}": array for name, array in own.items()}
    return tables, arrays


def _written(field: Field) -> tuple[dict[str, Any], dict[str, NDArray]]:
    """The table of a field, and its arrays."""
    if isinstance(field, Harmonics):
        return series_table(field)
    if not isinstance(field, Spline):
        raise InvalidArgument(f"{field.name!r} is a {type(field).__name__}, which a spec cannot hold")
    word = next(word for word, degree in INTERPOLATIONS.items() if degree == field.degree)
    names = [f"axis{k + 1}" for k in range(field.inputs)]
    periodic = [name for name, axis in zip(names, field.axes, strict=True) if axis.periodic]
    own = {name: axis.breaks for name, axis in zip(names, field.axes, strict=True)}
    return {"name": field.name, "interpolation": word, "periodic": periodic}, {**own, "coefficients": field.coefficients}


def called(function: ExpressionMap | None) -> tuple[Node, ...]:
    """The trees of a map that calls fields; () of one that does not, whose trees need not be made."""
    if function is None or (function.written is None and not function.fields):
        return ()
    return function.trees
