"""docs/: every spec in it loads and lints, every message is the one it shows, every table names what the code has."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from pathlib import Path

import pytest
from atlasmoe.atlas import LIBRARY, lint, load_task, task_from_spec
from atlasmoe.atlas.arguments import MAX_CHARTS, MAX_DIMENSION
from atlasmoe.atlas.graph.structure import MAX_COMPONENTS, MAX_READS, MAX_SUBTASKS
from atlasmoe.atlas.graph.wiring import MAX_GRAPH_NODES
from atlasmoe.atlas.manifolds.embedding import MAX_AMBIENT
from atlasmoe.atlas.manifolds.library import BALL_OPTIONS, COMMON_OPTIONS
from atlasmoe.atlas.options import OPTIONS
from atlasmoe.atlas.partition import PROFILES
from atlasmoe.atlas.spec import task as spec_module
from atlasmoe.atlas.spec.blocks import BLOCK_KEYS, PIECE_KEYS
from atlasmoe.atlas.spec.charts import CHART_KEYS, MANIFOLD_KEYS, MAX_COORDINATES
from atlasmoe.atlas.spec.graph import COMBINE_KEYS, GRAPH_TABLES, INPUT_KEYS
from atlasmoe.atlas.spec.implicit import IMPLICIT_KEYS
from atlasmoe.atlas.spec.python_target import MAX_OUTPUTS
from atlasmoe.atlas.spec.tables import TABLE_KEYS
from atlasmoe.atlas.spec.unroll import MAX_PARAMETERS, MAX_WRITTEN_OUT
from atlasmoe.cli.main import main
from atlasmoe.constructions.routers.named import ROUTERS
from atlasmoe.errors import Severity
from atlasmoe.export.formats import FORMATS
from atlasmoe.expressions.conditions import OF_FUNCTIONS, conditions
from atlasmoe.expressions.grammar import CONSTANTS, FUNCTIONS, MAX_BITS, MAX_DEGREE, MAX_DEPTH, MAX_EXPONENT, MAX_LENGTH, MAX_NODES
from atlasmoe.expressions.parse import parse_expression, read_expression
from atlasmoe.expressions.scope import MAX_CONSTANT
from click.testing import CliRunner

DOCS = Path(__file__).parent.parent / "docs"
SPEC = (DOCS / "spec.md").read_text(encoding="utf-8")

Row = tuple[str, ...]


def blocks(info: str) -> list[str]:
    """The fenced blocks of docs/ whose opening line is ```info."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))]
    return [match for text in texts for match in re.findall(rf"^```{info}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]


def tables(heading: str) -> list[list[Row]]:
    """The tables of the section under `heading` of spec.md: rows of cells, the header first, code marks left out."""
    (section,) = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", SPEC, re.MULTILINE | re.DOTALL)
    found: list[list[Row]] = []
    before = ""
    for line in section.splitlines():
        if line.startswith("|"):
            if not before.startswith("|"):
                found.append([])
            row = tuple(cell.strip() for cell in re.split(r"(?<!`)\|(?!`)", line)[1:-1])
            if not set("".join(row)) <= set("-"):
                found[-1].append(row)
        before = line
    return found


def first(table: list[Row]) -> list[str]:
    return [row[0].strip("`") for row in table[1:]]


COMPLETE = blocks('toml title="complete"')


@pytest.mark.parametrize("text", COMPLETE, ids=lambda text: tomllib.loads(text)["task"]["name"])
def test_complete_specs_have_no_findings_that_matter(text: str, tmp_path: Path) -> None:
    path = tmp_path / "spec.toml"
    path.write_text(text, encoding="utf-8")
    assert [str(finding) for finding in lint(load_task(path)) if finding.severity is Severity.ERROR] == []


def test_every_format_and_every_router_has_its_row() -> None:
    formats = (DOCS / "exports.md").read_text(encoding="utf-8")
    assert [name for name in FORMATS if f"\n| `{name}` |" not in formats] == []
    routers = (DOCS / "howto" / "choose.md").read_text(encoding="utf-8")
    assert [name for name in ROUTERS if f"\n| `{name}`" not in routers] == []


def test_there_are_examples_and_every_block_is_toml() -> None:
    assert len(COMPLETE) >= 4
    for text in blocks("toml"):
        tomllib.loads(text)
    everything = "".join(path.read_text(encoding="utf-8") for path in DOCS.glob("*.md"))
    assert len(re.findall("^```toml", everything, re.MULTILINE)) == len(COMPLETE) + len(blocks("toml")) + len(blocks('toml title="broken"'))


def test_broken_specs_give_the_messages_shown(tmp_path: Path) -> None:
    (broken,), (message,) = blocks('toml title="broken"'), blocks("text")
    path = tmp_path / "broken.toml"
    path.write_text(broken, encoding="utf-8")
    result = CliRunner().invoke(main, ["lint", str(path)])
    assert (result.exit_code, result.stderr) == (2, message)


