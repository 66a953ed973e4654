"""The command line: exit codes, clean stdout under --json, messages on stderr, nothing half-written."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
import pytest
from atlasmoe.cli.main import main
from atlasmoe.moe import Model, Network
from atlasmoe.moe.beside import sha256
from atlasmoe.moe.network import MoELayer
from click.testing import CliRunner, Result
from folders import resign
from test_bad_specs import expected

ROOT = Path(__file__).parent.parent
BAD_SPECS = sorted((ROOT / "tests" / "bad_specs").glob("*.toml"))

CIRCLE = """
[task]
name = "circle"
kind = "manifold"
[manifold]
builtin = "circle"
[target]
expression = "x1*x2"
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("spec") / "circle.toml"
    path.write_text(CIRCLE)
    return path


@pytest.fixture(scope="module")
def folder(spec: Path) -> Path:
    """A compiled model, made by the command line."""
    folder = spec.parent / "model"
    result = run("compile", spec, "-o", folder, "--epsilon", "5%")
    assert result.exit_code == 0, result.output
    return folder


def test_lint(spec: Path) -> None:
    result = run("lint", spec)
    assert result.exit_code == 0, result.output
    assert "circle" in result.stdout
    assert json.loads(run("lint", spec, "--json").stdout) == {"task": "circle", "errors": 0, "findings": []}


def test_compile_prints_the_ledger_and_where_the_model_is(spec: Path, tmp_path: Path) -> None:
    result = run("compile", spec, "-o", tmp_path / "m", "--epsilon", "0.1", "--dtype", "float32", "--seed", "3")
    assert result.exit_code == 0, result.output
    assert "|f − Ψ|" in result.stdout
    assert str(tmp_path / "m") in result.stdout
    assert "\x1b" not in result.stdout, "colour only on a terminal"
    model = atlasmoe.load(tmp_path / "m")
    assert model.network.dtype == np.float32
    assert model.facts["epsilon"] == 0.1
    assert model.facts["seed"] == 3


def test_relative_epsilon(folder: Path) -> None:
    assert atlasmoe.load(folder).facts["epsilon"] == pytest.approx(0.05, rel=1e-3), "x1*x2 ranges over [−1/2, 1/2]"


def test_compile_json_and_force(spec: Path, tmp_path: Path) -> None:
    arguments = ("compile", spec, "-o", tmp_path / "m", "--epsilon", "0.1", "--json")
    document = json.loads(run(*arguments).stdout)
    assert document["holds"] is True
    assert document["folder"] == str(tmp_path / "m")
    assert document["ledger"]["name"] == "total"
    again = run(*arguments)
    assert again.exit_code == 2
    assert json.loads(again.stdout)["error"]["type"] == "FolderError"
    assert run(*arguments, "--force").exit_code == 0


def test_unreachable_epsilon_exits_1_and_writes_nothing(spec: Path, tmp_path: Path) -> None:
    result = run("compile", spec, "-o", tmp_path / "m", "--epsilon", "1e-9", "--max-width", "16")
    assert result.exit_code == 1
    assert "the budget is" in result.stderr
    assert "widths up to 16 were tried of the 16 allowed" in result.stderr
    assert "--activation auto; " in result.stderr
    assert not result.stdout
    assert not list(tmp_path.iterdir())


def test_verify(folder: Path) -> None:
    result = run("verify", folder, "--samples", "2000")
    assert result.exit_code == 0, result.output
    document = json.loads(run("verify", folder, "--samples", "2000", "--json").stdout)
    assert document["holds"] is True
    assert document["task"] == "circle"


def test_verify_draws_a_figure(folder: Path, tmp_path: Path) -> None:
    result = run("verify", folder, "--samples", "500", "--json", "--figure", tmp_path / "figure.png")
    assert result.exit_code == 0, result.output
    json.loads(result.stdout)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_a_figure_that_cannot_be_written_is_refused_before_the_work(folder: Path, tmp_path: Path) -> None:
    result = run("verify", folder, "--samples", 10**9, "--figure", tmp_path / "no" / "figure.png")
    assert result.exit_code == 2
    assert f"there is no folder {tmp_path / 'no'}" in result.stderr


