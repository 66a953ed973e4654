"""Compiled twins of `powers`, `table` and `smooth_neurons`: the same operations in the same order, so the same numbers (`loops`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ...atlas import Array
from .bend import Places
from .powers import Indices
from .table import CELLS, DEGREES, LEVEL, REACH, WIDE, P
from .taylor import EPS, UNDERFLOW

compiled: Any = njit(error_model="numpy", cache=True)
inlined: Any = njit(error_model="numpy", cache=True, inline="always")


@inlined
def _place(t, start, last):  # type: ignore[no-untyped-def]
    return min(max(np.intp((t - start) * CELLS), 0), last)


@inlined
def _shifted(row, s, n, a):  # type: ignore[no-untyped-def]
    """A polynomial of degree P about another middle, its first n + 2 coefficients, in a."""
    for l in range(P + 1):
        a[l] = row[l]
    for i in range(n + 2):
        for l in range(P - 1, i - 1, -1):
            a[l] += s * a[l + 1]


@inlined
def _economised(a, reach, top, errors, n, c):  # type: ignore[no-untyped-def]
    """c_0 … c_n out of the first n + 2 coefficients a, and R."""
    power = 1.0
    for _ in range(n + 1):
        power = power * reach
    off = abs(a[n + 1]) * power * (2.0**-n + 16 * EPS) + top * (power * reach)
    power = 1.0
    for i in range(n + 2):
        off += errors[i] * power
        power = power * reach
    for i in range(n + 1):
        c[i] = a[i]
    square = 1.0 * reach * reach
    if n == 2:
        c[1] += 0.75 * a[3] * square
    elif n == 3:
        c[2] += 1.0 * a[4] * square
        c[0] += -0.125 * a[4] * (square * reach * reach)
    else:
        c[3] += 1.25 * a[5] * square
        c[1] += -0.3125 * a[5] * (square * reach * reach)
    return off


@inlined
def _grown(x, degrees, grades, left, right, begin, roots, n, linear, powers, sizes, tail, lost):  # type: ignore[no-untyped-def]
    """What `Total.add` needs of s: products of its coefficients, or the powers of s, and how much of each is lost."""
    C = len(degrees)
    if linear:
        return
    tail[n + 1] = 0.0
    for a in range(n, 0, -1):
        total = 0.0
        for m in range(grades[a], grades[a + 1]):
            total += abs(x[m])
            powers[1, m] = x[m]
        sizes[1, a] = total
        tail[a] = tail[a + 1] + total
    gone = 0.0
    for p in range(2, n + 1):
        sizes[p, :] = 0.0
        for k in range(grades[p], C):
            value = 0.0
            for t in range(begin[p, k], begin[p, k + 1]):
                value += powers[p - 1, left[t]] * x[right[t]]
            if p == 2:
                value *= 2
                if roots[k] > 0:
                    value += x[roots[k]] * x[roots[k]]
            powers[p, k] = value
        gone = gone * tail[1]
        for a in range(p - 1, n + 1):
            gone = gone + sizes[p - 1, a] * tail[max(1, n + 1 - a)]
            for b in range(1, n + 1 - a):
                sizes[p, a + b] += sizes[p - 1, a] * sizes[1, b]
        lost[p] = gone


@inlined
def _added(c, off, x, r, own, reach, row, degrees, grades, powers, lost, n, linear, total, sums, gradient):  # type: ignore[no-untyped-def]
    """`Total.add` for one function on one box: into total (C,), sums = (radius, size, bent, steep), gradient."""
    first = abs(c[1])
    power, steep, whole = reach, 0.0, abs(c[0]) + first * reach
    for i in range(2, n + 1):
        size = abs(c[i])
        steep = steep + i * size * power
        power = power * reach
        whole = whole + size * power
        sums[2] += size * (power + UNDERFLOW)
    sums[0] += off + steep * r + first * own
    sums[1] += whole
    sums[3] += first * r
    for i in range(len(row)):
        gradient[i] += row[i] * c[1]
    total[0] += c[0]
    if linear:
        for m in range(1, len(total)):
            total[m] += c[degrees[m]] * powers[0, m]
    else:
        for m in range(1, len(total)):
            total[m] += c[1] * x[m]
        for p in range(2, n + 1):
            for m in range(grades[p], len(total)):
                total[m] += c[p] * powers[p, m]
            sums[0] += abs(c[p]) * lost[p]


@inlined
def _read(s, k, b, parents, last, degrees, linear, x, powers):  # type: ignore[no-untyped-def]
    """The coefficients of quantity k on box b; of a linear one the products of its coefficients too."""
    for m in range(len(s)):
        x[m] = s[m, k, b]
    if linear:
        powers[0, 0] = 1.0
        for m in range(1, len(degrees)):
            powers[0, m] = powers[0, parents[m]] * x[last[m]] if degrees[m] > 1 else x[last[m]]


def _of_degree(n: int) -> Any:
    """`tabulated` for forms of degree n, a constant of the compiled loops."""

    @compiled
    def tabulated(
        s: Array, radius: Array, own: Array, reach: Array, rows: Array, given: Array, linear: bool,
        first: Places, count: Places, start: Array, coefficients: Array, errors: Array, tops: Array, least: Array, most: Array,
        degrees: Places, parents: Places, last: Places, grades: Places, left: Indices, right: Indices, begin: Places, roots: Indices,
        total: Array, spread: Array, size: Array, bent: Array, steep: Array, gradient: Array,
    ) -> None:  # fmt: skip
        """`smooth_ridge.SmoothProfiles`: Total.add of Tables.local, for all quantities and boxes."""
        _, K, N = s.shape
        C, Q = total.shape[:2]
        x, powers, sizes, lost = np.zeros(C), np.zeros((n + 1, C)), np.zeros((n + 1, n + 1)), np.zeros(n + 1)
        tail = np.zeros(n + 2)
        a, c, found, sums, tilted = np.zeros(P + 1), np.zeros(n + 2), np.zeros((Q, C)), np.zeros((Q, 4)), np.zeros((Q, len(given)))
        for b in range(N):
            found[:] = 0.0
            sums[:] = 0.0
            tilted[:] = 0.0
            for k in range(K):
                _read(s, k, b, parents, last, degrees, linear, x, powers)
                _grown(x, degrees, grades, left, right, begin, roots, n, linear, powers, sizes, tail, lost)
                center, far, base, final = x[0], reach[k, b], start[k], count[k] - 1
                place = _place(center, base, final)
                shift = center - (base + (place + 0.5) / CELLS)
                i, j = _place(center - far, base, final), _place(center + far, base, final)
                wide = far > WIDE
                if wide:
                    here = first[k] // CELLS
                    i, j = here + i // CELLS, here + j // CELLS
                else:
                    i, j = first[k] + i, first[k] + j
                level = LEVEL[j - i + 1]
                j += 1 - (1 << level)
                for q in range(Q):
                    _shifted(coefficients[first[k] + place, q], shift, n, a)
                    if wide:
                        low, high = min(least[level, i, q], least[level, j, q]), max(most[level, i, q], most[level, j, q])
                        off = ((high - low) / 2 + 4 * EPS * (abs(low) + abs(high))) * far + errors[k, 0, q]
                        c[:] = 0.0
                        c[0], c[1] = a[0], (low + high) / 2
                    else:
                        off = _economised(a, far, max(tops[level, i, q], tops[level, j, q]), errors[k, :, q], n, c)
                    _added(
                        c,
                        off,
                        x,
                        radius[k, b],
                        own[k, b],
                        far,
                        rows[k],
                        degrees,
                        grades,
                        powers,
                        lost,
                        n,
                        linear,
                        found[q],
                        sums[q],
                        tilted[q],
                    )
            for q in range(Q):
                spread[q, b], size[q, b], bent[q, b], steep[q, b] = sums[q]
                for i in range(len(given)):
                    gradient[q, i, b] = tilted[q, i]
                for m in range(C):
                    total[m, q, b] = found[q, m]

    return tabulated


TABULATED = {n: _of_degree(n) for n in DEGREES}


def tabulated(s: Array, radius: Array, own: Array, reach: Array, rows: Array, given: Array, n: int, linear: bool, *others: Array) -> None:
    """`smooth_ridge.SmoothProfiles`: Total.add of Tables.local, for all quantities and boxes."""
    TABULATED[n](s, radius, own, reach, rows, given, linear, *others)


@compiled
def scattered_smooth(
    s: Array, radius: Array, own: Array, reach: Array, rows: Array, given: Array, n: int, linear: bool,
    coefficients: Array, errors: Array, tops: Array, ends: Array, outputs: Array,
    degrees: Places, parents: Places, last: Places, grades: Places, left: Indices, right: Indices, begin: Places, roots: Indices,
    total: Array, spread: Array, size: Array, bent: Array, steep: Array, gradient: Array,
) -> None:  # fmt: skip
    """`smooth_neurons.SmoothNeurons`: Total.add of Unit.local times outputs (m, q), for all neurons and boxes."""
    _, K, N = s.shape
    C, Q = total.shape[:2]
    x, powers, sizes, lost = np.zeros(C), np.zeros((n + 1, C)), np.zeros((n + 1, n + 1)), np.zeros(n + 1)
    tail = np.zeros(n + 2)
    a, c, scaled, found, sums = np.zeros(P + 1), np.zeros(n + 2), np.zeros(n + 2), np.zeros((Q, C)), np.zeros((Q, 4))
    tilted = np.zeros((Q, len(given)))
    final = len(coefficients) - 1
    for b in range(N):
        found[:] = 0.0
        sums[:] = 0.0
        tilted[:] = 0.0
        for k in range(K):
            _read(s, k, b, parents, last, degrees, linear, x, powers)
            center, far = x[0], reach[k, b]
            l, r = center - far, center + far
            if l >= -REACH and r <= REACH and far <= WIDE:
                place = _place(center, -REACH, final)
                i, j = _place(center - far, -REACH, final), _place(center + far, -REACH, final)
                level = LEVEL[j - i + 1]
                _shifted(coefficients[place], center - (-REACH + (place + 0.5) / CELLS), n, a)
                off = _economised(a, far, max(tops[level, i], tops[level, j + 1 - (1 << level)]), errors, n, c)
            else:
                where = 0 if l >= REACH or r <= -REACH else 1
                slope = 1.0 if l >= 0 else 0.0 if r <= 0 else min(max(r / (r - l), 0.0), 1.0)
                c[:] = 0.0
                if l < 0 and r > 0:
                    c[0] = slope * (center - l) + slope * l / 2 + ends[where]
                    gap = slope * -l / 2
                else:
                    c[0] = slope * center + ends[where]
                    gap = 0.0
                c[1] = slope
                off = gap + ends[2 + where] + 16 * EPS * (abs(l) + abs(r))
            _grown(x, degrees, grades, left, right, begin, roots, n, linear, powers, sizes, tail, lost)
            for q in range(Q):
                for i in range(n + 1):
                    scaled[i] = outputs[k, q] * c[i]
                weighed, spare, free = abs(outputs[k, q]) * off, radius[k, b], own[k, b]
                _added(
                    scaled, weighed, x, spare, free, far, rows[k], degrees, grades, powers, lost, n, linear, found[q], sums[q], tilted[q]
                )  # fmt: skip
        for q in range(Q):
            spread[q, b], size[q, b], bent[q, b], steep[q, b] = sums[q]
            for i in range(len(given)):
                gradient[q, i, b] = tilted[q, i]
            for m in range(C):
                total[m, q, b] = found[q, m]
