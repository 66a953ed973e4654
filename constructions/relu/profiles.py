"""Sums of piecewise-linear ridge profiles Σ_k q_k(a_k·u): the span of a ridge dictionary, in a basis fit for computing.

ReLUs that share a direction span the linear splines with those knots. Hat functions span the same space, but a sample
touches only two of them per direction and the Gram matrix is better conditioned by a factor of about (knots)³:
least squares, pruning and reweighting all happen in hats, and `Grid.ridge` writes the result as ReLUs that face outward.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sparse
from scipy.linalg import cho_factor, cho_solve, qr

from ...atlas import Array
from ...moe.ridge import Dictionary, Ridge
from .dictionary import Coordinates
from .least_squares import RELATIVE_RIDGE

STIFFNESS = 1e-12
"""Weight of the squared bends beside the mean squared error. Where there are no data the profiles go on straight;
anywhere else it is far below the error of a piecewise-linear fit."""
SPARSE_GAIN = 200
"""A multiplication in a sparse product takes about this many times as long as one in a dense product."""
LIFT = 1 / 12 - 1 / 16
CHUNK = 4096
"""Rows of a dense product at a time."""
UNBENT = 1e-3
"""How much less a direction without knots is worth as a carrier of the linear part: it costs two neurons instead of one."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the profiles may bend: K directions, and ascending nodes along each, of which the first and the last are no knots."""

    lines: Array
    """(K, n), unit length."""
    nodes: tuple[Array, ...]

    @property
    def knots(self) -> int:
        """J, the number of interior nodes of all directions."""
        return sum(len(x) - 2 for x in self.nodes)

    @property
    def starts(self) -> list[int]:
        """Column of the first hat of each direction."""
        return [0, *np.cumsum([len(x) for x in self.nodes])[:-1].tolist()]

    def hats(self, inputs: Array) -> sparse.csr_array:
        """The hat functions (N, P) at inputs (N, n); beyond the last nodes the profiles go on straight."""
        projected = inputs @ self.lines.T
        count, directions = projected.shape
        columns = np.empty((count, directions, 2), np.int32)
        values = np.empty((count, directions, 2))
        for k, (start, x) in enumerate(zip(self.starts, self.nodes, strict=True)):
            t = projected[:, k]
            piece = np.searchsorted(x[1:-1], t)
            values[:, k, 1] = (t - x[piece]) / np.diff(x)[piece]
            columns[:, k, 0] = start + piece
        values[..., 0] = 1 - values[..., 1]
        columns[..., 1] = columns[..., 0] + 1
        pointers = np.arange(0, values.size + 1, 2 * directions, dtype=np.int32)
        return sparse.csr_array((values.ravel(), columns.ravel(), pointers), shape=(count, sum(map(len, self.nodes))))

    def tables(self, hats: sparse.csr_array, weights: Array | None = None) -> Iterator[tuple[int, int, Array, Array, Array, Array]]:
        """Of directions k ≤ j with n and m pieces: k, j, and the sums (n, m) over the samples in each two pieces of 1, a, b and a·b,
        a and b the positions within the pieces.
        """
        K = len(self.nodes)
        piece = hats.indices.reshape(-1, K, 2)[:, :, 0].T - np.array(self.starts)[:, None]
        right = np.ascontiguousarray(hats.data.reshape(-1, K, 2)[:, :, 1].T)
        scaled = right if weights is None else right * weights
        for k in range(K):
            for j in range(k, K):
                n, m = len(self.nodes[k]) - 1, len(self.nodes[j]) - 1
                key = piece[k] * m + piece[j]
                tables = [np.bincount(key, w, n * m).reshape(n, m) for w in (weights, scaled[k], scaled[j], scaled[k] * right[j])]
                ones, a, b, ab = np.asarray(tables, float)
                yield k, j, ones, a, b, ab

    def gram(self, hats: sparse.csr_array, weights: Array | None = None) -> Array:
        """HᵀWH (P, P) of the hats H at some inputs.

        Of two directions only four hats meet at a sample, so the block of a pair is in the `tables`.
        """
        starts = np.array(self.starts)
        out = np.zeros((hats.shape[1],) * 2)
        for k, j, ones, a, b, ab in self.tables(hats, weights):
            n, m = ones.shape
            block = np.zeros((n + 1, m + 1))
            block[:-1, :-1] += ones - a - b + ab
            block[:-1, 1:] += b - ab
            block[1:, :-1] += a - ab
            block[1:, 1:] += ab
            here, there = slice(starts[k], starts[k] + n + 1), slice(starts[j], starts[j] + m + 1)
            out[here, there] = block
            out[there, here] = block.T
        return out

    @cached_property
    def bends(self) -> sparse.csr_array:
        """The changes of slope at the knots, (J, P), of profiles given by their levels."""
        rows: list[Array] = []
        for x in self.nodes:
            h = np.diff(x)
            rows.append(np.stack([1 / h[:-1], -1 / h[:-1] - 1 / h[1:], 1 / h[1:]], axis=1))
        first = np.concatenate([start + np.arange(len(x) - 2) for start, x in zip(self.starts, self.nodes, strict=True)])
        columns = first[:, None] + np.arange(3)
        pointers = np.arange(0, 3 * len(first) + 1, 3)
        return sparse.csr_array((np.concatenate(rows).ravel(), columns.ravel(), pointers), shape=(len(first), sum(map(len, self.nodes))))

    @cached_property
    def stiffness(self) -> Array:
        """STIFFNESS·∫(second derivative)² as a quadratic form (P, P): Σ_j bend_j² / h_j, lengths in units of each direction's range."""
        if not self.knots:
            return np.zeros((sum(map(len, self.nodes)),) * 2)
        bends = self.bends
        scale = np.concatenate([np.full(len(x) - 2, (x[-1] - x[0]) ** 3) / ((x[2:] - x[:-2]) / 2) for x in self.nodes])
        return STIFFNESS * (bends.T @ (bends * scale[:, None])).toarray()

    def lifted(self, levels: Array) -> Array:
        """Levels of least squares (P, q) moved to where the sup norm wants them, for smooth profiles over long pieces.

        On a piece of length h the misfit of least squares is h²p″/12 at the knots and −h²p″/24 between them; LIFT·h·bend
        makes both h²p″/16, three quarters of that.
        """
        moved, first = levels.copy(), 0
        bends = self.bends @ levels
        for start, x in zip(self.starts, self.nodes, strict=True):
            knots = len(x) - 2
            h = (x[2:] - x[:-2]) / 2
            moved[start + 1 : start + 1 + knots] += LIFT * h[:, None] * bends[first : first + knots]
            first += knots
        return moved

    def coarsened(self, kept: list[np.ndarray]) -> tuple[Grid, sparse.csr_array]:
        """The grid of the nodes that `kept` says, and the levels (P, P′) at all nodes of its hats."""
        nodes = tuple(x[keep] for x, keep in zip(self.nodes, kept, strict=True))
        coarse = Grid(self.lines, nodes)
        shares, columns = [], []
        for x, z, start in zip(self.nodes, nodes, coarse.starts, strict=True):
            piece = np.searchsorted(z[1:-1], x, side="right")
            right = (x - z[piece]) / (z[piece + 1] - z[piece])
            shares.append(np.stack([1 - right, right], axis=1))
            columns.append(start + np.stack([piece, piece + 1], axis=1))
        rows = sum(map(len, self.nodes))
        entries = np.concatenate(shares).ravel(), np.concatenate(columns).ravel(), np.arange(0, 2 * rows + 1, 2)
        return coarse, sparse.csr_array(entries, shape=(rows, sum(map(len, nodes))))

    def ridge(self, levels: Array, coordinates: Coordinates) -> Ridge:
        """Profiles with these levels (P, q) as outward-facing ReLUs, one a knot, and one or two for each of r directions.

        Those r carry the linear part of all directions. On the affine hull of the data the ridge equals the profiles
        up to rounding.
        """
        flat = np.array([len(x) == 2 for x in self.nodes])
        spanning = coordinates.from_input(self.lines) * np.where(flat, UNBENT, 1.0)[:, None]
        pivots = qr(spanning.T, mode="r", pivoting=True)[1][: coordinates.rank]
        bend = (self.bends @ levels) if self.knots else np.zeros((0, levels.shape[1]))
        at_center = self.lines @ coordinates.center
        slopes, centers, value, first = [], [], np.zeros(levels.shape[1]), 0
        parts: dict[int, tuple[Array, Array, Array]] = {}
        for k, (start, x) in enumerate(zip(self.starts, self.nodes, strict=True)):
            knots = len(x) - 2
            middle = knots // 2
            # The straight piece left of the middle knot, continued, is what the neurons of this direction are added to.
            slope = (levels[start + middle + 1] - levels[start + middle]) / (x[middle + 1] - x[middle])
            value = value + levels[start + middle + 1] + slope * (at_center[k] - x[middle + 1])
            slopes.append(slope)
            centers.append(x[middle + 1] if knots else (x[0] + x[1]) / 2)
            if knots:
                parts[k] = x[1:-1], np.where(np.arange(knots) >= middle, 1.0, -1.0), bend[first : first + knots]
                first += knots
        gradient = coordinates.basis.T @ (self.lines.T @ np.array(slopes))
        carried = np.linalg.solve((self.lines[pivots] @ coordinates.basis).T, gradient)
        constant = value
        for k, weight in zip(pivots.tolist(), carried, strict=True):
            # γ·(t − c) = γ·σ(t − c) − γ·σ(c − t).
            constant = constant - weight * (at_center[k] - centers[k])
            if k in parts:
                along, facing, weights = parts[k]
                weights = weights.copy()
                weights[len(along) // 2] += weight
                parts[k] = np.append(along, centers[k]), np.append(facing, -1.0), np.concatenate([weights, -weight[None]])
            else:
                parts[k] = np.full(2, centers[k]), np.array([1.0, -1.0]), np.stack([weight, -weight])
        used = sorted(parts)
        dictionary = Dictionary(
            self.lines[used],
            tuple(len(parts[k][0]) for k in used),
            np.concatenate([parts[k][0] for k in used]),
            np.concatenate([parts[k][1] for k in used]),
        )
        return Ridge(dictionary, np.concatenate([parts[k][2] for k in used]).T, constant)


def gram(columns: sparse.csr_array) -> Array:
    """AᵀA (P, P), by the faster of a sparse and a dense product."""
    if SPARSE_GAIN * (columns.nnz / columns.shape[0]) ** 2 < columns.shape[1] ** 2:
        return (columns.T @ columns).toarray()
    out = np.zeros((columns.shape[1],) * 2)
    for start in range(0, columns.shape[0], CHUNK):
        # One and the same array on both sides: the product knows that it is symmetric.
        part = columns[start : start + CHUNK].toarray()
        out += part.T @ part
    return out


def normalised(matrix: Array) -> tuple[Array, Array]:
    """A Gram matrix scaled to unit diagonal, with its relative ridge, and the square roots of its diagonal."""
    diagonal = np.diag(matrix)
    # Columns that (almost) no sample touches get a scale from which their levels cannot blow up.
    scale = np.sqrt(np.maximum(diagonal, 1e-14 * diagonal.max()))
    out = matrix / scale[:, None] / scale
    out[np.diag_indices_from(out)] += RELATIVE_RIDGE * len(out)
    return out, scale


def least_squares(grid: Grid, inputs: Array, values: Array, weights: Array | None = None) -> Array:
    """Levels (P, q) that fit values (N, q) at inputs (N, n) best; weights (N,) have mean 1. One step of iterative refinement."""
    hats = grid.hats(inputs)
    matrix = grid.gram(hats, weights) + len(inputs) * grid.stiffness
    scaled, scale = normalised(matrix)
    factor = cho_factor(scaled, lower=True, overwrite_a=True, check_finite=False)
    weighted = values if weights is None else values * weights[:, None]

    def solve(right: Array) -> Array:
        return cho_solve(factor, right / scale[:, None], check_finite=False) / scale[:, None]

    levels = solve(hats.T @ weighted)
    misfit = values - hats @ levels
    return levels + solve(hats.T @ (misfit if weights is None else misfit * weights[:, None]) - len(inputs) * (grid.stiffness @ levels))
