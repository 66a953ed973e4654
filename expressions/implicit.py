"""`Tube`: a box of coordinates around a point, in which the zeros of equations are to be the graph of a function.

    x(u, w) = c + T·u + N·w,   u ∈ ∏ [−s_j, s_j],   w ∈ ∏ [−h_l, h_l],

with [N T] = H_1·…·H_r a product of reflections H = I − 2·v·vᵀ/(vᵀv) in vectors v of whole numbers: an orthogonal matrix of fractions,
exactly, so that u = Tᵀ(x − c) and w = Nᵀ(x − c) invert x(u, w) with no rounding. w(u) is the one w in its box with g(x(u, w)) = 0. That
there is exactly one is nothing that a tube knows: enclosures prove it (`intervals.implicit`); Newton's method only finds it, in floats.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from operator import mul

import numpy as np
from numpy.typing import ArrayLike

from .box import Array
from .frames import Frames, linear
from .later import sympy
from .maps import ExpressionMap
from .tree import Name, Negative, Node, Number, Product, Root, Roots, Sum

ROUNDINGS = 64
"""Of the size of x, in units of its last place, each equation may be off by, relative to its gradient."""
Rows = tuple[tuple[Fraction, ...], ...]


@dataclass(frozen=True, eq=False)
class Tube:
    """See above. Equal tubes are those that are made of the same numbers and equations."""

    equations: ExpressionMap
    """R^k → R^m, 1 ≤ m < k."""
    center: tuple[float, ...]
    """c, (k,)."""
    reflections: tuple[tuple[int, ...], ...]
    """v_1, …, v_r, (k,) each, r ≥ m; those after the m-th turn T alone where their first m entries are 0."""
    halves: tuple[float, ...]
    """s, (k − m,)."""
    heights: tuple[float, ...]
    """h, (m,)."""

    def __post_init__(self) -> None:
        for name in ("center", "halves", "heights"):
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))

    def __reduce__(self) -> tuple[object, ...]:
        g = self.equations
        return Tube, (ExpressionMap(g.variables, g.expressions, g.written), *self.key[2:])

    @cached_property
    def key(self) -> tuple[object, ...]:
        return self.equations.variables, self.equations.trees, self.center, self.reflections, self.halves, self.heights

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Tube) and self.key == other.key)

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash(self.key)

    @cached_property
    def name(self) -> str:
        """The same in every process, and another one for another tube."""
        said = (self.equations.texts, *self.key[2:])
        return hashlib.sha256(repr(said).encode()).hexdigest()[:16]

    @property
    def codimension(self) -> int:
        """m."""
        return len(self.heights)

    @property
    def frame(self) -> Rows:
        """H_1·…·H_r, k rows: its first m columns are N, the others T."""
        return product_of(self.reflections)

    @cached_property
    def normal(self) -> Array:
        """N in floats, (k, m)."""
        return np.array([[float(a) for a in row[: self.codimension]] for row in self.frame])

    @cached_property
    def tangent(self) -> Array:
        """T in floats, (k, d)."""
        return np.array([[float(a) for a in row[self.codimension :]] for row in self.frame])

    @cached_property
    def frames(self) -> Frames:
        """This box as arrays, of one row that broadcasts."""
        return Frames.of([self])

    def point(self, u: Array, w: Array | None = None) -> Array:
        """x(u, w) in floats, [..., d] and [..., m] to [..., k]; w(u) if w is not given."""
        w = self.solve(u) if w is None else w
        return np.array(self.center) + u @ self.tangent.T + w @ self.normal.T

    def solve(self, u: ArrayLike) -> Array:
        """w(u) by Newton's method from w = 0, [..., d] to [..., m]; NaN where it ends outside the box, or does not end."""
        u = np.asarray(u, float)
        last: tuple[Array, Array] | None = getattr(self, "_last", None)
        if last is None or last[0].shape != u.shape or not np.array_equal(last[0], u):
            last = u.copy(), self.frames.solve(u.reshape(-1, u.shape[-1])).reshape(*u.shape[:-1], self.codimension)
            object.__setattr__(self, "_last", last)
        return last[1].copy()

    def slopes(self, u: ArrayLike) -> Array:
        """∂w_l/∂u_j = −((Dg·N)⁻¹·Dg·T)_lj in floats, [..., d] to [..., m, d]."""
        jacobian = self.equations.jacobian_at(self.point(np.asarray(u, float)))
        return -linear(jacobian @ self.normal, jacobian @ self.tangent)

    def uncertainty(self, u: Array) -> Array:
        """About how far rounding may carry w(u), [..., d] to [..., m]: `ROUNDINGS` roundings of |x|·|Dg| through (Dg·N)⁻¹."""
        x = self.point(u)
        jacobian = self.equations.jacobian_at(x)
        size = (1 + np.abs(x).max(-1, keepdims=True)) * np.abs(jacobian).sum(-1)
        inverse = np.abs(
            linear(jacobian @ self.normal, np.broadcast_to(np.eye(self.codimension), (*jacobian.shape[:-1], self.codimension)))
        )
        return ROUNDINGS * np.finfo(float).eps * (inverse @ size[..., None])[..., 0]

    def inverse(self, variables: tuple[sympy.Symbol, ...]) -> ExpressionMap:
        """u ↦ x(u, w(u))."""
        from .root import root_function

        m, roots = self.codimension, Roots(self, tuple(Name(str(v)) for v in variables))
        parts: list[Node] = [*(Root(roots, l) for l in range(m)), *roots.arguments]
        expressions = [*(root_function(self, l)(*variables) for l in range(m)), *variables]
        terms = [[_times(a, p) for a, p in zip(row, parts, strict=True) if a] for row in self.frame]
        trees = [Sum((*([_number(c)] if c else []), *row)) for c, row in zip(self.center, terms, strict=True)]
        written = [
            sympy.Float(c) + sum(sympy.Rational(a.numerator, a.denominator) * e for a, e in zip(row, expressions, strict=True))
            for c, row in zip(self.center, self.frame, strict=True)
        ]
        return ExpressionMap(variables, written, trees)

    @cached_property
    def forward(self) -> ExpressionMap:
        """x ↦ u = Tᵀ(x − c)."""
        return self._projected(range(self.codimension, len(self.center)))

    @cached_property
    def beside(self) -> ExpressionMap:
        """x ↦ w = Nᵀ(x − c)."""
        return self._projected(range(self.codimension))

    def _projected(self, columns: range) -> ExpressionMap:
        x = self.equations.variables
        offsets = [Sum((Name(str(v)), *([_number(-c)] if c else []))) for v, c in zip(x, self.center, strict=True)]
        trees = [Sum(tuple(_times(row[j], o) for row, o in zip(self.frame, offsets, strict=True) if row[j])) for j in columns]
        made = [
            sum(
                sympy.Rational(r[j].numerator, r[j].denominator) * (v - sympy.Float(c))
                for r, v, c in zip(self.frame, x, self.center, strict=True)
            )
            for j in columns
        ]
        return ExpressionMap(x, [sympy.expand(e) for e in made], trees)


