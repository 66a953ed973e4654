"""That a manifold of equations stays off the faces of its box, where it is not said that it may end there (`boundary`).

Statement. Let every face of the box be cut into cells of its own dimension, on each of which some equation is shown not to be 0, or the
region to be negative. Then no point of M = {x in the box: g(x) = 0, h(x) ≥ 0} is on a face: M does not end there unannounced. Asked
of the files once more, by values at vertices and second derivatives between them, whatever built the charts had found.
"""

from __future__ import annotations

import numpy as np

from ...atlas.implicit.zeros import ZeroSet
from ...intervals.patch import Patch, PatchMap
from .functions import halves
from .nets import Flags

BATCH, MOST = 1 << 12, 1 << 20
FINEST = 2.0**-14
"""The least sides of cells of faces, in parts of the box."""


def off_faces(zeros: ZeroSet) -> bool:
    """Whether it is shown of all faces."""
    equations, region = PatchMap(zeros.equations), None if zeros.within is None else PatchMap(zeros.within)
    lower, upper = _faces(np.array(zeros.box.lower), np.array(zeros.box.upper))
    widths, looked = zeros.box.widths, 0
    while len(lower):
        count = min(BATCH, len(lower))
        low, high, lower, upper = lower[-count:], upper[-count:], lower[:-count], upper[:-count]
        looked += count
        left = np.flatnonzero(~without(equations, region, low, high))
        if len(left) and (looked > MOST or ((high[left] - low[left]) <= FINEST * widths).all(1).any()):
            return False
        first, second, _ = halves(low[left], high[left], ((high[left] - low[left]) / widths).argmax(1))
        lower, upper = np.concatenate([lower, first]), np.concatenate([upper, second])
    return True


def without(equations: PatchMap, region: PatchMap | None, lower: np.ndarray, upper: np.ndarray) -> Flags:
    """Cells, corners (n, k), that hold no zero at which the region is not negative."""
    if not len(lower):
        return np.zeros(0, bool)
    cells = Patch.coordinates(lower, upper)
    value = equations(cells).value
    found = ((value.lower > 0) | (value.upper < 0)).any(1)
    return np.asarray(found if region is None else found | (region(cells).value.upper < 0).any(1))


def _faces(lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All 2k faces of a box as boxes without a width along one axis."""
    k = len(lower)
    low, high = np.tile(lower, (2 * k, 1)), np.tile(upper, (2 * k, 1))
    for i in range(k):
        high[2 * i, i], low[2 * i + 1, i] = lower[i], upper[i]
    return low, high
