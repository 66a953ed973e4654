"""Nets of one variable as piecewise quadratics with a bound by a formula, by the neurons that they are made of (N22, N23)."""

from __future__ import annotations

import numpy as np

from ...atlas import ExpressionMap
from ...errors import EpsilonNotReached
from ...moe.activations import RELU, RELU2
from ...moe.ledger import Known
from ..structure.exact import Exact
from ..structure.quadratics import quadratic_spline
from ..structure.smooth_splines import smooth_spline
from .ways import Way

SPLINES = {
    Way(RELU, gated=True): (quadratic_spline, "N22", "each a quadratic"),
    Way(RELU2): (smooth_spline, "N23", "each a quadratic, with a continuous slope"),
}


def quadratic(
    function: ExpressionMap,
    lower: float,
    upper: float,
    name: str,
    origin: str,
    *,
    way: Way,
    epsilon: float | None,
    width: int | None,
    limit: int,
) -> Exact | None:
    """The net of F : [lower, upper] → R^q with a bound of at most `epsilon`, or of at most `width` lanes or neurons: ReGLU lanes (N22), or
    of relu² neurons with a continuous slope (N23). None for other neurons, where F‴ has no enclosure and where `limit` does not suffice.
    """
    if way not in SPLINES:
        return None
    spline, source, kind = SPLINES[way]
    try:
        found = spline(function, lower, upper, width=width, epsilon=epsilon, limit=limit)
    except EpsilonNotReached:
        return None
    if found is None or not np.isfinite(found.bound) or (epsilon is not None and found.bound > epsilon):
        return None
    how = f"from enclosures of F‴ on {len(found.knots) - 1} pieces, {kind}"
    return Exact(found.ridge, found.ridge.to_net(name, origin), found.bound, Known.FORMULA, how, source)
