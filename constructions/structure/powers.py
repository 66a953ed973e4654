"""Polynomials as sums of powers of few linear forms: P = Σ_k Σ_s c_ks·(a_k·v)^s (B4), which is what makes them sums of profiles.

Any homogeneous polynomial of degree p is such a sum. Over which forms, is a choice, and the choices differ in what the profiles cost:

* p = 2: the eigenvectors of the Hessian, or completed squares, as many forms as the rank: v₁v₂ = ((v₁ + v₂)² − (v₁ − v₂)²)/4;
* two variables: p + 1 equispaced directions span all polynomials of degree p;
* any p (Kan's polarisation): with h_i = α_i/2 − ν_i, ∏ v_i^{α_i} = 1/p! · Σ_{0 ≤ ν ≤ α} (−1)^{|ν|} ∏ C(α_i, ν_i) · (h·v)^p.

Coefficients are rational numbers throughout. Those of a decomposition are found in floats and taken as they are: what is left of P is
computed exactly, and bounded by Σ |coefficient|·∏ half_i^{α_i} on the box |v_i| ≤ half_i.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

import numpy as np

from ...atlas import Array

Polynomial = Mapping[tuple[int, ...], Fraction]
"""Coefficients by exponents."""
Form = tuple[Fraction, ...]
"""a in a·v: coprime integers where the ratios of its entries are those of small ones, else floats of largest size 1."""

SMALL, NEAR = 12, 1e-12
"""Entries of a form that are within NEAR of fractions with denominators up to SMALL are those fractions."""
LARGE = 1 << 20
"""A row of fractions is scaled to integers, if these are no larger."""
SIMPLE = 1 << 10
"""So for coefficients, with denominators up to this, where what is left becomes 0."""
ORDERS = 6
"""Orders of the variables in which squares are completed, at most."""


def form(row: Array | Sequence[Fraction]) -> Form:
    """The form of a row, not all zero, up to scale and sign: the first entry that is not 0 is positive."""
    given = [Fraction(r) if isinstance(r, Fraction) else Fraction(float(r)) for r in row]
    largest = max(map(abs, given))
    scaled = [r / largest for r in given]
    exact = math.lcm(*(r.denominator for r in scaled)) <= LARGE
    rational = scaled if exact else [r.limit_denominator(SMALL) for r in scaled]
    if all(abs(a - b) <= NEAR for a, b in zip(scaled, rational, strict=True)):
        common = math.lcm(*(r.denominator for r in rational))
        whole = [int(r * common) for r in rational]
        scaled = [Fraction(w, math.gcd(*whole)) for w in whole]
    else:
        scaled = [Fraction(float(r)) for r in scaled]
    return tuple(scaled) if next(r for r in scaled if r) > 0 else tuple(-r for r in scaled)


def parts(polynomial: Polynomial) -> dict[int, dict[tuple[int, ...], Fraction]]:
    """Its homogeneous parts by degree."""
    found: dict[int, dict[tuple[int, ...], Fraction]] = {}
    for powers, coefficient in polynomial.items():
        if coefficient:
            found.setdefault(sum(powers), {})[powers] = coefficient
    return found


def power(a: Form, degree: int) -> dict[tuple[int, ...], Fraction]:
    """(a·v)^degree, multiplied out."""
    found = {}
    for powers in exponents(len(a), degree):
        size = Fraction(math.factorial(degree), math.prod(map(math.factorial, powers)))
        size *= math.prod((r**k for r, k in zip(a, powers, strict=True)), start=Fraction(1))
        if size:
            found[powers] = size
    return found


def exponents(variables: int, degree: int) -> Iterator[tuple[int, ...]]:
    """All exponents of so many variables with this sum."""
    for bars in itertools.combinations(range(degree + variables - 1), variables - 1):
        edges = (-1, *bars, degree + variables - 1)
        yield tuple(b - a - 1 for a, b in itertools.pairwise(edges))


def written(part: Polynomial, forms: Sequence[Form], degree: int) -> tuple[list[Fraction], dict[tuple[int, ...], Fraction]]:
    """Coefficients c with Σ_k c_k·(a_k·v)^degree near the homogeneous `part`, and what is left of it, exactly."""
    expanded = [power(a, degree) for a in forms]
    rows = sorted(set(part).union(*expanded))
    matrix = np.array([[float(e.get(row, 0)) for e in expanded] for row in rows])
    right = np.array([float(part.get(row, 0)) for row in rows])
    solution = np.linalg.lstsq(matrix, right, rcond=1e-12)[0]
    exact = [Fraction(float(c)) for c in solution]
    for found in ([c.limit_denominator(SIMPLE) for c in exact], exact):
        left = {row: part.get(row, Fraction(0)) - sum(c * e.get(row, 0) for c, e in zip(found, expanded, strict=True)) for row in rows}
        left = {row: value for row, value in left.items() if value}
        if not left:
            break
    return found, left


def size(polynomial: Polynomial, half: Array) -> float:
    """A bound of |polynomial| on the box |v_i| ≤ half_i."""
    exact = [Fraction(float(h)) for h in half]
    total = sum(
        (abs(c) * math.prod((h**k for h, k in zip(exact, powers, strict=True)), start=Fraction(1)) for powers, c in polynomial.items()),
        start=Fraction(0),
    )
    return math.nextafter(float(total), math.inf) if total else 0.0


def polarised(part: Polynomial) -> list[Form]:
    """The forms of Kan's identity for every monomial."""
    found: dict[Form, None] = {}
    for powers in part:
        if sum(k > 0 for k in powers) == 1:
            found[form([Fraction(int(k > 0)) for k in powers])] = None
            continue
        for nu in itertools.product(*(range(k + 1) for k in powers)):
            row = [Fraction(k, 2) - n for k, n in zip(powers, nu, strict=True)]
            if any(row):
                found[form(row)] = None
    return list(found)


