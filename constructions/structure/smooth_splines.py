"""C¹ quadratic splines of one variable in relu² neurons: one more than pieces, with an a-priori bound (N23).

Lemma. Let t_j = t_0 + j·h, j = 0 … n, m_j the middle of [t_j, t_(j+1)], and s = Σ_(j=−1…n) c_j·B_j with the quadratic B-splines B_j of
these knots, continued, B_j largest at m_j. Let c_j = 2·F(m_j) − (F(t_j) + F(t_(j+1)))/2, F continued by its Taylor polynomials of degree 3
at the ends, so that c_(−1) = F(t_0) − h·F′(t_0)/2 + h³·F‴(t_0)/24, and c_n likewise. Then on [t_0, t_n]

    |F − s| ≤ h³/24·sup|F‴|   and   |F − s| ≤ (√3/216)·h³·sup|F‴| + (49/1152)·h⁴·sup|F⁗|.

Both are sharp: 1/24 (which no other approximation by these splines can better on the whole line) at knots, for F‴ of alternating
signs; √3/216 for cubics. (Coefficients from middles alone, (10·F(m_j) − F(m_(j−1)) − F(m_(j+1)))/8, have 3/64 in the place of 1/24.)

Proof, h = 1, t ∈ [0, ½] in the piece [0, 1]. Quadratics are reproduced, F(t) − s(t) = ∫ K(t, x)·F‴(x) dx. For x < 0 only c_(−1) sees it,
K ≤ 0, ∫|K| = B_(−1)(t)/24 = (1 − t)²/48; for x > 1 K ≥ 0 and t²/48. Between, K ≥ 0 but on a stretch at 1 whose integral is −t⁶/(24·A²),
A = ½ + t − 2t². For F = x³/6 the error is t(1 − t)(1 − 2t)/12, at most √3/216; so ∫|K(t, ·)| = (1 − 5t² + 4t³)/24 + t⁶/(12·A²), and that is
at most (1 − 5t²/2)/24, as A ≥ ½. The second bound: ∫|K|·|x − t| ≤ 49/1152, as |x − t| ≤ 1 between, ≤ 1 + t before and ≤ 2 − t behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import sympy

from ...atlas import Array, ExpressionMap
from ...errors import AtlasMoEError, EpsilonNotReached
from ...intervals import Interval, NaturalEnclosure
from ...moe.activations import RELU2
from ...moe.ridge import Dictionary, Ridge
from .quadratics import CELLS, CONSTANT, EPS, LEBESGUE, derivative_bound

ALTERNATING, DRIFT = 1 / 24, 49 / 1152
BITS = 44
"""Knots and middles are multiples of 2^-BITS of the interval's numbers, so that they are floats."""


@dataclass(frozen=True, eq=False)
class SmoothSpline:
    """s and a bound of |F − s| in real arithmetic, s of the numbers that are stored."""

    knots: Array
    ridge: Ridge
    bound: float


def a_priori(third: float, fourth: float, h: float) -> float:
    """The lemma's bound for these suprema, rounded up."""
    return h**3 * min(ALTERNATING * third, CONSTANT * third + DRIFT * h * fourth) * (1 + 16 * EPS)


