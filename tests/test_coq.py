"""What is written for Coq: expressions as they stand in the text, weights exactly, nothing unfollowed; without coqc."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from atlasmoe.atlas import Atlas, ManifoldTask, task_from_spec
from atlasmoe.atlas.chart import Chart
from atlasmoe.atlas.manifolds.overlap import intrinsic_symbols
from atlasmoe.cli.main import main
from atlasmoe.errors import FolderError, InvalidArgument
from atlasmoe.export.folder import save
from atlasmoe.expressions.box import Box
from atlasmoe.expressions.maps import ExpressionMap
from atlasmoe.expressions.parse import read_expression, real_symbols
from atlasmoe.expressions.tree import Name, Number, Power
from atlasmoe.moe import Model
from atlasmoe.verify.coq.equations import equation_of
from atlasmoe.verify.coq.expressions import FUNCTIONS, expression, names_of
from atlasmoe.verify.coq.numbers import block, comment, dyadic, number, shared_rows
from atlasmoe.verify.coq.parts import split, wanted
from atlasmoe.verify.coq.project import all_theory, files, parts_of_project, theory_text, write
from atlasmoe.verify.coq.read_back import differences
from atlasmoe.verify.coq.run import ALLOWED, MACHINE, Outcome, assumed, read_trouble, run
from atlasmoe.verify.coq.statement import ARITHMETICS, Statement, statement_of
from atlasmoe.verify.coq.theory import needed, not_whole
from click.testing import CliRunner

NAMES = {"x": "x", "y": "y"}


def coq(text: str) -> str:
    return expression(read_expression(text, real_symbols(["x", "y"])).tree, NAMES, "f")


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("x - y*x/3", "(x - (y * x / 3))"),
        ("-x**2", "(- (x ^ 2))"),
        ("x**(-2)", "(Inv (x ^ 2))"),
        ("sqrt(x)**2", "((Fun Sqrt x) ^ 2)"),
        ("x/x", "(x / x)"),
        ("0.1*x", "((Dec (3602879701896397,-55)%Z) * x)"),
        ("x**y", "(Power x y)"),
        ("Max(x, y, 1)", "(Max (Max x y) 1)"),
        ("2*pi + E", "((2 * Pi) + Euler)"),
        ("cot(x)", "(Fun Cos x / Fun Sin x)"),
        ("acosh(x) - sign(asin(y))", "((Fun Acosh x) - (Fun Sign (Fun Asin y)))"),
        ("atan2(y, x)", "(Atan2 y x)"),
        (
            "Piecewise((x, x < y), (y, x >= 1 or y > x), (0, True))",
            "(If (Less x y) x (If (Either (AtMost 1 x) (Less x y)) y (If Always 0 Undefined)))",
        ),
        ("Piecewise((x, x > 0 and y <= 2), (0, True))", "(If (Both (Less 0 x) (AtMost y 2)) x (If Always 0 Undefined))"),
    ],
)
def test_an_expression_is_written_as_it_stands(text: str, term: str) -> None:
    assert coq(text) == term


def test_what_is_not_followed_is_refused_by_name() -> None:
    with pytest.raises(InvalidArgument, match=r"f: the exponent 5000 is not among .*Piecewise"):
        expression(Power(Name("x"), Number(Fraction(5000))), NAMES, "f")


def test_every_function_has_a_word_in_the_semantics() -> None:
    assert set(FUNCTIONS.values()) == set(re.search(r"Inductive func := ([^.]*)\.", theory_text("Semantics")).group(1).split(" | "))


def test_coordinates_keep_their_names_unless_coq_has_another_use_for_them() -> None:
    assert names_of(["x", "f", "If", "λ", "x_"]) == {"x": "x", "f": "f_", "If": "If_", "λ": "x3_", "x_": "x_"}
    assert len(set(names_of(["f", "f_", "f__"]).values())) == 3
    assert names_of(["Axiom", "Variable"]) == {"Axiom": "Axiom_", "Variable": "Variable_"}
    assert names_of(["chart", "eps", "node_1", "Chart0"]) == {"chart": "chart_", "eps": "eps_", "node_1": "x2_", "Chart0": "x3_"}
    defined = re.findall(r"(?:Definition|Inductive|Record|Fixpoint|with) (\w+)", theory_text("Tasks") + theory_text("Routing"))
    assert all(
        names_of([word])[word] != word
        for word in ("expr", "Q", "after", *(d for d in defined if d in {"graph", "piece", "node", "domain"}))
    )
    assert comment('a "*) b (* \n c') == "(* a '* ) b ( * c *)"


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, -0.1, 5e-324, 1.7976931348623157e308, float(np.float32(1 / 3))])
def test_a_float_is_the_dyadic_fraction_that_it_is(value: float) -> None:
    m, e = dyadic(value)
    assert Fraction(m) * Fraction(2) ** e == Fraction(value)
    assert m % 2 or (m, e) == (0, 0)


def test_rows_that_differ_by_a_power_of_two_are_written_once() -> None:
    weight = np.array([[0.3, -0.7], [-0.15, 0.35], [0.3, 0.7], [0.0, 0.0], [2.4, -5.6]])
    rows, chosen = shared_rows(weight)
    assert len(rows) == 3
    for (k, (m, e)), row in zip(chosen, weight, strict=True):
        assert [Fraction(m * a) * Fraction(2) ** (e + b) for a, b in rows[k]] == [Fraction(x) for x in row.tolist()]
    assert block(weight[:1], np.array([0.5])).endswith("[(0%nat,(1,0))],\n [(1,-1)])")


def test_the_theory_takes_nothing_for_granted() -> None:
    for name in {name for arithmetic in ARITHMETICS for name in all_theory(arithmetic)}:
        text = re.sub(r"\(\*.*?\*\)", "", theory_text(name), flags=re.DOTALL)
        assert not re.search(r"\b(Admitted|admit|Axioms?|Conjecture|Abort|give_up|bypass_check|Unset)\b", text), name
        outside = re.sub(r"Module Type .*?\nEnd \w+\.", "", text, flags=re.DOTALL)
        assert not re.search(r"\bParameters?\b|\bDeclare Module\b", outside), name
        within: list[str] = []
        for word, what in re.findall(r"^(Section|End|Variable|Hypothesis|Context|Let)s? (\w+)", outside, re.MULTILINE):
            if word == "Section":
                within.append(what)
            elif word == "End":
                within = within[:-1] if within[-1:] == [what] else within
            else:
                assert within, f"{name}: {word} {what} outside of a section is an axiom"
    semantics = theory_text("Semantics")
    assert "Interval" not in semantics
    assert len(semantics.splitlines()) < 250


@pytest.fixture(scope="module")
def folder(circle: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(circle, tmp_path_factory.mktemp("model") / "circle")


@pytest.fixture(scope="module")
def proof(circle: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("proof") / "proof"
    statement = statement_of(circle)
    write(place, files(statement, [[0]] * len(statement.charts), "pure"))
    return place


def test_the_folder_says_what_is_proved_and_of_what(proof: Path, circle: Model) -> None:
    charts = len(circle.manifold_task.atlas.charts)
    expected = {f"Chart{k}.v" for k in range(charts)} | {"Weights.v", "Task.v", "Main.v", "Equation.v", "Point.v"}
    assert expected == {path.name for path in proof.glob("*.v")}
    assert not (proof / "theory" / "Fast.v").exists()
    task = (proof / "Task.v").read_text()
    for text in circle.manifold_task.target.function.texts:  # type: ignore[union-attr]
        assert f"(* {text} *)" in task
    m, e = dyadic(circle.ledger.root.budget)
    assert f"Definition eps : dyadic := ({m},{e})." in task
    readme = (proof / "README.md").read_text()
    assert f"ε = {circle.ledger.root.budget!r}" in readme
    assert "What has to be believed" in readme
    main_file = (proof / "Main.v").read_text()
    assert main_file.index("Require Import Semantics") > main_file.rindex("From Coq Require Import")  # read last: it says what words mean
    assert main_file.endswith("Print Assumptions error_bound.\n")
    assert "Theorem error_bound : forall y, on_M y -> close eps Target.f y (Psi y)." in main_file


def test_a_chart_is_put_into_files_where_there_are_jobs_for_them(circle: Model) -> None:
    statement = statement_of(circle)
    cuts = [[0], [1, 0, 1, 0, 0], [0]]
    contents = files(statement, cuts, "fast", jobs=5)
    parts, joined = parts_of_project(contents)
    assert joined == {f"Chart{k}": [f"Part{k}_{j}" for j in range(4)] for k in range(3)}
    assert len(parts) == 3 * 4 + 1
    assert "parts (Cut 0 (Leaf) (Cut 0 (Leaf) (Leaf)))" not in contents["Part1_0.v"]  # 4 files: the first leaf is halved too
    assert "parts (Cut 0 (Cut 0 (Leaf) (Leaf)) (Cut 0 (Leaf) (Leaf)))" in contents["Part1_0.v"]
    assert "Chart1.vo: Part1_0.vo Part1_1.vo Part1_2.vo Part1_3.vo" in contents["Makefile"]
    assert parts_of_project(files(statement, cuts, "fast", jobs=3))[1] == {}
    cut = split([2, 1, 0, 0, 1, 0, 0], 2, 3)
    assert (cut.tree, cut.below) == ("Cut 1 (Cut 0 (Leaf) (Leaf)) (Leaf)", ((0,), (0,), (1, 0, 0)))
    assert wanted([1, 0] * 10_000 + [0], 3, 1) == 3  # about 4000 leaves a file


def stated(table: str, change: Callable[[tuple[Chart, ...]], tuple[Chart, ...]] = lambda charts: charts) -> str | None:
    """What is proved of the set of an equation, for a library manifold whose charts are changed."""
    task = task_from_spec({"task": {"name": "t"}, "manifold": tomllib.loads(table), "target": {"expression": "1"}})
    assert isinstance(task, ManifoldTask)
    charts = change(tuple(task.atlas.parametrising))
    equation = equation_of(Statement(replace(task, atlas=Atlas(task.atlas.coordinates, charts)), None, 0.1))  # type: ignore[arg-type]
    return None if equation is None else equation.words


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('builtin = "sphere"', "x1² + x2² + x3² = 1"),
        ('builtin = "sphere"\natlas = "ball"\ncharts = 12', "x1² + x2² + x3² = 1"),
        ('builtin = "sphere"\ndimension = 3', "x1² + x2² + x3² + x4² = 1"),
        ('builtin = "sphere"\natlas = "graph"', "x1² + x2² + x3² = 1"),
        ('builtin = "circle"\natlas = "graph"', "x1² + x2² = 1"),
        ('builtin = "so3"', "RᵀR = 1, det R = 1"),
        ('builtin = "circle"\natlas = "stereographic"', "x1² + x2² = 1"),
        ('builtin = "circle"\ncharts = 2', "x1² + x2² = 1"),
        ('builtin = "circle"\ncharts = 7', "x1² + x2² = 1"),
        ('builtin = "torus"', "x1² + x2² = 1, x3² + x4² = 1"),
        ('builtin = "cylinder"', "x1² + x2² = 1, -1 ≤ x3 ≤ 1"),
        ('builtin = "cylinder"\ncoordinates = ["x2", "x3", "x1"]', "x2² + x3² = 1, -1 ≤ x1 ≤ 1"),
        ('builtin = "interval"', "a box"),
        ('builtin = "box"\ncharts = 3', "a box"),
        (
            'builtin = "swiss_roll"',
            "(2*u1*cos(u1)/9/pi, u2, 2*u1*sin(u1)/9/pi) for 4.7123889803846897 ≤ u1 ≤ 14.137166941154069, -0.5 ≤ u2 ≤ 0.5",
        ),
        ('builtin = "ellipsoid"', None),
        ('builtin = "klein_bottle"', None),
        ('builtin = "torus"\ncharts = 9', None),  # 81 charts
    ],
)
def test_equations_are_stated_where_the_charts_are_known_to_cover(table: str, words: str | None) -> None:
    assert stated(table) == words


def boxed(width: float, chart: int = 0) -> Callable[[tuple[Chart, ...]], tuple[Chart, ...]]:
    """One chart on [−width, width]^d."""

    def change(charts: tuple[Chart, ...]) -> tuple[Chart, ...]:
        d = charts[chart].dimension
        return (*charts[:chart], replace(charts[chart], domain=Box((-width,) * d, (width,) * d)), *charts[chart + 1 :])

    return change


def apart(charts: tuple[Chart, ...]) -> tuple[Chart, ...]:
    """Two pieces of an interval with nothing between two neighbouring floats."""
    return tuple(
        replace(chart, domain=Box(*sides))
        for chart, sides in zip(charts, (((0.0,), (0.5,)), ((np.nextafter(0.5, 1),), (1.0,))), strict=True)
    )


@pytest.mark.parametrize(
    "table", ['builtin = "sphere"', 'builtin = "circle"\ncharts = 4', 'builtin = "torus"', 'builtin = "box"\ncharts = 2']
)
def test_no_equation_where_a_chart_is_missing(table: str) -> None:
    assert stated(table, lambda charts: charts[::-1]) == stated(table) is not None
    for change in (lambda charts: charts[1:], lambda charts: charts[:-1], lambda charts: (replace(charts[1], name="again"), *charts[1:])):
        said = stated(table, change)  # of charts with the same map, what they are the image of
        assert said is None or "for -1.5 ≤ u1 ≤ 1.5" in said


LEAST = {
    'builtin = "sphere"': 1.0,
    'builtin = "so3"': 1.0,
    'builtin = "circle"\ncharts = 4': 1.0,
    'builtin = "torus"\ncharts = 2': 2.0,
    'builtin = "circle"\natlas = "graph"': float(np.sqrt(0.5)),
}
"""Half-widths of boxes below which nothing is said."""


@pytest.mark.parametrize(("table", "least"), LEAST.items())
def test_no_equation_where_a_box_is_an_ulp_too_small(table: str, least: float) -> None:
    assert stated(table, boxed(least)) is not None
    assert stated(table, boxed(float(np.nextafter(least, 0)), 1)) is None


def test_no_equation_where_a_region_or_a_map_is_another_one() -> None:
    def region(rho: float, power: int) -> Callable[[tuple[Chart, ...]], tuple[Chart, ...]]:
        (u,) = intrinsic_symbols(1)
        return lambda charts: (replace(charts[0], region=ExpressionMap((u,), (rho - u**power,))), *charts[1:])

    graph = 'builtin = "circle"\natlas = "graph"'
    assert stated(graph, region(0.51, 2)) == "x1² + x2² = 1"
    assert stated(graph, region(0.49, 2)) is None
    assert stated(graph, region(0.6, 4)) is None
    arcs = 'builtin = "circle"\ncharts = 4'
    assert stated(arcs, lambda charts: (replace(charts[0], inverse=charts[1].inverse), *charts[1:])) is None


def test_no_equation_where_pieces_leave_a_gap() -> None:
    assert stated('builtin = "interval"\ncharts = 2') == "a box"
    assert stated('builtin = "interval"\ncharts = 2', apart) is None


def test_weights_read_back_are_those_of_the_model(folder: Path, proof: Path) -> None:
    assert differences(folder, proof) == []
    done = CliRunner().invoke(main, ["prove", str(folder), "-o", str(proof), "--read-back"])
    assert done.exit_code == 0, done.output


CHANGES = {
    "a mantissa": (r"\[\((-?\d{9,}),", lambda m: f"[({int(m.group(1)) + 2},"),
    "an exponent": (r",-5(\d)\)", lambda m: f",-4{m.group(1)})"),
    "a sign": (r"\(1%nat,\(1,0\)\)", lambda m: "(1%nat,(-1,0))"),
    "a row": (r"\(1%nat,", lambda m: "(0%nat,"),
    "an activation": (r"repeat Relu ", lambda m: "repeat Identity "),
    "another expert": (r"\[0;1;2\]%nat \[", lambda m: "[0;2;1]%nat ["),
    "another channel": (r"\(None,Some 0\)", lambda m: "(Some 0,Some 0)"),
    "two experts at a time": (r"%nat 1%nat Softmax", lambda m: "%nat 2%nat Softmax"),
    "a layer less": (r"\[layer_0; layer_1\]", lambda m: "[layer_1]"),
    "an axiom": (r"Open Scope Z_scope\.\n", lambda m: m.group(0) + "Axiom wrong : False.\n"),
    "a function of a number": (r"\[\((-?\d{5,}),(-?\d+)\)", lambda m: f"[((fun p => (Z.opp (fst p), snd p)) ({m.group(1)},{m.group(2)}))"),
    "a neuron more": (r"repeat Relu (\d+)", lambda m: f"repeat Relu {m.group(1)} ++ [Relu2]"),
    "a net that is right in a comment": (
        r"Definition (\w+) : net .*\n",
        lambda m: f"{m.group(0).replace('Relu', 'Identity')}(*\n{m.group(0)}*)\n",
    ),
    "a quote in the first comment": (r"\(\* ", lambda m: '(* "'),
    "a number beyond all floats": (r",-5(\d)\)", lambda m: ",9999)"),
    "a row that there is not": (r"\(1%nat,", lambda m: "(77777%nat,"),
    "another map last": (r", layers_1_experts_0_affines_(\d)\)\.", lambda m: f", layers_1_experts_1_affines_{m.group(1)})."),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_is_changed_in_the_weights_is_seen(change: str, folder: Path, proof: Path, tmp_path: Path) -> None:
    pattern, into = CHANGES[change]
    text, count = re.subn(pattern, into, (proof / "Weights.v").read_text(), count=1)
    assert count == 1
    (tmp_path / "Weights.v").write_text(text)
    assert differences(folder, tmp_path) != []


def test_one_bit_of_the_model_is_seen(circle: Model, proof: Path, tmp_path: Path) -> None:
    place = save(circle, tmp_path / "model")
    data = bytearray((place / "model.safetensors").read_bytes())
    data[-16] ^= 1
    (place / "model.safetensors").write_bytes(bytes(data))
    assert len(differences(place, proof)) == 1
    done = CliRunner().invoke(main, ["prove", str(place), "-o", str(proof), "--read-back"])
    assert done.exit_code == 1


@pytest.mark.parametrize("config", ["[]", "{}", '{"network": {}}', '{"network": {"inputs": ["x"], "layers": [null]}}'])
def test_a_configuration_without_a_network_is_an_error_of_the_input(config: str, folder: Path, proof: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(FolderError, match="describes no network"):
        differences(tmp_path, proof)


def test_a_cache_with_other_texts_or_without_a_file_is_not_whole(tmp_path: Path) -> None:
    names = needed({"Fast", "Circle"}, "fast")
    below = ("Semantics", "Taylor", "Intervals", "Forms", "Expressions", "Nets", "Routes", "Layers", "Conjunctions", "Trees", "Paths")
    assert names == (*below, "Checker", "Fast", "Circle")
    assert set(needed({"FastFloats"}, "fast")) - set(names) == {"Floats", "Orders", "Rounding", "FloatBounds", "FloatChecker", "FastFloats"}
    for name in names:
        (tmp_path / f"{name}.v").write_text(theory_text(name), encoding="utf-8")
        (tmp_path / f"{name}.vo").write_bytes(b"compiled")
    assert not_whole(tmp_path, names) == ()
    semantics = tmp_path / "Semantics.v"
    semantics.write_text(semantics.read_text(encoding="utf-8").replace("<= D2R eps", "<= 1 + D2R eps"), encoding="utf-8")
    alone = ("Conjunctions", "Trees", "Circle")
    assert not_whole(tmp_path, names) == tuple(name for name in names if name not in alone)  # all that rests on it
    semantics.write_text(theory_text("Semantics"), encoding="utf-8")
    (tmp_path / "Checker.vo").unlink()
    assert not_whole(tmp_path, names) == ("Checker", "Fast")


def test_a_folder_of_something_else_is_left_alone(circle: Model, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("ten years")
    with pytest.raises(FolderError, match="no folder of a proof"):
        write(tmp_path, {})
    with pytest.raises(FolderError, match="cannot be read"):
        differences(tmp_path, tmp_path)


@pytest.mark.parametrize("epsilon", ["0", "-1", "nan", "inf", "much"])
def test_an_error_that_is_none_is_refused(epsilon: str, folder: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["prove", str(folder), "-o", str(tmp_path / "p"), "--epsilon", epsilon])
    assert done.exit_code == 2
    assert not (tmp_path / "p").exists()


def test_nothing_is_proved_by_files_that_are_changed_while_coqc_runs(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a second proof that is written into the same folder, with another ε."""

    def beside(place: Path, *_: object) -> Outcome:
        text = (place / "Task.v").read_text()
        (place / "Task.v").write_text(text.replace("Definition eps", "(* *) Definition eps"))
        return Outcome(True, None, "", (), {})

    module = sys.modules[run.__module__]
    monkeypatch.setattr(module, "coqc_path", lambda: "coqc")
    monkeypatch.setattr(module, "run", beside)
    done = CliRunner().invoke(main, ["prove", str(folder), "-o", str(tmp_path / "p")])
    assert done.exit_code == 2
    assert "Task.v: was changed while coqc ran" in done.stderr


