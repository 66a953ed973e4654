"""What all nodes of a spec have: names, and manifolds that several of them may share."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from ...expressions.box import Box
from ...expressions.scope import NAME
from ..arguments import MAX_DIMENSION
from ..atlas import Atlas
from ..graph.nodes import Input
from .arrays import Arrays
from .charts import read_domain
from .fields import Fields, Instance, label_of
from .manifold import plain_of, read_manifold
from .unroll import EXPRESSIONS

Table = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Draft:
    """A table and its names; `reads` with the names of nodes replaced by those of their components."""

    kind: str
    label: str
    table: Table
    name: str | None
    reads: tuple[str, ...]
    components: tuple[str, ...]


class Reader:
    """Reads the nodes of one spec. What several nodes need stands here: findings, arrays, manifolds already built."""

    def __init__(self, fields: Fields, arrays: Arrays) -> None:
        self.fields = fields
        self.arrays = arrays
        self.built: dict[str, Atlas] = {}
        self.inputs: dict[tuple[str, ...], Input] = {}
        self.boxes: dict[str, tuple[float, float]] = {}
        self.subtasks = 0
        self.nameless: set[str] = set()
        """Inputs that could not be read, so that the names of their coordinates are unknown."""
        self.sound: set[str] = set()
        """Components that some node is known to offer."""

    def is_lost(self, name: str) -> bool:
        """Whether a name that is read may be one of an input that could not be read: it is not held against the reader."""
        return any(name == source or name.startswith(f"{source}_") for source in self.nameless)


def named(fields: Fields, table: Table, label: str) -> str | None:
    if "name" not in table:
        fields.error(label, "the key 'name' is missing", "every node has a name of its own")
        return None
    fields.shadows([table["name"]], f"{label}: name")
    return fields.text(table["name"], f"{label}: name")


def names_of(fields: Fields, value: Any, where: str) -> tuple[str, ...] | None:
    """A list of names; one name may stand alone."""
    entries = fields.sequence([value] if isinstance(value, str) else value, where, None, "names")
    if entries is None or fields.shadows(entries, where):
        return None
    read = [fields.text(entry, f"{where}[{k}]") for k, entry in enumerate(entries)]
    return None if None in read else tuple(entry for entry in read if entry is not None)


def read_box(fields: Fields, value: Any, where: str, dimension: int | None = None) -> Box | None:
    """[[lower, upper], …]; one pair may stand alone."""
    if isinstance(value, list) and len(value) == 2 and not any(isinstance(end, list) for end in value):
        value = [value]
    if isinstance(value, list) and not 1 <= len(value) <= MAX_DIMENSION:
        fields.error(where, f"has {len(value)} axes", f"give from 1 to {MAX_DIMENSION}")
        return None
    return read_domain(fields, value, where, dimension)


def read_atlas(reader: Reader, label: str, name: str | None, table: Table, names: tuple[str, ...] | None) -> Atlas | None:
    """The atlas of an input or block: of the library, or with charts of its own in the coordinates `names`."""
    inner, given = Fields(reader.fields.kept), table["manifold"]
    if isinstance(given, Mapping) and "builtin" in given:
        given = _in_names_of_node(plain_of(inner, given), names or ())
    own = {key.removeprefix(f"{name}/"): array for key, array in reader.arrays.items() if key.startswith(f"{name}/")}
    charts = None
    if isinstance(given, Mapping) and "builtin" not in given:
        if "ambient" in given:
            inner.error("manifold", "unknown key 'ambient'", "its coordinates are those of the node")
        if names is None:
            inner.error("manifold", "the key 'coordinates' is missing", "name them: the charts are written in these names")
            reader.fields.adopt(inner, label)
            return None
        given = {**given, "ambient": list(names)}
        charts = _charts_alone(inner, table.get("chart"))
    elif "chart" in table and "reads" not in table:
        inner.error("chart", "the manifold is of the library and brings its own charts", "remove [[input.chart]]")
    key = None if own or charts is not None else json.dumps(given, sort_keys=True, default=str)
    if key is not None and key in reader.built:
        atlas: Atlas | None = reader.built[key]
    else:
        atlas = read_manifold(inner, given, charts, own).atlas
        if atlas is not None and not inner.findings and key is not None:
            reader.built[key] = atlas
    reader.fields.adopt(inner, label)
    return None if inner.findings else atlas


def _in_names_of_node(given: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """A library manifold whose texts are in the coordinates of its node, as a table that calls its coordinates so."""
    texts = [given.get(key) for key in EXPRESSIONS]
    words = NAME.findall(" ".join(str(part) for text in texts for part in (text if isinstance(text, list) else [text])))
    return given if "coordinates" in given or not {*words} & {*names} else {**given, "coordinates": list(names)}


def _charts_alone(fields: Fields, tables: Any) -> Any:
    """The `[[chart]]` tables without the `expression` that a block adds to them."""
    if not isinstance(tables, list):
        return tables
    for number, table in enumerate(tables):
        if isinstance(table, Mapping) and "target" in table:
            remedy = "a chart of a block has an expression, one of an input has none"
            fields.error(label_of("chart", number, table), "unknown key 'target'", remedy)
    left_out = ("expression", "target")

    def rest(table: Any) -> Any:
        kept = {key: value for key, value in table.items() if key not in left_out}
        return Instance(kept, table.origin) if isinstance(table, Instance) else kept

    return [rest(table) if isinstance(table, Mapping) else table for table in tables]
