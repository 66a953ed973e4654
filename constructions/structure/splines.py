"""A sum of profiles as a two-layer ReLU net with an a-priori bound: a free-knot spline for every profile, the affine parts for nothing.

Lemma. Let F = Σ_k q_k(a_k·v) + L·v + c to within ρ on a box, and s_k continuous and piecewise linear with n_k pieces and |q_k − s_k| ≤ b_k
on |t| ≤ reach_k. Then some two-layer ReLU net of Σ_k (n_k − 1) + rank(L′) neurons errs by at most Σ_k b_k + ρ, where L′ = L + Σ_k (slope
of the middle piece of s_k)·a_k. Proof: s_k less its middle piece, continued, bends at n_k − 1 knots, one neuron each, facing outward; all
middle pieces together are affine, and any affine function of rank r is r neurons σ(g·v + c), c ≥ max |g·v|, active on the whole box.

For q_k = c·t² uniform knots are best, b_k = |c|·(2·reach_k/n_k)²/8 (B19), and for odd n_k the middle piece has slope 0. The fewest pieces
in all have b_k ∝ c_k^{1/3}, c_k = (∫√|q_k″|)², about (Σ c_k^{1/3})^{3/2}/(4√ε) of them: x·y on [−1, 1]² takes 2/√ε neurons.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sympy

from ...atlas import Array
from ...errors import AtlasMoEError, EpsilonNotReached
from ...moe.ridge import Dictionary, Ridge
from ..relu.spline.a_priori import a_priori_spline
from ..relu.spline.spline import Spline
from .affine import ACTIVE, carried
from .profiles import Profiles, T, pieces

EPS = float(np.finfo(float).eps)
COMBINATIONS = 1 << 10
"""Numbers of pieces that are compared at most, all at once; beyond, one profile after the other."""


@dataclass(frozen=True, eq=False)
class RidgeSum:
    """A two-layer net for a sum of profiles with |F − net| ≤ bound on the box, in real arithmetic."""

    ridge: Ridge
    bound: float
    profiles: int


def spline_sum(parts: Profiles, *, epsilon: float | None = None, width: int | None = None, limit: int) -> RidgeSum | None:
    """The net with bound at most `epsilon` or at most `width` neurons; None where a profile has no bound.

    Raises `EpsilonNotReached` if that takes more than `limit` neurons.
    """
    try:
        return _to_epsilon(parts, epsilon, limit) if epsilon is not None else _to_width(parts, width or 0)
    except EpsilonNotReached:
        raise
    except AtlasMoEError:
        return None


def _to_epsilon(parts: Profiles, epsilon: float, limit: int) -> RidgeSum:
    """The fewest pieces found; Σ b_k ≤ ε with a part of 10⁻⁶ for rounding."""
    room = epsilon * (1 - 1e-6) - parts.residual
    bends = parts.bends
    makers = _makers(parts)
    try:
        wanted = pieces(bends, room)
        if not wanted.sum() <= len(wanted) + limit:
            raise EpsilonNotReached("profiles", budget=epsilon, reached=epsilon * (wanted.sum() / limit) ** 2, width=limit, remedy="")
        first = [maker.to(float(bend.max()) / n**2, limit) if n else maker(1) for maker, n, bend in zip(makers, wanted, bends, strict=True)]
        best = _joined(parts, _fewer(parts, makers, first, room))
    except EpsilonNotReached as miss:
        raise EpsilonNotReached("sum of profiles", budget=epsilon, reached=miss.reached, width=limit, remedy="raise max_width") from miss
    taken = best.ridge.dictionary.width
    if taken > limit or best.bound > epsilon:
        raise EpsilonNotReached("sum of profiles", budget=epsilon, reached=best.bound, width=taken, remedy="raise max_width")
    return best


def _to_width(parts: Profiles, width: int) -> RidgeSum | None:
    """Pieces in proportion to the best shares, as many as there is room for beside the affine part."""
    wanted = pieces(parts.bends, 1.0)
    shares = wanted / max(float(wanted.sum()), np.finfo(float).tiny)
    makers = _makers(parts)
    for reserved in range(min(parts.linear.shape) + 1):
        if reserved <= width:
            made = _joined(parts, [maker(int(share * (width - reserved)) + 1) for maker, share in zip(makers, shares, strict=True)])
            if made.ridge.dictionary.width <= width:
                return made
    return None


def _makers(parts: Profiles) -> list[_Maker]:
    return [_Maker(q, float(r)) for q, r in zip(parts.functions, parts.reach, strict=True)]


@dataclass(frozen=True, eq=False)
class _Profile:
    """A spline of one profile, with what each output errs by at most."""

    spline: Spline
    bounds: Array
    """(outputs,)."""


def _total(found: Sequence[_Profile], outputs: int) -> Array:
    """Σ_k b_k of every output."""
    return np.sum([np.zeros(outputs), *(one.bounds for one in found)], axis=0)


class _Maker:
    """The splines of one profile."""

    def __init__(self, q: tuple[sympy.Expr, ...], reach: float) -> None:
        self.q, self.reach = q, reach
        self.made: dict[int, _Profile] = {}
        self.square: Array | None = None
        """c (outputs,), if the profile is c·t²."""
        if all(e.is_polynomial(T) and (e - e.coeff(T, 2) * T**2) == 0 and e.coeff(T, 2).is_Rational for e in map(sympy.expand, q)):
            self.square = np.array([float(sympy.expand(e).coeff(T, 2)) for e in q])
        self.bent = np.array([sympy.diff(e, T, 2) != 0 for e in q])

    def __call__(self, count: int) -> _Profile:
        if count not in self.made:
            self.made[count] = self._squared(count) if self.square is not None else self._known(self._spline(width=count))
        return self.made[count]

    def to(self, epsilon: float, limit: int) -> _Profile:
        """With at most this bound; raises `EpsilonNotReached` if that takes more than `limit` pieces."""
        if self.square is None:
            found = self._known(self._spline(epsilon=epsilon, limit=limit))
            self.made[found.spline.pieces] = found
            return found
        count = max(1, math.ceil(2 * self.reach * math.sqrt(float(np.abs(self.square).max()) / (8 * max(epsilon, 1e-300)))))
        if count > limit:
            raise EpsilonNotReached(
                "profile", budget=epsilon, reached=float(self(limit).bounds.max()), width=limit, remedy="raise max_width"
            )
        return self(count)

    def _spline(self, **how: float | int) -> Spline:
        return a_priori_spline(self.q, T, -self.reach, self.reach, **how)  # type: ignore[arg-type]

    def _known(self, spline: Spline) -> _Profile:
        """An output that is affine is so in the spline: its levels are interpolated."""
        bound = math.inf if spline.bound is None else spline.bound
        return _Profile(spline, np.where(self.bent, bound, min(bound, 64 * EPS * float(np.abs(spline.levels).max()))))

    def _squared(self, count: int) -> _Profile:
        """Uniform knots, symmetric bit for bit. A chord of c·t² exceeds it by at most c·h²/4; half of that is taken off everywhere."""
        assert self.square is not None
        knots = np.arange(-count, count + 1, 2) * np.float64(self.reach / count)
        knots[0], knots[-1] = -self.reach, self.reach
        longest = float(np.diff(knots).max()) * (1 + 2 * EPS)
        levels: Array = self.square * (knots[:, None] ** 2 - longest**2 / 8)
        # The last summand is the rounding of levels and of c.
        bounds = np.abs(self.square) * (longest**2 / 8 + 8 * EPS * self.reach**2) * (1 + 8 * EPS)
        return _Profile(Spline(knots, levels, float(bounds.max())), bounds)


def _fewer(parts: Profiles, makers: Sequence[_Maker], first: Sequence[_Profile], room: float) -> list[_Profile]:
    """Numbers of pieces near the first ones with fewer neurons in all, and for every output Σ bounds ≤ room.

    Few profiles: all numbers within 3 of the first are compared, predicted by b·(n/m)² and then built; many: one at a time. An even number
    of pieces of a square costs as much as the next odd one, unless the affine part needs its neuron anyway.
    """

    def neurons(found: Sequence[_Profile]) -> int:
        return _joined(parts, found).ridge.dictionary.width

    def within(found: Sequence[_Profile]) -> bool:
        return bool(_total(found, len(parts.constant)).max(initial=0.0) <= room)

    best, least = list(first), neurons(first)
    if not makers:
        return best
    if not within(best):
        least += len(parts.constant) * len(makers) + least
    around = [[n for n in range(one.spline.pieces - 2, one.spline.pieces + 3) if n > 0] for one in first]
    if math.prod(map(len, around)) <= COMBINATIONS:
        grid = np.array(list(itertools.product(*around)))
        sizes = np.array([one.spline.pieces for one in first])
        predicted = np.einsum("tk,kj->tj", (sizes / grid) ** 2, np.array([one.bounds for one in first]).reshape(len(first), -1)).max(1)
        promising = predicted <= room * (1 + 1e-3)
        order = np.lexsort((predicted[promising], grid[promising].sum(1)))
        for tried in grid[promising][order].tolist():
            if sum(tried) - len(tried) >= least:
                break
            found = [maker(n) for maker, n in zip(makers, tried, strict=True)]
            if within(found) and (taken := neurons(found)) < least:
                best, least = found, taken
        return best
    for k in range(len(makers)):
        while best[k].spline.pieces > 1:
            found = [*best[:k], makers[k](best[k].spline.pieces - 1), *best[k + 1 :]]
            if not within(found) or neurons(found) > least:
                break
            best, least = found, neurons(found)
    return best


def _joined(parts: Profiles, found: Sequence[_Profile]) -> RidgeSum:
    """All splines and the affine part as neurons of y."""
    linear, constant = parts.linear.copy(), parts.constant.copy()
    rows, knots, facing, weights = [], [], [], []
    for direction, spline in zip(parts.rows, (one.spline for one in found), strict=True):
        slopes = np.diff(spline.levels, axis=0) / np.diff(spline.knots)[:, None]
        middle = (spline.pieces - 1) // 2
        linear += slopes[middle][:, None] * direction
        constant += spline.levels[middle] - slopes[middle] * spline.knots[middle]
        if spline.pieces > 1:
            inside = np.arange(1, spline.pieces)
            rows.append(direction)
            knots.append(spline.knots[1:-1])
            facing.append(np.where(inside > middle, 1.0, -1.0))
            weights.append(np.diff(slopes, axis=0).T)
    bends = [np.abs(w).sum(1) * float(np.abs(a) @ parts.half) for w, a in zip(weights, rows, strict=True)]
    forms, shares, dropped = carried(linear, parts.half, sum(bends, np.zeros(len(constant))), rows)
    for row, share in zip(forms, shares.T, strict=True):
        shift = ACTIVE * float(np.abs(row) @ parts.half)
        rows.append(row)
        knots.append(np.array([-shift]))
        facing.append(np.ones(1))
        weights.append(share[:, None])
        constant -= share * shift
    if not rows:
        rows, knots, facing, weights = [np.eye(len(parts.half))[0]], [np.zeros(1)], [np.ones(1)], [np.zeros((len(constant), 1))]
    counts = tuple(map(len, knots))
    directions = np.array(rows) / parts.scale
    # a·(y − center)/scale − t = row·y − (t + row·center).
    shifts = np.repeat(directions @ parts.center, counts)
    places = np.concatenate(knots) + shifts
    dictionary = Dictionary(directions, counts, places, np.concatenate(facing))
    ridge = Ridge(dictionary, np.concatenate(weights, axis=1), constant)
    # What the rounding of weights, knots and constants moves.
    reach = np.repeat(np.abs(np.array(rows)) @ parts.half, counts) + np.abs(shifts) + np.abs(places)
    rounded = 8 * EPS * float((np.abs(ridge.weights) @ reach + np.abs(constant) + np.abs(linear) @ parts.half).max())
    bound = parts.residual + dropped + rounded + float(_total(found, len(constant)).max(initial=0.0))
    return RidgeSum(ridge, bound * (1 + EPS * (len(found) + 4)), len(found))
