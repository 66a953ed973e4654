"""Lemma 3.1 for d = 1: free-knot linear splines."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import make_lsq_spline

from ...atlas import Array
from ..network import Affine


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


def fit_spline(t: Array, values: Array, width: int) -> tuple[Affine, Affine]:
    """Hidden and output map of a two-layer net R → R^q of `width` neurons, least squares over t (N,), values (N, q).

    A linear spline with width − 1 inner pieces' knots: neurons left of the middle knot face left, the others right, plus
    one for the slope at the middle. Outside the data it continues linearly. Raises numpy's LinAlgError never: pieces without
    data are merged by lowering their number.
    """
    order = np.argsort(t, kind="stable")
    t, values = t[order], values[order]
    distinct = np.concatenate([[True], np.diff(t) > 0])
    t, values = t[distinct], values[distinct]
    knots = equidistributed_knots(t, values, max(1, width - 1))
    counts = np.histogram(t, knots)[0]
    # Every piece needs data of its own (Schoenberg–Whitney); drop the left knot of any piece with fewer than two samples.
    keep = np.concatenate([[True], counts[1:] >= 2, [True]])
    knots = knots[keep]
    if len(knots) > 2 and np.histogram(t, knots)[0].min() < 1:
        knots = np.array([t[0], t[-1]])
    spline = make_lsq_spline(t, values, np.concatenate([[knots[0]], knots, [knots[-1]]]), k=1)
    return _relu_form(knots, spline(knots), width)


def _relu_form(knots: Array, levels: Array, width: int) -> tuple[Affine, Affine]:
    """The piecewise-linear function with values `levels` (n, q) at `knots` (n,), as outward-facing ReLUs around a middle knot."""
    slopes = np.diff(levels, axis=0) / np.diff(knots)[:, None]
    middle = (len(knots) - 1) // 2
    right = np.arange(middle, len(knots) - 1)
    left = np.arange(middle, 0, -1)
    bends = np.diff(slopes, axis=0)
    right_weights = np.concatenate([slopes[middle : middle + 1], bends[middle : len(knots) - 2]])
    left_weights = np.concatenate([-slopes[middle - 1 : middle], bends[: middle - 1][::-1]]) if middle else np.zeros((0, levels.shape[1]))
    hidden_rows = np.concatenate([np.ones(len(right)), -np.ones(len(left))])
    hidden_bias = np.concatenate([-knots[right], knots[left]])
    weights = np.concatenate([right_weights, left_weights])
    idle = width - len(hidden_rows)
    hidden = Affine(np.pad(hidden_rows, (0, idle))[:, None], np.pad(hidden_bias, (0, idle)))
    return hidden, Affine(np.pad(weights, ((0, idle), (0, 0))).T, levels[middle].copy())
