"""The constructions of the benchmark: ReLU ridges, smooth ridges, product lanes."""

from __future__ import annotations

import numpy as np
from atlasmoe.constructions import relu, smooth
from atlasmoe.constructions.relu import Effort, Fit, Target
from atlasmoe.moe.activations import Activation

from fitting.targets import TARGETS, Array, sample


def target(name: str) -> Target:
    """A target of the benchmark as the fits want it."""
    _, function = TARGETS[name]

    def values(u: Array) -> Array:
        return np.where(((u >= 0) & (u <= 1)).all(1), function(np.clip(u, 0, 1)), np.nan)[:, None]

    return Target(lambda count, seed, _: sample(name, count, seed), name, "benchmark", evaluate=values)


def relu_ridges(name: str, width: int, effort: Effort = "thorough") -> Fit:
    return relu.fit(target(name), width, effort=effort)


def smooth_ridges(name: str, width: int, activation: Activation) -> Fit:
    return smooth.fit(target(name), width, activation=activation, effort="thorough")


def lanes(name: str, width: int, activation: Activation) -> Fit:
    """`width` product lanes, or no fewer than the linear part takes."""
    return smooth.fit(target(name), max(width, smooth.NARROWEST), activation=activation, gated=True, effort="thorough")


def polished(name: str, width: int, activation: Activation, *, gated: bool = False) -> Fit:
    """As `smooth_ridges` or `lanes`, with every neuron moved by nonlinear least squares."""
    width = max(width, smooth.NARROWEST) if gated else width
    return smooth.fit(target(name), width, activation=activation, gated=gated, effort="polished")


def lanes_for(dimension: int, width: int) -> int:
    """As many lanes, of 2d + 3 numbers each, as store what `width` neurons of d + 2 store."""
    return width * (dimension + 2) // (2 * dimension + 3)
