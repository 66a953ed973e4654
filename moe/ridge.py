"""`Ridge`: a two-layer net with few directions, Σ_k q_k(a_k·u) with one-dimensional profiles q_k.

The form in which two-layer nets are built, and the lever for whoever encloses or evaluates them: a profile is a function of one
number, piecewise linear for ReLU neurons, smooth for others. `to_net` writes the plain weights, all rows of one direction equal bit for bit
up to sign; `Ridge.of` recognises the form in the weights of any net, so nothing but the weights needs to be stored.

Product lanes act(f·(a·u − t))·(c + U·u) of one direction are n + 1 profiles, q_0(a·u) + Σ_i u_i·q_i(a·u).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..atlas import Array
from ..errors import InvalidArgument
from .activations import RELU, Activation
from .network import Affine, Net, NeuronGroup

TAIL, GRID = 40.0, 4096
"""How far beyond its knots a smooth profile is looked at, and at how many points."""


@dataclass(frozen=True, eq=False)
class Dictionary:
    """Hidden neurons u ↦ act(f_j·(a_{k(j)}·u − t_j)), grouped by direction; K directions, m neurons."""

    directions: Array
    """(K, n), as they are stored: of unit length where ReLU neurons are built by us, otherwise β/h, h the distance of knots in space."""
    counts: tuple[int, ...]
    """Neurons per direction; neurons are ordered by direction."""
    knots: Array
    """t (m,)."""
    facing: Array
    """f (m,) of ±1: towards which side of its knot a neuron is active."""
    activation: Activation = RELU

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
        return np.maximum(out, 0, out=out) if self.activation is RELU else np.asarray(self.activation(out))

    def __add__(self, other: Dictionary) -> Dictionary:
        """The neurons of both. Raises `InvalidArgument` for two activations."""
        if self.activation is not other.activation:
            raise InvalidArgument(f"one dictionary has one activation, not {self.activation} and {other.activation}; put nets side by side")
        return Dictionary(
            np.concatenate([self.directions, other.directions]),
            self.counts + other.counts,
            np.concatenate([self.knots, other.knots]),
            np.concatenate([self.facing, other.facing]),
            self.activation,
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
    """u ↦ constant + Σ_j weights[:, j]·act(f_j·(a_{k(j)}·u − t_j))·(c_j + U_j·u) = constant + Σ_k q_k(a_k·u), R^n → R^q."""

    dictionary: Dictionary
    weights: Array
    """(q, m)."""
    constant: Array
    """(q,)."""
    ups: Affine | None = None
    """U (m, n) and c (m,); None: plain neurons, U = 0, c = 1."""

    def to_net(self, name: str, origin: str) -> Net:
        """The plain two-layer net; neurons `name[j]` in the order of the dictionary."""
        group = NeuronGroup(name, self.dictionary.width, origin, self.dictionary.activation)
        return Net((self.dictionary.affine(), Affine(self.weights, self.constant)), ((group,),), (self.ups,))

    def to_relu(self, name: str, origin: str) -> Net:
        """The same, by its name from before there were other activations."""
        return self.to_net(name, origin)

    @staticmethod
    def of(net: Net) -> Ridge:
        """The ridge form of a two-layer net: rows that agree bit for bit up to sign share a direction.

        Exact: `to_net` of the result has the same rows and biases, grouped by direction. A net with scattered directions
        becomes one direction a neuron. Raises `InvalidArgument` for other depths, and for nets of several activations.
        """
        if len(net.affines) != 2:
            raise InvalidArgument(f"a ridge form needs a two-layer net, this one has {len(net.affines)} layers")
        if len(net.activations[0]) > 1:
            raise InvalidArgument(f"a ridge form has one activation, this net has {', '.join(str(a) for _, a in net.activations[0])}")
        hidden, output = net.affines
        rows = np.asarray(hidden.weight, float)
        leading = rows[np.arange(len(rows)), np.argmax(rows != 0, axis=1)]
        facing = np.where(leading < 0, -1.0, 1.0)
        directions, which = np.unique(rows * facing[:, None] + 0.0, axis=0, return_inverse=True)
        order = np.argsort(which, kind="stable")
        counts = tuple(int(c) for c in np.bincount(which, minlength=len(directions)))
        knots = -facing * np.asarray(hidden.bias, float)
        activation = net.activations[0][0][1] if len(rows) else RELU
        dictionary = Dictionary(directions, counts, knots[order], facing[order], activation)
        up = net.ups[0]
        ups = None if up is None else Affine(np.asarray(up.weight, float)[order], np.asarray(up.bias, float)[order])
        return Ridge(dictionary, np.asarray(output.weight, float)[:, order], np.asarray(output.bias, float), ups)

    @property
    def steepness(self) -> Array:
        """Bounds of |∂_k of each component| on all of R^n, (q, n): Σ over directions of |a_k|·sup|q′|; ∞ for product lanes."""
        bound, start = np.zeros((len(self.constant), self.dictionary.directions.shape[1])), 0
        if self.ups is not None:
            return np.full_like(bound, np.inf)
        for direction, count in zip(self.dictionary.directions, self.dictionary.counts, strict=True):
            part = slice(start, start + count)
            start += count
            knots, facing, weights = self.dictionary.knots[part], self.dictionary.facing[part], self.weights[:, part]
            slopes = _relu_slopes if self.dictionary.activation is RELU else _slopes
            bound += slopes(self.dictionary.activation, knots, facing, weights)[:, None] * np.abs(direction)
        return bound

    def profile(self, direction: int, t: ArrayLike) -> Array:
        """q_direction(t) for t (N,), (N, q), of a ridge without lanes; ReLU neurons by prefix sums over sorted knots."""
        start = sum(self.dictionary.counts[:direction])
        part = slice(start, start + self.dictionary.counts[direction])
        knots, facing, weights = self.dictionary.knots[part], self.dictionary.facing[part], self.weights[:, part]
        t = np.asarray(t, float)
        if self.dictionary.activation is not RELU:
            return np.asarray(self.dictionary.activation(facing * (t[:, None] - knots)) @ weights.T)
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
        inputs = np.asarray(inputs, float)
        if self.ups is not None:
            lanes = self.dictionary.features(inputs) * self.ups(inputs)
            return np.asarray(lanes @ self.weights.T + self.constant)
        projected = inputs @ self.dictionary.directions.T
        return self.constant + sum(self.profile(k, projected[:, k]) for k in range(len(self.dictionary.directions)))


def _relu_slopes(_: Activation, knots: Array, facing: Array, weights: Array) -> Array:
    """sup|q′| (q,) of a piecewise-linear profile, whose pieces have the slopes −Σ_left w + Σ_{knots passed} w."""
    order = np.argsort(knots, kind="stable")
    sorted_ = weights[:, order]
    left = np.where(facing[order] < 0, sorted_, 0.0).sum(1, keepdims=True)
    slopes = np.concatenate([-left, np.cumsum(sorted_, axis=1) - left], axis=1)
    return np.asarray(np.abs(slopes).max(1))


def _slopes(activation: Activation, knots: Array, facing: Array, weights: Array) -> Array:
    """A bound of sup|q′| (q,): on a grid of distance h over all knots and `TAIL` beyond |q′| ≤ the value at the nearest point + Σ|w|·
    sup|act″|·h/2; farther out, where act′ is within 1e-15 of 0 or 1, |q′| differs from that at the last point by no more than h allows for.
    """
    low, high = knots.min() - TAIL, knots.max() + TAIL
    grid, step = np.linspace(low, high, GRID, retstep=True)
    if not activation.smooth:
        return np.full(len(weights), np.inf)
    z = facing * (grid[:, None] - knots)
    first = activation.derivatives(z, 1)[0][1] * facing
    size = np.abs(weights).sum(1)
    return np.asarray(np.abs(first @ weights.T).max(0) + size * activation.supremum(2) * step * (0.5 + 2.0**-10))
