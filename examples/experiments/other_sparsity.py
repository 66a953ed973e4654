"""Other sparsity than a product of manifolds: groups, graphs, windows. How many experts, and what does a flat mixture do instead?

    python examples/experiments/other_sparsity.py [--short] [--out out/experiments] [--publish]

Every task is a sum of windows g(x_u, x_v, …), each of which looks at two or three coordinates and jumps at one wall of its own along the
first two: four pieces of distinct levels. Windows of a group share nothing, those of a graph share its vertices, those of a sequence
are one and the same function at every place. About a minute and a half of CPU. docs/experiments has the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
from atlasmoe.moe import Model
from lab.flat_mixture import best
from lab.store import Run, markdown
from numpy.typing import NDArray

Array = NDArray[np.float64]

EPSILON = 0.05
LEVEL, RIPPLE = 1.0, 0.1
"""Piece k of a window is LEVEL·k + RIPPLE·(k + 1)·sin(3s + 2t + …): neighbours are 1 or 2 apart in k."""
JUMP = LEVEL - RIPPLE
"""The least jump at a wall: LEVEL·Δk − RIPPLE·Δk·|sin| for Δk = 1 or 2."""
FORMS: dict[str, dict[str, Any]] = {"paper": {}, "residual": {"form": "residual"}, "one step": {"depth": "path"}}
"""How each is compiled: Theorem 5.3 as printed, channels carried beside the experts (N8), all windows of a stage in one layer (N15)."""


@dataclass(frozen=True)
class Case:
    """One kind of sparsity."""

    name: str
    D: int
    windows: tuple[tuple[int, ...], ...]
    """What every window reads."""
    walls: tuple[tuple[float, float], ...]
    """Where it jumps, along its first and its second coordinate."""
    rounds: int = 1
    """2: values of windows are read by a second round of blocks, each by those of its window and the next."""

    @property
    def axes(self) -> list[list[float]]:
        """All walls of each coordinate."""
        found: list[list[float]] = [[] for _ in range(self.D)]
        for reads, at in zip(self.windows, self.walls, strict=True):
            for axis, wall in zip(reads[:2], at, strict=True):
                found[axis].append(wall)
        return [sorted(set(some)) for some in found]

    @property
    def regions(self) -> int:
        """R: boxes into which all walls cut the cube."""
        return int(np.prod([len(some) + 1 for some in self.axes], dtype=object))

    @property
    def task(self) -> atlasmoe.TaskGraph:
        box = atlasmoe.Input("x", atlasmoe.Box((0.0,) * self.D, (1.0,) * self.D))
        blocks = [
            window(f"g{k}", [box.components[i] for i in reads], at)
            for k, (reads, at) in enumerate(zip(self.windows, self.walls, strict=True))
        ]
        last = blocks if self.rounds == 1 else [second(f"w{k}", f"g{k}", f"g{(k + 1) % len(blocks)}") for k in range(len(blocks))]
        names = [block.name for block in last]
        total = atlasmoe.Combine.parse("f", names, " + ".join(names))
        return atlasmoe.TaskGraph(self.name, (box, *blocks, *(last if self.rounds > 1 else ()), total), "f")


def window(name: str, reads: Sequence[str], walls: tuple[float, float]) -> atlasmoe.Block:
    """Four pieces in the quadrants of two walls, from 0 to 3 levels high."""
    inner = " + ".join(f"{slope}*{read}" for slope, read in zip((3, 2, 1), reads, strict=False))
    knots = [[0, wall, 1] for wall in walls] + [[0, 1]] * (len(reads) - 2)
    pieces = [f"{LEVEL * k:g} + {RIPPLE * (k + 1):.1f}*sin({inner})" for k in (0, 2, 1, 3)]
    return atlasmoe.Block.parse(name, reads, atlasmoe.Tiling.grid(knots), pieces)


def second(name: str, mine: str, other: str) -> atlasmoe.Block:
    """What a node of the second round makes of two values: continuous, with a kink at 1.5."""
    pieces = [f"({mine} - 1.5)/2 + {other}/10", f"sin({mine} - 1.5) + {other}/10"]
    return atlasmoe.Block.parse(name, (mine, other), atlasmoe.Tiling.grid([[-0.5, 1.5, 4], [-0.5, 4]]), pieces)


def groups() -> Case:
    """Group sparsity: 24 coordinates in 8 groups of three, of which f knows three."""
    return Case("group", 24, ((0, 1, 2), (9, 10, 11), (18, 19, 20)), ((0.4, 0.6), (0.3, 0.7), (0.5, 0.45)))


def grid(side: int = 3) -> Case:
    """Graph sparsity: a window for every edge of a grid of side² vertices, with walls of its own."""
    edges = [(v, w) for v in range(side**2) for w in range(side**2) if (w == v + 1 and w % side) or w == v + side]
    return Case("graph", side**2, tuple(edges), tuple((0.3 + 0.03 * k, 0.7 - 0.03 * k) for k in range(len(edges))))


def ring(n: int = 6) -> Case:
    """Graph sparsity in two rounds: windows on the edges of a ring, then a node that reads two neighbouring windows."""
    return Case("graph, two rounds", n, tuple((k, (k + 1) % n) for k in range(n)), ((0.4, 0.6),) * n, rounds=2)


def sequence(T: int = 16) -> Case:
    """Temporal sparsity: one window of two places slides over T places."""
    return Case(f"temporal, T = {T}", T, tuple((t, t + 1) for t in range(T - 1)), ((0.4, 0.6),) * (T - 1))


def bare(matrix: Array) -> bytes:
    """A first map without the columns of what is not read."""
    return np.ascontiguousarray(matrix[:, np.any(matrix != 0, axis=0)]).tobytes()


def distinct(model: Model) -> tuple[int, int]:
    """How many different experts the blocks have, whatever they read, and the numbers of one window: its scores and its experts."""
    keys = set()
    for site in model.design.sites:
        layer = model.network.layers[site.layer]
        for net in layer.experts:
            first, *rest = net.affines
            keys.add((bare(first.weight), first.bias.tobytes(), *((one.weight.tobytes(), one.bias.tobytes()) for one in rest)))
    layer = model.network.layers[next(iter(model.design.sites)).layer]
    numbers = sum(net.parameters for net in layer.experts) + (0 if layer.gate is None else layer.gate.parameters)
    return len(keys), numbers + sum(net.parameters for net in model.network.layers[0].experts)


def measure(case: Case, points: int, seed: int = 0) -> dict[str, Any]:
    """Compile in every form, prove, and fit the best flat mixture of as many numbers as the paper's form stores."""
    task = case.task
    models = {name: atlasmoe.compile(task, epsilon=EPSILON, seed=seed, **options) for name, options in FORMS.items()}
    certificates = [atlasmoe.certify(model) for model in models.values()]
    different, numbers = distinct(models["residual"])
    networks = {name: model.network for name, model in models.items()}
    flat = best(task, case.axes, networks["paper"].parameters, points, seed)
    x = np.random.default_rng(seed).uniform(size=(points, case.D))
    truth = task(x)
    error = models["paper"](x) - truth
    return {
        "windows": len(case.windows),
        "pieces": task.pieces,  # what Theorem 5.3 counts
        "regions": case.regions,  # of them, those that are not empty; of two rounds the walls of the first alone
        "experts": models["paper"].facts["experts"],
        "different": different,
        "shared": numbers,
        "layers": {name: len(network.layers) for name, network in networks.items()},
        "stored": {name: network.parameters for name, network in networks.items()},
        "active": {name: network.active_parameters for name, network in networks.items()},
        "proved": max(one.bound for one in certificates),
        "status": " ".join(sorted({str(one.status) for one in certificates})),
        "found": float(np.abs(error).max()),
        "mean": float(np.sqrt(np.mean(error**2)) / truth.std()),
        "flat": {"cells": flat.cells, "experts": flat.experts, "width": flat.width, "found": flat.largest, "mean": flat.mean},
        "floor": JUMP / 2 if case.rounds == 1 else None,
    }


