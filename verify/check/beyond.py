"""Values that lie outside of the pieces that read them by as little as rounding leads them (`Tiling.reaching`)."""

from __future__ import annotations

from collections.abc import Container, Sequence

import numpy as np

from ...atlas import Tiling
from .documents import Documents, Site
from .refused import Refused


def reaching(site: Site, tiling: Tiling, ranges: Sequence[tuple[float, float]], computed: Container[str]) -> Tiling:
    """The pieces of a block, the outer ones as far as what it reads may reach. Raises `Refused` where that is more than rounding."""
    lower, upper = np.array(ranges).T
    for name, beyond in zip(site.variables, tiling.beyond(lower, upper), strict=True):
        if not (name in computed or beyond == 0):
            raise Refused(f"the input {name} may be outside of the pieces by {beyond:.6g}")
    found = tiling.reaching(lower, upper)
    if found is None:
        box = tiling.domain
        raise Refused(f"{site.variables} may be anywhere from {lower} to {upper}, the pieces fill {box.lower} to {box.upper}")
    return found


def over(site: Site, found: Documents) -> float:
    """How far what a block reads may lie outside of its pieces, by the certificate's own ranges; 0 of other nodes."""
    block = next((node for node in found.graph.blocks if node.name == site.name), None)
    if block is None or block.tiling is None:
        return 0.0
    ranges = {value.component: (value.lower, value.upper) for other in found.sites for value in other.values}
    box = block.tiling.domain
    read = [ranges.get(name, ends) for name, *ends in zip(block.reads, box.lower, box.upper, strict=True)]
    return float(block.tiling.beyond(*np.array(read).T).max())
