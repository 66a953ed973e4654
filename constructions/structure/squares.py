"""Quadratic functions in relu² neurons, exactly (N23).

Lemma. Let r(z) = max(z, 0)². z² = r(z) + r(−z); and r(s + z), r(s − z) with s ≥ max |z| on a box span z² + s² and 4s·z there. So
Σ_k c_k·(a_k·v)² + L·v + b takes two neurons a form, and two more for each dimension of L off the span of the a_k. One output
F = vᵀHv + l·v + b with l in the range of H takes rank(H) + 1: there are forms a_k, signs w_k and shifts s_k ≥ max |a_k·v| with
Σ w_k·(a_k·v + s_k)² = F + constant, see `least`.
"""

from __future__ import annotations

import numpy as np

from ...atlas import Array
from ...moe.activations import RELU2
from ...moe.ridge import Dictionary, Ridge
from .affine import ACTIVE, carried
from .profiles import Profiles

EPS = float(np.finfo(float).eps)


def squares(parts: Profiles) -> tuple[Ridge, float] | None:
    """The net of a sum of squares of forms and an affine function, with a bound of what rounding makes of it; None for other sums."""
    weights = parts.squares
    if weights is None:
        return None
    rows, half = parts.rows, parts.half
    hidden = _one(parts, weights) if len(parts.constant) == 1 else None
    neurons, shares, shifts = hidden if hidden is not None else _pairs(rows, weights, parts.linear, half)
    # Σ shares·(g·v + s)² has the constants Σ shares·s² of neurons that are active all over the box; the others have s = 0.
    constant = parts.constant - shares @ shifts**2
    directions = neurons / parts.scale
    at = directions @ parts.center
    dictionary = Dictionary(directions, (1,) * len(neurons), at - shifts, np.ones(len(neurons)), RELU2)
    ridge = Ridge(dictionary, shares, constant)
    reach = np.abs(neurons) @ half + np.abs(shifts) + np.abs(at)
    rounded = 32 * EPS * float((np.abs(shares) @ reach**2 + np.abs(parts.constant) + np.abs(parts.linear) @ half).max())
    return ridge, parts.residual + rounded


def _pairs(rows: Array, weights: Array, linear: Array, half: Array) -> tuple[Array, Array, Array]:
    """Two neurons a form, (m, n), their shares (outputs, m) and shifts (m,): active all over the box where they carry a linear part."""
    neurons, shares, shifts = [], [], []
    left = linear
    slopes: Array = np.zeros((len(linear), len(rows)))
    if len(rows):
        slopes = np.asarray(np.linalg.lstsq((rows * half).T, (linear * half).T, rcond=1e-10)[0].T, np.float64)
        slopes[np.abs(slopes) <= 1e-12 * np.abs(linear).max(initial=0.0)] = 0.0
        left = linear - slopes @ rows
    for a, c, slope in zip(rows, weights.T, slopes.T, strict=True):
        s = ACTIVE * float(np.abs(a) @ half) if slope.any() else 0.0
        neurons += [a, -a]
        shifts += [s, s]
        shares += [c / 2 + slope / (4 * s), c / 2 - slope / (4 * s)] if s else [c, c]
    forms, parts, _ = carried(left, half, 1e3 * np.abs(linear) @ half)
    for a, share in zip(forms, parts.T, strict=True):
        s = ACTIVE * float(np.abs(a) @ half)
        neurons += [a, -a]
        shifts += [s, s]
        shares += [share / (4 * s), -share / (4 * s)]
    if not neurons:
        return np.eye(1, len(half)), np.zeros((len(linear), 1)), np.zeros(1)
    return np.array(neurons), np.array(shares).T, np.array(shifts)


def _one(parts: Profiles, weights: Array) -> tuple[Array, Array, Array] | None:
    """`least` for the one output, in the variables of the box scaled to a cube; None if its linear part is off the range of H."""
    rows = parts.rows * parts.half
    used = weights[0] != 0
    found = least(rows[used].T @ (weights[0][used, None] * rows[used]), parts.linear[0] * parts.half)
    if found is None:
        return None
    forms, signs, shifts = found
    return forms / parts.half, signs[None], shifts


def least(matrix: Array, linear: Array) -> tuple[Array, Array, Array] | None:
    """a (r + 1, n), w (r + 1,) of ±1 and s with Σ w_k·(a_k·x + s_k)² = xᵀHx + l·x + constant, s_k ≥ max |a_k·x| on [−1, 1]^n, r = rank(H).

    With H = BᵀDB, D = diag(±1) of p and m signs, let W = diag(D, e), e = 1 if p ≥ m, else −1, and b = (1, …, 1)/√|p − m + e|, so that
    bᵀWb = e. Some O with OWOᵀ = W has ±b as its last row. Its other rows A have A·W·Aᵀ = D and A·W·b = 0, so the columns of BᵀA are forms
    that give H, and s = λ·b changes nothing but the constant, however large λ is; a particular s with 2·BᵀAW·s = l comes on top.
    None for r = 0, or where l is off the range of H.
    """
    values, vectors = np.linalg.eigh(matrix)
    used = np.abs(values) > 1e-12 * np.abs(values).max(initial=0.0)
    if not used.any():
        return None
    values, vectors = values[used], vectors[:, used]
    within = vectors @ (vectors.T @ linear)
    if np.abs(linear - within).max(initial=0.0) > 1e-12 * max(np.abs(linear).max(), np.abs(matrix).max()):
        return None
    basis = vectors * np.sqrt(np.abs(values))  # Bᵀ
    p, m = int((values > 0).sum()), int((values < 0).sum())
    extra = 1.0 if p >= m else -1.0
    w = np.append(np.sign(values), extra)
    b = np.ones(len(w)) / np.sqrt(abs(p - m + extra))
    # a reflection M with MᵀWM = W takes e_last to −b, and O = Mᵀ.
    u = b.copy()
    u[-1] += 1
    reflection = np.eye(len(w)) - 2 * np.outer(u, u * w) / float(u * w @ u)
    a = basis @ reflection.T[:-1]
    particular = np.linalg.lstsq(2 * a * w, linear, rcond=None)[0]
    reach = np.abs(a).sum(0)
    far = float(((ACTIVE * reach - particular) / b).max())
    return a.T, w, particular + max(far, 0.0) * b
