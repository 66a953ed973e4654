"""Curvature and reach of manifolds that are given by equations: what is proved on charts, what is estimated, and where it is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from atlasmoe.atlas.implicit.build import implicit
from atlasmoe.atlas.implicit.curvature import curvature_radii
from atlasmoe.atlas.implicit.zeros import ZeroSet
from atlasmoe.atlas.manifolds.circle import circle
from atlasmoe.atlas.reach import estimated, measured
from atlasmoe.cli.main import main
from atlasmoe.expressions import Box, ExpressionMap
from atlasmoe.expressions.implicit import Tube, reflections
from atlasmoe.expressions.parse import read_expression, real_symbols
from click.testing import CliRunner

SPHERE = "x**2 + y**2 + z**2 - 1"


def functions(*texts: str, names: str = "xyz") -> ExpressionMap:
    symbols = real_symbols(names)
    return ExpressionMap.of(symbols.values(), [read_expression(text, symbols) for text in texts])


def tube(*texts: str, near: tuple[float, ...] = (0.6, 0.1, 0.8), half: float = 0.3, height: float = 0.2) -> Tube:
    g = functions(*texts, names="xyzt"[: len(near)])
    center = ZeroSet(g, Box((-2.0,) * len(near), (2.0,) * len(near))).projected(np.array([near]))[0]
    d = len(near) - len(texts)
    return Tube(g, tuple(center), reflections(g.jacobian_at(center)), (half,) * d, (height,) * len(texts))


def test_the_sphere_of_radius_1_has_curvature_radius_1_and_reach_1() -> None:
    one = tube(SPHERE)
    assert 0.8 <= curvature_radii([one])[0] <= 1
    points = np.random.default_rng(0).normal(size=(300, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    assert estimated(ZeroSet(one.equations, Box((-2.0,) * 3, (2.0,) * 3)), points) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("factor", ["1e300", "1e-290", "(2 + x)", "exp(z/4)"])
def test_it_is_the_same_for_equations_of_the_same_zeros(factor: str) -> None:
    assert 0.75 <= curvature_radii([tube(f"{factor}*({SPHERE})")])[0] <= 1


@pytest.mark.parametrize(("half", "height", "text"), [(0.3, 2.5, SPHERE), (0.3, 0.01, SPHERE), (0.3, 0.2, f"({SPHERE})**2 - 1e-30")])
def test_nothing_is_said_of_a_tube_that_is_not_proved(half: float, height: float, text: str) -> None:
    assert curvature_radii([tube(text, half=half, height=height)])[0] == 0


@pytest.mark.parametrize(
    ("texts", "near"),
    [
        ([SPHERE], (0.6, 0.1, 0.8)),
        (["x**3 + y**3 + z**3 + 1 - (x + y + z + 1)**3"], (0.9, 0.2, -0.3)),
        (["x*y*z - 1/10"], (0.5, 0.5, 0.4)),
        (["z - sin(3*x)*exp(y)"], (0.3, 0.2, 1.0)),
        (["x**2/9 + y**2 + 4*z**2 - 1"], (0.4, 0.9, 0.2)),
        (["x**2 + y**2 - 1", "z**2 + t**2 - 1/4"], (0.8, 0.6, 0.3, 0.4)),
        (["x**2 + y**2 + z**2 + t**2 - 1", "x*y - z/3 - t**2"], (0.5, 0.5, 0.5, 0.4)),
        (["x - y**2", "y - z**2"], (0.1, 0.3, 0.5)),
    ],
)
def test_no_point_of_a_chart_is_bent_more_than_is_proved(texts: list[str], near: tuple[float, ...]) -> None:
    """Against curvatures in floats, along random tangent vectors at random points; and the bound is no more than 2.5 times those."""
    one = tube(*texts, near=near, half=0.08, height=0.06)
    radius = curvature_radii([one])[0]
    assert radius > 0
    rng, (k, m), n = np.random.default_rng(0), (len(near), len(texts)), 10_000
    x = one.point(rng.uniform(-1, 1, (n, k - m)) * one.halves)
    jacobian = one.equations.jacobian_at(x)
    tangent = np.linalg.svd(jacobian)[2][:, m:]
    v = np.einsum("ndk,nd->nk", tangent, rng.normal(size=(n, k - m)))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    second = np.einsum("nlij,ni,nj->nl", one.equations.jacobian.jacobian_at(x).reshape(n, m, k, k), v, v)
    curvature = np.linalg.norm(np.einsum("nkl,nl->nk", np.linalg.pinv(jacobian), second), axis=1).max()
    assert curvature * (1 - 1e-9) <= 1 / radius <= 2.5 * curvature


def test_two_circles_are_nearer_to_each_other_than_they_are_bent() -> None:
    atlas = implicit(
        "((x - 6/5)**2 + y**2 - 1)*((x + 6/5)**2 + y**2 - 1)", [[-2.5, 2.5], [-1.5, 1.5]], coordinates=["x", "y"], component="all"
    )
    found = measured(atlas)
    assert found is not None
    assert 0.7 <= found.curvature <= 1
    assert 0.2 - 1e-9 <= found.estimated <= 0.21
    assert "proved on each chart" in str(found)
    assert "estimated from pairs" in str(found)


def test_a_line_is_not_bent() -> None:
    found = measured(implicit("x + 2*y", [[-1, 1], [-1, 1]], coordinates=["x", "y"], boundary=True))
    assert found is not None
    assert found.curvature == found.estimated == np.inf
    assert "at least ∞" in str(found)


SPEC = """
[task]
name = "round"

[manifold]
ambient = ["x", "y"]
implicit = ["x**2 + y**2 - 1"]
box = [[-2, 2], [-2, 2]]
atlas = "tangent"

[target]
expression = "x*y"
"""


def test_lint_says_both(tmp_path: Path) -> None:
    (tmp_path / "round.toml").write_text(SPEC, encoding="utf-8")
    said = CliRunner().invoke(main, ["lint", str(tmp_path / "round.toml")])
    assert said.exit_code == 0
    assert "round: curvature radius at least 0.9" in said.output
    found = json.loads(CliRunner().invoke(main, ["lint", str(tmp_path / "round.toml"), "--json"]).output)["reach"]["round"]
    assert 0.9 <= found["curvature"] <= 1
    assert found["estimated"] == pytest.approx(1, abs=1e-4)


def test_what_is_not_given_by_equations_has_none() -> None:
    assert measured(circle()) is None
