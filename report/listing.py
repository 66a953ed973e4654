"""`Listing`: the one layout of all tables of claims, for any width: the numbers on one line, what they mean wrapped below it.

Columns of numbers stand at the same place in every row, whatever the width; nothing is ever squeezed beside them, so that a
sentence never becomes a column of single words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.text import Text

WIDEST = 112
"""Columns that are used where there are more: longer lines are hard to read."""
GAP = 2
MARGIN = "  "
RIGHT, LEFT = "right", "left"


@dataclass(frozen=True)
class Row:
    """One entry: a label with its numbers beside it, and a sentence below it."""

    label: Text
    cells: tuple[Text, ...] = ()
    sentence: Text | None = None
    stem: str = ""
    """Line art of a tree that goes on beside the sentence."""


@dataclass(frozen=True)
class Listing:
    """Rows below a title and a line of headings. Rich asks it for its lines; it never asks for more than it is given."""

    title: str
    label: str
    columns: Sequence[tuple[str, str]]
    """Heading, and "right" or "left", of every number beside the label."""
    rows: Sequence[Row]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        width = min(options.max_width, WIDEST) - len(MARGIN)
        sizes = [max(cell_len(c.plain) for c in column) for column in zip(*(self._headings, *self._cells), strict=True)]
        beside = sum(sizes) + GAP * len(sizes)
        room = max([cell_len(row.label.plain) for row in self.rows if row.cells] + [len(self.label)])
        room = max(min(room, width - beside), len(self.label))
        if self.title:
            yield from Text(self.title, "italic").wrap(console, width + len(MARGIN))
            yield Text()
        yield self._line(Text(self.label), self._headings, room, sizes, "bold")
        yield Text(MARGIN + "─" * (room + beside), "dim")
        for row in self.rows:
            yield from self._row(console, row, room, sizes, width)
        yield Text()

    @property
    def _headings(self) -> tuple[Text, ...]:
        return tuple(Text(name) for name, _ in self.columns)

    @property
    def _cells(self) -> list[tuple[Text, ...]]:
        return [row.cells for row in self.rows if row.cells]

    def _row(self, console: Console, row: Row, room: int, sizes: list[int], width: int) -> Iterator[Text]:
        label = row.label
        if not row.cells or cell_len(label.plain) > room:
            yield from (Text(MARGIN) + line for line in label.wrap(console, width))
            label = Text(row.stem, "dim")
        if row.cells:
            yield self._line(label, row.cells, room, sizes)
        if row.sentence is not None:
            indent = Text(MARGIN + row.stem + " " * GAP, "dim")
            yield from (indent + line for line in row.sentence.wrap(console, width - len(row.stem) - GAP))

    def _line(self, label: Text, cells: Sequence[Text], room: int, sizes: list[int], style: str = "") -> Text:
        """A label and its numbers, each number where its column is."""
        line = Text(MARGIN, style) + label + Text(" " * (room - cell_len(label.plain)))
        for cell, size, (_, justify) in zip(cells, sizes, self.columns, strict=True):
            padding = " " * (size - cell_len(cell.plain))
            line += Text(" " * GAP) + (Text(padding) + cell if justify == RIGHT else cell + Text(padding))
        line.rstrip()
        line.stylize_before(style)
        return line