def test_an_error_of_the_system_names_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device", "/mnt/figure.png")

    monkeypatch.setattr("atlasmoe.export.folder.load", fails)
    assert run("show", folder).stderr == "/mnt/figure.png: No space left on device\n"

    def half(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device", "/mnt/.page.html.part")

    monkeypatch.setattr("atlasmoe.export.folder.load", half)
    assert run("show", folder).stderr == "/mnt/page.html: cannot be written (No space left on device); choose another place\n"


def test_files_get_no_trailing_spaces(folder: Path) -> None:
    for arguments in (("show",), ("verify", "--samples", "100"), ("explain", "--at", "0.6,0.8")):
        lines = run(arguments[0], folder, *arguments[1:]).stdout.splitlines()
        assert lines == [line.rstrip() for line in lines]


def test_a_flipped_sign_is_refuted_or_refused(folder: Path, tmp_path: Path) -> None:
    model = atlasmoe.load(folder)
    last = model.network.layers[-1]
    net = last.experts[0]
    outer = net.affines[-1]
    weight = outer.weight.copy()
    weight[0, np.argmax(np.abs(weight[0]))] *= -1
    flipped = type(net)((*net.affines[:-1], type(outer)(weight, outer.bias)), net.groups)
    layer = MoELayer(last.gate, (flipped, *last.experts[1:]), last.serves, last.names, last.channels, last.reads)
    tampered = Model(Network((*model.network.layers[:-1], layer), model.network.inputs), model.ledger, model.task, model.facts)
    # with matching hashes: verify refutes it
    atlasmoe.save(tampered, tmp_path / "resaved")
    result = run("verify", tmp_path / "resaved", "--samples", "2000", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["holds"] is False
    # without: load refuses it
    good = run("verify", folder, "--samples", "100")
    assert good.exit_code == 0
    broken = tmp_path / "broken"
    atlasmoe.save(model, broken)
    (broken / "model.safetensors").write_bytes((tmp_path / "resaved" / "model.safetensors").read_bytes())
    result = run("verify", broken)
    assert result.exit_code == 2
    assert "SHA-256 does not match" in result.stderr


def test_explain_a_point(folder: Path) -> None:
    result = run("explain", folder, "--at", "0.6, 0.8")
    assert result.exit_code == 0, result.output
    for word in ("won by", "τ", "ρ", "0.48", "error"):
        assert word in result.stdout
    assert "truth    0.48\n" in result.stdout
    document = json.loads(run("explain", folder, "--at", "0.6 0.8", "--json").stdout)
    assert document["on_manifold"] is True
    assert document["truth"] == [pytest.approx(0.48)]
    assert document["error"] < 0.05
    assert document["chart"] == document["scores"][0]["chart"]
    off = run("explain", folder, "--at", "2,2")
    assert off.exit_code == 0
    assert "nothing is claimed here" in off.stdout


def test_explain_a_neuron(folder: Path) -> None:
    model = atlasmoe.load(folder)
    name = model.network.layers[1].names[0]
    result = run("explain", folder, "--layer", 2, "--expert", name, "--neuron", 0)
    assert result.exit_code == 0, result.output
    assert model.explain(layer=2, expert=name, neuron=0).name in result.stdout
    assert json.loads(run("explain", folder, "--layer", 1, "--expert", 0, "--neuron", 0, "--json").stdout)["reads"] == {"x1": 1.0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--at", "0.6,north"], "'north' is not a finite number"),
        (["--at", "1,2,3"], "gives 3 numbers, but circle has 2"),
        (["--at", "nan,1"], "'nan' is not a finite number"),
        (["--at", "1e999,1"], "'1e999' is not a finite number"),
        (["--layer", "9", "--expert", "0", "--neuron", "0"], "there is no layer 9"),
        (["--layer", "2", "--expert", "atlantis", "--neuron", "0"], "no expert 'atlantis'"),
        (["--layer", "2", "--expert", "0", "--neuron", "99999"], "there is no neuron 99999"),
        (["--layer", "2", "--expert", "0", "--neuron", "0", "--hidden", "9"], "there is no hidden layer 9"),
        (["--layer", "2"], "all of --layer, --expert and --neuron"),
        ([], "give one of --at"),
    ],
)
def test_explain_bad_input(folder: Path, arguments: list[str], message: str) -> None:
    result = run("explain", folder, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert isinstance(result.exception, SystemExit)
    assert message in json.loads(run("explain", folder, *arguments, "--json").stdout)["error"]["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["lint", "missing.toml"],
        ["compile", "missing.toml", "-o", "x"],
        ["compile", "missing.toml"],
        ["compile", "--epsilon"],
        ["verify", "missing"],
        ["verify", "missing", "--samples", "-4"],
        ["verify", "missing", "--samples", "many"],
        ["explain", "missing", "--at", "0"],
        ["show", "missing"],
        ["lint", "."],
    ],
)
def test_bad_arguments(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr
    as_json = run(*arguments, "--json")
    assert as_json.exit_code == 2
    assert not as_json.stderr
    assert json.loads(as_json.stdout)["error"]["exit_code"] == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("epsilon", ["", "small", "-1", "nan", "0", "%", "-2%", "1e400"])
def test_bad_epsilon(epsilon: str, spec: Path, tmp_path: Path) -> None:
    result = run("compile", spec, "-o", tmp_path / "m", f"--epsilon={epsilon}")
    assert result.exit_code == 2, result.output
    assert "epsilon" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", BAD_SPECS, ids=lambda path: path.stem)
def test_bad_specs(path: Path, tmp_path: Path) -> None:
    result = run("compile", path, "-o", tmp_path / "m", "--epsilon", "0.1")
    assert isinstance(result.exception, SystemExit), f"traceback: {result.exception!r}"
    assert (result.exit_code, result.stdout) == (2, "")
    for line in expected(path):
        assert line in result.stderr
    assert not list(tmp_path.iterdir())


def test_ctrl_c(spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("atlasmoe.export.folder.tensors", interrupted)
    result = run("compile", spec, "-o", tmp_path / "m", "--epsilon", "0.1")
    assert result.exit_code == 130
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["certify", "FOLDER", "--jobs", "0"], "0 jobs do nothing; give 1 or more, or -1 for all cores"),
        (["verify", "FOLDER", "--figure", "x.gif"], "figures are written as .png, .pdf, .svg, not as '.gif'"),
        (["certify", "FOLDER", "--figure", "x"], "not as a file without a suffix"),
        (["certify", "FOLDER", "--boxes", "many"], "'many' is no whole number; give one in the range x>=1"),
        (["certify", "FOLDER", "--seconds", "soon"], "'soon' is no number; give one in the range x>0"),
        (["certify", "FOLDER", "--epsilon", "much"], "neither a number nor a percentage"),
        (["compile", "FOLDER", "-o", "x"], "it holds a compiled model, which `atlasmoe show"),
        (["compile", ".", "-o", "x"], ".: file: is a folder; give the path of a spec file"),
        (["lnt", "x"], "there is no command 'lnt'; did you mean 'lint'?"),
        (["check", "."], "certificate.json: cannot be read (No such file or directory); name a folder that `atlasmoe compile` wrote"),
        (["check", "FOLDER"], "certificate.json: cannot be read (No such file or directory); `atlasmoe certify` writes it"),
        (["doctor", "."], "name a folder that `atlasmoe compile` or `save_pretrained` wrote"),
        (["doctor", "FOLDER", "--epsilon", "some%"], "epsilon 'some%' is neither a number nor a percentage"),
        (["prove", "FOLDER", "-o", "x", "--epsilon", "some"], "epsilon 'some' is neither a number nor a percentage"),
        (["fixtures", "--list", "--case", "nope"], "case 'nope' is not one of tie_any, tie_lowest"),
        (["fixtures", "--list", "--experts", "8", "-o", "x"], "--list does not look at --experts, --output; leave them out"),
        (["explain", "FOLDER", "--at", "1,0", "--hidden", "2"], "--at does not look at --hidden; leave it out"),
        (["prove", "FOLDER", "-o", "x", "--read-back", "--floats"], "--read-back does not look at --floats; leave it out"),
        (["doctor", "FOLDER", "--data", "x.npy", "--samples", "9"], "--data does not look at --samples; leave it out"),
        (["export", "FOLDER", "--to", "c", "-o", "x", "--option", "prefix=a", "--option", "prefix=b"], "an option is given twice"),
        (["compile", "x.toml", "-o", "x", "--width", "32", "--max-width", "16"], "--width 32 is above --max-width 16"),
        (["explain", "FOLDER", "--at", "1"], "circle has 2 coordinates; give a number for each of x1, x2"),
    ],
)
def test_what_is_meant_is_said(folder: Path, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*(folder if word == "FOLDER" else word for word in arguments))
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.stderr.split())
    assert not list(tmp_path.iterdir())


