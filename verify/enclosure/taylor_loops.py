"""Compiled twins of the arithmetic of Taylor forms of any degree: products, and elementary functions of a form.

As in `loops`: the same operations in the same order as their numpy references, so the same numbers, and arrays laid out as forms are in
memory, coefficients (C, n, N) and radii (n, N). BLOCK boxes are taken at a time, so that what is needed of them stays in the cache, and
every operation runs along them. What takes arrays as wholes is left to numpy: its loops, which check shapes, take longer to compile
than all that is here.
"""

from __future__ import annotations

from math import factorial

import numpy as np

from ...atlas import Array
from .loops import compiled
from .monomials import Indices
from .taylor import EPS, UNDERFLOW

BLOCK = 1024
FACTORIALS = np.array([float(factorial(k)) for k in range(8)])


@compiled
def _put(out: Array, a: Array) -> None:
    for x in range(len(out)):
        out[x] = a[x]


@compiled
def _add(out: Array, a: Array) -> None:
    for x in range(len(out)):
        out[x] += a[x]


@compiled
def _add_product(out: Array, a: Array, b: Array) -> None:
    for x in range(len(out)):
        out[x] += a[x] * b[x]


@compiled
def _add_size(out: Array, a: Array) -> None:
    for x in range(len(out)):
        out[x] += abs(a[x])


@compiled
def _block(c: Array, f: int, at: int, end: int) -> Array:
    """(·, boxes) of one function, with boxes as neighbours."""
    out = np.empty((len(c), end - at))
    for k in range(len(c)):
        _put(out[k], c[k, f, at:end])
    return out


@compiled
def _sizes(c: Array, first: Indices, out: Array) -> None:
    """Σ|c| of (C, N) grade by grade, into out (degree + 1, N)."""
    out[:] = 0.0
    for g in range(len(first) - 1):
        for k in range(first[g], first[g + 1]):
            _add_size(out[g], c[k])


@compiled
def _left_out(grades: Array, sizes: Array, lowest: int, out: Array) -> None:
    """Σ grades_g·sizes_h over g ≥ lowest, h ≥ 1 and g + h above the degree."""
    degree = len(grades) - 1
    out[:] = 0.0
    for g in range(lowest, degree + 1):
        for h in range(max(1, degree + 1 - g), degree + 1):
            _add_product(out, grades[g], sizes[h])


@compiled
def product(a: Array, r: Array, b: Array, s: Array, terms: Indices, first: Indices, out: Array, radius: Array) -> None:
    """`TaylorForms.__mul__` before it is settled, for a with radius r and b with radius s; into out and radius.

    `terms` and `first`: `monomials.products` and `monomials.starts`.
    """
    C, n, N = a.shape
    degree = len(first) - 2
    unit = 2.0 ** (degree + 1) * EPS
    for f in range(n):
        for at in range(0, N, BLOCK):
            end = min(at + BLOCK, N)
            left, right = _block(a, f, at, end), _block(b, f, at, end)
            found, count = np.empty_like(left), end - at
            A, B, left_out = np.empty((degree + 1, count)), np.empty((degree + 1, count)), np.empty(count)
            for x in range(count):
                found[0, x] = left[0, x] * right[0, x]
            for k in range(1, C):
                for x in range(count):
                    found[k, x] = left[0, x] * right[k, x] + right[0, x] * left[k, x]
            for k, i, j in terms:
                _add_product(found[k], left[i], right[j])
            _sizes(left, first, A)
            _sizes(right, first, B)
            _left_out(A, B, 1, left_out)
            for g in range(1, degree + 1):
                _add(A[0], A[g])
                _add(B[0], B[g])
            for x in range(count):
                r1, s1 = r[f, at + x], s[f, at + x]
                radius[f, at + x] = A[0, x] * s1 + B[0, x] * r1 + r1 * s1 + left_out[x] + unit * (A[0, x] * B[0, x])
            for k in range(C):
                _put(out[k, f, at:end], found[k])


@compiled
def composed(
    c: Array, r: Array, values: Array, errors: Array, last: Array, terms: Indices, first: Indices, out: Array, radius: Array
) -> None:
    """`smooth._higher` before it is settled, for the derivatives values ± errors (degree + 1, n, N) and the bound `last` (n, N)."""
    C, n, N = c.shape
    for f in range(n):
        for at in range(0, N, BLOCK):
            end = min(at + BLOCK, N)
            found, total = np.empty((C, end - at)), np.empty(end - at)
            _composed(
                _block(c, f, at, end), r[f, at:end], _block(values, f, at, end), _block(errors, f, at, end), last[f, at:end],
                terms, first, found, total,
            )  # fmt: skip
            _put(radius[f, at:end], total)
            for k in range(C):
                _put(out[k, f, at:end], found[k])


@compiled
def _composed(
    c: Array, r: Array, values: Array, errors: Array, last: Array, terms: Indices, first: Indices, out: Array, radius: Array
) -> None:
    """The same of one function on some boxes."""
    C, N = c.shape
    degree = len(first) - 2
    unit = 2.0 ** (degree + 1) * EPS
    sizes, grades = np.empty((degree + 1, N)), np.empty((degree + 1, N))
    rounding, left_out, value = np.empty(N), np.empty(N), np.empty(N)
    _sizes(c, first, sizes)
    reach = sizes[1].copy()
    for g in range(2, degree + 1):
        _add(reach, sizes[g])
    error, size, power = r.copy(), reach.copy(), c.copy()
    power[0] = 0.0
    _put(out[0], values[0])
    for x in range(N):
        steep = abs(values[1, x])
        radius[x] = errors[0, x] + errors[1, x] * (size[x] + error[x]) + steep * error[x]
        rounding[x] = abs(values[0, x]) + steep * size[x]
    for k in range(1, C):
        for x in range(N):
            out[k, x] = values[1, x] * c[k, x]
    for order in range(2, degree + 1):
        _sizes(power, first, grades)
        _left_out(grades, sizes, order - 1, left_out)
        higher = np.zeros((C, N))
        for k, i, j in terms:
            if i >= first[order - 1]:
                _add_product(higher[k], power[i], c[j])
        for x in range(N):
            error[x] = error[x] * (reach[x] + r[x]) + size[x] * r[x] + left_out[x] + unit * (size[x] * reach[x]) + UNDERFLOW
            value[x] = values[order, x] / FACTORIALS[order]
            size[x] = 0.0
        power = higher
        for k in range(first[order], C):
            _add_size(size, power[k])
            _add_product(out[k], value, power[k])
        for x in range(N):
            spread = errors[order, x] / FACTORIALS[order] + UNDERFLOW
            radius[x] = radius[x] + spread * (size[x] + error[x]) + abs(value[x]) * error[x]
            rounding[x] = rounding[x] + abs(value[x]) * size[x]
    for x in range(N):
        whole = reach[x] + r[x]
        rest = whole
        for _ in range(degree):
            rest *= whole
        radius[x] = radius[x] + last[x] * (rest + UNDERFLOW) / FACTORIALS[degree + 1] + unit * rounding[x]
