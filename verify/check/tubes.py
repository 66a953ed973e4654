"""Which boxes lie in the tube of another tangent chart of the same equations (`atlas.implicit`).

The tube of chart j holds exactly one zero over each of its u (`implicit.single`). A zero y with Tᵀ(y − c) in the open box of u and
Nᵀ(y − c) in the box of w is therefore the point of chart j there. Leaves of chart p may be left to charts before it, in the order of the
atlas: the first chart that holds a point in its open box leaves it to none.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from ...atlas import Array, Atlas
from ...expressions.implicit import Tube
from ...intervals import Interval
from ...intervals.numbers import enclose_fraction
from .contraction import GROW, product_of
from .implicit import single
from .nets import Flags

NEAREST = 5
"""Tubes in which the middle of a box is farthest from the sides, in parts of them, are tried."""


class Tubes:
    """Those of all charts that parametrise an atlas."""

    def __init__(self, tubes: Sequence[Tube]) -> None:
        """With the same equations."""
        self.tubes = tubes
        self.centers = np.array([tube.center for tube in tubes])
        entries = [[[enclose_fraction(a) for a in row] for row in tube.frame] for tube in tubes]
        self.lower, self.upper = (
            np.array([[[float(getattr(a, end)) for a in row] for row in of] for of in entries]) for end in ("lower", "upper")
        )
        self.limits = np.array([(*tube.heights, *tube.halves) for tube in tubes])

    @staticmethod
    def of(atlas: Atlas) -> Tubes | None:
        """None for an atlas whose charts are given otherwise, or not all by the same equations."""
        tubes = [chart.tube for chart in atlas.parametrising]
        first = tubes[0]
        if first is None or not all(tube is not None and tube.equations.same(first.equations) for tube in tubes):
            return None
        return Tubes([tube for tube in tubes if tube is not None])

    def hold(self, y: Interval, allowed: Flags) -> Flags:
        """Boxes (N, k) of zeros that one of the allowed charts holds strictly."""
        known = np.asarray(np.isfinite(y.lower).all(1) & np.isfinite(y.upper).all(1))
        middle = np.where(known[:, None], y.lower / 2 + y.upper / 2, 0.0)
        found, candidates = np.zeros(len(known), bool), np.flatnonzero(allowed)
        if not len(candidates):
            return found
        order = np.argsort(self._depth(middle, candidates), axis=1)[:, :NEAREST]
        for rank in range(order.shape[1]):
            rows = np.flatnonzero(known & ~found)
            found[rows] = self._in(y[rows], candidates[order[rows, rank]])
        return found

    def hold_bent(self, x: Interval, span: Interval, ball: Array) -> Flags:
        """Whether x + A·[−1, 1]^d and a ball around each of its points, (N, k), (N, k, d) and (N,), lie strictly in a tube."""
        found, every = np.zeros(len(ball), bool), np.arange(len(self.tubes))
        order = np.argsort(self._depth(x.middle, every), axis=1)[:, :NEAREST]
        for rank in range(order.shape[1]):
            rows = np.flatnonzero(~found)
            which = order[rows, rank]
            inside = np.array([single(self.tubes[j]) for j in which.tolist()], bool)
            turn = Interval(np.swapaxes(self.lower[which], 1, 2), np.swapaxes(self.upper[which], 1, 2))
            at = product_of(turn, (x[rows] - Interval.of(self.centers[which]))[..., None])[..., 0].magnitude
            more = product_of(turn, span[rows]).magnitude.sum(2) + ball[rows, None]
            found[rows] = inside & (((at + more) * GROW) < self.limits[which]).all(1)
        return found

    def _depth(self, middle: Array, which: np.ndarray) -> Array:
        """The largest coordinate of points (n, k) in tubes, in parts of their sides: (n, tubes), in floats."""
        depth = np.empty((len(middle), len(which)))
        for column, j in enumerate(which.tolist()):
            depth[:, column] = (np.abs((middle - self.centers[j]) @ self.lower[j]) / self.limits[j]).max(1)
        return depth

    def _in(self, y: Interval, which: np.ndarray) -> Flags:
        offset = y - Interval.of(self.centers[which])
        inside = np.array([single(self.tubes[j]) for j in which.tolist()], bool)
        for i in range(self.limits.shape[1]):
            columns = [Interval(self.lower[which, r, i], self.upper[which, r, i]) * offset[:, r] for r in range(offset.lower.shape[1])]
            at: Interval = reduce(Interval.__add__, columns)
            limit: Array = self.limits[which, i]
            inside &= at.magnitude < limit
        return inside
