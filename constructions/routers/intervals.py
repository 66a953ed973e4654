"""Affine scores of a grid of boxes (B2): no layer of scores, exact signs for up to three intervals, else exact up to a narrow band.

Along each axis, of the functions z ↦ j·z − (t_1 + … + t_j) the largest is that of the interval that holds z. Slopes −1, 0, 1 and
fewer are exact in floats; more are off by rounding within a narrow band around an interface.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from ...atlas import Tiling
from ...errors import InvalidArgument
from ...moe.network import Affine
from .faces import directed


def is_grid(tiling: Tiling) -> bool:
    """Whether the pieces are all the boxes between the knots of the axes."""
    if len(tiling) != np.prod([len(knots) - 1 for knots in tiling.knots]):
        return False
    return all(
        np.array_equal(np.searchsorted(k, tiling.lower[:, a]) + 1, np.searchsorted(k, tiling.upper[:, a]))
        for a, k in enumerate(tiling.knots)
    )


def gate(tiling: Tiling, label: str, order: Sequence[int], exact: bool, dtype: DTypeLike) -> tuple[Affine, float]:
    """The affine gate of a block, and how close to an interface it may confuse the pieces that meet there."""
    try:
        found, rounding = affine_scores(tiling, order, exact, dtype)
    except InvalidArgument as error:
        raise InvalidArgument(f'{label}: {error}; use depth "L+1"') from error
    # Two scores that differ by |z − t| are compared, each off by this.
    return found, 2 * rounding * float(np.finfo(dtype).eps)


def affine_scores(tiling: Tiling, order: Sequence[int], exact: bool, dtype: DTypeLike) -> tuple[Affine, float]:
    """The gate z ↦ Σ_k (j_k·z_k − c_{k,j}), j_k the place of a piece along axis k; and by how many units of rounding it may be off.

    Up to three intervals have the scores t_1 − z, 0 and z − t_2, whose signs are exact if z arrives `exact`ly; a t that is no number of
    the dtype is rounded towards the piece that loses the tie. Raises `InvalidArgument` for pieces that are no grid.
    """
    if not is_grid(tiling):
        raise InvalidArgument("the pieces are no grid, so no affine scores tell them apart")
    weight, bias = np.zeros((len(tiling), tiling.dimension)), np.zeros(len(tiling))
    error = 0.0
    for axis, knots in enumerate(tiling.knots):
        inner = knots[1:-1]
        signs = tiling.dimension == 1 and len(inner) <= 2 and exact
        if signs:
            rank = _ranks(tiling, order)
            # The winner of a tie gets the stored number itself, so that must lie on its side of t, or be t.
            sides = [-1 if rank[k] < rank[k + 1] else 1 for k in range(len(inner))]
            inner = np.array([directed(float(t), side, dtype) for t, side in zip(inner, sides, strict=True)])
        middle = len(inner) // 2
        sums = np.concatenate([[0.0], np.cumsum(inner)])
        slopes = np.arange(len(inner) + 1) - middle
        offsets = -(sums - sums[middle])
        if signs and len(inner) == 2:
            offsets = np.array([inner[0], 0.0, -inner[1]])
        place = np.searchsorted(knots, tiling.lower[:, axis])
        weight[:, axis] = slopes[place]
        bias += offsets[place]
        if not signs:
            size = float(np.abs(knots[[0, -1]]).max())
            # What is read, products, their sum over the axes, the bias and the sums of knots, each rounded.
            error += (4 + tiling.dimension + len(inner)) * (float(np.abs(slopes).max()) * size + float(np.abs(sums).max()))
    rows = list(order)
    return Affine(weight[rows], bias[rows]), error


def _ranks(tiling: Tiling, order: Sequence[int]) -> list[int]:
    """For intervals from left to right, their places among the gate outputs."""
    return [order.index(piece) for piece in np.argsort(tiling.lower[:, 0]).tolist()]
