"""From a task graph back to the tables of a spec."""

from __future__ import annotations

import dataclasses
from typing import Any

from numpy.typing import NDArray

from ...errors import InvalidArgument
from ...expressions.box import Box
from ..atlas import Atlas
from ..chart import Chart
from ..graph.graph import TaskGraph
from ..graph.nodes import Block, Combine, Input
from ..graph.tiling import CLOSED, BoxPiece, Tiling
from ..graph.wiring import Wire
from ..renaming import renamed
from .several import target_tables
from .write import atlas_tables, texts_of

Tables = dict[str, Any]
Arrays = dict[str, NDArray]


def graph_to_spec(graph: TaskGraph) -> tuple[Tables, Arrays]:
    """The tables and arrays from which the same graph can be read. Arrays are called NODE/ARRAY.

    Raises `InvalidArgument` like `task_to_spec`.
    """
    spec: Tables = {"task": {"name": graph.name, "kind": "graph", "output": graph.output}}
    arrays: Arrays = {}
    for node in graph.nodes:
        match node:
            case Input():
                spec.setdefault("input", []).append(_input(node, arrays))
            case Block():
                spec.setdefault("block", []).append(_block(node, arrays))
            case Combine():
                spec.setdefault("combine", []).append(_combine(node))
    if graph.wanted:
        spec["target"] = target_tables([{}] * len(graph.wanted), graph.wanted, graph[graph.output].components)
    return spec, arrays


def _input(node: Input, arrays: Arrays) -> Tables:
    table: Tables = {"name": node.name, "coordinates": list(node.coordinates)}
    match node.manifold:
        case Box() as box:
            given: Tables = {"domain": _pairs(box)}
            return table | given | ({"values": [list(axis) for axis in node.values]} if node.values else {})
        case atlas:
            return table | _manifold(node.name, under(atlas, node.coordinates), arrays)


def _manifold(name: str, atlas: Atlas, arrays: Arrays) -> Tables:
    """The keys `manifold` and, unless the library brings them, `chart`."""
    table, charts, own = atlas_tables(atlas)
    arrays |= {f"{name}/{key}": array for key, array in own.items()}
    table.pop("ambient", None)
    return {"manifold": table} if charts is None else {"manifold": table, "chart": charts}


def _block(block: Block, arrays: Arrays) -> Tables:
    table: Tables = {"name": block.name, "reads": list(block.reads), "outputs": list(block.outputs), **block.options}
    label = Wire("block", block.name, (), ()).label
    match block.domain:
        case Tiling(pieces):
            return table | {"piece": [_piece(block, i, piece, label) for i, piece in enumerate(pieces)]}
        case atlas:
            table |= _manifold(block.name, under(atlas, block.reads), arrays)
    if block.uniform:
        return table | {"expression": texts_of(block.subtasks[0], block.reads, f"{label}: expression")}
    if "chart" not in table:
        table["chart"] = [{"name": name} for name in block.names]
    # Charts that are written out all get the intrinsic names of the first.
    first = block.domain.parametrising[0].inverse.names
    for i, chart_table in enumerate(table["chart"]):
        chart = atlas.charts[i]
        intrinsic = chart.inverse.names if isinstance(chart, Chart) and "domain" not in chart_table else first
        names = intrinsic if block.is_intrinsic(i) else block.reads
        if block.is_intrinsic(i) and set(names) & set(block.reads):
            raise InvalidArgument(f"{label}: the names {names} are both intrinsic and read, so a spec cannot tell them apart; rename them")
        chart_table["expression"] = texts_of(block.subtasks[i], names, f'{label}: chart "{block.names[i]}"')
    return table


def _piece(block: Block, i: int, piece: BoxPiece, label: str) -> Tables:
    words = {faces: word for word, faces in CLOSED.items()}
    return {
        "name": piece.name,
        "domain": _pairs(piece.box),
        "closed": [words[faces] for faces in piece.closed],
        "expression": texts_of(block.subtasks[i], block.reads, f'{label}: piece "{piece.name}"'),
    }


def _combine(node: Combine) -> Tables:
    texts = texts_of(node.function, node.reads, f'combine "{node.name}": expression')
    return {"name": node.name, "reads": list(node.reads), "outputs": list(node.outputs), **node.options, "expression": texts}


def _pairs(box: Box) -> list[list[float]]:
    return [[low, high] for low, high in zip(box.lower, box.upper, strict=True)]


def under(atlas: Atlas, names: tuple[str, ...]) -> Atlas:
    """The atlas with its ambient coordinates called `names`; as it is if a library manifold makes it, whose names stay.

    The parametrising charts alone: those of a ball atlas are its boxes.
    """
    if atlas.coordinates == names or (atlas.recipe is not None and atlas_tables(atlas)[1] is None):
        return atlas
    return dataclasses.replace(renamed(atlas, names), recipe=None)
