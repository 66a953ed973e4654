"""Where the checks look at a chart, how they close in on a worst point, and how they word what they found.

Every check is pointwise: lattice points (corners, face centres and the centre of the box among them), low-discrepancy
points inside, on the faces and just inside them, the rim where a chart's region ends; then `descend` from the worst.
All of it is deterministic, and what is printed is rounded so that it does not depend on the last digits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import Finding, Severity
from ...expressions.box import Array, Box
from .. import distinct
from ..chart import Chart
from ..extents import meeting
from ..partition import PartitionOfUnity

LATTICE = 750
"""At most this many lattice points per chart."""
NEAR = 1e-3
"""Points "just inside a face" are this fraction of half a box width away from it."""
MOVES = 12
"""Trial moves per coordinate, point and round of `descend`."""
ROUNDS = 48
PATIENCE = 6
"""`descend` gives up on a point whose value fell by less than HOPE of its size in this many rounds …"""
BETWEEN = 0.05
"""A chart reaches beyond its points by less than this fraction of their extent: some lie on all of its faces and corners."""
HOPE = 0.25
"""… because on the way to a zero like |u|^p or to a pole it falls by 1 − 2^{−p} in every round or two."""

Face = tuple[int, int]
"""(axis, side), side 0 for the lower face of the box and 1 for the upper."""


@dataclass(frozen=True, eq=False)
class Probe:
    """The points at which chart number `index` of the parametrising charts is looked at."""

    index: int
    chart: Chart
    samples: int
    seed: int

    @property
    def box(self) -> Box:
        return self.chart.domain

    def _in_region(self, points: Array) -> Array:
        return points if self.chart.region is None else points[self.chart.inside(points)]

    @cached_property
    def _lattice(self) -> Array:
        d = self.box.dimension
        side = int(LATTICE ** (1 / d) + 1e-9)
        side -= 1 - side % 2  # odd, so that the centre and the face centres belong to it
        axis = np.linspace(-1, 1, side) if side >= 3 else np.zeros(1)
        lattice = np.array(list(itertools.product(axis, repeat=d)))
        corners = np.array(list(itertools.product((-1.0, 1.0), repeat=d))) if side < 3 and d <= 12 else lattice[:0]
        order = np.argsort(np.round(np.abs(lattice).sum(-1), 9), kind="stable")  # the centre first
        return self.box.from_unit(np.concatenate([lattice[order], corners]))

    @cached_property
    def everywhere(self) -> Array:
        """(n, d) points of the closed box, whether in the region or not."""
        sobol = self.box.low_discrepancy(self.samples, self.seed)
        edges = [face for points in self._all_faces.values() for face in (points, self._shrink(points))]
        return np.concatenate([self._lattice, sobol, *edges])

    def _shrink(self, points: Array) -> Array:
        return self.box.from_unit(self.box.to_unit(points) * (1 - NEAR))

    @cached_property
    def _all_faces(self) -> dict[Face, Array]:
        d = self.box.dimension
        count = 1 if d == 1 else max(32, self.samples // (4 * d))
        faces = {}
        for k, side in itertools.product(range(d), (0, 1)):
            points = self.box.low_discrepancy(count, self.seed + 1 + 2 * k + side)
            faces[k, side] = distinct.rows(self.box.on_face(k, side, np.concatenate([self._lattice, points])))
        return faces

    @cached_property
    def closed(self) -> Array:
        """(n, d) points of the closed box at which the region is positive, the rim included."""
        return np.concatenate([self._in_region(self.everywhere), self.rim])

    @cached_property
    def open(self) -> Array:
        """The points of `closed` off the faces of the box."""
        return self.closed[np.abs(self.box.to_unit(self.closed)).max(-1) <= 1 - NEAR / 2]

    @cached_property
    def faces(self) -> dict[Face, Array]:
        """Points on each face that is not declared `boundary`, the region respected; faces outside the region are left out."""
        inside = {face: self._in_region(points) for face, points in self._all_faces.items() if not self.chart.boundary[face[0]][face[1]]}
        return {face: points for face, points in inside.items() if len(points)}

    @cached_property
    def rim(self) -> Array:
        """Points at which the region is about to end, by bisection between points inside and outside; empty without a region."""
        if self.chart.region is None:
            return np.empty((0, self.box.dimension))
        inside = self.chart.inside(self.everywhere)
        good, bad = self.everywhere[inside], self.everywhere[~inside]
        if not len(good) or not len(bad):
            return np.empty((0, self.box.dimension))
        count = min(1024, self.samples)
        near = good[np.arange(count) * 7 % len(good)]
        far = bad[np.arange(count) * 5 % len(bad)]
        for _ in range(50):
            middle = (near + far) / 2
            inside = self.chart.inside(middle)[:, None]
            near, far = np.where(inside, middle, near), np.where(inside, far, middle)
        return near

    def tall(self, partition: PartitionOfUnity) -> float:
        """The largest value of the chart's bump that is seen on it."""
        if partition not in self._tall:
            bump = partition.bump(self.chart, self.chart.inverse(self.closed))
            self._tall[partition] = float(np.max(bump, initial=0))
        return self._tall[partition]

    @cached_property
    def _tall(self) -> dict[PartitionOfUnity, float]:
        return {}

    @cached_property
    def extent(self) -> tuple[Array, Array]:
        """A box around the points of the chart that are looked at, with a little room; (k,) each."""
        base = self.chart.inverse(self.closed)
        base = base[np.isfinite(base).all(-1)]
        if not len(base):
            return np.full(self.chart.inverse.outputs, -np.inf), np.full(self.chart.inverse.outputs, np.inf)
        low, high = base.min(0), base.max(0)
        room = BETWEEN * (high - low).max(initial=0.0)
        return low - room, high + room

    def thin(self, points: Array, count: int) -> Array:
        """At most `count` of the points, evenly spread over their order."""
        return points if len(points) <= count else points[np.linspace(0, len(points) - 1, count).astype(int)]


