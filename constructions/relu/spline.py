"""Lemma 3.1 for d = 1: free-knot linear splines."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import make_lsq_spline

from ...atlas import Array
from ..ridge import Dictionary


def equidistributed_knots(t: Array, values: Array, pieces: int) -> Array:
    """`pieces` + 1 knots that share ∫ √|F″| evenly: the density of the best linear spline, asymptotically.

    t (N,) ascending, values (N, q) samples of F; |F″| is the largest component, from second divided differences on a
    grid of at least 4 cells a piece, floored at 1e-3 of its mean so that straight stretches keep some knots.
    """
    cells = min(len(t) - 1, max(4 * pieces, 256))
    grid = np.linspace(t[0], t[-1], cells + 1)
    on_grid = np.stack([np.interp(grid, t, column) for column in values.T], axis=1)
    bend = np.abs(np.diff(on_grid, 2, axis=0)).max(1) / (grid[1] - grid[0]) ** 2
    bend = np.concatenate([bend[:1], bend, bend[-1:]])
    density = np.sqrt(np.maximum(bend, 0))
    # The larger of neighbouring densities: divided differences of interpolated samples are noisy.
    density = np.maximum(density, np.maximum(np.roll(density, 1), np.roll(density, -1)))
    density = np.maximum(density, 1e-3 * density.mean() + 1e-300)
    mass = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    knots = np.interp(np.linspace(0, mass[-1], pieces + 1), mass, grid)
    knots[0], knots[-1] = t[0], t[-1]
    return knots


def fit_spline(t: Array, values: Array, width: int) -> tuple[Dictionary, Array, Array]:
    """A linear spline as at most `width` neurons along one direction: dictionary on R, output weights (q, m), constant (q,).

    Least squares over t (N,), values (N, q). Neurons left of the middle knot face left, the others right. Outside
    the data the spline continues linearly. Pieces without data of their own are merged with a neighbour.
    """
    order = np.argsort(t, kind="stable")
    t, values = t[order], values[order]
    distinct = np.concatenate([[True], np.diff(t) > 0])
    t, values = t[distinct], values[distinct]
    knots = equidistributed_knots(t, values, max(1, width - 1))
    counts = np.histogram(t, knots)[0]
    # Every piece needs data of its own (Schoenberg–Whitney).
    knots = knots[np.concatenate([[True], counts[1:] >= 2, [True]])]
    if np.histogram(t, knots)[0].min() < 1:
        knots = np.array([t[0], t[-1]])
    spline = make_lsq_spline(t, values, np.concatenate([[knots[0]], knots, [knots[-1]]]), k=1)
    return relu_form(knots, spline(knots))


def relu_form(knots: Array, levels: Array) -> tuple[Dictionary, Array, Array]:
    """The piecewise-linear function with values `levels` (n, q) at ascending `knots` (n,), as n ReLUs facing outward from the middle."""
    slopes = np.diff(levels, axis=0) / np.diff(knots)[:, None]
    middle = (len(knots) - 1) // 2
    right = np.arange(middle, len(knots) - 1)
    left = np.arange(middle, 0, -1)
    bends = np.diff(slopes, axis=0)
    weights = [slopes[middle : middle + 1], bends[middle : len(knots) - 2]]
    if middle:
        weights += [-slopes[middle - 1 : middle], bends[: middle - 1][::-1]]
    facing = np.concatenate([np.ones(len(right)), -np.ones(len(left))])
    dictionary = Dictionary(np.ones((1, 1)), (len(facing),), knots[np.concatenate([right, left])], facing)
    return dictionary, np.concatenate(weights).T, levels[middle].copy()
