"""Which conditions of a tree the numpy code of its sympy form does not show.

sympy's rewriting loses some: nothing is left of the logarithm in exp(log(x)). Others it keeps, but floats pass over them:
exp(−1/x²) comes out as 0 at 0, because 1/0 is ∞ there, and atan2(0, 0) as 0. Only these need a look at the tree.
"""

from __future__ import annotations

from typing import Any

from .conditions import Condition, Demand, conditions
from .from_sympy import tree_of
from .later import sympy
from .to_sympy import sympy_of
from .tree import Call, Comparison, Node, Power, Reciprocal, free_names, postorder

HIDE_INFINITY = {"exp", "atan", "tanh", "sign", "Max", "Min", "atan2"}
"""Functions that may be finite where an argument is infinite."""
NOT_A_NUMBER = (Demand.NONNEGATIVE, Demand.WITHIN_ONE, Demand.FROM_ONE, Demand.COVERED)
"""What floats answer with NaN whenever it is not met."""


def unseen(tree: Node, expression: sympy.Expr) -> list[Condition]:
    """The conditions of a tree that may fail where `expression`, which sympy made of it, comes out finite in floats."""
    asked = conditions([tree])
    if not asked:
        return []
    hidden = _hidden(tree)
    other = tree_of(expression)
    gone = set() if other is tree else {c.part for c in lost(asked, conditions([other]))}
    return [c for c in asked if c.part in gone or _passed_over(c, hidden[c.part])]


def _passed_over(condition: Condition, hidden: tuple[bool, bool]) -> bool:
    """`hidden`: whether NaN, and whether infinity, may get lost on the way from the part to the whole."""
    part = condition.part
    if condition.demand in (Demand.DIRECTION, Demand.CASE) or (isinstance(part, Power) and free_names(part.exponent)):
        return True  # (−1)^(−1) is a number, and x**x is not defined at −1
    return hidden[0] if condition.demand in NOT_A_NUMBER else hidden[1]


def _hidden(tree: Node) -> dict[Node, tuple[bool, bool]]:
    """For every part: whether NaN, and whether infinity, may get lost between it and the tree."""
    found = {tree: (False, False)}
    for node in reversed(postorder(tree)):
        nan = isinstance(node, Comparison)
        infinite = nan or isinstance(node, Reciprocal) or (isinstance(node, Call) and node.function in HIDE_INFINITY)
        infinite |= isinstance(node, Power) and not (node.whole is not None and node.whole > 0)
        for part in node.parts:
            before = found.get(part, (False, False))
            found[part] = before[0] | found[node][0] | nan, before[1] | found[node][1] | infinite
    return found


def lost(asked: list[Condition], kept: list[Condition]) -> list[Condition]:
    """The conditions that are not among those kept, as sympy sees them."""
    plain = {(c.demand, c.arguments, c.guards) for c in kept}
    left = [c for c in asked if (c.demand, c.arguments, c.guards) not in plain]
    if not left:
        return []
    known = {key for c in kept for key in _keys(c)}
    return [c for c in left if not known.issuperset(_keys(c))]


def _keys(condition: Condition) -> list[Any]:
    """The condition in sympy's words; of a product that must not be 0 one for every factor."""
    try:
        guards = frozenset((sympy_of(guard), holds) for guard, holds in condition.guards)
        arguments = [sympy_of(argument) for argument in condition.arguments]
        if condition.demand is Demand.NONZERO:
            factors = sympy.Mul.make_args(arguments[0])
            return [(condition.demand, _base(f), guards) for f in factors if not f.is_Number or f == 0]
        if condition.demand in (Demand.NONNEGATIVE, Demand.POSITIVE):
            coefficient, rest = arguments[0].as_coeff_Mul()
            arguments[0] = rest if coefficient > 0 else arguments[0]
        return [(condition.demand, *arguments, guards)]
    except Exception:  # sympy stumbles over some parts that are real nowhere; then nothing is known to be kept
        return [condition]


def _base(factor: sympy.Expr) -> sympy.Expr:
    return factor.base if factor.is_Pow and factor.exp.is_Rational and factor.exp > 0 else factor
