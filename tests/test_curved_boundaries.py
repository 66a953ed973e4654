"""Manifolds that end at a region: M is where g ≥ 0, charts and bumps do not know of it, and nothing is said beyond."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
from atlasmoe.atlas import lint, load_task, task_from_spec, task_to_spec
from atlasmoe.atlas.cut import cut, misses
from atlasmoe.atlas.manifolds import builtin
from atlasmoe.atlas.manifolds.product import product
from atlasmoe.errors import InvalidArgument, Severity
from atlasmoe.expressions.maps import ExpressionMap
from atlasmoe.expressions.parse import read_expression, real_symbols
from atlasmoe.moe.ledger import Known

CAP = Path(__file__).parent.parent / "examples" / "paraboloid_cap.toml"
EPSILON = 0.25


def function(names, text):
    symbols = real_symbols(names)
    return ExpressionMap.of(symbols.values(), (read_expression(text, symbols),))


def errors(task):
    return [finding for finding in lint(task, samples=1024) if finding.severity is Severity.ERROR]


@pytest.fixture(scope="module")
def cap(tmp_path_factory):
    """The compiled cap, certified, and its folder."""
    model = atlasmoe.compile(load_task(CAP), epsilon=EPSILON)
    folder = atlasmoe.save(model, tmp_path_factory.mktemp("cap") / "model")
    certificate = atlasmoe.certify(model, epsilon=EPSILON)
    certificate.write(folder)
    return model, folder, certificate


def test_points_are_where_the_region_is_not_negative():
    task = load_task(CAP)
    points = task.atlas.sample(2000, 0)
    assert ((points.base[:, :2] ** 2).sum(1) <= 1).all()
    assert not errors(task)
    # The bumps of the two charts do not decay towards the circle, as they would towards the edge of a region of their own.
    angle = np.linspace(0, 2 * np.pi, 40)
    rim = np.stack([np.cos(angle), np.sin(angle), np.ones(40)], 1)
    assert (task.atlas.bumps(rim).max(1) > 1e-4).all()
    assert task.atlas.membership(rim).any(1).all()
    assert not task.atlas.membership(rim * [1.01, 1.01, 1.0201]).any()


@pytest.mark.parametrize(
    ("manifold", "region", "inside"),
    [
        ({"builtin": "sphere"}, "x3 - 1/4", lambda x: x[:, 2] >= 0.25),
        ({"builtin": "box", "dimension": 3, "domain": [[-1.1, 1.1], [-1.1, 1.1], [0, 1.1]]}, "1 - x1**2 - x2**2 - x3**2", None),
        ({"builtin": "box", "dimension": 2, "domain": [[-2.1, 2.1]] * 2, "charts": 2}, "Min(4 - x1**2 - x2**2, x1**2 + x2**2 - 1)", None),
        ({"builtin": "circle", "charts": 6}, "x2 + 1/10", lambda x: x[:, 1] >= -0.1),
        ({"builtin": "sphere", "atlas": "ball", "charts": 24, "seed": 3}, "x3", lambda x: x[:, 2] >= 0),
        ({"builtin": "sphere", "embed": {"dimension": 7}}, "x3", lambda x: x[:, 2] >= 0),
    ],
)
def test_manifolds_of_the_library_can_be_cut(manifold, region, inside):
    task = task_from_spec({"task": {"name": "t"}, "manifold": {**manifold, "region": region}, "target": {"expression": "x1*x2"}})
    points = task.atlas.sample(500, 1)
    assert (task.atlas.region(points.base)[:, 0] >= 0).all()
    if inside is not None:
        assert inside(points.base).all()
    assert task.atlas.membership(points.base).any(1).all()
    spec, arrays = task_to_spec(task)
    assert spec["manifold"]["builtin"] == manifold["builtin"]
    again = task_from_spec(spec, arrays=arrays)
    assert again.atlas.names == task.atlas.names
    np.testing.assert_array_equal(again.atlas.sample(50, 2).ambient, task.atlas.sample(50, 2).ambient)
    assert not errors(task)


def test_charts_without_a_point_are_left_out():
    half = cut(builtin("circle", charts=8), function(["x1", "x2"], "x2"), drop=True)
    assert 4 <= len(half) < 8
    assert (half.membership(half.sample(400, 0).base).any(1)).all()
    assert not any(map(misses, half.charts))
    with pytest.raises(InvalidArgument, match="negative on all"):
        cut(builtin("circle"), function(["x1", "x2"], "x2 - 3"), drop=True)


def test_what_cannot_be_cut_is_refused():
    names = ["x1", "x2", "x3"]
    g = function(names, "x3")
    with pytest.raises(InvalidArgument, match="has a region of its own"):
        cut(builtin("sphere", atlas="graph"), g)
    with pytest.raises(InvalidArgument, match="already"):
        cut(cut(builtin("sphere"), g), g)
    with pytest.raises(InvalidArgument, match="first, then cover"):
        cut(builtin("sphere", atlas="ball", charts=24), g)
    with pytest.raises(InvalidArgument, match="one function of"):
        cut(builtin("sphere"), function(["x", "y", "z"], "x"))
    with pytest.raises(InvalidArgument, match="then cut"):
        product(cut(builtin("sphere"), g), builtin("interval"))


def test_the_cap_is_certified_on_the_disc_and_confirmed(cap):
    model, folder, certificate = cap
    assert certificate.status is Known.PROVED
    assert certificate.bound <= EPSILON
    assert atlasmoe.check(str(folder)).holds
    points = model.task.atlas.sample(20_000, 7)
    assert np.abs(model(points.ambient) - model.task.evaluate(points)).max() <= certificate.bound


def test_what_lies_beyond_the_edge_does_not_count(cap):
    """A target that is 50 larger farther out has the same proof: boxes there are off M. With M going on, it is refuted."""
    model, _, _ = cap
    beyond = "sin(2*x) + z*y + Piecewise((50, x**2 + y**2 > 121/100), (0, True))"
    task = dataclasses.replace(model.task, target=atlasmoe.atlas.ExpressionTarget(function(["x", "y", "z"], beyond)))
    assert atlasmoe.certify(model.network, task, epsilon=EPSILON).status is Known.PROVED
    charts = tuple(dataclasses.replace(chart, region=None, edge=False) for chart in task.atlas.charts)
    whole = dataclasses.replace(task, atlas=dataclasses.replace(task.atlas, charts=charts, region=None))
    assert atlasmoe.certify(model.network, whole, epsilon=EPSILON).status is Known.REFUTED


def test_a_smaller_region_cannot_be_smuggled_into_a_certificate(cap, tmp_path):
    _, folder, _ = cap
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    spec = (copy / "task.toml").read_text(encoding="utf-8")
    (copy / "task.toml").write_text(spec.replace("1**2", "2**2"), encoding="utf-8")
    assert (copy / "task.toml").read_text(encoding="utf-8") != spec
    assert not atlasmoe.check(str(copy)).holds


def test_a_gap_between_charts_is_still_a_hole():
    task = load_task(CAP)
    left, right = task.atlas.charts
    narrow = dataclasses.replace(right, domain=dataclasses.replace(right.domain, lower=(0.4, -1.1)))
    atlas = dataclasses.replace(task.atlas, charts=(left, narrow))
    found = errors(dataclasses.replace(task, atlas=atlas))
    assert {finding.where for finding in found} == {'chart "left"', 'chart "right"'}
    assert all("covers" in finding.problem for finding in found)