def test_what_is_proved_is_said_by_all(folder: Path, tmp_path: Path) -> None:
    place = atlasmoe.save(atlasmoe.load(folder), tmp_path / "m")
    at = ("explain", place, "--at", "0.6,0.8")
    assert "(sampled, not proved)" in run(*at).stdout
    assert "over all of M" not in run(*at).stdout
    document = json.loads(run("certify", place, "--epsilon", "5%", "--tightness", "none", "--json").stdout)
    bound, found = document["certificate"]["bound"], document["certificate"]["search"]["found"]
    assert document["certificate"]["epsilon"] == pytest.approx(0.05, rel=1e-3)
    assert f"over all of M at most {bound:.3g} (proved: certificate.json), {found:.3g} the largest found" in " ".join(
        run(*at).stdout.split()
    )
    assert f"|f − Ψ| ≤ {bound:.6g} is proved for every point of M" in " ".join(run("show", place).stdout.split())
    assert f"**Proved for every point: |f − Ψ| ≤ {bound:.6g}**" in (place / "README.md").read_text()
    stated = json.loads(run("show", place, "--json").stdout)["stated"]
    assert (stated["bound"], stated["known"]) == (bound, "proved")
    assert run("check", place).exit_code == 0
    worse = run("certify", place, "--epsilon", "5%", "--boxes", "10", "--tightness", "none")
    assert worse.exit_code == 1
    assert "stays as it is: it says that a bound of" in worse.stdout
    assert json.loads((place / "certificate.json").read_text())["status"] == "proved"
    # A certificate of other weights says nothing of these.
    text = (place / "certificate.json").read_text()
    (place / "certificate.json").write_text(text.replace('"model.safetensors":"', '"model.safetensors":"0'))
    assert "(sampled, not proved)" in run(*at).stdout


