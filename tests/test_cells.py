"""report/: cells of routes with traced edges, colours that tell neighbours apart, axes and marks that say what they are."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import atlasmoe
import numpy as np
import pytest
import sympy
from atlasmoe import Block, Input, Tiling, builtin
from atlasmoe.atlas import Box, ExpressionMap, ExpressionTarget, ManifoldTask, TaskGraph
from atlasmoe.atlas.graph import as_graph
from atlasmoe.doctor.diagnosis import Bars, Diagnosis
from atlasmoe.moe.ledger import Known
from atlasmoe.moe.model import Model
from atlasmoe.report import figure
from atlasmoe.report.cells import cut, grid_triangles, told_apart
from atlasmoe.report.evaluation import shown_charts
from atlasmoe.verify.sample import verify
from atlasmoe.verify.sample.report import WorstPoint

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
    first = np.array([polygon[0] for polygon in cells.polygons])
    assert np.abs(first * (SIDE - 1) - np.rint(first * (SIDE - 1))).max() < 1e-9, "every part begins with a corner of its triangle"
    assert (routes(first) == cells.routes[cells.owners]).all(), "which is in its cell"
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
    kept, parted = layers.cut, surfaces._cut_errors
    monkeypatch.setattr(layers, "cut", lambda *args: seen.append(kept(*args)) or seen[-1])
    monkeypatch.setattr(surfaces, "_cut_errors", lambda *args: seen.append((args, parted(*args))) or seen[-1][1])
    drawn = figure(sphere, verify(sphere, samples=200))
    cells, ((_, _, _, quads, before), (parts, errors)) = seen
    assert len(parts) == len(errors) > len(quads)
    assert max(errors) <= 1.05 * max(before)
    colors = cells.colors(16)
    assert len(cells.pairs) >= 16
    assert all((colors[i] != colors[j]).any() for i, j in cells.pairs)
    for axes in drawn.axes[:6]:
        assert {"x1", "x2", "x3"} <= {text.get_text() for text in axes.texts}
    assert "16 experts" in drawn.axes[4].get_legend().get_texts()[0].get_text()


def test_faces_of_a_page_lie_in_one_cell_each(sphere: Model) -> None:
    from atlasmoe.report.evaluation import gauge_of, routes_at
    from atlasmoe.report.page import places

    graph = as_graph(sphere.task)
    shape = places._shape(sphere, gauge_of(sphere), graph, 0, 1200)
    u, chart = shape.points.intrinsic, shape.points.chart[:, 0]
    assert (chart[shape.cells] == chart[shape.cells[:, :1]]).all()
    same = []
    for number in np.unique(chart):
        faces = shape.cells[chart[shape.cells[:, 0]] == number]
        middle = np.array([np.unique(u[face], axis=0).mean(0) for face in faces])
        same.append(routes_at(sphere, number, middle) == routes_at(sphere, number, u[faces[:, 0]]))
    assert np.concatenate(same).mean() > 0.95, "of the mesh before, two faces in five lie in several"
    colors = places._colors(sphere, shape)
    assert colors is not None
    assert len(shape.neighbours) >= 16
    assert all(colors[i] != colors[j] for i, j in shape.neighbours)


def test_of_many_charts_the_one_with_the_worst_point_is_shown() -> None:
    domain = builtin("circle", charts=9)
    chart = domain.parametrising[7]
    base = chart.inverse(np.array([[0.1]]))[0]
    worst = WorstPoint("total", 1.0, tuple(base.tolist()), (0.1,), chart.name, "", "uniform")
    report = SimpleNamespace(worst={"total": worst})
    assert [number for number, _ in shown_charts(domain, None, 6)] == [0, 1, 2, 3, 4, 5]
    assert [number for number, _ in shown_charts(domain, report, 6)] == [0, 1, 2, 3, 4, 7]
    assert [number for number, _ in shown_charts(domain, report, 9)] == list(range(9))


def test_cells_of_maps_bear_the_names_of_experts(monkeypatch: pytest.MonkeyPatch) -> None:
    from atlasmoe.report import maps

    monkeypatch.setattr(maps, "PIXELS", 24)
    x = sympy.symbols("x1:5", real=True)
    torus = ManifoldTask("torus", builtin("torus", atlas="ball", charts=24), ExpressionTarget(ExpressionMap(x, (x[0] * x[2],))))
    drawn = figure(atlasmoe.compile(torus, width=8))
    names = {text.get_text() for axes in drawn.axes for text in axes.texts}
    assert len({name for name in names if name.startswith("ball")}) > 12
    said = {text.get_text() for text in drawn.legends[0].get_texts()}
    assert said == {"24 experts, neighbours in different colours", "names: the expert"}


def test_figures_of_the_doctor_name_their_axes() -> None:
    from atlasmoe.report.health_figures import draw

    bars = Bars("gate: E·p_i", ("expert 0", "expert 1", "expert 2"), np.array([2.0, 1.0, 0.0]), 1.25, "capacity", (0, 2))
    drawn = draw(Diagnosis("load", "gate", "", 2.0, "<=", 1.25, "E·max p_i", "", "", Known.SAMPLED, picture=bars))
    axes = drawn.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title(loc="left")) == ("expert", "E·pᵢ", "gate: E·pᵢ")
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "1", "2"]
    assert {text.get_text() for text in drawn.legends[0].get_texts()} == {"what is ill", "what is ill, at 0", "capacity"}
    assert drawn.get_suptitle() == "ill: E·max pᵢ 2, healthy if ≤ 1.25"


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


def test_names_and_colours_follow_the_pieces_not_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate has the pieces of intervals from the last to the first, routes number them from the first to the last."""
    from atlasmoe.report import maps

    monkeypatch.setattr(maps, "PIXELS", 16)
    block = Block.parse("price", ("hour",), Tiling.intervals((0, 3, 24)), ["hour", "3"])
    graph = TaskGraph("day", (Input("hour", Box((0,), (24,))), Input("load", Box((0,), (1,))), block), "price")
    drawn = figure(model := atlasmoe.compile(graph, epsilon=0.1))
    assert model.design.sites[0].pieces != block.names
    middles = [(float(path.vertices[:-1, 0].mean()), tuple(color[:3])) for path, color in _filled(drawn.axes[1])]
    cells = {(hour < 3, color) for hour, color in middles if abs(hour - 3) > 0.1}
    legend = {text.get_text(): handle.get_facecolor()[:3] for text, handle in _explained(drawn)}
    assert cells == {(True, legend["piece1"]), (False, legend["piece2"])}
    labels = {text.get_text(): text.get_position()[0] < 3 for text in drawn.axes[1].texts}
    assert labels == {"1": True, "2": False}


