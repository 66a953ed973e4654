"""Ridge structure: neurons whose first-layer rows are one direction up to sign and a power of two, enclosed profile by profile.

Along one direction a·x = s a sum of neurons is piecewise linear with knots at exact floats. Where no knot is inside the range of s over a
box it is one line, by prefix sums; elsewhere a bent chord (`bend`). That costs a few operations per direction and box, however many
neurons there are. The structure is found in the stored weights; nobody is asked for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...atlas import Array
from .bend import Bend, Places, narrower
from .fast import loops
from .taylor import EPS, TaylorForms, settled

BINS = 4
"""Bins per knot in which knots are looked up."""
MOST_STEPS = 8
"""From knot to knot, until a binary search takes over: knots far from evenly spaced."""
MOST_SEGMENTS = 1 << 18
"""Segments between knots looked at together: arrays of them stay in the cache-to-RAM range."""


@dataclass(frozen=True, eq=False)
class Profile:
    """q(s) = Σ_j β_j·(s − t_j) over the knots t_j < s of neurons facing right and t_j > s of those facing left, (q,) outputs.

    Between the knots i − 1 and i it is slopes[i]·s + offsets[i] up to `noise`·(size·|s| + shift), size = Σ|β_j|, shift = Σ|β_j·t_j|.
    """

    knots: Array
    """(m,), ascending."""
    slopes: Array
    """(m + 1, q)."""
    offsets: Array
    size: Array
    """(q,)."""
    shift: Array
    noise: float
    """At least γ_{m+2}: two prefix sums of at most m terms, of products rounded once."""

    @staticmethod
    def of(knots: Array, steps: Array, facing: Array) -> Profile:
        """From knots (m,), β (m, q), and which way the neurons face, ±1 (m,)."""
        order = np.argsort(knots, kind="stable")
        knots, steps, facing = knots[order], steps[order], facing[order]
        levels = -steps * knots[:, None]
        slopes, offsets = _sums(steps, facing), _sums(levels, facing)
        return Profile(knots, slopes, offsets, np.abs(steps).sum(0), np.abs(levels).sum(0), (len(knots) + 4) * EPS)

    def passed(self, s: Array) -> Places:
        """How many knots are ≤ s, (N,)."""
        # The bin of s is ascending in s, rounding included: knots of lower bins are below s. Then a few more may be.
        count = self._starts[self._bin(s)]
        for _ in range(MOST_STEPS):
            behind = self._padded[count] <= s
            if not behind.any():
                return count
            count += behind
        return np.searchsorted(self.knots, s, side="right")

    @cached_property
    def _padded(self) -> Array:
        return np.append(self.knots, np.inf)

    @cached_property
    def _starts(self) -> Places:
        """Per bin, how many knots lie in lower bins."""
        return np.searchsorted(self._bin(self.knots), np.arange(BINS * len(self.knots) + 1))

    def _bin(self, s: Array) -> Places:
        bins, first = BINS * len(self.knots), self.knots[0]
        width = self.knots[-1] - first
        return np.clip((s - first) * (bins / width if width > 0 else 0.0), 0, bins).astype(np.intp)

    def lines(self, left: Array, right: Array) -> tuple[Places, Places, Places, Array]:
        """The lines on which the intervals [left, right] (N,) begin, which intervals hold knots, up to which line, and the noise (N, q)."""
        first = self.passed(left)
        crossed = np.flatnonzero(self._padded[first] < right)
        last = np.searchsorted(self.knots, right[crossed], side="left")
        farthest = np.maximum(np.abs(left), np.abs(right))[:, None]
        return first, crossed, last, self.noise * (self.size * farthest + self.shift)

    def bent(self, left: Array, right: Array, first: Places, last: Places) -> tuple[Bend, Array]:
        """p on intervals [left, right] (P,) that hold the knots first … last − 1, and the largest |q − p| (P, q) but for `noise`."""
        l, r = left[:, None], right[:, None]
        pieces = []
        blocks = np.flatnonzero(np.diff(np.cumsum(last - first + 1) // MOST_SEGMENTS)) + 1
        for part in np.split(np.arange(len(left)), blocks):
            found, low, high = self._bent(l[part], r[part], first[part], last[part])
            middle = low + (high - low) / 2
            reach = np.maximum(high - middle, middle - low) * (1 + 2 * EPS) + found.rounding(self.size, self.shift)
            level = found.level + middle
            pieces.append((found.slope, level, found.bend, reach + EPS * np.abs(level)))
        slope, level, bend, reach = (np.concatenate(column) for column in zip(*pieces, strict=True))
        return Bend(l, r, slope, level, bend), reach

    def _bent(self, l: Array, r: Array, first: Places, last: Places) -> tuple[Bend, Array, Array]:
        """The better of the bent and the plain chord, and the extrema of q − p, for intervals that hold knots first … last − 1."""
        counts = last - first
        before, after = self.slopes[first], self.slopes[last]
        width = r - l
        start = before * l + self.offsets[first]
        slope = (after * r + self.offsets[last] - start) / width
        # n equal kinks at distances h interpolate a parabola of curvature (their sum)/(n·h); w ≤ (n + 1)·h. A single kink is best
        # bent the less the farther it is off the middle.
        n, place = counts[:, None], self.knots[first][:, None]
        apart = np.maximum((self.knots[last - 1][:, None] - place) * (n / np.maximum(n - 1, 1)), width * (n / (n + 1)))
        lone = width * width / (4 * np.minimum(place - l, r - place))
        bent = Bend(l, r, slope, start - slope * l, (after - before) / np.where(n == 1, lone, apart))
        plain = Bend(l, r, slope, bent.level, np.zeros_like(slope))
        owner = np.repeat(np.arange(len(l)), counts + 1)
        starts = np.concatenate([[0], np.cumsum(counts + 1)[:-1]])
        segment = first[owner] + np.arange(len(owner)) - starts[owner]
        padded = np.concatenate([[-np.inf], self.knots, [np.inf]])[:, None]
        begin, end = np.maximum(padded[segment], l[owner]), np.minimum(padded[segment + 1], r[owner])
        choices = []
        for p in (bent, plain):
            low, high = p.residuals(self.slopes[segment], self.offsets[segment], begin, end, owner)
            choices.append((np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts)))
        better = narrower(*choices)
        low, high = (np.where(better, a, b) for a, b in zip(*choices, strict=True))
        return Bend(l, r, slope, bent.level, np.where(better, bent.bend, 0.0)), low, high


def _sums(steps: Array, facing: Array) -> Array:
    """Σ over right-facing j < i and left-facing j ≥ i, for i = 0 … m, (m + 1, q)."""
    zero = np.zeros((1, steps.shape[1]))
    right, left = np.where(facing[:, None] > 0, steps, 0.0), np.where(facing[:, None] > 0, 0.0, steps)
    passed = np.concatenate([zero, np.cumsum(right, axis=0)])
    ahead = np.concatenate([np.cumsum(left[::-1], axis=0)[::-1], zero])
    return passed + ahead


@dataclass(frozen=True, eq=False)
class Profiles:
    """Σ_k q_k(a_k·x): directions a_k (K, n) and a profile each."""

    directions: Array
    profiles: tuple[Profile, ...]

    def __call__(self, forms: TaylorForms) -> TaylorForms:
        """The sum over inputs x with these forms (n functions): q functions."""
        with np.errstate(all="ignore"):
            return self._enclosed(forms)

    def _enclosed(self, forms: TaylorForms) -> TaylorForms:
        N, C, q = len(forms), forms.coefficients.shape[1], len(self.profiles[0].size)
        projected = forms.affine(self.directions)
        known, span = projected.radius.max(1) < np.inf, projected.range()
        total, radius, size = np.zeros((C, q, N)), np.zeros((q, N)), np.zeros((q, N))
        coefficients, spread = projected.coefficients.transpose(1, 2, 0), projected.radius.T
        left, right = np.where(known, span.lower.T, 0.0), np.where(known, span.upper.T, 0.0)
        if compiled := loops(N * len(self.profiles), len(self.profiles)):
            rows = map(np.ascontiguousarray, (coefficients, spread, left, right))
            compiled.ridge(*rows, *self._tables, forms.dimension, total, radius, size)
        else:
            for k, profile in enumerate(self.profiles):
                _add(profile, (coefficients[:, k], spread[k], left[k], right[k]), forms.dimension, total, radius, size)
        # A product and at most 2K additions make a coefficient.
        radius += (2 * len(self.profiles) + 2) * EPS * size
        return settled(total.transpose(2, 0, 1), radius.T).unknown_where(~known[:, None])

    @cached_property
    def _tables(self) -> tuple[Array, ...]:
        """The profiles one after the other: where each begins, knots, slopes, offsets, sizes, shifts, noise."""
        starts = np.concatenate([[0], np.cumsum([len(p.knots) for p in self.profiles])])
        joined = (np.concatenate([getattr(p, name) for p in self.profiles]) for name in ("knots", "slopes", "offsets"))
        return starts, *joined, *(np.array([getattr(p, name) for p in self.profiles]) for name in ("size", "shift", "noise"))


def _add(profile: Profile, s: tuple[Array, Array, Array, Array], dimension: int, total: Array, radius: Array, size: Array) -> None:
    """Add q(s) to total (C, q, N), radius and size (q, N), for s given by coefficients (C, N), radius, left and right ends (N,)."""
    coefficients, spread, left, right = s
    first, crossed, last, noise = profile.lines(left, right)
    slopes, offsets = profile.slopes[first].T, profile.offsets[first].T
    slopes[:, crossed] = offsets[:, crossed] = 0
    for c in range(len(total)):
        total[c] += slopes * coefficients[c]
    total[0] += offsets
    steep = np.abs(slopes)
    radius += steep * spread + noise.T
    size += steep * np.abs(coefficients).sum(0) + np.abs(offsets)
    if len(crossed):
        bend, reach = profile.bent(left[crossed], right[crossed], first[crossed], last)
        out, error = bend.forms(np.ascontiguousarray(coefficients[:, crossed]), spread[crossed], dimension)
        total[:, :, crossed] += out.transpose(0, 2, 1)
        radius[:, crossed] += (error + reach).T
        size[:, crossed] += np.abs(out).sum(0).T


def canonical(rows: Array, scaled: bool = True) -> tuple[Array, Array]:
    """Rows (m, n) as scale·direction: scale ±2^e, direction with largest |entry| in [1/2, 1), first nonzero entry positive; exact.

    Rows that are 0, or whose scaling is not exact because it underflows, keep the scale 1. Not `scaled`: the scale is ±1, for activations
    that are not homogeneous.
    """
    largest = np.abs(rows).max(1)
    _, exponent = np.frexp(largest)
    first = rows[np.arange(len(rows)), np.argmax(rows != 0, axis=1)]
    sign = np.where(first < 0, -1.0, 1.0)
    if not scaled:
        return rows * sign[:, None] + 0.0, sign
    scale = sign * np.ldexp(1.0, np.clip(exponent, -1000, 1000))
    directions = rows / scale[:, None]
    exact = ((directions * scale[:, None] == rows).all(1)) & (largest > 0) & (np.abs(exponent) < 900)
    return np.where(exact[:, None], directions, rows) + 0.0, np.where(exact, scale, 1.0)
