"""Local ascent in intrinsic coordinates: a pattern search with shrinking steps, many starts at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..expressions.box import Array
from . import distinct
from .atlas import Atlas
from .domain import Domain
from .points import Points

Charts = NDArray[np.intp]

FIRST_STEP, LAST_STEP = 0.05, 1e-10
"""In sizes of the ground that is climbed on."""
ROUNDS = 48
MOST_DIRECTIONS = 24


class Space(Protocol):
    """Points that are made from intrinsic coordinates in boxes, some of which may be cut off."""

    def bounds(self, chart: Charts) -> tuple[Array, Array]:
        """The boxes of such charts, (N, d) each."""

    def allowed(self, chart: Charts, intrinsic: Array) -> NDArray[np.bool_]:
        """Which intrinsic coordinates are those of a point, (N,)."""

    def parametrise(self, chart: Charts, intrinsic: Array) -> Points:
        """Those points."""


@dataclass(frozen=True, eq=False)
class Ground:
    """One domain as a `Space`."""

    domain: Domain

    @cached_property
    def _boxes(self) -> tuple[Array, Array]:
        boxes = [chart.domain for chart in self.domain.parametrising]
        return np.array([box.lower for box in boxes]), np.array([box.upper for box in boxes])

    def bounds(self, chart: Charts) -> tuple[Array, Array]:
        lower, upper = self._boxes
        return lower[chart], upper[chart]

    def allowed(self, chart: Charts, intrinsic: Array) -> NDArray[np.bool_]:
        """Which u lie in the closed box and the region of their parametrising chart and have a finite image, (N,)."""
        if isinstance(self.domain, Atlas) and self.domain.together is not None:
            base = self.domain.together.points(chart, intrinsic)
            return self.domain.inside(chart, intrinsic, base) & np.isfinite(base).all(-1)
        good = np.zeros(len(intrinsic), bool)
        for i in distinct.numbers(chart):
            rows = chart == i
            one = self.domain.parametrising[i]
            good[rows] = one.inside(intrinsic[rows]) & np.isfinite(one.inverse(intrinsic[rows])).all(-1)
        return good

    def parametrise(self, chart: Charts, intrinsic: Array) -> Points:
        return self.domain.parametrise(chart, intrinsic)


def pattern(d: int, rng: np.random.Generator) -> Array:
    """Directions to try in one round, (n, d): at most six axes, and random unit vectors, each with both signs; on a line there are two."""
    if d == 1:
        return np.array([[1.0], [-1.0]])
    most = MOST_DIRECTIONS // 4
    axes = np.eye(d) if d <= most else np.eye(d)[rng.permutation(d)[:most]]
    wild = rng.standard_normal((max(2, min(d, MOST_DIRECTIONS // 2 - len(axes))), d))
    half = np.concatenate([axes, wild / np.linalg.norm(wild, axis=1, keepdims=True)])
    return np.concatenate([half, -half])


def ascend(
    space: Space,
    starts: Points,
    value: Callable[[Points, NDArray[np.intp]], Array],
    seed: int,
    *,
    sizes: Array | None = None,
    rounds: int = ROUNDS,
) -> tuple[Points, Array]:
    """Climb from each start to a point of larger value, staying in its box and region; points and values (N,).

    `value` is given points and, for each, which start it is tried for: every start may climb a function of its own, −∞ where it must not
    go. Each round tries all directions of one pattern at each start's own step, moves to the best point if it is better
    (and lengthens the step by half), else halves the step. Values never decrease. Steps are parts of `sizes` (N, d), by default of
    the chart's box.
    """
    rng = np.random.default_rng(seed)
    d = starts.intrinsic.shape[1]
    lower, upper = space.bounds(starts.chart)
    if sizes is None:
        sizes = upper - lower
    place, best = starts.intrinsic.copy(), value(starts, np.arange(len(starts)))
    step = np.full(len(starts), FIRST_STEP)
    for _ in range(rounds):
        active = np.flatnonzero(step > LAST_STEP)
        if not len(active):
            break
        directions = pattern(d, rng)
        low, high = lower[active, None], upper[active, None]
        tried = place[active, None] + step[active, None, None] * directions * sizes[active, None]
        tried = np.clip(tried, low, high).reshape(-1, d)
        chart = np.repeat(starts.chart[active], len(directions), axis=0)
        # Where a try is not allowed the place itself stands in, so that every start keeps as many tries as directions.
        stay = np.repeat(place[active], len(directions), axis=0)
        tried = np.where(space.allowed(chart, tried)[:, None], tried, stay)
        gained = value(space.parametrise(chart, tried), np.repeat(active, len(directions))).reshape(len(active), -1)
        winner = gained.argmax(1)
        top = gained[np.arange(len(active)), winner]
        better = top > best[active]
        moved = active[better]
        place[moved] = tried.reshape(len(active), -1, d)[better, winner[better]]
        best[moved] = top[better]
        step[moved] = np.minimum(1.5 * step[moved], 0.25)
        step[active[~better]] /= 2
    return space.parametrise(starts.chart, place), best
