"""`PartitionOfUnity`: how the default bumps of an atlas fall off, and how bumps become a partition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InvalidArgument
from ..expressions.box import Array
from .chart import BallChart, Chart

PROFILES = ("polynomial", "smooth")


@dataclass(frozen=True)
class PartitionOfUnity:
    """The family of default bumps: b = profile(depth), ρ_i = b_i / Σ_j b_j.

    The depth of a point is 1 inside and 0 on the edge of U: ∏_k (1 − t_k²) over the coordinates of the box scaled to
    [−1, 1], the region divided by its value at the box's centre, or 1 − |y − c|²/r² for a ball. The profile is
    depth^power ("polynomial": power − 1 continuous derivatives) or exp(1 − 1/depth) ("smooth": C^∞, for a box factor by
    factor). Along a coordinate with one boundary face the bump is 1 on that face and decays towards the other; with two it is constant.
    """

    profile: str = "polynomial"
    power: int = 4

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise InvalidArgument(f"partition profile {self.profile!r} is not one of {', '.join(PROFILES)}")
        if not 1 <= self.power <= 64:
            raise InvalidArgument(f"partition power must be between 1 and 64, got {self.power}")

    @property
    def said(self) -> str:
        """In the words of specs."""
        return f"{self.profile!r} of power {self.power}" if self.profile == "polynomial" else repr(self.profile)

    def profile_of(self, depth: Array) -> Array:
        """The bump at a depth: 0 where the depth is not positive, 1 at depth 1; any shape."""
        depth = np.fmax(depth, 0)  # NaN counts as outside
        if self.profile == "polynomial":
            return depth if self.power == 1 else depth**self.power
        with np.errstate(divide="ignore"):
            return np.where(depth > 0, np.exp(1 - 1 / depth), 0.0)

    def intrinsic_bump(self, chart: Chart, intrinsic: ArrayLike) -> Array:
        """The default bump of a chart at intrinsic coordinates; [..., d] to [...]. Zero outside the box."""
        intrinsic = np.asarray(intrinsic, float)
        inside = chart.domain.contains(intrinsic)
        if chart.fading is not None:
            bump = self.profile_of(chart.fading(intrinsic)[..., 0] / chart.fading(chart.domain.center)[0])
        else:
            bump = np.ones(intrinsic.shape[:-1])
            unit = chart.domain.to_unit(intrinsic)
            for k, (lower, upper) in enumerate(chart.boundary):
                t = unit[..., k]
                if lower and upper:
                    continue
                if lower or upper:  # from 0 on the boundary face to ±1 on the other
                    t = (t + 1) / 2 if lower else (t - 1) / 2
                bump = bump * self.profile_of(1 - t**2)
        return np.where(inside, bump, 0.0)

    def bump(self, chart: Chart | BallChart, points: ArrayLike) -> Array:
        """b at points of M, [..., k] to [...]: the chart's own bump or partition if it has one, else the default."""
        points = np.asarray(points, float)
        if isinstance(chart, BallChart):
            return self.profile_of(chart.depth(points))
        given = chart.partition or chart.bump
        if given is not None and given.names != chart.inverse.names:
            return np.nan_to_num(given(points)[..., 0], nan=0.0)
        if chart.forward is None:
            raise InvalidArgument(f'chart "{chart.name}" has no forward map: give its bump in ambient coordinates')
        inside, intrinsic = chart.located(points)
        intrinsic = np.where(inside[..., None], intrinsic, chart.domain.center)
        bump = self.intrinsic_bump(chart, intrinsic) if given is None else given(intrinsic)[..., 0]
        return np.where(inside, bump, 0.0)
