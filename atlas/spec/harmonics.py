"""Series of spherical harmonics in specs: as a `[[table]]` with `harmonics`, as `[target] harmonics = "file"`, and the way back.

A file of Gauss coefficients makes `field`, the components of −∇V and of its rate a year, or `potential`, V/a and its rate; positions are
in units of the reference radius a. What is kept is the sum itself, as an array of coefficients beside the spec in a model folder, called
`decaying` there, or `solid` for sums of solid harmonics that do not decay, which Python makes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import AtlasMoEError, InvalidArgument
from ...expressions.fields import callables
from ...expressions.maps import ExpressionMap
from ...expressions.parse import coordinates, read_expression
from ...intervals.harmonics import Harmonics, potential, read_coefficients, vector_field
from ..task import ExpressionTarget
from .charts import Written
from .fields import Fields, shown
from .npz import beside

MADE = {"field": vector_field, "potential": potential}
STORED = {"solid": False, "decaying": True}
MAX_BYTES = 16 << 20
NAME = "harmonics"
"""What a series that is f is called in expressions."""


def read_series(
    fields: Fields, table: Mapping[str, Any], label: str, name: str, arrays: Mapping[str, NDArray], folder: Path | None
) -> Harmonics | None:
    """The series of a `[[table]]` with `harmonics`, from its file or from its arrays."""
    if other := [key for key in table if key not in ("name", "file", "harmonics")]:
        fields.error(f"{label}: {other[0]}", "is for a grid of values only", "remove it")
        return None
    words = MADE if "file" in table else STORED
    word = table["harmonics"]
    if not isinstance(word, str) or word not in words:
        remedy = f"write one of {', '.join(map(shown, MADE))}, with a file of coefficients"
        fields.error(f"{label}: harmonics", f"unknown series {shown(word)}", remedy)
        return None
    if "file" in table:
        found = _from_file(fields, table["file"], label, name, word, folder)
        return None if found is None else found[0]
    given = arrays.get("coefficients")
    if set(arrays) != {"coefficients"} or given is None or np.asarray(given).dtype != np.float64:
        fields.error(label, "the key 'file' is missing", 'name the file of coefficients beside the spec: file = "WMM.COF"')
        return None
    try:
        return Harmonics(name, given, STORED[word])
    except (AtlasMoEError, ValueError) as error:
        fields.error(label, str(error).partition(";")[0], "save the task again")
        return None


def _from_file(fields: Fields, file: Any, label: str, name: str, word: str, folder: Path | None) -> tuple[Harmonics, float | None] | None:
    """The series, and its epoch."""
    path = fields.text(file, f"{label}: file", 1000)
    if path is None:
        return None
    if folder is None:
        fields.error(f"{label}: file", "is read beside a spec file only", "load the spec from its file")
        return None
    try:
        given = read_coefficients(_text(beside(folder, path)), path)
        return MADE[word](name, given), given.epoch
    except AtlasMoEError as error:
        problem, _, remedy = str(error).removeprefix(f"harmonics {name!r}: ").rpartition("; ")
        fields.error(label, problem, remedy)
        return None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise InvalidArgument(f"{path.name} is larger than {MAX_BYTES} bytes; is it a file of coefficients?")
        return data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(
            f"{path.name} cannot be read as text: {getattr(error, 'strerror', None) or error}; give a file of coefficients"
        ) from None


def series_table(field: Harmonics) -> tuple[dict[str, Any], dict[str, NDArray]]:
    """The `[[table]]` of a series, and its arrays."""
    return {"name": field.name, "harmonics": "decaying" if field.decaying else "solid"}, {"coefficients": field.coefficients}


def series_target(fields: Fields, file: Any, written: Written, folder: Path | None) -> ExpressionTarget | None:
    """f = −∇V at a position, three coordinates, or at a position and a date in years, four."""
    atlas = written.atlas
    if atlas is None:
        return None
    names = atlas.coordinates
    name = NAME
    while any(one == name or one.startswith(f"{name}_") for one in (*names, *fields.functions)):
        name = f"{name}0"
    made = _from_file(fields, file, "target: harmonics", name, "field", folder)
    if made is None:
        return None
    series, epoch = made
    if len(names) not in (3, 4):
        problem = f"there are {len(names)} coordinates, {', '.join(names)}; a series has three, of a position, and perhaps a date"
        fields.error("target: harmonics", problem, "call it in an expression: [[table]] with harmonics, and [target] expression")
        return None
    if len(names) == 4 and epoch is None:
        fields.error("target: harmonics", "the file has no epoch, so that a date says nothing", "write the epoch in its first line")
        return None
    return ExpressionTarget(series_map(series, names, epoch))


def series_map(series: Harmonics, names: tuple[str, ...], epoch: float | None) -> ExpressionMap:
    """The field of `vector_field` at a position (x, y, z), or (x, y, z, t) with t the date in years."""
    symbols, place = coordinates(names), ", ".join(names[:3])
    calls = [f"{call}({place})" for call in callables(series)]
    texts = (
        calls[:3]
        if len(names) == 3
        else [f"{main} + ({names[3]} - {epoch!r})*{rate}" for main, rate in zip(calls[:3], calls[3:], strict=True)]
    )
    return ExpressionMap.of(symbols.values(), [read_expression(text, {**symbols, **callables(series)}, "target") for text in texts])
