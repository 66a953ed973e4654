"""Straight kinks: a target that bends along hyperplanes a·u = b and is smooth on both sides has neurons it cannot do without.

Orthogonal greedy search: after a polynomial has taken the smooth part, the neuron that explains most of what is left is
looked for over directions × knots and then made exact by Gauss–Newton on (a, b). It is kept if it explains a
good part; a wrong guess costs a neuron and nothing else. Kinks along curves are no such neurons.
"""

from __future__ import annotations

import itertools

import numpy as np

from ...atlas import Array
from .directions import directions

SEEN = 2048
"""Samples looked at."""
DEGREE = {2: 6, 3: 4}
"""Of the polynomial that takes the smooth part, by dimension; 2 from four on."""
DIRECTIONS, KNOTS = 32, 12
"""Per dimension beyond the first, and per direction: the candidates."""
SUSPECT, KEPT = 0.2, 0.4
"""Share of the remaining energy that a candidate must explain to be refined, and a refined neuron to be kept. The best
neuron explains about 0.1 of what a polynomial leaves of a smooth function."""
MOST = 6
STEPS, TRIAL, MOST_DAMPING = 40, 4, 1e6
"""Of Gauss–Newton: at most; after which a candidate must be on its way to be kept; and the damping at which it ends."""


def straight_kinks(z: Array, values: Array) -> list[tuple[Array, float]]:
    """Unit directions a (r,) and knots b at which values (N, q) bend along a·z = b, for z (N, r) in [−1, 1]^r; the best first."""
    z, values = z[:SEEN], values[:SEEN]
    rank = z.shape[1]
    basis = np.linalg.qr(_polynomials(z, DEGREE.get(rank, 2)))[0]
    lines = directions(DIRECTIONS * (rank - 1), rank)
    projected = z @ lines.T
    places = np.quantile(projected, (np.arange(KNOTS) + 0.5) / KNOTS, axis=0).T
    candidates = np.maximum(np.repeat(projected, KNOTS, axis=1) - places.ravel(), 0)
    scale = np.linalg.norm(values - values.mean(0))
    left = values - basis @ (basis.T @ values)
    found: list[tuple[Array, float]] = []
    while len(found) < MOST:
        energy = float((left**2).sum())
        # A polynomial up to rounding has no kinks.
        if np.sqrt(energy) <= 1e-10 * scale:
            break
        free = np.einsum("ij,ij->j", candidates, candidates) - ((basis.T @ candidates) ** 2).sum(0)
        share = ((left.T @ candidates) ** 2).sum(0) / np.maximum(free, 1e-9 * len(z)) / energy
        best = int(np.argmax(share))
        if share[best] < SUSPECT:
            break
        a, b, column = _refined(z, left, basis, lines[best // KNOTS], float(places.ravel()[best]))
        column = column / np.linalg.norm(column)
        if float(((left.T @ column) ** 2).sum()) < KEPT * energy:
            break
        found.append((a, b))
        basis = np.concatenate([basis, column[:, None]], axis=1)
        left = values - basis @ (basis.T @ values)
    return found


def _refined(z: Array, left: Array, basis: Array, a: Array, b: float) -> tuple[Array, float, Array]:
    """The neuron near (a, b) that leaves least of `left` (N, q): its direction, knot, and column orthogonal to the basis.

    Gauss–Newton with damping on (a, b), the output weight eliminated: what is left is left less its projection onto the column c, and
    changes with a parameter by the part of weight·∂c orthogonal to basis and c (Kaufman), ∂c = 1[a·z > b]·(tangent·z, −1).
    """

    def apart(columns: Array) -> Array:
        for _ in range(2):
            columns = columns - basis @ (basis.T @ columns)
        return columns

    def neuron(direction: Array, knot: float) -> tuple[Array, Array, float]:
        """The column, the output weights (q,) and the energy that they leave."""
        column = apart(np.maximum(z @ direction - knot, 0))
        square = float(column @ column)
        if square < 1e-9 * len(z):
            return column, np.zeros(left.shape[1]), energy
        weight = left.T @ column / square
        return column, weight, energy - square * float(weight @ weight)

    energy, damping = float((left**2).sum()), 1e-3
    column, weight, remaining = neuron(a, b)
    for step in range(STEPS):
        if step == TRIAL and energy - remaining < KEPT / 2 * energy:
            break  # not on its way to explaining enough
        tangent = np.linalg.svd(a[None])[2][1:]
        change = apart((z @ a > b)[:, None] * np.concatenate([z @ tangent.T, np.full((len(z), 1), -1.0)], axis=1))
        square, size = float(column @ column), float(weight @ weight)
        if square == 0 or size == 0:
            break
        change -= np.outer(column, column @ change) / square
        normal, right = change.T @ change, change.T @ ((left - np.outer(column, weight)) @ weight) / size
        while damping < MOST_DAMPING:
            move = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-12 * len(z)), right)
            direction = a + move[:-1] @ tangent
            direction, knot = direction / np.linalg.norm(direction), b + float(move[-1])
            trial = neuron(direction, knot)
            if trial[2] < remaining:
                break
            damping *= 8
        else:
            break
        gained, remaining = remaining - trial[2], trial[2]
        a, b, column, weight = direction, knot, trial[0], trial[1]
        damping /= 16
        if np.abs(move).max() < 1e-13 or gained < 1e-15 * energy:
            break
    return a, b, column


def _polynomials(z: Array, degree: int) -> Array:
    """All monomials of total degree at most `degree`, in Chebyshev form, (N, ·)."""
    chebyshev = np.cos(np.arange(degree + 1) * np.arccos(np.clip(z, -1, 1))[..., None])
    powers = [p for p in itertools.product(range(degree + 1), repeat=z.shape[1]) if sum(p) <= degree]
    return np.stack([np.prod([chebyshev[:, k, e] for k, e in enumerate(p)], axis=0) for p in powers], axis=1)
