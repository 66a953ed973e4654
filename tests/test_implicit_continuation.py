"""Charts without an edge: whole components in spaces of many coordinates, shown twice, and what is missing where one is left out."""

from __future__ import annotations

import numpy as np
import pytest
from atlasmoe.atlas import Atlas
from atlasmoe.atlas.implicit.build import implicit, of_tubes
from atlasmoe.atlas.implicit.continuation import continued
from atlasmoe.atlas.implicit.grow import grown
from atlasmoe.atlas.implicit.zeros import ZeroSet
from atlasmoe.expressions import Box, ExpressionMap
from atlasmoe.expressions.frames import Frames
from atlasmoe.expressions.parse import read_expression, real_symbols
from atlasmoe.verify.check.edges import whole_components

NAMES = list("xyztab")
CIRCLES = ["x**2 + y**2 - 1", "z**2 - 1/4", "t - x*y", "a - y*z", "b - x**2"]
"""Two curves, one for each sign of z."""


@pytest.fixture(scope="module")
def upper() -> Atlas:
    return implicit(CIRCLES, [[-1.5, 1.5]] * 6, coordinates=NAMES, component=[1, 0, 0.5, 0, 0, 1])


def test_charts_grow_over_the_component_that_is_meant_and_no_other(upper: Atlas) -> None:
    assert upper.implicit is not None
    assert not upper.implicit.aside
    tubes = [chart.tube for chart in upper.parametrising if chart.tube is not None]
    assert all(abs(tube.center[2] - 0.5) < 1e-9 for tube in tubes)
    assert continued(upper.implicit.zeros, tubes).open is None
    assert whole_components(upper)


def test_a_chart_that_is_left_out_is_missed(upper: Atlas) -> None:
    """At the point that is named, which lies on the edge of a chart and, strictly, in no other."""
    assert upper.implicit is not None
    tubes = [chart.tube for chart in upper.parametrising if chart.tube is not None]
    needed = 0
    for n in range(0, len(tubes), 4):
        rest = tubes[:n] + tubes[n + 1 :]
        done = continued(upper.implicit.zeros, rest)
        held = whole_components(of_tubes(upper.implicit.zeros, rest, [], boundary=False))
        assert held == (done.open is None)
        if done.open is not None:
            needed += 1
            inside = [np.abs(tube.tangent.T @ (done.open - tube.center)) < np.array(tube.halves) * (1 - 1e-9) for tube in rest]
            assert np.abs(np.array(upper.implicit.zeros.equations(done.open[None]))).max() < 1e-9
            assert not any(
                part.all() and (np.abs(tube.normal.T @ (done.open - tube.center)) < tube.heights).all()
                for part, tube in zip(inside, rest, strict=True)
            )
    assert needed


def test_a_component_ends_where_the_region_does() -> None:
    x = real_symbols(NAMES)
    region = ExpressionMap.of(x.values(), [read_expression("x + 1/2", x)])
    half = implicit(CIRCLES, [[-1.5, 1.5]] * 6, coordinates=NAMES, component=[1, 0, 0.5, 0, 0, 1], region=region)
    assert half.implicit is not None
    tubes = [chart.tube for chart in half.parametrising if chart.tube is not None]
    assert continued(half.implicit.zeros, tubes).open is None
    assert whole_components(half)
    assert min(tube.center[0] for tube in tubes) > -0.6


def test_charts_of_a_surface_grow_from_one_until_they_hold_all_of_it() -> None:
    """A sphere in six coordinates, from one point: every sampled zero is in a chart, and without the charts around one it is missed."""
    x = real_symbols(NAMES)
    texts = ["x**2 + y**2 + z**2 - 1", "t - x*y/2", "a - y*z/2", "b - x/2"]
    zeros = ZeroSet(ExpressionMap.of(x.values(), [read_expression(text, x) for text in texts]), Box((-1.5,) * 6, (1.5,) * 6))
    tubes, done = grown(zeros, np.array([[1.0, 0, 0, 0, 0, 0.5]]), 0.85, 0.97, (3e-3, 1.5), 100)
    assert done.open is None
    held = Frames.of(tubes).holds(zeros.sample(2000, 0))
    assert held.any(0).all()
    assert held.sum(0).mean() < 5
    lone = int((held & (held.sum(0) == 1)).sum(1).argmax())
    assert continued(zeros, tubes[:lone] + tubes[lone + 1 :]).open is not None
