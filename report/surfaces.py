"""Figures of models on surfaces (d = 2): target, routes and error, in space or in the coordinates of each chart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..atlas import Array, Points, concatenate
from ..moe.model import Model
from ..verify.sample.report import Report
from .evaluation import Evaluation, evaluate
from .palette import ERROR_MAP, INK, LIMIT, TARGET_MAP, expert_colors, expert_legend, log_error, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FACES = 20_000
"""Quadrilaterals in one picture of a surface."""
PIXELS = 128
MOST_CHARTS = 6
VIEWS = {"front": (24.0, -52.0), "back": (-24.0, 128.0)}
"""Elevation and azimuth in degrees."""
LIGHT = np.array([0.35, -0.5, 0.79])
DECADES = 3
"""Range of the error's colour scale below its largest value."""


@dataclass(frozen=True, eq=False)
class _Layer:
    """One quantity as colours: (N, 3) or (N, 4), with its colour bar's norm and map if it is a number."""

    title: str
    colors: Array
    scale: Any = None


def _layers(model: Model, seen: Evaluation, error: Array | None = None) -> list[_Layer]:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    outputs = seen.target.shape[1]
    f = seen.target[:, 0]
    target = ScalarMappable(Normalize(float(np.nanmin(f)), float(np.nanmax(f))), TARGET_MAP)
    error = log_error(seen.error if error is None else error)
    top = float(np.nanmax(error))
    wrong = ScalarMappable(Normalize(top - DECADES, max(top, float(np.log10(model.facts["epsilon"])))), ERROR_MAP)
    title = "target f" if outputs == 1 else f"target f, component 1 of {outputs}"
    return [
        _Layer(title, target.to_rgba(f), target),
        _Layer("routes", expert_colors(len(model.manifold_task.atlas))[seen.routes]),
        _Layer("log₁₀ |f − Ψ|", wrong.to_rgba(error), wrong),
    ]


def draw_in_space(model: Model, report: Report | None) -> Figure:
    """The surface in R³, seen from the front and from the back; columns: target, routes, log₁₀ error."""
    from matplotlib.figure import Figure

    corners, centers, quarters = _quadrilaterals(model)
    largest = evaluate(model, quarters).error.reshape(-1, 4).max(1)
    layers = _layers(model, evaluate(model, centers), largest)
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
                _mark(axes, model.manifold_task.atlas.unembed(np.array(worst.ambient)), corners, view)
        grid[0, column].set_title(layer.title, fontsize=10, color=INK)
        if layer.scale is not None:
            bar = drawn.colorbar(layer.scale, ax=grid[1, column], location="bottom", shrink=0.75, pad=0.02, aspect=30)
            _finish_bar(bar, model, column)
    expert_legend(grid[1, 1], model.manifold_task.atlas.names, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=4)
    return drawn


def _finish_bar(bar: Any, model: Model, column: int) -> None:
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_linewidth(0.5)
    if column == 2:
        level = float(np.log10(model.facts["epsilon"]))
        bar.ax.axvline(level, color=LIMIT, linewidth=2)
        bar.ax.annotate("ε", (level, 1), xycoords=("data", "axes fraction"), fontsize=8, color=LIMIT, ha="center", va="bottom")


def _quadrilaterals(model: Model) -> tuple[Array, Points, Points]:
    """Corners (N, 4, 3), centres (N) and the centres of the quarters (4·N) of small quadrilaterals that cover M.

    Each is drawn in the chart, or the few charts, in which it lies deepest.
    """
    atlas = model.manifold_task.atlas
    side = int(np.clip(np.sqrt(FACES / len(atlas.parametrising)), 12, 120))
    corners, centers, quarters = [], [], []
    for i, chart in enumerate(atlas.parametrising):
        lines = [np.linspace(low, high, side + 1) for low, high in zip(chart.domain.lower, chart.domain.upper, strict=True)]
        u = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1)
        middle = (u[:-1, :-1] + u[1:, 1:]).reshape(-1, 2) / 2
        points = atlas.parametrise(i, middle)
        with np.errstate(all="ignore"):
            base = chart.inverse(u)
            bumps = np.stack([atlas.partition.bump(other, points.base) for other in atlas.parametrising], axis=-1)
        quads = np.stack([base[:-1, :-1], base[1:, :-1], base[1:, 1:], base[:-1, 1:]], axis=2).reshape(-1, 4, 3)
        # Neighbouring charts overlap a little, which hides the seam.
        kept = (bumps[:, i] >= 0.6 * bumps.max(1)) & np.isfinite(quads).all((1, 2)) & chart.inside(middle)
        corners.append(quads[kept])
        centers.append(points[kept])
        offsets = np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)]) * chart.domain.widths / (4 * side)
        fine = middle[kept, None] + offsets
        fine = np.where(chart.inside(fine)[..., None], fine, middle[kept, None])
        quarters.append(atlas.parametrise(i, fine.reshape(-1, 2)))
    return np.concatenate(corners), concatenate(centers), concatenate(quarters)


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
        axes.plot(*lifted[:, None], marker="x", color="#00d5ff", markersize=7, markeredgewidth=1.6, zorder=10)


def draw_in_charts(model: Model, report: Report | None) -> Figure:
    """One column per chart, in its intrinsic coordinates; rows: target, routes, log₁₀ error."""
    from matplotlib.figure import Figure

    atlas = model.manifold_task.atlas
    charts = atlas.parametrising[:MOST_CHARTS]
    pieces, inside = [], []
    for i, chart in enumerate(charts):
        lines = [np.linspace(low, high, 2 * PIXELS + 1)[1::2] for low, high in zip(chart.domain.lower, chart.domain.upper, strict=True)]
        u = np.stack(np.meshgrid(*lines, indexing="xy"), axis=-1).reshape(-1, 2)
        pieces.append(atlas.parametrise(i, np.where(chart.inside(u)[:, None], u, chart.domain.center)))
        inside.append(chart.inside(u))
    layers = _layers(model, evaluate(model, concatenate(pieces)))
    drawn = Figure(figsize=(max(5.5, 2.5 * len(charts) + 1), 7.6), layout="constrained")
    grid: Any = drawn.subplots(3, len(charts), squeeze=False)
    worst = None if report is None else report.worst.get("total")
    for row, layer in enumerate(layers):
        pictures = np.split(layer.colors[:, :3], len(charts))
        for column, (chart, picture, good) in enumerate(zip(charts, pictures, inside, strict=True)):
            axes = grid[row, column]
            picture = np.where(good[:, None], picture, 1.0).reshape(PIXELS, PIXELS, 3)
            (left, bottom), (right, top) = chart.domain.lower, chart.domain.upper
            axes.imshow(picture, origin="lower", extent=(left, right, bottom, top), aspect="auto", interpolation="nearest")
            if worst is not None and row == 2 and worst.chart == chart.name:
                axes.plot(*worst.intrinsic, marker="x", color="#00d5ff", markersize=7, markeredgewidth=1.6)
            tidy(axes, f"chart {chart.name}" if row == 0 else "")
        grid[row, 0].set_ylabel(layer.title, fontsize=9)
        if layer.scale is not None:
            bar = drawn.colorbar(layer.scale, ax=grid[row].tolist(), shrink=0.9, aspect=25)
            bar.ax.tick_params(labelsize=8)
    expert_legend(drawn, atlas.names, loc="outside lower center", ncols=8)
    return drawn
