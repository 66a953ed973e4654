"""`check`: honest certificates are confirmed, every tampered one is rejected, and files that are no certificate are said to be none."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
import sympy
from atlasmoe.atlas import ExpressionMap, ExpressionTarget, ManifoldTask
from atlasmoe.cli.main import main
from atlasmoe.errors import FolderError
from atlasmoe.verify.check import check
from certificates import (
    BOXES,
    CERTIFICATE,
    ELSEWHERE,
    OUTSIDE,
    PROVED,
    WEIGHTS,
    Arrays,
    Document,
    certified,
    claim,
    edited,
    reweighted,
    tampered,
    why,
)  # fmt: skip
from click.testing import CliRunner
from safetensors import numpy as safetensors

EPSILON = 0.3


def task_of(atlas: atlasmoe.Atlas, *texts: str) -> ManifoldTask:
    names = sympy.symbols(atlas.coordinates, real=True)
    values = tuple(sympy.sympify(text, locals=dict(zip(atlas.coordinates, names, strict=True))) for text in texts)
    return ManifoldTask("t", atlas, ExpressionTarget(ExpressionMap(tuple(names), values)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three arcs of the circle, two layers: x is carried through the first, experts have two hidden layers."""
    task = task_of(atlasmoe.builtin("circle", charts=3), "x1*x2")
    return certified(atlasmoe.compile(task, epsilon=EPSILON), tmp_path_factory.mktemp("circle") / "model")


def test_an_honest_circle_is_confirmed(folder: Path) -> None:
    report = check(folder)
    assert (report.verdict, report.failures, report.undecided, report.rejected) == ("confirmed", (), 0, 0)
    data = json.loads((folder / CERTIFICATE).read_text())
    assert report.bound == data["bound"] <= EPSILON
    assert (
        set(report.claims) == {found["name"] for found in data["claims"] if found["known"] == "proved"} >= {"total", "cover", "routing.tau"}
    )
    assert report.boxes >= report.leaves == report.confirmed


def test_a_sphere_of_balls_is_confirmed(tmp_path: Path) -> None:
    """One layer, an affine router; chart boxes with regions."""
    task = task_of(atlasmoe.builtin("sphere", atlas="ball", charts=12), "x1*x2")
    model = certified(atlasmoe.compile(task, width=8), tmp_path / "model")
    report = check(model)
    assert (report.verdict, report.undecided) == ("confirmed", 0), why(report)

    def scores(arrays: Arrays) -> None:
        arrays |= {f"scores.{name}": array for name, array in arrays.items()}

    promise = {"delta": 0.1, "floor": 1.0, "level": None, "bound": 0.0, "least": 1.0}
    report = check(tampered(model, tmp_path / "copy", edited("sites/0/scores", promise), boxes=scores))
    assert report.verdict == "rejected"
    assert "routing.tau" in why(report)


def test_float32_and_several_outputs_are_confirmed(tmp_path: Path) -> None:
    task = task_of(atlasmoe.builtin("circle", atlas="ball", charts=6), "x1*x2", "x1")
    report = check(certified(atlasmoe.compile(task, width=8, dtype="float32"), tmp_path / "model"))
    assert report.verdict == "confirmed", why(report)
    assert "total.float64" in report.claims


def test_a_network_by_hand_is_confirmed_in_what_it_claims(circle: atlasmoe.Model, tmp_path: Path) -> None:
    """Its scores are no partition of unity, and its certificate says so."""
    report = check(certified(circle, tmp_path / "model"))
    assert report.verdict == "confirmed", why(report)
    assert set(report.claims) == {"total", "total.float64", "routing.valid", "cover", "defined", "inverse"}


def lowered(arrays: Arrays) -> None:
    """Every bound of one chart below what the experts reach there."""
    arrays["0.0.bounds"] = np.where(arrays["0.0.tags"] == PROVED, arrays["0.0.bounds"] / 4, arrays["0.0.bounds"])


def without_last_leaf(arrays: Arrays) -> None:
    for name in ("tags", "bounds", "offsets"):
        arrays[f"0.0.{name}"] = arrays[f"0.0.{name}"][:-1]
    arrays["0.0.members"] = arrays["0.0.members"][: arrays["0.0.offsets"][-1]]


