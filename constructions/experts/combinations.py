"""The net of a combination: exactly, where it is a sum of products of two factors (N22, N23); else like the expert of a piece.

A combination is asked for "exact", which is refused where there is no such form, or for "auto", which takes it where there is one: of the
forms in relu² neurons and in product lanes the one that stores the fewest numbers. Its error is rounding, so it takes no share of ε.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import sympy

from ...atlas import Array, Combine, ExpressionMap, TaskGraph
from ...atlas.options import EXACT
from ...errors import AtlasMoEError, EpsilonNotReached, InvalidArgument
from ...expressions.text import format_expression
from ...moe.activations import ACTIVATIONS, RELU, RELU2
from ...moe.ledger import Known
from ...moe.nets import Affine, Net, NeuronGroup
from ..asked import Asked
from ..budgets import stored
from ..choices import Choice, Choices
from ..ranges import Values
from ..structure.exact import Exact, exactly
from .pieces import PieceNet, piece_net
from .ways import AUTO, Way

FORMS = (Way(RELU2), Way(RELU, gated=True))
"""The neurons that compute quadratic functions exactly; lanes of other activations take as many numbers as ReGLU does."""
MARGIN = 16.0
"""So much more than rounding on the range of what is read is kept for rounding on the wider range on which the net is built."""


def combination_net(function: ExpressionMap, lower: Array, upper: Array, asked: Asked, name: str, origin: str) -> PieceNet:
    """The net of a combination on the box of what it may read; see `piece_net`.

    Raises `EpsilonNotReached` naming it if the budget is out of reach.
    """
    if function.affine is not None:
        return _affine_net(function, lower, upper, name, origin)
    if asked.activation in (AUTO, EXACT):
        found = list(_forms(function, lower, upper, name, origin, asked.activation, asked.gated, asked.limit))
        if found:
            best = min(found, key=lambda one: one.net.parameters)
            if asked.budget is not None and best.bound > asked.budget:
                remedy = "allow a larger epsilon: float64 does not hold so many digits of what is combined"
                raise EpsilonNotReached(name, budget=asked.budget, reached=best.bound, width=best.net.widths[0], remedy=remedy)
            return PieceNet(best.net, best.bound, best.known, best.how, best.source)
        if asked.activation == EXACT:
            raise EpsilonNotReached(name, budget=0.0, reached=np.inf, width=asked.limit, remedy="raise max_width")
    return piece_net(function, lower, upper, asked, name, origin)


def _forms(
    function: ExpressionMap, lower: Array, upper: Array, name: str, origin: str, activation: str, gated: bool, limit: int
) -> Iterator[Exact]:
    """The exact forms that the options of a combination allow."""
    ways = FORMS if activation in (AUTO, EXACT) else (Way(ACTIVATIONS[activation], gated),)
    for way in ways:
        if gated and not way.gated:
            continue
        found = exactly(function, lower, upper, name, origin, limit=limit, activation=way.activation, gated=way.gated)
        if found is not None:
            yield found


def _affine_net(function: ExpressionMap, lower: Array, upper: Array, name: str, origin: str) -> PieceNet:
    """An affine combination L·v + b as σ(L·v) − σ(−L·v) + b: what rounding makes of L and b is all that it errs by."""
    assert function.affine is not None
    linear, constant = function.affine
    hidden = Affine(np.concatenate([linear, -linear]), np.zeros(2 * len(linear)))
    out = Affine(np.concatenate([np.eye(len(linear)), -np.eye(len(linear))], axis=1), np.array(constant, float))
    net = Net((hidden, out), ((NeuronGroup(name, 2 * len(linear), origin),),))
    size = np.abs(linear) @ np.maximum(np.abs(lower), np.abs(upper)) + np.abs(constant)
    return PieceNet(net, float(8 * np.finfo(float).eps * size.max(initial=0.0)), Known.FORMULA, "as an affine function", "R1")


def exact_combinations(graph: TaskGraph, choices: Choices, reach: Mapping[str, Values], limit: int) -> dict[str, float]:
    """Combination ↦ an error that is rounding, of those that are built exactly.

    Raises `InvalidArgument` for one that is asked to be exact and is no sum of products of two factors.
    """
    found, kept = {}, stored(graph)
    for node in graph.combines:
        choice = choices[node]
        if node.name in kept:
            lower, upper = (np.array([getattr(reach[name], end) for name in node.reads]) for end in ("least", "most"))
            found[node.name] = MARGIN * _affine_net(node.function, lower, upper, node.name, "").bound
        if node.function.affine is not None or (choice.activation == "relu" and not choice.gated):
            continue
        bounds = _bounds(node, choice, reach, limit)
        if bounds:
            found[node.name] = MARGIN * max(bounds)
        elif choice.activation == EXACT:
            raise InvalidArgument(_refused(node))
    return found


def _bounds(node: Combine, choice: Choice, reach: Mapping[str, Values], limit: int) -> list[float]:
    if not all(map(_quadratic, node.function.expressions)):
        return []
    lower, upper = (np.array([getattr(reach[name], end) for name in node.reads]) for end in ("least", "most"))
    forms = _forms(node.function, lower, upper, node.name, "", choice.activation, choice.gated, limit)
    return [one.bound for one in forms]


def _quadratic(expression: sympy.Expr) -> bool:
    variables = sorted(expression.free_symbols, key=str)
    return not variables or (expression.is_polynomial(*variables) and sympy.Poly(expression, *variables).total_degree() <= 2)


def _refused(node: Combine) -> str:
    """Why a combination has no exact form in one layer, and how it gets one."""
    where = f'combine "{node.name}"'
    for expression in node.function.expressions:
        for term in sympy.Add.make_args(sympy.expand(expression)):
            if _quadratic(term):
                continue
            try:
                text = format_expression(term)
            except AtlasMoEError:
                text = "a part of it"
            if term.is_polynomial(*term.free_symbols):
                remedy = "put the product of two of its factors into a combination of its own, which takes one layer more"
            else:
                remedy = "put what is no product into a block"
            return (
                f"{where}: one layer computes sums of products of two factors exactly, and {text} is none; "
                f"{remedy}, or take {{activation=auto}}"
            )
    return f"{where}: it has no exact form of at most max_width neurons; raise {{max_width=4096}}, or take {{activation=auto}}"
