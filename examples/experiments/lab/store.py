"""`Store`: results that are written to a JSON file one by one, as soon as they are there, so that a run can be taken up again; and what
is made of them, tables in Markdown and figures, which are drawn from the file alone."""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atlasmoe.progress import remark

ROOT = Path(__file__).parents[3]
PAGES, IMAGES = ROOT / "docs" / "experiments", ROOT / "docs" / "images" / "experiments"


class Store:
    """Rows by their keys. A key is whatever the row depends on, in plain JSON: change it, and the row is computed anew."""

    def __init__(self, path: Path | None, closed: bool = False) -> None:
        """None: in memory only. `closed`: nothing is computed, rows that are not there are empty."""
        self.path, self.closed = path, closed
        self.rows: dict[str, dict[str, Any]] = {}
        if path is not None and path.exists():
            self.rows = json.loads(path.read_text(encoding="utf-8"))

    def row(self, key: Mapping[str, Any], make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """The row of that key: as stored, or what `make` returns, with the key and the CPU seconds that it took."""
        name = json.dumps(key, sort_keys=True, ensure_ascii=False)
        if name not in self.rows:
            if self.closed:
                return {}
            remark(name)
            started = time.process_time()
            made = dict(make())
            self.rows[name] = {**key, **made, "seconds": round(time.process_time() - started, 2)}
            self._write()
        return self.rows[name]

    @property
    def seconds(self) -> float:
        """CPU, of all rows."""
        return float(sum(row["seconds"] for row in self.rows.values()))

    def _write(self) -> None:
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(".part")
        beside.write_text(json.dumps(self.rows, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(beside, self.path)


def markdown(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; the first column to the left, all others to the right."""
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' + '---:|' * (len(columns) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(map(cell, row))} |" for row in rows)])


def cell(value: Any) -> str:
    """Three digits of a number; a dash for what is not there."""
    if value is None:
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.2g}" if isinstance(value, float) and abs(value) < 0.1 else f"{value:.3g}" if isinstance(value, float) else str(value)


def fill(page: Path, name: str, text: str) -> None:
    """Put a text between `<!-- name -->` and `<!-- end of name -->` of a page."""
    old = page.read_text(encoding="utf-8")
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(old):
        raise ValueError(f"{page} has no place for {name}: it needs the lines {start} and {end}")
    page.write_text(pattern.sub(lambda _: f"{start}\n\n{text}\n\n{end}", old), encoding="utf-8")


@dataclass(frozen=True)
class Run:
    """How an experiment was called."""

    name: str
    short: bool
    out: Path
    publish: bool
    """Whether tables and figures go into docs/ as well."""
    stored: bool = False
    """Whether only what is stored is shown."""

    @staticmethod
    def asked(name: str, description: str | None, arguments: Sequence[str] | None = None) -> Run:
        """--short, --out, --publish of a script."""
        parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--short", action="store_true", help="a few seconds' worth of it")
        parser.add_argument("--out", type=Path, default=Path("out/experiments"), help="folder of results, tables and figures")
        parser.add_argument("--publish", action="store_true", help="put tables and figures into docs/ too")
        parser.add_argument("--stored", action="store_true", help="run nothing: tables and figures of what has been run")
        given = parser.parse_args(arguments)
        return Run(name, given.short, given.out, given.publish, given.stored)

    @property
    def store(self) -> Store:
        """Short runs are not kept."""
        return Store(None if self.short else self.out / f"{self.name}.json", self.stored)

    def write(self, tables: Mapping[str, str], draw: Callable[[Path], None]) -> None:
        """Tables to NAME.md and the screen, the figure to NAME.png; both to docs/ if asked."""
        self.out.mkdir(parents=True, exist_ok=True)
        text = "\n\n".join(tables.values())
        (self.out / f"{self.name}.md").write_text(text + "\n", encoding="utf-8")
        draw(self.out / f"{self.name}.png")
        print(text)
        print(f"\n{self.out / self.name}.md, .png")
        if self.publish:
            for name, table in tables.items():
                fill(PAGES / f"{self.name}.md", name, table)
            IMAGES.mkdir(parents=True, exist_ok=True)
            draw(IMAGES / f"{self.name}.png")
