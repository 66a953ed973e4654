"""The `[[block]]` tables of a spec, with their `[[block.piece]]` or `[[block.chart]]` tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...expressions.box import Box
from ...expressions.maps import ExpressionMap
from ...expressions.parse import coordinates
from ...expressions.tree import free_names
from ..arguments import MAX_CHARTS
from ..atlas import Atlas
from ..chart import Chart
from ..graph.nodes import Block, before_embedding
from ..graph.structure import MAX_SUBTASKS
from ..graph.tiling import CLOSED, BoxPiece, Faces, Tiling
from ..options import OPTIONS, OptionValue
from .charts import CHART_KEYS
from .fields import Fields, Symbols, label_of, shown
from .parts import Draft, Reader, Table, read_atlas, read_box

BLOCK_KEYS = ("name", "reads", "outputs", "expression", "piece", "manifold", "chart", *OPTIONS)
MIXED = "write it in one kind of coordinates"
PIECE_KEYS = ("name", "domain", "closed", "expression")


def read_block(reader: Reader, draft: Draft) -> Block | None:
    """A block; None, with findings, if something is wrong with it."""
    fields, label, table = reader.fields, draft.label, draft.table
    before = len(fields.findings)
    if not draft.reads or draft.name is None:
        return None
    options = fields.options(table, label)
    symbols = coordinates(draft.reads)
    if "piece" in table:
        for key in ("manifold", "chart", "expression"):
            if key in table:
                fields.error(label, f"has pieces and the key {key!r}", "give pieces, each with an expression, or charts")
        return _pieces(reader, draft, symbols, options)
    domain = read_atlas(reader, label, draft.name, table, draft.reads) if "manifold" in table else _inherited(reader, draft)
    if domain is None:
        if "expression" in table:
            fields.components(table["expression"], f"{label}: expression", symbols)
        return None
    reader.subtasks += len(domain)
    if reader.subtasks > MAX_SUBTASKS:
        fields.error(label, f"is the block with which there are {reader.subtasks} subtasks", f"a graph has at most {MAX_SUBTASKS}")
        return None
    subtasks = _subtasks(fields, draft, domain, symbols)
    if subtasks is None or len(fields.findings) > before:
        return None
    return Block(draft.name, draft.reads, domain, subtasks, draft.components, options=options)


def look_at_manifold(reader: Reader, draft: Draft) -> None:
    """What is wrong with the library manifold of a block of which no more can be read."""
    given = draft.table.get("manifold")
    if isinstance(given, Mapping) and "builtin" in given:
        read_atlas(reader, draft.label, draft.name, draft.table, None)


def _inherited(reader: Reader, draft: Draft) -> Atlas | Tiling | None:
    """Without a manifold or pieces of its own a block lives on that of its input, or on the whole box it reads."""
    source = reader.inputs.get(draft.reads)
    if source is not None and source.atlas is not None:
        return before_embedding(source.atlas)
    if all(name in reader.boxes for name in draft.reads):
        lower, upper = zip(*(reader.boxes[name] for name in draft.reads), strict=True)
        return Tiling.whole(Box(lower, upper))
    if not set(draft.reads) <= reader.sound:
        return None  # what is wrong with these names is said elsewhere
    reader.fields.error(
        draft.label,
        "has neither pieces nor a manifold, and what it reads is not one whole input",
        "add [[block.piece]] tables, or manifold = { builtin = … }",
    )
    return None


def _subtasks(fields: Fields, draft: Draft, domain: Atlas | Tiling, symbols: Symbols) -> tuple[ExpressionMap, ...] | None:
    """One expression for all of the block, or one in every `[[block.chart]]`."""
    label, table = draft.label, draft.table
    tables = table.get("chart")
    own = isinstance(table.get("manifold"), Mapping) and "builtin" not in table["manifold"]
    if "expression" in table:
        if isinstance(tables, list) and (not own or any(isinstance(t, Mapping) and "expression" in t for t in tables)):
            fields.error(label, "has an expression and charts with one", "give one for all of the block, or one for every chart")
            return None
        own_names = _of_charts(domain, symbols)
        read = fields.components(table["expression"], f"{label}: expression", {**symbols, **own_names})
        if read is None:
            return None
        used = free_names(*(component.tree for component in read))
        if used & set(own_names) and used & set(symbols):
            fields.error(f"{label}: expression", "mixes intrinsic names and names that the block reads", MIXED)
            return None
        variables = own_names if used & set(own_names) else symbols
        return (ExpressionMap.of(variables.values(), read),) * len(domain)
    if tables is None:
        fields.error(label, "the key 'expression' is missing", "add it, or [[block.chart]] tables with one each")
        return None
    if domain.box is not None:
        fields.error(label, "has charts, but no manifold", "write [[block.piece]] for pieces of a box")
        return None
    placed = _placed(fields, label, tables, domain)
    if placed is None:
        return None
    read_all = [_chart_subtask(fields, label, placed[name], domain, i, symbols) for i, name in enumerate(domain.names)]
    return None if None in read_all else tuple(f for f in read_all if f is not None)


def _of_charts(domain: Atlas | Tiling, symbols: Symbols) -> dict[str, str]:
    """The intrinsic names that all charts of one's own share: a function of them is one on each chart, and lint asks that charts agree."""
    if not isinstance(domain, Atlas) or domain.cover or domain.recipe is not None:
        return {}
    names = {chart.inverse.names for chart in domain.parametrising}
    first = domain.parametrising[0].inverse.names
    return {} if len(names) > 1 or set(first) & set(symbols) else coordinates(first)


