"""Which boxes lie in the tube of another tangent chart of the same equations (`atlas.implicit`): a zero there is a point of that chart.

Boxes of chart p may be left to the charts before it, in the order of the atlas: the first chart that holds a point in its open box leaves
it to none, so that every point of M is looked at in some chart.
"""

from __future__ import annotations

import numpy as np

from ...atlas import Atlas
from ...atlas.implicit.cover import Held
from ...atlas.implicit.together import proved_charts
from ...intervals import Flags, Interval


class Tubes:
    """Those of all charts that parametrise an atlas."""

    def __init__(self, atlas: Atlas) -> None:
        tubes = [chart.tube for chart in atlas.parametrising if chart.tube is not None]
        self._held = Held(tubes)
        self._proved: Flags = proved_charts(tubes)
        """Tubes that are proved to hold one zero over each u: found here, of all at once, before they are asked for one by one."""

    @staticmethod
    def of(atlas: Atlas) -> Tubes | None:
        """None for an atlas whose charts are given otherwise, or not all by the same equations."""
        tubes = [chart.tube for chart in atlas.parametrising]
        first = tubes[0]
        if first is None or not all(tube is not None and tube.equations.same(first.equations) for tube in tubes):
            return None
        return Tubes(atlas)

    def before(self, p: int, y: Interval) -> Flags:
        """Boxes (N, k) of zeros that a chart before p holds strictly."""
        return self._hold(y, np.arange(len(self._proved)) < p)

    def others(self, p: int, y: Interval) -> Flags:
        """… that another chart than p does."""
        return self._hold(y, np.arange(len(self._proved)) != p)

    def _hold(self, y: Interval, allowed: Flags) -> Flags:
        known = np.asarray(np.isfinite(y.lower).all(1) & np.isfinite(y.upper).all(1))
        found = np.zeros(len(known), bool)
        rows = np.flatnonzero(known)
        found[rows] = self._held.holds(y.lower[rows], y.upper[rows], allowed & self._proved)
        return found