@lru_cache(maxsize=1 << 13)
def product_of(reflections: tuple[tuple[int, ...], ...]) -> Rows:
    """H_1·…·H_r in the vectors v_1, …, v_r, row by row: whole numbers over ∏ vᵀv."""
    k, below = len(reflections[0]), 1
    rows = [[int(i == j) for j in range(k)] for i in range(k)]
    for v in reflections:
        square = sum(a * a for a in v)
        below *= square
        rows = [[square * a - 2 * dot * b for a, b in zip(r, v, strict=True)] for r in rows for dot in [sum(map(mul, r, v))]]
    return tuple(tuple(Fraction(a, below) for a in row) for row in rows)


def _times(factor: Fraction, part: Node) -> Node:
    number = Product((Number(abs(factor)), part)) if abs(factor) != 1 else part
    return Negative(number) if factor < 0 else number


def _number(value: float) -> Node:
    return Number(value) if value >= 0 else Negative(Number(-value))


def reflections(jacobian: Array, digits: int = 64) -> tuple[tuple[int, ...], ...]:
    """Vectors of whole numbers up to about `digits` whose reflections take e_1, …, e_m nearly to the span of the rows of a matrix (m, k).

    Householder's, rounded one after the other: N is exactly orthonormal whatever they are, and as near to the span as they are fine.
    """
    jacobian = np.array(jacobian, float)
    return _reflected((jacobian / np.abs(jacobian).max(1, keepdims=True)).T, digits)


def turned(vectors: Sequence[Sequence[int]], axes: Array, digits: int = 64) -> tuple[tuple[int, ...], ...]:
    """More vectors after those of `reflections`, such that the columns of T come to lie along ± T·axes, (d, d), nearly; N stays."""
    m = len(vectors)
    added = _reflected(np.array(axes, float)[:, :-1], digits)
    return (*(tuple(v) for v in vectors), *((0,) * m + v for v in added))


def _reflected(left: Array, digits: int) -> tuple[tuple[int, ...], ...]:
    found = []
    k, m = left.shape
    for l in range(m):
        a = left[l:, l]
        v = np.zeros(k)
        v[l:] = a / np.linalg.norm(a)
        v[l] += 1.0 if v[l] >= 0 else -1.0
        whole = np.rint(digits * v / np.abs(v).max())
        found.append(tuple(int(n) for n in whole))
        left = left - 2 * np.outer(whole, whole @ left) / (whole @ whole)
    return tuple(found)
