"""Ridge dictionaries: the hidden layer of a two-layer net, as few directions with many knots each.

A direction a and a knot t give the neuron σ(±(a·z − t)). Neurons face outward from the middle of their direction's data,
so that a point activates only the neurons between the middle and itself: this keeps the sums, and with them
the rounding of float32 inference, small. As a span nothing changes: σ(s) = s + σ(−s), and the linear functions are kept by
giving a basis of the directions both neurons at their middle knot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr

from ...atlas import Array
from ..network import Affine


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
        """Of data (N, n). The hull is cut at singular values below 1e-9 of the largest: an isometric embedding drops out."""
        low, high = inputs.min(0), inputs.max(0)
        center = (low + high) / 2
        centred = inputs - center
        n = inputs.shape[1]
        gram = centred.T @ centred
        values, vectors = np.linalg.eigh(gram)
        keep = values > 1e-16 * values[-1]
        basis = np.eye(n) if keep.all() else vectors[:, keep][:, ::-1]
        return Coordinates.along(center, basis, inputs)

    @staticmethod
    def along(center: Array, basis: Array, inputs: Array) -> Coordinates:
        """With a given basis; centre and scale are fitted to the data."""
        projected = (inputs - center) @ basis
        low, high = projected.min(0), projected.max(0)
        center = center + basis @ ((low + high) / 2)
        return Coordinates(center, basis, np.maximum((high - low) / 2, 1e-12))

    @property
    def rank(self) -> int:
        return self.basis.shape[1]

    def __call__(self, inputs: Array) -> Array:
        return ((inputs - self.center) @ self.basis) / self.scale

    @property
    def affine(self) -> Affine:
        weight = (self.basis / self.scale).T
        return Affine(weight, -weight @ self.center)


@dataclass(frozen=True, eq=False)
class Hint:
    """A direction in input space (n,) with the knots t at which the target is known to bend along a·x."""

    direction: Array
    knots: tuple[float, ...]


def ridge_dictionary(z: Array, directions: Array, knots_per_direction: int) -> Affine:
    """The neurons of the given unit directions (k, r), `knots_per_direction` each, fitted to data z (N, r).

    Knots lie halfway between equispaced points of the data's range and quantiles of the data along the direction.
    Row order: by direction, knots ascending, then the opposite-facing middle neurons of r independent directions.
    """
    projected = z @ directions.T
    rows, biases = [], []
    fractions = (np.arange(knots_per_direction) + 0.5) / knots_per_direction
    middle_knot = np.empty(len(directions))
    for k, direction in enumerate(directions):
        t = np.sort(projected[:, k])
        even = t[0] + (t[-1] - t[0]) * fractions
        knots = np.sort((even + np.quantile(t, fractions)) / 2)
        middle = knots[len(knots) // 2]
        middle_knot[k] = middle
        facing = np.where(knots >= middle, 1.0, -1.0)
        rows.append(facing[:, None] * direction)
        biases.append(-facing * knots)
    independent = qr(directions.T, mode="r", pivoting=True)[1][: min(z.shape[1], len(directions))]
    rows.append(-directions[independent])
    biases.append(middle_knot[independent])
    return Affine(np.concatenate(rows), np.concatenate(biases))


def hinted_dictionary(hints: Sequence[Hint]) -> Affine:
    """One right-facing neuron σ(a·x − t) per hinted knot, in input space."""
    rows = np.concatenate([np.tile(hint.direction, (len(hint.knots), 1)) for hint in hints])
    return Affine(rows, -np.concatenate([np.asarray(hint.knots, float) for hint in hints]))
