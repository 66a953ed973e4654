"""Linear splines with an a-priori bound: |F − spline| ≤ bound everywhere, before a single sample is drawn (B4, B19).

The bound is proved in real arithmetic for the piecewise-linear function with the float knots and levels of the spline, from
enclosures of F″ with outward rounding (`spline_proof`). It needs F as an expression: a callable has no bound.
Closed forms, for comparison and for planning: with |F″| ≤ M_k on P cells of width w_k, interpolation at m pieces errs by
at most (Σ w_k√M_k)²/(8(m−P)²): give cell k the ⌈(m−P)·w_k√M_k/Σ⌉ ≥ 1 pieces, m in all at most, each of error ≤ (w_k/n_k)²·M_k/8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import sympy
from numpy.typing import NDArray

from ....atlas import Array
from ....errors import EpsilonNotReached, InvalidArgument
from ....intervals import Interval
from .knots import Gaps, equalise
from .proof import EPS, Local, ProvedGaps
from .spline import Spline

CELLS = 512
"""Cells at first, at least; they are halved where nothing is known."""
COARSE = 4
"""Cells with this many times the mean share of ∫√|F″| are halved too."""
HALVINGS = 40
"""A cell that is 2^-40 of a first one and still has no bound for F has none."""
MOST_CELLS = 1 << 14
SPLIT = 16
"""Parts that a cell with a kink is cut into, until it is a few floats wide."""
ROUNDS, MOST_ROUNDS, FEW_PIECES = 6, 16, 256
"""Of de Boor's iteration, which cost more here than with samples."""
MOST_WIDTH = 1 << 14
REMEMBERED = 64
"""Splines of functions and what they begin with: the same functions come again, to other budgets and in other attempts."""
JUMP = 1e-6
"""F varies by its slope times 10^-15 over a kink's bracket; by this part of its size, it jumps."""


def a_priori_spline(
    expressions: Sequence[sympy.Expr],
    variable: sympy.Symbol,
    lower: float,
    upper: float,
    *,
    width: int | None = None,
    epsilon: float | None = None,
    along: sympy.Expr | None = None,
    limit: int = MOST_WIDTH,
) -> Spline:
    """A spline of at most `width` pieces, or of enough for the bound `epsilon`, with |F − spline| ≤ `bound` proved on its interval.

    F : R → R^q has the components `expressions` of u = `variable` ∈ [lower, upper]; the error is that of the largest component, knots are
    shared. With `along`, F is a function of s = along(u) instead, which must be strictly monotone, and so is the spline.
    |·|, max, min, sign and Piecewise are split at the zeros of their switches, each of which costs one knot.

    Raises `InvalidArgument` if F has no bound (a pole, 0/0), F jumps, a function has no enclosure or the kinks leave no pieces;
    `EpsilonNotReached` if `limit` pieces do not reach epsilon.
    """
    if not (np.isfinite(lower) and np.isfinite(upper) and lower < upper) or (width is None) == (epsilon is None):
        raise InvalidArgument(f"a spline needs finite lower < upper, got [{lower}, {upper}], and either a width or an epsilon")
    return _spline(Local(tuple(expressions), variable, float(lower), float(upper), along), width, epsilon, limit)


@lru_cache(maxsize=REMEMBERED)
def _spline(local: Local, width: int | None, epsilon: float | None, limit: int) -> Spline:
    builder = _builder(local)
    if width is not None:
        return builder.spline(width)
    assert epsilon is not None
    share = np.sqrt(builder.curvature) @ np.diff(builder.edges)
    pieces = max(1, int(np.ceil(share / (4 * np.sqrt(epsilon)))), len(builder.breaks) - 1)
    while True:
        spline = builder.spline(min(pieces, limit))
        assert spline.bound is not None
        if spline.bound <= epsilon:
            return spline
        if pieces >= limit:
            remedy = "refine the atlas or allow a larger epsilon"
            raise EpsilonNotReached("a-priori spline", budget=epsilon, reached=spline.bound, width=spline.pieces, remedy=remedy)
        pieces = max(pieces + 1, int(np.ceil(pieces * min(2.0, np.sqrt(spline.bound / epsilon)))))


@lru_cache(maxsize=REMEMBERED)
def _builder(local: Local) -> _Builder:
    return _Builder(local)


