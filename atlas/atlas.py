"""`Atlas`: charts that cover M, their partition of unity, and how to draw points of M."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InvalidArgument
from ..expressions.box import Array, Box
from ..expressions.given import lists_of, parts_of
from ..expressions.maps import ExpressionMap
from . import distinct
from .chart import BallChart, Chart
from .distances import squared
from .domain import first_valid
from .extents import extents, meeting
from .implicit.together import Together
from .implicit.zeros import Implicit
from .partition import PartitionOfUnity
from .points import Points, concatenate

DEFAULT_PARTITION = PartitionOfUnity()
DEPTH = PartitionOfUnity(power=1)
"""Bumps that are the depth itself."""
ROUNDINGS = 8
"""Two sums of k squares, each within γ_k of the exact one, and what is made of them, differ by less than so many (k + 2)·ε of |y − c|²."""
MANY = 32
"""From so many charts on, bumps are evaluated where they may not vanish."""


@dataclass(frozen=True, eq=False)
class Atlas:
    """Charts (U_i, φ_i), i = 1..E, that cover a compact d-dimensional M ⊂ R^k, optionally embedded isometrically in R^D.

    All charts are of one kind. A ball atlas names in `cover` the charts whose boxes parametrise M; any other atlas
    parametrises itself. `recipe` is the `[manifold]` table of the spec that made it, if a library manifold did.
    """

    coordinates: tuple[str, ...]
    """The k names of the ambient coordinates before embedding."""
    charts: tuple[Chart, ...] | tuple[BallChart, ...]
    partition: PartitionOfUnity = DEFAULT_PARTITION
    cover: tuple[Chart, ...] = ()
    embedding: Array | None = None
    """(D, k) with orthonormal columns Q: x = Q·y. None: D = k."""
    recipe: Mapping[str, Any] | None = field(default=None, repr=False)
    region: ExpressionMap | None = None
    """g, of the coordinates: M is the part of what the charts cover where g ≥ 0 (`atlas.cut`); None: all of it."""
    implicit: Implicit | None = None
    """What the charts that parametrise M are the zeros of, of an implicit manifold."""
    noun: ClassVar[Literal["chart"]] = "chart"
    exclusive: ClassVar[bool] = False
    """Where charts overlap, subtasks agree."""
    box: ClassVar[Box | None] = None

    def __post_init__(self) -> None:
        lists_of(self, coordinates=str, charts=(Chart, BallChart), cover=Chart)
        parts_of(self, partition=PartitionOfUnity, region=(ExpressionMap, type(None)))
        if not self.charts:
            raise InvalidArgument("an atlas needs at least one chart")
        if isinstance(self.charts[0], BallChart) and not self.cover:
            raise InvalidArgument("a ball atlas needs the charts that parametrise its manifold (cover)")
        names = [chart.name for chart in self.charts]
        if len(set(names)) != len(names):
            raise InvalidArgument(f"chart names must be distinct, got {names}")
        if len({chart.dimension for chart in (*self.charts, *self.cover)}) != 1:
            raise InvalidArgument("all charts of an atlas must have the same dimension")
        if {chart.inverse.outputs for chart in self.parametrising} != {len(self.coordinates)}:
            raise InvalidArgument(f"every inverse must have the {len(self.coordinates)} ambient components {self.coordinates}")
        if self.embedding is not None and self.embedding.shape[1] != len(self.coordinates):
            raise InvalidArgument(f"the embedding has {self.embedding.shape[1]} columns for {len(self.coordinates)} ambient coordinates")

    def __len__(self) -> int:
        """E, the number of charts."""
        return len(self.charts)

    @property
    def dimension(self) -> int:
        """d."""
        return self.charts[0].dimension

    @property
    def base_dimension(self) -> int:
        """k, before embedding."""
        return len(self.coordinates)

    @property
    def ambient_dimension(self) -> int:
        """D, what the network reads."""
        return self.base_dimension if self.embedding is None else self.embedding.shape[0]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(chart.name for chart in self.charts)

    @cached_property
    def parametrising(self) -> tuple[Chart, ...]:
        """The charts whose boxes together parametrise M."""
        return self.cover or tuple(chart for chart in self.charts if isinstance(chart, Chart))

    @cached_property
    def together(self) -> Together | None:
        """The tangent charts that parametrise an implicit manifold as one map; None of others."""
        return Together.of([chart.tube for chart in self.parametrising])

    @cached_property
    def balls(self) -> tuple[Array, Array] | None:
        """Centres (E, k) and radii (E,) of a ball atlas."""
        balls = [chart for chart in self.charts if isinstance(chart, BallChart)]
        return (np.array([ball.center for ball in balls]), np.array([ball.radius for ball in balls])) if balls else None

    def embed(self, base: ArrayLike) -> Array:
        """x = Q·y; [..., k] to [..., D]."""
        base = np.asarray(base, float)
        return base if self.embedding is None else base @ self.embedding.T

    def unembed(self, ambient: ArrayLike) -> Array:
        """y = Qᵀ·x; [..., D] to [..., k]."""
        ambient = np.asarray(ambient, float)
        if ambient.shape[-1:] != (self.ambient_dimension,):
            raise InvalidArgument(f"points of shape {ambient.shape} do not end in {self.ambient_dimension} ambient coordinates")
        return ambient if self.embedding is None else ambient @ self.embedding

    def affine(self, chart: int) -> tuple[Array, Array] | None:
        """(A, b) with φ_chart(x) = A·x + b on R^D if that chart map is affine, else None."""
        affine = self.charts[chart].affine
        if affine is None or self.embedding is None:
            return affine
        return affine[0] @ self.embedding.T, affine[1]

    def bumps(self, base: ArrayLike) -> Array:
        """Unnormalised b_i(y); [..., k] to [..., E]."""
        return self._bumps(base, self.partition)

    def _bumps(self, base: ArrayLike, partition: PartitionOfUnity) -> Array:
        base = np.asarray(base, float)
        if self.balls is not None:
            return partition.profile_of(self.powers(base) / self.balls[1] ** 2)
        if len(self) < MANY:
            return np.stack([partition.bump(chart, base) for chart in self.charts], axis=-1)
        found = np.zeros((*base.shape[:-1], len(self)))
        for i in meeting(self.extents, base.reshape(-1, self.base_dimension)).tolist():
            found[..., i] = partition.bump(self.charts[i], base)
        return found

    @cached_property
    def extents(self) -> tuple[Array, Array]:
        """Corners (E, k) of a box around each chart: off it the chart's bump is 0."""
        return extents(self.charts)

    def powers(self, base: ArrayLike) -> Array:
        """r_i² − |y − c_i|² for every ball of a ball atlas, [..., k] to [..., E]: positive exactly inside the ball.

        Raises `InvalidArgument` for other atlases.
        """
        if self.balls is None:
            raise InvalidArgument("only a ball atlas has powers")
        centers, radii = self.balls
        base = np.asarray(base, float)
        squares = squared(base.reshape(-1, self.base_dimension), centers).reshape(*base.shape[:-1], len(self))
        return radii**2 - squares

    def rho(self, base: ArrayLike) -> Array:
        """The partition of unity ρ_i(y); [..., k] to [..., E]. NaN where no chart's bump is positive.

        Charts that give ρ_i itself (`partition`) are taken at their word: `lint` checks that they sum to one.
        """
        bumps = self.bumps(base)
        if all(isinstance(chart, Chart) and chart.partition is not None for chart in self.charts):
            return bumps
        with np.errstate(invalid="ignore", divide="ignore"):
            return bumps / bumps.sum(-1, keepdims=True)

    def plateau(self, base: ArrayLike, level: float) -> Array:
        """Scores b_i(y) = depth_i(y)/level in the sense of B12; [..., k] to [..., E].

        They vanish off U_i, and one of them is at least 1 at every y whose deepest chart is at least `level` deep. B12 cuts
        them off at 1; kept as they are, the deepest chart wins, and cells stay as small as on a Voronoi diagram. depth_i is what
        the default bump is a power of (1 − |y − c_i|²/r² on balls), or the bump itself where the user gave one.
        """
        return self._bumps(base, DEPTH) / level

    def contains(self, chart: int, base: ArrayLike) -> NDArray[np.bool_]:
        """Whether each point y of M lies in U_chart; by its bump's support where the forward map is unknown."""
        candidate = self.charts[chart]
        if isinstance(candidate, Chart) and candidate.forward is None:
            return self.partition.bump(candidate, base) > 0
        return candidate.contains(base)

    def membership(self, base: ArrayLike) -> NDArray[np.bool_]:
        """In which charts each point y of M lies; [..., k] to [..., E]. Of balls all at once; where rounding could tell, one by one."""
        if self.balls is not None:
            base = np.asarray(base, float)
            depth = self.powers(base) / self.balls[1] ** 2
            inside = depth > 0
            near = np.abs(depth) < ROUNDINGS * (self.base_dimension + 2) * np.finfo(float).eps
            for chart in np.flatnonzero(near.reshape(-1, len(self)).any(0)):
                rows = near[..., chart]
                inside[rows, chart] = self.contains(int(chart), base[rows])
            return inside
        return np.stack([self.contains(i, base) for i in range(len(self))], axis=-1)

    def local(self, chart: int, base: ArrayLike) -> Array | None:
        """φ_chart(y), [..., k] to [..., d]; None if the chart has no forward map."""
        forward = self.charts[chart].forward
        return None if forward is None else forward(np.asarray(base, float))

    def owner(self, base: ArrayLike) -> NDArray[np.intp]:
        """The first chart that each point lies in; [..., k] to [...], −1 off M."""
        return first_valid(self.membership(base))

    def margin(self, base: ArrayLike) -> Array:
        """The depth of the deepest chart at each point; [..., k] to [...]."""
        return np.asarray(self.plateau(base, 1.0).max(-1))

    def locate(self, base: ArrayLike) -> Points:
        """Points (N, k) of M with the last parametrising chart that holds them and φ(y); NaN where none does. Needs forward maps."""
        base = np.atleast_2d(np.asarray(base, float))
        which = np.zeros(len(base), np.intp)
        intrinsic = np.full((len(base), self.dimension), np.nan)
        for i, chart in enumerate(self.parametrising):
            rows = chart.contains(base)
            if chart.forward is not None and rows.any():
                which[rows], intrinsic[rows] = i, chart.forward(base[rows])
        return Points(which, intrinsic, base, self.embed(base))

    def parametrise(self, chart: ArrayLike, intrinsic: ArrayLike) -> Points:
        """The points φ⁻¹(u) for parametrising-chart indices (N,) and intrinsic coordinates (N, d)."""
        intrinsic = np.atleast_2d(np.asarray(intrinsic, float))
        which = np.broadcast_to(np.asarray(chart, np.intp), (len(intrinsic),))
        if self.together is not None:
            base = self.together.points(which, intrinsic)
            return Points(which, intrinsic, base, self.embed(base))
        base = np.empty((len(intrinsic), self.base_dimension))
        for i in distinct.numbers(which):
            rows = which == i
            base[rows] = self.parametrising[i].inverse(intrinsic[rows])
        return Points(which, intrinsic, base, self.embed(base))

    def inside(self, chart: NDArray[np.intp], intrinsic: Array, base: Array | None = None) -> NDArray[np.bool_]:
        """Whether u (N, d) lies in the closed box of its parametrising chart, and in the region. `base`: the points (N, k), if known."""
        found = np.zeros(len(chart), bool)
        if self.together is None or not all(part.region is None or (part.edge and self.region is not None) for part in self.parametrising):
            for i in distinct.numbers(chart):
                rows = chart == i
                found[rows] = self.parametrising[i].inside(intrinsic[rows])
            return found
        found[:] = (np.abs(intrinsic) <= self.together.frames.halves[chart]).all(1)
        if self.region is not None:
            points = self.together.points(chart[found], intrinsic[found]) if base is None else base[found]
            found[found] = self.region(points)[:, 0] >= 0
        return found

    def sample(self, count: int, seed: int, *, low_discrepancy: bool = False) -> Points:
        """Exactly `count` points of M: chart uniform, then u uniform in its box (region respected).

        Independent and identically distributed; or, with `low_discrepancy`, Sobol points, equally many per chart.
        """
        rng = np.random.default_rng(seed)
        E = len(self.parametrising)
        share = np.full(E, count // E) + (np.arange(E) < count % E) if low_discrepancy else rng.multinomial(count, np.full(E, 1 / E))
        parts = []
        for i, n in enumerate(share):
            if n:
                parts.append(self.parametrise(i, self._drawn(i, int(n), rng, low_discrepancy=low_discrepancy)))
        order = np.arange(count) if low_discrepancy else rng.permutation(count)
        return concatenate(parts)[order]

    def _drawn(self, chart: int, count: int, rng: np.random.Generator, *, low_discrepancy: bool) -> Array:
        """Intrinsic points (count, d) of a parametrising chart."""
        which = np.array([chart])

        def inside(u: Array) -> NDArray[np.bool_]:
            return self.inside(np.repeat(which, len(u)), u)

        return self.parametrising[chart].draw(count, rng, low_discrepancy=low_discrepancy, inside=inside)

    def sample_chart(self, chart: int, count: int, seed: int) -> tuple[Array, Points]:
        """`count` points of U_chart with their local coordinates φ(y): (count, d) and the points."""
        rng = np.random.default_rng([seed, chart])
        target = self.charts[chart]
        if isinstance(target, Chart):
            points = self.parametrise(chart, self._drawn(chart, count, rng, low_discrepancy=True))
            return points.intrinsic, points
        kept: list[Points] = []
        found, tried = 0, 0
        volumes = np.array([np.prod(piece.box.widths) for piece in target.pieces])
        while found < count:
            share = rng.multinomial(4 * count, volumes / volumes.sum())
            for piece, n in zip(target.pieces, share, strict=True):
                if n:
                    intrinsic = piece.box.low_discrepancy(int(n), int(rng.integers(2**31)))
                    points = self.parametrise(piece.chart, intrinsic)
                    points = points[self.inside(points.chart, intrinsic) & target.contains(points.base)]
                    kept.append(points)
                    found += len(points)
            tried += 4 * count
            if tried > 10_000 and found < 1e-4 * tried:  # of a few draws none may be inside
                raise InvalidArgument(f'chart "{target.name}": only {found} of {tried} points drawn from its pieces lie in its ball')
        points = concatenate(kept)
        points = points[rng.permutation(len(points))[:count]]
        return target.forward(points.base), points
