"""Functions of several variables as sums of ridge profiles Σ_k q_k(a_k·u) (B4): found term by term in the expressions.

A polynomial is such a sum, over the forms that cost least of those that `powers` knows; so is any function of one affine form, and any sum
of these. All outputs together: forms that several of them need are shared. What the coefficients are off by, is bounded exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import sympy

from ...atlas import Array, ExpressionMap
from . import powers
from .powers import Form, Polynomial

MOST_DEGREE = 6
MOST_PROFILES = 64
"""More forms than this are a dictionary, which is better fitted than summed."""
MOST_TERMS = 256
PROBED = 257
"""Places at which a profile's curvature is looked at, to compare forms and to share budget or width; a bound never depends on them."""
SWEEPS = 60
T = sympy.Symbol("t", real=True)


@dataclass(frozen=True, eq=False)
class Profiles:
    """F(y) = Σ_k q_k(a_k·v) + linear·v + constant to within `residual` on the box, v = (y − center)/scale."""

    center: Array
    scale: Array
    """Powers of two, so that v is exact but for y − center."""
    half: Array
    """|v_i| is at most this on the box."""
    linear: Array
    """(outputs, n)."""
    constant: Array
    residual: float = 0.0
    directions: tuple[Form, ...] = ()
    """a_k."""
    functions: tuple[tuple[sympy.Expr, ...], ...] = ()
    """q_k: one expression in T for each output; the linear parts of polynomials are in `linear`."""

    @property
    def rows(self) -> Array:
        """a_k as floats, which they are exactly, (K, n)."""
        return np.array(self.directions, float).reshape(len(self.directions), len(self.center))

    @property
    def reach(self) -> Array:
        """|a_k·v| is at most this on the box, and no more than rounding requires: beyond the box, q_k may be undefined."""
        half = [Fraction(float(h)) for h in self.half]
        return np.array([_up(sum((abs(r) * h for r, h in zip(a, half, strict=True)), Fraction(0))) for a in self.directions])

    @property
    def squares(self) -> Array | None:
        """c (outputs, K), if all profiles are c_k·t²."""
        expanded = [[sympy.expand(e) for e in q] for q in self.functions]
        if not all(e.is_polynomial(T) and e == e.coeff(T, 2) * T**2 for q in expanded for e in q):
            return None
        return np.array([[float(e.coeff(T, 2)) for e in q] for q in expanded]).reshape(-1, len(self.constant)).T

    @property
    def bends(self) -> Array:
        """C_kj = (∫√|q_kj″|)²/16 (K, outputs): with n pieces the best spline of q_kj errs by C_kj/n², asymptotically (B19)."""
        return np.array([_bends(q, r) for q, r in zip(self.functions, self.reach, strict=True)]).reshape(-1, len(self.constant))


def _up(value: Fraction) -> float:
    """The least float that is not below it."""
    nearest = float(value)
    return nearest if Fraction(nearest) >= value else math.nextafter(nearest, math.inf)


def _bends(q: tuple[sympy.Expr, ...], reach: float) -> Array:
    t = np.linspace(-reach, reach, PROBED)
    # Second differences have no trouble with kinks.
    bend = np.abs(np.diff(ExpressionMap((T,), q)(t[:, None]), n=2, axis=0)) / (t[1] - t[0]) ** 2
    roots: Array = np.sqrt(np.where(np.isfinite(bend), bend, 0)).mean(0) * 2 * reach
    return roots**2 / 16


def pieces(bends: Array, epsilon: float) -> Array:
    """n (K,) with Σ_k C_kj/n_k² ≤ ε for every output j and Σ n_k least, as real numbers; C = `bends` (K, outputs).

    At the optimum n_k³ = Σ_j λ_j·C_kj with multipliers λ ≥ 0, which are 0 where an output has room; for one output n_k ∝ C_k^{1/3}.
    """
    weights = np.ones(bends.shape[1])
    for _ in range(SWEEPS if bends.shape[1] > 1 else 1):
        n = np.cbrt(bends @ weights)
        spent = (bends / np.maximum(n[:, None], np.finfo(float).tiny) ** 2).sum(0)
        if not spent.any():
            return np.zeros(len(bends))
        scale = np.sqrt(spent.max() / epsilon)
        weights = weights * np.sqrt(spent / spent.max()) + 0.0
    return n * scale


