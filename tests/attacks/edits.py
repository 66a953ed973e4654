"""Edited files against `check`, every hash mended: what is confirmed of them, and what is so.

Five kinds of files, each edited at random: certificates (numbers, sets, trees, claims), ledgers, config.json, the text of the task, and
checkpoints. An edit may leave everything true. So what is confirmed is compared with the truth: the bound with the error of the network
that the folder now holds for the task that it now holds, found by samples and evaluated to 60 digits (`mutations.worst`, `exact`); and
what a certificate says is compared with what the honest one says, number by number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import atlasmoe
import mpmath
import numpy as np
from atlasmoe.errors import AtlasMoEError
from atlasmoe.moe import Known, Model
from atlasmoe.verify.check import CheckReport, check
from atlasmoe.verify.prove import certify
from changes import changes
from models import Subject
from mutations import BOXES as FEW
from mutations import SLACK, Found, Mutant, Sampler, needles, worst
from safetensors import numpy as safetensors
from signing import BOXES, CERTIFICATE, CONFIG, Arrays, Document, copied, resign, with_arrays, with_document

Edit = Callable[[Path, np.random.Generator], str]
"""Changes a folder in place, all but its hashes, and says what was done."""
PROVES_NOTHING = {"search", "files", "root"}
"""Fields of a certificate that are declared to prove nothing, or that are hashes."""


def paths(value: Any, before: tuple = ()) -> Iterator[tuple]:
    """The places of all numbers, texts and truth values of a document."""
    if isinstance(value, dict):
        for key in value:
            yield from paths(value[key], (*before, key))
    elif isinstance(value, list):
        for k, item in enumerate(value):
            yield from paths(item, (*before, k))
    else:
        yield before


def put(document: Any, path: tuple, value: Any) -> None:
    for key in path[:-1]:
        document = document[key]
    document[path[-1]] = value


def got(document: Any, path: tuple) -> Any:
    for key in path:
        document = document[key]
    return document


def another(value: Any, rng: np.random.Generator) -> Any:
    """A value of the same kind, or null."""
    match value:
        case bool():
            return not value
        case int():
            return value + int(rng.choice([-1, 1, 2]))
        case float():
            return rng.choice([0.0, value / 2, value * 0.99, value * 1.01, -value, float(np.nextafter(value, 0)), value * 10])
        case str():
            return value + "x" if rng.random() < 0.5 else {"proved": "unknown", "unknown": "proved"}.get(value, "all")
        case _:
            return float(rng.choice([0.0, 1.0]))


def one_number(name: str, within: Callable[[tuple], bool] = lambda path: True) -> Edit:
    """One entry of a JSON file."""

    def edit(folder: Path, rng: np.random.Generator) -> str:
        document = json.loads((folder / name).read_text())
        places = [path for path in paths(document) if within(path)]
        path = places[rng.integers(len(places))]
        old, new = got(document, path), another(got(document, path), rng)
        put(document, path, new)
        (folder / name).write_text(json.dumps(document))
        return f"{name}: {'/'.join(map(str, path))} from {str(old)[:40]} to {str(new)[:40]}"

    return edit


def lowered_everywhere(folder: Path, rng: np.random.Generator) -> str:
    """All bounds of certificate and boxes by a common factor, so that they agree."""
    factor = float(rng.choice([0.5, 0.9, 0.99, 0.999]))

    def scaled(value: Any) -> Any:
        match value:
            case dict():
                return {k: v * factor if k in ("bound", "error") and isinstance(v, float) else scaled(v) for k, v in value.items()}
            case list():
                return [scaled(item) for item in value]
            case _:
                return value

    def change(document: Document) -> None:
        document |= scaled(document)
        for row in document.get("sites", []):
            for found in row["values"]:
                found["error"] = None if found["error"] is None else found["error"]
        if document.get("readout"):
            document["readout"]["error"] = [v if v is None else v * factor for v in document["readout"]["error"]]

    def boxes(arrays: Arrays) -> None:
        for name in arrays:
            if name.endswith("bounds"):
                arrays[name] = arrays[name] * factor

    with_document(with_arrays(folder, boxes), change)
    return f"all bounds times {factor}"


def _tree(folder: Path, rng: np.random.Generator, part: str) -> str:
    names = [name for name in safetensors.load_file(folder / BOXES) if name.endswith("." + part)]
    return names[rng.integers(len(names))]


def tags(folder: Path, rng: np.random.Generator) -> str:
    """Some leaves are tagged as something else."""
    name, new = _tree(folder, rng, "tags"), int(rng.choice([0, 1, 2]))

    def change(arrays: Arrays) -> None:
        rows = rng.random(len(arrays[name])) < rng.choice([0.01, 0.2, 1.0])
        rows[rng.integers(len(rows))] = True
        arrays[name][rows] = new

    with_arrays(folder, change)
    return f"{name}: some are {new}"


def members(folder: Path, rng: np.random.Generator) -> str:
    """Sets of winners lose, gain or change a member."""
    name = _tree(folder, rng, "members")

    def change(arrays: Arrays) -> None:
        if len(arrays[name]):
            rows = rng.random(len(arrays[name])) < 0.3
            arrays[name][rows] = rng.integers(0, 3, rows.sum())

    with_arrays(folder, change)
    return f"{name}: other winners"


def cuts(folder: Path, rng: np.random.Generator) -> str:
    """Another tree with as many leaves, or another root."""
    name = _tree(folder, rng, "cuts")

    def change(arrays: Arrays) -> None:
        stem = name.removesuffix("cuts")
        if rng.random() < 0.5:
            leaves = len(arrays[stem + "tags"])
            arrays[name] = np.array([1, 0] * (leaves - 1) + [0], np.uint8)
        else:
            end = str(rng.choice(["lower", "upper"]))
            side = rng.integers(len(arrays[stem + end]))
            arrays[stem + end][side] += rng.choice([-1e-9, 1e-9, -0.1, 0.1])

    with_arrays(folder, change)
    return f"{name}: another tree"


def swapped(folder: Path, rng: np.random.Generator) -> str:
    """Two trees change places."""
    stems = sorted({name.rsplit(".", 1)[0] for name in safetensors.load_file(folder / BOXES)})
    a, b = (stems[k] for k in rng.integers(len(stems), size=2))

    def change(arrays: Arrays) -> None:
        for part in ("lower", "upper", "cuts", "tags", "bounds", "offsets", "members"):
            arrays[f"{a}.{part}"], arrays[f"{b}.{part}"] = arrays[f"{b}.{part}"], arrays[f"{a}.{part}"]

    with_arrays(folder, change)
    return f"trees {a} and {b} swapped"


def claims(folder: Path, rng: np.random.Generator) -> str:
    """Claims are left out, doubled, renamed, or called proved."""
    kind = str(rng.choice(["left out", "doubled", "renamed", "word", "budget"]))

    def change(document: Document) -> None:
        listed = document["claims"]
        k = int(rng.integers(len(listed)))
        match kind:
            case "left out":
                del listed[k]
            case "doubled":
                listed.append(dict(listed[k]))
            case "renamed":
                listed[k]["name"] = str(rng.choice(["total", "cover", "total.float32", "routing.tau"]))
            case "word":
                listed[k]["statement"] = listed[k]["statement"].replace("every", "each", 1) + "."
            case _:
                if listed[k]["budget"] is not None:
                    listed[k]["budget"] = listed[k]["budget"] * 2

    with_document(folder, change)
    return f"a claim is {kind}"


NUMBER = re.compile(r"(?<![\w.])\d+\.?\d*(?:[eE][+-]?\d+)?(?![\w.])")


def task_text(folder: Path, rng: np.random.Generator) -> str:
    """One number, sign, truth value or name of task.toml."""
    path = folder / "task.toml"
    head, _, text = path.read_text().partition("[task]")
    kind = str(rng.choice(["number", "number", "sign", "flag", "name"]))
    finds = {
        "number": list(NUMBER.finditer(text)),
        "sign": list(re.finditer(r" [+-] ", text)),
        "flag": list(re.finditer(r"true|false", text)),
        "name": list(re.finditer(r"\b(x1|x2|u1|sin|cos)\b", text)),
    }
    found = finds[kind] or finds["number"]
    hit = found[rng.integers(len(found))]
    old = hit.group()
    swaps = {
        " + ": " - ",
        " - ": " + ",
        "true": "false",
        "false": "true",
        "sin": "cos",
        "cos": "sin",
        "x1": "x2",
        "x2": "x1",
        "u1": "(u1 + 0.001)",
    }
    if old in swaps:
        new = swaps[old]
    elif old.isdigit():
        new = str(int(old) + int(rng.choice([-1, 1]))) if rng.random() < 0.5 else f"{old}.001"
    else:
        new = repr(float(old) * float(rng.choice([1 + 1e-3, 1 - 1e-3, 1.1, 0.9, -1.0, 1 + 1e-9])))
    path.write_text(f"{head}[task]{text[: hit.start()]}{new}{text[hit.end() :]}")
    return f"task.toml: {text[max(0, hit.start() - 20) : hit.end() + 10]!r}: {old.strip()} to {new.strip()}"


CERTIFICATES: dict[str, Edit] = {
    "number": one_number(CERTIFICATE, lambda path: not PROVES_NOTHING & set(path)),
    "bounds": lowered_everywhere,
    "tags": tags,
    "members": members,
    "cuts": cuts,
    "swapped": swapped,
    "claims": claims,
}
EDITS: dict[str, dict[str, Edit]] = {
    "certificates": CERTIFICATES,
    "ledgers": {"ledger": one_number("ledger.json")},
    "configs": {
        "config": one_number(CONFIG, lambda path: path[0] not in ("files", "digest", "atlasmoe", "model_type")),
        "network": one_number(CONFIG, lambda path: path[0] == "network"),
        "design": one_number(CONFIG, lambda path: path[0] == "design"),
    },
    "task texts": {"task": task_text},
}


class Editor:
    """What is wrong with what is said of edited folders of one model."""

    def __init__(self, subject: Subject, folder: Path) -> None:
        self.subject, self.folder, self.honest = subject, folder, folder / "honest"
        atlasmoe.save(subject.model, self.honest)
        subject.certificate.write(self.honest)
        self.document = json.loads((self.honest / CERTIFICATE).read_text())
        self.confirmed: list[str] = []
        """What was done in edits that were confirmed: all of it harmless, or it is a fault."""

    def __call__(self, files: str, kind: str, number: int, rng: np.random.Generator) -> Iterator[tuple[str, str]]:
        """(what, detail) of every fault of one edit."""
        folder = copied(self.honest, self.folder / f"{files} {number}")
        done = EDITS[files][kind](folder, rng)
        resign(folder)
        try:
            report = check(folder)
        except AtlasMoEError:
            return
        if report.verdict != "confirmed":
            return
        self.confirmed.append(done)
        for problem in self._believed(folder, report, kind):
            yield "false confirmed", f"{done}: {problem}"

    def _believed(self, folder: Path, report: CheckReport, kind: str) -> Iterator[str]:
        if kind in CERTIFICATES and kind != "bounds":  # a smaller bound may be true
            document = json.loads((folder / CERTIFICATE).read_text())
            now, before = self._says(document), self._says(self.document)
            less = {path for path, known in now.items() if path[-1] == "known" and known == "unknown"}  # claims nothing
            less |= {path for path in now.keys() & before.keys() if weaker(path, now[path], before[path])}
            if {path: word for path, word in now.items() if path not in less} != {p: word for p, word in before.items() if p not in less}:
                yield "what the certificate says has changed, and is confirmed"
        try:
            model = atlasmoe.load(folder)
        except AtlasMoEError as why:
            yield f"confirmed, but not even read by load: {str(why)[:160]}"
            return
        yield from untrue(model, report, self.subject)

    def _says(self, document: Document) -> dict[tuple, Any]:
        return {path: got(document, path) for path in paths(document) if not PROVES_NOTHING & set(path)}


def weaker(path: tuple, now: Any, before: Any) -> bool:
    """Whether a number that earlier sites are known by says less than it did, and nothing else rests on it."""
    if not {"values", "rounding"} & set(path) or not isinstance(now, float) or not isinstance(before, float):
        return False
    return now <= before if path[-1] == "lower" else now >= before


def untrue(model: Model, report: CheckReport, subject: Subject) -> Iterator[str]:
    """What of a confirmed report is not so of a model."""
    about = Subject(subject.name, model, subject.certificate, subject.epsilon)
    sampler = Sampler(about)
    eta = max(site.solution.eta for site in subject.certificate.sites)
    for place in worst(sampler, Mutant("as it is", model.network)):
        yield from Found.at(sampler.truth, model.network, place).contradicts(set(report.claims), float(report.bound or 0.0), about, eta)


def poisoned(subject: Subject, folder: Path, number: int, rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """A wrong network, and a checkpoint that was edited after its proof was interrupted."""
    sampler = Sampler(subject)
    spoiled = needles(subject, sampler, rng)
    mutant = next(spoiled) if number % 2 else Mutant("change", next(changes(subject.model.network, rng))[1])
    place = folder / f"checkpoint {number}"
    options: dict[str, Any] = {"epsilon": subject.epsilon, "tightness": None}
    try:
        certify(mutant.network, subject.task, **options, boxes=int(rng.integers(1, 600)), checkpoint=place)
        if place.exists():
            done = _poison(place, rng)
            certificate = certify(mutant.network, subject.task, **options, boxes=FEW, checkpoint=place)
        else:
            return
    except AtlasMoEError:
        return
    if certificate.status is Known.PROVED:
        for at in worst(sampler, mutant):
            error = Found.at(sampler.truth, mutant.network, at).error
            if error > mpmath.mpf(certificate.bound) + SLACK:
                yield "false PROVED", f"checkpoint, {done}: bound {certificate.bound!r}, but {mpmath.nstr(error, 12)} at {at}"


def _poison(place: Path, rng: np.random.Generator) -> str:
    def change(arrays: Arrays) -> None:
        for name in arrays:
            array = arrays[name]
            match int(rng.integers(4)):
                case 0 if array.size:
                    array.reshape(-1)[rng.integers(array.size)] = 0
                case 1:
                    arrays[name] = array[: rng.integers(array.shape[0] + 1)] if array.ndim else array
                case 2:
                    arrays[name] = np.array([1, 0, 0], np.uint8)
                case _:
                    arrays[name] = np.array([1, 0] * int(rng.integers(1, 40)) + [0], np.uint8)

    with_arrays(place.parent, change, place.name)
    return "other cuts"


def swaps(subjects: list[Subject], folder: Path, rng: np.random.Generator) -> Iterator[tuple[str, Callable[[], Iterator[tuple[str, str]]]]]:
    """Endless folders in which one to four files come from another model, every hash mended."""
    honest = {}
    for subject in subjects:
        honest[subject.name] = folder / subject.name
        atlasmoe.save(subject.model, honest[subject.name])
        subject.certificate.write(honest[subject.name])
    files = ("certificate.json", "certificate.safetensors", "task.toml", "model.safetensors", "config.json", "ledger.json")
    number = 0
    while True:
        a, b = (subjects[k] for k in rng.choice(len(subjects), 2, replace=False))
        taken = [files[k] for k in rng.choice(len(files), int(rng.integers(1, 5)), replace=False)]
        mixed = copied(honest[a.name], folder / f"exchanged {number}")
        number += 1
        for name in taken:
            (mixed / name).write_bytes((honest[b.name] / name).read_bytes())
        yield f"{', '.join(taken)} of {b.name} in {a.name}", lambda at=mixed, s=a: _exchanged(at, s)


def _exchanged(folder: Path, subject: Subject) -> Iterator[tuple[str, str]]:
    resign(folder)
    try:
        report = check(folder)
    except AtlasMoEError:
        return
    if report.verdict != "confirmed":
        return
    try:
        model = atlasmoe.load(folder)
    except AtlasMoEError as why:
        yield "false confirmed", f"but not even read by load: {str(why)[:160]}"
        return
    for problem in untrue(model, report, subject):
        yield "false confirmed", problem
