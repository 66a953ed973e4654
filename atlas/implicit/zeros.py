"""`ZeroSet`: the zeros of equations in a box, as far as floats find them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import InvalidArgument
from ...expressions.box import Array, Box
from ...expressions.implicit import Tube
from ...expressions.later import sympy
from ...expressions.maps import ExpressionMap

STEPS = 60
"""Of Newton's method in space."""
CONVERGED = 1e-12
LONGEST = 0.5
"""A step, in parts of the widths of the box, is no longer than this."""
DRAWN = 1 << 12
"""Points of the box that are projected at a time."""
ROUNDS = 64
EMPTY = 3
"""After so many rounds without a zero none is expected."""


@dataclass(frozen=True, eq=False)
class ZeroSet:
    """{x ∈ box : g(x) = 0, h(x) ≥ 0}, g : R^k → R^m with 1 ≤ m < k."""

    equations: ExpressionMap
    """g."""
    box: Box
    within: ExpressionMap | None = None
    """h, every component of which is ≥ 0; None: there is none."""

    @property
    def dimension(self) -> int:
        """d = k − m."""
        return self.equations.inputs - self.equations.outputs

    def holds(self, points: Array) -> NDArray[np.bool_]:
        """Whether points are in the box, and h ≥ 0."""
        inside = self.box.contains(points)
        return inside if self.within is None else inside & np.all(self.within(points) >= 0, axis=-1)

    def projected(self, points: Array) -> Array:
        """The points (n, k) taken to zeros by x ← x − Dg⁺·g, Newton's steps of least length; NaN where that does not end in one."""
        x, found = np.array(points, float), np.full(np.shape(points), np.nan)
        left, longest = np.arange(len(x)), LONGEST * self.box.widths
        with np.errstate(all="ignore"):
            for _ in range(STEPS):
                if not len(left):
                    break
                value, jacobian = self.equations(x[left]), self.equations.jacobian_at(x[left])
                step = least_squares(jacobian, value)
                step *= np.minimum(1, (longest / np.abs(step)).min(1))[:, None]
                x[left] -= step
                good = np.isfinite(step).all(1)
                over = good & (np.abs(step).max(1) <= CONVERGED * (1 + np.abs(x[left]).max(1)))
                found[left[over]] = x[left[over]]
                left = left[good & ~over]
        return found

    def sample(self, count: int, seed: int) -> Array:
        """About `count` zeros (n, k): points of the box, projected; fewer if few are found, and none if none is."""
        kept: list[Array] = []
        found = 0
        for n in range(ROUNDS):
            x = self.projected(self.box.low_discrepancy(DRAWN, seed + n))
            x = x[np.isfinite(x).all(1)]
            x = x[self.holds(x)]
            kept.append(x)
            found += len(x)
            if found >= count or (n == EMPTY and not found):
                break
        return np.concatenate(kept)[:count]

    def scales(self, points: Array) -> Array:
        """The size of each ∂g_l, (m,): the median of |Dg_l| at points of the box, 1 where that is none."""
        with np.errstate(all="ignore"):
            sizes = np.abs(self.equations.jacobian_at(points)).max(-1)
            found = np.nanmedian(np.where(np.isfinite(sizes), sizes, np.nan), axis=0)
        return np.where(np.isfinite(found) & (found > 0), found, 1.0)


def least_squares(jacobian: Array, value: Array) -> Array:
    """J⁺·v, (n, m, k) and (n, m) to (n, k); NaN where J has not full rank."""
    size = np.abs(jacobian).max(2, keepdims=True)
    jacobian, value = jacobian / size, value / size[:, :, 0]
    gram = jacobian @ np.swapaxes(jacobian, -1, -2)
    if gram.shape[-1] == 1:
        return np.asarray(jacobian[:, 0] * (value / gram[:, :, 0]))
    good = np.asarray(np.isfinite(gram).all((1, 2)) & np.isfinite(value).all(1))
    gram = np.where(good[:, None, None], gram, np.eye(gram.shape[-1]))
    good &= np.abs(np.linalg.det(gram)) > 0
    gram = np.where(good[:, None, None], gram, np.eye(gram.shape[-1]))
    step = np.einsum("nmk,nm->nk", jacobian, np.linalg.solve(gram, np.where(good[:, None], value, 0.0)[..., None])[..., 0])
    return np.where(good[:, None], step, np.nan)


@dataclass(frozen=True, eq=False)
class Implicit:
    """What an atlas of tangent charts is of."""

    zeros: ZeroSet
    boundary: bool
    """Whether M may end at the faces of the box."""
    aside: tuple[Tube, ...] = ()
    """Tubes of components that are no part of M."""


def checked(equations: ExpressionMap, box: Box) -> None:
    """Raises `InvalidArgument` for more equations than a manifold of positive dimension can have, a box of another dimension, a constant
    or a kink."""
    k, m = equations.inputs, equations.outputs
    if not 1 <= m < k:
        raise InvalidArgument(f"{m} equations in {k} coordinates leave no manifold of positive dimension; give from 1 to {k - 1}")
    if box.dimension != k:
        raise InvalidArgument(f"the box has {box.dimension} sides for {k} coordinates; give [lower, upper] for each")
    for text, function in zip(equations.texts, equations.expressions, strict=True):
        if not function.free_symbols:
            raise InvalidArgument(f"the equation {text} is {function} everywhere; give one in the coordinates that is 0 on M alone")
        if any(sympy.diff(function, a, b).has(sympy.DiracDelta) for a in equations.variables for b in equations.variables):
            problem = f"the equation {text} has a kink, where Abs or sign changes, and zeros of smooth functions are asked for"
            raise InvalidArgument(f"{problem}; write it without, as sqrt(a**2 + 1e-6) in the place of Abs(a)")
