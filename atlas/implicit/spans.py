"""Where x is over boxes of charts: m + A·[−1, 1]^d and a ball around each of its points, of many charts at once.

Of several equations a ball holds w around an affine function of u, by monotone maps (`intervals.monotone`, B22): with w̃ = w₀ + K·(u − u₀)
and |w − w̃| ≤ ρ, x lies in x(u₀, w₀) + (T + N·K)·(u − u₀) and a ball of radius ρ, [N T] being orthogonal. What that says nothing of, and
one equation alone, Krawczyk's operator does (`intervals.krawczyk`): with w′ ∈ K ± E over the box and |w(u₀) − w₀| ≤ ρ₀ the ball is of
radius ρ₀ + Σ_j |E_j|·|u − u₀|_j (mean value theorem). That tubes have one zero over each u is proved before (`prove_all`).

m is computed in floats, and off by some 1e-15·(1 + |x|): whoever compares with it leaves room for that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...expressions.box import Array
from ...expressions.implicit import Tube
from ...intervals.arithmetic import Interval
from ...intervals.krawczyk import Boxes
from ...intervals.monotone import Monotone
from ...intervals.spreads import GROW, frobenius
from ...intervals.systems import solved

AT_ONCE = 1 << 10
"""Boxes that are looked at together: second derivatives of all equations are kept for each."""


class Spans:
    """The charts of tubes with the same equations, each of which has one zero over each u."""

    def __init__(self, tubes: Sequence[Tube], run: Callable[[Any, Sequence[Any]], list[Any]]) -> None:
        self._boxes = Boxes.of(tubes, run)

    @cached_property
    def _steep(self) -> Monotone:
        return Monotone(self._boxes)

    def __call__(self, owner: NDArray[np.intp], lower: Array, upper: Array) -> tuple[Array, Array, Array]:
        """m (n, k), A (n, k, d) and radii of balls (n,), ∞ where nothing is known; of boxes (n, d) in charts of these numbers."""
        parts = [
            self._some(owner[some], lower[some], upper[some]) for some in (slice(s, s + AT_ONCE) for s in range(0, len(owner), AT_ONCE))
        ]
        return tuple(map(np.concatenate, zip(*parts, strict=True)))  # type: ignore[return-value]

    def _some(self, owner: NDArray[np.intp], lower: Array, upper: Array) -> tuple[Array, Array, Array]:
        frames = self._boxes.frames[owner]
        middle = lower + (upper - lower) / 2
        radius = np.nextafter(np.maximum(upper - middle, middle - lower), np.inf)
        if frames.heights.shape[1] > 1:
            near = self._steep.near(owner, lower, upper)
            at, slopes, ball = near.at, near.slopes, np.where(near.shown, near.radius, np.inf)
        else:
            at, slopes, ball = frames.solve(middle), np.zeros((len(owner), 1, lower.shape[1])), np.full(len(owner), np.inf)
        rows = np.flatnonzero(~np.isfinite(ball))
        if len(rows):
            at[rows], slopes[rows], ball[rows] = self._by_intervals(owner[rows], lower[rows], upper[rows])
        x = frames.point(middle, at)
        return x, (frames.tangent + frames.normal @ slopes) * radius[:, None], ball

    def _by_intervals(self, owner: NDArray[np.intp], lower: Array, upper: Array) -> tuple[Array, Array, Array]:
        """w₀, K and the ball."""
        here = self._boxes.rows(owner)
        middle = lower + (upper - lower) / 2
        radius = np.nextafter(np.maximum(upper - middle, middle - lower), np.inf)
        with np.errstate(all="ignore"):
            start, point = here.found([Interval(part, part) for part in middle.T])
            good, step = here.found([Interval(low, high) for low, high in zip(lower.T, upper.T, strict=True)])
            at = point.lower / 2 + point.upper / 2
            beside = np.maximum(point.upper - at, at - point.lower)
            slopes = solved(step.across, step.inverse, -step.along)
            ball = (frobenius(beside, 1) + (frobenius(np.swapaxes(slopes.error, 1, 2), 1) * radius).sum(1) * GROW) * GROW
        shown = start & good & np.isfinite(ball) & np.isfinite(slopes.middle).all((1, 2)) & np.isfinite(at).all(1)
        at, ball = np.where(shown[:, None], at, 0.0), np.where(shown, ball, np.inf)
        return at, np.where(shown[:, None, None], slopes.middle, 0.0), ball
