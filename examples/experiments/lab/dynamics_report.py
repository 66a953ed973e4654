"""Tables and the figure of training_dynamics.py, from its rows alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .store import cell, markdown

Row = dict[str, Any]

METHODS = {("sgd", 0.0): "SGD", ("sgd", 0.01): "SGD, balanced", ("adam", 0.0): "Adam", ("adam", 0.01): "Adam, balanced"}


def thresholds(rows: Sequence[Row]) -> str:
    """What N25 predicts of each construction."""
    heads = ("construction", "ε", "λ_max", "2/λ_max", "S", "ε/S", "largest gradient of a gate")
    return markdown(
        heads,
        [
            (
                row["constants"],
                row["epsilon"],
                _short(row["sharpness"]),
                2 / row["sharpness"],
                _short(row["reach"]),
                row["epsilon"] / row["reach"],
                row["gate gradient"],
            )
            for row in rows
        ],
    )


def _short(value: float) -> str:
    return f"{value:.2g}" if value >= 1e4 else f"{value:.3g}"


def sweep(rows: Sequence[Row], optimiser: str, known: dict[str, float]) -> str:
    """Largest errors in parts of the construction's own: SGD, at most and at the end; Adam, after the first step and at the end."""
    some = [row for row in rows if row["optimiser"] == optimiser]
    factors = sorted({row["factor"] for row in some})
    first = "most" if optimiser == "sgd" else "first"
    lines = []
    for name in dict.fromkeys(row["sweep"] for row in some):
        mine = {row["factor"]: row for row in some if row["sweep"] == name}
        cells = [f"{cell(mine[f][first] / known[name])} → {cell(mine[f]['last'] / known[name])}" for f in factors if f in mine]
        lines.append((name, *cells))
    what = "lr·λ_max" if optimiser == "sgd" else "lr·S/ε"
    return markdown((f"{what} =", *(f"{f:g}" for f in factors)), lines)


def after(rows: Sequence[Row], what: Sequence[str]) -> str:
    """Quantities after training, one start a line, one method a column."""
    lines = []
    for case, start in dict.fromkeys((row["case"], row["start"]) for row in rows):
        mine = {
            (row["optimiser"], row["balance"]): row for row in rows if (row["case"], row["start"]) == (case, start) and "power" not in row
        }
        if mine:
            one = next(iter(mine.values()))
            before = ", ".join(cell(one.get(f"{key} before")) for key in what)
            lines.append((case, start, before, *(_values(mine.get(method), what) for method in METHODS)))
    return markdown(("network", "start", "before", *METHODS.values()), lines)


def _values(row: Row | None, what: Sequence[str]) -> str:
    return "–" if row is None else "diverged" if row["diverged"] else ", ".join(cell(row[key]) for key in what)


def proofs(rows: Sequence[Row]) -> str:
    """From the construction: the share of points that go elsewhere, and what is proved before and after."""
    lines = []
    for row in rows:
        if row["start"] == "constructed" and row.get("power") is None and "proved" in row:
            method = METHODS[row["optimiser"], row["balance"]]
            before, now = (_bound(row[f"proved{when}"], row[f"sup{when}"]) for when in (" before", ""))
            lines.append((row["case"], method, cell(row["gate moved"]), f"{100 * row['rerouted']:.2g} %", before, now))
    return markdown(("network", "training", "gate moved", "rerouted", "proved before", "proved after"), lines)


WHY = {
    "routing.valid": "no: an input goes to a ball that does not hold it",
    "it reads part": "no: a block reads what is another's",
    "no group": "no: no group routes a block exactly",
    "the read-out": "no: an expert writes for another's block",
}
"""How the reason of `certify` begins, and in a few words."""


def _bound(found: Row, sup: float) -> str:
    """What is proved, or why nothing is; a bound far above the largest error is what was left when time was up."""
    if found["bound"] is not None and found["bound"] <= 2 * sup + 1e-6:
        return cell(found["bound"])
    return next((words for start, words in WHY.items() if found["why"].startswith(start)), "no: boxes at the jumps stay open")


def longer(rows: Sequence[Row]) -> str:
    """Of longer trainings."""
    heads = ("network", "start", "steps of Adam", "sup before", "sup after", "rms before", "rms after", "experts that no input reaches")
    lines = [
        (row["case"], row["start"], row["steps"], row["sup before"], row["sup"], row["rms before"], row["rms"], row["dead"]) for row in rows
    ]
    return markdown(heads, lines)


def beyond(rows: Sequence[Row]) -> str:
    """Trained from the construction for the 8-norm in the place of the mean square."""
    lines = [
        (row["case"], row["sup before"], row["sup"], row["rms before"], row["rms"], _bound(row["proved"], row["sup"]))
        for row in rows
        if row.get("power") is not None
    ]
    return markdown(("network, trained for the 8-norm", "sup before", "sup after", "rms before", "rms after", "proved after"), lines)


MARKS = "osd^vP"
"""Of networks above, and of methods below, so that colour alone tells nothing apart."""
DIVERGED: dict[str, Any] = {"marker": "x", "markersize": 6, "linestyle": "none", "clip_on": False}
"""How what has no finite error is drawn, on the upper edge."""