def without_last_node(arrays: Arrays) -> None:
    arrays["0.0.cuts"] = arrays["0.0.cuts"][:-1]


def one_cut_more(arrays: Arrays) -> None:
    arrays["0.0.cuts"] = np.concatenate([[np.uint8(1)], arrays["0.0.cuts"], [np.uint8(0)]])


def cut_elsewhere(arrays: Arrays) -> None:
    """As many leaves, each half of what is left: the boxes move, their tags stay."""
    leaves = len(arrays["0.0.tags"])
    arrays["0.0.cuts"] = np.array([1, 0] * (leaves - 1) + [0], np.uint8)


def shrunk(arrays: Arrays) -> None:
    arrays["0.0.upper"] = np.nextafter(arrays["0.0.upper"], 0)


def all_tagged(tag: int) -> Callable[[Arrays], None]:
    def change(arrays: Arrays) -> None:
        arrays["0.0.tags"] = np.where(arrays["0.0.tags"] == PROVED, tag, arrays["0.0.tags"]).astype(np.uint8)

    return change


def one_tagged(tag: int) -> Callable[[Arrays], None]:
    """The leaf around the middle of chart 0, which no other chart covers."""

    def change(arrays: Arrays) -> None:
        tags = arrays["0.0.tags"]
        tags[np.flatnonzero(tags == PROVED)[(tags == PROVED).sum() // 2]] = tag

    return change


def without_winner(arrays: Arrays) -> None:
    """Leaves where two experts may win lose their first."""
    offsets, members = arrays["0.0.offsets"], arrays["0.0.members"]
    sizes = np.diff(offsets)
    two = np.flatnonzero(sizes > 1)
    assert len(two)
    keep = np.ones(len(members), bool)
    keep[offsets[two]] = False
    sizes[two] -= 1
    arrays["0.0.members"], arrays["0.0.offsets"] = members[keep], np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def another_winner(arrays: Arrays) -> None:
    arrays["0.0.members"] = ((arrays["0.0.members"] + 1) % 3).astype(np.int32)


def score_lowered(arrays: Arrays) -> None:
    arrays["scores.0.0.bounds"] = arrays["scores.0.0.bounds"] / 8


def scores_removed(arrays: Arrays) -> None:
    for name in [name for name in arrays if name.startswith("scores.")]:
        del arrays[name]


def stray(arrays: Arrays) -> None:
    arrays["0.3.cuts"] = np.zeros(1, np.uint8)


BOX_CHANGES = [
    lowered, without_last_leaf, without_last_node, one_cut_more, cut_elsewhere, shrunk, all_tagged(ELSEWHERE), one_tagged(ELSEWHERE),
    one_tagged(OUTSIDE), one_tagged(7), without_winner, another_winner, score_lowered, scores_removed, stray,
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(BOX_CHANGES)))
def test_changed_boxes_are_rejected(number: int, folder: Path, tmp_path: Path) -> None:
    def agree(data: Document) -> None:
        """The document says what the changed boxes amount to."""
        arrays = safetensors.load_file(tmp_path / "copy" / BOXES)
        if BOX_CHANGES[number] is scores_removed:
            data["sites"][0]["scores"] = None
        largest = max(arrays[f"0.{n}.bounds"][arrays[f"0.{n}.tags"] != OUTSIDE].max() for n in range(3))
        if BOX_CHANGES[number] is not scores_removed and "scores.0.0.bounds" in arrays:
            tau = max(arrays[f"scores.0.{n}.bounds"][arrays[f"scores.0.{n}.tags"] != OUTSIDE].max() for n in range(3))
            data["sites"][0]["scores"]["bound"] = claim(data, "routing.tau")["bound"] = float(tau)
        data["sites"][0]["bound"] = data["bound"] = claim(data, "total")["bound"] = float(largest)
        claim(data, "total.float64")["bound"] = data["sites"][0]["values"][0]["error"] = data["readout"]["error"][0] = float(largest) + 1e-9

    report = check(tampered(folder, tmp_path / "copy", agree, BOX_CHANGES[number]))
    assert report.verdict == "rejected", why(report)
    assert report.failures[0].rejected


def without_claim(data: Document) -> None:
    data["claims"] = data["claims"][1:]


def smaller_eta(data: Document) -> None:
    data["eta"] /= 8
    data["sites"][0]["eta"] /= 8


def smaller_total(data: Document) -> None:
    data["sites"][0]["bound"] = data["bound"] = claim(data, "total")["bound"] = claim(data, "total")["bound"] / 2


def no_rounding(data: Document) -> None:
    claim(data, "total.float64")["bound"] = claim(data, "total")["bound"]


def unbound(data: Document) -> None:
    del data["files"][WEIGHTS]


def source_of_another(data: Document) -> None:
    claim(data, "total")["source"] = "Theorem 9.9"


def promised_otherwise(data: Document) -> None:
    """δ that config.json does not promise, and the claims that go with it."""
    data["sites"][0]["scores"]["delta"] = claim(data, "routing.tau")["budget"] = claim(data, "routing.tau")["budget"] * 1.01


def assumed(data: Document) -> None:
    data["assumptions"].append({"name": "trust", "statement": "the author is right"})


EDITS = [
    smaller_eta, smaller_total, no_rounding, without_claim, unbound, source_of_another, promised_otherwise, assumed,
    edited("epsilon", 0.001), edited("epsilon", 0.5),
    edited("bound", 1e-9), edited("status", "refuted"), edited("@total/bound", 1e-9), edited("@total/budget", 1e-9),
    edited("@total/statement", "for every x ∈ M and every dtype: |f(x) − Ψ(x)| ≤ ε"), edited("@total/sense", ">="),
    edited("@cover/known", "refuted"), edited("@cover/bound", 1.0), edited("@routing.tau/budget", 1e-9),
    edited("@routing.max_tau/bound", 0.99), edited("task", "other"), edited("kind", "graph"),
    edited("dtype", "float32"), edited("sites/0/winners", ["a", "b", "c"]),
    edited("sites/0/pieces", []), edited("tags", {}), edited("files/config.json", "0" * 64),
    edited("files/certificate.safetensors", "0" * 64), edited("files/ledger.json", "0" * 64), edited("root", "0" * 64),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(EDITS)))
