"""Do low-dimensional experts pay? Numbers stored, numbers met by one input, and time, at equal ε, against the ambient D and d.

    python examples/experiments/low_dimensional.py [--short] [--out out/experiments] [--publish]

Spheres S¹ and S², and a closed curve that spans R⁶ and bends little outside a plane, isometrically in R^D. Each has one ball atlas, one
target and one ε for all D and all kinds of experts. Every model is certified. Times are of PyTorch on one thread, 4096 points of M, CPU
time, best of seven, taken in turn. About four minutes of CPU. docs/experiments has the page.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from math import pi
from pathlib import Path
from typing import Any

import atlasmoe
import torch
from atlasmoe import ManifoldTask
from atlasmoe.atlas.spec import task_from_spec
from lab.store import Run, markdown

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from timing import POINTS, timed

KINDS = ("dense", "factorised", "encoder", "projected")
"""The first is what the theorems have: the chart map multiplied into the first weights."""
CALLED = {"dense": "plain"} | {kind: kind for kind in KINDS[1:]}
SPHERES = {"S¹": (1, "sin(5*x1) + cos(3*x2)", 8, 0.01), "S²": (2, "x1*x2 + exp(x3)/3", 32, 0.05)}
"""Name ↦ d, target, balls, ε."""
CURVE, CURVED = "curve", (1, "x1*x2 + x5", 12, 0.02)
DIMENSIONS = {"S¹": (4, 16, 64, 256, 1024), "S²": (4, 64, 256), CURVE: (16, 64, 1024)}


def task(name: str, D: int) -> ManifoldTask:
    """One of them in R^D."""
    d, expression, balls, _ = CURVED if name == CURVE else SPHERES[name]
    if name == CURVE:
        spec: dict[str, Any] = _curve()
    else:
        spec = {"manifold": {"builtin": "sphere", "dimension": d, "atlas": "ball", "charts": balls, "embed": {"dimension": D, "seed": 0}}}
    found = task_from_spec({"task": {"name": f"{name} in R^{D}"}, **spec, "target": {"expression": expression}})
    assert isinstance(found, ManifoldTask)
    if name != CURVE:
        return found
    return replace(found, atlas=atlasmoe.embed(atlasmoe.ball_atlas(found.atlas, charts=balls), D, seed=0))


def _curve() -> dict[str, Any]:
    """(cos kt, sin kt)/k², k = 1, 2, 3, in three charts: it spans R⁶, and seen in a plane it is nearly a circle."""
    charts = []
    for turn in range(3):
        c = 2 * pi * turn / 3
        point = [f"{f}({k}*(u + {c}))/{k**2}" for k in (1, 2, 3) for f in ("cos", "sin")]
        back = f"atan2(x2*cos({c}) - x1*sin({c}), x1*cos({c}) + x2*sin({c}))"
        charts.append({"name": f"arc{turn}", "domain": [[-1.4, 1.4]], "inverse": point, "forward": [back]})
    return {"manifold": {"ambient": [f"x{k}" for k in range(1, 7)], "intrinsic": ["u"]}, "chart": charts}


def measure(name: str, D: int, kinds: Sequence[str] = KINDS) -> dict[str, Any]:
    """All kinds of experts of one task. Spheres refuse projected ones: any smaller encoder sees some tangent space edge-on."""
    here = task(name, D)
    d, _, _, epsilon = CURVED if name == CURVE else SPHERES[name]
    kinds = [kind for kind in kinds if name == CURVE or kind != "projected"]
    models = {kind: atlasmoe.compile(here, epsilon=epsilon, experts=kind, seed=0) for kind in kinds}
    seconds = timed(models, here)
    found: dict[str, Any] = {"d": d, "epsilon": epsilon, "balls": len(here.atlas)}
    for kind, model in models.items():
        certificate, layer = atlasmoe.certify(model), model.network.layers[-1]
        assert layer.gate is not None
        found["gate"] = layer.gate.parameters
        found[kind] = {
            "stored": model.network.parameters - found["gate"],
            "active": model.network.active_parameters - found["gate"],
            "read": D if layer.latent is None else len(layer.latent.weight),
            "width": max(net.widths[-1] for net in layer.experts),
            "bound": certificate.bound,
            "status": str(certificate.status),
            "nanoseconds": seconds[kind] / POINTS * 1e9,
        }
    return found


def tables(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Numbers, then times and proofs."""

    def of(row: dict[str, Any], what: str) -> list[Any]:
        return [row[kind][what] if kind in row else None for kind in KINDS]

    titles = [CALLED[kind] for kind in KINDS]
    numbers = [(row["M"], row["D"], row["balls"], row["gate"], *of(row, "stored"), *of(row, "active")) for row in rows]
    heads = [f"{what}: {title}" for what in ("stored", "active") for title in titles]
    worth = [
        (
            row["M"],
            row["D"],
            row["epsilon"],
            *(f"{one:.4g}" if one is not None else None for one in of(row, "bound")),
            *(round(one) if one is not None else None for one in of(row, "nanoseconds")),
        )
        for row in rows
    ]
    later = [*(f"proved: {title}" for title in titles), *(f"ns an input: {title}" for title in titles)]
    return {
        "numbers": markdown(("M", "D", "balls", "gate", *heads), numbers),
        "proofs and times": markdown(("M", "D", "ε", *later), worth),
    }


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Stored numbers, numbers met by one input, and time, against D; a column for each manifold."""
    from atlasmoe.report.palette import FEW, tidy
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator

    names = list(dict.fromkeys(row["M"] for row in rows))
    drawn = Figure(figsize=(3.6 * len(names), 7.6), layout="constrained")
    axes = drawn.subplots(3, len(names), sharex="col", squeeze=False)
    titles = {"stored": "stored numbers of experts", "active": "numbers that one input meets", "nanoseconds": "ns an input"}
    for column, name in enumerate(names):
        some = [row for row in rows if row["M"] == name]
        for line, (what, title) in enumerate(titles.items()):
            at = axes[line][column]
            for k, kind in enumerate(KINDS):
                if kind in some[0]:
                    values = [row[kind][what] for row in some]
                    at.loglog([row["D"] for row in some], values, "osd^"[k] + "-", ms=4, color=FEW[k], label=CALLED[kind])
            head = f"{name}, {some[0]['balls']} balls, ε = {some[0]['epsilon']:g}" if line == 0 else ""
            tidy(at, head, ylabel=title if column == 0 else "", xlabel="ambient dimension D" if line == len(titles) - 1 else "")
            at.minorticks_off()
            at.set_xticks([row["D"] for row in some], [str(row["D"]) for row in some])
            at.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            at.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
            at.grid(alpha=0.3)
    known: dict[str, Any] = {}
    for at in axes.flat:
        for handle, label in zip(*at.get_legend_handles_labels(), strict=True):
            known.setdefault(label, handle)
    drawn.legend(known.values(), known.keys(), loc="outside lower center", ncols=len(known), fontsize=8, frameon=False)
    drawn.savefig(path, dpi=130)


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    run = Run.asked("low_dimensional", __doc__, arguments)
    store = run.store
    torch.set_num_threads(1)
    asked = {CURVE: (16,)} if run.short else DIMENSIONS
    kinds = KINDS[3:] if run.short else KINDS
    rows = [store.row({"M": M, "D": D}, lambda M=M, D=D: measure(M, D, kinds)) for M, some in asked.items() for D in some]
    run.write(tables(rows), lambda path: draw(rows, path))
    return rows


if __name__ == "__main__":
    main()
