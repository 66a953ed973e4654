"""`Tiling`: an interval or a box cut into pieces, and which piece every point of an interface belongs to (Theorem 5.3, R3).

Subtasks of neighbouring pieces may disagree where the pieces meet, so an interface point has to belong to exactly one of
them. A piece says for every face whether the face is its own. What is asked of a tiling (no gap, no overlap, one owner for
every interface point) is checked in `tiling_checks`, exactly: floats are compared, never added.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InvalidArgument
from ...expressions.box import Array, Box
from ...expressions.given import lists_of, parts_of
from ...expressions.maps import identity
from ..chart import Chart
from ..domain import first_valid
from ..points import Points

Faces = tuple[tuple[bool, bool], ...]

CLOSED = {"lower": (True, False), "upper": (False, True), "both": (True, True), "none": (False, False)}
"""What a piece may say of its two faces along one axis: [a, b), (a, b], [a, b], (a, b)."""


ROWS = 256
"""Pieces that are compared with all others at a time."""
OVER = 2.0**-32
"""Computed values may lie outside of what pieces fill by this part of its size, as rounding leads them, and belong to the outer ones."""
MAX_PAIRS = 1 << 18
"""Pairs of pieces that meet, of a tiling that is no grid; intervals have E − 1."""


@dataclass(frozen=True)
class BoxPiece:
    """One piece of a tiling: a box, and for every axis whether its lower and its upper face are its own.

    `closed` is () for the default: [a, b) along every axis, so that an interface point belongs to the piece above it.
    Faces on the outside of the whole tiling belong to the piece whatever it says.
    """

    name: str
    box: Box
    closed: Faces = ()

    def __post_init__(self) -> None:
        parts_of(self, name=str, box=Box)
        if not self.closed:
            object.__setattr__(self, "closed", (CLOSED["lower"],) * self.box.dimension)
        if len(self.closed) != self.box.dimension or not all(pair in CLOSED.values() for pair in self.closed):
            raise InvalidArgument(
                f'piece "{self.name}": closed must be a pair (lower, upper) of booleans for each of {self.box.dimension} axes'
            )


@dataclass(frozen=True, eq=False)
class Tiling:
    """Pieces that fill a box of R^k: closed, they cover it, and no two of them share an inner point."""

    pieces: tuple[BoxPiece, ...]
    coordinates: tuple[str, ...] = ()
    """The k names of its coordinates; () for z1, z2, …"""
    noun: ClassVar[Literal["piece"]] = "piece"
    exclusive: ClassVar[bool] = True
    """Every point has one owner, because subtasks may disagree where pieces meet."""
    embedding: ClassVar[Array | None] = None

    def __post_init__(self) -> None:
        lists_of(self, pieces=BoxPiece)
        if not self.pieces or len({piece.box.dimension for piece in self.pieces}) != 1:
            raise InvalidArgument("a tiling needs at least one piece, and all of one dimension")
        if not self.coordinates:
            object.__setattr__(self, "coordinates", tuple(f"z{k + 1}" for k in range(self.dimension)))

    @classmethod
    def whole(cls, box: Box, coordinates: Sequence[str] = (), name: str = "all") -> Tiling:
        """A box as the tiling of one piece."""
        return cls((BoxPiece(name, box),), tuple(coordinates))

    @classmethod
    def intervals(cls, knots: Sequence[float], closed: str = "lower", names: Sequence[str] = ()) -> Tiling:
        """[t_0, t_1), [t_1, t_2), …, [t_{E−1}, t_E] for increasing knots t_0 < … < t_E of any spacing.

        `closed` is "lower", or "upper" for [t_0, t_1], (t_1, t_2], …. Raises `InvalidArgument` for other words or knots.
        """
        return cls.grid([knots], closed, names)

    @classmethod
    def grid(cls, knots: Sequence[Sequence[float]], closed: str = "lower", names: Sequence[str] = ()) -> Tiling:
        """The boxes between the knots of every axis, the last axis running fastest; `closed` as for `intervals`."""
        if closed not in ("lower", "upper"):
            raise InvalidArgument(f'closed must be "lower" or "upper", got {closed!r}')
        cells = list(itertools.product(*(list(itertools.pairwise(axis)) for axis in knots)))
        names = names or [f"piece{i + 1}" for i in range(len(cells))]
        if len(names) != len(cells):
            raise InvalidArgument(f"{len(names)} names for {len(cells)} pieces")
        return cls(
            tuple(
                BoxPiece(name, Box(tuple(low for low, _ in cell), tuple(high for _, high in cell)), (CLOSED[closed],) * len(cell))
                for name, cell in zip(names, cells, strict=True)
            )
        )

    def __len__(self) -> int:
        """E, the number of pieces."""
        return len(self.pieces)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(piece.name for piece in self.pieces)

    @property
    def dimension(self) -> int:
        """k."""
        return self.pieces[0].box.dimension

    base_dimension = ambient_dimension = dimension

    def embed(self, base: ArrayLike) -> Array:
        """The points themselves."""
        return np.asarray(base, float)

    unembed = embed

    @cached_property
    def parametrising(self) -> tuple[Chart, ...]:
        """The pieces as charts: φ = id in symbols of `coordinates`, and every face a boundary."""
        same = identity(self.coordinates)
        faces = ((True, True),) * self.dimension
        return tuple(Chart(piece.name, piece.box, same, same, faces) for piece in self.pieces)

    @cached_property
    def lower(self) -> Array:
        """(E, k)."""
        return np.array([piece.box.lower for piece in self.pieces])

    @cached_property
    def upper(self) -> Array:
        """(E, k)."""
        return np.array([piece.box.upper for piece in self.pieces])

    @cached_property
    def domain(self) -> Box:
        """The box that the pieces fill."""
        return Box(tuple(self.lower.min(0)), tuple(self.upper.max(0)))

    def beyond(self, lower: ArrayLike, upper: ArrayLike) -> Array:
        """How far [lower, upper] reaches outside of `domain`, (k,)."""
        return np.maximum(np.maximum(np.subtract(self.domain.lower, lower), np.subtract(upper, self.domain.upper)), 0.0)

    def reaching(self, lower: ArrayLike, upper: ArrayLike) -> Tiling | None:
        """The tiling whose outer faces are moved outwards as far as [lower, upper] (k,) reaches; None where that is more than rounding.

        Definition. Along an axis filled by [a, b], v with a − δ ≤ v < a or b < v ≤ b + δ, δ = OVER·max(|a|, |b|), belongs to the
        piece of the nearest point of [a, b], whose formula goes on there. So an enclosure may be that much wider than the values that it
        holds. A block is what its pieces say on the box that they fill, and not defined outside: nothing is claimed of it there.
        """
        a, b = np.array(self.domain.lower), np.array(self.domain.upper)
        beyond = self.beyond(lower, upper)
        if not beyond.any():
            return self
        if not (beyond <= OVER * np.maximum(np.abs(a), np.abs(b))).all():
            return None
        low, high = np.minimum(a, lower), np.maximum(b, upper)
        lowers, uppers = np.where(self.lower == a, low, self.lower), np.where(self.upper == b, high, self.upper)
        boxes = [Box(tuple(one), tuple(other)) for one, other in zip(lowers.tolist(), uppers.tolist(), strict=True)]
        pieces = tuple(BoxPiece(piece.name, box, piece.closed) for piece, box in zip(self.pieces, boxes, strict=True))
        return Tiling(pieces, self.coordinates)

    @property
    def box(self) -> Box:
        """`domain`."""
        return self.domain

    @cached_property
    def owned(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which lower and which upper faces belong to their piece, both (E, k); those on the outside always do."""
        closed = np.array([piece.closed for piece in self.pieces])
        return closed[..., 0] | (self.lower == self.domain.lower), closed[..., 1] | (self.upper == self.domain.upper)

    @cached_property
    def knots(self) -> tuple[Array, ...]:
        """For every axis the increasing places at which pieces begin or end."""
        return tuple(np.unique(np.concatenate([self.lower[:, k], self.upper[:, k]])) for k in range(self.dimension))

    def contains(self, points: ArrayLike) -> NDArray[np.bool_]:
        """Which piece each point belongs to: [..., k] to [..., E], True once inside `domain` and nowhere outside."""
        z = np.asarray(points, float)[..., None, :]
        low, high = self.owned
        inside: NDArray[np.bool_] = np.where(low, z >= self.lower, z > self.lower) & np.where(high, z <= self.upper, z < self.upper)
        return np.asarray(inside.all(-1))

    membership = contains

    def rho(self, points: ArrayLike) -> Array:
        """The indicators of the pieces, [..., k] to [..., E]: what a partition of unity is where nothing overlaps."""
        return self.contains(points).astype(float)

    def local(self, piece: int, points: ArrayLike) -> Array | None:
        """The points themselves."""
        return np.asarray(points, float)

    def owner(self, points: ArrayLike) -> NDArray[np.intp]:
        """The piece that each point belongs to, [..., k] to [...]; −1 outside `domain`."""
        return first_valid(self.contains(points))

    def margin(self, points: ArrayLike) -> Array:
        """The distance (largest norm) of each point of `domain` to the nearest interface, [..., k] to [...]: the margin of B10."""
        z = np.asarray(points, float)[..., None, :]
        depth = np.minimum(
            np.where(self.lower == self.domain.lower, np.inf, z - self.lower),
            np.where(self.upper == self.domain.upper, np.inf, self.upper - z),
        ).min(-1)
        return np.maximum(depth.max(-1), 0)

    def locate(self, base: ArrayLike) -> Points:
        """Points (N, k) of `domain`, each with its owner."""
        base = np.atleast_2d(np.asarray(base, float))
        return self.parametrise(self.owner(base), base)

    def parametrise(self, chart: ArrayLike, intrinsic: ArrayLike) -> Points:
        """The points themselves, each as one of the piece that it is said to be of."""
        points = np.atleast_2d(np.asarray(intrinsic, float))
        return Points(np.broadcast_to(np.asarray(chart, np.intp), (len(points),)), points, points, points)

    def sample(self, count: int, seed: int, *, low_discrepancy: bool = False) -> Points:
        """`count` points of `domain`, independent and uniform or those of a Sobol sequence."""
        rng = np.random.default_rng(seed)
        points = self.domain.low_discrepancy(count, int(rng.integers(2**31))) if low_discrepancy else self.domain.uniform(count, rng)
        return self.locate(points)

    def sample_chart(self, chart: int, count: int, seed: int) -> tuple[Array, Points]:
        """`count` points of a closed piece, and the same as `Points`."""
        points = self.parametrising[chart].draw(count, np.random.default_rng([seed, chart]), low_discrepancy=True)
        return points, self.parametrise(chart, points)

    @cached_property
    def half_open(self) -> tuple[bool, ...] | None:
        """For every axis whether all pieces own their lower faces (True) or their upper faces; None if pieces differ.

        Then every point z of `domain` has one owner: for small δ > 0 the piece around z + δ·v, with v_k = 1 for lower faces and −1
        for upper ones, turned round where z lies on the outside.
        """
        if len(self) == 1:
            return (True,) * self.dimension
        axes = [{piece.closed[k] for piece in self.pieces} for k in range(self.dimension)]
        if any(axis not in ({CLOSED["lower"]}, {CLOSED["upper"]}) for axis in axes):
            return None
        return tuple(axis == {CLOSED["lower"]} for axis in axes)

    @property
    def is_grid(self) -> bool:
        """Whether the pieces are all boxes between knots of every axis; the tiling has no gap or overlap."""
        return len(self) == math.prod(len(knots) - 1 for knots in self.knots)

    def touching(self, most: int) -> NDArray[np.intp]:
        """Pairs of pieces whose closed boxes have a point in common, (P, 2), the lower index first; at most about `most`."""
        found, count = [], 0
        for start in range(0, len(self), ROWS):
            rows = slice(start, start + ROWS)
            near = np.arange(len(self)) > np.arange(start, min(start + ROWS, len(self)))[:, None]
            for k in range(self.dimension):
                near &= (self.lower[rows, None, k] <= self.upper[None, :, k]) & (self.upper[rows, None, k] >= self.lower[None, :, k])
            found.append(np.argwhere(near) + np.array([start, 0]))
            count += len(found[-1])
            if count > most:
                break
        return np.concatenate(found)[:most]

    def reaches(self, p: NDArray[np.intp], q: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Whether each piece p owns a point of the closed box of another piece q, (P,) and (P,) to (P,)."""
        low, high = self.owned
        a, b = np.maximum(self.lower[p], self.lower[q]), np.minimum(self.upper[p], self.upper[q])
        own = np.where(a == self.upper[p], high[p], np.where(a == self.lower[p], low[p], True))
        return np.asarray(((a < b) | ((a == b) & own)).all(-1))

    @cached_property
    def precedence(self) -> tuple[int, ...] | None:
        """The pieces in an order in which, of all closed boxes that hold a point, the first is that of its owner.

        So experts in this order, with B10's scores and the first of equal scores winning, route every interface point as
        the tiling says. None if no order does, or if more than MAX_PAIRS pairs of pieces meet in a tiling that is no half-open grid.
        """
        if self.half_open is not None and self.is_grid:
            # Of the boxes around a point the owner is the last along axes with lower faces, the first along the others.
            keys = [self.lower[:, k] * (-1 if lower else 1) for k, lower in enumerate(self.half_open)]
            return tuple(np.lexsort(keys[::-1]).tolist())
        pairs = self.touching(MAX_PAIRS + 1)
        if len(pairs) > MAX_PAIRS:
            return None
        both = np.concatenate([pairs, pairs[:, ::-1]])
        import networkx

        graph = networkx.DiGraph()
        graph.add_nodes_from(range(len(self)))
        graph.add_edges_from(both[self.reaches(both[:, 0], both[:, 1])].tolist())
        try:
            return tuple(networkx.lexicographical_topological_sort(graph))
        except networkx.NetworkXUnfeasible:
            return None
