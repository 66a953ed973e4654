"""From the worst held-out points up: the largest error lies near them, and on none of them.

A net is chosen by the largest of a few thousand errors, so the points flatter it; from its worst ones a shrinking cloud of fresh points
finds what lies between them. It needs a target that can be evaluated anywhere (`Target.evaluate`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...atlas import Array
from ...moe.nets import Net
from .dictionary import Coordinates

STARTS, CLOUD, ROUNDS = 12, 24, 6
SHRINK = 0.5
"""Radius of a cloud, relative to the one before."""


def climb(
    evaluate: Callable[[Array], Array], net: Net, coordinates: Coordinates, inputs: Array, errors: Array, seed: int
) -> tuple[Array, Array, int]:
    """The points (STARTS, n) that the worst of `inputs` (N, n) climb to, their errors, and how many points were looked at.

    Points where the target has no value (NaN) lie outside and do not count. Deterministic for a seed.
    """
    rng = np.random.default_rng([seed, len(inputs)])
    order = np.argsort(-errors, kind="stable")[:STARTS]
    best, height = inputs[order], errors[order]
    radius = 2 * len(inputs) ** (-1 / coordinates.rank)
    seen = 0
    for _ in range(ROUNDS):
        moves = radius * rng.uniform(-1, 1, (len(best), CLOUD, coordinates.rank)) * coordinates.scale
        cloud = (best[:, None] + moves @ coordinates.basis.T).reshape(-1, inputs.shape[1])
        found = np.abs(net(cloud) - evaluate(cloud)).max(1)
        found = np.where(np.isnan(found), -np.inf, found).reshape(len(best), CLOUD)
        seen += found.size
        top = found.argmax(1)
        rows = np.arange(len(best))
        higher = found[rows, top] > height
        best = np.where(higher[:, None], cloud.reshape(len(best), CLOUD, -1)[rows, top], best)
        height = np.where(higher, found[rows, top], height)
        radius *= SHRINK
    return best, height, seen
