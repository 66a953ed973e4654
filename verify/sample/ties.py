"""What happens near ties of gates when the same weights run in another batch size, or on other hardware."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, Points, concatenate
from .measure import Gauge
from .scores import gap, tie_tolerance

BATCHES = (1, 7, 61)
ALONE = 32
"""How many points are evaluated one by one."""
CALLS = 512
"""How often, at most, all layers together are called for one batch size: then the first points have to do."""
COPIES = 4
PROBE = 1e-4
"""Step, in box widths, with which the slope of the gap is measured."""


@dataclass(frozen=True)
class Worst:
    """The largest of some errors."""

    error: float
    witness: tuple[float, ...] | None


@dataclass(frozen=True, eq=False)
class Ties:
    """The network evaluated again at N points near its ties and interfaces."""

    points: int
    """How many were evaluated in batches of other sizes."""
    rerouted: int
    """Points where what is chosen changed with the batch size."""
    noise: Mapping[str, float]
    """Block on charts ↦ the largest change of a score between batch sizes."""
    tolerance: Mapping[str, float]
    """Block on charts ↦ g of `tie_tolerance`, or 8 × noise if that is more."""
    once: Worst
    """|f − Ψ| as it was."""
    changed: Worst
    """|f − Ψ| at the points that are rerouted, as they are then; 0 if none is."""
    tied: Mapping[str, Worst]
    """Block on charts ↦ |f − Ψ| with every other expert whose score is closer than g to that of one it takes; 0 if none is."""

    @property
    def worst(self) -> Worst:
        """Of all evaluations."""
        return max((self.once, self.changed, *self.tied.values()), key=lambda worst: worst.error)


def around(gauge: Gauge, ties: Points, blocks: NDArray[np.intp], seed: int) -> Points:
    """Ties of the blocks (N,), those on charts four times, moved in random directions to where a gap is about u·g, u uniform in [0, 1].

    So the strip in which other rounding may choose either expert is covered, and not only its middle.
    """
    soft = np.array([station.soft and station.site is not None for station in gauge.layout.stations])[blocks]
    if not soft.any():
        return ties[:0]
    rng = np.random.default_rng(seed)
    ties, blocks = concatenate([ties[soft]] * COPIES), np.tile(blocks[soft], COPIES)
    lower, upper = gauge.product.bounds(ties.chart)
    direction = rng.standard_normal(ties.intrinsic.shape)
    direction *= (upper - lower) / np.linalg.norm(direction, axis=1, keepdims=True)
    step = np.zeros(len(ties))
    with np.errstate(all="ignore"):
        trace = gauge.run(gauge.product.parametrise(ties.chart, ties.intrinsic + PROBE * direction))
        part = rng.random(len(ties))
        for l in np.unique(blocks):
            site, rows = gauge.layout.stations[l].site, blocks == l
            assert site is not None
            there = trace.logits[site.layer][rows][:, site.outputs].astype(float)
            wanted = tie_tolerance(gauge.network.dtype, there) * part[rows]
            slope = gap(there, site.taken(trace.chosen[site.layer])[0].shape[1]) / PROBE
            step[rows] = np.clip(np.nan_to_num(wanted / slope, posinf=0.0), 0, 10 * PROBE)
    return gauge.product.of(ties.chart, ties.intrinsic + step[:, None] * direction)


def retry(gauge: Gauge, points: Points) -> Ties:
    """Evaluate the points in several batch sizes, and with every other expert whose score is tied."""
    sites = {station.block.name: station.site.layer for station in gauge.layout.stations if station.soft and station.site is not None}
    outputs = {station.block.name: station.site.outputs for station in gauge.layout.stations if station.site is not None}
    noise = dict.fromkeys(sites, 0.0)
    with np.errstate(all="ignore"):
        together, target = gauge.run(points), gauge.truth(points).output
        moved, changed, most = np.zeros(len(points), bool), Worst(0.0, None), 0
        for size in BATCHES:
            limit = min(len(points), ALONE if size == 1 else size * (CALLS // len(gauge.network.layers)))
            most = max(most, limit)
            for start in range(0, limit, size):
                rows = np.arange(start, min(start + size, limit))
                again = gauge.run(points[rows])
                for name, layer in sites.items():
                    own = outputs[name]
                    change = np.abs(again.logits[layer][:, own].astype(float) - together.logits[layer][rows][:, own].astype(float))
                    change = np.nan_to_num(change)
                    noise[name] = max(noise[name], float(change.max(initial=0)))
                pairs = zip(again.chosen, together.chosen, strict=True)
                other = np.any([(new != old[rows]).any(1) for new, old in pairs], axis=0)
                moved[rows] |= other
                changed = _worse(changed, gauge.graph.largest(again.output.astype(float) - target[rows])[other], points[rows[other]])
        once = _worse(Worst(0.0, None), gauge.graph.largest(together.output.astype(float) - target), points)
        tolerance, tied = {}, dict.fromkeys(sites, Worst(0.0, None))
        for station in gauge.layout.stations:
            name = station.block.name
            if name in sites:
                assert station.site is not None
                logits = together.logits[sites[name]][:, station.site.outputs].astype(float)
                tolerance[name] = max(tie_tolerance(gauge.network.dtype, logits), 8 * noise[name])
                rows, routes = gauge.tied(station, together, tolerance[name])
                if len(rows):
                    tied[name] = _worse(tied[name], gauge.error_along(station, points[rows], routes, target[rows]), points[rows])
    return Ties(most, int(moved.sum()), noise, tolerance, once, changed, tied)


def _worse(worst: Worst, errors: Array, points: Points) -> Worst:
    """The worst so far, or the largest of these errors if that is larger; NaN counts as infinite."""
    errors = np.where(np.isnan(errors), np.inf, errors)
    if not len(errors) or errors.max() <= worst.error:
        return worst
    return Worst(float(errors.max()), tuple(points.ambient[int(errors.argmax())].tolist()))