def draw(sweeps: Sequence[Row], rows: Sequence[Row], known: dict[str, float], path: Path) -> None:
    """Above: around the predicted rates. Below: errors after training from every start."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(12, 8), layout="constrained")
    above, below = drawn.subfigures(2, 1, height_ratios=(1, 1))
    _around(above, sweeps, known)
    _after(below, rows)
    drawn.savefig(path, dpi=130)


def _around(figure: Any, sweeps: Sequence[Row], known: dict[str, float]) -> None:
    """The largest error against the rate in parts of its threshold, as it is: no value is cut off."""
    from atlasmoe.report.palette import FEW, INK, tidy

    left, right = figure.subplots(1, 2)
    for k, name in enumerate(known):
        style: dict[str, Any] = {"marker": MARKS[k], "markersize": 4, "color": FEW[k]}
        for at, optimiser, first in ((left, "sgd", "most"), (right, "adam", "first")):
            mine = sorted((r for r in sweeps if r["sweep"] == name and r["optimiser"] == optimiser), key=lambda r: r["factor"])
            x = [r["factor"] for r in mine]
            at.loglog(x, [r[first] / known[name] for r in mine], **style, label=name)
            if optimiser == "adam":
                at.loglog(x, [r["last"] / known[name] for r in mine], **style, linestyle=":", fillstyle="none", linewidth=0.8)
            _diverged(at, [r["factor"] for r in mine if r["diverged"]], FEW[k])
    left.axvline(2, color=INK, linewidth=0.8, linestyle="--")
    left.text(1.97, 0.9, "lr·$\\lambda_{max}$ = 2", fontsize=8, color=INK, ha="right", transform=left.get_xaxis_transform())
    grid = [0.1 * 1.1**n for n in range(50)]
    right.loglog(grid, [1 + g for g in grid], color=INK, linewidth=0.8, linestyle="--", label="right: 1 + lr·S/ε, predicted")
    tidy(left, "SGD, full batches: the largest error on the way", xlabel="rate lr·$\\lambda_{max}$", ylabel="sup |f − Ψ| in parts of ε")
    title = "Adam, full batches: the largest error after the first step (full) and at the end (open)"
    tidy(right, title, xlabel="rate lr·S/ε,  S = max Σ|∂Ψ|", ylabel="sup |f − Ψ| in parts of ε")
    for at, optimiser in ((left, "sgd"), (right, "adam")):
        at.set_xticks(ticks := sorted({r["factor"] for r in sweeps if r["optimiser"] == optimiser}), [f"{t:g}" for t in ticks])
        at.minorticks_off()
    _legend(figure, (right, left))


def _after(figure: Any, rows: Sequence[Row]) -> None:
    """The largest error and the root mean square after training, a panel for every network, a column for every start."""
    from atlasmoe.report.palette import FEW, INK, tidy

    cases = list(dict.fromkeys(row["case"] for row in rows))
    axes = figure.subplots(1, len(cases), sharey=True, squeeze=False)[0]
    for at, case in zip(axes, cases, strict=True):
        names = list(dict.fromkeys(r["start"] for r in rows if r["case"] == case))
        for k, (method, label) in enumerate(METHODS.items()):
            mine = [r for r in rows if r["case"] == case and (r["optimiser"], r["balance"]) == method and r.get("power") is None]
            places = {r["start"]: names.index(r["start"]) + (k - 1.5) * 0.17 for r in mine}
            ok = [r for r in mine if not r["diverged"] and math.isfinite(r["sup"])]
            style: dict[str, Any] = {"marker": MARKS[k], "linestyle": "none", "markersize": 5, "color": FEW[k]}
            at.semilogy([places[r["start"]] for r in ok], [r["sup"] for r in ok], **style, label=label)
            at.semilogy([places[r["start"]] for r in ok], [r["rms"] for r in ok], **style, fillstyle="none")
            _diverged(at, [places[r["start"]] for r in mine if r not in ok], FEW[k])
        first = next(r for r in rows if r["case"] == case and r["start"] == "constructed")
        at.axhline(first["sup before"], color=INK, linewidth=0.8, linestyle="--", label="constructed, sup before training")
        at.axhline(first["rms before"], color=INK, linewidth=0.8, linestyle=":", label="its rms")
        at.set_xlim(-0.6, max(len(names), 2) - 0.4)
        at.set_xticks(range(len(names)), [name.replace(", ", ",\n").replace(" ", "\n", 1) for name in names])
        tidy(at, case, xlabel="start of training", ylabel="error after training" if at is axes[0] else "")
    _legend(figure, axes, full="sup |f − Ψ|", open="rms")


def _diverged(at: Any, x: list[float], color: str) -> None:
    if x:
        at.plot(x, [1.0] * len(x), color=color, **DIVERGED, transform=at.get_xaxis_transform())


def _legend(figure: Any, axes: Sequence[Any], **filled: str) -> None:
    """Every label once, what `full` and `open` marks are, and crosses where there are any."""
    from atlasmoe.report.palette import INK
    from matplotlib.lines import Line2D

    known = {label: handle for at in axes for handle, label in zip(*at.get_legend_handles_labels(), strict=True)}
    for which, label in filled.items():
        known[f"{which}: {label}"] = Line2D(
            [], [], marker="o", linestyle="none", markersize=5, color=INK, fillstyle={"open": "none"}.get(which, which)
        )
    if any(line.get_marker() == DIVERGED["marker"] for at in axes for line in at.get_lines()):
        known["diverged"] = Line2D([], [], color=INK, **DIVERGED)
    figure.legend(known.values(), known.keys(), fontsize=8, frameon=False, loc="outside lower center", ncols=min(len(known), 9))