def test_edited_documents_are_rejected(number: int, folder: Path, tmp_path: Path) -> None:
    report = check(tampered(folder, tmp_path / "copy", EDITS[number]))
    assert report.verdict == "rejected", why(report)


@pytest.mark.parametrize("name", [WEIGHTS, "task.toml", "config.json", BOXES])
def test_a_file_that_changed_is_rejected(name: str, folder: Path, tmp_path: Path) -> None:
    copy = tampered(folder, tmp_path / "copy")
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data + b"\n" if name.endswith((".toml", ".json")) else data[:-1] + bytes([data[-1] ^ 1]))
    report = check(copy)
    assert report.verdict == "rejected"
    assert name in why(report)


@pytest.mark.parametrize("tensor", ["layers.1.experts.0.affines.1.weight", "layers.0.experts.0.affines.1.weight", "layers.1.gate.bias"])
def test_changed_weights_are_rejected_though_every_hash_is_mended(tensor: str, folder: Path, tmp_path: Path) -> None:
    def change(arrays: Arrays) -> None:
        arrays[tensor].flat[0] += 0.5

    report = check(reweighted(folder, tmp_path / "copy", change))
    assert report.verdict == "rejected", why(report)
    assert report.failures[0].box is not None or "η" in why(report) or "rounding" in why(report)


