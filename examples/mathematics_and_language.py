"""Example 5.1 of the paper: nine tasks, "understand and solve the [language] [mathematics] problem", from six experts in four layers.

    python examples/mathematics_and_language.py [--epsilon 0.01] [--out out]

Compiles mathematics_and_language.toml by Theorem 5.2, verifies, certifies and checks it, and explains one point of every task. The
block `solve` reads what `understand` computes. In the paper's own form f = (f_1(x_1), f_2(x_2)) with f_out = id, the two answers stand
beside each other and each part reads its own input (`pair`); the same experts serve, and the same four layers.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import atlasmoe
import numpy as np
from rich.console import Console
from rich.table import Table

SPEC = Path(__file__).with_suffix(".toml")
POINTS = 2000
"""Of every task, for its largest error."""


@dataclass(frozen=True)
class Row:
    """One of the nine tasks."""

    language: str
    topic: str
    point: tuple[float, ...]
    understood: float
    """What the expert of the language makes of the two words."""
    answer: float
    truth: float
    experts: tuple[str, ...]
    """Of the layers that route, in the order of layers: what the network took."""
    error: float
    """The largest of POINTS points of this task."""


def composed() -> atlasmoe.TaskGraph:
    """solve(topic, understand(language, words)), as the spec says it."""
    task = atlasmoe.load_task(SPEC)
    assert isinstance(task, atlasmoe.TaskGraph)
    return task


def pair() -> atlasmoe.TaskGraph:
    """(solve(topic, number), understand(language, words)): Equation (5) with f_out = id, on inputs x_1 and x_2 of their own."""
    inputs = [node for node in composed().nodes if isinstance(node, atlasmoe.Input)]
    understand, solve = composed().blocks
    number = atlasmoe.Input("number", atlasmoe.Box((-0.1,), (2.2,)), ("n",))
    alone = replace(understand, outputs=("m",))
    both = atlasmoe.Combine.parse("f", ("solve", "m"), ["solve", "m"], outputs=("answer", "understood"))
    return atlasmoe.TaskGraph("mathematics beside language", (*inputs, number, alone, solve, both), "f")


def rows(model: atlasmoe.Model, seed: int = 0) -> list[Row]:
    """Every task: a point of it explained, and the largest error of many."""
    task = model.task
    assert isinstance(task, atlasmoe.TaskGraph)
    understand, solve = task.blocks
    found = []
    for i, language in enumerate(understand.names):
        for j, topic in enumerate(solve.names):
            x, drawn = task.sample_routes(np.tile([[i, j]], (POINTS, 1)), seed)
            assert drawn.all()
            why = model.explain(x[0])
            error = float(np.abs(model(x) - task(x)).max())
            words, asked = why.blocks
            values = words.outputs[0].value, asked.outputs[0].value, asked.outputs[0].truth
            found.append(Row(language, topic, tuple(x[0].tolist()), *map(float, values), (words.piece, asked.piece), error))
    return found


def show(console: Console, found: Sequence[Row]) -> None:
    table = Table(title="Nine tasks, six experts")
    for column in ("language", "topic", "words", "understood as", "answer", "truth", "experts taken", "largest error of this task"):
        table.add_column(column)
    for row in found:
        words = f"{row.point[1]:.2f}, {row.point[2]:.2f}"
        cells = (f"{row.understood:.3f}", f"{row.answer:.4f}", f"{row.truth:.4f}", " → ".join(row.experts), f"{row.error:.2e}")
        table.add_row(row.language, row.topic, words, *cells)
    console.print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epsilon", type=float, default=0.01)
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the models")
    given = parser.parse_args(arguments)
    console = Console(width=140)
    for task in (composed(), pair()):
        model = atlasmoe.compile(task, epsilon=given.epsilon)
        report = atlasmoe.verify(model, samples=20_000)
        certificate = atlasmoe.certify(model)
        folder = given.out / task.name.replace(" ", "_")
        atlasmoe.save(model, folder, overwrite=True)
        certificate.write(folder, overwrite=True)
        checked = atlasmoe.check(folder)
        layers = " · ".join(str(len(layer.experts)) for layer in model.network.layers)
        held = "nothing" if report.holds else "something"
        console.print(
            f"{task.name}: {task.pieces} tasks, layers of {layers} experts, {model.network.parameters} numbers; "
            f"refuted: {held}; |f - Ψ| <= {certificate.bound:.3g} {certificate.status}, {checked.verdict}"
        )
        if task.name == composed().name:
            show(console, rows(model))


if __name__ == "__main__":
    main()