def growth(T: int) -> dict[str, int]:
    """Of a window that slides over T places: regions, experts, different ones, and numbers stored with and without sharing."""
    case = sequence(T)
    model = atlasmoe.compile(case.task, epsilon=EPSILON * (T - 1) / 15, form="residual", seed=0)
    different, numbers = distinct(model)
    experts = model.facts["experts"]
    return {"regions": case.regions, "experts": experts, "different": different, "stored": model.network.parameters, "shared": numbers}


def tables(rows: Sequence[dict[str, Any]], grown: Sequence[dict[str, Any]]) -> dict[str, str]:
    """What is built; what it is worth; and what grows with T."""
    built = [
        (
            row["name"],
            row["D"],
            row["windows"],
            row["pieces"],
            row["regions"],
            row["experts"],
            row["different"],
            *row["layers"].values(),
            *row["stored"].values(),
            *row["active"].values(),
        )
        for row in rows
    ]
    forms = [f"{what}: {form}" for what in ("layers", "stored", "active") for form in FORMS]
    worth = [
        (
            row["name"],
            f"{row['proved']:.3g} {row['status']}",
            row["found"],
            row["mean"],
            "{experts} × {width}, {cells}".format(**row["flat"]),
            row["flat"]["found"],
            row["flat"]["mean"],
            row["regions"],
            row["floor"],
        )
        for row in rows
    ]
    return {
        "what is built": markdown(("sparsity", "D", "windows", "∏ E", "regions R", "experts", "different", *forms), built),
        "what it is worth": markdown(
            (
                "sparsity",
                "compiled: proved",
                "found",
                "rms / std f",
                "flat: experts × neurons",
                "found",
                "rms / std f",
                "flat, fewer experts than",
                "never below",
            ),
            worth,
        ),
        "what grows": markdown(
            ("T", "regions R", "experts", "different", "stored", "stored if shared"),
            [(one["T"], one["regions"], one["experts"], one["different"], one["stored"], one["shared"]) for one in grown],
        ),
    }