def test_without_coqc_the_files_are_written_and_nothing_is_proved(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = CliRunner().invoke(main, ["prove", str(folder), "-o", str(tmp_path / "p")])
    assert done.exit_code == 2
    assert "coqc is not installed, so nothing is proved yet" in done.output
    assert (tmp_path / "p" / "Main.v").exists()


def test_what_coqc_prints_is_read() -> None:
    printed = (
        "Axioms:\nUint63.sub_spec : forall x y : int,\n     φ (x - y) = 1\nPrimFloat.float : Set\nsig_not_dec\n  : forall P : Prop, x\n"
        "é : False\nint is assumed to be guarded.\n"
    )
    assert assumed(printed) == ("Uint63.sub_spec", "PrimFloat.float", "sig_not_dec", "é", "int is assumed to be guarded.")
    assert assumed("Closed under the global context\n") == ()
    assert ALLOWED.fullmatch("Coq.Reals.ClassicalDedekindReals.sig_not_dec")
    assert MACHINE["fast"].fullmatch("Coq.Floats.PrimFloat.add")
    own = (
        "Proof.Main.wrong",
        "PrimFloat.add",
        "Proof.PrimFloat.add",
        "Uint63.add_spec",
        "Proof.Coq.Floats.PrimFloat.add",
        "Weights.wrong",
        "é",
        "classic",
        "sig_not_dec",
        "int",
        "float",
        "Uint63.f is assumed to be guarded.",
    )
    assert not any(rule.fullmatch(name) for name in own for rule in (ALLOWED, *MACHINE.values()))
    assert read_trouble("     = (12%N, [(-0.5, 0.25); (1e-05, 2)])\n     : N * list (float * float)") == (12, [(-0.5, 0.25), (1e-05, 2.0)])
    assert read_trouble("     = (3%N, [(-0x1.8p-3%float, 0x1p+1%float)])\n     : N * list") == (3, [(-0.1875, 2.0)])
    assert read_trouble("Error") is None


def test_a_coqc_that_does_not_say_what_the_theorem_rests_on_proves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "coqc"
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys.modules[run.__module__], "compiled_theory", lambda *_: None)
    outcome = run(tmp_path, ["Chart0"], "pure", 1)
    assert (outcome.accepted, outcome.refused) == (False, "Main")
    assert outcome.message == "coqc did not print what the theorem rests on"


def test_the_error_that_is_said_to_be_proved_is_that_of_the_theorem(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accepted = Outcome(True, None, "", ("Coq.Logic.Classical_Prop.classic",), {"Main": 1.0})
    monkeypatch.setattr(sys.modules[run.__module__], "coqc_path", lambda: "coqc")
    monkeypatch.setattr(sys.modules[run.__module__], "run", lambda *_: accepted)
    done = CliRunner().invoke(main, ["prove", str(folder), "-o", str(tmp_path / "p"), "--epsilon", "0.0500000499", "--floats"])
    assert done.exit_code == 0
    assert "|f − Ψ| ≤ 0.0500000499 at every point of M" in done.output
    found = re.search(r"\|f − Ψ̂\| ≤ (\S+): accepted", done.output)
    assert found is not None
    assert f"Definition wide : dyadic := {number(dyadic(float(found.group(1))))}." in (tmp_path / "p" / "Task.v").read_text()
