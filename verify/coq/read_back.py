"""`Weights.v` against model.safetensors and config.json: another reader than the writer, number by number.

The file is read as text: definitions of blocks (D, (k_j, c_j), b), of nets and of layers. Row j of a matrix is c_j·D[k_j], multiplied
out in integers; a number has to be that of the file exactly, and every tensor there has to be read once. The sign of a zero is no part
of a real number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import FolderError
from ...moe.strict import parse_tensors
from .weights import HEAD

PAIR = re.compile(r"\((-?\d{1,20}),(-?\d{1,4})\)")
CHOICE = re.compile(r"\((\d{1,9})%nat,\((-?\d{1,20}),(-?\d{1,4})\)\)")
RUN = re.compile(r"repeat (\w+) (\d+)")


def _separated(one: str, by: str) -> str:
    """As many of them as one likes, none too."""
    return f"(?:{one}(?:{by}{one})*)?"


def _plain(pattern: re.Pattern[str]) -> str:
    """Without what it remembers."""
    return re.sub(r"(?<!\\)\((?!\?)", "(?:", pattern.pattern)


PAIRS = _separated(_plain(PAIR), ";")
ROWS = _separated(r"\[" + PAIRS + r"\]", r";\n  ")
RUNS = _separated(_plain(RUN), r" \+\+ ")
BLOCK = re.compile(
    rf"\(\* (\S+) (\d+)x(\d+) \*\)\nDefinition (\w+) : block dyadic := \(\[({ROWS})\],\n"
    rf" \[({_separated(_plain(CHOICE), ';')})\],\n \[({PAIRS})\]\)\.\n"
)
HIDDEN = rf"Hidden \w+ (?:\[\]|\({RUNS}\)%list) (?:None|\(Some \w+\))"
NET = re.compile(rf"Definition (\w+) : net \(block dyadic\) := \(\[({_separated(HIDDEN, '; ')})\], (\w+)\)\.\n")
LAYER = re.compile(
    r"Definition layer_(\d+) : layer \(block dyadic\) := Layer\n  (None|\(Some \w+\)) \[([\d;]*)\]%nat\n  \[(.*?)\]\n"
    r"  \[([\d;]*)\]%nat \[([\d;]*)\]%nat (None|\(Some \w+\)) (None|\(Some \w+\))\n  \[(.*?)\]%nat (\d+)%nat (\w+)\.\n"
)
ALL = re.compile(r"Definition network : list \(layer \(block dyadic\)\) := \[[\w; ]*\]\.\n")
FRAME = re.compile(rf'\(\* (?:(?!\(\*|\*\))[^"\n])* \*\)\n{re.escape(HEAD)}\s*')
"""What stands in the file beside definitions: one comment with the name of the task, and how every such file begins."""
WORDS = {"Identity": "identity", "Relu": "relu", "Relu2": "relu2", "Silu": "silu", "GeluTanh": "gelu_tanh"}


def differences(folder: Path, proof: Path) -> list[str]:
    """What `Weights.v` of a proof says otherwise than the model in `folder`. Raises `FolderError` for missing files."""
    try:
        text = (proof / "Weights.v").read_text(encoding="utf-8")
        arrays, _ = parse_tensors((folder / "model.safetensors").read_bytes(), folder / "model.safetensors")
        stored = (folder / "config.json").read_bytes()
    except OSError as error:
        raise FolderError(
            f"{error.filename}: cannot be read ({error.strerror}); name a model folder and the folder of its proof"
        ) from error
    except UnicodeDecodeError as error:
        raise FolderError(f"{proof / 'Weights.v'}: is no text; write it again: `atlasmoe prove {folder} -o {proof} --no-run`") from error
    said = list(_numbers(text, arrays))
    try:
        said += _structure(text, json.loads(stored)["network"])
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise FolderError(f"{folder / 'config.json'}: describes no network; `atlasmoe show {folder}` says what is wrong") from error
    return said + _rest(text)


def _numbers(text: str, arrays: Mapping[str, NDArray]) -> list[str]:
    said, left = [], set(arrays)
    for place, rows, columns, name, shared, chosen, biases in BLOCK.findall(text):
        if name not in (place.replace(".", "_"), f"{place.replace('.', '_')}_map"):
            said.append(f"{name} stands under the name of {place}")
        shape = int(rows), int(columns)
        lines = [[(int(m), int(e)) for m, e in PAIR.findall(line)] for line in shared.split("];\n  [")]
        picked = [(int(k), (int(m), int(e))) for k, m, e in CHOICE.findall(chosen)]
        matrix = [[_times(pair, factor) for pair in lines[k]] if k < len(lines) else [] for k, factor in picked]
        bias = [_float(int(m), int(e)) for m, e in PAIR.findall(biases)]
        said += _compared(f"{place}.weight", matrix, arrays, shape, left)
        if f"{place}.bias" in arrays:
            said += _compared(f"{place}.bias", bias, arrays, shape[:1], left)
        elif any(bias) or len(bias) != shape[0]:
            said.append(f"{place} has a bias, which model.safetensors has not")
    return said + [f"{name} of model.safetensors is missing" for name in sorted(left)]


def _times(a: tuple[int, int], b: tuple[int, int]) -> float:
    return _float(a[0] * b[0], a[1] + b[1])


def _float(m: int, e: int) -> float:
    """m·2^e, which has to be a float exactly; NaN if it is none."""
    exact = Fraction(m) * Fraction(2) ** e
    try:
        value = float(exact)
    except OverflowError:
        return float("nan")
    return value if Fraction(value) == exact else float("nan")


def _compared(name: str, found: list[Any], arrays: Mapping[str, NDArray], shape: tuple[int, ...], left: set[str]) -> list[str]:
    if name not in left:
        return [f"{name} is not in model.safetensors, or is written twice"]
    left.discard(name)
    stored = arrays[name]
    if stored.shape != shape:
        return [f"{name} has the shape {stored.shape}, Weights.v says {shape}"]
    if [len(row) for row in found] != [shape[1]] * shape[0] if len(shape) == 2 else len(found) != shape[0]:
        return [f"{name}: Weights.v has not as many numbers as it says"]
    read = np.array(found, np.float64).reshape(shape)
    bits = read.view(np.int64) != (stored.astype(np.float64) + 0.0).view(np.int64)
    return [f"{name}{list(map(int, at))} is {stored[tuple(at)]!r}, Weights.v says {read[tuple(at)]!r}" for at in np.argwhere(bits)[:3]]


def _structure(text: str, config: Mapping[str, Any]) -> list[str]:
    """Layers and nets against config.json."""
    nets = {name: (hidden, last) for name, hidden, last in NET.findall(text)}
    said = []
    layers = LAYER.findall(text)
    if len(layers) != len(config["layers"]):
        said.append(f"there are {len(layers)} layers, config.json has {len(config['layers'])}")
    listed = "; ".join(f"layer_{n}" for n in range(len(layers)))
    if f"Definition network : list (layer (block dyadic)) := [{listed}]." not in text:
        said.append("the network is not the list of the layers")
    arriving = len(config["inputs"])
    for n, (found, stored) in enumerate(zip(layers, config["layers"], strict=False)):
        expected = _expected(n, stored, arriving)
        if (wrong := [part for part, value in zip(PARTS, found, strict=True) if value != expected[part]]) or int(found[0]) != n:
            said.append(f"layer {n}: {', '.join(wrong)} is not as in config.json")
        for part, net in _parts(n, stored).items():
            if part not in nets or not _same_net(part, nets[part], net):
                said.append(f"{part} is not made of its maps as in config.json")
        arriving = len(stored["channels"])
    return said


PARTS = ("number", "gate", "sees", "experts", "serves", "reads", "latent", "shared", "leaves", "top", "weighs")


def _parts(n: int, stored: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    found = {f"layers_{n}_experts_{k}": net for k, net in enumerate(stored["experts"])}
    gate, shared = stored.get("gate", {"hidden": []}), stored.get("shared")
    return found | ({} if gate is None else {f"layers_{n}_gate": gate}) | ({} if shared is None else {f"layers_{n}_shared": shared})


def _expected(n: int, stored: Mapping[str, Any], arriving: int) -> dict[str, str]:
    """The fields of a layer as text."""
    gate, every = stored.get("gate", {"hidden": []}), list(range(arriving))
    channels = len(stored["channels"])
    writes, carries = stored.get("writes"), stored.get("carries")
    targets = list(range(channels)) if writes is None else writes
    leaving = []
    for c in range(channels):
        source = None if carries is None else carries[c]
        output = targets.index(c) if c in targets else None
        leaving.append(f"({'None' if source is None else f'Some {source}'},{'None' if output is None else f'Some {output}'})")
    sees, reads = stored.get("sees"), stored.get("reads")
    return {
        "number": str(n),
        "gate": "None" if gate is None else f"(Some layers_{n}_gate)",
        "sees": "" if gate is None else ";".join(map(str, every if sees is None else sees)),
        "experts": "; ".join(f"layers_{n}_experts_{k}" for k in range(len(stored["experts"]))),
        "serves": ";".join(map(str, stored["serves"])),
        "reads": ";".join(map(str, every if reads is None else reads)),
        "latent": f"(Some layers_{n}_latent)" if stored.get("latent") else "None",
        "shared": "None" if stored.get("shared") is None else f"(Some layers_{n}_shared)",
        "leaves": ";".join(leaving),
        "top": str(stored.get("top_k", 1)),
        "weighs": str(stored.get("weighting", "softmax")).capitalize(),
    }


def _same_net(name: str, found: tuple[str, str], stored: Mapping[str, Any]) -> bool:
    """Whether a net is made of its maps in their order, with the activations of its groups."""
    hidden = stored["hidden"]
    gated = stored.get("gated", [False] * len(hidden))
    alone = name.endswith("_gate") and not hidden
    parts = [] if not found[0] else found[0].split("; ")
    if len(parts) != len(hidden) or found[1] != (f"{name}_map" if alone else f"{name}_affines_{len(hidden)}"):
        return False
    for j, (part, groups) in enumerate(zip(parts, hidden, strict=True)):
        lanes = f"(Some {name}_ups_{j})" if gated[j] else "None"
        if not part.startswith(f"Hidden {name}_affines_{j} ") or not part.endswith(f" {lanes}"):
            return False
        runs = [(WORDS.get(word), int(count)) for word, count in RUN.findall(part)]
        if runs != [(group.get("activation", "relu"), group["count"]) for group in groups]:
            return False
    return True


def _rest(text: str) -> list[str]:
    """Nothing may stand in the file but these definitions, and none of them in a comment."""
    for pattern in (BLOCK, NET, LAYER, ALL):
        text = pattern.sub("", text)
    if FRAME.fullmatch(text):
        return []
    stray = [line for line in text.splitlines()[1:] if line.strip() and line not in HEAD.splitlines()]
    return [f"Weights.v has something else in it: {line[:80]}" for line in stray[:3] or ["its first lines are not those of such a file"]]
