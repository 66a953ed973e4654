"""Figures of models in three and more dimensions: distributions over points of M."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..moe.model import Model
from ..verify.sample.report import Report
from .evaluation import evaluate
from .palette import FLOOR, INK, LIMIT, expert_colors, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS = 20_000
MOST_BARS = 40


def draw(model: Model, report: Report | None) -> Figure:
    """Panels: log₁₀ of the error with ε; the gap between the two largest scores; how often each expert is chosen."""
    from matplotlib.figure import Figure

    seen = evaluate(model, model.manifold_task.atlas.sample(POINTS, 0))
    drawn = Figure(figsize=(10.5, 3.6), layout="constrained")
    left, middle, right = drawn.subplots(1, 3)
    _logarithmic(left, seen.error)
    left.axvline(float(model.facts["epsilon"]), color=LIMIT, linestyle="--", linewidth=1, label="ε")
    if report is not None and report["total"].bound > 0:
        left.axvline(report["total"].bound, color=INK, linestyle=":", linewidth=1, label="worst found")
    left.legend(fontsize=8, frameon=False, loc="upper left")
    tidy(left, f"error at {POINTS:,} random points", xlabel="|f − Ψ|", ylabel="points")
    if np.isfinite(seen.gap).all():
        _logarithmic(middle, seen.gap)
    tidy(middle, "lead of the chosen expert", xlabel="largest − second largest τ", ylabel="points")
    _routes(right, seen.routes, model.manifold_task.atlas.names)
    return drawn


def _logarithmic(axes: Axes, values: np.ndarray) -> None:
    values = np.maximum(values, FLOOR)
    low, high = np.log10(values.min()), np.log10(values.max())
    # the tail of tiny values is long and says little
    low = max(low, float(np.log10(np.quantile(values, 0.001))) - 0.5)
    axes.hist(np.clip(values, 10**low, None), bins=np.logspace(low, max(high, low + 0.1), 60).tolist(), color="#4c78a8")
    axes.set_xscale("log")


def _routes(axes: Axes, routes: np.ndarray, names: tuple[str, ...]) -> None:
    counts = np.bincount(routes, minlength=len(names)) / len(routes)
    order = np.argsort(-counts)[:MOST_BARS]
    axes.bar(np.arange(len(order)), counts[order], color=expert_colors(len(names))[order])
    many = len(order) > 12
    axes.set_xticks(np.arange(len(order)) if not many else [], [names[i] for i in order] if not many else [], rotation=60, ha="right")
    title = "share of each expert"
    if len(names) > len(order):
        title += f" (the {len(order)} most frequent of {len(names)})"
    tidy(axes, title, ylabel="share of points", xlabel="expert, by frequency" if many else "")