class _Builder:
    """The kinks of one function, and cells with bounds of its second derivative."""

    def __init__(self, local: Local) -> None:
        self.local = local
        self.left, self.right = _brackets(local)
        inside = (self.left > local.lower) & (self.right < local.upper)
        self.kinks = (self.left + (self.right - self.left) / 2)[inside]
        self.breaks = np.concatenate([[local.lower], self.kinks, [local.upper]])
        # What a part of F starts and ends with: the far sides of the brackets.
        self.starts = np.concatenate([[local.lower], self.right[inside]])
        self.ends = np.concatenate([self.left[inside], [local.upper]])
        if len(self.left) and self.left[0] <= local.lower:
            self.starts[0] = self.right[0]
        if len(self.left) and self.right[-1] >= local.upper:
            self.ends[-1] = self.left[-1]
        self.slack = self._variation()
        self.edges, self.curvature = self._cells()

    def _variation(self) -> float:
        """How far F varies within a bracket, at most."""
        if not len(self.left):
            return 0.0
        values = self.local.values(self.left, self.right)
        variation = values.upper - values.lower
        size = float(np.abs(self.local.values(self.breaks, self.breaks).upper).max())
        worst = int(np.argmax(variation.max(1)))
        if not variation.max() <= JUMP * (size + np.finfo(float).tiny):
            raise InvalidArgument(
                f"no continuous spline comes near {self._shown()}: it jumps at {self.local.variable} = {self.left[worst]:.6g}"
            )
        return float(variation.max())

    def _shown(self) -> str:
        return ", ".join(str(e)[:80] for e in self.local.expressions)

    def _cells(self) -> tuple[Array, Array]:
        """Cells between the breaks with max |d²F/ds²| of each, largest component."""
        local = self.local
        parts = [
            np.linspace(a, b, max(4, int(CELLS * (b - a) / (local.upper - local.lower))) + 1)
            for a, b in zip(self.starts, self.ends, strict=True)
        ]
        left, right = np.concatenate([p[:-1] for p in parts]), np.concatenate([p[1:] for p in parts])
        cells = _Cells.of(local, left, right)
        for _ in range(HALVINGS):
            shares = np.sqrt(cells.size) * (cells.right - cells.left)
            known = np.isfinite(shares)
            coarse = ~known | (shares > shares[known].sum() * COARSE / CELLS)
            if not coarse.any() or len(cells.left) > MOST_CELLS:
                break
            cells = cells.halved(coarse)
        unknown = cells.left[~np.isfinite(cells.size)]
        if len(unknown):
            raise InvalidArgument(f"no a-priori bound: {self._shown()} has none near {local.variable} = {unknown[0]:.6g}")
        return np.append(cells.left, cells.right[-1]), cells.size

    def spline(self, width: int) -> Spline:
        if width < len(self.breaks) - 1:
            raise InvalidArgument(f"{len(self.breaks) - 2} kinks need at least {len(self.breaks) - 1} pieces, the width is {width}")

        def measure(knots: Array) -> Gaps:
            return self._gaps(knots)[0]

        outputs, rounds = len(self.local.expressions), MOST_ROUNDS if width < FEW_PIECES else ROUNDS
        knots, shifts = equalise(measure, outputs, self.edges, np.sqrt(self.curvature), self.breaks, width, rounds)
        found = self.local.values(knots, knots)
        levels = found.lower + (found.upper - found.lower) / 2 + shifts
        at = self.local.positions(knots)
        places, misplaced = at.lower + (at.upper - at.lower) / 2, float((at.upper - at.lower).max())
        bound = self._bound(knots, places, misplaced, levels, Interval.of(levels) - found)
        if places[-1] < places[0]:
            places, levels = places[::-1], levels[::-1]
        return Spline(places, levels, bound)

    def _gaps(self, knots: Array) -> tuple[ProvedGaps, Array]:
        """On the pieces between knots; a piece that starts or ends at a kink does so at the near side of its bracket."""
        left, right = knots[:-1].copy(), knots[1:].copy()
        left[np.searchsorted(knots, self.breaks[:-1])] = self.starts
        right[np.searchsorted(knots, self.breaks[1:]) - 1] = self.ends
        return ProvedGaps.of(self.local, left, right)

    def _bound(self, knots: Array, places: Array, misplaced: float, levels: Array, shifts: Interval) -> float:
        """max |F − spline|, with everything that rounding and brackets may hide.

        A knot off its place by δ is a level off by δ·max|dF/ds|. Within a bracket of width b, and from its sides to its knot, F
        varies by at most `slack` and the spline by b times its slope: each moves a shift by at most that.
        """
        gaps, steepest = self._gaps(knots)
        high, low = gaps.between(shifts.lower[:-1], shifts.upper[:-1], shifts.lower[1:], shifts.upper[1:])
        hidden = misplaced * float(steepest.max()) if misplaced > 0 else 0.0
        if len(self.left):
            left, right = self.local.positions(self.left), self.local.positions(self.right)
            bracket = float((left.hull(right).upper - left.hull(right).lower).max())
            slope = float(np.abs(np.diff(levels, axis=0) / np.diff(places)[:, None]).max())
            hidden += self.slack + 2 * bracket * slope
        bound = (float(np.maximum(high, -low).max()) + hidden) * (1 + 16 * EPS)
        if not np.isfinite(bound):
            raise InvalidArgument(f"no a-priori bound at {len(knots) - 1} pieces for {self._shown()}")
        return bound


