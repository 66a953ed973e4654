"""Do low-dimensional experts pay? Numbers stored, numbers met by one input, and time, at equal proved error, against D and d.

    python benchmarks/low_dimensional.py [--figure docs/images/low-dimensional.png] [--quick]

Spheres S^d, d = 1, 2, 3, isometrically in R^D, each with one ball atlas, one target and one ε for all D and all kinds of experts; every
model is certified, and its proved bound is in the table. Times are of PyTorch on one thread, 4096 points of M, CPU time, best of seven, as
ratios to plain experts in the same run. About two minutes of CPU for d = 1 and 2.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from atlasmoe import ManifoldTask, certify, compile
from atlasmoe.atlas.spec import task_from_spec
from timing import timed

KINDS = ("dense", "factorised", "encoder")
DIMENSIONS = (4, 16, 64, 256, 1024)
CASES = {
    1: ("sin(5*x1) + cos(3*x2)", 8, 0.01),
    2: ("x1*x2 + exp(x3)/3", 32, 0.05),
    3: ("x1*x2/2 + x4", 160, 0.15),
}
"""d ↦ target, balls, ε."""


def task(d: int, D: int) -> ManifoldTask:
    """S^d in R^D."""
    expression, charts, _ = CASES[d]
    manifold = {"builtin": "sphere", "dimension": d, "atlas": "ball", "charts": charts, "embed": {"dimension": D, "seed": 0}}
    found = task_from_spec({"task": {"name": f"S{d} in R{D}"}, "manifold": manifold, "target": {"expression": expression}})
    assert isinstance(found, ManifoldTask)
    return found


def row(d: int, D: int) -> dict[str, Any]:
    """One line of the table."""
    here = task(d, D)
    models = {kind: compile(here, epsilon=CASES[d][2], experts=kind, seed=0) for kind in KINDS}
    found: dict[str, Any] = {"d": d, "D": D, "epsilon": CASES[d][2], "balls": len(here.atlas)}
    for kind, model in models.items():
        certificate = certify(model)
        layer = model.network.layers[-1]
        assert layer.gate is not None
        gate = layer.gate.parameters
        found[kind] = {
            "stored": model.network.parameters - gate,
            "active": model.network.active_parameters - gate,
            "bound": certificate.bound,
            "status": str(certificate.status.value),
        }
    for kind, seconds in timed(models, here).items():
        found[kind]["time"] = seconds
    return found | {"gate": gate, "width": max(net.widths[-1] for net in models["dense"].network.layers[-1].experts)}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """As in docs/low-dimensional.md."""
    lines = [
        "| d | D | balls | m | stored: plain | factorised | encoder | active: plain | factorised | encoder "
        "| proved, all three | time: factorised | encoder |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in rows:
        stored = " | ".join(f"{one[kind]['stored']:,}" for kind in KINDS)
        active = " | ".join(f"{one[kind]['active']:,}" for kind in KINDS)
        times = " | ".join(f"{one[kind]['time'] / one['dense']['time']:.2f}" for kind in KINDS[1:])
        bound = max(one[kind]["bound"] for kind in KINDS)
        lines.append(f"| {one['d']} | {one['D']} | {one['balls']} | {one['width']} | {stored} | {active} | {bound:.4g} | {times} |")
    return "\n".join(lines)


def figure(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Stored numbers above, numbers met by one input below, against D; a column for each d."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    dimensions = sorted({one["d"] for one in rows})
    drawn, axes = plt.subplots(2, len(dimensions), figsize=(3.3 * len(dimensions), 5.6), sharex=True, squeeze=False, layout="constrained")
    colours = {"dense": "#999999", "factorised": "#0072b2", "encoder": "#d55e00"}
    for column, d in enumerate(dimensions):
        some = [one for one in rows if one["d"] == d]
        for line, what in enumerate(("stored", "active")):
            at = axes[line][column]
            for kind in KINDS:
                called = "plain" if kind == "dense" else kind
                at.loglog([one["D"] for one in some], [one[kind][what] for one in some], "o-", ms=4, color=colours[kind], label=called)
            at.set_title(f"S$^{d}$, {some[0]['balls']} balls, proved |f − Ψ| ≤ {some[0]['epsilon']:g}" if line == 0 else "", fontsize=9)
            at.set_ylabel(f"{what} numbers of experts" if column == 0 else "")
            at.set_xlabel("D" if line else "")
            at.grid(alpha=0.3)
    axes[0][0].legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn.savefig(path, dpi=130)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="d = 1 and D ≤ 64 only")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = []
    for d in (1,) if given.quick else CASES:
        for D in DIMENSIONS[:3] if given.quick else DIMENSIONS:
            start = time.process_time()
            rows.append(row(d, max(D, d + 2)))  # R^{d+1} is all spanned
            print(f"S^{d} in R^{D}: {time.process_time() - start:.1f} s", {kind: rows[-1][kind]["status"] for kind in KINDS}, flush=True)
    print(table(rows))
    if given.json is not None:
        given.json.write_text(json.dumps(rows, indent=1))
    if given.figure is not None:
        figure(rows, given.figure)


if __name__ == "__main__":
    main()
