"""Figures of models on curves (d = 1): one column per parametrising chart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..moe.model import Model
from ..verify.sample.report import Report
from .evaluation import Evaluation, evaluate
from .palette import FAINT, FLOOR, INK, LIMIT, expert_colors, expert_legend, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CHARTS = 6
POINTS = 1200
MOST_COMPONENTS = 3


def draw(model: Model, report: Report | None) -> Figure:
    """Rows: f and Ψ; |f − Ψ| with ε; τ with the chosen expert's colour behind it."""
    from matplotlib.figure import Figure

    atlas = model.manifold_task.atlas
    charts = atlas.parametrising[:MOST_CHARTS]
    drawn = Figure(figsize=(max(7.0, 2.6 * len(charts)), 6.6), layout="constrained")
    grid = drawn.subplots(3, len(charts), sharey="row", sharex="col", squeeze=False, height_ratios=(3, 2, 3))
    for column, chart in enumerate(charts):
        u = np.linspace(chart.domain.lower[0], chart.domain.upper[0], POINTS)
        u = u[chart.inside(u[:, None])]
        seen = evaluate(model, atlas.parametrise(column, u[:, None]))
        top, middle, bottom = grid[:, column]
        _target(top, u, seen)
        _error(middle, u, seen, float(model.facts["epsilon"]))
        _scores(bottom, u, seen)
        tidy(top, f"chart {chart.name}")
        tidy(middle)
        tidy(bottom, xlabel="intrinsic coordinate")
        worst = None if report is None else report.worst.get("total")
        if worst is not None and worst.chart == chart.name:
            middle.plot(worst.intrinsic[0], max(abs(worst.value), FLOOR), "x", color=LIMIT, markersize=7, label="worst found")
    for row, label in enumerate(("f and Ψ", "|f − Ψ|", "scores τ")):
        grid[row, 0].set_ylabel(label, fontsize=9)
    grid[0, 0].legend(fontsize=8, frameon=False)
    grid[1, 0].legend(fontsize=8, frameon=False, loc="lower right")
    expert_legend(drawn, atlas.names, loc="outside lower center", ncols=8)
    if len(atlas.parametrising) > len(charts):
        drawn.text(0.99, 0.99, f"{len(charts)} of {len(atlas.parametrising)} charts", ha="right", va="top", fontsize=8, color=INK)
    return drawn


def _target(axes: Axes, u: np.ndarray, seen: Evaluation) -> None:
    for k in range(min(seen.target.shape[1], MOST_COMPONENTS)):
        axes.plot(u, seen.target[:, k], color=FAINT, linewidth=4, label="f" if k == 0 else None, solid_capstyle="butt")
        axes.plot(u, seen.output[:, k], color=INK, linewidth=1, label="Ψ" if k == 0 else None)


def _error(axes: Axes, u: np.ndarray, seen: Evaluation, epsilon: float) -> None:
    axes.semilogy(u, np.maximum(seen.error, FLOOR), color=INK, linewidth=0.7)
    axes.axhline(epsilon, color=LIMIT, linewidth=1, linestyle="--", label="ε")


def _scores(axes: Axes, u: np.ndarray, seen: Evaluation) -> None:
    """One curve per expert; the strip below shows the route."""
    colors = expert_colors(seen.scores.shape[1])
    for i in np.unique(np.concatenate([seen.routes, np.flatnonzero(seen.scores.max(0) > 0.02 * seen.scores.max())])):
        axes.plot(u, seen.scores[:, i], color=colors[i], linewidth=1.2)
    changes = np.flatnonzero(np.diff(seen.routes)) + 1
    for part in np.split(np.arange(len(u)), changes):
        end = min(part[-1] + 1, len(u) - 1)
        axes.axvspan(u[part[0]], u[end], color=colors[seen.routes[part[0]]], alpha=0.16, linewidth=0)
