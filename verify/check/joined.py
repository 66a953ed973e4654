"""Leaves that follow each other in a tree and fill a box together: what holds on the box holds on each of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...atlas import Array
from .nets import Flags, Indices
from .trees import PROVED, Tree


class Joined(NamedTuple):
    """Boxes of leaves number first … last − 1 of some rows of a tree."""

    first: Indices
    last: Indices
    lower: Array
    upper: Array

    def some(self, which: Flags | Indices | slice) -> Joined:
        return Joined(self.first[which], self.last[which], self.lower[which], self.upper[which])


def joined(tree: Tree, rows: Indices, passes: int) -> Joined:
    """Boxes of two leaves or more, all tagged proved, neighbours joined pairwise as often as said."""
    proved = tree.tags[rows] == PROVED
    first = np.flatnonzero(proved)
    found = Joined(first, first + 1, tree.lower[rows[first]], tree.upper[rows[first]])
    for _ in range(passes):
        found = _paired(found)
    return found.some(found.last - found.first > 1)


def _paired(boxes: Joined) -> Joined:
    """Boxes with the next ones where the two fill a box, each once."""
    if len(boxes.first) < 2:
        return boxes
    here, after = boxes.some(slice(None, -1)), boxes.some(slice(1, None))
    differ = (here.lower != after.lower) | (here.upper != after.upper)
    fits = (differ.sum(1) == 1) & (differ & (here.upper == after.lower)).any(1) & (here.last == after.first)
    kept = np.ones(len(boxes.first), bool)
    last, upper, n = boxes.last.copy(), boxes.upper.copy(), 0
    for place in np.flatnonzero(fits).tolist():
        if place >= n:
            last[place], upper[place], kept[place + 1] = boxes.last[place + 1], boxes.upper[place + 1], False
            n = place + 2
    return Joined(boxes.first[kept], last[kept], boxes.lower[kept], upper[kept])
