"""Piecewise quadratic splines of one variable in product lanes: as many ReGLU lanes as pieces, with an a-priori bound (N22).

Lemma. Let t_0 < … < t_n, and s on [t_i, t_{i+1}] the quadratic through F at both ends and in the middle. Then s is continuous, and
|F − s| ≤ (√3/216)·h_i³·sup|F‴| on a piece of length h_i, with equality for cubics: |t·(t − h/2)·(t − h)| ≤ (√3/36)·h³ there, and
F − s = F‴(ξ)/6 times it. Proof of the count: s = s(t_0) + Σ_j σ(t − t_j)·(α_j·t + γ_j), as quadratics that agree at t_j differ by a
multiple of t − t_j.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import sympy

from ...atlas import Array, ExpressionMap
from ...errors import AtlasMoEError, EpsilonNotReached
from ...intervals import Interval, NaturalEnclosure
from ...moe.activations import RELU
from ...moe.nets import Affine
from ...moe.ridge import Dictionary, Ridge

CONSTANT = float(np.sqrt(3.0)) / 216
"""√3/216, which floats round down or up by a part of 2^-53: bounds have room for it."""
LEBESGUE = 1.26
"""A quadratic is at most 5/4 times what it is at the ends and in the middle, which is rounded."""
CELLS = 4096
EPS = float(np.finfo(float).eps)


@dataclass(frozen=True, eq=False)
class QuadraticSpline:
    """s and a bound of |F − s| in real arithmetic, s of the numbers that are stored."""

    knots: Array
    ridge: Ridge
    bound: float


def quadratic_spline(
    function: ExpressionMap, lower: float, upper: float, *, epsilon: float | None = None, width: int | None = None, limit: int
) -> QuadraticSpline | None:
    """The spline with bound at most `epsilon`, or with `width` pieces, of F : [lower, upper] → R^q; None where F‴ has no enclosure.

    Raises `EpsilonNotReached` if more than `limit` pieces are needed.
    """
    edges = np.linspace(lower, upper, CELLS + 1)
    third = derivative_bound(function, edges, 3)
    if third is None:
        return None
    if width is not None:
        return _spline(function, _knots(edges, third, min(width, limit)), edges, third)
    assert epsilon is not None
    few, many = 0, 1
    while (found := _spline(function, _knots(edges, third, many), edges, third)).bound > epsilon:
        few, many = many, 2 * many
        if few >= limit:
            raise EpsilonNotReached("quadratic spline", budget=epsilon, reached=found.bound, width=few, remedy="raise max_width")
    while many - few > 1:
        middle = (few + many) // 2
        tried = _spline(function, _knots(edges, third, middle), edges, third)
        few, many, found = (few, middle, tried) if tried.bound <= epsilon else (middle, many, found)
    return found if many <= limit else None


def derivative_bound(function: ExpressionMap, edges: Array, order: int) -> Array | None:
    """sup |F^(order)| on every cell, of the largest component, (cells,); None where that, or the derivative before, has no enclosure."""
    (t,) = function.variables
    try:
        bent, smooth = (
            NaturalEnclosure(ExpressionMap((t,), tuple(sympy.diff(e, t, k) for e in function.expressions))) for k in (order, order - 1)
        )
        sides = [Interval(edges[:-1], edges[1:])]
        parts, below = bent(sides), smooth(sides)
    except (AtlasMoEError, TypeError):
        return None
    if any(e.has(sympy.Abs, sympy.sign, sympy.Max, sympy.Min, sympy.Piecewise, sympy.Heaviside) for e in function.expressions):
        return None  # a kink, which derivatives do not see
    found = np.max([np.broadcast_to(part.magnitude, len(edges) - 1) for part in parts], axis=0)
    return found if np.isfinite(found).all() and all(np.isfinite(part.magnitude).all() for part in below) else None


def _knots(edges: Array, third: Array, pieces: int) -> Array:
    """Pieces with equal shares of ∫∛|F‴|, among the edges of cells."""
    share = np.concatenate([[0.0], np.cumsum(np.cbrt(third) + 1e-3 * np.cbrt(third.max()) + np.finfo(float).tiny)])
    places = np.searchsorted(share, np.linspace(0, share[-1], pieces + 1)[1:-1])
    return np.unique(edges[np.concatenate([[0], places, [len(edges) - 1]])])


def _spline(function: ExpressionMap, knots: Array, edges: Array, third: Array) -> QuadraticSpline:
    low, high = knots[:-1], knots[1:]
    middle = low + (high - low) / 2
    at = [function(points[:, None]) for points in (low, middle, high)]
    h = (high - low)[:, None]
    bend = 2 * (at[0] - 2 * at[1] + at[2]) / h**2
    slope = (at[2] - at[0]) / h  # of the chord
    # On piece i: at[0] + (t − low)·(slope + bend·(t − high)).
    alpha = np.diff(bend, axis=0, prepend=0.0)
    own = slope - bend * high[:, None]
    # q_i − q_{i−1} = (t − t_i)·(alpha·t + gamma); at t_i both agree, their slopes there give gamma.
    tilt = np.concatenate([(slope - bend * h)[:1], (slope - bend * h)[1:] - (slope + bend * h)[:-1]])
    gamma = np.where(np.arange(len(low))[:, None] == 0, own, tilt - alpha * low[:, None])
    q = at[0].shape[1]
    gates = np.repeat(low, q)
    ups, shifts = alpha.reshape(-1), gamma.reshape(-1)
    out = np.tile(np.eye(q), len(low))
    dictionary = Dictionary(np.ones((len(gates), 1)), (1,) * len(gates), gates, np.ones(len(gates)), RELU)
    ridge = Ridge(dictionary, out, at[0][0], Affine(ups[:, None], shifts))
    sup = np.maximum.reduceat(third, np.searchsorted(edges, low))
    lopsided = 1 + 16 * EPS * float(np.abs(knots).max()) / float(h.min())  # the middle is rounded
    between = CONSTANT * float((h[:, 0] ** 3 * sup).max()) * lopsided
    return QuadraticSpline(knots, ridge, (between + LEBESGUE * _missed(function, knots, middle, alpha, gamma, at[0][0])) * (1 + 8 * EPS))


def _missed(function: ExpressionMap, knots: Array, middle: Array, alpha: Array, gamma: Array, constant: Array) -> float:
    """How far the spline of the numbers that are stored is from F at the ends and in the middles of its pieces, in exact arithmetic."""
    points = np.stack([knots[:-1], middle, knots[1:]])
    truth = NaturalEnclosure(function)([Interval(points.reshape(-1), points.reshape(-1))])
    worst = 0.0
    for k, part in enumerate(truth):
        lower, upper = (np.broadcast_to(side, points.size).reshape(points.shape) for side in (part.lower, part.upper))
        if not (np.isfinite(lower) & np.isfinite(upper)).all():
            return np.inf
        a, b, c = Fraction(0), Fraction(0), Fraction(float(constant[k]))
        for n, knot in enumerate(map(Fraction, knots[:-1].tolist())):
            # (t − t_n)·(α·t + γ) from here on
            one, other = Fraction(float(alpha[n, k])), Fraction(float(gamma[n, k]))
            a, b, c = a + one, b + other - knot * one, c - knot * other
            for low, high, point in zip(lower[:, n].tolist(), upper[:, n].tolist(), map(Fraction, points[:, n].tolist()), strict=True):
                value = (a * point + b) * point + c
                worst = max(worst, float(max(value - Fraction(low), Fraction(high) - value)))
    return worst * (1 + 4 * EPS)
