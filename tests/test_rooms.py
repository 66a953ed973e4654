"""The house is built from the ground up: no room imports one above it, no two modules import each other, no file is too long.

Imports are read from the source, also those inside functions and those for type checkers only.
"""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path

import networkx
import pytest

ROOT = Path(__file__).parent.parent
LONGEST = 400

BELOW = {
    "errors": (),
    "progress": ("errors",),
    "expressions": ("errors",),
    "intervals": ("errors", "expressions"),
    "atlas": ("errors", "progress", "expressions", "intervals"),
    "moe": ("errors", "progress", "expressions", "intervals", "atlas"),
    "constructions": ("errors", "progress", "expressions", "intervals", "atlas", "moe"),
    "verify": ("errors", "progress", "expressions", "intervals", "atlas", "moe"),
    "explain": ("errors", "progress", "expressions", "intervals", "atlas", "moe", "verify"),
    "doctor": ("errors", "progress", "expressions", "intervals", "atlas", "moe", "verify", "explain"),
    "front": ("errors", "progress", "expressions", "intervals", "atlas", "moe", "constructions", "verify"),
    "export": ("errors", "progress", "expressions", "intervals", "atlas", "moe", "constructions", "verify", "explain", "doctor"),
    "report": ("errors", "progress", "expressions", "intervals", "atlas", "moe", "constructions", "verify", "explain", "doctor", "export"),
    "cli": (
        *("errors", "progress", "expressions", "intervals", "atlas", "moe", "constructions"),
        *("verify", "explain", "doctor", "front", "export", "report"),
    ),
}
"""Every room, and what it may import besides itself. `__init__` and `__main__` of the root are doors, not rooms."""
ALONE = {"check": ("sample", "prove", "enclosure", "coq"), "coq": ("sample", "prove", "enclosure", "check")}
"""Folders of verify that import none of others there: what is trusted does not lean on what it checks."""
BESIDE = ("tests", "examples", "benchmarks")
"""Folders with code that are no part of the library."""


@functools.cache
def sources() -> dict[str, Path]:
    """Every module of the library by its dotted name below the root; a package is called like its folder."""
    found = {f"{room}": ROOT / f"{room}.py" for room in BELOW if (ROOT / f"{room}.py").exists()}
    for room in BELOW:
        for path in sorted((ROOT / room).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str) -> set[str]:
    """The modules of the library that a module imports, wherever in the file it does."""
    path = sources()[name]
    package = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("atlasmoe.") for alias in node.names if alias.name.startswith("atlasmoe.")}
        if not isinstance(node, ast.ImportFrom):
            continue
        base = package[: len(package) - node.level + 1] if node.level else []
        base += (node.module or "").split(".") if node.module else []
        if not node.level:
            if base[0] != "atlasmoe":
                continue
            base = base[1:]
        for alias in node.names:
            inner, outer = ".".join([*base, alias.name]), ".".join(base)
            found |= {module for module in (inner if inner in sources() else outer,) if module in sources()}
    return found


@functools.cache
def edges() -> tuple[tuple[str, str], ...]:
    return tuple((name, other) for name in sources() for other in sorted(imports(name)))


def test_the_imports_are_seen() -> None:
    assert ("atlas.graph.nodes", "atlas.task") in edges()
    assert any(name.startswith("cli.") and other == "atlas.spec" for name, other in edges())  # inside functions
    assert ("intervals.arithmetic", "expressions") in edges()


def test_no_room_imports_one_above_it() -> None:
    rooms = [(name, other, name.split(".")[0], other.split(".")[0]) for name, other in edges()]
    assert [f"{name} → {other}" for name, other, room, lower in rooms if room != lower and lower not in BELOW[room]] == []


def test_what_is_trusted_stands_alone() -> None:
    inside = [
        (name, other, *name.split(".")[1:2], *other.split(".")[1:2])
        for name, other in edges()
        if name.startswith("verify.") and other.startswith("verify.")
    ]
    assert [f"{name} → {other}" for name, other, folder, into in inside if into in ALONE.get(folder, ())] == []


def test_no_two_modules_import_each_other() -> None:
    circles = [sorted(group) for group in networkx.strongly_connected_components(networkx.DiGraph(edges())) if len(group) > 1]
    assert circles == []
    assert [name for name, other in edges() if name == other] == []


def test_no_file_is_too_long() -> None:
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in sources().items()}
    lengths |= {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "coq").rglob("*.v")}
    assert lengths["coq/Semantics.v"] < LONGEST
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_the_root_holds_the_rooms_and_nothing_else() -> None:
    files = {path.stem for path in ROOT.glob("*.py")}
    assert files == {"__init__", "__main__", "errors", "progress"}
    assert {path.parent.name for path in ROOT.glob("*/*.py")} <= {*BELOW, *BESIDE}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("atlasmoe", ("sympy", "scipy", "torch", "lark", "networkx")),
        ("atlasmoe.intervals", ("lark", "networkx", "scipy.stats", "scipy.spatial", "torch", "joblib")),
        ("atlasmoe.atlas", ("scipy.stats", "scipy.spatial", "torch", "joblib", "matplotlib")),
    ],
)
def test_a_room_loads_only_what_it_needs(module: str, absent: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print([name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
