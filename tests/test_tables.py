"""Tables of claims read well at every width: no line is too long, no sentence is squeezed, numbers stand in columns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import atlasmoe
import pytest
from atlasmoe import Model
from atlasmoe.cli.main import main
from atlasmoe.cli.output import FILE_COLUMNS
from atlasmoe.expressions.parse import real_symbols
from atlasmoe.report import ledger_table, render, report_table
from atlasmoe.report.listing import Listing, Row
from atlasmoe.report.tables import certificate_table, frontier_table
from click.testing import CliRunner
from rich.cells import cell_len
from rich.console import Group, RenderableType

WIDTHS = (80, 100, 160)
SHORT = 30
"""No line of a sentence but its last is shorter."""


@pytest.fixture(scope="module")
def graph() -> Model:
    """Names that are long, a tree that is deep."""
    names = ("elevation_of_the_arm_from_its_shoulder", "b")
    inputs = [atlasmoe.Input(name, atlasmoe.Box((0,), (2,))) for name in "st"]
    pieces = atlasmoe.Tiling.intervals((0, 1, 2))
    blocks = [atlasmoe.Block.parse(name, (x,), pieces, [x, f"3 - {x}"]) for name, x in zip(names, "st", strict=True)]
    last = atlasmoe.Combine.parse("f", names, " * ".join(names))
    return atlasmoe.compile(atlasmoe.TaskGraph("arm", (*inputs, *blocks, last), "f"), epsilon=1e-2)


@pytest.fixture(scope="module")
def tables(circle: Model, graph: Model) -> dict[str, RenderableType]:
    x = real_symbols(("x1", "x2"))
    product = atlasmoe.ExpressionMap(tuple(x.values()), (x["x1"] * x["x2"],))
    wave = atlasmoe.ManifoldTask("wave", atlasmoe.builtin("circle"), atlasmoe.ExpressionTarget(product))
    frontier = atlasmoe.plan(wave, 1e-2, experts=[8, 16])
    return {
        "ledger": ledger_table(atlasmoe.compile(wave, epsilon=1e-2).ledger),
        "ledger of a graph": ledger_table(graph.ledger, every=True),
        "report": report_table(atlasmoe.verify(circle, samples=500)),
        "report of a graph": report_table(atlasmoe.verify(graph, samples=500)),
        "certificate": certificate_table(atlasmoe.certify(graph, tightness=None)),
        "plan": frontier_table(frontier),
    }


NAMES = ("ledger", "ledger of a graph", "report", "report of a graph", "certificate", "plan")


def rows(table: RenderableType) -> Iterator[Row]:
    for part in table.renderables if isinstance(table, Group) else [table]:
        if isinstance(part, Listing):
            yield from part.rows


def bare(line: str) -> str:
    """Without line art and indentation."""
    return re.sub(r"^[ │├└]+", "", line)


def lines_of(sentence: str, lines: list[str]) -> list[str]:
    """The lines that a sentence is broken into."""
    words = " ".join(sentence.split())
    for start in range(len(lines)):
        for stop in range(start + 1, len(lines) + 1):
            joined = " ".join(bare(line) for line in lines[start:stop])
            if joined == words:
                return [bare(line) for line in lines[start:stop]]
            if not words.startswith(joined):
                break
    raise AssertionError(f"not in the table: {sentence}")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", NAMES)
def test_every_table_at_every_width(tables: dict[str, RenderableType], name: str, width: int) -> None:
    lines = render(tables[name], width).splitlines()
    assert max(map(cell_len, lines)) <= width
    shown = list(rows(tables[name]))
    assert len(shown) >= 2
    ends = set()
    for row in shown:
        if row.sentence is not None:
            broken = lines_of(row.sentence.plain, lines)
            assert all(cell_len(line) >= SHORT for line in broken[:-1]), broken
        if row.cells:
            numbers = r"\s+".join(re.escape(cell.plain.strip()) for cell in row.cells if cell.plain.strip())
            (found,) = {
                cell_len(line[: match.start() + len(row.cells[0].plain)]) for line in lines if (match := re.search(f"{numbers}$", line))
            }
            ends.add(found)
    assert len(ends) == 1, "the first number of every row ends in the same column"


def test_a_long_name_takes_a_line_of_its_own(tables: dict[str, RenderableType]) -> None:
    lines = render(tables["ledger of a graph"], 80).splitlines()
    (name,) = [line for line in lines if line.endswith("block[elevation_of_the_arm_from_its_shoulder]")]
    assert re.search(r"[≤≥>]", lines[lines.index(name) + 1]), "its numbers stand below it"
    assert all(row.label.plain in "\n".join(lines) for row in rows(tables["ledger of a graph"]))


def test_tables_in_files(graph: Model, tmp_path: Path) -> None:
    folder = atlasmoe.save(graph, tmp_path / "model")
    for arguments in (["show", folder], ["verify", folder, "--samples", "500"], ["certify", folder, "--tightness", "none"]):
        for columns in ("", "80"):
            result = CliRunner(env={"COLUMNS": columns}).invoke(main, list(map(str, arguments)))
            assert result.exit_code == 0, result.output
            claims = [line for line in result.stdout.splitlines() if not line.startswith(("model: ", "certificate: "))]
            assert max(map(cell_len, claims)) <= int(columns or FILE_COLUMNS)
