"""Rounding on all of M: the bound of `rounding` on cells that cover its charts, cut where it is largest.

How much rounding adds differs from place to place: neurons face outward, so that few are busy near the middle of a chart and sums are
small there. Cells are cut while that lowers the largest bound; the numbers that are published are rounded up by a part `ROOM`, so that
whoever covers M by other cells can confirm them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array
from ...expressions import halved
from ...moe.network import Network
from .evaluation import Evaluation
from .manifold import EnclosedManifold
from .rounding import Sized, arriving, network

ROOM = 2.0**-3
FIRST = 256
"""Cells of a chart to begin with, at most…"""
FEWEST, SHARED = 16, 4096
"""…and at least, of so many in all."""
WORST, GAIN, PATIENCE = 0.93, 0.98, 3
"""Cells above this part of the largest bound are cut; it is given up after so many rounds that left more than this part of it."""
MOST = 1 << 12
"""Cells that are looked at beside the first ones, at most."""
NUMBERS = 1 << 22
"""Numbers of one array at a time."""


@dataclass(frozen=True)
class Rounding:
    """How far an evaluation is from the real-arithmetic function, at every point of M and whatever routes are taken."""

    logits: float
    """η: every logit of every layer is computed to within this…"""
    outputs: float
    """…and every output to within this."""


class Cells:
    """A network on cells of a manifold, of which it reads Q·z, z within `moves` of the points."""

    def __init__(
        self,
        weights: Network,
        manifold: EnclosedManifold,
        size: Array,
        computed: Mapping[str, Array],
        chosen: Sequence[int] | None,
        ways: Sequence[Evaluation],
    ) -> None:
        """`size`: |z_k| at most, (k,). `computed`: evaluation ↦ (reads,), how far off what is read already is."""
        self.weights, self.manifold, self.size, self.chosen, self.ways = weights, manifold, size, chosen, ways
        self.computed = np.stack([np.broadcast_to(computed.get(way.name, 0.0), (len(weights.inputs),)) for way in ways])
        widest = max(len(weights.inputs), *(max((net.outputs, *net.widths)) for part in weights.layers for net in part.nets))
        self.step = max(1, NUMBERS // (widest * (len(ways) + 3)))

    def roundings(self) -> dict[str, Rounding]:
        """Evaluation ↦ its bounds on all of M."""
        charts = [(lower, upper, self._bounds(p, lower, upper)) for p, (lower, upper) in enumerate(self._first())]
        worst, looked, idle = _largest(charts), 0, 0
        # Rounding in float64 is far below anything it is compared with.
        watched = [n for n, way in enumerate(self.ways) if way.dtype != "float64"]
        while watched and idle < PATIENCE:
            large = [np.asarray((bounds > WORST * worst[:, :, None])[:, watched].any((0, 1))) for _, _, bounds in charts]
            looked += 2 * sum(int(cells.sum()) for cells in large)
            if looked > MOST:
                break
            charts = [self._cut(p, *chart, cells) for p, (chart, cells) in enumerate(zip(charts, large, strict=True))]
            before, worst = worst, _largest(charts)
            idle = 0 if (worst[:, watched] < GAIN * before[:, watched]).any() else idle + 1
        return {way.name: Rounding(float(eta), float(added)) for way, eta, added in zip(self.ways, *(worst * (1 + ROOM)), strict=True)}

    def _cut(self, p: int, lower: Array, upper: Array, bounds: Array, large: NDArray[np.bool_]) -> tuple[Array, Array, Array]:
        """The cells of a chart, the large ones halved."""
        if not large.any():
            return lower, upper, bounds
        low, high = lower[large], upper[large]
        low, high = halved(low, high, ((high - low) / self.manifold.charts[p].chart.domain.widths).argmax(1))
        kept = np.concatenate([lower[~large], low]), np.concatenate([upper[~large], high])
        return (*kept, np.concatenate([bounds[:, :, ~large], self._bounds(p, low, high)], axis=2))

    def whole(self) -> dict[str, Rounding]:
        """The same from one cell a chart: its whole box."""
        boxes = [enclosed.chart.domain for enclosed in self.manifold.charts]
        found = [self._bounds(p, np.array([box.lower]), np.array([box.upper])).max(2) for p, box in enumerate(boxes)]
        worst = np.max(found, axis=0) * (1 + ROOM)
        return {way.name: Rounding(float(eta), float(added)) for way, eta, added in zip(self.ways, *worst, strict=True)}

    def _first(self) -> list[tuple[Array, Array]]:
        charts = [enclosed.chart for enclosed in self.manifold.charts]
        count = int(np.clip(SHARED // len(charts), FEWEST, FIRST))
        return [chart.domain.cells(count) for chart in charts]

    def _bounds(self, p: int, lower: Array, upper: Array) -> Array:
        """(2, V, N): η, and what is added to the outputs; 0 off the chart."""
        out = np.zeros((2, len(self.ways), len(lower)))
        for start in range(0, len(lower), self.step):
            part = slice(start, start + self.step)
            out[:, :, part] = self._some(p, lower[part], upper[part])
        return out

    def _some(self, p: int, lower: Array, upper: Array) -> Array:
        place = self.manifold.place(p, lower, upper)
        out = np.zeros((2, len(self.ways), len(lower)))
        rows = np.flatnonzero(~self.manifold.outside(place))
        if not len(rows):
            return out
        span = place.z.subset(rows).range()
        # What is not known of a cell is known of M.
        low, high = np.fmax(span.lower, -self.size), np.fmin(span.upper, self.size)
        z = Sized(low, high, np.zeros((len(self.ways), *low.shape)))
        embedding = self.manifold.atlas.embedding
        x = arriving(embedding, z, self.ways)
        x = Sized(x.lower, x.upper, x.error + self.computed[:, None])
        out[:, :, rows] = network(self.weights, x, self.ways, None if self.chosen is None else self.chosen[p])
        return out


def _largest(charts: Sequence[tuple[Array, Array, Array]]) -> Array:
    """(2, V): the largest bounds of all cells."""
    return np.asarray(np.max([bounds.max(2, initial=0.0) for _, _, bounds in charts], axis=0))
