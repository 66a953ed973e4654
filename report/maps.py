"""Figures of models in dimension two, in the coordinates of each chart: target, routes and error as maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..atlas import Array, Atlas, Chart, Tiling
from ..moe.model import Model
from ..verify.sample.report import Report
from .cells import Cells, grid_triangles
from .evaluation import Evaluation, evaluate, on_chart, pieces_of, shown_charts, together
from .layers import CROSS, cells_of, continued, finish_bar, layers, legend_of_routes
from .palette import FEW, INK, called, legend_below, log_error, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PIXELS = 128
"""Of each side of a map; of one alone twice as many."""
MOST_CHARTS = 6
MOST_LABELS = 36
LEAST = 0.004
"""Share of the map that a part of a cell takes at least to be labelled."""
LETTER = 0.033
"""Share of a map's width that a letter of a label takes."""


def draw_in_charts(model: Model, domain: Atlas | Tiling, report: Report | None) -> Figure:
    """A column for each chart, in its intrinsic coordinates, rows: target, routes, log₁₀ error; of one chart a row."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    numbers, charts = zip(*shown_charts(domain, report, MOST_CHARTS), strict=True)
    lone = len(charts) == 1
    side = 2 * PIXELS if lone else PIXELS
    grids = []
    for chart in charts:
        lines = [np.linspace(low, high, side + 1) for low, high in zip(chart.domain.lower, chart.domain.upper, strict=True)]
        grids.append(continued(chart, np.stack(np.meshgrid(*lines, indexing="xy"), axis=-1)))
    seen = [evaluate(model, i, u.reshape(-1, 2)) for i, (_, u) in zip(numbers, grids, strict=True)]
    every = together(seen)
    first, title, last = layers(model, every.target, every.error)
    # One coordinate more, the number of the chart, keeps the charts apart.
    n = (side + 1) ** 2
    points = np.concatenate([np.column_stack([_regular(chart, side), np.full(n, i)]) for i, chart in enumerate(charts)])
    triangles = np.concatenate([i * n + grid_triangles(side + 1, side + 1) for i in range(len(charts))])
    cells = cells_of(model, points, triangles, [(i, u.reshape(-1, 2)) for i, (_, u) in zip(numbers, grids, strict=True)])
    drawn = Figure(figsize=(12.6, 4.4) if lone else (max(5.5, 2.5 * len(charts) + 1), 7.9), layout="constrained")
    grid: Any = drawn.subplots(1, 3, squeeze=False).T if lone else drawn.subplots(3, len(charts), squeeze=False)
    titles = (first.title, title.format(f"{len(np.unique(every.routes, axis=0)):,}"), last.title)
    pictures = (first.scale.to_rgba(every.target[:, 0]), None, last.scale.to_rgba(log_error(every.error)))
    worst = None if report is None else report.worst.get("total")
    crossed = False
    for column, (chart, (inside, _)) in enumerate(zip(charts, grids, strict=True)):
        names = domain.coordinates if domain.box is not None else chart.inverse.names
        (left, bottom), (right, top) = chart.domain.lower, chart.domain.upper
        for row, picture in enumerate(pictures):
            axes = grid[row, column]
            if picture is None:
                _cells(axes, cells, column, len(pieces_of(model)[0]))
            else:
                _image(axes, picture[column * n : (column + 1) * n], chart, side)
            _outside(axes, chart, inside)
            axes.set(xlim=(left, right), ylim=(bottom, top))
            place = on_chart(worst, domain, chart)
            if place is not None and row == 2:
                axes.plot(*place, **CROSS, clip_on=False)
                crossed = True
            tidy(axes, titles[row] if lone else called(chart.name) if row == 0 else "")
            axes.set_xlabel(names[0] if lone or row == 2 else "", fontsize=8)
            axes.set_ylabel(names[1], fontsize=8)
    _finish(drawn, grid, model, titles, (first, last), lone)
    said = "" if not lone or model.design.alone else "numbers: the piece of every block"
    if model.design.alone and len(pieces_of(model)[0]) > len(FEW):
        said = "names: the expert"
    if said:
        places = [_label(axes, one, chart, side, model) for axes, one, chart in zip(grid[1], seen, charts, strict=True)]
    handles = legend_of_routes(model, cells)
    if said and any(places):
        handles.append(Patch(color="none", label=said))
    if crossed:
        from matplotlib.lines import Line2D

        handles.append(Line2D([], [], **CROSS))
    legend_below(drawn, handles, handleheight=1)
    if len(domain.parametrising) > len(charts):
        drawn.text(0.99, 0.99, f"{len(charts)} of {len(domain.parametrising)} charts", ha="right", va="top", fontsize=8, color=INK)
    return drawn


def _regular(chart: Any, side: int) -> Array:
    """The points (N, 2) of the grid itself."""
    lines = [np.linspace(low, high, side + 1) for low, high in zip(chart.domain.lower, chart.domain.upper, strict=True)]
    return np.asarray(np.stack(np.meshgrid(*lines, indexing="xy"), axis=-1).reshape(-1, 2))


def _finish(drawn: Figure, grid: Any, model: Model, titles: tuple[str, ...], shown: Any, lone: bool) -> None:
    """Names of rows and scales of colours."""
    for row, title in enumerate(titles):
        if not lone:
            grid[row, 0].annotate(
                title,
                (-0.42, 0.5),
                xycoords="axes fraction",
                rotation=90,
                ha="center",
                va="center",
                fontsize=9,
                color=INK,
                annotation_clip=False,
            )
    for row, layer in ((0, shown[0]), (2, shown[1])):
        bar = drawn.colorbar(layer.scale, ax=grid[row].tolist(), shrink=0.9, aspect=25, extend=layer.beyond)
        finish_bar(bar, model, row == 2, upright=True)


def _image(axes: Any, colors: Array, chart: Any, side: int) -> None:
    """Colours at the points of the grid, each in the middle of its pixel."""
    (left, bottom), (right, top) = chart.domain.lower, chart.domain.upper
    x, y = (right - left) / side / 2, (top - bottom) / side / 2
    picture = colors[:, :3].reshape(side + 1, side + 1, 3)
    axes.imshow(picture, origin="lower", extent=(left - x, right + x, bottom - y, top + y), aspect="auto", interpolation="nearest")


def _cells(axes: Any, cells: Cells, chart: int, count: int) -> None:
    """The filled polygons of one chart, whose number is their third coordinate, with the edges between cells."""
    from matplotlib.collections import LineCollection, PolyCollection

    # Polygons have no edges of their own: they would show as a pattern.
    mine = np.array([poly[0, 2] == chart for poly in cells.polygons])
    colors = cells.colors(count)[cells.owners[mine]]
    shown = [poly[:, :2] for poly, ours in zip(cells.polygons, mine, strict=True) if ours]
    axes.add_collection(PolyCollection(shown, facecolors=colors, edgecolors="none", antialiaseds=False, rasterized=True))
    edges = cells.edges[cells.edges[:, 0, 2] == chart, :, :2]
    axes.add_collection(LineCollection(list(edges), colors="white", linewidths=0.8, capstyle="round", snap=False))


def _outside(axes: Any, chart: Any, inside: NDArray[np.bool_]) -> None:
    """White where the chart's region is not positive, with the region's own edge."""
    if inside.all():
        return
    x, y = (np.linspace(low, high, n) for low, high, n in zip(chart.domain.lower, chart.domain.upper, inside.shape[::-1], strict=True))
    value = chart.region(np.stack(np.meshgrid(x, y), -1))[..., 0]
    value = np.where(np.isfinite(value), value, -1.0)
    if (value < 0).any():
        axes.contourf(x, y, value, levels=[min(float(value.min()), -1.0) - 1, 0.0], colors=["white"], zorder=3)


def _label(axes: Any, seen: Evaluation, chart: Chart, side: int, model: Model) -> bool:
    """In the middle of every cell its expert's name, or the numbers of its pieces; whether there is room for that."""
    grid = seen.routes.reshape(side + 1, side + 1, -1)
    tuples, which = np.unique(seen.routes, axis=0, return_inverse=True)
    if len(tuples) > MOST_LABELS or grid.shape[2] > 3:
        return False
    names = pieces_of(model)[0]
    lower, widths = np.array(chart.domain.lower), chart.domain.widths
    for k, one in enumerate(tuples):
        for rows, columns in _parts(which.reshape(grid.shape[:2]) == k):
            near = int((np.abs(rows - rows.mean()) + np.abs(columns - columns.mean())).argmin())
            at = lower + widths * np.array([columns[near], rows[near]]) / side
            text = names[one[0]] if model.design.alone else ",".join(str(i + 1) for i in one)
            if LETTER * len(text) * side > np.ptp(columns):
                text = text.replace("*", "*\n")  # a product's name, one factor a line
            box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.7}
            axes.text(*at, text, ha="center", va="center", fontsize=7, color=INK, bbox=box, clip_on=True)
    return True


def _parts(cell: NDArray[np.bool_]) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rows and columns of the connected parts of a cell, without those that are too small for a label."""
    from scipy.ndimage import label

    found, count = label(cell)
    return [(rows, columns) for rows, columns in (np.nonzero(found == k + 1) for k in range(count)) if len(rows) >= LEAST * cell.size]
