"""Functions of several variables as sums of ridge profiles Σ_k q_k(a_k·u), each compiled by a spline with an a-priori bound (B4).

Polynomials are such sums exactly (Kan's polarisation): with h_i = α_i/2 − ν_i,

    ∏ v_i^{α_i} = 1/p! · Σ_{0 ≤ ν ≤ α} (−1)^{|ν|} ∏ C(α_i, ν_i) · (h·v)^p,   p = |α|,

for example v_1·v_2 = ((v_1 + v_2)² − (v_1 − v_2)²)/4; so is any sum of a polynomial and functions of one affine form each.
All coefficients are rational and exact; the bound is that of the splines, for the largest component.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sympy

from ...atlas import Array, ExpressionMap
from ...errors import AtlasMoEError, EpsilonNotReached
from ...moe.ridge import Dictionary, Ridge
from ..relu.spline.a_priori import a_priori_spline
from ..relu.spline.spline import Spline

MOST_DEGREE = 6
MOST_PROFILES = 64
"""More directions than this are a dictionary, which is better fitted than summed."""
PROBED = 257
"""Places at which a profile's curvature is looked at, to share budget or width; a bound never depends on them."""
T = sympy.Symbol("t", real=True)


@dataclass(frozen=True, eq=False)
class Profiles:
    """F(y) = Σ_k q_k(a_k·v) + linear·v + constant, v = (y − center)/scale."""

    center: Array
    scale: Array
    """Powers of two, so that v is exact but for y − center."""
    directions: Array
    """a_k (K, n), small integers."""
    functions: tuple[tuple[sympy.Expr, ...], ...]
    """q_k: one expression in T for each output."""
    reach: Array
    """|a_k·v| is at most this on the box."""
    linear: Array
    """(outputs, n)."""
    constant: Array

    @property
    def fixed(self) -> int:
        """Neurons of the linear part."""
        return 2 * int(self.linear.any(1).sum())


def profiles(function: ExpressionMap, lower: Array, upper: Array) -> Profiles | None:
    """The decomposition on a box, or None where a component has none of at most MOST_PROFILES directions and degree MOST_DEGREE."""
    center = (lower + upper) / 2
    half = np.maximum(np.maximum(upper - center, center - lower), np.finfo(float).tiny)
    scale = 2.0 ** np.ceil(np.log2(half))
    v = sympy.symbols(f"v0:{len(center)}", real=True)
    into = {
        y: sympy.Rational(float(c)) + sympy.Rational(float(s)) * w for y, c, s, w in zip(function.variables, center, scale, v, strict=True)
    }
    found: dict[tuple[int, ...], list[sympy.Expr]] = {}
    linear, constant = np.zeros((function.outputs, len(v))), np.zeros(function.outputs)
    for j, expression in enumerate(function.expressions):
        rational = expression.xreplace({x: sympy.Rational(x) for x in expression.atoms(sympy.Float)})
        for term in sympy.Add.make_args(_expanded(rational)):
            parts = _ridge(term.xreplace(into), v)
            if parts is None:
                return None
            for direction, q in parts:
                if direction is None:
                    constant[j] += float(q)
                elif sympy.degree(q, T) == 1 if q.is_polynomial(T) else False:
                    linear[j] += float(q.coeff(T, 1)) * np.array(direction, float)
                    constant[j] += float(q.coeff(T, 0))
                else:
                    found.setdefault(direction, [sympy.Integer(0)] * function.outputs)[j] += q
    directions = [d for d, parts in found.items() if any(q != 0 for q in parts)]
    if len(directions) > MOST_PROFILES:
        return None
    rows = np.array(directions, float).reshape(len(directions), len(v))
    # A few units in the last place cover the sums and quotients of this line.
    reach = np.abs(rows) @ (half / scale) * (1 + 4 * (len(v) + 2) * np.finfo(float).eps)
    return Profiles(center, scale, rows, tuple(tuple(found[d]) for d in directions), reach, linear, constant)


def _expanded(e: sympy.Expr) -> sympy.Expr:
    """A polynomial as it is; in anything else, products are multiplied out so that terms can be told apart."""
    return e if e.is_polynomial(*e.free_symbols) else sympy.expand(e, deep=False)


Part = tuple[tuple[int, ...] | None, sympy.Expr]


def _ridge(term: sympy.Expr, v: Sequence[sympy.Symbol]) -> list[Part] | None:
    """A term as Σ q(a·v): pairs of a direction, None for a constant, and q in T."""
    if not term.free_symbols:
        return [(None, term)]
    if term.is_polynomial(*v):
        return _polarised(sympy.Poly(term, *v), len(v))
    factor, rest = term.as_independent(*v)
    if len(rest.free_symbols) == 1:
        (variable,) = rest.free_symbols
        direction = tuple(int(w == variable) for w in v)
        return [(direction, factor * rest.xreplace({variable: T}))]
    inner = [a for a in rest.args if a.free_symbols]
    if len(inner) != 1 or not inner[0].is_polynomial(*v) or sympy.Poly(inner[0], *v).total_degree() != 1:
        return None
    poly = sympy.Poly(inner[0], *v)
    row = [poly.coeff_monomial(w) for w in v]
    if not all(r.is_Rational for r in row):
        return None
    direction, size = _primitive(row)
    argument = size * T + poly.coeff_monomial(1)
    return [(direction, factor * rest.func(*(argument if a == inner[0] else a for a in rest.args)))]


