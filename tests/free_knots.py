"""Splines for functions that can be asked anywhere, and the asymptotic bound of B4: what the library's splines are compared with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from atlasmoe import InvalidArgument
from atlasmoe.constructions.relu.spline.kinks import Kinks, find_kinks
from atlasmoe.constructions.relu.spline.spline import SAMPLES_PER_PIECE, Spline, fitted
from atlasmoe.expressions import Array

LEAST_SAMPLES = 1024
ZOOM, ZOOMS = 64, 5
"""Samples around a kink are ZOOM times as dense in each of ZOOMS − 1 rounds: 1/1024 becomes 10^-10."""


def equidistributed_bound(widths: Array, curvatures: Array, pieces: int) -> float:
    """(Σ w_k√M_k)²/(8(m−P)²), B4 (i): of interpolation at m = `pieces` > P knots on P cells with |F″| ≤ M_k; ∞ for m ≤ P."""
    spare = pieces - len(widths)
    return float((widths @ np.sqrt(curvatures)) ** 2 / (8 * spare**2)) if spare > 0 else np.inf


def free_knot_spline(function: Callable[[Array], Array], lower: float, upper: float, width: int) -> Spline:
    """A spline of at most `width` pieces for F : [lower, upper] → R^q, nearly optimal in the sup norm.

    `function` takes t (N,) to (N, q). Kinks are found on a grid and zoomed in on. `bound` is None: no number of samples proves anything.
    Raises `InvalidArgument` if the interval or the width is empty or a value is not finite.
    """
    if not (lower < upper and width >= 1):
        raise InvalidArgument(f"a spline needs lower < upper and width ≥ 1, got [{lower}, {upper}] and {width}")

    def at(t: Array) -> Array:
        values = np.asarray(function(t), float).reshape(len(t), -1)
        if not np.isfinite(values).all():
            raise InvalidArgument(f"the function is not finite at {t[~np.isfinite(values).all(1)][0]:.6g}")
        return values

    t = np.linspace(lower, upper, max(LEAST_SAMPLES, SAMPLES_PER_PIECE * width) + 1)
    values = at(t)
    found = zoomed(at, find_kinks(t, values, (width - 1) // 2), t)
    breaks = np.concatenate([t[:1], found.at, t[-1:]])
    return fitted(at, t, values, breaks, width)


def zoomed(at: Callable[[Array], Array], found: Kinks, t: Array) -> Kinks:
    """The kinks found on an equispaced grid t, as exactly as samples can tell; those that turn out smooth are left out."""
    spacing = (t[-1] - t[0]) / (len(t) - 1)
    for zoom in range(1, ZOOMS):
        close = []
        for kink in found.at:
            near = np.unique(np.clip(kink + spacing / ZOOM**zoom * np.arange(-1.5 * ZOOM, 1.5 * ZOOM + 1), t[0], t[-1]))
            kinks = find_kinks(near, at(near), 4)
            close.append(kinks[np.argsort(np.abs(kinks.at - kink), kind="stable")[:1]])
        found = Kinks.merge(close) if close else found
    return found
