"""The command line for graphs: options of all blocks, or of one by its name."""

from __future__ import annotations

import json
from pathlib import Path

import atlasmoe
import pytest
from atlasmoe.cli.options import by_block
from test_cli import run

GRAPH = """
[task]
name = "pair"
kind = "graph"
output = "f"
[[input]]
name = "c"
manifold = { builtin = "circle", charts = 3 }
[[input]]
name = "t"
domain = [0, 2]
[[block]]
name = "a"
reads = ["c_1", "c_2"]
manifold = { builtin = "circle", charts = 3 }
expression = "c_1*c_2"
[[block]]
name = "b"
reads = ["t"]
piece = [{ domain = [0, 1], expression = "t" }, { domain = [1, 2], expression = "3 - t" }]
[[combine]]
name = "f"
expression = "a + b"
"""


@pytest.fixture(scope="module")
def graph_spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "pair.toml"
    path.write_text(GRAPH)
    return path


@pytest.mark.parametrize(
    ("given", "means"),
    [
        (["hinge"], "hinge"),
        (["a=hinge"], {"a": "hinge"}),
        (["a=hinge,b = faces"], {"a": "hinge", "b": "faces"}),
        (["a=hinge", "b=faces"], {"a": "hinge", "b": "faces"}),
    ],
)
def test_routers_for_all_blocks_or_for_each(given: list[str], means: object) -> None:
    assert by_block("--routing", given) == means


@pytest.mark.parametrize("given", [["a=hinge", "plateau"], ["a="], ["=hinge"], ["a=hinge", "a=faces"], ["plateau", "hinge"]])
def test_routers_that_contradict_each_other(graph_spec: Path, tmp_path: Path, given: list[str]) -> None:
    result = run("compile", graph_spec, "-o", tmp_path / "m", *(f"--routing={text}" for text in given))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("--routing ")


def test_options_of_blocks_and_the_form(graph_spec: Path, tmp_path: Path) -> None:
    arguments = ("--epsilon", "5%", "--routing", "a=plateau", "--theorem", "a=4.8", "--form", "residual", "--depth", "L+1")
    result = run("compile", graph_spec, "-o", tmp_path / "m", *arguments)
    assert result.exit_code == 0, result.output
    model = atlasmoe.load(tmp_path / "m")
    assert (model.design["a"].router, model.design.form) == ("plateau", "residual")
    wrong = run("compile", graph_spec, "-o", tmp_path / "n", "--epsilon", "5%", "--routing", "z=plateau")
    assert wrong.exit_code == 2
    assert "'z'" in wrong.stderr
    assert not (tmp_path / "n").exists()


def test_a_block_is_planned(graph_spec: Path) -> None:
    document = json.loads(run("plan", graph_spec, "--epsilon", "5%", "--block", "a", "--experts", "4", "--json").stdout)
    assert [row["experts"] for row in document["rows"]] == [4]
    wrong = run("plan", graph_spec, "--epsilon", "5%", "--block", "b")
    assert wrong.exit_code == 2
    assert "no block 'b' on charts" in wrong.stderr
