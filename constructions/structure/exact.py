"""`exact`: the network of a function on a box from its formula alone, where that has structure; with a bound, before anything is sampled.

The function is taken apart into ridge profiles (`profiles`); how these become neurons is one way a file: splines of ReLUs (`splines`),
squares of relu² neurons (`squares`), product lanes (`lanes`), fits whose error is bounded afterwards (`smooth`). None where there is no
structure that is known here; a fit is then the way.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy

from ...atlas import Array, ExpressionMap
from ...errors import AtlasMoEError, EpsilonNotReached
from ...moe.activations import RELU, RELU2, Activation
from ...moe.ledger import Known
from ...moe.nets import Net
from ...moe.ridge import Ridge
from .lanes import lanes
from .profiles import Profiles, profiles
from .smooth import smooth_sum
from .splines import spline_sum
from .squares import squares


@dataclass(frozen=True, eq=False)
class Exact:
    """A two-layer net with |F − net| ≤ bound on the whole box, and how that is known."""

    ridge: Ridge
    net: Net
    bound: float
    known: Known
    how: str
    source: str


def exact(
    function: ExpressionMap,
    lower: Array,
    upper: Array,
    name: str,
    origin: str,
    *,
    epsilon: float | None = None,
    width: int | None = None,
    limit: int,
    activation: Activation = RELU,
    gated: bool = False,
    dtype: str = "float64",
    seed: int = 0,
) -> Exact | None:
    """The net for F : R^n → R^q on [lower, upper] with a bound of at most `epsilon`, or of at most `width` neurons.

    Of the `activation`, with product lanes if `gated`; of smooth and relu² neurons, nets that are not exact are made for an epsilon
    only. `dtype`: of the weights that will be stored. None where F has no structure that is known here, or takes more than `limit` neurons.
    """
    if (epsilon is None) == (width is None):
        return None
    try:
        parts = profiles(function, lower, upper)
    except (sympy.PolynomialError, AtlasMoEError):
        return None
    found = None if parts is None else _net(parts, epsilon, width, limit, activation, gated, dtype, seed)
    if found is None:
        return None
    ridge, bound, how, source = found
    taken = ridge.dictionary.width
    if taken > (limit if width is None else width) or (epsilon is not None and bound > epsilon):
        return None
    return Exact(ridge, ridge.to_net(name, origin), bound, Known.FORMULA, how, source)


def exactly(
    function: ExpressionMap, lower: Array, upper: Array, name: str, origin: str, *, limit: int, activation: Activation, gated: bool
) -> Exact | None:
    """The net that is F up to rounding, where there is one (N22, N23): of quadratic functions, in lanes or relu² neurons."""
    try:
        parts = profiles(function, lower, upper)
    except (sympy.PolynomialError, AtlasMoEError):
        return None
    found = None if parts is None else _exactly(parts, activation, gated)
    if found is None or found[0].dictionary.width > limit:
        return None
    ridge, bound, how, source = found
    return Exact(ridge, ridge.to_net(name, origin), bound, Known.FORMULA, how, source)


def _exactly(parts: Profiles, activation: Activation, gated: bool) -> tuple[Ridge, float, str, str] | None:
    made = lanes(parts, activation) if gated else squares(parts) if activation is RELU2 else None
    if made is None:
        return None
    return *made, "as a quadratic function in product lanes" if gated else "as a quadratic function", "N22" if gated else "N23"


def _net(
    parts: Profiles, epsilon: float | None, width: int | None, limit: int, activation: Activation, gated: bool, dtype: str, seed: int
) -> tuple[Ridge, float, str, str] | None:
    """The net, its bound, how it is known and from what."""
    if (made := _exactly(parts, activation, gated)) is not None:
        return made
    count = len(parts.directions)
    how = (
        f"as a sum of {count} profile{'s'[: count != 1]}, from enclosures of their second derivatives" if count else "as an affine function"
    )
    if activation is not RELU:
        fitted = None
        if epsilon is not None:
            fitted = smooth_sum(parts, activation, epsilon=epsilon, limit=limit, seed=seed, dtype=dtype)
        return None if fitted is None else (*fitted, how, "B4")
    try:
        found = spline_sum(parts, epsilon=epsilon, width=width, limit=limit)
    except EpsilonNotReached:
        return None  # a fit may need fewer neurons
    return None if found is None else (found.ridge, found.bound, how, "B4")