def smooth_spline(
    function: ExpressionMap, lower: float, upper: float, *, epsilon: float | None = None, width: int | None = None, limit: int
) -> SmoothSpline | None:
    """The spline with bound at most `epsilon`, or of `width` neurons, of F : [lower, upper] → R^q; None where F‴ has no enclosure.

    Raises `EpsilonNotReached` if more than `limit` neurons are needed.
    """
    unit = 2.0 ** (np.ceil(np.log2(max(abs(lower), abs(upper), upper - lower))) - BITS)
    start = float(np.floor(lower / unit) * unit)
    end = upper + 4 * (limit + 2) * unit
    edges = np.linspace(start, end, CELLS + 1)
    bends = [derivative_bound(function, edges, order) for order in (3, 4)]
    if bends[0] is None:
        return None
    third, fourth = (np.inf if bend is None else float(bend.max()) for bend in bends)

    def made(pieces: int) -> SmoothSpline:
        h = float(np.ceil((upper - start) / pieces / (2 * unit)) * (2 * unit))
        return _spline(function, start + h * np.arange(pieces + 1, dtype=np.float64), h, a_priori(third, fourth, h))

    if width is not None:
        return made(max(1, min(width, limit) - 1))
    assert epsilon is not None
    pieces = 1
    while a_priori(third, fourth, (upper - start) / pieces) > epsilon * (1 - 1e-9) and pieces < limit:
        pieces += max(1, pieces // 64)
    found = made(pieces)
    if found.bound > epsilon or pieces >= limit:
        raise EpsilonNotReached("C¹ spline", budget=epsilon, reached=found.bound, width=pieces + 1, remedy="raise max_width")
    return found


def _spline(function: ExpressionMap, knots: Array, h: float, bound: float) -> SmoothSpline:
    """With n + 1 neurons facing right: two before the data for the first piece, one for every knot between pieces."""
    levels, wrong = _levels(function, knots, h)
    bend = (levels[2:] - 2 * levels[1:-1] + levels[:-2]) / h**2
    slope, square = (levels[1] - levels[0]) / h, bend[0] / 2
    far = 2.0 ** np.ceil(np.log2(h * (len(knots) - 1)))
    # u·(x + L)² + v·(x + 2L)² = square·x² + slope·x + constant.
    v = slope / (2 * far) - square
    u = square - v
    constant = (levels[0] + levels[1]) / 2 - far**2 * (u + 4 * v)
    places = np.concatenate([[knots[0] - 2 * far, knots[0] - far], knots[1:-1]])
    weights = np.concatenate([[v, u], np.diff(bend, axis=0) / 2])
    dictionary = Dictionary(np.ones((1, 1)), (len(places),), places, np.ones(len(places)), RELU2)
    apart = _apart(levels, knots, h, places, weights, constant)
    return SmoothSpline(knots, Ridge(dictionary, weights.T, constant), (bound + wrong + LEBESGUE * apart) * (1 + 8 * EPS))


def _levels(function: ExpressionMap, knots: Array, h: float) -> tuple[Array, float]:
    """c (n + 2, q), and how far the largest is from what the lemma says: B-splines are a partition of unity, so s is no farther."""
    points = np.append(np.stack([knots[:-1], knots[:-1] + h / 2], axis=1).ravel(), knots[-1])
    value, off = _values(function, points)
    middle, sides = slice(1, None, 2), (slice(0, -1, 2), slice(2, None, 2))
    inner = 2 * value[middle] - (value[sides[0]] + value[sides[1]]) / 2
    unsure = 2 * off[middle] + (off[sides[0]] + off[sides[1]]) / 2 + 8 * EPS * np.abs(value).max()
    ends, ends_off = [], []
    for point, side, sign in ((knots[:1], 0, -1.0), (knots[-1:], -1, 1.0)):
        slope, slope_off = _values(_derivative(function, 1), point)
        third, third_off = _values(_derivative(function, 3), point)
        ends.append(value[side] + sign * (h * slope[0] / 2 - h**3 * third[0] / 24))
        size = np.abs(value[side]) + h * np.abs(slope[0]) + h**3 * np.abs(third[0])
        ends_off.append(off[side] + h * slope_off[0] + h**3 * third_off[0] + 8 * EPS * size)
    return np.concatenate([ends[:1], inner, ends[1:]]), float(max(unsure.max(), np.max(ends_off)))


def _derivative(function: ExpressionMap, order: int) -> ExpressionMap:
    (t,) = function.variables
    return ExpressionMap((t,), tuple(sympy.diff(e, t, order) for e in function.expressions))


def _values(function: ExpressionMap, points: Array) -> tuple[Array, Array]:
    """Values (N, q), and by how much they may be wrong; infinity where nothing is known."""
    try:
        parts = NaturalEnclosure(function)([Interval(points, points)])
    except (AtlasMoEError, TypeError):
        return np.zeros((len(points), function.outputs)), np.full((len(points), function.outputs), np.inf)
    lower, upper = (np.stack([np.broadcast_to(getattr(p, side), len(points)) for p in parts], axis=1) for side in ("lower", "upper"))
    known = np.isfinite(lower) & np.isfinite(upper)
    middle = np.where(known, lower + (np.where(known, upper, 0) - np.where(known, lower, 0)) / 2, 0.0)
    return middle, np.where(known, np.maximum(upper - middle, middle - lower) * (1 + 4 * EPS), np.inf)


def _apart(levels: Array, knots: Array, h: float, places: Array, weights: Array, constant: Array) -> float:
    """How far the neurons that are stored are from s of these levels at knots and middles, in exact arithmetic."""
    if not np.isfinite(levels).all():
        return np.inf

    def exactly(numbers: Array) -> list[Fraction]:
        return [Fraction(x) for x in numbers.tolist()]

    return max(
        _apart_in_one(exactly(c), exactly(knots), exactly(places), exactly(w), Fraction(float(b)))
        for c, w, b in zip(levels.T, weights.T, constant, strict=True)
    )


def _apart_in_one(
    c: Sequence[Fraction], knots: Sequence[Fraction], places: Sequence[Fraction], weights: Sequence[Fraction], constant: Fraction
) -> float:
    square, slope, value, worst = Fraction(0), Fraction(0), constant, Fraction(0)
    joins = [list(range(2)), *([j] for j in range(2, len(places)))]
    for n, joined in enumerate(joins):
        for j in joined:
            square, slope, value = square + weights[j], slope - 2 * weights[j] * places[j], value + weights[j] * places[j] ** 2
        low, high = knots[n], knots[n + 1]
        wanted = ((c[n] + c[n + 1]) / 2, (c[n] + 6 * c[n + 1] + c[n + 2]) / 8, (c[n + 1] + c[n + 2]) / 2)
        for t, exact in zip((low, (low + high) / 2, high), wanted, strict=True):
            worst = max(worst, abs((square * t + slope) * t + value - exact))
    return float(worst) * (1 + 4 * EPS)
