"""Figures of models on surfaces in R³: target, routes and error, seen from the front and from the back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..atlas import Array, Atlas
from ..moe.model import Model
from ..verify.sample.report import Report
from .cells import Cells, grid_triangles
from .evaluation import evaluate, pieces_of, together
from .layers import CROSS, cells_of, continued, finish_bar, layers, legend_of_routes
from .palette import INK, log_error

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FACES = 20_000
"""Quadrilaterals in one picture of a surface."""
VIEWS = {"front": (24.0, -52.0), "back": (-24.0, 128.0)}
"""Elevation and azimuth in degrees."""
LIGHT = np.array([0.35, -0.5, 0.79])
FILLED = 0.78
"""Size of a surface as it is seen, in what fills its picture at a zoom of 1 beside the length of its diagonal."""
DIGITS = 2
"""Of the length of a side, beyond the first: how exactly its ends are told."""
AXES, CORNER = 0.08, 0.06
"""Length of the drawn axes and where they start, in the size of the picture."""
LEVEL = 0.15
"""Share of its length by which an axis that lies level, or upright, goes up, or sideways."""


@dataclass(frozen=True, eq=False)
class _Patch:
    """The part of the surface that is drawn on one chart: a grid of points, and which of its quadrilaterals."""

    chart: int
    grid: Array
    """Intrinsic coordinates (n, n, 2), continued past the region by the nearest points in it."""
    base: Array
    """(n, n, k)."""
    kept: NDArray[np.bool_]
    """(n − 1, n − 1)."""

    @property
    def corners(self) -> Array:
        """Of the quadrilaterals, (N, 4, k), anticlockwise."""
        b = self.base
        return np.stack([b[:-1, :-1], b[1:, :-1], b[1:, 1:], b[:-1, 1:]], axis=2)[self.kept]


def draw_in_space(model: Model, atlas: Atlas, report: Report | None) -> Figure:
    """The surface in R³, a row for each view; columns: target, routes, log₁₀ error."""
    from matplotlib.figure import Figure

    patches = surface_patches(atlas, FACES)
    quads = np.concatenate([patch.corners for patch in patches])
    quarters = [_quarters(atlas, patch) for patch in patches]
    error = np.concatenate([evaluate(model, p.chart, u).error.reshape(-1, 4).max(1) for p, u in zip(patches, quarters, strict=True)])
    target = together([evaluate(model, patch.chart, _centers(patch)) for patch in patches]).target
    first, title, last = layers(model, target, error)
    points, triangles = triangles_of(patches)
    grids = [(patch.chart, patch.grid.reshape(-1, 2)) for patch in patches]
    # With intrinsic coordinates beside the three in space, so that what is cut can be evaluated.
    cells = cells_of(model, np.column_stack([points, np.concatenate([u for _, u in grids])]), triangles, grids)
    colors = cells.colors(len(pieces_of(model)[0]))[cells.owners]
    drawn = Figure(figsize=(10.5, 7.4), layout="constrained")
    grid: Any = drawn.subplots(2, 3, subplot_kw={"projection": "3d"})
    worst = None if report is None else report.worst.get("total")
    names = shown_names(atlas)
    cut, error = _cut_errors(model, patches, cells, quads, error)
    light = shade(quads)[:, None]
    light_of_cells = shade(points[triangles])[cells.source][:, None]
    for row, view in enumerate(VIEWS.values()):
        surface(grid[row, 0], quads, first.scale.to_rgba(target[:, 0])[:, :3] * light, view, names)
        surface(grid[row, 1], [polygon[:, :3] for polygon in cells.polygons], colors * light_of_cells, view, names)
        # Errors are read off their colours, so they are not shaded.
        surface(grid[row, 2], cut, last.scale.to_rgba(log_error(error)), view, names)
        if worst is not None:
            _mark(grid[row, 2], atlas.unembed(np.array(worst.ambient)), quads, view)
        grid[row, 0].text2D(0.0, 0.98, f"from the {list(VIEWS)[row]}", transform=grid[row, 0].transAxes, fontsize=8, color="#777777")
    drawn.supxlabel(_ranges(quads, names), fontsize=8, color="#777777")
    for column, text in enumerate((first.title, title.format(f"{len(cells.routes):,}"), last.title)):
        grid[0, column].set_title(text, fontsize=10, color=INK)
    for column, layer in ((0, first), (2, last)):
        bar = drawn.colorbar(layer.scale, ax=grid[1, column], location="bottom", shrink=0.75, pad=0.02, aspect=30, extend=layer.beyond)
        finish_bar(bar, model, layer is last)
    handles = legend_of_routes(model, cells)
    grid[1, 1].legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=4, fontsize=8, frameon=False)
    if worst is not None:
        from matplotlib.lines import Line2D

        grid[0, 2].legend(handles=[Line2D([], [], **CROSS)], loc="upper right", fontsize=8, frameon=False)
    return drawn


def shown_names(atlas: Atlas) -> tuple[str, ...]:
    """What the coordinates of the points are called: of periodic boxes, where `read_h` is the coordinate h itself, h."""
    own = set(map(str, atlas.parametrising[0].inverse.variables))
    return tuple(bare if (bare := name.removeprefix("read_")) in own else name for name in atlas.coordinates)


def _ranges(corners: Array, names: tuple[str, ...]) -> str:
    """Between which numbers the surface lies, for it is drawn without scales."""
    low, high = corners.min((0, 1)), corners.max((0, 1))
    parts = []
    for name, a, b in zip(names, low, high, strict=True):
        digits = DIGITS - int(np.floor(np.log10(b - a))) if b > a else DIGITS
        start, end = (f"{round(float(v), digits) + 0.0:.12g}".replace("-", "−") for v in (a, b))
        parts.append(f"{name} from {start} to {end}")
    return ", ".join(parts)


def surface_patches(atlas: Atlas, faces: int) -> list[_Patch]:
    """Small quadrilaterals that cover M, each drawn in the chart, or the few charts, in which it lies deepest of those that can draw it."""
    side = int(np.clip(np.sqrt(faces / len(atlas.parametrising)), 12, 120))
    every = [_whole(atlas, i, side) for i in range(len(atlas.parametrising))]
    return [replace(patch, kept=patch.kept & _corners(_is_deepest(atlas, every, patch)).any(0)) for patch in every]


def _whole(atlas: Atlas, number: int, side: int) -> _Patch:
    """All quadrilaterals that a chart can draw."""
    chart = atlas.parametrising[number]
    lines = [np.linspace(low, high, side + 1) for low, high in zip(chart.domain.lower, chart.domain.upper, strict=True)]
    inside, u = continued(chart, np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1))
    with np.errstate(all="ignore"):
        base = chart.inverse(u)
    kept = chart.inside((u[:-1, :-1] + u[1:, 1:]) / 2) & _corners(np.asarray(np.isfinite(base).all(-1))).all(0)
    # Where M ends, quadrilaterals reach just to its edge; elsewhere another chart goes on.
    kept &= _corners(inside).any(0) if chart.edge else _corners(inside).all(0)
    return _Patch(number, u, base, kept)


def _is_deepest(atlas: Atlas, every: list[_Patch], patch: _Patch) -> NDArray[np.bool_]:
    """At which points (n, n) of its grid no chart that draws the point has a larger bump.

    A chart draws a point if its quadrilateral about it is one: what a deeper chart does not draw would be a hole.
    """
    rows = np.flatnonzero(_touched(patch.kept))
    base = patch.base.reshape(-1, patch.base.shape[-1])[rows]
    with np.errstate(all="ignore"):
        bumps = np.stack([atlas.partition.bump(chart, base) for chart in atlas.parametrising], axis=-1)
    own = bumps[:, patch.chart]
    lost = np.zeros(len(base), bool)
    for other in every:
        chart, n = atlas.parametrising[other.chart], len(other.kept)
        deeper = np.flatnonzero((bumps[:, other.chart] > own) & ~lost)
        if chart.forward is None:
            lost[deeper] = True
        elif len(deeper):
            with np.errstate(all="ignore"):
                place = (chart.forward(base[deeper]) - chart.domain.lower) / chart.domain.widths * n
            i, j = np.clip(np.nan_to_num(place), 0, n - 1).astype(int).T
            lost[deeper] = other.kept[i, j]
    found = np.zeros(patch.base.shape[:2], bool)
    found.ravel()[rows] = ~lost
    return found


def _touched(kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The points of a grid that are corners of some quadrilaterals, (n − 1, m − 1) to (n, m)."""
    found = np.zeros((kept.shape[0] + 1, kept.shape[1] + 1), bool)
    for part in (found[:-1, :-1], found[1:, :-1], found[1:, 1:], found[:-1, 1:]):
        part |= kept
    return found