def test_no_mutation_that_matters_is_confirmed(folder: Path, tmp_path: Path) -> None:
    """Single weights changed, flipped or set to 0: what is confirmed holds at every sample."""
    model = atlasmoe.load(folder)
    points = model.manifold_task.atlas.sample(4000, 3)
    truth = model.manifold_task.evaluate(points)
    rng = np.random.default_rng(0)
    names = sorted(safetensors.load_file(folder / WEIGHTS))
    verdicts = []
    for number in range(5):
        where = names[rng.integers(len(names))]

        def change(arrays: Arrays, where: str = where, number: int = number) -> None:
            flat = arrays[where].reshape(-1)
            flat[rng.integers(flat.size)] *= (0.0, -1.0, 1 + 1e-3, 3.0)[number % 4]

        copy = reweighted(folder, tmp_path / str(number), change)
        weights = safetensors.load_file(copy / WEIGHTS)
        report = check(copy)
        verdicts.append(report.verdict)
        error = np.abs(evaluated(weights, points.ambient) - truth).max()
        assert report.verdict != "confirmed" or error <= report.bound, (where, number)
    assert "rejected" in verdicts


def evaluated(weights: Arrays, x: np.ndarray) -> np.ndarray:
    """The two layers of the circle's network: one expert, then one per chart that reads x."""

    def net(prefix: str, x: np.ndarray) -> np.ndarray:
        count = sum(name.startswith(prefix) and name.endswith(".bias") for name in weights)
        for j in range(count):
            x = x @ weights[f"{prefix}affines.{j}.weight"].T + weights[f"{prefix}affines.{j}.bias"]
            x = np.maximum(x, 0) if j < count - 1 else x
        return x

    state = net("layers.0.experts.0.", x)
    route = np.argmax(state @ weights["layers.1.gate.weight"].T + weights["layers.1.gate.bias"], axis=1)
    outputs = np.stack([net(f"layers.1.experts.{k}.", state[:, :2]) for k in range(3)])
    return outputs[route, np.arange(len(x))]


def test_an_open_leaf_is_undecided(folder: Path, tmp_path: Path) -> None:
    def opened(arrays: Arrays) -> None:
        leaf = np.flatnonzero(arrays["0.0.tags"] == PROVED)[5]
        arrays["0.0.tags"][leaf], arrays["0.0.bounds"][leaf] = 255, np.inf

    def said(data: Document) -> None:
        for name in ("total", "total.float64"):
            claim(data, name).update(known="unknown", bound=None)
        claim(data, "routing.valid").update(known="unknown", bound=1.0)
        data["sites"][0].update(bound=None)
        data["sites"][0]["values"][0].update(error=None)
        data["readout"]["error"] = [None]
        data.update(status="unknown", bound=None)

    report = check(tampered(folder, tmp_path / "copy", said, opened))
    assert (report.verdict, report.undecided, report.claims) == ("undecided", 1, ())


def broken(name: str, content: bytes | None) -> Callable[[Path], None]:
    def change(copy: Path) -> None:
        (copy / name).unlink()
        if content is not None:
            (copy / name).write_bytes(content)

    return change


def retyped(name: str, array: np.ndarray) -> Callable[[Path], None]:
    def change(copy: Path) -> None:
        arrays = {**safetensors.load_file(copy / BOXES), name: array}
        (copy / BOXES).write_bytes(safetensors.save(arrays, metadata={"schema": "3"}))

    return change


def wrong(**fields: object) -> Callable[[Path], None]:
    def change(copy: Path) -> None:
        data = json.loads((copy / CERTIFICATE).read_text())
        (copy / CERTIFICATE).write_text(json.dumps({**data, **fields}))

    return change


def said_twice(copy: Path) -> None:  # readers differ in which of two equal keys counts
    (copy / CERTIFICATE).write_text((copy / CERTIFICATE).read_text().replace('"epsilon"', '"epsilon": 1e-9, "epsilon"', 1))