def descend(objective: Callable[[Array], Array], starts: Array, chart: Chart, *, radius: float = 0.1, seed: int = 0) -> tuple[Array, Array]:
    """Follow `objective` ((n, d) to (n,)) over a chart to a zero or to −∞, from starts (K, d): points (K, d) and values (K,).

    Random moves within a radius, in box units, that halves after every round without a gain. Points that are heading
    for neither are given up early, so other minima are found only roughly. NaN counts as +∞.
    """
    rng = np.random.default_rng(seed)
    box, (K, d) = chart.domain, starts.shape

    def value(points: Array) -> Array:
        values = np.nan_to_num(objective(points), nan=np.inf, posinf=np.inf)
        return np.where(chart.inside(points), values, np.inf)

    best, best_value = np.array(starts), value(starts)
    reach = np.full(K, radius)
    before = best_value
    for turn in range(ROUNDS):
        if turn and turn % PATIENCE == 0:
            if not (best_value < before - HOPE * np.abs(before)).any():
                break
            before = best_value
        moves = rng.uniform(-1, 1, (K, MOVES * d, d)) * reach[:, None, None]
        trial = box.from_unit(np.clip(box.to_unit(best)[:, None] + moves, -1, 1))
        values = value(trial.reshape(-1, d)).reshape(K, -1)
        pick = values.argmin(1)
        gain = values[np.arange(K), pick] < best_value
        best = np.where(gain[:, None], trial[np.arange(K), pick], best)
        best_value = np.where(gain, values[np.arange(K), pick], best_value)
        reach = np.where(gain, reach, reach / 2)
    return best, best_value


def worst(values: ArrayLike) -> int:
    """Index of the largest value; NaN is largest, and values equal to about 1e-6 relative count as ties (the first wins)."""
    candidates = np.nan_to_num(np.asarray(values, np.float64), nan=np.inf, posinf=np.inf)
    top = float(candidates.max())
    return int(np.argmax(candidates >= top - 1e-6 * abs(top))) if np.isfinite(top) else int(np.argmax(candidates))


def rounded(point: ArrayLike) -> tuple[float, ...]:
    """A witness point rounded to about four digits of its largest coordinate; below 1e-9 nothing is left."""
    point = np.asarray(point, float)
    size = max(float(np.abs(point).max()), 1e-300)
    digits = min(4 - int(np.floor(np.log10(size))), 9) if np.isfinite(size) else 6
    return tuple(float(f"{round(float(v), digits) + 0.0:.6g}") for v in point)


def number(value: float) -> str:
    """A number in a message: two significant digits."""
    return f"{value:.2g}"


def names(chart: Chart) -> str:
    """The intrinsic coordinates of a chart as a tuple, for messages: `(u, v)`, or `u` in one dimension."""
    variables = ", ".join(chart.inverse.names)
    return f"({variables})" if chart.dimension > 1 else variables


def face_name(chart: Chart, face: Face) -> str:
    """`u = 1.5`."""
    bound = (chart.domain.lower, chart.domain.upper)[face[1]][face[0]]
    return f"{chart.inverse.names[face[0]]} = {bound:.6g}"


def error(where: str, problem: str, remedy: str, witness: Iterable[float] | None = None) -> Finding:
    return Finding(Severity.ERROR, where, problem, remedy, None if witness is None else rounded(np.array(list(witness))))


def warning(where: str, problem: str, remedy: str, witness: Iterable[float] | None = None) -> Finding:
    return Finding(Severity.WARNING, where, problem, remedy, None if witness is None else rounded(np.array(list(witness))))


def many(bad: Array | NDArray[np.bool_] | np.bool_) -> str:
    """`about 3 % of the points`: a share to one digit, since counts of sampled points say little."""
    share = 100 * float(np.mean(bad))
    if share >= 95:
        return "all points" if share == 100 else "nearly all points"
    return f"about {float(f'{share:.1g}'):g} % of the points"


def jacobians(chart: Chart, points: Array) -> Array:
    """∂φ⁻¹/∂u [n, k, d] in box units (columns times half the widths); by central differences where sympy cannot print one."""
    half = chart.domain.widths / 2
    try:
        return chart.inverse.jacobian_at(points) * half
    except Exception:  # a derivative without a numpy form, such as that of a complex-looking Abs
        step = 1e-6
        columns = [
            (chart.inverse(points + step * half * axis) - chart.inverse(points - step * half * axis)) / (2 * step)
            for axis in np.eye(chart.dimension)
        ]
        return np.stack(columns, axis=-1)


def solve_least_squares(matrices: Array, residuals: Array) -> Array:
    """Minimum-norm solutions [n, p] of [n, q, p] x = [n, q]; rows that are not finite give zero."""
    good = np.isfinite(matrices).all((1, 2)) & np.isfinite(residuals).all(1)
    steps = np.zeros((len(matrices), matrices.shape[2]))
    if good.any():
        steps[good] = np.einsum("npq,nq->np", np.linalg.pinv(matrices[good], rcond=1e-8), residuals[good])
    return steps


def nearby(probes: Sequence[Probe]) -> Callable[[Array], list[Probe]]:
    """Which of the probes' charts some points (n, k) of M may lie in, by the boxes around them."""
    boxes = np.array([probe.extent[0] for probe in probes]), np.array([probe.extent[1] for probe in probes])
    return lambda points: [probes[i] for i in meeting(boxes, points)]
