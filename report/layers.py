"""What figures of models in dimension two show: target, routes as cells, error; and the cells of a chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..atlas import Array, Chart
from ..atlas.graph import as_graph
from ..moe.model import Model
from ..verify.sample.report import counted
from .cells import Cells, cut
from .evaluation import outputs_of, pieces_of, routes_at
from .palette import ERROR_MAP, LIMIT, TARGET_MAP, cut_short, expert_handles, log_error

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.cm import ScalarMappable

DECADES = 3
"""Range of the error's colour scale below its largest value."""
HEADROOM = 0.2
"""Above ε and the largest error, so that ε can be read."""
CROSS: dict[str, Any] = {
    "marker": "x",
    "color": "#00d5ff",
    "markersize": 7,
    "markeredgewidth": 1.6,
    "linestyle": "none",
    "label": "worst found",
}


@dataclass(frozen=True, eq=False)
class Layer:
    """One quantity: its title, and the scale of its colours."""

    title: str
    scale: ScalarMappable
    beyond: str = "neither"
    """Which end of the scale stands for all that lies beyond it: "min" or "neither"."""


EDGE_STEPS = 10
"""Halvings until the edge of a chart is found between two points of a grid."""


def layers(model: Model, target: Array, error: Array) -> tuple[Layer, str, Layer]:
    """The target's first component, the title of the routes' picture, log₁₀ of the error."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    graph, names = as_graph(model.task), outputs_of(model)
    f = target[:, 0]
    level = log_error(error)
    top = float(np.nanmax(level))
    title = f"target {cut_short(names[0])}" + (f", the first of {len(names)}" if len(names) > 1 else "")
    routes = "routes" if model.design.alone else f"routes: {{}} of {counted(graph.pieces)} pieces"
    shown = ScalarMappable(Normalize(float(np.nanmin(f)), float(np.nanmax(f))), TARGET_MAP)
    wrong = ScalarMappable(Normalize(top - DECADES, max(top, float(np.log10(model.ledger.root.budget))) + HEADROOM), ERROR_MAP)
    said = "log₁₀ |f − Ψ|" if not graph.wanted else "log₁₀ of error/ε, largest target"
    return Layer(title, shown), routes, Layer(said, wrong, "min" if float(np.nanmin(level)) < top - DECADES else "neither")


def continued(chart: Chart, u: Array) -> tuple[NDArray[np.bool_], Array]:
    """Which points of a grid (…, 2) lie in a chart, and the grid, with those that do not drawn to its edge towards the nearest that do."""
    from scipy.ndimage import distance_transform_edt

    inside = chart.inside(u)
    if inside.all() or not inside.any():
        return inside, u
    nearest = distance_transform_edt(~inside, return_distances=False, return_indices=True)
    within, beyond = u[tuple(nearest)], u.copy()
    for _ in range(EDGE_STEPS):
        middle = (within + beyond) / 2
        held = chart.inside(middle)[..., None]
        within, beyond = np.where(held, middle, within), np.where(held, beyond, middle)
    return inside, within


def cells_of(model: Model, points: Array, triangles: NDArray[np.intp], grids: Sequence[tuple[int, Array]]) -> Cells:
    """The cells on triangles (N, 3) of points (P, D): those of some charts, (number, intrinsic coordinates), one after the other."""
    u = np.concatenate([grid for _, grid in grids])
    chart = np.repeat([number for number, _ in grids], [len(grid) for _, grid in grids])

    def routes(which: NDArray[np.intp], at: Array) -> NDArray[np.intp]:
        found = np.empty((len(at), len(pieces_of(model))), np.intp)
        for number, _ in grids:
            rows = which == number
            if rows.any():
                found[rows] = routes_at(model, number, at[rows])
        return found

    def between(a: NDArray[np.intp], b: NDArray[np.intp], t: Array) -> NDArray[np.intp]:
        return routes(chart[a], (1 - t)[:, None] * u[a] + t[:, None] * u[b])

    return cut(points, triangles, routes(chart, u), between)


def legend_of_routes(model: Model, cells: Cells) -> list[Artist]:
    """What the colours of cells mean: the experts of one block by name, or that neighbours differ."""
    from matplotlib.patches import Patch

    blocks = as_graph(model.task).blocks
    if len(blocks) == 1:
        return expert_handles(blocks[0].names)
    named = ", ".join(block.name for block in blocks[:3]) + (", …" if len(blocks) > 3 else "")
    return [Patch(color="none", label=f"a cell for every route through {named}; neighbours have different colours")]


def finish_bar(bar: Any, model: Model, error: bool, upright: bool = False) -> None:
    """Small numbers, and ε on the scale of the error."""
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_linewidth(0.5)
    if error:
        level = float(np.log10(model.ledger.root.budget))
        (bar.ax.axhline if upright else bar.ax.axvline)(level, color=LIMIT, linewidth=2, label="ε")
        at, coordinates = ((-0.15, level), ("axes fraction", "data")) if upright else ((level, 1), ("data", "axes fraction"))
        side = ("right", "center") if upright else ("center", "bottom")
        # Left out of the layout, so that this bar is as long and stands as high as the other.
        bar.ax.annotate("ε", at, xycoords=coordinates, fontsize=8, color=LIMIT, ha=side[0], va=side[1]).set_in_layout(False)
