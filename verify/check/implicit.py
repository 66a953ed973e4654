"""Charts that are solutions of equations, w(u) with g(x(u, w(u))) = 0, shown by other means than those of the search.

Of more than one equation, all quadratic: by contractions in norms (`contraction`). Else:

Existence, by Poincaré and Miranda: for a regular matrix Y let F = Y·g(x(u, ·)); if F_l < 0 wherever w_l = −h_l and F_l > 0 wherever
w_l = h_l on the box ∏ [−h_l, h_l], F has a zero in it. Uniqueness: if ‖1 − Y·B‖_∞ < 1 for all difference quotients B of g(x(u, ·)) on
the box, two zeros would differ by v = (1 − Y·B)·v. Both are shown on boxes of u, by values at the vertices of boxes of (u, w) and
derivatives between them (`intervals.patch`).

As jets: a jet p near w by steps p ← p − Y·g(x(u, p)) in jets, whose rest is dropped; then B·(w − p) = −g(x(u, p)) for a B as above, so that
|w − p|_∞ ≤ |Y·g(x(u, p))|_∞/(1 − r), r ≥ ‖1 − Y·B‖_∞ on a box that holds w and p.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, reduce
from typing import Any

import numpy as np
import sympy

from ...atlas import Array, Atlas, ExpressionMap
from ...expressions.implicit import Tube
from ...intervals import Interval
from ...intervals.algebra import Solver
from ...intervals.arithmetic import Flags
from ...intervals.decoration import SURE
from ...intervals.natural import IntervalAlgebra
from ...intervals.patch import GROW, TINY, Patch, PatchMap
from ...intervals.spreads import Spread
from ...intervals.systems import norm
from .contraction import contracts
from .functions import holds_around
from .jets import Jets

MOST, FINEST = 1 << 13, 2.0**-12
"""Boxes of one tube that are looked at, and their least sides in parts of its own."""
NATURAL = IntervalAlgebra()


@lru_cache(maxsize=1 << 13)
def single(tube: Tube) -> bool:
    """Whether it is shown that over every u of the tube there is exactly one zero in its box."""
    if tube.codimension > 1 and contracts(tube):
        return True
    functions = PatchMap(whole(tube))
    return holds_around(
        lambda lower, upper: _shown(tube, functions, lower, upper), np.array(tube.halves), most=MOST, at_once=MOST, finest=FINEST
    )


def unshown(atlas: Atlas) -> str | None:
    """The first chart that parametrises an atlas whose tube is not shown to be one: nothing can be confirmed of what it takes points to."""
    return next((chart.name for chart in atlas.parametrising if chart.tube is not None and not single(chart.tube)), None)


def whole(tube: Tube) -> ExpressionMap:
    """(u, w) ↦ g(x(u, w))."""
    d, m = len(tube.halves), tube.codimension
    v = sympy.symbols(f"v1:{d + m + 1}", real=True)
    parts = (*v[d:], *v[:d])
    x = [
        sympy.Rational(c) + sum(sympy.Rational(a.numerator, a.denominator) * e for a, e in zip(row, parts, strict=True))
        for c, row in zip(tube.center, tube.frame, strict=True)
    ]
    return tube.equations.after(ExpressionMap(v, x))


def _shown(tube: Tube, functions: PatchMap, lower: Array, upper: Array) -> Flags:
    """Existence and uniqueness over boxes (n, d)."""
    n, d, m = len(lower), lower.shape[1], tube.codimension
    heights = np.broadcast_to(np.array(tube.heights), (n, m))
    low, high = np.concatenate([lower, -heights], axis=1), np.concatenate([upper, heights], axis=1)
    found = functions(Patch.coordinates(low, high))
    across = Spread.of([[found.first[:, d + l, i] for l in range(m)] for i in range(m)])
    inverse = _inverses(across.middle)
    good = norm(across, inverse) < 1
    for l in range(m):
        for sign in (-1.0, 1.0):
            face_low, face_high = low.copy(), high.copy()
            face_low[:, d + l] = face_high[:, d + l] = sign * heights[:, l]
            value = functions(Patch.coordinates(face_low, face_high)).value
            turned = reduce(Interval.__add__, [Interval.of(inverse[:, l, i] * sign) * value[:, i] for i in range(m)])
            good = good & (turned.lower > 0)
    return good & np.isfinite(inverse).all((1, 2))


def _inverses(matrices: Array) -> Array:
    safe = np.where(np.isfinite(matrices).all((1, 2), keepdims=True), matrices, 0.0)
    singular = ~(np.abs(np.linalg.det(safe)) > 0)
    found = np.linalg.inv(np.where(singular[:, None, None], np.eye(matrices.shape[1]), safe))
    return np.where(singular[:, None, None], np.nan, found)


def rooted(solver: Solver, u: Sequence[Any], algebra: Any, part_of: Callable[[Interval, Jets], Any]) -> list[Any]:
    """w(u) for the coordinates, (N,) each."""
    values, tube = [part.value for part in u], solver.tube
    found = solver.solve(values)
    known = found.values if single(tube) else [v.unknown_where(np.ones(v.lower.shape, bool)) for v in found.values]
    halves = np.array(tube.halves)
    middle = np.clip(
        np.stack([np.broadcast_to(part.jets.coefficients[0], found.values[0].lower.shape) for part in u], axis=-1), -halves, halves
    )
    start = np.nan_to_num(tube.solve(middle))
    slopes = np.nan_to_num(tube.slopes(middle), posinf=0.0, neginf=0.0)
    near = [_polynomial(start[..., l], slopes[..., l, :], u) for l in range(tube.codimension)]
    for _ in range(algebra.space.degree):
        left = _value(solver, u, near, found.values, algebra, part_of)
        near = [
            replace(p, coefficients=p.coefficients - sum(found.inverse[..., l, i] * part.jets.coefficients for i, part in enumerate(left)))
            for l, p in enumerate(near)
        ]
    near = [replace(p, coefficients=np.nan_to_num(p.coefficients, posinf=0.0, neginf=0.0)) for p in near]
    left = _value(solver, u, near, found.values, algebra, part_of)
    across = solver.across(values, [_between(p).hull(w.decorated(SURE)) for p, w in zip(near, found.values, strict=True)])
    reach = norm(across, found.inverse)
    sizes = [
        reduce(np.add, [np.abs(found.inverse[..., l, i]) * part.jets.magnitude for i, part in enumerate(left)]) for l in range(len(near))
    ]
    with np.errstate(all="ignore"):
        rest = np.where(reach < 1, GROW * GROW * reduce(np.maximum, sizes) / (1 - reach) + TINY, np.inf)
    rest = np.where(np.isnan(rest), np.inf, rest)
    return [part_of(value, replace(p, rest=np.broadcast_to(rest, p.rest.shape))) for value, p in zip(known, near, strict=True)]


def _between(p: Jets) -> Interval:
    found = p.cheap
    return Interval(found.lower, found.upper)


def _polynomial(start: Array, slopes: Array, u: Sequence[Any]) -> Jets:
    coefficients = np.array(sum(slopes[..., j] * part.jets.coefficients for j, part in enumerate(u)))
    coefficients[0] = start
    return Jets(u[0].jets.space, coefficients, np.zeros(coefficients.shape[1:]))


def _value(
    solver: Solver, u: Sequence[Any], near: Sequence[Jets], w: Sequence[Interval], algebra: Any, part_of: Callable[[Interval, Jets], Any]
) -> list[Any]:
    """g(x(u, p))."""
    beside = [part_of(_between(p), p) for p in near]
    return solver.run(algebra, solver.point(u, beside, algebra))
