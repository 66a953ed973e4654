"""`Box`: an axis-parallel box in R^d, the domain of a chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InvalidArgument
from .given import floats
from .sobol import sobol

Array = NDArray[np.float64]


def largest_coordinate(values: Array) -> Array:
    """|y|∞ of each point; [..., k] to [...], and NaN where a coordinate is."""
    if values.shape[-1] > 16:
        return np.abs(values).max(-1)
    largest = np.abs(values[..., 0])
    for k in range(1, values.shape[-1]):
        # A column at a time: reductions over a last axis of two or three are ten times slower.
        largest = np.maximum(largest, np.abs(values[..., k]))
    return largest


@dataclass(frozen=True)
class Box:
    """The closed box [lower₁, upper₁] × … × [lower_d, upper_d].

    Raises `InvalidArgument` unless all bounds are finite and lower < upper in every coordinate.
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("lower", "upper"):
            given = floats(f"box: {name}", getattr(self, name), f"{name} is one number for each coordinate, like (0, 0)")
            object.__setattr__(self, name, tuple(np.atleast_1d(given).ravel().tolist()))
        if not self.lower or len(self.lower) != len(self.upper):
            raise InvalidArgument(f"a box needs as many lower as upper bounds, at least one; got {self.lower} and {self.upper}")
        for k, (low, high) in enumerate(zip(self.lower, self.upper, strict=True)):
            if not (np.isfinite(low) and np.isfinite(high) and low < high):
                raise InvalidArgument(f"box coordinate {k}: need finite lower < upper, got [{low}, {high}]")

    @property
    def dimension(self) -> int:
        return len(self.lower)

    @property
    def center(self) -> Array:
        return (np.array(self.lower) + np.array(self.upper)) / 2

    @property
    def widths(self) -> Array:
        return np.array(self.upper) - np.array(self.lower)

    def to_unit(self, points: ArrayLike) -> Array:
        """Map the box affinely onto [−1, 1]^d; shapes [..., d] to [..., d]."""
        return (np.asarray(points, float) - self.center) / (self.widths / 2)

    def from_unit(self, points: ArrayLike) -> Array:
        """Map [−1, 1]^d affinely onto the box; shapes [..., d] to [..., d]."""
        return np.clip(self.center + np.asarray(points, float) * (self.widths / 2), self.lower, self.upper)

    def contains(self, points: ArrayLike) -> NDArray[np.bool_]:
        """Whether each point lies in the closed box; shapes [..., d] to [...]. NaN lies in no box."""
        points = np.asarray(points, float)
        inside = np.ones(points.shape[:-1], bool)
        for k, (low, high) in enumerate(zip(self.lower, self.upper, strict=True)):
            inside = inside & (points[..., k] >= low) & (points[..., k] <= high)
        return inside

    def uniform(self, count: int, rng: np.random.Generator) -> Array:
        """`count` independent uniform points, shape (count, d)."""
        return rng.uniform(self.lower, self.upper, (count, self.dimension))

    def low_discrepancy(self, count: int, seed: int) -> Array:
        """The first `count` points of a scrambled Sobol sequence, shape (count, d). Deterministic for a seed."""
        exponent = max(1, int(np.ceil(np.log2(max(count, 2)))))
        points = sobol(self.dimension, exponent, seed)[:count]
        return self.from_unit(2 * points - 1)

    def cells(self, count: int) -> tuple[Array, Array]:
        """About `count` equal boxes that fill this one; see `box_cells`."""
        return box_cells(self.lower, self.upper, count)

    def corners(self) -> Array:
        """All 2^d corners, shape (2^d, d)."""
        grid = np.array(np.meshgrid(*zip(self.lower, self.upper, strict=True), indexing="ij"))
        return grid.reshape(self.dimension, -1).T

    def on_face(self, axis: int, side: int, points: ArrayLike) -> Array:
        """The points moved along `axis` onto the lower (`side` 0) or upper (`side` 1) face."""
        moved = np.array(points, float)
        moved[..., axis] = (self.lower, self.upper)[side][axis]
        return moved


def box_cells(lower: Sequence[float] | Array, upper: Sequence[float] | Array, count: int) -> tuple[Array, Array]:
    """The lower and upper corners, (n, d) each, of about `count` equal boxes that fill a box; the last axis runs fastest.

    An axis of no width is not cut. With more axes than `count` allows to cut, the box itself.
    """
    flat = np.asarray(lower) == np.asarray(upper)
    each = max(1, int(count ** (1 / max(1, int((~flat).sum())))))
    if each == 1:
        return np.array([lower], float), np.array([upper], float)
    edges = [np.linspace(a, b, (1 if point else each) + 1) for a, b, point in zip(lower, upper, flat, strict=True)]
    sides = (np.meshgrid(*(edge[part] for edge in edges), indexing="ij") for part in (slice(-1), slice(1, None)))
    low, high = (np.stack(side, axis=-1).reshape(-1, len(edges)) for side in sides)
    return low, high


def halved(lower: Array, upper: Array, side: NDArray[np.intp], *, beside: bool = False) -> tuple[Array, Array]:
    """Boxes (N, d) in two along one side each, (2N, d) lower and upper corners, at lower + (upper − lower)/2, which both halves share.

    All first halves, then all second ones; `beside`: both halves of a box one after the other.
    """
    rows = np.arange(len(lower))
    low, high = np.stack([lower, lower]), np.stack([upper, upper])
    high[0, rows, side] = low[1, rows, side] = lower[rows, side] + (upper[rows, side] - lower[rows, side]) / 2
    if beside:
        low, high = low.swapaxes(0, 1), high.swapaxes(0, 1)
    return low.reshape(-1, lower.shape[1]), high.reshape(-1, lower.shape[1])
