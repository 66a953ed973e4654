"""Neurons that move: nonlinear least squares on directions and knots, from where the lattice or pruning left them.

Variable projection (Golub and Pereyra, 1973). Of the neurons act(a_j·z − t_j) the a_j and t_j are moved, the coefficients are always those
of least squares. A step is Gauss–Newton with damping (Levenberg and Marquardt): the columns ∂/∂a_j and ∂/∂t_j join the least squares,
less their part in the span of the neurons themselves (Kaufman). Deterministic: no random start, no batches, no learning rate, and every
step lowers the sum of squares. Each neuron ends with a direction of its own, so the net is no sum of few profiles any more.

Where a lattice does not resolve the target that is worth far more than what it costs: Franke's function from 2.9e-2 to 1.9e-3 with 64
neurons and from 7.5e-4 to 6.8e-6 with 256; exp(−50r²) with 64 from 4.8e-2 to 1.3e-3. Where it does, nothing is gained.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, qr, solve_triangular

from ...atlas import Array
from ..relu.dictionary import Coordinates
from .forms import Lattice

STEPS = 40
LEVEL = 1e-7
"""λ beside columns of length 1: small enough to follow the target, large enough for sums that float32 bears."""
DAMPING, FIERCEST, RELAXED = 1e-2, 1e6, 1e-6
HARDER, SOFTER = 4.0, 4.0
ENOUGH, PATIENCE = 0.02, 4
"""So many steps in a row that lower the sum of squares by no more than this part of it are the last."""
FLOOR = 1e-9
"""Least curvature that damping goes by, relative to the largest: neurons that no point sees stay where they are."""
AFFORDABLE = 1600
"""Unknowns, places and coefficients, up to which a step takes about a second."""
SAMPLES_PER_UNKNOWN = 4


def affordable(form: Lattice, rank: int) -> bool:
    """Whether polishing the form is a matter of seconds."""
    return moved(form, rank) <= AFFORDABLE


def moved(form: Lattice, rank: int) -> int:
    """Unknowns of a polish: r + 1 places a neuron, and all coefficients."""
    return len(form.blocks) * (rank + 1) + form.size


def polish(form: Lattice, coordinates: Coordinates, inputs: Array, values: Array, beside: Array) -> Lattice:
    """The form with its neurons moved, for values (N, q) at inputs (N, n), and other columns (N, ·) beside them that stay.

    Rows and biases are float32 numbers, as those of lattices.
    """
    state = _State.of(form, coordinates, inputs, values, beside)
    damping, idle = DAMPING, 0
    for _ in range(STEPS):
        normal, right = state.equations()
        curvature = np.diag(normal).copy()
        curvature += FLOOR * curvature.max()
        before = state.energy
        while damping < FIERCEST:
            trial = state.moved(_damped(normal, right, damping * curvature))
            if trial.energy < before:
                break
            damping *= HARDER
        else:
            break
        state, damping = trial, max(damping / SOFTER, RELAXED)
        idle = idle + 1 if before - state.energy <= ENOUGH * before else 0
        if idle == PATIENCE:
            break
    return state.form


def _damped(normal: Array, right: Array, damping: Array) -> Array:
    matrix = normal.copy()
    matrix[np.diag_indices_from(matrix)] += damping
    try:
        return np.asarray(cho_solve(cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False), right, check_finite=False))
    except LinAlgError:
        return np.zeros_like(right)


@dataclass(frozen=True, eq=False)
class _State:
    """A form with the coefficients of least squares, and what is needed for a step."""

    form: Lattice
    coordinates: Coordinates
    inputs: Array
    values: Array
    beside: Array
    basis: Array
    """(N + p, p), orthonormal: the columns, with λ below them."""
    weights: Array
    """(p, q)."""
    left: Array
    """(N + p, q)."""
    energy: float

    @staticmethod
    def of(form: Lattice, coordinates: Coordinates, inputs: Array, values: Array, beside: Array) -> _State:
        columns = np.concatenate([form.columns(inputs), beside], axis=1)
        p = columns.shape[1]
        scale = np.maximum(np.linalg.norm(columns, axis=0), np.finfo(float).tiny)
        basis, triangle = qr(np.concatenate([columns / scale, LEVEL * np.eye(p)]), mode="economic", check_finite=False)
        below = np.concatenate([values, np.zeros((p, values.shape[1]))])
        turned = basis.T @ below
        weights = solve_triangular(triangle, turned, check_finite=False) / scale[:, None]
        left = below - basis @ turned
        energy = float((left**2).sum())
        return _State(form, coordinates, inputs, values, beside, basis, weights, left, energy if np.isfinite(energy) else np.inf)

    def equations(self) -> tuple[Array, Array]:
        """The normal equations of a step: the places (a_j, t_j) of all neurons, those of one coordinate after those of another."""
        dictionary, z = self.form.dictionary, self.coordinates(self.inputs)
        places = np.concatenate([z, -np.ones((len(z), 1))], axis=1)
        gates = dictionary.facing * (np.repeat(self.inputs @ dictionary.directions.T, dictionary.counts, axis=1) - dictionary.knots)
        slopes = dictionary.activation.derivatives(gates, 1)[0][1]
        lanes = np.concatenate([np.ones((len(z), 1)), z], axis=1)[:, : self.form.blocks.shape[1]]
        size = len(gates[0]) * places.shape[1]
        normal, right = np.zeros((size, size)), np.zeros(size)
        for output, left in zip(self.weights.T, self.left.T, strict=True):
            pulled = slopes * (lanes @ output[self.form.blocks].T)
            change = np.zeros((len(self.basis), size))
            change[: len(z)] = (places[:, :, None] * pulled[:, None, :]).reshape(len(z), -1)
            change -= self.basis @ (self.basis.T @ change)
            normal += change.T @ change
            right += change.T @ left
        return normal, right

    def moved(self, step: Array) -> _State:
        """With the neurons moved by a step: signed rows and knots in the coordinates z."""
        dictionary, coordinates = self.form.dictionary, self.coordinates
        rows, knots = dictionary.rows, dictionary.facing * dictionary.knots
        moves = step.reshape(-1, len(rows))
        turned = (rows @ coordinates.basis) * coordinates.scale + moves[:-1].T
        shifted = knots - rows @ coordinates.center + moves[-1]
        rows = ((turned / coordinates.scale) @ coordinates.basis.T).astype(np.float32).astype(float)
        knots = (shifted + rows @ coordinates.center).astype(np.float32).astype(float)
        free = replace(dictionary, directions=rows, counts=(1,) * len(rows), knots=knots, facing=np.ones(len(rows)))
        return _State.of(self.form.among(free), coordinates, self.inputs, self.values, self.beside)
