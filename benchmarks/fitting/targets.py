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


TARGETS: dict[str, tuple[int, Callable[[Array], Array]]] = {
    "sine, d=1": (1, lambda u: np.sin(2 * np.pi * u[:, 0])),
    "separable, d=2": (2, separable),
    "sin 8πr, d=2": (2, lambda u: np.sin(8 * np.pi * radius(u))),
    "exp(−50r²), d=2": (2, lambda u: np.exp(-50 * radius(u) ** 2)),
    "Franke, d=2": (2, franke),
    "straight kink, d=2": (2, lambda u: np.abs(u @ [np.cos(0.7), np.sin(0.7)] - 0.6)),
    "curved kink, d=2": (2, lambda u: np.abs(radius(u) - 0.3)),
    "separable, d=3": (3, separable),
    "Franke, d=3": (3, franke),
    "additive, d=4": (4, separable),
    "additive, d=5": (5, separable),
    "additive, d=6": (6, separable),
}


def sample(name: str, count: int, seed: int) -> tuple[Array, Array]:
    """`count` points of the cube to fit to, and the values of the target. All methods fit to points of this kind."""
    dimension, function = TARGETS[name]
    u = np.random.default_rng([seed, dimension]).random((count, dimension))
    u = np.clip((1 + 2 * BOUNDARY) * u - BOUNDARY, 0, 1)
    return u, function(u)[:, None]


def sup_error(name: str, predict: Predictor) -> float:
    """The largest error on TESTED uniform points that nothing was fitted to: a lower bound of the sup."""
    dimension, function = TARGETS[name]
    u = np.random.default_rng([TEST_SEED, dimension]).random((TESTED, dimension))
    return float(max(np.abs(predict(part)[:, 0] - function(part)).max() for part in np.array_split(u, 25)))