MALFORMED = [
    broken(CERTIFICATE, None), broken(BOXES, None), broken(WEIGHTS, None), broken("task.toml", None), broken("config.json", None),
    broken(CERTIFICATE, b""), broken(CERTIFICATE, b"[]"), broken(CERTIFICATE, b"{}"), broken(CERTIFICATE, b"[" * 10**6),
    broken(CERTIFICATE, b"\xff"), broken(BOXES, b""), broken(BOXES, b"\xff" * 64), broken(WEIGHTS, b"{}"),
    broken("config.json", b"{}"), broken("task.toml", b"[task]"),
    retyped("0.0.cuts", np.zeros(3, np.int64)), retyped("0.0.lower", np.zeros((1, 1))), retyped("0.0.bounds", np.zeros(3, np.float32)),
    wrong(schema=1), wrong(schema=2), wrong(schema=4), wrong(schema=True), wrong(claims=3), wrong(claims=[3]),
    wrong(eta="small"), wrong(files=[]), wrong(root=3), wrong(search=[]), wrong(assumptions=None), wrong(note="trust me"),
    wrong(status=None), said_twice,
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(MALFORMED)))
def test_what_is_no_certificate_is_said_to_be_none(number: int, folder: Path, tmp_path: Path) -> None:
    copy = tampered(folder, tmp_path / "copy")
    MALFORMED[number](copy)
    result = CliRunner().invoke(main, ["check", str(copy)])
    assert result.exit_code == 2, result.output
    assert str(copy) in result.stderr
    with pytest.raises(FolderError):
        check(copy)


HOSTILE: list[Callable[[Arrays], object]] = [
    lambda a: a.update({"0.0.cuts": np.ones(10**6, np.uint8)}),
    lambda a: a.update({"0.0.cuts": np.concatenate([np.ones(5000, np.uint8), np.zeros(5001, np.uint8)])}),
    lambda a: a.update({"0.0.cuts": np.zeros(0, np.uint8)}),
    lambda a: a.update({"0.0.cuts": np.where(a["0.0.cuts"] > 0, 200, 0).astype(np.uint8)}),
    lambda a: a.update({"0.0.offsets": -a["0.0.offsets"]}),
    lambda a: a.update({"0.0.offsets": np.zeros(0, np.int64)}),
    lambda a: a.update({"0.0.members": a["0.0.members"] + np.int32(2**30)}),
    lambda a: a.update({"0.0.bounds": np.full_like(a["0.0.bounds"], np.nan)}),
    lambda a: a.update({"0.0.bounds": np.full_like(a["0.0.bounds"], -1.0)}),
    lambda a: a.update({"0.0.lower": np.full_like(a["0.0.lower"], np.nan)}),
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_boxes_are_rejected(number: int, folder: Path, tmp_path: Path) -> None:
    assert check(tampered(folder, tmp_path / "copy", boxes=HOSTILE[number])).verdict == "rejected"


def test_the_command(folder: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["check", str(folder), "--json"])
    assert json.loads(result.stdout)["verdict"] == "confirmed"
    assert "for every point of M" in CliRunner().invoke(main, ["check", str(folder)]).stdout
    result = CliRunner().invoke(main, ["check", str(tampered(folder, tmp_path / "copy", edited("bound", 1e-9))), "--json"])
    document = json.loads(result.stdout)
    assert (result.exit_code, document["verdict"]) == (1, "rejected")
    assert document["failures"][0]["rejected"]
    assert "every point" not in CliRunner().invoke(main, ["check", str(tmp_path / "copy")]).stdout


def test_it_is_importable_alone() -> None:
    """Nothing that builds, samples or searches is loaded with it, nor torch."""
    code = "import sys, atlasmoe.verify.check; print(*sys.modules, sep='\\n')"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "atlasmoe.verify.check.leaves" in loaded
    rooms = ("constructions", "explain", "export", "report", "cli", "verify.sample", "verify.prove", "verify.enclosure")
    barred = ("torch", "matplotlib", *(f"atlasmoe.{room}" for room in rooms))
    assert [name for name in loaded if name in barred or name.startswith(tuple(f"{room}." for room in barred))] == []


def test_a_config_that_load_refuses_is_not_confirmed(folder: Path, tmp_path: Path) -> None:
    """Every hash mended; but a file is not described, or a design is none of this network."""
    report = check(reweighted(folder, tmp_path / "files", id, lambda data: data["files"].pop("ledger.json")))
    assert (report.verdict, "other files than a model has" in why(report)) == ("rejected", True)
    with pytest.raises(FolderError, match="its sites are not the blocks of the task"):
        check(reweighted(folder, tmp_path / "design", id, lambda data: data["design"].update(sites=[])))
