"""A table as `[target]`: f on a grid of the coordinates of M, or of those of its charts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...expressions.fields import Field
from ..atlas import Atlas
from ..fields import field_map
from ..task import ChartTarget, ExpressionTarget
from .charts import Written
from .fields import Fields, shown
from .tables import read_file

COORDINATES = ("ambient", "chart")
NAME = "table"
"""What the table is called in expressions."""


def field_target(field: Field, atlas: Atlas, coordinates: str) -> ExpressionTarget | ChartTarget:
    """f of the ambient coordinates of an atlas, or on every chart of its own."""
    if coordinates == "ambient":
        return ExpressionTarget(field_map(field, atlas.coordinates))
    return ChartTarget(tuple(field_map(field, chart.inverse.names) for chart in atlas.parametrising))


def table_target(fields: Fields, table: Mapping[str, Any], written: Written, folder: Path | None) -> ExpressionTarget | ChartTarget | None:
    """f from the keys of `[target]`. Its axes are, unless `axes` names others, arrays that are called like the coordinates."""
    which = table.get("coordinates")
    if which not in COORDINATES:
        problem = "the key 'coordinates' is missing" if which is None else f"unknown coordinates {shown(which)}"
        remedy = 'write "ambient" for a grid of the coordinates of M, "chart" for one of the coordinates of its charts'
        fields.error("target: coordinates", problem, remedy)
        return None
    atlas = written.atlas
    if atlas is None:
        return None
    names = atlas.coordinates if which == "ambient" else atlas.parametrising[0].inverse.names
    axes = table.get("axes", list(names))
    entries = fields.sequence(axes, "target: axes", len(names), "names of arrays")
    if entries is None:
        return None
    name = NAME
    taken = {*atlas.coordinates, *(name for chart in atlas.parametrising for name in chart.inverse.names), *fields.functions}
    while any(one == name or one.startswith(f"{name}_") for one in taken):
        name = f"{name}0"
    read = [fields.text(entry, f"target: axes[{k}]") for k, entry in enumerate(entries)]
    if None in read:
        return None
    field = read_file(fields, table, table["table"], "target", name, [entry for entry in read if entry is not None], folder)
    return None if field is None else field_target(field, atlas, str(which))