def _cut_errors(model: Model, patches: list[_Patch], cells: Cells, quads: Array, error: Array) -> tuple[list[Array], Array]:
    """Quadrilaterals with their errors; where routes change within one, its parts, each with the largest error about its middle.

    Errors jump where routes do, so that whole quadrilaterals would make edges of cells ragged.
    """
    counts = [int(patch.kept.sum()) for patch in patches]
    starts = np.cumsum([0, *counts[:-1]])
    whole = np.concatenate([start + np.tile(np.arange(count), 2) for start, count in zip(starts, counts, strict=True)])[cells.source]
    one = np.zeros(len(quads), np.intp)
    one[whole] = cells.owners
    mixed = np.zeros(len(quads), bool)
    mixed[whole[cells.owners != one[whole]]] = True
    parts = np.flatnonzero(mixed[whole])
    patch_of = np.repeat(np.arange(len(patches)), counts)[whole[parts]]
    polygons = [cells.polygons[part] for part in parts]
    within = np.empty(len(parts))
    for number in np.unique(patch_of):
        rows = np.flatnonzero(patch_of == number)
        # Of a part with three corners the last counts twice.
        corners = np.array([polygons[row][[0, 1, 2, -1], 3:] for row in rows])
        about = (corners + corners.mean(1, keepdims=True)) / 2
        within[rows] = evaluate(model, patches[number].chart, about.reshape(-1, 2)).error.reshape(-1, 4).max(1)
    return [*quads[~mixed], *(polygon[:, :3] for polygon in polygons)], np.concatenate([error[~mixed], within])


