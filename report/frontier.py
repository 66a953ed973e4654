"""A plan in one picture: width against number of experts, what each row costs, and predicted beside reached errors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..atlas.wanted import epsilons
from ..constructions.plan import WITHIN, Frontier
from ..errors import AtlasMoEError
from .palette import FAINT, FEW, INK, LIMIT, tidy, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 160


def draw(frontier: Frontier, path: str | Path | None = None) -> Figure:
    """Three panels over E: m with the slopes of B3 beside it; active and total parameters; errors. Written to `path` if given.

    Raises `AtlasMoEError` if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter, LogLocator
    except ImportError as error:
        raise AtlasMoEError("figures need matplotlib: pip install 'atlasmoe[figures]'") from error

    drawn = Figure(figsize=(11, 4.4), layout="constrained")
    left, middle, right = drawn.subplots(1, 3)
    _widths(left, frontier)
    _costs(middle, frontier)
    _errors(right, frontier)
    experts = [row.experts for row in frontier]
    for axes in (left, middle, right):
        axes.set_xscale("log", base=2)
        axes.set_xticks(experts, [str(count) for count in experts])
        axes.minorticks_off()
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}"))
        axes.margins(x=0.08)
        if len(experts) == 1:
            _alone(axes, experts[0])
        axes.grid(axis="y", color=FAINT, linewidth=0.4, alpha=0.6)
    atlas = frontier.task.atlas
    goal = epsilons(frontier.wanted) or f"ε = {frontier.epsilon:.3g}"
    headline = f"{frontier.task.name}: what reaches {goal}, d = {atlas.dimension} in R^{atlas.ambient_dimension}"
    drawn.suptitle(headline, x=0.01, ha="left", fontsize=10)
    if path is not None:
        write(drawn, path, DPI)
    return drawn


def _alone(axes: Axes, count: int) -> None:
    """One row makes one dot in each line: room around it, and its number beside it."""
    low, high = axes.dataLim.y0, axes.dataLim.y1
    axes.set_xlim(count / 2, count * 2)
    axes.set_ylim(low / 3, high * 3)
    for line in axes.lines:
        x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
        if line.get_marker() in ("o", "s", "D", "x") and len(x) == 1 and line.get_markersize() < 10:
            number = f"{y[0]:,.0f}" if y[0] >= 100 else f"{y[0]:.4g}"
            axes.annotate(number, (x[0], y[0]), xytext=(9, 0), textcoords="offset points", va="center", fontsize=8, color=INK)


def _below(axes: Axes) -> None:
    """The legend below the panel, off its lines."""
    axes.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2)


def _widths(axes: Axes, frontier: Frontier) -> None:
    """m(E), with E^{−1} (experts for width) and E^{−1/d} (the quadratic part limits) through its first point."""
    E = np.array([row.experts for row in frontier], float)
    m = np.array([row.width for row in frontier], float)
    d = frontier.task.atlas.dimension
    if len(E) > 1:
        axes.plot(E, m[0] * E[0] / E, color=FAINT, linewidth=1.2, linestyle="--", label="$E^{-1}$: experts for width")
    if len(E) > 1 and d > 1:
        axes.plot(E, m[0] * (E[0] / E) ** (1 / d), color=FAINT, linewidth=1.2, linestyle=":", label=f"$E^{{-1/{d}}}$: quadratic part")
    axes.plot(E, m, color=INK, linewidth=1, label="_m")
    for limited, marker in (("smoothness", "o"), ("quadratic part", "s")):
        at = np.array([row.limited_by == limited for row in frontier])
        if at.any():
            axes.plot(E[at], m[at], marker, color=FEW[0], markersize=5, label=f"m, limited by {limited}")
    over = np.array([not row.buildable for row in frontier])
    if over.any():
        axes.plot(E[over], m[over], "x", color=LIMIT, markersize=9, label=f"over max_width = {frontier.max_width}")
    axes.set_yscale("log")
    tidy(axes, "width that ε takes", xlabel="experts E", ylabel="hidden width m")
    _below(axes)


def _costs(axes: Axes, frontier: Frontier) -> None:
    E = [row.experts for row in frontier]
    for cost, color in (("total", FEW[1]), ("latency", FEW[3]), ("active", FEW[0])):
        values = np.array([getattr(row, cost) for row in frontier], float)
        label = "latency, multiplications per input" if cost == "latency" else f"{cost} parameters"
        axes.plot(E, values, "o-", color=color, linewidth=1, markersize=4, label=label)
        allowed = np.where([row.buildable for row in frontier], values, np.inf)
        if np.isfinite(allowed).any():
            best = int(allowed.argmin())
            axes.plot(E[best], values[best], "o", markersize=11, markerfacecolor="none", markeredgecolor=color)
    axes.set_yscale("log")
    axes.plot([], [], "o", markersize=9, markerfacecolor="none", markeredgecolor=INK, label="the least")
    tidy(axes, "what it costs", xlabel="experts E")
    _below(axes)


def _errors(axes: Axes, frontier: Frontier) -> None:
    E = np.array([row.experts for row in frontier], float)
    predicted = np.array([row.predicted for row in frontier])
    within = f"within a factor of {WITHIN:g}"
    if len(E) > 1:
        axes.fill_between(E, predicted / WITHIN, predicted * WITHIN, color=FEW[0], alpha=0.12, linewidth=0, label=within)
    else:
        axes.vlines(E, predicted / WITHIN, predicted * WITHIN, color=FEW[0], alpha=0.25, linewidth=8, label=within)
    axes.plot(E, predicted, "o-", color=FEW[0], linewidth=1, markersize=4, label="predicted")
    built = [row for row in frontier if row.reached is not None]
    if built:
        reached = [row.reached for row in built]
        axes.plot([row.experts for row in built], reached, "D", color=FEW[5], markersize=5, label="reached")  # type: ignore[arg-type]
    axes.axhline(frontier.epsilon, color=LIMIT, linewidth=1, linestyle="--", label="ε")
    axes.set_yscale("log")
    tidy(axes, "sup error" + (", in units of ε" if frontier.wanted else ""), xlabel="experts E")
    _below(axes)
