"""Knots that move by Gauss–Newton steps: they end where the target bends, and steps are along the gradient."""

from __future__ import annotations

import numpy as np
import pytest
from atlasmoe.constructions.relu import Target, fit
from atlasmoe.constructions.relu.free_knots import _equations, _moved, freed
from atlasmoe.constructions.relu.profiles import Grid, least_squares

Array = np.ndarray


def grid_of(knots: int) -> tuple[Grid, Array]:
    x = np.random.default_rng(5).uniform(-1, 1, (600, 2))
    lines = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    return Grid(lines, tuple(np.linspace(t.min(), t.max(), knots + 2) for t in (x @ lines.T).T)), x


def test_knots_find_where_a_profile_bends() -> None:
    grid, x = grid_of(3)
    values = np.abs(x[:, :1] - 0.1) + np.abs(x @ [[0.6], [0.8]] + 0.15) - 2 * np.abs(x[:, 1:] - 0.3)
    found, levels = grid, least_squares(grid, x, values)
    before = np.abs(grid.hats(x) @ levels - values).max()
    for _ in range(4):
        found, levels = freed(found, levels, x, values)
    assert np.abs(found.hats(x) @ levels - values).max() < before / 50
    for nodes, bend in zip(found.nodes, (0.1, -0.15, 0.3), strict=True):
        assert np.abs(nodes - bend).min() < 1e-2
        assert (np.diff(nodes) > 0).all()


def test_steps_go_down_the_gradient() -> None:
    """The right-hand side is −½ of the derivative of the least sum of squares by every knot, two outputs together."""
    grid, x = grid_of(2)
    values = np.stack([np.sin(3 * x[:, 0]) * x[:, 1], np.exp(x @ [0.6, 0.8])], axis=1)

    def least(grid: Grid) -> float:
        return float(((values - grid.hats(x) @ least_squares(grid, x, values)) ** 2).sum())

    _, right = _equations(grid, least_squares(grid, x, values), x, values)
    h = 1e-4
    for j in range(len(right)):
        step = h * np.eye(len(right))[j]
        slope = (least(_moved(grid, step)) - least(_moved(grid, -step))) / (2 * h)
        assert -slope / 2 == pytest.approx(right[j], rel=2e-2, abs=2e-2 * np.abs(right).max())


def test_it_pays_where_a_target_bends_along_a_curve() -> None:
    def ring(x: Array) -> Array:
        return np.abs(np.linalg.norm(x, axis=1, keepdims=True) - 0.6)

    def draw(count: int, seed: int, held_out: bool) -> tuple[Array, Array]:
        x = np.clip(np.random.default_rng([seed, 2]).uniform(-1.1, 1.1, (count, 2)), -1, 1)
        return x, ring(x)

    target = Target(draw, "t", "test", evaluate=lambda x: np.where((np.abs(x) <= 1).all(1)[:, None], ring(x), np.nan))
    x = np.clip(np.random.default_rng(99).uniform(-1.25, 1.25, (20000, 2)), -1, 1)
    thorough, polished = (np.abs(fit(target, 32, effort=effort).net(x) - ring(x)).max() for effort in ("thorough", "polished"))
    assert polished < 0.95 * thorough
