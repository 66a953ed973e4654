"""What trees are sums of, and which of them see several names only through one linear form.

A tree is opened along sums, differences and factors that are exact numbers, and nowhere else. So the terms add up to the tree by the
distributive law alone, and they are all defined exactly where the tree is: sums and products are defined where their parts are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from .tree import Name, Negative, Node, Number, Product, Reciprocal, Sum, postorder, rebuilt

Form = Mapping[str, Fraction]
"""Σ form[v]·v over names v."""
Linear = tuple[dict[str, Fraction], Fraction]
"""Coefficients that are not 0, and a constant."""


def terms(tree: Node) -> list[Node]:
    """Trees that add up to this one, in the order of the text."""
    found: list[Node] = []
    pending = [(Fraction(1), tree)]
    while pending:
        factor, node = pending.pop()
        match node:
            case Sum(parts):
                pending.extend((factor, part) for part in reversed(parts))
            case Negative(part):
                pending.append((-factor, part))
            case Product(factors) if node.exact is None and any(f.exact is not None for f in factors):
                rest = [f for f in factors if f.exact is None]
                for f in factors:
                    factor *= Fraction(1) if f.exact is None else f.exact
                # A quotient is no first factor.
                rest = [Number(Fraction(1)), *rest] if isinstance(rest[0], Reciprocal) else rest
                if len(rest) == 1:
                    pending.append((factor, rest[0]))
                else:
                    found.append(_scaled(factor, Product(tuple(rest))))
            case _:
                found.append(_scaled(factor, node))
    return found


def total(trees: Sequence[Node]) -> Node:
    """The tree of their sum."""
    return trees[0] if len(trees) == 1 else Sum(tuple(trees)) if trees else Number(Fraction(0))


def in_forms(tree: Node, forms: Mapping[str, Form]) -> Node | None:
    """The tree as one in the names of `forms`, which stand for those forms; None where it sees their names in another way.

    No two forms have a name in common. Parts that are linear by exact numbers are replaced, as large as they are.
    """
    linear, done = dict[Node, Linear | None](), dict[Node, Node | None]()
    plain = {name for name, form in forms.items() if form == {name: 1}}
    for node in postorder(tree):
        linear[node] = found = _linear(node, linear)
        new = {part: inner for part in node.parts if (inner := done[part]) is not None}
        if isinstance(node, Name):
            done[node] = node if node.name in plain else None
        else:
            done[node] = rebuilt(node, new) if all(part in new for part in node.parts) else None
        if found is not None and done[node] is None:
            done[node] = _replaced(found, forms)
    return done[tree]


def _linear(node: Node, known: Mapping[Node, Linear | None]) -> Linear | None:
    """The linear form that a tree is by exact numbers, if it is one."""
    if node.exact is not None:
        return {}, node.exact
    match node:
        case Name(name):
            return {name: Fraction(1)}, Fraction(0)
        case Negative(part):
            return _combined([(Fraction(-1), known[part])])
        case Sum(parts):
            return _combined([(Fraction(1), known[part]) for part in parts])
        case Product(factors):
            rest = [f for f in factors if f.exact is None]
            scale = Fraction(1)
            for f in factors:
                scale *= Fraction(1) if f.exact is None else f.exact
            return _combined([(scale, known[rest[0]])]) if len(rest) == 1 else None
    return None


def _combined(parts: Sequence[tuple[Fraction, Linear | None]]) -> Linear | None:
    coefficients, constant = dict[str, Fraction](), Fraction(0)
    for factor, part in parts:
        if part is None:
            return None
        for name, c in part[0].items():
            coefficients[name] = coefficients.get(name, Fraction(0)) + factor * c
        constant += factor * part[1]
    return {name: c for name, c in coefficients.items() if c}, constant


def _replaced(found: Linear, forms: Mapping[str, Form]) -> Node | None:
    """A linear tree in the names of forms; None if it is no combination of them."""
    left, constant = dict(found[0]), found[1]
    parts: list[Node] = []
    for name, form in forms.items():
        (first, scale), *_ = form.items()
        factor = left.get(first, Fraction(0)) / scale
        if factor:
            if any(left.pop(v, Fraction(0)) != factor * c for v, c in form.items()):
                return None
            parts.append(_scaled(factor, Name(name)))
    if left:
        return None
    if constant or not parts:
        parts.append(_scaled(constant, Number(Fraction(1))) if constant < 0 else _number(constant))
    return total(parts)


def _scaled(factor: Fraction, node: Node) -> Node:
    if factor < 0:
        return Negative(_scaled(-factor, node))
    return node if factor == 1 else Product((_number(factor), node))


def _number(value: Fraction) -> Node:
    """A number ≥ 0, as a text could say it."""
    if value.denominator == 1:
        return Number(value)
    return Product((Number(Fraction(value.numerator)), Reciprocal(Number(Fraction(value.denominator)))))
