"""What is a mixture of experts worth beside dense networks of as many numbers? Errors, proved bounds and time per input.

    python benchmarks/dense.py [--only TASK]

Every task is compiled as a mixture on balls to one ε. Beside it stand dense networks with as many active and with as many stored numbers
(`dense_baseline`), and the construction of Chen, Jiang, Liao and Zhao to the same ε: all by linear algebra, none trained, each certified.
Times are of PyTorch on one thread, 4096 points of M, CPU time, the best of seven, taken in turn in one run. Networks whose width exceeds
MOST are left out. About five minutes of CPU.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import torch
from atlasmoe import AtlasMoEError, ManifoldTask, Model, certify, compile, dense_baseline
from atlasmoe.atlas.spec import task_from_spec
from timing import POINTS, timed

BUMP = "exp(-40*((x1 - 0.6)**2 + (x2 - 0.8)**2 + x3**2)) + x1/4"
CASES: dict[str, tuple[dict[str, Any], str, float]] = {
    "circle in R^64": (
        {"builtin": "circle", "atlas": "ball", "charts": 16, "embed": {"dimension": 64, "seed": 0}},
        "sin(9*x1*x2) + x1",
        0.01,
    ),
    "sphere, smooth": ({"builtin": "sphere", "atlas": "ball", "charts": 12}, "sin(4*x1 + x2)*cos(3*x3) + x1*x2", 0.1),
    "sphere, a bump": ({"builtin": "sphere", "atlas": "ball", "charts": 12}, BUMP, 0.05),
}
"""Task ↦ manifold, target, ε."""
KINDS = ("mixture", "dense, active", "dense, total", "Chen et al.")
MOST, SECONDS, TIGHTNESS = 1024, 300.0, 1.5


def task(name: str) -> ManifoldTask:
    manifold, expression, _ = CASES[name]
    found = task_from_spec({"task": {"name": name}, "manifold": manifold, "target": {"expression": expression}})
    assert isinstance(found, ManifoldTask)
    return found


def models(name: str, activation: str) -> dict[str, Model | str]:
    """The mixture and what stands beside it; why it is not there, in words."""
    here, epsilon = task(name), CASES[name][2]
    mixture = compile(here, epsilon=epsilon, activation=activation)
    builders = {
        "dense, active": lambda: dense_baseline(mixture, "active", max_width=MOST),
        "dense, total": lambda: dense_baseline(mixture, "total", max_width=MOST),
        "Chen et al.": lambda: compile(here, epsilon=epsilon, theorem="chen", activation=activation, max_width=MOST),
    }
    found: dict[str, Model | str] = {"mixture": mixture}
    for kind, build in builders.items():
        try:
            found[kind] = build()
        except AtlasMoEError as error:
            found[kind] = str(error)
    return found


def rows(name: str, activation: str) -> list[str]:
    """Lines of the table for one task and kind of neurons."""
    made = models(name, activation)
    times = timed({kind: model for kind, model in made.items() if isinstance(model, Model)}, task(name))
    lines = []
    for kind, model in made.items():
        head = f"| {name} | {activation} | {kind} |"
        if isinstance(model, str):
            lines.append(f"{head} – | – | {model[:60]} | | |")
            continue
        certificate = certify(model, tightness=TIGHTNESS, seconds=SECONDS)
        nonzero = model.facts.get("chen", {}).get("nonzero")
        stored = f"{model.network.parameters:,}" + ("" if nonzero is None else f" ({nonzero:,} not 0)")
        proved = f"{certificate.bound:.3g}" if certificate.status == "proved" else str(certificate.status.value)
        numbers = f"{stored} | {model.network.active_parameters:,}"
        lines.append(f"{head} {numbers} | {certificate.found:.3g} | {proved} | {1e9 * times[kind] / POINTS:,.0f} |")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=CASES, help="one task")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print("| task | neurons | network | stored | active | largest error found | proved | ns an input |\n|---|---|---|---|---|---|---|---|")
    for name in [given.only] if given.only else CASES:
        for activation in ("relu", "silu"):
            start = time.process_time()
            print("\n".join(rows(name, activation)), flush=True)
            print(f"<!-- {time.process_time() - start:.0f} s -->", flush=True)


if __name__ == "__main__":
    main()
