"""Local ascent in intrinsic coordinates: a pattern search with shrinking steps, many starts at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...atlas import Array, Atlas, Points
from .points import inside

FIRST_STEP, LAST_STEP = 0.05, 1e-10
"""In widths of the chart's box."""
ROUNDS = 48
MOST_DIRECTIONS = 24


def pattern(d: int, rng: np.random.Generator) -> Array:
    """Directions to try in one round, (n, d): the axes and random unit vectors, each with both signs."""
    axes = np.eye(d) if d <= MOST_DIRECTIONS // 4 else np.empty((0, d))
    wild = rng.standard_normal((max(2, min(d, MOST_DIRECTIONS // 2 - len(axes))), d))
    half = np.concatenate([axes, wild / np.linalg.norm(wild, axis=1, keepdims=True)])
    return np.concatenate([half, -half])


def ascend(atlas: Atlas, starts: Points, value: Callable[[Points], Array], seed: int) -> tuple[Points, Array]:
    """Climb from each start to a point of larger value, staying in its box and region; points and values (N,).

    Each round tries all directions of one pattern at each start's own step, moves to the best point if it is better
    (and lengthens the step by half), else halves the step. Values never decrease.
    """
    rng = np.random.default_rng(seed)
    d = atlas.dimension
    boxes = [chart.domain for chart in atlas.parametrising]
    lower = np.array([box.lower for box in boxes])[starts.chart]
    upper = np.array([box.upper for box in boxes])[starts.chart]
    place, best = starts.intrinsic.copy(), value(starts)
    step = np.full(len(starts), FIRST_STEP)
    for _ in range(ROUNDS):
        active = np.flatnonzero(step > LAST_STEP)
        if not len(active):
            break
        directions = pattern(d, rng)
        low, high = lower[active, None], upper[active, None]
        tried = place[active, None] + step[active, None, None] * directions * (high - low)
        tried = np.clip(tried, low, high).reshape(-1, d)
        chart = np.repeat(starts.chart[active], len(directions))
        allowed = inside(atlas, chart, tried)
        # Where a try is not allowed the place itself stands in, so that every start keeps as many tries as directions.
        tried = np.where(allowed[:, None], tried, np.repeat(place[active], len(directions), axis=0))
        gained = value(atlas.parametrise(chart, tried)).reshape(len(active), -1)
        winner = gained.argmax(1)
        top = gained[np.arange(len(active)), winner]
        better = top > best[active]
        moved = active[better]
        place[moved] = tried.reshape(len(active), -1, d)[better, winner[better]]
        best[moved] = top[better]
        step[moved] = np.minimum(1.5 * step[moved], 0.25)
        step[active[~better]] /= 2
    return atlas.parametrise(starts.chart, place), best
