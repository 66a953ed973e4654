"""Knots and levels of the best continuous piecewise-linear function: equal errors, half above and half below.

Between two knots a distance h apart let I interpolate F there. For F″ ≥ 0, 0 ≤ I − F ≤ e ≤ h²·max F″/8. Moving both
levels by −e/2 leaves e/2 (B19), so the best spline of m pieces has the error S²/(16m²), S = ∫√|F″|, asymptotically. Across
an inflection the two ends move in opposite directions, and the piece is longer than the others. Knots are found by
de Boor's iteration: their density follows √error/h of the pieces seen last, until all pieces err alike. Who
measures the errors, samples or a proof, does not matter here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ....atlas import Array
from ....errors import InvalidArgument

FLOOR = 1e-3
"""Least density, relative to the mean: straight stretches keep some knots, so that features missed there are found later."""
SWEEPS = 1
"""Relaxations of the shifts; they only matter where F″ changes its sign, and more than one lets errors elsewhere rise to the largest."""
DAMPED = 0.3
"""The density becomes error^DAMPED/h. The fixed point, equal errors, is that of the undamped ½, which overshoots at inflections."""
ROUNDS, MOST_ROUNDS, FEW_PIECES = 8, 24, 256
"""Of the iteration: with few pieces the inflections take longer to settle, and rounds cost little."""
UNKNOWN = 1e3
"""An error without a bound counts as this multiple of the largest one with."""
EQUAL = 1.02
"""Largest error over mean error at which pieces count as erring alike."""


def allocate(masses: Array, pieces: int) -> NDArray[np.intp]:
    """How many pieces each part gets, at least 1, `pieces` in all: the largest mass per piece is as small as possible."""
    wanted = masses / max(masses.sum(), np.finfo(float).tiny) * pieces
    counts = np.maximum(1, np.floor(wanted)).astype(np.intp)
    while counts.sum() > pieces and counts.max() > 1:
        counts[np.argmin(np.where(counts > 1, masses / np.maximum(counts - 1, 1), np.inf))] -= 1
    while counts.sum() < pieces:
        counts[np.argmax(masses / counts)] += 1
    return counts


def place(edges: Array, density: Array, breaks: Array, pieces: int) -> Array:
    """At most max(`pieces`, number of parts) + 1 knots, all `breaks` among them, sharing ∫ density evenly within each part.

    density (P,) is constant between the P + 1 ascending `edges`; `breaks` ascend from edges[0] to edges[−1]. A density that floats
    cannot add up, of values of 1e-310 or 1e300, says nothing: pieces are then of one length. Raises `InvalidArgument` for edges that are
    no numbers.
    """
    if not np.isfinite(edges).all():
        raise InvalidArgument("values of the target are too small or too large for floats to be told apart; measure it in other units")
    if not np.isfinite(density.sum() * (1 + edges[-1] - edges[0])):
        density = np.ones(len(density))
    density = np.maximum(density, FLOOR * density.mean() + np.finfo(float).tiny)
    mass = np.concatenate([[0.0], np.cumsum(density * np.diff(edges))])
    at = np.interp(breaks, edges, mass)
    counts = allocate(np.diff(at), pieces)
    part = np.repeat(np.arange(len(counts)), counts)
    step = np.arange(len(part)) - np.repeat(np.cumsum(counts) - counts, counts)
    knots = np.append(np.interp(at[part] + np.diff(at)[part] * step / counts[part], mass, edges), breaks[-1])
    knots[:-1][step == 0] = breaks[:-1]
    return knots[np.concatenate([[True], np.diff(knots) > 0])]


Gaps = Callable[[Array, Array], tuple[Array, Array]]
"""(left, right), each (n, q) ↦ (high, low), each (n, q): the largest and the smallest I − F + shift on each of n pieces, where the
shift runs linearly from `left` to `right`."""

Measure = Callable[[Array], Gaps]
"""knots (n + 1,) ↦ the gaps of the interpolant I at these knots."""


def half_shifts(gaps: Gaps, shape: tuple[int, int]) -> Array:
    """Shifts (n + 1, q) of the levels, for `shape` = (n, q): at every knot the largest errors above and below are balanced.

    A piece by itself wants −(high + low)/2. Where F″ changes its sign these wishes differ: relaxation finds that the piece with
    the inflection is best when its two ends are shifted in opposite directions.
    """
    high, low = gaps(np.zeros(shape), np.zeros(shape))
    wanted = -(high + low) / 2
    shifts = np.concatenate([wanted[:1], (wanted[1:] + wanted[:-1]) / 2, wanted[-1:]])
    for _ in range(SWEEPS):
        high, low = gaps(shifts[:-1], shifts[1:])
        shifts = shifts - (_worse(high) - _worse(-low)) / 3
    return shifts


def _worse(of_pieces: Array) -> Array:
    """At each of n + 1 knots the larger value of the neighbouring pieces."""
    return np.maximum(np.concatenate([of_pieces[:1], of_pieces]), np.concatenate([of_pieces, of_pieces[-1:]]))


def equalise(
    measure: Measure, outputs: int, edges: Array, density: Array, breaks: Array, pieces: int, rounds: int | None = None
) -> tuple[Array, Array]:
    """(knots, shifts) with the smallest largest error that de Boor's iteration meets on its way from `density`.

    On average the largest error is 1.05 times that of the best continuous spline at 16 pieces, 1.01 at 1024.
    """
    best, found = np.inf, None
    for _ in range(rounds or (MOST_ROUNDS if pieces < FEW_PIECES else ROUNDS)):
        knots = place(edges, density, breaks, pieces)
        gaps = measure(knots)
        shifts = half_shifts(gaps, (len(knots) - 1, outputs))
        high, low = gaps(shifts[:-1], shifts[1:])
        errors = np.maximum(high, -low).max(1)
        if not (known := np.isfinite(errors)).all():  # enclosures over long pieces may know nothing: shorter ones there
            errors = np.where(known, errors, UNKNOWN * errors[known].max(initial=1.0))
        elif errors.max() < best:
            best, found = float(errors.max()), (knots, shifts)
        if errors.max() <= EQUAL * errors.mean():
            break
        edges, density = knots, np.maximum(errors, 0) ** DAMPED / np.diff(knots)
    if found is None:
        raise InvalidArgument(f"{pieces} pieces are too few for any bound")
    return found
