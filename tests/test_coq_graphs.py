"""Proofs of task graphs in Coq: what is written, without coqc; and what coqc accepts and refuses, where ATLASMOE_COQ is set."""

from __future__ import annotations

import re
import subprocess
import tomllib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from atlasmoe import Block, Box, Combine, Input, Model, TaskGraph, Tiling, compile, load_task
from atlasmoe.atlas.spec import task_from_spec
from atlasmoe.cli.main import main
from atlasmoe.errors import InvalidArgument
from atlasmoe.export.folder import save
from atlasmoe.verify.coq.graph_hints import Hints
from atlasmoe.verify.coq.graph_project import graph_files, graph_parts, parts_of
from atlasmoe.verify.coq.graph_statement import GraphStatement, graph_statement_of, graph_task_file
from atlasmoe.verify.coq.group_hints import gaps_of
from atlasmoe.verify.coq.hint_records import Effort, GroupHint, Hint, News
from atlasmoe.verify.coq.points import about, at_numbers, not_shown, point_file
from atlasmoe.verify.coq.project import write
from atlasmoe.verify.coq.read_back import differences
from atlasmoe.verify.coq.run import OPTIONS
from atlasmoe.verify.coq.theory import compiled_theory
from click.testing import CliRunner
from coqc import needs_coq, refused

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def jumps() -> Model:
    return compile(load_task(GOLDEN / "jumps.toml"), epsilon=0.05, form="residual")


@pytest.fixture(scope="module")
def contents(jumps: Model) -> dict[str, str]:
    return graph_files(graph_statement_of(jumps), "fast")


def test_pieces_own_the_ends_that_the_task_says_and_texts_stand_above(contents: dict[str, str]) -> None:
    task = contents["Task.v"]
    tenth = "(3602879701896397,-55)"
    assert f"Piece [(0%nat, (Closed (0,0), Closed {tenth}))] node_0_0" in task
    assert f"Piece [(0%nat, (Open {tenth}, Open (5404319552844595,-54)))] node_0_1" in task
    assert "(* sin(x) *)\nDefinition node_0_0 : list expr := [((Fun Sin x))%expr]." in task
    assert "Definition graph : graph := Graph [input_0; input_1] [node_0; node_1; node_2] [4]%nat." in task


def test_every_block_has_a_file_with_its_layers_and_main_says_the_theorem(jumps: Model, contents: dict[str, str]) -> None:
    hints = Hints(graph_statement_of(jumps))
    assert [list(part) for part in parts_of(hints.layers)] == [[0, 1], [2, 3]]
    assert graph_parts(contents) == ["Values", "Point", "Block0", "Block1"]
    assert "forall w, evaluates (nodes graph) x w -> Forall2" in contents["Main.v"]
    imports = re.findall(r"^From (?:Proof|AtlasMoE) Require Import (.*)\.$", contents["Main.v"], re.M)  # the last gives words their meaning
    assert [line.split()[:2] for line in imports[1:]] == [["Semantics", "Tasks"], ["Weights", "Task"]]
    assert all("Hints" not in line and "Values" not in line for line in imports)
    assert [hint.routed for hint in hints.layers] == [None, 2, None, 3]
    for name, text in contents.items():
        assert not re.search(r"\b(Admitted|Axiom|Parameter)\b", text) or name == "README.md" or name.startswith("theory/"), name


def test_ranges_hold_the_values_and_errors_are_above_those_that_are_found(jumps: Model) -> None:
    hints = Hints(graph_statement_of(jumps))
    for name, (low, high) in zip(hints.statement.components, hints.ranges, strict=True):
        assert low <= hints.points[name].min()
        assert hints.points[name].max() <= high
    (news,) = hints.layers[1].computed
    points = jumps.task.sample(2000, seed=5)
    trace = jumps.task.trace(points)
    written = jumps.network.trace(points).states[2][:, news.channel]
    assert np.abs(written - trace.values["a"]).max() <= news.within