def test_what_cannot_be_so_is_not_said(folder: Path, tmp_path: Path) -> None:
    """A ledger that calls itself proved, a certificate with another bound: all hashes right, as whoever writes files has them."""
    place = atlasmoe.save(atlasmoe.load(folder), tmp_path / "m")

    def says(name: str, change: Callable[[dict[str, Any]], object]) -> str:
        document = json.loads((place / name).read_text())
        change(document)
        (place / name).write_text(json.dumps(document))
        resign(place)
        if (path := place / "certificate.json").is_file():
            proof = json.loads(path.read_text())
            proof["files"] |= {each: sha256(place / each) for each in ("config.json", "ledger.json")}
            path.write_text(json.dumps(proof))
        shown, explained = run("show", place), run("explain", place, "--at", "0.6,0.8")
        return " ".join(f"{shown.stdout} {explained.stdout} exit {explained.exit_code}".replace("│", " ").split())

    formula = says("ledger.json", lambda d: d["root"].update(known="formula", bound=1e-12))
    assert "ledger.json says at most 1e-12 everywhere, which this point refutes: `atlasmoe verify`" in formula
    assert "exit 1" in formula
    proved = says("ledger.json", lambda d: d["root"].update(known="proved"))
    assert "of all of M nothing is known (ledger.json)" in proved
    assert "NOT every claim holds" in proved
    assert "1e-12 is proved, and no certificate beside it does" in proved
    says("ledger.json", lambda d: d["root"].update(known="sampled", bound=0.01))
    assert run("certify", place, "--tightness", "none").exit_code == 0
    assert "over all of M at most" in says("certificate.json", lambda d: None)

    def smaller(document: dict[str, Any]) -> None:
        document["bound"] = 1e-9
        next(one for one in document["claims"] if one["name"] == "total")["bound"] = 1e-9

    one = says("certificate.json", lambda d: d.update(bound=1e-9))  # the claim has another
    assert "certificate.json" not in one
    both = says("certificate.json", smaller)
    assert "certificate.json says that |f − Ψ| ≤ 1e-09 is proved, but its own search found an error" in both
    assert "over all of M" not in both


