"""`Summary` of many explained points, for people."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from ..explain import BlockSummary, Summary

MOST_PIECES, MOST_BLOCKS = 6, 12


def summary(found: Summary) -> RenderableType:
    """How many points, the worst error and where, routes and least margins, and the rows that are no points."""
    return Group(*_lines(found))


def _lines(found: Summary) -> Iterator[Text]:
    off = f", {found.outside:,} of them off the domain, where nothing is claimed" if found.outside else ""
    yield Text(f"{found.points:,} points explained{off}")
    if found.compared:
        style = "bold red" if found.missed else "green"
        mean = "" if found.mean is None else f", {found.mean:.3g} on average"
        yield Text(
            f"largest error {found.worst:.6g}{f' at {found.worst_at}' if found.worst_at else ''}{mean}; ε = {found.epsilon:.4g}", style
        )
    if found.missed:
        yield Text(f"{found.missed:,} points miss ε, the first is {found.missed_at}", "bold red")
    for name, block in list(found.blocks.items())[:MOST_BLOCKS]:
        yield Text(f"{name}: {_pieces(block)}{_margin(block)}")
        if block.wrong:
            yield Text(f"{name}: {block.wrong:,} points took a piece that does not hold them", "bold red")
    if len(found.blocks) > MOST_BLOCKS:
        yield Text(f"and {len(found.blocks) - MOST_BLOCKS} more blocks; --json has them")
    for where, problem in found.problems:
        yield Text(f"{where} is no point: {problem}", "yellow")
    if found.bad > len(found.problems):
        yield Text(f"and {found.bad - len(found.problems):,} more rows are none; the output names them all", "yellow")


def _pieces(block: BlockSummary) -> str:
    shown = ", ".join(f"{piece} {count:,}" for piece, count in block.pieces.most_common(MOST_PIECES))
    return shown + (f", and {len(block.pieces) - MOST_PIECES} more pieces" if len(block.pieces) > MOST_PIECES else "")


def _margin(block: BlockSummary) -> str:
    return "" if math.isinf(block.margin) else f"; least margin {block.margin:.3g} at {block.at}"
