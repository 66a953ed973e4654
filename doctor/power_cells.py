"""Which experts of an affine gate are chosen nowhere in a box: found by linear programming, proved by a certificate in whole numbers.

Lemma (Farkas). Let s_j(x) = w_j·x + b_j, and λ_j ≥ 0 with Σ λ_j = 1 over a set J of experts without i. For every x in the box ∏ [l_k, u_k]

    min_{j∈J} (s_i(x) − s_j(x)) ≤ Σ_j λ_j·(s_i(x) − s_j(x)) ≤ Σ_k max(v_k·l_k, v_k·u_k) + c,   v = Σ λ_j·(w_i − w_j), c = Σ λ_j·(b_i − b_j).

If the right side is −δ < 0, some j ∈ J beats i by at least δ at every x of the box: the power cell of i (N2) does not meet it.

Lemma (top K). If K disjoint sets J have such λ, then at every x of the box at least K experts beat i, and i is not among the K largest.

λ comes from the dual of a linear program in floats, and nothing is believed of it: it is rounded to fractions, and the right side is
computed in rational arithmetic from the weights as they are stored. So "proved" rests on no float. The least right side over all λ is the
largest lead of i over the box, so an empty cell is found up to the tolerance of the program; a cell that is met is never called empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ..atlas import Array

LARGEST = 1 << 22
"""Numbers in the program's matrix, experts × dimensions, up to which it is set up."""
FINEST = 1 << 40
"""Denominator to which λ is rounded."""


@dataclass(frozen=True, eq=False)
class EmptyCell:
    """A proof that expert i is nowhere chosen in a box."""

    expert: int
    rivals: tuple[tuple[int, ...], ...]
    """For each of the K sets, the experts of J with λ_j > 0."""
    factors: tuple[tuple[Fraction, ...], ...]
    """λ."""
    beaten_by: float
    """δ: at every x, in every set, some rival is better by at least so much; rounded down."""


def empty_cell(weight: Array, bias: Array, i: int, lower: Array, upper: Array, top_k: int = 1) -> EmptyCell | None:
    """A proof that expert i of (W, b) is not among the K best at any x in the box; None if there is none, or none is found."""
    left = [j for j in range(len(bias)) if j != i]
    sets, factors, least = [], [], np.inf
    for _ in range(top_k):
        found = _one(weight, bias, i, left, lower, upper)
        if found is None:
            return None
        rivals, lam, delta = found
        sets.append(rivals)
        factors.append(lam)
        least = min(least, delta)
        left = [j for j in left if j not in rivals]
    return EmptyCell(i, tuple(sets), tuple(factors), least)


def holds(proof: EmptyCell, weight: Array, bias: Array, lower: Array, upper: Array) -> bool:
    """Whether the proof is one: the lemma, in rational arithmetic, for the numbers as they are."""
    disjoint = len({j for rivals in proof.rivals for j in rivals}) == sum(map(len, proof.rivals))
    return (
        disjoint
        and proof.expert not in {j for rivals in proof.rivals for j in rivals}
        and all(
            min(lam) >= 0 and sum(lam) == 1 and lead(weight, bias, proof.expert, rivals, lam, lower, upper) < 0
            for rivals, lam in zip(proof.rivals, proof.factors, strict=True)
        )
    )


def lead(
    weight: Array, bias: Array, i: int, rivals: tuple[int, ...], factors: tuple[Fraction, ...], lower: Array, upper: Array
) -> Fraction:
    """The right side of the first lemma, exactly."""
    of = Fraction.from_float
    total = sum((lam * (of(float(bias[i])) - of(float(bias[j]))) for lam, j in zip(factors, rivals, strict=True)), Fraction(0))
    for k in range(weight.shape[1]):
        v = sum((lam * (of(float(weight[i, k])) - of(float(weight[j, k]))) for lam, j in zip(factors, rivals, strict=True)), Fraction(0))
        total += max(v * of(float(lower[k])), v * of(float(upper[k])))
    return total


def _one(
    weight: Array, bias: Array, i: int, left: list[int], lower: Array, upper: Array
) -> tuple[tuple[int, ...], tuple[Fraction, ...], float] | None:
    """One set J among those that are left, with its λ and δ."""
    from scipy.optimize import linprog

    D = weight.shape[1]
    if not left or len(left) * D > LARGEST:
        return None
    differences, offsets = weight[left] - weight[i], bias[i] - bias[left]
    size = max(float(np.abs(differences).max(initial=0)), float(np.abs(offsets).max(initial=0)), np.finfo(float).tiny)
    # max t such that (w_i − w_j)·x + b_i − b_j ≥ t for all j: the multipliers of these rows are λ.
    matrix = np.hstack([differences / size, np.ones((len(left), 1))])
    goal = np.zeros(D + 1)
    goal[-1] = -1
    bounds = [*zip(lower.tolist(), upper.tolist(), strict=True), (None, None)]
    done = linprog(goal, A_ub=matrix, b_ub=offsets / size, bounds=bounds, method="highs")
    if done.status != 0 or not -done.fun < 0:
        return None
    lam = np.clip(-done.ineqlin.marginals, 0, None)
    whole = np.rint(lam / max(lam.sum(), np.finfo(float).tiny) * FINEST).astype(np.int64)
    if whole.sum() <= 0:
        return None
    kept = np.flatnonzero(whole)
    rivals = tuple(left[k] for k in kept)
    factors = tuple(Fraction(int(whole[k]), int(whole.sum())) for k in kept)
    best = lead(weight, bias, i, rivals, factors, lower, upper)
    if best >= 0:
        return None
    delta = float(-best)
    return rivals, factors, delta if Fraction.from_float(delta) <= -best else float(np.nextafter(delta, 0))
