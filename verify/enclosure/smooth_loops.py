"""Compiled twins of `powers`, `table` and `smooth_neurons`: the same operations in the same order, so the same numbers (`loops`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ...atlas import Array
from .bend import Places
from .table import CELLS, DEGREES, REACH, WIDE, P
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
    elif n == 4:
        c[3] += 1.25 * a[5] * square
        c[1] += -0.3125 * a[5] * (square * reach * reach)
    else:
        fourth = square * reach * reach
        c[4] += 1.5 * a[6] * square
        c[2] += -0.5625 * a[6] * fourth
        c[0] += 0.03125 * a[6] * (fourth * reach * reach)
    return off


@inlined
def _lined(slopes, k, b, degrees, parents, last, products):  # type: ignore[no-untyped-def]
    """Products of the coefficients of L_k."""
    for m in range(1, len(degrees)):
        products[m] = products[parents[m]] * slopes[last[m], k, b]


@inlined
def _added(c, off, r, own, eta, reach, row, degrees, products, n, total, gradient, hessian, sums):  # type: ignore[no-untyped-def]
    """`Total.add` for one function on one box: into total (C,), gradient, hessian, and sums = (radius, size, steep, curved)."""
    first = abs(c[1])
    power, steep, second, whole = 1.0, 0.0, 0.0, abs(c[0]) + first * reach
    for i in range(2, n + 1):
        size = abs(c[i])
        if i > 2 or n < 4:
            second = second + i * (i - 1) / 2 * size * power
        power = power * reach
        steep = steep + i * size * power
        whole = whole + size * (power * reach + UNDERFLOW)
    length, lost = 0.0, n * abs(c[n])
    for m in range(1, len(degrees)):
        if degrees[m] > 1:
            break
        length = length + abs(products[m])
    for _ in range(n - 1):
        lost = lost * length
    sums[0] += off + steep * r + first * own + (lost + second * eta) * eta
    sums[1] += whole
    sums[2] += (first + UNDERFLOW) * r
    sums[3] += (first + steep + UNDERFLOW) * eta
    total[0] += c[0]
    for m in range(1, len(total)):
        total[m] += c[degrees[m]] * products[m]
    for m in range(len(gradient)):
        slope = (degrees[m] + 1) * c[degrees[m] + 1] * products[m]
        for i in range(len(row)):
            gradient[m, i] += row[i] * slope
    if n >= 4:
        for i in range(len(row)):
            for j in range(len(row)):
                hessian[i, j] += row[i] * row[j] * c[2]


@inlined
def _kept(b, found, tilted, curving, sums, total, gradient, hessian, spread, size, steep, curved):  # type: ignore[no-untyped-def]
    """What was added up for box b, to where it belongs."""
    for q in range(len(found)):
        spread[q, b], size[q, b], steep[q, b], curved[q, b] = sums[q]
        for m in range(found.shape[1]):
            total[m, q, b] = found[q, m]
        for m in range(tilted.shape[1]):
            for i in range(tilted.shape[2]):
                gradient[m, i, q, b] = tilted[q, m, i]
        for i in range(len(hessian)):
            for j in range(len(hessian)):
                hessian[i, j, q, b] = curving[q, i, j]


def _of_degree(n: int) -> Any:
    """`tabulated`, `scattered` and `spanned` for forms of degree n, a constant of the compiled loops."""

    @compiled
    def tabulated(
        center: Array, slopes: Array, bent: Array, radius: Array, own: Array, reach: Array, rows: Array,
        first: Places, count: Places, start: Array, coefficients: Array, errors: Array, tops: Array, least: Array, most: Array,
        degrees: Places, parents: Places, last: Places, levels: Places,
        total: Array, gradient: Array, hessian: Array, spread: Array, size: Array, steep: Array, curved: Array,
    ) -> None:  # fmt: skip
        """`smooth_ridge.SmoothProfiles`: Total.add of Tables.local, for all quantities and boxes."""
        (K, N), (C, Q), n_inputs = center.shape, total.shape[:2], rows.shape[1]
        a, c, products, found, sums = np.zeros(P + 1), np.zeros(n + 2), np.ones(C), np.zeros((Q, C)), np.zeros((Q, 4))
        tilted, curving = np.zeros((Q, len(gradient), n_inputs)), np.zeros((Q, n_inputs, n_inputs))
        for b in range(N):
            found[:] = 0.0
            sums[:] = 0.0
            tilted[:] = 0.0
            curving[:] = 0.0
            for k in range(K):
                _lined(slopes, k, b, degrees, parents, last, products)
                middle, far, base, final = center[k, b], reach[k, b], start[k], count[k] - 1
                place = _place(middle, base, final)
                shift = middle - (base + (place + 0.5) / CELLS)
                i, j = _place(middle - far, base, final), _place(middle + far, base, final)
                wide = far > WIDE
                if wide:
                    here = first[k] // CELLS
                    i, j = here + i // CELLS, here + j // CELLS
                else:
                    i, j = first[k] + i, first[k] + j
                level = levels[j - i + 1]
                j += 1 - (1 << level)
                r, free, eta, row = radius[k, b], own[k, b], bent[k, b], rows[k]
                for q in range(Q):
                    _shifted(coefficients[first[k] + place, q], shift, n, a)
                    if wide:
                        low, high = min(least[level, i, q], least[level, j, q]), max(most[level, i, q], most[level, j, q])
                        off = ((high - low) / 2 + 4 * EPS * (abs(low) + abs(high))) * far + errors[k, 0, q]
                        c[:] = 0.0
                        c[0], c[1] = a[0], (low + high) / 2
                    else:
                        off = _economised(a, far, max(tops[level, i, q], tops[level, j, q]), errors[k, :, q], n, c)
                    _added(c, off, r, free, eta, far, row, degrees, products, n, found[q], tilted[q], curving[q], sums[q])
            _kept(b, found, tilted, curving, sums, total, gradient, hessian, spread, size, steep, curved)

    @compiled
    def scattered(
        center: Array, slopes: Array, bent: Array, radius: Array, own: Array, reach: Array, rows: Array,
        coefficients: Array, errors: Array, tops: Array, ends: Array, outputs: Array,
        degrees: Places, parents: Places, last: Places, levels: Places,
        total: Array, gradient: Array, hessian: Array, spread: Array, size: Array, steep: Array, curved: Array,
    ) -> None:  # fmt: skip
        """`smooth_neurons.SmoothNeurons`: Total.add of Unit.local times outputs (m, q), for all neurons and boxes."""
        (K, N), (C, Q), n_inputs = center.shape, total.shape[:2], rows.shape[1]
        a, c, products, found, sums = np.zeros(P + 1), np.zeros(n + 2), np.ones(C), np.zeros((Q, C)), np.zeros((Q, 4))
        tilted, curving, scaled = np.zeros((Q, len(gradient), n_inputs)), np.zeros((Q, n_inputs, n_inputs)), np.zeros(n + 2)
        final = len(coefficients) - 1
        for b in range(N):
            found[:] = 0.0
            sums[:] = 0.0
            tilted[:] = 0.0
            curving[:] = 0.0
            for k in range(K):
                _lined(slopes, k, b, degrees, parents, last, products)
                middle, far = center[k, b], reach[k, b]
                l, r = middle - far, middle + far
                if l >= -REACH and r <= REACH and far <= WIDE:
                    place = _place(middle, -REACH, final)
                    i, j = _place(l, -REACH, final), _place(r, -REACH, final)
                    level = levels[j - i + 1]
                    _shifted(coefficients[place], middle - (-REACH + (place + 0.5) / CELLS), n, a)
                    off = _economised(a, far, max(tops[level, i], tops[level, j + 1 - (1 << level)]), errors, n, c)
                else:
                    where = 0 if l >= REACH or r <= -REACH else 1
                    slope = 1.0 if l >= 0 else 0.0 if r <= 0 else min(max(r / (r - l), 0.0), 1.0)
                    c[:] = 0.0
                    if l < 0 and r > 0:
                        c[0] = slope * (middle - l) + slope * l / 2 + ends[where]
                        gap = slope * -l / 2
                    else:
                        c[0] = slope * middle + ends[where]
                        gap = 0.0
                    c[1] = slope
                    off = gap + ends[2 + where] + 16 * EPS * (abs(l) + abs(r))
                spare, free, eta, row = radius[k, b], own[k, b], bent[k, b], rows[k]
                for q in range(Q):
                    for i in range(n + 1):
                        scaled[i] = outputs[k, q] * c[i]
                    weighed = abs(outputs[k, q]) * off
                    _added(scaled, weighed, spare, free, eta, far, row, degrees, products, n, found[q], tilted[q], curving[q], sums[q])
            _kept(b, found, tilted, curving, sums, total, gradient, hessian, spread, size, steep, curved)

    @compiled
    def spanned(
        center: Array, own: Array, reach: Array, weights: Array,
        first: Places, count: Places, start: Array, coefficients: Array, errors: Array, tops: Array, least: Array, most: Array,
        degrees: Places, levels: Places, total: Array, spread: Array, size: Array, moved: Array,
    ) -> None:  # fmt: skip
        """The same with `few.FewTotal.add`."""
        (K, N), (M, Q) = center.shape, total.shape[:2]
        a, c, found, sums = np.zeros(P + 1), np.zeros(n + 2), np.zeros((Q, M)), np.zeros((Q, 3))
        for b in range(N):
            found[:] = 0.0
            sums[:] = 0.0
            for k in range(K):
                middle, far, base, final = center[k, b], reach[k, b], start[k], count[k] - 1
                place = _place(middle, base, final)
                shift = middle - (base + (place + 0.5) / CELLS)
                i, j = _place(middle - far, base, final), _place(middle + far, base, final)
                wide = far > WIDE
                if wide:
                    here = first[k] // CELLS
                    i, j = here + i // CELLS, here + j // CELLS
                else:
                    i, j = first[k] + i, first[k] + j
                level = levels[j - i + 1]
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
                    power, steep, whole = 1.0, 0.0, 0.0
                    for l in range(1, n + 1):
                        large = abs(c[l])
                        steep = steep + l * large * power
                        power = power * far
                        whole = whole + large * power
                    sums[q, 0] += off + steep * own[k, b]
                    sums[q, 1] += abs(c[0])
                    sums[q, 2] += whole
                    for m in range(M):
                        found[q, m] += c[degrees[m]] * weights[k, m]
            for q in range(Q):
                spread[q, b], size[q, b], moved[q, b] = sums[q]
                for m in range(M):
                    total[m, q, b] = found[q, m]

    return tabulated, scattered, spanned


OF_DEGREE = {n: _of_degree(n) for n in DEGREES}
"""(tabulated, scattered, spanned) by degree."""
