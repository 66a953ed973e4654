"""Can an affine gate route an atlas? A linear programme finds one; where there is none, a certificate says so, checked in exact arithmetic.

*Statement* (N2). A gate with affine logits s_i(x) = w_i·x + b_i cuts space into the cells of a power diagram, and it routes the atlas if
and only if M ∩ cell_i ⊂ U_i for all i. The *core* of U_i is what no other chart holds: it has to go to i.

*Certificate* (Radon). Let p_1 … p_{k+2} be points of two cores i and j in a k-dimensional affine subspace, and Σ a_n·p_n = 0, Σ a_n = 0
with a_n > 0 in core i and a_n < 0 in core j. Then no affine gate routes the atlas. For s_i − s_j is affine, so Σ a_n·(s_i − s_j)(p_n) = 0;
but a gate that routes has s_i − s_j ≥ 0 on core i and ≤ 0 on core j, strictly on the one that loses ties, and the sum is positive.

The a_n are the minors of the matrix of the points with a row of ones. `Certificate.holds` encloses points, minors and signs in
rational arithmetic, and decides by exact comparisons that the points are in the cores.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import scipy.sparse as sparse
from atlasmoe import Atlas
from atlasmoe.expressions.precise import Enclosed, enclose_at
from numpy.typing import NDArray
from scipy.optimize import linprog

Array = NDArray[np.float64]
Interval = tuple[Fraction, Fraction]

ROUNDS = 16
"""Times that points in several charts are given to the one that the gate prefers among them."""
LEAST_MARGIN = 1e-9
"""Below this a margin of the programme, whose weights are at most 1, is rounding."""


def affine_gate(x: Array, valid: NDArray[np.bool_], bias: bool = True) -> tuple[Array | None, float]:
    """Weights (E, k + 1), biases last, that send each point to a chart that holds it, or None, and the least margin of logits.

    A linear programme on the points of cores with |weights| ≤ 1, of largest margin; then points that go wrong are given to the best of
    their charts, and it is solved again. No margin in the first round: there is no such gate for these points. Later: undecided.
    """
    E = valid.shape[1]
    X = np.hstack([x, np.ones((len(x), 1))]) if bias else x
    label = np.where(valid.sum(1) == 1, valid.argmax(1), -1)
    for _ in range(ROUNDS):
        weights, margin = _programme(X, valid, label)
        if margin <= LEAST_MARGIN:
            return None, 0.0
        logits = X @ weights.T
        wrong = ~valid[np.arange(len(x)), logits.argmax(1)]
        if not wrong.any():
            return (weights if bias else np.hstack([weights, np.zeros((E, 1))])), margin
        label = np.where(wrong & (label < 0), np.where(valid, logits, -np.inf).argmax(1), label)
    return None, margin


def _programme(X: Array, valid: NDArray[np.bool_], label: NDArray[np.intp]) -> tuple[Array, float]:
    """The weights of largest margin with which every labelled point goes to its label rather than to a chart that does not hold it."""
    E, k = valid.shape[1], X.shape[1]
    rows, others = np.nonzero(~valid & (label >= 0)[:, None])
    n, columns = np.arange(len(rows))[:, None], np.arange(k)
    entries = [(n, label[rows, None] * k + columns, -X[rows]), (n, others[:, None] * k + columns, X[rows])]
    entries.append((n, np.full((len(rows), 1), E * k), np.ones((len(rows), 1))))
    i, j, v = (np.concatenate([np.broadcast_to(e[part], e[2].shape).ravel() for e in entries]) for part in range(3))
    A = sparse.csr_matrix((v, (i, j)), shape=(len(rows), E * k + 1))
    solved = linprog(np.r_[np.zeros(E * k), -1], A_ub=A, b_ub=np.zeros(len(rows)), bounds=[(-1, 1)] * (E * k) + [(None, 1)])
    return solved.x[:-1].reshape(E, k), float(solved.x[-1])


@dataclass(frozen=True)
class Certificate:
    """Points of two cores whose convex hulls meet."""

    charts: tuple[int, int]
    points: tuple[tuple[int, tuple[float, ...]], ...]
    """The chart, 0 or 1 of `charts`, and the intrinsic coordinates of each; k + 2 of them."""
    axes: tuple[int, ...]
    """The k ambient coordinates in which they differ; all others are 0."""

    def holds(self, atlas: Atlas) -> bool:
        """Whether it proves that no affine gate routes this atlas, whose charts have to be boxes of one injective parametrisation."""
        if len({chart.inverse.texts for chart in atlas.charts}) != 1:
            raise ValueError("the charts are not boxes of one parametrisation")
        if len(self.points) != len(self.axes) + 2 or not all(self._in_core(atlas, which, u) for which, u in self.points):
            return False
        enclosed = [[_at(atlas, u, axis) for axis in range(len(atlas.coordinates))] for _, u in self.points]
        if any(row[axis] != (0, 0) for row in enclosed for axis in range(len(row)) if axis not in self.axes):
            return False
        matrix = [[row[axis] for row in enclosed] for axis in self.axes] + [[(Fraction(1), Fraction(1))] * len(self.points)]
        signs = []
        for n, (which, _) in enumerate(self.points):
            low, high = _determinant([[*row[:n], *row[n + 1 :]] for row in matrix])
            if low <= 0 <= high:
                return False
            signs.append((1 if low > 0 else -1) * (-1) ** n * (1 if which == 0 else -1))
        return len(set(signs)) == 1 and len({which for which, _ in self.points}) == 2

    def _in_core(self, atlas: Atlas, which: int, u: tuple[float, ...]) -> bool:
        """Exact: coordinates and ends of boxes are floats, and the parametrisation is the same for all charts."""
        held = [all(a <= v <= b for a, v, b in zip(c.domain.lower, u, c.domain.upper, strict=True)) for c in atlas.charts]
        return held[self.charts[which]] and sum(held) == 1


def certificate(atlas: Atlas, u: Array, axes: tuple[int, ...]) -> Certificate | None:
    """Found by linear programmes among the points with intrinsic coordinates u (N, d); None if no two hulls of their cores meet."""
    x = atlas.charts[0].inverse(u)[:, list(axes)]
    held = np.stack([((u >= c.domain.lower) & (u <= c.domain.upper)).all(1) for c in atlas.charts], axis=1)
    core = held & (held.sum(1) == 1)[:, None]
    for i, j in itertools.combinations(range(len(atlas)), 2):
        rows = [np.flatnonzero(core[:, c]) for c in (i, j)]
        sign = np.repeat([1.0, -1.0], [len(r) for r in rows])
        both = np.concatenate(rows)
        A = np.vstack([x[both].T * sign, sign > 0, sign < 0])
        solved = linprog(np.zeros(len(both)), A_eq=A, b_eq=[*np.zeros(len(axes)), 1, 1], method="highs-ds")
        if solved.status == 0:
            used = np.flatnonzero(solved.x > 0)
            points = tuple((int(sign[n] < 0), tuple(map(float, u[both[n]]))) for n in used)
            return Certificate((i, j), points, axes)
    return None


def _at(atlas: Atlas, u: tuple[float, ...], axis: int) -> Interval:
    """One ambient coordinate of the point."""
    inverse = atlas.charts[0].inverse
    found = enclose_at(inverse.trees[axis], dict(zip(map(str, inverse.variables), u, strict=True)))
    assert isinstance(found, Enclosed)
    return found.lower, found.upper


def _determinant(matrix: list[list[Interval]]) -> Interval:
    """By the first row; exact but for the intervals themselves."""
    if len(matrix) == 1:
        return matrix[0][0]
    low = high = Fraction(0)
    for n, (a, b) in enumerate(matrix[0]):
        c, d = _determinant([[*row[:n], *row[n + 1 :]] for row in matrix[1:]])
        products = [p * q * (-1) ** n for p in (a, b) for q in (c, d)]
        low, high = low + min(products), high + max(products)
    return low, high
