"""Functions that are polynomials of degree 2 at most, read off their trees with exact numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from ...expressions.tree import Name, Negative, Node, Power, Product, Sum, postorder

Terms = dict[tuple[int, ...], Fraction]
"""Coefficients by what is multiplied, variables by their numbers in ascending order; () is the constant."""


class Quadratic(NamedTuple):
    """Σ_ij square_ij·y_i·y_j + Σ_i slope_i·y_i + constant, with a symmetric square."""

    square: list[list[Fraction]]
    slope: list[Fraction]
    constant: Fraction


def quadratic(tree: Node, names: Sequence[str]) -> Quadratic | None:
    """The polynomial that a tree is by sums, products and whole powers of names and exact numbers; None if it is none of degree ≤ 2.

    Such a tree is defined everywhere.
    """
    known = dict[Node, Terms | None]()
    place = {name: n for n, name in enumerate(names)}
    for node in postorder(tree):
        known[node] = _terms(node, known, place)
    found = known[tree]
    if found is None:
        return None
    k = len(names)
    square = [[Fraction(0)] * k for _ in range(k)]
    for (i, j), c in ((which, c) for which, c in found.items() if len(which) == 2):
        square[i][j] += c / 2
        square[j][i] += c / 2
    return Quadratic(square, [found.get((i,), Fraction(0)) for i in range(k)], found.get((), Fraction(0)))


def _terms(node: Node, known: Mapping[Node, Terms | None], place: Mapping[str, int]) -> Terms | None:
    if node.exact is not None:
        return {(): node.exact} if node.exact else {}
    parts = [known[part] for part in node.parts]
    match node:
        case Name(name) if name in place:
            return {(place[name],): Fraction(1)}
        case Negative():
            return None if parts[0] is None else {which: -c for which, c in parts[0].items()}
        case Sum():
            return _sum(parts)
        case Product():
            return _product(parts)
        case Power() if node.whole in (0, 1, 2):
            return _product([{(): Fraction(1)}, *([known[node.base]] * (node.whole or 0))])
    return None


def _sum(parts: Sequence[Terms | None]) -> Terms | None:
    total = Terms()
    for part in parts:
        if part is None:
            return None
        for which, c in part.items():
            total[which] = total.get(which, Fraction(0)) + c
    return {which: c for which, c in total.items() if c}


def _product(parts: Sequence[Terms | None]) -> Terms | None:
    total: Terms | None = {(): Fraction(1)}
    for part in parts:
        if total is None or part is None:
            return None
        products = [{tuple(sorted(a + b)): x * y for b, y in part.items()} for a, x in total.items()]
        total = _sum(products)
        if total is None or any(len(which) > 2 for which in total):
            return None
    return total
