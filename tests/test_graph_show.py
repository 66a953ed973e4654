"""What a person sees of a task graph: the tree, the count of pieces, the picture; and `show` and `lint` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from atlasmoe import Block, Box, Combine, Input, TaskGraph, Tiling, builtin
from atlasmoe.cli.main import main
from atlasmoe.report.graph_figure import graph_figure
from atlasmoe.report.graph_tree import graph_tree, summary
from atlasmoe.report.tables import render
from click.testing import CliRunner

SPEC = """
[task]
name = "two joints"
kind = "graph"
output = "f"
[[input]]
name = "x"
domain = [[0, 1], [0, 2]]
[[block]]
name = "a"
reads = ["x_1"]
[[block.piece]]
domain = [0, 0.25]
expression = "x_1"
[[block.piece]]
domain = [0.25, 1]
expression = "1/2 - x_1"
[[block]]
name = "b"
reads = ["a", "x_2"]
manifold = { builtin = "box", domain = [[-1, 1], [0, 2]], charts = 2 }
expression = "a*x_2"
[[combine]]
name = "f"
expression = "a + b**2"
"""


FOLD = """
[task]
name = "fold"
kind = "graph"
output = "f"
[[input]]
name = "x"
domain = [[0, 2], [0, 2]]
[[block]]
name = "a"
reads = ["x_1"]
[[block.piece]]
domain = [0, 0.5]
expression = "sin(x_1)"
[[block.piece]]
domain = [0.5, 2]
expression = "1 + x_1**2"
[[block]]
name = "b"
reads = ["x_2"]
[[block.piece]]
domain = [0, 1]
expression = "x_2"
[[block.piece]]
domain = [1, 2]
expression = "2 - x_2"
[[combine]]
name = "f"
expression = "2*a - b"
"""


def many(L: int) -> TaskGraph:
    inputs = [Input(f"x{l}", Box((0,), (8,))) for l in range(L)]
    names = [f"y{l}" for l in range(L)]
    blocks = [Block.parse(f"y{l}", (f"x{l}",), Tiling.intervals(range(9)), [f"{i}*x{l}" for i in range(8)]) for l in range(L)]
    return TaskGraph("many", (*inputs, *blocks, Combine.parse("f", names, " + ".join(names))), "f")


def mixed() -> TaskGraph:
    return TaskGraph(
        "mixed",
        (
            Input("c", builtin("circle", charts=3)),
            Input("t", Box((0,), (1,))),
            Block.parse("a", ("c_1", "c_2"), builtin("circle", charts=3), "c_1*c_2"),
            Block.parse("b", ("t", "a"), Tiling.grid([(0, 0.3, 1), (-1, 0, 1)]), ["t", "a", "t*a", "1"]),
            Combine.parse("f", ("t", "a", "b"), "a*b - t"),
        ),
        "f",
    )


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.toml"
    path.write_text(SPEC, encoding="utf-8")
    return path


def test_summary_counts_pieces() -> None:
    assert summary(many(2)) == "many: 8^2 = 64 pieces from 16 subtasks in 2 blocks; R^2 → R^1"
    assert summary(many(32)) == "many: 8^32 ≈ 7.92e28 pieces from 256 subtasks in 32 blocks; R^32 → R^1"
    assert summary(mixed()) == "mixed: 3·4 = 12 pieces from 7 subtasks in 2 blocks; R^3 → R^1"


def test_tree_has_every_node_once_unfolded() -> None:
    text = render(graph_tree(mixed()), 120)
    assert text.splitlines() == [
        "combine f = a*b - t",
        "├── input t in [0, 1]",
        "├── block a: 3 charts of a circle, reads c_1, c_2",
        "│   └── input c (c_1, c_2) in a circle",
        "└── block b: 4 pieces of [0, 1] × [-1, 1], reads t, a",
        "    ├── input t in [0, 1]",
        "    └── block a: 3 charts of a circle, reads c_1, c_2 (see above)",
        "",
        "mixed: 3·4 = 12 pieces from 7 subtasks in 2 blocks; R^3 → R^1",
    ]


def texts(graph: TaskGraph) -> list[str]:
    (axes,) = graph_figure(graph).axes
    return [text.get_text() for text in axes.texts]


def test_picture_has_every_node_and_all_pieces() -> None:
    graph = mixed()
    (axes,) = graph_figure(graph).axes
    assert {node.name for node in graph.nodes} <= {text.get_text() for text in axes.texts}
    assert sorted(len(cells.get_paths()) for cells in axes.collections) == [3, 4]


def test_nodes_of_the_picture_do_not_overlap() -> None:
    from matplotlib.patches import FancyBboxPatch

    for graph in (mixed(), many(5)):
        (axes,) = graph_figure(graph).axes
        boxes = [patch.get_bbox() for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
        assert len(boxes) == len(graph.nodes)
        low, high = axes.get_ylim()
        for i, a in enumerate(boxes):
            assert axes.get_xlim()[0] <= a.x0
            assert a.x1 <= axes.get_xlim()[1]
            assert low <= a.y0
            assert a.y1 <= high
            assert not any(a.x0 < b.x1 and b.x0 < a.x1 and a.y0 < b.y1 and b.y0 < a.y1 for b in boxes[i + 1 :])


def test_large_layers_are_drawn_in_part() -> None:
    shown = texts(many(100))
    assert shown.count("⋮  85 more") == 2
    assert len(shown) < 80


def test_show_draws_and_prints(spec: Path, tmp_path: Path) -> None:
    figure = tmp_path / "graph.svg"
    result = CliRunner().invoke(main, ["show", str(spec), "--figure", str(figure)])
    assert result.exit_code == 0, result.stderr
    assert "two joints: 2·4 = 8 pieces from 6 subtasks in 2 blocks; R^2 → R^1" in result.stdout
    first = figure.read_bytes()
    assert b"<svg" in first
    assert b"b**2" in first
    CliRunner().invoke(main, ["show", str(spec), "--figure", str(figure)])
    assert figure.read_bytes() == first


def test_show_as_json(spec: Path) -> None:
    facts = json.loads(CliRunner().invoke(main, ["show", str(spec), "--json"]).stdout)
    assert (facts["pieces"], facts["subtasks"]) == (8, 6)
    assert facts["edges"] == [["x", "a"], ["x", "b"], ["a", "b"], ["a", "f"], ["b", "f"]]


@pytest.mark.parametrize("name", ["graph.txt", "nowhere/graph.svg"])
def test_pictures_that_cannot_be_written_are_refused(spec: Path, tmp_path: Path, name: str) -> None:
    result = CliRunner().invoke(main, ["show", str(spec), "--figure", str(tmp_path / name)])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"--figure {tmp_path / name}: ")


def test_lint_on_the_command_line(spec: Path) -> None:
    result = CliRunner().invoke(main, ["lint", str(spec)])
    assert result.exit_code == 0, result.stdout
    broken = SPEC.replace("domain = [0, 0.25]", "domain = [0, 0.5]").replace('"a", "x_2"', '"a", "f"').replace("a*x_2", "a*f")
    spec.write_text(broken, encoding="utf-8")
    result = CliRunner().invoke(main, ["lint", str(spec)])
    assert result.exit_code == 2
    cycle, overlap = result.stderr.splitlines()
    assert "has a cycle: b → f → b" in cycle
    assert "overlaps piece 'piece2' on [0.25, 0.5], where the two subtasks disagree by 0.25" in overlap


def test_a_graph_is_compiled_shown_and_verified_on_the_command_line(spec: Path, tmp_path: Path) -> None:
    """The fold, by percentage of its range: compile writes a folder that show and verify understand."""
    folder = tmp_path / "model"
    spec.write_text(FOLD, encoding="utf-8")
    made = CliRunner().invoke(main, ["compile", str(spec), "-o", str(folder), "--epsilon", "2%"])
    assert made.exit_code == 0, made.stderr
    line = "fold: 2^2 = 4 pieces from 4 subtasks in 2 blocks; R^2 → R^1\n"
    assert line in made.stdout
    assert line in CliRunner().invoke(main, ["show", str(folder)]).stdout
    checked = CliRunner().invoke(main, ["verify", str(folder), "--samples", "2000"])
    assert checked.exit_code == 0, checked.stdout