def test_a_sum_that_alone_matters_is_what_boxes_are_about() -> None:
    names = ("p", "q", "r")
    graph = TaskGraph(
        "sum",
        (
            Input("x", Box((0.0,) * 3, (1.0,) * 3), names),
            *(Block.parse(f"f{k}", (name,), Tiling.intervals((0, 0.5, 1)), [f"{name}**2", f"1 - {name}"]) for k, name in enumerate(names)),
            Combine.parse("f", ("f0", "f1", "f2"), "sin(2*(f0 + f1 + f2))"),
        ),
        "f",
    )
    hints = Hints(graph_statement_of(compile(graph, epsilon=0.1, form="residual")))
    effort = hints.layers[-1].computed[0].effort
    assert effort.total == ((3, 1.0), (4, 1.0), (5, 1.0))
    assert effort.cutting == 1


def test_of_many_blocks_several_are_in_a_file() -> None:
    layers = [Hint(), Hint(None, (), (News(0, 0, 0.1, (), Effort()),))] * 9
    assert [list(part) for part in parts_of(layers)] == [[*range(8)], [*range(8, 16)], [16, 17]]
    assert len(parts_of(layers[:16])) == 8


@pytest.mark.parametrize(("floats", "routes"), [(True, False), (False, True)])
def test_what_is_not_followed_is_refused_by_name(floats: bool, routes: bool, jumps: Model) -> None:
    with pytest.raises(InvalidArgument, match="'jumps' is a task graph, of which Coq is asked for the error alone"):
        graph_statement_of(jumps, None, floats, routes)


@pytest.fixture(scope="module")
def one_layer() -> Model:
    """∏ E_l pieces in one layer."""
    return compile(load_task(GOLDEN / "jumps.toml"), epsilon=0.05, depth="path")


@pytest.fixture(scope="module")
def together(one_layer: Model) -> dict[str, str]:
    return graph_files(graph_statement_of(one_layer), "fast")


def test_a_layer_of_several_blocks_is_stated_off_the_gaps_between_numbers(one_layer: Model, together: dict[str, str]) -> None:
    statement = graph_statement_of(one_layer)
    gaps = gaps_of(statement)
    ends = [float(n * Fraction(2) ** e) for k, n, e in gaps if k == 0]
    assert ends == [0.1, np.nextafter(0.3, 0), np.nextafter(1 / 3, 0)]  # the first belongs to the piece below it, the others do not
    for k, n, e in gaps:
        low, high = (float(end * Fraction(2) ** e) for end in (n, n + 1))
        assert np.nextafter(low, np.inf) == high
        assert k in (0, 1)
    assert len(gaps) == 4  # a face belongs to one of two pieces: one gap
    (hint,) = Hints(statement).layers
    assert isinstance(hint, GroupHint)
    assert [offset for offset, _ in hint.members] == [2, 3]
    assert sorted(j for _, winners in hint.members for j in winners) == list(range(6))
    (total,) = hint.computed
    assert sum(share.constant for share in total.shares) == pytest.approx(-1)
    assert [share.factors for share in total.shares] == [((1.0, 2),), ((2.0, 3),)]
    assert sum(share.within for share in total.shares) + total.rest <= 0.05
    main = together["Main.v"]
    assert "Theorem error_bound_off_gaps : forall x, in_domain (inputs graph) x -> off_gaps gaps x ->" in main
    assert (
        "Theorem error_bound : forall x, in_domain (inputs graph) x -> Forall (fun k => has_digits 53 (-1074) (nth k x 0%R)) compared ->"
        in main
    )
    assert "Definition compared : list nat := [0;1]%nat." in together["Task.v"]
    assert "the coordinates that gates compare are float64 numbers" in together["README.md"]
    assert "`Point.v` proves that there is such an input." in together["README.md"]
    assert "/\\ Forall (fun k => has_digits 53 (-1074) (nth k x 0%R)) compared." in together["Point.v"]


