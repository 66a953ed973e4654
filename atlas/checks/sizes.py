"""Coordinates are of sizes whose squares are floats, and sides of boxes long enough for floats to tell their parts apart.

Fits square what they read twice over, and proofs halve every side of a box at least eight times at places that have to be different floats.
"""

from __future__ import annotations

import numpy as np

from ...errors import Finding
from ...expressions.box import Array, Box
from .probe import Probe, error

LARGEST = 1e75
"""Of coordinates: fourth powers of these, and of their inverses, are far from the ends of float64."""
FEWEST = 1 << 10
"""Floats along a side of a box: four in each of the 256 parts into which proofs cut it before they look."""


def check_box(where: str, box: Box) -> list[Finding]:
    """The sides of a box of coordinates."""
    for k, (low, high) in enumerate(zip(box.lower, box.upper, strict=True)):
        size, side = max(abs(low), abs(high)), f"{where}[{k}]" if box.dimension > 1 else where
        if problem := _amiss(size, high - low):
            return [error(side, f"[{low!r}, {high!r}] {problem}", "measure the coordinate in other units")]
        if high - low < FEWEST * np.spacing(size):
            count = round((high - low) / float(np.spacing(size)))
            problem = f"only {count} float64 numbers lie between {low!r} and {high!r}, too few for boxes to be cut there"
            return [error(side, problem, "widen it, or shift the coordinate so that it is small there")]
    return []


def check_image(probe: Probe, where: str) -> list[Finding]:
    """What φ⁻¹ takes the box to; where that is one point, others say so."""
    y: Array = probe.chart.inverse(probe.closed)
    largest = np.abs(y).max(1)
    length = float(np.ptp(y, axis=0).max(initial=0.0))
    problem = _amiss(float(largest.max(initial=0.0)), length or 1.0)
    return [error(where, problem, "measure the coordinates in other units", probe.closed[int(largest.argmax())])] if problem else []


def _amiss(size: float, length: float) -> str:
    if size > LARGEST:
        return f"reaches beyond {LARGEST:g}, and floats overflow where such numbers are squared twice"
    return f"is shorter than {1 / LARGEST:g}, and floats vanish where such numbers are squared twice" if length < 1 / LARGEST else ""