def _corners(values: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What points of a grid have, at the four corners of every quadrilateral: (n, m) to (4, n − 1, m − 1)."""
    return np.stack([values[:-1, :-1], values[1:, :-1], values[1:, 1:], values[:-1, 1:]])


def triangles_of(patches: list[_Patch]) -> tuple[Array, NDArray[np.intp]]:
    """All points of the grids (P, k), and the triangles (N, 3) of the quadrilaterals that are drawn."""
    points, triangles, start = [], [], 0
    for patch in patches:
        n, m = patch.base.shape[:2]
        kept = np.tile(patch.kept.ravel(), 2)
        triangles.append(start + grid_triangles(n, m)[kept])
        points.append(patch.base.reshape(n * m, -1))
        start += n * m
    return np.concatenate(points), np.concatenate(triangles)


def _centers(patch: _Patch) -> Array:
    """The middle of every quadrilateral that is drawn, (N, 2)."""
    return ((patch.grid[:-1, :-1] + patch.grid[1:, 1:]) / 2)[patch.kept]


def _quarters(atlas: Atlas, patch: _Patch) -> Array:
    """The middles of the quarters of every quadrilateral that is drawn, (4N, 2)."""
    chart, middle = atlas.parametrising[patch.chart], _centers(patch)
    offsets = np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)]) * chart.domain.widths / (4 * (len(patch.grid) - 1))
    fine = middle[:, None] + offsets
    fine = np.where(chart.inside(fine)[..., None], fine, middle[:, None])
    return np.asarray(fine.reshape(-1, 2))


def shade(corners: Array) -> Array:
    """How light faces (N, 3 or 4, 3) are, (N,)."""
    normal = np.cross(corners[:, 2] - corners[:, 0], corners[:, -1] - corners[:, 1])
    length = np.linalg.norm(normal, axis=1)
    return np.asarray(0.72 + 0.28 * np.abs(normal @ LIGHT) / np.where(length > 0, length, 1))


def surface(axes: Any, polygons: Any, colors: Array, view: tuple[float, float], names: tuple[str, ...]) -> None:
    """Polygons in space, with three short axes that say which coordinate is which."""
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection  # type: ignore[import-untyped]

    # All polygons in one collection, because only within one are they sorted by depth; and all with four corners, because
    # matplotlib fills up shorter ones with whatever numbers it finds when it looks for the limits of the axes.
    corners = np.array([poly if len(poly) == 4 else [*poly, poly[-1]] for poly in polygons])
    axes.add_collection3d(Poly3DCollection(corners, facecolors=colors, edgecolors=colors, linewidths=0.3))
    low, high = corners.min((0, 1)), corners.max((0, 1))
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]))
    aspect = np.maximum(high - low, 1e-3)
    seen = np.ptp(corners.reshape(-1, 3) @ np.stack(_screen(view), 1), axis=0)
    axes.set_box_aspect(aspect, zoom=FILLED * float(np.linalg.norm(aspect)) / max(float(seen.max()), 1e-3))
    axes.set_proj_type("ortho")
    axes.view_init(*view)
    axes.set_axis_off()
    _triad(axes, view, names)


def _screen(view: tuple[float, float]) -> tuple[Array, Array]:
    """Unit vectors to the right and upwards of the picture."""
    elevation, azimuth = np.radians(view)
    right = np.array([-np.sin(azimuth), np.cos(azimuth), 0.0])
    return right, np.array([-np.sin(elevation) * np.cos(azimuth), -np.sin(elevation) * np.sin(azimuth), np.cos(elevation)])


def _triad(axes: Any, view: tuple[float, float], names: tuple[str, ...]) -> None:
    """Three named axes in the corner of the picture, as they are seen."""
    from matplotlib.lines import Line2D

    right, up = _screen(view)
    for k, name in enumerate(names):
        x, y = AXES * right[k], AXES * up[k]
        # Away from the corner, so that long names do not meet.
        sideways = "center" if abs(right[k]) < LEVEL else "left" if right[k] > 0 else "right"
        upwards = "center" if abs(up[k]) < LEVEL else "bottom" if up[k] > 0 else "top"
        axes.add_artist(Line2D([CORNER, CORNER + x], [CORNER, CORNER + y], transform=axes.transAxes, color="#777777", linewidth=0.8))
        axes.text2D(
            CORNER + 1.15 * x, CORNER + 1.15 * y, name, transform=axes.transAxes, fontsize=7, color="#555555", ha=sideways, va=upwards
        )


def _mark(axes: Any, point: Array, corners: Array, view: tuple[float, float]) -> None:
    """A cross at the worst point, on the side that it can be seen from."""
    elevation, azimuth = np.radians(view)
    toward = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    if (point - corners.mean((0, 1))) @ toward >= 0:
        lifted = point + 0.02 * np.ptp(corners, axis=(0, 1)).max() * toward
        axes.plot(*lifted[:, None], **CROSS, zorder=10)
