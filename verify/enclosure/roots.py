"""w(u), the zero of the equations of a tube, as Taylor forms.

Let p be any functions near w, here polynomials that a few steps p ← p − Y·g(x(u, p)) in the arithmetic of forms make of the tangent, with
whatever is left over dropped. With e = w − p and B the difference quotients of g between p and w, which G_w encloses over a box that holds
both, B·e = −g(x(u, p)): linear equations, which `intervals.systems` solves for all B ∈ G_w at once, with the range of the form of
g(x(u, p)) on the right. So w lies within the enclosed e of p, however p was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...intervals import Interval
from ...intervals.algebra import Solver
from ...intervals.decoration import SURE
from ...intervals.spreads import Spread
from ...intervals.systems import solved
from .taylor import TaylorForms


def rooted(
    solver: Solver, u: Sequence[TaylorForms], bounds: Sequence[Interval], algebra: Any, of: Any
) -> list[tuple[TaylorForms, Interval]]:
    """Forms and bounds of the components of w, from those of the coordinates, (N, 1) each; `of` makes numbers of the algebra of both."""
    first = u[0]
    found, (middle, slopes) = solver.solve(bounds), _tangent(solver, u)
    near = [_polynomial(middle[:, l], slopes[:, l], u, first) for l in range(solver.tube.codimension)]
    for _ in range(first.degree - 1):
        left = [value.forms for value in _value(solver, u, bounds, near, found.values, algebra, of)]
        near = [_corrected(p, found.inverse[:, 0, l], left) for l, p in enumerate(near)]
    left = _value(solver, u, bounds, near, found.values, algebra, of)
    across = solver.across(bounds, [p.range().hull(w.decorated(SURE)) for p, w in zip(near, found.values, strict=True)])
    right = [-value.forms.range().meet(value.bounds.decorated(SURE)) for value in left]
    errors = solved(across, found.inverse, Spread.stacked(right, found.inverse.shape[:-2])[..., None]).interval
    return [(p.plus(errors[..., l, 0]), w) for l, (p, w) in enumerate(zip(near, found.values, strict=True))]


def _tangent(solver: Solver, u: Sequence[TaylorForms]) -> tuple[np.ndarray, np.ndarray]:
    """w and its slopes at the middles of the coordinates, (N, m) and (N, m, d); numbers in any case."""
    middle = np.concatenate([part.center for part in u], axis=1)
    middle = np.clip(middle, -np.array(solver.tube.halves), np.array(solver.tube.halves))
    return np.nan_to_num(solver.tube.solve(middle)), np.nan_to_num(solver.tube.slopes(middle), posinf=0.0, neginf=0.0)


def _polynomial(middle: np.ndarray, slopes: np.ndarray, u: Sequence[TaylorForms], like: TaylorForms) -> TaylorForms:
    """middle + Σ slope_j·(u_j − its middle), without what is not a polynomial."""
    coefficients = sum(slopes[:, j, None, None] * part.coefficients for j, part in enumerate(u))
    coefficients = np.array(coefficients)
    coefficients[:, 0, 0] = middle
    return TaylorForms(coefficients, np.zeros_like(like.radius), degree=like.degree)


def _corrected(p: TaylorForms, row: np.ndarray, left: Sequence[TaylorForms]) -> TaylorForms:
    step = sum(np.nan_to_num(row[:, i])[:, None, None] * value.coefficients for i, value in enumerate(left))
    return TaylorForms(p.coefficients - step, p.radius, degree=p.degree)


def _value(
    solver: Solver,
    u: Sequence[TaylorForms],
    bounds: Sequence[Interval],
    near: Sequence[TaylorForms],
    w: Sequence[Interval],
    algebra: Any,
    of: Any,
) -> list[Any]:
    """g(x(u, p))."""
    coordinates = [of(form, bound) for form, bound in zip(u, bounds, strict=True)]
    beside = [of(p, p.range().decorated(v.decoration)) for p, v in zip(near, w, strict=True)]
    return [algebra.lifted(value) for value in solver.run(algebra, solver.point(coordinates, beside, algebra))]
