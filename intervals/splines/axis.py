"""One variable of a tensor product of splines: its breaks, and the splines of a cell as polynomials, in fractions.

Let b_0 < … < b_n be the breaks and p the degree. Knots are t_i = b_i, with t_i = b_0 for i < 0 and b_n for i > n; or, where the axis is
periodic, t_{i+n} = t_i + (b_n − b_0). On the cell [b_i, b_{i+1}] the p + 1 B-splines number i, …, i + p of degree p are not 0, those that
de Boor's recursion gives on t_{i+1−p}, …, t_{i+p}; number m and m + n are one where the axis is periodic. All of this is about the
numbers that the floats b_i are: f is a spline with these knots exactly, C^{p−1} across all of them, whatever its coefficients are.

Bernstein coefficients of the B-splines on their cell are values of polar forms, fractions of the breaks; from them come those of the powers
of s = (x − b_i)/(b_{i+1} − b_i).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...expressions import Array

Indices = NDArray[np.intp]


class Segments(NamedTuple):
    """Parts of intervals, each on one cell."""

    row: Indices
    """Which interval each is a part of, ascending."""
    cell: Indices
    lower: Array
    upper: Array


@dataclass(frozen=True, eq=False)
class Axis:
    """See the module."""

    breaks: Array
    """(n + 1,), ascending."""
    degree: int
    periodic: bool = False

    @property
    def cells(self) -> int:
        return len(self.breaks) - 1

    @property
    def splines(self) -> int:
        """How many coefficients there are along the axis."""
        return self.cells if self.periodic else self.cells + self.degree

    def active(self, cell: Indices) -> Indices:
        """The B-splines of cells, (N,) → (N, p + 1)."""
        found = cell[:, None] + np.arange(self.degree + 1)
        return found % self.cells if self.periodic else found

    def knot(self, i: int) -> Fraction:
        n = self.cells
        if not self.periodic:
            return Fraction(float(self.breaks[min(max(i, 0), n)]))
        return Fraction(float(self.breaks[i % n])) + (i // n) * self.period

    @cached_property
    def period(self) -> Fraction:
        return Fraction(float(self.breaks[-1])) - Fraction(float(self.breaks[0]))

    def exact(self, i: int) -> list[list[Fraction]]:
        """Row j: the Bernstein coefficients of B-spline i + j on cell i."""
        p = self.degree
        ends = self.knot(i), self.knot(i + 1)
        columns = [self._polar(i, [ends[0]] * (p - q) + [ends[1]] * q) for q in range(p + 1)]
        return [[columns[q][j] for q in range(p + 1)] for j in range(p + 1)]

    def _polar(self, i: int, at: list[Fraction]) -> list[Fraction]:
        """What the polar form on cell i is at these numbers, as weights of the coefficients (de Boor)."""
        p = self.degree
        rows = [[Fraction(int(j == k)) for k in range(p + 1)] for j in range(p + 1)]
        for r in range(1, p + 1):
            for j in range(p, r - 1, -1):
                low, high = self.knot(i + j - p), self.knot(i + j + 1 - r)
                alpha = (at[r - 1] - low) / (high - low)
                rows[j] = [(1 - alpha) * a + alpha * b for a, b in zip(rows[j - 1], rows[j], strict=True)]
        return rows[p]

    @cached_property
    def bernstein(self) -> Array:
        """(n, p + 1, p + 1): cell, B-spline, Bernstein coefficient; each within 2^-53 of its size, and of no smaller number."""
        return np.array([[[float(v) for v in row] for row in self.exact(i)] for i in range(self.cells)])

    @cached_property
    def powers(self) -> Array:
        """(n, p + 1, p + 1): cell, B-spline, power of s; rounded like `bernstein`."""
        return np.array([[[float(v) for v in powers_of(row)] for row in self.exact(i)] for i in range(self.cells)])

    def locate(self, x: Array) -> tuple[Indices, Array]:
        """The cell of each number, and the number in it, of the first period; the nearest one where there is none."""
        if self.periodic:
            first, last = float(self.breaks[0]), float(self.breaks[-1])
            x = first + np.mod(x - first, last - first)
        cell = np.clip(np.searchsorted(self.breaks, x, side="right") - 1, 0, self.cells - 1)
        return cell, x

    def segments(self, lower: Array, upper: Array, most: int) -> tuple[Segments, NDArray[np.bool_]]:
        """Intervals cut at the breaks, all inside one period; and those that have more than `most` parts, which are not cut."""
        first, last = float(self.breaks[0]), float(self.breaks[-1])
        inside = (lower >= first) & (upper <= last)
        if inside.all() or not self.periodic:
            return self._cut(np.arange(len(lower)), lower, upper, most)
        many = np.zeros(len(lower), bool)
        rows = np.flatnonzero(inside)
        found, more = self._cut(rows, lower[rows], upper[rows], most)
        many[rows[more]] = True
        parts = [found]
        turns = np.floor((lower - first) / (last - first))
        many |= ~inside & (~(upper - lower < last - first) | ~(np.abs(turns) < 2.0**30))
        low, high = self._turned(lower, turns, -np.inf), self._turned(upper, turns, np.inf)
        for turn in (-1.0, 0.0, 1.0, 2.0):
            a, b = self._turned(low, turn, -np.inf), self._turned(high, turn, np.inf)
            rows = np.flatnonzero(~inside & ~many & (a <= last) & (b >= first))
            found, more = self._cut(rows, np.clip(a, first, last)[rows], np.clip(b, first, last)[rows], most)
            parts.append(found)
            many[rows[more]] = True
        row, cell = (np.concatenate([part[k] for part in parts]) for k in range(2))
        joined = Segments(row, cell, *(np.concatenate([getattr(part, end) for part in parts]) for end in ("lower", "upper")))
        count = np.bincount(joined.row, minlength=len(lower))
        many |= (count > most) | (count == 0)
        keep = np.flatnonzero(~many[joined.row])
        keep = keep[np.argsort(joined.row[keep], kind="stable")]
        return Segments(joined.row[keep], joined.cell[keep], joined.lower[keep], joined.upper[keep]), many

    def _turned(self, x: Array, turns: Array | float, to: float) -> Array:
        """x − turns·period, rounded in one direction; exact for no turns."""
        length = np.nextafter(float(self.breaks[-1]) - float(self.breaks[0]), np.inf)
        size = np.abs(turns) * length * (1 + 2.0**-50)
        moved = x - turns * (float(self.breaks[-1]) - float(self.breaks[0]))
        # Three roundings: of the length, of its multiple and of the difference.
        slack = 2.0**-51 * (size + np.abs(moved) + np.abs(x))
        return np.where(turns == 0, x, moved + slack if to > 0 else moved - slack)

    def _cut(self, rows: Indices, lower: Array, upper: Array, most: int) -> tuple[Segments, NDArray[np.bool_]]:
        """Intervals within the breaks, cut at them; `rows` is what each is called. A number that is a break is a part of both its cells."""
        left = np.clip(np.searchsorted(self.breaks, lower, side="right") - 1, 0, self.cells - 1)
        right = np.clip(np.searchsorted(self.breaks, upper, side="left") - 1, 0, self.cells - 1)
        first, last = np.minimum(left, right), np.maximum(left, right)
        many = last - first + 1 > most
        few = np.flatnonzero(~many)
        count = (last - first + 1)[few]
        which = np.repeat(few, count)
        cell = first[which] + np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
        low, high = np.maximum(lower[which], self.breaks[cell]), np.minimum(upper[which], self.breaks[cell + 1])
        return Segments(rows[which], cell, low, high), many


def powers_of(bernstein: list[Fraction]) -> list[Fraction]:
    """From Bernstein coefficients on [0, 1] to those of powers: C(p, q)·Δ^q b_0."""
    p, found, row = len(bernstein) - 1, [], list(bernstein)
    for q in range(p + 1):
        found.append(comb(p, q) * row[0])
        row = [b - a for a, b in pairwise(row)]
    return found
