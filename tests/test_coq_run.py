"""Theorems that coqc accepts, and false ones that it refuses. Only where ATLASMOE_COQ is set: `.ci/coq` does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from atlasmoe import compile, load_task
from atlasmoe.cli.main import main
from atlasmoe.export.folder import save
from atlasmoe.moe import Affine, Model, Network
from atlasmoe.verify.coq.numbers import dyadic, number
from atlasmoe.verify.coq.project import files, write
from atlasmoe.verify.coq.run import ALLOWED, OPTIONS, run
from atlasmoe.verify.coq.statement import statement_of
from atlasmoe.verify.coq.theory import compiled_theory
from click.testing import CliRunner

pytestmark = pytest.mark.skipif(
    not os.environ.get("ATLASMOE_COQ") or shutil.which("coqc") is None, reason="needs coqc, and ATLASMOE_COQ to be set"
)
SPHERE = """
[task]
name = "ball sphere"

[manifold]
builtin = "sphere"
atlas = "ball"
charts = 12

[target]
expression = "x1*x2 + x3**2"
"""


SEVERAL = """
[task]
name = "weather"

[manifold]
builtin = "interval"

[[target]]
name = "heat"
epsilon = 4.0
expression = "100*x1**2"

[[target]]
name = "wind"
epsilon = 0.05
outputs = ["east", "north"]
expression = ["x1**2", "exp(x1)"]
"""


FUNCTIONS = """
[task]
name = "functions"

[manifold]
builtin = "interval"

[target]
expression = [
  "asin(x1/2) + acos(x1/3) + asinh(x1) + acosh(2 + x1) + atanh(x1/2) + atan2(1 + x1**2, x1 - 0.5) + sign(x1 + 5)",
  "tan(x1/2) + cot(1 + x1) + sinh(x1) - cosh(x1)",
  "exp(-x1)*sin(3*x1) - cos(x1)/2 + log(1 + x1) + sqrt(x1 + 0.01)",
  "atan(2*x1) + tanh(x1) + x1/(1 + x1**2) - pi/E",
  "Max(x1, 1 - x1, 0.6) - Min(x1**2, 0.5) + Abs(x1 - 0.3)",
  "(1 + x1)**1.5 + (1 + x1)**(-2) + 2**x1 + (1 + x1)**x1",
  "Piecewise((x1, x1 <= 0.25), (0.5 - x1, (x1 < 0.5) & (x1 >= 0)), (0, True))",
]
"""
WRONG = {
    "Fun Asinh": "Fun Asin",
    "Fun Tan ": "Fun Atan ",
    "Fun Log": "Fun Sqrt",
    "Fun Abs": "Fun Sign",
    "Max": "Min",
    "Power": "Mul",
    "If (Both": "If (Either",
}
"""Words of `Task.v`, and others in their places, with which the theorem is false."""


def prove(*arguments: str) -> tuple[int, dict[str, object]]:
    done = CliRunner().invoke(main, ["prove", *arguments, "--json"])
    return done.exit_code, json.loads(done.stdout)


@pytest.fixture(scope="module")
def circle(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    model = compile(load_task(Path(__file__).parent / "golden" / "circle.toml"), epsilon=0.01)
    return model, save(model, tmp_path_factory.mktemp("models") / "circle")


@pytest.fixture(scope="module")
def proof(circle: tuple[Model, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A proof that coqc accepted, without any certificate, of the circle and its evaluation in floats."""
    place = tmp_path_factory.mktemp("proofs") / "circle"
    code, document = prove(str(circle[1]), "-o", str(place), "--floats")
    assert (code, document["accepted"], document["message"]) == (0, True, "")
    assert any(ALLOWED.fullmatch(str(name)) for name in document["assumptions"])  # type: ignore[union-attr]
    return place


def test_the_circle_is_proved_and_its_makefile_says_so_too(proof: Path) -> None:
    done = subprocess.run(["make", "-q"], cwd=proof, check=False)
    assert done.returncode == 0  # everything is up to date
    assert "forall y0 y1, y0 * y0 + y1 * y1 = 1 -> close eps Target.f [y0; y1] (Psi [y0; y1])" in (proof / "Equation.v").read_text()
    (proof / "Equation.vo").unlink()
    done = subprocess.run(["make"], cwd=proof, capture_output=True, text=True, check=True)
    assert "Axioms:" in done.stdout


def refuses(proof: Path, name: str) -> bool:
    """Whether coqc refuses a file of a proof, and for the reason that the computation says false."""
    done = subprocess.run(["coqc", *OPTIONS, name], cwd=proof, capture_output=True, text=True, check=False)
    return done.returncode != 0 and ("accepted" in done.stderr or "true" in done.stderr)


