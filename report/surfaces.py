"""Figures of models in dimension two: target, routes and error, on the surface in space or in the coordinates of each chart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..atlas import Array, Atlas, Tiling
from ..atlas.graph import as_graph
from ..moe.model import Model
from ..verify.sample.report import Report, counted
from .evaluation import Evaluation, evaluate, on_chart, together
from .palette import ERROR_MAP, INK, LIMIT, TARGET_MAP, expert_legend, log_error, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FACES = 20_000
"""Quadrilaterals in one picture of a surface."""
PIXELS = 128
"""Of each side of a map; of one alone twice as many."""
MOST_CHARTS = 6
MOST_LABELS = 36
VIEWS = {"front": (24.0, -52.0), "back": (-24.0, 128.0)}
"""Elevation and azimuth in degrees."""
LIGHT = np.array([0.35, -0.5, 0.79])
DECADES = 3
"""Range of the error's colour scale below its largest value."""
CROSS: dict[str, Any] = {"marker": "x", "color": "#00d5ff", "markersize": 7, "markeredgewidth": 1.6}


@dataclass(frozen=True, eq=False)
class _Layer:
    """One quantity as colours: (N, 3) or (N, 4), with its colour bar's norm and map if it is a number."""

    title: str
    colors: Array
    scale: Any = None


def _layers(model: Model, seen: Evaluation, error: Array | None = None) -> list[_Layer]:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    graph, outputs = as_graph(model.task), seen.target.shape[1]
    f = seen.target[:, 0]
    target = ScalarMappable(Normalize(float(np.nanmin(f)), float(np.nanmax(f))), TARGET_MAP)
    error = log_error(seen.error if error is None else error)
    top = float(np.nanmax(error))
    wrong = ScalarMappable(Normalize(top - DECADES, max(top, float(np.log10(model.ledger.root.budget)))), ERROR_MAP)
    title = "target f" if outputs == 1 else f"target f, component 1 of {outputs}"
    routes = "routes" if model.design.alone else f"routes: {len(seen.tuples):,} of {counted(graph.pieces)} pieces"
    return [_Layer(title, target.to_rgba(f), target), _Layer(routes, seen.colors()), _Layer("log₁₀ |f − Ψ|", wrong.to_rgba(error), wrong)]


def draw_in_space(model: Model, atlas: Atlas, report: Report | None) -> Figure:
    """The surface in R³, seen from the front and from the back; columns: target, routes, log₁₀ error."""
    from matplotlib.figure import Figure

    corners, centers, quarters = _quadrilaterals(atlas)
    largest = np.concatenate([evaluate(model, i, u).error.reshape(-1, 4).max(1) for i, u in enumerate(quarters)])
    layers = _layers(model, together([evaluate(model, i, u) for i, u in enumerate(centers)]), largest)
    normal = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    length = np.linalg.norm(normal, axis=1)
    shade = 0.72 + 0.28 * np.abs(normal @ LIGHT) / np.where(length > 0, length, 1)
    drawn = Figure(figsize=(10.5, 7.2), layout="constrained")
    grid: Any = drawn.subplots(2, 3, subplot_kw={"projection": "3d"})
    worst = None if report is None else report.worst.get("total")
    for column, layer in enumerate(layers):
        for row, view in enumerate(VIEWS.values()):
            axes = grid[row, column]
            # Errors are read off their colours, so they are not shaded.
            _surface(axes, corners, layer.colors if column == 2 else layer.colors[:, :3] * shade[:, None], view)
            if worst is not None and column == 2:
                _mark(axes, atlas.unembed(np.array(worst.ambient)), corners, view)
        grid[0, column].set_title(layer.title, fontsize=10, color=INK)
        if layer.scale is not None:
            bar = drawn.colorbar(layer.scale, ax=grid[1, column], location="bottom", shrink=0.75, pad=0.02, aspect=30)
            _finish_bar(bar, model, column)
    _legend(model, grid[1, 1], loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=4)
    return drawn


def _legend(model: Model, owner: Any, **where: Any) -> None:
    """Of the pieces, if there is one block."""
    if len(model.design.sites) == 1:
        expert_legend(owner, model.design.sites[0].pieces, **where)


def _finish_bar(bar: Any, model: Model, column: int, upright: bool = False) -> None:
    """ε on the scale of the error."""
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_linewidth(0.5)
    if column == 2:
        level = float(np.log10(model.ledger.root.budget))
        (bar.ax.axhline if upright else bar.ax.axvline)(level, color=LIMIT, linewidth=2)
        at, coordinates = ((1, level), ("axes fraction", "data")) if upright else ((level, 1), ("data", "axes fraction"))
        side = ("left", "center") if upright else ("center", "bottom")
        bar.ax.annotate("ε", at, xycoords=coordinates, fontsize=8, color=LIMIT, ha=side[0], va=side[1])


