"""`Ridge`: a two-layer ReLU net with few directions, Σ_k q_k(a_k·u) with one-dimensional piecewise-linear profiles q_k.

The form in which two-layer nets are built, and the lever for whoever encloses or evaluates them: along one direction only the knots
on either side of a_k·u matter. `to_relu` writes the plain weights, all rows of one direction equal bit for bit up to
sign; `Ridge.of` recognises the form in the weights of any net, so nothing but the weights needs to be stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..atlas import Array
from ..errors import InvalidArgument
from .network import Affine, NeuronGroup, ReLUNet


@dataclass(frozen=True, eq=False)
class Dictionary:
    """Hidden neurons u ↦ σ(f_j·(a_{k(j)}·u − t_j)), grouped by direction; K directions, m neurons."""

    directions: Array
    """(K, n), unit length where they are built by us."""
    counts: tuple[int, ...]
    """Neurons per direction; neurons are ordered by direction."""
    knots: Array
    """t (m,)."""
    facing: Array
    """f (m,) of ±1: towards which side of its knot a neuron is active."""

    def __post_init__(self) -> None:
        m = sum(self.counts)
        if len(self.counts) != len(self.directions) or self.knots.shape != (m,) or self.facing.shape != (m,):
            raise InvalidArgument(f"{len(self.directions)} directions with counts {self.counts}, but {self.knots.shape} knots")

    @property
    def width(self) -> int:
        """m."""
        return len(self.knots)

    def features(self, inputs: Array) -> Array:
        """The hidden activations (N, m) at inputs (N, n)."""
        out = np.repeat(inputs @ self.directions.T, self.counts, axis=1)
        out -= self.knots
        out *= self.facing
        return np.maximum(out, 0, out=out)

    def __add__(self, other: Dictionary) -> Dictionary:
        """The neurons of both."""
        return Dictionary(
            np.concatenate([self.directions, other.directions]),
            self.counts + other.counts,
            np.concatenate([self.knots, other.knots]),
            np.concatenate([self.facing, other.facing]),
        )

    @property
    def rows(self) -> Array:
        """The hidden weights (m, n): f_j·a_{k(j)}."""
        return self.facing[:, None] * np.repeat(self.directions, self.counts, axis=0)

    def affine(self) -> Affine:
        """The hidden layer as one affine map."""
        return Affine(self.rows, -self.facing * self.knots)


@dataclass(frozen=True, eq=False)
class Ridge:
    """u ↦ constant + Σ_j weights[:, j]·σ(f_j·(a_{k(j)}·u − t_j)) = constant + Σ_k q_k(a_k·u), R^n → R^q."""

    dictionary: Dictionary
    weights: Array
    """(q, m)."""
    constant: Array
    """(q,)."""

    def to_relu(self, name: str, origin: str) -> ReLUNet:
        """The plain two-layer net; neurons `name[j]` in the order of the dictionary."""
        group = NeuronGroup(name, self.dictionary.width, origin)
        return ReLUNet((self.dictionary.affine(), Affine(self.weights, self.constant)), ((group,),))

    @staticmethod
    def of(net: ReLUNet) -> Ridge:
        """The ridge form of a two-layer net: rows that agree bit for bit up to sign share a direction.

        Exact: `to_relu` of the result has the same rows and biases, grouped by direction. A net with scattered directions
        becomes one direction a neuron. Raises `InvalidArgument` for other depths.
        """
        if len(net.affines) != 2:
            raise InvalidArgument(f"a ridge form needs a two-layer net, this one has {len(net.affines)} layers")
        hidden, output = net.affines
        rows = np.asarray(hidden.weight, float)
        leading = rows[np.arange(len(rows)), np.argmax(rows != 0, axis=1)]
        facing = np.where(leading < 0, -1.0, 1.0)
        directions, which = np.unique(rows * facing[:, None] + 0.0, axis=0, return_inverse=True)
        order = np.argsort(which, kind="stable")
        counts = tuple(int(c) for c in np.bincount(which, minlength=len(directions)))
        knots = -facing * np.asarray(hidden.bias, float)
        dictionary = Dictionary(directions, counts, knots[order], facing[order])
        return Ridge(dictionary, np.asarray(output.weight, float)[:, order], np.asarray(output.bias, float))

    @property
    def steepness(self) -> Array:
        """Bounds of |∂_k of each component| on all of R^n, (q, n): Σ over directions of |a_k|·sup|q′|, whose pieces have the slopes
        −Σ_left w + Σ_{knots passed} w.
        """
        bound, start = np.zeros((len(self.constant), self.dictionary.directions.shape[1])), 0
        for direction, count in zip(self.dictionary.directions, self.dictionary.counts, strict=True):
            part = slice(start, start + count)
            start += count
            order = np.argsort(self.dictionary.knots[part], kind="stable")
            weights = self.weights[:, part][:, order]
            left = np.where(self.dictionary.facing[part][order] < 0, weights, 0.0).sum(1, keepdims=True)
            slopes = np.concatenate([-left, np.cumsum(weights, axis=1) - left], axis=1)
            bound += np.abs(slopes).max(1)[:, None] * np.abs(direction)
        return bound

    def profile(self, direction: int, t: ArrayLike) -> Array:
        """q_direction(t) for t (N,), (N, q): prefix sums over sorted knots, O(log m) a point."""
        start = sum(self.dictionary.counts[:direction])
        part = slice(start, start + self.dictionary.counts[direction])
        knots, facing, weights = self.dictionary.knots[part], self.dictionary.facing[part], self.weights[:, part]
        t = np.asarray(t, float)
        total = np.zeros((len(t), len(self.constant)))
        for side in (1.0, -1.0):
            chosen = facing == side
            order = np.argsort(side * knots[chosen], kind="stable")
            # σ(s·(t − k)) = s·t − s·k for every knot that lies before t in the direction s.
            passed = np.searchsorted(side * knots[chosen][order], side * t, side="left")
            slope = np.concatenate([np.zeros((len(total[0]), 1)), np.cumsum(weights[:, chosen][:, order], axis=1)], axis=1)
            shift = np.cumsum(weights[:, chosen][:, order] * (side * knots[chosen][order]), axis=1)
            shift = np.concatenate([np.zeros((len(total[0]), 1)), shift], axis=1)
            total += side * t[:, None] * slope[:, passed].T - shift[:, passed].T
        return total

    def __call__(self, inputs: ArrayLike) -> Array:
        """Evaluation profile by profile; inputs (N, n) to (N, q). Equals the plain net up to rounding."""
        projected = np.asarray(inputs, float) @ self.dictionary.directions.T
        return self.constant + sum(self.profile(k, projected[:, k]) for k in range(len(self.dictionary.directions)))