@pytest.mark.parametrize("cuts", ["[]", "[1]", "[1;0]", "[0;0]", "[2;0;0]"])
def test_boxes_that_do_not_cover_the_chart_are_refused(cuts: str, proof: Path, tmp_path: Path) -> None:
    place = shutil.copytree(proof, tmp_path / "proof")
    text, count = re.subn(r"list nat := \[.*?\]%nat", f"list nat := {cuts}%nat", (place / "Chart0.v").read_text())
    assert count == 1
    (place / "Chart0.v").write_text(text)
    expected = cuts != "[2;0;0]"  # a side that there is not is halved into two boxes that are the box
    assert refuses(place, "Chart0.v") is expected


@pytest.mark.parametrize("part", ["what rounding adds", "what numpy is off by"])
def test_a_claim_about_floats_that_is_too_small_is_refused(part: str, circle: tuple[Model, Path], proof: Path, tmp_path: Path) -> None:
    model = circle[0]
    claim = statement_of(model, floats=True).floats
    assert claim is not None
    points = model.manifold_task.atlas.sample(4000, seed=1)
    true = float(np.abs(model(points.ambient) - model.task.evaluate(points)).max())  # type: ignore[union-attr]
    wide = 0.01 + claim.adds / 2 if part == "what rounding adds" else 0.999 * true
    place = shutil.copytree(proof, tmp_path / "proof")
    text, count = re.subn(
        r"Definition wide : dyadic := .*", f"Definition wide : dyadic := {number(dyadic(wide))}.", (place / "Task.v").read_text()
    )
    assert count == 1
    (place / "Task.v").write_text(text)
    subprocess.run(["coqc", *OPTIONS, "Task.v"], cwd=place, capture_output=True, check=True)
    assert refuses(place, "Chart1.v")


def test_an_error_below_the_true_one_is_refused_and_the_place_is_named(circle: tuple[Model, Path], tmp_path: Path) -> None:
    model, folder = circle
    points = model.manifold_task.atlas.sample(4000, seed=1)
    true = float(np.abs(model(points.ambient) - model.task.evaluate(points)).max())  # type: ignore[union-attr]
    code, document = prove(str(folder), "-o", str(tmp_path / "p"), "--epsilon", repr(0.999 * true))
    assert (code, document["accepted"]) == (1, False)
    assert str(document["refused"]).startswith("Chart")
    assert re.search(r"on chart arc\d it settled \d+ boxes, and stopped at u1? in \[", str(document["where"])), document["where"]


def test_a_changed_weight_is_refused(circle: tuple[Model, Path], tmp_path: Path) -> None:
    model, _ = circle
    layer = model.network.layers[1]
    net = layer.experts[2]
    last = net.affines[-1]
    wrong = net.with_maps((*net.affines[:-1], Affine(last.weight, last.bias + 0.02)), net.ups)
    changed = replace(layer, experts=(*layer.experts[:2], wrong, *layer.experts[3:]))
    network = Network((model.network.layers[0], changed), model.network.inputs)
    folder = save(replace(model, network=network, certificate=None, beside=None), tmp_path / "m")
    code, document = prove(str(folder), "-o", str(tmp_path / "p"))
    assert (code, document["accepted"]) == (1, False)


def test_the_sphere_with_an_affine_router_is_proved(tmp_path: Path) -> None:
    (tmp_path / "sphere.toml").write_text(SPHERE)
    folder = save(compile(load_task(tmp_path / "sphere.toml"), epsilon=0.015), tmp_path / "m")
    code, document = prove(str(folder), "-o", str(tmp_path / "p"), "--jobs", "2", "--routes")
    assert (code, document["accepted"]) == (0, True)
    assert "on_the_sphere" in (tmp_path / "p" / "Equation.v").read_text()
    domains = tmp_path / "p" / "Domains.v"
    text = domains.read_text()
    # Balls of half the radius do not hold all the points that their experts get.
    domains.write_text(re.sub(r"Ball \(\(Dec (\S+)\) \^ 2 -", r"Ball ((Dec \1) ^ 2 * (1 / 4) -", text))
    assert domains.read_text() != text
    subprocess.run(["coqc", *OPTIONS, "Domains.v"], cwd=tmp_path / "p", capture_output=True, check=True)
    assert refuses(tmp_path / "p", "Route0.v")