@pytest.fixture(scope="module")
def beside_a_curve() -> GraphStatement:
    """Two blocks in one layer, of which one reads a coordinate of a curve; in one piece, so nothing is compared there."""
    curve = """
        [task]
        name = "beside"
        kind = "graph"
        output = "f"
        [[input]]
        name = "p"
        coordinates = ["map", "p2"]
        manifold = { intrinsic = ["u"] }
        chart = [{ name = "c", domain = [[0, 1]], inverse = ["u", "u**2"], forward = ["map"], boundary = [[true, true]] }]
        [[input]]
        name = "t"
        coordinates = ["t1", "t2"]
        domain = [[0.1, 1], [0, 1]]
        [[block]]
        name = "a"
        reads = ["map"]
        piece = [{ domain = [-1, 2], expression = "map" }]
        [[block]]
        name = "b"
        reads = ["t1"]
        piece = [{ domain = [0.1, 0.5], expression = "t1" }, { domain = [0.5, 1], expression = "t1 - 3" }]
        [[combine]]
        name = "f"
        reads = ["a", "b"]
        expression = "a + b"
    """
    return graph_statement_of(compile(task_from_spec(tomllib.loads(curve)), epsilon=0.1, depth="path"))


def test_an_input_at_which_compared_coordinates_are_numbers_is_shown_or_it_is_said_that_none_is(beside_a_curve: GraphStatement) -> None:
    """Of a curve with x = √2 all over it a theorem about inputs that are numbers would be about none."""
    ((compared, _, _),) = gaps_of(beside_a_curve)
    shown = point_file(beside_a_curve, "fast")
    assert compared == 2
    assert shown is not None
    assert "compared" in shown
    assert not not_shown(beside_a_curve, shown)
    assert about(beside_a_curve) == "every input of the graph whose compared coordinates are float64 numbers"
    assert at_numbers(beside_a_curve, "fast", [(0, 1, -1), (2, 1, -1)]) is None
    said = not_shown(beside_a_curve, "Theorem there_is_an_input : exists x, in_domain (inputs graph) x.")
    assert said.startswith("that the coordinates that gates compare are float64 numbers at some input is not proved")
    assert not_shown(beside_a_curve, None) == "that the graph has an input is not proved: none was found"


@needs_coq
def test_a_layer_of_blocks_of_which_one_reads_a_coordinate_of_a_curve_is_a_theorem(beside_a_curve: GraphStatement, tmp_path: Path) -> None:
    """In one piece its logit is the number 0, no score; and such an input is shown."""
    proof = tmp_path / "p"
    done = CliRunner().invoke(main, ["prove", str(save(beside_a_curve.model, tmp_path / "m")), "-o", str(proof), "--json"])
    assert done.exit_code == 0, done.output
    contents = graph_files(beside_a_curve, "fast")
    logit = "[(1,8);(-9007199254740991,-44)]"
    assert contents["Weights.v"].count(logit) == 1  # a face of t1 a little lower, where the other piece jumps
    assert refused(proof, {**contents, "Weights.v": contents["Weights.v"].replace(logit, "[(127,1);(-9007199254740991,-44)]")}) == "Block0"


def test_gaps_of_float32_and_of_the_number_below_0() -> None:
    names = ("p", "q")
    blocks = [Block.parse(f"f{k}", (v,), Tiling.intervals((-1, 0, 1)), [v, f"1 - {v}"]) for k, v in enumerate(names)]
    graph = TaskGraph("sum", (Input("x", Box((-1.0,) * 2, (1.0,) * 2), names), *blocks, Combine.parse("f", ("f0", "f1"), "f0 + f1")), "f")
    gaps = gaps_of(graph_statement_of(compile(graph, epsilon=0.1, depth="1", dtype="float32")))
    assert gaps == ((0, -1, -149), (1, -1, -149))


