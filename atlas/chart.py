"""Charts (U, φ) of a manifold M ⊂ R^k.

`Chart` is the general one: an open box of intrinsic coordinates (or the part of it where `region` > 0), the smooth
inverse φ⁻¹ from the box onto U ⊂ M, and, if known, the forward map φ. `BallChart` is the affine chart of the paper's
Example 4.6: U = M ∩ B(c, r) and φ(y) = Vᵀ(y − c), with no closed form for φ⁻¹; its points are drawn from the boxes of
the atlas that it was cut from. Both work in the coordinates of R^k *before* any embedding into a larger R^D.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InvalidArgument
from ..expressions.box import Array, Box, largest_coordinate
from ..expressions.given import parts_of
from ..expressions.implicit import Tube
from ..expressions.maps import ExpressionMap

INVERSE_TOLERANCE = 1e-6
"""|φ⁻¹(φ(y)) − y| ≤ this · (1 + |y|) is what "y is a point of this chart" means in float64."""


@dataclass(frozen=True, eq=False)
class Chart:
    """A chart (U, φ) with U = φ⁻¹({u in the open `domain` : region(u) > 0}).

    `boundary[k]` = (lower, upper) says which faces of coordinate k are part of the boundary of M: bumps do not decay
    there and no other chart has to cover them. `bump` (unnormalised, ≥ 0) or `partition` (ρ itself) replace the
    default bump; either may be written in intrinsic or in ambient coordinates.
    """

    name: str
    domain: Box
    inverse: ExpressionMap
    """φ⁻¹ : R^d → R^k."""
    forward: ExpressionMap | None = None
    """φ : R^k → R^d; None if unknown (then bumps must be in ambient coordinates)."""
    boundary: tuple[tuple[bool, bool], ...] = ()
    region: ExpressionMap | None = None
    """R^d → R; U is where it is positive. None: the whole open box."""
    bump: ExpressionMap | None = None
    partition: ExpressionMap | None = None
    edge: bool = False
    """Whether M ends where the region does: the region is then g∘φ⁻¹ for a function g of all of the atlas (`atlas.cut`), M is where g ≥ 0,
    and bumps do not know of it."""
    tube: Tube | None = None
    """The equations that `inverse` solves, of a tangent chart of an implicit manifold."""

    def __post_init__(self) -> None:
        formula = (ExpressionMap, type(None))
        parts_of(self, name=str, domain=Box, inverse=ExpressionMap, forward=formula, region=formula, bump=formula, partition=formula)
        d = self.domain.dimension
        if not self.boundary:
            object.__setattr__(self, "boundary", ((False, False),) * d)
        if self.inverse.inputs != d or len(self.boundary) != d:
            raise InvalidArgument(
                f'chart "{self.name}": domain has {d} coordinates, inverse takes {self.inverse.inputs}, boundary lists {len(self.boundary)}'
            )
        if self.forward is not None and (self.forward.outputs != d or self.forward.inputs != self.inverse.outputs):
            raise InvalidArgument(f'chart "{self.name}": forward must map R^{self.inverse.outputs} to R^{d}')
        if self.bump is not None and self.partition is not None:
            raise InvalidArgument(f'chart "{self.name}": give a bump or a partition, not both')

    @property
    def dimension(self) -> int:
        return self.domain.dimension

    @property
    def affine(self) -> tuple[Array, Array] | None:
        """(A, b) with φ(y) = A·y + b if the chart map is affine ("highly regular"), else None."""
        return None if self.forward is None else self.forward.affine

    @property
    def fading(self) -> ExpressionMap | None:
        """The region, if the default bump falls off towards its edge, where other charts take over."""
        return None if self.edge else self.region

    @property
    def height(self) -> float:
        """The region at the centre of the box, by which default bumps are measured. Raises `InvalidArgument` unless it is positive."""
        assert self.region is not None
        height = float(self.region(self.domain.center)[0])
        if not 0 < height < np.inf:
            where = f"({', '.join(f'{x:.6g}' for x in self.domain.center)})"
            problem = f"its region is {height:g} at the centre {where} of its box, where default bumps are measured by it"
            raise InvalidArgument(f'chart "{self.name}": {problem}; choose a box around the region, or give a bump')
        return height

    def inside(self, intrinsic: ArrayLike) -> NDArray[np.bool_]:
        """Whether u lies in the closed box and in the region; [..., d] to [...]."""
        intrinsic = np.asarray(intrinsic, float)
        inside = self.domain.contains(intrinsic)
        if self.region is None:
            return inside
        height = self.region(intrinsic)[..., 0]
        return inside & (height >= 0 if self.edge else height > 0)

    def coordinates(self, points: ArrayLike) -> Array:
        """φ(y), [..., k] to [..., d], with values that rounding has carried past a boundary face put back on it.

        Needs `forward`. Without this, points of ∂M would belong to no chart as often as not.
        """
        if self.forward is None:
            raise InvalidArgument(f'chart "{self.name}" has no forward map, so coordinates of a point are unknown')
        intrinsic = self.forward(points)
        for k, (lower, upper) in enumerate(self.boundary):
            low, high, column = self.domain.lower[k], self.domain.upper[k], intrinsic[..., k]
            slack = INVERSE_TOLERANCE * (high - low)
            if lower:
                column = np.where((column < low) & (column >= low - slack), low, column)
            if upper:
                column = np.where((column > high) & (column <= high + slack), high, column)
            intrinsic[..., k] = column
        return intrinsic

    def draw(
        self,
        count: int,
        rng: np.random.Generator,
        *,
        low_discrepancy: bool = False,
        inside: Callable[[Array], NDArray[np.bool_]] | None = None,
    ) -> Array:
        """`count` intrinsic points (count, d) in U, uniform or Sobol in the box, by rejection outside the region.

        `inside`: the same as the method of this name, where an atlas knows it at less cost.
        """
        inside = self.inside if inside is None else inside
        kept: list[Array] = []
        found, tried = 0, 0
        while found < count:
            batch = 2 * count if self.region is not None else count
            drawn = self.domain.low_discrepancy(batch, int(rng.integers(2**31))) if low_discrepancy else self.domain.uniform(batch, rng)
            drawn = drawn[inside(drawn)]
            kept.append(drawn)
            found, tried = found + len(drawn), tried + batch
            if found < count and tried > 10_000 and found < 1e-4 * tried:
                raise InvalidArgument(f'chart "{self.name}": its region is positive at only {found} of {tried} points of its box')
        return np.concatenate(kept)[:count]

    def contains(self, points: ArrayLike) -> NDArray[np.bool_]:
        """Whether y ∈ M lies in U: φ(y) is inside and φ⁻¹ takes it back to y. Needs `forward`; [..., k] to [...].

        Where M ends at the edge of the region, points that rounding has carried past it still count.
        """
        return self.located(points)[0]

    def located(self, points: ArrayLike) -> tuple[NDArray[np.bool_], Array]:
        """What `contains` and `coordinates` say of the same points."""
        if self.forward is None:
            raise InvalidArgument(f'chart "{self.name}" has no forward map, so membership of a point cannot be decided')
        points = np.asarray(points, float)
        intrinsic = self.coordinates(points)
        back = self.inverse(intrinsic)
        near = largest_coordinate(back - points) <= INVERSE_TOLERANCE * (1 + largest_coordinate(points))
        if self.edge and self.region is not None:
            height = self.region(intrinsic)[..., 0]
            return self.domain.contains(intrinsic) & (height >= -INVERSE_TOLERANCE * (1 + np.abs(height))) & near, intrinsic
        return self.inside(intrinsic) & near, intrinsic


@dataclass(frozen=True, eq=False)
class Piece:
    """A box of intrinsic coordinates of chart number `chart` of the parametrising atlas."""

    chart: int
    box: Box


@dataclass(frozen=True, eq=False)
class BallChart:
    """U = M ∩ B(center, radius), φ(y) = frameᵀ(y − center), frame an orthonormal basis (k, d) of the tangent space.

    Source: Example 4.6; injective for radius < (√3 − 1)·reach (B18). The pieces together contain U.
    """

    name: str
    center: Array
    frame: Array
    radius: float
    pieces: tuple[Piece, ...]

    @property
    def dimension(self) -> int:
        return self.frame.shape[1]

    @property
    def domain(self) -> Box:
        """[−r, r]^d, which contains φ(U) because the frame is orthonormal."""
        return Box((-self.radius,) * self.dimension, (self.radius,) * self.dimension)

    @property
    def affine(self) -> tuple[Array, Array]:
        """(A, b) with φ(y) = A·y + b."""
        return self.frame.T, -self.frame.T @ self.center

    def forward(self, points: ArrayLike) -> Array:
        """Local coordinates [..., d] of points [..., k]."""
        return (np.asarray(points, float) - self.center) @ self.frame

    def depth(self, points: ArrayLike) -> Array:
        """1 − |y − c|²/r²: positive exactly inside the ball, 1 at its centre; [..., k] to [...]."""
        offset = np.asarray(points, float) - self.center
        return 1 - np.einsum("...k,...k->...", offset, offset) / self.radius**2

    def contains(self, points: ArrayLike) -> NDArray[np.bool_]:
        """Whether y ∈ M lies in U; [..., k] to [...]."""
        return self.depth(points) > 0
