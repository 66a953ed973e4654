"""Figures of models on curves (d = 1): one column per parametrising chart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..atlas import Atlas, Tiling
from ..atlas.graph import as_graph
from ..moe.model import Model
from ..verify.sample.report import Report
from .evaluation import Evaluation, evaluate, on_chart, outputs_of, pieces_of, shown_charts
from .palette import FAINT, FEW, FLOOR, INK, LIMIT, MOST_ROWS, called, cut_short, expert_colors, expert_handles, legend_below, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CHARTS = 6
POINTS = 2400
"""Of all charts together, but at least half as many on each."""
MOST_COMPONENTS, STYLES = 3, ("-", "--", ":")
ROOM = 0.2
"""Below the curves, and above them, for names, in their height."""
NAMED = 0.06
"""Share of a chart that a band takes at least to bear its expert's name."""


def draw(model: Model, domain: Atlas | Tiling, report: Report | None) -> Figure:
    """Rows: f and Ψ; |f − Ψ| with ε; the scores τ of one block on charts, with the chosen expert's colour behind them, else the
    pieces that every block takes."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    charts, sites = shown_charts(domain, report, MOST_CHARTS), model.design.sites
    strips = len(sites) > 1 or not model.design.alone
    heights = (3, 2, 0.35 * min(len(sites), MOST_ROWS) + 0.3 if strips else 3)
    drawn = Figure(figsize=(max(9.5 if strips else 7.0, 2.6 * len(charts)), 0.6 + 0.75 * sum(heights)), layout="constrained")
    grid = drawn.subplots(3, len(charts), sharey="row", sharex="col", squeeze=False, height_ratios=heights)
    for column, (number, chart) in enumerate(charts):
        u = np.linspace(chart.domain.lower[0], chart.domain.upper[0], max(POINTS // len(charts), POINTS // 2))
        u = u[chart.inside(u[:, None])]
        seen = evaluate(model, number, u[:, None])
        top, middle, bottom = grid[:, column]
        _target(top, u, seen, outputs_of(model))
        _error(middle, u, seen, model.ledger.root.budget)
        (_strips if strips else _scores)(bottom, u, seen)
        tidy(top, "" if domain.box is not None else called(chart.name))
        tidy(middle)
        tidy(bottom, xlabel=domain.coordinates[0] if domain.box is not None else chart.inverse.names[0])
        worst = None if report is None else report.worst.get("total")
        place = on_chart(worst, domain, chart)
        if worst is not None and place is not None:
            middle.plot(place[0], max(abs(worst.value), FLOOR), "x", color=LIMIT, markersize=7, linestyle="none", label="worst found")
    error = "|f − Ψ|/ε" if model.task.wanted else "|f − Ψ|"
    for row, label in enumerate(("f and Ψ", error, "routes" if strips else "scores τ")):
        grid[row, 0].set_ylabel(label, fontsize=9)
    handles = {h.get_label(): h for axes in grid[:2].flat for h in axes.get_legend_handles_labels()[0]}
    shown = list(handles.values())
    if not strips:
        names = pieces_of(model)[0]
        shown += expert_handles(names) if len(names) <= len(FEW) else [expert_handles(names)[0]]
        many = ", by name; its score is thick" if len(names) > len(FEW) else ""
        shown.append(Patch(facecolor="#cccccc", alpha=0.5, label="background: the expert chosen" + many))
    else:
        shown.append(Patch(facecolor="#cccccc", label="strips: a colour for every piece of the block"))
    legend_below(drawn, shown)
    if len(domain.parametrising) > len(charts):
        drawn.text(0.99, 0.99, f"{len(charts)} of {len(domain.parametrising)} charts", ha="right", va="top", fontsize=8, color=INK)
    return drawn


def _target(axes: Axes, u: np.ndarray, seen: Evaluation, names: tuple[str, ...]) -> None:
    """The components of f, broad, and of Ψ, of the first few each in its own way."""
    shown, count = names[:MOST_COMPONENTS], len(names)
    said = f"f: {cut_short(names[0])}" if count == 1 and names != ("f",) else "f"
    for k, (name, style) in enumerate(zip(shown, STYLES, strict=False)):
        axes.plot(u, seen.target[:, k], color=FAINT, linewidth=4, solid_capstyle="butt", label=None if k else said)
        axes.plot(u, seen.output[:, k], color=INK, linewidth=1, linestyle=style, label="Ψ" if count == 1 else f"Ψ: {cut_short(name)}")
    if count > len(shown):
        axes.plot([], [], color="none", label=f"({count - len(shown)} more not shown)")


def _error(axes: Axes, u: np.ndarray, seen: Evaluation, epsilon: float) -> None:
    axes.semilogy(u, np.maximum(seen.error, FLOOR), color=INK, linewidth=0.7)
    axes.axhline(epsilon, color=LIMIT, linewidth=1, linestyle="--", label="ε")


def _scores(axes: Axes, u: np.ndarray, seen: Evaluation) -> None:
    """One curve per expert, thick where it is chosen; behind them the route, with names where experts are too many for the legend."""
    E, routes = seen.scores.shape[1], seen.routes[:, 0]
    colors, names = expert_colors(E), pieces_of(seen.model)[0]
    many = len(names) > len(FEW)
    for i in np.unique(np.concatenate([routes, np.flatnonzero(seen.scores.max(0) > 0.02 * seen.scores.max())])):
        axes.plot(u, seen.scores[:, i], color=colors[i], linewidth=0.7 if many else 1.2)
        if many:
            axes.plot(u, np.where(routes == i, seen.scores[:, i], np.nan), color=colors[i], linewidth=2.5)
    if many:
        axes.margins(y=ROOM)
    changes = np.flatnonzero(np.diff(routes)) + 1
    for part in np.split(np.arange(len(u)), changes):
        end = min(part[-1] + 1, len(u) - 1)
        axes.axvspan(u[part[0]], u[end], color=colors[routes[part[0]]], alpha=0.16, linewidth=0)
        if many and len(part) > NAMED * len(u):
            style: dict[str, Any] = {"fontsize": 6, "color": INK, "rotation": 90, "ha": "center", "va": "bottom"}
            axes.text((u[part[0]] + u[end]) / 2, 0.02, names[routes[part[0]]], transform=axes.get_xaxis_transform(), **style)


def _strips(axes: Axes, u: np.ndarray, seen: Evaluation) -> None:
    """A strip for every block, coloured by the piece that it takes."""
    blocks = as_graph(seen.model.task).blocks[:MOST_ROWS]
    edges = np.concatenate([[u[0]], (u[1:] + u[:-1]) / 2, [u[-1]]])
    colors = np.stack([expert_colors(len(block))[seen.routes[:, k]] for k, block in enumerate(blocks)])
    axes.pcolormesh(edges, np.arange(len(colors) + 1), colors)
    axes.set_yticks(np.arange(len(colors)) + 0.5, [cut_short(block.name) for block in blocks])
