"""Ridge dictionaries: which directions, and where their knots go.

Neurons face outward from the middle of their direction's data, so that a point activates only the neurons between the
middle and itself: this keeps the sums, and with them the rounding of float32 inference, small. As a span nothing
changes: σ(s) = s + σ(−s), and the linear functions are kept by giving a basis of the directions both neurons at their middle knot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr

from ...atlas import Array
from ...moe.ridge import Dictionary


@dataclass(frozen=True, eq=False)
class Coordinates:
    """The affine change z = (Bᵀ(x − c)) / s to the affine hull of the data, scaled to [−1, 1] in each coordinate."""

    center: Array
    basis: Array
    """(n, r) with orthonormal columns; the identity where the data span R^n."""
    scale: Array
    """(r,)."""

    @staticmethod
    def of(inputs: Array) -> Coordinates:
        """Of data (N, n). The hull is cut where the spread falls below 1e-6 of the largest: an isometric embedding drops out.

        Squared, that is 1e-12: far above the rounding of the Gram matrix, so that no direction of pure noise survives.
        """
        # The mean lies in the hull; the middle of the bounding box need not, and would add a dimension.
        center = inputs.mean(0)
        centred = inputs - center
        values, vectors = np.linalg.eigh(centred.T @ centred)
        keep = values > 1e-12 * values[-1]
        basis = np.eye(inputs.shape[1]) if keep.all() else vectors[:, keep][:, ::-1]
        projected = centred @ basis
        low, high = projected.min(0), projected.max(0)
        return Coordinates(center + basis @ ((low + high) / 2), basis, np.maximum((high - low) / 2, np.finfo(float).tiny))

    @property
    def rank(self) -> int:
        return self.basis.shape[1]

    def __call__(self, inputs: Array) -> Array:
        return ((inputs - self.center) @ self.basis) / self.scale

    def to_input(self, directions: Array) -> Array:
        """Unit directions (K, n) of input space along which a·z varies, for directions a (K, r) of z."""
        rows = (directions / self.scale) @ self.basis.T
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def from_input(self, directions: Array) -> Array:
        """Unit directions (K, r) of z along which a·x varies on the hull, for directions a (K, n); constant ones are left out."""
        rows = (directions @ self.basis) * self.scale
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return (rows / np.maximum(lengths, np.finfo(float).tiny))[lengths[:, 0] > 0]


@dataclass(frozen=True, eq=False)
class Hint:
    """A direction in input space (n,) with the knots t at which the target is known to bend along a·x."""

    direction: Array
    knots: tuple[float, ...]


def ridge_dictionary(inputs: Array, directions: Array, knots_per_direction: int, independent: int) -> Dictionary:
    """The neurons of unit directions (K, n) of input space, `knots_per_direction` each, fitted to data (N, n).

    Knots lie halfway between equispaced points of the data's range and quantiles of the data along the direction.
    `independent` of the directions, chosen to span as well as possible, get a second neuron at their middle knot that
    faces the other way.
    """
    projected = inputs @ directions.T
    pivots = set(qr(directions.T, mode="r", pivoting=True)[1][: min(independent, len(directions))].tolist())
    fractions = (np.arange(knots_per_direction) + 0.5) / knots_per_direction
    knots, facing, counts = [], [], []
    for k in range(len(directions)):
        t = projected[:, k]
        low, high = t.min(), t.max()
        along = np.sort((low + (high - low) * fractions + np.quantile(t, fractions)) / 2)
        middle = along[len(along) // 2]
        sides = np.where(along >= middle, 1.0, -1.0)
        if k in pivots:
            along, sides = np.append(along, middle), np.append(sides, -1.0)
        knots.append(along)
        facing.append(sides)
        counts.append(len(along))
    return Dictionary(directions, tuple(counts), np.concatenate(knots), np.concatenate(facing))


def hinted_dictionary(hints: Sequence[Hint]) -> Dictionary:
    """One right-facing neuron σ(a·x − t) per hinted knot."""
    knots = np.concatenate([np.asarray(hint.knots, float) for hint in hints])
    directions = np.array([hint.direction for hint in hints])
    return Dictionary(directions, tuple(len(hint.knots) for hint in hints), knots, np.ones(len(knots)))
