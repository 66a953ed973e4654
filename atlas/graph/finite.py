"""Components of a graph that take finitely many values, and exactly which: those of finite inputs, and what is computed from them.

An indicator, a block whose pieces are constants, takes as many values as it has pieces, whatever it reads; twelve of them added up take
thirteen. What reads such a sum is 1/2 away from an interface at k + 1/2, not 0 (B9). Values are fractions, never rounded: a component
whose values expressions do not give as such, like sin(1), is not known to be finite.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ...expressions.additive import terms
from ...expressions.box import Array
from ...expressions.maps import ExpressionMap
from ...expressions.tree import Call, Name, Negative, Power, Product, Reciprocal, Sum, free_names, postorder
from ...expressions.tree import Node as Tree
from .nodes import Block, Combine, Input, Node

MOST = 4096
"""Values of a component, and combinations of values that a term is evaluated at, at most."""
MOST_SUMS = 1 << 18
"""Sums of two values that are looked at for one term more."""
MOST_BITS = 2048
"""Of a value; what is longer counts as one that is not known."""
Finite = Mapping[str, tuple[Fraction, ...]]
"""Component ↦ all values that it takes, ascending, or more; of those that are known to be finite."""


def finite_values(order: Sequence[Node]) -> Finite:
    """What is known of the components of nodes, each of which stands behind those that it reads."""
    known: dict[str, tuple[Fraction, ...]] = {}
    for node in order:
        match node:
            case Input():
                found: Sequence[Iterable[Fraction] | None] = [tuple(map(Fraction, values)) for values in node.values]
            case Block():
                found = _of_block(node, known)
            case Combine():
                found = [_of_sum(tree, known) for tree in node.function.trees]
        for name, values in zip(node.components, found, strict=False):
            if values is not None and len(some := set(values)) <= MOST:
                known[name] = tuple(sorted(some))
    return known


def _of_block(block: Block, known: Finite) -> Sequence[set[Fraction] | None]:
    """Component by component."""
    tiling = block.tiling
    if tiling is None or block.given is not None:
        return []
    if all(name in known for name in block.reads) and math.prod(len(known[name]) for name in block.reads) <= MOST:
        found: list[set[Fraction] | None] = [set() for _ in block.components]
        for values in itertools.product(*(known[name] for name in block.reads)):
            owner = _owner(block, values)
            at = dict(zip(block.reads, values, strict=True))
            for k, value in enumerate(_values(block.subtasks[owner], at) if owner is not None else ()):
                if value is None:
                    found[k] = None
                elif (some := found[k]) is not None:
                    some.add(value)
        return found
    constants = [{function.trees[k].exact for function in block.subtasks} for k in range(len(block.components))]
    return [None if None in some else _sure(some) for some in constants]


def _sure(values: Iterable[Fraction | None]) -> set[Fraction]:
    return {value for value in values if value is not None}


def _owner(block: Block, values: Sequence[Fraction]) -> int | None:
    assert block.tiling is not None
    low, high = block.tiling.owned
    for k, piece in enumerate(block.tiling.pieces):
        sides = zip(values, piece.box.lower, piece.box.upper, low[k], high[k], strict=True)
        if all((v > a or (first and v == a)) and (v < b or (last and v == b)) for v, a, b, first, last in sides):
            return k
    return None


def _values(function: ExpressionMap, at: Mapping[str, Fraction]) -> list[Fraction | None]:
    return [rational(tree, at) for tree in function.trees]


def _of_sum(tree: Tree, known: Finite) -> set[Fraction] | None:
    """Of a sum: terms that share variables together, and then all sums of one value of each."""
    total = {Fraction(0)}
    for group in _groups(terms(tree)):
        names = sorted(set().union(*map(free_names, group)))
        if not all(name in known for name in names) or math.prod(len(known[name]) for name in names) > MOST:
            return None
        found = set()
        for values in itertools.product(*(known[name] for name in names)):
            parts = [rational(term, dict(zip(names, values, strict=True))) for term in group]
            if None in parts:
                return None
            found.add(sum((part for part in parts if part is not None), Fraction(0)))
        if len(found) * len(total) > MOST_SUMS or len(total := {a + b for a in total for b in found}) > MOST:
            return None
    return total


def _groups(given: Sequence[Tree]) -> list[list[Tree]]:
    """Terms that share variables, together."""
    groups: list[tuple[set[str], list[Tree]]] = []
    for term in given:
        names = set(free_names(term))
        touched = [group for group in groups if group[0] & names]
        groups = [group for group in groups if not group[0] & names]
        groups.append((names.union(*(n for n, _ in touched)), [*itertools.chain(*(own for _, own in touched)), term]))
    return [own for _, own in groups]


def rational(tree: Tree, at: Mapping[str, Fraction]) -> Fraction | None:
    """The value of an expression, if it is a fraction that arithmetic alone gives."""
    done: dict[Tree, Fraction | None] = {}
    for node in postorder(tree):
        value = node.exact if node.exact is not None else _rational(node, [done[part] for part in node.parts], at)
        done[node] = None if value is None or max(value.numerator.bit_length(), value.denominator.bit_length()) > MOST_BITS else value
    return done[tree]


def _rational(node: Tree, given: Sequence[Fraction | None], at: Mapping[str, Fraction]) -> Fraction | None:
    parts = [part for part in given if part is not None]
    if len(parts) < len(given):
        return None
    match node:
        case Name(name):
            return at.get(name)
        case Sum():
            return sum(parts, Fraction(0))
        case Negative():
            return -parts[0]
        case Product():
            return math.prod(parts, start=Fraction(1))
        case Reciprocal():
            return 1 / parts[0] if parts[0] else None
        case Power() if node.whole is not None and abs(node.whole) <= 64 and (node.whole >= 0 or parts[0]):
            return parts[0] ** node.whole
        case Call("Abs"):
            return abs(parts[0])
        case Call("Max"):
            return max(parts)
        case Call("Min"):
            return min(parts)
    return None


@dataclass(frozen=True, eq=False)
class Places:
    """Where the variables of a function may be: axis by axis everywhere (None), or in closed intervals around finitely many values."""

    axes: tuple[tuple[Array, Array, Array] | None, ...]
    """For every axis the values in floats, and the ends of the intervals, ascending."""

    @staticmethod
    def of(finite: Finite, names: Sequence[str], by: Array) -> Places | None:
        """Of variables by name, each known to within `by` (variables,); None if none of them is finite."""
        axes = [None if name not in finite else _intervals(finite[name], float(e)) for name, e in zip(names, by, strict=True)]
        return Places(tuple(axes)) if any(axis is not None for axis in axes) else None

    def missed(self, lower: Array, upper: Array) -> NDArray[np.bool_]:
        """Boxes (N, axes) that hold no point of these."""
        found = np.zeros(len(lower), bool)
        for k, axis in enumerate(self.axes):
            if axis is not None:
                _, low, high = axis
                first = np.searchsorted(high, lower[:, k], "left")
                found |= (first == len(high)) | (low[np.minimum(first, len(high) - 1)] > upper[:, k])
        return found

    def nearest(self, points: Array) -> Array:
        """The values nearest to points (N, axes), axis by axis where there are finitely many."""
        moved = np.array(points, float)
        for k, axis in enumerate(self.axes):
            if axis is not None:
                values = axis[0]
                moved[:, k] = values[np.searchsorted((values[1:] + values[:-1]) / 2, moved[:, k])]
        return moved

    def clear(self, axis: int, of: Array) -> bool:
        """Whether no interval of an axis holds one of some numbers."""
        if (found := self.axes[axis]) is None:
            return False
        _, low, high = found
        return not ((low[:, None] <= of) & (of <= high[:, None])).any()

    def loose(self, knots: Sequence[Array], moves: Array) -> Array:
        """How far variables may be off, (variables,): 0 along axes where that leads none of their values across a knot inside."""
        clear = [self.axes[k] is not None and self.clear(k, inside[1:-1]) for k, inside in enumerate(knots)]
        return np.where(clear, 0.0, moves)


def _intervals(values: Sequence[Fraction], by: float) -> tuple[Array, Array, Array]:
    near = np.array([float(v) for v in values])
    exact = np.array([Fraction(float(v)) == v for v in values])
    low, high = np.where(exact, near, np.nextafter(near, -np.inf)), np.where(exact, near, np.nextafter(near, np.inf))
    return near, (np.nextafter(low - by, -np.inf) if by else low), (np.nextafter(high + by, np.inf) if by else high)