def profiles(function: ExpressionMap, lower: Array, upper: Array) -> Profiles | None:
    """The decomposition on a box, or None where a component has none of at most MOST_PROFILES forms and degree MOST_DEGREE."""
    center = (lower + upper) / 2
    half = np.array([_half(*side) for side in zip(lower.tolist(), center.tolist(), upper.tolist(), strict=True)])
    scale = 2.0 ** np.ceil(np.log2(half))
    n, outputs = len(center), function.outputs
    v = sympy.symbols(f"v0:{n}", real=True)
    into = {
        y: sympy.Rational(float(c)) + sympy.Rational(float(s)) * w for y, c, s, w in zip(function.variables, center, scale, v, strict=True)
    }
    ridges: dict[Form, list[sympy.Expr]] = {}
    smooth = [sympy.Integer(0)] * outputs
    for j, expression in enumerate(function.expressions):
        rational = expression.xreplace({x: sympy.Rational(x) for x in expression.atoms(sympy.Float)})
        for term in sympy.Add.make_args(_expanded(rational)):
            if term.is_polynomial(*function.variables) and not _power(term):
                smooth[j] += term.xreplace(into)
                continue
            found = _ridge(term.xreplace(into), v)
            if found is None:
                return None
            ridges.setdefault(found[0], [sympy.Integer(0)] * outputs)[j] += found[1]
    blank = Profiles(center, scale, half / scale, np.zeros((outputs, n)), np.zeros(outputs))
    polynomials = _polynomials(blank, smooth, v)
    if polynomials is None:
        return None
    for a, q in ridges.items():
        polynomials = _with(polynomials, a, q)
    return polynomials if len(polynomials.directions) <= MOST_PROFILES else None


def _half(lower: float, center: float, upper: float) -> float:
    """How far the box reaches from its centre, rounded up."""
    middle = Fraction(center)
    return max(_up(max(Fraction(upper) - middle, middle - Fraction(lower))), float(np.finfo(float).tiny))


def _with(parts: Profiles, a: Form, q: Sequence[sympy.Expr]) -> Profiles:
    """With q(a·v) added."""
    if a not in parts.directions:
        return replace(parts, directions=(*parts.directions, a), functions=(*parts.functions, tuple(q)))
    functions = list(parts.functions)
    k = parts.directions.index(a)
    functions[k] = tuple(old + new for old, new in zip(functions[k], q, strict=True))
    return replace(parts, functions=tuple(functions))


def _expanded(e: sympy.Expr) -> sympy.Expr:
    """A polynomial as it is; in anything else, products are multiplied out so that terms can be told apart."""
    return e if e.is_polynomial(*e.free_symbols) else sympy.expand(e, deep=False)


def _power(term: sympy.Expr) -> bool:
    """Whether a term is a higher power of one sum, which is not to be multiplied out."""
    _, rest = term.as_independent(*term.free_symbols)
    return isinstance(rest, sympy.Pow) and isinstance(rest.base, sympy.Add) and len(rest.free_symbols) > 1 and rest.exp > 2


def _ridge(term: sympy.Expr, v: Sequence[sympy.Symbol]) -> tuple[Form, sympy.Expr] | None:
    """A term as q(a·v): a and q in T."""
    factor, rest = term.as_independent(*v)
    if len(rest.free_symbols) == 1:
        (variable,) = rest.free_symbols
        return tuple(Fraction(int(w == variable)) for w in v), factor * rest.xreplace({variable: T})
    inner = [a for a in rest.args if a.free_symbols]
    if len(inner) != 1 or not inner[0].is_polynomial(*v):
        return None
    poly = sympy.Poly(inner[0], *v)
    row = [poly.coeff_monomial(w) for w in v]
    if poly.total_degree() != 1 or not all(r.is_Rational for r in row):
        return None
    exact = [Fraction(int(r.p), int(r.q)) for r in row]
    a = powers.form(exact)
    k = next(i for i, r in enumerate(exact) if r)
    size = exact[k] / a[k]
    if tuple(size * r for r in a) != tuple(exact):
        return None  # a form whose entries are no floats
    argument = sympy.Rational(size.numerator, size.denominator) * T + poly.coeff_monomial(1)
    return a, factor * rest.func(*(argument if e == inner[0] else e for e in rest.args))


def _polynomials(blank: Profiles, smooth: Sequence[sympy.Expr], v: Sequence[sympy.Symbol]) -> Profiles | None:
    """The polynomials of all outputs, over the forms that cost least; None above MOST_DEGREE in several variables."""
    found: list[dict[tuple[int, ...], Fraction]] = []
    linear, constant, residual = blank.linear.copy(), blank.constant.copy(), np.zeros(len(smooth))
    for j, expression in enumerate(smooth):
        polynomial: dict[tuple[int, ...], Fraction] = {}
        for exponent, coefficient in sympy.Poly(expression, *v).terms():
            value = _fraction(coefficient)
            # Of |v| ≤ 1: the rounding of a coefficient that is no rational number, and of those that are stored as floats.
            residual[j] += 2 * np.finfo(float).eps * abs(float(value))
            if sum(exponent) == 0:
                constant[j] += float(value)
            elif sum(exponent) == 1:
                linear[j, exponent.index(1)] += float(value)
            elif sum(exponent) > MOST_DEGREE and sum(k > 0 for k in exponent) > 1:
                return None
            else:
                polynomial[exponent] = value
        found.append(polynomial)
    return written(replace(blank, linear=linear, constant=constant), found, residual)


