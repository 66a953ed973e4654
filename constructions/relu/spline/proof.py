"""What enclosures of F″ prove about the error of a linear spline.

On a piece of length h between two knots let I interpolate F. I − F vanishes at both ends and has the second derivative −F″, so for
F″ ≤ U with U constant on sub-intervals, I − F ≤ w where w″ = −U, w = 0 at both ends: I − F − w is convex and vanishes at both ends.
w is a parabola on each sub-interval, so its maximum, plus that of any linear shift, is a closed formula; from below likewise. With one
sub-interval, U = M ≥ F″ ≥ 0 and no shift this is h²·M/8, and with the shift −h²·M/16 at both ends it is h²·M/16 (B4, B19).
Where F″ is unbounded or hardly enclosed: |I − F| ≤ τ(1−τ)·h·(max F′ − min F′) and |I − F| ≤ max F − min F hold as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import sympy

from ....atlas import Array
from ....intervals import Decoration, Flags, Interval
from .jets import Jet, Jets, quotient, value

PARTS, FEW_PARTS = 4, 256
"""Sub-intervals per piece, and in all: F″ may vary by a quarter of what it does over a piece before the bound notices, and long pieces
are cut finer, as enclosures over them are loose."""


EPS = float(np.finfo(float).eps)
HUGE = 1e100
"""Stands for ∞ where a difference of infinities must not become NaN; every error it leads to is far above any other bound."""


@dataclass(frozen=True)
class Local:
    """F(s), s ∈ R, given by a parameter: F = expressions(u) at s = along(u), u from `lower` to `upper`; along = u if it is None."""

    expressions: tuple[sympy.Expr, ...]
    variable: sympy.Symbol
    lower: float
    upper: float
    along: sympy.Expr | None = None

    @property
    def coordinate(self) -> sympy.Expr:
        return self.variable if self.along is None else self.along

    def values(self, left: Array, right: Array) -> Interval:
        """F on [left, right] (P,) each, as (P, q)."""
        return self._stacked([value(jet).settled() for jet in map(Jets(self.variable, left, right, 0), self.expressions)], left)

    def positions(self, u: Array) -> Interval:
        """s at u (P,)."""
        return self._stacked([value(Jets(self.variable, u, u, 0)(self.coordinate)).settled()], u).column(0)

    def undecided(self, left: Array, right: Array) -> Flags:
        """Where some branch of F or of s may change within [left, right]."""
        jets = Jets(self.variable, left, right, 1)
        for expression in (*self.expressions, self.coordinate):
            jets(expression)
        return jets.undecided

    def derivatives(self, left: Array, right: Array) -> tuple[Interval, Interval, Interval]:
        """F, dF/ds and d²F/ds² on [left, right], each (P, q); [−∞, ∞] where nothing can be said, or F may be undefined.

        For intervals within which no branch changes. Which branch it is may remain undecided: then these are hulls over the
        branches, and the mean value form holds for each of them.

        The naive enclosure and the mean value form F″(c) + F‴·(u − c) both hold; the better of the two is taken.
        """
        middle = left + (right - left) / 2
        wide, narrow = Jets(self.variable, left, right), Jets(self.variable, middle, middle, 2)
        offset = Interval.of(left) - Interval.of(middle)
        offset = offset.hull(Interval.of(right) - Interval.of(middle))
        values, slopes, bends = [], [], []
        for expression in self.expressions:
            slope = self._differentiated(wide, wide(expression))
            bend = self._differentiated(wide, slope)
            center = value(self._differentiated(narrow, self._differentiated(narrow, narrow(expression))))
            drift = bend[1]
            mean = center if drift is None else center + drift * offset
            F = value(wide(expression))
            lost = np.asarray(F.decoration < Decoration.DEFINED)
            values.append(F.settled())
            slopes.append(value(slope).settled().unknown_where(lost))
            bends.append(value(bend).settled().meet(mean.settled()).unknown_where(lost))
        return self._stacked(values, left), self._stacked(slopes, left), self._stacked(bends, left)

    def _differentiated(self, jets: Jets, jet: Jet) -> Jet:
        """d/ds = (ds/du)⁻¹·d/du."""
        if self.along is None:
            return jet[1:]
        speed = jets(self.along)[1:]
        return quotient(jet[1:], speed[: len(jet) - 1])

    @staticmethod
    def _stacked(columns: list[Interval], like: Array) -> Interval:
        low = [np.broadcast_to(column.lower, like.shape) for column in columns]
        high = [np.broadcast_to(column.upper, like.shape) for column in columns]
        return Interval(np.stack(low, axis=1), np.stack(high, axis=1))


@dataclass(frozen=True, eq=False)
class ProvedGaps:
    """The largest and smallest I − F + shift on each of n pieces of F, proved: one instance of `spline_knots.Gaps`."""

    lengths: Array
    """Of the sub-intervals, in s: (n, parts, 1)."""
    lower: Array
    upper: Array
    """Of d²F/ds² on the sub-intervals: (n, parts, q)."""
    turn: Array
    """h·(max − min of dF/ds)/4 of whole pieces: (n, q)."""
    range: Array
    """max − min of F, of whole pieces: (n, q)."""
    rounding: Array
    """(n, 1, q), what rounding in the formulas below and in `lengths` may hide."""

    @staticmethod
    def of(local: Local, left: Array, right: Array) -> tuple[ProvedGaps, Array]:
        """The gaps on the pieces [left, right] (n,) of the parameter, and max |dF/ds| there (n, q)."""
        parts = max(PARTS, FEW_PARTS // len(left))
        fractions = np.arange(parts + 1) / parts
        edges = left[:, None] + (right - left)[:, None] * fractions
        edges[:, -1] = right
        values, slope, bend = local.derivatives(edges[:, :-1].ravel(), edges[:, 1:].ravel())
        at = local.positions(edges.ravel())
        s = (at.lower + (at.upper - at.lower) / 2).reshape(edges.shape)
        shape = (len(left), parts, -1)
        # Rows without any bound must not poison the arithmetic: their other bounds count.
        low, high = np.maximum(bend.lower.reshape(shape), -HUGE), np.minimum(bend.upper.reshape(shape), HUGE)
        lengths = np.abs(np.diff(s, axis=1))[:, :, None]
        total = lengths.sum(1, keepdims=True)
        size = np.maximum(np.abs(low), np.abs(high)).max(1, keepdims=True)
        # An end of a sub-interval moved by δ moves w by at most h/4·δ times the change of U there (Green's function is at most h/4).
        misplaced = (at.upper - at.lower).max(initial=0) + 4 * EPS * np.abs(s).max()
        rounding = size * total * (parts * misplaced + 16 * parts * EPS * total)
        steepest = np.maximum(np.abs(slope.lower), np.abs(slope.upper)).reshape(shape).max(1)
        with np.errstate(invalid="ignore"):
            turn = _spread(slope, shape) * total[:, 0] / 4
        return ProvedGaps(lengths, low, high, turn, _spread(values, shape), rounding), steepest

    def __call__(self, left: Array, right: Array) -> tuple[Array, Array]:
        """(high, low) for shifts left, right (n, q) at the two ends."""
        return self.between(left, left, right, right)

    def between(self, left: Array, left_high: Array, right: Array, right_high: Array) -> tuple[Array, Array]:
        """(high, low) for shifts that are only known to lie in [left, left_high] and [right, right_high]."""
        return self._top(self.upper, left_high, right_high), -self._top(-self.lower, -left, -right)

    def _top(self, bend: Array, left: Array, right: Array) -> Array:
        """max of w + shift, w″ = −bend on the sub-intervals; (n, q)."""
        d, n = self.lengths, self.lengths.shape[1]
        fall = np.cumsum(bend * d, axis=1)
        slope = np.concatenate([np.zeros_like(fall[:, :1]), -fall], axis=1)  # w′ at the edges if it starts at 0
        w = np.cumsum(slope[:, :n] * d - bend * d**2 / 2, axis=1)
        at = np.concatenate([np.zeros_like(d[:, :1]), np.cumsum(d, axis=1)], axis=1)
        start = (right - left - w[:, -1])[:, None] / at[:, -1:]
        w = np.concatenate([np.zeros_like(w[:, :1]), w], axis=1) + left[:, None] + start * at
        slope = slope + start
        ends = w.max(1)
        turning = (slope[:, :n] > 0) & (slope[:, 1:] < 0) & (bend > 0)
        vertex = np.where(turning, w[:, :n] + slope[:, :n] ** 2 / (2 * np.where(turning, bend, 1.0)), -np.inf)
        size = np.abs(left) + np.abs(right)
        bends = np.maximum(ends, vertex.max(1)) + self.rounding[:, 0]
        # The same with the parabola 4·turn·τ(1−τ) in place of w: see `spline_knots` for the sign of the shifts.
        inside = np.abs(right - left) < 4 * self.turn
        top = self.turn + (left + right) / 2 + (right - left) ** 2 / (16 * np.where(inside, self.turn, 1.0))
        turns = np.where(inside, top, np.maximum(left, right))
        ranges = self.range + np.maximum(left, right)
        # Relative rounding of the short formulas, and of the shifts in all of them.
        return np.minimum(bends, np.minimum(turns, ranges) * (1 + 8 * EPS)) + 64 * EPS * size


def _spread(x: Interval, shape: tuple[int, int, int]) -> Array:
    """max − min over the sub-intervals of each piece, rounded up; ∞ where nothing is known."""
    with np.errstate(invalid="ignore"):
        spread = (x.upper.reshape(shape).max(1) - x.lower.reshape(shape).min(1)) * (1 + 4 * EPS)
    return np.where(np.isnan(spread), np.inf, spread)