def test_keys_of_tables() -> None:
    assert first(tables("`[manifold]` with your own charts")[0]) == list(MANIFOLD_KEYS)
    assert first(tables("`[[chart]]`")[0]) == list(CHART_KEYS)
    assert first(tables("`[manifold]` of equations")[0]) == list(IMPLICIT_KEYS)
    source = inspect.getsource(spec_module)
    (accepted,) = re.findall(r'fields\.table\(tables\["task"\], "task", (\(.*?\))\)', source)
    known = {"`[task]`": [*ast.literal_eval(accepted.replace(", *OPTIONS", "")), *OPTIONS], "`[target]`": list(spec_module.TARGET_KEYS)}
    for heading, keys in known.items():
        assert [key for cell in first(tables(heading)[0]) for key in cell.replace("`", "").split(", ")] == keys
    assert first(tables("Tables")[0]) == list(TABLE_KEYS)


def test_keys_of_graphs() -> None:
    kinds, *keys = tables("Task graphs")
    assert first(kinds) == [f"[[{table}]]" for table in GRAPH_TABLES[1:]]
    assert [first(table) for table in keys] == [list(accepted) for accepted in (INPUT_KEYS, BLOCK_KEYS, PIECE_KEYS, COMBINE_KEYS)]
    limits = re.findall(r"^Limits: (\d+) nodes, (\d+) charts and pieces in all, (\d+) components .*, (\d+) values", SPEC, re.MULTILINE)
    assert limits == [tuple(map(str, (MAX_GRAPH_NODES, MAX_SUBTASKS, MAX_READS, MAX_COMPONENTS)))]


def test_library_manifolds() -> None:
    overview, options, common = tables("`[manifold]` from the library")
    assert first(overview) == list(LIBRARY)
    for row in overview[1:]:
        assert tuple(re.findall(r"`(\w+)`", row[2])) == LIBRARY[row[0].strip("`")].atlases
    documented = [tuple(cell.strip("`") for cell in row) for row in options[1:]]
    assert [row[:2] for row in documented] == [(name, option) for name, entry in LIBRARY.items() for option in entry.options]
    for name, option, default, _ in documented:
        value = inspect.signature(LIBRARY[name].build).parameters[option].default
        if value is None:
            assert default in ("none", "4", "[0, 1]` per axis", "[-1, 1]` per axis")
        else:
            assert ast.literal_eval(default) == (list(value) if isinstance(value, tuple) else value), (name, option)
    assert first(common) == list(COMMON_OPTIONS)
    assert first(tables("Ball atlases")[0]) == list(BALL_OPTIONS)
    assert first(tables("Partition of unity")[0]) == list(PROFILES)


def test_grammar() -> None:
    language, limits = tables("Expressions")
    cells = {row[0]: re.findall(r"`(\w+)`", row[1]) for row in language}
    arities = {(1, 1): "functions of 1 argument", (2, 2): "functions of 2 arguments", (2, None): "functions of 2 or more arguments"}
    for arity, label in arities.items():
        assert cells[label] == [name for name, function in FUNCTIONS.items() if (function.least, function.most) == arity]
    assert {(function.least, function.most) for function in FUNCTIONS.values()} == set(arities)
    assert cells["constants"] == list(CONSTANTS)
    assert parse_expression("2**3**2 - x**2", ["x"]) == parse_expression("512 + -x**2", ["x"])
    loops = [int(row[1]) for row in tables("Parameters and loops")[0][1:]]
    assert loops == [MAX_PARAMETERS, MAX_CHARTS, MAX_SUBTASKS, MAX_CONSTANT, MAX_WRITTEN_OUT]
    values = [int(re.findall(r"\d+", row[1])[0]) for row in limits[1:]]
    assert values == [
        *(spec_module.MAX_BYTES, MAX_LENGTH, MAX_DEPTH, MAX_NODES, MAX_BITS, MAX_EXPONENT, MAX_DEGREE, MAX_CHARTS),
        *(MAX_COORDINATES, MAX_DIMENSION, MAX_AMBIENT, MAX_OUTPUTS),
    ]


def test_what_an_expression_means() -> None:
    """Every function of the table has the domain that it says, and those without a row are defined everywhere."""
    (table,) = tables("What an expression means")
    named = {name for row in table[1:] for name in re.findall(r"\b([a-z0-9]+)\(", row[0])}
    assert named == set(OF_FUNCTIONS)
    everywhere = set(FUNCTIONS) - named - {"sqrt"}
    for name in everywhere:
        arguments = "x" if FUNCTIONS[name].most == 1 else "x, y"
        assert conditions([read_expression(f"{name}({arguments})", "xy").tree]) == []
    (message,) = blocks('text title="lint"')
    spec = {
        "task": {"name": "lost"},
        "manifold": {"builtin": "interval", "domain": [-1, 1]},
        "target": {"expression": "sqrt(x1)**2 + exp(log(x1))"},
    }
    found = [str(finding) for finding in lint(task_from_spec(spec))]
    assert found[0] == message.strip()
    assert len(found) == 2