def written(parts: Profiles, found: Sequence[Polynomial], residual: Array) -> Profiles:
    """With a polynomial in v of degree 2 and more added to every output, over the forms that cost least; `residual` is that so far."""
    n = len(parts.half)
    for variables in _components(found, n):
        own = [{tuple(p[i] for i in variables): c for p, c in poly.items() if any(p[i] for i in variables)} for poly in found]
        tried = [_Sum.of(own, parts.half[variables], ways) for ways in _ways(own, parts.half[variables])]
        best = min(tried, key=lambda one: one.cost(parts.half[variables]))
        residual = residual + best.residual
        for a, coefficients in best.coefficients.items():
            whole = dict(zip(variables, a, strict=True))
            q = [sum((sympy.Rational(c.numerator, c.denominator) * T**s for s, c in row.items()), sympy.Integer(0)) for row in coefficients]
            parts = _with(parts, tuple(whole.get(i, Fraction(0)) for i in range(n)), q)
    return replace(parts, residual=float(residual.max(initial=0.0)))


def _fraction(coefficient: sympy.Expr) -> Fraction:
    return Fraction(int(coefficient.p), int(coefficient.q)) if coefficient.is_Rational else Fraction(float(coefficient))


def _components(polynomials: Sequence[Polynomial], variables: int) -> list[list[int]]:
    """Variables that no monomial joins are apart."""
    group = list(range(variables))
    used = set()
    for polynomial in polynomials:
        for exponent in polynomial:
            inside = [i for i, k in enumerate(exponent) if k]
            used.update(inside)
            for i in inside[1:]:
                old, new = group[i], group[inside[0]]
                group = [new if g == old else g for g in group]
    return [[i for i in range(variables) if group[i] == g] for g in sorted({group[i] for i in used})]


Ways = dict[tuple[int, int], Sequence[Form]]
"""The forms over which the part of each degree of each output is written, by (output, degree)."""


def _ways(polynomials: Sequence[Polynomial], half: Array) -> Iterator[Ways]:
    """The choices of forms that are worth comparing."""
    split = {(j, s): part for j, polynomial in enumerate(polynomials) for s, part in powers.parts(polynomial).items()}
    if len(half) == 1:
        yield {key: [(Fraction(1),)] for key in split}
        return
    squares = {key: part for key, part in split.items() if key[1] == 2}
    higher = {key: part for key, part in split.items() if key[1] > 2}
    polarised = {key: powers.polarised(part) for key, part in higher.items()}
    for quadratic in _quadratic_ways(squares, half):
        yield quadratic | polarised
    if higher and len(half) == 2:
        forms = powers.equispaced(max(s for _, s in higher), half)
        yield dict.fromkeys(split, forms)
        for quadratic in _quadratic_ways(squares, half):
            yield quadratic | dict.fromkeys(higher, forms)


def _quadratic_ways(squares: Mapping[tuple[int, int], Polynomial], half: Array) -> Iterator[Ways]:
    yield {key: powers.polarised(part) for key, part in squares.items()}
    if not squares:
        return
    matrices = {key: powers.hessian(part, len(half)) for key, part in squares.items()}
    yield {key: powers.spectral(matrix, half) for key, matrix in matrices.items()}
    if len(matrices) > 1:
        # Forms that diagonalise a generic combination diagonalise all, if any do.
        size = {key: np.abs(matrix * half[:, None] * half).max() for key, matrix in matrices.items()}
        mixed = sum(matrix / size[key] * (1 + 0.37 * k) for k, (key, matrix) in enumerate(matrices.items()))
        yield dict.fromkeys(squares, powers.spectral(np.asarray(mixed), half))
    yield from (
        dict(zip(matrices, forms, strict=True)) for forms in zip(*(powers.completed(m, half) for m in matrices.values()), strict=False)
    )


@dataclass(frozen=True, eq=False)
class _Sum:
    """Polynomials written over forms."""

    coefficients: dict[Form, list[dict[int, Fraction]]]
    """By form, output and degree."""
    residual: Array
    """(outputs,)."""

    @staticmethod
    def of(polynomials: Sequence[Polynomial], half: Array, ways: Ways) -> _Sum:
        found: dict[Form, list[dict[int, Fraction]]] = {}
        residual = np.zeros(len(polynomials))
        for j, polynomial in enumerate(polynomials):
            for s, part in powers.parts(polynomial).items():
                forms = list(dict.fromkeys(ways[j, s]))
                weights, left = powers.written(part, forms, s)
                residual[j] += powers.size(left, half)
                for a, weight in zip(forms, weights, strict=True):
                    if weight:
                        found.setdefault(a, [{} for _ in polynomials])[j][s] = weight
        return _Sum(found, residual)

    def cost(self, half: Array) -> float:
        """Pieces for the bound 1, and infinite where rounding is not negligible: that is no decomposition."""
        size = max((abs(float(c)) for rows in self.coefficients.values() for row in rows for c in row.values()), default=0.0)
        if self.residual.max(initial=0.0) > 1e-10 * size:
            return np.inf
        bends = []
        for a, rows in self.coefficients.items():
            reach = float(np.abs(np.array(a, float)) @ half)
            t = np.linspace(-reach, reach, PROBED)
            bend = [sum(float(c) * s * (s - 1) * t ** (s - 2) for s, c in row.items()) + 0 * t for row in rows]
            bends.append((np.sqrt(np.abs(bend)).mean(1) * 2 * reach) ** 2 / 16)
        return float(pieces(np.array(bends), 1.0).sum())
