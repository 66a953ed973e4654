"""Functions that are polynomials of degree 2 at most, from their values at a few points: a polynomial of degree 2 in k variables is
determined by what it is at 0, at the unit points e_i, at 2·e_i and at e_i + e_j.

That a tree is a polynomial of degree ≤ 2 is said by how it is built: sums, products and whole powers of names and exact numbers, degrees
added up without regard to what cancels. Its values are computed in fractions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from ...expressions.tree import Name, Negative, Node, Power, Product, Sum, postorder


class Quadratic(NamedTuple):
    """Σ_i curve_ii·y_i² + Σ_{i<j} curve_ij·y_i·y_j + Σ_i slope_i·y_i + constant."""

    curve: dict[tuple[int, int], Fraction]
    """By i ≤ j."""
    slope: list[Fraction]
    constant: Fraction


def quadratic(tree: Node, names: Sequence[str]) -> Quadratic | None:
    """The polynomial; None for trees that are not built as one of degree ≤ 2 in these names."""
    nodes = postorder(tree)
    if _degree(nodes, frozenset(names)) > 2:
        return None
    k = len(names)

    def at(*places: int) -> Fraction:
        point = dict.fromkeys(names, Fraction(0))
        for place in places:
            point[names[place]] += 1
        return _value(nodes, point)

    origin, once = at(), [at(i) for i in range(k)]
    curve = {(i, i): (at(i, i) - 2 * once[i] + origin) / 2 for i in range(k)}
    curve |= {(i, j): at(i, j) - once[i] - once[j] + origin for i in range(k) for j in range(i + 1, k)}
    return Quadratic(curve, [once[i] - origin - curve[i, i] for i in range(k)], origin)


def _degree(nodes: Sequence[Node], names: frozenset[str]) -> float:
    """The degree of the last of the nodes is no larger; ∞ for what is no polynomial."""
    known = dict[Node, float]()
    for node in nodes:
        parts = [known[part] for part in node.parts]
        match node:
            case _ if node.exact is not None:
                found = 0.0
            case Name(name) if name in names:
                found = 1.0
            case Negative() | Sum():
                found = max(parts)
            case Product():
                found = sum(parts)
            case Power() if node.whole is not None and 0 < node.whole <= 2:
                found = parts[0] * node.whole
            case _:
                found = float("inf")
        known[node] = found
    return known[nodes[-1]]


def _value(nodes: Sequence[Node], point: Mapping[str, Fraction]) -> Fraction:
    """The last of the nodes at a point; they are polynomials, and those of degree 0 that are no exact numbers are not among them."""
    known = dict[Node, Fraction]()
    for node in nodes:
        if node.exact is not None:
            known[node] = node.exact
            continue
        match node:
            case Name(name):
                known[node] = point[name]
            case Negative(part):
                known[node] = -known[part]
            case Sum(parts):
                known[node] = sum((known[part] for part in parts), Fraction(0))
            case Product(factors):
                known[node] = Fraction(1)
                for part in factors:
                    known[node] *= known[part]
            case Power(base):
                known[node] = known[base] ** (node.whole or 0)
    return known[nodes[-1]]
