"""report/: cells of routes with traced edges, colours that tell neighbours apart, axes and marks that say what they are."""

from __future__ import annotations

import itertools
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
import sympy
from atlasmoe import Block, Input, Tiling, builtin
from atlasmoe.atlas import Box, ExpressionMap, ExpressionTarget, ManifoldTask, TaskGraph
from atlasmoe.moe.model import Model
from atlasmoe.report import figure
from atlasmoe.report.cells import cut, grid_triangles, told_apart
from atlasmoe.verify.sample import verify

pytest.importorskip("matplotlib")
SIDE = 21


@pytest.fixture(scope="module")
def sphere() -> Model:
    x = sympy.symbols("x1:4", real=True)
    task = ManifoldTask("sphere", builtin("sphere", atlas="ball", charts=16), ExpressionTarget(ExpressionMap(x, (x[0] * x[1],))))
    return atlasmoe.compile(task, width=8)


def grid() -> np.ndarray:
    line = np.linspace(0, 1, SIDE)
    return np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)


def area(polygon: np.ndarray) -> float:
    x, y = polygon.T
    return 0.5 * abs(x @ np.roll(y, 1) - y @ np.roll(x, 1))


def test_cells_of_a_voronoi_diagram_are_its_cells() -> None:
    centers = np.random.default_rng(3).uniform(0, 1, (12, 2))
    points = grid()

    def routes(at: np.ndarray) -> np.ndarray:
        return ((at[:, None] - centers) ** 2).sum(-1).argmin(1)[:, None]

    cells = cut(
        points, grid_triangles(SIDE, SIDE), routes(points), lambda a, b, t: routes((1 - t)[:, None] * points[a] + t[:, None] * points[b])
    )
    areas = np.array([area(polygon) for polygon in cells.polygons])
    assert areas.sum() == pytest.approx(1)
    middles = cells.edges.mean(1)
    distance = np.sort(np.linalg.norm(middles[:, None] - centers, axis=-1), axis=1)
    straight = distance[:, 2] - distance[:, 0] > 0.1  # where no third cell is near
    assert straight.sum() > 50
    assert (distance[:, 1] - distance[:, 0])[straight].max() < 2 / SIDE / 2**6, "edges run where two centres are equally near"
    fine = np.random.default_rng(0).uniform(0, 1, (40_000, 2))
    share = np.bincount(routes(fine)[:, 0], minlength=12) / len(fine)
    drawn = np.bincount(cells.routes[cells.owners, 0], weights=areas, minlength=12)
    np.testing.assert_allclose(drawn, share, atol=0.01)


def test_three_cells_meet_in_one_point_and_one_cell_has_no_edges() -> None:
    corners = np.array([[0.0, 0], [1, 0], [0, 1]])
    labels = np.array([[0], [1], [2]])
    cells = cut(corners, np.array([[0, 1, 2]]), labels, lambda a, b, t: np.where(t < 0.5, a, b)[:, None])
    assert sum(map(area, cells.polygons)) == pytest.approx(0.5)
    assert cells.pairs == {(0, 1), (0, 2), (1, 2)}
    np.testing.assert_allclose(cells.edges[:, 1], [[1 / 3, 1 / 3]] * 3, atol=2**-7)
    alone = cut(corners, np.array([[0, 1, 2]]), np.zeros((3, 1), int), lambda a, b, t: np.zeros((len(a), 1), int))
    assert alone.edges.shape == (0, 2, 2)
    assert alone.pairs == frozenset()


@pytest.mark.parametrize("count", [3, 9, 60])
def test_neighbours_have_different_colours(count: int) -> None:
    pairs = [(i, j) for i, j in itertools.combinations(range(count), 2) if (i * j + i + j) % 7 < 2]
    colors = told_apart(count, pairs)
    assert colors.shape == (count, 3)
    assert all((colors[i] != colors[j]).any() for i, j in pairs)
    clique = told_apart(11, itertools.combinations(range(11), 2))
    assert len(np.unique(clique, axis=0)) == 11


def test_cells_on_a_surface_are_told_apart_and_axes_named(sphere: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    from atlasmoe.report import layers, surfaces

    seen = []
    monkeypatch.setattr(surfaces, "FACES", 2000)
    kept = layers.cut
    monkeypatch.setattr(layers, "cut", lambda *args: seen.append(kept(*args)) or seen[-1])
    drawn = figure(sphere, verify(sphere, samples=200))
    (cells,) = seen
    colors = cells.colors(16)
    assert len(cells.pairs) >= 16
    assert all((colors[i] != colors[j]).any() for i, j in cells.pairs)
    for axes in drawn.axes[:6]:
        assert {"x1", "x2", "x3"} <= {text.get_text() for text in axes.texts}
    assert "16 experts" in drawn.axes[4].get_legend().get_texts()[0].get_text()


def test_maps_and_curves_name_their_axes_and_every_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    from atlasmoe.report import maps

    monkeypatch.setattr(maps, "PIXELS", 16)
    tiling = Tiling.grid([[0, 1, 2], [0, 2]])
    block = Block.parse("rate", ("hour", "load"), tiling, ["hour*load", "load"])
    graph = TaskGraph("rates", (Input("hour", Box((0,), (2,))), Input("load", Box((0,), (2,))), block), "rate")
    drawn = figure(atlasmoe.compile(graph, epsilon=0.1))
    assert [(axes.get_xlabel(), axes.get_ylabel()) for axes in drawn.axes[:3]] == [("hour", "load")] * 3
    x = sympy.symbols("x1 x2", real=True)
    ring = ManifoldTask("ring", builtin("circle", charts=3), ExpressionTarget(ExpressionMap(x, (x[0],))))
    model = atlasmoe.compile(ring, width=8, routing="hinge")
    curves = figure(model, verify(model, samples=200))
    assert [axes.get_xlabel() for axes in curves.axes[6:]] == ["u1"] * 3
    explained = {text.get_text() for text in curves.legends[0].get_texts()}
    assert explained >= {"f", "Ψ", "ε", "arc0", "arc1", "arc2", "background: the expert chosen"}


def test_a_plan_of_one_row_says_its_numbers(tmp_path: Path) -> None:
    from atlasmoe.report.frontier import draw

    x = sympy.Symbol("x1", real=True)
    task = ManifoldTask("line", builtin("interval"), ExpressionTarget(ExpressionMap((x,), (x**2,))))
    drawn = draw(atlasmoe.plan(task, epsilon=0.05, experts=[4]), tmp_path / "plan.png")
    width, costs, error = drawn.axes
    assert len(width.texts) == 1
    assert len(costs.texts) == 3
    assert [line.get_label() for line in width.lines if line.get_linestyle() == "--"] == []
    for axes in (width, costs, error):
        low, high = axes.get_ylim()
        assert 3 < high / low < 1000
