"""Shares of the output: what one block, of several that a layer of groups adds up, is of it (N15, R10).

f_o = Σ_l (Σ_i a_oli·v_li + c_ol) + r with numbers a: the share of block l in output o is what is in the brackets. That f_o is these shares and
r is algebra; that what a group adds follows its share is what the boxes of a site prove.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import sympy

from ...atlas import TaskGraph
from ...expressions.parse import real_symbols
from .documents import Site
from .refused import Refused


def share_of(whole: Sequence[sympy.Expr], site: Site, graph: TaskGraph) -> list[sympy.Expr]:
    """Σ_i a_oi·v_i + c_o for every component of a site. Raises `Refused` where the output is not affine in v."""
    found = []
    for name, shift in zip(site.components, site.shift.tolist(), strict=True):
        factors = _factors(whole[_output(name, site, graph)], site, graph)
        found.append(sympy.Add(*(a * v for v, a in factors.items()), _exact(shift)))
    return found


def shared_out(whole: Sequence[sympy.Expr], site: Site, graph: TaskGraph) -> list[sympy.Expr]:
    """The outputs with shares, as symbols, in the place of the block's values."""
    found = list(whole)
    for name, shift in zip(site.components, site.shift.tolist(), strict=True):
        o = _output(name, site, graph)
        nothing = dict.fromkeys(_factors(whole[o], site, graph), sympy.Integer(0))
        (symbol,) = real_symbols([name]).values()
        found[o] = whole[o].xreplace(nothing) + symbol - _exact(shift)
    return found


def _output(name: str, site: Site, graph: TaskGraph) -> int:
    """Which output a component is a share of."""
    return [f"{site.name}.{other}" for other in graph[graph.output].components].index(name)


def _factors(expression: sympy.Expr, site: Site, graph: TaskGraph) -> dict[sympy.Symbol, sympy.Expr]:
    """v ↦ a for the values of the block."""
    found = {v: sympy.diff(expression, v) for v in real_symbols(graph[site.name].components).values()}
    if any(a.free_symbols for a in found.values()):
        raise Refused(f"the output is not affine in the values of {site.name[:80]}")
    return found


def _exact(number: float) -> sympy.Rational:
    if not number - number == 0:
        raise Refused("the constant part of a share is no number")
    fraction = Fraction(number)
    return sympy.Rational(fraction.numerator, fraction.denominator)