def test_blocks_of_a_layer_that_read_computed_values_are_refused(jumps: Model) -> None:
    blocks = [Block.parse(f"{v}2", (v,), Tiling.intervals((0, 0.5, 1)), [f"{v}/2", f"1 - {v}"]) for v in ("p", "q")]
    blocks += [Block.parse(f"{v}3", (f"{v}2",), Tiling.intervals((0, 0.4, 1)), [f"{v}2", f"0.8 - {v}2"]) for v in ("p", "q")]
    deep = TaskGraph(
        "deep", (Input("x", Box((0.0,) * 2, (1.0,) * 2), ("p", "q")), *blocks, Combine.parse("f", ("p3", "q3"), "p3 + q3")), "f"
    )
    with pytest.raises(InvalidArgument, match=r"layer 2 of the network routes several blocks at once \(N15\) by y\[p2\]"):
        graph_files(graph_statement_of(compile(deep, epsilon=0.1, depth="path")), "fast")
    with pytest.raises(InvalidArgument, match="ε = 0 is no error"):
        graph_statement_of(jumps, 0.0)


def test_weights_are_read_back_from_the_folder_of_a_graph(jumps: Model, tmp_path: Path) -> None:
    folder, proof = save(jumps, tmp_path / "m"), tmp_path / "p"
    done = CliRunner().invoke(main, ["prove", str(folder), "-o", str(proof), "--no-run"])
    assert done.exit_code == 0, done.output
    assert differences(folder, proof) == []
    text = (proof / "Weights.v").read_text()
    (proof / "Weights.v").write_text(text.replace("[(None,Some 0)]%nat", "[(Some 0,Some 0)]%nat", 1))
    assert differences(folder, proof)


@needs_coq
def test_a_graph_with_jumps_is_a_theorem_and_what_is_false_is_none(jumps: Model, contents: dict[str, str], tmp_path: Path) -> None:
    folder, proof = save(jumps, tmp_path / "m"), tmp_path / "p"
    done = CliRunner().invoke(main, ["prove", str(folder), "-o", str(proof), "--json"])
    assert done.exit_code == 0, done.output
    assert subprocess.run(["make", "-q"], cwd=proof, check=False).returncode == 0  # everything is up to date
    tenth = "(3602879701896397,-55)"
    wrong = {
        "a jump moved": ("Task.v", f"Closed {tenth}", "Closed (1,-3)", "Block0"),
        "an end taken from its piece": ("Task.v", f"Closed {tenth}))] node_0_0", f"Open {tenth}))] node_0_0", "Values"),
        "an end given to both pieces": ("Task.v", f"(Open {tenth}", f"(Closed {tenth}", "Block0"),
        "ε lowered": ("Task.v", graph_task_file(graph_statement_of(jumps)).splitlines()[-1], "Definition eps : dyadic := (1,-6).", "Main"),
        "a channel that is not carried": ("Weights.v", "[(Some 0,None);(Some 1,None)", "[(Some 1,None);(Some 1,None)", "Block0"),
    }
    for what, (name, before, after, expected) in wrong.items():
        assert contents[name].count(before) >= 1, what
        assert refused(proof, {**contents, name: contents[name].replace(before, after, 1)}) == expected, what


@needs_coq
def test_one_layer_for_two_blocks_is_a_theorem_and_what_is_false_is_none(
    one_layer: Model, together: dict[str, str], tmp_path: Path
) -> None:
    folder, proof = save(one_layer, tmp_path / "m"), tmp_path / "p"
    done = CliRunner().invoke(main, ["prove", str(folder), "-o", str(proof), "--json"])
    assert done.exit_code == 0, done.output
    gaps, tenth = together["Task.v"].splitlines()[-2], "(3602879701896397,-55)))] node_0_0"
    wrong = {
        "no gaps": ("Task.v", gaps, "Definition gaps : list gap := [].", "Block0"),
        "numbers with a digit more": ("Main.v", "has_digits 53", "has_digits 54", "Main"),
        "numbers with a smaller digit": ("Main.v", "53 (-1074) compared", "54 (-1075) compared", "Main"),
        "a coordinate that need not be a number": ("Task.v", "compared : list nat := [0;1]", "compared : list nat := [0]", "Main"),
        "three experts": ("Weights.v", "2%nat Softmax", "3%nat Softmax", "Block0"),
        "weights that are logits": ("Weights.v", "2%nat Softmax", "2%nat Rectified", "Block0"),
        "an end taken from its piece": ("Task.v", f"Closed {tenth}", f"Open {tenth}", "Values"),
    }
    for what, (name, before, after, expected) in wrong.items():
        assert together[name].count(before) >= 1, what
        assert refused(proof, {**together, name: together[name].replace(before, after, 1)}) == expected, what


