"""What a sympy tree is made of: its size, and whether a text of the grammar can say it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from .grammar import COMPARISONS, MAX_BITS, MAX_EXPONENT, heads
from .later import sympy


def bits(number: Fraction) -> int:
    """Bits of the longer of numerator and denominator."""
    return max(number.numerator.bit_length(), number.denominator.bit_length())


@dataclass(frozen=True)
class Survey:
    """What a sympy tree is made of: its size, and what in it is not of the grammar ("" if nothing is)."""

    nodes: int
    depth: int
    problem: str


@lru_cache(maxsize=1)
def structure() -> frozenset[type]:
    """The classes of sympy that the grammar has something for, beside numbers and fields."""
    from sympy.functions.elementary.piecewise import ExprCondPair

    plain = (sympy.Add, sympy.Mul, sympy.Pow, sympy.Symbol, type(sympy.pi), type(sympy.E))
    conditions = (sympy.Piecewise, ExprCondPair, sympy.And, sympy.Or, type(sympy.true))
    return frozenset((*plain, *conditions, *(getattr(sympy, name) for name in COMPARISONS.values()), *heads()))


def survey(expression: sympy.Basic) -> Survey:
    """Walks the tree; stops at the first part that no text of the grammar can say."""
    nodes, deepest = 0, 0
    pending: list[tuple[sympy.Basic, int]] = [(expression, 1)]
    while pending:
        part, depth = pending.pop()
        nodes, deepest = nodes + 1, max(deepest, depth)
        if problem := _outside(part):
            return Survey(nodes, deepest, problem)
        pending.extend((argument, depth + 1) for argument in part.args if not isinstance(part, sympy.Rational))
    return Survey(nodes, deepest, "")


def _outside(part: sympy.Basic) -> str:
    """Why this node is not of the grammar, or ""."""
    if isinstance(part, sympy.Float):
        value = float(part)
        return "" if math.isfinite(value) and sympy.Float(value) == part else f"contains {part}, which is no float64"
    if isinstance(part, sympy.Rational):
        return "" if bits(Fraction(int(part.p), int(part.q))) <= MAX_BITS else f"contains an integer of more than {MAX_BITS} bits"
    if isinstance(part, sympy.Pow) and part.exp.is_number and abs(float(part.exp)) > MAX_EXPONENT:
        return f"contains an exponent of more than {MAX_EXPONENT}"
    if part is sympy.I:
        return "is not real"
    if part in (sympy.nan, sympy.zoo, sympy.oo, -sympy.oo):
        return "is not finite"
    return "" if type(part) in structure() else _foreign(part)


def _foreign(part: sympy.Basic) -> str:
    """The same of a node that is not of the grammar, unless it is a field."""
    from .looked import Looked

    if isinstance(part, Looked):
        return f"contains a derivative of {part}, for which there is no text" if any(part.orders) else ""
    return f"contains {type(part).__name__}, which the expression language has not"
