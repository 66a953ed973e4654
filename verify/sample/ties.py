"""What happens near argmax ties when the same weights run in another batch size, or on other hardware."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...atlas import Array, Atlas, ManifoldTask, Points, concatenate
from ...moe.network import Network
from .measure import error_along, scores, tie_tolerance, tied_routes
from .points import of_manifold

BATCHES = (1, 7, 61)
ALONE = 32
"""How many points are evaluated one by one."""
COPIES = 4
PROBE = 1e-4
"""Step, in box widths, with which the slope of the gap is measured."""


@dataclass(frozen=True, eq=False)
class Ties:
    """The network re-evaluated at N points near its ties."""

    noise: float
    """Largest change of a score between batch sizes."""
    tolerance: float
    """g of `tie_tolerance`, or 8 × noise if that is more."""
    rerouted: int
    """Points whose route changed with the batch size."""
    tied: int
    """Points with another score closer than g to the largest."""
    error: float
    """Largest |f − Ψ| over all re-evaluations, and over the other experts at the tied points."""
    worst: int | None
    """Index of the point where it is reached; None if there are no points."""


def around(network: Network, atlas: Atlas, ties: Points, seed: int) -> Points:
    """Every tie four times, moved in random directions to where the two largest scores differ by about u·g, u uniform in [0, 1].

    So the strip in which other rounding may choose either expert is covered, and not only its middle.
    """
    if not len(ties):
        return ties
    rng = np.random.default_rng(seed)
    ties = concatenate([ties] * COPIES)
    widths = np.array([chart.domain.widths for chart in atlas.parametrising])[ties.chart]
    direction = rng.standard_normal(ties.intrinsic.shape)
    direction *= widths / np.linalg.norm(direction, axis=1, keepdims=True)
    with np.errstate(all="ignore"):
        there = scores(network, atlas.parametrise(ties.chart, ties.intrinsic + PROBE * direction).ambient).astype(float)
        wanted = tie_tolerance(network.dtype, there) * rng.random(len(ties))
        two = np.partition(there, -2, axis=1)[:, -2:]
        step = np.clip(np.nan_to_num(wanted * PROBE / (two[:, 1] - two[:, 0]), posinf=0.0), 0, 10 * PROBE)
    return of_manifold(atlas, ties.chart, ties.intrinsic + step[:, None] * direction)


def _in_batches(network: Network, ambient: Array, size: int) -> Array:
    """The scores when the points are evaluated `size` at a time."""
    parts = [scores(network, ambient[start : start + size]) for start in range(0, len(ambient), size)]
    return np.concatenate(parts).astype(float)


def retry(network: Network, task: ManifoldTask, points: Points) -> Ties:
    """Evaluate the points in several batch sizes, and with every other expert whose score is tied."""
    if not len(points):
        return Ties(0.0, 0.0, 0, 0, 0.0, None)
    with np.errstate(all="ignore"):
        together = scores(network, points.ambient).astype(float)
        route = together.argmax(1)
        noise = 0.0
        rows, routes = [np.arange(len(points))], [route]
        for size in BATCHES:
            some = slice(None, ALONE if size == 1 else None)
            again = _in_batches(network, points.ambient[some], size)
            noise = max(noise, float(np.nan_to_num(np.abs(again - together[some])).max(initial=0)))
            changed = np.flatnonzero(again.argmax(1) != route[some])
            rows.append(changed)
            routes.append(again.argmax(1)[changed])
        rerouted = len(np.unique(np.concatenate(rows[1:])))
        tolerance = max(tie_tolerance(network.dtype, together), 8 * noise)
        tied, other = tied_routes(together, route, tolerance)
        which, along = np.concatenate([*rows, tied]), np.concatenate([*routes, other])
        error = error_along(network, task, points[which], along)
    worst = int(np.where(np.isnan(error), np.inf, error).argmax())
    return Ties(noise, tolerance, rerouted, len(np.unique(tied)), float(error[worst]), int(which[worst]))
