"""`Frames`: the boxes of many tubes of the same equations as arrays, with Newton's method for all of them at once; see `implicit`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .box import Array, largest_coordinate
from .maps import ExpressionMap

STEPS = 60
"""Of Newton's method."""
CONVERGED = 1e-12
"""A last step of at most this, relative to |x|, counts as none."""
BEYOND = 1e-9
"""How far outside its box, in parts of it, rounding may carry w."""


class Placed(Protocol):
    """What frames are made of: a tube."""

    @property
    def equations(self) -> ExpressionMap: ...
    @property
    def center(self) -> tuple[float, ...]: ...
    @property
    def normal(self) -> Array: ...
    @property
    def tangent(self) -> Array: ...
    @property
    def halves(self) -> tuple[float, ...]: ...
    @property
    def heights(self) -> tuple[float, ...]: ...


@dataclass(frozen=True, eq=False)
class Frames:
    """x(u, w) = c + T·u + N·w for n tubes, or for one that broadcasts (n = 1)."""

    equations: ExpressionMap
    center: Array
    """(n, k)."""
    normal: Array
    """(n, k, m)."""
    tangent: Array
    """(n, k, d)."""
    halves: Array
    """(n, d)."""
    heights: Array
    """(n, m)."""

    @staticmethod
    def of(tubes: Sequence[Placed]) -> Frames:
        """Of tubes with the same equations."""
        parts = ("center", "normal", "tangent", "halves", "heights")
        return Frames(tubes[0].equations, *(np.array([getattr(tube, part) for tube in tubes], float) for part in parts))

    def __len__(self) -> int:
        return len(self.center)

    def __getitem__(self, rows: NDArray[np.intp]) -> Frames:
        if len(self) == 1:
            return self
        return Frames(self.equations, self.center[rows], self.normal[rows], self.tangent[rows], self.halves[rows], self.heights[rows])

    def point(self, u: Array, w: Array) -> Array:
        """x(u, w), (n, d) and (n, m) to (n, k)."""
        return self._above(self._foot(u), w)

    def _foot(self, u: Array) -> Array:
        """x(u, 0), (n, d) to (n, k)."""
        if len(self) == 1:
            return np.asarray(self.center[0] + u @ self.tangent[0].T)
        return np.asarray(self.center + (self.tangent @ u[:, :, None])[:, :, 0])

    def _above(self, foot: Array, w: Array) -> Array:
        """x(u, 0) + N·w, (n, k) and (n, m) to (n, k)."""
        if len(self) == 1:
            return np.asarray(foot + w @ self.normal[0].T)
        return np.asarray(foot + (self.normal @ w[:, :, None])[:, :, 0])

    def solve(self, u: Array, steps: int = STEPS) -> Array:
        """w(u) by Newton's method from w = 0, (n, d) to (n, m); NaN where it ends outside the box, or does not end."""
        heights = np.broadcast_to(self.heights, (len(u), self.heights.shape[1]))
        found = np.full(heights.shape, np.nan)
        left = np.flatnonzero(every(np.abs(u) <= self.halves * (1 + BEYOND)))
        here, top, w = self[left], heights[left], np.zeros((len(left), heights.shape[1]))
        foot = here._foot(u[left])
        with np.errstate(all="ignore"):
            for _ in range(steps):
                if not len(left):
                    break
                x = here._above(foot, w)
                step = linear(self.equations.jacobian_at(x) @ here.normal, self.equations(x)[..., None])[..., 0]
                step = np.clip(step, -top, top)
                w = w - step
                length = largest_coordinate(step)
                over = np.isfinite(length) & (length <= CONVERGED * (1 + largest_coordinate(x)))
                found[left[over]] = w[over]
                goes_on = np.isfinite(length) & ~over & every(np.abs(w) <= 4 * top)
                if not goes_on.all():
                    rows = np.flatnonzero(goes_on)
                    left, here, top, w, foot = left[rows], here[rows], top[rows], w[rows], foot[rows]
        found[~every(np.abs(found) <= heights * (1 + BEYOND))] = np.nan
        return found

    def slopes(self, u: Array, w: Array) -> Array:
        """∂w_l/∂u_j = −((Dg·N)⁻¹·Dg·T)_lj at x(u, w), (n, d) and (n, m) to (n, m, d)."""
        jacobian = self.equations.jacobian_at(self.point(u, w))
        return -linear(jacobian @ self.normal, jacobian @ self.tangent)

    def across(self, u: Array, w: Array) -> Array:
        """Dg·N at x(u, w), (n, m, m)."""
        return np.asarray(self.equations.jacobian_at(self.point(u, w)) @ self.normal)

    def holds(self, points: Array, part: float = 1.0) -> NDArray[np.bool_]:
        """Which points (p, k) have coordinates in the boxes, of u shrunk by `part`: (n, p) flags."""
        found = np.empty((len(self), len(points)), bool)
        for i in range(len(self)):
            offset = points - self.center[i]
            found[i] = np.all(np.abs(offset @ self.tangent[i]) <= part * self.halves[i], axis=-1)
            found[i] &= np.all(np.abs(offset @ self.normal[i]) <= self.heights[i], axis=-1)
        return found


def every(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether all of the last axis are true, [..., m] to [...]: a column at a time, as in `largest_coordinate`."""
    held = flags[..., 0]
    for k in range(1, flags.shape[-1]):
        held = held & flags[..., k]
    return held


def linear(matrix: Array, right: Array) -> Array:
    """matrix⁻¹·right, [..., m, m] and [..., m, n]; NaN where a matrix is singular."""
    if matrix.shape[-1] == 1:
        return np.asarray(right / matrix)
    finite = np.asarray(np.isfinite(matrix).all((-2, -1)) & np.isfinite(right).all((-2, -1)))
    safe = np.where(finite[..., None, None], matrix, np.eye(matrix.shape[-1]))
    finite &= np.abs(np.linalg.det(safe)) > 0
    safe = np.where(finite[..., None, None], safe, np.eye(matrix.shape[-1]))
    return np.where(finite[..., None, None], np.linalg.solve(safe, np.where(finite[..., None, None], right, 0.0)), np.nan)
