"""How steep a two-layer net is where it is used: what errors of the chart map count (R5, B15)."""

from __future__ import annotations

import numpy as np

from ...atlas import Array
from ...moe.activations import RELU, RELU2, Activation
from ...moe.nets import Net


def lipschitz(g: Net, coordinates: Array) -> float:
    """max over components and the points u [N, d] of ‖∇g(u)‖₁, g two-layer: the dual norm for errors of φ in ‖·‖∞ (R5, B15).

    The gradient at each point, exactly but for rounding, of a kinked net that of the piece which holds it; the largest seen, not a bound.
    """
    hidden, output = g.affines
    z: Array = np.asarray(hidden(coordinates), float)
    slopes, values = np.empty_like(z), np.empty_like(z)
    for part, activation in g.activations[0]:
        slopes[:, part], values[:, part] = _slope(activation, z[:, part]), activation(z[:, part])
    up = g.ups[0]
    open_ = None if up is None else up(coordinates)
    total = np.zeros((len(z), g.outputs))
    for k in range(coordinates.shape[1]):
        through = slopes * hidden.weight[:, k]
        if up is not None and open_ is not None:
            # (act(z)·(U·u + c))′ = act′(z)·z′·(U·u + c) + act(z)·U.
            through = through * open_ + values * up.weight[:, k]
        total += np.abs(through @ output.weight.T)
    return float(total.max())


def _slope(activation: Activation, z: Array) -> Array:
    if activation is RELU:
        return (z > 0).astype(float)
    if activation is RELU2:
        return 2 * np.maximum(z, 0)
    return np.asarray(activation.derivatives(z, 1)[0][1])
