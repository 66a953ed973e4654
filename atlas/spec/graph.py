"""The tables `[[input]]`, `[[block]]` and `[[combine]]` of a spec of kind "graph"."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import LintError
from ...expressions.box import Box
from ...expressions.maps import ExpressionMap
from ...expressions.parse import coordinates
from ...expressions.tree import free_names
from ..atlas import Atlas
from ..graph.graph import TaskGraph
from ..graph.nodes import Combine, Input, Node, component_names
from ..graph.structure import shapes
from ..graph.wiring import MAX_GRAPH_NODES, Wire, check_wiring
from ..options import COMBINE_OPTIONS
from .arrays import Arrays
from .blocks import BLOCK_KEYS, look_at_manifold, read_block
from .fields import Fields, label_of, shown
from .parts import Draft, Reader, Table, named, names_of, read_atlas, read_box
from .periodic import periodic_input, told_of_axes
from .values import read_values

GRAPH_TABLES = ("task", "input", "block", "combine")
INPUT_KEYS = ("name", "coordinates", "domain", "values", "manifold", "chart", "box", "periodic", "charts")
COMBINE_KEYS = ("name", "reads", "outputs", "expression", *COMBINE_OPTIONS)


def read_graph(fields: Fields, tables: Table, name: str | None, output: str | None, arrays: Arrays) -> TaskGraph | None:
    """The task graph that the tables describe; None, with all findings, if it is none."""
    listed = {kind: _tables(fields, tables, kind) for kind in ("input", "block", "combine")}
    if sum(map(len, listed.values())) > MAX_GRAPH_NODES:
        fields.error("graph", f"has {sum(map(len, listed.values()))} nodes", f"a graph has at most {MAX_GRAPH_NODES}")
        return None
    reader = Reader(fields, arrays)
    nodes: list[Node | None] = []
    drafts: list[Draft] = []
    for number, table in enumerate(listed["input"]):
        draft, group = _input(reader, number, table)
        drafts.append(draft)
        nodes.append(group)
    later = [_draft(fields, kind, i, table) for kind in ("block", "combine") for i, table in enumerate(listed[kind])]
    offered = {draft.name: draft.components for draft in (*drafts, *later) if draft.name is not None}
    known = [component for components in offered.values() for component in components]
    reader.sound |= {component for draft in later for component in draft.components}
    complete = not reader.nameless
    for draft in later:
        if any(map(reader.is_lost, draft.reads)):
            drafts.append(dataclasses.replace(draft, reads=tuple(name for name in draft.reads if not reader.is_lost(name))))
            if draft.kind == "block":
                look_at_manifold(reader, draft)
            continue
        expanded = tuple(part for read in draft.reads for part in (offered.get(read, (read,)) if read not in known else (read,)))
        draft = dataclasses.replace(draft, reads=expanded)
        if draft.kind == "block":
            nodes.append(read_block(reader, draft))
        else:
            draft, combine = _combine(reader, draft, known)
            nodes.append(combine)
            complete = complete and ("reads" in draft.table or combine is not None)
        drafts.append(draft)
    _check_arrays(reader, drafts)
    wires = [Wire(draft.kind, draft.name, draft.reads, draft.components) for draft in drafts if draft.name is not None]
    fields.findings += check_wiring(wires, output, complete=complete)
    fields.findings += [finding for node in nodes if node is not None for finding in shapes(node)]
    if fields.findings or name is None or output is None:
        fields.findings[:] = told_of_axes(fields.findings, listed["input"])
        return None
    try:
        return TaskGraph(name, tuple(node for node in nodes if node is not None), output)
    except LintError as error:
        fields.findings.extend(error.findings)
        return None


def _tables(fields: Fields, tables: Table, kind: str) -> Sequence[Any]:
    value = tables.get(kind, [])
    if isinstance(value, list):
        return value
    fields.error(kind, f"expected a list of tables, got {shown(value)}", f"begin each with [[{kind}]], in double brackets")
    return []


def _draft(fields: Fields, kind: str, number: int, value: Any) -> Draft:
    """The names of a block or combination, and how many components it has, by what the table says of it."""
    label = label_of(kind, number, value)
    table = fields.table(value, label, BLOCK_KEYS if kind == "block" else COMBINE_KEYS)
    name = named(fields, table, label)
    reads = names_of(fields, table["reads"], f"{label}: reads") if "reads" in table else None
    if "reads" not in table and kind == "block":
        fields.error(label, "the key 'reads' is missing", 'name what it reads: reads = ["x", ...]')
    outputs = names_of(fields, table["outputs"], f"{label}: outputs") if "outputs" in table else None
    if outputs is None:
        expression = table.get("expression")
        parts = table.get("piece", table.get("chart"))
        if expression is None and isinstance(parts, list) and parts and isinstance(parts[0], Mapping):
            expression = parts[0].get("expression")
        outputs = component_names(name or "", max(1, len(expression)) if isinstance(expression, list) else 1)
    return Draft(kind, label, table, name, reads or (), outputs)


def _input(reader: Reader, number: int, value: Any) -> tuple[Draft, Input | None]:
    fields, label = reader.fields, label_of("input", number, value)
    table = fields.table(value, label, INPUT_KEYS)
    name = named(fields, table, label)
    if "box" in table:
        wrapped = periodic_input(fields, table, label)
        if wrapped is None:
            reader.nameless |= {name} if name is not None else set()
            return Draft("input", label, table, name, (), (name or "",)), None
        table = wrapped
    elif loose := [key for key in ("periodic", "charts") if key in table]:
        fields.error(f"{label}: {loose[0]}", "is for a box only", 'write box = { theta = [0, "2*pi"] } in the place of the domain')
    coordinates = names_of(fields, table["coordinates"], f"{label}: coordinates") if "coordinates" in table else None
    manifold: Box | Atlas | None = None
    values = None if "values" not in table else read_values(fields, table["values"], f"{label}: values", coordinates)
    if "values" in table and "manifold" in table:
        fields.error(f"{label}: values", "are given for a manifold of charts", "leave values out, or give a box as the domain")
        values = None
    if ("domain" in table) == ("manifold" in table) and "values" not in table:
        problem = "has a domain and a manifold" if "domain" in table else "has neither a domain nor a manifold"
        fields.error(label, problem, "give one: domain = [[lower, upper], …] for a box, values = […], or manifold = { builtin = … }")
    elif "values" in table and "domain" not in table:
        if values is not None:
            manifold = Box(tuple(axis[0] for axis in values), tuple(axis[-1] for axis in values))
    elif "domain" in table:
        if "chart" in table:
            fields.error(label, "a box has no charts", "remove [[input.chart]], or give a manifold instead of a domain")
        manifold = read_box(fields, table["domain"], f"{label}: domain")
    else:
        manifold = read_atlas(reader, label, name, table, coordinates)
    if coordinates is None and manifold is None and name is not None:
        reader.nameless.add(name)
    elif manifold is not None:
        reader.sound |= set(coordinates or Input(name or "", manifold).coordinates)
    if coordinates is None:
        coordinates = (name or "",) if manifold is None else Input(name or "", manifold).coordinates
    draft = Draft("input", label, table, name, (), coordinates)
    if manifold is None or name is None:
        return draft, None
    if "values" in table and values is None:
        return draft, None
    if values is not None and len(values) == 1:
        values = values * len(coordinates)
    node = Input(name, manifold, coordinates, values or ())
    if node.box is not None:
        reader.boxes |= zip(coordinates, zip(node.box.lower, node.box.upper, strict=True), strict=False)
    reader.inputs[coordinates] = node
    return draft, node


def _combine(reader: Reader, draft: Draft, known: Sequence[str]) -> tuple[Draft, Combine | None]:
    """A combination; without `reads` it reads the components that occur in its expression."""
    fields, label, table = reader.fields, draft.label, draft.table
    if "expression" not in table:
        fields.error(label, "the key 'expression' is missing", "write f_out in the names it reads")
        return draft, None
    lost = [name for name in re.findall(r"[A-Za-z_]\w*", str(table["expression"])) if reader.is_lost(name)]
    symbols = coordinates(draft.reads if "reads" in table else [*known, *lost])
    read = fields.components(table["expression"], f"{label}: expression", symbols)
    if read is None:
        return draft, None
    if "reads" not in table:
        used = free_names(*(component.tree for component in read))
        symbols = {name: symbol for name, symbol in symbols.items() if name in used}
        draft = dataclasses.replace(draft, reads=tuple(symbols))
    if draft.name is None or lost:
        return dataclasses.replace(draft, reads=tuple(name for name in draft.reads if name not in lost)), None
    options = fields.options(table, label, COMBINE_OPTIONS)
    return draft, Combine(draft.name, draft.reads, ExpressionMap.of(symbols.values(), read), draft.components, options)


def _check_arrays(reader: Reader, drafts: Sequence[Draft]) -> None:
    """Every array belongs to a node."""
    names = {draft.name for draft in drafts}
    for array in reader.arrays:
        if array.rpartition("/")[0] not in names:
            reader.fields.error("arrays", f"unknown array {shown(array)}", "arrays are called NODE/ARRAY")
