"""`Together`: all tangent charts of an atlas as one map of (chart, u), with arrays in the place of hundreds of compiled functions.

x = c_i + T_i·u + N_i·w_i(u) and ∂x/∂u = T_i + N_i·w_i′(u), by Newton's method for points of many charts at once; a zero x lies in the open
box of chart i where |T_iᵀ(x − c_i)| < s_i and |N_iᵀ(x − c_i)| < h_i (`implicit.cover`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...expressions.box import Array, largest_coordinate
from ...expressions.frames import Frames, every
from ...expressions.implicit import Tube
from ...intervals.implicit import prove_all
from ...intervals.program import equations_of

EVERY = slice(None)


def few(held: NDArray[np.bool_]) -> list[int]:
    """Rows of (E, n) flags that together hold all columns that one holds, each the one that holds most of what is left."""
    left, chosen = held.any(0), []
    while left.any():
        best = int((held & left).sum(1).argmax())
        chosen.append(best)
        left &= ~held[best]
    return sorted(chosen)


class Together:
    """The tubes of charts of the same equations."""

    def __init__(self, tubes: Sequence[Tube]) -> None:
        self.frames = Frames.of(tubes)

    @staticmethod
    def of(tubes: Sequence[Tube | None]) -> Together | None:
        """None where some chart is given otherwise, or by other equations."""
        known = [tube for tube in tubes if tube is not None]
        if len(known) < len(tubes) or not all(tube.equations.same(known[0].equations) for tube in known):
            return None
        return Together(known)

    def points(self, which: NDArray[np.intp], u: Array) -> Array:
        """x of charts (n,) and coordinates (n, d), (n, k); NaN where there is none."""
        frames = self.frames[which]
        return frames.point(u, frames.solve(u))

    def jacobians(self, which: NDArray[np.intp], u: Array) -> Array:
        """∂x/∂u, (n, k, d)."""
        frames = self.frames[which]
        with np.errstate(all="ignore"):
            return np.asarray(frames.tangent + frames.normal @ frames.slopes(u, frames.solve(u)))

    def coordinates(self, points: Array, charts: slice = EVERY) -> tuple[Array, NDArray[np.bool_]]:
        """u of zeros (n, k) in these charts, (E, n, d), and whether it is the zero's there, (E, n)."""
        frames = self.frames
        offset = points - frames.center[charts, None]
        u = offset @ frames.tangent[charts]
        held = every(np.abs(u) < frames.halves[charts, None])
        return u, held & every(np.abs(offset @ frames.normal[charts]) < frames.heights[charts, None])

    def lifted(self, center: Array, frame: Array, radius: float, local: Array) -> tuple[NDArray[np.intp], Array]:
        """The zeros x in the ball of this centre (k,) and radius with Vᵀ(x − c) = local (n, d), V the frame (k, d): the chart each lies
        deepest in, (n,), and u there, (n, d), NaN where none is found.

        One equation g(c + V·local + V⊥·w) = 0 for w, as of a tube: no chart has to be inverted.
        """
        d, equations = frame.shape[1], self.frames.equations
        beside = np.linalg.qr(frame, mode="complete")[0][:, d:]
        limits = np.full((1, d), radius), np.full((1, beside.shape[1]), radius)
        around = Frames(equations, center[None], beside[None], frame[None], *limits)
        x = around.point(local, around.solve(local))
        with np.errstate(invalid="ignore"):
            found = np.flatnonzero(((x - center) ** 2).sum(1) < radius**2)
            u, held = self.coordinates(x[found])
            out = np.where(held, largest_coordinate(u / self.frames.halves[:, None]), np.inf)
        which, intrinsic = np.zeros(len(local), np.intp), np.full(local.shape, np.nan)
        deepest = out.argmin(0)
        which[found] = deepest
        known = held.any(0)
        intrinsic[found[known]] = u[deepest, np.arange(len(found))][known]
        return which, intrinsic


def proved_charts(tubes: Sequence[Tube | None]) -> NDArray[np.bool_]:
    """Which charts are tubes that are proved to hold one zero over each u; of all at once, at a thirtieth of what each by itself takes."""
    found = np.array([tube is not None for tube in tubes], bool)
    if found.any():
        found[found] = prove_all([equations_of(tube) for tube in tubes if tube is not None])
    return found
