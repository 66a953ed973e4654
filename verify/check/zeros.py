"""The claim that charts leave no zero of the equations out: cells of the box, each without a zero, or in a tube, or halved.

A cell holds no zero where some equation, or the region, is shown not to be 0, or to be negative, by its values at the vertices and second
derivatives between them. A zero in a cell that lies in a tube is a point of its chart (`tubes`).
"""

from __future__ import annotations

import numpy as np

from ...atlas import Atlas
from ...intervals import Interval
from ...intervals.patch import PatchMap
from .documents import Documents
from .edges import require_whole
from .faces import off_faces, without
from .functions import halves
from .refused import Refused
from .tubes import Tubes

BATCH, MOST = 1 << 12, 1 << 21
FINEST = 2.0**-26
"""The least sides of cells, in parts of the box."""


def require_zeros(found: Documents, site: str, atlas: Atlas | None) -> None:
    """Raises `Refused` where it, or that they are whole components, is claimed of a site's charts, and not shown."""
    claimed = found.claimed(site, "zeros")
    if claimed and (atlas is None or atlas.implicit is None or not none_left_out(atlas)):
        raise Refused("it is not shown that every zero of the equations lies in a chart", rejected=False)
    if claimed and atlas is not None and atlas.implicit is not None and not atlas.implicit.boundary and not off_faces(atlas.implicit.zeros):
        raise Refused("it is not shown that M stays off the faces of its box, and it is not said that it may end there", rejected=False)
    require_whole(found, site, atlas)


def none_left_out(atlas: Atlas) -> bool:
    """Whether it is shown of all zeros in the box."""
    assert atlas.implicit is not None
    zeros, tubes = atlas.implicit.zeros, [chart.tube for chart in atlas.parametrising if chart.tube is not None]
    every = [*tubes, *atlas.implicit.aside]
    if any(not tube.equations.same(zeros.equations) for tube in every):
        return False
    held, equations = Tubes(every), PatchMap(zeros.equations)
    region = None if zeros.within is None else PatchMap(zeros.within)
    lower, upper = np.array([zeros.box.lower]), np.array([zeros.box.upper])
    widths, looked, allowed = zeros.box.widths, 0, np.ones(len(every), bool)
    while len(lower):
        count = min(BATCH, len(lower))
        low, high, lower, upper = lower[-count:], upper[-count:], lower[:-count], upper[:-count]
        looked += count
        left = np.flatnonzero(~held.hold(Interval(low, high), allowed))
        left = left[~without(equations, region, low[left], high[left])]
        if len(left) and (looked > MOST or ((high[left] - low[left]) <= FINEST * widths).all(1).any()):
            return False
        first, second, _ = halves(low[left], high[left], ((high[left] - low[left]) / widths).argmax(1))
        lower, upper = np.concatenate([lower, first]), np.concatenate([upper, second])
    return True
