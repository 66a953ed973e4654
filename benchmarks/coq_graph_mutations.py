"""False theorems about a task graph for coqc to refuse: weights changed, channels swapped, ε lowered, ends of pieces moved.

    python benchmarks/coq_graph_mutations.py out/graph --count 20

Exit code 1 if coqc accepts one of them.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from atlasmoe.export.folder import load
from atlasmoe.moe import Model, Network
from atlasmoe.moe.layout import describe, read_network, tensors
from atlasmoe.moe.typed_json import Fields
from atlasmoe.verify.coq.graph_project import graph_files
from atlasmoe.verify.coq.graph_statement import GraphStatement, graph_statement_of
from atlasmoe.verify.coq.project import write
from atlasmoe.verify.coq.run import OPTIONS
from atlasmoe.verify.coq.theory import compiled_theory
from atlasmoe.verify.coq.weights import weights

ENDS = re.compile(r"(Closed|Open) \((-?\d+),(-?\d+)\)")


def error(model: Model, network: Network, points: np.ndarray) -> float:
    """The largest error at the points."""
    return float(np.abs(network(points) - model.task.evaluate(points)).max())  # type: ignore[union-attr]


def changed_weights(statement: GraphStatement, rng: np.random.Generator, points: np.ndarray) -> Iterator[tuple[str, str, str]]:
    """What was done, the file, its text; for ever."""
    model = statement.model
    config = Fields.of(describe(model.network), Path("config.json"))
    while True:
        arrays = {name: array.copy() for name, array in tensors(model.network).items()}
        name = rng.choice(sorted(arrays))
        place = tuple(int(rng.integers(n)) for n in arrays[name].shape)
        before = arrays[name][place]
        for factor in (1.1, 0.0, -1.0, 2.0, 16.0):
            arrays[name][place] = before * factor + (0.05 * (factor - 1) if before == 0 else 0)
            network = read_network(config, {other: array.copy() for other, array in arrays.items()})
            if (found := error(model, network, points)) > statement.epsilon:
                yield (
                    f"{name}{list(place)} {before:.6g} → {arrays[name][place]:.6g}: error {found:.4g}",
                    "Weights.v",
                    weights(network, "t", graph=True),
                )
                break


def rewired(statement: GraphStatement, points: np.ndarray) -> Iterator[tuple[str, str, str]]:
    """Layers that carry one channel in the place of another one."""
    model = statement.model
    for n, layer in enumerate(model.network.layers):
        carries = layer.carries
        if carries is None:
            continue
        for c, source in enumerate(carries):
            if source is None:
                continue
            other = next((s for s in carries if s is not None and s != source), None)
            swapped = tuple(other if k == c else s for k, s in enumerate(carries))
            layers = (*model.network.layers[:n], replace(layer, carries=swapped), *model.network.layers[n + 1 :])
            network = Network(layers, model.network.inputs)
            if (found := error(model, network, points)) > statement.epsilon:
                yield f"layer {n} carries {other} to {c}: error {found:.4g}", "Weights.v", weights(network, "t", graph=True)


def moved_ends(contents: dict[str, str], rng: np.random.Generator) -> Iterator[tuple[str, str, str]]:
    """Inner ends of pieces that are moved, or taken from their piece, or given to two: the network is off there, or no piece is left."""
    text = contents["Task.v"]
    found = list(ENDS.finditer(text))
    lines = [line for line in text.splitlines() if line.startswith("Definition input_")]
    outer = set(re.findall(r"\((-?\d+),(-?\d+)\)", "\n".join(lines)))
    inner = [m for m in found if m.groups()[1:] not in outer and text[: m.start()].count("Definition node_")]
    for _ in range(len(inner)):
        m = inner[int(rng.integers(len(inner)))]
        other = "Open" if m.group(1) == "Closed" else "Closed"
        yield f"{m.group()} is {other}", "Task.v", text[: m.start()] + f"{other} ({m.group(2)},{m.group(3)})" + text[m.end() :]
        shifted = f"{m.group(1)} ({int(m.group(2)) * 1025},{int(m.group(3)) - 10})"
        yield f"{m.group()} is {shifted}", "Task.v", text[: m.start()] + shifted + text[m.end() :]


def lowered(statement: GraphStatement, contents: dict[str, str], points: np.ndarray) -> Iterator[tuple[str, dict[str, str]]]:
    """ε below an error that was found."""
    worst = error(statement.model, statement.model.network, points)
    for k in range(3):
        epsilon = worst * (1 - 10.0 ** -(k + 1))
        lower = graph_files(GraphStatement(statement.task, statement.model, epsilon), "fast")
        yield f"ε = {epsilon:.6g}, below an error that was found", {name: lower[name] for name in contents}


def refused(place: Path, contents: dict[str, str]) -> str | None:
    """The first file that coqc does not accept."""
    blocks = sorted((name for name in contents if name.startswith("Block")), key=lambda name: int(name[5:-2]))
    for name in ("Weights.v", "Task.v", "Hints.v", "Values.v", *blocks, "Main.v"):
        (place / name).write_text(contents[name], encoding="utf-8")
        if subprocess.run(["coqc", *OPTIONS, name], cwd=place, capture_output=True, check=False).returncode:
            return name
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--count", type=int, default=20)
    arguments = parser.parse_args()
    statement = graph_statement_of(load(arguments.model))
    contents, rng = graph_files(statement, "fast"), np.random.default_rng(0)
    points = statement.task.sample(20_000, seed=3)
    wrongs = list(lowered(statement, contents, points))
    quarter = max(1, arguments.count // 4)
    for kind in (rewired(statement, points), moved_ends(contents, rng)):
        wrongs += [(what, {**contents, name: text}) for _, (what, name, text) in zip(range(quarter), kind, strict=False)]
    rest = range(max(0, arguments.count - len(wrongs)))
    wrongs += [(what, {**contents, n: text}) for _, (what, n, text) in zip(rest, changed_weights(statement, rng, points), strict=False)]
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "proof"
        write(place, contents)
        compiled_theory(place, "fast")
        for what, wrong in wrongs:
            at = refused(place, wrong)
            bad += at is None
            print("ACCEPTED" if at is None else f"refused in {at}", what, flush=True)
    print(f"{len(wrongs) - bad} of {len(wrongs)} false statements refused")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
