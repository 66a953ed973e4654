"""Shells and products with time: what shells have of reach, and products of more than two factors keep the contract and are proved."""

from __future__ import annotations

from typing import ClassVar

import atlasmoe
import numpy as np
import pytest
from atlasmoe.atlas import Array, builtin
from atlasmoe.atlas.graph import Block, Combine, Input, TaskGraph, Tiling
from atlasmoe.atlas.reach import reach_of
from atlasmoe.atlas.spec import task_from_spec
from atlasmoe.expressions.box import Box
from atlasmoe.moe import Known
from manifold_contract import ManifoldContract

SHELL = {"builtin": "shell", "inner": 1.0, "outer": 1.1}
DAY = {"builtin": "interval", "domain": [2025, 2030]}


class _Products(ManifoldContract):
    """What stands between: whoever counts the classes of the contract is told that kinds of atlas are tried elsewhere."""

    __test__ = False
    manifold = "product"
    cases: ClassVar = [{}, {"atlas": "ball"}]


class TestSphereHeightAndTime(_Products):
    """S² × [h₀, h₁] × [t₀, t₁] in R⁵: a direction, poles included, a height, a date."""

    __test__ = True
    cases: ClassVar = [{"factors": [{"builtin": "sphere"}, {"builtin": "interval", "domain": [0, 2]}, DAY]}]

    def residual(self, y: Array, options: dict) -> Array:
        beyond = np.maximum(np.maximum(-y[:, 3], y[:, 3] - 2), np.maximum(2025 - y[:, 4], y[:, 4] - 2030))
        return np.abs(np.linalg.norm(y[:, :3], axis=1) - 1) + np.maximum(beyond, 0)

    def draw(self, rng: np.random.Generator, count: int, options: dict) -> Array:
        x = rng.standard_normal((count, 3))
        x[:2] = [[0, 0, 1], [0, 0, -1]]
        return np.column_stack([x / np.linalg.norm(x, axis=1, keepdims=True), rng.uniform(0, 2, count), rng.uniform(2025, 2030, count)])


class TestShellAndTime(_Products):
    """{r·x} × [t₀, t₁] in R⁴: a position, and a date."""

    __test__ = True
    cases: ClassVar = [{"factors": [SHELL, DAY]}]

    def residual(self, y: Array, options: dict) -> Array:
        r = np.linalg.norm(y[:, :3], axis=1)
        return np.maximum(np.maximum(np.maximum(1 - r, r - 1.1), np.maximum(2025 - y[:, 3], y[:, 3] - 2030)), 0)

    def draw(self, rng: np.random.Generator, count: int, options: dict) -> Array:
        x = rng.standard_normal((count, 3))
        x[:2] = [[0, 0, 1], [0, 0, -1]]
        x *= (rng.uniform(1, 1.1, count) / np.linalg.norm(x, axis=1))[:, None]
        return np.column_stack([x, rng.uniform(2025, 2030, count)])


@pytest.mark.parametrize(
    ("table", "reach"),
    [
        (SHELL, 1.0),
        ({"builtin": "annulus"}, 0.5),
        ({"builtin": "product", "factors": [SHELL, DAY]}, 1.0),
        ({"builtin": "product", "factors": [{"builtin": "sphere"}, {"builtin": "so3"}, DAY]}, 1.0),
        ({"builtin": "product", "factors": [{"builtin": "annulus"}, {"builtin": "product", "factors": [DAY, {"builtin": "circle"}]}]}, 0.5),
        ({"builtin": "product", "factors": [DAY, DAY]}, None),
        ({"builtin": "product", "factors": [{"builtin": "moebius_band"}, DAY]}, None),
        (DAY, None),
    ],
)
def test_the_reach_of_shells_and_products(table: dict, reach: float | None) -> None:
    options = dict(table)
    assert reach_of(builtin(options.pop("builtin"), **options)) == reach


def test_points_nearer_to_a_product_than_its_reach_have_one_nearest_point() -> None:
    """Annulus × interval: from either end of a segment through the hole the nearest points agree until its middle, the axis, is reached."""
    inner = 0.5
    assert reach_of(builtin("product", factors=[{"builtin": "annulus"}, {"builtin": "interval"}])) == inner
    for distance in (0.1, 0.49):
        at = np.array([inner - distance, 0.0, 0.5])
        angles = np.linspace(0, 2 * np.pi, 4001)
        circle = np.column_stack([inner * np.cos(angles), inner * np.sin(angles), np.full(4001, 0.5)])
        gaps = np.linalg.norm(circle - at, axis=1)
        assert abs(gaps.min() - distance) < 1e-6
        assert np.abs(np.sin(angles[gaps < distance + 1e-9])).max() < 0.02


@pytest.mark.parametrize(
    ("factors", "text"),
    [
        ([{"builtin": "circle", "charts": 3}, {"builtin": "interval", "domain": [0, 0.2]}, DAY], "x1*(1 - x3) + 0.02*(x4 - 2025)*x2"),
        ([{"builtin": "annulus", "inner": 1.0, "outer": 1.1}, DAY], "x1 + 0.02*(x3 - 2025)*x2"),
    ],
    ids=["circle, height, time", "annulus, time"],
)
def test_heights_and_times_are_proved(factors: list[dict], text: str) -> None:
    spec = {"task": {"name": "moving"}, "manifold": {"builtin": "product", "factors": factors}, "target": {"expression": text}}
    model = atlasmoe.compile(task_from_spec(spec), epsilon=0.3, activation="silu", theorem="dense")
    certificate = atlasmoe.certify(model, tightness=None)
    assert certificate.status is Known.PROVED
    assert certificate.bound <= 0.3


def test_a_field_that_is_affine_in_time_is_one_exact_product() -> None:
    """f_0 + t·f_1 with two blocks on the sphere: proved there in two dimensions, for all heights and dates."""
    sphere = builtin("sphere", dimension=2, atlas="ball", charts=8)
    where, when, high = (
        Input("where", sphere, ("x", "y", "z")),
        Input("when", Box((0,), (5,)), ("t",)),
        Input("high", Box((1,), (1.1,)), ("r",)),
    )
    here = Block.parse("here", ("x", "y", "z"), sphere, [["z + x*y", "y"]] * 8, ("f", "g"), activation="silu", routing="affine")
    above = Block.parse(
        "above", ("r",), Tiling.whole(Box((1,), (1.1,)), ("r",), "r"), [["1/r**3", "1/r**2"]], ("p", "q"), activation="silu"
    )
    aged = Combine.parse("aged", ("q", "t"), "0.1*q*t", ("v",), activation="exact")
    field = Combine.parse("field", ("p", "v", "f", "g"), "p*f + v*g", ("b",), activation="exact")
    model = atlasmoe.compile(TaskGraph("drifting", (where, high, when, here, above, aged, field), "field"), epsilon=0.1, form="residual")
    certificate = atlasmoe.certify(model, tightness=None)
    assert certificate.status is Known.PROVED
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2000, 3))
    x[:2] = [[0, 0, 1], [0, 0, -1]]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    r, t = rng.uniform(1, 1.1, 2000), rng.uniform(0, 5, 2000)
    truth = (x[:, 2] + x[:, 0] * x[:, 1]) / r**3 + 0.1 * t * x[:, 1] / r**2
    assert np.abs(model(np.column_stack([x, r, t]))[:, 0] - truth).max() <= certificate.bound