def _placed(fields: Fields, label: str, tables: Any, atlas: Atlas) -> dict[str, Table] | None:
    """The `[[block.chart]]` table of every chart by name; tables without names are in the order of the charts."""
    if not isinstance(tables, list) or not all(isinstance(table, Mapping) for table in tables):
        fields.error(f"{label}: chart", f"expected a list of tables, got {shown(tables)}", "begin each with [[block.chart]]")
        return None
    placed: dict[str, Table] = {}
    for number, table in enumerate(tables):
        here = f"{label}: {label_of('chart', number, table)}"
        fields.table(table, here, (*CHART_KEYS[:-1], "expression"))
        name = table.get("name", atlas.names[number] if number < len(atlas) else None)
        if not isinstance(name, str) or name not in atlas.names or name in placed:
            problem = "is given twice" if isinstance(name, str) and name in placed else "is no chart of the manifold"
            fields.error(here, problem, f"the charts are {', '.join(atlas.names[:20])}")
        else:
            placed[name] = table
    missing = [name for name in atlas.names if name not in placed]
    if missing and len(placed) == len(tables):
        fields.error(f"{label}: chart", f"there is no expression for {', '.join(map(repr, missing[:20]))}", "give every chart one")
    return None if missing or len(placed) < len(tables) else placed


def _chart_subtask(fields: Fields, label: str, table: Table, atlas: Atlas, i: int, symbols: Symbols) -> ExpressionMap | None:
    """A subtask in the names that the block reads, or in the intrinsic ones of its chart."""
    here = f'{label}: chart "{atlas.names[i]}"'
    if "expression" not in table:
        fields.error(here, "the key 'expression' is missing", "every chart has a subtask")
        return None
    chart = atlas.charts[i]
    intrinsic = {u: u for u in chart.inverse.names if u not in symbols} if isinstance(chart, Chart) else {}
    if isinstance(chart, Chart) and len(intrinsic) < chart.dimension:
        intrinsic = {}
    read = fields.components(table["expression"], f"{here}: expression", {**symbols, **intrinsic})
    if read is None:
        return None
    used = free_names(*(component.tree for component in read))
    if used & set(intrinsic) and used & set(symbols):
        fields.error(f"{here}: expression", "mixes intrinsic names and names that the block reads", MIXED)
        return None
    variables = intrinsic if used & set(intrinsic) else symbols
    return ExpressionMap.of(variables.values(), read)


def _pieces(reader: Reader, draft: Draft, symbols: Symbols, options: Mapping[str, OptionValue]) -> Block | None:
    """The block of `[[block.piece]]` tables."""
    fields, label, tables = reader.fields, draft.label, draft.table["piece"]
    before = len(fields.findings)
    if not isinstance(tables, list):
        fields.error(f"{label}: piece", f"expected a list of tables, got {shown(tables)}", "begin each with [[block.piece]]")
        return None
    reader.subtasks += len(tables)
    if not 1 <= len(tables) <= MAX_CHARTS or reader.subtasks > MAX_SUBTASKS:
        fields.error(
            f"{label}: piece", f"there are {len(tables)} pieces", f"give from 1 to {MAX_CHARTS}, at most {MAX_SUBTASKS} in the graph"
        )
        return None
    pieces, subtasks = [], []
    for number, table in enumerate(tables):
        here = f"{label}: {label_of('piece', number, table)}"
        table = fields.table(table, here, PIECE_KEYS)
        for key in ("domain", "expression"):
            if key not in table:
                fields.error(here, f"the key {key!r} is missing", "every piece has a domain and an expression")
        name = fields.text(table["name"], f"{here}: name") if "name" in table else f"piece{number + 1}"
        box = read_box(fields, table["domain"], f"{here}: domain", len(draft.reads)) if "domain" in table else None
        closed = _closed(fields, table["closed"], f"{here}: closed", len(draft.reads)) if "closed" in table else ()
        read = fields.components(table["expression"], f"{here}: expression", symbols) if "expression" in table else None
        if name is not None and box is not None and closed is not None and read is not None:
            pieces.append(BoxPiece(name, box, closed))
            subtasks.append(ExpressionMap.of(symbols.values(), read))
    if len(fields.findings) > before or draft.name is None or len(subtasks) < len(tables):
        return None
    return Block(draft.name, draft.reads, Tiling(tuple(pieces)), tuple(subtasks), draft.components, options=options)


def _closed(fields: Fields, value: Any, where: str, dimension: int) -> Faces | None:
    """One word for all axes, or a list of one for each."""
    words = fields.sequence([value] * dimension if isinstance(value, str) else value, where, dimension, "words", "axis")
    if words is None:
        return None
    for word in words:
        if not isinstance(word, str) or word not in CLOSED:
            fields.error(where, f"unknown word {shown(word)}", f"the words are {', '.join(CLOSED)}")
            return None
    return tuple(CLOSED[word] for word in words)
