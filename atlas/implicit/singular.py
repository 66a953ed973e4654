"""Zeros at which Dg has not full rank: there the zeros of g need be no manifold, and no tube can be proved."""

from __future__ import annotations

import numpy as np

from ...expressions.box import Array
from .cover import Zeros
from .zeros import ZeroSet

STARTS, STEPS = 48, 60
RANK = 1e-7
"""|λᵀDg| below this, and |g|, for a unit vector λ, both scaled by the size of Dg in the box, count as 0."""
NEAR = (1e-9, 1e-12)
"""In parts of the coordinates of a point, and of the least side of the box: how far from a point that is called a zero one has to be
possible, by intervals."""
TOUCHED = 1e-2
"""A region whose gradient is so small along M, in parts of all of it, touches M where it is 0 to such a part of the box."""


def singular_point(zeros: ZeroSet, points: Array, around: Array) -> Array | None:
    """A point x with g(x) = 0 and λᵀDg(x) = 0 for some |λ| = 1, in the box, found by Gauss and Newton from the flattest of zeros (n, k).

    `around`: points of the box by which sizes are measured. None: none was found, which proves nothing. Sizes say little where the box is
    far larger than M, so a point is none if intervals prove that no zero is near it.
    """
    scale = zeros.scales(around)
    with np.errstate(all="ignore"):
        jacobian = zeros.equations.jacobian_at(points) / scale[:, None]
        finite = np.isfinite(jacobian).all((1, 2))
        points, jacobian = points[finite], jacobian[finite]
        if not len(points):
            return None
        left, sizes, _ = np.linalg.svd(jacobian)
        start = np.argsort(sizes[:, -1], kind="stable")[:STARTS]
        x, weight = points[start].copy(), left[start, :, -1].copy()
        for _ in range(STEPS):
            value, matrix = _system(zeros, x, weight, scale)
            good = np.isfinite(value).all(1) & np.isfinite(matrix).all((1, 2))
            step = np.zeros((len(x), x.shape[1] + weight.shape[1]))
            if good.any():
                step[good] = (np.linalg.pinv(matrix[good]) @ value[good][..., None])[..., 0]
            longest = np.abs(step[:, : x.shape[1]]) / zeros.box.widths
            step /= np.maximum(1, 4 * longest.max(1, keepdims=True))
            x -= step[:, : x.shape[1]]
            weight -= step[:, x.shape[1] :]
            weight /= np.maximum(np.linalg.norm(weight, axis=1, keepdims=True), 1e-300)
        value, _ = _system(zeros, x, weight, scale)
        size = np.nan_to_num(np.abs(value).max(1), nan=np.inf)
    moved = np.where(np.isfinite(step), np.abs(step), 0.0)[:, : x.shape[1]]
    near = NEAR[0] * np.abs(x) + NEAR[1] * zeros.box.widths.min() + 8 * moved
    finite = np.isfinite(x).all(1)
    possible = np.zeros(len(x), bool)
    possible[finite] = ~Zeros(zeros).excluded((x - near)[finite], (x + near)[finite])
    size = np.where(zeros.holds(x) & possible, size, np.inf)
    best = int(size.argmin())
    return x[best] if size[best] <= RANK else None


def _system(zeros: ZeroSet, x: Array, weight: Array, scale: Array) -> tuple[Array, Array]:
    """(g, Dgᵀλ, (|λ|² − 1)/2), scaled, and its derivatives by (x, λ)."""
    (n, k), m = x.shape, len(scale)
    g = zeros.equations(x) / scale
    jacobian = zeros.equations.jacobian_at(x) / scale[:, None]
    hessian = zeros.equations.jacobian.jacobian_at(x).reshape(n, m, k, k) / scale[:, None, None]
    value = np.concatenate([g, np.einsum("nmk,nm->nk", jacobian, weight), ((weight**2).sum(1, keepdims=True) - 1) / 2], axis=1)
    top = np.concatenate([jacobian, np.zeros((n, m, m))], axis=2)
    middle = np.concatenate([np.einsum("nmij,nm->nij", hessian, weight), np.swapaxes(jacobian, 1, 2)], axis=2)
    last = np.concatenate([np.zeros((n, 1, k)), weight[:, None]], axis=2)
    return value, np.concatenate([top, middle, last], axis=1)


def touches(zeros: ZeroSet, cell: tuple[Array, Array]) -> bool:
    """Whether the region seems to end at M without crossing it, near the middle of a cell.

    A zero at which h = 0 is the largest value nearby is a point of M by itself, which no chart can hold and be proved to.
    """
    if zeros.within is None:
        return False
    near = zeros.projected((cell[0] + cell[1])[None] / 2)
    if not np.isfinite(near).all():
        return False
    normals, gradient = zeros.equations.jacobian_at(near)[0].T, zeros.within.jacobian_at(near)[0, 0]
    along = gradient - normals @ np.linalg.lstsq(normals, gradient, rcond=None)[0]
    steepest = TOUCHED * float(np.linalg.norm(gradient))
    return bool(np.linalg.norm(along) <= steepest and abs(zeros.within(near)[0, 0]) <= steepest * zeros.box.widths.min())
