"""Values that lie outside of the pieces that read them by as little as rounding leads them (`Tiling.reaching`), or by more."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...atlas import Array, Block, Combine, Tiling
from .sites import NotProvableError

ROOM = 4
"""Pieces that are to hold values beyond them are told to go on so many times as far: values are enclosed anew once they do."""


def reaching(block: Block, tiling: Tiling, ranges: Array, computed: Sequence[bool]) -> Tiling:
    """The pieces of a block, the outer ones as far as what it reads may reach; `ranges` (k, 2), `computed` (k,): which are no inputs.

    Raises `NotProvableError`, which says what to write, where it may be farther out than rounding leads, or an input is out there.
    """
    beyond = tiling.beyond(*ranges.T)
    found = tiling.reaching(*ranges.T) if not (beyond[~np.array(computed)] > 0).any() else None
    if found is not None:
        return found
    a, b = np.array(tiling.domain.lower), np.array(tiling.domain.upper)
    k = int(np.argmax(beyond / np.maximum(np.maximum(np.abs(a), np.abs(b)), np.finfo(float).tiny)))
    (least, most), low, high = ranges[k], a[k], b[k]
    where = f"{block.reads[k]} has the proved range [{least:.6g}, {most:.6g}], the pieces fill [{low:.6g}, {high:.6g}] only"
    wanted = f"[{_out(low, min(least - low, 0.0))}, {_out(high, max(most - high, 0.0))}]"
    raise NotProvableError(f'{where}; let the pieces of block "{block.name}" reach over {wanted} along it')


def _out(end: float, by: float) -> float:
    """An end moved ROOM times as far, to two digits of that."""
    return round(float(end + ROOM * by), 1 - math.floor(math.log10(abs(by)))) if by and math.isfinite(by) else float(end)


def over(tiling: Tiling | None, node: Block | Combine) -> float:
    """How far the outer pieces of a block go on beyond those of the task."""
    if tiling is None or node.kind != "block" or node.tiling is None:
        return 0.0
    return float(node.tiling.beyond(tiling.domain.lower, tiling.domain.upper).max())
