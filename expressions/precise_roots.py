"""w(u), the zero of the equations of a tube over one point u that is known exactly, in intervals of any precision.

Krawczyk's operator on a tiny box W around w₀: K = w₀ − Y·g(x(u, w₀)) + (1 − Y·G)·(W − w₀), G ∋ Dg·N on x(u, W). If K lies in the interior
of W, W holds a w with g(x(u, w)) = 0 (`intervals.implicit`). W lies inside the box of the tube, so that it is w(u) if that holds exactly
one zero over u, which is for others to prove; x(u, w) is a zero of g in any case.

Derivatives are sympy's of what it made of g. They are those of g, as it was written, where that is defined on all of x(u, W), which is
asked; where a derivative jumps, its own value is not decided on an interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from .mp_ends import between, ends, interval, largest, middle
from .tree import Node

STEPS = 8
"""Of w ← w − Y·g, Y in floats: each gains about 13 digits."""
ROOM = 8
"""W reaches so many times as far as w₀ was off in its last step."""
Evaluate = Callable[[Sequence[Node], Sequence[Any]], list[Any] | None]
"""Trees at coordinates that are intervals or fractions; None where one has no value, or that is not decided."""


def root_at(tube: Any, u: Sequence[Fraction], iv: Any, bits: int, evaluate: Evaluate) -> list[Any] | None:
    """An interval of `iv` for every component of w(u); None where none was found."""
    if any(abs(value) > Fraction(s) for value, s in zip(u, tube.halves, strict=True)):
        return None
    start = tube.solve(np.array([float(value) for value in u]))
    if not np.isfinite(start).all():
        return None
    g, m = tube.equations, tube.codimension
    with np.errstate(all="ignore"):
        across = g.jacobian_at(tube.point(np.array([float(value) for value in u]), start)) @ tube.normal
    if not np.isfinite(across).all() or abs(np.linalg.det(across)) == 0:
        return None
    inverse = [[Fraction(float(a)) for a in row] for row in np.linalg.inv(across)]
    w = [Fraction(float(value)) for value in start]
    for _ in range(STEPS):
        value = evaluate(g.trees, _point(tube, u, w, iv))
        if value is None:
            return None
        step = [sum((interval(iv, y) * v for y, v in zip(row, value, strict=True)), iv.mpf(0)) for row in inverse]
        size = max(largest(part) for part in step)
        w = [_rounded(a - middle(part), bits) for a, part in zip(w, step, strict=True)]
        if size < Fraction(1, 2 ** (bits // 2)):
            break
    start_values = evaluate(g.trees, _point(tube, u, w, iv))
    if start_values is None:
        return None
    off = [sum((interval(iv, y) * v for y, v in zip(row, start_values, strict=True)), iv.mpf(0)) for row in inverse]
    room = ROOM * max(largest(part) for part in off) + Fraction(1, 2 ** (bits - 24))
    if any(abs(a) + room >= Fraction(h) for a, h in zip(w, tube.heights, strict=True)):
        return None
    box = [between(iv, a - room, a + room) for a in w]
    x = _point(tube, u, box, iv)
    if evaluate(g.trees, x) is None or (flat := evaluate(g.jacobian.trees, x)) is None:
        return None
    k = len(tube.center)
    slopes = [[sum((flat[i * k + r] * interval(iv, tube.frame[r][j]) for r in range(k)), iv.mpf(0)) for j in range(m)] for i in range(m)]
    found = []
    for l in range(m):
        image = interval(iv, w[l]) - off[l]
        for j in range(m):
            part = sum((interval(iv, inverse[l][i]) * slopes[i][j] for i in range(m)), iv.mpf(0))
            image += (int(l == j) - part) * between(iv, -room, room)
        found.append(image)
    inside = all(ends(image)[0] > a - room and ends(image)[1] < a + room for image, a in zip(found, w, strict=True))
    return found if inside else None


def _point(tube: Any, u: Sequence[Fraction], w: Sequence[Any], iv: Any) -> list[Any]:
    """x(u, w), for fractions or intervals w."""
    m, found = len(w), []
    for c, row in zip(tube.center, tube.frame, strict=True):
        exact = Fraction(c) + sum((a * value for a, value in zip(row[m:], u, strict=True)), Fraction(0))
        if all(isinstance(value, Fraction) for value in w):
            exact += sum((a * value for a, value in zip(row, w, strict=False)), Fraction(0))
            found.append(interval(iv, exact))
        else:
            found.append(sum((interval(iv, a) * value for a, value in zip(row, w, strict=False)), interval(iv, exact)))
    return found


def _rounded(a: Fraction, bits: int) -> Fraction:
    """To 2^-bits, so that fractions do not grow."""
    return Fraction(round(a * 2**bits), 2**bits)
