"""Several charts instead of one wide net: the square is bisected where the error is largest, and the neurons are spent there.

The patches are charts of an atlas of the square with the identity as chart map; each has a two-layer net of its own, and the
patch of a point is found exactly by a router of intervals (B10). What is counted are the neurons of all experts together,
as many as the single net has; an input pays for one expert only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from atlasmoe.constructions.relu import NARROWEST, Fit, Target, fit

from fitting.targets import BOUNDARY, TARGETS, Array, Predictor


@dataclass(frozen=True, eq=False)
class Patch:
    """A box with its expert."""

    lower: Array
    upper: Array
    fit: Fit


def refined(name: str, width: int) -> tuple[Predictor, int]:
    """A predictor of at most `width` neurons in all, and its number of charts.

    All experts are as narrow as they come. While neurons are left, the worst patch is halved along the side that leaves the least error:
    a kink along a curve is straight enough in a small patch for a single neuron.
    """
    dimension = TARGETS[name][0]
    patches = [_patch(name, np.zeros(dimension), np.ones(dimension), NARROWEST)]
    while sum(patch.fit.width for patch in patches) + NARROWEST <= width:
        worst = max(patches, key=lambda patch: patch.fit.error)
        ways = []
        for k in range(dimension):
            upper, lower = worst.upper.copy(), worst.lower.copy()
            upper[k] = lower[k] = (worst.lower[k] + worst.upper[k]) / 2
            ways.append([_patch(name, worst.lower, upper, NARROWEST), _patch(name, lower, worst.upper, NARROWEST)])
        best = min(ways, key=lambda way: max(patch.fit.error for patch in way))
        patches = [patch for patch in patches if patch is not worst] + best

    def predict(u: Array) -> Array:
        out = np.full((len(u), 1), np.nan)
        for patch in patches:
            inside = ((u >= patch.lower) & (u <= patch.upper)).all(1)
            out[inside] = patch.fit.net(u[inside])
        return out

    return predict, len(patches)


def _patch(name: str, lower: Array, upper: Array, width: int) -> Patch:
    dimension, function = TARGETS[name]

    def draw(count: int, seed: int, held_out: bool) -> tuple[Array, Array]:
        unit = np.random.default_rng([seed, dimension]).random((count, dimension))
        u = lower + (upper - lower) * np.clip((1 + 2 * BOUNDARY) * unit - BOUNDARY, 0, 1)
        return u, function(u)[:, None]

    return Patch(lower, upper, fit(Target(draw, name, "benchmark"), width))
