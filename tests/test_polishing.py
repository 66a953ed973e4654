"""Neurons moved by nonlinear least squares: what it is worth, that steps are along the gradient, and that float32 holds the result."""

from __future__ import annotations

import numpy as np
import pytest
from atlasmoe.constructions.relu import Target
from atlasmoe.constructions.relu.dictionary import Coordinates
from atlasmoe.constructions.smooth import fit
from atlasmoe.constructions.smooth.forms import Lanes, Plain
from atlasmoe.constructions.smooth.polishing import _State, affordable
from atlasmoe.moe.activations import GELU, RELU, SILU
from atlasmoe.moe.ridge import Dictionary

Array = np.ndarray


def bump(x: Array) -> Array:
    return np.exp(-6 * (x**2).sum(1, keepdims=True))


def square(f) -> Target:
    def draw(count: int, seed: int, held_out: bool) -> tuple[Array, Array]:
        x = np.clip(np.random.default_rng([seed, 2]).uniform(-1.1, 1.1, (count, 2)), -1, 1)
        return x, f(x)

    return Target(draw, "t", "test", evaluate=lambda x: np.where((np.abs(x) <= 1).all(1)[:, None], f(x), np.nan))


def sup(f, net) -> float:
    x = np.clip(np.random.default_rng(99).uniform(-1.25, 1.25, (20000, 2)), -1, 1)
    return float(np.abs(net(x) - f(x)).max())


@pytest.mark.parametrize(("gated", "width", "gain"), [(False, 24, 10), (True, 16, 10)])
def test_it_pays_where_the_target_is_not_resolved(gated: bool, width: int, gain: float) -> None:
    thorough, polished = (fit(square(bump), width, activation=SILU, gated=gated, effort=effort) for effort in ("thorough", "polished"))
    assert polished.width <= width
    assert sup(bump, polished.net) < thorough.error / gain
    # What is claimed is what fresh points find.
    assert sup(bump, polished.net) <= 1.1 * polished.error
    hidden = polished.net.affines[0]
    assert (np.float32(hidden.weight) == hidden.weight).all()
    assert (np.float32(hidden.bias) == hidden.bias).all()


@pytest.mark.parametrize("gated", [False, True])
def test_steps_go_down_the_gradient(gated: bool) -> None:
    """The right-hand side is −½ of the derivative of the least sum of squares by every place, two outputs together."""
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, (400, 2)) * [2.0, 0.5] + [1.0, -3.0]
    values = np.stack([np.sin(x[:, 0]) * x[:, 1], np.cos(3 * x[:, 1])], axis=1)
    coordinates = Coordinates.of(x)
    directions, facing = rng.normal(size=(3, 2)), np.array([1.0, -1.0, 1.0, -1.0, 1.0])
    dictionary = Dictionary(directions, (2, 1, 2), rng.normal(size=5) - 1, facing, GELU)
    form = Lanes(dictionary, coordinates) if gated else Plain(dictionary)
    start = _State.of(form, coordinates, x, values, np.zeros((400, 0)))
    _, right = start.equations()
    h = 1e-3
    for j in range(len(right)):
        step = h * np.eye(len(right))[j]
        slope = (start.moved(step).energy - start.moved(-step).energy) / (2 * h)
        assert -slope / 2 == pytest.approx(right[j], rel=2e-2, abs=1e-3 * np.abs(right).max())


def test_what_is_not_smooth_or_too_wide_stays() -> None:
    narrow, wide = (Plain(Dictionary(np.ones((1, 2)), (m,), np.arange(m) + 0.0, np.ones(m), SILU)) for m in (64, 1024))
    assert affordable(narrow, 2)
    assert not affordable(wide, 2)
    f = square(lambda x: np.abs(x[:, :1]))
    hinged = fit(f, 8, activation=RELU, gated=True, effort="polished")
    assert hinged.error == fit(f, 8, activation=RELU, gated=True, effort="thorough").error
