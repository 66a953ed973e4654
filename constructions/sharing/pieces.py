"""A shared expert for a block on pieces: f_i = h + r_i, h what the formulas of all pieces have in common (section 4.3(c), B7, N5).

h is the sum of the terms that every piece's formula has, without affine ones, which experts have for nothing. It is a function like any
other, so the net of h and the experts of r_i have the a-priori bounds that such nets have; the errors add up (B7):

    |f_i − s − g_i| ≤ |h − s| + |r_i − g_i| ≤ ε_s + (ε − ε_s),

ε_s/ε the best split of N5. What the net of h does not need of ε_s goes to the experts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy

from ...atlas import Array, Block, ExpressionMap
from ...errors import EpsilonNotReached, InvalidArgument
from ..asked import Asked
from ..experts.pieces import PieceNet, piece_net
from . import decision
from .decision import Decision

ORIGIN = "what all pieces share, Lemma 3.1, section 4.3(c)"
NOTHING = "its pieces have no term in common beyond affine ones"
FINER = 4.0
"""Budgets so many times apart show how fast numbers grow."""
EXACT = 1e-9
"""Part of the budget below which a net is its function."""


@dataclass(frozen=True, eq=False)
class Parts:
    """h, and r_i of every piece."""

    common: ExpressionMap
    own: tuple[ExpressionMap, ...]


def parts(functions: Sequence[ExpressionMap]) -> Parts | None:
    """What the formulas have in common, term by term, and what is left of each; None if that is at most affine."""
    variables = functions[0].variables
    formulas = [[e.xreplace(dict(zip(f.variables, variables, strict=True))) for e in f.expressions] for f in functions]
    common = [_common(component, variables) for component in zip(*formulas, strict=True)]
    if not any(common):
        return None
    own = tuple(ExpressionMap(variables, [e - h for e, h in zip(of, common, strict=True)]) for of in formulas)
    return Parts(ExpressionMap(variables, common), own)


def _common(formulas: Sequence[sympy.Expr], variables: Sequence[sympy.Symbol]) -> sympy.Expr:
    """Σ of the terms that all formulas have, as they stand or multiplied out, but for affine ones."""
    for form in (lambda e: e, sympy.expand):
        terms = [set(sympy.Add.make_args(form(formula))) for formula in formulas]
        shared = [term for term in sympy.Add.make_args(form(formulas[0])) if all(term in others for others in terms)]
        bent = [term for term in shared if any(sympy.diff(term, u, v) != 0 for u in variables for v in variables)]
        if bent:
            return sympy.Add(*bent)
    return sympy.Integer(0)


@dataclass(frozen=True, eq=False)
class OnPieces:
    """The nets of a block on pieces, the shared one if there is one, and why."""

    nets: list[PieceNet]
    shared: PieceNet | None
    record: dict[str, Any]

    @property
    def bound(self) -> float:
        """Of |f_i − s − g_i| on every piece."""
        return max(net.bound for net in self.nets) + (0.0 if self.shared is None else self.shared.bound)


def on_pieces(block: Block, lower: Array, upper: Array, asked: Asked, how: bool | str) -> OnPieces:
    """The experts on boxes (E, k), and beside them the shared one that `how`, False, True or "auto", asks for.

    Raises `InvalidArgument` where there is nothing to share, if that was asked for, and for "auto" without an ε.
    """
    found = parts(block.subtasks) if how is not False and len(block.subtasks) > 1 else None
    if found is None:
        if how is True:
            why = NOTHING if len(block.subtasks) > 1 else "it has one piece"
            raise InvalidArgument(f'block "{block.name}": {why}, so that there is nothing to share; leave {{shared=true}} out')
        return OnPieces(_experts(block, block.subtasks, lower, upper, asked), None, {"share": False, "rule": NOTHING} if how else {})
    if asked.budget is None:
        if how == "auto":
            raise InvalidArgument("whether sharing pays depends on ε (N5): give {epsilon=…} in the place of a width, or {shared=true}")
        return _beside(block, found, lower, upper, asked, asked, {"share": True, "asked": how})
    made = _decision(block, found, lower, upper, asked, how)
    if not made.share:
        return OnPieces(_experts(block, block.subtasks, lower, upper, asked), None, made.record())
    part = EXACT if made.threshold is not None else decision.split(made.shared, made.beside, made.alpha)[0]
    return _beside(block, found, lower, upper, replace(asked, budget=part * asked.budget), asked, made.record())


def _beside(block: Block, found: Parts, lower: Array, upper: Array, own: Asked, asked: Asked, record: dict[str, Any]) -> OnPieces:
    """The shared net as `own` asks, and experts with what it leaves of the budget."""
    shared = _shared(block, found, lower, upper, own)
    return OnPieces(_experts(block, found.own, lower, upper, asked.less(shared.bound)), shared, record)


def _shared(block: Block, found: Parts, lower: Array, upper: Array, asked: Asked) -> PieceNet:
    return piece_net(found.common, lower.min(0), upper.max(0), asked, f"block[{block.name}].shared", ORIGIN)


def _experts(block: Block, functions: Sequence[ExpressionMap], lower: Array, upper: Array, asked: Asked) -> list[PieceNet]:
    names = block.domain.names
    return [
        piece_net(function, lower[i], upper[i], asked, f"block[{block.name}].expert[{names[i]}]") for i, function in enumerate(functions)
    ]


def _decision(block: Block, found: Parts, lower: Array, upper: Array, asked: Asked, how: bool | str) -> Decision:
    """N5, from nets that are built to half of the budget, and from experts alone that are built to all of it and to less."""
    assert asked.budget is not None
    budget, half = asked.budget, replace(asked, budget=asked.budget / 2)
    alone = _numbers(block, block.subtasks, lower, upper, asked)
    finer = _numbers(block, block.subtasks, lower, upper, replace(asked, budget=budget / FINER))
    known = np.isfinite(finer) and finer > alone
    rate = float(np.clip(np.log(FINER) / np.log(finer / alone), *decision.SLOPES)) if known else decision.SLOPES[1]
    unit = 2 ** (-1 / rate)  # what was built to half of the budget takes so much less at all of it
    shared = _shared(block, found, lower, upper, half)
    beside = _numbers(block, found.own, lower, upper, half) * unit
    if shared.bound <= EXACT * budget:
        what = f"a shared net of {shared.net.widths[0]} neurons, exact"
        return decision.exact(how, budget, rate, alone, beside, shared.net.parameters, width=shared.net.widths[0], what=what)
    return decision.approximated(how, budget, rate, alone, beside, shared.net.parameters * unit)


def _numbers(block: Block, functions: Sequence[ExpressionMap], lower: Array, upper: Array, asked: Asked) -> float:
    """What experts of these functions store; ∞ if some are out of reach."""
    try:
        return float(sum(made.net.parameters for made in _experts(block, functions, lower, upper, asked)))
    except EpsilonNotReached:
        return np.inf