def _polarised(poly: sympy.Poly, n: int) -> list[Part] | None:
    parts: list[Part] = []
    for powers, coefficient in poly.terms():
        degree = sum(powers)
        if degree == 0:
            parts.append((None, coefficient))
            continue
        if degree > MOST_DEGREE and sum(p > 0 for p in powers) > 1:
            return None
        if sum(p > 0 for p in powers) == 1:
            parts.append((tuple(int(p > 0) for p in powers), coefficient * T**degree))
            continue
        for nu in itertools.product(*(range(p + 1) for p in powers)):
            weight = sympy.Integer((-1) ** sum(nu) * math.prod(math.comb(p, k) for p, k in zip(powers, nu, strict=True)))
            row = [sympy.Rational(p, 2) - k for p, k in zip(powers, nu, strict=True)]
            if not any(row):
                continue
            direction, size = _primitive(row)
            parts.append((direction, coefficient * weight / math.factorial(degree) * (size * T) ** degree))
    return parts


def _primitive(row: Sequence[sympy.Rational]) -> tuple[tuple[int, ...], sympy.Rational]:
    """row = size·direction, the direction of coprime integers with a positive first entry."""
    common = sympy.ilcm(*(r.q for r in row))
    whole = [int(r * common) for r in row]
    divisor = math.gcd(*whole)
    if next(w for w in whole if w) < 0:
        divisor = -divisor
    return tuple(w // divisor for w in whole), sympy.Rational(divisor, int(common))


@dataclass(frozen=True, eq=False)
class RidgeSum:
    """A two-layer net for a sum of profiles with |F − net| ≤ bound on the box, in real arithmetic."""

    ridge: Ridge
    bound: float


def a_priori_sum(
    function: ExpressionMap, lower: Array, upper: Array, *, epsilon: float | None = None, width: int | None = None, limit: int
) -> RidgeSum | None:
    """The net with bound at most `epsilon` or at most `width` neurons; None where F is no such sum or a profile has no bound.

    Budgets ε_k ∝ c_k^{1/3}, c_k = (∫√|q_k″|)²/16, have the fewest neurons in all, as profile k takes about √(c_k/ε_k) (B4, B19).
    Raises `EpsilonNotReached` if that takes more than `limit` neurons.
    """
    parts = profiles(function, lower, upper)
    if parts is None:
        return None
    # The rounding of the linear coefficients and the constant.
    rounded = float(np.finfo(float).eps * (np.abs(parts.linear).sum(1) + np.abs(parts.constant)).max(initial=0.0))
    shares = _shares(parts)
    splines: list[Spline] = []
    room = None if width is None else width - parts.fixed
    if room is not None and room < len(shares):
        return None
    for share, q, r in zip(shares, parts.functions, parts.reach, strict=True):
        try:
            if share == 0:
                splines.append(a_priori_spline(q, T, -r, r, width=1))
            elif epsilon is not None:
                splines.append(a_priori_spline(q, T, -r, r, epsilon=share * (epsilon - rounded), limit=limit))
            else:
                assert room is not None
                splines.append(a_priori_spline(q, T, -r, r, width=max(1, int(share * (room - len(shares)) + 1))))
        except EpsilonNotReached:
            raise
        except AtlasMoEError:
            return None
    bound = rounded + sum(spline.bound if spline.bound is not None else np.inf for spline in splines)
    found = RidgeSum(_joined(parts, splines), bound * (1 + np.finfo(float).eps * (len(splines) + 2)))
    taken = found.ridge.dictionary.width
    if taken > limit:
        raise EpsilonNotReached("sum of profiles", budget=epsilon or 0.0, reached=bound, width=taken, remedy="raise max_width")
    return found


def _shares(parts: Profiles) -> list[float]:
    """c_k^{1/3}, in parts of their sum; 0 for a profile that is linear."""
    costs = []
    for q, r in zip(parts.functions, parts.reach, strict=True):
        t = np.linspace(-r, r, PROBED)
        bend = np.abs(ExpressionMap((T,), tuple(sympy.diff(e, T, 2) for e in q))(t[:, None])).max(1)
        costs.append(float(np.mean(np.sqrt(np.where(np.isfinite(bend), bend, 0))) * 2 * r) ** (2 / 3))
    total = sum(costs)
    return [cost / total if total else 0.0 for cost in costs]


def _joined(parts: Profiles, splines: Sequence[Spline]) -> Ridge:
    """All splines and the linear part as neurons of y."""
    outputs, n = parts.linear.shape
    rows, knots, facing, weights, counts = [], [], [], [], []
    constant = parts.constant.copy()
    for direction, spline in zip(parts.directions, splines, strict=True):
        dictionary, weight, level = spline.to_relu()
        rows.append(direction / parts.scale)
        knots.append(dictionary.knots)
        facing.append(dictionary.facing)
        weights.append(weight)
        counts.append(dictionary.width)
        constant += level
    for j in np.flatnonzero(parts.linear.any(1)):
        rows.append(parts.linear[j] / parts.scale)
        knots.append(np.zeros(2))
        facing.append(np.array([1.0, -1.0]))
        column = np.zeros((outputs, 2))
        column[j] = 1.0, -1.0
        weights.append(column)
        counts.append(2)
    if not rows:
        rows, knots, facing = [np.eye(1, n)[0]], [np.zeros(1)], [np.ones(1)]
        weights, counts = [np.zeros((outputs, 1))], [1]
    directions = np.array(rows)
    # a·(y − center)/scale − t = row·y − (t + row·center).
    shifts = np.repeat(directions @ parts.center, counts)
    dictionary = Dictionary(directions, tuple(counts), np.concatenate(knots) + shifts, np.concatenate(facing))
    return Ridge(dictionary, np.concatenate(weights, axis=1), constant)