def draw(rows: Sequence[dict[str, Any]], grown: Sequence[dict[str, Any]], path: Path) -> None:
    """Left: what grows with T. Right: the largest errors, compiled and flat, and what no flat mixture can go below."""
    from atlasmoe.report.palette import FEW, LIMIT, tidy
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(11, 5.4), layout="constrained")
    left, right = drawn.subplots(1, 2)
    lengths = [one["T"] for one in grown]
    curves = {
        "regions": "regions of f: experts that a flat mixture needs",
        "stored": "numbers stored",
        "shared": "numbers, if windows share them",
        "experts": "experts",
        "different": "different experts",
    }
    for k, (key, label) in enumerate(curves.items()):
        left.semilogy(lengths, [one[key] for one in grown], "osd^v"[k] + "-", ms=4, color=FEW[k], label=label)
    left.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14))
    left.set_xticks(lengths)
    tidy(left, "A window that slides over T places", xlabel="places T", ylabel="how many")
    places = np.arange(len(rows))
    right.bar(places - 0.2, [row["found"] for row in rows], 0.38, color=FEW[0], label="compiled, found")
    right.bar(places + 0.2, [row["flat"]["found"] for row in rows], 0.38, color=FEW[1], label="flat mixture of as many numbers, found")
    for place, row in zip(places, rows, strict=True):
        right.plot([place - 0.4, place], [row["proved"]] * 2, color="black", linewidth=1.2, label=None if place else "compiled, proved")
        if row["floor"] is not None:
            label = None if place else "what fewer experts than R, flat, cannot go below"
            right.plot([place, place + 0.4], [row["floor"]] * 2, color=LIMIT, linewidth=1.2, label=label)
    right.set_yscale("log")
    right.set_xticks(places, [row["name"].replace(", ", ",\n") for row in rows])
    right.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14))
    tidy(right, "Largest error at uniform points", ylabel="|f − Ψ|")
    drawn.savefig(path, dpi=140)


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    run = Run.asked("other_sparsity", __doc__, arguments)
    store = run.store
    cases = [sequence(3)] if run.short else [groups(), grid(), ring(), sequence()]
    points = 2_000 if run.short else 20_000
    rows = [store.row({"name": case.name, "D": case.D, "points": points}, lambda case=case: measure(case, points)) for case in cases]
    lengths = (2, 3) if run.short else (2, 4, 6, 8, 12, 16)
    grown = [store.row({"T": T}, lambda T=T: growth(T)) for T in lengths]
    run.write(tables(rows, grown), lambda path: draw(rows, grown, path))
    return rows


if __name__ == "__main__":
    main()
