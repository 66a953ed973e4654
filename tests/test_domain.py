"""Atlases and tilings answer the same questions, and the answers mean the same."""

from __future__ import annotations

import numpy as np
import pytest
from atlasmoe import Atlas, Box, Input, Tiling, builtin
from atlasmoe.atlas import Domain
from atlasmoe.expressions import box_cells

DOMAINS = {
    "circle": builtin("circle", charts=5),
    "embedded sphere": builtin("sphere", atlas="ball", charts=24, embed={"dimension": 7}),
    "graph of a function": builtin("sphere", atlas="graph"),
    "intervals": Tiling.intervals([0, 0.5, 2, 3]),
    "grid": Tiling.grid([[0, 1, 4], [-1, 0, 1]], "upper"),
    "box": Input("p", Box((0, -1), (1, 1))).domain,
}


@pytest.mark.parametrize("name", DOMAINS)
class TestDomain:
    def test_points_lie_in_the_domain_and_are_what_their_charts_make(self, name: str) -> None:
        domain: Domain = DOMAINS[name]
        for low_discrepancy in (False, True):
            points = domain.sample(300, 3, low_discrepancy=low_discrepancy)
            assert points.base.shape == (300, domain.base_dimension) == (300, len(domain.coordinates))
            assert points.ambient.shape == (300, domain.ambient_dimension)
            assert points.intrinsic.shape == (300, domain.dimension)
            again = domain.parametrise(points.chart, points.intrinsic)
            assert np.array_equal(again.base, points.base)
            assert np.allclose(domain.unembed(points.ambient), points.base, atol=1e-14)
            for i, chart in enumerate(domain.parametrising):
                rows = points.chart == i
                assert chart.inside(points.intrinsic[rows]).all()
                assert np.array_equal(chart.inverse(points.intrinsic[rows]), points.base[rows])

    def test_the_owner_is_the_first_that_holds_the_point(self, name: str) -> None:
        domain: Domain = DOMAINS[name]
        base = domain.sample(300, 4).base
        inside = domain.membership(base)
        assert inside.shape == (300, len(domain))
        assert inside.any(1).all()
        assert np.array_equal(domain.owner(base), inside.argmax(1))
        assert (domain.margin(base) > 0).all()
        off = np.full((1, domain.base_dimension), 100.0)
        assert domain.owner(off)[0] == -1
        assert not domain.membership(off).any()

    def test_exclusive_domains_are_boxes_in_which_every_point_has_one_owner(self, name: str) -> None:
        domain: Domain = DOMAINS[name]
        assert domain.exclusive == (domain.box is not None) == isinstance(domain, Tiling)
        knots = [
            np.unique([b for c in domain.parametrising for b in (c.domain.lower[k], c.domain.upper[k])]) for k in range(domain.dimension)
        ]
        if domain.exclusive:
            corners = np.stack(np.meshgrid(*knots), -1).reshape(-1, domain.dimension)
            assert (domain.membership(corners).sum(1) == 1).all()
            if len(domain) > 1:
                between = np.array([piece.domain.upper for piece in domain.parametrising[:1]])
                assert domain.margin(between)[0] == 0

    def test_points_of_one_chart_lie_in_it(self, name: str) -> None:
        domain: Domain = DOMAINS[name]
        for i in {0, len(domain) - 1}:
            local, points = domain.sample_chart(i, 50, 5)
            assert local.shape == (50, domain.dimension)
            assert len(points) == 50
            assert domain.membership(points.base)[:, i].all()
            if domain.exclusive:
                assert np.array_equal(local, points.base)


def test_a_box_is_a_tiling_of_one_piece_named_like_its_input() -> None:
    node = Input("p", Box((0, -1), (1, 1)), ("a", "b"))
    assert node.domain is node.domain
    assert node.domain.names == ("p",)
    assert node.domain.coordinates == ("a", "b") == tuple(map(str, node.domain.parametrising[0].inverse.variables))
    assert node.box == node.manifold
    assert Input("s", DOMAINS["circle"]).box is None
    assert isinstance(Input("s", DOMAINS["circle"]).domain, Atlas)


def test_cells_fill_a_box_without_overlap() -> None:
    box = Box((0, -1, 2), (1, 3, 2.5))
    lower, upper = box.cells(100)
    assert lower.shape == upper.shape == (64, 3)
    assert np.isclose(np.prod(upper - lower, axis=1).sum(), np.prod(box.widths))
    assert (lower.min(0) == box.lower).all()
    assert (upper.max(0) == box.upper).all()
    middle = (lower + upper) / 2
    assert (((lower <= middle[:, None]) & (middle[:, None] <= upper)).all(-1).sum(1) == 1).all()
    flat = box_cells((0, 1), (1, 1), 8)
    assert flat[0].shape == (8, 2)
    assert (flat[0][:, 1] == 1).all()
    assert [side.tolist() for side in Box((0,) * 64, (1,) * 64).cells(4096)] == [[[0.0] * 64], [[1.0] * 64]]
