"""The functions of the benchmark on the unit cube, how they are sampled, and how errors are measured."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Array = np.ndarray
Predictor = Callable[[Array], Array]
BOUNDARY = 0.05
"""Samples are uniform on a cube this much larger to all sides, moved to the nearest point of the unit cube: some lie on its faces,
edges and corners, where a uniform sample never is and errors are largest."""
TESTED = 100_000
TEST_SEED = 777


HALF = 0.3
"""Half-width of the charts: what one of some dozens of charts of a sphere looks like."""


def radius(u: Array) -> Array:
    return np.sqrt(((u - 0.5) ** 2).sum(1))


def separable(u: Array) -> Array:
    return np.sin(2 * np.pi * u + np.arange(u.shape[1])).sum(1)


def franke(u: Array) -> Array:
    """Franke's function, and Renka's extension of it to three variables."""
    v = 9 * u

    def square(*centre: float) -> Array:
        return (v - np.array(centre)[: u.shape[1]]) ** 2

    first, last = square(-1, -1, -1), (v[:, 1:] + 1).sum(1) / 10
    return np.asarray(
        0.75 * np.exp(-square(2, 2, 2).sum(1) / 4)
        + 0.75 * np.exp(-first[:, 0] / 49 - last)
        + 0.5 * np.exp(-square(7, 3, 5).sum(1) / 4)
        - 0.2 * np.exp(-square(4, 7, 5).sum(1))
    )


def chart(u: Array) -> Array:
    """A generic analytic function on a small chart, |x_i| ≤ HALF."""
    x = HALF * (2 * u - 1)
    first, second, third = x[:, 0], x[:, min(1, x.shape[1] - 1)], x[:, -1]
    return np.asarray(np.exp(np.sin(3 * first) + second * third) * np.cos(2 * third + (first if x.shape[1] == 3 else 0)))


TARGETS: dict[str, tuple[int, Callable[[Array], Array]]] = {
    "sine, d=1": (1, lambda u: np.sin(2 * np.pi * u[:, 0])),
    "chart, d=1": (1, chart),
    "chart, d=2": (2, chart),
    "separable, d=2": (2, separable),
    "sin 8πr, d=2": (2, lambda u: np.sin(8 * np.pi * radius(u))),
    "exp(−50r²), d=2": (2, lambda u: np.exp(-50 * radius(u) ** 2)),
    "Franke, d=2": (2, franke),
    "straight kink, d=2": (2, lambda u: np.abs(u @ [np.cos(0.7), np.sin(0.7)] - 0.6)),
    "curved kink, d=2": (2, lambda u: np.abs(radius(u) - 0.3)),
    "chart, d=3": (3, chart),
    "separable, d=3": (3, separable),
    "Franke, d=3": (3, franke),
    "additive, d=5": (5, separable),
}


def sample(name: str, count: int, seed: int) -> tuple[Array, Array]:
    """`count` points of the cube to fit to, and the values of the target. All methods fit to points of this kind."""
    dimension, function = TARGETS[name]
    u = np.random.default_rng([seed, dimension]).random((count, dimension))
    u = np.clip((1 + 2 * BOUNDARY) * u - BOUNDARY, 0, 1)
    return u, function(u)[:, None]


def test_points(dimension: int) -> Array:
    """TESTED points of the cube: two thirds uniform, one third of a cube a half wider moved to the nearest point of it, and the corners."""
    u = np.random.default_rng([TEST_SEED, dimension]).random((TESTED, dimension))
    faces = TESTED // 3
    u[:faces] = np.clip(1.5 * u[:faces] - 0.25, 0, 1)
    corners = np.stack(np.meshgrid(*[[0.0, 1.0]] * dimension), axis=-1).reshape(-1, dimension)
    return np.concatenate([u, corners])


def sup_error(name: str, predict: Predictor) -> float:
    """The largest error on points that nothing was fitted to, faces, edges and corners among them: a lower bound of the sup."""
    dimension, function = TARGETS[name]
    parts = np.array_split(test_points(dimension), 25)
    return float(max(np.abs(predict(part)[:, 0] - function(part)).max() for part in parts))
