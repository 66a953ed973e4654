"""The two kinds of hidden layers that are fitted: plain neurons, and product lanes act(z)·(c + U·u) as in SwiGLU.

Both are linear in what is fitted, so both are columns of a least squares problem: `columns` gives them, `ridge` turns the
coefficients into a net.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array
from ...moe.activations import Activation
from ...moe.nets import Affine, Net
from ...moe.ridge import Dictionary, Ridge
from ..relu.dictionary import Coordinates
from .lattice import Shape, lattice, with_reflections

NEGLIGIBLE = 1e-9
"""A lane whose share is smaller than this part of the largest one is left out: what it adds is below float32."""
OPEN_GATE = 1.0
"""Bias of a gate that is the same everywhere: its lane carries a linear function."""


class Form(ABC):
    """A hidden layer with fixed neurons, whose output weights are to be found."""

    @abstractmethod
    def columns(self, inputs: Array) -> Array:
        """(N, p) at inputs (N, n); the last column is the constant 1."""

    @abstractmethod
    def ridge(self, weights: Array) -> Ridge | None:
        """The net of coefficients (p, q) as a ridge, if it is one."""

    @abstractmethod
    def net(self, weights: Array, name: str, origin: str) -> Net:
        """The net of coefficients (p, q)."""


class Lattice(Form):
    """A form of neurons of one activation, some of which can be left out."""

    dictionary: Dictionary

    @property
    @abstractmethod
    def blocks(self) -> NDArray[np.intp]:
        """The columns of each neuron, (m, b)."""

    @property
    @abstractmethod
    def size(self) -> int:
        """p."""

    @abstractmethod
    def among(self, dictionary: Dictionary) -> Lattice:
        """With other neurons."""

    def part(self, kept: NDArray[np.intp]) -> Lattice:
        """With the neurons of ascending indices `kept`."""
        return self.among(_part(self.dictionary, kept))


@dataclass(frozen=True, eq=False)
class Plain(Lattice):
    """Σ_j w_j·act(f_j·(a_j·x − t_j)) + constant."""

    dictionary: Dictionary

    @property
    def blocks(self) -> NDArray[np.intp]:
        return np.arange(self.dictionary.width)[:, None]

    @property
    def size(self) -> int:
        return self.dictionary.width + 1

    def among(self, dictionary: Dictionary) -> Plain:
        return Plain(dictionary)

    def columns(self, inputs: Array) -> Array:
        return np.concatenate([self.dictionary.features(inputs), np.ones((len(inputs), 1))], axis=1)

    def ridge(self, weights: Array) -> Ridge:
        return Ridge(self.dictionary, np.ascontiguousarray(weights[:-1].T), weights[-1].copy())

    def net(self, weights: Array, name: str, origin: str) -> Net:
        return self.ridge(weights).to_net(name, origin)


@dataclass(frozen=True, eq=False)
class Lanes(Lattice):
    """Σ_j act(f_j·(a_j·x − t_j))·(C_j·(1, z)) + G·z + constant, C_j (q, 1 + r), G (q, r): a lane for each rank of C_j and of G."""

    dictionary: Dictionary
    coordinates: Coordinates

    @property
    def blocks(self) -> NDArray[np.intp]:
        m = self.dictionary.width
        return np.arange(m)[:, None] + m * np.arange(1 + self.coordinates.rank)

    @property
    def size(self) -> int:
        return unknowns(self.dictionary.width, self.coordinates.rank, True)

    def among(self, dictionary: Dictionary) -> Lanes:
        return Lanes(dictionary, self.coordinates)

    def columns(self, inputs: Array) -> Array:
        gates, z = self.dictionary.features(inputs), self.coordinates(inputs)
        products = [gates, *(gates * z[:, k : k + 1] for k in range(z.shape[1])), z]
        return np.concatenate([*products, np.ones((len(inputs), 1))], axis=1)

    def ridge(self, weights: Array) -> Ridge:
        m, rank, q = self.dictionary.width, self.coordinates.rank, weights.shape[1]
        blocks = weights[: m * (1 + rank)].reshape(1 + rank, m, q).transpose(1, 2, 0)
        slope = weights[m * (1 + rank) : -1].T
        parts = [_ranks(block) for block in blocks]
        # The gate of the linear part is open everywhere: row 0.
        activation = self.dictionary.activation
        opened = float(activation(np.array([OPEN_GATE]))[0])
        parts.append(_ranks(np.concatenate([np.zeros((q, 1)), slope / opened], axis=1)))
        largest = max(float(np.abs(out).max(initial=0.0)) for out, _ in parts)
        chosen = [np.abs(out).max(0) > NEGLIGIBLE * largest for out, _ in parts]
        outer = np.concatenate([out[:, keep] for (out, _), keep in zip(parts, chosen, strict=True)], axis=1)
        inner = np.concatenate([up[keep] for (_, up), keep in zip(parts, chosen, strict=True)])
        lanes = np.array([int(keep.sum()) for keep in chosen])
        rows = (inner[:, 1:] / self.coordinates.scale) @ self.coordinates.basis.T
        ups = Affine(rows, inner[:, 0] - rows @ self.coordinates.center)
        return Ridge(_repeated(self.dictionary, lanes), outer, weights[-1].copy(), ups)

    def net(self, weights: Array, name: str, origin: str) -> Net:
        return self.ridge(weights).to_net(name, origin)


def _part(dictionary: Dictionary, kept: NDArray[np.intp]) -> Dictionary:
    """The neurons of ascending indices `kept`."""
    which = np.repeat(np.arange(len(dictionary.counts)), dictionary.counts)[kept]
    used, counts = np.unique(which, return_counts=True)
    return replace(
        dictionary,
        directions=dictionary.directions[used],
        counts=tuple(counts.tolist()),
        knots=dictionary.knots[kept],
        facing=dictionary.facing[kept],
    )


def _ranks(block: Array) -> tuple[Array, Array]:
    """Vectors w (q, s) and v (s, 1 + r) with Σ_s w_s v_sᵀ = block (q, 1 + r), v of unit length."""
    left, singular, right = np.linalg.svd(block, full_matrices=False)
    return left * singular, right


def _repeated(dictionary: Dictionary, lanes: NDArray[np.intp]) -> Dictionary:
    """Neuron j `lanes[j]` times, and lanes[-1] times a gate that is open everywhere. Directions without lanes are left out."""
    starts = np.cumsum([0, *dictionary.counts[:-1]])
    counts = np.append(np.add.reduceat(lanes[:-1], starts), lanes[-1])
    directions = np.concatenate([dictionary.directions, np.zeros((1, dictionary.directions.shape[1]))])
    knots = np.append(np.repeat(dictionary.knots, lanes[:-1]), np.full(lanes[-1], -OPEN_GATE))
    facing = np.append(np.repeat(dictionary.facing, lanes[:-1]), np.ones(lanes[-1]))
    used = counts > 0
    return Dictionary(directions[used], tuple(counts[used].tolist()), knots, facing, dictionary.activation)


def neurons(width: int, rank: int, outputs: int, activation: Activation, gated: bool) -> int:
    """Neurons of the lattice that `width` neurons or lanes have room for beside those of the linear part; no fewer than carry that."""
    if gated:
        return max(1, (width - min(outputs, rank)) // min(outputs, 1 + rank))
    return max(rank, width - rank) if activation.reflects else max(3 * rank, width)


def unknowns(count: int, rank: int, gated: bool) -> int:
    """p of a form of `count` lattice neurons."""
    return count * (1 + rank) + rank + 1 if gated else count + rank + 1


def form(z: Array, coordinates: Coordinates, along: Array, count: int, shape: Shape, activation: Activation, gated: bool) -> Lattice:
    """The form of `count` lattice neurons on data z (N, r) along directions `along`."""
    outward = activation.reflects and not (gated and activation.homogeneous)
    dictionary = lattice(z, coordinates, along, count, shape, activation, outward)
    if gated:
        return Lanes(dictionary, coordinates)
    return Plain(with_reflections(dictionary, coordinates.rank) if activation.reflects else dictionary)
