"""The manifolds of the library: a picture of each, and what is reached on it.

    python examples/manifolds.py                    # draws docs/images/manifolds/*.png
    python examples/manifolds.py sphere torus       # these alone
    python examples/manifolds.py --measure          # prints the table of docs/manifolds.md; three minutes

Every point has the colour of the chart in which it lies deepest, the one whose bump is largest. What has more than three coordinates, or
more than two dimensions, is projected or cut, and the picture says how.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
from atlasmoe.atlas import Atlas, ExpressionMap, ExpressionTarget, ManifoldTask, builtin
from atlasmoe.atlas.graph import expression_map
from atlasmoe.atlas.implicit.choose import chosen
from atlasmoe.atlas.implicit.zeros import ZeroSet
from atlasmoe.atlas.reach import reach_of
from atlasmoe.expressions.box import Box
from atlasmoe.report.cells import Cells, cut, grid_triangles
from atlasmoe.report.palette import FEW, INK, expert_colors
from atlasmoe.report.surfaces import VIEWS, shade, surface, surface_patches, triangles_of
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]
Map = Callable[[Array], Array]
FOLDER = Path(__file__).parents[1] / "docs" / "images" / "manifolds"
DPI, SIDE, POINTS, FACES = 120, 121, 6000, 12000
SEAM = 0.4
"""Angle at which the grid of a disc begins and ends: not where cells meet, for there their edge would be lost."""


@dataclass(frozen=True)
class Picture:
    """How one manifold is drawn: the whole surface or curve as `project` shows it; or, with `cut_at`, what a plane cuts out of it."""

    options: dict[str, Any] = field(default_factory=dict)
    project: Map = lambda y: y
    said: str = ""
    names: tuple[str, ...] = ("x1", "x2", "x3")
    cut_at: Map | None = None
    """Points (…, 2) of the plane to points of R^k; NaN where M is not cut."""
    inner: float = 0.0
    outer: float = 1.0
    """What is cut lies between circles of these radii."""
    cloud: bool = False
    faces: int = FACES
    """More where sheets run through each other, for the line in which they do is as fine as faces are."""


def from_the_pole(y: Array) -> Array:
    """The torus |(x1, x2)| = |(x3, x4)| = 1 lies on a sphere of radius √2 in R⁴, which projects to R³ from a point of it."""
    return np.asarray(y[..., :3] / (np.sqrt(2) - y[..., 3:]))


def rotations(u: Array) -> Array:
    """The rotation about the axis (u1, u2, 0) by the angle |u| ≤ π; [..., 2] to [..., 3, 3]."""
    vectors = np.concatenate([u, np.zeros((*u.shape[:-1], 1))], -1).reshape(-1, 3)
    matrices = Rotation.from_rotvec(vectors).as_matrix().reshape(*u.shape[:-1], 3, 3)
    return np.asarray(np.where((np.linalg.norm(u, axis=-1) <= np.pi)[..., None, None], matrices, np.nan))


def disc_of(inner: float) -> Map:
    def points(u: Array) -> Array:
        r = np.linalg.norm(u, axis=-1, keepdims=True)
        return np.where((inner <= r) & (r <= 1), np.stack([u[..., 0], np.zeros_like(u[..., 0]), u[..., 1]], -1), np.nan)

    return points


POLE = "stereographic projection from S³(√2) to (y1, y2, y3)"
TURNS = "rotations about axes in a plane: the vector axis·angle, |·| ≤ π; opposite points of the edge are the same"
PICTURES: dict[str, Picture] = {
    "interval": Picture({"charts": 3}, said="with the partition of unity above it"),
    "box": Picture({"charts": 2}),
    "circle": Picture(),
    "sphere": Picture({"atlas": "graph"}),
    "ellipsoid": Picture(),
    "torus": Picture(project=from_the_pole, said=POLE, names=("y1", "y2", "y3")),
    "cylinder": Picture(),
    "swiss_roll": Picture(),
    "moebius_band": Picture(),
    "klein_bottle": Picture(project=lambda y: y[..., :3], said="projection along x4: in R⁴ the sheets do not meet"),
    "helicoid": Picture(),
    "disc": Picture(),
    "annulus": Picture(),
    "ball": Picture(cut_at=disc_of(0), said="cut by the plane x2 = 0", names=("x1", "x3")),
    "shell": Picture(cut_at=disc_of(0.5), said="cut by the plane x2 = 0", names=("x1", "x3"), inner=0.5),
    "spheres": Picture(
        project=from_the_pole, said="S¹ × S¹, stereographic projection from S³(√2) to (y1, y2, y3)", names=("y1", "y2", "y3")
    ),
    "real_projective": Picture(
        project=lambda y: y[..., [1, 2, 4]],
        said="RP²: √2·(ab, ac, bc) of lines (a, b, c), Steiner's surface",
        names=("x2", "x3", "x5"),
        faces=80_000,
    ),
    "complex_projective": Picture(
        project=lambda y: np.stack([y[..., 1], y[..., 2], (y[..., 0] - y[..., 3]) / np.sqrt(2)], -1),
        said="CP¹, isometric to a sphere of radius 1/√2",
        names=("x2", "x3", "(x1 − x4)/√2"),
    ),
    "grassmann": Picture(
        {"k": 2, "n": 4},
        project=lambda y: y[..., [0, 4, 7]],
        said="Gr(2, 4): P11, P22, P33 of random planes fill an octahedron",
        names=("P11", "P22", "P33"),
        cloud=True,
    ),
    "stiefel": Picture(
        cut_at=lambda u: rotations(u)[..., :2].reshape(*u.shape[:-1], 6), said=f"V_2(R³): {TURNS}", outer=np.pi, names=("u1", "u2")
    ),
    "so3": Picture(cut_at=lambda u: rotations(u).reshape(*u.shape[:-1], 9), said=TURNS, outer=np.pi, names=("u1", "u2")),
    "se3": Picture(
        cut_at=lambda u: np.concatenate([rotations(u).reshape(*u.shape[:-1], 9), np.zeros((*u.shape[:-1], 3))], -1),
        said=f"without translation: {TURNS}",
        outer=np.pi,
        names=("u1", "u2"),
    ),
    "graph": Picture({"expression": "sin(2*u1)*u2/2", "charts": 2}, said="x3 = sin(2·x1)·x2/2"),
    "product": Picture({"factors": [{"builtin": "circle", "charts": 3}, {"builtin": "interval", "charts": 2}]}, said="circle × interval"),
}


def deepest(atlas: Atlas, base: Array) -> NDArray[np.intp]:
    """The chart whose bump is largest, (N, 1)."""
    return np.asarray(atlas.bumps(np.where(np.isfinite(base), base, 0.0)).argmax(-1)[:, None])


def draw(name: str) -> Figure:
    """One manifold, its charts told apart."""
    picture = PICTURES[name]
    atlas = builtin(name, **picture.options)
    drawn = Figure(figsize=(3.0, 3.0), layout="constrained")
    colors: Array | None = None
    if atlas.dimension == 1:
        colors = expert_colors(len(atlas))
        _curve(drawn, atlas, colors)
    elif picture.cloud:
        colors = _cloud(drawn, atlas, picture)
    else:
        colors = _cells(drawn, atlas, picture)
    if len(atlas) <= len(FEW):
        handles = [Patch(color=color, label=chart) for color, chart in zip(colors, atlas.names, strict=True)]
    else:
        handles = [Patch(color="none", label=f"{len(atlas)} charts, neighbours in different colours")]
    columns = 2 if max(map(len, atlas.names)) > 9 else 4 if max(map(len, atlas.names)) < 7 else 3
    drawn.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=6, frameon=False, handlelength=1, handleheight=1)
    said = picture.said
    if said:
        drawn.suptitle("\n".join(_lines(said, 52)), fontsize=7, color=INK, x=0.02, ha="left")
    return drawn


def _lines(text: str, most: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, most)


def _curve(drawn: Figure, atlas: Atlas, colors: Array) -> None:
    """A curve in the plane; an interval with its partition of unity."""
    axes = drawn.subplots()
    for i, chart in enumerate(atlas.parametrising):
        u = np.linspace(chart.domain.lower[0], chart.domain.upper[0], 400)[:, None]
        base = chart.inverse(u)
        if atlas.base_dimension == 1:
            axes.plot(base[:, 0], atlas.rho(base)[:, i], color=colors[i], linewidth=1.5)
            axes.plot(base[:, 0], np.full(len(base), -0.08 * (i + 1)), color=colors[i], linewidth=3)
        else:
            mine = deepest(atlas, base)[:, 0] == i
            axes.plot(*np.where(mine[:, None], base, np.nan).T, color=colors[i], linewidth=3)
            axes.set_aspect("equal")
    if atlas.base_dimension == 1:
        axes.set_yticks(np.linspace(0, 1, 6))
    axes.set_xlabel("x1", fontsize=7)
    axes.set_ylabel("ρ; the charts below" if atlas.base_dimension == 1 else "x2", fontsize=7)
    axes.tick_params(labelsize=6)
    axes.spines[["top", "right"]].set_visible(False)


def _cloud(drawn: Figure, atlas: Atlas, picture: Picture) -> Array:
    """Random points, projected to space."""
    rng = np.random.default_rng(0)
    Y = np.linalg.qr(rng.standard_normal((POINTS, picture.options["n"], picture.options["k"])))[0]
    P = Y @ np.swapaxes(Y, 1, 2)
    j, k = np.triu_indices(P.shape[1])
    base = P[:, j, k] * np.where(j == k, 1, np.sqrt(2))
    colors = expert_colors(len(atlas))
    axes: Any = drawn.add_subplot(projection="3d")
    axes.scatter(*picture.project(base).T, c=colors[deepest(atlas, base)[:, 0]], s=1.5, linewidths=0)
    axes.tick_params(labelsize=5, pad=-3)
    axes.set_xlabel(picture.names[0], fontsize=6, labelpad=-8)
    axes.set_ylabel(picture.names[1], fontsize=6, labelpad=-8)
    axes.set_zlabel(picture.names[2], fontsize=6, labelpad=-8)
    axes.set_proj_type("ortho")
    axes.view_init(18, -60)
    return colors


def _cells(drawn: Figure, atlas: Atlas, picture: Picture) -> Array:
    """Surfaces, and what a plane cuts out of a solid."""
    if picture.cut_at is not None:
        r, angle = np.meshgrid(
            np.linspace(picture.inner, picture.outer, SIDE // 2) * (1 - 1e-12), SEAM + np.linspace(0, 2 * np.pi, 2 * SIDE)
        )
        r[:, 0] *= 1 + 2e-12
        u = np.stack([r * np.cos(angle), r * np.sin(angle)], -1).reshape(-1, 2)
        at = picture.cut_at
        triangles = grid_triangles(2 * SIDE, SIDE // 2)
        cells = cut(u, triangles, deepest(atlas, at(u)), lambda a, b, t: deepest(atlas, at((1 - t)[:, None] * u[a] + t[:, None] * u[b])))
        _plane(drawn, cells, len(atlas), picture.names)
        return cells_colors(cells, len(atlas))
    patches = surface_patches(atlas, picture.faces)
    base, triangles = triangles_of(patches)
    u = np.concatenate([patch.grid.reshape(-1, 2) for patch in patches])
    chart = np.repeat([patch.chart for patch in patches], [patch.grid.size // 2 for patch in patches])

    def between(a: NDArray[np.intp], b: NDArray[np.intp], t: Array) -> NDArray[np.intp]:
        at, found = (1 - t)[:, None] * u[a] + t[:, None] * u[b], np.empty((len(a), 1), np.intp)
        for number in np.unique(chart[a]):
            rows = chart[a] == number
            found[rows] = deepest(atlas, atlas.parametrising[number].inverse(at[rows]))
        return found

    points = picture.project(base)
    cells = cut(points, triangles, deepest(atlas, base), between)
    colors = cells_colors(cells, len(atlas))
    if points.shape[1] == 2:
        _plane(drawn, cells, len(atlas), ("x1", "x2"))
        return colors
    axes: Any = drawn.add_subplot(projection="3d")
    light = shade(points[triangles])[cells.source][:, None]
    surface(axes, cells.polygons, colors[cells.routes[cells.owners, 0]] * light, VIEWS["front"], picture.names)
    return colors


def cells_colors(cells: Cells, count: int) -> Array:
    """A colour for every chart, by its number."""
    found = np.ones((count, 3))
    found[cells.routes[:, 0]] = cells.colors(count)
    return found if count > len(FEW) else expert_colors(count)


def _plane(drawn: Figure, cells: Cells, count: int, names: tuple[str, ...]) -> None:
    axes = drawn.subplots()
    colors = cells_colors(cells, count)[cells.routes[cells.owners, 0]]
    axes.add_collection(PolyCollection(cells.polygons, facecolors=colors, edgecolors=colors, linewidths=0.6))
    axes.add_collection(LineCollection(list(cells.edges), colors="white", linewidths=0.8, capstyle="round"))
    axes.autoscale()
    axes.set_aspect("equal")
    axes.set_xlabel(names[0], fontsize=7)
    axes.set_ylabel(names[1], fontsize=7)
    axes.tick_params(labelsize=6)
    axes.spines[["top", "right"]].set_visible(False)


TWO_HOLES = "(x1*(x1 - 1)**2*(x1 - 2) + x2**2)**2 + x3**2 - 0.01"
"""Its zeros are a surface of genus 2: the boundary of what is near a figure of eight."""


def draw_genus_2() -> Figure:
    """Zeros of `TWO_HOLES`, each in the colour of the tangent chart in which it lies deepest; the charts hold all that were sampled."""
    names = ("x1", "x2", "x3")
    zeros = ZeroSet(expression_map(names, TWO_HOLES), Box((-1, -1.5, -0.5), (3, 1.5, 0.5)), None)
    points = zeros.sample(4000, 0)
    tubes = chosen(zeros, points, 0.85, (1e-3, 0.5), 4096)
    middle = ZeroSet(zeros.equations, Box((0.5, -0.5, -0.2), (1.5, 0.5, 0.2)), None)
    points = np.concatenate([zeros.sample(100_000, 1), middle.sample(30_000, 1)])
    depth = np.full((len(points), len(tubes)), -np.inf)
    for i, tube in enumerate(tubes):
        frames = tube.frames
        inside = frames.holds(points)[0]
        u = (points[inside] - frames.center[0]) @ frames.tangent[0]
        depth[inside, i] = (1 - np.abs(u) / frames.halves[0]).min(-1)
    normal = zeros.equations.jacobian_at(points)[:, 0]
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    light = 0.62 + 0.38 * np.clip(normal @ (np.array([0.3, -0.5, 0.8]) / 0.99), 0, 1)
    drawn = Figure(figsize=(3.0, 3.0), layout="constrained")
    axes: Any = drawn.add_subplot(projection="3d", proj_type="ortho")
    axes.scatter(*points.T, c=expert_colors(len(tubes))[depth.argmax(1)] * light[:, None], s=4, linewidths=0, depthshade=False)
    axes.set_xlim(-0.05, 2.05)
    axes.set_ylim(-0.65, 0.65)
    axes.set_zlim(-0.11, 0.11)
    axes.set_box_aspect((2.1, 1.3, 0.22), zoom=1.05)
    axes.set_axis_off()
    axes.view_init(52, -70)
    drawn.suptitle("zeros of (x1(x1 − 1)²(x1 − 2) + x2²)² + x3² = 0.01", fontsize=7, color=INK, x=0.02, ha="left")
    drawn.supxlabel(f"{len(tubes)} tangent charts, each in a colour of its own", fontsize=6)
    return drawn


CASES: list[tuple[str, dict[str, Any], dict[str, Any], bool | float]] = [
    ("klein_bottle", {"atlas": "ball", "charts": 80}, {"width": 8}, True),
    ("helicoid", {"atlas": "ball", "charts": 80}, {"width": 8}, True),
    ("disc", {"atlas": "ball", "charts": 12}, {"width": 8}, True),
    ("annulus", {"atlas": "ball", "charts": 24}, {"width": 8}, True),
    ("spheres", {"atlas": "ball", "charts": 40}, {"width": 8}, True),
    ("real_projective", {"atlas": "ball", "charts": 40}, {"width": 8}, True),
    ("complex_projective", {"atlas": "ball", "charts": 24}, {"width": 8}, True),
    ("grassmann", {"k": 2, "n": 3, "atlas": "ball", "charts": 40}, {"width": 8}, True),
    ("stiefel", {"k": 1, "n": 3, "atlas": "ball", "charts": 24}, {"width": 8}, True),
    ("ball", {"atlas": "ball", "charts": 40}, {"width": 8}, 0.14),
    ("shell", {"atlas": "ball", "charts": 80}, {"width": 8}, 0.09),
    ("stiefel", {"atlas": "ball", "charts": 80}, {"width": 8}, 1.2),
    ("complex_projective", {"dimension": 2}, {"width": 8, "routing": "hinge"}, 0.55),
]
"""Manifold, options, how f = x1·x2 is compiled, and whether that is proved here; a number: to this ε instead of the one of the model."""


def measure() -> None:
    """A row for each case: what is compiled, what sampling finds, what is proved, in how many CPU seconds."""
    import sympy

    print("| manifold | d in R^k | reach | experts | largest error sampled | proved for every point | CPU s |")
    print("|---|---|---|---|---|---|---|")
    for name, options, how, proved in CASES:
        start = time.process_time()
        atlas = builtin(name, **options)
        x = tuple(sympy.Symbol(each, real=True) for each in atlas.coordinates)
        model = atlasmoe.compile(ManifoldTask(name, atlas, ExpressionTarget(ExpressionMap(x, (x[0] * x[1],)))), **how)
        report = atlasmoe.verify(model, samples=2000)
        found = atlasmoe.certify(model, tightness=None, epsilon=None if proved is True else proved) if proved else None
        reach = reach_of(atlas)
        said = ", ".join(f"{key} = {value}" for key, value in options.items() if key not in ("atlas", "charts"))
        cells = [
            f"`{name}`" + (f", {said}" if said else ""),
            f"{atlas.dimension} in R^{atlas.ambient_dimension}",
            "–" if reach is None else f"{reach:.4g}",
            str(len(atlas)),
            f"{report['total'].bound:.3g}" + ("" if report.holds else " REFUTED"),
            "not tried" if found is None else f"{found.bound:.3g}" if found.status == "proved" else str(found.status),
            f"{time.process_time() - start:.0f}",
        ]
        print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *PICTURES, "genus_2"], help="manifolds to draw; all of them by default")
    parser.add_argument("--measure", action="store_true", help="print the table instead")
    asked = parser.parse_args()
    if asked.measure:
        measure()
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in asked.names or (*PICTURES, "genus_2"):
        (draw_genus_2() if name == "genus_2" else draw(name)).savefig(FOLDER / f"{name}.png", dpi=DPI)
        print(FOLDER / f"{name}.png", flush=True)


if __name__ == "__main__":
    main()