def test_an_interrupted_proof_says_where_it_stopped(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = atlasmoe.save(atlasmoe.load(folder), tmp_path / "m")
    stopped = run("certify", place, "--tightness", "1.00001", "--boxes", "200")
    checkpoint = tmp_path / ".m.certify.safetensors"
    assert f"checkpoint: {checkpoint}; the same command with more --boxes or --seconds goes on" in stopped.stdout

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["atlasmoe.verify.prove"], "certify", interrupted)
    result = run("certify", place)
    assert result.exit_code == 130
    assert f"{checkpoint}: an earlier run stopped there" in result.stderr
    assert f"no certificate was written: {checkpoint} holds what is settled, and the same command goes on from there" in result.stderr


def test_show(folder: Path) -> None:
    assert str(folder) in run("show", folder).stdout
    assert json.loads(run("show", folder, "--json").stdout)["facts"]["theorem"] == "4.8"


def test_help_fits_a_terminal() -> None:
    text = run("--help").stdout
    assert "..." not in text.split("Commands:")[1], "no command's summary is cut off"
    assert all(len(line) <= 80 for line in text.splitlines())


def test_as_a_program(folder: Path) -> None:
    program = [sys.executable, "-m", "atlasmoe"]
    subprocess.run([*program, "--help"], check=True, capture_output=True)
    head = subprocess.run(f"{' '.join(map(repr, program))} show {folder} | head -1", shell=True, capture_output=True, text=True)
    assert head.stdout
    assert "Traceback" not in head.stderr
    bad = subprocess.run([*program, "verify", "/dev/null"], capture_output=True, text=True)
    assert bad.returncode == 2
    assert "Traceback" not in bad.stderr


def test_demo(tmp_path: Path) -> None:
    result = run("demo", "-o", tmp_path / "sphere", "--samples", "2000")
    assert result.exit_code == 0, result.output
    assert "every claim holds" in result.stdout
    assert str(tmp_path / "sphere") in result.stdout
    example = atlasmoe.load_task(ROOT / "examples" / "sphere.toml")
    points = example.atlas.sample(2000, seed=1)
    model = atlasmoe.load(tmp_path / "sphere")
    assert np.abs(model(points.ambient) - example.evaluate(points)).max() <= model.facts["epsilon"]


def test_a_defect_of_ours_asks_to_be_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise IndexError("index 7 is out\nof bounds")

    monkeypatch.setattr("atlasmoe.export.folder.load", fails)
    monkeypatch.delenv("ATLASMOE_TRACEBACK", raising=False)
    result = run("show", folder)
    assert (result.exit_code, result.stdout) == (3, "")
    first, second = result.stderr.splitlines()
    assert re.fullmatch(r"IndexError: index 7 is out of bounds \(in cli/show\.py, line \d+\)", first)
    assert "a defect of atlasmoe" in second
    assert "report it" in second
    assert json.loads(run("show", folder, "--json").stdout)["error"] == {
        "type": "IndexError",
        "message": f"{first}\n{second}",
        "exit_code": 3,
    }
    monkeypatch.setenv("ATLASMOE_TRACEBACK", "1")
    assert "Traceback" in run("show", folder).stderr


def test_what_was_tried_is_shown(folder: Path) -> None:
    (tried,) = atlasmoe.load(folder).facts["tried"]
    assert f"{tried['router']} was tried and left: {tried['why']}" in run("show", folder).stdout
    assert f"- block `f`, {tried['router']}: {tried['why']}" in (folder / "README.md").read_text()
