"""The claim that charts are whole components (B23): on every face of a chart, where M goes on, another chart's tube holds it strictly.

Faces are cut into boxes of u. Over each, x lies in m + A·[−1, 1]^d and a ball (`contraction`), and its coordinates in other tubes so too.
"""

from __future__ import annotations

import numpy as np

from ...atlas import Array, Atlas
from ...expressions.implicit import Tube
from ...intervals import Interval
from ...intervals.patch import Patch, PatchMap
from .contraction import GROW, Expanded, product_of
from .documents import Documents
from .functions import halves
from .implicit import single
from .nets import Flags
from .refused import Refused
from .tubes import Tubes

BATCH, MOST = 1 << 9, 1 << 21
FINEST = 2.0**-10
"""The least sides of boxes, in parts of those of the chart."""


def require_whole(found: Documents, site: str, atlas: Atlas | None) -> None:
    """Raises `Refused` where it is claimed of a site's charts, and not shown."""
    if found.claimed(site, "components") and (atlas is None or atlas.implicit is None or not whole_components(atlas)):
        raise Refused("it is not shown that charts have no edge where the zeros of the equations go on", rejected=False)


def whole_components(atlas: Atlas) -> bool:
    """Whether it is shown of the charts that parametrise an atlas."""
    assert atlas.implicit is not None
    zeros, tubes = atlas.implicit.zeros, [chart.tube for chart in atlas.parametrising if chart.tube is not None]
    if not tubes or any(not tube.equations.same(zeros.equations) or not single(tube) for tube in tubes):
        return False
    held, region = Tubes(tubes), None if zeros.within is None else PatchMap(zeros.within)
    left = MOST
    for tube in tubes:
        expanded = Expanded.of(tube)
        if expanded is None:
            return False
        lower, upper = _faces(np.array(tube.halves))
        while len(lower):
            count = min(BATCH, len(lower))
            low, high, lower, upper = lower[-count:], upper[-count:], lower[:-count], upper[:-count]
            left -= count
            with np.errstate(all="ignore"):
                known, x, span, ball = _places(expanded, low, high)
                done = known & held.hold_bent(x, span, ball)
                rows = np.flatnonzero(known & ~done)
                done[rows] = _off(zeros.box.lower, zeros.box.upper, region, x[rows], span[rows], ball[rows])
            open_ = np.flatnonzero(~done)
            low, high = low[open_], high[open_]
            parts = (high - low) / np.array(tube.halves)
            if len(open_) and (left < 0 or (parts <= 2 * FINEST).all(1).any()):
                return False
            first, second, _ = halves(low, high, parts.argmax(1))
            lower, upper = np.concatenate([lower, first]), np.concatenate([upper, second])
    return True


def _faces(sides: Array) -> tuple[Array, Array]:
    d = len(sides)
    lower, upper = np.tile(-sides, (2 * d, 1)), np.tile(sides, (2 * d, 1))
    rows = np.arange(d)
    upper[rows, rows], lower[d + rows, rows] = -sides, sides
    return lower, upper


def _places(expanded: Expanded, lower: Array, upper: Array) -> tuple[Flags, Interval, Interval, Array]:
    """Where x is surely known, m (n, k), A (n, k, d), and the ball's radius (n,)."""
    shown, at, slopes, ball = expanded.shown(lower, upper)
    middle = lower + (upper - lower) / 2
    radius = np.nextafter(np.maximum(upper - middle, middle - lower), np.inf)
    tube: Tube = expanded.tube
    m = tube.codimension
    y = Interval.of(np.concatenate([at, middle], axis=1))
    x = product_of(expanded.turn[None], y[..., None])[..., 0] + Interval.of(np.array(tube.center))
    along = expanded.turn[:, m:] + product_of(expanded.turn[None, :, :m], Interval.of(slopes))
    return shown & np.isfinite(ball), x, along * Interval.of(radius[:, None]), ball


def _off(least: tuple[float, ...], most: tuple[float, ...], region: PatchMap | None, x: Interval, span: Interval, ball: Array) -> Flags:
    """Places that are off M: beyond the box, or where the region is negative."""
    room = (span.magnitude.sum(2) + ball[:, None]) * GROW
    low, high = np.nextafter(x.lower - room, -np.inf), np.nextafter(x.upper + room, np.inf)
    found = np.asarray(((low > np.array(most)) | (high < np.array(least))).any(1))
    if region is not None and len(low):
        found = found | (region(Patch.coordinates(low, high)).value.upper < 0).any(1)
    return found
