"""Functions on boxes, known at the vertices and by their derivatives: between the vertices they are near their multilinear interpolant.

Theorem. Let h be Lipschitz on the box ∏[l_k, l_k + w_k], τ ∈ [−1, 1]^d its coordinates and I the multilinear interpolant of its values
at the 2^d vertices. Then −Σ_k down_k·(1 − τ_k²) ≤ h − I ≤ Σ_k up_k·(1 − τ_k²), where up_k is the lesser of w_k²/8·max(−∂_kk h)⁺ and
w_k/4·(max ∂_k h − min ∂_k h), and down_k likewise with +∂_kk h. For d = 1 that is the error of linear interpolation; and I interpolates
along one coordinate after the other, each time averaging the errors of the others with weights ≥ 0.

Derivatives are asked of `CurvatureEnclosure`, which knows first ones only of what is Lipschitz on the box, and second ones only of what is
C²: where they are unknown the bounds are ∞. Rounding is covered relatively (`GROW`, `ULPS`), and absolutely (`TINY`) where products may
underflow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, reduce
from itertools import combinations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..expressions import Array, ExpressionMap
from .arithmetic import Interval
from .curvature import CurvatureEnclosure
from .decoration import SURE
from .extension import NaturalEnclosure
from .jets import Jet

GROW = 1 + 2.0**-40
"""Covers the few roundings of 2^-53 each with which a bound is computed from nonnegative numbers."""
ULPS = 2.0**-46
"""The same for sums of either sign, relative to their largest term: up to 2^7 roundings."""
TINY = 2.0**-1000
"""More than 2^50 products lose by underflow."""


@dataclass(frozen=True, eq=False)
class Patch:
    """c functions on N boxes of d coordinates."""

    lower: Array
    """(N, d): the boxes."""
    upper: Array
    value: Interval
    """(N, c): all over the box, as sharp as it is known."""
    at: Interval
    """(N, 2^d, c): at the vertices."""
    first: Interval
    """(N, d, c): ∂_k all over the box."""
    second: Interval
    """(N, d, c): ∂_kk."""

    def __len__(self) -> int:
        return len(self.lower)

    @staticmethod
    def coordinates(lower: Array, upper: Array) -> Patch:
        """The coordinates of boxes (N, d) themselves."""
        N, d = lower.shape
        vertices = np.where(signs(d)[None] < 0, lower[:, None], upper[:, None])
        eye = np.broadcast_to(np.eye(d), (N, d, d))
        return Patch(lower, upper, Interval(lower, upper), Interval.of(vertices), Interval.of(eye), Interval.of(np.zeros((N, d, d))))

    def subset(self, rows: NDArray[np.intp]) -> Patch:
        return Patch(self.lower[rows], self.upper[rows], self.value[rows], self.at[rows], self.first[rows], self.second[rows])

    @property
    def deviation(self) -> tuple[Array, Array]:
        """`down` and `up` of the theorem, (N, d, c)."""
        return deviation(self.upper - self.lower, self.first, self.second)

    def loosened(self) -> Patch:
        """For a theorem about values alone: what is not Lipschitz, but bounded, as a number that is anything in its range.

        Let τ be a point of a box and c the values there of those functions. The constants c, in their place, have derivatives 0 and vertex
        values in `at`; what holds on the box for the other functions and all such constants holds at τ for this patch.
        """
        down, up = self.deviation
        loose = ~np.isfinite(down + up).all(1) & np.isfinite(self.value.lower) & np.isfinite(self.value.upper)
        if not loose.any():
            return self
        flat = loose[:, None]
        ends = (np.where(flat, getattr(self.value, end)[:, None], getattr(self.at, end)) for end in ("lower", "upper"))
        first, second = (Interval(np.where(flat, 0.0, part.lower), np.where(flat, 0.0, part.upper)) for part in (self.first, self.second))
        value = self.value.decorated(np.where(loose, SURE, self.value.decoration))
        return Patch(self.lower, self.upper, value, Interval(*ends), first, second)

    def range(self) -> Interval:
        """What values at the vertices and derivatives say about `value`, (N, c)."""
        ends = highest(np.concatenate([-self.at.lower, self.at.upper]), np.concatenate(self.deviation))
        return self.value.meet(Interval(-ends[: len(self)], ends[len(self) :]))


class PatchMap:
    """An `ExpressionMap` of patches."""

    def __init__(self, function: ExpressionMap) -> None:
        """Raises `NotEnclosed` if an expression holds a function without an enclosure."""
        self._values, self._curvature = NaturalEnclosure(function), CurvatureEnclosure(function)

    def __call__(self, inner: Patch) -> Patch:
        """The components as functions on the boxes of `inner`, which gives the variables."""
        (N, vertices, count), d = inner.at.lower.shape, inner.first.lower.shape[1]
        jets = [Jet(inner.value[:, c], _present(inner.first[..., c]), _present(inner.second[..., c])) for c in range(count)]
        found = self._curvature(jets, d)
        at = self._values([inner.at[..., c] for c in range(count)])
        first, second = ([_stack([part[k] for k in range(d)], N) for part in parts] for parts in _partials(found))
        patch = Patch(
            inner.lower, inner.upper, _stack([jet.value for jet in found], N), _stack(at, (N, vertices)), _last(first), _last(second)
        )
        return Patch(patch.lower, patch.upper, patch.range(), patch.at, patch.first, patch.second)


def deviation(widths: Array, first: Interval, second: Interval) -> tuple[Array, Array]:
    """`down` and `up` of the theorem, (N, d, c), for boxes of these widths (N, d); ∞ where first derivatives are not bounded."""
    width = np.nextafter(widths, np.inf)[:, :, None]
    with np.errstate(all="ignore"):
        known = np.isfinite(first.lower) & np.isfinite(first.upper)
        jump = _covered(first.upper - first.lower, width, 1 / 4)
        down, up = (np.minimum(_covered(_covered(bend, width, 1), width, 1 / 8), jump) for bend in (second.upper, -second.lower))
        return np.where(known, down, np.inf), np.where(known, up, np.inf)


def _covered(factor: Array, width: Array, share: float) -> Array:
    """At least max(factor, 0)·width·share, a power of two, and 0 where that is."""
    return np.where(factor > 0, factor * width * (GROW * share) + TINY, 0.0)


@cache
def signs(d: int) -> Array:
    """τ at the vertices of [−1, 1]^d, (2^d, d)."""
    found = np.array(list(product((-1.0, 1.0), repeat=d)))
    found.flags.writeable = False
    return found


def over(combine: np.ufunc, values: NDArray[Any]) -> NDArray[Any]:
    """Of (N, v, c) over the v vertices, one after the other: numpy is slow along few of many."""
    return reduce(combine, values.swapaxes(0, 1))


def highest(at: Array, up: Array) -> Array:
    """At least I + Σ_k up_k·(1 − τ_k²) everywhere, (N, c), for an interpolant I with these values at the vertices (N, 2^d, c).

    I = m + Σ s_k·τ_k + Σ c_kl·τ_k·τ_l + …. Where |s_k| ≥ Σ_l |c_kl| + 2·up_k the largest value is at τ_k = sign s_k. Among the other
    coordinates c_kl·τ_k·τ_l ≤ |c_kl|/2·(τ_k² + τ_l²): a sum of parabolas, each with its own peak. ∞ where anything is not finite.
    """
    d = up.shape[1]
    known = over(np.logical_and, np.isfinite(at)) & np.isfinite(up).all(1)
    tau = signs(d)
    with np.errstate(all="ignore"):
        total = up.sum(1)
        coarse = over(np.maximum, at) + total
        middle, slope = at.mean(1), np.einsum("nvc,vk->nkc", at, tau) / len(tau)
        rest = at - middle[:, None] - np.einsum("nkc,vk->nvc", slope, tau)
        if d == 1:
            end = np.where(np.abs(slope) >= 2 * up, np.sign(slope), 0.0)
            height, bend, slant = middle + (end * slope)[:, 0], up, np.abs(slope)
        else:
            twist = np.zeros((len(at), d, d, at.shape[2]))
            for k, j in combinations(range(d), 2):
                both = tau[:, k] * tau[:, j]
                twist[:, k, j] = twist[:, j, k] = np.einsum("nvc,v->nc", at, both) / len(tau)
                rest = rest - twist[:, k, j][:, None] * both[:, None]
            end = np.where(np.abs(slope) >= np.abs(twist).sum(2) + 2 * up, np.sign(slope), 0.0)
            pull = np.einsum("nkjc,njc->nkc", twist, end)
            height = middle + (end * slope).sum(1) + (end * pull).sum(1) / 2
            bend = up - (np.abs(twist) * (end == 0)[:, None]).sum(2) / 2
            slant = np.abs(slope + pull)
        peak = np.where(slant >= 2 * bend, slant - bend, slant * (slant / np.where(bend > 0, bend, 1.0)) / 4)
        fine = height + np.where(end == 0, up + peak, 0.0).sum(1) + over(np.maximum, rest)
        found = np.fmin(coarse, fine) + ULPS * (over(np.maximum, np.abs(at)) + total)
        return np.where(known, found, np.inf) + TINY


def _present(partials: Interval) -> dict[int, Interval]:
    """By coordinate those of derivatives (N, d) that are not 0 on every box: of a coordinate only one is."""
    columns = [partials[:, k] for k in range(partials.lower.shape[1])]
    return {k: column for k, column in enumerate(columns) if column.lower.any() or column.upper.any()}


def _partials(jets: Sequence[Jet]) -> tuple[list[dict[int, Interval]], list[dict[int, Interval]]]:
    return [jet.first for jet in jets], [jet.second for jet in jets]


def _stack(parts: Sequence[Interval], shape: int | tuple[int, ...]) -> Interval:
    """Intervals side by side on a new last axis, each broadcast to the shape."""
    lower, upper = ([np.broadcast_to(side, shape) for side in sides] for sides in zip(*((p.lower, p.upper) for p in parts), strict=True))
    decoration = SURE
    if any(p.decoration is not SURE for p in parts):
        decoration = np.stack([np.broadcast_to(p.decoration, shape) for p in parts], axis=-1)
    return Interval(np.stack(lower, axis=-1), np.stack(upper, axis=-1), decoration)


def _last(parts: Sequence[Interval]) -> Interval:
    return Interval(np.stack([p.lower for p in parts], axis=-1), np.stack([p.upper for p in parts], axis=-1))
