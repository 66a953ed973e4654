"""Several targets of which some are Python functions: each proved on its own assumption; planned and quantised in units of their ε."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
from atlasmoe import CallableTarget, ManifoldTask, StackedTarget, Wanted
from atlasmoe.atlas import lint, load_task, task_to_spec
from atlasmoe.atlas.targets import in_units, parts, stacked
from atlasmoe.cli.main import main
from atlasmoe.errors import EpsilonNotReached, InvalidArgument, SpecError
from atlasmoe.moe.outputs import chosen
from atlasmoe.verify.coq.statement import statement_of
from certificates import retold, tampered
from click.testing import CliRunner

CODE = """
import numpy as np

def wave(y):
    return np.sin(2*y[:, 0]) + 0.3*y[:, 0]

def pair(y):
    return np.stack([np.cos(y[:, 0]), y[:, 0]**2], 1)

def jump(y):
    return np.sign(y[:, 0])
"""
SPEC = """
[task]
name = "mixed"
[manifold]
builtin = "interval"
domain = [-1, 1]
[[target]]
name = "heat"
epsilon = "4%"
expression = "100*x1**2"
[[target]]
name = "wave"
epsilon = 0.06
callable = "{module}:wave"
second_derivative = 4.1
[[target]]
name = "pair"
epsilon = "4%"
outputs = ["c", "p"]
callable = "{module}:pair"
lipschitz = 2.0
second_derivative = 2.0
"""


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, list(map(str, words)))
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("mixed")
    module = f"several_{place.name.replace('-', '_')}"
    (place / f"{module}.py").write_text(CODE)
    (place / "mixed.toml").write_text(SPEC.format(module=module))
    return place


@pytest.fixture(scope="module")
def task(place: Path) -> ManifoldTask:
    return load_task(place / "mixed.toml", trust_code=True)


@pytest.fixture(scope="module")
def model(task: ManifoldTask) -> atlasmoe.Model:
    return atlasmoe.compile(task)


@pytest.fixture(scope="module")
def folder(place: Path, model: atlasmoe.Model) -> Path:
    folder = atlasmoe.save(model, place / "out")
    certificate = atlasmoe.certify(model, tightness=None)
    assert certificate.status == "proved"
    certificate.write(folder)
    return folder


def test_each_is_built_to_its_own_epsilon(model: atlasmoe.Model) -> None:
    points = model.task.atlas.sample(2000, 3)
    gap = np.abs(model(points.ambient) - model.task.evaluate(points)).max(0)
    assert (gap <= [4.0, 0.06, 0.04, 0.04]).all()
    assert gap[0] > 0.04
    assert model.task.names == ("heat", "wave", "c", "p")


def test_parts_and_units_are_the_same_functions(task: ManifoldTask) -> None:
    points = task.atlas.sample(100, 1)
    truth = task.evaluate(points)
    units = [4.0, 0.06, 0.04, 0.04]
    numbered = replace(task, wanted=tuple(replace(one, epsilon=e) for one, e in zip(task.wanted, [4.0, 0.06, 0.04], strict=True)))
    np.testing.assert_allclose(in_units(numbered).evaluate(points), truth / units, rtol=1e-14)
    np.testing.assert_array_equal(np.concatenate([part.evaluate(points) for part in parts(task)], 1), truth)
    assert isinstance(stacked([part.target for part in parts(task)]), StackedTarget)
    written, _ = task_to_spec(task)
    assert [table.get("outputs") for table in written["target"]] == [None, None, ["c", "p"]]


def test_a_proof_names_what_each_target_assumes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    told = json.loads((folder / "certificate.json").read_text())
    names = [taken["name"].split("[fields")[0].rpartition("[")[0] for taken in told["assumptions"]]
    assert names == ["target[pair].declared", "target[wave].declared"]
    code, words = run("check", folder)
    assert code == 2
    assert 'target "wave": is the Python function' in words
    assert "not run unless it is trusted" in words
    report = atlasmoe.check(folder, trust_code=True)
    assert report.verdict == "confirmed", report.failures
    assert str(report).startswith("confirmed, assuming target[pair].declared[")
    code, words = run("explain", folder, "--at", "0.6", "--trust-code")
    assert code == 0
    assert "ε of wave is 0.06" in words
    assert "assuming target[pair].declared[" in words
    code, words = run("explain", folder, "--at", "0.6")
    assert "truth" not in words
    assert "(a Python function)" in (folder / "README.md").read_text()
    with pytest.raises(InvalidArgument, match="trust-code"):
        atlasmoe.certify(atlasmoe.load(folder))
    with pytest.raises(InvalidArgument, match="Coq has no word"):
        statement_of(atlasmoe.load(folder))
    by_name = atlasmoe.load(folder, target={"wave": CallableTarget(lambda y: y[:, 0], second_derivative=4.1)})
    assert by_name.task.target.functions_in_python[0].function is not None


def other_constant(document: dict) -> None:
    for taken in document["assumptions"]:
        taken["statement"] = taken["statement"].replace("≤ 4.1·", "≤ 0.1·")


def other_target(document: dict) -> None:
    for taken in document["assumptions"]:
        taken["name"] = taken["name"].replace("target[wave]", "target[heat]")


def nobodys(document: dict) -> None:
    for taken in document["assumptions"]:
        taken["name"] = taken["name"].replace("target[wave].", "")


@pytest.mark.parametrize("edit", [other_constant, other_target, nobodys])
def test_edited_assumptions_are_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edit: Callable[..., None]) -> None:
    monkeypatch.chdir(folder.parent)
    assert atlasmoe.check(tampered(folder, tmp_path / "edited", edit), trust_code=True).verdict == "rejected"


def test_a_constant_edited_after_the_proof_is_no_proof(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    report = atlasmoe.check(retold(folder, tmp_path / "edited", "second_derivative = 4.1", "second_derivative = 0.5"), trust_code=True)
    assert report.verdict == "rejected"
    assert any('target "wave"' in str(failure) and "at most 0.5, but one is" in str(failure) for failure in report.failures)


def test_a_wrong_target_is_refuted_by_name(model: atlasmoe.Model) -> None:
    target = StackedTarget(
        (model.task.target.parts[0], CallableTarget(lambda y: y[:, 0], second_derivative=0.0), model.task.target.parts[2])
    )
    proof = atlasmoe.certify(model.network, replace(model.task, target=target), tightness=None)
    assert proof.refutation.target == "wave"
    assert proof["target[heat].total"].known == "proved"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("second_derivative = 4.1", "second_derivative = 2.1", ('target "wave"', "at most 2.1, but one is")),
        (":wave", ":jump", ('target "wave"', "jumps by 2")),
        ('outputs = ["c", "p"]', "", ('target "pair"', "returns shape (1025, 2)")),
        ('outputs = ["c", "p"]', "outputs = 2", ('target "pair": outputs', "expected a list of names")),
        ('outputs = ["c", "p"]', 'outputs = ["c"]', ('target "pair"', "returns shape (1025, 2)")),
        (":wave", ":none", ('target "wave": callable', "the module has no 'none'")),
        ("lipschitz = 2.0", "lipschitz = -1", ('target "pair": lipschitz', "negative")),
    ],
)
def test_mistakes_say_whose_they_are(place: Path, old: str, new: str, words: tuple[str, ...]) -> None:
    (place / "wrong.toml").write_text((place / "mixed.toml").read_text().replace(old, new))
    try:
        found = [str(one) for one in lint(load_task(place / "wrong.toml", trust_code=True), samples=512)]
    except SpecError as error:
        found = [str(error)]
    assert [line for line in found if all(word in line for word in words)], found


def test_functions_are_passed_by_the_name_of_their_target(place: Path, task: ManifoldTask) -> None:
    wave, pair = task.target.functions_in_python
    again = load_task(place / "mixed.toml", target={"wave": wave, "pair": pair.function})
    assert again.target.functions_in_python[1].lipschitz == 2.0
    for given, words in (
        (wave, "give a mapping: target={NAME: function}"),
        ({"wind": wave}, "which is no target; the targets are heat, wave, pair"),
        ({"heat": wave}, "once more in Python"),
        ({"wave": wave}, "not run unless it is trusted"),
    ):
        with pytest.raises(SpecError) as caught:
            load_task(place / "mixed.toml", target=given)
        assert words in str(caught.value)
    whole = CallableTarget(lambda y: y, outputs=2)
    atlas = task.atlas
    for target, wanted, words in (
        (whole, (Wanted("a", 1.0), Wanted("b", 1.0)), "give each target a function of its own"),
        (StackedTarget((whole, wave)), (Wanted("a", 1.0), Wanted("b", 1.0, 2)), "belongs to several targets in part"),
        (StackedTarget((whole, wave)), (), "give wanted="),
    ):
        with pytest.raises(InvalidArgument, match=words):
            ManifoldTask("t", atlas, target, names=tuple("uvw"[: target.outputs]), wanted=wanted)


def test_an_enclosure_is_an_assumption_about_its_target(model: atlasmoe.Model) -> None:
    heat, wave, pair = model.task.target.parts
    own = CallableTarget(wave.function, name="own", enclosure=lambda y: y[:, 0] * y[:, 0])
    with pytest.raises(InvalidArgument, match="target \"wave\" 'own': its enclosure says"):
        atlasmoe.certify(model.network, replace(model.task, target=StackedTarget((heat, own, pair))))
    for other in (pair.function, lambda y: np.ones((1, len(y)))):
        with pytest.raises(InvalidArgument, match=r"target 'w': returns shape .* not \(.*, 1\); "):
            CallableTarget(other, name="w").values(np.zeros((5, 1)))
    bare = CallableTarget(wave.function, name="bare")
    with pytest.raises(InvalidArgument, match="'bare', of which nothing can be proved"):
        atlasmoe.certify(model.network, replace(model.task, target=StackedTarget((heat, bare, pair))))
    with pytest.raises(InvalidArgument, match="'bare', of which only samples are known"):
        atlasmoe.compile(replace(model.task, target=StackedTarget((heat, bare, pair))), prove=True)


def test_a_plan_is_in_units(place: Path, task: ManifoldTask) -> None:
    frontier = atlasmoe.plan(task, experts=[8])
    assert [one.name for one in frontier.wanted] == ["heat", "wave", "pair"]
    assert frontier.epsilon == 1.0
    made = frontier.model(frontier[0])
    assert made.task.wanted == frontier.wanted
    assert made.ledger.root.bound <= 1.0
    assert made.ledger.root.bound == pytest.approx(frontier[0].predicted, rel=1.0)
    code, words = run("plan", place / "mixed.toml", "--trust-code", "--experts", "8")
    assert code == 0
    assert "reach heat ε = 4, wave ε = 0.06, pair ε = 0.04" in words
    assert "in units of each target's own ε" in words
    for wrong in (("--epsilon", "1%"), ("--experts", "0"), ()):
        assert run("plan", place / "mixed.toml", *wrong, *(["--trust-code"] if wrong else []))[0] == 2


def test_integers_move_each_target_by_a_bound_of_its_own(model: atlasmoe.Model) -> None:
    made = atlasmoe.quantise(model, "int16")
    said = {claim.name: claim for _, claim in made.ledger.root.walk()}
    wanted = made.task.wanted
    assert said["total"].budget == 1.0
    assert said["quantised"].bound == max(said[f"target[{one.name}].quantised"].bound / one.epsilon for one in wanted)
    points = model.task.atlas.sample(500, 7)
    moved = np.abs(made(points.ambient) - model(points.ambient))
    for one, place in zip(wanted, (slice(0, 1), slice(1, 2), slice(2, 4)), strict=True):
        assert 0 < moved[:, place].max() <= said[f"target[{one.name}].quantised"].bound
        assert said[f"target[{one.name}]"].budget == one.epsilon
        np.testing.assert_allclose(chosen(made.network, place)(points.ambient), made(points.ambient)[:, place], rtol=1e-12, atol=1e-12)
    with pytest.raises(InvalidArgument, match="all of the targets heat, wave, pair, each of which has its own"):
        atlasmoe.quantise(model, "int16", epsilon=0.1)
    tight = tuple(replace(one, epsilon=one.epsilon / 20) for one in wanted)
    with pytest.raises(EpsilonNotReached, match="compile to smaller ε of the targets"):
        atlasmoe.quantise(replace(model, task=replace(model.task, wanted=tight)), "int8")
