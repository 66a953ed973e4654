"""The joint fit of a shared and E routed experts whose hidden neurons are given (N6).

Statement: let cell i have samples with shared columns S_i (N_i, p), routed columns A_i (N_i, p_i) and values f_i. The least squares problem

    min over s, r_1, …, r_E of Σ_i ‖f_i − S_i·s − A_i·r_i‖²

is solved by the s that minimises Σ_i ‖(I − P_i)(f_i − S_i·s)‖², P_i the projection onto the columns of A_i, and r_i = A_i⁺(f_i − S_i·s).
That is E factorisations of p_i columns and one problem of p columns, in the place of one of p + Σ p_i. As s = 0 is one of the
competitors, the sum of squares is never larger than that of routed experts alone; a fit of s first, and of the r_i to what it leaves, is
another competitor, and no better.

Columns of smooth neurons are nearly dependent, so that there are many s that are about as good, with large weights that cancel. `chosen`
takes that into account, as fits of single nets do (`smooth.least_squares`): s is damped, and judged on held-out samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr, svd

from ...atlas import Array
from ..smooth.least_squares import LEVELS, TOLERATED, Cost, magnitude

RESOLVED = 1e-11
"""Singular values of columns of unit length below this part of the largest count as 0."""


@dataclass(frozen=True, eq=False)
class Samples:
    """What is known of one cell: shared columns (N, p), routed columns (N, p_i), values (N, q)."""

    shared: Array
    routed: Array
    values: Array


@dataclass(frozen=True, eq=False)
class Projected:
    """A cell without what its routed columns explain of it."""

    shared: Array
    """(I − P)S."""
    values: Array
    """(I − P)f."""
    onto_shared: Array
    """A⁺S (p_i, p)."""
    onto_values: Array
    """A⁺f (p_i, q)."""

    @staticmethod
    def of(cell: Samples) -> Projected:
        scale = _scale(cell.routed)
        left, singular, right = svd(cell.routed / scale, full_matrices=False, check_finite=False)
        kept = singular > RESOLVED * singular.max(initial=0.0)
        left, back = left[:, kept], (right[kept].T / singular[kept]) / scale[:, None]
        both = np.concatenate([cell.shared, cell.values], axis=1)
        seen = left.T @ both
        rest, solved, p = both - left @ seen, back @ seen, cell.shared.shape[1]
        return Projected(rest[:, :p], rest[:, p:], solved[:, :p], solved[:, p:])

    def routed(self, shared: Array) -> Array:
        """r = A⁺(f − S·s)."""
        return self.onto_values - self.onto_shared @ shared


@dataclass(frozen=True, eq=False)
class Joint:
    """Coefficients of the shared columns (p, q) and of the routed ones of every cell (p_i, q)."""

    shared: Array
    routed: tuple[Array, ...]
    error: float = np.inf
    """The largest on held-out samples, where there were any."""


class Reduced:
    """The problem of s alone: p columns, whatever the number of cells."""

    def __init__(self, cells: Sequence[Samples]) -> None:
        self.cells = [Projected.of(cell) for cell in cells]
        p = cells[0].shared.shape[1]
        self.scale = _scale(np.array([np.linalg.norm(cell.shared, axis=0) for cell in cells]))
        rows = np.zeros((0, p + cells[0].values.shape[1]))
        for projected in self.cells:
            stacked = np.concatenate([rows, np.concatenate([projected.shared / self.scale, projected.values], axis=1)])
            rows = np.asarray(qr(stacked, mode="r", check_finite=False)[0][: stacked.shape[1]])
        triangle = np.zeros((p, rows.shape[1]))
        triangle[: min(p, len(rows))] = rows[:p]
        left, self.singular, self.right = svd(triangle[:, :p], check_finite=False)
        self.turned = left.T @ triangle[:, p:]

    def solved(self, level: float = 0.0) -> Array:
        """s (p, q), damped by `level` relative to columns of unit length; 0 for the joint least squares."""
        size, kept = self.singular, self.singular > RESOLVED
        factor = np.where(kept, size / np.where(kept, size**2 + level**2, 1.0), 0.0)
        return np.asarray((self.right.T @ (self.turned * factor[:, None])) / self.scale[:, None])

    def joint(self, shared: Array, error: float = np.inf) -> Joint:
        return Joint(shared, tuple(cell.routed(shared) for cell in self.cells), error)


def joint(cells: Sequence[Samples]) -> Joint:
    """The joint least squares fit."""
    reduced = Reduced(cells)
    return reduced.joint(reduced.solved())


def chosen(cells: Sequence[Samples], held: Sequence[Samples], cost: Cost) -> Joint:
    """The damped joint fit whose largest held-out error, weighed with the size of its sums, is least.

    With S the largest Σ|s·column| and e the error of a function of size |f|, that is e·√(1 + S/(TOLERATED·max|f|)) + penalty·S at least
    (`smooth.least_squares.Cost`).
    """
    reduced = Reduced(cells)
    size = TOLERATED * np.array([max([np.finfo(float).tiny, *(float(np.abs(cell.values).max()) for cell in cells)])])
    best: tuple[float, Joint] | None = None
    for level in (*LEVELS, 0.0):
        shared = reduced.solved(level)
        found = reduced.joint(shared)
        error = max(
            float(np.abs(cell.values - cell.shared @ shared - cell.routed @ routed).max())
            for cell, routed in zip(held, found.routed, strict=True)
        )
        large = max(float(magnitude(cell.shared, shared).max()) for cell in held)
        objective = float(cost.objectives(np.array([error]), np.array([large]), size, None)[0])
        if best is None or objective < best[0]:
            best = objective, Joint(shared, found.routed, error)
    assert best is not None
    return best[1]


def _scale(columns: Array) -> Array:
    lengths = np.linalg.norm(columns, axis=0)
    return np.where(lengths > 1e-12 * lengths.max(initial=0.0), lengths, np.inf)
