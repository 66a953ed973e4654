"""The boxes that pieces start from, and the gate outputs of charts."""

from __future__ import annotations

import numpy as np

from ...atlas import Tiling
from .documents import Site
from .refused import Refused


def require_roots(site: Site, tiling: Tiling) -> None:
    """Raises `Refused` unless the roots of a tiling's trees hold their pieces, widened on the outside by what is read amiss."""
    if site.charts or site.scores is not None or len(site.trees) != len(tiling):
        raise Refused("it has not one tree for every piece, or is called one on charts")
    outer = np.array([tiling.domain.lower, tiling.domain.upper])
    for tree, low, high in zip(site.trees, tiling.lower, tiling.upper, strict=True):
        wide = site.moves > 0
        low = np.where(wide & (low == outer[0]), np.nextafter(low - site.moves, -np.inf), low)
        high = np.where(wide & (high == outer[1]), np.nextafter(high + site.moves, np.inf), high)
        if not ((tree.root[0] <= low) & (tree.root[1] >= high)).all():
            raise Refused("the root box of a piece does not hold it, with what may be read amiss")


def require_outputs(site: Site, charts: int) -> None:
    """Raises `Refused` unless the gate has an output for every chart, or as many of one name, one after the other, for each (B21), and
    scores are those of a gate with one for each.
    """
    names, copies = site.winners, len(site.winners) // charts
    alike = all(len(set(names[n * copies : (n + 1) * copies])) == 1 for n in range(charts))
    if len(names) != copies * charts or not alike or (site.scores is not None and (copies > 1 or names == ("all",))):
        raise Refused(f"there are {len(names)} gate outputs for {charts} charts, or no gate that scores could be of")
