"""Straight kinks: a target that bends along hyperplanes a·u = b and is smooth on both sides has neurons it cannot do without.

Orthogonal greedy search: after a polynomial has taken the smooth part, the neuron that explains most of what is left is
looked for over directions × knots and then made exact by a simplex search over (a, b). It is kept if it explains a
good part; a wrong guess costs a neuron and nothing else. Kinks along curves are no such neurons.
"""

from __future__ import annotations

import itertools

import numpy as np
from scipy.optimize import minimize

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
    """The neuron near (a, b) that leaves least of `left` (N, q): its direction, knot, and column orthogonal to the basis."""
    tangent = np.linalg.svd(a[None])[2][1:]

    def neuron(moved: Array) -> tuple[Array, float, Array]:
        direction = a + moved[:-1] @ tangent
        length = float(np.linalg.norm(direction))
        direction, knot = direction / length, b + float(moved[-1])
        column = np.maximum(z @ direction - knot, 0)
        for _ in range(2):
            column = column - basis @ (basis.T @ column)
        return direction, knot, column

    def remaining(moved: Array) -> float:
        column = neuron(moved)[2]
        square = float(column @ column)
        if square < 1e-9 * len(z):
            return float(np.linalg.norm(left))
        return float(np.linalg.norm(left - np.outer(column, column @ left) / square))

    step = 1 / DIRECTIONS
    rank = z.shape[1]
    simplex = np.concatenate([np.zeros((1, rank)), step * np.eye(rank)])
    options = {"initial_simplex": simplex, "xatol": 1e-13, "fatol": 0.0, "maxfev": 200 * rank}
    return neuron(minimize(remaining, simplex[0], method="Nelder-Mead", options=options).x)


def _polynomials(z: Array, degree: int) -> Array:
    """All monomials of total degree at most `degree`, in Chebyshev form, (N, ·)."""
    chebyshev = np.cos(np.arange(degree + 1) * np.arccos(np.clip(z, -1, 1))[..., None])
    powers = [p for p in itertools.product(range(degree + 1), repeat=z.shape[1]) if sum(p) <= degree]
    return np.stack([np.prod([chebyshev[:, k, e] for k, e in enumerate(p)], axis=0) for p in powers], axis=1)
