"""Shares of the output: what one block, of several that a layer of groups adds up, is of it (N15, R10).

f_o = Σ_l (Σ_i a_oli·v_li + c_ol) + r with numbers a: the share of block l in output o is what is in the brackets. That f_o is
these shares and r is algebra; that what a group adds follows its share is what the boxes of a site prove.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import sympy

from ...atlas import ExpressionMap, TaskGraph
from ...expressions.formulas import cancelled
from ...expressions.maps import Formula
from ...expressions.parse import real_symbols
from .documents import Site
from .refused import Refused


def shares_of(site: Site, graph: TaskGraph) -> tuple[str, ...]:
    """What the components of a site are called that is a share of the outputs; empty if it is none."""
    names = [f"{site.name}.{name}" for name in graph[graph.output].components]
    wrong = site.folded or site.kind != "block" or site.parts or len(site.shift) != len(site.components)
    return () if wrong or len(set(site.components)) < len(site.components) else tuple(name for name in site.components if name in names)


def share_of(formulas: Mapping[str, Formula], site: Site, graph: TaskGraph) -> ExpressionMap:
    """v ↦ Σ_i a_oi·v_i + c_o for every component of a site. Raises `Refused` where the output is not known, or not affine in v."""
    names = graph[graph.output].components
    if missing := [name for name in names if name not in formulas]:
        raise Refused(f"nothing is known of {missing[0]}, of which it is said to be a share")
    whole, found = [formulas[name].expression for name in names], []
    for name, shift in zip(site.components, site.shift.tolist(), strict=True):
        factors = _factors(whole[_output(name, site, graph)], site, graph)
        found.append(sympy.Add(*(a * v for v, a in factors.items()), _exact(shift)))
    return ExpressionMap(tuple(real_symbols(graph[site.name].components).values()), tuple(found))


def with_shares(formulas: Mapping[str, Formula], sites: Sequence[Site], graph: TaskGraph) -> list[sympy.Expr]:
    """The outputs with shares, as symbols, in the place of the values of blocks. Raises `Refused` where a part that may have no value only
    cancels.
    """
    names = graph[graph.output].components
    if part := next(filter(None, (cancelled(formulas[name]) for name in names)), None):
        raise Refused(f"{part} in the read-out may have no value, and only cancels", rejected=False)
    found = [formulas[name].expression for name in names]
    for site in sites:
        for name, shift in zip(site.components, site.shift.tolist(), strict=False):
            o = _output(name, site, graph)
            nothing = dict.fromkeys(_factors(found[o], site, graph), sympy.Integer(0))
            (symbol,) = real_symbols([name]).values()
            found[o] = found[o].xreplace(nothing) + symbol - _exact(shift)
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
