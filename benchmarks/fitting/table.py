"""Results of `benchmarks/fit.py`: kept as JSON, printed as Markdown, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from atlasmoe.report.palette import FEW

Row = dict[str, tuple[float, float]]
"""Error and CPU seconds by method."""
Rows = dict[tuple[str, int], Row]
"""By target and width."""

STYLES = {
    "relu": ("ReLU", FEW[7]),
    "relu2": ("ReLU²", FEW[1]),
    "gelu": ("GELU", FEW[2]),
    "silu": ("SiLU", FEW[0]),
    "silu lanes": ("SwiGLU lanes", FEW[5]),
}
MARKS = "sDv^o"
"""Of these, so that colour alone tells nothing apart."""
ORDERS = {"relu": 1, "relu2": 2}
"""k of ReLU^k: its nets have m^{−(d + 2k + 1)/(2d)} on the functions that suit them best."""


def loaded(entries: list[Any]) -> Rows:
    return {(name, width): {method: (error, seconds) for method, (error, seconds) in row.items()} for name, width, row in entries}


def stored(rows: Rows) -> list[Any]:
    return [[name, width, {m: [float(f"{e:.3g}"), round(s, 2)] for m, (e, s) in row.items()}] for (name, width), row in rows.items()]


def markdown(rows: Rows, methods: Sequence[str], names: list[str]) -> str:
    """Errors (CPU seconds); the least error of a line is bold."""
    lines = ["| target | width | " + " | ".join(methods) + " |", "|---|---|" + "---|" * len(methods)]
    for name, width in sorted(rows, key=lambda key: (names.index(key[0]), key[1])):
        results = rows[name, width]
        if not results:
            continue
        least = min(error for error, _ in results.values())
        cells = []
        for method in methods:
            if method not in results:
                cells.append("–")
                continue
            error, seconds = results[method]
            mark = "**" if error == least and len(results) > 1 else ""
            cells.append(f"{mark}{error:.1e}{mark} ({seconds:.1f})")
        lines.append(f"| {name} | {width} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def figure(rows: Rows, path: Path) -> None:
    """Error against width by activation, one panel a target, beside the slopes of the theory."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    names = sorted({name for name, _ in rows})
    if not names:
        return
    canvas, axes = plt.subplots(1, len(names), figsize=(4.2 * len(names), 3.8), squeeze=False, layout="constrained")
    for axis, name in zip(axes.flat, names, strict=True):
        dimension = int(name[-1])
        for method, (label, color) in STYLES.items():
            points = sorted((w, row[method][0]) for (other, w), row in rows.items() if other == name and method in row)
            if not points:
                continue
            widths, errors = np.array(points).T
            axis.loglog(widths, errors, marker=MARKS[list(STYLES).index(method)], markersize=4, color=color, label=label)
            if method in ORDERS:
                slope = (dimension + 2 * ORDERS[method] + 1) / (2 * dimension)
                axis.loglog(widths, errors[-1] * (widths / widths[-1]) ** -slope, color=color, linestyle=":", linewidth=1)
                # The slower slope above its end and the faster one below: ends may lie on each other.
                side, offset = ("bottom", 2) if ORDERS[method] == min(ORDERS.values()) else ("top", -2)
                text, place = f"$m^{{-{slope:.3g}}}$", (widths[-1], errors[-1])
                axis.annotate(text, place, (4, offset), textcoords="offset points", color=color, fontsize=9, va=side)
        axis.set(title=name.replace("d=", "d = "), xlabel="neurons or lanes m", ylabel="sup |f − Ψ|")
        ticks = sorted({w for other, w in rows if other == name})
        axis.set_xticks(ticks, [str(w) for w in ticks])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
        axis.set_xlim(0.8 * ticks[0], 1.7 * ticks[-1])
    known = {label: handle for axis in axes.flat for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    known["what theory says"] = Line2D([], [], color="#222222", linestyle=":", linewidth=1)
    canvas.legend(known.values(), known.keys(), fontsize="small", loc="outside lower center", ncols=len(known), frameon=False)
    path.parent.mkdir(exist_ok=True)
    canvas.savefig(path, dpi=110)