def _filled(axes: Any) -> list[tuple[Any, np.ndarray]]:
    from matplotlib.collections import PolyCollection

    (cells,) = [one for one in axes.collections if isinstance(one, PolyCollection)]
    return list(zip(cells.get_paths(), cells.get_facecolors(), strict=True))


def _explained(drawn: Any) -> list[tuple[Any, Any]]:
    (legend,) = drawn.legends
    pairs = zip(legend.get_texts(), legend.legend_handles, strict=True)
    return [(text, handle) for text, handle in pairs if text.get_text().startswith("piece")]


def test_surfaces_have_no_holes() -> None:
    """Every point lies in a quadrilateral of some chart, however few these have."""
    from atlasmoe.report.surfaces import surface_patches

    atlas = builtin("sphere", atlas="ball", charts=40)
    points = atlas.sample(2000, 3).base
    drawn = np.zeros(len(points), bool)
    for patch in surface_patches(atlas, 1500):
        chart, n = atlas.parametrising[patch.chart], len(patch.kept)
        u = chart.forward(points)
        rows = np.flatnonzero(chart.inside(u) & (np.linalg.norm(chart.inverse(u) - points, axis=-1) < 1e-9))
        i, j = ((u[rows] - chart.domain.lower) / chart.domain.widths * n).astype(int).clip(0, n - 1).T
        drawn[rows] |= patch.kept[i, j]
    assert drawn.all()


def test_legends_stay_within_their_figures() -> None:
    from atlasmoe.report.palette import legend_below
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    for names in ([f"piece{k}" for k in range(9)], ["a name that somebody thought about for long"] * 4, ["f"]):
        drawn = Figure(figsize=(7, 3), layout="constrained")
        drawn.subplots()
        legend_below(drawn, [Patch(label=name) for name in names])
        drawn.draw_without_rendering()
        box = drawn.legends[0].get_window_extent()
        assert 0 <= box.x0 < box.x1 <= drawn.bbox.width


def test_what_a_logarithmic_scale_cannot_show_is_counted() -> None:
    from atlasmoe.doctor.diagnosis import Spread
    from atlasmoe.report.health_figures import draw

    spread = Spread("margins", np.array([0.0, 0.0, 2.0, 30.0, np.inf]), 1.0, "margin", "1: above it the route is stable")
    drawn = draw(Diagnosis("margins", "gate", "", 0.0, ">", 1.0, "least margin", "", "", Known.SAMPLED, picture=spread))
    said = {text.get_text() for text in drawn.legends[0].get_texts()}
    assert {"not shown: 2 of 5 rows, which have 0", "not shown: 1 of 5 rows, which have no finite number"} < said


def test_no_panel_is_empty() -> None:
    """A block on pieces has no scores whose lead could be drawn."""
    block = Block.parse("rate", ("a", "b", "c"), Tiling.grid([[0, 1, 2], [0, 1], [0, 1]]), ["a", "2 - b"])
    inputs = [Input(name, Box((0,), (top,))) for name, top in (("a", 2), ("b", 1), ("c", 1))]
    drawn = figure(atlasmoe.compile(TaskGraph("three", (*inputs, block), "rate"), epsilon=0.1))
    assert len(drawn.axes) == 2
    assert all(axes.patches for axes in drawn.axes)
    assert [text.get_text() for text in drawn.axes[1].get_xticklabels()] in (["piece1", "piece2"], ["piece2", "piece1"])
