"""Every broken spec in `bad_specs/` gives exactly the messages in its `.expected` file, one line per finding.

NAME.toml is read, and linted if it can be read. A line says `where: what; remedy`; {LIBRARY} in it stands for the manifolds of the library.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from atlasmoe.atlas import LIBRARY, lint, load_task
from atlasmoe.errors import Severity, SpecError

SPECS = sorted((Path(__file__).parent / "bad_specs").glob("*.toml"))
SECONDS = 60


def messages(path: Path) -> list[str]:
    """One line for each error in the spec; none if there is nothing wrong with it."""
    try:
        task = load_task(path)
    except SpecError as error:
        return [str(finding) for finding in error.findings]
    return [str(finding) for finding in lint(task) if finding.severity is Severity.ERROR]


def expected(path: Path) -> list[str]:
    """The messages that a spec has to get."""
    text = path.with_suffix(".expected").read_text(encoding="utf-8")
    return text.replace("{LIBRARY}", ", ".join(LIBRARY)).splitlines()


def test_there_are_enough():
    assert len(SPECS) >= 60


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_message(path):
    begun = time.perf_counter()
    assert messages(path) == expected(path)
    assert time.perf_counter() - begun < SECONDS


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_messages_are_plain_lines(path):
    lines = expected(path)
    assert lines
    for line in lines:
        assert ": " in line
        assert "; " in line
        assert line.isprintable()
        assert len(line) < 600


def test_every_expectation_has_its_spec():
    assert {path.stem for path in SPECS} == {path.stem for path in (Path(__file__).parent / "bad_specs").glob("*.expected")}
