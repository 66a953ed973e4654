"""`exact`: the network of a function on a box from its formula alone, where that has structure; with a bound, before anything is sampled.

One way a file: sums of ridge profiles by splines (`splines`). None where there is no such structure; a fit is then the way.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...atlas import Array, ExpressionMap
from ...errors import EpsilonNotReached
from ...moe.ledger import Known
from ...moe.network import ReLUNet
from ...moe.ridge import Ridge
from .splines import a_priori_sum


@dataclass(frozen=True, eq=False)
class Exact:
    """A two-layer net with |F − net| ≤ bound on the whole box, and how that is known."""

    ridge: Ridge
    net: ReLUNet
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
) -> Exact | None:
    """The net for F : R^n → R^q on [lower, upper] with a bound of at most `epsilon`, or of at most `width` neurons.

    None where F has no structure that is known here, or it takes more than `limit` neurons.
    """
    if (epsilon is None) == (width is None):
        return None
    try:
        found = a_priori_sum(function, lower, upper, epsilon=epsilon, width=width, limit=limit)
    except EpsilonNotReached:
        return None  # a fit may need fewer neurons
    if found is None:
        return None
    count = found.profiles
    how = (
        f"as a sum of {count} profile{'s'[: count != 1]}, from enclosures of their second derivatives" if count else "as an affine function"
    )
    return Exact(found.ridge, found.ridge.to_relu(name, origin), found.bound, Known.FORMULA, how, "B4")