def _quadrilaterals(atlas: Atlas) -> tuple[Array, list[Array], list[Array]]:
    """Corners (N, 4, 3) of small quadrilaterals that cover M, and on every chart their centres and those of their quarters.

    Each is drawn in the chart, or the few charts, in which it lies deepest.
    """
    side = int(np.clip(np.sqrt(FACES / len(atlas.parametrising)), 12, 120))
    corners, centers, quarters = [], [], []
    for i, chart in enumerate(atlas.parametrising):
        lines = [np.linspace(low, high, side + 1) for low, high in zip(chart.domain.lower, chart.domain.upper, strict=True)]
        u = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1)
        middle = (u[:-1, :-1] + u[1:, 1:]).reshape(-1, 2) / 2
        with np.errstate(all="ignore"):
            base = chart.inverse(u)
            bumps = np.stack([atlas.partition.bump(other, chart.inverse(middle)) for other in atlas.parametrising], axis=-1)
        quads = np.stack([base[:-1, :-1], base[1:, :-1], base[1:, 1:], base[:-1, 1:]], axis=2).reshape(-1, 4, 3)
        # Neighbouring charts overlap a little, which hides the seam.
        kept = (bumps[:, i] >= 0.6 * bumps.max(1)) & np.isfinite(quads).all((1, 2)) & chart.inside(middle)
        corners.append(quads[kept])
        centers.append(middle[kept])
        offsets = np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)]) * chart.domain.widths / (4 * side)
        fine = middle[kept, None] + offsets
        fine = np.where(chart.inside(fine)[..., None], fine, middle[kept, None])
        quarters.append(fine.reshape(-1, 2))
    return np.concatenate(corners), centers, quarters


def _surface(axes: Any, corners: Array, colors: Array, view: tuple[float, float]) -> None:
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection  # type: ignore[import-untyped]

    # All quadrilaterals in one collection, because only within one are they sorted by depth.
    axes.add_collection3d(Poly3DCollection(corners, facecolors=colors, edgecolors=colors, linewidths=0.3))
    low, high = corners.min((0, 1)), corners.max((0, 1))
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]))
    axes.set_box_aspect(np.maximum(high - low, 1e-3), zoom=1.55)
    axes.set_proj_type("ortho")
    axes.view_init(*view)
    axes.set_axis_off()


def _mark(axes: Any, point: Array, corners: Array, view: tuple[float, float]) -> None:
    """A cross at the worst point, on the side that it can be seen from."""
    elevation, azimuth = np.radians(view)
    toward = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    if (point - corners.mean((0, 1))) @ toward >= 0:
        lifted = point + 0.02 * np.ptp(corners, axis=(0, 1)).max() * toward
        axes.plot(*lifted[:, None], **CROSS, zorder=10)


def draw_in_charts(model: Model, domain: Atlas | Tiling, report: Report | None) -> Figure:
    """A column for each chart, in its intrinsic coordinates, rows: target, routes, log₁₀ error; of one chart a row."""
    from matplotlib.figure import Figure

    charts = domain.parametrising[:MOST_CHARTS]
    lone = len(charts) == 1
    side = 2 * PIXELS if lone else PIXELS
    pieces, inside = [], []
    for i, chart in enumerate(charts):
        lines = [np.linspace(low, high, 2 * side + 1)[1::2] for low, high in zip(chart.domain.lower, chart.domain.upper, strict=True)]
        u = np.stack(np.meshgrid(*lines, indexing="xy"), axis=-1).reshape(-1, 2)
        pieces.append(evaluate(model, i, np.where(chart.inside(u)[:, None], u, chart.domain.center)))
        inside.append(chart.inside(u))
    seen = together(pieces)
    drawn = Figure(figsize=(12.6, 4.4) if lone else (max(5.5, 2.5 * len(charts) + 1), 7.6), layout="constrained")
    grid: Any = drawn.subplots(1, 3, squeeze=False).T if lone else drawn.subplots(3, len(charts), squeeze=False)
    worst = None if report is None else report.worst.get("total")
    for row, layer in enumerate(_layers(model, seen)):
        pictures = np.split(layer.colors[:, :3], len(charts))
        for column, (chart, picture, good) in enumerate(zip(charts, pictures, inside, strict=True)):
            axes = grid[row, column]
            picture = np.where(good[:, None], picture, 1.0).reshape(side, side, 3)
            (left, bottom), (right, top) = chart.domain.lower, chart.domain.upper
            axes.imshow(picture, origin="lower", extent=(left, right, bottom, top), aspect="auto", interpolation="nearest")
            place = on_chart(worst, domain, chart)
            if place is not None and row == 2:
                axes.plot(*place, **CROSS, clip_on=False)
            tidy(axes, layer.title if lone else f"chart {chart.name}" if row == 0 else "")
            if domain.box is not None:
                tidy(axes, layer.title, xlabel=domain.coordinates[0], ylabel=domain.coordinates[1])
        if not lone:
            grid[row, 0].set_ylabel(layer.title, fontsize=9)
        if layer.scale is not None:
            bar = drawn.colorbar(layer.scale, ax=grid[row].tolist(), shrink=0.9, aspect=25)
            _finish_bar(bar, model, row, upright=True)
    if lone and not model.design.alone:
        _label(grid[1, 0], seen.routes.reshape(side, side, -1), charts[0].domain.lower, charts[0].domain.upper)
    else:
        _legend(model, drawn, loc="outside lower center", ncols=8)
    return drawn


def _label(axes: Any, routes: Any, lower: Any, upper: Any) -> None:
    """The numbers of the pieces in the middle of their cells, if there is room."""
    tuples, which = np.unique(routes.reshape(-1, routes.shape[2]), axis=0, return_inverse=True)
    if len(tuples) > MOST_LABELS or routes.shape[2] > 3:
        return
    for k, one in enumerate(tuples):
        rows, columns = np.nonzero(which.reshape(routes.shape[:2]) == k)
        near = int((np.abs(rows - rows.mean()) + np.abs(columns - columns.mean())).argmin())
        at = np.array(lower) + (np.array(upper) - lower) * (np.array([columns[near], rows[near]]) + 0.5) / routes.shape[1::-1]
        axes.text(*at, ",".join(str(i + 1) for i in one), ha="center", va="center", fontsize=7, color=INK)
