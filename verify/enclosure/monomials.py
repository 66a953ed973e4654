"""Monomials of d variables up to a degree, in the order in which Taylor forms keep them, and what multiplying and lowering does to them.

Graded: 1, t_1, …, t_d, then t_i·t_j for i ≤ j, then t_i·t_j·t_k for i ≤ j ≤ k, and so on. So the first C(d + m, m) are those of degree m,
whatever the degree.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations_with_replacement
from math import comb

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]
Exponents = tuple[int, ...]
"""One for every variable."""


@cache
def pairs(dimension: int) -> tuple[tuple[int, int], ...]:
    """The quadratic monomials t_i·t_j, i ≤ j, in order: (0, 0), (0, 1), …, (0, d−1), (1, 1), …"""
    return tuple((i, j) for i in range(dimension) for j in range(i, dimension))


@cache
def monomials(dimension: int, degree: int) -> tuple[Exponents, ...]:
    """All of at most this degree, in order."""
    return tuple(
        tuple(chosen.count(i) for i in range(dimension))
        for grade in range(degree + 1)
        for chosen in combinations_with_replacement(range(dimension), grade)
    )


@cache
def places(dimension: int, degree: int) -> dict[Exponents, int]:
    """Where each is kept."""
    return {exponents: k for k, exponents in enumerate(monomials(dimension, degree))}


@cache
def starts(dimension: int, degree: int) -> Indices:
    """Where each grade begins, from 0 to degree, and the number of all."""
    return np.array([0, *(comb(dimension + grade, grade) for grade in range(degree + 1))], np.intp)


@cache
def dimension_of(count: int, degree: int) -> int:
    """The d of which there are `count` monomials. Raises `ValueError` if there is none."""
    dimension = 0
    while comb(dimension + degree, degree) < count:
        dimension += 1
    if comb(dimension + degree, degree) != count:
        raise ValueError(f"{count} is not the number of monomials of degree {degree} in any number of variables")
    return dimension


@cache
def products(dimension: int, degree: int) -> Indices:
    """(T, 3): k, i, j for every monomial k and every way to write it as the product of two others but 1, i·j, i ascending."""
    every, where = monomials(dimension, degree), places(dimension, degree)
    found = []
    for k, whole in enumerate(every):
        for i, part in enumerate(every[1:], 1):
            rest = tuple(a - b for a, b in zip(whole, part, strict=True))
            if min(rest) >= 0 and any(rest):
                found.append((k, i, where[rest]))
    return np.array(found, np.intp).reshape(-1, 3)


Lowering = tuple[int, int, float, float, float]
"""From, to, share, constant, error."""


LOWERED = {
    0: (0.828125, 0.0, 0.171875),
    1: (0.0, 0.0, 1.0),
    2: (0.5, 0.0, 0.5),
    3: (0.75, 0.0, 0.25),
    4: (1.0, -0.125, 0.125),
    5: (0.875, 0.0, 0.1332),
}
"""Share, constant and error by the largest exponent; 0: of t⁴·m."""


@cache
def lowerings(dimension: int, degree: int, to: int) -> tuple[Lowering, ...]:
    """How monomials of degree 3, 4 and 5 above `to` ≥ 2 are replaced on [−1, 1]^d, the highest first.

    With m any monomial: t³·m = ¾·t·m ± ¼ and t⁴ = t² − ⅛ ± ⅛, as Chebyshev economises them; t⁵ = ⅞·t³ ± 0.1332, as t³·(⅞ − t²) is largest
    at t² = 21/40; t⁴·m = σ·t²·m ± (1 − σ) for σ = 53/64, as σ²/4 < 1 − σ; t²·m = ½·m ± ½, as 0 ≤ t² ≤ 1; and a product of different
    variables is 0 ± 1. `to` 0 with share 0: nothing but the error.
    """
    every, where = monomials(dimension, degree), places(dimension, degree)
    found: list[Lowering] = []
    for k in reversed(range(starts(dimension, degree)[to + 1], len(every))):
        exponents = every[k]
        i = max(range(dimension), key=lambda i: exponents[i])
        below = where[tuple(e - 2 if n == i else e for n, e in enumerate(exponents))] if exponents[i] >= 2 else 0
        most = exponents[i] if exponents[i] != 4 or sum(exponents) == 4 else 0
        share, constant, error = LOWERED[most]
        found.append((k, below, share, constant, error))
    return tuple(found)
