"""Figures of models in three and more dimensions, and on products of manifolds: distributions over points of M."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..atlas import Array, Block
from ..atlas.graph import as_graph
from ..moe.model import Model
from ..verify.sample.measure import ERROR, Observation, Quantity
from ..verify.sample.report import Report
from .evaluation import gauge_of
from .palette import FLOOR, INK, LIMIT, MOST_ROWS, cut_short, expert_colors, legend_below, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS = 20_000
MOST_BARS = 40
SPREAD = (0.5, 0.9, 1.0)
"""Quantiles of the error of each node that are shown."""
COLOR = "#4c78a8"
LINE = 36
"""Letters of names that stand side by side below one panel."""


def draw(model: Model, report: Report | None) -> Figure:
    """Panels: the error with ε; of one block the lead of the chosen expert, where scores choose, and how often each is chosen, of several
    the errors of all nodes beside what the ledger allows and the share of every piece."""
    from matplotlib.figure import Figure

    gauge, blocks = gauge_of(model), as_graph(model.task).blocks
    seen = gauge.observe(gauge.product.sample(POINTS, 0))
    written = {gauge.called(quantity): values for quantity, values in seen.values.items() if quantity.kind == "written"}
    rows = min(MOST_ROWS, len(blocks) + len(model.design.joins)) if len(blocks) > 1 else 0
    gap = seen.values.get(Quantity("gap", blocks[0].name))
    led = len(blocks) == 1 and gap is not None and bool(np.isfinite(gap).all())
    panels = 3 if rows or led else 2
    drawn = Figure(figsize=(13.0 if rows else 3.5 * panels, max(3.6, 1.4 + 0.24 * rows)), layout="constrained")
    left, *others, right = drawn.subplots(1, panels)
    _logarithmic(left, seen.values[ERROR])
    left.axvline(model.ledger.root.budget, color=LIMIT, linestyle="--", linewidth=1, label="ε")
    if report is not None and report["total"].bound > 0:
        left.axvline(report["total"].bound, color=INK, linestyle=":", linewidth=1, label="worst found")
    tidy(left, f"error at {POINTS:,} random points", xlabel="|f − Ψ|/ε" if model.task.wanted else "|f − Ψ|", ylabel="points")
    if rows:
        _nodes(others[0], model, written)
        _shares(right, blocks, seen)
    elif led and gap is not None:
        _logarithmic(others[0], gap)
        tidy(others[0], "lead of the chosen expert", xlabel="largest − second largest τ", ylabel="points")
    if not rows:
        _routes(right, seen.routes[:, 0], blocks[0].names)
    handles = [handle for axes in (left, *others) for handle in axes.get_legend_handles_labels()[0]]
    legend_below(drawn, handles)
    return drawn


def _logarithmic(axes: Axes, values: np.ndarray) -> None:
    values = np.maximum(values, FLOOR)
    low, high = np.log10(values.min()), np.log10(values.max())
    # the tail of tiny values is long and says little
    low = max(low, float(np.log10(np.quantile(values, 0.001))) - 0.5)
    axes.hist(np.clip(values, 10**low, None), bins=np.logspace(low, max(high, low + 0.1), 60).tolist(), color=COLOR)
    axes.set_xscale("log")


def _routes(axes: Axes, routes: np.ndarray, names: tuple[str, ...]) -> None:
    counts = np.bincount(routes[routes >= 0], minlength=len(names)) / len(routes)
    order = np.argsort(-counts)[:MOST_BARS]
    many = len(order) > 12
    # Colours that nothing else in the picture has would say nothing.
    axes.bar(np.arange(len(order)), counts[order], color=COLOR, width=0.8)
    said = [] if many else [cut_short(names[i]) for i in order]
    turned: dict[str, Any] = {"rotation": 60, "ha": "right"} if sum(map(len, said)) > LINE else {}
    axes.set_xticks(np.arange(len(said)), said, **turned)
    title = "share of each expert"
    if len(names) > len(order):
        title += f" ({len(order)} of {len(names)})"
    tidy(axes, title, ylabel="share of points", xlabel="experts, by frequency" if many else "expert")


def _nodes(axes: Axes, model: Model, written: dict[str, Array]) -> None:
    """A bar for every node: the median, the nine tenths and the worst of its own error, and what the ledger allows."""
    budgets = {claim.name: claim.budget for claim in model.ledger}
    errors = list(written.items())
    for row, (name, error) in enumerate(errors[:MOST_ROWS]):
        first = row == 0
        marks = np.maximum(np.quantile(error, SPREAD), FLOOR)
        axes.plot(marks[[0, 2]], [row, row], color=COLOR, linewidth=3, solid_capstyle="butt", label="median to worst" if first else None)
        axes.plot(marks[1], row, "|", color=INK, markersize=8, label="nine tenths are less" if first else None)
        if name in budgets:
            axes.plot(budgets[name], row, "|", color=LIMIT, markersize=11, markeredgewidth=2, label="budget" if first else None)
    shown = len(errors[:MOST_ROWS])
    axes.set_xscale("log")
    # Whole decades: between them labels would overlap.
    low, high = axes.get_xlim()
    axes.set_xlim(10 ** np.floor(np.log10(low)), 10 ** np.ceil(np.log10(high)))
    axes.set_yticks(range(shown), [cut_short(name) for name, _ in errors[:MOST_ROWS]])
    axes.set_ylim(shown - 0.5, -0.5)
    more = len(errors) - shown
    tidy(axes, "own error of every node" + (f" ({more} more)" if more else ""), xlabel="|as computed − exactly, of what it reads|")


def _shares(axes: Axes, every: Sequence[Block], seen: Observation) -> None:
    """One bar for every block, cut into the shares of its pieces."""
    blocks = every[:MOST_ROWS]
    for row, block in enumerate(blocks):
        E = len(block)
        shares = np.bincount(seen.routes[:, row][seen.routes[:, row] >= 0], minlength=E) / len(seen.routes)
        axes.barh(
            np.full(E, row),
            shares,
            left=np.cumsum(shares) - shares,
            color=expert_colors(E),
            height=0.72,
            edgecolor="white",
            linewidth=0.5 if E <= 64 else 0,
        )
    axes.set_yticks(range(len(blocks)), [f"{cut_short(block.name)} ({len(block)})" for block in blocks])
    axes.set_ylim(len(blocks) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    more = len(every) - len(blocks)
    tidy(axes, "share of every piece" + (f" ({more} more blocks)" if more else ""), xlabel="share of points, the first piece left")