def test_functions_are_followed_and_not_confused(tmp_path: Path) -> None:
    (tmp_path / "functions.toml").write_text(FUNCTIONS)
    model = compile(load_task(tmp_path / "functions.toml"), epsilon=0.05)
    place = tmp_path / "p"
    write(place, files(statement_of(model), [[0]], "fast"))
    compiled_theory(place, "fast")
    for name in ("Weights.v", "Task.v", "Chart0.v"):
        done = subprocess.run(["coqc", *OPTIONS, name], cwd=place, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    task = (place / "Task.v").read_text()
    for word, other in WRONG.items():
        before, found, after = task.rpartition(f"({word}")
        assert found, word
        (place / "Task.v").write_text(f"{before}({other}{after}")
        subprocess.run(["coqc", *OPTIONS, "Task.v"], cwd=place, capture_output=True, check=True)
        assert refuses(place, "Chart0.v"), word


def test_several_targets_are_proved_each_within_its_own_epsilon(tmp_path: Path) -> None:
    (tmp_path / "several.toml").write_text(SEVERAL)
    model = compile(load_task(tmp_path / "several.toml"))
    folder, place = save(model, tmp_path / "m"), tmp_path / "p"
    code, document = prove(str(folder), "-o", str(place))
    assert (code, document["accepted"], document["targets"]) == (0, True, {"heat": 4.0, "wind": 0.05})
    assert "follows [u0] (Psi [u0])" in (place / "Equation.v").read_text()
    task = (place / "Task.v").read_text()
    first, second = re.findall(r"Definition eps : dyadic := \S+", task)
    (place / "Task.v").write_text(task.replace(first, "SWAPPED").replace(second, first).replace("SWAPPED", second))
    subprocess.run(["coqc", *OPTIONS, "Task.v"], cwd=place, capture_output=True, check=True)
    assert refuses(place, "Chart0.v")  # each would have the ε of the other one
    layer = model.network.layers[-1]
    moved = []
    for net in layer.experts:
        last = net.affines[-1]
        moved.append(net.with_maps((*net.affines[:-1], Affine(last.weight, last.bias + np.array([0, 0, 0.1]))), net.ups))
    network = Network((*model.network.layers[:-1], replace(layer, experts=tuple(moved))), model.network.inputs)
    off = save(replace(model, network=network, certificate=None, beside=None), tmp_path / "off")
    code, document = prove(str(off), "-o", str(tmp_path / "q"))
    assert (code, document["accepted"]) == (1, False)
    assert ": target wind: on chart " in str(document["where"])


def test_an_axiom_of_a_module_that_is_called_as_one_of_coq_is_none_of_coq(tmp_path: Path) -> None:
    place = tmp_path / "p"
    (place / "theory").mkdir(parents=True)
    for name in ("Weights", "Task"):
        (place / f"{name}.v").write_text("\n")
    (place / "PrimFloat.v").write_text("Axiom wrong : 0 = 1.\n")
    (place / "Main.v").write_text(
        "From Proof Require PrimFloat.\nTheorem one : 0 = 1.\nProof. exact PrimFloat.wrong. Qed.\nPrint Assumptions one.\n"
    )
    outcome = run(place, ["PrimFloat"], "fast", 1)
    assert (outcome.accepted, outcome.assumptions) == (False, ("Proof.PrimFloat.wrong",))


def test_a_chart_in_several_files_is_a_theorem_and_without_one_of_its_points_it_is_none(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(FUNCTIONS.replace('"functions"', '"one chart"').replace(FUNCTIONS.split('"')[-2], "sin(3*x1)"))
    folder = save(compile(load_task(tmp_path / "t.toml"), epsilon=0.02), tmp_path / "m")
    code, document = prove(str(folder), "-o", str(tmp_path / "p"), "--jobs", "2")
    assert (code, document["accepted"]) == (0, True)
    assert "Part0_3" in document["seconds"]  # type: ignore[operator]
    for name, before, after in (
        ("Chart0.v", "(Cut 0 (Leaf) (Leaf)) (Cut 0 (Leaf) (Leaf))", "(Leaf) (Cut 0 (Cut 0 (Leaf) (Leaf)) (Leaf))"),
        ("Part0_3.v", "nth 3 (", "nth 2 ("),
        ("Point.v", "(1,-1)", "(3,0)"),
    ):
        text = (tmp_path / "p" / name).read_text()
        assert before in text, name
        (tmp_path / "p" / name).write_text(text.replace(before, after, 1))
        done = [
            subprocess.run(["coqc", *OPTIONS, file], cwd=tmp_path / "p", capture_output=True, check=False)
            for file in dict.fromkeys((name, "Chart0.v"))
        ]
        assert any(one.returncode for one in done), name
        (tmp_path / "p" / name).write_text(text)
