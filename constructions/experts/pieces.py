"""The two-layer net of one function on one box: a piece's expert, or the network of f_out.

Of ReLU neurons and one variable: a free-knot spline with an a-priori bound. Else a sum of ridge profiles or a quadratic with one, where the
function is that, or a fit whose error is measured on points that it was not fitted to, and climbed to from the worst of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...atlas import Array, Box, ExpressionMap
from ...errors import AtlasMoEError, EpsilonNotReached
from ...moe.ledger import Known
from ...moe.network import ReLUNet
from ...moe.ridge import Ridge
from ..asked import Asked
from ..relu import Fit, Target
from ..relu.spline.a_priori import a_priori_spline
from ..structure.exact import exact
from .charts import SUSPECT
from .quadratic import quadratic
from .tighten import tightened
from .ways import Way, ways
from .worst import STRETCH, missed, spread, worst_on_box

PROOF_ROOM = 4 / 3
"""What a bound by a formula leaves of its budget in three variables and more."""
MEASURED = 4096
"""Fresh points that a finished fit is measured on."""
FITTED_STRETCH = 1.1
"""As STRETCH, for points that are fitted to."""
SURELY = 1.15
"""What is claimed of a net whose width was given, over the largest error that was found."""
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
    """The net for F : R^k → R^q on the box [lower, upper]: of several ways the one that stores the least, or errs least at a given width.

    From the formula of F where that has structure, else a fit. Raises `EpsilonNotReached` naming it if the budget is out of reach.
    """
    best: PieceNet | None = None
    missed: EpsilonNotReached | None = None
    for way in ways(asked.activation, asked.gated):
        one = asked
        if best is not None and asked.budget is not None:
            room = way.room(best.net.parameters, function.inputs, function.outputs)
            if room < way.narrowest:
                continue
            one = replace(asked, limit=min(asked.limit, room))
        try:
            made = _piece_net(function, lower, upper, one, way, name, origin)
        except EpsilonNotReached as miss:
            missed = missed or miss
            continue
        if best is None or _cost(made, asked) < _cost(best, asked):
            best = made
    if best is None:
        assert missed is not None
        raise missed
    return best


def _cost(made: PieceNet, asked: Asked) -> float:
    return made.bound if asked.budget is None else made.net.parameters


def _piece_net(function: ExpressionMap, lower: Array, upper: Array, asked: Asked, way: Way, name: str, origin: str) -> PieceNet:
    if function.inputs == 1 and way.plain:
        found = _spline(function, float(lower[0]), float(upper[0]), asked, name, origin)
    else:
        spline = None
        if function.inputs == 1 and (way.gated or asked.width is None):
            spline = _quadratic(function, float(lower[0]), float(upper[0]), asked, way, name, origin)
        if spline is not None and not way.gated:
            asked = replace(asked, limit=min(asked.limit, spline.net.widths[0]))
        found = _smaller(_exact(function, lower, upper, asked, way, name, origin), spline, asked)
    return found or _fitted(function, Box(tuple(lower), tuple(upper)), asked, way, name, origin)


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


def _quadratic(function: ExpressionMap, lower: float, upper: float, asked: Asked, way: Way, name: str, origin: str) -> PieceNet | None:
    found = quadratic(function, lower, upper, name, origin, way=way, epsilon=asked.budget, width=asked.width, limit=asked.limit)
    return None if found is None else PieceNet(found.net, found.bound, found.known, found.how, found.source)


def _smaller(one: PieceNet | None, other: PieceNet | None, asked: Asked) -> PieceNet | None:
    """What stores fewer numbers, or errs less at a given width."""
    known = [made for made in (one, other) if made is not None]
    return min(known, key=lambda made: _cost(made, asked)) if known else None


def _exact(function: ExpressionMap, lower: Array, upper: Array, asked: Asked, way: Way, name: str, origin: str) -> PieceNet | None:
    # In three variables and more a proof that has to come near the bound itself would take millions of boxes.
    room = PROOF_ROOM if function.inputs > 2 else 1.0
    found = exact(
        function,
        lower,
        upper,
        name,
        origin,
        epsilon=None if asked.budget is None else asked.budget / room,
        width=asked.width,
        limit=asked.limit,
        activation=way.activation,
        gated=way.gated,
        dtype=asked.dtype,
        seed=asked.seed,
    )
    return None if found is None else PieceNet(found.net, found.bound, found.known, found.how, found.source)


def _fitted(function: ExpressionMap, box: Box, asked: Asked, way: Way, name: str, origin: str) -> PieceNet:
    """By fits to points of the box, its faces and corners among them; what is claimed has been climbed to from the worst of fresh ones."""

    def draw(count: int, seed: int, held_out: bool) -> tuple[Array, Array]:
        points = spread(box, count, seed, STRETCH if held_out else FITTED_STRETCH)
        values = function(points)
        if not np.isfinite(values).all():  # on a face, perhaps: the function is nowhere else without a value
            points = box.low_discrepancy(count, seed)
            values = function(points)
        return points, values

    target = Target(draw, name, origin, evaluate=None if way.plain else function)

    def measured(fitted: Fit, allowed: float) -> PieceNet:
        worst = worst_on_box(
            lambda u: missed(np.asarray(fitted.net(u), float), function(u)),
            box,
            MEASURED,
            2 * asked.seed + 104729,
            suspect=SUSPECT * allowed,
        )
        how = "measured on points that it was not fitted to, and climbed to from the worst of them"
        return PieceNet(fitted.net, max(worst.error, fitted.error), Known.SAMPLED, how, "Lemma 3.1", MEASURED, tuple(map(float, worst.at)))

    if asked.budget is None:
        found = measured(way.fit(target, asked.width or way.narrowest, seed=asked.seed, dtype=asked.dtype), 0.0)
        return replace(found, bound=SURELY * found.bound)
    allowed = asked.budget

    def build(budget: float) -> PieceNet:
        d, limit, seed, dtype = box.dimension, asked.limit, asked.seed, asked.dtype
        return measured(way.fit_to(target, budget, dimension=d, limit=limit, seed=seed, dtype=dtype, remedy=REMEDY), allowed)

    found = tightened(build, lambda made: made.bound, lambda made: made.net.parameters, allowed)
    if found.bound > allowed:
        raise EpsilonNotReached(name, budget=allowed, reached=found.bound, width=found.net.widths[0], remedy=REMEDY)
    return found
