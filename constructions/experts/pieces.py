"""The two-layer net of one function on one box: a piece's expert, or the network of f_out.

One variable: a free-knot spline with an a-priori bound. Several: a sum of ridge profiles with one, where the function is such a sum,
else a ridge fit whose error is measured on points that it was not fitted to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...atlas import Array, Box, ExpressionMap
from ...errors import AtlasMoEError, EpsilonNotReached
from ...moe.ledger import Known
from ...moe.network import ReLUNet
from ...moe.ridge import Ridge
from ..asked import Asked
from ..relu import NARROWEST, Target, fit, fit_to
from ..relu.spline.a_priori import a_priori_spline
from ..shares import HELD_OUT_SAFETY, SHARPENINGS, SHARPER
from ..structure.exact import exact

MEASURED = 4096
"""Fresh points that a finished fit is measured on."""
FIRST_WIDTH = 64
ORIGIN = "Lemma 3.1 on one piece, Theorem 5.3"
REMEDY = "raise max_width, use finer pieces, or allow a larger epsilon"


@dataclass(frozen=True, eq=False)
class PieceNet:
    """A two-layer net with a bound of |F − net| on its box, and how that is known."""

    net: ReLUNet
    bound: float
    known: Known
    how: str
    source: str
    samples: int | None = None
    witness: tuple[float, ...] | None = None


def piece_net(function: ExpressionMap, lower: Array, upper: Array, asked: Asked, name: str, origin: str = ORIGIN) -> PieceNet:
    """The net for F : R^k → R^q on the box [lower, upper]. Raises `EpsilonNotReached` naming it if the budget is out of reach."""
    if function.inputs == 1:
        found = _spline(function, float(lower[0]), float(upper[0]), asked, name, origin)
    else:
        found = _exact(function, lower, upper, asked, name, origin)
    return found or _fitted(function, Box(tuple(lower), tuple(upper)), asked, name, origin)


def _spline(function: ExpressionMap, lower: float, upper: float, asked: Asked, name: str, origin: str) -> PieceNet | None:
    try:
        spline = a_priori_spline(
            function.expressions, function.variables[0], lower, upper, width=asked.width, epsilon=asked.budget, limit=asked.limit
        )
    except EpsilonNotReached as miss:
        raise EpsilonNotReached(name, budget=miss.budget, reached=miss.reached, width=miss.width, remedy=REMEDY) from miss
    except AtlasMoEError:
        return None
    if spline.bound is None:
        return None
    net = Ridge(*spline.to_relu()).to_relu(name, origin)
    return PieceNet(net, spline.bound, Known.FORMULA, f"from enclosures of F″ on {spline.pieces} segments", "B4, B19")


def _exact(function: ExpressionMap, lower: Array, upper: Array, asked: Asked, name: str, origin: str) -> PieceNet | None:
    found = exact(function, lower, upper, name, origin, epsilon=asked.budget, width=asked.width, limit=asked.limit)
    return None if found is None else PieceNet(found.net, found.bound, found.known, found.how, found.source)


def _fitted(function: ExpressionMap, box: Box, asked: Asked, name: str, origin: str) -> PieceNet:
    def draw(count: int, seed: int, held_out: bool) -> tuple[Array, Array]:
        points = box.low_discrepancy(count, seed)
        return points, function(points)

    target = Target(draw, name, origin)
    fresh = box.uniform(MEASURED, np.random.default_rng([asked.seed, MEASURED]))
    truth = function(fresh)
    budget = None if asked.budget is None else asked.budget / HELD_OUT_SAFETY
    for _ in range(SHARPENINGS):
        if budget is None or asked.budget is None:
            fitted = fit(target, max(NARROWEST, asked.width or NARROWEST), seed=asked.seed)
        else:
            start = min(FIRST_WIDTH, asked.limit)
            fitted = fit_to(target, budget, start=start, limit=asked.limit, seed=asked.seed, remedy=REMEDY)
        error = np.abs(fitted.net(fresh) - truth).max(1)
        worst = int(np.argmax(error))
        bound = HELD_OUT_SAFETY * max(float(error[worst]), fitted.error) if asked.budget is None else float(error[worst])
        if budget is None or asked.budget is None or bound <= asked.budget:
            break
        budget *= SHARPER * asked.budget / bound
    else:
        assert asked.budget is not None
        raise EpsilonNotReached(name, budget=asked.budget, reached=bound, width=fitted.width, remedy=REMEDY)
    where = tuple(map(float, fresh[worst]))
    return PieceNet(fitted.net, bound, Known.SAMPLED, "measured on points that it was not fitted to", "Lemma 3.1", MEASURED, where)
