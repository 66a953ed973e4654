"""Ranges of a graph's components: enclosed over the part of a chart's box where its region is positive, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from atlasmoe import Atlas, Block, Box, Chart, Combine, Input, InvalidArgument, TaskGraph, builtin, compile, verify
from atlasmoe.atlas.graph import expression_map
from atlasmoe.constructions.ranges import domains, reachable, steepness


def on_the_sphere(expression: str = "s_1*s_2 + s_3**2") -> TaskGraph:
    """Graph charts have a square root of 1 − |u|², which is not real in the corners of their boxes."""
    sphere = builtin("sphere", atlas="graph")
    return TaskGraph("g", (Input("s", sphere), Block.parse("f", ("s_1", "s_2", "s_3"), sphere, expression)), "f")


def test_ranges_over_regions_are_finite_and_hold_sampled_values() -> None:
    graph = on_the_sphere()
    found = reachable(graph)
    trace = graph.trace(graph.sample(20_000, 0))
    for name, values in trace.values.items():
        assert found[name].least <= values.min()
        assert found[name].most >= values.max()
        assert found[name].most - found[name].least < 1.1 * (values.max() - values.min())
    bounds = steepness("f", domains(graph.blocks[0]))
    u = np.random.default_rng(0).uniform(-1, 1, (20_000, 2))
    for part in domains(graph.blocks[0]):
        inside = u[part.region(u)[:, 0] > 0]
        assert (np.abs(part.function.jacobian_at(inside)[:, 0]).max(0) <= bounds[0]).all()
    assert bounds.max() < 30


def test_a_graph_on_charts_with_a_region_compiles() -> None:
    model = compile(on_the_sphere("(s_1 + s_3)/2"), epsilon=0.3, routing="plateau")
    assert model.ledger.holds
    assert verify(model, samples=20_000).holds


def strip(region: str, inverse: str) -> TaskGraph:
    """A plane in one chart, with one coordinate bent."""
    variables = ("u", "v")
    chart = Chart(
        "only",
        Box((-1, -1), (1, 1)),
        expression_map(variables, ("u", inverse)),
        boundary=((True, True), (True, True)),
        region=expression_map(variables, region),
        partition=expression_map(("x", "y"), "1"),
    )
    atlas = Atlas(("x", "y"), (chart,))
    return TaskGraph("strip", (Input("p", atlas, ("x", "y")), Block.parse("f", ("x", "y"), atlas, "x")), "f")


def test_cells_on_the_edge_are_halved_until_they_leave_what_is_undefined() -> None:
    found = reachable(strip("u + v - 1e-3", "v + 1e-2*log(u + v)"))
    assert -1.1 < found["y"].least <= -1 + 1e-2 * np.log(1e-3)
    assert np.isfinite(found["y"].most)


def test_the_cell_that_cannot_be_bounded_is_named() -> None:
    with pytest.raises(InvalidArgument, match=r'input "p": its range cannot be bounded \(no finite enclosure on \[.*\] × \[.*\]\); keep'):
        reachable(strip("u + v", "v + 1e-2*log(u + v)"))
    t = Input("t", Box((-1,), (1,)))
    pole = TaskGraph("pole", (t, Block.parse("a", ("t",), t.domain, "t"), Combine.parse("f", ("a",), "1/a")), "f")
    with pytest.raises(InvalidArgument, match=r'combine "f": its range cannot be bounded \(no finite enclosure on \[.*\]\)'):
        reachable(pole)
