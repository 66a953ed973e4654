"""Files of certified models with one thing changed: bytes, and fields with every hash mended, so that only what they say counts.

`fuzz(count, seed)` makes `count` edits of every file and says what went wrong: a traceback (anything raised that is not on purpose) in
`load`, in `check`, where `certify` reads, or on the command line; or a false confirmation. An edit that changes nothing that counts may be
confirmed; so what is confirmed has to be read by `load` too, and its bound has to hold at sampled points of the task that the folder
then holds.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
from atlasmoe.atlas.graph import as_graph
from atlasmoe.cli.main import main
from atlasmoe.errors import AtlasMoEError
from atlasmoe.moe.beside import earlier
from atlasmoe.moe.typed_json import canonical
from atlasmoe.verify.check import check
from atlasmoe.verify.prove import certify
from click.testing import CliRunner

CERTIFICATE, CONFIG = "certificate.json", "config.json"
FILES = (
    *("certificate.json", "certificate.safetensors", "config.json", "ledger.json"),
    *("model.safetensors", "task.toml", "refutation.json", "atlas.safetensors"),
)
"""Files that are edited, of those that a folder has."""
SPECS = {
    "interval": '[task]\nname="i"\n[manifold]\nbuiltin="interval"\ncharts=3\n[target]\nexpression="exp(x1)"\n',
    "circle": '[task]\nname="c"\n[manifold]\nbuiltin="circle"\ncharts=3\n[target]\nexpression="x1*x2"\n',
    "graph": '[task]\nname="g"\nkind="graph"\noutput="f"\n[[input]]\nname="u"\ndomain=[0,2]\n[[block]]\nname="f"\nreads=["u"]\n'
    'piece=[{domain=[0,1],expression="u*u"},{domain=[1,2],expression="2-u"}]\n',
}
EPSILON = {"interval": 0.05, "circle": 0.3, "graph": 0.05}
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError)
"""What cannot be read cannot be signed."""
SAMPLES = 2000
ROUNDED = 1e-9
"""Of a bound, for what floats may add at a sample."""
Edit = Callable[[bytes, np.random.Generator], bytes]
Fault = tuple[str, str]
"""What went wrong ("traceback" or "false confirmed"), and how it came about."""


def flipped(data: bytes, rng: np.random.Generator) -> bytes:
    """One bit."""
    at = int(rng.integers(len(data)))
    return data[:at] + bytes([data[at] ^ 1 << int(rng.integers(8))]) + data[at + 1 :]


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(len(data)))]


def grown(data: bytes, rng: np.random.Generator) -> bytes:
    """Bytes before or behind, or somewhere between."""
    more = (b"\0", b"\xef\xbb\xbf", b"{}", b"\n", b" ", b"\xff" * 8, b"x", b",")[int(rng.integers(8))]
    at = int(rng.choice([0, len(data), rng.integers(len(data))]))
    return data[:at] + more + data[at:]


def moved(data: bytes, rng: np.random.Generator) -> bytes:
    """A stretch of bytes is there twice, or is missing."""
    a, b = sorted(int(v) for v in rng.integers(len(data), size=2))
    return data[:b] + data[a:] if rng.random() < 0.5 else data[:a] + data[b:]


def size_changed(data: bytes, rng: np.random.Generator) -> bytes:
    """The size of a header, of a file of tensors."""
    size = int.from_bytes(data[:8], "little")
    new = int(rng.choice([0, 1, size - 1, size + 1, size + 8, len(data), 2**31, 2**62]))
    return new.to_bytes(8, "little") + data[8:]


NUMBERS = (0, -1, 1, 10**30, 1e308, 0.5, True, None, "NaN", [], {}, [[0]], "x", -0.0)


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all entries of a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in items:
        yield (*before, key)
        yield from places(entry, (*before, key))


def holder(document: Any, place: tuple[Any, ...]) -> Any:
    for key in place[:-1]:
        document = document[key]
    return document


def entry_changed(document: Any, rng: np.random.Generator) -> None:
    """Another value, a neighbouring number, no value, or one more under a new name."""
    found = list(places(document))
    place = found[rng.integers(len(found))]
    inside, key = holder(document, place), place[-1]
    kind, old = int(rng.integers(4)), inside[key]
    if kind == 0 and isinstance(old, float | int) and not isinstance(old, bool):
        inside[key] = float(rng.choice([old * 0.5, old * (1 - 1e-12), old * 2, -old, old + 1e-9, np.nextafter(old, 0)]))
    elif kind == 1 and isinstance(inside, dict):
        del inside[key]
    elif kind == 2 and isinstance(inside, dict):
        inside[f"{key}{rng.choice(['_', '2', ' '])}"] = old
    else:
        inside[key] = NUMBERS[rng.integers(len(NUMBERS))]


def entry(data: bytes, rng: np.random.Generator) -> bytes:
    """One entry of a JSON document."""
    document = json.loads(data)
    entry_changed(document, rng)
    return json.dumps(document, ensure_ascii=False).encode()


def twice(data: bytes, rng: np.random.Generator) -> bytes:
    """A key of a JSON text is there twice, first with another value."""
    text = data.decode()
    keys = list(re.finditer(r'"([^"\\\\]*)"\s*:', text))
    hit = keys[rng.integers(len(keys))]
    again = f'"{hit.group(1)}":{rng.choice(["1e-9", "null", "[]", "true"])},'
    return (text[: hit.start()] + again + text[hit.start() :]).encode()


def header(data: bytes, rng: np.random.Generator) -> bytes:
    """The header of a file of tensors: an entry changed, or a key there twice."""
    size = int.from_bytes(data[:8], "little")
    text = data[8 : 8 + size]
    new = entry(text, rng) if rng.random() < 0.7 else twice(text.rstrip(), rng)
    return len(new).to_bytes(8, "little") + new + data[8 + size :]


def number(data: bytes, rng: np.random.Generator) -> bytes:
    """The bytes of one number of a file of tensors."""
    size = 8 + int.from_bytes(data[:8], "little")
    if len(data) - size < 8:
        return flipped(data, rng)
    at = size + 8 * int(rng.integers((len(data) - size) // 8))
    value = np.frombuffer(data[at : at + 8], "<f8")[0]
    new = float(rng.choice([0.0, -value, np.inf, np.nan, 1e300, value * 1.5, np.nextafter(value, 0), 5e-324]))
    return data[:at] + np.array([new], "<f8").tobytes() + data[at + 8 :]


def line(data: bytes, rng: np.random.Generator) -> bytes:
    """A line of a TOML text: missing, twice, or with another value."""
    lines = data.decode().split("\n")
    at = int(rng.integers(len(lines)))
    values = (
        "inf",
        "nan",
        "1979-05-27",
        "[]",
        "''",
        "1e999",
        "-1",
        "{a = 1}",
        "[" * 200 + "]" * 200,
        str(2**70),
        "0x1",
        '"sqrt(x1)"',
        "true",
    )
    kind = int(rng.integers(3))
    if kind == 0:
        lines.insert(at, lines[at])
    elif kind == 1 or "=" not in lines[at]:
        del lines[at]
    else:
        lines[at] = lines[at].split("=")[0] + "= " + values[rng.integers(len(values))]
    return "\n".join(lines).encode()


BYTES: tuple[Edit, ...] = (flipped, flipped, cut, grown, moved)
EDITS: dict[str, tuple[Edit, ...]] = {
    ".json": (*BYTES, entry, entry, entry, twice),
    ".safetensors": (*BYTES, header, header, number, number, size_changed),
    ".toml": (*BYTES, line, line, line),
}
"""Edits by what the name of a file ends with."""


def sign(folder: Path) -> None:
    """Every size, hash and digest of config.json made right again, then those of certificate.json and refutation.json, if they are read."""
    with suppress(*UNREADABLE):
        config = json.loads((folder / CONFIG).read_bytes())
        for name, entry in config["files"].items():
            data = (folder / name).read_bytes()
            entry |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        config.pop("digest", None)
        config["digest"] = hashlib.sha256(canonical(config)).hexdigest()
        (folder / CONFIG).write_text(json.dumps(config, ensure_ascii=False))
    with suppress(*UNREADABLE):
        document = json.loads((folder / CERTIFICATE).read_bytes())
        document["files"] = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in document["files"]}
        document["root"] = hashlib.sha256(canonical(document["files"])).hexdigest()
        (folder / CERTIFICATE).write_text(json.dumps(document, ensure_ascii=False))
    with suppress(*UNREADABLE):
        document = json.loads((folder / "refutation.json").read_bytes())
        document["files"] = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in document["files"]}
        (folder / "refutation.json").write_text(json.dumps(document, ensure_ascii=False))


def subjects(folder: Path) -> dict[str, Path]:
    """Certified models in folders, one of them refuted."""
    found = {}
    for name, text in SPECS.items():
        spec = folder / f"{name}.toml"
        spec.write_text(text)
        model = atlasmoe.compile(atlasmoe.load_task(str(spec)), epsilon=EPSILON[name])
        found[name] = atlasmoe.save(model, folder / name)
        certify(model, tightness=None).write(found[name])
        assert check(found[name]).verdict == "confirmed", name
    found["refuted"] = shutil.copytree(found["circle"], folder / "refuted")
    certify(atlasmoe.load(found["refuted"]), epsilon=1e-6, tightness=None).write(found["refuted"], overwrite=True)
    assert check(found["refuted"]).verdict == "refuted"
    return found


def judged(folder: Path) -> Iterator[Fault]:
    """What is wrong with what is said of a folder."""
    report = None
    try:
        report = check(folder)
    except AtlasMoEError:
        pass
    except Exception as error:
        yield "traceback", f"check: {type(error).__name__}: {error}"
    model = None
    try:
        model = atlasmoe.load(folder)
    except AtlasMoEError:
        pass
    except Exception as error:
        yield "traceback", f"load: {type(error).__name__}: {error}"
    try:
        earlier(folder)
    except Exception as error:
        yield "traceback", f"earlier: {type(error).__name__}: {error}"
    if report is None or report.verdict != "confirmed":
        return
    if model is None:
        yield "false confirmed", "it is no model that load reads"
        return
    yield from believed(model, report.bound)


def believed(model: atlasmoe.Model, bound: float | None) -> Iterator[Fault]:
    """Whether a bound that was confirmed holds at samples."""
    graph = as_graph(model.task)
    x = graph.sample(SAMPLES, 0, low_discrepancy=True)
    with np.errstate(all="ignore"):
        error = np.abs(model.network.astype(float)(x) - graph.evaluate(x)).max()
    if bound is None or not error <= bound * (1 + ROUNDED) + 1e-12:
        yield "false confirmed", f"error {error} above the bound {bound}"


def shown(folder: Path) -> Iterator[Fault]:
    """Whether the command line ends with an exit code that it may end with."""
    for command in (["check"], ["show"], ["explain", "--at", "0.5,0.5"], ["verify", "--samples", "64"]):
        result = CliRunner().invoke(main, [command[0], str(folder), *command[1:], "--json"])
        if result.exit_code not in (0, 1, 2) or (result.exception is not None and not isinstance(result.exception, SystemExit)):
            yield "traceback", f"{command[0]}: exit code {result.exit_code}: {result.output[-300:]}"


def fuzz(count: int, seed: int, *, files: tuple[str, ...] = FILES, often: int = 8) -> Iterator[tuple[str, list[Fault]]]:
    """`count` edits of every file: what was done, and what went wrong. Every `often`-th goes through the command line too."""
    with tempfile.TemporaryDirectory(prefix="atlasmoe-fuzz-") as temporary:
        folder = Path(temporary)
        found = subjects(folder)
        for f, name in enumerate(files):
            having = [subject for subject in found if (found[subject] / name).is_file()]
            for n in range(count if having else 0):
                rng = np.random.default_rng([seed, f, n])
                subject = having[n % len(having)]
                copy = shutil.copytree(found[subject], folder / "edited")
                edit = EDITS[Path(name).suffix][int(rng.integers(len(EDITS[Path(name).suffix])))]
                (copy / name).write_bytes(edit((copy / name).read_bytes(), rng))
                if rng.random() < 0.9:
                    sign(copy)
                faults = [*judged(copy), *(shown(copy) if n % often == 0 else ())]
                yield f"{subject}/{name}, number {n}: {edit.__name__}", faults
                shutil.rmtree(copy)


if __name__ == "__main__":
    bad = 0
    for done, faults in fuzz(int(sys.argv[1]) if len(sys.argv) > 1 else 300, int(sys.argv[2]) if len(sys.argv) > 2 else 0):
        bad += len(faults)
        for what, detail in faults:
            print(f"{what}: {done}: {detail}", flush=True)
    print(f"{bad} faults")
    sys.exit(bool(bad))
