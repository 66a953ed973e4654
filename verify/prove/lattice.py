"""Points that fill charts evenly without a table to load: the additive recurrence of the generalised golden ratio.

u_n = frac((n + 1/2)·(1/g, 1/g², …, 1/g^d)) for the root g > 1 of g^(d+1) = g + 1 (M. Roberts, "The unreasonable effectiveness of
quasirandom sequences", 2018). The Sobol points of scipy are as even, and take longer to import than most proofs take.
"""

from __future__ import annotations

import numpy as np

from ...atlas import Array, Atlas, Points, concatenate


def even(count: int, dimension: int) -> Array:
    """The first points of the sequence, (count, dimension) in [0, 1)."""
    ratio = 2.0
    for _ in range(64):
        ratio = (1 + ratio) ** (1 / (dimension + 1))
    steps = ratio ** -np.arange(1.0, dimension + 1)
    return ((np.arange(count)[:, None] + 0.5) * steps) % 1.0


def spread_points(atlas: Atlas, count: int) -> Points:
    """About `count` points of M, equally many per parametrising chart, spread evenly over its box where the region allows."""
    share = -(-count // len(atlas.parametrising))
    parts = []
    for i, chart in enumerate(atlas.parametrising):
        drawn = np.empty((0, atlas.dimension))
        tried = share
        while len(drawn) < share and tried <= 64 * share:
            drawn = chart.domain.from_unit(2 * even(tried, atlas.dimension) - 1)
            drawn, tried = drawn[chart.inside(drawn)], 2 * tried
        parts.append(atlas.parametrise(i, drawn[:share]))
    return concatenate(parts)