def equispaced(degree: int, half: Array) -> list[Form]:
    """degree + 1 forms of two variables at equispaced angles in the box scaled to a square; both axes among them if that is even."""
    angles = np.pi * np.arange(degree + 1) / (degree + 1)
    return [form(np.array([np.cos(a), np.sin(a)]) / half) for a in angles]


def hessian(part: Polynomial, variables: int) -> Array:
    """The symmetric H with part = vᵀHv, for a part of degree 2."""
    matrix = np.zeros((variables, variables))
    for powers, coefficient in part.items():
        i, j = (k for k, power in enumerate(powers) for _ in range(power))
        matrix[i, j] += float(coefficient) / 2
        matrix[j, i] += float(coefficient) / 2
    return matrix


def spectral(matrix: Array, half: Array) -> list[Form]:
    """The eigenvectors of a quadratic form on the box scaled to a cube, but those of eigenvalue 0."""
    scaled = matrix * half[:, None] * half
    values, vectors = np.linalg.eigh(scaled)
    used = np.abs(values) > 1e-13 * np.abs(values).max()
    return [form(vectors[:, k] / half) for k in np.flatnonzero(used)]


def completed(matrix: Array, half: Array) -> Iterator[list[Form]]:
    """Completed squares in several orders of the variables: H = Σ c_k·a_k·a_kᵀ, c_k·a_k the pivot's row; a ± b where none is left."""
    n = len(matrix)
    for order in itertools.islice(itertools.permutations(range(n)), ORDERS):
        left, found = matrix * half[:, None] * half, []
        tiny = 1e-13 * np.abs(left).max()
        for _ in range(n):
            pivot = next((i for i in order if abs(left[i, i]) > tiny), None)
            if pivot is not None:
                row = left[pivot] / left[pivot, pivot]
                left = left - left[pivot, pivot] * np.outer(row, row)
                found.append(row)
                continue
            pair = next(((i, j) for i, j in itertools.combinations(order, 2) if abs(left[i, j]) > tiny), None)
            if pair is None:
                break
            # Without squares: 2·l_ij·(x_i + …)(x_j + …) is the difference of two squares.
            a, b = left[pair[1]] / left[pair[0], pair[1]], left[pair[0]] / left[pair[0], pair[1]]
            left = left - left[pair[0], pair[1]] * (np.outer(a, b) + np.outer(b, a))
            found += [a + b, a - b]
        yield [form(row / half) for row in found]
