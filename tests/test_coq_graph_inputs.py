"""Inputs of graphs in proofs in Coq: finitely many values, embedded ones, points with their coordinates on charts."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from atlasmoe import Model, TaskGraph, compile
from atlasmoe.atlas.spec import task_from_spec
from atlasmoe.cli.main import main
from atlasmoe.errors import InvalidArgument
from atlasmoe.export.folder import save
from atlasmoe.verify.coq.graph_inputs import givens_of
from atlasmoe.verify.coq.graph_project import graph_files
from atlasmoe.verify.coq.graph_statement import graph_statement_of
from click.testing import CliRunner
from coqc import needs_coq, refused


@pytest.fixture(scope="module")
def gathered() -> Model:
    """A block chart by chart on an embedded circle, bits that are counted, and a block that jumps along their number."""
    text = """
        [task]
        name = "gathered"
        kind = "graph"
        output = "f"
        [[input]]
        name = "p"
        coordinates = ["x", "y"]
        manifold = { intrinsic = ["s"], embed = { dimension = 3, seed = 1 } }
        chart = [
          { name = "right", domain = [[-2, 2]], inverse = ["cos(s)", "sin(s)"], forward = ["atan2(y, x)"] },
          { name = "left", domain = [[-2, 2]], inverse = ["-cos(s)", "-sin(s)"], forward = ["atan2(-y, -x)"] },
        ]
        [[input]]
        name = "b"
        coordinates = ["b1", "b2"]
        values = [0, 1]
        [[block]]
        name = "a"
        reads = ["x", "y"]
        chart = [{ name = "right", expression = "sin(2*s) + cos(s)" }, { name = "left", expression = "sin(2*s) - cos(s)" }]
        [[combine]]
        name = "count"
        reads = ["b1", "b2"]
        expression = "b1 + b2"
        [[block]]
        name = "parity"
        reads = ["count"]
        piece = [
          { domain = [0, 0.5], expression = "1" },
          { domain = [0.5, 1.5], expression = "-count" },
          { domain = [1.5, 2], expression = "3" },
        ]
        [[combine]]
        name = "f"
        reads = ["a", "parity"]
        expression = "a + parity"
    """
    return compile(task_from_spec(tomllib.loads(text)), epsilon=0.2, form="residual")


@pytest.fixture(scope="module")
def gathered_files(gathered: Model) -> dict[str, str]:
    return graph_files(graph_statement_of(gathered), "fast")


def test_inputs_are_finitely_many_values_embedded_and_points_with_their_coordinates_on_charts(
    gathered: Model, gathered_files: dict[str, str]
) -> None:
    task, main_file = gathered_files["Task.v"], gathered_files["Main.v"]
    values = "[Chart [((0,0),(0,0))] [Var 0] []; Chart [((1,0),(1,0))] [Var 0] []]"
    assert all(f"Definition input_{n} : list chart := {values}." in task for n in (1, 2))
    assert "Chart [((-1,1),(1,1))] (inverse ++ [s; Int 1])%list []." in task
    assert "Piece [(3%nat, (Free, Open (1,-1)))] node_1_0;\n  Piece [(3%nat, (Closed (1,-1), Free))] node_1_1]." in task
    assert "(* sin(2*s) + cos(s) *)\nDefinition node_1_0 : list expr := [(((Fun Sin (2 * p_s)) + (Fun Cos p_s)))%expr]." in task
    (node, *_) = gathered.task.inputs  # type: ignore[union-attr]
    written = next(line for line in task.splitlines() if line.startswith("Definition node_0_all"))
    found = re.findall(r"(- )?\(+Dec \((\d+),(-?\d+)\)", written)
    stored = [(-1 if minus else 1) * float(int(m) * Fraction(2) ** int(e)) for minus, m, e in found]
    assert stored == node.domain.embedding.ravel().tolist()  # bit by bit
    assert "Definition network_reads : list nat := [6;7;8;4;5]%nat." in task
    assert "(outputs graph) (Psi (pick network_reads w))." in main_file
    assert "`theory/Tasks.v` and `theory/Readings.v`" in gathered_files["README.md"]


def test_blocks_chart_by_chart_on_other_charts_than_those_of_their_input_are_refused(gathered: Model) -> None:
    task = gathered.task
    assert isinstance(task, TaskGraph)
    (a, *_) = task.blocks
    other = replace(a.domain, charts=a.domain.charts[::-1])  # type: ignore[type-var,union-attr]
    with pytest.raises(InvalidArgument, match="'a' is given chart by chart, on other charts than those of input 'p'"):
        givens_of(replace(task, nodes=tuple(replace(a, domain=other) if node is a else node for node in task.nodes)))


@needs_coq
def test_values_embeddings_and_charts_are_a_theorem_and_what_is_false_is_none(
    gathered: Model, gathered_files: dict[str, str], tmp_path: Path
) -> None:
    folder, proof = save(gathered, tmp_path / "m"), tmp_path / "p"
    done = CliRunner().invoke(main, ["prove", str(folder), "-o", str(proof), "--json"])
    assert done.exit_code == 0, done.output
    one = "Chart [((1,0),(1,0))] [Var 0] []"
    wrong = {
        "a value outside": ("Task.v", one, "Chart [((1,-1),(1,-1))] [Var 0] []", "Block2"),
        "a sign of Q": ("Task.v", "* x) - ((Dec", "* x) + ((Dec", "Block0"),
        "a function of the other chart": ("Task.v", "- (Fun Cos p_s)", "+ (Fun Cos p_s)", "Block0"),
        "coordinates exchanged": ("Task.v", "[6;7;8;4;5]", "[7;6;8;4;5]", "Block0"),
        "ε lowered": ("Task.v", gathered_files["Task.v"].splitlines()[-3], "Definition eps : dyadic := (1,-8).", "Main"),
    }
    for what, (name, before, after, expected) in wrong.items():
        assert gathered_files[name].count(before) >= 1, what
        assert refused(proof, {**gathered_files, name: gathered_files[name].replace(before, after, 1)}) == expected, what
