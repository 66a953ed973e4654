"""The logits of one group in a layer that many groups share (N15): exactly one of them is 0, all others are negative.

Lemma. Let the pieces i of a tiling own what `Tiling.contains` says, and let F be a floating-point type with gradual underflow. For a lower
face at a let ã be the least number of F that is ≥ a if the face is the piece's own, else > a; for an upper face at b let b̃ be the
greatest that is ≤ b, or < b. Then for x ∈ F^k

    z_i(x) = −Σ_lower σ(s·ã − s·x_k) − Σ_upper σ(s·x_k − s·b̃),    s a power of two for each face, faces on the outside left out,

is 0 in floats if piece i owns x, and negative if not, in any order of summation and under fused multiplication.

Proof. x_k ≥ a (or > a) ⇔ x_k ≥ ã for x_k ∈ F. s·x_k and s·ã are exact, so fl(s·ã − s·x_k) is one rounding of the exact difference, which
keeps its sign, and is 0 only if the difference is. All other products of the row are 0. A sum of numbers ≥ 0 is 0 only if all of
them are. Exactly one piece owns x, or x clipped to the domain, whose inner faces compare with it alike. ∎

So of L groups the L largest logits are the L zeros, one in each, however ties are broken, and softmax makes all weights 1/L. With
s = 2^p/2^⌊log₂|t|⌋ a face at t is crossed by at least 2^p·u, u the unit roundoff: where |t| ≥ u no logit lies in (−2^p·u, 0). For p ≥ 8 a
router that selects on softmax probabilities or sigmoids of the logits, as many do, still tells 0 from the next one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from ...atlas import Tiling
from ...errors import InvalidArgument
from ...moe.network import Affine, Net, NeuronGroup

POWER = 8
"""p: the slopes of faces are 2^p in units of the faces' own size."""
ORIGIN = "distance beyond a face that is its piece's own, or nearly (N15)"
Face = tuple[int, float, int]
"""Axis, threshold t̃, side: 1 for a lower face, crossed where x < t̃, −1 for an upper one, crossed where x > t̃."""


def owned(t: float, side: int, own: bool, dtype: DTypeLike) -> float:
    """The last number of the dtype on the inner side of a face at t: the least ≥ t (side 1) or the greatest ≤ t; not t unless own."""
    found = np.asarray(t, dtype)[()]
    beyond = (float(found) - t) * side
    if beyond < 0 or (beyond == 0 and not own):
        found = np.nextafter(found, np.asarray(side * np.inf, dtype)[()])
    return float(found)


def slope(t: float, dtype: DTypeLike, power: int = POWER) -> float:
    """s for a face at t: 2^power/2^⌊log₂|t|⌋, of |t| < u as of u."""
    exponent = max(int(np.frexp(abs(t))[1]) - 1, -int(np.finfo(dtype).nmant)) if t else -int(np.finfo(dtype).nmant)
    return float(np.ldexp(1.0, power - exponent))


def group(tiling: Tiling, order: Sequence[int], dtype: DTypeLike, power: int = POWER) -> Net:
    """z ↦ (z_i), R^k to R^E, the pieces in the given order: one neuron for every face, shared by the pieces that have it.

    Weights are float64, and the same numbers in `dtype`. Raises `InvalidArgument` where they would overflow in it.
    """
    low, high = tiling.owned
    faces: dict[Face, list[int]] = {}
    for row, piece in enumerate(order):
        for axis in range(tiling.dimension):
            for side, ends, own in ((1, tiling.lower, low), (-1, tiling.upper, high)):
                t = float(ends[piece, axis])
                if t != (tiling.domain.lower if side > 0 else tiling.domain.upper)[axis]:
                    faces.setdefault((axis, owned(t, side, bool(own[piece, axis]), dtype), side), []).append(row)
    weight, bias = np.zeros((len(faces), tiling.dimension)), np.zeros(len(faces))
    out = np.zeros((len(order), len(faces)))
    for j, ((axis, t, side), rows) in enumerate(faces.items()):
        s = slope(t, dtype, power)
        reach = max(abs(tiling.domain.lower[axis]), abs(tiling.domain.upper[axis]))
        if not s * reach * len(faces) < float(np.finfo(dtype).max) / 4:
            raise InvalidArgument(f"an interface at {t:g} in a domain that reaches to {reach:g} overflows {np.dtype(dtype)}")
        weight[j, axis], bias[j] = -side * s, side * s * t
        out[rows, j] = -1
    hidden = NeuronGroup("gate.face", len(faces), ORIGIN)
    if not faces:
        return constant(tiling)
    return Net((Affine(weight, bias), Affine(out, np.zeros(len(order)))), ((hidden,),))


def constant(tiling: Tiling) -> Net:
    """Logits that are all 0: of a tiling of one piece."""
    return Affine(np.zeros((len(tiling), tiling.dimension)), np.zeros(len(tiling))).net


def margin(gate: Net, dtype: DTypeLike) -> float:
    """The least of −z over all z < 0 at numbers of the dtype: what one step of the dtype across a face makes of it."""
    least = np.inf
    for row, bias in zip(gate.affines[0].weight, gate.affines[0].bias, strict=True) if gate.widths else ():
        (s,) = np.abs(row[row != 0])
        side = -np.sign(row.sum())
        t = np.asarray(side * bias / s, dtype)[()]
        step = float(np.nextafter(t, np.asarray(-side * np.inf, dtype)[()])) - float(t)
        least = min(least, float(s * abs(step)))
    return least


def half_lines(tiling: Tiling, order: Sequence[int], dtype: DTypeLike, power: int = POWER) -> Net | None:
    """The logits without a hidden layer, where every piece has one inner face at most (N19); None where some has more.

    z_i(x) = ±s·(x_k − t̃) ≥ 0 just for the piece that owns x, and < 0 for the other: of L groups the L largest logits are again one of
    each, 2^L pieces from 2L experts with a linear gate. They are no zeros, so weights have to be uniform.
    """
    faces = group(tiling, order, dtype, power)
    if not faces.widths:
        return faces
    inner, outer = faces.affines
    if ((outer.weight != 0).sum(1) > 1).any():
        return None
    return Affine(outer.weight @ inner.weight, outer.weight @ inner.bias).net
