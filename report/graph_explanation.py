"""`GraphExplanation` for people: the route through all layers, with margins and every partial output beside the truth."""

from __future__ import annotations

import math

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..explain.graph import BlockChoice, GraphExplanation, Partial

MOST = 8
"""Coordinates of a point, or outputs, that are shown."""
FORMULA = 40
"""Characters of a formula."""


def graph_point(found: GraphExplanation) -> RenderableType:
    """The point, the layers, the choice of every block, the combinations, the output beside the truth."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column()
    base = [f"{name} = {value:.6g}" for name, value in found.base.items()]
    embedded = "" if len(base) == len(found.point) else f", embedded in R^{len(found.point)}"
    facts.add_row("x", Text(_some(base) + embedded))
    facts.add_row("domain", Text("yes" if not found.outside else f"no: {'; '.join(found.outside)}: nothing is claimed here"))
    layers = Table(box=None, header_style="bold")
    for name in ("layer", "does", "expert"):
        layers.add_column(name, justify="right" if name == "layer" else "left")
    for step in found.layers:
        layers.add_row(str(step.layer), Text(step.does), Text(step.expert if step.matters else "the only one"))
    parts: list[RenderableType] = [facts, Text(), layers, Text(), _blocks(found)]
    if found.combines:
        combined = Table(box=box.SIMPLE_HEAD)
        for name in ("combination", "computed", "true", "error"):
            combined.add_column(name, justify="left" if name == "combination" else "right", no_wrap=True)
        for part in found.combines:
            combined.add_row(Text(part.name), *_numbers(part))
        parts.append(combined)
    result = Table.grid(padding=(0, 2))
    result.add_column(style="bold", no_wrap=True)
    result.add_column()
    result.add_row("output", Text(_some([f"{name} = {value:.8g}" for name, value in found.output.items()])))
    if found.truth is not None:
        result.add_row("truth", Text(_some([f"{value:.8g}" for value in found.truth])))
        result.add_row("error", Text(f"{found.error:.3g} here; over the whole domain the ledger says {found.bound:.3g} ({found.known})"))
    return Group(*parts, result)


def _blocks(found: GraphExplanation) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("block", "layer", "reads", "piece", "margin", "output", "computed", "true", "error"):
        table.add_column(name, justify="right" if name in ("layer", "computed", "true", "error") else "left", no_wrap=name != "margin")
    for choice in sorted(found.blocks, key=lambda choice: choice.layer):
        reads = _some([f"{part.name} = {part.value:.6g}" for part in choice.reads])
        style = "red" if choice.right is False else None
        for k, part in enumerate(choice.outputs):
            head = (choice.block, str(choice.layer), reads, _piece(choice), _margin(choice)) if k == 0 else ("",) * 5
            formula = choice.subtask[k] if len(choice.subtask[k]) <= FORMULA else choice.subtask[k][: FORMULA - 1] + "…"
            table.add_row(*map(Text, head), Text(f"{part.name} = {formula}"), *_numbers(part), style=style)
    return table


def _piece(choice: BlockChoice) -> str:
    if choice.right is False:
        return f"{choice.piece}, but the point belongs to {' or '.join(choice.holds)}"
    return choice.piece


def _margin(choice: BlockChoice) -> str:
    if math.isinf(choice.margin):
        return "the only one"
    if choice.margin_of == "interface":
        return f"{choice.margin:.3g} from an interface" if choice.margin > 0 else "on an interface"
    return f"score leads by {choice.margin:.3g}, before {choice.runner_up}"


def _numbers(part: Partial) -> tuple[str, str, str]:
    computed = "in the output" if part.value is None else f"{part.value:.8g}"
    return computed, "–" if part.truth is None else f"{part.truth:.8g}", "–" if part.error is None else f"{part.error:.3g}"


def _some(texts: list[str]) -> str:
    return ", ".join(texts[:MOST]) + (f", … {len(texts)} in all" if len(texts) > MOST else "")