@dataclass(frozen=True, eq=False)
class _Cells:
    """Ascending cells [left, right] with size ≥ |d²F/ds²|, or what F′ or F allow for if that is less; the largest component."""

    local: Local
    left: Array
    right: Array
    size: Array

    @staticmethod
    def of(local: Local, left: Array, right: Array) -> _Cells:
        values, slope, bend = local.derivatives(left, right)
        size = np.maximum(np.abs(bend.lower), np.abs(bend.upper))
        with np.errstate(invalid="ignore"):
            for order, x in ((1, slope), (2, values)):
                # F″ that would allow for as large an error: h²·size/8 is h·spread(F′)/4, or spread(F).
                spread = (x.upper - x.lower) * 2 * order**2 / ((right - left) ** order)[:, None]
                size = np.minimum(size, np.where(np.isnan(spread), np.inf, spread))
        return _Cells(local, left, right, size.max(1))

    def halved(self, which: NDArray[np.bool_]) -> _Cells:
        left, right = self.left[which], self.right[which]
        middle = left + (right - left) / 2
        new = _Cells.of(self.local, np.concatenate([left, middle]), np.concatenate([middle, right]))
        joined = [
            np.concatenate([old[~which], fresh]) for old, fresh in ((self.left, new.left), (self.right, new.right), (self.size, new.size))
        ]
        order = np.argsort(joined[0], kind="stable")
        return _Cells(self.local, *(column[order] for column in joined))


def _brackets(local: Local) -> tuple[Array, Array]:
    """Ascending disjoint intervals (left, right), a few floats wide, outside which no branch of the expressions changes."""
    edges = np.linspace(local.lower, local.upper, CELLS + 1)
    left, right = edges[:-1], edges[1:]
    finest = 8 * np.spacing(max(abs(local.lower), abs(local.upper)))
    while True:
        # A kink at an edge is inside neither cell: both are taken a float wider.
        wider = np.maximum(np.nextafter(left, -np.inf), local.lower), np.minimum(np.nextafter(right, np.inf), local.upper)
        found = local.undecided(*wider)
        left, right = wider[0][found], wider[1][found]
        if not len(left) or (right - left).max() <= finest:
            break
        if len(left) > MOST_CELLS // SPLIT:
            raise InvalidArgument(f"the branches of {local.expressions} change all over [{left[0]:.6g}, {right[-1]:.6g}]")
        cut = left[:, None] + (right - left)[:, None] * (np.arange(SPLIT + 1) / SPLIT)
        cut[:, -1] = right
        left, right = cut[:, :-1].ravel(), cut[:, 1:].ravel()
        kept = right > left
        left, right = left[kept], right[kept]
    if not len(left):
        return left, right
    # Neighbours hold the same kink.
    apart = np.concatenate([[True], left[1:] - right[:-1] > 4 * finest])
    first = np.flatnonzero(apart)
    return left[first], right[np.append(first[1:] - 1, len(right) - 1)]
