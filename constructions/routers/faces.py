"""Faces of boxes as scores (B10): exact in floats, points on interfaces included.

For a piece that is the box ∏_k [a_k, b_k],

    s_i(z) = −Σ_k σ(a_k − z_k) + σ(z_k − b_k),    the faces on the outside of the whole domain left out:

s_i is 0 exactly on the closed piece and negative off it, by the distance to it (summed over the axes). At an interface several
scores are 0; the first expert wins, and experts stand in the tiling's order of precedence, so every interface point goes to the
piece that owns it. In floats too: fl(t − z) has the right sign. Where t is no number of the stored dtype, no z of that dtype lies
on the interface, and a face is stored as the nearest number on its own side: a_k rounded up, b_k down. For E intervals these are
2(E − 1) neurons, and the margin is the distance to the interface.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from ...atlas import Tiling
from ...moe.network import Affine, NeuronGroup, ReLUNet

ORIGIN = "distance beyond a face, Theorem 5.3 (R3, B10)"


def scores_net(tiling: Tiling, order: Sequence[int], exact: Sequence[bool], dtype: DTypeLike) -> ReLUNet:
    """z ↦ s(z) (k to E), the pieces in the given order: one neuron for every inner face, shared by the pieces that have it.

    `exact` says of every axis whether z_k arrives as a number of the `dtype`, so that its faces can be rounded to their own side.
    """
    faces: dict[tuple[int, float, int], list[int]] = {}
    for row, piece in enumerate(order):
        for axis in range(tiling.dimension):
            for side, ends in ((1, tiling.lower), (-1, tiling.upper)):
                t = float(ends[piece, axis])
                if t != (tiling.domain.lower if side > 0 else tiling.domain.upper)[axis]:
                    faces.setdefault((axis, t, side), []).append(row)
    weight, bias = np.zeros((len(faces), tiling.dimension)), np.zeros(len(faces))
    out = np.zeros((len(order), len(faces)))
    for j, ((axis, t, side), rows) in enumerate(faces.items()):
        weight[j, axis] = -side
        bias[j] = side * (directed(t, side, dtype) if exact[axis] else t)
        out[rows, j] = -1
    group = NeuronGroup("tau.face", len(faces), ORIGIN)
    return ReLUNet((Affine(weight, bias), Affine(out, np.zeros(len(order)))), ((group,),))


def directed(t: float, side: int, dtype: DTypeLike) -> float:
    """t, or where the dtype does not hold it the next number of it above (side > 0) or below."""
    nearest = np.asarray(t, dtype)[()]
    if (float(nearest) - t) * side < 0:
        nearest = np.nextafter(nearest, np.asarray(side * np.inf, dtype)[()])
    return float(nearest)
