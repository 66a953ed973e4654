"""The radius of curvature of tangent charts, bounded from below by intervals.

Statement. Let x be a point of {g = 0} at which g is C² and Dg has full rank, and v a tangent vector. A curve in the set through x with
velocity v has Dg·a = −D²g(v, v) for its acceleration a, so II(v, v), the normal part of a, is the shortest solution: −Dg⁺·D²g(v, v).
With any regular matrix Y the equations Y·g have the same zeros, hence

    |II(v, v)| ≤ |Y·D²g(v, v)| / σ_min(Y·Dg),   σ_min(Y·Dg)² ≥ 1 − ‖Y·Dg·Dgᵀ·Yᵀ − 1‖_∞,

for a symmetric matrix 1 + E has no eigenvalue below 1 − ‖E‖_∞; where ‖E‖_∞ < 1, Dg has full rank and Y is regular. Let S = [B C] be
k × k with ‖SᵀS − 1‖_∞ ≤ e < 1, and v = B·a + C·c. Then |a|² ≤ |v|²/(1 − e), and Y·Dg·v = 0 says c = −(Y·Dg·C)⁻¹·Y·Dg·B·a, so
|c| ≤ t·|a| with t = ‖Y·Dg·B‖_F/(1 − ‖Y·Dg·C − 1‖_F), where that norm is below 1. So the curvature |II(v, v)|/|v|² is at most

    √(Σ_l (‖Q_l‖ + 2t·‖R_l‖ + t²·‖P_l‖)²) / (√(1 − ‖Y·Dg·Dgᵀ·Yᵀ − 1‖_∞)·(1 − e)),

Q_l, R_l, P_l the blocks B × B, B × C and C × C of the matrix of (Y·D²g)_l in the columns of S, with norms ‖·‖_∞ of the symmetric ones
and ‖R‖_F. Entries beside the diagonal are (q(s_i + s_j) − q(s_i) − q(s_j))/2, of second derivatives along lines.

Over a box of u in a tube that is proved, x(u, w(u)) is enclosed, and with it Dg and D²g; S and Y are floats, nearly tangent and normal
at its middle. All arithmetic is outwards. What is bounded is the curvature of whole charts, also where they reach beyond M.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import combinations

import numpy as np

from ...expressions import box_cells, halved
from ...expressions.box import Array
from ...expressions.implicit import Tube
from ...intervals.arithmetic import Interval
from ...intervals.curvature import CurvatureEnclosure
from ...intervals.gradients import GradientEnclosure
from ...intervals.implicit import Equations
from ...intervals.jets import Jet
from ...intervals.natural import IntervalAlgebra
from ...intervals.program import equations_of
from ...intervals.spreads import GROW
from ...intervals.systems import Matrix, total

FIRST_BOXES, MOST_BOXES = 36, 1000
"""Boxes of a chart to begin with, and at most."""
AT_A_TIME = 64
"""Boxes that are halved together, those that say most first."""
NEAR = 1.25
"""Boxes are halved while they say more than this times the largest curvature that is seen at middles of boxes of all charts."""
ZERO = Interval.of(0.0)


def curvature_radii(tubes: Sequence[Tube], most: int = MOST_BOXES) -> Array:
    """Numbers r_i ≥ 0, (n,), such that |II(v, v)| ≤ |v|²/r_i everywhere in chart i: no geodesic bends more.

    `most`: boxes that are looked at in one chart. 0 where nothing is shown, as of tubes that are not proved; ∞ where all is flat.
    """
    solvers = [equations_of(tube) for tube in tubes]
    bounds = [_Bent(solver) for solver in solvers]
    cells = [box_cells(-np.array(tube.halves), np.array(tube.halves), FIRST_BOXES) for tube in tubes]
    middles = [(low + high) / 2 for low, high in cells]
    seen = [bent(middle, middle) for bent, middle in zip(bounds, middles, strict=True)]
    finite = np.concatenate([some[np.isfinite(some)] for some in seen] or [np.zeros(0)])
    enough = NEAR * float(finite.max(initial=0.0))
    worst = np.array([bent.most(low, high, enough, most) for bent, (low, high) in zip(bounds, cells, strict=True)])
    with np.errstate(divide="ignore"):
        return np.where(worst == 0, np.inf, np.nextafter(1 / worst, 0.0))


class _Bent:
    """At least the curvature over boxes of u of one tube."""

    def __init__(self, solver: Equations) -> None:
        self._solver = solver
        self._gradient = GradientEnclosure(solver.tube.equations)
        self._second = CurvatureEnclosure(solver.tube.equations)

    def most(self, lower: Array, upper: Array, enough: float, most: int) -> float:
        """A bound for all of these boxes, which are halved where it is not near `enough`."""
        found = self(lower, upper)
        done = len(lower)
        while len(rows := np.flatnonzero(found > enough)) and (left := (most - done) // 2) > 0:
            rows = rows[np.argsort(-found[rows], kind="stable")[: min(left, AT_A_TIME)]]
            side = ((upper[rows] - lower[rows]) / np.array(self._solver.tube.halves)).argmax(1)
            low, high = halved(lower[rows], upper[rows], side)
            keep = np.setdiff1d(np.arange(len(found)), rows)
            finer = np.minimum(self(low, high), np.tile(found[rows], 2))
            lower, upper = np.concatenate([lower[keep], low]), np.concatenate([upper[keep], high])
            found = np.concatenate([found[keep], finer])
            done += 2 * len(rows)
        return float(found.max())

    def __call__(self, lower: Array, upper: Array) -> Array:
        """(n,), ∞ where nothing is shown."""
        n, d = lower.shape
        if not self._solver.proved:
            return np.full(n, np.inf)
        u = [Interval(lower[:, j], upper[:, j]) for j in range(d)]
        with np.errstate(all="ignore"):
            x = [_wide(part, n) for part in self._solver.point(u, self._solver.solve(u).values, IntervalAlgebra())]
            gradient = self._gradient(x)[1]
            weights, frame = _frames(np.stack([np.stack([_wide(part, n).middle for part in row], axis=1) for row in gradient], axis=1))
            columns = [[Interval.of(frame[:, i, j]) for j in range(len(x))] for i in range(len(x))]
            scaled = _product([[Interval.of(weights[:, l, i]) for i in range(len(gradient))] for l in range(len(gradient))], gradient)
            skew, steep = _lost(_product(_transposed(columns), columns)), _lost(_product(scaled, _transposed(scaled)))
            across = _product(scaled, columns)
            off = _frobenius([_less(row[d:], l) for l, row in enumerate(across)])
            tilt = _frobenius([row[:d] for row in across]) / (1 - off) * GROW
            bent = self._forms(x, columns, weights, tilt)
            found = bent / (np.sqrt(1 - steep) * (1 - skew)) * GROW
        return np.where((skew < 1) & (steep < 1) & (off < 1) & np.isfinite(found), found, np.inf)

    def _forms(self, x: Sequence[Interval], columns: Matrix, weights: Array, tilt: Array) -> Array:
        """At least √(Σ_l (‖Q_l‖ + 2t·‖R_l‖ + t²·‖P_l‖)²)."""
        k, m, n = len(x), weights.shape[1], len(tilt)
        pairs = list(combinations(range(k), 2))
        lines = [[row[j] for row in columns] for j in range(k)] + [[row[i] + row[j] for row in columns] for i, j in pairs]
        jets = [
            Jet(part, dict(enumerate(of)), dict.fromkeys(range(len(lines)), ZERO))
            for part, of in zip(x, zip(*lines, strict=True), strict=True)
        ]
        along = [jet.second for jet in self._second(jets, len(lines))]
        sizes = []
        for l in range(m):
            q = [
                _wide(total([ZERO, *(Interval.of(weights[:, l, i]) * second[j] for i, second in enumerate(along) if j in second)]), n)
                for j in range(len(lines))
            ]
            form = [[q[i]] * k for i in range(k)]
            for (i, j), part in zip(pairs, q[k:], strict=True):
                form[i][j] = form[j][i] = (part - q[i] - q[j]).times(0.5)
            inner, mixed, outer = (
                _rows([row[: k - m] for row in form[: k - m]]),
                _frobenius([row[k - m :] for row in form[: k - m]]),
                _rows([row[k - m :] for row in form[k - m :]]),
            )
            sizes.append((inner + 2 * tilt * mixed + tilt**2 * outer) * GROW)
        return _root_of_squares(sizes)


def _frames(rows: Array) -> tuple[Array, Array]:
    """For A of (n, m, k): Y with Y·A·Aᵀ·Yᵀ nearly 1, (n, m, m), and S, (n, k, k), its last m columns (Y·A)ᵀ; 0 where there is none."""
    size = np.abs(rows).max(2, keepdims=True)
    good = np.isfinite(size).all((1, 2)) & (size > 0).all((1, 2))
    scaled = np.where(good[:, None, None], rows / np.where(size > 0, size, 1.0), 0.0)
    left, values, right = np.linalg.svd(scaled)
    m = rows.shape[1]
    inverse = np.where(values > 0, 1 / np.where(values > 0, values, 1.0), 0.0)
    weights = np.swapaxes(left * inverse[:, None, :], 1, 2) / np.where(size > 0, size, 1.0)[:, None, :, 0]
    frame = np.concatenate([right[:, m:], right[:, :m]], axis=1)
    return np.where(good[:, None, None], weights, 0.0), np.swapaxes(frame, 1, 2)


def _less(row: Sequence[Interval], l: int) -> list[Interval]:
    return [part - Interval.of(1.0) if j == l else part for j, part in enumerate(row)]


def _lost(matrix: Matrix) -> Array:
    """At least ‖A − 1‖_∞."""
    return _rows([_less(row, l) for l, row in enumerate(matrix)])


def _rows(matrix: Matrix) -> Array:
    """At least ‖A‖_∞; ∞ where it is not known."""
    sums = [reduce(np.add, (part.magnitude for part in row)) * GROW for row in matrix]
    return np.nan_to_num(reduce(np.maximum, sums), nan=np.inf)


def _frobenius(matrix: Matrix) -> Array:
    """At least ‖A‖_F; ∞ where it is not known."""
    return _root_of_squares([part.magnitude for row in matrix for part in row])


def _root_of_squares(sizes: Sequence[Array]) -> Array:
    largest = reduce(np.maximum, sizes)
    unit = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
    return np.nan_to_num(unit * np.sqrt(reduce(np.add, ((size / unit) ** 2 for size in sizes))) * GROW, nan=np.inf)


def _product(left: Matrix, right: Matrix) -> Matrix:
    return [[total([a * row[j] for a, row in zip(line, right, strict=True)]) for j in range(len(right[0]))] for line in left]


def _transposed(matrix: Matrix) -> Matrix:
    return [list(column) for column in zip(*matrix, strict=True)]


def _wide(part: Interval, n: int) -> Interval:
    return Interval(np.broadcast_to(part.lower, (n,)), np.broadcast_to(part.upper, (n,)), part.decoration)
