"""Task graphs: the oracle against formulas written out by hand, routes, interface points, samples of given routes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from atlasmoe import Block, Box, BoxPiece, Combine, Input, LintError, TaskGraph, Tiling, builtin, embed

KNOTS = (0.0, 1.0, 2.0, 3.0)


def experiment_2() -> TaskGraph:
    """f = f_{1,i}(x1)·f_{2,j}(x2) on [0, 3]²: Experiment II of the paper."""
    return TaskGraph(
        "experiment 2",
        (
            Input("x", Box((0, 0), (3, 3)), ("x1", "x2")),
            Block.parse("f1", ("x1",), Tiling.intervals(KNOTS), [f"{i}*({i - 1} - x1)*(x1 - {i})" for i in (1, 2, 3)]),
            Block.parse("f2", ("x2",), Tiling.intervals(KNOTS), [f"{i}*({i - 1} - x2)**2*(x2 - {i})**2" for i in (1, 2, 3)]),
            Combine.parse("f", ("f1", "f2"), "f1*f2"),
        ),
        "f",
    )


def test_the_oracle_is_the_formula() -> None:
    graph = experiment_2()
    x = graph.sample(2000, 0)
    i, j = np.floor(x).T + 1
    expected = i * (i - 1 - x[:, 0]) * (x[:, 0] - i) * j * (j - 1 - x[:, 1]) ** 2 * (x[:, 1] - j) ** 2
    np.testing.assert_allclose(graph(x)[:, 0], expected, atol=1e-12)
    np.testing.assert_array_equal(graph.trace(x).routes, np.floor(x))
    assert (graph.pieces, graph.subtasks, graph.outputs, graph.ambient_dimension) == (9, 6, 1, 2)


@pytest.mark.parametrize(("closed", "owners"), [("lower", [0, 1, 2, 2]), ("upper", [0, 0, 1, 2])])
def test_interface_points_belong_to_the_side_that_says_so(closed: str, owners: list[int]) -> None:
    tiling = Tiling.intervals(KNOTS, closed)
    inside = tiling.contains(np.array(KNOTS)[:, None])
    assert inside.sum(1).tolist() == [1, 1, 1, 1]
    assert inside.argmax(1).tolist() == owners


def test_precedence_routes_interface_points_of_grids_to_their_owners() -> None:
    tiling = Tiling.grid([(0, 0.3, 1), (0, 0.5, 0.7, 2)])
    points = np.array(list(itertools.product((0, 0.3, 1), (0, 0.5, 0.7, 2))))
    closed = ((points[:, None] >= tiling.lower) & (points[:, None] <= tiling.upper)).all(-1)
    assert tiling.precedence is not None
    first = [next(i for i in tiling.precedence if row[i]) for row in closed]
    np.testing.assert_array_equal(first, tiling.contains(points).argmax(1))
    assert (closed.sum(1) > 1).any()


def test_margin_is_the_distance_to_the_nearest_interface() -> None:
    tiling = Tiling.intervals((0, 1, 4))
    np.testing.assert_allclose(tiling.margin([[0.0], [0.75], [1.0], [1.5], [4.0]]), [1, 0.25, 0, 0.5, 3])


def test_outside_of_every_piece_the_value_is_nan() -> None:
    graph = experiment_2()
    assert np.isnan(graph([[3.1, 1.0]])).all()
    np.testing.assert_array_equal(graph.trace([[3.1, 1.0]]).routes, [[-1, 1]])


def test_every_route_has_a_point() -> None:
    graph = experiment_2()
    routes = np.array(list(itertools.product(range(3), repeat=2)))
    points, found = graph.sample_routes(routes, 0)
    assert found.all()
    np.testing.assert_array_equal(graph.trace(points).routes, routes)


def test_counts_beyond_64_bits_are_exact() -> None:
    nodes = [Input(f"x{l}", Box((0,), (8,))) for l in range(32)]
    blocks = [Block.parse(f"y{l}", (f"x{l}",), Tiling.intervals(range(9)), [f"{i}*x{l}" for i in range(8)]) for l in range(32)]
    total = Combine.parse("f", [f"y{l}" for l in range(32)], " + ".join(f"y{l}" for l in range(32)))
    graph = TaskGraph("wide", (*nodes, *blocks, total), "f")
    assert graph.pieces == 8**32 > 2**64
    routes = graph.draw_routes(300, 0)
    points, found = graph.sample_routes(routes, 1)
    assert found.all()
    np.testing.assert_array_equal(graph.trace(points).routes, routes)
    np.testing.assert_allclose(graph(points)[:, 0], (routes * points).sum(1))


def test_overlapping_inputs() -> None:
    """Blocks on (x1, x2) and (x2, x3): routes that need x2 in two pieces at once have no point."""
    halves = Tiling.grid([(0, 1), (0, 0.5, 1)])
    thirds = Tiling.grid([(0, 0.25, 1), (0, 1)])
    graph = TaskGraph(
        "overlap",
        (
            Input("x", Box((0, 0, 0), (1, 1, 1)), ("x1", "x2", "x3")),
            Block.parse("a", ("x1", "x2"), halves, ["x1 + x2", "x1*x2"]),
            Block.parse("b", ("x2", "x3"), thirds, ["x3 - x2", "x3**2"]),
            Combine.parse("f", ("a", "b"), ["a*b", "a - b"]),
        ),
        "f",
    )
    x = graph.sample(1000, 3, low_discrepancy=True)
    a = np.where(x[:, 1] < 0.5, x[:, 0] + x[:, 1], x[:, 0] * x[:, 1])
    b = np.where(x[:, 1] < 0.25, x[:, 2] - x[:, 1], x[:, 2] ** 2)
    np.testing.assert_allclose(graph(x), np.stack([a * b, a - b], axis=1))
    routes = np.array(list(itertools.product(range(2), repeat=2)))
    points, found = graph.sample_routes(routes, 0)
    assert found.tolist() == [True, True, False, True]
    np.testing.assert_array_equal(graph.trace(points[found]).routes, routes[found])


def test_a_binary_tree_of_depth_4() -> None:
    """16 leaves, each |x − knot| by two pieces; every inner node a product or a sum of its two children."""
    leaves = [Input(f"x{i}", Box((-1,), (1,))) for i in range(16)]
    blocks = [Block.parse(f"a0_{i}", (f"x{i}",), Tiling.intervals((-1, 0.1, 1)), [f"0.1 - x{i}", f"x{i} - 0.1"]) for i in range(16)]
    inner = []
    for level in range(1, 5):
        for i in range(16 >> level):
            pair = (f"a{level - 1}_{2 * i}", f"a{level - 1}_{2 * i + 1}")
            inner.append(Combine.parse(f"a{level}_{i}", pair, f"{pair[0]}*{pair[1]}" if level % 2 else f"{pair[0]} + {pair[1]}"))
    graph = TaskGraph("tree", (*inner, *blocks, *leaves), "a4_0")  # given from the root down: the order is found
    x = graph.sample(200, 0)
    a = np.abs(x - 0.1)
    for level in range(1, 5):
        a = a[:, 0::2] * a[:, 1::2] if level % 2 else a[:, 0::2] + a[:, 1::2]
    np.testing.assert_allclose(graph(x), a)
    assert graph.pieces == 2**16
    assert len(graph.order) == 16 + 16 + 15


def test_a_block_that_reads_an_earlier_block() -> None:
    graph = TaskGraph(
        "chain",
        (
            Input("t", Box((-2,), (2,))),
            Block.parse("s", ("t",), Tiling.intervals((-2, 0, 2)), ["t + 2", "t"]),
            Block.parse("f", ("s",), Tiling.intervals((0, 0.5, 2)), ["s**2", "-s"]),
        ),
        "f",
    )
    t = np.linspace(-2, 2, 401)
    s = np.where(t < 0, t + 2, t)
    np.testing.assert_allclose(graph(t[:, None])[:, 0], np.where(s < 0.5, s**2, -s))
    routes = graph.draw_routes(200, 0)
    points, found = graph.sample_routes(routes, 0)
    assert found.all()
    np.testing.assert_array_equal(graph.trace(points).routes, routes)


def test_mixed_manifolds() -> None:
    """Circle × sphere × interval, the circle in R^20; subtasks in ambient and in intrinsic coordinates."""
    circle, sphere = builtin("circle", charts=3), builtin("sphere")
    arcs = []
    for chart in circle.parametrising:
        (u,), (x, y) = chart.inverse.variables, chart.inverse.expressions
        arcs.append(type(chart.inverse)((u,), (x * y,)))
    graph = TaskGraph(
        "mixed",
        (
            Input("c", embed(circle, 20, 5)),
            Input("s", sphere),
            Input("t", Box((0,), (1,))),
            Block("a", ("c_1", "c_2"), circle, tuple(arcs)),
            Block.parse("b", ("s_1", "s_2", "s_3"), sphere, ["s_1 + s_2*s_3", "s_2*s_3 + s_1"]),
            Block.parse("d", ("t",), Tiling.intervals((0, 0.2, 1)), ["1", "2*t"]),
            Combine.parse("f", ("a", "b", "d", "t"), "a + b*d - t"),
        ),
        "f",
    )
    x = graph.sample(500, 0, low_discrepancy=True)
    assert x.shape == (500, 24)
    base = graph.unembed(x)
    assert graph.projection is not None
    np.testing.assert_allclose(base, x @ graph.projection.T, atol=1e-12)
    np.testing.assert_allclose(graph.embed(base), x, atol=1e-12)
    c1, c2, s1, s2, s3, t = base.T
    expected = c1 * c2 + (s1 + s2 * s3) * np.where(t < 0.2, 1, 2 * t) - t
    np.testing.assert_allclose(graph(x)[:, 0], expected, atol=1e-9)
    routes = graph.draw_routes(300, 2)
    points, found = graph.sample_routes(routes, 0)
    assert found.all()
    trace = graph.trace(points)
    for l, block in enumerate(graph.blocks):
        assert trace.valid[block.name][np.arange(300), routes[:, l]].all()


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(LintError) as caught:
        TaskGraph(
            "wrong",
            (
                Input("x", Box((0,), (1,))),
                Block.parse("a", ("b", "z"), Tiling.intervals((0, 1)), ["b*z"]),
                Block.parse("b", ("x",), Tiling((BoxPiece("p", Box((0,), (1,))), BoxPiece("q", Box((2,), (3,))))), "x"),
            ),
            "y",
        )
    wheres = [finding.where for finding in caught.value.findings]
    assert wheres == ['block "a": reads', "output", 'block "a"', 'block "b": pieces']
    assert caught.value.findings[-1].witness == (1.5,)
