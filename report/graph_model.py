"""Figures of compiled task graphs: maps of f, of the routes and of the error in the plane; else errors block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..atlas import Array, Block, Box, Points, TaskGraph
from ..moe.model import Model
from ..verify.sample.measure import ERROR, Gauge
from ..verify.sample.product import Product
from ..verify.sample.report import Report, counted
from .palette import ERROR_MAP, FLOOR, INK, LIMIT, TARGET_MAP, expert_colors, log_error, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PIXELS = 300
"""Of each side of a map."""
LINE = 2400
"""Points of a curve."""
POINTS = 10_000
"""Random points of a histogram."""
MOST_ROWS = 24
"""Blocks and combinations that are drawn."""
SPREAD = (0.5, 0.9, 1.0)
"""Quantiles of the error of each node that are shown."""


def draw(model: Model, report: Report | None) -> Figure:
    """One input coordinate: curves. Two on boxes: maps. Else: errors of the output and of every node, and the shares of all pieces."""
    task = model.task
    assert isinstance(task, TaskGraph)
    flat = all(isinstance(node.manifold, Box) for node in task.inputs)
    if flat and task.ambient_dimension == 1:
        return _curves(model, task, report)
    return _maps(model, task, report) if flat and task.ambient_dimension == 2 else _panels(model, task, report)


def headline(model: Model, report: Report | None) -> str:
    """Name, construction, ε and, given a report, what was found."""
    task, facts = model.task, model.facts
    assert isinstance(task, TaskGraph)
    text = f"{task.name}: Theorem {facts['theorem']}, {counted(task.pieces)} pieces from {task.subtasks} subtasks "
    text += f"in {len(task.blocks)} blocks, "
    text += f"{facts['depth']} layers, R^{task.ambient_dimension} → R^{task.outputs}, ε = {facts['epsilon']:.3g}"
    if report is None:
        return text
    verdict = "holds" if report.holds else "REFUTED"
    seen = "" if report.pieces is None else f", {report.pieces.seen:,} distinct pieces"
    return f"{text}\n{verdict}: worst error {report['total'].bound:.3g} on {report.points:,} sampled points{seen} ({report.dtype})"


def _gauge(model: Model, task: TaskGraph) -> Gauge:
    return Gauge.of(model.network, task, model.design)


def _seen(model: Model, task: TaskGraph, places: Points) -> tuple[Array, Array, Array, NDArray[np.intp]]:
    """f, Ψ (N, outputs), the error and the pieces taken (N, L)."""
    gauge = _gauge(model, task)
    with np.errstate(all="ignore"):
        trace = gauge.run(places)
        target, output = gauge.truth(places).output, trace.output.astype(float)
        return target, output, np.abs(target - output).max(1), np.stack([taken[:, 0] for taken in gauge.taken(trace)], axis=-1)


def _curves(model: Model, task: TaskGraph, report: Report | None) -> Figure:
    from matplotlib.figure import Figure

    box = task.inputs[0].manifold
    assert isinstance(box, Box)
    product = Product(task, model.network.dtype)
    x = np.linspace(box.lower[0], box.upper[0], LINE)
    target, output, error, taken = _seen(model, task, product.parametrise(np.zeros((LINE, 1), np.intp), x[:, None]))
    drawn = Figure(figsize=(9.5, 4.2 + 0.3 * len(task.blocks)), layout="constrained")
    heights = (3, 2, 0.35 * min(len(task.blocks), MOST_ROWS) + 0.3)
    top, middle, bottom = drawn.subplots(3, 1, sharex=True, height_ratios=heights)
    top.plot(x, target[:, 0], color="#bbbbbb", linewidth=4, label="f")
    top.plot(x, output[:, 0], color=INK, linewidth=1, label="Ψ")
    top.legend(fontsize=8, frameon=False)
    middle.semilogy(x, np.maximum(error, FLOOR), color=INK, linewidth=0.8)
    middle.axhline(float(model.facts["epsilon"]), color=LIMIT, linestyle="--", linewidth=1)
    tidy(top, ylabel="f and Ψ")
    tidy(middle, ylabel="|f − Ψ| and ε")
    edges = np.concatenate([[x[0]], (x[1:] + x[:-1]) / 2, [x[-1]]])
    colors = np.stack([expert_colors(len(block))[taken[:, l]] for l, block in enumerate(task.blocks[:MOST_ROWS])])
    bottom.pcolormesh(edges, np.arange(len(colors) + 1), colors)
    bottom.set_yticks(np.arange(len(colors)) + 0.5, [block.name for block in task.blocks[:MOST_ROWS]])
    tidy(bottom, ylabel="routes", xlabel=task.coordinates[0])
    return drawn


def _maps(model: Model, task: TaskGraph, report: Report | None) -> Figure:
    """f, the pieces, and log₁₀ of the error, on the rectangle of the two coordinates."""
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    product = Product(task, model.network.dtype)
    lower, upper = (side[0] for side in product.bounds(np.zeros((1, len(task.inputs)), np.intp)))
    lines = [a + (b - a) * (np.arange(PIXELS) + 0.5) / PIXELS for a, b in zip(lower, upper, strict=True)]
    points = np.stack(np.meshgrid(*lines, indexing="xy"), axis=-1).reshape(-1, 2)
    target, _, error, taken = _seen(model, task, product.parametrise(np.zeros((len(points), len(task.inputs)), np.intp), points))
    drawn = Figure(figsize=(12.6, 4.4), layout="constrained")
    left, center, right = drawn.subplots(1, 3)
    extent = (lower[0], upper[0], lower[1], upper[1])
    frame: dict[str, Any] = {"origin": "lower", "extent": extent, "aspect": "auto", "interpolation": "nearest"}
    first = task[task.output].components[0]
    shown = left.imshow(target[:, 0].reshape(PIXELS, PIXELS), cmap=TARGET_MAP, **frame)
    drawn.colorbar(shown, ax=left, shrink=0.9).ax.tick_params(labelsize=8)
    tidy(left, first if task.outputs == 1 else f"{first}, the first of {task.outputs} components")
    tuples, which = np.unique(taken, axis=0, return_inverse=True)
    colors = _tuple_colors(task, tuples)
    center.imshow(colors[which.ravel()].reshape(PIXELS, PIXELS, 3), **frame)
    tidy(center, f"routes: {len(tuples):,} of {counted(task.pieces)} pieces")
    _label(center, task, tuples, which.reshape(PIXELS, PIXELS), extent)
    epsilon = float(model.facts["epsilon"])
    floor = max(float(np.quantile(error, 0.01)), epsilon * 1e-6, FLOOR)
    picture = np.clip(error, floor, None).reshape(PIXELS, PIXELS)
    shown = right.imshow(picture, cmap=ERROR_MAP, norm=LogNorm(floor, max(epsilon, float(picture.max()))), **frame)
    bar = drawn.colorbar(shown, ax=right, shrink=0.9)
    bar.ax.tick_params(labelsize=8)
    bar.ax.axhline(epsilon, color=LIMIT, linewidth=2.5)
    tidy(right, "|f − Ψ|, ε the red line of the scale")
    if report is not None and (worst := report.worst.get("total")) is not None:
        right.plot(*worst.intrinsic, marker="x", color="#00d5ff", markersize=7, markeredgewidth=1.6, clip_on=False)
    for axes in (left, center, right):
        axes.set_xlabel(task.coordinates[0], fontsize=8)
        axes.set_ylabel(task.coordinates[1], fontsize=8)
    return drawn


def _tuple_colors(task: TaskGraph, tuples: NDArray[np.intp]) -> Array:
    """One colour for every tuple: of two blocks the first chooses the hue and the second the shade, else one after another."""
    from matplotlib.colors import hsv_to_rgb, rgb_to_hsv

    if len(task.blocks) != 2:
        return expert_colors(max(len(tuples), 2))[: len(tuples)]
    hues = rgb_to_hsv(expert_colors(len(task.blocks[0])))[tuples[:, 0]]
    shade = tuples[:, 1] / max(1, len(task.blocks[1]) - 1)
    return np.asarray(hsv_to_rgb(np.stack([hues[:, 0], hues[:, 1] * (0.35 + 0.65 * shade), 0.97 - 0.3 * shade * hues[:, 1]], axis=1)))


def _label(axes: Axes, task: TaskGraph, tuples: NDArray[np.intp], which: NDArray[np.intp], extent: tuple[float, ...]) -> None:
    """The numbers of the pieces in the middle of their cells, if there is room."""
    if len(tuples) > 36 or len(task.blocks) > 3:
        return
    for k, one in enumerate(tuples):
        rows, columns = np.nonzero(which == k)
        inside = np.abs(rows - rows.mean()) + np.abs(columns - columns.mean())
        near = int(inside.argmin())
        x = extent[0] + (extent[1] - extent[0]) * (columns[near] + 0.5) / PIXELS
        y = extent[2] + (extent[3] - extent[2]) * (rows[near] + 0.5) / PIXELS
        axes.text(x, y, ",".join(str(i + 1) for i in one), ha="center", va="center", fontsize=7, color=INK)


def _panels(model: Model, task: TaskGraph, report: Report | None) -> Figure:
    """log₁₀ of the error of the output; the errors of every node beside what the ledger allows; the share of every piece."""
    from matplotlib.figure import Figure

    gauge = _gauge(model, task)
    seen = gauge.observe(gauge.product.sample(POINTS, 0))
    rows = min(MOST_ROWS, max(len(gauge.layout.makers), len(task.blocks)))
    drawn = Figure(figsize=(13.0, max(3.6, 1.4 + 0.24 * rows)), layout="constrained")
    left, middle, right = drawn.subplots(1, 3)
    _histogram(left, seen.values[ERROR], float(model.facts["epsilon"]), report)
    _nodes(middle, model, gauge, {gauge.called(quantity): value for quantity, value in seen.values.items()})
    _shares(right, task, seen.routes)
    return drawn


def _histogram(axes: Axes, error: Array, epsilon: float, report: Report | None) -> None:
    values = log_error(error)
    low = max(float(np.quantile(values, 0.001)), float(np.log10(epsilon)) - 8)
    axes.hist(10.0 ** np.clip(values, low, None), bins=np.logspace(low, max(float(values.max()), low + 0.1), 60).tolist(), color="#4c78a8")
    axes.set_xscale("log")
    axes.axvline(epsilon, color=LIMIT, linestyle="--", linewidth=1, label="ε")
    if report is not None and report["total"].bound > 0:
        axes.axvline(report["total"].bound, color=INK, linestyle=":", linewidth=1, label="worst found")
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    tidy(axes, f"error of the output at {len(error):,} random points", xlabel="|f − Ψ|", ylabel="points")


def _nodes(axes: Axes, model: Model, gauge: Gauge, values: dict[str, Array]) -> None:
    """A bar for every node: the median, the nine tenths and the worst of its own error, and what the ledger allows."""
    budgets = {claim.name: claim.budget for claim in model.ledger}
    names = [name for node in gauge.layout.makers if (name := gauge.layout.label(node)) in values][:MOST_ROWS]
    for row, name in enumerate(names):
        marks = np.maximum(np.quantile(values[name], SPREAD), FLOOR)
        axes.plot(
            marks[[0, 2]], [row, row], color="#4c78a8", linewidth=3, solid_capstyle="butt", label="median to worst" if row == 0 else None
        )
        axes.plot(marks[1], row, "|", color=INK, markersize=8, label="nine tenths are less" if row == 0 else None)
        if name in budgets:
            axes.plot(budgets[name], row, "|", color=LIMIT, markersize=11, markeredgewidth=2, label="budget" if row == 0 else None)
    axes.set_xscale("log")
    # Whole decades: between them labels would overlap.
    low, high = axes.get_xlim()
    axes.set_xlim(10 ** np.floor(np.log10(low)), 10 ** np.ceil(np.log10(high)))
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_ylim(len(names) - 0.5, -0.5 - 0.12 * len(names) - 0.6)
    axes.legend(fontsize=7, frameon=False, loc="upper left", ncols=3, handlelength=1.2, columnspacing=1.0)
    more = len(gauge.layout.makers) - len(names)
    tidy(
        axes,
        "own error of every node" + (f" ({more} more)" if more and len(names) == MOST_ROWS else ""),
        xlabel="|as computed − of what it reads|",
    )


def _shares(axes: Axes, task: TaskGraph, taken: NDArray[np.intp]) -> None:
    """One bar for every block, cut into the shares of its pieces."""
    blocks: tuple[Block, ...] = task.blocks[:MOST_ROWS]
    for row, block in enumerate(blocks):
        shares = np.bincount(taken[taken[:, row] >= 0, row], minlength=len(block)) / len(taken)
        axes.barh(
            np.full(len(block), row),
            shares,
            left=np.cumsum(shares) - shares,
            color=expert_colors(len(block)),
            height=0.72,
            edgecolor="white",
            linewidth=0.5 if len(block) <= 64 else 0,
        )
    axes.set_yticks(range(len(blocks)), [f"{block.name} ({len(block)})" for block in blocks])
    axes.set_ylim(len(blocks) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    more = len(task.blocks) - len(blocks)
    tidy(axes, "share of every piece, block by block" + (f" ({more} more)" if more else ""), xlabel="share of points")
