"""Targets in Python: trusted by name only, continuous as far as is sampled, proved on what is declared of them, which is named."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
from atlasmoe import CallableTarget, ManifoldTask, builtin
from atlasmoe.atlas import lint, load_task
from atlasmoe.atlas.declared import Declared
from atlasmoe.atlas.spec.python_target import imported
from atlasmoe.cli.main import main
from atlasmoe.errors import FolderError, InvalidArgument, SpecError
from atlasmoe.moe.ledger import Known
from certificates import retold
from click.testing import CliRunner

DOCS = Path(__file__).parent.parent / "docs" / "targets.md"
CODE = "import numpy as np\n\ndef wave(y):\n    return np.sin(2*y[:, 0]) + 0.3*y[:, 1]\n\nTEXT = 'no function'\n"
SPEC = '[task]\nname = "wave"\n[manifold]\nbuiltin = "circle"\n[target]\ncallable = "{0}"\n{1}'
RNG = np.random.default_rng(0)


def wave(y: np.ndarray) -> np.ndarray:
    return np.asarray(np.sin(2 * y[:, 0]) + 0.3 * y[:, 1])


def task(function: object, **declared: float) -> ManifoldTask:
    return ManifoldTask("t", builtin("circle"), CallableTarget(function, **declared))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def model() -> atlasmoe.Model:
    return atlasmoe.compile(task(wave, lipschitz=2.1, second_derivative=4.1), width=12)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    name = f"fun_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(CODE)
    (tmp_path / "wave.toml").write_text(SPEC.format(f"{name}:wave", "second_derivative = 4.1\n"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda y: y[:, 0] + 0j, "returns complex numbers for points of shape"),
        (lambda y: None, "returns None for points of shape"),
        (lambda y: sys.exit(3), "ends the program (SystemExit: 3)"),
        (lambda y: ["a"] * len(y), "returns what is no array of numbers"),
        (lambda y: 1.5, "returns shape () for"),
    ],
)
def test_what_is_no_array_of_real_numbers_is_refused(function: object, words: str) -> None:
    (found,) = lint(task(function))
    assert words in found.problem
    assert found.remedy
    with pytest.raises(InvalidArgument, match=re.escape(f"target 'callable': {words}")):
        task(function).target.evaluate(builtin("circle").sample(4, seed=0))


def test_a_function_that_ends_beside_m_is_told_where() -> None:
    with pytest.raises(InvalidArgument, match=r"is not finite at \(.*near M too"):
        lint(task(lambda y: np.where((y**2).sum(1) > 1 + 1e-9, np.nan, y[:, 0]), second_derivative=1.0))


def test_a_function_may_write_into_its_points_and_moves_none() -> None:
    def normalised(y: np.ndarray) -> np.ndarray:
        y *= 0.5
        return np.asarray(y[:, 0])

    points = builtin("circle").sample(50, seed=0)
    before = points.base.copy()
    assert np.array_equal(task(normalised).target.evaluate(points)[:, 0], before[:, 0] / 2)
    assert np.array_equal(points.base, before)


def test_a_named_target_brings_its_enclosure_and_printing_spoils_no_document(folder: Path) -> None:
    (folder / "fenced.py").write_text(
        "print('by the way')\nimport sys\nfrom atlasmoe import CallableTarget\n"
        "f = CallableTarget(lambda y: y[:, 0]*y[:, 1], name='other', enclosure=lambda y: y[:, [0]]*y[:, [1]])\n"
    )
    (folder / "fenced.toml").write_text(SPEC.format("fenced:f", ""))
    found = CliRunner().invoke(main, ["lint", "fenced.toml", "--trust-code", "--json"])
    assert json.loads(found.stdout)["findings"] == []
    assert "by the way" in found.stderr
    target = load_task(folder / "fenced.toml", trust_code=True).target  # type: ignore[union-attr]
    assert isinstance(target, CallableTarget)
    assert (target.name, target.enclosure is None) == ("fenced:f", False)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import no_such_package_here", "install no_such_package_here, which the module imports"),
        ("def f(:", "correct the module"),
        ("raise SystemExit(0)", "correct the module"),
    ],
)
def test_modules_that_cannot_be_imported_say_what_helps(folder: Path, code: str, words: str) -> None:
    name = f"broken_{abs(hash(code))}"
    (folder / f"{name}.py").write_text(code)
    with pytest.raises(InvalidArgument, match=re.escape(words)):
        imported(f"{name}:f", folder)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda y: np.sign(y[:, 0]), "jumps by 2 on"),
        (lambda y: np.arctan2(y[:, 1], y[:, 0]), "jumps by 6.3 on"),
        (lambda y: np.floor(20 * y[:, 0]) / 20, "jumps by 0.05 on"),
        (lambda y: np.where(np.abs(y[:, 0] - 0.3) < 0.01, 1.0, 0.0), "jumps by 1 on"),
    ],
)
def test_jumps_are_found_by_sampling(function: object, words: str) -> None:
    (found,) = lint(task(function))
    assert words in str(found)
    assert found.witness is not None
    with pytest.raises(atlasmoe.LintError, match="jumps"):
        atlasmoe.compile(task(function), width=8)


@pytest.mark.parametrize("function", [wave, lambda y: np.abs(y[:, 0]), lambda y: np.tanh(1e5 * y[:, 0]), lambda y: 0 * y[:, 0]])
def test_what_is_continuous_is_left_alone(function: object) -> None:
    assert lint(task(function)) == []


def test_false_constants_are_refuted_by_a_pair_of_points(model: atlasmoe.Model, tmp_path: Path) -> None:
    for wrong, words in [({"lipschitz": 1.9}, "Lipschitz constant 1.9"), ({"second_derivative": 3.5}, "at most 3.5, but one is")]:
        false = task(wave, **wrong)
        assert [words in str(finding) for finding in lint(false)] == [True]
        with pytest.raises(InvalidArgument, match=words):
            atlasmoe.certify(model.network, false)
    for odd in (-1.0, np.nan, np.inf, True, "2"):
        with pytest.raises(InvalidArgument, match="from 0 on"):
            task(wave, lipschitz=odd)  # type: ignore[arg-type]


@pytest.mark.parametrize("declared", [{"lipschitz": 2.1}, {"second_derivative": 4.1}, {"lipschitz": 2.1, "second_derivative": 4.1}])
def test_what_is_declared_encloses_the_function(declared: dict[str, float]) -> None:
    field = Declared("f", wave, 2, 1, **declared)
    lower = RNG.uniform(-1, 1, (2000, 2))
    upper = lower + RNG.uniform(size=lower.shape) * 10.0 ** RNG.uniform(-12, 0, (2000, 1))
    truth = {(0, 0): wave, (1, 0): lambda y: 2 * np.cos(2 * y[:, 0]), (0, 1): lambda y: np.full(len(y), 0.3)}
    truth |= {(2, 0): lambda y: -4 * np.sin(2 * y[:, 0]), (1, 1): lambda y: 0 * y[:, 0]}
    for orders, derivative in truth.items():
        low, high = field.enclose(0, orders, lower, upper)
        for _ in range(5):
            value = derivative(lower + RNG.uniform(size=lower.shape) * (upper - lower))
            assert (low <= value).all()
            assert (value <= high).all()
        assert np.isfinite(low).all() == (sum(orders) < 2 or "second_derivative" in declared)
    narrow = np.subtract(*field.enclose(0, (0, 0), lower, upper)[::-1]) - 2e-12 * (1 + np.abs(wave(lower)))
    assert (narrow <= 2 * 2.5 * np.linalg.norm(upper - lower, axis=1) * (1 + 2 * (upper - lower).max(1)) + 1e-11).all()


def test_a_proof_names_what_it_assumes(model: atlasmoe.Model) -> None:
    certificate = atlasmoe.certify(model)
    assert certificate.verdict == "proved, assuming declared[callable]"
    (taken,) = certificate.assumptions
    assert "|f(x) − f(y)| ≤ 2.1·|x − y|" in taken.statement
    assert certificate.bound >= certificate.found
    bare = atlasmoe.certify(model.network, task(wave, lipschitz=2.1), epsilon=0.02, tightness=None)
    assert bare.status is Known.PROVED
    assert bare.boxes > certificate.boxes / 8
    with pytest.raises(InvalidArgument, match="lipschitz"):
        atlasmoe.certify(model.network, task(wave))


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, list(words))
    return result.exit_code, " ".join(result.output.split())


def test_code_is_run_only_where_it_is_trusted(folder: Path) -> None:
    code, words = run("lint", "wave.toml")
    assert code == 2
    assert "not run unless it is trusted" in words
    assert "--trust-code" in words
    assert run("compile", "wave.toml", "-o", "out", "--width", "12")[0] == 2
    assert run("compile", "wave.toml", "-o", "out", "--width", "12", "--trust-code")[0] == 0
    for command in ("certify", "verify", "check"):
        code, words = run(command, "out", *(["--tightness", "none"] if command == "certify" else []))
        assert code == 2, (command, words)
        assert "trust" in words or "certificate.json" in words
    assert run("show", "out")[0] == 0
    code, words = run("certify", "out", "--trust-code", "--tightness", "none")
    assert code == 0
    assert "assuming declared[fun_" in words
    assert run("check", "out") == (2, run("check", "out")[1])
    assert "not run unless it is trusted" in run("check", "out")[1]
    code, words = run("check", "out", "--trust-code")
    assert code == 0
    assert "confirmed, assuming declared[fun_" in words
    assert run("verify", "out", "--samples", "1000", "--trust-code")[0] == 0
    again = atlasmoe.load(folder / "out", trust_code=True)
    assert isinstance(again.task, ManifoldTask)
    assert again.task.target.second_derivative == 4.1
    with pytest.raises(InvalidArgument, match="trust-code"):
        atlasmoe.certify(atlasmoe.load(folder / "out"))


def test_a_constant_edited_after_the_proof_is_no_proof(folder: Path) -> None:
    trusted = load_task(folder / "wave.toml", trust_code=True)
    atlasmoe.save(atlasmoe.compile(trusted, width=12), folder / "out")
    assert run("certify", "out", "--trust-code", "--tightness", "none")[0] == 0
    text = (folder / "out" / "task.toml").read_text()
    (folder / "out" / "task.toml").write_text(text.replace("4.1", "4.2"))
    with pytest.raises(FolderError, match="changed"):
        atlasmoe.load(folder / "out", trust_code=True)
    assert run("check", "out", "--trust-code")[0] == 1
    (folder / "out" / "task.toml").write_text(text)
    for new in ("4.2", "0.5"):  # with hashes that are right again: another assumption, and a false one
        retold(folder / "out", folder / new, "4.1", new)
        report = atlasmoe.check(folder / new, trust_code=True)
        assert report.verdict == "rejected"
        assert any("assumptions" in str(failure) for failure in report.failures)
    assert any("at most 0.5, but one is" in str(failure) for failure in report.failures)


@pytest.mark.parametrize(
    ("name", "rest", "words"),
    [
        ("wave", "", "does not name a function of a module"),
        ("../fun:wave", "", "does not name a function of a module"),
        ("fun:__import__('os')", "", "does not name a function of a module"),
        ("no_such_module_here:wave", "", "cannot be imported (ModuleNotFoundError"),
        ("math:nothing", "", "the module has no 'nothing'; its functions are acos, acosh"),
        ("math:pi", "", "is 3.14159"),
        ("math:sin", "lipschitz = -1\n", "is negative"),
        ("math:sin", 'lipschitz = "a lot"\n', "lipschitz"),
        ("math:sin", "outputs = 0\n", "expected an integer from 1"),
    ],
)
def test_wrong_names_and_constants(folder: Path, name: str, rest: str, words: str) -> None:
    (folder / "wrong.toml").write_text(SPEC.format(name, rest))
    with pytest.raises(SpecError) as error:
        load_task(folder / "wrong.toml", trust_code=True)
    assert words in str(error.value)


def test_a_module_beside_the_spec_does_not_stay_on_the_path(folder: Path) -> None:
    import sys

    before = list(sys.path)
    (name,) = folder.glob("fun_*.py")
    assert imported(f"{name.stem}:wave", folder)(np.zeros((1, 2))) == 0
    assert sys.path == before


def test_spec_and_function_agree_on_constants(folder: Path) -> None:
    loaded = load_task(folder / "wave.toml", target=CallableTarget(wave))
    assert isinstance(loaded, ManifoldTask)
    assert loaded.target.second_derivative == 4.1
    with pytest.raises(SpecError, match=r"the spec says 4.1, the function 5"):
        load_task(folder / "wave.toml", target=CallableTarget(wave, second_derivative=5.0))
    assert replace(loaded.target, second_derivative=None).declares is False


def test_the_guide_does_what_it_says() -> None:
    known: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL):
        exec(block, known)
    assert "forms" in known