@needs_coq
def test_what_two_layers_of_neurons_carry_is_seen_from_their_weights(tmp_path: Path) -> None:
    """x = σ(σ(x)) − σ(σ(−x)), and not σ(σ(x)) − σ(σ(x))."""
    halves = "([[(1,0)]; [(-1,0)]]%Z, [(0%nat,(1,0)%Z); (1%nat,(1,0)%Z)], [(0,0); (0,0)]%Z)"
    same = "([[(1,0);(0,0)]; [(0,0);(1,0)]]%Z, [(0%nat,(1,0)%Z); (1%nat,(1,0)%Z)], [(0,0); (0,0)]%Z)"
    text = f"""From Coq Require Import ZArith List.
From AtlasMoE Require Import Semantics Scores.
Import ListNotations.
Definition hidden_ (b : block dyadic) := Hidden b [Relu; Relu] None.
Definition layers_ := [hidden_ {halves}; hidden_ {same}].
Definition carried last : known := nth 0 (of_net (layers_, ([last], [(0%nat,(1,0)%Z)], [(0,0)%Z])) (lines 1)) Anything.
Example copied : carried [(1,0); (-1,0)]%Z = Line ((1,0)%Z, 0%nat, (0,0)%Z). Proof. reflexivity. Qed.
Example other : carried [(1,0); (1,0)]%Z = Anything. Proof. reflexivity. Qed.
"""
    (tmp_path / "theory").mkdir()
    (tmp_path / "theory" / "Scores.v").write_text("")
    compiled_theory(tmp_path, "fast")
    (tmp_path / "Carried.v").write_text(text)
    done = subprocess.run(["coqc", *OPTIONS, "Carried.v"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def copies() -> dict[str, str]:
    """Two copies of every expert are chosen in every layer that routes."""
    return graph_files(graph_statement_of(compile(load_task(GOLDEN / "jumps.toml"), epsilon=0.2, form="residual", top_k=2)), "fast")


def test_layers_that_take_several_experts_of_a_block_are_mixtures(copies: dict[str, str]) -> None:
    assert copies["Hints.v"].count("in after_mixture known_") == 2
    assert "M.accepted_mixture graph ranges known_3 layer_3 hint_3 = true" in copies["Block1.v"]
    assert "[0;0;1;1]%nat" in copies["Weights.v"]


@needs_coq
def test_copies_are_a_theorem_and_other_experts_among_them_are_none(copies: dict[str, str], tmp_path: Path) -> None:
    proof = tmp_path / "p"
    write(proof, copies)
    compiled_theory(proof, "fast")
    assert refused(proof, copies) is None
    wrong = {
        "three of two copies": ("2%nat Softmax.\n\nDefinition network", "3%nat Softmax.\n\nDefinition network", "Block1"),
        "weights that do not add up to 1": ("2%nat Softmax.\n\nDefinition network", "2%nat Rectified.\n\nDefinition network", "Block1"),
        "a copy of another expert": ("[0;0;1;1]%nat [0;1]", "[0;1;0;1]%nat [0;1]", "Block1"),
    }
    for what, (before, after, expected) in wrong.items():
        assert copies["Weights.v"].count(before) == 1, what
        assert refused(proof, {**copies, "Weights.v": copies["Weights.v"].replace(before, after)}) == expected, what
